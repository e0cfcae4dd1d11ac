//! `ducto test`: the scenarios beside pipelines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ducto_graph::operator::Resources;
use ducto_graph::pipeline::NodeConfig;
use ducto_graph::scenario::update::{NewExpectation, rewrite};
use ducto_graph::scenario::{ENDING, Scenario, TestFile, is_test_file};
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_operators::sources::replay::{Advice, Options, Recording};
use ducto_record::{Micros, Samples};
use ducto_runtime::scenario::{self, Outcome, Recorded};
use ducto_storage::DataFolder;
use serde_json::{Value as Json, json};

use crate::cli::TestArgs;
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &TestArgs, output: &Output) -> Result<Exit, Failure> {
    let files = find(&args.paths)?;
    let mut tally = Tally::default();
    for path in &files {
        one_file(path, args.update, &mut tally, output);
    }
    let Tally { passed, failed, refused, unwritten, reports } = tally;
    if output.is_json() {
        output.object(&json!({ "passed": passed, "failed": failed, "tests": Json::Array(reports) }));
    } else {
        output.line(&format!("{passed} passed, {failed} failed"));
    }
    Ok(match (refused, unwritten, failed) {
        (true, ..) => Exit::Refused,
        (false, true, _) => Exit::Data,
        (false, false, 0) => Exit::Done,
        (false, false, _) => Exit::Findings,
    })
}

/// What came of all tests.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Whether some file has a mistake.
    refused: bool,
    /// Whether some file could not be written anew.
    unwritten: bool,
    reports: Vec<Json>,
}

/// Runs what can be run of a file. A test with a mistake keeps no other from running, nor from being updated.
fn one_file(path: &Path, updates: bool, tally: &mut Tally, output: &Output) {
    let mut loading = Loading::new();
    let file = TestFile::load(path, &mut loading.sources, &mut loading.diagnostics);
    let mut found = Vec::new();
    for scenario in file.iter().flat_map(|file| &file.scenarios) {
        let site = scenario.prepare(&loading.registry, &mut loading.sources, &mut loading.diagnostics);
        // What could not be prepared says why among the findings.
        let Some(site) = site else {
            tally.failed += 1;
            if !output.is_json() {
                output.line(&format!("REFUSED {}: {}", path.display(), scenario.name.value));
            }
            tally.reports.push(json!({
                "file": path.display().to_string(),
                "test": scenario.name.value,
                "passed": false,
                "refused": true,
            }));
            continue;
        };
        let started = Instant::now();
        let ran = run_one(scenario, &site, &loading);
        found.push((scenario, ran, started.elapsed().as_secs_f64() * 1e3));
    }
    let outcomes: Vec<(&Scenario, &Outcome)> =
        found.iter().filter_map(|(scenario, ran, _)| Some((*scenario, ran.as_ref().ok()?))).collect();
    let unwritten = if updates { update(path, &outcomes) } else { BTreeMap::new() };
    for (scenario, ran, milliseconds) in &found {
        let name = &scenario.name.value;
        let mut lines = match ran {
            Ok(outcome) => differences(scenario, outcome),
            Err(message) => vec![message.clone()],
        };
        let passed = lines.is_empty();
        let updated = updates && !passed && ran.is_ok() && !unwritten.contains_key(name);
        lines.extend(unwritten.get(name).cloned());
        tally.unwritten |= unwritten.contains_key(name);
        if passed || updated {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
        if !output.is_json() {
            let verdict = match (passed, updated) {
                (true, _) => "ok     ",
                (false, true) => "updated",
                (false, false) => "FAILED ",
            };
            output.line(&format!("{verdict} {}: {name}", path.display()));
            if !updated {
                for line in &lines {
                    output.line(&format!("          {line}"));
                }
            }
        }
        tally.reports.push(json!({
            "file": path.display().to_string(),
            "test": name,
            "passed": passed,
            "updated": updated,
            "differences": lines,
            "milliseconds": milliseconds,
        }));
    }
    loading.print_findings(output);
    tally.refused |= !loading.diagnostics.is_ok();
    if output.is_json() && !loading.diagnostics.is_ok() {
        tally.reports.push(json!({ "file": path.display().to_string(), "findings": loading.findings()["findings"] }));
    }
}

/// Test files out of paths: files, pipelines with their tests beside them, folders.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            in_folder(path, &mut files);
        } else if is_test_file(path) {
            files.push(path.clone());
        } else {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let beside = path.with_file_name(format!("{stem}{ENDING}"));
            if !beside.exists() {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("`{}` has no tests; write them into `{}`", path.display(), beside.display()),
                ));
            }
            files.push(beside);
        }
    }
    files.dedup();
    if files.is_empty() {
        let where_ = paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::Usage, format!("no test files (*{ENDING}) in {where_}")));
    }
    Ok(files)
}

fn in_folder(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            in_folder(&path, files);
        } else if is_test_file(&path) {
            files.push(path);
        }
    }
}

fn run_one(scenario: &Scenario, site: &Arc<Site>, loading: &Loading) -> Result<Outcome, String> {
    // Only what stores a dataset that the pipeline reads runs among the sinks; it needs somewhere to store.
    let reads_datasets = site
        .pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.nodes)
        .any(|node| matches!(&node.config, NodeConfig::Source(config) if !config.datasets().is_empty()));
    let mut resources = Resources::default();
    let mut folder = None;
    if reads_datasets {
        let temporary = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let data = DataFolder::open(temporary.path()).map_err(|error| error.to_string())?;
        resources.insert(Arc::new(Historians::open(Arc::new(data)).map_err(|error| error.to_string())?));
        folder = Some(temporary);
    }
    let outcome = scenario::run(scenario, site, &loading.registry, resources, &|path, directory| {
        let options = Options { advice: Advice::File, ..Options::default() };
        let recording = Recording::open(&[path.to_owned()], &options, directory).map_err(|error| error.line())?;
        let entries: Recorded = Box::new(Whole { recording, said: false });
        Ok(entries)
    });
    drop(folder);
    outcome.map_err(|error| error.to_string())
}

/// A recording of which nothing may be left out: a test would go on with less than it names.
struct Whole {
    recording: Recording,
    said: bool,
}

impl Iterator for Whole {
    type Item = Result<(Micros, Vec<Samples>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.recording.next() {
            return Some(entry.map_err(|error| error.line()));
        }
        if self.said || self.recording.rejected_total() == 0 {
            return None;
        }
        self.said = true;
        let rejected = self.recording.rejected();
        let first = rejected.first.first().map(|first| format!(" ({})", first.in_file())).unwrap_or_default();
        Some(Err(format!(
            "{} of the samples cannot be read: {rejected}{first}; mend the file, or define the tags under `tags`",
            rejected.total
        )))
    }
}

fn differences(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for port in outcome.ports.iter().filter(|port| !port.differences.is_empty()) {
        lines.extend(port.differences.iter().map(|line| format!("{}: {line}", port.port)));
        lines.push(format!("{} gave {} row(s):", port.port, port.rows.len()));
        lines.extend(port.rows.iter().map(|row| format!("  {}", row.text(scenario.start))));
    }
    lines
}

/// Writes what came out over what was expected: the columns that were named, or all where none was. Gives the tests
/// that could not be written, each with the reason; the others are written all the same.
fn update(path: &Path, found: &[(&Scenario, &Outcome)]) -> BTreeMap<String, String> {
    let mut new: Vec<(&Scenario, Vec<NewExpectation>)> = found
        .iter()
        .filter(|(_, outcome)| !outcome.passed())
        .map(|(scenario, outcome)| (*scenario, expectations(scenario, outcome)))
        .collect();
    let mut unwritten = BTreeMap::new();
    let failed = |new: &[(&Scenario, Vec<NewExpectation>)], error: &std::io::Error| {
        let why = format!("`{}` cannot be written anew: {error}; give yourself the file", path.display());
        new.iter().map(|(scenario, _)| (scenario.name.value.clone(), why.clone())).collect::<Vec<_>>()
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return failed(&new, &error).into_iter().collect(),
    };
    while !new.is_empty() {
        match rewrite(&text, &new) {
            Ok(text) => {
                if let Err(error) = std::fs::write(path, text) {
                    unwritten.extend(failed(&new, &error));
                }
                break;
            }
            Err(error) => {
                let before = new.len();
                new.retain(|(scenario, _)| scenario.name.value != error.test);
                // A name that is none of these would be tried for ever.
                if new.len() == before {
                    unwritten.extend(new.drain(..).map(|(of, _)| (of.name.value.clone(), error.to_string())));
                }
                unwritten.insert(error.test.clone(), error.to_string());
            }
        }
    }
    unwritten
}

fn expectations(scenario: &Scenario, outcome: &Outcome) -> Vec<NewExpectation> {
    scenario
        .expect
        .iter()
        .zip(&outcome.ports)
        .map(|(expected, port)| {
            let named: Vec<&str> =
                expected.rows.iter().flat_map(|row| &row.columns).map(|(name, _)| name.value.as_str()).collect();
            let rows = port.rows.iter().map(|row| {
                row.cells
                    .iter()
                    .filter(|(name, _)| named.is_empty() || named.contains(&name.as_str()))
                    .map(|(name, cell)| (name.clone(), cell.value(scenario.start)))
                    .filter(|(_, value)| !named.is_empty() || *value != ducto_record::Value::Null)
                    .collect()
            });
            NewExpectation { port: port.port.clone(), rows: rows.collect() }
        })
        .collect()
}
