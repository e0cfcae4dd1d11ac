//! What is done with a journal before it is used: damage is found, set aside and told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ducto_record::{Directory, Epoch, Micros};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::Halves;
use super::entry::{Decoder, Translation};
use super::frame::{self, FrameWriter, Kind};
use super::reader;
use super::segment::{self, BadHead, Scan};
use super::{Brought, Kept};
use crate::bytes::Malformed;
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::set_aside::{DAMAGED, Problem, place_for};

pub(super) struct Repaired {
    pub(super) segments: Vec<Kept>,
    pub(super) last: Option<(Epoch, Micros)>,
    pub(super) problems: Vec<Problem>,
    pub(super) brought: Brought,
}

/// Tries everything in `folder`, and puts aside what does not hold.
pub(super) fn repair(disk: &Disk, folder: &Path, directory: &Directory) -> Result<Repaired, StorageError> {
    let mut repair = Repair {
        brought: Brought::default(),
        disk,
        folder,
        damaged: folder.join(DAMAGED),
        problems: Vec::new(),
        names: HashMap::new(),
    };
    let own = segment::names(directory);
    repair.names.insert(xxh3_64(&own), own);
    repair.foreign()?;
    let listed = reader::list(folder)?;
    for (_, path) in &listed {
        repair.learn(path)?;
    }
    let oldest = listed.first().map_or(0, |(first, _)| *first);
    let mut segments = Vec::new();
    let mut last: Option<(Epoch, Micros)> = None;
    for (first, path) in listed {
        let known = repair.problems.len();
        let Some(found) = repair.segment(first, &path, directory)? else {
            // Unless a later segment tells, nobody knows how far it went.
            if let Some(problem) = repair.problems.get_mut(known..).and_then(<[_]>::first_mut) {
                problem.lost = Some((last.map_or(oldest, |(epoch, _)| epoch + 1), Epoch::MAX));
            }
            continue;
        };
        for (from, to) in found.epochs {
            let expected = last.map_or(oldest, |(epoch, _)| epoch + 1);
            if from > expected {
                let told = repair.problems.iter_mut().find(|problem| problem.lost == Some((expected, Epoch::MAX)));
                match told {
                    Some(problem) => problem.lost = Some((expected, from - 1)),
                    None => repair.problems.push(Problem {
                        path: path.clone(),
                        what: "entries before these are missing".to_owned(),
                        set_aside: None,
                        lost: Some((expected, from - 1)),
                    }),
                }
            }
            if last.is_none_or(|(epoch, _)| to > epoch) {
                last = Some((to, found.time));
            }
        }
        segments.push(Kept { first, path, bytes: found.bytes });
    }
    Ok(Repaired { segments, last, problems: repair.problems, brought: repair.brought })
}

/// A segment that can be read.
struct Found {
    bytes: u64,
    /// First and last of each frame of entries, in their order.
    epochs: Vec<(Epoch, Epoch)>,
    /// Engine time of the last entry.
    time: Micros,
}

struct Repair<'a> {
    /// Met in entries so far.
    brought: Brought,
    disk: &'a Disk,
    folder: &'a Path,
    damaged: PathBuf,
    problems: Vec<Problem>,
    /// Names by their checksum, from wherever they could be read.
    names: HashMap<u64, Vec<u8>>,
}

impl Repair<'_> {
    fn place(&self, path: &Path) -> Result<PathBuf, StorageError> {
        place_for(self.disk, self.folder, path)
    }

    fn set_aside(&mut self, path: &Path, what: &str) -> Result<(), StorageError> {
        let to = self.place(path)?;
        self.disk.rename(path, &to)?;
        self.disk.sync_folder(&self.damaged)?;
        self.disk.sync_folder(self.folder)?;
        self.problems.push(Problem { path: path.to_owned(), what: what.to_owned(), set_aside: Some(to), lost: None });
        Ok(())
    }

    /// Whatever is no segment by its name.
    fn foreign(&mut self) -> Result<(), StorageError> {
        let failed = |error| FileError::new("read", self.folder, error);
        let entries = std::fs::read_dir(self.folder).map_err(failed)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        for path in paths.map_err(failed)? {
            if path.file_name().is_some_and(|name| name == DAMAGED) {
                continue;
            }
            if segment::first_epoch(&path).is_none() || !path.is_file() {
                self.set_aside(&path, "it is no segment of a journal")?;
            }
        }
        Ok(())
    }

    /// Remembers the names of a segment, for others whose own are damaged.
    fn learn(&mut self, path: &Path) -> Result<(), StorageError> {
        let Ok(mut frames) = segment::FrameReader::open(path) else { return Ok(()) };
        if let Some(head) = frames.peek()?.filter(|head| head.kind == Kind::Names)
            && let Ok(Some(halves)) = frames.read(&head)
        {
            self.names.insert(xxh3_64(&halves.dense), halves.dense);
        }
        Ok(())
    }

    fn segment(&mut self, first: Epoch, path: &Path, directory: &Directory) -> Result<Option<Found>, StorageError> {
        let bytes = self.disk.read(path)?;
        let scan = match segment::scan(&bytes) {
            Ok(scan) => scan,
            Err(bad @ BadHead::Newer(_)) => return Err(segment::unreadable(path, &bad)),
            Err(BadHead::Foreign) if bytes.len() < segment::HEAD => {
                // A process stopped before its first write was on disk: nobody was told that it was.
                self.disk.remove(path)?;
                return Ok(None);
            }
            Err(BadHead::Foreign) => {
                // Nobody can tell what a power cut left of a first write from a segment that was whole.
                let zeros = bytes.iter().all(|byte| *byte == 0);
                self.set_aside(path, if zeros { segment::ZEROS } else { segment::FOREIGN })?;
                return Ok(None);
            }
        };
        let Some(names) = self.names.get(&scan.head.names).cloned() else {
            self.set_aside(path, "the names of its tags are damaged, and no other segment has them")?;
            return Ok(None);
        };
        let names_stand = scan.frames.first().is_some_and(|placed| placed.head.kind == Kind::Names);
        let (good, found) = self.read(&scan, &bytes, &names, directory);
        if scan.gaps.is_empty() && names_stand && good.len() + 1 == scan.frames.len() {
            if let Some(tail) = scan.tail {
                self.cut(path, &bytes, tail)?;
            }
            return Ok(Some(Found { bytes: scan.tail.map_or(bytes.len() as u64, |tail| tail.offset), ..found }));
        }
        // Rewritten without what does not hold, layouts first; the old one is kept beside.
        let mut whole = bytes[..segment::HEAD].to_vec();
        let halves = Halves { dense: names, noise: Vec::new() };
        FrameWriter::new(scan.head.seed).put(&mut whole, Kind::Names, (first, first), &halves);
        for placed in good {
            let at = placed.offset as usize;
            whole.extend_from_slice(&bytes[at..at + placed.length]);
        }
        let to = self.place(path)?;
        let mut copy = self.disk.create(&to)?;
        copy.write(&bytes)?;
        copy.sync()?;
        self.disk.sync_folder(&self.damaged)?;
        self.disk.replace(path, &whole)?;
        self.problems.push(Problem {
            path: path.to_owned(),
            what: format!("{} damaged places", scan.gaps.len().max(1)),
            set_aside: Some(to),
            lost: None,
        });
        Ok(Some(Found { bytes: whole.len() as u64, ..found }))
    }

    /// Reads every entry, with the layouts of the whole segment, which are in it more than once: a frame may hold what cannot be understood though its checksum does.
    fn read(
        &mut self,
        scan: &Scan,
        bytes: &[u8],
        names: &[u8],
        directory: &Directory,
    ) -> (Vec<segment::Placed>, Found) {
        let mut found = Found { bytes: 0, epochs: Vec::new(), time: Micros::MIN };
        let mut good = Vec::new();
        let Ok(translation) = Translation::read(names, directory) else { return (good, found) };
        let mut decoder = Decoder::new(translation);
        let layouts = scan.frames.iter().filter(|placed| placed.head.kind == Kind::Layouts);
        for placed in layouts.chain(scan.frames.iter().filter(|placed| placed.head.kind == Kind::Entries)) {
            let at = placed.offset as usize;
            let halves = placed.head.halves(&bytes[at..at + placed.length]);
            let read = halves.ok_or(Malformed("it cannot be unpacked")).and_then(|halves| match placed.head.kind {
                Kind::Names => Ok(None),
                Kind::Layouts => decoder.layouts(&halves.dense).map(|()| None),
                Kind::Entries => reader::entries(&mut decoder, &halves, placed.head.first).map(|entries| {
                    entries.iter().flat_map(|entry| &entry.parts).for_each(|part| self.brought.note(part));
                    entries.back().cloned()
                }),
            });
            match read {
                Ok(last) => {
                    good.push(*placed);
                    if let Some(last) = last {
                        found.epochs.push((placed.head.first, placed.head.last));
                        found.time = found.time.max(last.time);
                    }
                }
                Err(Malformed(what)) => {
                    tracing::warn!(first = placed.head.first, last = placed.head.last, what, "entries cannot be read");
                }
            }
        }
        (good, found)
    }

    /// Removes what stands behind the last good frame. A write that a power cut tore is no damage: nobody was told
    /// that it was on disk. What it looks like is kept all the same, since nobody can tell the two apart for sure.
    fn cut(&mut self, path: &Path, bytes: &[u8], tail: segment::Gap) -> Result<(), StorageError> {
        let torn = &bytes[tail.offset as usize..];
        let set_aside = if torn.iter().all(|byte| *byte == 0) || torn.len() < frame::HEAD {
            None
        } else {
            let to = self.place(path)?;
            let mut copy = self.disk.create(&to)?;
            copy.write(torn)?;
            copy.sync()?;
            self.disk.sync_folder(&self.damaged)?;
            Some(to)
        };
        let mut file = self.disk.append(path)?;
        file.cut(tail.offset)?;
        file.sync()?;
        self.problems.push(Problem {
            path: path.to_owned(),
            what: format!("{} bytes at its end are no whole frame, as a power cut leaves them", tail.length),
            set_aside,
            lost: None,
        });
        Ok(())
    }
}
