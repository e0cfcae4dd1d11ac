//! Sites whose sources are recordings: they run by the recorded times, and store nothing twice.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::command::{Background, eventually, run};

const SITE: &str = "\
site: RECORDED
assets: [wells.csv]
templates:
  well: {kind: well, tags: {THP: {scan: 1s}, CHP: {scan: 1s}}}
pipelines: [{use: recorded}]
";

/// Two recordings, so that they have to be brought together by their times.
const PIPELINE: &str = "\
pipeline: recorded
sources:
  thp: {type: replay, files: [thp.csv]}
  chp: {type: replay, files: [chp.csv]}
transforms:
  checked: {type: quality, inputs: [thp, chp]}
  minutes: {type: aggregate, inputs: [checked], every: 1m, outputs: [count, percent_good]}
sinks:
  history: {type: historian, inputs: [checked], dataset: history}
  tier: {type: historian, inputs: [minutes], dataset: minutes}
";

fn recording(variable: &str, seconds: std::ops::Range<u32>) -> String {
    let rows = seconds.map(|at| format!("2026-01-01T00:{:02}:{:02}Z,W.{variable},{at}\n", at / 60, at % 60));
    format!("time,tag,value\n{}", rows.collect::<String>())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("site/pipelines")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join("site").join(name), text).unwrap();
    write("site.yaml", SITE);
    write("wells.csv", "asset,template\nW,well\n");
    write("pipelines/recorded.yaml", PIPELINE);
    write("thp.csv", &recording("THP", 0..300));
    write("chp.csv", &recording("CHP", 0..300));
    folder
}

/// The cells of the only row; `None` where there is no such table yet.
fn ask(folder: &Path, query: &str) -> Option<String> {
    let finished = run(folder, &["query", "--data", "out", "--format", "csv", query]);
    (finished.code == Some(0)).then(|| finished.stdout.lines().nth(1).unwrap_or_default().to_owned())
}

const STORED: &str = "SELECT count(*), count(DISTINCT tag), count(DISTINCT time), max(time) FROM history";
const MINUTES: &str = "SELECT count(*), min(count), max(count), min(percent_good) FROM minutes";

/// Runs the site until the minutes are these, and stops it.
fn run_until(folder: &Path, minutes: &str) {
    let mut running = Background::start(folder, &["run", "site", "--data", "out", "--json"]);
    running.line("started");
    eventually("the last window", || ask(folder, MINUTES).filter(|found| found == minutes));
    running.signal(Signal::INT);
    running.wait().expect(0);
}

#[test]
fn a_recorded_site_runs_by_the_recorded_times_and_goes_on_where_it_was() {
    let folder = folder();
    // The last window closes at the end of the recordings, and not an hour of the wall clock later.
    run_until(folder.path(), "10,60,60,100.0");
    let stored = ask(folder.path(), STORED).unwrap();
    assert_eq!(stored, "600,2,300,2026-01-01T00:04:59Z");
    // A start anew brings nothing that is there.
    run_until(folder.path(), "10,60,60,100.0");
    assert_eq!(ask(folder.path(), STORED).unwrap(), stored);
    // What the recordings have got since is new.
    for variable in ["THP", "CHP"] {
        let path = folder.path().join("site").join(format!("{}.csv", variable.to_lowercase()));
        fs::write(path, recording(variable, 0..360)).unwrap();
    }
    run_until(folder.path(), "12,60,60,100.0");
    assert_eq!(ask(folder.path(), STORED).unwrap(), "720,2,360,2026-01-01T00:05:59Z");
    // As a crash leaves it: nobody knows what is stored of the last seconds.
    let notes = folder.path().join("out/replays.json");
    let text = fs::read_to_string(&notes).unwrap();
    fs::write(&notes, text.replace("\"stored\":true", "\"stored\":false")).unwrap();
    let said = run(folder.path(), &["run", "site", "--data", "out", "--for", "1s"]).expect(3).stderr;
    assert!(said.contains("recorded.thp: the site that replayed this recording ended without a stop"), "{said}");
    assert!(said.contains("2026-01-01T00:0") && said.contains("`--data`"), "{said}");
}

#[test]
fn a_recording_and_connections_do_not_go_together() {
    let folder = folder();
    let site = SITE.replace(
        "{kind: well, tags: {THP: {scan: 1s}, CHP: {scan: 1s}}}",
        "\n    kind: well\n    connection: {type: modbus, endpoint: \"tcp://127.0.0.1:502\", unit_id: 1}\n    tags: {THP: {address: 40001, as: f32}, CHP: {address: 40003, as: f32}}",
    );
    fs::write(folder.path().join("site/site.yaml"), site).unwrap();
    let said = run(folder.path(), &["check", "site"]).expect(1);
    let said = said.stdout + &said.stderr;
    assert!(said.contains("error[E0270]: a recording has a clock of its own"), "{said}");
    assert!(said.contains("recorded.yaml:3:") && said.contains("ducto replay"), "{said}");
}
