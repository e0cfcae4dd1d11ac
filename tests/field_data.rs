//! Recorded field data through quality, aggregates and historian, against a plain computation over the same files.
//! The data (SKAB: a pump and valve rig at 1 Hz; NAB: machine temperatures and others) keeps its own licences and is
//! not part of the project: without it these tests have nothing to do, and say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt16Type};
use ducto_graph::decode::OrderedMap;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::Loader;
use ducto_graph::operator::{Intake, Resources};
use ducto_graph::scalar::TimeZone;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use ducto_operators::sinks::Historians;
use ducto_operators::sources::replay::{Options as Form, Recording};
use ducto_record::time::MINUTE;
use ducto_record::{Checks, Origin, Part};
use ducto_runtime::{ClockMode, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rows that are taken of each NAB series.
const NAB_ROWS: usize = 500;

/// Good values of a window, in the order of time.
type Windows = BTreeMap<(String, i64), Vec<f64>>;

fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DUCTO_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join(folder);
    if !path.is_dir() {
        eprintln!("no `{folder}` in `{}`: nothing to compare with", root.display());
        return None;
    }
    Some(path)
}

fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort();
    files
}

/// Rows of a file: time in µs, and the value of each column, by name.
fn plain_rows(path: &Path, separator: char) -> Vec<(i64, BTreeMap<String, f64>)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(separator).collect();
    let mut rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(separator).collect();
            let time = format!("{}Z", cells[0].replace(' ', "T"));
            let values =
                names[1..].iter().zip(&cells[1..]).map(|(name, cell)| ((*name).to_owned(), cell.parse().unwrap()));
            (ducto_record::time::parse(&time).unwrap(), values.collect())
        })
        .collect();
    rows.sort_by_key(|(time, _): &(i64, BTreeMap<String, f64>)| *time);
    rows
}

/// The check and the windows by a plain loop: a value further than `jump` from the last good one is bad.
fn plain(rows: &[(i64, BTreeMap<String, f64>)], jump: f64, every: i64) -> (u64, Windows) {
    let mut last: BTreeMap<&str, f64> = BTreeMap::new();
    let mut windows = Windows::new();
    let mut jumps = 0;
    for (time, values) in rows {
        for (name, &value) in values {
            if last.get(name.as_str()).is_some_and(|last| (value - last).abs() > jump) {
                jumps += 1;
                continue;
            }
            last.insert(name, value);
            windows.entry((name.clone(), time.div_euclid(every) * every)).or_default().push(value);
        }
    }
    (jumps, windows)
}

/// Replays files through the graph; the folder then holds `history` and `windows`.
fn replay(files: &[PathBuf], form: &Form, jump: f64, every: &str, folder: &Path) {
    let pipeline = folder.join("field.yaml");
    let graph = format!(
        "\
pipeline: field
sources:
  field: {{type: tags}}
transforms:
  checked: {{type: quality, inputs: [field], checks: {{jump: {{limit: {jump}, rearm: never}}}}}}
  windows: {{type: aggregate, inputs: [checked], every: {every}, accept: good, outputs: [count, minimum, maximum, average, last]}}
sinks:
  history: {{type: historian, inputs: [checked], dataset: history, commit_every: 30d}}
  tier: {{type: historian, inputs: [windows], dataset: windows, commit_every: 30d}}
"
    );
    std::fs::write(&pipeline, graph).unwrap();
    let registry = ducto_operators::registry();
    let names = Recording::tag_names(files, form).unwrap();
    let base = Site::bare(names.iter().map(String::as_str));
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let site = Loader {
        registry: &registry,
        sources: &mut sources,
        diagnostics: &mut diagnostics,
        environment: &|_: &str| None,
    }
    .lone_pipeline(&pipeline, &base, &OrderedMap::default(), None);
    let site = site.unwrap_or_else(|| panic!("{}", diagnostics.render(&sources, false)));
    let mut resources = Resources::default();
    resources.insert(Arc::new(Historians::open(Arc::new(DataFolder::open(&folder.join("data")).unwrap())).unwrap()));
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch: 0,
        resources,
        feeders: false,
        sinks: SinkChoice::All,
        durable: None,
    };
    let recording = Recording::open(files, form, &site.directory).unwrap();
    let mut running = RunningSite::start(&site, &registry, options).unwrap();
    for entry in recording {
        let (time, batches) = entry.unwrap();
        let parts = batches.into_iter().map(|samples| Part::Samples { origin: Origin::Field, samples }).collect();
        running.intake().enter_at(time, parts).unwrap();
    }
    running.end_of_input();
    running.stop().unwrap();
}

fn read(data: &Path, dataset: &str, mut each: impl FnMut(&arrow::array::RecordBatch)) {
    let manifest = ducto_storage::Manifest::load(data, dataset).unwrap().unwrap();
    let _ = manifest;
    let mut folders = vec![ducto_storage::dataset_path(data, dataset)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let file = std::fs::File::open(path).unwrap();
                for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                    each(&batch.unwrap());
                }
            }
        }
    }
}

/// Everything stored equals the plain computation.
fn compare(folder: &Path, samples: u64, jumps: u64, windows: &Windows) {
    let data = folder.join("data");
    let (mut stored, mut jumped) = (0, 0);
    read(&data, "history", |batch| {
        stored += batch.num_rows() as u64;
        let checks = batch.column_by_name("checks").unwrap().as_primitive::<UInt16Type>();
        jumped += checks.values().iter().filter(|checks| Checks(**checks).contains(Checks::JUMP)).count() as u64;
    });
    assert_eq!((stored, jumped), (samples, jumps));

    let mut seen = 0;
    read(&data, "windows", |batch| {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let number = |name: &str| cast(&column(name), &DataType::Float64).unwrap();
        let times = column("time");
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let tags = cast(&column("tag"), &DataType::Utf8).unwrap();
        let counts = cast(&column("count"), &DataType::Int64).unwrap();
        for row in 0..batch.num_rows() {
            let key = (tags.as_string::<i32>().value(row).to_owned(), times.value(row));
            let Some(values) = windows.get(&key) else { panic!("a window that should not be there: {key:?}") };
            seen += 1;
            let get = |name: &str| number(name).as_primitive::<Float64Type>().value(row);
            assert_eq!(counts.as_primitive::<Int64Type>().value(row), values.len() as i64, "{key:?}");
            assert_eq!(get("minimum"), values.iter().copied().fold(f64::INFINITY, f64::min), "{key:?}");
            assert_eq!(get("maximum"), values.iter().copied().fold(f64::NEG_INFINITY, f64::max), "{key:?}");
            assert_eq!(get("last"), *values.last().unwrap(), "{key:?}");
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((get("average") - mean).abs() <= 1e-12 * mean.abs().max(1.0), "{key:?}");
        }
    });
    assert_eq!(seen, windows.len());
}

#[test]
fn skab_equals_a_plain_computation() {
    let Some(folder) = shared("sensors/skab/valve1") else { return };
    let form = Form { time: "datetime".into(), time_zone: Some(TimeZone::utc().zone().clone()), ..Form::default() };
    let files = csv_files(&folder);
    let mut rows: Vec<_> = files.iter().flat_map(|file| plain_rows(file, ';')).collect();
    rows.sort_by_key(|(time, _)| *time);
    let (jumps, windows) = plain(&rows, 2.0, MINUTE);
    assert!(jumps > 100, "the limit finds only {jumps} jumps and tests little");
    let temporary = tempfile::tempdir().unwrap();
    replay(&files, &form, 2.0, "1m", temporary.path());
    let samples = rows.iter().map(|(_, values)| values.len() as u64).sum();
    compare(temporary.path(), samples, jumps, &windows);
}

#[test]
fn nab_equals_a_plain_computation() {
    let Some(folder) = shared("sensors/nab/data/realKnownCause") else { return };
    let form = Form { time: "timestamp".into(), time_zone: Some(TimeZone::utc().zone().clone()), ..Form::default() };
    for whole in csv_files(&folder) {
        let temporary = tempfile::tempdir().unwrap();
        // The series go over months, and the history has a folder, synced, for each hour.
        let file = temporary.path().join("series.csv");
        let text = std::fs::read_to_string(whole).unwrap();
        std::fs::write(&file, text.lines().take(NAB_ROWS + 1).collect::<Vec<_>>().join("\n")).unwrap();
        let rows = plain_rows(&file, ',');
        let (jumps, windows) = plain(&rows, 5.0, 60 * MINUTE);
        replay(std::slice::from_ref(&file), &form, 5.0, "1h", temporary.path());
        compare(temporary.path(), rows.len() as u64, jumps, &windows);
    }
}
