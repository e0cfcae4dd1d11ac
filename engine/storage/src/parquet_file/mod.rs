//! Parquet files as the historian writes them: sorted by key and time, encodings chosen by the data.

mod chunk;
mod dictionary;
mod hybrid;
mod rows;
mod samples;
mod sink;
mod values;

pub(crate) use rows::RowFile;
pub(crate) use samples::{GROUP_ROWS, KeptColumns, SampleColumns, SampleFile, Scratch, StoredValue};
pub(crate) use sink::{Finished, Mark, read_mark};
