//! The snapshots of a pipeline in memory: every node of every worker at one epoch.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ducto_graph::operator::Snapshot;
use ducto_record::{Epoch, SavedState, StateError};

/// A node of a worker.
pub(crate) type Place = (usize, usize);

/// States of nodes, encoded.
pub(crate) type States = BTreeMap<Place, SavedState>;

enum Kept {
    /// Pointers only, not yet encoded.
    Taken(Snapshot),
    Encoded(SavedState),
}

#[derive(Default)]
struct Collected {
    parts: BTreeMap<Place, Option<Kept>>,
}

/// Collects what nodes leave, and keeps the newest epoch that is whole: every node has left its state, and everything
/// of the epoch has reached its sinks.
pub(crate) struct Snapshots {
    expected: usize,
    inner: Mutex<Inner>,
    encoded: Condvar,
}

#[derive(Default)]
struct Inner {
    collecting: BTreeMap<Epoch, Collected>,
    complete: Option<(Epoch, Collected)>,
    /// Somebody encodes the newest, which is not in its place meanwhile.
    encoding: Option<Epoch>,
}

impl Snapshots {
    /// `expected`: nodes that leave their state, times workers.
    pub(crate) fn new(expected: usize) -> Self {
        Self { expected, inner: Mutex::default(), encoded: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot will be taken at this epoch.
    pub(crate) fn begin(&self, epoch: Epoch) {
        self.lock().collecting.entry(epoch).or_default();
    }

    /// A node's state right after an epoch.
    pub(crate) fn leave(&self, epoch: Epoch, place: Place, state: Option<Snapshot>) {
        self.lock().collecting.entry(epoch).or_default().parts.insert(place, state.map(Kept::Taken));
    }

    /// Every node of every worker, sinks too, has done everything up to `done`.
    pub(crate) fn promote(&self, done: Epoch) {
        let mut inner = self.lock();
        let expected = self.expected;
        let whole = inner.collecting.range(..=done).rev().find(|(_, collected)| collected.parts.len() >= expected);
        let Some((&epoch, _)) = whole else { return };
        if let Some(collected) = inner.collecting.remove(&epoch) {
            inner.complete = Some((epoch, collected));
        }
        inner.collecting.retain(|&other, _| other > epoch);
    }

    /// Everything up to `last` is done, the pipeline has ended, and its nodes have left their last states.
    pub(crate) fn end(&self, last: Epoch) {
        self.begin(last);
        self.promote(last);
    }

    /// The pipeline starts anew: what its nodes were about to leave does not come.
    pub(crate) fn forget_open(&self) {
        self.lock().collecting.clear();
    }

    /// The epoch of the newest complete snapshot, and its states by node and worker, encoded. Nodes leave states
    /// meanwhile.
    pub(crate) fn newest(&self) -> Result<Option<(Epoch, States)>, StateError> {
        let mut inner = self.lock();
        while inner.encoding.is_some() && inner.complete.is_none() {
            inner = self.encoded.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let Some((epoch, mut collected)) = inner.complete.take() else { return Ok(None) };
        inner.encoding = Some(epoch);
        drop(inner);
        let states = encode(&mut collected);
        let mut inner = self.lock();
        inner.encoding = None;
        // One that came meanwhile is newer.
        if inner.complete.is_none() && states.is_ok() {
            inner.complete = Some((epoch, collected));
        }
        drop(inner);
        self.encoded.notify_all();
        Ok(Some((epoch, states?)))
    }

    pub(crate) fn newest_epoch(&self) -> Option<Epoch> {
        let inner = self.lock();
        inner.complete.as_ref().map(|(epoch, _)| *epoch).or(inner.encoding)
    }
}

fn encode(collected: &mut Collected) -> Result<States, StateError> {
    let mut states = BTreeMap::new();
    for (place, kept) in &mut collected.parts {
        let encoded = match kept.take() {
            None => continue,
            Some(Kept::Taken(snapshot)) => snapshot()?,
            Some(Kept::Encoded(state)) => state,
        };
        states.insert(*place, encoded.clone());
        *kept = Some(Kept::Encoded(encoded));
    }
    Ok(states)
}
