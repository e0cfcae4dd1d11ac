//! Changes of a dataset as steps that a retry or a start after a crash can finish.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::StorageError;
use crate::manifest::Manifest;

/// One change of the file system. Files are whole and synced before a plan begins.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Folder(PathBuf),
    Rename(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    Sync(PathBuf),
    Save,
    /// Files that the saved manifest no longer names, and then the folders that held them where nothing else is left.
    Remove(Vec<PathBuf>, Vec<PathBuf>),
}

/// Steps that lead from one manifest to the next. Each is done once; what is left can be tried again.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: VecDeque<Step>,
    /// The state once `Save` is done.
    pub(crate) manifest: Manifest,
}

impl Plan {
    /// Goes on until the manifest is saved.
    pub(crate) fn save(&mut self, disk: &Disk, data: &Path) -> Result<(), StorageError> {
        while let Some(step) = self.steps.front().cloned() {
            match step {
                Step::Folder(path) => disk.create_folder(&path)?,
                Step::Rename(from, to) => disk.rename(&from, &to)?,
                Step::Exchange(one, other) => disk.exchange(&one, &other)?,
                Step::Sync(path) => disk.sync_folder(&path)?,
                Step::Save => self.manifest.save(disk, data)?,
                Step::Remove(..) => return Ok(()),
            }
            self.steps.pop_front();
        }
        Ok(())
    }

    /// Whether a folder that readers see was exchanged, and what follows is not all done.
    pub(crate) fn has_exchanged(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step, Step::Exchange(..)))
    }

    /// Removes what the saved manifest no longer needs. What stays behind is removed when the dataset is next opened.
    pub(crate) fn clean(self, disk: &Disk) {
        for step in self.steps {
            let Step::Remove(paths, folders) = step else { continue };
            for path in paths {
                if let Err(error) = disk.remove(&path) {
                    tracing::warn!(%error, "a file that is no longer used stays until the next start");
                }
            }
            for folder in folders {
                // One that holds something else, or cannot be removed now, stays until the next start.
                disk.remove_if_empty(&folder);
            }
        }
    }
}
