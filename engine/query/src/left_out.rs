//! Files of a manifest that an answer goes without, because they are missing or damaged: it says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use ducto_storage::FileEntry;

/// A file that an answer goes without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub path: PathBuf,
    /// As its manifest says.
    pub rows: u64,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is nowhere, and was not merged away meanwhile.
    Missing,
    /// It is not what was written.
    Damaged,
}

/// What earlier attempts of a query found out about files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Those that were looked for in vain: they may have been merged away. One that a new manifest names too is missing.
    pub(crate) gone: BTreeSet<PathBuf>,
    pub(crate) damaged: BTreeSet<PathBuf>,
}

/// The files of one attempt of a query.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) known: Known,
    left_out: Mutex<BTreeSet<LeftOut>>,
    opened: Mutex<Vec<(PathBuf, FileEntry)>>,
}

impl Files {
    pub(crate) fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    pub(crate) fn leave_out(&self, path: PathBuf, file: &FileEntry, why: Why) {
        let left_out = LeftOut { path, rows: file.rows, why };
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(left_out);
    }

    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn opened(&self, path: &Path, file: &FileEntry) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), file.clone()));
    }

    /// The files of this attempt that are not what was written, by their checksums: each is read once.
    pub(crate) fn damaged(&self) -> BTreeSet<PathBuf> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let files: BTreeSet<&Path> = opened.iter().map(|(path, _)| path.as_path()).collect();
        let is_damaged = |path: &Path| {
            let file = opened.iter().find(|(other, _)| other == path).map(|(_, file)| file);
            // One that has been merged away meanwhile is not damaged.
            file.is_some_and(|file| matches!(file.is_intact(path), Ok(false)))
        };
        files.into_iter().filter(|path| is_damaged(path)).map(Path::to_owned).collect()
    }
}

/// Whether an error may come of a damaged file.
pub(crate) fn may_be_damage(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(error, _) => {
            matches!(**error, ArrowError::ParquetError(_) | ArrowError::IoError(..) | ArrowError::ExternalError(_))
        }
        DataFusionError::External(error) => error.is::<ParquetError>() || error.is::<std::io::Error>(),
        _ => false,
    }
}

/// What goes without these files, for people; `None` where there are none.
pub(crate) fn told(files: &[LeftOut]) -> Option<String> {
    let first = files.first()?;
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let (is, them) = match first.why {
        Why::Missing => ("is not on the disk", "put it back from a backup"),
        Why::Damaged => ("is damaged", "put it back from a backup or move it away"),
    };
    let more = match files.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more are missing or damaged"),
    };
    Some(format!(
        "`{}` {is}{more}: {rows} rows are not in the answer; {them}, or stop the site and run `ducto data repair`, which \
         leaves out for good what is damaged",
        first.path.display()
    ))
}
