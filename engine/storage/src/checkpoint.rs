//! Checkpoints: the states of every node of a site at an epoch, on disk. Two are kept, so that a damaged one costs a
//! longer way through the journal and nothing else.
//!
//! ```text
//! magic · format u32 · checksum u64 of these and what follows · content
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Epoch, Micros, SavedState};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::bytes::{Cursor, Malformed, put_bytes, put_i64, put_text, put_u64};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::set_aside::{DAMAGED, Problem, place_for};

const MAGIC: [u8; 8] = *b"DUCTOCKP";
/// The format of checkpoints; a build reads this and what is older.
const FORMAT: u32 = 2;
/// The first format in which views are kept.
const WITH_VIEWS: u32 = 2;
const HEAD: usize = 20;
const SUFFIX: &str = ".checkpoint";
/// Checkpoints that are kept.
const KEPT: usize = 2;

/// What a node of a worker was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    pub node: Arc<str>,
    pub worker: usize,
    pub state: SavedState,
}

/// A pipeline at an epoch, which all its stores hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineState {
    pub epoch: Epoch,
    /// Among how many workers its assets were split.
    pub workers: usize,
    pub nodes: Vec<NodeState>,
    /// What its views show, newer perhaps than the states: what lies between comes again.
    pub views: Vec<ViewState>,
}

/// What the view of a node's port showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewState {
    pub node: Arc<str>,
    pub port: Arc<str>,
    /// Rows as whoever gave them wrote them.
    pub rows: Vec<u8>,
}

/// Every pipeline of a site, each at an epoch of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Engine time when it was taken.
    pub time: Micros,
    pub pipelines: BTreeMap<Arc<str>, PipelineState>,
}

impl Checkpoint {
    /// What lies behind this epoch in the journal is still needed.
    pub fn needed_behind(&self) -> Option<Epoch> {
        self.pipelines.values().map(|pipeline| pipeline.epoch).min()
    }

    /// The last epoch that any pipeline has seen.
    pub fn last(&self) -> Option<Epoch> {
        self.pipelines.values().map(|pipeline| pipeline.epoch).max()
    }

    fn encode(&self) -> Vec<u8> {
        let mut content = Vec::new();
        put_i64(&mut content, self.time);
        put_u64(&mut content, self.pipelines.len() as u64);
        for (id, pipeline) in &self.pipelines {
            put_text(&mut content, id);
            put_u64(&mut content, pipeline.epoch);
            put_u64(&mut content, pipeline.workers as u64);
            put_u64(&mut content, pipeline.nodes.len() as u64);
            for NodeState { node, worker, state } in &pipeline.nodes {
                put_text(&mut content, node);
                put_u64(&mut content, *worker as u64);
                put_u64(&mut content, u64::from(state.version));
                put_bytes(&mut content, &state.bytes);
            }
            put_u64(&mut content, pipeline.views.len() as u64);
            for ViewState { node, port, rows } in &pipeline.views {
                put_text(&mut content, node);
                put_text(&mut content, port);
                put_bytes(&mut content, rows);
            }
        }
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(sum(FORMAT, &content).to_le_bytes());
        bytes.extend(content);
        bytes
    }

    fn decode(format: u32, content: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor(content);
        let mut checkpoint = Self { time: from.i64()?, pipelines: BTreeMap::new() };
        for _ in 0..from.count()? {
            let id = from.name()?;
            let (epoch, workers) = (from.u64()?, from.count()?);
            let mut pipeline = PipelineState { epoch, workers, nodes: Vec::new(), views: Vec::new() };
            for _ in 0..from.count()? {
                let (node, worker) = (from.name()?, from.count()?);
                let version = u32::try_from(from.u64()?).map_err(|_| Malformed("a version is too large"))?;
                let state = SavedState { version, bytes: from.bytes()?.to_vec() };
                pipeline.nodes.push(NodeState { node, worker, state });
            }
            if format >= WITH_VIEWS {
                for _ in 0..from.count()? {
                    let (node, port) = (from.name()?, from.name()?);
                    pipeline.views.push(ViewState { node, port, rows: from.bytes()?.to_vec() });
                }
            }
            checkpoint.pipelines.insert(id, pipeline);
        }
        from.end()?;
        Ok(checkpoint)
    }
}

/// The checkpoints of a data folder.
#[derive(Debug)]
pub struct Checkpoints {
    disk: Disk,
    folder: PathBuf,
    /// By number, with the epoch behind which each needs the journal.
    kept: Vec<(u64, Option<Epoch>)>,
    next: u64,
}

/// What a folder held when it was opened.
#[derive(Debug)]
pub struct OpenedCheckpoints {
    pub checkpoints: Checkpoints,
    /// The newest that can be read.
    pub newest: Option<Checkpoint>,
    /// What was found damaged, and where it lies now.
    pub problems: Vec<Problem>,
}

impl Checkpoints {
    /// Opens the folder, creating it where it is missing. A checkpoint that cannot be read, also one of a newer format, is
    /// set aside.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn open(disk: &Disk, folder: &Path) -> Result<OpenedCheckpoints, StorageError> {
        disk.create_folder(folder)?;
        let mut checkpoints = Self { disk: disk.clone(), folder: folder.to_owned(), kept: Vec::new(), next: 1 };
        let (mut newest, mut problems) = (None, Vec::new());
        for path in foreign(folder)? {
            let to = place_for(disk, folder, &path)?;
            disk.rename(&path, &to)?;
            problems.push(Problem { path, what: "it is no checkpoint".to_owned(), set_aside: Some(to), lost: None });
        }
        for number in checkpoints.numbers()? {
            checkpoints.next = number + 1;
            let path = checkpoints.path(number);
            match read(disk, &path)? {
                Ok(checkpoint) => {
                    checkpoints.kept.push((number, checkpoint.needed_behind()));
                    newest = Some(checkpoint);
                }
                Err(what) => {
                    let to = place_for(disk, folder, &path)?;
                    disk.rename(&path, &to)?;
                    disk.sync_folder(folder)?;
                    problems.push(Problem { path, what, set_aside: Some(to), lost: None });
                }
            }
        }
        Ok(OpenedCheckpoints { checkpoints, newest, problems })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}{SUFFIX}"))
    }

    /// The numbers of the files, in order. One that was being written has another name, and is removed.
    fn numbers(&self) -> Result<Vec<u64>, StorageError> {
        let failed = |error| FileError::new("read", &self.folder, error);
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
                Some(number) => numbers.push(number),
                None if name.ends_with(".new") => self.disk.remove(&path)?,
                None => {}
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a checkpoint and lets the third newest go.
    ///
    /// # Errors
    /// When the disk does not take it; those before stay.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), StorageError> {
        self.disk.replace(&self.path(self.next), &checkpoint.encode())?;
        self.kept.push((self.next, checkpoint.needed_behind()));
        self.next += 1;
        while self.kept.len() > KEPT {
            if let Some((oldest, _)) = self.kept.first() {
                self.disk.remove(&self.path(*oldest))?;
            }
            self.kept.remove(0);
        }
        Ok(())
    }

    /// What lies behind this epoch in the journal is needed by the older of the two; `None` before the first.
    pub fn needed_behind(&self) -> Option<Epoch> {
        // With one alone nothing may go that it, once damaged, would have to be made up for by.
        if self.kept.len() < KEPT {
            return None;
        }
        self.kept.iter().map(|(_, epoch)| *epoch).min()?
    }

    /// What lies behind this epoch is read by a start from one of those that are there.
    pub fn reads_behind(&self) -> Option<Epoch> {
        self.kept.iter().filter_map(|(_, epoch)| *epoch).min()
    }
}

/// The checksum of a checkpoint. Its format is in it: a flipped bit must not look like a newer build's.
fn sum(format: u32, content: &[u8]) -> u64 {
    xxh3_64_with_seed(content, u64::from(format))
}

/// Whatever is no checkpoint by its name, nor one that was being written.
fn foreign(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = |error| FileError::new("read", folder, error);
    let mut foreign = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.strip_suffix(SUFFIX).is_some_and(|number| number.parse::<u64>().is_ok()) && path.is_file();
        if !ours && !name.ends_with(".new") && name != DAMAGED {
            foreign.push(path);
        }
    }
    foreign.sort();
    Ok(foreign)
}

/// A checkpoint as it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointSeen {
    /// From the data folder.
    pub path: PathBuf,
    pub bytes: u64,
    pub time: Option<Micros>,
    /// By pipeline: the epoch, and how many states of nodes.
    pub pipelines: BTreeMap<String, (Epoch, usize)>,
}

/// The checkpoints of a data folder as they lie, and the findings. Changes nothing.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn look(
    data: &Path,
    folder: &Path,
    looked: &mut dyn FnMut(u64),
) -> Result<(Vec<CheckpointSeen>, Vec<Finding>), StorageError> {
    let mut findings: Vec<Finding> =
        foreign(folder)?.iter().map(|path| Finding::new(data, path, Fault::Foreign)).collect();
    let failed = |error| FileError::new("read", folder, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.to_string_lossy().ends_with(SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut seen = Vec::new();
    for path in paths {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut found = CheckpointSeen {
            path: path.strip_prefix(data).unwrap_or(&path).to_owned(),
            bytes,
            time: None,
            pipelines: BTreeMap::new(),
        };
        match read(&Disk::default(), &path) {
            Ok(Ok(checkpoint)) => {
                found.time = Some(checkpoint.time);
                let of = |(id, state): (Arc<str>, PipelineState)| (id.to_string(), (state.epoch, state.nodes.len()));
                found.pipelines = checkpoint.pipelines.into_iter().map(of).collect();
            }
            Ok(Err(why)) => findings.push(Finding::new(data, &path, Fault::Unreadable { why })),
            Err(error) => findings.push(Finding::new(data, &path, Fault::Unreadable { why: error.to_string() })),
        }
        looked(bytes);
        seen.push(found);
    }
    Ok((seen, findings))
}

/// The checkpoint, or what is wrong with it.
fn read(disk: &Disk, path: &Path) -> Result<Result<Checkpoint, String>, StorageError> {
    let bytes = disk.read(path)?;
    let (head, content) = bytes.split_at(bytes.len().min(HEAD));
    if head.len() < HEAD || head[..8] != MAGIC {
        return Ok(Err("it does not begin as a checkpoint".to_owned()));
    }
    let format = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if head[12..] != sum(format, content).to_le_bytes() {
        return Ok(Err("its checksum does not fit".to_owned()));
    }
    if format > FORMAT {
        return Ok(Err(format!("it has format {format}, which a newer Ducto wrote; this one reads {FORMAT}")));
    }
    Ok(Checkpoint::decode(format, content).map_err(|Malformed(what)| what.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::{Cut, Fault, SimulatedStorage};

    fn checkpoint(epoch: Epoch) -> Checkpoint {
        let state = SavedState { version: 3, bytes: epoch.to_le_bytes().to_vec() };
        let nodes = vec![NodeState { node: "alarms".into(), worker: 1, state }];
        let views = vec![ViewState { node: "alarms".into(), port: "main".into(), rows: b"rows".to_vec() }];
        let wells = PipelineState { epoch, workers: 2, nodes, views };
        let rigs = PipelineState { epoch: epoch + 5, workers: 2, ..PipelineState::default() };
        let pipelines = BTreeMap::from([("wells".into(), wells), ("rigs".into(), rigs)]);
        Checkpoint { time: -7, pipelines }
    }

    #[test]
    fn the_newest_good_one_counts_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut opened = Checkpoints::open(&disk, folder.path()).unwrap();
        assert_eq!(opened.newest, None);
        for epoch in [10, 20, 30] {
            opened.checkpoints.save(&checkpoint(epoch)).unwrap();
        }
        assert_eq!(opened.checkpoints.needed_behind(), Some(20));
        let opened = Checkpoints::open(&disk, folder.path()).unwrap();
        assert_eq!(opened.newest, Some(checkpoint(30)));
        assert_eq!(opened.problems, []);
        let newest = opened.checkpoints.path(3);
        let mut bytes = std::fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 4;
        std::fs::write(&newest, bytes).unwrap();
        let opened = Checkpoints::open(&disk, folder.path()).unwrap();
        assert_eq!(opened.newest, Some(checkpoint(20)));
        assert_eq!(opened.problems.len(), 1);
        assert_eq!(opened.checkpoints.needed_behind(), None);
    }

    #[test]
    fn a_power_cut_leaves_a_whole_one() {
        for cut in [Cut::Kind, Cut::Strict, Cut::Chance(1), Cut::Chance(2)] {
            for step in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let root = folder.path().join("data");
                std::fs::create_dir(&root).unwrap();
                let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
                let disk = Disk::new(std::sync::Arc::new(storage.clone()));
                storage.plan(step, Fault::PowerOff);
                let mut saved = 0;
                if let Ok(mut opened) = Checkpoints::open(&disk, &root.join("checkpoints")) {
                    for epoch in 1..=4 {
                        if opened.checkpoints.save(&checkpoint(epoch)).is_err() {
                            break;
                        }
                        saved = epoch;
                    }
                }
                storage.restart(cut).unwrap();
                let opened = Checkpoints::open(&disk, &root.join("checkpoints")).unwrap();
                assert_eq!(opened.problems, [], "{cut:?}, step {step}");
                let found = opened.newest.map_or(0, |checkpoint| checkpoint.needed_behind().unwrap());
                assert!(found == saved || found == saved + 1, "{cut:?}, step {step}: {found} for {saved}");
                if saved == 4 {
                    assert!(step > 12, "the test has stopped something");
                    break;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in 1..=FORMAT {
                let _ = Checkpoint::decode(format, &bytes);
            }
        }
    }
}
