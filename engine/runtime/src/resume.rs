//! Where a pipeline goes on in a new process.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_graph::operator::Partition;
use ducto_graph::pipeline::Pipeline;
use ducto_record::{Directory, Epoch};
use ducto_storage::{
    Brought, Checkpoint, Checkpoints, DataFolder, Finding, Journal, NodeState, PipelineState, Publisher, StorageError,
    journal_begins_late, journal_ends_early,
};

use crate::publish::Before;
use crate::snapshots::Begin;

/// What a site keeps on disk beside what its sinks store, as it was found at the start.
pub struct Durable {
    pub journal: Journal,
    /// What nodes and datasets have brought into the journal.
    pub brought: Brought,
    pub checkpoints: Checkpoints,
    /// The newest that could be read.
    pub checkpoint: Option<Checkpoint>,
    /// What was damaged, and is set aside.
    pub findings: Vec<Finding>,
}

impl Durable {
    /// Opens the journal and the checkpoints of a data folder; what is damaged in them is set aside and told.
    ///
    /// # Errors
    /// When they cannot be read or written, and for a journal of a newer format.
    pub fn open(folder: &DataFolder, directory: &Arc<Directory>) -> Result<Self, StorageError> {
        let (disk, path) = (folder.disk(), folder.path());
        let journal = Journal::open(disk, &path.join("journal"), directory)?;
        let checkpoints = Checkpoints::open(disk, &path.join("checkpoints"))?;
        let pipelines = checkpoints.newest.iter().flat_map(|checkpoint| checkpoint.pipelines.values());
        let needed = pipelines.map(|pipeline| pipeline.epoch).max();
        let last = journal.journal.last().map(|(epoch, _)| epoch);
        let told = journal.problems.iter().chain(&checkpoints.problems).map(|problem| Finding::of(path, problem));
        let mut findings: Vec<Finding> = told.chain(journal_ends_early(path, last, needed)).collect();
        let begins_late = journal_begins_late(path, journal.journal.first(), checkpoints.checkpoints.reads_behind());
        // What was set aside just now has said so.
        let begins_late = begins_late.filter(|gap| !findings.iter().any(|other| covers(other, gap)));
        findings.extend(begins_late);
        for finding in &findings {
            tracing::error!("{finding}");
        }
        if checkpoints.newest.is_none() && !checkpoints.problems.is_empty() {
            tracing::error!(
                "no checkpoint can be read: the states of nodes, such as open windows and acknowledgements, begin empty where \
                 the journal begins"
            );
        }
        Ok(Self {
            journal: journal.journal,
            brought: journal.brought,
            checkpoints: checkpoints.checkpoints,
            checkpoint: checkpoints.newest,
            findings,
        })
    }
}

/// Whether one finding says of all entries that they are lost of which the other says it.
fn covers(one: &Finding, other: &Finding) -> bool {
    one.epochs.zip(other.epochs).is_some_and(|(one, other)| one.0 <= other.0 && one.1 >= other.1)
}

/// From where every pipeline of a site goes on.
pub(crate) struct Resumes {
    /// Behind which a pipeline begins that no process before has run.
    begin: Epoch,
    published: BTreeMap<Publisher, Epoch>,
    checkpoint: Checkpoint,
}

impl Resumes {
    /// `last` is the last epoch of the log. Without any checkpoint everything that the journal holds is read again.
    pub(crate) fn new(
        checkpoint: Option<Checkpoint>,
        published: BTreeMap<Publisher, Epoch>,
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
        let mut published: BTreeMap<Arc<str>, Before> = BTreeMap::new();
        for (of, last) in self.published.iter().filter(|(publisher, _)| *publisher.pipeline == *pipeline) {
            let partition = Partition { worker: of.worker as usize, workers: of.workers as usize };
            published.entry(of.node.clone()).or_default().add(partition, *last);
        }
        Resume { position: state.as_ref().map_or(self.begin, |state| state.epoch), state, published }
    }

    /// The checkpoint with which the site starts: pipelines that are new are in it, with empty state, so that a start
    /// after a power cut reads what they have not stored; those that are gone are not. Says whether it differs.
    pub(crate) fn first_checkpoint(&self, pipelines: &[Arc<Pipeline>], workers: usize) -> (Checkpoint, bool) {
        let state = |pipeline: &Arc<Pipeline>| {
            let fresh = || PipelineState { epoch: self.begin, workers, ..PipelineState::default() };
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
    state: Option<PipelineState>,
    /// What each node has published, as the log holds it.
    published: BTreeMap<Arc<str>, Before>,
}

impl Resume {
    /// The states by place. Assets are split among workers: with another number of them each takes what is its own of
    /// the states of all.
    pub(crate) fn states(&self, pipeline: &Pipeline, workers: usize) -> Begin {
        let mut states = Begin::new();
        let Some(state) = &self.state else { return states };
        let same = state.workers == workers;
        for NodeState { node, worker, state } in &state.nodes {
            let Some(place) = pipeline.nodes.iter().position(|known| known.id == *node) else {
                tracing::warn!(
                    pipeline = &*pipeline.id,
                    node = &**node,
                    "the pipeline has no such node any more: its state is dropped"
                );
                continue;
            };
            for to in if same { *worker..worker + 1 } else { 0..workers } {
                states.entry((place, to)).or_default().push(state.clone());
            }
        }
        states
    }

    /// What the view of a port showed.
    pub(crate) fn view(&self, node: &str, port: &str) -> Option<&[u8]> {
        let views = self.state.iter().flat_map(|state| &state.views);
        let mut views = views.filter(|view| *view.node == *node && *view.port == *port);
        views.next().map(|view| view.rows.as_slice())
    }

    /// What a node has published.
    pub(crate) fn published(&self, node: &str) -> Before {
        self.published.get(node).cloned().unwrap_or_default()
    }
}
