//! The operators of Ducto, one file each, and the protocols that feed them.

pub mod features;
pub mod rows;
pub mod trends;

#[cfg(test)]
mod testing;
