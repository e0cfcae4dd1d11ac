//! What of recordings a data folder holds already, so that nothing is stored twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ducto_record::Micros;
use ducto_storage::disk::Disk;
use ducto_storage::{DataFolder, FileError, Finding, StorageError};
use serde::{Deserialize, Serialize};

/// Its name in the data folder.
const FILE: &str = "replays.json";

/// The format of the file; a build reads this and what is older.
const FORMAT: u32 = 1;

/// The recordings that were replayed into a data folder: by `ducto replay`, and by the sources of a site. Kept in a file
/// beside the datasets, written before the first sample and after the last.
#[derive(Debug)]
pub struct Replays {
    disk: Disk,
    path: PathBuf,
    kept: Mutex<Kept>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// What `ducto replay` brought.
    stretches: Vec<Stretch>,
    /// Sets of tag names, which stretches have in common.
    tags: Vec<BTreeSet<String>>,
    /// By `pipeline.node`, how far the sources of a site came.
    nodes: BTreeMap<String, Progress>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { format: FORMAT, stretches: Vec::new(), tags: Vec::new(), nodes: BTreeMap::new() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stretch {
    pipeline: String,
    first: Micros,
    last: Micros,
    /// Index in [`Kept::tags`].
    tags: usize,
}

/// How far a source came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The last time whose samples were given.
    pub(super) until: Micros,
    /// The site stopped cleanly: all that was given is stored.
    pub(super) stored: bool,
}

/// What is in a data folder already of what is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub first: Micros,
    pub last: Micros,
    pub tags: BTreeSet<String>,
}

/// A stretch that is being replayed.
#[derive(Clone, Copy, Debug)]
pub struct Replaying(usize);

impl Replays {
    /// Where the file is damaged it is set aside, and nothing is known of what was replayed: sources read their
    /// recordings from the beginning, and what is replayed a second time is stored a second time.
    ///
    /// # Errors
    /// When the file cannot be read, and where it is of a newer format.
    pub fn open(folder: &DataFolder) -> Result<Self, StorageError> {
        #[derive(Deserialize)]
        struct OfFormat {
            format: u32,
        }
        let path = folder.path().join(FILE);
        let mut findings = Vec::new();
        let kept = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(OfFormat { format }) if format > FORMAT => {
                    return Err(StorageError::Version { path, found: format.to_string(), known: FORMAT });
                }
                read => match read.and_then(|_| serde_json::from_slice(&bytes)) {
                    Ok(kept) => kept,
                    Err(error) => {
                        let what = format!(
                            "cannot be read: {error}; what was replayed into this folder is not known any more: a \
                             recording that is read again is stored a second time; replay it into a new data folder, \
                             named with `--data`"
                        );
                        let finding = folder.set_aside(&path, what)?;
                        tracing::error!("{finding}");
                        findings.push(finding);
                        Kept::default()
                    }
                },
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        };
        Ok(Self { disk: folder.disk().clone(), path, kept: Mutex::new(kept), findings })
    }

    /// What was damaged when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, kept: &Kept) -> Result<(), StorageError> {
        let text = serde_json::to_vec(kept)
            .map_err(|error| FileError::new("write", &self.path, std::io::Error::other(error)))?;
        Ok(self.disk.replace(&self.path, &text)?)
    }

    /// Whether the pipeline has replayed anything between these times, so that it is worth while to look for the tags.
    pub fn overlaps(&self, pipeline: &str, (first, last): (Micros, Micros)) -> bool {
        self.lock().between(pipeline, first, last).next().is_some()
    }

    /// What the pipeline has replayed already of these tags between these times.
    pub fn held(&self, pipeline: &str, (first, last): (Micros, Micros), tags: &BTreeSet<String>) -> Option<Held> {
        let kept = self.lock();
        let mut held: Option<Held> = None;
        for stretch in kept.between(pipeline, first, last) {
            let Some(known) = kept.tags.get(stretch.tags) else { continue };
            let both: BTreeSet<String> = known.intersection(tags).cloned().collect();
            if both.is_empty() {
                continue;
            }
            let (from, to) = (stretch.first.max(first), stretch.last.min(last));
            match &mut held {
                Some(held) => {
                    (held.first, held.last) = (held.first.min(from), held.last.max(to));
                    held.tags.extend(both);
                }
                none => *none = Some(Held { first: from, last: to, tags: both }),
            }
        }
        held
    }

    /// Notes what will be replayed, so that it is known where the process ends in between.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(
        &self,
        pipeline: &str,
        (first, last): (Micros, Micros),
        tags: BTreeSet<String>,
    ) -> Result<Replaying, StorageError> {
        let mut kept = self.lock();
        let tags = kept.set(tags);
        kept.stretches.push(Stretch { pipeline: pipeline.to_owned(), first, last, tags });
        self.save(&kept)?;
        Ok(Replaying(kept.stretches.len() - 1))
    }

    /// Notes what was replayed indeed: up to `last`, or nothing, and samples of these tags.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(
        &self,
        Replaying(index): Replaying,
        last: Option<Micros>,
        tags: BTreeSet<String>,
    ) -> Result<(), StorageError> {
        let mut kept = self.lock();
        let tags = kept.set(tags);
        match (last, kept.stretches.get_mut(index)) {
            (Some(last), Some(stretch)) => (stretch.last, stretch.tags) = (last, tags),
            (None, Some(_)) => drop(kept.stretches.remove(index)),
            (_, None) => {}
        }
        kept.forget_sets();
        self.save(&kept)
    }

    pub(super) fn progress(&self, node: &str) -> Option<Progress> {
        self.lock().nodes.get(node).copied()
    }

    /// A source begins, or goes on, with the samples of a time.
    pub(super) fn begin_node(&self, node: &str, time: Micros) -> Result<(), StorageError> {
        let mut kept = self.lock();
        kept.nodes.insert(node.to_owned(), Progress { until: time, stored: false });
        self.save(&kept)
    }

    /// A source has given the samples of a time.
    pub(super) fn given(&self, node: &str, time: Micros) {
        if let Some(progress) = self.lock().nodes.get_mut(node) {
            progress.until = time;
        }
    }

    /// The site has stopped, and all that its sources gave is stored.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn stored(&self) -> Result<(), StorageError> {
        let mut kept = self.lock();
        if kept.nodes.values().all(|progress| progress.stored) {
            return Ok(());
        }
        kept.nodes.values_mut().for_each(|progress| progress.stored = true);
        self.save(&kept)
    }
}

impl Kept {
    fn between<'a>(&'a self, pipeline: &'a str, first: Micros, last: Micros) -> impl Iterator<Item = &'a Stretch> {
        self.stretches
            .iter()
            .filter(move |stretch| stretch.pipeline == pipeline && stretch.first <= last && first <= stretch.last)
    }

    /// The index of a set of tags.
    fn set(&mut self, tags: BTreeSet<String>) -> usize {
        self.tags.iter().position(|known| *known == tags).unwrap_or_else(|| {
            self.tags.push(tags);
            self.tags.len() - 1
        })
    }

    /// Forgets sets that no stretch names any more.
    fn forget_sets(&mut self) {
        let mut tags = Vec::new();
        for stretch in &mut self.stretches {
            let Some(set) = self.tags.get(stretch.tags) else { continue };
            stretch.tags = tags.iter().position(|known| known == set).unwrap_or_else(|| {
                tags.push(set.clone());
                tags.len() - 1
            });
        }
        self.tags = tags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_stretch_is_held_by_time_and_tag() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(folder.path()).unwrap();
        let replays = Replays::open(&folder).unwrap();
        let both = tags(&["A", "B"]);
        let replaying = replays.begin("p", (10, 90), tags(&["A", "B", "C"])).unwrap();
        replays.end(replaying, Some(20), both.clone()).unwrap();
        let replays = Replays::open(&folder).unwrap();
        assert_eq!(replays.held("p", (15, 30), &tags(&["B"])), Some(Held { first: 15, last: 20, tags: tags(&["B"]) }));
        assert_eq!(replays.held("p", (0, 10), &both), Some(Held { first: 10, last: 10, tags: both.clone() }));
        assert_eq!(replays.held("p", (21, 30), &both), None);
        assert_eq!(replays.held("p", (10, 20), &tags(&["C"])), None);
        assert_eq!(replays.held("q", (10, 20), &both), None);
        // What brought nothing is forgotten, and so is its set of tags.
        let replaying = replays.begin("p", (30, 40), tags(&["D"])).unwrap();
        assert!(replays.overlaps("p", (30, 40)));
        replays.end(replaying, None, tags(&[])).unwrap();
        assert!(!replays.overlaps("p", (30, 40)));
        assert_eq!(replays.lock().tags, [both]);
    }

    #[test]
    fn a_node_goes_on_behind_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(folder.path()).unwrap();
        let replays = Replays::open(&folder).unwrap();
        assert_eq!(replays.progress("p.f"), None);
        replays.begin_node("p.f", 10).unwrap();
        replays.given("p.f", 20);
        // As a crash leaves it.
        let after_a_crash = Replays::open(&folder).unwrap();
        assert_eq!(after_a_crash.progress("p.f"), Some(Progress { until: 10, stored: false }));
        replays.stored().unwrap();
        assert_eq!(Replays::open(&folder).unwrap().progress("p.f"), Some(Progress { until: 20, stored: true }));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_one_of_a_newer_build_is_left() {
        let path = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(path.path()).unwrap();
        let replays = Replays::open(&folder).unwrap();
        assert_eq!(replays.findings(), []);
        replays.begin("p", (10, 90), tags(&["A"])).unwrap();
        let whole = std::fs::read(path.path().join(FILE)).unwrap();
        std::fs::write(path.path().join(FILE), &whole[..whole.len() / 2]).unwrap();
        let replays = Replays::open(&folder).unwrap();
        let [finding] = replays.findings() else { panic!("{:?}", replays.findings()) };
        assert!(finding.to_string().contains("is stored a second time"), "{finding}");
        let aside = std::fs::read(path.path().join(finding.set_aside.as_ref().unwrap())).unwrap();
        assert_eq!(aside, whole[..whole.len() / 2]);
        assert!(!replays.overlaps("p", (10, 90)));
        // It is written anew.
        replays.begin("p", (100, 190), tags(&["A"])).unwrap();
        assert!(Replays::open(&folder).unwrap().overlaps("p", (100, 190)));
        std::fs::write(path.path().join(FILE), r#"{"format": 9, "more": []}"#).unwrap();
        let error = Replays::open(&folder).unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");
    }
}
