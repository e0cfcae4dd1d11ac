//! Runs a test's scenario on a virtual clock and compares what its ports gave with what was expected.

mod rows;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ducto_graph::operator::{Intake, Resources};
use ducto_graph::registry::Registry;
use ducto_graph::scenario::{Expectation, Happening, Scenario};
use ducto_graph::site::Site;
use ducto_record::{Directory, Micros, Origin, Part, Samples, ValueKind};
use thiserror::Error;

use crate::clock::ClockMode;
use crate::error::RuntimeError;
use crate::site::{Options, RunningSite, SinkChoice};
use crate::taps::TapReader;

pub use rows::{Cell, Row};

/// How long a scenario may take for one step before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a recorded file gives: a time, and what has that time.
pub type Recorded = Box<dyn Iterator<Item = Result<(Micros, Vec<Samples>), String>>>;

/// Opens a recorded file for the tags of a site.
pub type OpenFile<'a> = &'a dyn Fn(&Path, &Arc<Directory>) -> Result<Recorded, String>;

/// What one port gave, and how that differs from what was expected.
#[derive(Debug)]
pub struct PortOutcome {
    /// `alarms`, `minutes.late`.
    pub port: String,
    /// By epoch, time and key.
    pub rows: Vec<Row>,
    /// One line a difference; empty where there is none.
    pub differences: Vec<String>,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    pub ports: Vec<PortOutcome>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.ports.iter().all(|port| port.differences.is_empty())
    }
}

#[derive(Debug, Error)]
pub enum ScenarioError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("`{file}`: {message}")]
    File { file: String, message: String },
    #[error("the scenario came to no end within a minute at {at}; a node may be in a loop")]
    Stuck { at: String },
    #[error("`{node}` was set aside after it had failed three times; the log says why")]
    SetAside { node: Arc<str> },
    #[error("what `{port}` gave cannot be read: {message}")]
    Rows { port: String, message: String },
}

/// Runs a scenario that [`Scenario::prepare`] has made ready. Sinks do not run, but for those that store a dataset
/// which the pipeline itself reads; `resources` are what these need.
///
/// # Errors
/// When the scenario cannot be run to its end; rows that differ are no error.
pub fn run(
    scenario: &Scenario,
    site: &Arc<Site>,
    registry: &Registry,
    resources: Resources,
    open: OpenFile<'_>,
) -> Result<Outcome, ScenarioError> {
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch: 0,
        resources,
        feeders: false,
        sinks: SinkChoice::DatasetsRead,
        durable: None,
    };
    let mut running = RunningSite::start(site, registry, options)?;
    let pipeline = site.pipelines.first().map(|pipeline| pipeline.id.clone()).unwrap_or_else(|| "".into());
    let mut taps = Vec::new();
    for expectation in &scenario.expect {
        taps.push(running.tap_every(&pipeline, &expectation.node, &expectation.port)?);
    }
    drive(scenario, &running, open)?;
    running.end_of_input();
    if !running.wait_idle(PATIENCE) {
        return Err(ScenarioError::Stuck { at: "its end".to_owned() });
    }
    let aside = running.status().into_iter().flat_map(|pipeline| pipeline.nodes).find(|node| node.trouble.is_some());
    running.stop()?;
    if let Some(node) = aside {
        return Err(ScenarioError::SetAside { node: node.id });
    }
    let ports = scenario
        .expect
        .iter()
        .zip(taps)
        .map(|(expectation, tap)| outcome(expectation, &tap, scenario, site))
        .collect::<Result<_, _>>()?;
    Ok(Outcome { ports })
}

fn drive(scenario: &Scenario, running: &RunningSite, open: OpenFile<'_>) -> Result<(), ScenarioError> {
    let intake = running.intake();
    let enter = |time: Micros, parts: Vec<Part>| {
        intake.enter_at(time, parts).map_err(|_| ScenarioError::Runtime(RuntimeError::Stopping))
    };
    let directory = &running.site().directory;
    enter(scenario.start, Vec::new())?;
    for step in &scenario.steps {
        match &step.what {
            Happening::Advance => enter(step.at, Vec::new())?,
            Happening::Send(sent) => {
                let parts = sent
                    .iter()
                    .filter_map(|sample| {
                        let id = directory.tag_id(&sample.tag)?;
                        let kind = directory.tag(id).map_or(ValueKind::Float64, |tag| tag.kind);
                        let time = sample.time.unwrap_or(step.at);
                        let samples = Samples::single(time, id, &sample.value, kind, sample.quality);
                        Some(Part::Samples { origin: Origin::Field, samples })
                    })
                    .collect();
                enter(step.at, parts)?;
            }
            Happening::File(path) => {
                let failed = |message: String| ScenarioError::File { file: path.value.display().to_string(), message };
                for entry in open(&path.value, directory).map_err(failed)? {
                    let (time, samples) = entry.map_err(failed)?;
                    let parts = samples.into_iter().map(|samples| Part::Samples { origin: Origin::Field, samples });
                    enter(time, parts.collect())?;
                }
            }
            Happening::Act(acting) => {
                enter(step.at, Vec::new())?;
                let (user, reason) = (&acting.user, acting.reason.as_deref());
                running.act(&acting.verb, acting.arguments(), user, reason, PATIENCE)?;
            }
        }
        if !running.wait_idle(PATIENCE) {
            return Err(ScenarioError::Stuck { at: ducto_record::time::format(step.at) });
        }
    }
    Ok(())
}

fn outcome(
    expectation: &Expectation,
    tap: &TapReader,
    scenario: &Scenario,
    site: &Site,
) -> Result<PortOutcome, ScenarioError> {
    let port = if expectation.port == ducto_graph::operator::MAIN {
        expectation.node.clone()
    } else {
        format!("{}.{}", expectation.node, expectation.port)
    };
    let key = key_of(expectation, site);
    let mut found = Vec::new();
    while let Ok(tapped) = tap.batches.try_recv() {
        let rows = rows::of(&tapped, &key, &site.directory)
            .map_err(|message| ScenarioError::Rows { port: port.clone(), message })?;
        found.extend(rows);
    }
    found.sort_by(Row::order);
    let differences = rows::differences(&expectation.rows, &found, scenario.start, scenario.exact);
    Ok(PortOutcome { port, rows: found, differences })
}

fn key_of(expectation: &Expectation, site: &Site) -> Vec<String> {
    let port = site
        .pipelines
        .first()
        .and_then(|pipeline| pipeline.node(&expectation.node))
        .and_then(|node| node.ports.iter().find(|port| port.name == expectation.port));
    match port.map(|port| &port.stream) {
        Some(ducto_record::StreamType::Rows(rows)) => rows.key.clone(),
        _ => vec!["tag".to_owned()],
    }
}
