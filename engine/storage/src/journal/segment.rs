//! One file of the journal: a head, the names behind its numbers, and frames.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ducto_record::{Directory, Epoch};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::Halves;
use super::entry;
use super::frame::{self, FrameWriter, Kind};
use crate::error::{FileError, StorageError};

const MAGIC: [u8; 8] = *b"DUCTOJNL";
/// The format of segments; a build reads this and what is older.
const FORMAT: u32 = 1;
const SUFFIX: &str = ".journal";

/// What is said of a file that does not begin as a segment.
pub(super) const ZEROS: &str = "it holds nothing but zeros";
pub(super) const FOREIGN: &str = "it does not begin as a segment of a journal";

/// Bytes before the first frame: magic, format u32, seed u64, checksum of the names u64, checksum of these u64.
pub(super) const HEAD: usize = 36;

/// What a segment says of itself at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// Its own, so that frames of other segments are told apart.
    pub(super) seed: u64,
    /// Of the names' bytes: where they are damaged, another segment, or the site itself, may have the same.
    pub(super) names: u64,
}

/// The file of the segment whose first entry is `first`.
pub(super) fn path(folder: &Path, first: Epoch) -> PathBuf {
    folder.join(format!("{first:020}{SUFFIX}"))
}

/// The first epoch by the file's name; `None` where it is not a segment's.
pub(crate) fn first_epoch(path: &Path) -> Option<Epoch> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

pub(super) fn names(directory: &Directory) -> Vec<u8> {
    let mut names = Vec::new();
    entry::put_names(&mut names, directory);
    names
}

/// The bytes with which a segment begins: its head and the frame of names.
pub(super) fn beginning(first: Epoch, seed: u64, directory: &Directory) -> Vec<u8> {
    let names = names(directory);
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(seed.to_le_bytes());
    bytes.extend(xxh3_64(&names).to_le_bytes());
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    let halves = Halves { dense: names, noise: Vec::new() };
    FrameWriter::new(seed).put(&mut bytes, Kind::Names, (first, first), &halves);
    bytes
}

/// Why a file is no segment that this build can read.
#[derive(Debug)]
pub(super) enum BadHead {
    Foreign,
    Newer(u32),
}

pub(super) fn head(bytes: &[u8]) -> Result<SegmentHead, BadHead> {
    let u64_at = |at: usize| {
        bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes).ok_or(BadHead::Foreign)
    };
    if bytes.len() < HEAD || bytes[..8] != MAGIC || xxh3_64(&bytes[..HEAD - 8]) != u64_at(HEAD - 8)? {
        return Err(BadHead::Foreign);
    }
    match u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) {
        FORMAT => Ok(SegmentHead { seed: u64_at(12)?, names: u64_at(20)? }),
        format if format > FORMAT => Err(BadHead::Newer(format)),
        _ => Err(BadHead::Foreign),
    }
}

/// A frame of a segment and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) head: frame::Head,
}

/// Bytes of a segment that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// What a segment's file holds, every checksum tried.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) head: SegmentHead,
    pub(super) frames: Vec<Placed>,
    /// Damaged places with a good frame behind them.
    pub(super) gaps: Vec<Gap>,
    /// What stands behind the last good frame: a write that a power cut tore, or damage.
    pub(super) tail: Option<Gap>,
}

pub(super) fn scan(bytes: &[u8]) -> Result<Scan, BadHead> {
    let head = head(bytes)?;
    let mut scan = Scan { head, frames: Vec::new(), gaps: Vec::new(), tail: None };
    let mut at = HEAD;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let whole = frame::Head::read(rest).and_then(|head| {
            let length = frame::HEAD + head.content();
            rest.get(..length).filter(|frame| head.holds(scan.head.seed, frame)).map(|_| (head, length))
        });
        if let Some((head, length)) = whole {
            scan.frames.push(Placed { offset: at as u64, length, head });
            at += length;
            continue;
        }
        let gap = |length: usize| Gap { offset: at as u64, length: length as u64 };
        match frame::find(scan.head.seed, rest) {
            Some(length) => {
                scan.gaps.push(gap(length));
                at += length;
            }
            None => {
                scan.tail = Some(gap(rest.len()));
                break;
            }
        }
    }
    Ok(scan)
}

/// Reads frames of a segment while another thread appends to it.
#[derive(Debug)]
pub(super) struct FrameReader {
    file: File,
    path: PathBuf,
    pub(super) head: SegmentHead,
    offset: u64,
    buffer: Vec<u8>,
}

impl FrameReader {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(|error| FileError::new("open", path, error))?;
        let mut bytes = [0; HEAD];
        file.read_exact_at(&mut bytes, 0).map_err(|error| FileError::new("read", path, error))?;
        let head = head(&bytes).map_err(|bad| unreadable(path, &bad))?;
        Ok(Self { file, path: path.to_owned(), head, offset: HEAD as u64, buffer: Vec::new() })
    }

    /// The head of the next frame; `None` at the end.
    pub(super) fn peek(&self) -> Result<Option<frame::Head>, StorageError> {
        let mut bytes = [0; frame::HEAD];
        match self.file.read_exact_at(&mut bytes, self.offset) {
            Ok(()) => Ok(frame::Head::read(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(FileError::new("read", &self.path, error).into()),
        }
    }

    pub(super) fn skip(&mut self, head: &frame::Head) {
        self.offset += (frame::HEAD + head.content()) as u64;
    }

    /// The content of the frame of that head, which [`FrameReader::peek`] gave.
    pub(super) fn read(&mut self, head: &frame::Head) -> Result<Option<Halves>, StorageError> {
        self.buffer.resize(frame::HEAD + head.content(), 0);
        match self.file.read_exact_at(&mut self.buffer, self.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(FileError::new("read", &self.path, error).into()),
        }
        if !head.holds(self.head.seed, &self.buffer) {
            return Ok(None);
        }
        let halves = head.halves(&self.buffer).ok_or_else(|| StorageError::Damaged {
            path: self.path.clone(),
            what: format!("the frame at byte {} cannot be unpacked", self.offset),
        })?;
        self.skip(head);
        Ok(Some(halves))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn unreadable(path: &Path, bad: &BadHead) -> StorageError {
    match bad {
        BadHead::Foreign => {
            StorageError::Damaged { path: path.to_owned(), what: "it does not begin as a segment of a journal".into() }
        }
        BadHead::Newer(format) => {
            StorageError::Version { path: path.to_owned(), found: format.to_string(), known: FORMAT }
        }
    }
}
