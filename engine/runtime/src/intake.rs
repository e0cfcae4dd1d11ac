//! The intake: seals what waits into one entry, numbers it, stamps engine time, and appends it to the site log.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ducto_graph::operator::{Intake, IntakeError};
use ducto_record::{Action, Epoch, Micros, Part, time};

use crate::clock::{ClockMode, EngineClock, WallClock};
use crate::log::SiteLog;

/// Entries that may be ahead of the slowest pipeline before the intake lets more come together in one entry, and
/// before input on a virtual clock has to wait.
const AHEAD: Epoch = 64;

/// On a virtual clock: what is longer without an entry is a hole, which engine time passes in strides as long as timers
/// are due in it. A timer that makes rows as long as nothing comes, such as that of a stale tag, would otherwise make
/// those of days in one turn.
const HOLE: Micros = 60 * time::SECOND;
const STRIDE: Micros = 10 * time::SECOND;

/// How long the intake lets parts come together while pipelines are behind.
const GATHER: Duration = Duration::from_millis(5);

/// How often the clock is looked at for steps, and the longest sleep.
const LOOK: Duration = Duration::from_millis(1_000);

/// The earliest deadline of one pipeline's worker; [`Micros::MAX`] for none.
pub(crate) type Deadline = Arc<AtomicI64>;

struct Waiting {
    parts: Vec<Part>,
    bytes: usize,
    /// Actions whose askers want to know the epoch.
    sealed: Epoch,
    offered: u64,
    sealed_offers: u64,
}

pub struct SiteIntake {
    mode: ClockMode,
    clock: EngineClock,
    log: Arc<SiteLog>,
    /// Bytes that may wait.
    capacity: usize,
    waiting: Mutex<Waiting>,
    /// Something waits, a deadline came nearer, or the site stops.
    work: Condvar,
    /// Room, or an entry was sealed.
    room: Condvar,
    deadlines: Mutex<Vec<Weak<AtomicI64>>>,
    stopped: AtomicBool,
    /// What nodes publish is in the log already.
    published: AtomicBool,
    /// What pipelines bring while they stop enters too, until this.
    ended: AtomicBool,
    dropped_rows: AtomicU64,
    clock_steps: AtomicU64,
    /// On a virtual clock: called between entries until nothing waits. Set where nodes publish or datasets are read.
    settle: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl SiteIntake {
    pub fn new(mode: ClockMode, wall: WallClock, log: Arc<SiteLog>, capacity: usize) -> Arc<Self> {
        let clock = EngineClock::start(wall, log.last_time());
        if mode == ClockMode::Wall && clock.offset() != 0 {
            tracing::warn!(
                seconds = -clock.offset() as f64 / time::SECOND as f64,
                "the wall clock is behind the last entry of the journal; engine time goes on from there"
            );
        }
        Arc::new(Self {
            mode,
            clock,
            log,
            capacity,
            waiting: Mutex::new(Waiting { parts: Vec::new(), bytes: 0, sealed: 0, offered: 0, sealed_offers: 0 }),
            work: Condvar::new(),
            room: Condvar::new(),
            deadlines: Mutex::default(),
            stopped: AtomicBool::new(false),
            published: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            dropped_rows: AtomicU64::new(0),
            clock_steps: AtomicU64::new(0),
            settle: Mutex::new(None),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Rows that found the memory for entries full.
    pub fn dropped_rows(&self) -> u64 {
        self.dropped_rows.load(Ordering::Relaxed)
    }

    /// Bytes of buffers that wait to be sealed, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        (self.lock().bytes, self.capacity)
    }

    /// Steps of the wall clock seen so far.
    pub fn clock_steps(&self) -> u64 {
        self.clock_steps.load(Ordering::Relaxed)
    }

    /// How far the wall clock is ahead of engine time; 0 where the input is the clock.
    pub fn clock_offset(&self) -> Micros {
        self.clock.offset()
    }

    pub fn mode(&self) -> ClockMode {
        self.mode
    }

    /// A place where a worker writes its pipeline's earliest deadline.
    pub(crate) fn deadline(&self) -> Deadline {
        let deadline = Arc::new(AtomicI64::new(Micros::MAX));
        let mut deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        deadlines.retain(|other| other.strong_count() > 0);
        deadlines.push(Arc::downgrade(&deadline));
        deadline
    }

    /// Writes a deadline; wakes the intake where it came nearer, or where the one before is among those that it no
    /// longer looks at.
    pub(crate) fn set_deadline(&self, deadline: &Deadline, at: Option<Micros>) {
        let at = at.unwrap_or(Micros::MAX);
        let before = deadline.swap(at, Ordering::AcqRel);
        let wakes = || at < before || self.log.last_time().is_some_and(|last| before <= last);
        if at != before && self.mode == ClockMode::Wall && wakes() {
            // The lock orders this with the intake's look at the deadlines: no wake-up is lost.
            drop(self.lock());
            self.work.notify_one();
        }
    }

    /// The earliest deadline behind the newest entry. One that this entry has passed is served by it, once its
    /// pipeline comes to read it: another entry would be one too many.
    fn earliest_deadline(&self) -> Option<Micros> {
        let last = self.log.last_time().unwrap_or(Micros::MIN);
        let deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        deadlines
            .iter()
            .filter_map(Weak::upgrade)
            .map(|deadline| deadline.load(Ordering::Acquire))
            .filter(|&at| at > last && at != Micros::MAX)
            .min()
    }

    pub(crate) fn set_settle(&self, settle: Option<Arc<dyn Fn() + Send + Sync>>) {
        *self.settle.lock().unwrap_or_else(PoisonError::into_inner) = settle;
    }

    /// Seals until the site stops; the body of the intake's thread on a wall clock.
    pub(crate) fn run(&self) {
        let mut looked = self.clock.now();
        loop {
            let now = self.clock.now();
            if now - looked >= LOOK.as_micros() as Micros {
                looked = now;
                if let Some(step) = self.clock.step() {
                    self.clock_steps.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        seconds = step.by as f64 / time::SECOND as f64,
                        "the wall clock was stepped; engine time goes on from where it was until the next start"
                    );
                }
            }
            let mut waiting = self.lock();
            if waiting.parts.is_empty() {
                if self.is_stopped() {
                    return;
                }
                let due = self.earliest_deadline();
                if due.is_none_or(|due| due > now) {
                    let sleep = due.map_or(LOOK, |due| {
                        // A little later than due, so that the deadline has passed when the entry is stamped.
                        Duration::from_micros((due - now).clamp(0, 10 * time::SECOND) as u64 + 50).min(LOOK)
                    });
                    drop(self.work.wait_timeout(waiting, sleep).unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
            } else if !self.is_stopped() && self.log.last_epoch().saturating_sub(self.log.done()) > AHEAD {
                // Pipelines are behind: larger entries cost them less.
                let (again, _) = self.work.wait_timeout(waiting, GATHER).unwrap_or_else(PoisonError::into_inner);
                waiting = again;
            }
            self.seal(waiting, self.clock.now());
        }
    }

    fn seal(&self, mut waiting: MutexGuard<'_, Waiting>, time: Micros) {
        let parts = std::mem::take(&mut waiting.parts);
        waiting.bytes = 0;
        let offers = waiting.offered;
        // The lock is held so that parts enter in the order in which they were offered.
        let (epoch, _) = self.log.append(time, parts);
        waiting.sealed = epoch;
        waiting.sealed_offers = offers;
        drop(waiting);
        self.room.notify_all();
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, parts: impl IntoIterator<Item = Part>) -> u64 {
        for part in parts {
            waiting.bytes += part.bytes();
            waiting.parts.push(part);
        }
        waiting.offered += 1;
        let number = waiting.offered;
        drop(waiting);
        self.work.notify_one();
        number
    }

    /// Offers an action and answers the epoch it was sealed into, once it is on disk, where there is a journal.
    ///
    /// # Errors
    /// [`IntakeError::Stopped`].
    pub fn act(&self, action: Arc<Action>) -> Result<Epoch, IntakeError> {
        if self.mode == ClockMode::Virtual {
            let time = self.now();
            self.enter_at(time, vec![Part::Action(action)])?;
            return Ok(self.log.last_epoch());
        }
        self.accept(vec![Part::Action(action)])
    }

    /// For input that is acknowledged where it comes from: offers parts together and answers the epoch they were sealed
    /// into, once it is on disk, where there is a journal.
    ///
    /// # Errors
    /// [`IntakeError::Stopped`]: whether they are on disk nobody knows.
    pub fn accept(&self, parts: Vec<Part>) -> Result<Epoch, IntakeError> {
        if self.is_stopped() {
            return Err(IntakeError::Stopped);
        }
        let number = self.push(self.lock(), parts);
        let mut waiting = self.lock();
        while waiting.sealed_offers < number {
            if self.is_stopped() {
                return Err(IntakeError::Stopped);
            }
            waiting = self.room.wait_timeout(waiting, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        let epoch = waiting.sealed;
        drop(waiting);
        while !self.log.wait_durable(epoch, LOOK) {
            if self.is_stopped() {
                return Err(IntakeError::Stopped);
            }
        }
        Ok(epoch)
    }

    /// What a node publishes of an epoch enters as one entry. Also while the site stops: it comes of what is done with.
    pub(crate) fn publish(&self, parts: Vec<Part>) -> Result<(), IntakeError> {
        if self.published.load(Ordering::Acquire) {
            return Ok(());
        }
        let waiting = self.lock();
        if self.is_ended() {
            return Err(IntakeError::Stopped);
        }
        let bytes: usize = parts.iter().map(Part::bytes).sum();
        let full = waiting.bytes + bytes > self.capacity && !waiting.parts.is_empty();
        if !self.is_stopped() && (full || self.log.is_full()) {
            let rows = parts.iter().map(Part::num_rows).sum();
            self.dropped_rows.fetch_add(rows as u64, Ordering::Relaxed);
            return Err(IntakeError::Full { rows });
        }
        self.push(waiting, parts);
        Ok(())
    }

    /// What nodes publish enters no more: it comes with the log that is read.
    pub(crate) fn pass_over_published(&self) {
        self.published.store(true, Ordering::Release);
    }

    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) || (self.mode == ClockMode::Virtual && self.is_stopped())
    }

    /// The pipelines have ended: what they brought while they stopped is sealed, to be read by the next process. Nothing
    /// enters behind it.
    pub(crate) fn end(&self) {
        let waiting = self.lock();
        self.ended.store(true, Ordering::Release);
        if self.mode == ClockMode::Wall && !waiting.parts.is_empty() {
            self.seal(waiting, self.clock.now());
        }
    }

    /// No more parts of others; what waits is sealed first.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        drop(self.lock());
        self.work.notify_all();
        self.room.notify_all();
        self.log.notify();
    }

    /// Waits, at most `timeout`, until what was offered so far is in the log; answers whether it is.
    pub(crate) fn wait_sealed(&self, timeout: Duration) -> bool {
        if self.mode == ClockMode::Virtual {
            self.settle(self.now());
            return true;
        }
        let end = Instant::now() + timeout;
        let mut waiting = self.lock();
        let offered = waiting.offered;
        while waiting.sealed_offers < offered && !self.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.room.wait_timeout(waiting, left.min(LOOK)).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.sealed_offers >= offered
    }

    /// On a virtual clock: moves engine time through a hole that ends at `time`, one entry after the other. Each is
    /// done with before the next is made, so that no more rows are on their way than those of one stride.
    fn pass_hole(&self, time: Micros) -> Result<(), IntakeError> {
        if self.log.last_time().is_none_or(|last| time.saturating_sub(last) <= HOLE) {
            return Ok(());
        }
        loop {
            self.wait_done(self.log.last_epoch())?;
            let Some(due) = self.earliest_deadline() else { return Ok(()) };
            let next = due.saturating_add(STRIDE);
            if next >= time {
                return Ok(());
            }
            let (_, next) = self.log.append(next, Vec::new());
            self.settle(next);
        }
    }

    fn wait_done(&self, epoch: Epoch) -> Result<(), IntakeError> {
        while !self.log.wait_done(epoch, LOOK) {
            if self.is_stopped() {
                return Err(IntakeError::Stopped);
            }
        }
        Ok(())
    }

    /// On a virtual clock: seals what nodes and commits brought, until they bring no more.
    fn settle(&self, time: Micros) {
        let settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(settle) = settle else { return };
        loop {
            settle();
            let waiting = self.lock();
            if waiting.parts.is_empty() || self.is_stopped() {
                return;
            }
            self.seal(waiting, time);
        }
    }
}

impl Intake for SiteIntake {
    fn offer(&self, part: Part) -> Result<(), IntakeError> {
        if self.is_stopped() {
            return Err(IntakeError::Stopped);
        }
        let waiting = self.lock();
        let full = waiting.bytes + part.bytes() > self.capacity && !waiting.parts.is_empty();
        if full || self.log.is_full() {
            let rows = part.num_rows();
            self.dropped_rows.fetch_add(rows as u64, Ordering::Relaxed);
            return Err(IntakeError::Full { rows });
        }
        self.push(waiting, [part]);
        Ok(())
    }

    fn offer_waiting(&self, part: Part) -> Result<(), IntakeError> {
        if self.is_stopped() {
            return Err(IntakeError::Stopped);
        }
        self.offer_together(vec![part])
    }

    fn offer_together(&self, parts: Vec<Part>) -> Result<(), IntakeError> {
        let bytes: usize = parts.iter().map(Part::bytes).sum();
        let mut waiting = self.lock();
        // On a virtual clock what is offered is sealed between entries, by the thread that enters them.
        while self.mode == ClockMode::Wall
            && ((waiting.bytes + bytes > self.capacity && !waiting.parts.is_empty())
                || self.log.last_epoch().saturating_sub(self.log.done()) > AHEAD
                || self.log.is_backed_up())
            && !self.is_stopped()
        {
            waiting = self.room.wait_timeout(waiting, GATHER).unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.is_ended() {
            return Err(IntakeError::Stopped);
        }
        self.push(waiting, parts);
        Ok(())
    }

    fn enter_at(&self, time: Micros, parts: Vec<Part>) -> Result<(), IntakeError> {
        if self.mode == ClockMode::Wall {
            return parts.into_iter().try_for_each(|part| self.offer_waiting(part));
        }
        if self.is_stopped() {
            return Err(IntakeError::Stopped);
        }
        self.pass_hole(time)?;
        let last = self.log.last_epoch();
        if last.saturating_sub(self.log.done()) >= AHEAD {
            // Not for one place but for half of them: a hand-over to and from the pipelines costs more than an entry.
            self.wait_done(last.saturating_sub(AHEAD / 2))?;
        }
        let (_, time) = self.log.append(time, parts);
        self.settle(time);
        Ok(())
    }

    fn now(&self) -> Micros {
        match self.mode {
            ClockMode::Wall => self.clock.now(),
            ClockMode::Virtual => self.log.last_time().unwrap_or_default(),
        }
    }
}
