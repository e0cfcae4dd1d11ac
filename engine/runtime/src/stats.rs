//! What each node has done, counted while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of one node, added up over workers. Written without locks except for drops, which are rare.
#[derive(Debug, Default)]
pub struct NodeStats {
    pub(crate) batches_in: AtomicU64,
    pub(crate) rows_in: AtomicU64,
    pub(crate) batches_out: AtomicU64,
    pub(crate) rows_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) nanoseconds: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) retries: AtomicU64,
    drops: Mutex<BTreeMap<&'static str, u64>>,
}

/// [`NodeStats`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    pub batches_in: u64,
    pub rows_in: u64,
    pub batches_out: u64,
    pub rows_out: u64,
    /// Buffer capacity of what was given.
    pub bytes_out: u64,
    /// Time spent in the node's own calls.
    pub nanoseconds: u64,
    /// Batches that wait for their epoch to be complete; of a sink, epochs that wait for it.
    pub queued: u64,
    pub errors: u64,
    /// Times that a sink could not take an epoch yet.
    pub retries: u64,
    /// Rows that went no further, by cause.
    pub drops: BTreeMap<&'static str, u64>,
}

impl NodeStats {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn drop_rows(&self, cause: &'static str, rows: u64) {
        if rows == 0 {
            return;
        }
        *self.drops.lock().unwrap_or_else(PoisonError::into_inner).entry(cause).or_default() += rows;
    }

    pub fn counts(&self) -> NodeCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NodeCounts {
            batches_in: read(&self.batches_in),
            rows_in: read(&self.rows_in),
            batches_out: read(&self.batches_out),
            rows_out: read(&self.rows_out),
            bytes_out: read(&self.bytes_out),
            nanoseconds: read(&self.nanoseconds),
            queued: read(&self.queued),
            errors: read(&self.errors),
            retries: read(&self.retries),
            drops: self.drops.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
