//! What brings samples and rows into a graph.

pub mod replay;
