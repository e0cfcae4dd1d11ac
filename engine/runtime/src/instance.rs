//! One life of a pipeline: from a start or a restart to the next. What its workers, the log and the host share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ducto_graph::operator::{Reply, Snapshot};
use ducto_record::{Epoch, Micros};

use crate::intake::SiteIntake;
use crate::log::{ReaderId, SiteLog, Waker};
use crate::replies::Replies;
use crate::snapshots::Snapshots;

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
    Stop,
}

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
    stop_at: AtomicU64,
    alive: AtomicUsize,
    done: Vec<AtomicU64>,
    closes: Vec<AtomicI64>,
    longest_pause: AtomicU64,
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
}

impl Instance {
    pub(crate) fn new(parts: InstanceParts) -> Arc<Self> {
        let InstanceParts { id, pipeline, log, intake, reader, snapshots, replies, events, lost, start, workers } =
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
            stop_at: AtomicU64::new(Epoch::MAX),
            alive: AtomicUsize::new(workers),
            done: (0..workers).map(|_| AtomicU64::new(start)).collect(),
            closes: (0..workers).map(|_| AtomicI64::new(Micros::MIN)).collect(),
            longest_pause: AtomicU64::new(0),
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
        tracing::warn!(
            pipeline = &*self.pipeline,
            worker,
            first,
            last,
            entries = last - first + 1,
            "entries that the pipeline had still to read are gone: the ring has moved on, and no journal has them; raise \
             `memory:` or give the pipeline less to do"
        );
    }

    pub(crate) fn note_snapshot(&self, epoch: Epoch) {
        self.snapshots.begin(epoch);
    }

    /// All nodes of a worker have taken so long over a snapshot.
    pub(crate) fn paused(&self, time: Duration) {
        self.longest_pause.fetch_max(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn longest_pause(&self) -> Duration {
        Duration::from_nanos(self.longest_pause.load(Ordering::Relaxed))
    }

    pub(crate) fn leave(&self, epoch: Epoch, node: usize, worker: usize, state: Option<Snapshot>) {
        self.snapshots.leave(epoch, (node, worker), state);
    }

    pub(crate) fn answer(&self, replies: &mut Vec<Reply>) {
        for reply in replies.drain(..) {
            self.replies.add(reply);
        }
    }

    /// A worker has done everything up to `done`; what is open closes at `closes`.
    pub(crate) fn done(&self, worker: usize, done: Epoch, closes: Option<Micros>) {
        self.closes[worker].store(closes.unwrap_or(Micros::MIN), Ordering::Release);
        let before = self.done[worker].swap(done, Ordering::AcqRel);
        if before == done || self.is_fenced() {
            return;
        }
        let all = self.all_done();
        self.snapshots.promote(all);
        let kept_from = self.snapshots.newest_epoch().unwrap_or(self.start);
        self.log.advance(self.reader, all, kept_from);
    }

    /// Behind which it began.
    pub(crate) fn start(&self) -> Epoch {
        self.start
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

    fn wake(&self) {
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
