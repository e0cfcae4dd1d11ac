//! One life of a pipeline: from a start or a restart to the next. What its workers, the log and the host share.
//!
//! A *standby* is an instance that runs beside the live one and of which nothing is seen: it reads what was before, until
//! it has come as far and takes over at a fence.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ducto_graph::operator::{Reply, Snapshot};
use ducto_record::{Epoch, Micros};

use crate::intake::SiteIntake;
use crate::log::{ReaderId, SiteLog, Waker};
use crate::replies::Replies;
use crate::snapshots::{Base, Snapshots};

/// What a worker tells the host.
pub(crate) enum Event {
    Failed {
        pipeline: Arc<str>,
        instance: u64,
        node: usize,
        epoch: Epoch,
        message: String,
    },
    /// The dataflow has gone from every worker.
    Gone {
        pipeline: Arc<str>,
        instance: u64,
    },
    /// A sink takes no more of what its pipeline brings: from behind `base` on it will be brought again.
    Behind {
        pipeline: Arc<str>,
        base: Base,
    },
    /// A standby is near the end of the log, or at its fence.
    Standby {
        pipeline: Arc<str>,
        instance: u64,
    },
    Stop,
}

/// How long a worker stands still for a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    pub time: Duration,
    /// Of it what the worker itself computed: the rest it waited for a processor that others had.
    pub cpu: Duration,
}

/// Entries that a standby may be behind when the fence is set.
const NEAR: Epoch = 8;

pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) pipeline: Arc<str>,
    pub(crate) log: Arc<SiteLog>,
    pub(crate) intake: Arc<SiteIntake>,
    reader: ReaderId,
    snapshots: Arc<Snapshots>,
    replies: Arc<Replies>,
    events: Sender<Event>,
    /// Entries that were lost because the ring had moved on.
    lost: Arc<AtomicU64>,
    start: Epoch,
    fenced: AtomicBool,
    /// False for a standby.
    live: AtomicBool,
    stop_at: AtomicU64,
    /// A standby reads up to here and waits.
    hold_at: AtomicU64,
    /// What a standby has told.
    told_near: AtomicBool,
    told_held: AtomicBool,
    alive: AtomicUsize,
    done: Vec<AtomicU64>,
    closes: Vec<AtomicI64>,
    longest_pause: Mutex<Pause>,
    wakers: Mutex<Vec<Option<Waker>>>,
}

/// What an instance is made of.
pub(crate) struct InstanceParts {
    pub(crate) id: u64,
    pub(crate) pipeline: Arc<str>,
    pub(crate) log: Arc<SiteLog>,
    pub(crate) intake: Arc<SiteIntake>,
    pub(crate) reader: ReaderId,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) replies: Arc<Replies>,
    pub(crate) events: Sender<Event>,
    pub(crate) lost: Arc<AtomicU64>,
    /// Behind which it begins.
    pub(crate) start: Epoch,
    pub(crate) workers: usize,
    /// False for a standby.
    pub(crate) live: bool,
}

impl Instance {
    pub(crate) fn new(parts: InstanceParts) -> Arc<Self> {
        let InstanceParts { id, pipeline, log, intake, reader, snapshots, replies, events, lost, start, workers, live } =
            parts;
        Arc::new(Self {
            id,
            pipeline,
            log,
            intake,
            reader,
            snapshots,
            replies,
            events,
            lost,
            start,
            fenced: AtomicBool::new(false),
            live: AtomicBool::new(live),
            stop_at: AtomicU64::new(Epoch::MAX),
            hold_at: AtomicU64::new(Epoch::MAX),
            told_near: AtomicBool::new(false),
            told_held: AtomicBool::new(false),
            alive: AtomicUsize::new(workers),
            done: (0..workers).map(|_| AtomicU64::new(start)).collect(),
            closes: (0..workers).map(|_| AtomicI64::new(Micros::MIN)).collect(),
            longest_pause: Mutex::default(),
            wakers: Mutex::new((0..workers).map(|_| None).collect()),
        })
    }

    /// Nothing of this instance reaches a sink any more.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
        self.wake();
    }

    /// Reads up to this epoch, then ends.
    pub(crate) fn end_at(&self, epoch: Epoch) {
        self.stop_at.store(epoch, Ordering::Release);
        self.wake();
    }

    pub(crate) fn stop_at(&self) -> Epoch {
        self.stop_at.load(Ordering::Acquire)
    }

    /// Whether what it does is seen: by sinks, taps and counters, in the log, by the intake.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// A standby reads up to this epoch and waits there.
    pub(crate) fn hold_at(&self, epoch: Epoch) {
        self.hold_at.store(epoch, Ordering::Release);
        self.wake();
    }

    /// From where it stands on, a standby is the one that counts.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Release);
        self.hold_at(Epoch::MAX);
    }

    /// Reads up to here for now.
    pub(crate) fn reads_to(&self) -> Epoch {
        self.stop_at().min(self.hold_at.load(Ordering::Acquire))
    }

    /// A sink takes no more of what this pipeline brings.
    pub(crate) fn sink_is_behind(&self) {
        let base = self.snapshots.newest();
        let _ = self.events.send(Event::Behind { pipeline: self.pipeline.clone(), base });
    }

    /// Whether it reads on as the sinks that are behind have room: a standby for which the fence is not set. Behind that
    /// the live one has ended and waits for it.
    pub(crate) fn is_paced(&self) -> bool {
        !self.is_live() && self.hold_at.load(Ordering::Acquire) == Epoch::MAX
    }

    /// A standby that is near the end of the log will say so once more.
    pub(crate) fn tell_again(&self) {
        self.told_near.store(false, Ordering::Release);
        self.wake();
    }

    fn tell_standby(&self, done: Epoch, room: bool) {
        let hold = self.hold_at.load(Ordering::Acquire);
        let is_near = || room && done + NEAR >= self.log.last_epoch();
        let tells = match hold {
            Epoch::MAX => is_near() && !self.told_near.swap(true, Ordering::AcqRel),
            hold => done >= hold && !self.told_held.swap(true, Ordering::AcqRel),
        };
        if tells {
            let _ = self.events.send(Event::Standby { pipeline: self.pipeline.clone(), instance: self.id });
        }
    }

    pub(crate) fn fail(&self, node: usize, epoch: Epoch, message: String) {
        if !self.fenced.swap(true, Ordering::AcqRel) {
            let pipeline = self.pipeline.clone();
            // The host lives longer than its workers; without one there is nobody to restart anything.
            let _ = self.events.send(Event::Failed { pipeline, instance: self.id, node, epoch, message });
        }
        self.wake();
    }

    pub(crate) fn lost(&self, worker: usize, first: Epoch, last: Epoch) {
        self.lost.fetch_add(last - first + 1, Ordering::Relaxed);
        let why = match self.log.has_journal() {
            true => {
                "the journal does not have them any more; `ducto data verify` says what of it is damaged or missing"
            }
            false => "the ring has moved on, and there is no journal; raise `memory:` or give the pipeline less to do",
        };
        tracing::warn!(
            pipeline = &*self.pipeline,
            worker,
            first,
            last,
            entries = last - first + 1,
            "entries that the pipeline had still to read are gone: {why}"
        );
    }

    pub(crate) fn note_snapshot(&self, epoch: Epoch) {
        self.snapshots.begin(epoch);
    }

    /// All nodes of a worker have taken so long over a snapshot.
    pub(crate) fn paused(&self, pause: Pause) {
        let mut longest = self.longest_pause.lock().unwrap_or_else(PoisonError::into_inner);
        longest.time = longest.time.max(pause.time);
        longest.cpu = longest.cpu.max(pause.cpu);
    }

    pub(crate) fn longest_pause(&self) -> Pause {
        *self.longest_pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn leave(&self, epoch: Epoch, node: usize, worker: usize, state: Option<Snapshot>) {
        self.snapshots.leave(epoch, (node, worker), state);
    }

    pub(crate) fn answer(&self, replies: &mut Vec<Reply>) {
        for reply in replies.drain(..) {
            self.replies.add(reply);
        }
    }

    /// A worker has done everything up to `done`; what is open closes at `closes`. `room`: the sinks that are behind have
    /// room for more.
    pub(crate) fn done(&self, worker: usize, done: Epoch, closes: Option<Micros>, room: bool) {
        self.closes[worker].store(closes.unwrap_or(Micros::MIN), Ordering::Release);
        let before = self.done[worker].swap(done, Ordering::AcqRel);
        if self.is_fenced() {
            return;
        }
        let all = self.all_done();
        if !self.is_live() {
            self.tell_standby(all, room);
        }
        if before == done {
            return;
        }
        self.snapshots.promote(all);
        self.log.advance(self.reader, all, self.snapshots.newest().epoch);
    }

    pub(crate) fn workers(&self) -> usize {
        self.done.len()
    }

    pub(crate) fn all_done(&self) -> Epoch {
        self.done.iter().map(|done| done.load(Ordering::Acquire)).min().unwrap_or(self.start)
    }

    /// When the last thing that is open now closes.
    pub(crate) fn closes_at(&self) -> Option<Micros> {
        self.closes.iter().map(|closes| closes.load(Ordering::Acquire)).max().filter(|&closes| closes != Micros::MIN)
    }

    pub(crate) fn set_waker(self: &Arc<Self>, worker: usize, waker: Waker) {
        waker();
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers[worker] = Some(waker);
        if wakers.iter().all(Option::is_some) {
            drop(wakers);
            let instance = Arc::downgrade(self);
            self.log.set_wakers(
                self.reader,
                vec![Box::new(move || {
                    if let Some(instance) = instance.upgrade() {
                        instance.wake();
                    }
                })],
            );
            self.wake();
        }
    }

    /// Its workers look again whether there is something to do.
    pub(crate) fn wake(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten() {
            waker();
        }
    }

    /// Held by a worker's dataflow; dropped with it.
    pub(crate) fn guard(self: &Arc<Self>) -> Guard {
        Guard(self.clone())
    }
}

/// Says that the dataflow of a worker has gone.
pub(crate) struct Guard(Arc<Instance>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            let event = Event::Gone { pipeline: self.0.pipeline.clone(), instance: self.0.id };
            let _ = self.0.events.send(event);
        }
    }
}
