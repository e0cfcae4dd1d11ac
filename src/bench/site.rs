//! A site folder made for a bench, as an integrator would write it, and the site out of it at work.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use ducto_operators::sinks::Historians;
use ducto_runtime::{ClockMode, Durable, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;

use crate::output::{Exit, Failure};

const TEMPLATE: &str = "\
templates:
  point:
    kind: point
    parameters: {high: {type: number}}
    tags:
      V:
        span: [0, 400]
        checks:
          range: {as: 0}
          jump: {limit: 100, as: 0, rearm: never}
          frozen: {repeats: 60, as: 64}
        alarms: {H: {limit: \"${high}\", deadband: 2, on_delay: 5s}}
";

/// The graph files that a bench can run, by name.
pub(super) const W1: (&str, &str) = ("w1", include_str!("../../pipelines/bench/w1.yaml"));
pub(super) const W1_CALC: (&str, &str) = ("w1-calc", include_str!("../../pipelines/bench/w1-calc.yaml"));

/// A folder that goes when the bench ends, or one that the caller named.
pub(super) struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    pub(super) fn new(given: Option<&Path>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Data, format!("no folder for the bench: {error}"));
        Ok(match given {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(failed)?;
                Self { path: path.to_owned(), _temporary: None }
            }
            None => {
                let folder = tempfile::Builder::new().prefix("ducto-bench-").tempdir().map_err(failed)?;
                Self { path: folder.path().to_owned(), _temporary: Some(folder) }
            }
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

/// Writes a site with a tag `P<number>.V` for each high limit, and one pipeline.
pub(super) fn write(
    folder: &Path,
    workers: usize,
    limits: impl Iterator<Item = f64>,
    pipeline: (&str, &str),
) -> Result<PathBuf, Failure> {
    let site = folder.join("site");
    let mut assets = String::from("asset;template;high\n");
    for (number, high) in limits.enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(assets, "P{number};point;{high}");
    }
    let (name, graph) = pipeline;
    let files = [
        (
            "site.yaml",
            format!(
                "site: BENCH\nmemory: 256MB\nworkers: {workers}\ninclude: [templates.yaml]\nassets: [assets.csv]\npipelines: [{{use: {name}}}]\n"
            ),
        ),
        ("templates.yaml", TEMPLATE.to_owned()),
        ("assets.csv", assets),
    ];
    let write = || {
        std::fs::create_dir_all(site.join("pipelines"))?;
        for (file, text) in files {
            std::fs::write(site.join(file), text)?;
        }
        std::fs::write(site.join("pipelines").join(format!("{name}.yaml")), graph)
    };
    write().map_err(|error| Failure::new(Exit::Data, format!("`{}` cannot be written: {error}", site.display())))?;
    Ok(site)
}

pub(super) fn load(path: &Path, registry: &Registry) -> Result<Arc<Site>, Failure> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    load_site(path, registry, &mut sources, &mut diagnostics)
        .ok_or_else(|| Failure::new(Exit::Refused, diagnostics.render(&sources, false)))
}

/// Starts a site as `run` does, with its history in `data`, and without connections where `feeders` is off.
pub(super) fn start(
    site: &Arc<Site>,
    registry: &Registry,
    data: &Path,
    mode: ClockMode,
    feeders: bool,
    sinks: SinkChoice,
) -> Result<RunningSite, Failure> {
    start_on(site, registry, &open(data)?, mode, feeders, sinks, false)
}

pub(super) fn open(data: &Path) -> Result<Arc<DataFolder>, Failure> {
    DataFolder::open(data).map(Arc::new).map_err(|error| Failure::new(Exit::Data, error.to_string()))
}

/// As [`start`], on a folder of which the caller wants to know something afterwards; with a journal and checkpoints
/// where it is `durable`.
pub(super) fn start_on(
    site: &Arc<Site>,
    registry: &Registry,
    folder: &Arc<DataFolder>,
    mode: ClockMode,
    feeders: bool,
    sinks: SinkChoice,
    durable: bool,
) -> Result<RunningSite, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Data, error.to_string());
    let durable =
        durable.then(|| Durable::open(folder, &site.directory)).transpose().map_err(|error| failed(&error))?;
    let historians = Historians::open(folder.clone()).map_err(|error| failed(&error))?;
    let last_epoch = historians.last_epoch();
    let mut resources = Resources::default();
    resources.insert(Arc::new(historians));
    let options = Options { mode, last_epoch, resources, feeders, sinks, durable };
    RunningSite::start(site, registry, options).map_err(|error| failed(&error))
}
