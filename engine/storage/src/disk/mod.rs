//! How the engine reaches files: one trait, with a real form and one that tests use.
//!
//! Whatever changes a data folder goes through [`Disk`], so that a test can cut the power, fill the disk or fail any
//! operation at any point. Readers of Parquet open files themselves: reading changes nothing.

mod files;
mod real;
mod simulated;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::FileError;

pub use files::{AppendedFile, NewFile};
pub use real::RealStorage;
pub use simulated::{Cut, Fault, SimulatedStorage};

/// What the engine asks of a file system. Paths are absolute or relative to the working folder; every call is one
/// operation of the system, and may fail as that does.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens a file to be written, creating it where it is missing. [`Opening::New`] empties it.
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn StoredFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Exchanges two names in one step.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Waits until the disk has the names in a folder.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates one folder, whose parent is there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder that is empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// What it held is gone.
    New,
    /// Writing goes on at its end.
    Append,
}

/// A file opened to be written.
pub trait StoredFile: fmt::Debug + Send + Sync {
    /// Writes at the end, perhaps not all of it, and answers how much.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until the disk has the content.
    fn sync(&self) -> io::Result<()>;
    fn set_length(&mut self, length: u64) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
    /// Fills `bytes` with what stands from `offset` on.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

type Result<T> = std::result::Result<T, FileError>;

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::new(operation, path, source)
}

/// A storage to be passed around. Its errors say what was tried and where.
#[derive(Clone, Debug)]
pub struct Disk {
    storage: Arc<dyn Storage>,
    written: Arc<AtomicU64>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new(Arc::new(RealStorage))
    }
}

/// The operation of [`Disk::exchange`] in its errors.
pub(crate) const EXCHANGE: &str = "exchange";

impl Disk {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, written: Arc::default() }
    }

    /// Bytes that were written by it and its clones.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Creates a file; one that is there already is emptied.
    pub fn create(&self, path: &Path) -> Result<NewFile> {
        let file = self.storage.open(path, Opening::New).map_err(failed("create", path))?;
        Ok(NewFile::new(file, path, &self.written))
    }

    /// Opens a file to go on behind what it holds, creating it, and folders on the way, where they are missing.
    pub fn append(&self, path: &Path) -> Result<AppendedFile> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            self.create_folder(folder)?;
        }
        let file = self.storage.open(path, Opening::Append).map_err(failed("open", path))?;
        AppendedFile::new(file, path, &self.written)
    }

    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.storage.read(path).map_err(failed("read", path))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.storage.rename(from, to).map_err(failed("rename to", to))
    }

    /// Exchanges two folders in one step, so that no reader sees neither or both.
    pub fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        self.storage.exchange(one, other).map_err(failed(EXCHANGE, other))
    }

    /// Waits until the disk has the names in a folder.
    pub fn sync_folder(&self, path: &Path) -> Result<()> {
        self.storage.sync_folder(path).map_err(failed("sync", path))
    }

    /// Creates a folder and those above it, and makes their names durable.
    pub fn create_folder(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_folder(parent)?;
        }
        match self.storage.create_folder(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other.map_err(failed("create", path))?,
        }
        parent.map_or(Ok(()), |parent| self.sync_folder(parent))
    }

    /// Removes a file; one that is gone already is no error.
    pub fn remove(&self, path: &Path) -> Result<()> {
        match self.storage.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Removes a folder with all it holds; one that is gone already is no error.
    pub fn remove_folder(&self, path: &Path) -> Result<()> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(FileError::new("read", path, error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed("read", path))?;
            let is_folder = entry.file_type().map_err(failed("read", path))?.is_dir();
            if is_folder { self.remove_folder(&entry.path())? } else { self.remove(&entry.path())? }
        }
        match self.storage.remove_folder(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Removes a folder if nothing is in it; says whether it did.
    pub fn remove_if_empty(&self, path: &Path) -> bool {
        self.storage.remove_folder(path).is_ok()
    }

    /// Puts `bytes` in the place of a file: a reader, or a start after a crash, sees the old or the new, whole.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let mut file = self.create(&temporary)?;
        file.write(bytes)?;
        file.sync()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_folder(parent),
            _ => self.sync_folder(Path::new(".")),
        }
    }
}
