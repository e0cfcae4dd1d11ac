//! What the site itself has brought into its journal, so that a start after a crash brings nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_record::{Epoch, Origin, Part, ValueKind};

/// A node that publishes, on one of so many workers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publisher {
    pub pipeline: Arc<str>,
    pub node: Arc<str>,
    pub worker: u32,
    pub workers: u32,
}

/// By the name of a dataset and, of samples, their kind.
pub type Announced = BTreeMap<(Arc<str>, Option<ValueKind>), Epoch>;

/// Up to which epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// What came of epochs up to this was published.
    pub published: BTreeMap<Publisher, Epoch>,
    /// Rows of epochs up to this, once committed, were announced.
    pub announced: Announced,
}

impl Brought {
    pub(super) fn note(&mut self, part: &Part) {
        let (origin, kind) = match part {
            Part::Samples { origin, samples } => (origin, Some(samples.kind())),
            Part::Rows { origin, .. } => (origin, None),
            Part::Action(_) => return,
        };
        match origin {
            Origin::Published { pipeline, node, piece } => {
                let (worker, workers) = (piece.worker, piece.workers);
                let publisher = Publisher { pipeline: pipeline.clone(), node: node.clone(), worker, workers };
                let last = self.published.entry(publisher).or_default();
                *last = (*last).max(piece.epoch);
            }
            Origin::Dataset { name, epoch } => {
                let last = self.announced.entry((name.clone(), kind)).or_default();
                *last = (*last).max(*epoch);
            }
            Origin::Field | Origin::Source { .. } => {}
        }
    }
}
