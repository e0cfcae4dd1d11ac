#![allow(clippy::unwrap_used)]

use super::*;

use std::sync::mpsc::{Receiver, Sender, channel};

use ducto_record::{Batch, Quality, Samples, Value, ValueKind};

use crate::clock::ClockMode;
use crate::instance::InstanceParts;
use crate::intake::SiteIntake;
use crate::snapshots::{Base, Begin, Snapshots};

/// What a sink of the test does with an epoch.
enum Answer {
    Take,
    Later,
    Fail,
}

/// Asks the test at each epoch, says what it took, and when it is dropped.
struct Asking {
    answers: Receiver<Answer>,
    said: Sender<String>,
}

impl Sink for Asking {
    fn on_batch(&mut self, _: usize, _: Epoch, _: &Batch) -> Result<(), NodeError> {
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, _: Micros) -> Result<(), NodeError> {
        match self.answers.recv().unwrap_or(Answer::Take) {
            Answer::Take => {
                let _ = self.said.send(format!("took {epoch}"));
                Ok(())
            }
            Answer::Later => Err(NodeError::Later("the disk is full".into())),
            Answer::Fail => Err(NodeError::text("broken")),
        }
    }

    fn wait(&mut self, _: Duration) {}
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.said.send("dropped".to_owned());
    }
}

/// One that reads nothing.
fn instance(id: u64, log: &Arc<SiteLog>, start: Epoch) -> Arc<Instance> {
    Instance::new(InstanceParts {
        id,
        pipeline: "p".into(),
        log: log.clone(),
        intake: SiteIntake::new(ClockMode::Wall, crate::WallClock::default(), log.clone(), 1 << 20),
        reader: log.register(start, Vec::new()),
        snapshots: Arc::new(Snapshots::new(0, Base::new(start, Begin::new()))),
        replies: Arc::default(),
        events: channel().0,
        lost: Arc::default(),
        start,
        workers: 1,
        live: true,
    })
}

struct Test {
    host: SinkHost,
    log: Arc<SiteLog>,
    answers: Sender<Answer>,
    said: Receiver<String>,
    stats: Arc<NodeStats>,
}

fn start(room: Option<usize>) -> Test {
    let (answers, asked) = channel();
    let (says, said) = channel();
    let stats = Arc::new(NodeStats::default());
    let log = Arc::new(SiteLog::new(1 << 20, 0));
    let parts = SinkParts {
        sink: Box::new(Asking { answers: asked, said: says }),
        pipeline: "p".into(),
        node: "kept".into(),
        stats: stats.clone(),
        log: log.clone(),
        position: 0,
        room,
    };
    let host = SinkHost::new(parts).unwrap();
    host.attach(&instance(1, &log, 0), 0);
    Test { host, log, answers, said, stats }
}

fn packet() -> Vec<Packet> {
    let sample = Samples::single(0, 0, &Value::Float64(1.0), ValueKind::Float64, Quality::GOOD);
    vec![Packet { stamp: 0, input: 0, batch: Batch::Samples(sample) }]
}

fn next(said: &Receiver<String>) -> String {
    said.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn a_sink_that_waits_holds_nobody_back_and_loses_nothing() {
    let test = start(Some(1 << 20));
    // The sink has no answer yet, and whoever delivers goes on.
    for epoch in 1..=3 {
        test.host.deliver(1, 0, epoch, 0, packet());
    }
    assert_eq!(test.host.backlog().first(), Some(1));
    for _ in 0..5 {
        test.answers.send(Answer::Later).unwrap();
    }
    // The pipeline restarts from before what waits: it is not given twice.
    test.host.attach(&instance(2, &test.log, 1), 1);
    for epoch in 2..=4 {
        test.host.deliver(2, 0, epoch, 0, packet());
    }
    for _ in 0..4 {
        test.answers.send(Answer::Take).unwrap();
    }
    let took: Vec<String> = (0..4).map(|_| next(&test.said)).collect();
    assert_eq!(took, ["took 1", "took 2", "took 3", "took 4"]);
    test.host.finish().unwrap();
    assert_eq!(test.host.backlog().first(), None);
    let counts = test.stats.counts();
    assert_eq!((counts.retries, counts.errors, counts.queued), (5, 0, 0));
    assert!(counts.drops.is_empty(), "{:?}", counts.drops);
}

#[test]
fn behind_its_room_the_oldest_go_and_are_counted() {
    let test = start(Some(2 * (EPOCH_BYTES + PACKET_BYTES)));
    for epoch in 1..=20 {
        test.host.deliver(1, 0, epoch, 0, packet());
    }
    drop(test.answers);
    test.host.finish().unwrap();
    drop(test.host);
    let took: Vec<String> = test.said.iter().filter(|said| said.starts_with("took")).collect();
    assert_eq!(took.last().unwrap(), "took 20");
    assert_eq!(test.stats.counts().drops["sink_behind"], 20 - took.len() as u64);
}

#[test]
fn at_the_third_failure_a_sink_is_set_aside_and_lets_go_of_what_it_shares() {
    for room in [None, Some(1 << 20)] {
        let test = start(room);
        let give = [Answer::Take, Answer::Fail, Answer::Fail, Answer::Take, Answer::Fail, Answer::Fail, Answer::Fail];
        for answer in give {
            test.answers.send(answer).unwrap();
        }
        for epoch in 1..=4 {
            test.host.deliver(1, 0, epoch, 0, packet());
        }
        assert_eq!([next(&test.said), next(&test.said), next(&test.said)], ["took 1", "took 2", "dropped"]);
        let error = test.host.finish().unwrap_err().to_string();
        assert!(error.contains("set aside") && error.contains("broken"), "{error}");
        assert_eq!(test.host.trouble().unwrap().kind, TroubleKind::SetAside);
        let counts = test.stats.counts();
        assert_eq!((counts.errors, counts.drops["set_aside"]), (5, 2));
        test.host.settle();
    }
}
