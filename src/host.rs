//! A site on its data folder, in this process: what `run` and `demo` have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::Resources;
use ducto_graph::pipeline::NodeConfig;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_operators::sinks::outbox::open_outboxes;
use ducto_operators::sources::replay::Replays;
use ducto_runtime::{ClockMode, RuntimeError, clock_of};
use ducto_site::{History, Kept, LiveSite, SiteError, Start};
use ducto_storage::{DataFolder, Historian, StorageError};
use serde_json::json;

use crate::load::{counted, grouped};
use crate::output::{Exit, Failure, Output};
use crate::stored;
use crate::words::Language;

/// A site that runs.
pub(crate) struct Hosted {
    pub(crate) site: Arc<Site>,
    pub(crate) live: LiveSite,
    replays: Arc<Replays>,
    pub(crate) data: PathBuf,
    since: Instant,
}

struct SiteHistory(Arc<Historians>);

impl History for SiteHistory {
    fn all(&self) -> Vec<(String, Historian)> {
        self.0.all()
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Hosted {
    pub(crate) fn start(site: &Arc<Site>, registry: &Registry, folder: Arc<DataFolder>) -> Result<Self, Failure> {
        let data = folder.path().to_owned();
        let historians = Arc::new(Historians::open(folder.clone()).map_err(unusable)?);
        let mut resources = Resources::default();
        resources.insert(historians.clone());
        let replays = Arc::new(Replays::open(&folder).map_err(unusable)?);
        resources.insert(replays.clone());
        let outboxes = open_outboxes(site, &folder).map_err(unusable)?;
        let last_epoch = historians.last_epoch().max(outboxes.outbox().last_epoch());
        resources.insert(outboxes);
        let datasets = stored::datasets(site, registry);
        let start = Start {
            folder,
            resources,
            last_epoch,
            findings: [historians.findings(), replays.findings()].concat(),
            history: Arc::new(SiteHistory(historians)),
            dataset_of: Box::new(move |tag| datasets.get(&tag).cloned()),
            version: env!("CARGO_PKG_VERSION"),
        };
        let live = LiveSite::start(site, registry, start).map_err(refusal)?;
        Ok(Self { site: site.clone(), live, replays, data, since: Instant::now() })
    }

    /// Stops cleanly.
    pub(crate) fn end(&mut self) -> Result<Vec<Kept>, Failure> {
        let kept = self.live.stop().map_err(|error| {
            Failure::new(Exit::Data, format!("not everything is on disk: {error}; what was committed before is whole"))
        })?;
        self.replays.stored().map_err(unusable)?;
        Ok(kept)
    }

    /// Stops cleanly and says what was kept.
    pub(crate) fn stop(mut self, output: &Output) -> Result<(), Failure> {
        let kept = self.end()?;
        let time = self.since.elapsed();
        if output.is_json() {
            let datasets: serde_json::Map<_, _> =
                kept.iter().map(|kept| (kept.dataset.clone(), json!(kept.rows))).collect();
            output.object(&json!({
                "event": "stopped",
                "site": self.site.name,
                "data": self.data.display().to_string(),
                "seconds": time.as_secs_f64(),
                "kept": datasets,
            }));
        } else {
            output.line(&stop_text(&self.site.name, &kept, time, &self.data));
        }
        Ok(())
    }

    /// What a person wants to know once it runs.
    pub(crate) fn summary(&self, language: Language) -> String {
        let site = &self.site;
        let count = |number: usize, english: &str, spanish: &str| counted(number, language.pick(english, spanish));
        let mut text = format!(
            "{} {}: {}, {}, {}\n",
            site.name,
            language.pick("runs", "en marcha"),
            count(site.assets.len(), "asset", "activo"),
            count(site.tags.len(), "tag", "tag"),
            count(site.pipelines.len(), "pipeline", "pipeline"),
        );
        for pipeline in &site.pipelines {
            let nodes = count(pipeline.nodes.len(), "node", "nodo");
            text.push_str(&format!("  pipeline    {} ({nodes})\n", pipeline.id));
        }
        let connection_word = language.pick("connection", "conexión");
        const SHOWN: usize = 8;
        let connections = self.live.status().map(|status| status.connections).unwrap_or_default();
        for connection in connections.iter().take(SHOWN) {
            text.push_str(&format!("  {connection_word:10}  {}\n", connection.name));
        }
        if connections.len() > SHOWN {
            let more = connections.len() - SHOWN;
            text.push_str(&match language {
                Language::English => format!("  {connection_word:10}  and {more} more\n"),
                Language::Spanish => format!("  {connection_word:10}  y {more} más\n"),
            });
        }
        if clock_of(site) == ClockMode::Virtual {
            text.push_str(
                language.pick("  clock       that of its recordings\n", "  reloj       el de sus grabaciones\n"),
            );
        }
        let data_word = language.pick("data", "datos");
        text.push_str(&format!("  {data_word:10}  {}\n", self.data.display()));
        text
    }

    /// As [`Hosted::summary`], for programs.
    pub(crate) fn started(&self) -> serde_json::Value {
        json!({
            "event": "started",
            "site": self.site.name,
            "data": self.data.display().to_string(),
            "assets": self.site.assets.len(),
            "tags": self.site.tags.len(),
            "pipelines": self.site.pipelines.iter().map(|pipeline| &*pipeline.id).collect::<Vec<_>>(),
            "connections": self.live.status().map(|status| status.connections).unwrap_or_default(),
        })
    }

    /// Rows that have left the sources of the pipeline that reads most.
    pub(crate) fn rows_read(&self) -> u64 {
        let Some(status) = self.live.status() else { return 0 };
        let of = |state: &ducto_site::protocol::PipelineState| -> u64 {
            let pipeline = self.site.pipelines.iter().find(|pipeline| *pipeline.id == state.id);
            let is_source = |id: &str| {
                pipeline
                    .and_then(|pipeline| pipeline.node(id))
                    .is_some_and(|node| matches!(node.config, NodeConfig::Source(_)))
            };
            state.nodes.iter().filter(|node| is_source(&node.id)).map(|node| node.rows_out).sum()
        };
        status.pipelines.iter().map(of).max().unwrap_or(0)
    }
}

/// Takes a data folder for this process alone.
pub(crate) fn open(data: &Path) -> Result<Arc<DataFolder>, Failure> {
    DataFolder::open(data).map(Arc::new).map_err(unusable)
}

fn unusable(error: StorageError) -> Failure {
    Failure::new(Exit::Data, error.to_string())
}

fn stop_text(site: &str, kept: &[Kept], time: Duration, data: &Path) -> String {
    let total: u64 = kept.iter().map(|kept| kept.rows).sum();
    let time = format!("{:.1} s", time.as_secs_f64());
    let mut text = format!("{site} stopped after {time}: kept {} rows in {}", grouped(total), data.display());
    let parts: Vec<String> = kept
        .iter()
        .filter(|kept| kept.rows > 0)
        .map(|kept| format!("{} in `{}`", grouped(kept.rows), kept.dataset))
        .collect();
    if parts.len() > 1 {
        text.push_str(&format!(" ({})", parts.join(", ")));
    }
    text
}

fn refusal(error: SiteError) -> Failure {
    let exit = match &error {
        SiteError::Runtime(RuntimeError::Build(_)) => Exit::Refused,
        SiteError::Storage(_) | SiteError::Socket { .. } => Exit::Data,
        SiteError::Runtime(_) | SiteError::Query(_) => Exit::Findings,
    };
    Failure::new(exit, error.to_string())
}
