//! Where samples and rows leave a graph.

mod append;
pub mod file;
pub mod historian;
mod historians;
pub mod log;
pub mod text;

pub use historian::dataset_of_kind;
pub use historians::Historians;
