//! How far the receiver of a stream has it, on disk.
//!
//! ```text
//! magic · format u32 · checksum u64 of what follows · sequence · epoch
//! ```

use std::path::{Path, PathBuf};

use ducto_record::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Cursor, Malformed, put_u64};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::set_aside::{Problem, place_for};

const MAGIC: [u8; 8] = *b"DUCTOPOS";
/// The format of positions; a build reads this and what is older.
const FORMAT: u32 = 1;
const HEAD: usize = 20;
const FILE: &str = "position";

/// Everything up to this batch is done with, and so is everything up to this epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) epoch: Epoch,
}

impl Position {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut content = Vec::new();
        put_u64(&mut content, self.sequence);
        put_u64(&mut content, self.epoch);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(xxh3_64(&content).to_le_bytes());
        bytes.extend(content);
        bytes
    }

    /// The position, or what is wrong with it.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, content) = bytes.split_at(bytes.len().min(HEAD));
        if head.len() < HEAD || head[..8] != MAGIC {
            return Err(Malformed("it does not begin as a position"));
        }
        if head[12..] != xxh3_64(content).to_le_bytes() {
            return Err(Malformed("its checksum does not fit"));
        }
        if u32::from_le_bytes([head[8], head[9], head[10], head[11]]) > FORMAT {
            return Err(Malformed("it is of a newer version of Ducto"));
        }
        let mut from = Cursor(content);
        let position = Self { sequence: from.u64()?, epoch: from.u64()? };
        from.end()?;
        Ok(position)
    }

    pub(super) fn save(self, disk: &Disk, folder: &Path) -> Result<(), StorageError> {
        Ok(disk.replace(&path(folder), &self.encode())?)
    }

    /// The position of a stream, or which file it is that cannot be read, and why. Changes nothing.
    pub(super) fn look(folder: &Path) -> Result<Result<Self, (PathBuf, &'static str)>, StorageError> {
        let path = path(folder);
        if !path.exists() {
            return Ok(Ok(Self::default()));
        }
        let bytes = std::fs::read(&path).map_err(|error| FileError::new("read", &path, error))?;
        Ok(Self::decode(&bytes).map_err(|Malformed(what)| (path, what)))
    }

    /// The position of a stream; the first one where there is none yet. One that cannot be read is set aside: what the
    /// receiver has then comes to it once more, under the same ids.
    pub(super) fn read(disk: &Disk, folder: &Path, problems: &mut Vec<Problem>) -> Result<Self, StorageError> {
        let path = path(folder);
        if !path.exists() {
            return Ok(Self::default());
        }
        match Self::decode(&disk.read(&path)?) {
            Ok(position) => Ok(position),
            Err(Malformed(what)) => {
                let to = place_for(disk, folder, &path)?;
                disk.rename(&path, &to)?;
                disk.sync_folder(folder)?;
                problems.push(Problem { path, what: what.to_owned(), set_aside: Some(to), lost: None });
                Ok(Self::default())
            }
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}
