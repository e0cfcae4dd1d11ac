//! One courier.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ducto_storage::{BatchHead, SealedBatch, StorageError, Stream};

use super::retry::Retry;
use super::{Carried, Carrier, CourierStatus, EngineNow};
use crate::error::panic_text;

/// So many times a batch is refused before it is moved aside.
pub(super) const REFUSALS: u32 = 5;

/// How soon it is tried again to write to a disk that took nothing.
const DISK: Duration = Duration::from_secs(1);

/// How long a courier waits that has nothing to do. Whatever comes wakes it.
const IDLE: Duration = Duration::from_secs(3_600);

/// How soon a failure that goes on is said again.
const AGAIN: Duration = Duration::from_secs(600);

/// What a courier and those who look after it share.
#[derive(Debug)]
pub(super) struct Shared {
    status: Mutex<CourierStatus>,
    /// When a stop does not wait any more.
    stop: Mutex<Option<Instant>>,
    ended: Mutex<bool>,
    end: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            status: Mutex::new(CourierStatus { endpoint, ..CourierStatus::default() }),
            stop: Mutex::new(None),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    pub(super) fn status(&self) -> CourierStatus {
        lock(&self.status).clone()
    }

    pub(super) fn stop(&self, at: Instant) {
        *lock(&self.stop) = Some(at);
    }

    /// Says whether the courier has ended by then.
    pub(super) fn wait_ended(&self, by: Instant) -> bool {
        let left = by.saturating_duration_since(Instant::now());
        let (ended, _) = self
            .end
            .wait_timeout_while(lock(&self.ended), left, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }

    fn stopping(&self) -> Option<Instant> {
        *lock(&self.stop)
    }
}

/// What the courier still has to tell the disk.
enum Told {
    Accepted(BatchHead),
    Refused(BatchHead, String),
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something more, at once.
    Go,
    /// Something may come; at the latest it is looked again after this.
    Idle(Duration),
    /// Nothing before this, whatever comes.
    Pause(Duration),
}

/// Delivers one stream.
pub(super) struct Courier {
    stream: Stream,
    carrier: Box<dyn Carrier>,
    shared: Arc<Shared>,
    now: EngineNow,
    retry: Retry,
    /// The batch that is being brought, through all its attempts.
    batch: Option<SealedBatch>,
    refusals: u32,
    told: Option<Told>,
    speak_at: Option<Instant>,
}

impl Courier {
    pub(super) fn new(stream: Stream, carrier: Box<dyn Carrier>, shared: Arc<Shared>, now: EngineNow) -> Self {
        // Different at each site and each start.
        let seed = hash(&format!("{}{}{:?}", stream.name(), std::process::id(), std::time::SystemTime::now()));
        Self {
            stream,
            carrier,
            shared,
            now,
            retry: Retry::new(seed),
            batch: None,
            refusals: 0,
            told: None,
            speak_at: None,
        }
    }

    /// The body of the courier's thread.
    pub(super) fn run(mut self) {
        let mut seen = 0;
        while self.shared.stopping().is_none_or(|at| Instant::now() < at) {
            let step = self.step();
            let stopping = self.shared.stopping().is_some();
            match step {
                Step::Go => {}
                // Nothing waits, or it fails: there is no reason to stay.
                _ if stopping => break,
                Step::Idle(time) => seen = self.stream.wait(seen, time),
                Step::Pause(time) => {
                    self.pause(time);
                    if self.shared.stopping().is_some() {
                        break;
                    }
                }
            }
        }
        self.stream.put_back();
        *lock(&self.shared.ended) = true;
        self.shared.end.notify_all();
    }

    /// Lets time pass, in which what has come is sealed; a stop ends it.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut seen = 0;
        while self.shared.stopping().is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            seen = self.stream.wait(seen, left.min(self.seal()));
        }
    }

    /// Seals what has waited long enough, also while its receiver fails.
    fn seal(&self) -> Duration {
        match self.stream.seal_if_due((self.now)()) {
            Ok(left) => left.unwrap_or(IDLE),
            Err(error) => {
                tracing::warn!(stream = &**self.stream.name(), %error, "rows that are to be sent wait in memory");
                DISK
            }
        }
    }

    /// Does one thing, of which giving a batch to its receiver takes time.
    pub(super) fn step(&mut self) -> Step {
        let due = self.seal();
        if let Some(told) = &self.told {
            let written = match told {
                Told::Accepted(head) => self.stream.accepted(head),
                Told::Refused(head, why) => self.stream.refused(head, why),
            };
            if let Err(error) = written {
                return self.disk_fails(&error);
            }
            self.told = None;
            return Step::Go;
        }
        if self.batch.is_none() {
            self.refusals = 0;
            self.batch = match self.stream.next() {
                Ok(batch) => batch,
                Err(error) => return self.disk_fails(&error),
            };
        }
        let Some(batch) = &self.batch else { return Step::Idle(due) };
        let carrier = &mut self.carrier;
        let carried = catch_unwind(AssertUnwindSafe(|| carrier.carry(batch)))
            .unwrap_or_else(|panic| Carried::Later { why: panic_text(&*panic), after: None });
        if self.shared.stopping().is_some_and(|at| Instant::now() >= at) {
            // Nobody waits for this any more, and the stream may be in other hands.
            return Step::Idle(due);
        }
        let head = batch.head.clone();
        match carried {
            Carried::Accepted => {
                self.batch = None;
                self.told = Some(Told::Accepted(head));
                self.goes_on();
                Step::Go
            }
            Carried::Later { why, after } => self.fails(&head, why, after),
            Carried::Refused { why } => {
                self.refusals += 1;
                if self.refusals < REFUSALS {
                    return self.fails(&head, why, None);
                }
                tracing::error!(
                    stream = &**self.stream.name(), batch = %head.id, rows = head.rows,
                    "the receiver has refused a batch {REFUSALS} times ({why}); it is moved to `refused` in the \
                     outbox, and the next one is sent"
                );
                self.batch = None;
                self.told = Some(Told::Refused(head, why));
                self.retry.reset();
                Step::Go
            }
        }
    }

    fn goes_on(&mut self) {
        self.retry.reset();
        self.speak_at = None;
        let mut status = lock(&self.shared.status);
        status.why = None;
        if status.failing_since.take().is_some() {
            drop(status);
            tracing::info!(stream = &**self.stream.name(), "the receiver takes batches again");
        }
    }

    fn fails(&mut self, head: &BatchHead, why: String, after: Option<Duration>) -> Step {
        let pause = self.retry.pause(after);
        let now = Instant::now();
        if self.speak_at.is_none_or(|at| now >= at) {
            self.speak_at = Some(now + AGAIN);
            tracing::warn!(
                stream = &**self.stream.name(), batch = %head.id, pause = ?pause,
                "{}: {why}; what comes for it waits in the outbox, and all else goes on", self.carrier.endpoint()
            );
        }
        let mut status = lock(&self.shared.status);
        status.failures += 1;
        status.failing_since.get_or_insert_with(|| (self.now)());
        status.why = Some(why);
        Step::Pause(pause)
    }

    fn disk_fails(&self, error: &StorageError) -> Step {
        tracing::warn!(stream = &**self.stream.name(), %error, "the outbox waits for its disk");
        Step::Pause(DISK)
    }
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
