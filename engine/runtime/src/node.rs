//! A node at work on a worker: one turn an epoch, its counters, taps, views and what it publishes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ducto_graph::operator::{Emitted, NodeError, Output, Packet, Reply, Source, Transform, Turn, turn};
use ducto_graph::pipeline::GraphNode;
use ducto_record::{Batch, Entry, Epoch, Micros, StreamType};

use crate::error::panic_text;
use crate::publish::Publisher;
use crate::stats::NodeStats;
use crate::taps::Tap;
use crate::views::View;

/// What a node has for as long as its pipeline exists, whichever instance runs: shared by workers and lookers-on.
pub(crate) struct NodeShared {
    pub id: Arc<str>,
    /// Its `type`.
    pub operator: &'static str,
    pub stats: Arc<NodeStats>,
    pub(crate) ports: Vec<PortShared>,
}

pub(crate) struct PortShared {
    pub(crate) name: &'static str,
    pub(crate) tap: Tap,
    pub(crate) view: Option<Arc<View>>,
}

impl NodeShared {
    pub(crate) fn of(node: &GraphNode) -> Self {
        let ports = node
            .ports
            .iter()
            .map(|port| PortShared {
                name: port.name,
                tap: Tap::default(),
                view: match &port.stream {
                    StreamType::Rows(rows) => View::of(rows).map(Arc::new),
                    StreamType::Samples(_) => None,
                },
            })
            .collect();
        Self { id: node.id.clone(), operator: node.operator, stats: Arc::default(), ports }
    }

    /// Counts, taps and views what left a port.
    pub(crate) fn left(&self, epoch: Epoch, stamp: Micros, port: usize, batch: &Batch) -> Result<(), NodeError> {
        NodeStats::add(&self.stats.batches_out, 1);
        NodeStats::add(&self.stats.rows_out, batch.num_rows() as u64);
        NodeStats::add(&self.stats.bytes_out, batch.bytes() as u64);
        let Some(port) = self.ports.get(port) else {
            return Err(NodeError::text(format!("gave a batch by port {port}, which it does not have")));
        };
        port.tap.offer(epoch, stamp, batch);
        if let (Some(view), Batch::Rows(rows)) = (&port.view, batch) {
            view.update(rows)?;
        }
        Ok(())
    }

    /// What an [`Output`] carries beside batches.
    fn settle(&self, live: bool, out: &mut Output, replies: &mut Vec<Reply>) {
        if !live {
            out.take_drops();
            out.take_replies();
            return;
        }
        for (cause, rows) in out.take_drops() {
            self.stats.drop_rows(cause, rows);
        }
        replies.extend(out.take_replies());
    }
}

/// Runs an operator's own code: errors and panics become errors, time is counted.
fn guarded(stats: Option<&NodeStats>, call: impl FnOnce() -> Result<(), NodeError>) -> Result<(), NodeError> {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(call));
    if let Some(stats) = stats {
        NodeStats::add(&stats.nanoseconds, started.elapsed().as_nanos() as u64);
    }
    result.unwrap_or_else(|panic| Err(NodeError::text(panic_text(&*panic))))
}

/// A transform of one worker.
pub(crate) struct TransformNode {
    pub(crate) transform: Box<dyn Transform>,
    pub(crate) shared: Arc<NodeShared>,
    pub(crate) publisher: Option<Arc<Publisher>>,
    out: Output,
}

impl TransformNode {
    pub(crate) fn new(
        transform: Box<dyn Transform>,
        shared: Arc<NodeShared>,
        publisher: Option<Arc<Publisher>>,
    ) -> Self {
        Self { transform, shared, publisher, out: Output::default() }
    }

    /// One epoch: what the node gives is put into `emitted`. `live`: whether others see what it does. `ended`: when the
    /// input ended, for an epoch behind that.
    pub(crate) fn turn(
        &mut self,
        work: Turn<'_>,
        live: bool,
        ended: Option<Micros>,
        emitted: &mut Vec<Emitted>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), NodeError> {
        let stats = &self.shared.stats;
        let epoch = work.epoch;
        if live {
            NodeStats::add(&stats.batches_in, work.packets.len() as u64);
            NodeStats::add(&stats.rows_in, work.packets.iter().map(|packet| packet.batch.num_rows() as u64).sum());
        }
        let (transform, out) = (&mut *self.transform, &mut self.out);
        let result = guarded(live.then_some(&**stats), || {
            if let Some(at) = ended {
                transform.end_input(at);
            }
            turn(transform, work, out, emitted)
        });
        self.shared.settle(live, &mut self.out, replies);
        result?;
        if !live {
            return Ok(());
        }
        for emitted in emitted.iter() {
            self.shared.left(epoch, emitted.stamp, emitted.port, &emitted.batch)?;
        }
        if let Some(publisher) = &self.publisher {
            let rows = emitted.iter().filter_map(|emitted| match (emitted.port, &emitted.batch) {
                (0, Batch::Rows(rows)) => Some(rows),
                _ => None,
            });
            stats.drop_rows("publish_full", publisher.publish(epoch, rows)? as u64);
        }
        Ok(())
    }
}

/// A source of one worker.
pub(crate) struct SourceNode {
    pub(crate) source: Box<dyn Source>,
    pub(crate) shared: Arc<NodeShared>,
    out: Output,
}

impl SourceNode {
    pub(crate) fn new(source: Box<dyn Source>, shared: Arc<NodeShared>) -> Self {
        Self { source, shared, out: Output::default() }
    }

    /// What of an entry is this node's, by port.
    pub(crate) fn select(
        &mut self,
        entry: &Entry,
        live: bool,
        selected: &mut Vec<(usize, Batch)>,
    ) -> Result<(), NodeError> {
        let (source, out) = (&mut *self.source, &mut self.out);
        out.set(entry.epoch, entry.time);
        let result = guarded(live.then_some(&*self.shared.stats), || source.on_entry(entry, out));
        selected.extend(self.out.take_packets());
        self.shared.settle(live, &mut self.out, &mut Vec::new());
        result
    }
}

/// A node that was set aside: what comes is counted and goes no further.
pub(crate) struct Aside;

impl Transform for Aside {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        out.drop_rows("set_aside", batch.num_rows() as u64);
        Ok(())
    }
}

impl Source for Aside {
    fn on_entry(&mut self, _entry: &Entry, _out: &mut Output) -> Result<(), NodeError> {
        Ok(())
    }
}

/// A batch on an edge, as timely carries it.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) stamp: Micros,
    pub(crate) batch: Batch,
}

impl Flow {
    pub(crate) fn packet(self, input: usize) -> Packet {
        Packet { stamp: self.stamp, input, batch: self.batch }
    }
}
