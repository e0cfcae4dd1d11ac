//! The data folder of a site: one process at a time writes it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{FileError, StorageError};

/// The format of the folder; a build reads this and what is older.
const FORMAT: u32 = 1;

/// A data folder that this process holds:
///
/// ```text
/// LOCK                    held by the process that writes; its number inside
/// VERSION                 format of the folder
/// datasets/<name>/date=2026-01-01/hour=00/*.parquet
/// manifests/<name>.json   which files make up a dataset; older weeks are listed in manifests/<name>/
/// staging/<name>/         files being written
/// tags.parquet, views.sql
/// replays.json            what of recordings was replayed into it
/// ```
///
/// Nothing but Parquet lies under `datasets/<name>`: Polars, pandas and pyarrow refuse a folder that holds anything
/// else, and DuckDB's `**` finds whatever is there.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    disk: Disk,
    /// The lock lives as long as the open file.
    _lock: File,
}

impl DataFolder {
    /// Creates the folder where it is missing, locks it and checks that it can be written.
    ///
    /// # Errors
    /// [`StorageError::InUse`] with the other process's number, [`StorageError::Version`] for a newer format,
    /// [`StorageError::File`] where the folder cannot be created or written.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_on(Disk::default(), path)
    }

    /// As [`DataFolder::open`], on another disk than the machine's.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_on(disk: Disk, path: &Path) -> Result<Self, StorageError> {
        disk.create_folder(path)?;
        let lock = lock(path)?;
        check_version(&disk, path)?;
        for name in ["datasets", "manifests", "staging"] {
            disk.create_folder(&path.join(name))?;
        }
        let probe = path.join("staging").join(".writable");
        disk.create(&probe)?.write(b"written to see whether it can be\n")?;
        disk.remove(&probe)?;
        Ok(Self { path: path.to_owned(), disk, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// By which everything in the folder is changed.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where the partitions of a dataset lie.
    pub fn dataset(&self, name: &str) -> PathBuf {
        dataset_path(&self.path, name)
    }

    /// Where the files of a dataset are written before they are renamed in.
    pub fn staging(&self, name: &str) -> PathBuf {
        self.path.join("staging").join(name)
    }
}

/// Where the partitions of a dataset lie in a data folder.
pub fn dataset_path(data: &Path, name: &str) -> PathBuf {
    data.join("datasets").join(name)
}

/// The datasets of a data folder that have a manifest, sorted by name. Takes no lock.
///
/// # Errors
/// When the folder is no data folder or cannot be read.
pub fn dataset_names(data: &Path) -> Result<Vec<String>, StorageError> {
    let manifests = data.join("manifests");
    let failed = |error| FileError::new("read", &manifests, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&manifests).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn lock(folder: &Path) -> Result<File, StorageError> {
    let path = folder.join("LOCK");
    // A lock is of this machine and this process: it goes past the disk, and nothing of it has to be left.
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(|error| FileError::new("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Best effort: the other process is named where it can be.
            let _ = file.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "?".to_owned() } else { pid.trim().to_owned() };
            return Err(StorageError::InUse { path: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path, error).into()),
    }
    let mut name_process = || {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    name_process().map_err(|error| FileError::new("write", &path, error))?;
    Ok(file)
}

fn check_version(disk: &Disk, folder: &Path) -> Result<(), StorageError> {
    let path = folder.join("VERSION");
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            _ => Err(StorageError::Version { path, found: text.trim().to_owned(), known: FORMAT }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(disk.replace(&path, format!("{FORMAT}\n").as_bytes())?)
        }
        Err(error) => Err(FileError::new("read", &path, error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(&error, StorageError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{error}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("VERSION"), "99\n").unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, StorageError::Version { known: FORMAT, .. }), "{error}");
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "").unwrap();
        let error = DataFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains("data"), "{error}");
    }
}
