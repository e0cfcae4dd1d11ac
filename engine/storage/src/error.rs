//! What can go wrong with a data folder, in words that end in what the reader can do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An operation on a file that failed: which, where, why.
#[derive(Debug, Error)]
#[error("cannot {operation} `{}`: {source}; {}", path.display(), advice(source))]
pub struct FileError {
    /// As a verb: `create`, `sync`.
    pub operation: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl FileError {
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// The disk, the quota or the share of this user is used up.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull => "free space on that disk, or shorten `keep` of the largest dataset",
        ErrorKind::QuotaExceeded => "raise the quota of this user, or shorten `keep` of the largest dataset",
        ErrorKind::ReadOnlyFilesystem => "mount that disk writable, or name another folder with `--data`",
        ErrorKind::PermissionDenied => "give this user write access there, or name another folder with `--data`",
        ErrorKind::NotFound => "check that the path exists and the disk is mounted",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            "move what stands in its place, or name another folder with `--data`"
        }
        _ => "check the disk and its file system",
    }
}

/// Why a data folder or a dataset cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum StorageError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "the data folder `{}` is in use by process {pid}; stop that process, or name another folder with `--data`",
        path.display()
    )]
    InUse {
        path: PathBuf,
        /// As the other process wrote it; `?` where it had not yet.
        pid: String,
    },
    #[error(
        "`{}` has format {found}, and this build reads up to {known}; run the version of Ducto that wrote it, or a newer one",
        path.display()
    )]
    Version { path: PathBuf, found: String, known: u32 },
    #[error("`{}` is damaged: {what}; restore it from a backup, or move it away to start without it", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the dataset `{dataset}` cannot change: {what}; store it under another dataset name")]
    Schema { dataset: String, what: String },
    #[error("`{name}` cannot name a dataset: use lower-case letters, digits and `_`, with a letter first")]
    Name { name: String },
    #[error("the dataset `{dataset}` takes {expected}, not {found}; send these to a dataset of their own")]
    Kind { dataset: String, expected: String, found: String },
    #[error("cannot encode `{}`: {source}; this is a defect, report it with the schema of the dataset", path.display())]
    Encode { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("entries cannot be written to `{}`: {what}; this is a defect, report it", path.display())]
    Unwritable { path: PathBuf, what: &'static str },
    #[error("cannot read `{}`: {source}; restore it from a backup, or move it away", path.display())]
    Decode { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("rows of `{dataset}` cannot be brought into columns: {source}; this is a defect, report it")]
    Arrow { dataset: String, source: arrow::error::ArrowError },
    #[error("a batch for `{dataset}` names tag {tag}, and its directory has {tags}; this is a defect, report it")]
    Tag { dataset: String, tag: u32, tags: usize },
    #[error("rows of the dataset `{dataset}` are not on disk: {what}")]
    Uncommitted { dataset: String, what: String },
    #[error("the writer of the dataset `{dataset}` has stopped; see the log for its last error, and restart the site")]
    Stopped { dataset: String },
}

impl StorageError {
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_full())
    }
}

/// Why rows were not taken.
#[derive(Debug, Error)]
pub enum AppendError {
    /// Nothing of the batch was taken. Wait with [`Historian::wait_for_room`](crate::Historian::wait_for_room) and
    /// append it again.
    #[error("the dataset `{dataset}` holds {bytes} bytes that are not on disk yet, its limit; {cause}")]
    Full { dataset: String, bytes: usize, cause: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}
