//! How far a file holds what its node was given: the last epoch and the length then, in the data folder.
//!
//! After a kill the file may hold more: lines of epochs that come again out of the journal. They are compared with what
//! stands there, and not written twice.

use std::path::{Path, PathBuf};

use ducto_record::Epoch;
use ducto_storage::disk::Disk;
use ducto_storage::{DataFolder, FileError};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Where the positions lie in a data folder.
const FOLDER: &str = ducto_storage::FILES;
/// The format of a position; a build reads this and what is older.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    format: u32,
    /// The file that is meant: the node may write to another one today.
    path: PathBuf,
    /// Everything of this epoch and those before it is in the file, or in one that it was rotated to.
    pub(super) epoch: Epoch,
    /// Bytes that the file had then.
    pub(super) length: u64,
}

impl Position {
    fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let (json, checksum) = text.split_once('\n')?;
        let whole = checksum.trim_end() == format!("{:016x}", xxh3_64(json.as_bytes()));
        let position: Self = serde_json::from_str(json).ok().filter(|_| whole)?;
        (position.format <= FORMAT).then_some(position)
    }
}

/// The position of a node's file, as it is kept.
pub(super) struct Kept {
    disk: Disk,
    file: PathBuf,
    pub(super) position: Position,
    /// Nothing is known of this file yet.
    is_new: bool,
}

impl Kept {
    /// Of the node `name`, which writes `path`. One that cannot be read counts as none: what comes again of a crash is
    /// then in the file twice.
    pub(super) fn open(data: &DataFolder, name: &str, path: &Path) -> Result<Self, FileError> {
        // A data folder may be named otherwise the next time, moved, or a copy.
        let path = path.strip_prefix(data.path()).unwrap_or(path);
        let folder = data.path().join(FOLDER);
        data.disk().create_folder(&folder)?;
        let file = folder.join(format!("{name}.json"));
        let found = Position::read(&file);
        if found.is_none() && file.exists() {
            tracing::error!(file = %file.display(), "it does not say how far `{}` holds what came; after a crash rows may be in it twice", path.display());
        }
        let is_new = found.as_ref().is_none_or(|found| found.path != path);
        let epoch = found.as_ref().map_or(0, |found| found.epoch);
        let none = || Position { format: FORMAT, path: path.to_owned(), epoch, length: 0 };
        let position = found.filter(|_| !is_new).unwrap_or_else(none);
        Ok(Self { disk: data.disk().clone(), file, position, is_new })
    }

    /// For a file that the node begins to write now: what it holds already is not of this node's epochs.
    pub(super) fn begin(&mut self, length: u64) {
        if self.is_new
            && let Err(error) = self.save(self.position.epoch, length)
        {
            // After a crash before the next commit some rows may be in the file twice.
            tracing::warn!(%error, "it cannot be written down how far a file holds what came");
            self.position.length = length;
        }
        self.is_new = false;
    }

    pub(super) fn save(&mut self, epoch: Epoch, length: u64) -> Result<(), FileError> {
        let position = Position { epoch, length, ..self.position.clone() };
        let json = serde_json::to_string(&position)
            .map_err(|error| FileError::new("write", &self.file, std::io::Error::other(error.to_string())))?;
        let text = format!("{json}\n{:016x}\n", xxh3_64(json.as_bytes()));
        self.disk.replace(&self.file, text.as_bytes())?;
        self.position = position;
        Ok(())
    }
}

/// The last epoch that any file of a data folder holds.
pub(in crate::sinks) fn last_epoch(data: &DataFolder) -> Epoch {
    let entries = std::fs::read_dir(data.path().join(FOLDER)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Position::read(&entry.path())).map(|position| position.epoch).max().unwrap_or_default()
}
