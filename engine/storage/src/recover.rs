//! Opening a dataset: what a crash left is finished or undone, and nothing unknown stays where readers look.
//!
//! The manifest is the truth. A file that it does not name is one of these:
//! - part of a commit that was whole in staging when the process ended: it is put in place and entered;
//! - an hour that was merged and exchanged: it is entered, and the files it replaces are removed;
//! - in staging, the rest of a merge or commit that was not finished: it is removed;
//! - anything else: it is set aside under `staging/<dataset>/foreign-…` and reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ducto_record::ValueKind;
use parquet::file::reader::{FileReader, SerializedFileReader};
use xxhash_rust::xxh3::Xxh3;

use crate::commit::{entry_of, file_path, insert};
use crate::dataset::{DatasetConfig, DatasetSchema, check_name};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::folder::{DataFolder, dataset_names};
use crate::hour::Hour;
use crate::manifest::{FileEntry, Level, Manifest};
use crate::parquet_file::{Finished, Mark, read_mark};

/// Finishes or undoes what a crash left in every dataset of a folder, and says up to which epoch any of them holds
/// rows. To be called before anything is numbered: what is adopted here raises that epoch, and rows that came with a
/// number below it would be taken for rows that are held.
///
/// # Errors
/// A damaged or newer manifest, a file that cannot be read or written.
pub fn recover(folder: &DataFolder) -> Result<u64, StorageError> {
    let mut names: BTreeSet<String> = dataset_names(folder.path())?.into_iter().collect();
    for of in ["datasets", "staging"] {
        let found = folders(&folder.path().join(of))?;
        let found = found.iter().filter_map(|path| path.file_name()?.to_str());
        names.extend(found.filter(|name| check_name(name).is_ok()).map(str::to_owned));
    }
    let mut held = 0;
    for name in names {
        let of_dataset = match Manifest::load(folder.path(), &name)? {
            Some(manifest) => bring_up(folder, &name, Some(&manifest), manifest.clone())?.held,
            None => Recovery::held_without_manifest(folder, &name)?,
        };
        held = held.max(of_dataset);
    }
    Ok(held)
}

pub(crate) fn open(folder: &DataFolder, config: &DatasetConfig) -> Result<Manifest, StorageError> {
    let loaded = Manifest::load(folder.path(), &config.name)?;
    let mut manifest = loaded.clone().unwrap_or_else(|| Manifest::new(&config.name, &config.schema));
    if loaded.is_some() {
        manifest.adopt_schema(&config.schema)?;
    }
    bring_up(folder, &config.name, loaded.as_ref(), manifest)
}

/// Makes the files of a dataset what its manifest says, and the manifest what the files allow.
fn bring_up(
    folder: &DataFolder,
    name: &str,
    loaded: Option<&Manifest>,
    manifest: Manifest,
) -> Result<Manifest, StorageError> {
    folder.disk().create_folder(&folder.dataset(name))?;
    folder.disk().create_folder(&folder.staging(name))?;
    let mut recovery = Recovery::of(folder, name, loaded.is_some(), manifest);
    recovery.remove_garbage(folder.path())?;
    recovery.adopt()?;
    recovery.check_known()?;
    let mut manifest = recovery.manifest.clone();
    if loaded != Some(&manifest) {
        manifest.save(folder.disk(), folder.path())?;
    }
    recovery.clear_staging()?;
    Ok(manifest)
}

struct Recovery {
    disk: Disk,
    live: PathBuf,
    staging: PathBuf,
    dataset: String,
    /// There was a manifest.
    known: bool,
    manifest: Manifest,
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
        Self { disk: folder.disk().clone(), live, staging, dataset: name.to_owned(), known, manifest }
    }

    /// The greatest epoch that files of a dataset speak of whose manifest is lost. Its columns are known only to the
    /// sink that opens it, so its files are entered then.
    fn held_without_manifest(folder: &DataFolder, name: &str) -> Result<u64, StorageError> {
        let no_rows = Manifest::new(name, &DatasetSchema::Samples(ValueKind::Float64));
        let recovery = Self::of(folder, name, false, no_rows);
        let mut files = Vec::new();
        if recovery.live.is_dir() {
            files.extend(recovery.unknown_files()?);
        }
        if recovery.staging.is_dir() {
            files.extend(recovery.staged_parts()?);
        }
        Ok(files.iter().filter_map(|path| recovery.read(path)).map(|found| found.mark.held).max().unwrap_or(0))
    }

    fn remove_garbage(&mut self, data: &Path) -> Result<(), StorageError> {
        for path in std::mem::take(&mut self.manifest.garbage) {
            self.disk.remove(&data.join(path))?;
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
        // Without a manifest the parts of a commit may have been merged since: what is there is taken.
        if there.len() != of && self.known {
            for found in parts.iter().filter(|found| found.path.starts_with(&self.live)) {
                self.set_aside(&found.path)?;
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
        let finished = measure(path)?;
        insert(&mut self.manifest.files, entry_of(&found.mark, found.rows, finished));
        Ok(())
    }

    /// Files that the manifest names and that are missing or of another size: looked for in staging, then given up
    /// with a report.
    fn check_known(&mut self) -> Result<(), StorageError> {
        let files = std::mem::take(&mut self.manifest.files);
        for file in files {
            let path = self.live.join(&file.path);
            let size = fs::metadata(&path).map(|metadata| metadata.len()).ok();
            if size == Some(file.bytes) || (size.is_none() && self.bring_back(&file, &path)?) {
                self.manifest.files.push(file);
                continue;
            }
            tracing::error!(
                dataset = self.dataset,
                path = %path.display(),
                rows = file.rows,
                from = ducto_record::time::format(file.times.0),
                to = ducto_record::time::format(file.times.1),
                "a file is {}: its rows are lost",
                if size.is_some() { "damaged" } else { "missing" }
            );
            if size.is_some() {
                self.set_aside(&path)?;
            }
        }
        Ok(())
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
        let reader = SerializedFileReader::new(fs::File::open(path).ok()?).ok()?;
        let mark = read_mark(reader.metadata())?;
        let rows = reader.metadata().file_metadata().num_rows() as u64;
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

    fn set_aside(&self, path: &Path) -> Result<(), StorageError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let free = |number: &usize| !self.staging.join(format!("foreign-{number}-{name}")).exists();
        let number = (1..).find(free).unwrap_or(0);
        let to = self.staging.join(format!("foreign-{number}-{name}"));
        tracing::warn!(
            dataset = self.dataset,
            from = %path.display(),
            to = %to.display(),
            "set aside a file that is not of this dataset"
        );
        Ok(self.disk.rename(path, &to)?)
    }

    /// Folders of commits and merges are of no use once the manifest is saved; what was set aside stays.
    fn clear_staging(&self) -> Result<(), StorageError> {
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
