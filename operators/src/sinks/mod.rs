//! Where samples and rows leave a graph.

mod announcer;
mod append;
mod claims;
mod dataset_name;
pub mod file;
pub mod historian;
mod historians;
pub mod log;
pub mod outbox;
mod outgoing;
pub mod text;
pub mod webhook;

pub use dataset_name::dataset_of_kind;
pub use historians::Historians;
