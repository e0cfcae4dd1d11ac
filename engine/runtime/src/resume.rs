//! Where a pipeline goes on in a new process.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_graph::pipeline::Pipeline;
use ducto_record::{Epoch, Piece, SavedState};
use ducto_storage::{Checkpoint, Checkpoints, Journal, PipelineState, Publisher};

use crate::snapshots::Place;

/// What a site keeps on disk beside what its sinks store, as it was found at the start.
pub struct Durable {
    pub journal: Journal,
    pub published: BTreeMap<Publisher, Piece>,
    pub checkpoints: Checkpoints,
    /// The newest that could be read.
    pub checkpoint: Option<Checkpoint>,
}

/// From where every pipeline of a site goes on.
pub(crate) struct Resumes {
    /// Behind which a pipeline begins that no process before has run.
    begin: Epoch,
    published: BTreeMap<Publisher, Piece>,
    checkpoint: Checkpoint,
}

impl Resumes {
    /// `last` is the last epoch of the log. Without any checkpoint everything that the journal holds is read again.
    pub(crate) fn new(
        checkpoint: Option<Checkpoint>,
        published: BTreeMap<Publisher, Piece>,
        first: Option<Epoch>,
        last: Epoch,
    ) -> Self {
        let begin = match (&checkpoint, first) {
            (None, Some(first)) => first.saturating_sub(1),
            _ => last,
        };
        Self { begin, published, checkpoint: checkpoint.unwrap_or_default() }
    }

    pub(crate) fn of(&self, pipeline: &str) -> Resume {
        let state = self.checkpoint.pipelines.get(pipeline).cloned();
        let of_pipeline = self.published.iter().filter(|(publisher, _)| *publisher.pipeline == *pipeline);
        Resume {
            position: state.as_ref().map_or(self.begin, |state| state.epoch),
            state,
            published: of_pipeline.map(|(of, piece)| ((of.node.clone(), of.worker), *piece)).collect(),
        }
    }

    /// The checkpoint with which the site starts: pipelines that are new are in it, with empty state, so that a start
    /// after a power cut reads what they have not stored; those that are gone are not. Says whether it differs.
    pub(crate) fn first_checkpoint(&self, pipelines: &[Arc<Pipeline>], workers: usize) -> (Checkpoint, bool) {
        let state = |pipeline: &Arc<Pipeline>| {
            let fresh = || PipelineState { epoch: self.begin, workers, nodes: Vec::new() };
            let state = self.checkpoint.pipelines.get(&pipeline.id).cloned().unwrap_or_else(fresh);
            (pipeline.id.clone(), state)
        };
        let first = Checkpoint { time: self.checkpoint.time, pipelines: pipelines.iter().map(state).collect() };
        let differs = first != self.checkpoint;
        (first, differs)
    }
}

/// What is known of a pipeline from the process before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resume {
    /// The log is read from behind here.
    pub(crate) position: Epoch,
    /// Its nodes as they were there; none where it begins with empty state.
    pub(crate) state: Option<PipelineState>,
    /// The last piece of each node and worker that the log holds.
    pub(crate) published: BTreeMap<(Arc<str>, u32), Piece>,
}

impl Resume {
    /// The states by place. Assets are split among workers: with another number of them no state is where it belongs,
    /// and all of the pipeline begins anew.
    pub(crate) fn states(&self, pipeline: &Pipeline, workers: usize) -> BTreeMap<Place, SavedState> {
        let Some(state) = &self.state else { return BTreeMap::new() };
        if state.workers != workers && !state.nodes.is_empty() {
            tracing::warn!(
                pipeline = &*pipeline.id,
                before = state.workers,
                now = workers,
                "the number of workers has changed: the states of nodes, such as open windows, are dropped"
            );
            return BTreeMap::new();
        }
        let place = |id: &str| pipeline.nodes.iter().position(|node| *node.id == *id);
        state.nodes.iter().filter_map(|node| Some(((place(&node.node)?, node.worker), node.state.clone()))).collect()
    }

    /// The last piece that a node of a worker published.
    pub(crate) fn published(&self, node: &str, worker: usize) -> Option<Piece> {
        self.published.get(&(node.into(), worker as u32)).copied()
    }
}
