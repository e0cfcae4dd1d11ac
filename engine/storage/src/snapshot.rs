//! A dataset at one moment, as queries read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::dataset::DatasetSchema;
use crate::error::StorageError;
use crate::folder::dataset_path;
use crate::historian::Appended;
use crate::manifest::{FileEntry, Manifest};
use crate::stored;

/// Files and rows that are not in them yet, taken in one step: together each row once.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub manifest: Arc<Manifest>,
    /// The data folder.
    pub data: PathBuf,
    /// What the tail was appended as; none where there is no tail.
    pub(crate) schema: Option<DatasetSchema>,
    pub(crate) tail: Vec<Appended>,
}

impl Snapshot {
    /// The files of a dataset as they lie, of a site that does not run or is not asked; `None` where there is no such
    /// dataset. Takes no lock.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub fn of_folder(data: &Path, dataset: &str) -> Result<Option<Self>, StorageError> {
        let manifest = Manifest::load(data, dataset)?;
        let of =
            |manifest| Self { manifest: Arc::new(manifest), data: data.to_owned(), schema: None, tail: Vec::new() };
        Ok(manifest.map(of))
    }

    /// Where a file of the manifest lies.
    pub fn path(&self, file: &FileEntry) -> PathBuf {
        dataset_path(&self.data, &self.manifest.dataset).join(&file.path)
    }

    /// Where a file lies whose hour a merge has just exchanged: beside the new one's folder until the manifest names
    /// the new one.
    pub fn staged(&self, file: &FileEntry) -> Option<PathBuf> {
        let staging = self.data.join("staging").join(&self.manifest.dataset);
        let folders = std::fs::read_dir(staging).ok()?.filter_map(Result::ok);
        folders.map(|folder| folder.path().join(file.name())).find(|path| path.exists())
    }

    /// The columns of [`Snapshot::tail`].
    pub fn schema(&self) -> SchemaRef {
        self.manifest.schema()
    }

    /// Batches of ended epochs that are in no file, as they were appended.
    pub fn appended(&self) -> &[Appended] {
        &self.tail
    }

    /// The same rows in the columns of the files, in the order they came.
    ///
    /// # Errors
    /// When a batch does not have the columns of the dataset.
    pub fn tail(&self) -> Result<Vec<RecordBatch>, StorageError> {
        match &self.schema {
            Some(schema) => stored::batches(&self.manifest.dataset, schema, &self.schema(), self.tail.iter()),
            None => Ok(Vec::new()),
        }
    }
}
