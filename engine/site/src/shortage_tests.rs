//! What a site does when something under it fails: its disk takes nothing more, its clock is set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ducto_record::time::{self, SECOND};
use ducto_record::{Layout, Origin, Part, Samples, Values};
use ducto_runtime::WallClock;
use ducto_storage::Journal;
use ducto_storage::disk::{Disk, Fault, SimulatedStorage};
use rustix::io::Errno;

use crate::protocol::SystemAlarm;
use crate::socket::field::{Field, directory, eventually};

fn part(tag: u32, value: f64) -> Part {
    let samples = Samples::scan(&Layout::new(vec![tag]), 7, Values::Float64([Some(value)].into_iter().collect()), None);
    Part::Samples { origin: Origin::Field, samples: samples.unwrap() }
}

fn alarm(field: &Field, name: &str) -> Option<SystemAlarm> {
    field.status().alarms.into_iter().find(|alarm| alarm.name == name)
}

/// How often each value of a tag is in the journal.
fn journaled(field: &Field, tag: u32) -> BTreeMap<i64, usize> {
    let journal = field.path().join("journal");
    let opened = Journal::open(&Disk::default(), &journal, &Arc::new(directory())).unwrap();
    let mut reader = opened.journal.reader(0);
    let mut found = BTreeMap::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        for part in &entry.parts {
            let Part::Samples { samples, .. } = part else { continue };
            for row in (0..samples.len()).filter(|row| samples.tags()[*row] == tag) {
                *found.entry(samples.values().number(row).unwrap() as i64).or_default() += 1;
            }
        }
    }
    found
}

#[test]
fn on_a_disk_that_became_read_only_views_go_on_and_nothing_accepted_is_lost() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // On the same file system, and not inside.
    let attic = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
    let storage = SimulatedStorage::new(folder.path(), attic.path()).unwrap();
    let mut field = Field::start_in(&folder, Disk::new(Arc::new(storage.clone())), WallClock::default());
    let intake = field.live.intake().unwrap();
    intake.accept(vec![part(0, 1.0)]).unwrap();

    storage.set_trigger(|_, verb, _| (verb != "read").then_some(Fault::Error(Errno::ROFS)));
    let accepting = {
        let intake = intake.clone();
        std::thread::spawn(move || intake.accept(vec![part(0, 2.0)]))
    };
    let waits = eventually("the alarm", || alarm(&field, "JOURNAL_WAITS"));
    assert!(waits.why.contains("Read-only file system"), "{waits:?}");
    // Who looks sees what comes in; who wants to know that it is on disk is not told so.
    for value in 3..20 {
        field.feed(&[(0, f64::from(value)), (2, 7.0)]);
        let seen = field.live.view("state");
        assert!(seen.iter().any(|row| row["tag"] == "W1.THP" && row["value"] == f64::from(value)), "{seen:?}");
    }
    assert!(!accepting.is_finished(), "accepted though nothing can be written");
    assert!(alarm(&field, "JOURNAL_WAITS").is_some());

    storage.clear_trigger();
    assert!(accepting.join().unwrap().is_ok());
    eventually("the alarm to go", || alarm(&field, "JOURNAL_WAITS").is_none().then_some(()));
    field.feed(&[(0, 20.0)]);
    let alarms = field.status().alarms;
    assert!(!alarms.iter().any(|alarm| ["ROWS_DROPPED", "ENTRIES_LOST"].contains(&alarm.name.as_str())), "{alarms:?}");
    field.live.stop().unwrap();
    assert_eq!(journaled(&field, 0), (1..=20).map(|value| (value, 1)).collect());
}

#[test]
fn engine_time_never_goes_back_and_a_step_of_the_wall_clock_is_told() {
    let moved = Arc::new(AtomicI64::new(0));
    let wall = {
        let moved = moved.clone();
        WallClock::new(move || time::now() + moved.load(Ordering::Relaxed))
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut field = Field::start_in(&folder, Disk::default(), wall.clone());
    let start = field.status().time;
    let tap = field.live.tap("other", "all", "main").unwrap();
    let mut steps = 0;
    for (seconds, said) in [(-3_600, "3600 s behind"), (7_200, "7200 s ahead of")] {
        moved.store(seconds * SECOND, Ordering::Relaxed);
        steps += 1;
        field.feed(&[(0, 1.0)]);
        eventually(said, || alarm(&field, "CLOCK_STEPPED").filter(|alarm| alarm.why.contains(said)));
        assert_eq!(field.status().clock_steps, steps);
        field.feed(&[(0, 2.0)]);
    }
    moved.store(0, Ordering::Relaxed);
    eventually("the alarm to go", || alarm(&field, "CLOCK_STEPPED").is_none().then_some(()));
    field.feed(&[(0, 3.0)]);
    let stamps: Vec<i64> = tap.batches.try_iter().map(|seen| seen.stamp).collect();
    assert_eq!(stamps.len(), 5);
    assert!(stamps.is_sorted() && stamps[0] >= start && stamps[4] <= time::now() + SECOND, "{start}: {stamps:?}");
    field.live.stop().unwrap();
    drop(field);

    // Set back while no site ran: engine time goes on from where it was, and is not held until the clock has come so far.
    moved.store(-3_600 * SECOND, Ordering::Relaxed);
    let mut field = Field::start_in(&folder, Disk::default(), wall);
    let told = alarm(&field, "CLOCK_STEPPED").expect("an alarm from the start on");
    assert!(told.why.contains("behind the site's"), "{told:?}");
    let tap = field.live.tap("other", "all", "main").unwrap();
    field.feed(&[(0, 4.0)]);
    field.feed(&[(0, 5.0)]);
    let again: Vec<i64> = tap.batches.try_iter().map(|seen| seen.stamp).collect();
    assert!(stamps[4] <= again[0] && again[0] < again[1], "{stamps:?} {again:?}");
    field.live.stop().unwrap();
}
