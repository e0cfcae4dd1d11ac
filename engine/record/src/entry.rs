//! Entries: whatever enters a site, in the order in which it entered.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::{Micros, Samples, Value};

/// An entry's number, the same for every pipeline of the site.
pub type Epoch = u64;

/// What entered a site at once, stamped with engine time.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub epoch: Epoch,
    /// Engine time: never less than that of the entry before.
    pub time: Micros,
    /// Empty in an entry that only moves engine time.
    pub parts: Vec<Part>,
}

/// One thing that entered.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Samples {
        origin: Origin,
        samples: Samples,
    },
    /// Rows that a dataset has just committed.
    Rows {
        origin: Origin,
        rows: RecordBatch,
    },
    Action(Arc<Action>),
}

/// Who brought a part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Samples of the site's tags: connections, and tests and benches in their place.
    Field,
    /// What a node of a pipeline published as tags.
    Published { pipeline: Arc<str>, node: Arc<str>, piece: Piece },
    /// A source node that brings its own input: `replay`.
    Source { pipeline: Arc<str>, node: Arc<str> },
    /// A dataset: rows that it has committed, of one epoch of the log. All of one epoch and kind are in one entry.
    Dataset { name: Arc<str>, epoch: Epoch },
}

/// Which of all that a node publishes. What comes of one epoch on one worker enters as one entry, so that this says
/// what a journal holds already, and nothing is published twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The epoch that it comes of.
    pub epoch: Epoch,
    /// The share of the assets that it comes of: those of one worker among so many.
    pub worker: u32,
    pub workers: u32,
}

/// What a person or another program wants of the nodes: acknowledge an alarm, reset a latch.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Numbers the answers; unique in one process.
    pub id: u64,
    /// `acknowledge`, `reset`; each operator knows its own.
    pub verb: Arc<str>,
    /// What it is about: a tag, a tag and an alarm, ….
    pub arguments: BTreeMap<String, Value>,
    pub user: Arc<str>,
    pub reason: Option<Arc<str>>,
}

impl Action {
    /// An argument as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.arguments.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Part {
    /// Bytes of buffer capacity that this part keeps alive.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Samples { samples, .. } => samples.bytes(),
            Self::Rows { rows, .. } => rows.get_array_memory_size(),
            Self::Action(_) => 256,
        }
    }

    pub fn num_rows(&self) -> usize {
        match self {
            Self::Samples { samples, .. } => samples.len(),
            Self::Rows { rows, .. } => rows.num_rows(),
            Self::Action(_) => 1,
        }
    }
}

impl Entry {
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.parts.iter().map(|part| size_of::<Part>() + part.bytes()).sum::<usize>()
    }
}
