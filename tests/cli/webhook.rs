//! A site that sends: a real process, a real receiver, and a kill in the middle.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::command::{Background, eventually, run};
use crate::device::Device;
use crate::receiver::{Behaviour, OK, Receiver};
use crate::site::TestSite;

/// A site whose samples go into its history, into a file and to a receiver.
fn site(device: &Device, receiver: &Receiver) -> TestSite {
    let site = TestSite::new(device.port());
    site.write(
        "site/site.yaml",
        "\
site: TEST-001
include: [templates.yaml]
assets: [wells.csv]
outbox: {size: 50MB, classes: {3: 20MB}}
pipelines:
  - {use: out}
",
    );
    site.write(
        "site/pipelines/out.yaml",
        &format!(
            "\
pipeline: out
sources:
  field: {{type: tags}}
transforms:
  checked: {{type: quality, inputs: [field]}}
sinks:
  history: {{type: historian, inputs: [checked], dataset: history}}
  lines: {{type: file, inputs: [checked], path: kept.jsonl}}
  office:
    type: webhook
    inputs: [checked]
    url: {}
    class: 2
    timeout: 1s
    batch_every: 500ms
    headers: {{Authorization: \"secret://file/token\"}}
",
            receiver.url()
        ),
    );
    site.write("site/token", "Bearer 1234\n");
    site
}

/// Time and tag of each line.
fn keys<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let key = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        (row["time"].as_str().unwrap().to_owned(), row["tag"].as_str().unwrap().to_owned())
    };
    lines.map(key).collect()
}

fn history(site: &TestSite) -> Vec<(String, String)> {
    let rows = run(site.path(), &["query", "SELECT time, tag FROM history", "--json"]).expect(0).json();
    let key =
        |row: &serde_json::Value| (row["time"].as_str().unwrap().to_owned(), row["tag"].as_str().unwrap().to_owned());
    rows.as_array().unwrap().iter().map(key).collect()
}

#[track_caller]
fn same(site: &TestSite, receiver: &Receiver) {
    let (sent, kept) = (keys(receiver.lines().iter().map(String::as_str)), history(site));
    let written = std::fs::read_to_string(site.data().join("kept.jsonl")).unwrap();
    let written = keys(written.lines());
    let set = |keys: &[(String, String)]| keys.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&sent).len(), sent.len(), "a row was sent twice");
    assert_eq!(set(&kept).len(), kept.len(), "a row is in the history twice");
    assert_eq!(set(&written).len(), written.len(), "a row is in the file twice");
    assert_eq!(set(&sent), set(&kept));
    assert_eq!(set(&written), set(&kept));
}

#[test]
fn what_a_site_keeps_it_also_sends_once() {
    let (device, receiver) = (Device::start(), Receiver::start(OK));
    let site = site(&device, &receiver);
    let running = Background::start(site.path(), &["run", "site"]);
    receiver.wait("five batches", |receiver| receiver.batches().len() >= 5);
    running.signal(Signal::INT);
    running.wait().expect(0);
    same(&site, &receiver);
    let batches = receiver.batches();
    for (index, batch) in batches.iter().enumerate() {
        assert_eq!(batch.path, "/in");
        assert_eq!(batch.header("content-type"), "application/x-ndjson");
        assert_eq!(batch.header("authorization"), "Bearer 1234");
        assert_eq!(batch.header("ducto-sequence"), (index + 1).to_string());
        assert_eq!(batch.header("ducto-rows"), batch.body.lines().count().to_string());
        let id = format!("TEST-001/{}/out.office/{}", batch.header("ducto-incarnation"), index + 1);
        assert_eq!(batch.header("idempotency-key"), id);
    }

    let seen = run(site.path(), &["data", "inspect", "--json"]).expect(0).json();
    let others: Vec<_> = seen["others"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(others, ["kept.jsonl"], "the sink's file is the user's; all else is known");
    run(site.path(), &["data", "verify"]).expect(0);
}

#[test]
fn a_kill_in_the_middle_loses_and_doubles_nothing() {
    let (device, receiver) = (Device::start(), Receiver::start(OK));
    let site = site(&device, &receiver);
    for (round, behaviour) in [Behaviour::LoseAnswer, Behaviour::Silent, Behaviour::Reset].into_iter().enumerate() {
        receiver.set(OK);
        let running = Background::start(site.path(), &["run", "site"]);
        let batches = receiver.batches().len();
        receiver.wait("batches after the start", |receiver| receiver.batches().len() >= batches + 2);
        receiver.set(behaviour);
        let requests = receiver.requests();
        receiver.wait("a request that fails", |receiver| receiver.requests() > requests);
        // More comes that nobody takes.
        let outbox = site.data().join("outbox/out.office");
        let waiting = || {
            std::fs::read_dir(&outbox)
                .unwrap()
                .flatten()
                .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "batch"))
        };
        eventually("batches that wait", || (waiting().count() >= 3).then_some(()));
        let figures = run(site.path(), &["top", "--once", "--json"]).expect(0).json();
        let stream = &figures["outbox"][0];
        assert_eq!((&stream["stream"], &stream["endpoint"]), (&"out.office".into(), &receiver.url().into()));
        assert!(stream["waiting_batches"].as_u64() >= Some(3) && stream["oldest"].is_string(), "{stream}");
        assert!(stream["why"].is_string() && stream["failing_since"].is_string(), "{stream}");
        running.signal(Signal::KILL);
        drop(running);
        receiver.let_go();
        assert!(waiting().count() >= 3, "round {round}");
    }
    receiver.set(OK);
    let running = Background::start(site.path(), &["run", "site"]);
    let batches = receiver.batches().len();
    receiver.wait("what was left", |receiver| receiver.batches().len() >= batches + 5);
    running.signal(Signal::INT);
    running.wait().expect(0);
    same(&site, &receiver);
    // In order, with no number left out, over four processes.
    let sequences: Vec<u64> =
        receiver.batches().iter().map(|batch| batch.header("ducto-sequence").parse().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let incarnations: BTreeSet<_> =
        receiver.batches().iter().map(|batch| batch.header("ducto-incarnation").to_owned()).collect();
    assert_eq!(incarnations.len(), 4);
    assert!(receiver.kept() > receiver.batches().len(), "a batch whose answer was lost came again under its id");
}
