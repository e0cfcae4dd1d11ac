#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ducto_graph::operator::{BuildContext, Sink};
use ducto_record::{Batch, StreamType, ValueKind};
use ducto_storage::disk::Disk;
use ducto_storage::{Caps, Outbox};

use super::receiver::{Behaviour, OK, Receiver};
use super::*;
use crate::sinks::append::tests::input;
use crate::sources::testing::{context, directory, sample, site};

fn config(url: String) -> Webhook {
    Webhook {
        url: url.into(),
        class: 1.into(),
        format: Format::Jsonl,
        headers: OrderedMap::default(),
        timeout: Duration::from_micros(300_000).into(),
        batch_every: None,
        batch_size: batch_size(),
    }
}

/// A node with an outbox in a folder.
fn node(folder: &Path) -> (BuildContext, Arc<Outboxes>) {
    let directory = directory();
    let mut cx = context(&directory);
    cx.site = Arc::new(site(&directory, folder.to_owned()));
    cx.inputs = Arc::new([input(StreamType::Samples(vec![ValueKind::Float64]))]);
    let opened = Outbox::open(&Disk::default(), &folder.join("outbox"), "TEST", Caps::default()).unwrap();
    let outboxes = Arc::new(Outboxes::new(opened.outbox));
    cx.resources.insert(outboxes.clone());
    (cx, outboxes)
}

fn give(sink: &mut Box<dyn Sink>, epoch: u64) {
    sink.on_batch(0, epoch, &Batch::Samples(sample(epoch as i64 * SECOND, 0, epoch as f64))).unwrap();
    sink.end_epoch(epoch, epoch as i64 * SECOND).unwrap();
}

fn line(epoch: u64) -> String {
    let time = ducto_record::time::format(epoch as i64 * SECOND);
    format!("{{\"time\":\"{time}\",\"tag\":\"W1.THP\",\"value\":{epoch}.0,\"quality\":192,\"checks\":0}}")
}

#[test]
fn a_receiver_that_fails_in_any_way_gets_everything_once_it_does_not() {
    let ways = [
        Behaviour::Silent,
        Behaviour::Reset,
        Behaviour::LoseAnswer,
        Behaviour::Answer(500, "", "boom"),
        Behaviour::Answer(401, "", "who are you"),
        Behaviour::Answer(302, "Location: http://elsewhere.example\r\n", ""),
        Behaviour::Slow(std::time::Duration::from_millis(150)),
    ];
    for way in ways {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(way.clone());
        let (cx, outboxes) = node(folder.path());
        let mut sink = config(receiver.url()).build(&cx).unwrap();
        let store = sink.store().unwrap();
        for epoch in 1..=5 {
            give(&mut sink, epoch);
            // It is on disk whatever the receiver does.
            assert_eq!(store(), epoch);
        }
        receiver.wait("a request", |receiver| receiver.requests() > 0);
        receiver.set(OK);
        receiver.let_go();
        receiver.wait("all batches", |receiver| receiver.batches().len() == 5);
        assert_eq!(receiver.lines(), (1..=5).map(line).collect::<Vec<_>>(), "{way:?}");
        sink.finish().unwrap();
        assert_eq!(outboxes.status()[0].stream.waiting_batches, 0, "{way:?}");
    }
}

#[test]
fn a_crash_between_delivery_and_acknowledgement_keeps_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Behaviour::LoseAnswer);
    let (cx, _) = node(folder.path());
    let mut sink = config(receiver.url()).build(&cx).unwrap();
    give(&mut sink, 1);
    receiver.wait("the batch", |receiver| receiver.kept() == 1);
    drop(sink);
    receiver.set(OK);
    let (cx, outboxes) = node(folder.path());
    let mut sink = config(receiver.url()).build(&cx).unwrap();
    receiver.wait("the batch again", |receiver| receiver.kept() >= 2);
    give(&mut sink, 2);
    sink.finish().unwrap();
    assert_eq!(receiver.lines(), [line(1), line(2)]);
    let incarnations: Vec<_> =
        receiver.batches().iter().map(|batch| batch.header("ducto-incarnation").to_owned()).collect();
    assert_ne!(incarnations[0], incarnations[1]);
    assert_eq!(incarnations[1], **outboxes.outbox().incarnation());
}

#[test]
fn a_batch_as_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(OK);
    let (cx, _) = node(folder.path());
    let mut config = config(receiver.url());
    config.format = Format::Json;
    config.batch_every = Some(Duration::from_secs(60).into());
    let mut sink = config.build(&cx).unwrap();
    give(&mut sink, 1);
    give(&mut sink, 2);
    sink.finish().unwrap();
    let batch = receiver.batches().remove(0);
    assert_eq!(batch.header("content-type"), "application/json");
    let object: serde_json::Value = serde_json::from_str(&batch.body).unwrap();
    assert_eq!(object["id"], batch.header("idempotency-key"));
    assert_eq!((object["stream"].as_str(), object["sequence"].as_u64()), (Some("p.n"), Some(1)));
    let rows: Vec<String> = object["rows"].as_array().unwrap().iter().map(|row| row["time"].to_string()).collect();
    assert_eq!(rows, ["\"1970-01-01T00:00:01Z\"", "\"1970-01-01T00:00:02Z\""]);
}

#[test]
fn nothing_is_sent_where_there_is_no_outbox() {
    let receiver = Receiver::start(OK);
    let directory = directory();
    let mut sink = config(receiver.url()).build(&context(&directory)).unwrap();
    give(&mut sink, 1);
    sink.finish().unwrap();
    assert!(sink.store().is_none());
    assert_eq!(receiver.requests(), 0);
}

#[test]
fn what_a_url_may_be() {
    for good in ["https://example.com", "http://10.0.0.5:8080/a?b=c", "http://[::1]:80/"] {
        assert!(http::url(good).is_ok(), "{good}");
    }
    for bad in [
        "example.com",
        "ftp://example.com",
        "https://",
        "http://me:word@example.com",
        "http://a b",
        "http://a/#x",
        "/x",
    ] {
        assert!(http::url(bad).is_err(), "{bad}");
    }
    assert_eq!(http::shown("https://me:word@example.com/x?token=1"), "https://***@example.com/x");
    assert!(http::header_name("ducto-site").is_err() && http::header_name("a b").is_err());
}
