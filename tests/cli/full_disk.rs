//! A disk that takes nothing: alarms and other sinks go on, and nothing is lost once it takes again.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, eventually, run};
use crate::device::Device;
use crate::site::TestSite;

const PIPELINE: &str = "\
pipeline: own
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  alarms: {type: alarm, inputs: [checked]}
sinks:
  history: {type: historian, inputs: [checked], dataset: history, commit_every: 200ms, commit_size: 500B}
  lines: {type: file, inputs: [checked], path: lines.jsonl}
  events: {type: file, inputs: [alarms], path: events.jsonl}
";

fn site(device: &Device) -> TestSite {
    let site = TestSite::new(device.port());
    site.write("site/pipelines/own.yaml", PIPELINE);
    let text = fs::read_to_string(site.path().join("site/site.yaml")).unwrap();
    site.write("site/site.yaml", &text.replace("well-monitoring", "own"));
    site
}

/// State of an alarm by its name.
fn state(site: &TestSite, name: &str) -> Option<String> {
    let listed = run(site.path(), &["alarms", "--all", "--json"]).expect(0).json();
    let alarms = listed["alarms"].as_array().unwrap();
    alarms.iter().find(|alarm| alarm["name"] == name).map(|alarm| alarm["state"].as_str().unwrap().to_owned())
}

#[test]
fn alarms_go_on_while_sinks_wait_for_the_disk_and_nothing_is_lost() {
    let device = Device::start();
    let site = site(&device);
    // A file on a full disk.
    fs::create_dir_all(site.data()).unwrap();
    let lines = site.data().join("lines.jsonl");
    std::os::unix::fs::symlink("/dev/full", &lines).unwrap();
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    // And a historian that cannot write either: a file stands where its folder would be.
    let staging = site.data().join("staging/history");
    eventually("the historian's folder", || staging.is_dir().then_some(()));
    eventually("the block", || {
        let _ = fs::remove_dir_all(&staging);
        fs::write(&staging, "").ok()
    });
    for name in ["own.history.WAITS", "own.lines.WAITS"] {
        eventually(name, || state(&site, name).filter(|state| state == "waits"));
    }
    let listed = run(site.path(), &["alarms"]).expect(0).stdout;
    assert!(listed.contains("espera su disco") && listed.contains("lines.jsonl"), "{listed}");

    device.set(0, 2_700.0);
    eventually("the alarm", || state(&site, "WELL-001.THP.H").filter(|state| state == "B"));
    let asked = Instant::now();
    let said = run(site.path(), &["alarms", "ack", "WELL-001.THP.H"]).expect(0).stdout;
    assert!(said.contains("reconocida"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(4), "an answer waits for the disk: {:?}", asked.elapsed());
    // The file takes an event once it is durable; the person who asked has the answer already.
    eventually("both events in the file", || {
        let events = fs::read_to_string(site.data().join("events.jsonl")).ok()?;
        (events.contains("\"raised\"") && events.contains("\"acknowledged\"")).then_some(())
    });
    let said = run(site.path(), &["alarms", "ack", "own.history.WAITS"]).expect(1).stderr;
    assert!(said.contains("del propio sistema"), "{said}");

    fs::remove_file(&staging).unwrap();
    fs::remove_file(&lines).unwrap();
    for name in ["own.history.WAITS", "own.lines.WAITS"] {
        eventually(name, || state(&site, name).is_none().then_some(()));
    }
    running.signal(Signal::INT);
    running.wait().expect(0);

    let key = |row: &Value| (row["time"].as_str().unwrap().to_owned(), row["tag"].as_str().unwrap().to_owned());
    let text = fs::read_to_string(&lines).unwrap();
    let written: Vec<_> = text.lines().map(|line| key(&serde_json::from_str(line).unwrap())).collect();
    let rows = run(site.path(), &["query", "SELECT time, tag FROM history", "--json"]).expect(0).json();
    let stored: Vec<_> = rows.as_array().unwrap().iter().map(key).collect();
    let once: BTreeSet<_> = written.iter().cloned().collect();
    assert_eq!(once.len(), written.len(), "a line was written twice");
    assert_eq!(stored.len(), written.len());
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), once);
}

#[test]
fn two_sinks_of_one_file_are_refused() {
    let device = Device::start();
    let site = site(&device);
    site.write("site/pipelines/own.yaml", &PIPELINE.replace("path: events.jsonl", "path: ./x/../lines.jsonl"));
    let finished = run(site.path(), &["check", "site"]).expect(1);
    let said = finished.stdout + &finished.stderr;
    assert!(said.contains("E0269") && said.contains("own.yaml:9") && said.contains("own.yaml:10"), "{said}");
    // Absolute, into the data folder: known when the site starts.
    let absolute = site.data().join("lines.jsonl");
    site.write("site/pipelines/own.yaml", &PIPELINE.replace("events.jsonl", absolute.to_str().unwrap()));
    let said = run(site.path(), &["run", "site", "--for", "1s"]).expect(3).stderr;
    assert!(said.contains("another sink writes") && said.contains("lines.jsonl"), "{said}");
}
