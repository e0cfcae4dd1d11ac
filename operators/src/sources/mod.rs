//! What brings samples and rows into a graph.

pub mod dataset;
pub mod modbus;
pub mod replay;
mod selection;
pub mod tags;
#[cfg(test)]
pub(crate) mod testing;
