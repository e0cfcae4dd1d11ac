//! The host: worker threads, and what is asked of the pipelines on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use ducto_graph::operator::{BuildContext, NodeError, Sink, SinkConfig};
use ducto_graph::pipeline::Pipeline;
use ducto_record::{Batch, Epoch, Micros};
use ducto_storage::PipelineState;
use timely::WorkerConfig;
use timely::communication::WorkerGuards;

use crate::dataflow::build;
use crate::error::RuntimeError;
use crate::instance::Event;
use crate::intake::SiteIntake;
use crate::log::SiteLog;
use crate::pipelines::{Command, Ended, PipelineStatus, Pipelines};
use crate::resume::Resume;
use crate::taps::TapReader;
use crate::views::View;

/// Which sinks of the pipelines are built.
#[derive(Clone, Debug)]
pub enum Sinks {
    All,
    /// Those that store one of these datasets; the others discard what they are given. For tests and benches.
    Storing(BTreeSet<String>),
}

impl Sinks {
    pub(crate) fn build(&self, config: &dyn SinkConfig) -> bool {
        match self {
            Self::All => true,
            Self::Storing(datasets) => config.dataset().is_some_and(|dataset| datasets.contains(&*dataset)),
        }
    }
}

/// What a sink that is not built is replaced by.
pub(crate) struct Discard;

impl Sink for Discard {
    fn on_batch(&mut self, _input: usize, _epoch: Epoch, _batch: &Batch) -> Result<(), NodeError> {
        Ok(())
    }
}

/// Worker threads and the pipelines on them.
pub struct Host {
    shared: Arc<Pipelines>,
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
        let shared = Arc::new(Pipelines {
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
        self.shared.add(pipeline, context, None)
    }

    /// As [`Host::add`], for a pipeline that a process before has run.
    pub(crate) fn resume(
        &self,
        pipeline: &Arc<Pipeline>,
        context: &BuildContext,
        from: &Resume,
    ) -> Result<(), RuntimeError> {
        self.shared.add(pipeline, context, Some(from))
    }

    pub(crate) fn shared(&self) -> &Arc<Pipelines> {
        &self.shared
    }

    /// Ends a pipeline once it has processed everything that is in the log now; its sinks finish.
    ///
    /// # Errors
    /// When there is none of this id, or a sink cannot finish.
    pub fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.shared.remove(id).1
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

    /// Waits until every pipeline has processed `epoch`; what it gave may wait for a sink.
    pub fn wait_done(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.shared.log.wait_done(epoch, timeout)
    }

    /// As [`Host::wait_done`], and until every sink has what was for it.
    pub fn wait_stored(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.shared.log.wait_stored(epoch, timeout)
    }

    /// Answers of the nodes to an action that all pipelines have processed.
    pub fn take_replies(&self, action: u64) -> Vec<ducto_graph::operator::Reply> {
        self.shared.replies.take(action)
    }

    /// When the last thing that is open in any pipeline closes.
    pub fn closes_at(&self) -> Option<Micros> {
        self.shared.lock().values().filter_map(|running| running.live.instance.closes_at()).max()
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

    /// Ends every pipeline, then the workers. Answers the state of each at its end, where its stores hold all that came
    /// of it, and the first sink that could not finish; the others are finished all the same.
    pub(crate) fn stop(mut self) -> (BTreeMap<Arc<str>, PipelineState>, Result<(), RuntimeError>) {
        let mut result = Ok(());
        let mut all = Vec::new();
        for id in self.pipelines() {
            let (ended, finished) = self.shared.remove(&id);
            all.extend(ended);
            result = result.and(finished);
        }
        self.end();
        // Only now: one that shares a store with others waits for them.
        let stored = all.into_iter().filter(Ended::is_stored).map(|ended| (ended.pipeline, ended.state)).collect();
        (stored, result)
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
                running.live.instance.fence();
                if let Some(standby) = &running.standby {
                    standby.line.instance.fence();
                }
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
