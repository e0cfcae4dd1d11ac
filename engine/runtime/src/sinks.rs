//! A sink and what waits for it: it gets whole epochs, in order, each once, whatever restarts above it.
//!
//! On a wall clock a sink has a thread of its own: one that waits for its disk holds back neither the nodes of its
//! pipeline nor any other. What waits for it is bounded by a share of the site's memory. Behind that it takes no more: a
//! standby of the pipeline brings the rest again from the journal, as fast as the sink takes it (`standby.rs`). Where
//! there is no journal the oldest rows go, counted. On a virtual clock the worker gives the sink each epoch itself, and
//! the input waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_graph::operator::{NodeError, Packet, Sink, Store};
use ducto_record::{Epoch, Micros};

use crate::error::panic_text;
use crate::instance::Instance;
use crate::log::{Backlog, SiteLog};
use crate::stats::NodeStats;
use crate::trouble::{PATIENCE, Trouble, TroubleKind};

/// How long a sink waits before it is given an epoch again that it could not take; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a sink waits before that is said, and before it is said again. Shorter waits are how input that comes as
/// fast as it can is held back.
const SPEAK: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(60);

/// How long a stop waits for a journal that the disk does not take.
const AT_THE_END: Duration = Duration::from_secs(10);

/// Memory that an epoch takes beside the buffers of its batches, about.
const EPOCH_BYTES: usize = 256;
const PACKET_BYTES: usize = 128;

/// What a [`SinkHost`] is made of.
pub(crate) struct SinkParts {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) pipeline: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) stats: Arc<NodeStats>,
    pub(crate) log: Arc<SiteLog>,
    /// Behind which it begins.
    pub(crate) position: Epoch,
    /// Bytes that may wait for the sink on a thread of its own; `None` where the workers give it each epoch.
    pub(crate) room: Option<usize>,
}

/// One sink of a pipeline. It outlives the pipeline's restarts, and so does what waits for it.
pub(crate) struct SinkHost {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    pipeline: Arc<str>,
    node: Arc<str>,
    stats: Arc<NodeStats>,
    log: Arc<SiteLog>,
    room: Option<usize>,
    queue: Mutex<Queue>,
    /// Tells what the sink has on disk.
    store: Option<Store>,
    urgent: bool,
    /// The sink's thread waits here.
    work: Condvar,
    backlog: Arc<Backlog>,
    /// None once it is set aside after too many failures: rows are counted and dropped, and what it shared with others
    /// is let go. Locked before `queue`, and while the sink is given something.
    sink: Mutex<Option<Box<dyn Sink>>>,
    trouble: Mutex<Option<Trouble>>,
}

struct Queue {
    /// The last epoch that was queued or given: what comes again of it after a restart is passed over.
    taken: Epoch,
    /// The instance of the pipeline that may deliver; any other is fenced off.
    feeder: Option<Weak<Instance>>,
    instance: u64,
    /// Since when the sink takes nothing of the live instance.
    behind: Option<Micros>,
    /// What has come of epochs that not every worker has delivered yet.
    pending: BTreeMap<Epoch, Pending>,
    /// The last epoch each worker has delivered.
    delivered: Vec<Epoch>,
    epochs: VecDeque<Whole>,
    bytes: usize,
    /// The epoch that the sink is being given.
    giving: Option<Epoch>,
    /// When it may be said again that there is no room.
    speak_at: Option<Instant>,
    /// No more comes.
    ended: bool,
    /// Nobody waits for the rest.
    abandoned: bool,
}

impl Queue {
    /// Whether it may be said now that there is no room.
    fn may_speak(&mut self) -> bool {
        let now = Instant::now();
        let may = self.speak_at.is_none_or(|at| now >= at);
        if may {
            self.speak_at = Some(now + AGAIN);
        }
        may
    }
}

struct Pending {
    time: Micros,
    /// By worker, so that the order does not depend on which was faster.
    shares: BTreeMap<usize, Vec<Packet>>,
}

/// Everything of an epoch.
struct Whole {
    epoch: Epoch,
    time: Micros,
    packets: Vec<Packet>,
    bytes: usize,
}

impl Whole {
    fn of(epoch: Epoch, pending: Pending) -> Self {
        let packets: Vec<Packet> = pending.shares.into_values().flatten().collect();
        let buffers: usize = packets.iter().map(|packet| packet.batch.bytes() + PACKET_BYTES).sum();
        Self { epoch, time: pending.time, packets, bytes: buffers + EPOCH_BYTES }
    }

    fn rows(&self) -> u64 {
        self.packets.iter().map(|packet| packet.batch.num_rows() as u64).sum()
    }
}

impl SinkHost {
    /// # Errors
    /// When its thread cannot be started.
    pub(crate) fn new(parts: SinkParts) -> std::io::Result<Self> {
        let SinkParts { sink, pipeline, node, stats, log, position, room } = parts;
        let (store, urgent) = (sink.store(), sink.is_urgent());
        let shared = Arc::new(Shared {
            pipeline,
            node,
            stats,
            log,
            room,
            queue: Mutex::new(Queue {
                taken: position,
                feeder: None,
                instance: 0,
                behind: None,
                pending: BTreeMap::new(),
                delivered: Vec::new(),
                epochs: VecDeque::new(),
                bytes: 0,
                giving: None,
                speak_at: None,
                ended: false,
                abandoned: false,
            }),
            store,
            urgent,
            work: Condvar::new(),
            backlog: Arc::default(),
            sink: Mutex::new(Some(sink)),
            trouble: Mutex::new(None),
        });
        let thread = match room {
            None => None,
            Some(_) => {
                let shared = shared.clone();
                Some(std::thread::Builder::new().name("sink".into()).spawn(move || shared.run())?)
            }
        };
        Ok(Self { shared, thread: Mutex::new(thread) })
    }

    /// From now on only this instance delivers, from behind `position`.
    pub(crate) fn attach(&self, instance: &Arc<Instance>, position: Epoch) {
        let mut queue = self.shared.queue();
        queue.feeder = Some(Arc::downgrade(instance));
        queue.instance = instance.id;
        queue.pending.clear();
        queue.delivered = vec![position; instance.workers()];
    }

    /// It takes nothing of the live instance: what it has not taken has to be brought again.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.queue().behind.is_some()
    }

    /// What it had not taken has been brought.
    pub(crate) fn caught_up(&self) {
        let mut queue = self.shared.queue();
        if queue.behind.take().is_some() {
            self.shared.note(&queue);
            drop(queue);
            self.shared.log.notify();
            tracing::info!(pipeline = &*self.shared.pipeline, node = &*self.shared.node, "the sink has caught up");
        }
    }

    /// Whether more may be brought that is to be brought again.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.shared.queue();
        self.shared.room.is_none_or(|room| queue.bytes <= room / 2)
    }

    /// Everything up to this epoch that came for the sink is on disk; `None` where nothing waits for that: the sink is no
    /// store, or is set aside.
    pub(crate) fn stored(&self) -> Option<Epoch> {
        let store = self.shared.store.as_ref()?;
        let aside = self.shared.trouble().as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::SetAside);
        if aside {
            return None;
        }
        // First what was given, then what is on disk: in between more can be given, and that is behind.
        let given = {
            let queue = self.shared.queue();
            let first = queue.giving.or_else(|| queue.epochs.front().map(|whole| whole.epoch));
            first.map_or(queue.taken, |first| first.saturating_sub(1))
        };
        Some(given.min(store()))
    }

    /// What waits for the sink, for the log.
    pub(crate) fn backlog(&self) -> Arc<Backlog> {
        self.shared.backlog.clone()
    }

    /// What keeps the sink from its work.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let own = self.shared.trouble().clone();
        let behind = self.shared.queue().behind;
        match (own, behind) {
            (Some(own), Some(since)) if own.kind == TroubleKind::Waits => {
                let why = format!("{}; what comes meanwhile is read again from the journal", own.why);
                Some(Trouble { kind: TroubleKind::Behind, since, why })
            }
            (None, Some(since)) => {
                let why = "more came than it could take; what it has not taken is read again from the journal";
                Some(Trouble { kind: TroubleKind::Behind, since, why: why.to_owned() })
            }
            (own, _) => own,
        }
    }

    /// A worker's share of an epoch. What every worker has delivered by now is given to the sink, or waits for it.
    pub(crate) fn deliver(&self, instance: u64, worker: usize, epoch: Epoch, time: Micros, packets: Vec<Packet>) {
        let shared = &*self.shared;
        let mut queue = shared.queue();
        if queue.instance != instance {
            return;
        }
        if epoch > queue.taken {
            let pending = queue.pending.entry(epoch);
            pending.or_insert_with(|| Pending { time, shares: BTreeMap::new() }).shares.insert(worker, packets);
        }
        if let Some(delivered) = queue.delivered.get_mut(worker) {
            *delivered = epoch;
        }
        let complete = queue.delivered.iter().copied().min().unwrap_or(epoch);
        while let Some(entry) = queue.pending.first_entry().filter(|entry| *entry.key() <= complete) {
            let (epoch, pending) = entry.remove_entry();
            let whole = Whole::of(epoch, pending);
            queue.taken = epoch;
            queue.bytes += whole.bytes;
            queue.epochs.push_back(whole);
        }
        let falls_behind = shared.make_room(&mut queue);
        shared.note(&queue);
        drop(queue);
        if let Some(instance) = falls_behind {
            instance.sink_is_behind();
        }
        match shared.room {
            Some(_) => shared.work.notify_one(),
            None => shared.drain(),
        }
    }

    pub(crate) fn settle(&self) {
        if let Some(sink) = &mut *self.shared.sink() {
            sink.settle();
        }
    }

    /// See [`Sink::flush`].
    pub(crate) fn flush(&self) -> bool {
        let flushed = match &mut *self.shared.sink() {
            Some(sink) => catch_unwind(AssertUnwindSafe(|| sink.flush())).unwrap_or(None),
            None => None,
        };
        // Without the lock: a pipeline that delivers to this sink has to go on.
        flushed.map(|wait| wait()).is_some()
    }

    /// Gives the sink what waits for it, and finishes it.
    ///
    /// # Errors
    /// What did not come to where it belongs, and why.
    pub(crate) fn finish(&self) -> Result<(), NodeError> {
        self.shared.queue().ended = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // What the thread had to say it has logged.
            let _ = thread.join();
        }
        match &mut *self.shared.sink() {
            Some(sink) => catch_unwind(AssertUnwindSafe(|| sink.finish()))
                .unwrap_or_else(|panic| Err(NodeError::text(panic_text(&*panic)))),
            None => {
                let why = self.shared.trouble().as_ref().map(|trouble| trouble.why.clone()).unwrap_or_default();
                Err(NodeError::text(format!("it was set aside, and what came since is lost: {why}")))
            }
        }
    }
}

impl Drop for SinkHost {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.ended = true;
        queue.abandoned = true;
        drop(queue);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> MutexGuard<'_, Option<Box<dyn Sink>>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of the sink's thread: until no more comes and everything is given.
    fn run(&self) {
        loop {
            let mut queue = self.queue();
            while queue.epochs.is_empty() && !queue.ended {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.abandoned || queue.epochs.is_empty() {
                return;
            }
            drop(queue);
            self.drain();
        }
    }

    /// Sees to it that no more waits than there is room for. Answers the instance that has to be told that the sink takes
    /// no more of it.
    fn make_room(&self, queue: &mut Queue) -> Option<Arc<Instance>> {
        let room = self.room?;
        if queue.bytes <= room || queue.epochs.len() < 2 || queue.behind.is_some() {
            return None;
        }
        let feeder = queue.feeder.as_ref().and_then(Weak::upgrade).filter(|_| self.log.has_journal());
        let Some(feeder) = feeder else {
            self.shed(queue, room);
            return None;
        };
        queue.behind = Some(self.now());
        queue.instance = 0;
        queue.feeder = None;
        queue.pending.clear();
        if queue.may_speak() {
            tracing::warn!(
                pipeline = &*self.pipeline,
                node = &*self.node,
                epoch = queue.taken,
                "the memory for rows that wait for this sink is full: it takes no more for now, and what comes is read again \
                 from the journal once it can; the pipeline goes on"
            );
        }
        Some(feeder)
    }

    /// Lets the oldest rows go that there is no room for.
    fn shed(&self, queue: &mut Queue, room: usize) {
        let mut rows = 0;
        while queue.bytes > room && queue.epochs.len() > 1 {
            let Some(oldest) = queue.epochs.pop_front() else { break };
            queue.bytes -= oldest.bytes;
            rows += oldest.rows();
        }
        if rows == 0 {
            return;
        }
        self.stats.drop_rows("sink_behind", rows);
        if queue.may_speak() {
            tracing::error!(
                pipeline = &*self.pipeline,
                node = &*self.node,
                rows,
                "the memory for rows that wait for this sink is full: the oldest are lost, and counted as \
                 `sink_behind`; the pipeline goes on; mend what the sink waits for, or raise `memory:`"
            );
        }
    }

    /// Notes what waits, for those who look from outside.
    fn note(&self, queue: &Queue) {
        let first = queue.giving.or_else(|| queue.epochs.front().map(|whole| whole.epoch));
        let first = first.or_else(|| queue.behind.map(|_| queue.taken + 1));
        // Input that can wait does so long before there is no room.
        self.backlog.set(first, queue.behind.is_some() || self.room.is_some_and(|room| queue.bytes > room / 2));
        let waiting = queue.epochs.len() + usize::from(queue.giving.is_some());
        self.stats.queued.store(waiting as u64, Ordering::Relaxed);
    }

    /// Gives the sink what waits for it.
    fn drain(&self) {
        let mut sink = self.sink();
        loop {
            let mut queue = self.queue();
            let Some(whole) = queue.epochs.pop_front().filter(|_| !queue.abandoned) else { break };
            queue.bytes -= whole.bytes;
            queue.giving = Some(whole.epoch);
            self.note(&queue);
            drop(queue);
            self.wait_for_journal(&whole);
            self.give(&mut sink, &whole);
            let mut queue = self.queue();
            queue.giving = None;
            self.note(&queue);
            let idle = queue.epochs.is_empty();
            let feeder = queue.behind.and(queue.feeder.as_ref()).and_then(Weak::upgrade);
            drop(queue);
            if let Some(feeder) = feeder.filter(|feeder| !feeder.is_fenced()) {
                feeder.wake();
            }
            if idle && self.room.is_some() {
                self.log.notify();
            }
        }
    }

    /// A store holds nothing that a power cut could take out of the log: an epoch comes to it once it is on disk.
    fn wait_for_journal(&self, whole: &Whole) {
        let epoch = whole.epoch;
        if self.store.is_none() {
            return;
        }
        if self.urgent && !whole.packets.is_empty() {
            self.log.urge(epoch);
        }
        let mut ends = None;
        while !self.log.wait_durable(epoch, PAUSE * 10) {
            let queue = self.queue();
            let patience = *ends.get_or_insert_with(|| Instant::now() + AT_THE_END);
            if queue.abandoned || self.log.is_given_up() || (queue.ended && Instant::now() > patience) {
                return;
            }
            if !queue.ended {
                ends = None;
            }
        }
    }

    /// Gives the sink an epoch, again and again while it has to wait; after the third failure it is set aside.
    fn give(&self, sink: &mut Option<Box<dyn Sink>>, whole: &Whole) {
        let mut failures = 0;
        let mut pause = PAUSE;
        let mut speak_at = Instant::now() + SPEAK;
        loop {
            let Some(open) = sink else {
                self.stats.drop_rows("set_aside", whole.rows());
                return;
            };
            let started = Instant::now();
            let result = guarded(|| {
                for packet in &whole.packets {
                    open.on_batch(packet.input, whole.epoch, &packet.batch)?;
                }
                open.end_epoch(whole.epoch, whole.time)
            });
            NodeStats::add(&self.stats.nanoseconds, started.elapsed().as_nanos() as u64);
            match result {
                Ok(()) => {
                    if self.trouble().take().is_some() {
                        tracing::info!(pipeline = &*self.pipeline, node = &*self.node, "the sink goes on");
                    }
                    return;
                }
                Err(NodeError::Later(why)) => {
                    if self.queue().abandoned {
                        self.stats.drop_rows("abandoned", whole.rows());
                        return;
                    }
                    NodeStats::add(&self.stats.retries, 1);
                    if Instant::now() >= speak_at {
                        speak_at = Instant::now() + AGAIN;
                        self.waits(&*why);
                    }
                    // A panic here shows again in the next attempt.
                    let _ = guarded(|| {
                        open.wait(pause);
                        Ok(())
                    });
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    failures += 1;
                    NodeStats::add(&self.stats.errors, 1);
                    if failures >= PATIENCE {
                        self.set_aside(sink, whole.epoch, &error);
                    } else {
                        tracing::error!(
                            pipeline = &*self.pipeline, node = &*self.node, epoch = whole.epoch, %error,
                            "a sink failed; it is given the epoch again"
                        );
                    }
                }
            }
        }
    }

    fn waits(&self, why: &dyn std::fmt::Display) {
        let mut trouble = self.trouble();
        let since = trouble.as_ref().map_or_else(|| self.now(), |trouble| trouble.since);
        *trouble = Some(Trouble { kind: TroubleKind::Waits, since, why: why.to_string() });
        tracing::warn!(
            pipeline = &*self.pipeline,
            node = &*self.node,
            "{why}; what comes for this sink waits in memory, and the rest of the pipeline goes on"
        );
    }

    fn set_aside(&self, sink: &mut Option<Box<dyn Sink>>, epoch: Epoch, error: &NodeError) {
        tracing::error!(
            pipeline = &*self.pipeline,
            node = &*self.node,
            epoch,
            %error,
            failures = PATIENCE,
            "a sink failed for the third time on one epoch and is set aside; the rest goes on without it"
        );
        *self.trouble() = Some(Trouble { kind: TroubleKind::SetAside, since: self.now(), why: error.to_string() });
        let sink = sink.take();
        if catch_unwind(AssertUnwindSafe(|| drop(sink))).is_err() {
            tracing::error!("a sink that is set aside panicked when it was let go");
        }
    }

    /// Engine time, about.
    fn now(&self) -> Micros {
        self.log.last_time().unwrap_or_default()
    }
}

/// Runs the sink's own code: panics become errors.
fn guarded(call: impl FnOnce() -> Result<(), NodeError>) -> Result<(), NodeError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(NodeError::text(panic_text(&*panic))))
}

#[cfg(test)]
mod tests;
