//! Reading the journal from a position, also while it is written.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Directory, Entry, Epoch, Micros};

use super::columns::{Halves, HalvesRead};
use super::entry::{Decoder, Translation};
use super::frame::Kind;
use super::segment::{self, FrameReader};
use crate::bytes::{Cursor, Malformed};
use crate::error::{FileError, StorageError};

/// Gives entries in the order of their epochs, each once.
///
/// An epoch that is not the one behind the last tells that those between are lost.
#[derive(Debug)]
pub struct JournalReader {
    folder: PathBuf,
    directory: Arc<Directory>,
    /// The last epoch given.
    position: Epoch,
    current: Option<Current>,
    ready: VecDeque<Entry>,
    unknown_rows: u64,
}

#[derive(Debug)]
struct Current {
    first: Epoch,
    frames: FrameReader,
    /// Known once the frame of names was read.
    decoder: Option<Decoder>,
}

impl JournalReader {
    pub(super) fn new(folder: &Path, directory: &Arc<Directory>, position: Epoch) -> Self {
        Self {
            folder: folder.to_owned(),
            directory: directory.clone(),
            position,
            current: None,
            ready: VecDeque::new(),
            unknown_rows: 0,
        }
    }

    /// Rows of tags and assets that this site no longer has; they were left out.
    pub fn unknown_rows(&self) -> u64 {
        self.unknown_rows
    }

    /// The next entry; `None` where there is none yet.
    ///
    /// # Errors
    /// When a segment cannot be read, or holds what this build does not understand.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, StorageError> {
        loop {
            while let Some(entry) = self.ready.pop_front() {
                if entry.epoch > self.position {
                    self.position = entry.epoch;
                    return Ok(Some(entry));
                }
            }
            if !self.read_frame()? {
                return Ok(None);
            }
        }
    }

    /// Reads one frame, or goes on to the next segment; says whether there was anything.
    fn read_frame(&mut self) -> Result<bool, StorageError> {
        let Some(current) = &mut self.current else {
            let Some((first, path)) = self.segment_at()? else { return Ok(false) };
            let frames = FrameReader::open(&path)?;
            self.current = Some(Current { first, frames, decoder: None });
            return Ok(true);
        };
        let head = match current.frames.peek()? {
            Some(head) => head,
            None => {
                let Some((first, path)) = after(&self.folder, current.first)? else { return Ok(false) };
                // What was written between the two looks: the writer begins a segment only when it is done with one.
                match current.frames.peek()? {
                    Some(head) => head,
                    None => {
                        let frames = FrameReader::open(&path)?;
                        self.current = Some(Current { first, frames, decoder: None });
                        return Ok(true);
                    }
                }
            }
        };
        if head.kind == Kind::Entries && head.last <= self.position {
            current.frames.skip(&head);
            return Ok(true);
        }
        let Some(halves) = current.frames.read(&head)? else { return Ok(false) };
        let path = current.frames.path().to_owned();
        let damaged = |Malformed(what)| StorageError::Damaged { path, what: what.to_owned() };
        match (head.kind, &mut current.decoder) {
            (Kind::Names, decoder) => {
                let translation = Translation::read(&halves.dense, &self.directory).map_err(damaged)?;
                *decoder = Some(Decoder::new(translation));
            }
            (_, None) => return Err(damaged(Malformed("its names are missing"))),
            (Kind::Layouts, Some(decoder)) => decoder.layouts(&halves.dense).map_err(damaged)?,
            (Kind::Entries, Some(decoder)) => {
                self.ready = entries(decoder, &halves, head.first).map_err(damaged)?;
                self.unknown_rows += std::mem::take(&mut decoder.unknown_rows);
            }
        }
        Ok(true)
    }

    /// The segment in which the entry behind the position lies, or the first behind it.
    fn segment_at(&self) -> Result<Option<(Epoch, PathBuf)>, StorageError> {
        let segments = list(&self.folder)?;
        let at = segments.partition_point(|(first, _)| *first <= self.position.saturating_add(1));
        Ok(segments.get(at.saturating_sub(1)).cloned())
    }
}

/// The entries of a frame.
pub(super) fn entries(decoder: &mut Decoder, halves: &Halves, first: Epoch) -> Result<VecDeque<Entry>, Malformed> {
    let mut from = HalvesRead { dense: Cursor(&halves.dense), noise: Cursor(&halves.noise) };
    let mut before: (Epoch, Micros) = (first, 0);
    let mut entries = VecDeque::new();
    while !from.dense.0.is_empty() {
        let entry = decoder.entry(&mut from, before)?;
        before = (entry.epoch, entry.time);
        entries.push_back(entry);
    }
    from.noise.end()?;
    Ok(entries)
}

/// The segments of a journal by first epoch.
pub(super) fn list(folder: &Path) -> Result<Vec<(Epoch, PathBuf)>, StorageError> {
    let failed = |error| FileError::new("read", folder, error);
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        segments.extend(segment::first_epoch(&path).map(|first| (first, path)));
    }
    segments.sort();
    Ok(segments)
}

fn after(folder: &Path, first: Epoch) -> Result<Option<(Epoch, PathBuf)>, StorageError> {
    Ok(list(folder)?.into_iter().find(|(other, _)| *other > first))
}
