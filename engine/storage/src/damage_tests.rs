//! Whatever a disk does to a data folder: the folder opens, says what is damaged, and keeps the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Float64Array, Int8Array, RecordBatch, TimestampMicrosecondArray, UInt16Array, UInt32Array};
use arrow::datatypes::{DataType, Field};
use ducto_record::time::{MINUTE, SECOND};
use ducto_record::{
    Batch, Directory, Entry, Epoch, Layout, Origin, Part, RowType, Samples, SavedState, Tag, ValueKind, Values,
    with_role, with_unit,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::disk::Disk;
use crate::findings::{Fault, Finding};
use crate::folder::dataset_path;
use crate::{
    Audit, Care, Checkpoint, Checkpoints, DataFolder, DatasetConfig, DatasetSchema, HeldFolder, Historian, Journal,
    Manifest, NodeState, PipelineState, audit, recover, repair,
};

const START: i64 = 1_767_225_600_000_000 + 59 * MINUTE;
const ENTRIES: Epoch = 40;

fn directory() -> Arc<Directory> {
    let mut builder = Directory::builder();
    for name in ["W-1.THP", "W-2.THP", "W-3.THP"] {
        builder.tag(Tag::named(name, ValueKind::Float64));
    }
    Arc::new(builder.build())
}

fn minutes() -> RowType {
    let own = vec![
        with_role(Field::new("tag", DataType::UInt32, false), "tag"),
        with_unit(Field::new("mean", DataType::Float64, true), "psig"),
    ];
    RowType::new(own, &["tag"])
}

fn configs() -> [DatasetConfig; 2] {
    [
        DatasetConfig::new("history", DatasetSchema::Samples(ValueKind::Float64)),
        DatasetConfig::new("minutes", DatasetSchema::Rows(minutes())),
    ]
}

fn row(time: i64) -> RecordBatch {
    RecordBatch::try_new(
        minutes().schema,
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![time]).with_timezone("UTC")),
            Arc::new(UInt32Array::from(vec![1])),
            Arc::new(Float64Array::from(vec![1.5])),
            Arc::new(UInt16Array::from(vec![192])),
            arrow::array::new_null_array(&DataType::Utf8, 1),
            Arc::new(Int8Array::from(vec![1])),
        ],
    )
    .unwrap()
}

/// What a run of some minutes across the end of an hour leaves.
fn fill(data: &Path) {
    let directory = directory();
    let folder = DataFolder::open(data).unwrap();
    let layout = Layout::new(vec![0, 1, 2]);
    let historians = configs().map(|config| Historian::open(&folder, config).unwrap());
    let journal = Journal::open(folder.disk(), &data.join("journal"), &directory).unwrap();
    let mut journal = journal.journal.with_segments_of(600);
    let mut checkpoints = Checkpoints::open(folder.disk(), &data.join("checkpoints")).unwrap().checkpoints;
    for epoch in 1..=ENTRIES {
        let time = START + epoch as i64 * 10 * SECOND;
        let values = Values::Float64([0.0, 0.25, 0.5].map(|part| part + epoch as f64).to_vec().into());
        let scan = Samples::scan(&layout, time, values, None).unwrap();
        let parts = vec![Part::Samples { origin: Origin::Field, samples: scan.clone() }];
        journal.commit(&[Arc::new(Entry { epoch, time, parts })]).unwrap();
        historians[0].append(epoch, &Batch::Samples(scan), &directory).unwrap();
        historians[1].append(epoch, &Batch::Rows(row(time)), &directory).unwrap();
        for historian in &historians {
            historian.end_epoch(epoch, time);
        }
        if epoch % 10 == 0 {
            for historian in &historians {
                historian.commit().unwrap();
            }
            let state = SavedState { version: 1, bytes: vec![7; 100] };
            let nodes = vec![NodeState { node: "checked".into(), worker: 0, state }];
            let pipeline = PipelineState { epoch, workers: 1, nodes, views: Vec::new() };
            let pipelines = BTreeMap::from([("wells".into(), pipeline)]);
            checkpoints.save(&Checkpoint { time, pipelines }).unwrap();
        }
    }
    // The first hour is over and merged, the second is in several files.
    historians.iter().for_each(|historian| historian.end_epoch(ENTRIES + 1, START + 10 * MINUTE));
    historians.iter().for_each(|historian| historian.settle().unwrap());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// A folder of its own, as a clean stop leaves it.
fn folder() -> TempDir {
    static FILLED: OnceLock<TempDir> = OnceLock::new();
    let filled = FILLED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        folder
    });
    let folder = tempfile::tempdir().unwrap();
    copy(filled.path(), folder.path());
    folder
}

fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![data.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn verified(data: &Path) -> Audit {
    audit(&HeldFolder::open(data).unwrap(), Care::Whole, &mut |_| ()).unwrap()
}

/// What a start finds, and what it has afterwards: rows by dataset, and the epochs of the journal.
struct Started {
    findings: Vec<Finding>,
    rows: BTreeMap<String, u64>,
    entries: BTreeSet<Epoch>,
    checkpoint: Option<Checkpoint>,
}

fn start(data: &Path) -> Started {
    let directory = directory();
    let folder = DataFolder::open(data).unwrap();
    let mut findings = recover(&folder).unwrap().findings;
    let journal = Journal::open(folder.disk(), &data.join("journal"), &directory).unwrap();
    let checkpoints = Checkpoints::open(folder.disk(), &data.join("checkpoints")).unwrap();
    let told = journal.problems.iter().chain(&checkpoints.problems);
    findings.extend(told.map(|problem| Finding::of(data, problem)));
    let mut reader = journal.journal.reader(0);
    let entries = std::iter::from_fn(|| reader.next_entry().unwrap()).map(|entry| entry.epoch).collect();
    let mut rows = BTreeMap::new();
    for config in configs() {
        let name = config.name.clone();
        let historian = Historian::open(&folder, config).unwrap();
        let manifest = historian.snapshot().manifest;
        rows.insert(name, manifest.rows());
        for file in &manifest.files {
            assert!(file.is_intact(&dataset_path(data, &manifest.dataset).join(&file.path)).unwrap());
        }
    }
    Started { findings, rows, entries, checkpoint: checkpoints.newest }
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    Cut(f64),
    Flip {
        at: f64,
        bit: u8,
    },
    Zero {
        from: f64,
        part: f64,
    },
    Remove,
    Lengthen(Vec<u8>),
    /// Another file beside it.
    Foreign(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let part = || 0.0..1.0_f64;
    let bytes = || proptest::collection::vec(any::<u8>(), 1..100);
    prop_oneof![
        2 => part().prop_map(Harm::Cut),
        4 => (part(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        2 => (part(), part()).prop_map(|(from, part)| Harm::Zero { from, part }),
        1 => Just(Harm::Zero { from: 0.0, part: 1.0 }),
        1 => Just(Harm::Remove),
        1 => bytes().prop_map(Harm::Lengthen),
        1 => bytes().prop_map(Harm::Foreign),
    ]
}

/// Does it; says whether the file is another now.
fn inflict(path: &Path, harm: &Harm) -> bool {
    let before = fs::read(path).unwrap();
    let at = |part: f64| (part * before.len() as f64) as usize;
    let mut bytes = before.clone();
    match harm {
        Harm::Cut(part) => bytes.truncate(at(*part)),
        Harm::Flip { at: part, bit } => bytes[at(*part)] ^= 1 << bit,
        Harm::Zero { from, part } => {
            let to = (at(*from) + at(*part).max(1)).min(before.len());
            bytes[at(*from)..to].fill(0);
        }
        Harm::Lengthen(more) => bytes.extend(more),
        Harm::Remove => {
            fs::remove_file(path).unwrap();
            return true;
        }
        Harm::Foreign(content) => {
            fs::write(path.with_file_name("notes.txt"), content).unwrap();
            return true;
        }
    }
    fs::write(path, &bytes).unwrap();
    bytes != before
}

/// Files whose damage costs something: not the lock, nor what every start writes anew.
fn matters(data: &Path, path: &Path) -> bool {
    let part = path.strip_prefix(data).unwrap().components().next().unwrap().as_os_str().to_owned();
    ["datasets", "manifests", "journal", "checkpoints"].iter().any(|name| part == *name)
}

fn rows_lost(findings: &[Finding], dataset: &str) -> u64 {
    findings
        .iter()
        .filter(|finding| finding.dataset.as_deref() == Some(dataset))
        .filter_map(|finding| finding.rows)
        .sum()
}

fn in_folder<'a>(findings: &'a [Finding], folder: &'a str) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(move |finding| finding.path.starts_with(folder) && !finding.fault.is_harmless())
}

fn check(data: &Path, harmed: &Path, harm: &Harm) {
    let what = format!("{harm:?} of {}", harmed.strip_prefix(data).unwrap().display());
    let found = verified(data);
    let started = start(data);
    // What is whole is there.
    for (name, all) in [("history", 3 * ENTRIES), ("minutes", ENTRIES)] {
        let lost = rows_lost(&started.findings, name);
        assert_eq!(started.rows[name] + lost, all, "{what}: {:?}", started.findings);
        assert_eq!(rows_lost(&found.findings, name), lost, "{what}: verify says what the start says");
    }
    // What lies behind the older checkpoint is needed by nobody: without it the journal is as one that has forgotten it.
    let missing: Vec<Epoch> = (31..=ENTRIES).filter(|epoch| !started.entries.contains(epoch)).collect();
    let newest_gone =
        matches!(harm, Harm::Remove | Harm::Zero { .. } | Harm::Cut(_)) && missing.last() == Some(&ENTRIES);
    let of_journal = || in_folder(&found.findings, "journal");
    if !missing.is_empty() {
        assert!(harmed.starts_with(data.join("journal")), "{what}: {missing:?}");
        assert!(of_journal().count() > 0, "{what}: {missing:?} are lost and verify does not say it");
        assert!(
            newest_gone || in_folder(&started.findings, "journal").count() > 0,
            "{what}: {missing:?} are lost and the start does not say it"
        );
    }
    if !harmed.starts_with(data.join("checkpoints")) {
        assert_eq!(started.checkpoint.map(|found| found.needed_behind()), Some(Some(ENTRIES)), "{what}");
    }
    // And what is not, is told by both, for the same files.
    for folder in ["datasets", "manifests", "checkpoints"] {
        let paths = |findings: &[Finding]| -> BTreeSet<PathBuf> {
            in_folder(findings, folder).map(|finding| finding.path.clone()).collect()
        };
        assert_eq!(paths(&found.findings), paths(&started.findings), "{what}: {:?}", found.findings);
    }
    // Nothing was deleted, and the next look finds what is gone, and nothing else.
    if !matches!(harm, Harm::Remove) && harmed.starts_with(data.join("datasets")) {
        assert!(!verified(data).set_aside.is_empty() || found.findings.is_empty(), "{what}");
    }
    let after: Vec<Finding> = verified(data).findings;
    assert!(after.iter().all(|finding| finding.fault == Fault::Gap), "{what}: {after:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 40, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn one_damage_anywhere_is_found_told_and_costs_no_more_than_itself(which in any::<prop::sample::Index>(), harm in harm()) {
        let folder = folder();
        let data = folder.path();
        let all: Vec<PathBuf> = files(data).into_iter().filter(|path| matters(data, path)).collect();
        let path = which.get(&all).clone();
        if inflict(&path, &harm) {
            check(data, &path, &harm);
        }
    }

    #[test]
    fn damage_everywhere_is_no_panic_and_the_folder_opens(harms in proptest::collection::vec((any::<prop::sample::Index>(), harm()), 2..12)) {
        let folder = folder();
        let data = folder.path();
        for (which, harm) in harms {
            let all: Vec<PathBuf> = files(data).into_iter().filter(|path| !path.ends_with("LOCK")).collect();
            let path = which.get(&all);
            if fs::metadata(path).unwrap().len() > 0 {
                inflict(path, &harm);
            }
        }
        verified(data);
        let started = start(data);
        for (name, all) in [("history", 3 * ENTRIES), ("minutes", ENTRIES)] {
            assert!(started.rows[name] <= all, "nothing is there twice");
        }
        let after: Vec<Finding> = verified(data).findings;
        assert!(after.iter().all(|finding| finding.fault == Fault::Gap), "{after:?}");
    }
}

#[test]
fn a_whole_folder_has_no_findings() {
    let folder = folder();
    let found = verified(folder.path());
    assert_eq!(found.findings, []);
    assert!(found.journal.len() > 1 && found.checkpoints.len() == 2, "{found:?}");
    let entries: u64 = found.journal.iter().map(|segment| segment.entries).sum();
    assert_eq!(entries, ENTRIES);
    let sums: Vec<_> =
        found.datasets.iter().map(|dataset| (&*dataset.name, dataset.rows, dataset.partitions)).collect();
    assert_eq!(sums, [("history", 3 * ENTRIES, 2), ("minutes", ENTRIES, 2)]);
    let started = start(folder.path());
    assert_eq!(started.findings, []);
    assert_eq!(started.entries.len() as u64, ENTRIES);
}

/// The segments of the journal, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    files(&data.join("journal"))
}

#[test]
fn a_journal_without_its_beginning_is_told_as_long_as_a_checkpoint_would_read_it() {
    let folder = folder();
    let data = folder.path();
    let behind = |data: &Path| {
        let opened = Checkpoints::open(&Disk::default(), &data.join("checkpoints")).unwrap();
        opened.checkpoints.reads_behind().unwrap()
    };
    let needed = behind(data);
    // All that end behind what the older checkpoint needs.
    let mut removed = 0;
    let (first, all) = loop {
        let all = segments(data);
        let first = crate::journal::first_epoch(&all[0]).unwrap();
        if first > needed + 1 {
            break (first, all.len());
        }
        let found = verified(data).findings;
        assert_eq!(found, [], "{removed} removed");
        fs::remove_file(&all[0]).unwrap();
        removed += 1;
    };
    assert!(removed > 0 && all > 0, "{removed} of {all}");
    let found = verified(data).findings;
    let [gap] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&gap.fault, gap.epochs), (&Fault::Gap, Some((needed + 1, first - 1))));
}

#[test]
fn a_segment_of_zeros_is_kept_beside_and_told() {
    let folder = folder();
    let data = folder.path();
    for path in [segments(data).pop().unwrap(), segments(data).remove(0)] {
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![0; length as usize]).unwrap();
        let name = path.strip_prefix(data).unwrap();
        let of = |findings: &[Finding]| findings.iter().find(|finding| finding.path == name).cloned();
        let found = of(&verified(data).findings).expect("verify tells it");
        assert!(!found.fault.is_harmless() && found.epochs.is_some(), "{found:?}");
        let told = of(&repair(&DataFolder::open(data).unwrap()).unwrap()).expect("so does the repair");
        assert!(told.epochs.is_some(), "{told:?}");
        let aside = data.join(told.set_aside.expect("it lies elsewhere now"));
        assert_eq!((path.exists(), fs::metadata(aside).unwrap().len()), (false, length));
    }
}

#[test]
fn a_manifest_is_not_made_again_of_a_footer_that_is_damaged() {
    let whole = folder();
    let newest = files(&whole.path().join("datasets/minutes")).pop().unwrap();
    let newest = newest.strip_prefix(whole.path()).unwrap().to_owned();
    let bytes = fs::read(whole.path().join(&newest)).unwrap();
    let find = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap();
    // The columns as Arrow says them, in base64, and the mark.
    let (columns, mark) = (find(b"ARROW:schema") + 16, find(br#"{"dataset":"#));
    let spots = (columns..columns + 600).step_by(23).chain((mark..mark + 200).step_by(13));
    for at in spots {
        let folder = folder();
        let mut harmed = bytes.clone();
        harmed[at] ^= 1;
        fs::write(folder.path().join(&newest), harmed).unwrap();
        fs::write(crate::manifest::path(folder.path(), "minutes"), "nonsense").unwrap();
        let started = start(folder.path());
        assert!(started.rows["minutes"] < ENTRIES, "{at}: a file is taken whose footer is damaged");
        let told = in_folder(&started.findings, "datasets").any(|finding| finding.path == newest);
        assert!(told, "{at}: {:?}", started.findings);
    }
}

#[test]
fn a_manifest_is_made_again_as_it_was() {
    let folder = folder();
    let data = folder.path();
    let before = ["history", "minutes"].map(|name| Manifest::load(data, name).unwrap().unwrap());
    for (manifest, harm) in before.iter().zip([Harm::Remove, Harm::Zero { from: 0.3, part: 0.2 }]) {
        inflict(&crate::manifest::path(data, &manifest.dataset), &harm);
    }
    let told = repair(&DataFolder::open(data).unwrap()).unwrap();
    let paths: Vec<String> = told.iter().map(|finding| finding.path.display().to_string()).collect();
    assert_eq!(paths, ["manifests/history.json", "manifests/minutes.json"]);
    for before in before {
        let after = Manifest::load(data, &before.dataset).unwrap().unwrap();
        assert_eq!(after.files, before.files);
        assert_eq!((after.schema(), &after.key, after.corrected), (before.schema(), &before.key, before.corrected));
    }
    assert_eq!(verified(data).findings, []);
}

#[test]
fn a_repair_leaves_names_that_only_the_site_knows_to_its_start() {
    let folder = folder();
    let data = folder.path();
    let segments: Vec<PathBuf> = files(&data.join("journal"));
    for path in &segments {
        // Into the frame of names, behind the head of the segment.
        let mut bytes = fs::read(path).unwrap();
        bytes[100] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let names = |findings: &[Finding]| findings.iter().filter(|finding| finding.fault == Fault::Names).count();
    assert_eq!(names(&verified(data).findings), segments.len());
    assert_eq!(names(&repair(&DataFolder::open(data).unwrap()).unwrap()), segments.len());
    let started = start(data);
    assert_eq!(started.entries.len() as u64, ENTRIES, "{:?}", started.findings);
}
