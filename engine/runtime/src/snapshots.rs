//! The snapshots of a pipeline in memory: every node of every worker at one epoch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ducto_graph::operator::Snapshot;
use ducto_record::{Epoch, SavedState, StateError};

/// A node of a worker.
pub(crate) type Place = (usize, usize);

enum Kept {
    /// Pointers only, not yet encoded.
    Taken(Snapshot),
    Encoded(SavedState),
}

#[derive(Default)]
struct Collected {
    parts: BTreeMap<Place, Option<Kept>>,
}

/// Collects what nodes leave, and keeps the newest epoch that is complete.
pub(crate) struct Snapshots {
    expected: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    collecting: BTreeMap<Epoch, Collected>,
    complete: Option<(Epoch, Collected)>,
}

impl Snapshots {
    /// `expected`: nodes times workers.
    pub(crate) fn new(expected: usize) -> Self {
        Self { expected, inner: Mutex::default() }
    }

    /// A node's state right after an epoch. Answers the epoch when that completes the snapshot.
    pub(crate) fn leave(&self, epoch: Epoch, place: Place, state: Option<Snapshot>) -> Option<Epoch> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let collected = inner.collecting.entry(epoch).or_default();
        collected.parts.insert(place, state.map(Kept::Taken));
        if collected.parts.len() < self.expected {
            return None;
        }
        let collected = inner.collecting.remove(&epoch)?;
        inner.collecting.retain(|&other, _| other > epoch);
        inner.complete = Some((epoch, collected));
        Some(epoch)
    }

    /// The epoch of the newest complete snapshot, and its states by node and worker, encoded.
    pub(crate) fn newest(&self) -> Result<Option<(Epoch, BTreeMap<Place, SavedState>)>, StateError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.collecting.clear();
        let Some((epoch, collected)) = &mut inner.complete else {
            return Ok(None);
        };
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
        Ok(Some((*epoch, states)))
    }

    pub(crate) fn newest_epoch(&self) -> Option<Epoch> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).complete.as_ref().map(|(epoch, _)| *epoch)
    }
}
