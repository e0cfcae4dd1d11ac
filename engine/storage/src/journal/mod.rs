//! The journal: the entries of a site on disk, in the order of their epochs, so that what was accepted is there after
//! a power cut and can be read again from any position.
//!
//! It lies in segments, one file each. A commit is one write and one sync. A segment is begun by every process that
//! writes, since numbers of tags are its own, and whenever one is full; segments are removed whole, from the oldest on.
//! What is damaged costs the entries in that place and is set aside with a report; see [`Journal::open`].

mod brought;
mod columns;
mod entry;
mod frame;
mod look;
mod reader;
mod repair;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Directory, Entry, Epoch, Micros};
use xxhash_rust::xxh3::Xxh3;

use crate::bytes::Malformed;
use crate::disk::{AppendedFile, Disk};
use crate::error::StorageError;
use crate::set_aside::Problem;
use columns::Halves;
use entry::Encoder;
use frame::{FrameWriter, Kind};

pub use brought::{Announced, Brought, Publisher};
pub use look::SegmentSeen;
pub(crate) use look::look;
pub use reader::JournalReader;
pub(crate) use segment::first_epoch;

/// A segment is closed once it holds this much.
const SEGMENT: u64 = 64 << 20;

/// A segment that is whole, or the one being written.
#[derive(Clone, Debug)]
struct Kept {
    first: Epoch,
    path: PathBuf,
    bytes: u64,
}

/// Writes the journal of a site.
#[derive(Debug)]
pub struct Journal {
    disk: Disk,
    folder: PathBuf,
    directory: Arc<Directory>,
    segments: VecDeque<Kept>,
    open: Option<Open>,
    last: Option<(Epoch, Micros)>,
    segment_bytes: u64,
    bytes_written: u64,
    /// Reused from commit to commit.
    halves: Halves,
    out: Vec<u8>,
}

/// The segment being written.
#[derive(Debug)]
struct Open {
    file: AppendedFile,
    encoder: Encoder,
    frames: FrameWriter,
}

/// What a journal held when it was opened.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// What was found damaged, and where it lies now.
    pub problems: Vec<Problem>,
    /// What nodes and datasets of the site have brought into it.
    pub brought: Brought,
}

impl Journal {
    /// Opens the journal in `folder`, creating it where it is missing. Every frame is read and its checksum tried. What
    /// does not hold is set aside below `damaged/`, the rest stays readable, and what is lost is told by its epochs.
    ///
    /// # Errors
    /// When the folder cannot be read or written, and for segments of a newer format: these are not touched.
    pub fn open(disk: &Disk, folder: &Path, directory: &Arc<Directory>) -> Result<Opened, StorageError> {
        disk.create_folder(folder)?;
        let repaired = repair::repair(disk, folder, directory)?;
        let journal = Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            directory: directory.clone(),
            segments: repaired.segments.into(),
            open: None,
            last: repaired.last,
            segment_bytes: SEGMENT,
            bytes_written: 0,
            halves: Halves::default(),
            out: Vec::new(),
        };
        Ok(Opened { journal, problems: repaired.problems, brought: repaired.brought })
    }

    /// The epoch and the engine time of the newest entry; `None` where there is none.
    pub fn last(&self) -> Option<(Epoch, Micros)> {
        self.last
    }

    /// The oldest epoch that may still be there.
    pub fn first(&self) -> Option<Epoch> {
        self.segments.front().map(|segment| segment.first)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes written since it was opened.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Appends entries whose epochs follow each other, and waits until the disk has them. On an error none of them
    /// counts as written; the caller offers them again, and they go to a new segment, since nobody knows what a sync
    /// that failed has left of the old one. A reader takes each epoch once.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn commit(&mut self, entries: &[Arc<Entry>]) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let result = self.write(entries, first.epoch);
        match result {
            Ok(()) => self.last = Some((last.epoch, last.time)),
            Err(_) => self.open = None,
        }
        result
    }

    fn write(&mut self, entries: &[Arc<Entry>], first: Epoch) -> Result<(), StorageError> {
        self.out.clear();
        if self.open.as_ref().is_some_and(|open| open.file.length() >= self.segment_bytes) {
            self.open = None;
        }
        let begins = self.open.is_none();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(first)?,
        };
        self.encode(&mut open, entries)?;
        open.file.append(&self.out)?;
        open.file.sync()?;
        if begins {
            self.disk.sync_folder(&self.folder)?;
            let path = open.file.path().to_owned();
            // One begun with the same epoch held nothing that counted.
            self.segments.retain(|segment| segment.path != path);
            self.segments.push_back(Kept { first, path, bytes: 0 });
        }
        self.bytes_written += self.out.len() as u64;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes = open.file.length();
        }
        self.open = Some(open);
        Ok(())
    }

    fn begin(&mut self, first: Epoch) -> Result<Open, StorageError> {
        let path = segment::path(&self.folder, first);
        let mut file = self.disk.append(&path)?;
        if file.length() > 0 {
            file.cut(0)?;
        }
        let seed = seed(first);
        self.out = segment::beginning(first, seed, &self.directory);
        Ok(Open { file, encoder: Encoder::default(), frames: FrameWriter::new(seed) })
    }

    /// Fills `out` with frames of about the size that readers like.
    fn encode(&mut self, open: &mut Open, entries: &[Arc<Entry>]) -> Result<(), StorageError> {
        let broken = |Malformed(what)| StorageError::Unwritable { path: open.file.path().to_owned(), what };
        let mut rest = entries;
        while let Some(first) = rest.first() {
            self.halves.clear();
            let mut before = (first.epoch, 0);
            let mut taken = 0;
            for entry in rest {
                open.encoder.entry(&mut self.halves, before, entry).map_err(broken)?;
                before = (entry.epoch, entry.time);
                taken += 1;
                if self.halves.dense.len() + self.halves.noise.len() >= frame::FULL {
                    break;
                }
            }
            let epochs = (first.epoch, before.0);
            let layouts = open.encoder.take_layouts(open.file.length() + self.out.len() as u64);
            if !layouts.is_empty() {
                let halves = Halves { dense: layouts, noise: Vec::new() };
                open.frames.put(&mut self.out, Kind::Layouts, epochs, &halves);
            }
            open.frames.put(&mut self.out, Kind::Entries, epochs, &self.halves);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Removes segments that hold nothing behind `epoch`, oldest first.
    ///
    /// # Errors
    /// When a file cannot be removed; those before it are gone.
    pub fn forget(&mut self, epoch: Epoch) -> Result<(), StorageError> {
        while self.segments.get(1).is_some_and(|next| next.first <= epoch.saturating_add(1)) {
            if let Some(oldest) = self.segments.front() {
                self.disk.remove(&oldest.path)?;
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Reads what lies behind `position`, while this journal is written.
    pub fn reader(&self, position: Epoch) -> JournalReader {
        JournalReader::new(&self.folder, &self.directory, position)
    }

    /// Opens readers while the journal is in other hands.
    pub fn opener(&self) -> Box<dyn Fn(Epoch) -> JournalReader + Send + Sync> {
        let (folder, directory) = (self.folder.clone(), self.directory.clone());
        Box::new(move |position| JournalReader::new(&folder, &directory, position))
    }

    #[cfg(test)]
    pub(crate) fn with_segments_of(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }
}

/// Another one for every segment that was ever begun.
fn seed(first: Epoch) -> u64 {
    let mut hash = Xxh3::with_seed(first);
    hash.update(&std::process::id().to_le_bytes());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hash.update(&now.as_nanos().to_le_bytes());
    hash.digest()
}
