//! Ten times the load that disk and sinks take: memory stays inside its budget, every row that is not taken is counted,
//! and what was taken comes to every sink once there is room again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Other tests use the rest.
mod bench;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bench::{Bench, Outside};
use ducto_graph::operator::{Intake, IntakeError};
use ducto_record::{Origin, Part};
use ducto_runtime::{ClockMode, TroubleKind};
use ducto_storage::disk::{Disk, Fault, SimulatedStorage};
use ducto_storage::{DataFolder, Journal};

/// The least that a site may be given: 16 MB, of which the log has a quarter.
const MEMORY: u64 = 16_000_000;
const ROWS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// Waits until so many rows have entered, and every pipeline is done with them.
fn settle(bench: &Bench, taken: u64) {
    let end = Instant::now() + PATIENCE;
    while bench.site().log().state().rows < taken {
        assert!(Instant::now() < end, "what was taken does not enter: {:?}", bench.site().log().state());
        std::thread::yield_now();
    }
    bench.settle();
}

#[test]
fn ten_times_the_load_is_counted_and_memory_stays_in_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir(&root).unwrap();
    let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
    let data = DataFolder::open_on(Disk::new(Arc::new(storage.clone())), &root).unwrap();
    let mut bench = Bench::start_on(&Outside::default(), Some(&data), MEMORY, 1, ClockMode::Wall, &[]);
    let intake = bench.site().intake().clone();
    let mut part = bench::samples_part(intake.now(), &vec![(1, 1.0); ROWS]);
    if let Part::Samples { origin, .. } = &mut part {
        // Past the test's sums, which are slow by themselves.
        *origin = Origin::Source { pipeline: "reader".into(), node: "all".into() };
    }
    storage.set_trigger(|_, verb, _| (verb == "sync").then_some(Fault::Slow(Duration::from_millis(300))));
    bench.outside.slow.store(true, Ordering::Relaxed);

    // Buffers are shared by the offers, and counted for each: only what the process takes beside them shows here.
    let before = resident();
    let (mut offered, mut refused) = (0_u64, 0_u64);
    let end = Instant::now() + PATIENCE;
    let behind = |bench: &Bench| {
        let status = bench.site().status();
        let reader = status.iter().find(|pipeline| &*pipeline.id == "reader").unwrap();
        assert_eq!(reader.lost_entries, 0, "what the ring lets go is read from the journal");
        let sink = reader.nodes.iter().find(|node| &*node.id == "nowhere").unwrap();
        assert!(sink.counts.drops.is_empty(), "{:?}", sink.counts.drops);
        sink.trouble.as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::Behind)
    };
    let mut fell_behind = false;
    // Several commits long, until ten times as much was offered as there was room for, and the sink has no room for it.
    loop {
        let commits = bench.site().journal().unwrap().commits;
        fell_behind |= behind(&bench);
        if commits >= 5 && offered >= 10 * (offered - refused) && fell_behind {
            break;
        }
        assert!(
            Instant::now() < end,
            "{commits} commits, {refused} of {offered} rows refused, the sink is behind: {fell_behind}"
        );
        for _ in 0..100 {
            offered += ROWS as u64;
            match intake.offer(part.clone()) {
                Ok(()) => {}
                Err(IntakeError::Full { rows }) => refused += rows as u64,
                Err(error) => panic!("{error}"),
            }
        }
        let (log, (waiting, capacity)) = (bench.site().log().state(), intake.waiting());
        assert!(waiting <= capacity, "{waiting} bytes wait");
        assert!(log.bytes <= log.capacity + 2 * capacity, "{log:?}");
        assert!(log.bytes + waiting < MEMORY as usize / 2, "{log:?}");
    }
    assert!(resident() < before + 4 * MEMORY, "memory grew from {before} to {}", resident());
    assert_eq!(intake.dropped_rows(), refused, "rows that found no room are counted");

    // It recovers by itself: nothing more is refused, and all that was taken comes to the sink, once.
    storage.clear_trigger();
    bench.outside.slow.store(false, Ordering::Relaxed);
    settle(&bench, offered - refused);
    for _ in 0..20 {
        offered += ROWS as u64;
        intake.offer(part.clone()).unwrap();
        settle(&bench, offered - refused);
    }
    assert_eq!(intake.dropped_rows(), refused);
    let taken = offered - refused;
    assert_eq!(bench.site().log().state().rows, taken);
    while behind(&bench) {
        assert!(Instant::now() < end, "the sink stays behind");
        std::thread::yield_now();
    }
    settle(&bench, offered - refused);
    assert_eq!(bench.outside.read.load(Ordering::Relaxed) as u64, taken);
    let directory = bench.site().site().directory.clone();
    bench.finish();

    // All of it is in the journal.
    let journal = Journal::open(&Disk::default(), &root.join("journal"), &directory).unwrap();
    assert_eq!(journal.problems, []);
    let mut reader = journal.journal.reader(0);
    let mut rows = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        rows += entry.parts.iter().map(Part::num_rows).sum::<usize>();
    }
    assert_eq!(rows as u64, taken);
}
