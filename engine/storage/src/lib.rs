//! Where a site keeps what it measured: the data folder and the historian.
//!
//! A [`DataFolder`] is held by one process. A [`Historian`] keeps one dataset in it: batches are appended by
//! reference, committed to Parquet on a thread of its own, merged hour by hour, and removed by age and size. Queries
//! take a [`Snapshot`], or read a [`Manifest`] from the folder of a site that does not run.

mod appender;
mod audit;
mod bytes;
mod catalog;
mod checkpoint;
mod commit;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod dataset;
pub mod disk;
mod error;
mod findings;
mod folder;
mod historian;
mod hour;
mod intact;
mod journal;
mod manifest;
mod notes;
mod order;
mod outbox;
mod parquet_file;
mod plan;
mod rebuild;
mod recover;
mod segments;
mod set_aside;
mod snapshot;
mod sort;
mod stored;
mod writer;

pub use appender::Appender;
pub use audit::{Audit, Care, DatasetSeen, FileSeen, audit, journal_begins_late, journal_ends_early, repair};
pub use catalog::{TAGS, tags_table, write_catalog};
pub use checkpoint::{Checkpoint, CheckpointSeen, Checkpoints, NodeState, OpenedCheckpoints, PipelineState, ViewState};
pub use dataset::{Change, DatasetConfig, DatasetSchema, Keep, REMOVED, REVISION, corrects, removes, revision};
pub use error::{AppendError, FileError, StorageError};
pub use findings::{Fault, Finding};
pub use folder::{DataFolder, FILES, HeldFolder, OUTBOX, OWN, dataset_names, dataset_path};
pub use historian::{Appended, Committed, Historian, HistorianStats};
pub use journal::{Announced, Brought, Journal, JournalReader, Opened, Publisher, SegmentSeen};
pub use manifest::{FileEntry, Level, Manifest};
pub use notes::FileHeld;
pub use outbox::{
    BatchHead, BatchId, Caps, Class, OpenedOutbox, Outbox, SealedBatch, Sealing, Stream, StreamSeen, StreamStats,
};
pub use recover::{Recovered, recover};
pub use set_aside::Problem;
pub use snapshot::Snapshot;
