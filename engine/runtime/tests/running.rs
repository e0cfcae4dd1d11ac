//! The host with small operators of the test's own: whatever is cut, split, restarted or set aside, the rows are those
//! of a plain run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Other tests use the rest.
mod bench;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bench::{Bench, Fault, Row};
use ducto_graph::operator::Intake;
use ducto_record::time::{DAY, SECOND};
use ducto_record::{Origin, Part};
use ducto_runtime::{ClockMode, TroubleKind};
use proptest::prelude::*;

/// What a plain loop gives for the test's graph: running sums by tag, and a total by tag every 10 s.
fn reference(input: &[Vec<(u32, f64)>]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut sums = std::collections::BTreeMap::<u32, f64>::new();
    let mut due = None;
    for (second, samples) in input.iter().enumerate() {
        let now = second as i64 * SECOND;
        while let Some(at) = due.filter(|&at| at < now) {
            rows.extend(sums.iter().map(|(&tag, &sum)| Row { time: at, tag, value: -sum }));
            due = Some(at + 10 * SECOND);
        }
        for &(tag, value) in samples {
            due = due.or(Some((now.div_euclid(10 * SECOND) + 1) * 10 * SECOND));
            let sum = sums.entry(tag).or_default();
            *sum += value;
            rows.push(Row { time: now, tag, value: *sum });
        }
        while let Some(at) = due.filter(|&at| at <= now) {
            rows.extend(sums.iter().map(|(&tag, &sum)| Row { time: at, tag, value: -sum }));
            due = Some(at + 10 * SECOND);
        }
    }
    rows.sort_by(Row::order);
    rows
}

fn input(seed: u64, seconds: usize) -> Vec<Vec<(u32, f64)>> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..seconds).map(|_| (0..next() % 12).map(|_| ((next() % 9) as u32, (next() % 1000) as f64)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn cuts_and_workers_do_not_matter(seed in 0_u64..1_000_000, cut in 1_usize..6, workers in 1_usize..3) {
        let input = input(seed, 45);
        let mut bench = Bench::start(workers, ClockMode::Virtual, &[]);
        bench.feed(&input, cut);
        prop_assert_eq!(bench.finish(), reference(&input));
    }

    #[test]
    fn a_failure_costs_no_row_and_doubles_none(seed in 0_u64..1_000_000, at in 1_u64..45, workers in 1_usize..3, panics: bool) {
        let input = input(seed, 45);
        let fault = Fault { node: "sums", epoch: at, times: 1, panics };
        let mut bench = Bench::start(workers, ClockMode::Virtual, &[fault]);
        bench.feed(&input, 3);
        prop_assert_eq!(bench.finish(), reference(&input));
    }

    #[test]
    fn a_sink_that_fails_gets_the_epoch_again(seed in 0_u64..1_000_000, at in 1_u64..45, workers in 1_usize..3) {
        let input = input(seed, 45);
        let fault = Fault { node: "kept", epoch: at, times: 2, panics: false };
        let mut bench = Bench::start(workers, ClockMode::Virtual, &[fault]);
        bench.feed(&input, 3);
        prop_assert_eq!(bench.finish(), reference(&input));
    }
}

#[test]
fn a_node_that_always_fails_is_set_aside_and_the_rest_goes_on() {
    let input = input(7, 45);
    let fault = Fault { node: "sums", epoch: 20, times: u32::MAX, panics: false };
    let mut bench = Bench::start(1, ClockMode::Virtual, &[fault]);
    bench.feed(&input, 3);
    bench.settle();
    let status = bench.site().status();
    let test = status.iter().find(|pipeline| &*pipeline.id == "test").unwrap();
    let sums = test.nodes.iter().find(|node| &*node.id == "sums").unwrap();
    assert_eq!(sums.trouble.as_ref().map(|trouble| trouble.kind), Some(TroubleKind::SetAside));
    assert_eq!(sums.counts.errors, 3);
    assert!(sums.counts.drops["set_aside"] > 0, "{:?}", sums.counts);
    // The other branch of the graph lost nothing.
    let all: usize = input.iter().map(Vec::len).sum();
    assert_eq!(bench.outside.raw.load(Ordering::Relaxed), all);
}

/// Timers that recur as long as nothing comes fire a few to an entry, each done with before the next: otherwise the rows
/// of a hole of days would all be in memory at once.
#[test]
fn a_hole_in_the_input_is_passed_in_strides() {
    let bench = Bench::start(1, ClockMode::Virtual, &[]);
    let tap = bench.site().tap_every("test", "sums", "main").unwrap();
    for time in [0, DAY] {
        bench.site().intake().enter_at(time, vec![bench::samples_part(time, &[(2, 1.0)])]).unwrap();
    }
    bench.settle();
    let mut rows = std::collections::BTreeMap::<u64, usize>::new();
    while let Ok(seen) = tap.batches.try_recv() {
        *rows.entry(seen.epoch).or_default() += seen.batch.num_rows();
    }
    // One total every 10 s, and the two samples.
    assert_eq!(rows.values().sum::<usize>(), 24 * 360 + 2);
    assert!(rows.values().all(|rows| *rows <= 3), "{:?}", rows.values().max());
}

#[test]
fn timers_fire_without_data_on_a_wall_clock() {
    let mut bench = Bench::start(1, ClockMode::Wall, &[]);
    let now = bench.site().now();
    bench.feed_at(now, &[(1, 5.0)]);
    // The next full ten seconds of engine time, at most 10 s away, comes by itself.
    let waited = Instant::now();
    while bench.rows().iter().all(|row| row.value >= 0.0) {
        assert!(waited.elapsed() < Duration::from_secs(15), "no timer fired: {:?}", bench.rows());
        bench.site().wait_idle(Duration::from_millis(100));
        std::thread::yield_now();
    }
    let fired = bench.rows().into_iter().find(|row| row.value < 0.0).unwrap();
    assert_eq!(fired.time.rem_euclid(10 * SECOND), 0);
}

#[test]
fn taps_see_what_leaves_a_port() {
    let mut bench = Bench::start(1, ClockMode::Virtual, &[]);
    let tap = bench.site().tap("test", "sums", "main").unwrap();
    assert!(bench.site().tap("test", "nothing", "main").is_err());
    bench.feed(&[vec![(1, 2.0)]], 1);
    bench.settle();
    let seen = tap.batches.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(seen.batch.num_rows(), 1);
    assert_eq!(tap.missed(), 0);
}

#[test]
fn published_columns_come_back_as_tags() {
    let mut bench = Bench::start(1, ClockMode::Virtual, &[]);
    let tap = bench.site().tap("reader", "all", "main").unwrap();
    bench.feed(&[vec![(1, 2.0)], vec![(1, 3.0)]], 1);
    bench.settle();
    let mut published = Vec::new();
    while let Ok(seen) = tap.batches.try_recv() {
        if let ducto_record::Batch::Samples(samples) = seen.batch {
            for row in 0..samples.len() {
                if samples.tags()[row] == bench::PUBLISHED {
                    published.push((samples.time(row), samples.values().number(row)));
                }
            }
        }
    }
    assert_eq!(published, [(0, Some(2.0)), (SECOND, Some(5.0))]);
}

#[test]
fn a_full_intake_says_so_and_counts() {
    let bench = Bench::start(1, ClockMode::Wall, &[]);
    let intake = bench.site().intake().clone();
    // From a source of its own, so that the test's slow sums pass it by.
    let mut part = bench::samples_part(intake.now(), &vec![(1, 1.0); 200_000]);
    if let Part::Samples { origin, .. } = &mut part {
        *origin = Origin::Source { pipeline: "reader".into(), node: "all".into() };
    }
    let mut refused = 0;
    for _ in 0..200 {
        if let Err(ducto_graph::operator::IntakeError::Full { rows }) = intake.offer(part.clone()) {
            refused += rows as u64;
        }
    }
    assert!(refused > 0);
    assert_eq!(intake.dropped_rows(), refused);
}
