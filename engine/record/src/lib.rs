//! What flows on an edge: batches of samples and rows, with their quality, units and time.
//!
//! This crate knows Arrow and nothing of graphs, operators or oil.

mod batch;
mod dense;
mod directory;
mod entry;
mod quality;
mod saved;
pub mod time;
mod unit;
mod value;

pub use batch::{
    Batch, Layout, ROLE, RowType, SampleColumns, Samples, StreamType, Times, UNIT, field_unit, per_of, role_of,
    samples_schema, with_per, with_role, with_unit,
};
pub use dense::{CHUNK, Dense};
pub use directory::{Asset, AssetId, Directory, DirectoryBuilder, Tag, TagId};
pub use entry::{Action, Entry, Epoch, Origin, Part, Piece};
pub use quality::{Checks, Quality, QualityClass};
pub use saved::{SavedState, StateError};
pub use time::Micros;
pub use unit::{Conversion, Dimension, Measure, Reference, Unit, UnitError, Units};
pub use value::{Value, ValueKind, Values};
