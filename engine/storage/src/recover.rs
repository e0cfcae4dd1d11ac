//! Opening a dataset: what a crash left is finished or undone, and nothing unknown stays where readers look.
//!
//! The manifest is the truth. A file that it does not name is one of these:
//! - part of a commit that was whole in staging when the process ended: it is put in place and entered;
//! - an hour that was merged and exchanged: it is entered, and the files it replaces are removed;
//! - in staging, the rest of a merge or commit that was not finished: it is removed;
//! - anything else: it is set aside under `damaged/` and told.
//!
//! A file that it names and that is not what was written is set aside and told too, with its rows. A manifest that is
//! damaged itself is set aside, and made again from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use xxhash_rust::xxh3::Xxh3;

use crate::commit::{entry_of, file_path, insert};
use crate::dataset::{DatasetConfig, check_name};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::folder::{DataFolder, dataset_names};
use crate::hour::Hour;
use crate::intact::{Depth, fault};
use crate::manifest::{FileEntry, Level, Manifest};
use crate::parquet_file::{Finished, Mark, read_mark};
use crate::rebuild;
use crate::set_aside::set_aside;

/// Bytes of the newest files of a folder that a start reads whole: what a power cut damages is what was written last.
/// Of the others it sees that they are there, with their sizes.
const READ_AT_START: u64 = 64 << 20;

/// What the datasets of a folder were when they were looked at.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Up to which epoch any of them holds rows.
    pub held: u64,
    /// What was damaged, missing or foreign, and where it lies now.
    pub findings: Vec<Finding>,
}

/// Finishes or undoes what a crash left in every dataset of a folder, and says up to which epoch any of them holds
/// rows. To be called before anything is numbered: what is adopted here raises that epoch, and rows that came with a
/// number below it would be taken for rows that are held. What is damaged is set aside and told.
///
/// # Errors
/// A newer manifest, a file that cannot be read or written.
pub fn recover(folder: &DataFolder) -> Result<Recovered, StorageError> {
    recover_reading(folder, READ_AT_START)
}

/// As [`recover`], with so many bytes read whole.
pub(crate) fn recover_reading(folder: &DataFolder, bytes: u64) -> Result<Recovered, StorageError> {
    let mut recovered = Recovered { held: 0, findings: folder.findings().to_vec() };
    for path in foreign_manifests(folder.path())? {
        let to = set_aside(folder.disk(), folder.path(), &path)?;
        let mut finding = Finding::new(folder.path(), &path, Fault::Foreign);
        finding.set_aside = to.strip_prefix(folder.path()).ok().map(Path::to_owned);
        recovered.findings.push(finding);
    }
    let mut budget = bytes;
    for name in names(folder.path())? {
        let found = &mut recovered.findings;
        let manifest = match load(folder, &name, found)? {
            Some(manifest) => bring_up(folder, &name, Some(&manifest), manifest.clone(), &mut budget, found)?,
            // Without files of its own a folder of that name is of nobody, and stays.
            None => match made_again(folder, &name, found)? {
                Some(manifest) => bring_up(folder, &name, None, manifest, &mut budget, found)?,
                None => continue,
            },
        };
        recovered.held = recovered.held.max(manifest.held);
    }
    Ok(recovered)
}

/// Files beside the manifests that are none. What a crash left of one that was being written is not told.
pub(crate) fn foreign_manifests(data: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let folder = data.join("manifests");
    let mut foreign = if folder.is_dir() { entries(&folder)? } else { Vec::new() };
    let of_ours = |path: &PathBuf| path.extension().is_some_and(|end| end == "json" || end == "new");
    foreign.retain(|path| path.is_file() && !of_ours(path));
    foreign.sort();
    Ok(foreign)
}

/// Every name that may be a dataset's.
pub(crate) fn names(data: &Path) -> Result<BTreeSet<String>, StorageError> {
    let manifests = data.join("manifests");
    let mut names: BTreeSet<String> =
        if manifests.is_dir() { dataset_names(data)?.into_iter().collect() } else { BTreeSet::new() };
    for of in ["datasets", "staging"] {
        let folder = data.join(of);
        let found = if folder.is_dir() { folders(&folder)? } else { Vec::new() };
        let found = found.iter().filter_map(|path| path.file_name()?.to_str());
        names.extend(found.filter(|name| check_name(name).is_ok()).map(str::to_owned));
    }
    Ok(names)
}

/// Opens one dataset, as its sink wants it.
pub(crate) fn open(folder: &DataFolder, config: &DatasetConfig) -> Result<Manifest, StorageError> {
    let mut findings = Vec::new();
    let loaded = load(folder, &config.name, &mut findings)?;
    let known = match loaded.clone() {
        Some(manifest) => Some(manifest),
        None => made_again(folder, &config.name, &mut findings)?,
    };
    let manifest = match known {
        Some(mut manifest) => {
            manifest.adopt_schema(&config.schema)?;
            manifest
        }
        None => Manifest::new(&config.name, &config.schema),
    };
    // The start of the site has read what a power cut may have damaged.
    let opened = bring_up(folder, &config.name, loaded.as_ref(), manifest, &mut 0, &mut findings);
    for finding in findings {
        tracing::error!(dataset = config.name, "{finding}");
    }
    opened
}

/// The manifest of a dataset; one that is damaged is set aside, and counts as none.
fn load(folder: &DataFolder, name: &str, findings: &mut Vec<Finding>) -> Result<Option<Manifest>, StorageError> {
    let (data, disk) = (folder.path(), folder.disk());
    loop {
        let (path, what) = match Manifest::load(data, name) {
            Ok(manifest) => return Ok(manifest),
            Err(StorageError::Damaged { path, what }) => (path, what),
            Err(StorageError::File(error)) if is_broken(&error.source) => (error.path, error.source.to_string()),
            Err(error) => return Err(error),
        };
        let of_dataset = crate::manifest::path(data, name);
        // Where the list of a week is damaged, the manifest that names it is of no use either.
        for path in BTreeSet::from([path.clone(), of_dataset]) {
            let to = if path.exists() { Some(set_aside(disk, data, &path)?) } else { None };
            let fault = Fault::Unreadable { why: what.clone() };
            let mut finding = Finding { dataset: Some(name.to_owned()), ..Finding::new(data, &path, fault) };
            finding.set_aside = to.map(|to| to.strip_prefix(data).map(Path::to_owned).unwrap_or(to));
            findings.push(finding);
        }
    }
}

/// The disk does not give back what it was given.
fn is_broken(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::IsADirectory)
}

/// A manifest without files, with the columns of those that lie there; `None` where there are none. That there was one,
/// and that it is gone, is told unless it was set aside.
fn made_again(folder: &DataFolder, name: &str, findings: &mut Vec<Finding>) -> Result<Option<Manifest>, StorageError> {
    let data = folder.path();
    let Some((manifest, was_there)) = from_files(folder, name)? else { return Ok(None) };
    let path = crate::manifest::path(data, name);
    let finding = Finding { dataset: Some(name.to_owned()), ..Finding::new(data, &path, Fault::Missing) };
    if was_there && !findings.iter().any(|told| told.path == finding.path) {
        findings.push(finding);
    }
    Ok(Some(manifest))
}

fn from_files(folder: &DataFolder, name: &str) -> Result<Option<(Manifest, bool)>, StorageError> {
    let look = Recovery::of(folder, name, false, Manifest::of_columns(name, &Schema::empty(), Vec::new(), false));
    let mut files = if look.live.is_dir() { look.unknown_files()? } else { Vec::new() };
    if look.staging.is_dir() {
        files.extend(look.staged_parts()?);
    }
    Ok(rebuild::manifest(name, &files))
}

/// Makes the files of a dataset what its manifest says, and the manifest what the files allow.
fn bring_up(
    folder: &DataFolder,
    name: &str,
    loaded: Option<&Manifest>,
    manifest: Manifest,
    budget: &mut u64,
    findings: &mut Vec<Finding>,
) -> Result<Manifest, StorageError> {
    folder.disk().create_folder(&folder.dataset(name))?;
    folder.disk().create_folder(&folder.staging(name))?;
    let mut recovery = Recovery::of(folder, name, loaded.is_some(), manifest);
    recovery.remove_garbage()?;
    recovery.adopt()?;
    recovery.check_known(budget)?;
    let mut manifest = recovery.manifest.clone();
    if loaded != Some(&manifest) {
        manifest.save(folder.disk(), folder.path())?;
    }
    recovery.clear_staging()?;
    findings.append(&mut recovery.findings);
    Ok(manifest)
}

struct Recovery {
    disk: Disk,
    data: PathBuf,
    live: PathBuf,
    staging: PathBuf,
    dataset: String,
    /// There was a manifest.
    known: bool,
    manifest: Manifest,
    /// Bytes that may still be read only to make sums of them.
    measured: u64,
    findings: Vec<Finding>,
}

/// A whole file with a mark, where it lies.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    mark: Mark,
    rows: u64,
}

impl Recovery {
    fn of(folder: &DataFolder, name: &str, known: bool, manifest: Manifest) -> Self {
        let (live, staging) = (folder.dataset(name), folder.staging(name));
        let (disk, data, dataset) = (folder.disk().clone(), folder.path().to_owned(), name.to_owned());
        let (measured, findings) = (READ_AT_START, Vec::new());
        Self { disk, data, live, staging, dataset, known, manifest, measured, findings }
    }

    fn remove_garbage(&mut self) -> Result<(), StorageError> {
        for path in std::mem::take(&mut self.manifest.garbage) {
            self.disk.remove(&self.data.join(path))?;
        }
        Ok(())
    }

    /// Enters whole commits and merges that the manifest does not know, and sets aside what is foreign.
    fn adopt(&mut self) -> Result<(), StorageError> {
        let (mut commits, mut hours) = (BTreeMap::<u64, Vec<Found>>::new(), BTreeMap::<u64, Found>::new());
        for path in self.unknown_files()? {
            let found = self.read(&path);
            match found {
                Some(found) if found.mark.sequence < self.manifest.sequence && self.known => {
                    // The manifest has moved on from it, and what it gave up itself is in its garbage.
                    self.set_aside(&path)?;
                }
                Some(found) if found.mark.level == Level::Commit => {
                    commits.entry(found.mark.sequence).or_default().push(found);
                }
                Some(found) => {
                    hours.insert(found.mark.sequence, found);
                }
                None => self.set_aside(&path)?,
            }
        }
        for path in self.staged_parts()? {
            if let Some(found) = self.read(&path)
                && found.mark.sequence >= self.manifest.sequence
            {
                commits.entry(found.mark.sequence).or_default().push(found);
            }
        }
        for (_, parts) in commits {
            self.adopt_commit(parts)?;
        }
        for (_, hour) in hours {
            self.adopt_hour(hour)?;
        }
        Ok(())
    }

    fn adopt_commit(&mut self, parts: Vec<Found>) -> Result<(), StorageError> {
        let Some(of) = parts.first().map(|found| found.mark.part.1) else { return Ok(()) };
        // Where the power went between the syncs of two folders a file may have its old and its new name: one of them
        // counts, that which readers see first, and the other goes with its folder in staging.
        let mut there = BTreeSet::new();
        let parts: Vec<Found> = parts.into_iter().filter(|found| there.insert(found.mark.part.0)).collect();
        // Without a manifest the parts of a commit may have been merged since: what is there is taken. None is renamed
        // before all are whole, though: a first commit of which parts lie in staging alone never was.
        if there.len() != of && (self.known || !parts.iter().any(|found| found.path.starts_with(&self.live))) {
            for found in parts {
                if found.path.starts_with(&self.live) {
                    self.set_aside(&found.path)?;
                }
            }
            return Ok(());
        }
        for found in parts {
            let path = file_path(&found.mark);
            let to = self.live.join(&path);
            if found.path != to {
                let hour = self.live.join(Hour::of(found.mark.times.0).folder());
                self.disk.create_folder(&hour)?;
                self.disk.rename(&found.path, &to)?;
                self.disk.sync_folder(&hour)?;
            }
            self.manifest.held = self.manifest.held.max(found.mark.held);
            self.enter(found, &to)?;
        }
        Ok(())
    }

    fn adopt_hour(&mut self, found: Found) -> Result<(), StorageError> {
        let replaced: BTreeSet<&String> = found.mark.replaces.iter().collect();
        let replaces = |file: &FileEntry| replaced.contains(&file.path);
        let known = self.manifest.files.iter().filter(|file| replaces(file)).count();
        if self.known && known != replaced.len() {
            return self.set_aside(&found.path);
        }
        let gone: Vec<FileEntry> = self.manifest.files.iter().filter(|file| replaces(file)).cloned().collect();
        self.manifest.files.retain(|file| !replaced.contains(&file.path));
        for file in gone {
            self.disk.remove(&self.live.join(&file.path))?;
        }
        self.manifest.held = self.manifest.held.max(found.mark.held);
        let path = found.path.clone();
        self.enter(found, &path)
    }

    fn enter(&mut self, found: Found, path: &Path) -> Result<(), StorageError> {
        tracing::info!(dataset = self.dataset, path = %path.display(), "entered a file that a crash had left aside");
        self.manifest.sequence = self.manifest.sequence.max(found.mark.sequence + 1);
        let bytes = fs::metadata(path).map_err(|error| FileError::new("read", path, error))?.len();
        let finished = match self.measured.checked_sub(bytes) {
            Some(left) => {
                self.measured = left;
                measure(path)?
            }
            // A manifest that is made again of a long history does not wait until all of it is read.
            None => Finished { bytes, checksum: String::new() },
        };
        let entry = entry_of(&found.mark, found.rows, finished);
        // Nothing else says that it is what was written.
        if !self.known && !entry.checksum.is_empty() && fault(path, &entry, Depth::Pages).is_some() {
            return self.set_aside(path);
        }
        insert(&mut self.manifest.files, entry);
        Ok(())
    }

    /// Files that the manifest names and that are not what was written: looked for in staging where they are missing,
    /// then given up and told. The newest are read whole, as far as `budget` goes.
    fn check_known(&mut self, budget: &mut u64) -> Result<(), StorageError> {
        let mut newest: Vec<(i64, usize)> =
            self.manifest.files.iter().enumerate().map(|(at, file)| (file.written, at)).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut whole = BTreeSet::new();
        for (_, at) in newest {
            let Some(left) = self.manifest.files.get(at).and_then(|file| budget.checked_sub(file.bytes)) else { break };
            *budget = left;
            whole.insert(at);
        }
        let files = std::mem::take(&mut self.manifest.files);
        for (at, file) in files.into_iter().enumerate() {
            let path = self.live.join(&file.path);
            let depth = if whole.contains(&at) { Depth::Whole } else { Depth::Size };
            let mut found = fault(&path, &file, depth);
            if found == Some(Fault::Missing) && self.bring_back(&file, &path)? {
                found = fault(&path, &file, depth);
            }
            let Some(fault) = found else {
                self.manifest.files.push(file);
                continue;
            };
            let to = if fault == Fault::Missing { None } else { Some(set_aside(&self.disk, &self.data, &path)?) };
            self.findings.push(Finding {
                dataset: Some(self.dataset.clone()),
                rows: Some(file.rows),
                epochs: Some(file.epochs),
                times: Some(file.times),
                set_aside: to.map(|to| self.below(to)),
                ..Finding::new(&self.data, &path, fault)
            });
        }
        Ok(())
    }

    fn below(&self, path: PathBuf) -> PathBuf {
        path.strip_prefix(&self.data).map(Path::to_owned).unwrap_or(path)
    }

    /// A merge exchanged the hour and its new file cannot be used: the old one waits in staging.
    fn bring_back(&self, file: &FileEntry, path: &Path) -> Result<bool, StorageError> {
        for folder in folders(&self.staging)? {
            let staged = folder.join(file.name());
            if fs::metadata(&staged).is_ok_and(|metadata| metadata.len() == file.bytes) {
                if let Some(hour) = path.parent() {
                    self.disk.create_folder(hour)?;
                }
                self.disk.rename(&staged, path)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read(&self, path: &Path) -> Option<Found> {
        let metadata = rebuild::footer(path).ok()?;
        let mark = read_mark(&metadata)?;
        let rows = metadata.file_metadata().num_rows() as u64;
        (mark.dataset == self.dataset).then(|| Found { path: path.to_owned(), mark, rows })
    }

    /// Everything below the dataset's folder that is no file of the manifest.
    fn unknown_files(&self) -> Result<Vec<PathBuf>, StorageError> {
        let known: BTreeSet<PathBuf> = self.manifest.files.iter().map(|file| self.live.join(&file.path)).collect();
        let mut unknown = Vec::new();
        let mut pending = vec![self.live.clone()];
        while let Some(folder) = pending.pop() {
            for path in entries(&folder)? {
                if path.is_dir() {
                    pending.push(path);
                } else if !known.contains(&path) {
                    unknown.push(path);
                }
            }
        }
        unknown.sort();
        Ok(unknown)
    }

    fn staged_parts(&self) -> Result<Vec<PathBuf>, StorageError> {
        let mut parts = Vec::new();
        for folder in folders(&self.staging)? {
            parts
                .extend(entries(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "part")));
        }
        parts.sort();
        Ok(parts)
    }

    /// What is not of this dataset.
    fn set_aside(&mut self, path: &Path) -> Result<(), StorageError> {
        let to = set_aside(&self.disk, &self.data, path)?;
        self.findings.push(Finding {
            dataset: Some(self.dataset.clone()),
            set_aside: Some(self.below(to)),
            ..Finding::new(&self.data, path, Fault::Foreign)
        });
        Ok(())
    }

    /// Folders of commits and merges are of no use once the manifest is saved; what was set aside stays.
    fn clear_staging(&mut self) -> Result<(), StorageError> {
        for folder in folders(&self.staging)? {
            for path in entries(&folder)? {
                // An exchange takes whatever someone had put into the hour's folder along.
                let ours = path.extension().is_some_and(|end| end == "part") || self.read(&path).is_some();
                if !ours && !is_torn(&path) {
                    self.set_aside(&path)?;
                }
            }
            self.disk.remove_folder(&folder)?;
        }
        Ok(())
    }
}

/// A file of a merge that was not finished: it has our name and no footer.
fn is_torn(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hour-"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = |error| FileError::new("read", folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    Ok(paths)
}

/// The folders of commits and merges in staging.
fn folders(staging: &Path) -> Result<Vec<PathBuf>, StorageError> {
    Ok(entries(staging)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// Size and checksum of a file.
pub(crate) fn measure(path: &Path) -> Result<Finished, StorageError> {
    let mut file = fs::File::open(path).map_err(|error| FileError::new("open", path, error))?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(|error| FileError::new("read", path, error))?;
        if read == 0 {
            return Ok(Finished { bytes, checksum: format!("{:016x}", hash.digest()) });
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}
