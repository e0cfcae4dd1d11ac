//! The way of a Parquet file to the disk: checksummed while it is written, marked with what it is.

use std::io::Write;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use xxhash_rust::xxh3::Xxh3;

use crate::disk::{Disk, NewFile};
use crate::error::{FileError, StorageError};
use crate::manifest::Level;

/// Bytes on their way into a file.
pub(crate) struct Sink {
    file: NewFile,
    hash: Xxh3,
    bytes: u64,
    buffer: Vec<u8>,
}

/// Bytes that go to the file at once.
const BUFFER: usize = 1 << 18;

/// A file that is whole and on disk under its staged name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) bytes: u64,
    pub(crate) checksum: String,
}

impl Sink {
    pub(crate) fn create(disk: &Disk, path: &Path) -> Result<Self, FileError> {
        Ok(Self { file: disk.create(path)?, hash: Xxh3::new(), bytes: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    fn put(&mut self) -> Result<(), FileError> {
        self.file.write(&self.buffer)?;
        self.hash.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Finished, FileError> {
        self.put()?;
        self.file.sync()?;
        Ok(Finished { bytes: self.bytes, checksum: format!("{:016x}", self.hash.digest()) })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.put().map_err(|error| std::io::Error::new(error.source.kind(), error))?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Parquet's writers flush after each row group; the file is written when the buffer is full, and at the end.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tells a full disk from a defect of the encoder.
pub(crate) fn encode_failed(path: &Path) -> impl Fn(ParquetError) -> StorageError + '_ {
    move |source| {
        if let ParquetError::External(cause) = &source
            && let Some(error) = cause.downcast_ref::<std::io::Error>()
        {
            return FileError::new("write", path, error.kind().into()).into();
        }
        StorageError::Encode { path: path.to_owned(), source }
    }
}

/// What a file says of itself, so that a start after a crash knows what to do with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    pub(crate) dataset: String,
    pub(crate) level: Level,
    /// Number of the commit or merge.
    pub(crate) sequence: u64,
    /// Which of how many files of that commit.
    pub(crate) part: (usize, usize),
    pub(crate) epochs: (u64, u64),
    /// For a commit: every row up to this epoch is on disk once all its parts are.
    pub(crate) held: u64,
    pub(crate) times: (i64, i64),
    pub(crate) written: i64,
    pub(crate) revised: bool,
    /// For a merge: the files of the hour that it takes the place of.
    pub(crate) replaces: Vec<String>,
    /// The columns that, with `time`, name a row: what a manifest that is lost cannot be made again without.
    #[serde(default)]
    pub(crate) key: Vec<String>,
}

const KEY: &str = "ducto";
/// Of the mark and of what Arrow says of the columns: footers have no checksum of their own.
const SUM: &str = "ducto.sum";
/// Under which Arrow's writer keeps what it says of them.
const COLUMNS: &str = "ARROW:schema";

impl Mark {
    /// What is put into a file, `columns` being what Arrow's writer puts there.
    pub(crate) fn metadata(&self, columns: Option<&str>) -> Vec<KeyValue> {
        // A struct of numbers and names always encodes.
        let text = serde_json::to_string(self).unwrap_or_default();
        let sum = sum(&text, columns);
        vec![KeyValue::new(KEY.to_owned(), text), KeyValue::new(SUM.to_owned(), sum)]
    }
}

fn sum(mark: &str, columns: Option<&str>) -> String {
    let mut hash = Xxh3::new();
    hash.update(mark.as_bytes());
    hash.update(columns.unwrap_or_default().as_bytes());
    format!("{:016x}", hash.digest())
}

/// The mark of a file of ours; `None` for a foreign one, and where the footer is not what was written. Files from before
/// have no sum.
pub(crate) fn read_mark(metadata: &ParquetMetaData) -> Option<Mark> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    let of = |key: &str| pairs.iter().find(|pair| pair.key == key)?.value.as_deref();
    let text = of(KEY)?;
    if of(SUM).is_some_and(|found| found != sum(text, of(COLUMNS))) {
        return None;
    }
    serde_json::from_str(text).ok()
}
