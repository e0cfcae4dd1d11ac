//! Who looks at a site through its socket.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Taps and watches at once. Each keeps its connection for as long as it likes; the others must find one free.
pub(crate) const MOST: usize = 24;

/// Counts who looks.
#[derive(Debug, Default)]
pub(crate) struct Lookers {
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Rows that taps have missed because their askers were slow.
    pub(crate) missed_rows: AtomicU64,
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

    pub(crate) fn connect(&self) -> Looking<'_> {
        self.connections.fetch_add(1, Ordering::AcqRel);
        Looking(&self.connections)
    }

    /// Connections, and taps and watches among them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::Acquire), self.open.load(Ordering::Acquire))
    }
}
