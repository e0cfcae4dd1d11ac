//! A data folder on which no site runs: what is in it, whether it is what was written, and putting right what is not.
//!
//! Looking changes nothing. Repairing does what a start does, but reads every file whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Directory, Epoch, Micros};
use serde::Serialize;

use crate::checkpoint::{self, CheckpointSeen, Checkpoints};
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::folder::{DataFolder, HeldFolder, OUTBOX, OWN, dataset_path, version};
use crate::intact::{Depth, fault};
use crate::journal::{self, Journal, SegmentSeen};
use crate::manifest::{self, Manifest};
use crate::notes::{self, FileHeld};
use crate::outbox::{self, StreamSeen};
use crate::recover::{foreign_manifests, names, recover_reading};
use crate::set_aside::DAMAGED;

/// How closely a folder is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// That files of datasets are there, with their sizes.
    Sizes,
    /// Every file whole.
    Whole,
}

/// What a data folder holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    pub format: Option<u32>,
    pub journal: Vec<SegmentSeen>,
    pub checkpoints: Vec<CheckpointSeen>,
    pub datasets: Vec<DatasetSeen>,
    /// What waits to be sent.
    pub outbox: Vec<StreamSeen>,
    /// How far files of sinks hold what came.
    pub files: Vec<FileHeld>,
    /// What earlier starts and repairs have set aside.
    pub set_aside: Vec<FileSeen>,
    /// Files that are of no part of the folder, such as those that sinks write.
    pub others: Vec<FileSeen>,
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Something is lost, or needs somebody to look at it.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| !finding.fault.is_harmless())
    }

    /// Bytes that looking at everything whole reads, about.
    pub fn bytes(&self) -> u64 {
        let journal: u64 = self.journal.iter().map(|segment| segment.bytes).sum();
        let checkpoints: u64 = self.checkpoints.iter().map(|checkpoint| checkpoint.bytes).sum();
        let outbox: u64 = self.outbox.iter().map(|stream| stream.bytes).sum();
        journal + checkpoints + outbox + self.datasets.iter().map(|dataset| dataset.bytes).sum::<u64>()
    }
}

/// A dataset as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetSeen {
    pub name: String,
    /// Hours that have files.
    pub partitions: usize,
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
    /// Every row of epochs up to this one is in the files.
    pub held: Epoch,
    /// Least and greatest time of its rows.
    pub times: Option<(Micros, Micros)>,
    /// Of the manifest, with its lists of older weeks.
    pub manifest_bytes: u64,
}

/// A file and its size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileSeen {
    /// From the data folder.
    pub path: PathBuf,
    pub bytes: u64,
}

/// Looks at a data folder. `looked` is told how many bytes were just read.
///
/// # Errors
/// When a folder cannot be read. What is wrong with files is no error: it is in the findings.
pub fn audit(held: &HeldFolder, care: Care, looked: &mut dyn FnMut(u64)) -> Result<Audit, StorageError> {
    let data = held.path();
    let mut audit = Audit::default();
    match version(data)? {
        Some(Ok(format)) => audit.format = Some(format),
        Some(Err(finding)) => audit.findings.push(finding),
        None => {}
    }
    let folder = data.join("journal");
    if folder.is_dir() {
        let (seen, mut findings) = journal::look(data, &folder, looked)?;
        audit.journal = seen;
        audit.findings.append(&mut findings);
    }
    let folder = data.join("checkpoints");
    if folder.is_dir() {
        let (seen, mut findings) = checkpoint::look(data, &folder, looked)?;
        audit.checkpoints = seen;
        audit.findings.append(&mut findings);
    }
    let needed = audit.checkpoints.iter().flat_map(|seen| seen.pipelines.values()).map(|(epoch, _)| *epoch).max();
    let last = audit.journal.iter().filter_map(|segment| segment.epochs).map(|(_, last)| last).max();
    audit.findings.extend(journal_ends_early(data, last, needed));
    let behind = |seen: &CheckpointSeen| seen.pipelines.values().map(|(epoch, _)| *epoch).min();
    let needed = audit.checkpoints.iter().filter_map(behind).min();
    let first = audit.journal.iter().filter_map(|segment| journal::first_epoch(&segment.path)).min();
    audit.findings.extend(journal_begins_late(data, first, needed));
    for path in foreign_manifests(data)? {
        audit.findings.push(Finding::new(data, &path, Fault::Foreign));
    }
    for name in names(data)? {
        dataset(data, &name, care, looked, &mut audit)?;
    }
    let outbox = data.join(OUTBOX);
    if outbox.is_dir() {
        let (seen, mut findings) = outbox::look(data, &outbox, care, looked)?;
        audit.outbox = seen;
        audit.findings.append(&mut findings);
        for stream in outbox::folders(&outbox)? {
            files(data, &stream.join(DAMAGED), &mut audit.set_aside)?;
        }
    }
    let (held, mut findings) = notes::look(data)?;
    audit.files = held;
    audit.findings.append(&mut findings);
    for folder in [data.join(DAMAGED), data.join("journal").join(DAMAGED), data.join("checkpoints").join(DAMAGED)] {
        files(data, &folder, &mut audit.set_aside)?;
    }
    others(data, &mut audit.others)?;
    Ok(audit)
}

fn dataset(
    data: &Path,
    name: &str,
    care: Care,
    looked: &mut dyn FnMut(u64),
    audit: &mut Audit,
) -> Result<(), StorageError> {
    let live = dataset_path(data, name);
    let of = |path: &Path, fault: Fault| Finding { dataset: Some(name.to_owned()), ..Finding::new(data, path, fault) };
    let path = manifest::path(data, name);
    let loaded = match Manifest::load(data, name) {
        Ok(Some(manifest)) => Some(manifest),
        Ok(None) => {
            let mut lying = Vec::new();
            files(data, &live, &mut lying)?;
            let lying: Vec<PathBuf> = lying.iter().map(|file| data.join(&file.path)).collect();
            if crate::rebuild::manifest(name, &lying).is_some_and(|(_, was_there)| was_there) {
                audit.findings.push(of(&path, Fault::Missing));
            }
            None
        }
        Err(StorageError::Version { found, .. }) => {
            audit.findings.push(of(&path, Fault::Newer { format: found }));
            return Ok(());
        }
        Err(StorageError::Damaged { path, what }) => {
            audit.findings.push(of(&path, Fault::Unreadable { why: what }));
            None
        }
        Err(error) => {
            audit.findings.push(of(&path, Fault::Unreadable { why: error.to_string() }));
            None
        }
    };
    // The files of a manifest that is gone are known by nobody until it is made again.
    let Some(manifest) = loaded else { return Ok(()) };
    let mut known = BTreeSet::new();
    for file in &manifest.files {
        let path = live.join(&file.path);
        let depth = if care == Care::Whole { Depth::Pages } else { Depth::Size };
        if let Some(fault) = fault(&path, file, depth) {
            audit.findings.push(Finding {
                rows: Some(file.rows),
                epochs: Some(file.epochs),
                times: Some(file.times),
                ..of(&path, fault)
            });
        }
        looked(file.bytes);
        known.insert(path);
    }
    let mut lying = Vec::new();
    files(data, &live, &mut lying)?;
    for found in lying.iter().map(|file| data.join(&file.path)).filter(|path| !known.contains(path)) {
        // What a crash left whole is entered by the next start; that is no damage.
        let ours = crate::rebuild::footer(&found).ok().and_then(|metadata| crate::parquet_file::read_mark(&metadata));
        if !ours.is_some_and(|mark| mark.dataset == name && mark.sequence >= manifest.sequence) {
            audit.findings.push(of(&found, Fault::Foreign));
        }
    }
    let mut manifests = Vec::new();
    files(data, &data.join("manifests").join(name), &mut manifests)?;
    let own = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let spans = manifest.files.iter().map(|file| file.times);
    audit.datasets.push(DatasetSeen {
        name: name.to_owned(),
        partitions: manifest.files.iter().map(|file| file.hour()).collect::<BTreeSet<_>>().len(),
        files: manifest.files.len(),
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        held: manifest.held,
        times: spans.reduce(|all, of| (all.0.min(of.0), all.1.max(of.1))),
        manifest_bytes: own + manifests.iter().map(|file| file.bytes).sum::<u64>(),
    });
    Ok(())
}

/// All files below a folder, sorted; nothing where there is no such folder.
fn files(data: &Path, folder: &Path, found: &mut Vec<FileSeen>) -> Result<(), StorageError> {
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop().filter(|folder| folder.is_dir()) {
        let failed = |error| FileError::new("read", &folder, error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.symlink_metadata().map_err(failed)? {
                metadata if metadata.is_dir() => pending.push(path),
                metadata => {
                    let path = path.strip_prefix(data).unwrap_or(&path).to_owned();
                    found.push(FileSeen { path, bytes: metadata.len() });
                }
            }
        }
    }
    found.sort();
    Ok(())
}

/// Files beside what every folder has.
fn others(data: &Path, found: &mut Vec<FileSeen>) -> Result<(), StorageError> {
    let failed = |error| FileError::new("read", data, error);
    for entry in std::fs::read_dir(data).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| OWN.contains(&name)) {
            continue;
        }
        if path.is_dir() {
            files(data, &path, found)?;
        } else if let Ok(metadata) = path.symlink_metadata().map_err(failed) {
            found.push(FileSeen { path: path.strip_prefix(data).unwrap_or(&path).to_owned(), bytes: metadata.len() });
        }
    }
    found.sort();
    Ok(())
}

/// The end of a journal is missing, which it cannot tell by itself: a checkpoint was taken of entries that it does not
/// hold.
pub fn journal_ends_early(data: &Path, last: Option<Epoch>, checkpoint: Option<Epoch>) -> Option<Finding> {
    let (from, to) = (last.map_or(0, |last| last.saturating_add(1)), checkpoint?);
    let gap = || Finding { epochs: Some((from.max(1), to)), ..Finding::new(data, &data.join("journal"), Fault::Gap) };
    (from <= to && to > 0).then(gap)
}

/// The beginning of a journal is missing, which it cannot tell by itself either: a checkpoint would be started from in
/// front of what it holds. With the newest one whole no row is lost, but there is nothing to fall back on.
pub fn journal_begins_late(data: &Path, first: Option<Epoch>, behind: Option<Epoch>) -> Option<Finding> {
    let (from, to) = (behind?.saturating_add(1), first?.saturating_sub(1));
    let gap = || Finding { epochs: Some((from, to)), ..Finding::new(data, &data.join("journal"), Fault::Gap) };
    (from <= to).then(gap)
}

/// Puts a data folder right: what is damaged is set aside, what can be made again is made again, what is lost is told.
/// Nothing is removed. Segments of the journal whose names are damaged stay as they are: the start of their site knows
/// the names.
///
/// # Errors
/// What cannot be written, and files of a newer format.
pub fn repair(folder: &DataFolder) -> Result<Vec<Finding>, StorageError> {
    let (data, disk) = (folder.path(), folder.disk());
    let mut findings = recover_reading(folder, u64::MAX)?.findings;
    let journal = data.join("journal");
    if journal.is_dir() {
        let (_, found) = journal::look(data, &journal, &mut |_| ())?;
        let unknown: Vec<Finding> = found.into_iter().filter(|finding| finding.fault == Fault::Names).collect();
        if unknown.is_empty() {
            let nobody = Arc::new(Directory::builder().build());
            let opened = Journal::open(disk, &journal, &nobody)?;
            findings.extend(opened.problems.iter().map(|problem| Finding::of(data, problem)));
        } else {
            findings.extend(unknown);
        }
    }
    let checkpoints = data.join("checkpoints");
    if checkpoints.is_dir() {
        let opened = Checkpoints::open(disk, &checkpoints)?;
        findings.extend(opened.problems.iter().map(|problem| Finding::of(data, problem)));
    }
    let outbox = data.join(OUTBOX);
    if outbox.is_dir() {
        findings.extend(outbox::repair(disk, &outbox)?.iter().map(|problem| Finding::of(data, problem)));
    }
    findings.append(&mut notes::repair(disk, data)?);
    Ok(findings)
}
