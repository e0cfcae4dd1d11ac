//! Any cut of rows into batches, epochs and commits, late rows included: what Parquet's own reader finds in the files
//! equals what was appended, sorted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType, UInt16Type};
use ducto_record::time::{HOUR, MINUTE, SECOND};
use ducto_record::{Batch, Directory, Layout, SampleColumns, Samples, Tag, Times, ValueKind, Values};
use ducto_storage::{DataFolder, DatasetConfig, DatasetSchema, Historian, Level, Manifest, dataset_path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

const START: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
const TAGS: u32 = 7;

/// Tag, time, value as text, quality, checks.
type Row = (String, i64, Option<String>, u16, u16);

fn directory() -> Arc<Directory> {
    let mut builder = Directory::builder();
    // Numbers in another order than names.
    for number in (0..TAGS).rev() {
        builder.tag(Tag::named(&format!("WELL-{number:03}.THP"), ValueKind::Float64));
    }
    Arc::new(builder.build())
}

fn rows_of(samples: &Samples, directory: &Directory) -> Vec<Row> {
    let value = |row| Some(samples.values().get(row).to_string()).filter(|text| text != "null");
    (0..samples.len())
        .map(|row| {
            let tag = directory.tag_name(samples.tags()[row]).to_owned();
            (tag, samples.time(row), value(row), samples.quality()[row], samples.checks()[row])
        })
        .collect()
}

/// Reads the files that the manifest names, each of which has to be in order.
fn read(data: &Path, dataset: &str) -> Vec<Row> {
    let manifest = Manifest::load(data, dataset).unwrap().unwrap();
    let mut all = Vec::new();
    for file in &manifest.files {
        let path = dataset_path(data, dataset).join(&file.path);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let mut rows: Vec<Row> = Vec::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let tags = batch.column(1).as_string::<i32>();
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            let quality = batch.column(3).as_primitive::<UInt16Type>();
            let checks = batch.column(4).as_primitive::<UInt16Type>();
            let values = Values::from_array(batch.column(2)).unwrap();
            for row in 0..batch.num_rows() {
                let value = Some(values.get(row).to_string()).filter(|text| text != "null");
                rows.push((tags.value(row).to_owned(), times.value(row), value, quality.value(row), checks.value(row)));
            }
        }
        assert!(
            rows.windows(2).all(|pair| (&pair[0].0, pair[0].1) <= (&pair[1].0, pair[1].1)),
            "{} is sorted",
            file.path
        );
        assert_eq!(rows.len() as u64, file.rows);
        let times = rows.iter().map(|row| row.1);
        assert_eq!((times.clone().min().unwrap(), times.max().unwrap()), file.times);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), file.bytes);
        all.extend(rows);
    }
    all.sort();
    all
}

fn config(kind: ValueKind) -> DatasetConfig {
    DatasetConfig::new("history", DatasetSchema::Samples(kind))
}

#[derive(Clone, Debug)]
enum Arrival {
    /// Seconds after the engine's clock, value seed, rows without a reading, rows that are not Good.
    Scan { ahead: i64, seed: u64, nulls: u64, bad: u64 },
    /// Tag and seconds after the engine's clock of each row.
    Loose { rows: Vec<(u32, i64)>, seed: u64, nulls: u64 },
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let ahead = prop_oneof![8 => -5_i64..5, 1 => -9000_i64..9000];
    let few = prop_oneof![3 => Just(0_u64), 1 => any::<u64>()];
    prop_oneof![
        (ahead.clone(), any::<u64>(), few.clone(), few.clone()).prop_map(|(ahead, seed, nulls, bad)| Arrival::Scan {
            ahead,
            seed,
            nulls,
            bad
        }),
        (prop::collection::vec((0..TAGS, ahead), 1..20), any::<u64>(), few)
            .prop_map(|(rows, seed, nulls)| Arrival::Loose { rows, seed, nulls }),
    ]
}

fn values(kind: ValueKind, rows: usize, seed: u64, nulls: u64) -> Values {
    let pick = |row: usize| (seed.rotate_left(row as u32 * 7) & 0xff) as i64;
    let present = |row: usize| nulls >> (row % 64) & 1 == 0;
    let optional = |row: usize| present(row).then(|| pick(row));
    match kind {
        ValueKind::Float64 => Values::Float64((0..rows).map(|row| optional(row).map(|v| v as f64 / 3.0)).collect()),
        ValueKind::Int64 => Values::Int64((0..rows).map(optional).collect()),
        ValueKind::Bool => Values::Bool((0..rows).map(|row| optional(row).map(|v| v > 100)).collect()),
        ValueKind::Text => Values::Text((0..rows).map(|row| optional(row).map(|v| format!("t{v}"))).collect()),
    }
}

fn batch(arrival: &Arrival, kind: ValueKind, clock: i64, layouts: &[Arc<Layout>]) -> Samples {
    match arrival {
        Arrival::Scan { ahead, seed, nulls, bad } => {
            let layout = &layouts[*seed as usize % layouts.len()];
            let rows = layout.tags.len();
            let quality: Vec<u16> = (0..rows).map(|row| if bad >> (row % 64) & 1 == 1 { 24 } else { 192 }).collect();
            let quality = (*bad != 0).then(|| quality.into());
            Samples::scan(layout, clock + ahead * SECOND, values(kind, rows, *seed, *nulls), quality).unwrap()
        }
        Arrival::Loose { rows, seed, nulls } => Samples::new(SampleColumns {
            times: Times::Each(rows.iter().map(|row| clock + row.1 * SECOND).collect::<Vec<_>>().into()),
            tags: rows.iter().map(|row| row.0).collect::<Vec<_>>().into(),
            values: values(kind, rows.len(), *seed, *nulls),
            quality: rows.iter().map(|row| if row.1 % 3 == 0 { 64 } else { 192 }).collect::<Vec<_>>().into(),
            checks: rows.iter().map(|row| row.0 as u16).collect::<Vec<_>>().into(),
        })
        .unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_hold_what_was_appended(
        epochs in prop::collection::vec((prop::collection::vec(arrival(), 0..4), 1_i64..900), 1..24),
        kind in prop::sample::select(ValueKind::ALL.to_vec()),
        commit_bytes in prop_oneof![Just(64 << 20), 200_usize..4000],
        reopen in 0_usize..24,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut data = DataFolder::open(folder.path()).unwrap();
        let directory = directory();
        let layouts = [Layout::new((0..TAGS).collect()), Layout::new(vec![5, 1, 3])];
        let config = DatasetConfig { commit_bytes, ..config(kind) };
        let mut historian = Historian::open(&data, config.clone()).unwrap();
        let (mut expected, mut clock) = (Vec::new(), START + 50 * MINUTE);
        for (epoch, (arrivals, seconds)) in epochs.iter().enumerate() {
            let epoch = epoch as u64 + 1;
            clock += seconds * SECOND;
            for arrival in arrivals {
                let samples = batch(arrival, kind, clock, &layouts);
                expected.extend(rows_of(&samples, &directory));
                historian.append(epoch, &Batch::Samples(samples), &directory).unwrap();
            }
            historian.end_epoch(epoch, clock);
            // Each row once, whatever is in files and whatever is not yet.
            let snapshot = historian.snapshot();
            let tail: usize = snapshot.tail().unwrap().iter().map(|batch| batch.num_rows()).sum();
            prop_assert_eq!(snapshot.manifest.rows() as usize + tail, expected.len());
            if epoch as usize == reopen {
                historian.close().unwrap();
                drop(data);
                data = DataFolder::open(folder.path()).unwrap();
                historian = Historian::open(&data, config.clone()).unwrap();
                prop_assert!(historian.held() <= epoch);
            }
        }
        expected.sort();
        // Settled, so that no merge exchanges a folder while it is read.
        historian.settle().unwrap();
        let found = if expected.is_empty() { Vec::new() } else { read(folder.path(), "history") };
        prop_assert_eq!(&found, &expected);

        // Long after: every hour is one file.
        historian.end_epoch(1000, clock + 10 * HOUR);
        historian.settle().unwrap();
        if !expected.is_empty() {
            prop_assert_eq!(read(folder.path(), "history"), expected);
            let manifest = historian.snapshot().manifest;
            let mut hours: Vec<&str> = manifest.files.iter().filter_map(|file| file.path.rsplit_once('/')).map(|path| path.0).collect();
            let files = hours.len();
            hours.dedup();
            prop_assert_eq!(files, hours.len(), "one file an hour");
        }
    }
}

#[test]
fn an_epoch_that_is_held_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let layout = Layout::new((0..TAGS).collect());
    let scan = |second: i64| {
        let values = Values::Float64(vec![second as f64; TAGS as usize].into());
        Batch::Samples(Samples::scan(&layout, START + second * SECOND, values, None).unwrap())
    };
    let historian = Historian::open(&data, config(ValueKind::Float64)).unwrap();
    for epoch in 1..=10 {
        historian.append(epoch, &scan(epoch as i64), &directory).unwrap();
        historian.end_epoch(epoch, START + epoch as i64 * SECOND);
    }
    assert_eq!((historian.held(), historian.committed()), (10, 0));
    assert_eq!(historian.close().unwrap(), 10);

    // The log is read again from 6; epoch 11 begins, and its pipeline fails and begins again.
    let historian = Historian::open(&data, config(ValueKind::Float64)).unwrap();
    assert_eq!((historian.held(), historian.committed()), (10, 10));
    for epoch in 6..=11 {
        historian.append(epoch, &scan(epoch as i64), &directory).unwrap();
        if epoch < 11 {
            historian.end_epoch(epoch, START + epoch as i64 * SECOND);
        }
    }
    historian.restart();
    historian.append(11, &scan(11), &directory).unwrap();
    historian.end_epoch(11, START + 11 * SECOND);
    assert_eq!(historian.stats().skipped_rows, 5 * u64::from(TAGS));
    historian.close().unwrap();
    assert_eq!(read(folder.path(), "history").len(), 11 * TAGS as usize);
}

#[test]
fn commits_follow_engine_time_and_tell_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&data, config(ValueKind::Float64)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    historian.on_commit(move |committed| sender.send(committed.clone()).unwrap());
    let layout = Layout::new(vec![0, 1]);
    for second in 0..150_i64 {
        let values = Values::Float64(Float64Array::from(vec![1.0, 2.0]));
        let scan = Samples::scan(&layout, START + second * SECOND, values, None).unwrap();
        historian.append(second as u64 + 1, &Batch::Samples(scan), &directory).unwrap();
        historian.end_epoch(second as u64 + 1, START + second * SECOND);
    }
    for (epoch, first) in [(61, 1), (121, 62)] {
        let committed = receiver.recv().unwrap();
        assert_eq!((committed.epoch, committed.rows.first().unwrap().epoch), (epoch, first));
        assert_eq!(committed.engine_time, START + (epoch as i64 - 1) * SECOND);
    }
    historian.commit().unwrap();
    assert_eq!(receiver.recv().unwrap().epoch, 150);
}

#[test]
fn appenders_end_an_epoch_together_and_go_on_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&data, config(ValueKind::Int64)).unwrap();
    let (one, other) = (historian.appender(), historian.appender());
    let sample = |tag: u32, second: i64| {
        let value = ducto_record::Value::Int64(second);
        Batch::Samples(Samples::single(
            START + second * SECOND,
            tag,
            &value,
            ValueKind::Int64,
            ducto_record::Quality::GOOD,
        ))
    };
    for epoch in 1..=4 {
        one.append(epoch, &sample(0, epoch as i64), &directory).unwrap();
        one.end_epoch(epoch, START + epoch as i64 * SECOND);
    }
    assert_eq!(historian.held(), 0);
    for epoch in 1..=3 {
        other.append(epoch, &sample(1, epoch as i64), &directory).unwrap();
        other.end_epoch(epoch, START + epoch as i64 * SECOND);
    }
    assert_eq!(historian.held(), 3);
    assert_eq!(historian.commit().unwrap(), 3);
    assert_eq!(read(folder.path(), "history").len(), 6);

    // Half of an epoch, given again after a failure, does not touch what the other has brought.
    other.append(4, &sample(1, 4), &directory).unwrap();
    other.restart();
    other.append(4, &sample(1, 4), &directory).unwrap();
    other.end_epoch(4, START + 4 * SECOND);
    one.append(5, &sample(0, 5), &directory).unwrap();
    one.end_epoch(5, START + 5 * SECOND);
    other.append(5, &sample(1, 5), &directory).unwrap();
    assert_eq!(historian.held(), 4);
    drop(other);
    assert_eq!(historian.held(), 5, "what waited for it has ended");
    one.append(6, &sample(0, 6), &directory).unwrap();
    one.end_epoch(6, START + 6 * SECOND);
    assert_eq!(historian.held(), 6);
    drop(one);
    historian.settle().unwrap();
    assert_eq!(historian.committed(), 6);
    assert_eq!(read(folder.path(), "history").len(), 10);
    assert_eq!(historian.stats().rows, 10);
}

#[test]
fn late_rows_lie_beside_and_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&data, config(ValueKind::Float64)).unwrap();
    let layout = Layout::new(vec![0, 1]);
    let mut epoch = 0;
    let mut put = |time: i64, clock: i64| {
        epoch += 1;
        let values = Values::Float64(vec![1.0, 2.0].into());
        let scan = Samples::scan(&layout, time, values, None).unwrap();
        historian.append(epoch, &Batch::Samples(scan), &directory).unwrap();
        historian.end_epoch(epoch, clock);
        historian.commit().unwrap();
    };
    let levels = || {
        historian.settle().unwrap();
        historian.snapshot().manifest.files.iter().map(|file| file.level).collect::<Vec<_>>()
    };
    put(START + SECOND, START + SECOND);
    put(START + 2 * SECOND, START + 2 * SECOND);
    assert_eq!(levels(), [Level::Commit, Level::Commit]);
    put(START + 3 * SECOND, START + HOUR + MINUTE);
    assert_eq!(levels(), [Level::Hour]);
    put(START + 4 * SECOND, START + HOUR + 2 * MINUTE);
    assert_eq!(levels(), [Level::Commit, Level::Hour]);
    historian.end_epoch(100, START + 2 * HOUR + 2 * MINUTE);
    assert_eq!(levels(), [Level::Hour]);
    assert_eq!(read(folder.path(), "history").len(), 8);
    assert_eq!(historian.stats().merges, 2);
}

#[test]
fn the_oldest_hours_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let mut config = config(ValueKind::Float64);
    config.keep.age = Some(3 * HOUR);
    let historian = Historian::open(&data, config).unwrap();
    let layout = Layout::new(vec![0, 1]);
    for hour in 0..10_i64 {
        let time = START + hour * HOUR;
        let scan = Samples::scan(&layout, time, Values::Float64(vec![1.0, 2.0].into()), None).unwrap();
        historian.append(hour as u64 + 1, &Batch::Samples(scan), &directory).unwrap();
        historian.end_epoch(hour as u64 + 1, time);
    }
    historian.settle().unwrap();
    let rows = read(folder.path(), "history");
    assert_eq!(rows.first().unwrap().1, START + 6 * HOUR, "hour 5 ended 4 h before the clock, hour 6 3 h before less");
    assert_eq!(rows.len() as u64 + historian.stats().expired_rows_by_age, 20);
    let days: Vec<_> =
        std::fs::read_dir(dataset_path(folder.path(), "history").join("date=2026-01-01")).unwrap().collect();
    assert_eq!(days.len(), 4, "folders of hours that are gone are gone");
}

#[test]
fn large_row_groups_and_every_kind_of_number() {
    // More rows than a row group, doubles of every encoding, NaN and infinities.
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let mut builder = Directory::builder();
    let tags: Vec<u32> = (0..700).map(|tag| builder.tag(Tag::named(&format!("T{tag}"), ValueKind::Float64))).collect();
    let directory = Arc::new(builder.build());
    let layout = Layout::new(tags);
    let historian = Historian::open(&data, config(ValueKind::Float64)).unwrap();
    let value = |tag: u64, second: u64| {
        let mixed = (tag << 32 | second).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match tag % 5 {
            0 => mixed as f64,
            1 => (mixed >> 52) as f64 * 500.0 / 4096.0,
            2 => f64::NAN,
            3 if second.is_multiple_of(7) => f64::NEG_INFINITY,
            _ => -0.0,
        }
    };
    for second in 0..1600_u64 {
        let values: Vec<f64> = (0..700).map(|tag| value(tag, second)).collect();
        let scan =
            Samples::scan(&layout, START + second as i64 * SECOND, Values::Float64(values.into()), None).unwrap();
        historian.append(second + 1, &Batch::Samples(scan), &directory).unwrap();
        historian.end_epoch(second + 1, START);
    }
    historian.close().unwrap();
    let manifest = Manifest::load(folder.path(), "history").unwrap().unwrap();
    assert_eq!(manifest.rows(), 700 * 1600);
    let path = dataset_path(folder.path(), "history").join(&manifest.files[0].path);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let tag = batch.column(1).as_string::<i32>().value(row)[1..].parse().unwrap();
            let second = ((times.value(row) - START) / SECOND) as u64;
            assert_eq!(values.value(row).to_bits(), value(tag, second).to_bits());
        }
    }
}

#[test]
fn counters_keep_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&data, config(ValueKind::Int64)).unwrap();
    let values = vec![i64::MAX, i64::MIN, -1, 0, 1 << 53, (1 << 53) + 1, 7];
    let layout = Layout::new((0..TAGS).collect());
    let scan = Samples::scan(&layout, START, Values::Int64(values.clone().into()), None).unwrap();
    historian.append(1, &Batch::Samples(scan), &directory).unwrap();
    historian.end_epoch(1, START);
    historian.close().unwrap();
    let manifest = Manifest::load(folder.path(), "history").unwrap().unwrap();
    let path = dataset_path(folder.path(), "history").join(&manifest.files[0].path);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let found: Vec<i64> =
        reader.flat_map(|batch| batch.unwrap().column(2).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert!(values.iter().rev().eq(&found), "numbers are in reverse order of names");
    assert_eq!(found.len(), TAGS as usize);
}
