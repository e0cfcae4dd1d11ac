//! Looking at a journal without changing it: what its segments hold, and what is wrong with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ducto_record::{Directory, Epoch, Micros};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::columns::Halves;
use super::entry::{Decoder, Translation};
use super::frame::{self, Kind};
use super::reader;
use super::segment::{self, BadHead, Scan};
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::set_aside::DAMAGED;

/// A segment as it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentSeen {
    /// From the data folder.
    pub path: PathBuf,
    pub bytes: u64,
    pub entries: u64,
    /// First and last of the entries that can be read.
    pub epochs: Option<(Epoch, Epoch)>,
    /// Engine times of these.
    pub times: Option<(Micros, Micros)>,
}

/// The segments of the journal of a data folder, and the findings. `read` is told of each file, with its bytes.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn look(
    data: &Path,
    folder: &Path,
    read: &mut dyn FnMut(u64),
) -> Result<(Vec<SegmentSeen>, Vec<Finding>), StorageError> {
    let mut look = Look { data, names: HashMap::new(), findings: Vec::new() };
    look.foreign(folder)?;
    let listed = reader::list(folder)?;
    for (_, path) in &listed {
        look.learn(path);
    }
    let mut expected = listed.first().map(|(first, _)| *first);
    let mut seen = Vec::new();
    for (_, path) in listed {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                look.told(&path, Fault::Unreadable { why: error.to_string() });
                continue;
            }
        };
        let (of_segment, spans) = look.segment(&path, &bytes);
        for (from, to) in spans {
            let next = expected.get_or_insert(from);
            if from > *next {
                let lost = (*next, from - 1);
                // The place that costs them is in a segment before, or in this one: told there where it is.
                let place = look.findings.iter_mut().rev().find(|finding| {
                    finding.epochs.is_none() && !matches!(finding.fault, Fault::Foreign | Fault::Tail { .. })
                });
                match place {
                    Some(finding) => finding.epochs = Some(lost),
                    None => {
                        let gap = Finding::new(data, &path, Fault::Gap);
                        look.findings.push(Finding { epochs: Some(lost), ..gap });
                    }
                }
            }
            *next = (*next).max(to.saturating_add(1));
        }
        read(of_segment.bytes);
        seen.push(of_segment);
    }
    // What stands at the end and cannot be read: nobody knows how far it went.
    if let Some(last) = seen.last()
        && let Some(finding) = look.findings.iter_mut().rev().find(|finding| finding.path == last.path)
        && finding.epochs.is_none()
        && !finding.fault.is_harmless()
    {
        finding.epochs = expected.map(|next| (next, Epoch::MAX));
    }
    Ok((seen, look.findings))
}

struct Look<'a> {
    data: &'a Path,
    names: HashMap<u64, Vec<u8>>,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn told(&mut self, path: &Path, fault: Fault) {
        self.findings.push(Finding::new(self.data, path, fault));
    }

    fn foreign(&mut self, folder: &Path) -> Result<(), StorageError> {
        let failed = |error| FileError::new("read", folder, error);
        let mut foreign = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let ours = segment::first_epoch(&path).is_some() && path.is_file();
            if !ours && path.file_name().is_some_and(|name| name != DAMAGED) {
                foreign.push(path);
            }
        }
        foreign.sort();
        foreign.iter().for_each(|path| self.told(path, Fault::Foreign));
        Ok(())
    }

    fn learn(&mut self, path: &Path) {
        let Ok(mut frames) = segment::FrameReader::open(path) else { return };
        if let Ok(Some(head)) = frames.peek()
            && head.kind == Kind::Names
            && let Ok(Some(halves)) = frames.read(&head)
        {
            self.names.insert(xxh3_64(&halves.dense), halves.dense);
        }
    }

    /// The segment, and the first and last epoch of each frame of entries that can be read.
    fn segment(&mut self, path: &Path, bytes: &[u8]) -> (SegmentSeen, Vec<(Epoch, Epoch)>) {
        let mut seen = SegmentSeen {
            path: path.strip_prefix(self.data).unwrap_or(path).to_owned(),
            bytes: bytes.len() as u64,
            entries: 0,
            epochs: None,
            times: None,
        };
        let scan = match segment::scan(bytes) {
            Ok(scan) => scan,
            Err(BadHead::Newer(format)) => {
                self.told(path, Fault::Newer { format: format.to_string() });
                return (seen, Vec::new());
            }
            Err(BadHead::Foreign) => {
                // A process stopped before its first write was on disk.
                let fault = match bytes.len() < segment::HEAD {
                    true => Fault::Tail { bytes: bytes.len() as u64 },
                    false if bytes.iter().all(|byte| *byte == 0) => {
                        Fault::Unreadable { why: segment::ZEROS.to_owned() }
                    }
                    false => Fault::Unreadable { why: segment::FOREIGN.to_owned() },
                };
                self.told(path, fault);
                return (seen, Vec::new());
            }
        };
        let Some(names) = self.names.get(&scan.head.names).cloned() else {
            self.told(path, Fault::Names);
            return (seen, Vec::new());
        };
        let spans = entries(&mut seen, &scan, bytes, &names);
        let names_stand = scan.frames.first().is_some_and(|placed| placed.head.kind == Kind::Names);
        let of_entries = scan.frames.iter().filter(|placed| placed.head.kind == Kind::Entries).count();
        let mut places = scan.gaps.len() as u64 + (of_entries - spans.len()) as u64;
        let mut damaged: u64 = scan.gaps.iter().map(|gap| gap.length).sum();
        if places == 0 && !names_stand {
            places = 1;
        }
        if let Some(tail) = scan.tail {
            let torn = &bytes[tail.offset as usize..];
            // One that is whole by its length was written, and is not what it was.
            match frame::Head::read(torn).is_some_and(|head| frame::HEAD + head.content() <= torn.len()) {
                true => (places, damaged) = (places + 1, damaged + tail.length),
                false => self.told(path, Fault::Tail { bytes: tail.length }),
            }
        }
        if places > 0 {
            self.told(path, Fault::Places { places, bytes: damaged });
        }
        (seen, spans)
    }
}

/// Reads every entry, as far as that goes without knowing the site.
fn entries(seen: &mut SegmentSeen, scan: &Scan, bytes: &[u8], names: &[u8]) -> Vec<(Epoch, Epoch)> {
    let mut spans = Vec::new();
    let Ok(translation) = Translation::read(names, &Directory::builder().build()) else { return spans };
    let mut decoder = Decoder::new(translation);
    let halves = |placed: &segment::Placed| -> Option<Halves> {
        let at = placed.offset as usize;
        placed.head.halves(bytes.get(at..at + placed.length)?)
    };
    for placed in scan.frames.iter().filter(|placed| placed.head.kind == Kind::Layouts) {
        if let Some(halves) = halves(placed) {
            // Another copy of it may be whole; entries whose layout is in none are told.
            let _ = decoder.layouts(&halves.dense);
        }
    }
    for placed in scan.frames.iter().filter(|placed| placed.head.kind == Kind::Entries) {
        let Some(halves) = halves(placed) else { continue };
        let Ok(entries) = reader::entries(&mut decoder, &halves, placed.head.first) else { continue };
        let (Some(first), Some(last)) = (entries.front(), entries.back()) else { continue };
        spans.push((placed.head.first, placed.head.last));
        seen.entries += entries.len() as u64;
        seen.epochs = Some(seen.epochs.map_or((first.epoch, last.epoch), |(from, _)| (from, last.epoch)));
        seen.times = Some(seen.times.map_or((first.time, last.time), |(from, _)| (from, last.time)));
    }
    spans
}
