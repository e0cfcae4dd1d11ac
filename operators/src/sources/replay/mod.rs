//! Recorded files, replayed.

mod assemble;
mod cell;
mod csv;
mod jsonl;
mod options;
mod order;
mod parquet;
mod recording;
mod rows;

pub use options::{Decimal, Options, RecordingError, Shape, TimeFormat, expand};
pub use recording::Recording;
pub use rows::{Rejected, Rejection};
