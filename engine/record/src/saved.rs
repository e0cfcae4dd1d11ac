//! The state of a node as it is kept: bytes with a version, names inside, positions never.

use arrow::buffer::Buffer;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A node's state in the form that survives a restart and another build of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// The version of the format, the operator's own.
    pub version: u32,
    /// Shared by all who hold the state: that of a large site is large.
    pub bytes: Buffer,
}

#[derive(Debug, Error)]
pub enum StateError {
    #[error(
        "a state of version {found} cannot be read by an operator that writes version {expected}; start the node from empty state, or run the version of Ducto that wrote it"
    )]
    Version { found: u32, expected: u32 },
    #[error("a saved state cannot be read: {0}; start the node from empty state")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("a state cannot be saved: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("a state could not be saved before, and there is no other of this time; the next snapshot has one")]
    Gone,
}

impl SavedState {
    /// Encodes with field names, so that a later version can add fields with defaults.
    pub fn encode<T: Serialize>(version: u32, state: &T) -> Result<Self, StateError> {
        Ok(Self { version, bytes: rmp_serde::to_vec_named(state)?.into() })
    }

    pub fn decode<T: DeserializeOwned>(&self, expected: u32) -> Result<T, StateError> {
        if self.version != expected {
            return Err(StateError::Version { found: self.version, expected });
        }
        Ok(rmp_serde::from_slice(&self.bytes)?)
    }
}
