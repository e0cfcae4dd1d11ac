//! Where tables come from: a folder, or a running site with its rows that are in no file yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use ducto_storage::{FileError, Historian, Snapshot, StorageError, dataset_names};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// What a session reads.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Names of the datasets, sorted.
    ///
    /// # Errors
    /// When the data folder cannot be read.
    fn datasets(&self) -> Result<Vec<String>, StorageError>;

    /// Files and live tail of a dataset, taken in one step: together each row once. `None` for an unknown name.
    ///
    /// # Errors
    /// When its manifest cannot be read.
    fn snapshot(&self, dataset: &str) -> Result<Option<Snapshot>, StorageError>;

    /// The table of tags, as [`tags_table`](ducto_storage::tags_table) makes it; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn tags(&self) -> Result<Option<RecordBatch>, StorageError>;
}

/// The data folder of a site that does not run, or is not asked.
#[derive(Clone, Debug)]
pub struct Folder {
    data: PathBuf,
}

impl Folder {
    /// # Errors
    /// When there is no data folder at the path.
    pub fn open(data: &Path) -> Result<Self, StorageError> {
        dataset_names(data)?;
        Ok(Self { data: data.to_owned() })
    }
}

impl Source for Folder {
    fn datasets(&self) -> Result<Vec<String>, StorageError> {
        dataset_names(&self.data)
    }

    fn snapshot(&self, dataset: &str) -> Result<Option<Snapshot>, StorageError> {
        Snapshot::of_folder(&self.data, dataset)
    }

    fn tags(&self) -> Result<Option<RecordBatch>, StorageError> {
        let path = self.data.join("tags.parquet");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("open", &path, error).into()),
        };
        let decode = |source| StorageError::Decode { path: path.clone(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(decode)?;
        let schema = builder.schema().clone();
        let batches = builder.build().map_err(decode)?.collect::<Result<Vec<_>, _>>();
        let table = batches.and_then(|batches| concat_batches(&schema, &batches));
        table.map(Some).map_err(|error| decode(error.into()))
    }
}

/// A running site: its folder, the historians that are open in it, and its tags.
#[derive(Debug)]
pub struct Site {
    folder: Folder,
    historians: RwLock<BTreeMap<String, Historian>>,
    tags: RwLock<Option<RecordBatch>>,
}

impl Site {
    /// # Errors
    /// When there is no data folder at the path.
    pub fn open(data: &Path) -> Result<Self, StorageError> {
        Ok(Self { folder: Folder::open(data)?, historians: RwLock::default(), tags: RwLock::default() })
    }

    /// Queries see the live tail of this historian from now on.
    pub fn add(&self, historian: &Historian) {
        let name = historian.config().name.clone();
        self.historians.write().unwrap_or_else(PoisonError::into_inner).insert(name, historian.clone());
    }

    /// To be called before a historian is closed; its files stay a table.
    pub fn remove(&self, dataset: &str) {
        self.historians.write().unwrap_or_else(PoisonError::into_inner).remove(dataset);
    }

    /// What the site's tags mean, from now on.
    pub fn set_tags(&self, tags: RecordBatch) {
        *self.tags.write().unwrap_or_else(PoisonError::into_inner) = Some(tags);
    }
}

impl Source for Site {
    fn datasets(&self) -> Result<Vec<String>, StorageError> {
        let mut names: BTreeSet<String> = self.folder.datasets()?.into_iter().collect();
        names.extend(self.historians.read().unwrap_or_else(PoisonError::into_inner).keys().cloned());
        Ok(names.into_iter().collect())
    }

    fn snapshot(&self, dataset: &str) -> Result<Option<Snapshot>, StorageError> {
        let historians = self.historians.read().unwrap_or_else(PoisonError::into_inner);
        match historians.get(dataset) {
            Some(historian) => Ok(Some(historian.snapshot())),
            None => self.folder.snapshot(dataset),
        }
    }

    fn tags(&self) -> Result<Option<RecordBatch>, StorageError> {
        match self.tags.read().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(tags) => Ok(Some(tags)),
            None => self.folder.tags(),
        }
    }
}
