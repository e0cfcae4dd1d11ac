//! A site at work on its data folder, reachable by its socket.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_query::{Session, Site as QuerySite};
use ducto_record::{Epoch, Micros, TagId};
use ducto_runtime::{
    ClockMode, Durable, Options, Outboxes, RunningSite, SinkChoice, SiteIntake, TapReader, WallClock, clock_of,
};
use ducto_storage::{DataFolder, Finding, Historian, StorageError, tags_table, write_catalog};

use crate::alarms::{SystemAlarms, Watch};
use crate::error::SiteError;
use crate::lookers::Lookers;
use crate::protocol::Status;
use crate::rows::Names;
use crate::socket::server::Server;
use crate::socket::tap::Language;
use crate::{rows, status};

/// Share of the site's memory budget for queries.
const QUERY_SHARE: u64 = 4;

/// How long sinks may wait for the disk at a stop before they are told to give up.
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether recordings have ended.
const LOOK: Duration = Duration::from_millis(100);

/// The historians that the site's nodes store into. Operators own them; the site asks.
pub trait History: Send + Sync {
    /// Every open historian, by dataset.
    fn all(&self) -> Vec<(String, Historian)>;

    /// Nodes that wait for room on the disk give up.
    fn close(&self);
}

/// What a site is started with.
pub struct Start {
    pub folder: Arc<DataFolder>,
    /// Services for nodes.
    pub resources: Resources,
    pub history: Arc<dyn History>,
    /// The last epoch that the data folder holds.
    pub last_epoch: Epoch,
    /// The dataset that stores a tag, for the table of tags.
    pub dataset_of: Box<dyn Fn(TagId) -> Option<String>>,
    /// What of the datasets was damaged.
    pub findings: Vec<Finding>,
    /// Shown in the status: the version of the command.
    pub version: &'static str,
}

/// What everybody who answers for the site shares.
pub(crate) struct Shared {
    pub(crate) site: Arc<Site>,
    /// Taken for writing only by the stop, which waits for whoever asks something of the site.
    pub(crate) running: RwLock<Option<RunningSite>>,
    pub(crate) folder: Arc<DataFolder>,
    pub(crate) history: Arc<dyn History>,
    /// Where something is sent, what waits for that.
    pub(crate) outboxes: Option<Arc<Outboxes>>,
    pub(crate) version: &'static str,
    pub(crate) started: Micros,
    pub(crate) session: Session,
    /// What expressions of taps may use.
    pub(crate) language: Language,
    pub(crate) lookers: Lookers,
    pub(crate) alarms: SystemAlarms,
    /// What the session reads.
    tables: Arc<QuerySite>,
    names: OnceLock<Names>,
}

impl Shared {
    /// Queries see the live tail of every historian that is open now.
    pub(crate) fn refresh_tables(&self) {
        for (_, historian) in self.history.all() {
            self.tables.add(&historian);
        }
    }

    /// The names of tags and assets, for rows that leave; made when somebody asks for the first time.
    pub(crate) fn names(&self) -> &Names {
        self.names.get_or_init(|| Names::new(&self.site.directory))
    }

    /// Does something with the running site; `None` once it is stopping.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&RunningSite) -> T) -> Option<T> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// For a site that runs by the clock of its recordings: once the last one has ended, closes what is open.
fn close_at_the_end(shared: &Shared) {
    while let Some(feeders) = shared.with(RunningSite::feeders) {
        if feeders.iter().all(|feeder| feeder.ended) {
            if shared.with(RunningSite::end_of_input).is_some() {
                tracing::info!("the recordings have ended, and what was open is closed");
            }
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// A site that runs by the wall clock, or by that of the recordings that it reads.
pub struct LiveSite {
    shared: Arc<Shared>,
    server: Option<Server>,
    watch: Option<Watch>,
}

/// Rows that a dataset took while the site ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub dataset: String,
    pub rows: u64,
}

impl LiveSite {
    /// Starts everything or nothing.
    ///
    /// # Errors
    /// When a node cannot be built, the catalog not written, or the socket not opened.
    pub fn start(site: &Arc<Site>, registry: &Registry, start: Start) -> Result<Self, SiteError> {
        Self::start_by(site, registry, start, WallClock::default())
    }

    /// As [`LiveSite::start`], by another clock than the machine's.
    ///
    /// # Errors
    /// As [`LiveSite::start`].
    pub fn start_by(site: &Arc<Site>, registry: &Registry, start: Start, wall: WallClock) -> Result<Self, SiteError> {
        let Start { folder, resources, history, last_epoch, dataset_of, mut findings, version } = start;
        write_catalog(&folder, &site.directory, &dataset_of)?;
        let tables = Arc::new(QuerySite::open(folder.path())?);
        let tags = tags_table(&site.directory, &dataset_of);
        tables.set_tags(tags.map_err(|source| StorageError::Arrow { dataset: "tags".to_owned(), source })?);
        let memory = usize::try_from(site.memory.bytes() / QUERY_SHARE).unwrap_or(usize::MAX);
        let session = Session::new(tables.clone(), memory)?;
        let mode = clock_of(site);
        let durable = match mode {
            ClockMode::Wall => {
                let mut durable = Durable::open(&folder, &site.directory)?;
                findings.append(&mut durable.findings);
                Some(durable)
            }
            // A recording can be read again.
            ClockMode::Virtual => None,
        };
        let outboxes = resources.get::<Outboxes>();
        let options = Options { mode, last_epoch, resources, feeders: true, sinks: SinkChoice::All, durable };
        let running = RunningSite::start_by(site, registry, options, wall)?;
        let shared = Arc::new(Shared {
            site: site.clone(),
            running: RwLock::new(Some(running)),
            folder,
            history,
            outboxes,
            version,
            started: ducto_record::time::now(),
            session,
            language: Language {
                functions: registry.functions().clone(),
                units: registry.units().at(site.atmospheric_pressure),
            },
            lookers: Lookers::default(),
            alarms: SystemAlarms::default(),
            tables,
            names: OnceLock::new(),
        });
        if mode == ClockMode::Virtual {
            let shared = shared.clone();
            let ending =
                std::thread::Builder::new().name("ducto-ending".into()).spawn(move || close_at_the_end(&shared));
            ending.map_err(|error| SiteError::Runtime(error.into()))?;
        }
        let watch = Watch::start(shared.clone(), findings).map_err(|error| SiteError::Runtime(error.into()))?;
        let mut live = Self { shared, server: None, watch: Some(watch) };
        match Server::start(live.shared.clone()) {
            Ok(server) => live.server = Some(server),
            Err((path, source)) => {
                let _ = live.stop();
                return Err(SiteError::Socket { path, source });
            }
        }
        Ok(live)
    }

    pub fn status(&self) -> Option<Status> {
        status::of(&self.shared)
    }

    /// The rows of every view with this name, as the socket gives them; none once the site is stopping.
    pub fn view(&self, name: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        match rows::of_view(&self.shared, name) {
            Some(Ok(rows)) => rows,
            Some(Err(error)) => {
                tracing::error!(%error, name, "a view cannot be read");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Opens a tap; `None` where there is no such port, or the site is stopping.
    pub fn tap(&self, pipeline: &str, node: &str, port: &str) -> Option<TapReader> {
        self.shared.with(|running| running.tap(pipeline, node, port).ok()).flatten()
    }

    /// The way into the site's log; `None` once the site is stopping.
    pub fn intake(&self) -> Option<Arc<SiteIntake>> {
        self.shared.with(|running| running.intake().clone())
    }

    /// A clean stop: input ends, what has entered is processed, and what is to be kept is on disk.
    ///
    /// # Errors
    /// The first sink that could not bring what it holds to where it belongs.
    pub fn stop(&mut self) -> Result<Vec<Kept>, SiteError> {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        self.watch = None;
        if self.shared.with(|_| ()).is_some() {
            let history = self.shared.history.clone();
            let (stopped, waiting) = std::sync::mpsc::channel::<()>();
            let patience = std::thread::Builder::new().name("patience".into()).spawn(move || {
                // Ends early when the stop has, and the sender with it.
                if waiting.recv_timeout(DISK_PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    tracing::warn!("the disk has taken nothing for {DISK_PATIENCE:?}; what waits for it is given up");
                    history.close();
                }
            });
            // Also whoever closes what is open at the end of recordings may wait for the disk.
            let running = self.shared.running.write().unwrap_or_else(PoisonError::into_inner).take();
            let result = running.map_or(Ok(()), |mut running| running.stop());
            drop(stopped);
            if let Ok(patience) = patience {
                let _ = patience.join();
            }
            result?;
        }
        let kept = |(dataset, historian): (String, Historian)| Kept { dataset, rows: historian.stats().rows };
        Ok(self.shared.history.all().into_iter().map(kept).collect())
    }
}

impl Drop for LiveSite {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the site did not stop cleanly");
        }
    }
}
