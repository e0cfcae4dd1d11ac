//! The only place that changes the file system. A Storage trait will stand here.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::FileError;

type Result<T> = std::result::Result<T, FileError>;

/// What the test of a crash hooks into: called before each change with its verb and path.
#[cfg(not(test))]
#[inline]
fn before(_operation: &'static str, _path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
use crate::faults::before;

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    move |source| FileError::new(operation, path, source)
}

/// A file being written.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
}

/// Creates a file; one that is there already is emptied.
pub fn create(path: &Path) -> Result<NewFile> {
    before("create", path)?;
    let file = File::create(path).map_err(failed("create", path))?;
    Ok(NewFile { file, path: path.to_owned() })
}

/// Opens a file for reading and writing, creating it where it is missing, and keeps what it holds.
pub fn open_or_create(path: &Path) -> Result<File> {
    before("open", path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed("open", path))
}

/// Puts `bytes` in the place of what an open file holds. For a lock, which has to stay the same file.
pub fn overwrite(file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
    before("write", path)?;
    let mut write = || {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)
    };
    write().map_err(failed("write", path))
}

impl NewFile {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        before("write", &self.path)?;
        self.file.write_all(bytes).map_err(failed("write", &self.path))
    }

    /// Waits until the disk has the bytes.
    pub fn sync(&self) -> Result<()> {
        before("sync", &self.path)?;
        self.file.sync_all().map_err(failed("sync", &self.path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that only ever grows at its end, by whole pieces.
#[derive(Debug)]
pub struct AppendedFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl AppendedFile {
    /// Opens a file to go on behind what it holds, creating it, and folders on the way, where they are missing.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_folder(folder)?;
        }
        before("open", path)?;
        let file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed("open", path))?;
        let length = file.metadata().map_err(failed("read", path))?.len();
        Ok(Self { file, path: path.to_owned(), length })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `bytes` with what stands from `offset` on.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(failed("read", &self.path))
    }

    /// Writes all of `bytes` or nothing: what a full disk took of it is cut off again.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        before("write", &self.path)?;
        if let Err(source) = self.file.write_all(bytes) {
            if let Err(error) = self.cut(self.length) {
                // Whoever opens the file again sees that its last line has no end.
                tracing::debug!(%error, "what was written in part cannot be removed");
            }
            return Err(FileError::new("write", &self.path, source));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes what stands behind `length`.
    pub fn cut(&mut self, length: u64) -> Result<()> {
        before("shorten", &self.path)?;
        self.file.set_len(length).map_err(failed("shorten", &self.path))?;
        self.length = length;
        Ok(())
    }

    /// Waits until the disk has the bytes.
    pub fn sync(&self) -> Result<()> {
        before("sync", &self.path)?;
        self.file.sync_all().map_err(failed("sync", &self.path))
    }
}

pub fn rename(from: &Path, to: &Path) -> Result<()> {
    before("rename", to)?;
    fs::rename(from, to).map_err(failed("rename to", to))
}

/// The operation of [`exchange`] in its errors.
pub(crate) const EXCHANGE: &str = "exchange";

/// Exchanges two folders in one step, so that no reader sees neither or both.
pub fn exchange(one: &Path, other: &Path) -> Result<()> {
    before(EXCHANGE, other)?;
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .map_err(|error| FileError::new(EXCHANGE, other, error.into()))
}

/// Waits until the disk has the names in a folder.
pub fn sync_folder(path: &Path) -> Result<()> {
    before("sync", path)?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// Creates a folder and those above it, and makes their names durable.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    before("create", path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other.map_err(failed("create", path))?,
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

/// Removes a file; one that is gone already is no error.
pub fn remove(path: &Path) -> Result<()> {
    before("remove", path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder with all it holds; one that is gone already is no error.
pub fn remove_folder(path: &Path) -> Result<()> {
    before("remove", path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder if nothing is in it; says whether it did.
pub fn remove_if_empty(path: &Path) -> Result<bool> {
    before("remove", path)?;
    Ok(fs::remove_dir(path).is_ok())
}

/// Puts `bytes` in the place of a file: a reader, or a start after a crash, sees the old or the new, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = create(&temporary)?;
    file.write(bytes)?;
    file.sync()?;
    rename(&temporary, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}
