//! Feeders on their threads: what brings input from outside, started again when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_graph::operator::{Feeder, Intake, Link, LinkReport};

use crate::counted::Counted;
use crate::error::{RuntimeError, panic_text};

/// Pauses before a feeder that failed is started again: doubled each time, back to the first after a good minute.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Stop {
    flag: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

struct Running {
    name: String,
    thread: JoinHandle<()>,
    tags: usize,
    counted: Arc<Counted>,
    link: Option<Arc<dyn Link>>,
    failures: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

/// The feeders of a site.
#[derive(Default)]
pub(crate) struct Feeders {
    stop: Arc<Stop>,
    running: Vec<Running>,
}

/// What is known of a feeder from outside.
#[derive(Clone, Debug)]
pub struct FeederStatus {
    pub name: String,
    /// Tags that are read by it.
    pub tags: usize,
    /// Rows that it brought into the log, and those that found the memory for entries full.
    pub rows: u64,
    pub refused_rows: u64,
    /// How its endpoint is, where it tells.
    pub link: Option<LinkReport>,
    /// How often it failed and was started again.
    pub failures: u64,
    /// Its input has ended.
    pub ended: bool,
}

impl Feeders {
    /// Starts a feeder that reads so many tags.
    pub(crate) fn start(
        &mut self,
        mut feeder: Box<dyn Feeder>,
        tags: usize,
        intake: Arc<dyn Intake>,
    ) -> Result<(), RuntimeError> {
        let name = feeder.name();
        let link = feeder.link();
        let through = Arc::new(Counted::new(intake));
        let intake: Arc<dyn Intake> = through.clone();
        let stop = self.stop.clone();
        let failures = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let (counted, has_ended, thread_name) = (failures.clone(), ended.clone(), name.clone());
        let thread = std::thread::Builder::new().name(thread_name.chars().take(15).collect()).spawn(move || {
            let mut pause = FIRST_PAUSE;
            while !stop.flag.load(Ordering::Acquire) {
                let started = Instant::now();
                let error = match catch_unwind(AssertUnwindSafe(|| feeder.run(&intake, &stop.flag))) {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => error.to_string(),
                    Err(panic) => panic_text(&*panic),
                };
                if stop.flag.load(Ordering::Acquire) {
                    break;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                if started.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                tracing::error!(feeder = thread_name, error, "input failed; it is started again in {pause:?}");
                let guard = stop.lock.lock().unwrap_or_else(PoisonError::into_inner);
                drop(
                    stop.wake
                        .wait_timeout_while(guard, pause, |()| !stop.flag.load(Ordering::Acquire))
                        .unwrap_or_else(PoisonError::into_inner),
                );
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            has_ended.store(true, Ordering::Release);
        })?;
        self.running.push(Running { name, thread, tags, counted: through, link, failures, ended });
        Ok(())
    }

    pub(crate) fn status(&self) -> Vec<FeederStatus> {
        self.running
            .iter()
            .map(|running| FeederStatus {
                name: running.name.clone(),
                tags: running.tags,
                rows: running.counted.rows(),
                refused_rows: running.counted.refused_rows(),
                link: running.link.as_ref().map(|link| link.report()),
                failures: running.failures.load(Ordering::Relaxed),
                ended: running.ended.load(Ordering::Acquire),
            })
            .collect()
    }

    /// Tells all to stop and waits until they have.
    pub(crate) fn stop(&mut self) {
        {
            let _guard = self.stop.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.stop.flag.store(true, Ordering::Release);
        }
        self.stop.wake.notify_all();
        for running in self.running.drain(..) {
            let _ = running.thread.join();
        }
    }
}
