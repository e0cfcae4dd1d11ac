//! The snapshots of a pipeline in memory: every node of every worker at one epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ducto_graph::operator::Snapshot;
use ducto_record::{Epoch, SavedState, StateError};

/// A node of a worker.
pub(crate) type Place = (usize, usize);

/// The states that nodes begin with: of each node on each worker those that are, in part at least, its own.
pub(crate) type Begin = BTreeMap<Place, Vec<SavedState>>;

enum Kept {
    /// Pointers only, not yet encoded.
    Taken(Snapshot),
    Encoded(SavedState),
    /// It could not be encoded.
    Gone,
}

/// What the nodes left at one epoch.
#[derive(Default)]
pub(crate) struct Collected {
    parts: BTreeMap<Place, Option<Kept>>,
}

/// From where a pipeline can go on: an epoch, and its nodes as they were right after it.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) epoch: Epoch,
    states: BaseStates,
}

#[derive(Clone)]
enum BaseStates {
    /// What it began with itself.
    Begun(Arc<Begin>),
    Left(Arc<Mutex<Collected>>),
}

impl Base {
    pub(crate) fn new(epoch: Epoch, begun: Begin) -> Self {
        Self { epoch, states: BaseStates::Begun(Arc::new(begun)) }
    }

    /// The states, encoded. Nodes leave others meanwhile.
    pub(crate) fn states(&self) -> Result<Arc<Begin>, StateError> {
        match &self.states {
            BaseStates::Begun(begun) => Ok(begun.clone()),
            BaseStates::Left(collected) => {
                let states = encode(&mut collected.lock().unwrap_or_else(PoisonError::into_inner))?;
                Ok(Arc::new(states.into_iter().map(|(place, state)| (place, vec![state])).collect()))
            }
        }
    }

    /// As [`Base::states`], of what the nodes of a running pipeline left; `None` where it has come nowhere yet.
    pub(crate) fn left(&self) -> Result<Option<BTreeMap<Place, SavedState>>, StateError> {
        match &self.states {
            BaseStates::Begun(_) => Ok(None),
            BaseStates::Left(collected) => {
                encode(&mut collected.lock().unwrap_or_else(PoisonError::into_inner)).map(Some)
            }
        }
    }
}

/// Collects what nodes leave, and keeps the newest epoch that is whole: every node has left its state, and everything
/// of the epoch has reached its sinks.
pub(crate) struct Snapshots {
    expected: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    collecting: BTreeMap<Epoch, Collected>,
    newest: Base,
}

impl Snapshots {
    /// `expected`: nodes that leave their state, times workers. `begun`: what there is before the first.
    pub(crate) fn new(expected: usize, begun: Base) -> Self {
        Self { expected, inner: Mutex::new(Inner { collecting: BTreeMap::new(), newest: begun }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nodes that leave their state, times workers.
    pub(crate) fn expected(&self) -> usize {
        self.expected
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
            inner.newest = Base { epoch, states: BaseStates::Left(Arc::new(Mutex::new(collected))) };
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

    /// The newest that is whole; before the first, what the pipeline began with.
    pub(crate) fn newest(&self) -> Base {
        self.lock().newest.clone()
    }
}

fn encode(collected: &mut Collected) -> Result<BTreeMap<Place, SavedState>, StateError> {
    let mut states = BTreeMap::new();
    for (place, kept) in &mut collected.parts {
        let Some(kept) = kept else { continue };
        let state = match std::mem::replace(kept, Kept::Gone) {
            Kept::Taken(snapshot) => snapshot()?,
            Kept::Encoded(state) => state,
            Kept::Gone => return Err(StateError::Gone),
        };
        *kept = Kept::Encoded(state.clone());
        states.insert(*place, state);
    }
    Ok(states)
}
