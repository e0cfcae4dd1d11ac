//! One pipeline as a timely dataflow: a reader of the site log, and an operator per node. The only file that builds
//! timely operators.
//!
//! The timely time is the epoch. A node takes its turn at an epoch once its inputs are complete for it, so batches of
//! an epoch are seen together and in the order of engine time, however they were cut.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::{NodeError, Packet, Turn};
use ducto_graph::pipeline::Edge;
use ducto_record::{Action, Entry, Epoch, Micros, Part};
use ducto_storage::JournalReader;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;

use crate::instance::{Instance, Pause};
use crate::intake::Deadline;
use crate::log::Read;
use crate::node::{Flow, SourceNode, TransformNode};
use crate::partition::Share;
use crate::sinks::SinkHost;
use crate::stats::NodeStats;

/// Epochs of one pipeline that may be on their way at once: of large entries a few, so that a batch is still in the
/// processor's cache at the last node; of small ones many, so that a turn of the worker is shared by them.
const IN_FLIGHT: usize = 4;
const IN_FLIGHT_SMALL: usize = 32;
/// Rows that count as small, all together.
const SMALL_ROWS: usize = 8_192;

/// A node built for one worker.
pub(crate) enum Built {
    Source(SourceNode),
    Transform(TransformNode),
    Sink { host: Arc<SinkHost>, stats: Arc<NodeStats> },
}

/// Everything one worker needs to run its share of a pipeline.
pub(crate) struct Assembly {
    pub(crate) instance: Arc<Instance>,
    /// In the order of the pipeline's nodes.
    pub(crate) nodes: Vec<(Built, Vec<Edge>, usize)>,
    pub(crate) share: Share,
    pub(crate) deadline: Deadline,
    /// Read from behind here.
    pub(crate) position: Epoch,
    /// Engine time between snapshots.
    pub(crate) snapshot_every: Micros,
    /// Sinks by whose room a standby reads on.
    pub(crate) paced_by: Vec<Arc<SinkHost>>,
}

/// What a worker remembers of an epoch that is on its way.
struct Passing {
    epoch: Epoch,
    time: Micros,
    actions: Arc<[Arc<Action>]>,
    snapshot: bool,
    /// When the input ended, for an epoch behind its end.
    ended: Option<Micros>,
    rows: usize,
}

/// What the operators of one pipeline on one worker share.
struct Local {
    instance: Arc<Instance>,
    worker: usize,
    passing: RefCell<VecDeque<Passing>>,
    /// The last epoch each node has done.
    done: Vec<Cell<Epoch>>,
    deadlines: Vec<Cell<Option<Micros>>>,
    closes: Vec<Cell<Option<Micros>>>,
    /// How long the nodes have taken over the snapshot of this epoch.
    snapshot: Cell<(Epoch, Pause)>,
    /// What is opened behind this engine time need not close: the input has ended.
    opened_by: Cell<Micros>,
}

impl Local {
    fn all_done(&self) -> Epoch {
        self.done.iter().map(Cell::get).min().unwrap_or(Epoch::MAX)
    }

    /// Takes a node's state, and how long that kept it from its work.
    fn leave(&self, epoch: Epoch, node: usize, transform: &TransformNode) {
        let (started, cpu) = (Instant::now(), thread_cpu());
        let state = transform.transform.snapshot();
        let (last, before) = self.snapshot.get();
        let before = if last == epoch { before } else { Pause::default() };
        let took = Pause { time: before.time + started.elapsed(), cpu: before.cpu + (thread_cpu() - cpu) };
        self.snapshot.set((epoch, took));
        self.instance.paused(took);
        self.instance.leave(epoch, node, self.worker, state);
    }

    fn fail(&self, node: usize, epoch: Epoch, error: NodeError) {
        self.instance.fail(node, epoch, error.to_string());
    }
}

/// Processor time that this thread has had.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

type FlowStream<'scope> = Stream<'scope, u64, Vec<Flow>>;
type FlowOutput = OutputBuilder<u64, CapacityContainerBuilder<Vec<Flow>>>;

/// Builds the dataflow on this worker. All workers build the same, in the same order.
pub(crate) fn build(worker: &mut Worker, assembly: Assembly) {
    let index = worker.index();
    let Assembly { instance, nodes, share, deadline, position, snapshot_every, paced_by } = assembly;
    let count = nodes.len();
    let local = Rc::new(Local {
        instance: instance.clone(),
        worker: index,
        passing: RefCell::default(),
        done: (0..count).map(|_| Cell::new(position)).collect(),
        deadlines: (0..count).map(|_| Cell::new(None)).collect(),
        closes: (0..count).map(|_| Cell::new(None)).collect(),
        snapshot: Cell::new((0, Pause::default())),
        opened_by: Cell::new(Micros::MAX),
    });
    let guard = instance.guard();
    let name = instance.pipeline.to_string();
    let address = worker.dataflow_core::<u64, _, _, _>(&name, None, guard, |_, scope| {
        let mut sources = Vec::new();
        let mut others = Vec::new();
        for (node, (built, edges, ports)) in nodes.into_iter().enumerate() {
            match built {
                Built::Source(source) => sources.push((node, source, ports)),
                Built::Transform(transform) => others.push((node, Inner::Transform(Box::new(transform)), edges, ports)),
                Built::Sink { host, stats } => others.push((node, Inner::Sink { host, stats }, edges, 0)),
            }
        }
        let mut streams: BTreeMap<(usize, usize), FlowStream<'_>> = BTreeMap::new();
        let reader = Reader {
            local: local.clone(),
            journal: None,
            share,
            deadline,
            position,
            snapshot_every,
            paced_by,
            last_snapshot: None,
            actions_seen: Arc::new([]),
        };
        let address = build_reader(scope, reader, sources, &mut streams);
        let wake: Rc<[usize]> = address.clone().into();
        for (node, inner, edges, ports) in others {
            build_node(scope, local.clone(), node, inner, &edges, ports, &wake, &mut streams);
        }
        address
    });
    let activator = worker.sync_activator_for(address);
    instance.set_waker(
        index,
        Box::new(move || {
            // An error means that the dataflow has gone, and then there is nothing to wake.
            let _ = activator.activate();
        }),
    );
}

struct Reader {
    local: Rc<Local>,
    /// Open while the position is behind the ring.
    journal: Option<JournalReader>,
    share: Share,
    deadline: Deadline,
    position: Epoch,
    snapshot_every: Micros,
    paced_by: Vec<Arc<SinkHost>>,
    last_snapshot: Option<Micros>,
    actions_seen: Arc<[Arc<Action>]>,
}

/// The operator that reads the site log: one output a port of each source node.
fn build_reader<'scope>(
    scope: Scope<'scope, u64>,
    mut reader: Reader,
    mut sources: Vec<(usize, SourceNode, usize)>,
    streams: &mut BTreeMap<(usize, usize), FlowStream<'scope>>,
) -> Vec<usize> {
    let mut builder = OperatorBuilder::new("site log".to_owned(), scope);
    let mut outputs: Vec<Vec<FlowOutput>> = Vec::new();
    for (node, _, ports) in &sources {
        let mut of_node = Vec::new();
        for port in 0..*ports {
            let (output, stream) = builder.new_output();
            of_node.push(OutputBuilder::from(output));
            streams.insert((*node, port), stream);
        }
        outputs.push(of_node);
    }
    let info = builder.operator_info();
    let again = scope.activator_for(info.address.clone());
    builder.build(move |capabilities| {
        let mut capabilities = Some(capabilities);
        let mut selected = Vec::new();
        move |_frontiers: &[MutableAntichain<u64>]| {
            let instance = reader.local.instance.clone();
            if let Some(held) = &mut capabilities {
                let more = reader.read(held, &mut sources, &mut outputs, &mut selected);
                if more {
                    again.activate();
                }
            }
            if instance.is_fenced() || reader.position >= instance.stop_at() {
                capabilities = None;
            }
            reader.report();
        }
    });
    info.address.to_vec()
}

impl Reader {
    /// Reads what may be on its way. Answers whether more waits that may be read at once.
    fn read(
        &mut self,
        capabilities: &mut [Capability<u64>],
        sources: &mut [(usize, SourceNode, usize)],
        outputs: &mut [Vec<FlowOutput>],
        selected: &mut Vec<(usize, ducto_record::Batch)>,
    ) -> bool {
        let local = self.local.clone();
        let instance = &local.instance;
        // A standby takes smaller turns, so that the live ones keep their pace.
        for _ in 0..if instance.is_live() { IN_FLIGHT_SMALL } else { IN_FLIGHT } {
            if instance.is_fenced() || self.position >= instance.reads_to() {
                return false;
            }
            if self.is_full() {
                return false;
            }
            let Some(entry) = self.next_entry() else { return false };
            let epoch = entry.epoch;
            if epoch > instance.reads_to() {
                // That was set while the entry was fetched.
                self.journal = None;
                return false;
            }
            for capability in capabilities.iter_mut() {
                capability.downgrade(&epoch);
            }
            self.pass(&entry);
            let mut held = 0;
            for ((node, source, ports), outputs) in sources.iter_mut().zip(outputs.iter_mut()) {
                if let Err(error) = self.give(source, &entry, *ports, &capabilities[held..], outputs, selected) {
                    local.fail(*node, epoch, error);
                    return false;
                }
                local.done[*node].set(epoch);
                held += *ports;
            }
            self.position = epoch;
            for capability in capabilities.iter_mut() {
                capability.downgrade(&(epoch + 1));
            }
        }
        true
    }

    /// The entry behind the position: from the ring, or from the journal where the ring has moved on.
    fn next_entry(&mut self) -> Option<Arc<Entry>> {
        let instance = self.local.instance.clone();
        loop {
            let (first, last) = match instance.log.read(self.position) {
                Read::Empty => return None,
                Read::Entry(entry) => {
                    self.journal = None;
                    return Some(entry);
                }
                Read::Gone { first, last } => (first, last),
            };
            if self.journal.is_none() {
                self.journal = instance.log.journal(self.position);
            }
            match self.journal.as_mut().map(JournalReader::next_entry) {
                Some(Ok(Some(entry))) => {
                    if entry.epoch > first {
                        instance.lost(self.local.worker, first, entry.epoch - 1);
                    }
                    return Some(Arc::new(entry));
                }
                Some(Err(error)) => {
                    tracing::error!(pipeline = &*instance.pipeline, %error, "the journal cannot be read on");
                }
                // The journal is always ahead of what the ring lets go.
                Some(Ok(None)) | None => {}
            }
            self.journal = None;
            instance.lost(self.local.worker, first, last);
            self.position = last;
        }
    }

    fn is_full(&self) -> bool {
        if self.local.instance.is_paced() && !self.has_room() {
            return true;
        }
        let epochs = self.passing();
        let rows = || self.local.passing.borrow().iter().map(|passing| passing.rows).sum::<usize>();
        epochs >= IN_FLIGHT_SMALL || (epochs >= IN_FLIGHT && rows() > SMALL_ROWS)
    }

    fn has_room(&self) -> bool {
        self.paced_by.iter().all(|sink| sink.has_room())
    }

    /// Epochs that are on their way; forgets those that every node has done.
    fn passing(&self) -> usize {
        let done = self.local.all_done();
        let mut passing = self.local.passing.borrow_mut();
        while passing.front().is_some_and(|passing| passing.epoch <= done) {
            passing.pop_front();
        }
        passing.len()
    }

    /// Notes an epoch for the nodes, and decides whether it is one for a snapshot: by engine time alone, so that
    /// every worker decides alike.
    fn pass(&mut self, entry: &Entry) {
        let period = entry.time.div_euclid(self.snapshot_every);
        let snapshot = self.last_snapshot.is_some_and(|last| last != period);
        self.last_snapshot = Some(period);
        let actions: Arc<[Arc<Action>]> = if entry.parts.iter().any(|part| matches!(part, Part::Action(_))) {
            entry
                .parts
                .iter()
                .filter_map(|part| match part {
                    Part::Action(action) => Some(action.clone()),
                    _ => None,
                })
                .collect()
        } else {
            self.actions_seen.clone()
        };
        let end = self.local.instance.log.input_end();
        self.local.opened_by.set(end.map_or(Micros::MAX, |end| end.time));
        let ended = end.filter(|end| end.epoch < entry.epoch).map(|end| end.time);
        let rows = entry.parts.iter().map(Part::num_rows).sum();
        let passing = Passing { epoch: entry.epoch, time: entry.time, actions, snapshot, ended, rows };
        self.local.passing.borrow_mut().push_back(passing);
        if snapshot {
            // Sources keep no state of their own: their part of a snapshot is the position.
            self.local.instance.note_snapshot(entry.epoch);
        }
    }

    fn give(
        &mut self,
        source: &mut SourceNode,
        entry: &Entry,
        ports: usize,
        capabilities: &[Capability<u64>],
        outputs: &mut [FlowOutput],
        selected: &mut Vec<(usize, ducto_record::Batch)>,
    ) -> Result<(), NodeError> {
        selected.clear();
        let live = self.local.instance.is_live();
        source.select(entry, live, selected)?;
        for (port, batch) in selected.drain(..) {
            let Some(batch) = self.share.of(batch)? else { continue };
            if live {
                source.shared.left(entry.epoch, entry.time, port, &batch)?;
            }
            if port < ports {
                let mut output = outputs[port].activate();
                output.session(&capabilities[port]).give(Flow { stamp: entry.time, batch });
            }
        }
        Ok(())
    }

    /// Tells log and intake how far this worker is.
    fn report(&mut self) {
        let passing = self.passing();
        let local = &self.local;
        if passing == 0 {
            // Also what was lost is behind every node now.
            for done in &local.done {
                done.set(self.position);
            }
        }
        let done = local.all_done().min(self.position);
        if local.instance.is_live() {
            let earliest = local.deadlines.iter().filter_map(Cell::get).min();
            local.instance.intake.set_deadline(&self.deadline, earliest);
        }
        let closes = local.closes.iter().filter_map(Cell::get).max();
        let room = local.instance.is_live() || self.has_room();
        local.instance.done(local.worker, done, closes, room);
    }
}

enum Inner {
    Transform(Box<TransformNode>),
    Sink { host: Arc<SinkHost>, stats: Arc<NodeStats> },
}

#[allow(clippy::too_many_arguments)]
fn build_node<'scope>(
    scope: Scope<'scope, u64>,
    local: Rc<Local>,
    node: usize,
    mut inner: Inner,
    edges: &[Edge],
    ports: usize,
    wake: &Rc<[usize]>,
    streams: &mut BTreeMap<(usize, usize), FlowStream<'scope>>,
) {
    let mut builder = OperatorBuilder::new(node.to_string(), scope);
    let mut inputs: Vec<_> = edges
        .iter()
        .filter_map(|edge| streams.get(&(edge.node, edge.port)).cloned())
        .map(|stream| builder.new_input(stream, Pipeline))
        .collect();
    let mut outputs: Vec<FlowOutput> = Vec::new();
    for port in 0..ports {
        let (output, stream) = builder.new_output();
        outputs.push(OutputBuilder::from(output));
        streams.insert((node, port), stream);
    }
    let reader = scope.activator_for(wake.clone());
    builder.build(move |capabilities| {
        let mut capabilities = Some(capabilities);
        let mut queue: BTreeMap<Epoch, Vec<Packet>> = BTreeMap::new();
        let mut emitted = Vec::new();
        let mut replies = Vec::new();
        move |frontiers: &[MutableAntichain<u64>]| {
            for (input, handle) in inputs.iter_mut().enumerate() {
                handle.for_each(|capability, flows| {
                    let Some(&epoch) = capability.least() else { return };
                    let packets = queue.entry(epoch).or_default();
                    packets.extend(flows.drain(..).map(|flow| flow.packet(input)));
                });
            }
            let Some(held) = &mut capabilities else {
                queue.clear();
                return;
            };
            if local.instance.is_fenced() {
                queue.clear();
                capabilities = None;
                return;
            }
            // Complete: every epoch before the frontier; all that was read once the frontier is empty.
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min();
            let ended = frontiers.iter().all(|frontier| frontier.frontier().is_empty());
            let mut moved = false;
            loop {
                let next = {
                    let passing = local.passing.borrow();
                    let done = local.done[node].get();
                    passing
                        .iter()
                        .find(|passing| passing.epoch > done)
                        .filter(|passing| frontier.is_none_or(|frontier| passing.epoch < frontier))
                        .map(|passing| Passing { actions: passing.actions.clone(), ..*passing })
                };
                let Some(Passing { epoch, time, actions, snapshot, ended, .. }) = next else { break };
                let mut packets = queue.remove(&epoch).unwrap_or_default();
                for capability in held.iter_mut() {
                    capability.downgrade(&epoch);
                }
                let live = local.instance.is_live();
                let result = match &mut inner {
                    Inner::Transform(transform) => {
                        let work = Turn { epoch, time, actions: &actions, packets: &mut packets };
                        let result = transform.turn(work, live, ended, &mut emitted, &mut replies);
                        if result.is_ok() {
                            local.deadlines[node].set(transform.transform.next_deadline());
                            local.closes[node].set(transform.transform.closes_at(local.opened_by.get()));
                            for emitted in emitted.drain(..) {
                                let (Some(output), Some(capability)) =
                                    (outputs.get_mut(emitted.port), held.get(emitted.port))
                                else {
                                    continue;
                                };
                                let mut output = output.activate();
                                output.session(capability).give(Flow { stamp: emitted.stamp, batch: emitted.batch });
                            }
                            if snapshot {
                                local.leave(epoch, node, transform);
                            }
                        }
                        emitted.clear();
                        local.instance.answer(&mut replies);
                        result
                    }
                    Inner::Sink { host, stats } => {
                        packets.sort_by_key(|packet| (packet.stamp, packet.input));
                        if live {
                            NodeStats::add(&stats.batches_in, packets.len() as u64);
                            let rows: usize = packets.iter().map(|packet| packet.batch.num_rows()).sum();
                            NodeStats::add(&stats.rows_in, rows as u64);
                        }
                        host.deliver(local.instance.id, local.worker, epoch, time, packets);
                        Ok(())
                    }
                };
                if let Err(error) = result {
                    local.fail(node, epoch, error);
                    queue.clear();
                    capabilities = None;
                    return;
                }
                local.done[node].set(epoch);
                for capability in held.iter_mut() {
                    capability.downgrade(&(epoch + 1));
                }
                moved = true;
            }
            if let Inner::Transform(transform) = &inner
                && local.instance.is_live()
            {
                let waiting: usize = queue.values().map(Vec::len).sum();
                transform.shared.stats.queued.store(waiting as u64, std::sync::atomic::Ordering::Relaxed);
            }
            if ended {
                // All was read that this pipeline is to read: whoever goes on from here takes the state with it.
                if let Inner::Transform(transform) = &inner {
                    local.leave(local.instance.stop_at(), node, transform);
                }
                capabilities = None;
            }
            if moved {
                reader.activate();
            }
        }
    });
}
