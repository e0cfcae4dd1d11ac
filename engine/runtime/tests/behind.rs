//! A sink that takes nothing for longer than there is memory: the rest goes on, and once it takes again everything comes
//! to it, in order and once, from the journal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Other tests use the rest.
mod bench;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bench::{Bench, Fault, Outside};
use ducto_runtime::{ClockMode, Trouble, TroubleKind};
use ducto_storage::DataFolder;

/// Of which the sinks have an eighth: a third of it is for `kept`.
const MEMORY: u64 = 16_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Test {
    bench: Bench,
    /// The sums that came to be, in order.
    expected: Vec<f64>,
}

impl Test {
    fn start(outside: &Outside, folder: &DataFolder, workers: usize, faults: &[Fault]) -> Self {
        let bench = Bench::start_on(outside, Some(folder), MEMORY, workers, ClockMode::Wall, faults);
        Self { bench, expected: Vec::new() }
    }

    /// Feeds one entry, of samples of one tag that count up.
    fn feed(&mut self) {
        let first = self.expected.len();
        let samples: Vec<_> = (first..first + 10).map(|_| (3, 1.0)).collect();
        self.expected.extend((first..first + 10).map(|row| (row + 1) as f64));
        let now = self.bench.site().now();
        self.bench.feed_at(now, &samples);
        self.wait("the live pipeline does not go on", |test| {
            test.bench.outside.raw.load(Ordering::Relaxed) >= test.expected.len()
        });
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let status = self.bench.site().status();
        let test = status.iter().find(|pipeline| &*pipeline.id == "test").unwrap();
        let kept = test.nodes.iter().find(|node| &*node.id == "kept").unwrap();
        assert!(kept.counts.drops.is_empty(), "{:?}", kept.counts.drops);
        kept.trouble.clone()
    }

    /// While it is, the site is not idle.
    fn is_behind(&self) -> bool {
        let idle = self.bench.site().wait_idle(Duration::ZERO);
        let behind = self.trouble().is_some_and(|trouble| trouble.kind == TroubleKind::Behind);
        assert!(!idle || !behind, "the site says that all is stored");
        behind
    }

    /// What the node `sums` counts as given.
    fn given(&self) -> usize {
        let status = self.bench.site().status();
        let nodes = status.iter().flat_map(|pipeline| &pipeline.nodes);
        nodes.filter(|node| &*node.id == "sums").map(|node| node.counts.rows_out as usize).sum()
    }

    /// Feeds until the sink has no room any more, and as much again.
    fn fall_behind(&mut self) {
        self.bench.outside.full.store(true, Ordering::Relaxed);
        let mut entries = 0;
        while !self.is_behind() {
            self.feed();
            entries += 1;
            assert!(entries < 10_000, "the sink never falls behind");
        }
        for _ in 0..entries {
            self.feed();
        }
    }

    /// What the sink holds of running sums, in the order in which it came.
    fn kept(&self) -> Vec<f64> {
        self.bench.rows().into_iter().map(|row| row.value).filter(|value| *value > 0.0).collect()
    }

    fn check(&self) {
        let kept = self.kept();
        let wrong = kept.iter().zip(&self.expected).position(|(kept, expected)| kept != expected);
        assert_eq!(wrong, None, "row {wrong:?} of {} is another", kept.len());
        assert_eq!(kept.len(), self.expected.len());
    }
}

fn folder(path: &std::path::Path) -> DataFolder {
    DataFolder::open(&path.join("data")).unwrap()
}

#[test]
fn what_a_sink_could_not_take_is_brought_again_while_more_comes() {
    for workers in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let mut test = Test::start(&Outside::default(), &folder(dir.path()), workers, &[]);
        // Twice: the second time the standby of the first is the live one.
        for _ in 0..2 {
            test.fall_behind();
            test.bench.outside.full.store(false, Ordering::Relaxed);
            let mut fed = 0;
            while test.is_behind() || fed < 20 {
                test.feed();
                fed += 1;
            }
        }
        test.bench.settle();
        assert_eq!(test.trouble(), None);
        if workers == 2 {
            // Timers go on under the instance that took over.
            let totals = |test: &Test| test.bench.rows().iter().filter(|row| row.value < 0.0).count();
            let before = totals(&test);
            test.wait("no timer fires", |test| totals(test) > before);
        }
        test.bench.settle();
        assert_eq!(test.given(), test.bench.rows().len(), "what was brought again counts twice");
        test.bench.finish();
        test.check();
    }
}

#[test]
fn a_failure_while_it_is_brought_again_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Fault { node: "sums", epoch: 0, times: 0, panics: true };
    let mut test = Test::start(&Outside::default(), &folder(dir.path()), 1, &[fault]);
    test.fall_behind();
    // Whoever does the next two turns fails: the live instance, its successor or the standby.
    test.bench.sums.arm(2);
    test.bench.outside.full.store(false, Ordering::Relaxed);
    let mut fed = 0;
    while test.is_behind() || fed < 20 {
        test.feed();
        fed += 1;
    }
    test.bench.finish();
    test.check();
}

#[test]
fn a_stop_while_a_sink_is_behind_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let outside = Outside::default();
    let mut test = Test::start(&outside, &folder(dir.path()), 1, &[]);
    test.fall_behind();
    outside.full.store(false, Ordering::Relaxed);
    test.bench.stop();
    let expected = std::mem::take(&mut test.expected);
    drop(test);
    let mut test = Test::start(&outside, &folder(dir.path()), 1, &[]);
    test.bench.finish();
    test.expected = expected;
    test.check();
}

/// The sink falls behind while the site stops already: nothing of what is started for it then is left at work.
#[test]
fn a_sink_that_falls_behind_during_a_stop_does_not_hold_it_up() {
    for entries in [60, 90, 120, 150, 200, 400] {
        let dir = tempfile::tempdir().unwrap();
        let outside = Outside::default();
        let mut test = Test::start(&outside, &folder(dir.path()), 1, &[]);
        outside.full.store(true, Ordering::Relaxed);
        for _ in 0..entries {
            let now = test.bench.site().now();
            test.bench.feed_at(now, &[(3, 1.0); 10]);
        }
        let freed = {
            let outside = outside.clone();
            std::thread::spawn(move || {
                std::thread::yield_now();
                outside.full.store(false, Ordering::Relaxed);
            })
        };
        test.bench.stop();
        freed.join().unwrap();
        drop(test);
        let mut test = Test::start(&outside, &folder(dir.path()), 1, &[]);
        test.bench.finish();
        test.expected = (1..=entries * 10).map(|row| row as f64).collect();
        test.check();
    }
}
