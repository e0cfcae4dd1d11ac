//! Checkpoints while a site runs: a thread that writes the states of all pipelines once every store holds what they
//! came of, and lets the journal forget what is behind the older one.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::Epoch;
use ducto_storage::{Checkpoint, Checkpoints, PipelineState};

use crate::log::SiteLog;
use crate::pipelines::Pipelines;

/// Bytes of journal after which a checkpoint does not wait for its time.
const BYTES: u64 = 256 << 20;

/// How often it is looked whether the stores hold what the next checkpoint needs.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of checkpoints from outside.
#[derive(Clone, Debug, Default)]
pub struct CheckpointStatus {
    pub taken: u64,
    /// Why the last one could not be written.
    pub error: Option<String>,
}

pub(crate) struct Checkpointing {
    stop: Arc<(Mutex<bool>, Condvar)>,
    status: Arc<Mutex<CheckpointStatus>>,
    thread: Option<JoinHandle<Taker>>,
}

impl Checkpointing {
    /// `newest` is the one that the site was started from.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        pipelines: Arc<Pipelines>,
        checkpoints: Checkpoints,
        newest: Checkpoint,
        every: Duration,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let status = Arc::new(Mutex::new(CheckpointStatus::default()));
        let log = pipelines.log.clone();
        let taker = Taker { pipelines, log, checkpoints, newest, every, stop: stop.clone(), status: status.clone() };
        let thread = std::thread::Builder::new().name("ducto-checkpoint".into()).spawn(move || taker.run())?;
        Ok(Self { stop, status, thread: Some(thread) })
    }

    pub(crate) fn status(&self) -> CheckpointStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No more are taken; answers who took them, for the last one.
    pub(crate) fn stop(&mut self) -> Option<Taker> {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Checkpointing {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) struct Taker {
    pipelines: Arc<Pipelines>,
    log: Arc<SiteLog>,
    checkpoints: Checkpoints,
    newest: Checkpoint,
    every: Duration,
    stop: Arc<(Mutex<bool>, Condvar)>,
    status: Arc<Mutex<CheckpointStatus>>,
}

impl Taker {
    fn run(mut self) -> Self {
        let (mut last, mut written) = (Instant::now(), self.log.journal_written());
        while !self.pause(LOOK.min(self.every / 2)) {
            let bytes = self.log.journal_written();
            if last.elapsed() < self.every && bytes.saturating_sub(written) < BYTES {
                continue;
            }
            if self.take() {
                (last, written) = (Instant::now(), bytes);
            }
        }
        self
    }

    /// Sleeps; says whether the site stops.
    fn pause(&self, time: Duration) -> bool {
        let (stop, woken) = &*self.stop;
        let stop = stop.lock().unwrap_or_else(PoisonError::into_inner);
        let (stop, _) = woken.wait_timeout_while(stop, time, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *stop
    }

    /// Takes a checkpoint; says whether there is one.
    fn take(&mut self) -> bool {
        let states = match self.pipelines.states() {
            Ok(states) => states,
            Err(error) => return self.failed(&error),
        };
        for (pipeline, state) in &states {
            while !self.pipelines.is_stored(pipeline, state.epoch) {
                if self.pause(LOOK) {
                    return false;
                }
            }
        }
        if !self.wait_for_journal() {
            return false;
        }
        self.save(states)
    }

    /// What came of the epochs behind a checkpoint and went into the log again, as tags that nodes published or as what
    /// datasets committed, is on disk when it is written: nobody would make it a second time.
    fn wait_for_journal(&self) -> bool {
        while !self.pipelines.intake.wait_sealed(LOOK) {
            if self.pause(Duration::ZERO) {
                return false;
            }
        }
        let last = self.log.last_epoch();
        while !self.log.wait_durable(last, LOOK) {
            if self.pause(Duration::ZERO) {
                return false;
            }
        }
        true
    }

    /// The last checkpoint of a clean stop, once the journal is written: of each pipeline what it was at its end.
    pub(crate) fn finish(mut self, states: BTreeMap<Arc<str>, PipelineState>) -> Option<Epoch> {
        if self.log.durable() < self.log.last_epoch() {
            tracing::error!("the journal is not written to its end: the next start goes on from the checkpoint before");
            return None;
        }
        self.save(states);
        self.checkpoints.needed_behind()
    }

    fn save(&mut self, states: BTreeMap<Arc<str>, PipelineState>) -> bool {
        let mut next = self.newest.clone();
        next.time = self.log.last_time().unwrap_or_default();
        next.pipelines.extend(states);
        if next == self.newest {
            return true;
        }
        if let Err(error) = self.checkpoints.save(&next) {
            return self.failed(&error);
        }
        self.newest = next;
        if let Some(epoch) = self.checkpoints.needed_behind() {
            self.log.forget_journal(epoch);
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.taken += 1;
        status.error = None;
        true
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> bool {
        tracing::error!(%error, "no checkpoint could be taken; the one before counts, and a start reads more of the journal");
        self.status.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error.to_string());
        // Tried again when the next one is due.
        true
    }
}
