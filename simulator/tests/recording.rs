//! Recordings, read back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType, UInt16Type};
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Sources;
use ducto_simulator::record::{Pace, RecordError, Recorded, record};
use ducto_simulator::{Overrides, Scenario};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const SECOND: i64 = 1_000_000;

fn scenario() -> Arc<Scenario> {
    let text = "
simulation: test
start: 2026-02-03T00:00:00Z
wells: {count: 2}
events:
  - {at: 10m, well: WELL-001, event: gas_lock, for: 20m}
  - {at: 20m, well: WELL-002, event: dead, for: 10m}
  - {at: 40m, well: WELL-001, tag: THP, event: freeze, for: 10m}
";
    let units = ducto_operators::units::units();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let read = Scenario::from_text("test.yaml", text, &Overrides::default(), &units, &mut sources, &mut found);
    Arc::new(read.unwrap_or_else(|| panic!("{}", found.render(&sources, false))))
}

fn hour(path: &Path) -> Recorded {
    record(scenario(), path, Pace { every: 60 * SECOND, time: 3_600 * SECOND }, |_| true).unwrap()
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn a_recording_has_the_truth_beside_what_was_received() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hour.parquet");
    let recorded = hour(&path);
    let rows = read(&path);
    assert_eq!(recorded, Recorded { rows: 60 * 64, tags: 64, time: 3_600 * SECOND });
    assert_eq!(rows.num_rows() as u64, recorded.rows);
    let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "tag", "value", "quality", "true_value", "fault", "event"]);
    let text = |index: usize| cast(rows.column(index), &DataType::Utf8).unwrap();
    let (tags, faults, events) = (text(1), text(5), text(6));
    let (tags, faults, events) = (tags.as_string::<i32>(), faults.as_string::<i32>(), events.as_string::<i32>());
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
    let (values, truth) = (rows.column(2).as_primitive::<Float64Type>(), rows.column(4).as_primitive::<Float64Type>());
    let qualities = rows.column(3).as_primitive::<UInt16Type>();
    let start = 1_770_076_800 * SECOND;
    assert_eq!((times.value(0), times.value(rows.num_rows() - 1)), (start, start + 59 * 60 * SECOND));
    let mut frozen = BTreeSet::new();
    for row in 0..rows.num_rows() {
        let minute = (times.value(row) - start) / (60 * SECOND);
        let tag = tags.value(row);
        let dead = tag.starts_with("WELL-002.") && (20..30).contains(&minute);
        assert_eq!(values.is_null(row), dead, "{tag} in minute {minute}");
        assert_eq!(qualities.value(row), if dead { 24 } else { 192 });
        let stuck = tag == "WELL-001.THP" && (40..50).contains(&minute);
        let fault = if dead {
            Some("dead")
        } else if stuck {
            Some("freeze")
        } else {
            None
        };
        assert_eq!(faults.is_valid(row).then(|| faults.value(row)), fault, "{tag} in minute {minute}");
        let locked = tag.starts_with("WELL-001.") && (10..30).contains(&minute);
        assert_eq!(events.is_valid(row).then(|| events.value(row)), locked.then_some("gas_lock"), "{tag}, {minute}");
        assert!(truth.is_valid(row) && truth.value(row).is_finite());
        if stuck {
            frozen.insert(values.value(row).to_bits());
        }
    }
    assert_eq!(frozen.len(), 1);
}

#[test]
fn the_same_seed_is_the_same_file_and_csv_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, csv] = ["1.parquet", "2.parquet", "3.csv"].map(|name| folder.path().join(name));
    hour(&one);
    hour(&two);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    hour(&csv);
    let rows = read(&one);
    let text = std::fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), rows.num_rows() + 1);
    assert_eq!(lines[0], "time,tag,value,quality,true_value,fault,event");
    let values = rows.column(2).as_primitive::<Float64Type>();
    for (row, line) in lines[1..].iter().enumerate() {
        let value = line.split(',').nth(2).unwrap();
        assert_eq!(value.parse().ok(), values.is_valid(row).then(|| values.value(row)), "{line}");
    }
    assert!(lines[1].starts_with("2026-02-03T00:00:00"), "{}", lines[1]);
    // Nothing half written is left.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn a_recording_that_is_stopped_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stopped.parquet");
    let pace = Pace { every: SECOND, time: 30 * 86_400 * SECOND };
    let mut asked = 0;
    let recorded = record(scenario(), &path, pace, |_| {
        asked += 1;
        asked < 2
    });
    let recorded = recorded.unwrap();
    assert!(recorded.time < pace.time && recorded.rows > 0);
    assert_eq!(read(&path).num_rows() as u64, recorded.rows);
}

#[test]
fn files_that_cannot_be_are_refused() {
    let pace = Pace { every: SECOND, time: SECOND };
    let wrong = |path: &str| record(scenario(), Path::new(path), pace, |_| true).unwrap_err();
    assert!(matches!(wrong("field.xlsx"), RecordError::Kind(_)));
    let text = wrong("/nowhere/field.csv").to_string();
    assert!(text.contains("/nowhere/field.csv") && text.contains("another file"), "{text}");
}
