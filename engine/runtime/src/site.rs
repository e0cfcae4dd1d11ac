//! A running site: its log, its intake, its connections and its pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_graph::operator::{
    BuildContext, Connection, ConnectionMember, Endpoint, Intake, Partition, Reply, Resources, SiteServices,
};
use ducto_graph::pipeline::NodeConfig;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_record::{Action, Epoch, Micros, Value, time};
use ducto_storage::PipelineState;

use crate::checkpoints::{CheckpointStatus, Checkpointing};
use crate::clock::{ClockMode, WallClock};
use crate::error::RuntimeError;
use crate::feeders::{FeederStatus, Feeders};
use crate::host::{Host, Sinks};
use crate::intake::SiteIntake;
use crate::journal::{JournalStatus, Journaling};
use crate::log::SiteLog;
use crate::pipelines::{PipelineStatus, node_context};
use crate::resume::{Durable, Resumes};
use crate::service;
use crate::taps::TapReader;
use crate::turns::Turned;
use crate::views::View;

/// Share of the site's memory budget for the ring of entries, and for parts that wait to be sealed.
const RING_SHARE: u64 = 4;
const WAITING_SHARE: u64 = 16;

/// How many stages, each of which brings something into the log when the one before has ended, a graph may have: windows
/// over windows, datasets computed from datasets. A graph has few.
const STAGES: usize = 16;

/// How long a stop waits for pipelines that are behind before what they would read is given up.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);

/// How a site is started.
pub struct Options {
    pub mode: ClockMode,
    /// The last epoch that stores of an earlier run hold: numbering goes on behind it.
    pub last_epoch: Epoch,
    /// Services for nodes; the site adds [`SiteServices`].
    pub resources: Resources,
    /// Whether connections and sources with input of their own run. Off where a caller enters everything itself.
    pub feeders: bool,
    pub sinks: SinkChoice,
    /// Where entries are kept until every store has what came of them. None where the input is there to be read again.
    pub durable: Option<Durable>,
}

/// Which sinks of the pipelines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkChoice {
    All,
    /// Only those that store a dataset which a source of the site reads; the others discard.
    DatasetsRead,
}

/// By which clock a site runs whose own input runs: where its sources bring times of their own, by these.
pub fn clock_of(site: &Site) -> ClockMode {
    let mut nodes = site.pipelines.iter().flat_map(|pipeline| &pipeline.nodes);
    match nodes.any(|node| matches!(&node.config, NodeConfig::Source(config) if config.has_clock())) {
        true => ClockMode::Virtual,
        false => ClockMode::Wall,
    }
}

/// A site at work.
pub struct RunningSite {
    site: Arc<Site>,
    log: Arc<SiteLog>,
    intake: Arc<SiteIntake>,
    host: Option<Host>,
    feeders: Mutex<Feeders>,
    sealer: Option<JoinHandle<()>>,
    next_action: AtomicU64,
    /// Some pipeline reads what another stores.
    reads_datasets: bool,
    journaling: Option<Journaling>,
    checkpointing: Option<Checkpointing>,
    last_states: BTreeMap<Arc<str>, PipelineState>,
}

impl RunningSite {
    /// Starts everything or nothing: pipelines first, then what feeds them.
    ///
    /// # Errors
    /// When a node cannot be built or a thread not started; what had started is stopped again.
    pub fn start(site: &Arc<Site>, registry: &Registry, options: Options) -> Result<Self, RuntimeError> {
        Self::start_by(site, registry, options, WallClock::default())
    }

    /// As [`RunningSite::start`], by another clock than the machine's.
    ///
    /// # Errors
    /// As [`RunningSite::start`].
    pub fn start_by(
        site: &Arc<Site>,
        registry: &Registry,
        options: Options,
        wall: WallClock,
    ) -> Result<Self, RuntimeError> {
        Self::begin(site, registry, options, wall, false)
    }

    /// As [`RunningSite::start`], for input that is a log of before, appended entry by entry to [`RunningSite::log`]: what
    /// nodes publish and datasets announce is in it already, and is not brought a second time.
    ///
    /// # Errors
    /// As [`RunningSite::start`].
    pub fn start_from_log(site: &Arc<Site>, registry: &Registry, options: Options) -> Result<Self, RuntimeError> {
        Self::begin(site, registry, options, WallClock::default(), true)
    }

    fn begin(
        site: &Arc<Site>,
        registry: &Registry,
        options: Options,
        wall: WallClock,
        from_log: bool,
    ) -> Result<Self, RuntimeError> {
        let Options { mode, last_epoch, mut resources, feeders: with_feeders, sinks, durable } = options;
        let memory = site.memory.bytes();
        let share = |part: u64| usize::try_from(memory / part).unwrap_or(usize::MAX).max(1 << 20);
        let seen = durable.as_ref().and_then(|durable| durable.checkpoint.as_ref()?.last()).unwrap_or_default();
        let log = Arc::new(SiteLog::new(share(RING_SHARE), last_epoch.max(seen)));
        let mut journaling = None;
        let mut kept = None;
        let mut announced = BTreeMap::new();
        if let Some(Durable { journal, brought, checkpoints, checkpoint, .. }) = durable {
            let first = journal.first();
            let time = checkpoint.as_ref().map_or(Micros::MIN, |checkpoint| checkpoint.time);
            journaling = Some(Journaling::start(&log, journal, time)?);
            announced = brought.announced;
            kept = Some((Resumes::new(checkpoint, brought.published, first, log.last_epoch()), checkpoints));
        }
        let intake = SiteIntake::new(mode, wall, log.clone(), share(WAITING_SHARE));
        if from_log {
            intake.pass_over_published();
        }
        let datasets_read: BTreeSet<String> = site
            .pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.nodes)
            .filter_map(|node| match &node.config {
                NodeConfig::Source(config) => Some(config.datasets()),
                _ => None,
            })
            .flatten()
            .map(|name| name.value)
            .filter(|_| !from_log)
            .collect();
        let reads_datasets = !datasets_read.is_empty();
        let brings = reads_datasets
            || site.pipelines.iter().flat_map(|pipeline| &pipeline.nodes).any(|node| !node.publish.is_empty());
        let sinks = match sinks {
            SinkChoice::All => Sinks::All,
            SinkChoice::DatasetsRead => Sinks::Storing(datasets_read.clone()),
        };
        resources.insert(Arc::new(SiteServices { intake: intake.clone(), datasets_read, announced }));
        let context = BuildContext {
            site: site.clone(),
            directory: site.directory.clone(),
            functions: registry.functions().clone(),
            units: registry.units().at(site.atmospheric_pressure),
            pipeline: "".into(),
            node: "".into(),
            inputs: Arc::new([]),
            partition: Partition { worker: 0, workers: 1 },
            resources,
        };
        let connections = if with_feeders { connections(site, &context, intake.now())? } else { Vec::new() };
        let mut feeders = Vec::new();
        let host = Host::start(site.workers, sinks, log.clone(), intake.clone())?;
        for pipeline in &site.pipelines {
            match &kept {
                Some((resumes, _)) => host.resume(pipeline, &context, &resumes.of(&pipeline.id))?,
                None => host.add(pipeline, &context)?,
            }
            if with_feeders {
                for (index, node) in pipeline.nodes.iter().enumerate() {
                    if let NodeConfig::Source(config) = &node.config {
                        feeders.extend(config.feeder(&node_context(&context, pipeline, index, 0, 1))?);
                    }
                }
            }
        }
        let mut checkpointing = None;
        if let Some((resumes, mut checkpoints)) = kept {
            let (first, differs) = resumes.first_checkpoint(&site.pipelines, site.workers.max(1));
            if differs {
                checkpoints.save(&first).map_err(|error| std::io::Error::other(error.to_string()))?;
            }
            let every = site.checkpoint_every.to_std();
            checkpointing = Some(Checkpointing::start(host.shared().clone(), checkpoints, first, every)?);
        }
        if brings && mode == ClockMode::Virtual {
            intake.set_settle(Some(host.settler()));
        }
        let sealer = match mode {
            ClockMode::Virtual => None,
            ClockMode::Wall => {
                let sealing = intake.clone();
                Some(std::thread::Builder::new().name("ducto-intake".into()).spawn(move || sealing.run())?)
            }
        };
        let mut running = Self {
            site: site.clone(),
            log,
            intake,
            host: Some(host),
            feeders: Mutex::default(),
            sealer,
            // Actions of processes before may be read again, and answers to them are not for those who ask now.
            next_action: AtomicU64::new(time::now().unsigned_abs()),
            reads_datasets,
            journaling,
            checkpointing,
            last_states: BTreeMap::new(),
        };
        if with_feeders {
            service::announce(site, running.intake.now(), &*running.intake);
        }
        let ways = match mode {
            ClockMode::Virtual => Turned::ways(&running.intake, feeders.len()),
            ClockMode::Wall => feeders.iter().map(|_| running.intake.clone() as Arc<dyn Intake>).collect(),
        };
        let intake: Arc<dyn Intake> = running.intake.clone();
        let started = running.feeders.get_mut().unwrap_or_else(PoisonError::into_inner);
        let started = feeders
            .into_iter()
            .zip(ways)
            .try_for_each(|(feeder, way)| started.start(feeder, &way))
            .and_then(|()| started.connect(connections, &intake));
        if let Err(error) = started {
            let _ = running.stop();
            return Err(error);
        }
        Ok(running)
    }

    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    pub fn intake(&self) -> &Arc<SiteIntake> {
        &self.intake
    }

    pub fn log(&self) -> &Arc<SiteLog> {
        &self.log
    }

    fn host(&self) -> Result<&Host, RuntimeError> {
        self.host.as_ref().ok_or(RuntimeError::Stopping)
    }

    pub fn status(&self) -> Vec<PipelineStatus> {
        self.host().map(Host::status).unwrap_or_default()
    }

    pub fn feeders(&self) -> Vec<FeederStatus> {
        self.feeders.lock().unwrap_or_else(PoisonError::into_inner).status()
    }

    /// # Errors
    /// When there is no such port.
    pub fn tap(&self, pipeline: &str, node: &str, port: &str) -> Result<TapReader, RuntimeError> {
        self.host()?.tap(pipeline, node, port, false)
    }

    /// As [`RunningSite::tap`], but misses nothing, however slow its reader: for input that ends.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn tap_every(&self, pipeline: &str, node: &str, port: &str) -> Result<TapReader, RuntimeError> {
        self.host()?.tap(pipeline, node, port, true)
    }

    /// As [`RunningSite::tap`] on the samples that enter the site: as its connections and nodes bring them, before any
    /// check.
    pub fn tap_log(&self) -> TapReader {
        self.log.tap()
    }

    /// Every view, with the pipeline and node it is of.
    pub fn views(&self) -> Vec<(Arc<str>, Arc<str>, Arc<View>)> {
        self.host().map(Host::views).unwrap_or_default()
    }

    /// Enters an action and waits, at most `timeout`, until every pipeline has seen it. Answers what the nodes said.
    ///
    /// # Errors
    /// When the site stops before that.
    pub fn act(
        &self,
        verb: &str,
        arguments: BTreeMap<String, Value>,
        user: &str,
        reason: Option<&str>,
        timeout: Duration,
    ) -> Result<Vec<Reply>, RuntimeError> {
        let id = self.next_action.fetch_add(1, Ordering::Relaxed);
        let action = Action { id, verb: verb.into(), arguments, user: user.into(), reason: reason.map(Into::into) };
        let epoch = self.intake.act(Arc::new(action)).map_err(|_| RuntimeError::Stopping)?;
        let host = self.host()?;
        host.wait_done(epoch, timeout);
        Ok(host.take_replies(id))
    }

    /// Waits until every pipeline has processed what is in the log now, and every sink has what was for it.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.host().is_ok_and(|host| host.wait_stored(self.log.last_epoch(), timeout))
    }

    /// For input that has ended, on a virtual clock: moves engine time past everything that is open, so that the
    /// last windows close.
    pub fn end_of_input(&self) {
        while !self.wait_idle(Duration::from_secs(1)) {}
        self.log.end_input();
        // What a window gives when it closes may open another further down, and so may what is read of a dataset.
        for _ in 0..STAGES {
            while !self.wait_idle(Duration::from_secs(1)) {}
            let closes = self.host().ok().and_then(Host::closes_at);
            match closes.filter(|closes| self.log.last_time().is_none_or(|last| last < *closes)) {
                Some(closes) => {
                    if self.intake.enter_at(closes, Vec::new()).is_err() {
                        return;
                    }
                }
                None if self.flush() => {}
                None => return,
            }
        }
    }

    /// Brings what was stored and is read by other pipelines into the log; says whether there was anything.
    fn flush(&self) -> bool {
        let any = self.reads_datasets && self.host().is_ok_and(Host::flush);
        if any {
            let _ = self.intake.wait_sealed(Duration::from_secs(1));
        }
        any
    }

    /// Lets pipelines that read a dataset see its last rows, while entries can still be made of them.
    fn flush_all(&self) {
        if !self.reads_datasets || self.host.is_none() {
            return;
        }
        let end = Instant::now() + FLUSH_PATIENCE;
        let idle = || loop {
            if self.wait_idle(Duration::from_millis(100)) {
                return true;
            }
            if Instant::now() >= end || self.log.is_given_up() {
                return false;
            }
        };
        for _ in 0..STAGES {
            if !idle() {
                break;
            }
            if !self.flush() {
                return;
            }
        }
        if self.log.is_given_up() {
            return;
        }
        tracing::warn!("the pipelines are behind; those that read a dataset may not have seen its last rows");
    }

    /// What the journal does; `None` where there is none.
    pub fn journal(&self) -> Option<JournalStatus> {
        self.journaling.as_ref().map(Journaling::status)
    }

    /// What is known of checkpoints; `None` where there are none.
    pub fn checkpoints(&self) -> Option<CheckpointStatus> {
        self.checkpointing.as_ref().map(Checkpointing::status)
    }

    /// Engine time now.
    pub fn now(&self) -> Micros {
        self.intake.now()
    }

    /// A clean stop: input ends, what is in the log is processed, what was stored is seen by the pipelines that read
    /// it, sinks finish.
    ///
    /// # Errors
    /// The first sink that could not bring what it holds to where it belongs.
    pub fn stop(&mut self) -> Result<(), RuntimeError> {
        self.feeders.get_mut().unwrap_or_else(PoisonError::into_inner).stop();
        self.flush_all();
        self.intake.stop();
        if let Some(sealer) = self.sealer.take() {
            let _ = sealer.join();
        }
        let taker = self.checkpointing.take().and_then(|mut checkpointing| checkpointing.stop());
        let mut result = Ok(());
        if let Some(host) = self.host.take() {
            (self.last_states, result) = host.stop();
        }
        self.intake.set_settle(None);
        // What pipelines and datasets brought while they stopped is for the next process.
        self.intake.end();
        if let Some(mut journaling) = self.journaling.take() {
            let journal = journaling.stop();
            // A power cut leaves none either.
            let taker = taker.filter(|_| !self.log.is_given_up());
            if let (Some(taker), Some(mut journal)) = (taker, journal)
                && let Some(epoch) = taker.finish(self.last_states.clone())
                && let Err(error) = journal.forget(epoch)
            {
                tracing::warn!(%error, "a part of the journal that is not needed any more stays for now");
            }
        }
        result
    }

    /// Stops as a power cut does: nothing waits for the disk any more, and what is not on it is given up. For tests.
    pub fn abandon(&mut self) {
        self.log.give_up_journal();
        // Whatever it could not bring to where it belongs is what is given up.
        let _ = self.stop();
    }

    /// After [`RunningSite::stop`]: every pipeline as it was at its end, where its stores hold all that came of it.
    pub fn last_states(&self) -> &BTreeMap<Arc<str>, PipelineState> {
        &self.last_states
    }
}

impl Drop for RunningSite {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the site did not stop cleanly");
        }
    }
}

/// A connection, and how many tags are read by it.
type Reading = (Box<dyn Connection>, usize);

/// One connection per endpoint: assets whose connections share an endpoint share the socket or the line.
fn connections(site: &Site, context: &BuildContext, now: Micros) -> Result<Vec<Reading>, RuntimeError> {
    let mut types: BTreeMap<&'static str, BTreeMap<String, Vec<ConnectionMember>>> = BTreeMap::new();
    for connection in site.connections.iter().filter(|connection| service::is_read(site, &connection.asset, now)) {
        let tags = connection.tags.iter().filter_map(|&id| site.tag(id).cloned()).collect();
        let endpoints = types.entry(connection.operator).or_default();
        endpoints.entry(connection.config.endpoint()).or_default().push(ConnectionMember {
            asset: connection.asset.clone(),
            config: connection.config.clone(),
            tags,
        });
    }
    let mut opened = Vec::new();
    for (operator, endpoints) in types {
        let Some(config) = endpoints.values().flatten().next().map(|member| member.config.clone()) else { continue };
        let tags: Vec<usize> =
            endpoints.values().map(|members| members.iter().map(|member| member.tags.len()).sum()).collect();
        let endpoints = endpoints.into_iter().map(|(name, members)| Endpoint { name, members }).collect();
        let context = BuildContext { pipeline: operator.into(), ..context.clone() };
        // One for each endpoint, in the same order.
        opened.extend(config.open(endpoints, &context)?.into_iter().zip(tags));
    }
    Ok(opened)
}
