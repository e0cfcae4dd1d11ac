//! What brings input from outside: feeders on threads of their own, connections as tasks on a few threads that they
//! share. Each is run again when it fails, whatever becomes of the others.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_graph::operator::{Connection, Feeder, Intake, Link, LinkReport, Polling};
use tokio::runtime::Runtime;

use crate::counted::{Counted, Counts};
use crate::error::{RuntimeError, panic_text};

/// Pauses before what failed is started again: doubled each time, back to the first after a good minute.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The threads of all connections: polling waits more than it computes.
const THREADS: usize = 2;

/// Threads beside these that resolve names, which blocks.
const RESOLVERS: usize = 8;

/// How long a stop waits for tasks in the middle of a computation.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Stop {
    flag: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

struct Running {
    name: String,
    /// None for a connection, which is a task.
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
    tags: usize,
    counts: Arc<Counts>,
    link: Option<Arc<dyn Link>>,
}

#[derive(Default)]
struct Health {
    failures: AtomicU64,
    ended: AtomicBool,
}

/// The feeders and connections of a site.
#[derive(Default)]
pub(crate) struct Feeders {
    stop: Arc<Stop>,
    running: Vec<Running>,
    connections: Option<Runtime>,
}

/// What is known of a feeder or a connection from outside.
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

/// The pauses of one feeder that fails.
struct Restarts {
    name: String,
    health: Arc<Health>,
    pause: Duration,
}

impl Restarts {
    fn new(name: String, health: Arc<Health>) -> Self {
        Self { name, health, pause: FIRST_PAUSE }
    }

    /// It failed after this time; the answer is how long to wait before the next try.
    fn failed(&mut self, after: Duration, error: &str) -> Duration {
        self.health.failures.fetch_add(1, Ordering::Relaxed);
        if after > LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.pause;
        tracing::error!(feeder = self.name, error, "input failed; it is started again in {pause:?}");
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

impl Feeders {
    pub(crate) fn start(&mut self, mut feeder: Box<dyn Feeder>, intake: &Arc<dyn Intake>) -> Result<(), RuntimeError> {
        let name = feeder.name();
        let link = feeder.link();
        let counts = Arc::new(Counts::default());
        let intake: Arc<dyn Intake> = Arc::new(Counted::new(intake.clone(), counts.clone()));
        let stop = self.stop.clone();
        let health = Arc::new(Health::default());
        let mut restarts = Restarts::new(name.clone(), health.clone());
        let thread = std::thread::Builder::new().name(name.chars().take(15).collect()).spawn(move || {
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
                let pause = restarts.failed(started.elapsed(), &error);
                let guard = stop.lock.lock().unwrap_or_else(PoisonError::into_inner);
                drop(
                    stop.wake
                        .wait_timeout_while(guard, pause, |()| !stop.flag.load(Ordering::Acquire))
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
            restarts.health.ended.store(true, Ordering::Release);
        })?;
        self.running.push(Running { name, thread: Some(thread), health, tags: 0, counts, link });
        Ok(())
    }

    /// Starts the connections of a site, all at once; each with the number of its tags.
    pub(crate) fn connect(
        &mut self,
        connections: Vec<(Box<dyn Connection>, usize)>,
        intake: &Arc<dyn Intake>,
    ) -> Result<(), RuntimeError> {
        if connections.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(RESOLVERS)
            .thread_name("ducto-field")
            .enable_all()
            .build()?;
        for (connection, tags) in connections {
            let name = connection.name();
            let link = connection.link();
            let health = Arc::new(Health::default());
            let counts = Arc::new(Counts::default());
            let intake: Arc<dyn Intake> = Arc::new(Counted::new(intake.clone(), counts.clone()));
            runtime.spawn(keep(connection, intake, Restarts::new(name.clone(), health.clone())));
            self.running.push(Running { name, thread: None, health, tags, counts, link });
        }
        self.connections = Some(runtime);
        Ok(())
    }

    pub(crate) fn status(&self) -> Vec<FeederStatus> {
        self.running
            .iter()
            .map(|running| FeederStatus {
                name: running.name.clone(),
                tags: running.tags,
                rows: running.counts.rows(),
                refused_rows: running.counts.refused_rows(),
                link: running.link.as_ref().map(|link| link.report()),
                failures: running.health.failures.load(Ordering::Relaxed),
                ended: running.health.ended.load(Ordering::Acquire),
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
        if let Some(runtime) = self.connections.take() {
            // Tasks are dropped where they wait. A name being resolved blocks a thread that is not waited for.
            runtime.shutdown_timeout(PATIENCE);
        }
        for running in self.running.drain(..) {
            if let Some(thread) = running.thread {
                let _ = thread.join();
            }
        }
    }
}

/// Runs a connection until its input ends, again and again where it fails.
async fn keep(mut connection: Box<dyn Connection>, intake: Arc<dyn Intake>, mut restarts: Restarts) {
    loop {
        let started = Instant::now();
        let error = match caught(connection.run(&intake)).await {
            Ok(Ok(())) => break,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        let pause = restarts.failed(started.elapsed(), &error);
        tokio::time::sleep(pause).await;
    }
    restarts.health.ended.store(true, Ordering::Release);
}

/// A future whose panic becomes an error.
async fn caught(mut polling: Polling<'_>) -> Result<Result<(), ducto_graph::operator::NodeError>, String> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| polling.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use ducto_graph::operator::{IntakeError, NodeError};
    use ducto_record::{Micros, Part};

    use super::*;

    struct NoIntake;

    impl Intake for NoIntake {
        fn offer(&self, _part: Part) -> Result<(), IntakeError> {
            Ok(())
        }
        fn offer_waiting(&self, _part: Part) -> Result<(), IntakeError> {
            Ok(())
        }
        fn enter_at(&self, _time: Micros, _parts: Vec<Part>) -> Result<(), IntakeError> {
            Ok(())
        }
        fn now(&self) -> Micros {
            0
        }
    }

    /// Tells that it runs; fails as many times as it is told to, in turn by an error and by a panic, then waits.
    struct Failing {
        failures: u32,
        runs: Sender<u32>,
    }

    impl Connection for Failing {
        fn run<'a>(&'a mut self, _intake: &'a Arc<dyn Intake>) -> Polling<'a> {
            Box::pin(async move {
                self.runs.send(self.failures).unwrap();
                match self.failures {
                    0 => std::future::pending::<()>().await,
                    odd if odd % 2 == 1 => {
                        self.failures -= 1;
                        return Err(NodeError::text("failed"));
                    }
                    _ => {
                        self.failures -= 1;
                        panic!("on purpose");
                    }
                }
                Ok(())
            })
        }

        fn name(&self) -> String {
            format!("failing {}", self.failures)
        }
    }

    #[test]
    fn a_connection_that_fails_runs_again_and_a_stop_ends_it() {
        let (runs, ran) = channel();
        let connections: Vec<Box<dyn Connection>> =
            vec![Box::new(Failing { failures: 2, runs: runs.clone() }), Box::new(Failing { failures: 0, runs })];
        let connections = connections.into_iter().map(|connection| (connection, 1)).collect();
        let intake: Arc<dyn Intake> = Arc::new(NoIntake);
        let mut feeders = Feeders::default();
        feeders.connect(connections, &intake).unwrap();
        let mut seen: Vec<u32> = (0..4).map(|_| ran.recv_timeout(Duration::from_secs(30)).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 0, 1, 2]);
        let status = feeders.status();
        assert_eq!(status.iter().map(|status| status.failures).collect::<Vec<_>>(), [2, 0]);
        assert!(status.iter().all(|status| !status.ended));
        feeders.stop();
        assert!(ran.recv().is_err(), "the tasks are gone, and their senders with them");
    }
}
