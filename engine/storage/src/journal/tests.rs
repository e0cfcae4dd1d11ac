//! What goes into the journal comes out of it, whatever its files go through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use ducto_record::{
    Action, Directory, Entry, Epoch, Layout, Origin, Part, Piece, SampleColumns, Samples, Tag, Times, Value, ValueKind,
    Values, with_role,
};
use proptest::prelude::*;

use super::{Journal, Opened, Problem, frame, segment};
use crate::disk::{Cut, Disk, Fault, SimulatedStorage};
use crate::error::StorageError;

fn directory(names: impl IntoIterator<Item = impl AsRef<str>>) -> Arc<Directory> {
    let mut builder = Directory::builder();
    for name in names {
        builder.tag(Tag::named(name.as_ref(), ValueKind::Float64));
    }
    Arc::new(builder.build())
}

const TAGS: u32 = 20;

fn tags() -> Arc<Directory> {
    directory((0..TAGS).map(|tag| format!("W-{tag}.THP")))
}

fn open(folder: &Path, directory: &Arc<Directory>) -> Opened {
    Journal::open(&Disk::default(), folder, directory).unwrap()
}

fn entries(journal: &Journal, position: Epoch) -> Vec<Entry> {
    let mut reader = journal.reader(position);
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

/// A scan of every tag, and what else may enter a site.
fn entry(epoch: Epoch, layout: &Arc<Layout>) -> Arc<Entry> {
    let time = epoch as i64 * 1_000_000;
    let values = (0..layout.tags.len()).map(|tag| (tag as f64).mul_add(100.0, epoch as f64) / 10.0);
    let scan = Samples::scan(layout, time, Values::Float64(values.collect()), None).unwrap();
    Arc::new(Entry { epoch, time, parts: vec![Part::Samples { origin: Origin::Field, samples: scan }] })
}

fn filled(folder: &Path, directory: &Arc<Directory>, epochs: std::ops::RangeInclusive<Epoch>) -> Vec<Arc<Entry>> {
    let layout = Layout::new((0..directory.tags().len() as u32).collect());
    let mut journal = open(folder, directory).journal;
    let entries: Vec<_> = epochs.map(|epoch| entry(epoch, &layout)).collect();
    for entry in &entries {
        journal.commit(std::slice::from_ref(entry)).unwrap();
    }
    entries
}

fn floats() -> impl Strategy<Value = Vec<Option<f64>>> {
    let value = prop_oneof![
        4 => (-1_000_000_i64..1_000_000).prop_map(|cents| cents as f64 / 100.0),
        2 => any::<f64>(),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
    ];
    prop_oneof![
        3 => proptest::collection::vec(value.clone().prop_map(Some), 0..600),
        1 => proptest::collection::vec(proptest::option::of(value), 0..600),
    ]
}

fn values() -> impl Strategy<Value = Values> {
    use proptest::collection::vec;
    use proptest::option::of;
    prop_oneof![
        4 => floats().prop_map(|values| Values::Float64(values.into_iter().collect())),
        1 => vec(of(any::<i64>()), 0..300).prop_map(|values| Values::Int64(values.into_iter().collect())),
        1 => vec(of(any::<bool>()), 0..300).prop_map(|values| Values::Bool(values.into_iter().collect())),
        1 => vec(of(".{0,12}"), 0..60).prop_map(|values| Values::Text(values.into_iter().collect())),
    ]
}

fn samples() -> impl Strategy<Value = Samples> {
    (values(), any::<bool>(), any::<u64>()).prop_map(|(values, scan, seed)| {
        let rows = values.len();
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let tags: Vec<u32> = (0..rows).map(|_| (random() % u64::from(TAGS)) as u32).collect();
        let marks = |mark: u64| if mark.is_multiple_of(4) { (mark >> 3) as u16 } else { 192 };
        let quality: Vec<u16> = (0..rows).map(|_| marks(random())).collect();
        if scan {
            return Samples::scan(&Layout::new(tags), random() as i64, values, Some(quality.into())).unwrap();
        }
        let times: Vec<i64> = (0..rows).map(|_| random() as i64 >> (random() % 60)).collect();
        let checks: Vec<u16> = (0..rows).map(|_| marks(random())).collect();
        let columns = SampleColumns {
            times: Times::Each(times.into()),
            tags: tags.into(),
            values,
            quality: quality.into(),
            checks: checks.into(),
        };
        Samples::new(columns).unwrap()
    })
}

fn rows() -> impl Strategy<Value = RecordBatch> {
    proptest::collection::vec((any::<i64>(), 0..TAGS), 1..40).prop_map(|rows| {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields =
            vec![Field::new("time", time, false), with_role(Field::new("tag", DataType::UInt32, false), "tag")];
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let tags = UInt32Array::from_iter_values(rows.iter().map(|row| row.1));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(times), Arc::new(tags)]).unwrap()
    })
}

fn part() -> impl Strategy<Value = Part> {
    let published = Origin::Published {
        pipeline: "wells".into(),
        node: "means".into(),
        piece: Piece { epoch: 7, worker: 1, workers: 2 },
    };
    let source = Origin::Source { pipeline: "wells".into(), node: "file".into() };
    let origin = prop_oneof![3 => Just(Origin::Field), 1 => Just(published), 1 => Just(source)];
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int64),
        (-1e9..1e9).prop_map(Value::Float64),
        ".{0,8}".prop_map(|text| Value::Text(text.into())),
    ];
    let arguments = proptest::collection::btree_map("[a-z]{1,6}", value, 0..4);
    prop_oneof![
        6 => (origin, samples()).prop_filter_map("rows", |(origin, samples)| {
            (!samples.is_empty()).then_some(Part::Samples { origin, samples })
        }),
        1 => rows().prop_map(|rows| Part::Rows { origin: Origin::Dataset { name: "means".into(), epoch: 9 }, rows }),
        1 => (any::<u64>(), arguments, proptest::option::of(".{0,8}")).prop_map(|(id, arguments, reason)| {
            let reason = reason.map(Into::into);
            Part::Action(Arc::new(Action { id, verb: "acknowledge".into(), arguments, user: "ana".into(), reason }))
        }),
    ]
}

/// Bits of every value, so that NaN equals itself and the zeros differ.
fn rendered(entries: &[Entry]) -> String {
    let bits = |samples: &Samples| match samples.values() {
        Values::Float64(values) => {
            values.iter().map(|value| value.map(f64::to_bits)).map(|bits| format!("{bits:?} ")).collect()
        }
        other => format!("{other:?}"),
    };
    let part = |part: &Part| match part {
        Part::Samples { origin, samples } => {
            let times: Vec<_> = (0..samples.len()).map(|row| samples.time(row)).collect();
            let (tags, quality, checks) = (samples.tags(), samples.quality(), samples.checks());
            let scan = samples.layout().is_some();
            format!("{origin:?} {scan} {times:?} {tags:?} {quality:?} {checks:?} {}", bits(samples))
        }
        other => format!("{other:?}"),
    };
    let entry = |entry: &Entry| {
        let parts: Vec<_> = entry.parts.iter().map(part).collect();
        format!("{} {} {parts:?}\n", entry.epoch, entry.time)
    };
    entries.iter().map(entry).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any entries, committed in any groups, in segments of any size, read from any position.
    #[test]
    fn what_goes_in_comes_out(
        parts in proptest::collection::vec(proptest::collection::vec(part(), 0..3), 1..24),
        groups in proptest::collection::vec(1_usize..6, 1..8),
        segment_bytes in 1_u64..30_000,
        from in 0_usize..24,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let directory = tags();
        let written: Vec<Arc<Entry>> = (8..).zip(parts)
            .map(|(epoch, parts)| Arc::new(Entry { epoch, time: epoch as i64 * 7 - 40, parts }))
            .collect();
        let mut journal = open(folder.path(), &directory).journal.with_segments_of(segment_bytes);
        let mut follower = journal.reader(0);
        let mut followed = Vec::new();
        let mut rest = written.as_slice();
        for group in groups.iter().cycle() {
            let (now, later) = rest.split_at((*group).min(rest.len()));
            journal.commit(now).unwrap();
            followed.extend(std::iter::from_fn(|| follower.next_entry().unwrap()));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let written: Vec<Entry> = written.iter().map(|entry| (**entry).clone()).collect();
        prop_assert_eq!(rendered(&followed), rendered(&written));
        let last = written.last().map(|entry| (entry.epoch, entry.time));
        prop_assert_eq!(journal.last(), last);
        drop(journal);
        let again = open(folder.path(), &directory);
        prop_assert_eq!(&again.problems, &Vec::<Problem>::new());
        prop_assert_eq!(again.journal.last(), last);
        let from = from.min(written.len());
        let behind = entries(&again.journal, 7 + from as u64);
        prop_assert_eq!(rendered(&behind), rendered(&written[from..]));
    }

    /// A flipped, zeroed or lost piece anywhere costs the entries of the frames it touches, and these are named.
    #[test]
    fn damage_costs_what_it_touches(at in 0_f64..1.0, length in 1_usize..200, way in 0_usize..3, bit in 0_u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let directory = tags();
        let written = filled(folder.path(), &directory, 1..=40);
        let path = segment::path(folder.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        let frames = segment::scan(&bytes).unwrap().frames;
        let at = (at * bytes.len() as f64) as usize;
        let end = (at + length).min(bytes.len());
        match way {
            0 => bytes[at] ^= 1 << bit,
            1 => bytes[at..end].fill(0),
            _ => drop(bytes.drain(at..end)),
        }
        let touched = if way == 0 { at..at + 1 } else { at..end };
        fs::write(&path, &bytes).unwrap();
        let opened = open(folder.path(), &directory);
        let read = entries(&opened.journal, 0);
        let stands = |placed: &&segment::Placed| {
            let (from, to) = (placed.offset as usize, placed.offset as usize + placed.length);
            to <= touched.start || from >= touched.end
        };
        let standing: Vec<_> = frames.iter().filter(stands).collect();
        // Without the segment's head, or any copy of its layout, nothing can be read.
        let readable = touched.start >= segment::HEAD
            && standing.iter().any(|placed| placed.head.kind == frame::Kind::Layouts);
        let expected: Vec<Entry> = written.iter().filter(|entry| readable && standing.iter().any(|placed| {
            placed.head.kind == frame::Kind::Entries && placed.head.first == entry.epoch
        })).map(|entry| (**entry).clone()).collect();
        // A range of zeros may be a range of zeros.
        if rendered(&read).len() < written.len() || way == 0 {
            prop_assert!(!opened.problems.is_empty());
        }
        let lost = |epoch: Epoch| opened.problems.iter().any(|problem| {
            problem.lost.is_some_and(|(first, last)| (first..=last).contains(&epoch))
        });
        for entry in &expected {
            prop_assert!(read.iter().any(|read| read.epoch == entry.epoch), "entry {} is gone", entry.epoch);
            prop_assert!(!lost(entry.epoch), "entry {} is told to be lost", entry.epoch);
        }
        // What is before the last entry read is told where it is missing.
        let last = read.last().map_or(0, |entry| entry.epoch);
        for epoch in 1..last {
            prop_assert_eq!(lost(epoch), !read.iter().any(|read| read.epoch == epoch), "entry {}", epoch);
        }
        for entry in &read {
            prop_assert_eq!(rendered(std::slice::from_ref(entry)), rendered(&[(*written[entry.epoch as usize - 1]).clone()]));
        }
        // Damage is told once.
        prop_assert_eq!(open(folder.path(), &directory).problems.iter().filter(|problem| problem.set_aside.is_some()).count(), 0);
    }
}

#[test]
fn a_torn_write_at_the_end_leaves_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let directory = tags();
    let written = filled(folder.path(), &directory, 1..=6);
    let path = segment::path(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    let frames = segment::scan(&whole).unwrap().frames;
    for length in (0..whole.len()).rev().step_by(13) {
        fs::write(&path, &whole[..length]).unwrap();
        let opened = open(folder.path(), &directory);
        let whole = |placed: &&segment::Placed| placed.offset as usize + placed.length <= length;
        let expected = frames.iter().filter(whole).filter(|placed| placed.head.kind == frame::Kind::Entries).count();
        assert_eq!(entries(&opened.journal, 0).len(), expected, "cut at byte {length}");
        assert!(opened.problems.iter().all(|problem| problem.lost.is_none()), "{:?}", opened.problems);
        // What is written next is read behind what was left.
        let mut journal = opened.journal;
        let next = journal.last().map_or(1, |(epoch, _)| epoch + 1);
        let layout = Layout::new(vec![3]);
        journal.commit(&[entry(next, &layout)]).unwrap();
        let read = entries(&journal, 0);
        assert_eq!(read.len(), expected + 1);
        assert_eq!(read[..expected], written[..expected].iter().map(|entry| (**entry).clone()).collect::<Vec<_>>());
        drop(journal);
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
    }
}

#[test]
fn names_follow_a_changed_site() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), &directory(["A.THP", "B.THP", "C.THP"]), 1..=2);
    let changed = directory(["C.THP", "D.THP", "A.THP"]);
    let opened = open(folder.path(), &changed);
    assert_eq!(opened.problems, []);
    let mut reader = opened.journal.reader(0);
    let entry = reader.next_entry().unwrap().unwrap();
    let Part::Samples { samples, .. } = &entry.parts[0] else { panic!("{entry:?}") };
    let named: BTreeMap<&str, Value> =
        (0..samples.len()).map(|row| (changed.tag_name(samples.tags()[row]), samples.values().get(row))).collect();
    assert_eq!(named, BTreeMap::from([("A.THP", Value::Float64(0.1)), ("C.THP", Value::Float64(20.1))]));
    assert_eq!(reader.unknown_rows(), 1);
}

#[test]
fn whole_segments_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let directory = tags();
    let layout = Layout::new(vec![1, 2]);
    let mut journal = open(folder.path(), &directory).journal.with_segments_of(1);
    for epoch in 1..=5 {
        journal.commit(&[entry(epoch, &layout)]).unwrap();
    }
    journal.forget(3).unwrap();
    assert_eq!(journal.first(), Some(4));
    assert_eq!(entries(&journal, 0).iter().map(|entry| entry.epoch).collect::<Vec<_>>(), [4, 5]);
    journal.forget(9).unwrap();
    assert_eq!(entries(&journal, 0).len(), 1, "the segment being written stays");
}

#[test]
fn what_is_no_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let directory = tags();
    filled(folder.path(), &directory, 1..=3);
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    fs::write(segment::path(folder.path(), 4), [7; 5_000]).unwrap();
    fs::write(segment::path(folder.path(), 5), []).unwrap();
    let opened = open(folder.path(), &directory);
    assert_eq!(opened.problems.len(), 2, "{:?}", opened.problems);
    assert_eq!(opened.problems[1].lost, Some((4, Epoch::MAX)));
    for problem in &opened.problems {
        assert!(problem.set_aside.as_ref().is_some_and(|path| path.exists()), "{problem}");
    }
    assert_eq!(entries(&opened.journal, 0).len(), 3);
}

#[test]
fn names_that_are_damaged_are_taken_from_the_site() {
    let folder = tempfile::tempdir().unwrap();
    let directory = tags();
    filled(folder.path(), &directory, 1..=3);
    let path = segment::path(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[segment::HEAD + frame::HEAD + 3] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let opened = open(folder.path(), &directory);
    assert_eq!(opened.problems.len(), 1, "{:?}", opened.problems);
    assert_eq!(entries(&opened.journal, 0).len(), 3);
}

#[test]
fn a_newer_format_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let directory = tags();
    filled(folder.path(), &directory, 1..=3);
    let path = segment::path(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..segment::HEAD - 8]);
    bytes[segment::HEAD - 8..segment::HEAD].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(&Disk::default(), folder.path(), &directory).unwrap_err();
    assert!(matches!(&error, StorageError::Version { found, .. } if found == "9"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// A journal on a disk that can lose its power.
struct Site {
    _folder: tempfile::TempDir,
    root: std::path::PathBuf,
    storage: SimulatedStorage,
    directory: Arc<Directory>,
    layout: Arc<Layout>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        fs::create_dir(&root).unwrap();
        let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
        let layout = Layout::new((0..TAGS).collect());
        Self { _folder: folder, root, storage, directory: tags(), layout }
    }

    fn open(&self) -> Result<Opened, StorageError> {
        Journal::open(&Disk::new(Arc::new(self.storage.clone())), &self.root.join("journal"), &self.directory)
    }

    /// Commits entries one by one, in segments of a few, and forgets some; answers the last that was committed, and
    /// whether all were.
    fn fill(&self, journal: Journal, until: Epoch) -> (Epoch, bool) {
        let mut journal = journal.with_segments_of(1_500);
        let mut accepted = journal.last().map_or(0, |(epoch, _)| epoch);
        for epoch in accepted + 1..=until {
            if journal.commit(&[entry(epoch, &self.layout)]).is_err() {
                return (accepted, false);
            }
            accepted = epoch;
            if epoch % 4 == 0 && journal.forget(epoch.saturating_sub(8)).is_err() {
                return (accepted, false);
            }
        }
        (accepted, true)
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_committed() {
    for cut in [Cut::Kind, Cut::Strict, Cut::Chance(1), Cut::Chance(2)] {
        for step in 0.. {
            let site = Site::new();
            site.storage.plan(step, Fault::PowerOff);
            let (accepted, through) = site.open().map_or((0, false), |opened| site.fill(opened.journal, 20));
            site.storage
                .restart(if let Cut::Chance(seed) = cut { Cut::Chance(seed + 100 * step) } else { cut })
                .unwrap();
            let opened = site.open().unwrap();
            assert!(opened.problems.iter().all(|problem| problem.lost.is_none()), "{:?}", opened.problems);
            let read = entries(&opened.journal, 0);
            let first = read.first().map_or(1, |entry| entry.epoch);
            let last = read.last().map_or(0, |entry| entry.epoch);
            assert!(last >= accepted, "{cut:?}, step {step}: {last} of {accepted}");
            assert!(read.iter().map(|entry| entry.epoch).eq(first..=last), "{cut:?}, step {step}");
            assert!(first <= 1.max(accepted.saturating_sub(8) + 1), "{cut:?}, step {step}: {first}");
            let (_, again) = site.fill(opened.journal, 24);
            assert!(again);
            let journal = site.open().unwrap().journal;
            assert_eq!(journal.last().map(|(epoch, _)| epoch), Some(24), "{cut:?}, step {step}");
            if through {
                assert!(step > 40, "the test has stopped something");
                break;
            }
        }
    }
}

#[test]
fn an_operation_that_fails_is_made_up_for() {
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::IO] {
        for step in 1.. {
            let site = Site::new();
            let mut journal = site.open().unwrap().journal.with_segments_of(1_500);
            let failing = site.storage.operations() + step;
            site.storage.plan(failing, Fault::Error(errno));
            let mut failed = 0;
            for epoch in 1..=12 {
                while let Err(error) = journal.commit(&[entry(epoch, &site.layout)]) {
                    failed += 1;
                    assert!(failed < 5, "{error}");
                }
            }
            assert!(entries(&journal, 0).iter().map(|entry| entry.epoch).eq(1..=12), "{errno}, step {step}");
            if site.storage.operations() <= failing {
                assert!(step > 20, "the test has failed something");
                break;
            }
            drop(journal);
            let opened = site.open().unwrap();
            assert!(opened.problems.iter().all(|problem| problem.lost.is_none()), "{:?}", opened.problems);
            assert!(entries(&opened.journal, 0).iter().map(|entry| entry.epoch).eq(1..=12), "{errno}, step {step}");
        }
    }
}
