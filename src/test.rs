//! `ducto test`: the scenarios beside pipelines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ducto_graph::operator::Resources;
use ducto_graph::pipeline::NodeConfig;
use ducto_graph::scenario::update::{NewExpectation, rewrite};
use ducto_graph::scenario::{ENDING, Scenario, TestFile, is_test_file};
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_operators::sources::replay::{Options, Recording};
use ducto_runtime::scenario::{self, Outcome, Recorded};
use ducto_storage::DataFolder;
use serde_json::{Value as Json, json};

use crate::cli::TestArgs;
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &TestArgs, output: &Output) -> Result<Exit, Failure> {
    let files = find(&args.paths)?;
    let (mut passed, mut failed) = (0, 0);
    let mut reports = Vec::new();
    let mut refused = false;
    for path in &files {
        let mut loading = Loading::new();
        let file = TestFile::load(path, &mut loading.sources, &mut loading.diagnostics);
        let mut found = Vec::new();
        for scenario in file.iter().flat_map(|file| &file.scenarios) {
            let site = scenario.prepare(&loading.registry, &mut loading.sources, &mut loading.diagnostics);
            // What could not be prepared has said why among the findings.
            let Some(site) = site else {
                failed += 1;
                continue;
            };
            let started = Instant::now();
            let ran = run_one(scenario, &site, &loading);
            let milliseconds = started.elapsed().as_secs_f64() * 1e3;
            let lines = match &ran {
                Ok(outcome) => differences(scenario, outcome),
                Err(message) => vec![message.clone()],
            };
            let updating = args.update && ran.is_ok();
            if lines.is_empty() || updating {
                passed += 1;
            } else {
                failed += 1;
            }
            if !output.is_json() {
                let verdict = match (lines.is_empty(), updating) {
                    (true, _) => "ok     ",
                    (false, true) => "updated",
                    (false, false) => "FAILED ",
                };
                println!("{verdict} {}: {}", path.display(), scenario.name.value);
                if !updating {
                    for line in &lines {
                        println!("          {line}");
                    }
                }
            }
            reports.push(json!({
                "file": path.display().to_string(),
                "test": scenario.name.value,
                "passed": lines.is_empty(),
                "differences": lines,
                "milliseconds": milliseconds,
            }));
            if let Ok(outcome) = ran {
                found.push((scenario, outcome));
            }
        }
        loading.print_findings(output);
        if !loading.diagnostics.is_ok() {
            refused = true;
        }
        if args.update && !refused {
            update(path, &found)?;
        }
    }
    if output.is_json() {
        output.object(&json!({ "passed": passed, "failed": failed, "tests": Json::Array(reports) }));
    } else {
        println!("{passed} passed, {failed} failed");
    }
    Ok(match (refused, failed) {
        (true, _) => Exit::Refused,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Findings,
    })
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
        let recording =
            Recording::open(&[path.to_owned()], &Options::default(), directory).map_err(|error| error.to_string())?;
        let entries: Recorded = Box::new(recording.map(|entry| entry.map_err(|error| error.to_string())));
        Ok(entries)
    });
    drop(folder);
    outcome.map_err(|error| error.to_string())
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

/// Writes what came out over what was expected: the columns that were named, or all where none was.
fn update(path: &Path, found: &[(&Scenario, Outcome)]) -> Result<(), Failure> {
    let new: Vec<(&Scenario, Vec<NewExpectation>)> = found
        .iter()
        .filter(|(_, outcome)| !outcome.passed())
        .map(|(scenario, outcome)| (*scenario, expectations(scenario, outcome)))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let failed = |error: String| Failure::new(Exit::Data, format!("`{}`: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = rewrite(&text, &new).map_err(|error| failed(error.to_string()))?;
    std::fs::write(path, text).map_err(|error| failed(error.to_string()))
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
