//! Couriers on a virtual clock, against receivers that fail in every way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use ducto_record::time::{HOUR, MINUTE, SECOND};
use ducto_storage::disk::Disk;
use ducto_storage::{Caps, Class, Sealing};

use super::courier::{Courier, REFUSALS, Step};
use super::*;

const SEALING: Sealing = Sealing { every: 5 * SECOND, size: 64 << 10 };
/// How long a carrier waits for an answer.
const TIMEOUT: Micros = 30 * SECOND;

/// What a receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answers,
    /// Takes this long for it.
    Slow(Micros),
    NeverAnswers,
    Fails,
    /// Takes the batch, and the answer is lost.
    LosesAnswer,
    Refuses,
    AsksForPause(u64),
}

struct Receiver {
    clock: Arc<AtomicI64>,
    does: Mutex<Does>,
    /// Each batch once: its sequence and its body.
    kept: Mutex<Vec<(u64, Vec<u8>)>>,
    requests: AtomicUsize,
    at: Mutex<Vec<Micros>>,
}

struct Way(Arc<Receiver>);

impl Carrier for Way {
    fn carry(&mut self, batch: &SealedBatch) -> Carried {
        let receiver = &*self.0;
        receiver.requests.fetch_add(1, Ordering::Relaxed);
        receiver.at.lock().unwrap().push(receiver.clock.load(Ordering::Relaxed));
        let keep = || {
            let mut kept = receiver.kept.lock().unwrap();
            match kept.iter().find(|(sequence, _)| *sequence == batch.head.id.sequence) {
                Some((_, body)) => assert_eq!(*body, batch.body),
                None => kept.push((batch.head.id.sequence, batch.body.clone())),
            }
        };
        let takes = |time: Micros| receiver.clock.fetch_add(time, Ordering::Relaxed);
        let later = |why: &str| Carried::Later { why: why.to_owned(), after: None };
        match *receiver.does.lock().unwrap() {
            Does::Answers => keep(),
            Does::Slow(time) => {
                takes(time);
                keep();
            }
            Does::NeverAnswers => {
                takes(TIMEOUT);
                return later("it did not answer in time");
            }
            Does::Fails => return later("it answered 500"),
            Does::LosesAnswer => {
                keep();
                return later("the connection was reset");
            }
            Does::Refuses => return Carried::Refused { why: "it answered 400".to_owned() },
            Does::AsksForPause(seconds) => {
                return Carried::Later { why: "it answered 429".to_owned(), after: Some(Duration::from_secs(seconds)) };
            }
        }
        Carried::Accepted
    }

    fn endpoint(&self) -> String {
        "http://receiver".to_owned()
    }
}

/// A stream with a courier that a test lets go step by step.
struct Site {
    folder: tempfile::TempDir,
    outboxes: Outboxes,
    stream: Stream,
    courier: Courier,
    shared: Arc<Shared>,
    clock: Arc<AtomicI64>,
    receiver: Arc<Receiver>,
    epoch: u64,
    /// When the courier does the next thing.
    next: Micros,
}

impl Site {
    fn new(caps: Caps) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outbox = ducto_storage::Outbox::open(&Disk::default(), folder.path(), "S", caps).unwrap().outbox;
        let stream = outbox.stream("p.n", Class::new(2).unwrap(), SEALING).unwrap();
        let clock = Arc::new(AtomicI64::new(0));
        let receiver = Arc::new(Receiver {
            clock: clock.clone(),
            does: Mutex::new(Does::Answers),
            kept: Mutex::default(),
            requests: AtomicUsize::new(0),
            at: Mutex::default(),
        });
        let shared = Arc::new(Shared::new("http://receiver".to_owned()));
        let engine = clock.clone();
        let now: EngineNow = Arc::new(move || engine.load(Ordering::Relaxed));
        let courier = Courier::new(stream.clone(), Box::new(Way(receiver.clone())), shared.clone(), now);
        let outboxes = Outboxes::new(outbox);
        Self { folder, outboxes, stream, courier, shared, clock, receiver, epoch: 0, next: 0 }
    }

    fn does(&self, does: Does) {
        *self.receiver.does.lock().unwrap() = does;
    }

    /// One entry a second, until engine time is `until`; beside it the courier does what is due. While it waits for an
    /// answer entries go on coming: they have a thread of their own, as a sink has.
    fn run_until(&mut self, until: Micros) {
        while (self.epoch as i64) * SECOND < until {
            self.epoch += 1;
            let now = self.epoch as i64 * SECOND;
            self.stream.add(self.epoch, now, 1, format!("{}\n", self.epoch).as_bytes()).unwrap();
            self.courier_until(now);
        }
    }

    fn courier_until(&mut self, now: Micros) {
        while self.next <= now {
            self.clock.store(self.next.max(self.clock.load(Ordering::Relaxed)), Ordering::Relaxed);
            let step = self.courier.step();
            let at = self.clock.load(Ordering::Relaxed);
            self.next = match step {
                Step::Go => at,
                // It is woken when something comes.
                Step::Idle(_) => at.max(now + 1),
                Step::Pause(time) => at + i64::try_from(time.as_micros()).unwrap(),
            };
        }
    }

    /// Lets the courier end its work.
    fn settle(&mut self) {
        self.stream.seal(self.epoch as i64 * SECOND).unwrap();
        let end = self.epoch as i64 * SECOND + HOUR;
        self.courier_until(end);
    }

    #[track_caller]
    fn all_came_once_and_in_order(&self) {
        let kept = self.receiver.kept.lock().unwrap();
        let lines: Vec<u64> = kept
            .iter()
            .flat_map(|(_, body)| std::str::from_utf8(body).unwrap().lines().map(|line| line.parse().unwrap()))
            .collect();
        assert_eq!(lines, (1..=self.epoch).collect::<Vec<u64>>());
        let sequences: Vec<u64> = kept.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, (1..=kept.len() as u64).collect::<Vec<_>>());
        let stats = self.outboxes.outbox().stats().remove(0);
        assert!(stats.waiting_batches == 0 && stats.lost.is_empty(), "{stats:?}");
    }
}

#[test]
fn an_hour_without_a_receiver_and_then_everything_comes_once() {
    let hours = [Does::NeverAnswers, Does::Fails, Does::LosesAnswer, Does::Slow(7 * SECOND), Does::AsksForPause(600)];
    for does in hours {
        let mut site = Site::new(Caps::default());
        site.run_until(2 * MINUTE);
        site.does(does);
        site.run_until(2 * MINUTE + HOUR);
        let status = site.shared.status();
        let stats = site.outboxes.outbox().stats().remove(0);
        // Rows are held on disk as they come, whatever becomes of them.
        assert!(site.stream.held() + 6 >= site.epoch, "{does:?}: {} of {}", site.stream.held(), site.epoch);
        if does != Does::Slow(7 * SECOND) {
            assert!(status.failing_since.is_some_and(|since| since <= 4 * MINUTE), "{does:?}: {status:?}");
            assert!(status.why.is_some());
            // One batch in all that hour, again and again with growing pauses.
            assert!((5..=32).contains(&status.failures), "{does:?}: {status:?}");
            assert!(stats.waiting_batches > 500, "{does:?}: {stats:?}");
        }
        site.does(Does::Answers);
        site.run_until(2 * MINUTE + HOUR + 30 * MINUTE);
        site.settle();
        assert_eq!(site.shared.status().failing_since, None);
        site.all_came_once_and_in_order();
        let files = std::fs::read_dir(site.folder.path().join("p.n")).unwrap().count();
        assert_eq!(files, 1, "{does:?}: only the position is left");
    }
}

#[test]
fn a_receiver_that_asks_for_a_pause_gets_it() {
    let mut site = Site::new(Caps::default());
    site.does(Does::AsksForPause(120));
    site.run_until(10 * MINUTE);
    let at = site.receiver.at.lock().unwrap().clone();
    assert!(at.len() >= 3, "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 120 * SECOND), "{at:?}");
}

#[test]
fn what_is_refused_is_moved_aside_after_some_attempts_and_the_next_is_sent() {
    let mut site = Site::new(Caps::default());
    site.does(Does::Refuses);
    site.stream.add(1, 0, 3, b"1\n2\n3\n").unwrap();
    site.stream.seal(0).unwrap();
    site.courier_until(5 * MINUTE);
    assert_eq!(site.receiver.requests.load(Ordering::Relaxed), REFUSALS as usize);
    assert_eq!(site.outboxes.outbox().stats()[0].lost["refused"], 3);
    site.does(Does::Answers);
    site.stream.add(2, 6 * MINUTE, 1, b"4\n").unwrap();
    site.stream.seal(6 * MINUTE).unwrap();
    site.courier_until(7 * MINUTE);
    assert_eq!(*site.receiver.kept.lock().unwrap(), [(2, b"4\n".to_vec())]);
}

#[test]
fn rows_are_sealed_in_time_though_nothing_more_comes() {
    let mut site = Site::new(Caps::default());
    site.stream.add(1, 0, 1, b"1\n").unwrap();
    assert_eq!(site.courier.step(), Step::Idle(Duration::from_secs(5)));
    site.clock.store(5 * SECOND, Ordering::Relaxed);
    site.epoch = 1;
    while site.courier.step() == Step::Go {}
    site.all_came_once_and_in_order();
}

#[test]
fn a_stop_delivers_what_waits_and_does_not_wait_for_the_dead() {
    for does in [Does::Answers, Does::Fails] {
        let folder = tempfile::tempdir().unwrap();
        let outbox = ducto_storage::Outbox::open(&Disk::default(), folder.path(), "S", Caps::default()).unwrap().outbox;
        let outboxes = Outboxes::new(outbox);
        let stream = outboxes.outbox().stream("p.n", Class::new(2).unwrap(), SEALING).unwrap();
        let receiver = Arc::new(Receiver {
            clock: Arc::default(),
            does: Mutex::new(does),
            kept: Mutex::default(),
            requests: AtomicUsize::new(0),
            at: Mutex::default(),
        });
        let mut delivery = outboxes.deliver(&stream, Box::new(Way(receiver.clone())), Arc::new(|| 0)).unwrap();
        assert_eq!(outboxes.status()[0].courier.as_ref().unwrap().endpoint, "http://receiver");
        stream.add(1, 0, 1, b"1\n").unwrap();
        stream.seal(0).unwrap();
        let started = Instant::now();
        delivery.finish();
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        let kept = receiver.kept.lock().unwrap().len();
        assert_eq!(kept, usize::from(does == Does::Answers));
        assert_eq!(outboxes.status()[0].stream.waiting_batches, u64::from(does == Does::Fails));
    }
}
