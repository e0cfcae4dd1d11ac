//! A kill, a power cut or a full disk at every single operation on the disk: no row is lost, none is doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use ducto_record::time::{HOUR, MINUTE, SECOND};
use ducto_record::{Batch, Directory, Layout, Samples, Tag, ValueKind, Values};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::io::Errno;

use crate::disk::{Cut, Disk, Fault, SimulatedStorage};
use crate::folder::dataset_path;
use crate::{AppendError, DataFolder, DatasetConfig, DatasetSchema, Historian, Manifest};

const START: i64 = 1_767_225_600_000_000 + 59 * MINUTE;
const DATASET: &str = "history";

/// What has come in: an entry's number, its time and the engine's clock.
type Log = Vec<(u64, i64, i64)>;

struct Site {
    _folder: tempfile::TempDir,
    root: PathBuf,
    storage: SimulatedStorage,
    directory: Arc<Directory>,
    layout: Arc<Layout>,
    config: DatasetConfig,
}

impl Site {
    fn new() -> Self {
        let mut builder = Directory::builder();
        let tags = ["B", "A", "C"].map(|name| builder.tag(Tag::named(name, ValueKind::Float64)));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        std::fs::create_dir(&root).unwrap();
        let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
        Self {
            _folder: folder,
            root,
            storage,
            directory: Arc::new(builder.build()),
            layout: Layout::new(tags.to_vec()),
            config: DatasetConfig::new(DATASET, DatasetSchema::Samples(ValueKind::Float64)),
        }
    }

    fn path(&self) -> &Path {
        &self.root
    }

    fn folder(&self) -> DataFolder {
        DataFolder::open_on(Disk::new(Arc::new(self.storage.clone())), self.path()).unwrap()
    }

    fn fail_exchanges(&self, errno: Errno) {
        self.storage.set_trigger(move |_, verb, _| (verb == "exchange").then_some(Fault::Error(errno)));
    }

    /// Lets the power go after so many more operations.
    fn power_off_after(&self, operations: u64) {
        self.storage.plan(self.storage.operations() + operations, Fault::PowerOff);
    }

    fn open(&self) -> (DataFolder, Historian) {
        let folder = self.folder();
        let historian = Historian::open(&folder, self.config.clone()).unwrap();
        (folder, historian)
    }

    fn feed(&self, historian: &Historian, log: &[(u64, i64, i64)]) {
        for (epoch, time, clock) in log {
            let value = *epoch as f64;
            let values = Values::Float64(vec![value, value + 0.25, value + 0.5].into());
            let scan = Samples::scan(&self.layout, *time, values, None).unwrap();
            historian.append(*epoch, &Batch::Samples(scan), &self.directory).unwrap();
            historian.end_epoch(*epoch, *clock);
        }
    }

    /// Rows of files: those the manifest names, or every file that a reader from outside finds.
    fn rows(&self, files: impl Iterator<Item = PathBuf>) -> Vec<(String, i64, u64)> {
        let mut rows = Vec::new();
        for path in files {
            let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                for row in 0..batch.num_rows() {
                    rows.push((
                        batch.column(1).as_string::<i32>().value(row).to_owned(),
                        batch.column(0).as_primitive::<TimestampMicrosecondType>().value(row),
                        batch.column(2).as_primitive::<Float64Type>().value(row).to_bits(),
                    ));
                }
            }
        }
        rows.sort();
        rows
    }

    fn named(&self) -> Vec<(String, i64, u64)> {
        let live = dataset_path(self.path(), DATASET);
        let manifest = Manifest::load(self.path(), DATASET).unwrap().unwrap();
        self.rows(manifest.files.iter().map(|file| live.join(&file.path)))
    }

    fn listed(&self) -> Vec<(String, i64, u64)> {
        let mut files = Vec::new();
        let mut pending = vec![dataset_path(self.path(), DATASET)];
        while let Some(folder) = pending.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { pending.push(path) } else { files.push(path) }
            }
        }
        self.rows(files.into_iter())
    }

    fn expected(&self, log: &Log) -> Vec<(String, i64, u64)> {
        let mut rows: Vec<_> = log
            .iter()
            .flat_map(|(epoch, time, _)| {
                let value = *epoch as f64;
                [("B", value), ("A", value + 0.25), ("C", value + 0.5)]
                    .map(|(tag, value)| (tag.to_owned(), *time, value.to_bits()))
            })
            .collect();
        rows.sort();
        rows
    }
}

/// Entries every ten seconds, across the end of an hour.
fn entries(epochs: std::ops::RangeInclusive<u64>) -> Log {
    epochs.map(|epoch| (epoch, START + epoch as i64 * 10 * SECOND, START + epoch as i64 * 10 * SECOND)).collect()
}

/// Runs `act` and ends it after 0, 1, 2, … operations until it runs through, by a kill, which leaves what was written,
/// and by power cuts, which leave what was synced and by chance some more; and checks what the next start finds.
fn crash_at_every_step(
    prepare: impl Fn(&Site) -> Log,
    act: impl Fn(&Site, &Historian) -> Log,
    while_down: impl Fn(&Site),
) {
    for cut in [Cut::Kind, Cut::Strict, Cut::Chance(1)] {
        crash_in_one_way(cut, &prepare, &act, &while_down);
    }
}

fn crash_in_one_way(
    cut: Cut,
    prepare: impl Fn(&Site) -> Log,
    act: impl Fn(&Site, &Historian) -> Log,
    while_down: impl Fn(&Site),
) {
    for step in 0.. {
        let cut = if let Cut::Chance(seed) = cut { Cut::Chance(seed + 100 * step) } else { cut };
        let site = Site::new();
        let mut log = prepare(&site);
        let (folder, historian) = site.open();
        site.power_off_after(step);
        log.extend(act(&site, &historian));
        let through = historian.settle().is_ok();
        drop((folder, historian));
        let stopped = site.storage.is_off();
        site.storage.restart(cut).unwrap();
        while_down(&site);

        let found = crate::recover(&site.folder()).unwrap().held;
        let (_folder, historian) = site.open();
        let held = historian.held();
        assert_eq!(found, held, "step {step}: what follows is numbered behind what is adopted");
        assert_eq!(historian.committed(), held);
        assert_eq!(site.listed(), site.named(), "step {step}: what lies there is what the manifest names");
        let stored: Log = log.iter().copied().filter(|(epoch, ..)| *epoch <= held).collect();
        assert_eq!(site.named(), site.expected(&stored), "{cut:?}, step {step}: every row up to epoch {held} once");
        // The log gives all again.
        site.feed(&historian, &log);
        historian.settle().unwrap();
        assert_eq!(site.named(), site.expected(&log), "step {step}");
        assert_eq!(site.listed(), site.named());
        let staged = std::fs::read_dir(site.path().join("staging").join(DATASET)).unwrap().count();
        assert_eq!(staged, 0, "step {step}: staging is empty again");
        if through && !stopped {
            assert!(step > 5, "the test has stopped something");
            return;
        }
    }
}

#[test]
fn a_commit_across_two_hours() {
    crash_at_every_step(
        |site| {
            let log = entries(1..=2);
            let (_folder, historian) = site.open();
            site.feed(&historian, &log);
            historian.commit().unwrap();
            log
        },
        |site, historian| {
            let log = entries(3..=9);
            site.feed(historian, &log);
            log
        },
        |_| {},
    );
}

#[test]
fn the_first_commit_of_all() {
    crash_at_every_step(
        |_| Log::new(),
        |site, historian| {
            let log = entries(1..=3);
            site.feed(historian, &log);
            log
        },
        |_| {},
    );
}

#[test]
fn the_first_commit_of_all_across_two_hours() {
    crash_at_every_step(
        |_| Log::new(),
        |site, historian| {
            let log = entries(3..=9);
            site.feed(historian, &log);
            log
        },
        |_| {},
    );
}

#[test]
fn rows_of_many_weeks() {
    let weeks = |epochs: std::ops::RangeInclusive<u64>| -> Log {
        entries(epochs).into_iter().map(|(epoch, _, clock)| (epoch, START - epoch as i64 * 200 * HOUR, clock)).collect()
    };
    crash_at_every_step(
        |site| {
            let log = weeks(1..=4);
            let (_folder, historian) = site.open();
            site.feed(&historian, &log);
            historian.commit().unwrap();
            log
        },
        |site, historian| {
            let log = weeks(5..=6);
            site.feed(historian, &log);
            log
        },
        |_| {},
    );
}

#[test]
fn a_merge_shows_the_old_or_the_new_hour() {
    let log = || {
        let mut log = entries(1..=12);
        // A late row for the first hour.
        log.push((13, START, START + 13 * 10 * SECOND));
        log
    };
    crash_at_every_step(
        |site| {
            let log = log();
            let (_folder, historian) = site.open();
            for entries in log.chunks(3) {
                site.feed(&historian, entries);
                historian.commit().unwrap();
            }
            log
        },
        |_, historian| {
            historian.end_epoch(20, START + 2 * HOUR);
            Log::new()
        },
        // At whatever step it stopped, a reader from outside finds each row once.
        |site| assert_eq!(site.listed(), site.expected(&log())),
    );
}

#[test]
fn the_lost_manifest_of_a_whole_folder_is_made_again() {
    let site = Site::new();
    let log = entries(1..=12);
    {
        let (_folder, historian) = site.open();
        for entries in log.chunks(3) {
            site.feed(&historian, entries);
            historian.commit().unwrap();
        }
        historian.end_epoch(13, START + 90 * MINUTE);
        historian.settle().unwrap();
    }
    std::fs::remove_file(site.path().join("manifests").join("history.json")).unwrap();
    assert_eq!(crate::recover(&site.folder()).unwrap().held, 12);
    let (_folder, historian) = site.open();
    assert_eq!(historian.held(), 12);
    assert_eq!(site.named(), site.expected(&log));
}

#[test]
fn foreign_and_damaged_files_are_set_aside() {
    let site = Site::new();
    let log = entries(1..=3);
    {
        let (_folder, historian) = site.open();
        site.feed(&historian, &log);
        historian.commit().unwrap();
    }
    let manifest = Manifest::load(site.path(), DATASET).unwrap().unwrap();
    let live = dataset_path(site.path(), DATASET);
    let good = live.join(&manifest.files[0].path);
    std::fs::write(good.with_file_name("notes.txt"), "mine").unwrap();
    std::fs::copy(&good, good.with_file_name("copy.parquet")).unwrap();
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&good, &bytes[..bytes.len() / 2]).unwrap();
    let recovered = crate::recover(&site.folder()).unwrap();
    let hour = PathBuf::from(&manifest.files[0].path);
    let aside = site.path().join("damaged/datasets").join(DATASET);
    for path in [hour.clone(), hour.with_file_name("notes.txt"), hour.with_file_name("copy.parquet")] {
        assert!(aside.join(&path).is_file(), "{}", path.display());
    }
    let lost: Vec<Option<u64>> = recovered.findings.iter().map(|finding| finding.rows).collect();
    assert_eq!(lost, [None, None, Some(9)], "{:?}", recovered.findings);
    let (_folder, historian) = site.open();
    assert_eq!(historian.held(), 3);
    assert!(site.named().is_empty());
}

#[test]
fn a_full_disk_keeps_the_rows_in_memory() {
    for step in 0.. {
        let mut site = Site::new();
        site.config.commit_bytes = 2000;
        site.config.buffer_bytes = 4000;
        let log = entries(1..=9);
        let (_folder, historian) = site.open();
        let passed = site.storage.operations() + step;
        site.storage.set_trigger(move |number, verb, _| {
            let needs_space = matches!(verb, "open" | "write" | "sync" | "create folder");
            (needs_space && number >= passed).then_some(Fault::Error(Errno::NOSPC))
        });
        site.feed(&historian, &log);
        let result = historian.commit();
        if let Err(error) = &result {
            let error = error.to_string();
            assert!(
                error.contains("No space left") && error.contains("free space on that disk"),
                "step {step}: {error}"
            );
            assert!(historian.stats().errors > 0);
            // Until the buffers have reached their limit, rows are taken.
            let mut full = false;
            for (epoch, time, _) in entries(10..=100) {
                let values = Values::Float64(vec![epoch as f64, epoch as f64 + 0.25, epoch as f64 + 0.5].into());
                let scan = Batch::Samples(Samples::scan(&site.layout, time, values, None).unwrap());
                match historian.append(epoch, &scan, &site.directory) {
                    Ok(()) => historian.end_epoch(epoch, time),
                    Err(AppendError::Full { cause, .. }) => {
                        assert!(cause.contains("No space left"), "{cause}");
                        full = true;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(full, "step {step}: the buffers are bounded");
            assert!(!historian.wait_for_room(Duration::ZERO));
        }
        site.storage.clear_trigger();
        let held = historian.held();
        assert_eq!(historian.commit().unwrap(), held);
        assert!(historian.wait_for_room(Duration::ZERO));
        assert!(historian.stats().last_error.is_none());
        historian.settle().unwrap();
        assert_eq!(site.named(), site.expected(&entries(1..=held)), "step {step}");
        assert_eq!(site.listed(), site.named());
        if result.is_ok() {
            assert!(step > 3, "the test has stopped something");
            return;
        }
    }
}

#[test]
fn an_expiry_that_is_cut_short_is_finished() {
    for step in 0.. {
        let mut site = Site::new();
        let log = entries(1..=12);
        {
            let (_folder, historian) = site.open();
            site.feed(&historian, &log);
            historian.commit().unwrap();
        }
        site.config.keep.age = Some(HOUR);
        {
            let (_folder, historian) = site.open();
            site.power_off_after(step);
            // The first hour ended an hour ago.
            historian.end_epoch(20, START + 62 * MINUTE);
            let _ = historian.settle();
        }
        let stopped = site.storage.is_off();
        site.storage.restart(if step % 2 == 0 { Cut::Kind } else { Cut::Strict }).unwrap();
        let (_folder, historian) = site.open();
        historian.end_epoch(21, START + 62 * MINUTE);
        historian.settle().unwrap();
        let kept: Log = log.iter().copied().filter(|(_, time, _)| *time >= START + MINUTE).collect();
        assert_eq!(site.named(), site.expected(&kept), "step {step}");
        assert_eq!(site.listed(), site.named(), "step {step}");
        if !stopped {
            return;
        }
    }
}

/// A merge that cannot be is left: what comes goes on being committed, and each row is there once.
fn merge_without_exchange(errno: Errno) -> Site {
    let site = Site::new();
    let log = entries(1..=40);
    let (_folder, historian) = site.open();
    // Before the first hour ends: its merge may begin at any time after that.
    site.fail_exchanges(errno);
    for entries in log[..12].chunks(3) {
        site.feed(&historian, entries);
        historian.commit().unwrap();
    }
    site.feed(&historian, &log[12..]);
    // The first hour has ended long ago.
    historian.end_epoch(41, START + 10 * MINUTE);
    historian.settle().unwrap();
    assert_eq!(historian.committed(), 41);
    assert!(historian.stats().last_error.is_none());
    assert_eq!(historian.stats().merges, 0);
    assert_eq!(site.named(), site.expected(&log));
    assert_eq!(site.listed(), site.named());
    let staged = std::fs::read_dir(site.path().join("staging").join(DATASET)).unwrap().count();
    assert_eq!(staged, 0, "what the merge had written is gone");
    site.storage.clear_trigger();
    if historian.stats().merge_errors > 0 {
        assert!(historian.stats().merge_error.unwrap().contains("exchange"));
        historian.end_epoch(42, START + 4 * HOUR);
        historian.settle().unwrap();
        assert!(historian.stats().merges > 0, "it is tried again");
    }
    assert_eq!(site.named(), site.expected(&log));
    site
}

#[test]
fn a_merge_that_fails_before_its_exchange_holds_up_nothing() {
    merge_without_exchange(Errno::IO);
}

#[test]
fn without_an_exchange_there_are_no_merges() {
    let site = merge_without_exchange(Errno::INVAL);
    site.fail_exchanges(Errno::INVAL);
    let (_folder, historian) = site.open();
    historian.end_epoch(100, START + 10 * HOUR);
    historian.settle().unwrap();
    assert_eq!((historian.stats().merges, historian.stats().merge_errors), (0, 0));
    assert_eq!(site.named(), site.expected(&entries(1..=40)));
    site.storage.clear_trigger();
}

#[test]
fn a_missing_file_costs_its_own_hour_only() {
    let site = Site::new();
    let hours: Log =
        (0..6).map(|n: i64| (n as u64 + 1, START + (n / 3) * HOUR + n, START + (n / 3) * HOUR + n)).collect();
    let (_folder, historian) = site.open();
    for entry in &hours {
        site.feed(&historian, &[*entry]);
        historian.commit().unwrap();
        if entry.0 == 3 {
            let manifest = Manifest::load(site.path(), DATASET).unwrap().unwrap();
            std::fs::remove_file(dataset_path(site.path(), DATASET).join(&manifest.files[0].path)).unwrap();
        }
    }
    historian.end_epoch(10, START + 5 * HOUR);
    historian.settle().unwrap();
    let stats = historian.stats();
    assert_eq!((stats.merges, stats.merge_errors), (1, 1), "{stats:?}");
    let manifest = Manifest::load(site.path(), DATASET).unwrap().unwrap();
    assert_eq!(manifest.files.len(), 4, "three of the first hour, one of the second");
    site.feed(&historian, &[(11, START + 5 * HOUR, START + 5 * HOUR)]);
    assert_eq!(historian.commit().unwrap(), 11);
}
