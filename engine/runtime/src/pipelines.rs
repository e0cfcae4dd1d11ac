//! The pipelines on the workers: added, built, restarted after a failure, removed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use ducto_graph::operator::{BuildContext, Partition, Sink};
use ducto_graph::pipeline::{NodeConfig, Pipeline};
use ducto_record::{Epoch, Micros, StateError};
use ducto_storage::{NodeState, PipelineState, ViewState};

use crate::clock::ClockMode;
use crate::dataflow::{Assembly, Built};
use crate::error::RuntimeError;
use crate::host::{Discard, Sinks};
use crate::instance::{Event, Instance, InstanceParts, Pause};
use crate::intake::SiteIntake;
use crate::log::{ReaderId, SiteLog};
use crate::node::{Aside, NodeShared, SourceNode, TransformNode};
use crate::partition::Share;
use crate::publish::{Publisher, PublisherOf};
use crate::replies::Replies;
use crate::resume::Resume;
use crate::sinks::{SinkHost, SinkParts};
use crate::snapshots::{Base, Place, Snapshots};
use crate::standby::Standby;
use crate::stats::{NodeCounts, NodeStats};
use crate::trouble::{PATIENCE, Trouble, TroubleKind};

/// Share of the site's memory budget for what waits for its sinks.
const WAITING_SHARE: u64 = 8;

/// Engine time between snapshots, where checkpoints are not nearer to each other than two of them.
const SNAPSHOT_EVERY: Micros = 10 * ducto_record::time::SECOND;

/// What a worker is told.
pub(crate) enum Command {
    Build(Box<Assembly>),
    Stop,
}

/// A pipeline that runs, through all its instances.
pub(crate) struct Running {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) context: BuildContext,
    pub(crate) nodes: Vec<Arc<NodeShared>>,
    pub(crate) sinks: BTreeMap<usize, Arc<SinkHost>>,
    /// By node and worker.
    publishers: BTreeMap<Place, Arc<Publisher>>,
    pub(crate) lost: Arc<AtomicU64>,
    restarts: u64,
    failures: BTreeMap<(usize, Epoch), u32>,
    /// Sources and transforms that were set aside, and why; sinks know it of themselves.
    aside: BTreeMap<usize, Trouble>,
    /// The instance that counts.
    pub(crate) live: Line,
    /// Set while the old instance is on its way out and the next one waits for that.
    pub(crate) restarting: bool,
    /// Brings again what sinks have not taken.
    pub(crate) standby: Option<Standby>,
    /// The live instance ends at a fence, and its standby is given up: another goes on from there.
    pub(crate) goes_on: bool,
    /// From where the oldest of that is brought.
    pub(crate) again_from: Option<Base>,
    pub(crate) ended: bool,
    /// It could not be restarted.
    down: bool,
}

/// An instance, how it reads the log, and what its nodes leave.
pub(crate) struct Line {
    pub(crate) instance: Arc<Instance>,
    pub(crate) reader: ReaderId,
    pub(crate) snapshots: Arc<Snapshots>,
}

/// A pipeline that has ended.
pub(crate) struct Ended {
    pub(crate) pipeline: Arc<str>,
    /// As it was at its end.
    pub(crate) state: PipelineState,
    sinks: Vec<Arc<SinkHost>>,
}

impl Ended {
    /// Whether its stores hold all that came of it.
    pub(crate) fn is_stored(&self) -> bool {
        self.sinks.iter().filter_map(|sink| sink.stored()).all(|stored| stored >= self.state.epoch)
    }
}

/// What is known of a pipeline from outside.
#[derive(Clone, Debug)]
pub struct PipelineStatus {
    pub id: Arc<str>,
    /// Everything up to this epoch is processed.
    pub done: Epoch,
    /// Engine time at which the oldest entry came that is not processed yet.
    pub waiting_since: Option<Micros>,
    pub restarts: u64,
    /// The longest that a worker has stood still for a snapshot.
    pub longest_pause: Pause,
    /// Entries lost because the ring had moved on.
    pub lost_entries: u64,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Clone, Debug)]
pub struct NodeStatus {
    pub id: Arc<str>,
    pub operator: &'static str,
    /// What keeps it from its work.
    pub trouble: Option<Trouble>,
    pub counts: NodeCounts,
}

/// What the host, its controller and the workers share.
pub(crate) struct Pipelines {
    pub(crate) log: Arc<SiteLog>,
    pub(crate) intake: Arc<SiteIntake>,
    pub(crate) replies: Arc<Replies>,
    pub(crate) workers: usize,
    pub(crate) sinks: Sinks,
    pub(crate) commands: Vec<(Mutex<Sender<Command>>, Thread)>,
    pub(crate) events: Mutex<Sender<Event>>,
    pub(crate) next_instance: AtomicU64,
    pub(crate) pipelines: Mutex<BTreeMap<Arc<str>, Running>>,
    /// A pipeline ended.
    pub(crate) ended: Condvar,
}

impl Pipelines {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pipeline, which goes on from where `resume` says, or else begins behind the present end of the log.
    pub(crate) fn add(
        &self,
        pipeline: &Arc<Pipeline>,
        context: &BuildContext,
        resume: Option<&Resume>,
    ) -> Result<(), RuntimeError> {
        let mut pipelines = self.lock();
        if pipelines.contains_key(&pipeline.id) {
            return Err(RuntimeError::Duplicate(pipeline.id.clone()));
        }
        let position = resume.map_or_else(|| self.log.last_epoch(), |resume| resume.position);
        let begun = resume.map(|resume| resume.states(pipeline, self.workers)).unwrap_or_default();
        let nodes: Vec<_> = pipeline.nodes.iter().map(|node| Arc::new(NodeShared::of(node))).collect();
        let mut sinks = BTreeMap::new();
        let mut publishers = BTreeMap::new();
        let mut keeping = 0;
        for (index, node) in pipeline.nodes.iter().enumerate() {
            match &node.config {
                NodeConfig::Sink(config) => {
                    let sink: Box<dyn Sink> = if self.sinks.build(config.as_ref()) {
                        config.build(&node_context(context, pipeline, index, 0, self.workers))?
                    } else {
                        Box::new(Discard)
                    };
                    let host = SinkHost::new(SinkParts {
                        sink,
                        pipeline: pipeline.id.clone(),
                        node: node.id.clone(),
                        stats: nodes[index].stats.clone(),
                        log: self.log.clone(),
                        position,
                        room: self.room_of_a_sink(context),
                    })?;
                    sinks.insert(index, Arc::new(host));
                }
                NodeConfig::Transform(_) => keeping += self.workers,
                NodeConfig::Source(_) => {}
            }
            if !node.publish.is_empty() {
                for worker in 0..self.workers {
                    let of = PublisherOf {
                        pipeline: pipeline.id.clone(),
                        node: node.id.clone(),
                        partition: Partition { worker, workers: self.workers },
                        directory: context.directory.clone(),
                    };
                    let before = resume.map(|resume| resume.published(&node.id)).unwrap_or_default();
                    let publisher = Publisher::new(node.publish.clone(), of, before, self.intake.clone());
                    publishers.insert((index, worker), Arc::new(publisher));
                }
            }
        }
        let reader = self.log.register(position, sinks.values().map(|sink| sink.backlog()).collect());
        let snapshots = Snapshots::new(keeping, Base::new(position, begun));
        let lost = Arc::new(AtomicU64::new(0));
        let live = self.line(&pipeline.id, reader, snapshots, &lost, true);
        let running = Running {
            pipeline: pipeline.clone(),
            context: context.clone(),
            nodes,
            sinks,
            publishers,
            lost,
            restarts: 0,
            failures: BTreeMap::new(),
            aside: BTreeMap::new(),
            live,
            restarting: false,
            standby: None,
            goes_on: false,
            again_from: None,
            ended: false,
            down: false,
        };
        if let Some(resume) = resume {
            running.restore_views(resume);
        }
        match self.launch(&running, &running.live) {
            Ok(()) => {
                pipelines.insert(pipeline.id.clone(), running);
                Ok(())
            }
            Err(error) => {
                self.log.unregister(reader);
                Err(error)
            }
        }
    }

    /// Bytes that may wait for each sink; `None` where the input waits for the sinks instead.
    fn room_of_a_sink(&self, context: &BuildContext) -> Option<usize> {
        let nodes = context.site.pipelines.iter().flat_map(|pipeline| &pipeline.nodes);
        let sinks = nodes.filter(|node| matches!(node.config, NodeConfig::Sink(_))).count().max(1);
        let share = context.site.memory.bytes() / WAITING_SHARE / sinks as u64;
        (self.intake.mode() == ClockMode::Wall).then(|| usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// An instance that begins with the newest of `snapshots`.
    pub(crate) fn line(
        &self,
        pipeline: &Arc<str>,
        reader: ReaderId,
        snapshots: impl Into<Arc<Snapshots>>,
        lost: &Arc<AtomicU64>,
        live: bool,
    ) -> Line {
        let snapshots = snapshots.into();
        let instance = Instance::new(InstanceParts {
            id: self.next_instance.fetch_add(1, Ordering::Relaxed),
            pipeline: pipeline.clone(),
            log: self.log.clone(),
            intake: self.intake.clone(),
            reader,
            snapshots: snapshots.clone(),
            replies: self.replies.clone(),
            events: self.events.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            lost: lost.clone(),
            start: snapshots.newest().epoch,
            workers: self.workers,
            live,
        });
        Line { instance, reader, snapshots }
    }

    /// Builds every worker's nodes, restores them, and hands them to the workers.
    pub(crate) fn launch(&self, running: &Running, line: &Line) -> Result<(), RuntimeError> {
        let instance = &line.instance;
        let base = line.snapshots.newest();
        let (position, states) = match base.states() {
            Ok(states) => (base.epoch, states),
            Err(error) if instance.is_live() => {
                tracing::error!(pipeline = &*running.pipeline.id, %error, "the snapshot cannot be read; the pipeline starts from empty state");
                (running.live.instance.all_done(), Arc::default())
            }
            Err(error) => return Err(error.into()),
        };
        // A standby brings what those have not taken that are behind; the others have it of the live one.
        let fed: Vec<_> =
            running.sinks.values().filter(|sink| sink.is_behind() != instance.is_live()).cloned().collect();
        let mut assemblies = Vec::new();
        for worker in 0..self.workers {
            let mut nodes = Vec::new();
            for (index, node) in running.pipeline.nodes.iter().enumerate() {
                let context = node_context(&running.context, &running.pipeline, index, worker, self.workers);
                let shared = running.nodes[index].clone();
                let aside = running.aside.contains_key(&index);
                let built = match &node.config {
                    NodeConfig::Source(_) if aside => Built::Source(SourceNode::new(Box::new(Aside), shared)),
                    NodeConfig::Source(config) => Built::Source(SourceNode::new(config.build(&context)?, shared)),
                    NodeConfig::Transform(config) => {
                        let transform = if aside {
                            Box::new(Aside)
                        } else {
                            let mut transform = config.build(&context)?;
                            let saved = states.get(&(index, worker)).map_or(&[][..], Vec::as_slice);
                            match saved.iter().try_for_each(|state| transform.restore(state)) {
                                Ok(()) => transform,
                                Err(error) => {
                                    tracing::error!(
                                        pipeline = &*context.pipeline,
                                        node = &*context.node,
                                        %error,
                                        "the state of a node cannot be used, and is dropped: the node begins anew"
                                    );
                                    shared
                                        .ports
                                        .iter()
                                        .filter_map(|port| port.view.as_ref())
                                        .for_each(|view| view.clear());
                                    config.build(&context)?
                                }
                            }
                        };
                        let publisher = running.publishers.get(&(index, worker)).cloned();
                        Built::Transform(TransformNode::new(transform, shared, publisher))
                    }
                    NodeConfig::Sink(_) => match running.sinks.get(&index) {
                        Some(host) => Built::Sink { host: host.clone(), stats: shared.stats.clone() },
                        None => continue,
                    },
                };
                nodes.push((built, node.edges.clone(), node.ports.len()));
            }
            assemblies.push(Assembly {
                instance: instance.clone(),
                nodes,
                share: Share::new(Partition { worker, workers: self.workers }, &running.context.directory),
                deadline: self.intake.deadline(),
                position,
                snapshot_every: SNAPSHOT_EVERY.min(running.context.site.checkpoint_every.micros() / 2).max(1),
                paced_by: if instance.is_live() { Vec::new() } else { fed.clone() },
            });
        }
        for sink in &fed {
            sink.attach(instance, position);
        }
        for ((sender, thread), assembly) in self.commands.iter().zip(assemblies) {
            sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .send(Command::Build(Box::new(assembly)))
                .map_err(|_| RuntimeError::Stopping)?;
            thread.unpark();
        }
        Ok(())
    }

    /// Every pipeline at its newest snapshot.
    pub(crate) fn states(&self) -> Result<BTreeMap<Arc<str>, PipelineState>, StateError> {
        // The views after the snapshots: what they are ahead comes again, and what they were behind would not.
        let running: Vec<_> = self
            .lock()
            .values()
            .map(|running| (running.pipeline.clone(), running.live.snapshots.newest(), running.views()))
            .collect();
        let mut states = BTreeMap::new();
        for (pipeline, base, views) in running {
            // One that has come nowhere yet is where it was when it was started.
            if let Some(state) = self.state(&pipeline, &base, views)? {
                states.insert(pipeline.id.clone(), state);
            }
        }
        Ok(states)
    }

    fn state(
        &self,
        pipeline: &Pipeline,
        base: &Base,
        views: Vec<ViewState>,
    ) -> Result<Option<PipelineState>, StateError> {
        let Some(left) = base.left()? else { return Ok(None) };
        let node = |((node, worker), state)| {
            Some(NodeState { node: pipeline.nodes.get::<usize>(node)?.id.clone(), worker, state })
        };
        let nodes = left.into_iter().filter_map(node).collect();
        Ok(Some(PipelineState { epoch: base.epoch, workers: self.workers, nodes, views }))
    }

    /// Whether every store of a pipeline holds everything up to this epoch.
    pub(crate) fn is_stored(&self, pipeline: &str, epoch: Epoch) -> bool {
        let sinks: Vec<_> = match self.lock().get(pipeline) {
            Some(running) => running.sinks.values().cloned().collect(),
            None => return true,
        };
        sinks.iter().filter_map(|sink| sink.stored()).all(|stored| stored >= epoch)
    }

    /// Ends a pipeline once it has processed everything that is in the log now; its sinks finish.
    pub(crate) fn remove(&self, id: &str) -> (Option<Ended>, Result<(), RuntimeError>) {
        let mut pipelines = self.lock();
        if !pipelines.contains_key(id) {
            return (None, Err(RuntimeError::NoPipeline(id.into())));
        }
        let until = self.log.last_epoch();
        // A pipeline that fails on its way out comes back and goes on until it is there.
        while let Some(running) = pipelines.get_mut(id).filter(|running| !running.ended) {
            self.end_at(running, until);
            pipelines = self
                .ended
                .wait_timeout(pipelines, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let Some(mut running) = pipelines.remove(id) else { return (None, Ok(())) };
        drop(pipelines);
        // One that was started while the live instance ended: what it would have brought the next start brings.
        if let Some(standby) = running.standby.take() {
            standby.line.instance.fence();
            self.log.unregister(standby.line.reader);
        }
        self.log.unregister(running.live.reader);
        let mut result = Ok(());
        for (&node, sink) in &running.sinks {
            if let Err(error) = sink.finish() {
                result = result.and(Err(RuntimeError::Finish {
                    pipeline: running.pipeline.id.clone(),
                    node: running.nodes[node].id.clone(),
                    message: error.to_string(),
                }));
            }
        }
        if running.down {
            // It stands where it could not be restarted.
            return (None, result);
        }
        running.live.snapshots.end(until);
        let state = match self.state(&running.pipeline, &running.live.snapshots.newest(), running.views()) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(pipeline = id, %error, "the last state of a pipeline cannot be kept");
                None
            }
        };
        let sinks = running.sinks.values().cloned().collect();
        (state.map(|state| Ended { pipeline: running.pipeline.id.clone(), state, sinks }), result)
    }

    /// The controller's thread: restarts what failed, and has brought again what sinks could not take.
    pub(crate) fn control(&self, inbox: &Receiver<Event>) {
        while let Ok(event) = inbox.recv() {
            match event {
                Event::Stop => return,
                Event::Failed { pipeline, instance, node, epoch, message } => {
                    let mut pipelines = self.lock();
                    let Some(running) = pipelines.get_mut(&pipeline) else { continue };
                    if running.live.instance.id == instance {
                        running.restarting = true;
                        running.failed(node, epoch, &message);
                    } else if running.standby.as_ref().is_some_and(|standby| standby.line.instance.id == instance) {
                        running.failed(node, epoch, &message);
                        self.stand_by(running);
                    }
                }
                Event::Gone { pipeline, instance } => {
                    let mut pipelines = self.lock();
                    let Some(running) = pipelines.get_mut(&pipeline) else { continue };
                    if running.live.instance.id != instance {
                        continue;
                    }
                    if running.goes_on && !running.restarting {
                        running.live.snapshots.end(running.live.instance.stop_at());
                    }
                    if running.restarting || running.goes_on {
                        self.restart(running);
                    } else if running.standby.as_ref().is_some_and(|standby| standby.fence.is_some()) {
                        running.ended_at_fence();
                        self.take_over(running);
                    } else {
                        running.ended = true;
                    }
                    self.ended.notify_all();
                }
                Event::Behind { pipeline, base } => {
                    let mut pipelines = self.lock();
                    let Some(running) = pipelines.get_mut(&pipeline) else { continue };
                    running.again_from.get_or_insert(base);
                    self.stand_by(running);
                }
                Event::Standby { pipeline, instance } => {
                    let mut pipelines = self.lock();
                    let Some(running) = pipelines.get_mut(&pipeline) else { continue };
                    if running.standby.as_ref().is_some_and(|standby| standby.line.instance.id == instance) {
                        self.take_over(running);
                        self.ended.notify_all();
                    }
                }
            }
        }
    }

    /// A new live instance, from the newest snapshot of the one before.
    pub(crate) fn restart(&self, running: &mut Running) {
        running.restarting = false;
        running.restarts += 1;
        let goes_on = std::mem::take(&mut running.goes_on);
        let Line { instance: before, reader, snapshots } = &running.live;
        snapshots.forget_open();
        running.each_view().for_each(|(_, _, _, view)| view.hold());
        let line = self.line(&running.pipeline.id, *reader, snapshots.clone(), &running.lost, true);
        match self.launch(running, &line) {
            Ok(()) => {
                line.instance.end_at(if goes_on { Epoch::MAX } else { before.stop_at() });
                running.live = line;
            }
            Err(error) => {
                tracing::error!(pipeline = &*running.pipeline.id, %error, "the pipeline cannot be restarted and stays down; the others go on");
                running.ended = true;
                running.down = true;
                self.log.unregister(running.live.reader);
            }
        }
    }
}

impl Running {
    fn failed(&mut self, node: usize, epoch: Epoch, message: &str) {
        let shared = &self.nodes[node];
        NodeStats::add(&shared.stats.errors, 1);
        let failures = self.failures.entry((node, epoch)).or_default();
        *failures += 1;
        let (pipeline, id) = (&*self.pipeline.id, &*shared.id);
        if *failures < PATIENCE {
            tracing::error!(
                pipeline,
                node = id,
                epoch,
                error = message,
                "a node failed; its pipeline restarts from its last snapshot"
            );
            return;
        }
        tracing::error!(
            pipeline,
            node = id,
            epoch,
            error = message,
            failures = *failures,
            "a node failed for the third time on one epoch and is set aside; the rest goes on without it"
        );
        self.failures.retain(|(other, _), _| *other != node);
        let since = self.live.instance.log.last_time().unwrap_or_default();
        self.aside.insert(node, Trouble { kind: TroubleKind::SetAside, since, why: message.to_owned() });
    }

    pub(crate) fn status(&self, log: &SiteLog) -> PipelineStatus {
        let done = self.live.instance.all_done();
        PipelineStatus {
            id: self.pipeline.id.clone(),
            done,
            waiting_since: log.time_behind(done),
            restarts: self.restarts,
            longest_pause: self.live.instance.longest_pause(),
            lost_entries: self.lost.load(Ordering::Relaxed),
            nodes: self
                .nodes
                .iter()
                .enumerate()
                .map(|(index, node)| NodeStatus {
                    id: node.id.clone(),
                    operator: node.operator,
                    trouble: match self.sinks.get(&index) {
                        Some(sink) => sink.trouble(),
                        None => self.aside.get(&index).cloned(),
                    },
                    counts: node.stats.counts(),
                })
                .collect(),
        }
    }
}

/// The site's context completed for one node on one worker.
pub(crate) fn node_context(
    context: &BuildContext,
    pipeline: &Pipeline,
    node: usize,
    worker: usize,
    workers: usize,
) -> BuildContext {
    let graph_node = &pipeline.nodes[node];
    BuildContext {
        pipeline: pipeline.id.clone(),
        node: graph_node.id.clone(),
        inputs: graph_node.inputs.clone(),
        partition: Partition { worker, workers },
        ..context.clone()
    }
}
