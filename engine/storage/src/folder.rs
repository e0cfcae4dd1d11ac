//! The data folder of a site: one process at a time writes it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::manifest::checksum;
use crate::set_aside::{DAMAGED, set_aside};

/// The format of the folder; a build reads this and what is older.
const FORMAT: u32 = 1;

/// Where the outbox lies in a data folder.
pub const OUTBOX: &str = "outbox";
/// Where the positions of files that sinks write lie in it.
pub const FILES: &str = "files";

/// What Ducto keeps in a data folder itself.
pub const OWN: [&str; 14] = [
    "LOCK",
    "VERSION",
    "datasets",
    "manifests",
    "staging",
    "journal",
    "checkpoints",
    DAMAGED,
    OUTBOX,
    FILES,
    "tags.parquet",
    "views.sql",
    "replays.json",
    "ducto.sock",
];

/// A data folder that this process holds:
///
/// ```text
/// LOCK                    held by the process that writes; its number inside
/// VERSION                 format of the folder
/// datasets/<name>/date=2026-01-01/hour=00/*.parquet
/// manifests/<name>.json   which files make up a dataset; older weeks are listed in manifests/<name>/
/// staging/<name>/         files being written
/// journal/, checkpoints/  entries until every store has what came of them; states of nodes
/// outbox/                 sealed batches for other machines, and how far each is
/// files/                  how far each file that a sink writes is
/// damaged/                what was set aside, in the same places as it was found
/// tags.parquet, views.sql
/// replays.json            what of recordings was replayed into it
/// ducto.sock              where the running site is asked
/// ```
///
/// Nothing but Parquet lies under `datasets/<name>`: Polars, pandas and pyarrow refuse a folder that holds anything
/// else, and DuckDB's `**` finds whatever is there.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    disk: Disk,
    /// What of the folder itself was not what it should be.
    findings: Vec<Finding>,
    /// The lock lives as long as the open file.
    _lock: File,
}

/// A data folder that no site can start on, to be looked at.
#[derive(Debug)]
pub struct HeldFolder {
    path: PathBuf,
    _lock: Option<File>,
}

impl HeldFolder {
    /// Takes the lock and changes nothing. Where the disk is read-only there is no lock, and nobody to keep out.
    ///
    /// # Errors
    /// [`StorageError::InUse`] where a site runs on it, [`StorageError::File`] where there is no such folder.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        std::fs::read_dir(path).map_err(|error| FileError::new("read", path, error))?;
        let lock = match lock(path) {
            Ok(lock) => Some(lock),
            Err(StorageError::File(error)) if error.source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
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
        let findings = check_version(&disk, path)?.into_iter().collect();
        for name in ["datasets", "manifests", "staging"] {
            disk.create_folder(&path.join(name))?;
        }
        let probe = path.join("staging").join(".writable");
        disk.create(&probe)?.write(b"written to see whether it can be\n")?;
        disk.remove(&probe)?;
        Ok(Self { path: path.to_owned(), disk, findings, _lock: lock })
    }

    /// What of the folder itself was not what it should be when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// By which everything in the folder is changed.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Moves a file out of the way that cannot be read, to the same place below `damaged/`, and says so.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn set_aside(&self, path: &Path, what: String) -> Result<Finding, StorageError> {
        let to = set_aside(&self.disk, &self.path, path)?;
        let finding = Finding::new(&self.path, path, Fault::Told { what });
        Ok(Finding { set_aside: to.strip_prefix(&self.path).ok().map(Path::to_owned), ..finding })
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

/// What `VERSION` holds: a number, and its checksum, since a flipped bit would make another number of it.
fn version_text() -> String {
    let number = FORMAT.to_string();
    format!("{number} {}\n", checksum(number.as_bytes()))
}

fn format(bytes: &[u8]) -> Option<u32> {
    let mut words = std::str::from_utf8(bytes).ok()?.split_whitespace();
    let number = words.next()?;
    // Folders from before have no checksum.
    if words.next().is_some_and(|sum| sum != checksum(number.as_bytes())) {
        return None;
    }
    number.parse().ok()
}

/// The format that the folder says it has; `None` where there is no such file, and what is wrong with one that says
/// none.
pub(crate) fn version(folder: &Path) -> Result<Option<Result<u32, Finding>>, StorageError> {
    let path = folder.join("VERSION");
    match std::fs::read(&path) {
        Ok(bytes) => {
            let why = || "it holds no number of a format".to_owned();
            Ok(Some(format(&bytes).ok_or_else(|| Finding::new(folder, &path, Fault::Unreadable { why: why() }))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", &path, error).into()),
    }
}

/// Refuses a folder of a newer build. Each file beside says its own format: one that is damaged here is set aside.
fn check_version(disk: &Disk, folder: &Path) -> Result<Option<Finding>, StorageError> {
    let path = folder.join("VERSION");
    let finding = match version(folder)? {
        Some(Ok(found)) if found <= FORMAT => return Ok(None),
        Some(Ok(found)) => return Err(StorageError::Version { path, found: found.to_string(), known: FORMAT }),
        Some(Err(mut finding)) => {
            let to = set_aside(disk, folder, &path)?;
            finding.set_aside = to.strip_prefix(folder).ok().map(Path::to_owned);
            Some(finding)
        }
        None => None,
    };
    disk.replace(&path, version_text().as_bytes())?;
    Ok(finding)
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
    fn a_folder_from_before_opens() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("VERSION"), "1\n").unwrap();
        assert_eq!(DataFolder::open(folder.path()).unwrap().findings(), []);
    }

    #[test]
    fn a_damaged_format_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("VERSION"), [0, 0]).unwrap();
        let opened = DataFolder::open(folder.path()).unwrap();
        assert_eq!(opened.findings().len(), 1);
        assert_eq!(std::fs::read(folder.path().join("damaged/VERSION")).unwrap(), [0, 0]);
        drop(opened);
        assert_eq!(DataFolder::open(folder.path()).unwrap().findings(), []);
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
