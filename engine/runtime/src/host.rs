//! The host: worker threads, the pipelines on them, and what happens when one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use ducto_graph::operator::{BuildContext, Intake, NodeError, Partition, Sink, SinkConfig};
use ducto_graph::pipeline::{NodeConfig, Pipeline};
use ducto_record::{Batch, Epoch, Micros, Origin, SavedState};
use timely::WorkerConfig;
use timely::communication::WorkerGuards;

use crate::dataflow::{Assembly, Built, build};
use crate::error::RuntimeError;
use crate::instance::{Event, Instance, InstanceParts};
use crate::intake::SiteIntake;
use crate::log::{ReaderId, SiteLog};
use crate::node::{Aside, NodeShared, SourceNode, TransformNode};
use crate::partition::Share;
use crate::publish::Publisher;
use crate::replies::Replies;
use crate::sinks::SinkHost;
use crate::snapshots::{Place, Snapshots};
use crate::stats::{NodeCounts, NodeStats};
use crate::taps::TapReader;
use crate::views::View;

/// Failures of one node on one epoch after which the node is set aside.
const PATIENCE: u32 = 3;

/// Which sinks of the pipelines are built.
#[derive(Clone, Debug)]
pub enum Sinks {
    All,
    /// Those that store one of these datasets; the others discard what they are given. For tests and benches.
    Storing(BTreeSet<String>),
}

impl Sinks {
    fn build(&self, config: &dyn SinkConfig) -> bool {
        match self {
            Self::All => true,
            Self::Storing(datasets) => config.dataset().is_some_and(|dataset| datasets.contains(&*dataset)),
        }
    }
}

struct Discard;

impl Sink for Discard {
    fn on_batch(&mut self, _input: usize, _epoch: Epoch, _batch: &Batch) -> Result<(), NodeError> {
        Ok(())
    }
}

enum Command {
    Build(Box<Assembly>),
    Stop,
}

/// A pipeline that runs, through all its instances.
struct Running {
    pipeline: Arc<Pipeline>,
    context: BuildContext,
    reader: ReaderId,
    nodes: Vec<Arc<NodeShared>>,
    sinks: BTreeMap<usize, Arc<SinkHost>>,
    /// By node and worker.
    publishers: BTreeMap<Place, Arc<Publisher>>,
    snapshots: Arc<Snapshots>,
    lost: Arc<AtomicU64>,
    restarts: u64,
    failures: BTreeMap<(usize, Epoch), u32>,
    aside: BTreeSet<usize>,
    instance: Arc<Instance>,
    /// Set while the old instance is on its way out and the next one waits for that.
    restarting: bool,
    ended: bool,
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
    /// Entries lost because the ring had moved on.
    pub lost_entries: u64,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Clone, Debug)]
pub struct NodeStatus {
    pub id: Arc<str>,
    pub operator: &'static str,
    pub set_aside: bool,
    pub counts: NodeCounts,
}

struct Shared {
    log: Arc<SiteLog>,
    intake: Arc<SiteIntake>,
    replies: Arc<Replies>,
    workers: usize,
    sinks: Sinks,
    commands: Vec<(Mutex<Sender<Command>>, Thread)>,
    events: Mutex<Sender<Event>>,
    next_instance: AtomicU64,
    pipelines: Mutex<BTreeMap<Arc<str>, Running>>,
    /// A pipeline ended.
    ended: Condvar,
}

/// Worker threads and the pipelines on them.
pub struct Host {
    shared: Arc<Shared>,
    controller: Option<JoinHandle<()>>,
    /// Behind a lock so that a host can be shared between threads.
    guards: Mutex<Option<WorkerGuards<()>>>,
}

impl Host {
    /// Starts the workers, with no pipelines yet.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(
        workers: usize,
        sinks: Sinks,
        log: Arc<SiteLog>,
        intake: Arc<SiteIntake>,
    ) -> Result<Self, RuntimeError> {
        let workers = workers.max(1);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel::<Command>()).unzip();
        let receivers = Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>());
        let (threads_in, threads) = channel();
        let threads_in = Mutex::new(threads_in);
        let config = timely::Config {
            communication: if workers == 1 {
                timely::CommunicationConfig::Thread
            } else {
                timely::CommunicationConfig::Process(workers)
            },
            worker: WorkerConfig::default().idle_spin(Duration::ZERO),
        };
        let guards = timely::execute(config, move |worker| {
            let index = worker.index();
            let commands =
                receivers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index).and_then(Option::take);
            let introduced =
                threads_in.lock().unwrap_or_else(PoisonError::into_inner).send((index, std::thread::current()));
            if let (Some(commands), Ok(())) = (commands, introduced) {
                run_worker(worker, &commands);
            }
        })
        .map_err(RuntimeError::Workers)?;
        let mut found: Vec<(usize, Thread)> = threads.iter().take(workers).collect();
        found.sort_by_key(|(index, _)| *index);
        let commands =
            senders.into_iter().zip(found).map(|(sender, (_, thread))| (Mutex::new(sender), thread)).collect();
        let (events, inbox) = channel();
        let shared = Arc::new(Shared {
            log,
            intake,
            replies: Arc::default(),
            workers,
            sinks,
            commands,
            events: Mutex::new(events),
            next_instance: AtomicU64::new(1),
            pipelines: Mutex::default(),
            ended: Condvar::new(),
        });
        let controlled = shared.clone();
        let controller =
            std::thread::Builder::new().name("ducto-host".into()).spawn(move || controlled.control(&inbox))?;
        Ok(Self { shared, controller: Some(controller), guards: Mutex::new(Some(guards)) })
    }

    /// Adds a pipeline, which reads the log from behind its present end. `context` is completed for each node.
    ///
    /// # Errors
    /// When a node cannot be built; nothing has started then.
    pub fn add(&self, pipeline: &Arc<Pipeline>, context: &BuildContext) -> Result<(), RuntimeError> {
        self.shared.add(pipeline, context)
    }

    /// Ends a pipeline once it has processed everything that is in the log now; its sinks finish.
    ///
    /// # Errors
    /// When there is none of this id, or a sink cannot finish.
    pub fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.shared.remove(id)
    }

    /// Ids of the pipelines.
    pub fn pipelines(&self) -> Vec<Arc<str>> {
        self.shared.lock().keys().cloned().collect()
    }

    pub fn status(&self) -> Vec<PipelineStatus> {
        self.shared.lock().values().map(|running| running.status(&self.shared.log)).collect()
    }

    /// Opens a tap on a port: `every` for one that misses nothing, however slow its reader.
    ///
    /// # Errors
    /// When there is no such pipeline, node or port.
    pub fn tap(&self, pipeline: &str, node: &str, port: &str, every: bool) -> Result<TapReader, RuntimeError> {
        let pipelines = self.shared.lock();
        let running = pipelines.get(pipeline).ok_or_else(|| RuntimeError::NoPipeline(pipeline.into()))?;
        running
            .nodes
            .iter()
            .find(|shared| *shared.id == *node)
            .and_then(|shared| shared.ports.iter().find(|shared| shared.name == port))
            .map(|port| port.tap.open(every))
            .ok_or_else(|| RuntimeError::NoPort { pipeline: pipeline.into(), node: node.into(), port: port.into() })
    }

    /// Every view, with the pipeline and node it is of.
    pub fn views(&self) -> Vec<(Arc<str>, Arc<str>, Arc<View>)> {
        let pipelines = self.shared.lock();
        pipelines
            .values()
            .flat_map(|running| {
                running.nodes.iter().flat_map(|node| {
                    node.ports
                        .iter()
                        .filter_map(|port| Some((running.pipeline.id.clone(), node.id.clone(), port.view.clone()?)))
                })
            })
            .collect()
    }

    /// Waits until every pipeline has processed `epoch`.
    pub fn wait_done(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.shared.log.wait_done(epoch, timeout)
    }

    /// Answers of the nodes to an action that all pipelines have processed.
    pub fn take_replies(&self, action: u64) -> Vec<ducto_graph::operator::Reply> {
        self.shared.replies.take(action)
    }

    /// When the last thing that is open in any pipeline closes.
    pub fn closes_at(&self) -> Option<Micros> {
        self.shared.lock().values().filter_map(|running| running.instance.closes_at()).max()
    }

    /// What the intake calls between entries on a virtual clock, so that what an entry brought about (tags that
    /// were published, commits of datasets) is in the log before the next.
    pub(crate) fn settler(&self) -> Arc<dyn Fn() + Send + Sync> {
        let shared = self.shared.clone();
        Arc::new(move || {
            let last = shared.log.last_epoch();
            while !shared.log.wait_done(last, Duration::from_secs(1)) {
                if shared.lock().values().all(|running| running.ended) {
                    return;
                }
            }
            let sinks: Vec<_> = shared.lock().values().flat_map(|running| running.sinks.values().cloned()).collect();
            for sink in sinks {
                sink.settle();
            }
        })
    }

    /// Every sink brings what others read into the log; says whether there was anything.
    pub(crate) fn flush(&self) -> bool {
        let sinks: Vec<_> = self.shared.lock().values().flat_map(|running| running.sinks.values().cloned()).collect();
        // All of them, whatever the first says.
        sinks.iter().filter(|sink| sink.flush()).count() > 0
    }

    /// Ends every pipeline, then the workers.
    ///
    /// # Errors
    /// The first sink that could not finish; the others are finished all the same.
    pub fn stop(mut self) -> Result<(), RuntimeError> {
        let mut result = Ok(());
        for id in self.pipelines() {
            result = result.and(self.shared.remove(&id));
        }
        self.end();
        result
    }

    fn end(&mut self) {
        for (sender, thread) in &self.shared.commands {
            let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(Command::Stop);
            thread.unpark();
        }
        let _ = self.shared.events.lock().unwrap_or_else(PoisonError::into_inner).send(Event::Stop);
        if let Some(controller) = self.controller.take() {
            let _ = controller.join();
        }
        drop(self.guards.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.controller.is_some() {
            for running in self.shared.lock().values() {
                running.instance.fence();
            }
            self.end();
        }
    }
}

fn run_worker(worker: &mut timely::worker::Worker, commands: &Receiver<Command>) {
    let mut stopping = false;
    loop {
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Build(assembly) => build(worker, *assembly),
                Command::Stop => stopping = true,
            }
        }
        if stopping && !worker.has_dataflows() {
            return;
        }
        worker.step_or_park(None);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, pipeline: &Arc<Pipeline>, context: &BuildContext) -> Result<(), RuntimeError> {
        let mut pipelines = self.lock();
        if pipelines.contains_key(&pipeline.id) {
            return Err(RuntimeError::Duplicate(pipeline.id.clone()));
        }
        let position = self.log.last_epoch();
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
                    sinks.insert(index, Arc::new(SinkHost::new(sink, position, nodes[index].stats.clone())));
                }
                NodeConfig::Transform(_) => keeping += self.workers,
                NodeConfig::Source(_) => {}
            }
            if !node.publish.is_empty() {
                for worker in 0..self.workers {
                    let origin = Origin::Published { pipeline: pipeline.id.clone(), node: node.id.clone() };
                    let intake: Arc<dyn Intake> = self.intake.clone();
                    publishers.insert((index, worker), Arc::new(Publisher::new(node.publish.clone(), origin, intake)));
                }
            }
        }
        let reader = self.log.register(position);
        let snapshots = Arc::new(Snapshots::new(keeping));
        let lost = Arc::new(AtomicU64::new(0));
        let instance = self.instance(&pipeline.id, reader, &snapshots, &lost, position);
        let running = Running {
            pipeline: pipeline.clone(),
            context: context.clone(),
            reader,
            nodes,
            sinks,
            publishers,
            snapshots,
            lost,
            restarts: 0,
            failures: BTreeMap::new(),
            aside: BTreeSet::new(),
            instance,
            restarting: false,
            ended: false,
        };
        match self.launch(&running, position, &BTreeMap::new()) {
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

    fn instance(
        &self,
        pipeline: &Arc<str>,
        reader: ReaderId,
        snapshots: &Arc<Snapshots>,
        lost: &Arc<AtomicU64>,
        start: Epoch,
    ) -> Arc<Instance> {
        Instance::new(InstanceParts {
            id: self.next_instance.fetch_add(1, Ordering::Relaxed),
            pipeline: pipeline.clone(),
            log: self.log.clone(),
            intake: self.intake.clone(),
            reader,
            snapshots: snapshots.clone(),
            replies: self.replies.clone(),
            events: self.events.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            lost: lost.clone(),
            start,
            workers: self.workers,
        })
    }

    /// Builds every worker's nodes, restores them, and hands them to the workers.
    fn launch(
        &self,
        running: &Running,
        position: Epoch,
        states: &BTreeMap<Place, SavedState>,
    ) -> Result<(), RuntimeError> {
        let mut assemblies = Vec::new();
        for worker in 0..self.workers {
            let mut nodes = Vec::new();
            for (index, node) in running.pipeline.nodes.iter().enumerate() {
                let context = node_context(&running.context, &running.pipeline, index, worker, self.workers);
                let shared = running.nodes[index].clone();
                let aside = running.aside.contains(&index);
                let built = match &node.config {
                    NodeConfig::Source(_) if aside => Built::Source(SourceNode::new(Box::new(Aside), shared)),
                    NodeConfig::Source(config) => Built::Source(SourceNode::new(config.build(&context)?, shared)),
                    NodeConfig::Transform(config) => {
                        let transform = if aside {
                            Box::new(Aside)
                        } else {
                            let mut transform = config.build(&context)?;
                            if let Some(state) = states.get(&(index, worker)) {
                                transform.restore(state).map_err(|error| context.error(error.to_string()))?;
                            }
                            transform
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
                instance: running.instance.clone(),
                nodes,
                share: Share::new(Partition { worker, workers: self.workers }, &running.context.directory),
                deadline: self.intake.deadline(),
                position,
            });
        }
        for sink in running.sinks.values() {
            sink.attach(running.instance.id, self.workers, position);
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

    fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        let mut pipelines = self.lock();
        if !pipelines.contains_key(id) {
            return Err(RuntimeError::NoPipeline(id.into()));
        }
        let until = self.log.last_epoch();
        // A pipeline that fails on its way out comes back and goes on until it is there.
        while let Some(running) = pipelines.get(id).filter(|running| !running.ended) {
            running.instance.end_at(until);
            pipelines = self
                .ended
                .wait_timeout(pipelines, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let Some(running) = pipelines.remove(id) else { return Ok(()) };
        drop(pipelines);
        self.log.unregister(running.reader);
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
        result
    }

    /// The controller's thread: restarts what failed.
    fn control(&self, inbox: &Receiver<Event>) {
        while let Ok(event) = inbox.recv() {
            match event {
                Event::Stop => return,
                Event::Failed { pipeline, instance, node, epoch, message } => {
                    let mut pipelines = self.lock();
                    if let Some(running) = pipelines.get_mut(&pipeline)
                        && running.instance.id == instance
                    {
                        running.failed(node, epoch, &message);
                    }
                }
                Event::Gone { pipeline, instance } => {
                    let mut pipelines = self.lock();
                    let Some(running) = pipelines.get_mut(&pipeline) else { continue };
                    if running.instance.id != instance {
                        continue;
                    }
                    if running.restarting {
                        self.restart(running);
                    } else {
                        running.ended = true;
                    }
                    self.ended.notify_all();
                }
            }
        }
    }

    fn restart(&self, running: &mut Running) {
        running.restarting = false;
        running.restarts += 1;
        let (position, states) = match running.snapshots.newest() {
            Ok(Some((epoch, states))) => (epoch, states),
            Ok(None) => (running.instance.start(), BTreeMap::new()),
            Err(error) => {
                tracing::error!(pipeline = &*running.pipeline.id, %error, "the snapshot cannot be read; the pipeline starts from empty state");
                (running.instance.all_done(), BTreeMap::new())
            }
        };
        let stop_at = running.instance.stop_at();
        running.instance =
            self.instance(&running.pipeline.id, running.reader, &running.snapshots, &running.lost, position);
        match self.launch(running, position, &states) {
            Ok(()) => running.instance.end_at(stop_at),
            Err(error) => {
                tracing::error!(pipeline = &*running.pipeline.id, %error, "the pipeline cannot be restarted and stays down; the others go on");
                running.ended = true;
                self.log.unregister(running.reader);
            }
        }
    }
}

impl Running {
    fn failed(&mut self, node: usize, epoch: Epoch, message: &str) {
        self.restarting = true;
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
        self.aside.insert(node);
        if let Some(sink) = self.sinks.get(&node) {
            sink.set_aside();
        }
    }

    fn status(&self, log: &SiteLog) -> PipelineStatus {
        let done = self.instance.all_done();
        PipelineStatus {
            id: self.pipeline.id.clone(),
            done,
            waiting_since: log.time_behind(done),
            restarts: self.restarts,
            lost_entries: self.lost.load(Ordering::Relaxed),
            nodes: self
                .nodes
                .iter()
                .enumerate()
                .map(|(index, node)| NodeStatus {
                    id: node.id.clone(),
                    operator: node.operator,
                    set_aside: self.aside.contains(&index),
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
