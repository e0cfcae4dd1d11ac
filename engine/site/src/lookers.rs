//! Who looks at a site through its socket.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Taps and watches at once. Each keeps its connection for as long as it likes; the others must find one free.
pub(crate) const MOST: usize = 24;

/// Counts who looks.
#[derive(Debug, Default)]
pub(crate) struct Lookers {
    connections: AtomicUsize,
    /// Requests that are being answered.
    asking: AtomicUsize,
    open: AtomicUsize,
    missed: Mutex<Missed>,
}

/// Rows that taps have missed because their askers were slow: an asker who reads nothing must show in it too.
#[derive(Debug, Default)]
struct Missed {
    of_closed: u64,
    of_open: Vec<Arc<AtomicU64>>,
}

/// A tap whose missed rows are counted; after it is dropped they still are.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    lookers: &'a Lookers,
    rows: Arc<AtomicU64>,
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let mut missed = self.lookers.missed();
        missed.of_open.retain(|open| !Arc::ptr_eq(open, &self.rows));
        missed.of_closed += self.rows.load(Ordering::Relaxed);
    }
}

/// Somebody who looks; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Looking<'a>(&'a AtomicUsize);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Lookers {
    /// A tap or a watch; `None` where there are too many.
    pub(crate) fn enter(&self) -> Option<Looking<'_>> {
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < MOST).then_some(open + 1)).ok()?;
        Some(Looking(&self.open))
    }

    fn missed(&self) -> MutexGuard<'_, Missed> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the rows that a tap misses.
    pub(crate) fn count(&self, rows: Arc<AtomicU64>) -> Counting<'_> {
        self.missed().of_open.push(rows.clone());
        Counting { lookers: self, rows }
    }

    /// Rows that taps have missed so far.
    pub(crate) fn missed_rows(&self) -> u64 {
        let missed = self.missed();
        missed.of_closed + missed.of_open.iter().map(|rows| rows.load(Ordering::Relaxed)).sum::<u64>()
    }

    /// A request, until its last line is written.
    pub(crate) fn ask(&self) -> Looking<'_> {
        self.asking.fetch_add(1, Ordering::AcqRel);
        Looking(&self.asking)
    }

    /// Whether no request is being answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.asking.load(Ordering::Acquire) == 0
    }

    pub(crate) fn connect(&self) -> Looking<'_> {
        self.connections.fetch_add(1, Ordering::AcqRel);
        Looking(&self.connections)
    }

    /// Connections, and taps and watches among them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::Acquire), self.open.load(Ordering::Acquire))
    }
}
