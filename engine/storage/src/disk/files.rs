//! Files being written, with errors that name them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Result, StoredFile, failed};
use crate::error::FileError;

/// Writes all of `bytes`, however little the system takes at once.
fn write_all(file: &mut dyn StoredFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn sync(file: &dyn StoredFile) -> io::Result<()> {
    loop {
        match file.sync() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A file being written from its beginning.
#[derive(Debug)]
pub struct NewFile {
    file: Box<dyn StoredFile>,
    path: PathBuf,
    /// Of the disk: counts the bytes of all its files.
    written: Arc<AtomicU64>,
}

impl NewFile {
    pub(super) fn new(file: Box<dyn StoredFile>, path: &Path, written: &Arc<AtomicU64>) -> Self {
        Self { file, path: path.to_owned(), written: written.clone() }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        write_all(self.file.as_mut(), bytes).map_err(failed("write", &self.path))?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until the disk has the bytes.
    pub fn sync(&self) -> Result<()> {
        sync(self.file.as_ref()).map_err(failed("sync", &self.path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that only ever grows at its end, by whole pieces.
#[derive(Debug)]
pub struct AppendedFile {
    file: Box<dyn StoredFile>,
    path: PathBuf,
    length: u64,
    written: Arc<AtomicU64>,
}

impl AppendedFile {
    pub(super) fn new(file: Box<dyn StoredFile>, path: &Path, written: &Arc<AtomicU64>) -> Result<Self> {
        let length = file.length().map_err(failed("read", path))?;
        Ok(Self { file, path: path.to_owned(), length, written: written.clone() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `bytes` with what stands from `offset` on.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, bytes).map_err(failed("read", &self.path))
    }

    /// Writes all of `bytes` or nothing: what a full disk took of it is cut off again.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(source) = write_all(self.file.as_mut(), bytes) {
            if let Err(error) = self.cut(self.length) {
                // Whoever opens the file again sees that its end is not whole.
                tracing::debug!(%error, "what was written in part cannot be removed");
            }
            return Err(FileError::new("write", &self.path, source));
        }
        self.length += bytes.len() as u64;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what stands behind `length`.
    pub fn cut(&mut self, length: u64) -> Result<()> {
        self.file.set_length(length).map_err(failed("shorten", &self.path))?;
        self.length = length;
        Ok(())
    }

    /// Waits until the disk has the bytes.
    pub fn sync(&self) -> Result<()> {
        sync(self.file.as_ref()).map_err(failed("sync", &self.path))
    }
}
