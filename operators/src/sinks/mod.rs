//! Where samples and rows leave a graph.

mod append;
pub mod file;
pub mod log;
mod text;
