//! The older part of a manifest, in files of a week each that are written once: a commit rewrites what is recent, not
//! three years of hours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::manifest::{FileEntry, checksum};

/// Hours whose files are listed together.
const WEEK: i64 = 7 * 24;
/// Weeks that the manifest lists itself: the one that is being written, and the one before for late rows.
const RECENT: usize = 2;

/// Where a week's files are listed; in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    week: i64,
    name: String,
    checksum: String,
}

/// A week as it was last written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    segment: Segment,
    files: Vec<FileEntry>,
}

/// The weeks that are written, so that only what changed is written again.
pub(crate) type Weeks = BTreeMap<i64, Arc<Written>>;

fn folder(data: &Path, dataset: &str) -> PathBuf {
    data.join("manifests").join(dataset)
}

/// Writes the weeks that are not recent and that have changed. Gives the recent files and the weeks, of which the
/// manifest keeps the names.
pub(crate) fn write(
    disk: &Disk,
    data: &Path,
    dataset: &str,
    all: &[FileEntry],
    before: &Weeks,
) -> Result<(Vec<FileEntry>, Weeks), StorageError> {
    let mut weeks: BTreeMap<i64, Vec<FileEntry>> = BTreeMap::new();
    for file in all {
        weeks.entry(file.hour().0.div_euclid(WEEK)).or_default().push(file.clone());
    }
    let mut recent = Vec::new();
    for _ in 0..RECENT {
        if let Some((_, files)) = weeks.pop_last() {
            recent.splice(0..0, files);
        }
    }
    let mut written = Weeks::new();
    for (week, files) in weeks {
        let known = before.get(&week).filter(|known| known.files == files);
        let week_written = match known {
            Some(known) => known.clone(),
            None => Arc::new(write_week(disk, data, dataset, week, files)?),
        };
        written.insert(week, week_written);
    }
    Ok((recent, written))
}

fn write_week(
    disk: &Disk,
    data: &Path,
    dataset: &str,
    week: i64,
    files: Vec<FileEntry>,
) -> Result<Written, StorageError> {
    let folder = folder(data, dataset);
    disk.create_folder(&folder)?;
    let failed = |error: serde_json::Error| StorageError::Damaged { path: folder.clone(), what: error.to_string() };
    let bytes = serde_json::to_vec(&files).map_err(failed)?;
    let checksum = checksum(&bytes);
    // Under a name of its own: a reader that has the manifest from before finds the week from before.
    let name = format!("week-{week}-{checksum}.json");
    disk.replace(&folder.join(&name), &bytes)?;
    Ok(Written { segment: Segment { week, name, checksum }, files })
}

pub(crate) fn names(weeks: &Weeks) -> Vec<Segment> {
    weeks.values().map(|written| written.segment.clone()).collect()
}

/// Reads the weeks that a manifest names; `None` if one of them has been replaced meanwhile.
pub(crate) fn read(data: &Path, dataset: &str, segments: &[Segment]) -> Result<Option<Weeks>, StorageError> {
    let mut weeks = Weeks::new();
    for segment in segments {
        let path = folder(data, dataset).join(&segment.name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        };
        if checksum(&bytes) != segment.checksum {
            return Err(StorageError::Damaged { path, what: "its checksum does not fit".to_owned() });
        }
        let files = serde_json::from_slice(&bytes)
            .map_err(|error| StorageError::Damaged { path: path.clone(), what: error.to_string() })?;
        weeks.insert(segment.week, Arc::new(Written { segment: segment.clone(), files }));
    }
    Ok(Some(weeks))
}

/// The files of weeks, in their order.
pub(crate) fn files(weeks: &Weeks) -> impl Iterator<Item = &FileEntry> {
    weeks.values().flat_map(|written| &written.files)
}

/// Removes what no saved manifest names any more. What stays behind costs a little space until the next time.
pub(crate) fn clean(disk: &Disk, data: &Path, dataset: &str, weeks: &Weeks) {
    let named: BTreeSet<&str> = weeks.values().map(|written| written.segment.name.as_str()).collect();
    for entry in std::fs::read_dir(folder(data, dataset)).into_iter().flatten().flatten() {
        let known = entry.file_name().to_str().is_some_and(|name| named.contains(name));
        if !known && let Err(error) = disk.remove(&entry.path()) {
            tracing::warn!(%error, "an old list of files stays until the next change");
        }
    }
}
