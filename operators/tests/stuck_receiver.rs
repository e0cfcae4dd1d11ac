//! An hour, by the site's clock, in which a receiver does not answer: what the site keeps and alarms does not change,
//! its memory does not grow, and afterwards everything is delivered once and in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../src/sinks/webhook/receiver.rs"]
#[allow(dead_code)] // Other tests use the rest.
mod receiver;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::operator::{Intake, Resources};
use ducto_graph::source::Sources;
use ducto_operators::sinks::Historians;
use ducto_operators::sinks::outbox::open_outboxes;
use ducto_record::time::SECOND;
use ducto_record::{Origin, Part, Quality, Samples, Value, ValueKind};
use ducto_runtime::{ClockMode, Options, Outboxes, RunningSite, SinkChoice};
use ducto_storage::DataFolder;

use receiver::{Behaviour, OK, Receiver};

const START: i64 = 1_767_225_600_000_000;
const HOUR: i64 = 3_600;

fn write_site(folder: &Path, url: &str) {
    fs::create_dir(folder.join("pipelines")).unwrap();
    fs::write(folder.join("wells.csv"), "asset;template\nW1;t\nW2;t\n").unwrap();
    fs::write(
        folder.join("site.yaml"),
        "\
site: S
assets: [wells.csv]
pipelines: [{use: p}]
templates:
  t:
    kind: well
    connection: {type: modbus, endpoint: \"tcp://127.0.0.1:502\"}
    tags:
      THP: {address: 40001, as: f32, unit: psig, alarms: {H: {limit: 100, deadband: 10}}}
",
    )
    .unwrap();
    let pipeline = format!(
        "\
pipeline: p
sources:
  field: {{type: tags}}
transforms:
  checked: {{type: quality, inputs: [field]}}
  alarms: {{type: alarm, inputs: [checked]}}
sinks:
  history: {{type: historian, inputs: [checked], dataset: history}}
  kept: {{type: file, inputs: [checked], path: kept.jsonl}}
  events: {{type: file, inputs: [alarms], path: events.jsonl}}
  pager: {{type: webhook, inputs: [alarms], url: \"{url}\", class: 1, timeout: 200ms}}
  office: {{type: webhook, inputs: [checked], url: \"{url}\", class: 4, timeout: 200ms}}
"
    );
    fs::write(folder.join("pipelines/p.yaml"), pipeline).unwrap();
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// What a site kept in its hour: samples, and the events of its alarms.
fn hour(receiver: &Receiver, behaviour: &Behaviour) -> (String, String) {
    receiver.set(behaviour.clone());
    let folder = tempfile::tempdir().unwrap();
    write_site(folder.path(), &receiver.url());
    let registry = ducto_operators::registry();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(folder.path(), &registry, &mut sources, &mut found);
    let site = site.unwrap_or_else(|| panic!("{}", found.render(&sources, false)));
    let data = Arc::new(DataFolder::open(&folder.path().join("data")).unwrap());
    let outboxes = open_outboxes(&site, &data).unwrap();
    let historians = Arc::new(Historians::open(data.clone()).unwrap());
    let mut resources = Resources::default();
    resources.insert(historians.clone());
    resources.insert::<Outboxes>(outboxes.clone());
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch: 0,
        resources,
        feeders: false,
        sinks: SinkChoice::All,
        durable: None,
    };
    let mut running = RunningSite::start(&site, &registry, options).unwrap();
    let tags = ["W1.THP", "W2.THP"].map(|name| site.directory.tag_id(name).unwrap());
    let mut memory = 0;
    for second in 0..HOUR {
        let time = START + second * SECOND;
        let parts = tags.iter().enumerate().map(|(well, tag)| {
            // Up over the limit and down again every two minutes.
            let value = ((second + 30 * well as i64) % 120) as f64;
            let samples = Samples::single(time, *tag, &Value::Float64(value), ValueKind::Float64, Quality::GOOD);
            Part::Samples { origin: Origin::Field, samples }
        });
        running.intake().enter_at(time, parts.collect()).unwrap();
        if second == HOUR / 6 {
            memory = resident();
        }
    }
    running.end_of_input();
    // A tenth of what an hour of a thousand tags would be.
    assert!(resident() < memory + (48 << 20), "memory grew from {memory} to {}", resident());
    assert_eq!(historians.get("history").unwrap().stats().rows, 2 * HOUR as u64);
    let read = |name: &str| fs::read_to_string(folder.path().join("data").join(name)).unwrap();
    let (kept, events) = (read("kept.jsonl"), read("events.jsonl"));
    if *behaviour != OK {
        let status = outboxes.status();
        assert!(status.iter().all(|status| status.courier.as_ref().unwrap().failing_since.is_some()), "{status:#?}");
    }
    receiver.set(OK);
    receiver.let_go();
    // What is in no batch yet is sealed when the site stops; the couriers are at work then.
    receiver.wait("the couriers", |_| {
        let done = |status: &ducto_runtime::OutboxStatus| {
            status.stream.waiting_batches == 0 && status.courier.as_ref().unwrap().failing_since.is_none()
        };
        outboxes.status().iter().all(done)
    });
    running.stop().unwrap();
    let of = |stream: &str| {
        let batches = receiver.batches();
        let batches = batches.iter().filter(|batch| {
            batch.header("ducto-stream") == stream
                && batch.header("ducto-incarnation") == &**outboxes.outbox().incarnation()
        });
        batches.map(|batch| batch.body.clone()).collect::<String>()
    };
    assert!(of("p.pager") == events, "{behaviour:?}: the events that came are not those that there were");
    assert!(of("p.office") == kept, "{behaviour:?}: the samples that came are not those that there were");
    (kept, events)
}

#[test]
fn an_hour_without_an_answer_changes_nothing_and_loses_nothing() {
    let receiver = Receiver::start(OK);
    let (kept, events) = hour(&receiver, &OK);
    assert_eq!(kept.lines().count(), 2 * HOUR as usize);
    assert!(events.lines().count() >= 100, "{} events", events.lines().count());
    for behaviour in [Behaviour::Silent, Behaviour::Answer(500, "", "out of order"), Behaviour::Reset] {
        assert!(hour(&receiver, &behaviour) == (kept.clone(), events.clone()), "{behaviour:?}");
    }
}
