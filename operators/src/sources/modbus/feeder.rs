//! One thread per endpoint: polls all its units in turn over one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ducto_graph::operator::{Feeder, Intake, IntakeError, NodeError};
use ducto_record::{Origin, Part, Quality};
use modbus::client::Error;
use modbus::{Client, Exception, Options, Read, Response};
use tokio::task::JoinHandle;

use super::breaker::{Backoff, Quiet};
use super::group::{Group, quality_of};

/// How often the stop flag is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Answers in a row that may fail to come, from whatever unit, before the connection is taken for dead.
const SILENT: u32 = 3;

/// A device behind the endpoint.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) id: u8,
    pub(super) response_timeout: Duration,
    breaker: Backoff,
}

impl Unit {
    pub(super) fn new(id: u8, response_timeout: Duration) -> Self {
        // One lost answer opens nothing: radios lose some.
        let breaker = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), 1);
        Self { id, response_timeout, breaker }
    }
}

pub(super) struct ModbusFeeder {
    /// `host:port`.
    pub(super) address: String,
    pub(super) options: Options,
    pub(super) units: Vec<Unit>,
    pub(super) groups: Vec<Group>,
    link: Link,
    quiet: Quiet,
}

/// The connection, or the way to it.
struct Link {
    client: Option<Client>,
    connecting: Option<JoinHandle<Result<Client, Error>>>,
    backoff: Backoff,
    /// A connection was there once.
    ever: bool,
    /// An attempt has failed.
    refused: bool,
    /// Answers in a row that did not come.
    silent: u32,
}

/// What a request came to.
enum Answer {
    Response(Response),
    Error(Error),
    /// The unit's own time is over, before the connection's.
    Timeout,
    Stopped,
}

impl ModbusFeeder {
    pub(super) fn new(address: String, options: Options, units: Vec<Unit>, groups: Vec<Group>) -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30), 0);
        let link = Link { client: None, connecting: None, backoff, ever: false, refused: false, silent: 0 };
        Self { address, options, units, groups, link, quiet: Quiet::default() }
    }

    async fn poll(&mut self, intake: &Arc<dyn Intake>, stop: &AtomicBool) {
        let now = Instant::now();
        for group in &mut self.groups {
            group.due = now;
            tracing::debug!(address = self.address, unit = self.units[group.unit].id, plan = %group.plan(), "poll group");
        }
        while !stop.load(Ordering::Relaxed) {
            self.connect().await;
            let now = Instant::now();
            let Some(index) = (0..self.groups.len()).min_by_key(|index| self.groups[*index].due) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            let wait = self.groups[index].due.saturating_duration_since(now);
            if !wait.is_zero() {
                self.wait(wait.min(LOOK)).await;
                continue;
            }
            let time = intake.now();
            self.scan(index, stop).await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let group = &mut self.groups[index];
            for samples in group.samples(time) {
                match intake.offer(Part::Samples { origin: Origin::Field, samples }) {
                    Ok(()) => {}
                    Err(error @ IntakeError::Full { .. }) => {
                        if let Some(count) = self.quiet.count(0, "memory full", Instant::now()) {
                            tracing::warn!(address = self.address, count, "{error}");
                        }
                    }
                    Err(IntakeError::Stopped) => return,
                }
            }
            let missed = self.groups[index].next(Instant::now());
            if missed > 0 {
                let unit = self.units[self.groups[index].unit].id;
                if let Some(count) = self.quiet.count(unit, "overrun", Instant::now()) {
                    let period = self.groups[index].period;
                    tracing::warn!(
                        address = self.address,
                        unit,
                        count,
                        "scans every {period:?} were missed: polling takes longer; raise `scan` or read less"
                    );
                }
            }
        }
        if let Some(connecting) = self.link.connecting.take() {
            connecting.abort();
        }
    }

    /// Sleeps, or until a connection is there.
    async fn wait(&mut self, wait: Duration) {
        match &mut self.link.connecting {
            None => tokio::time::sleep(wait).await,
            Some(connecting) => {
                if let Ok(result) = tokio::time::timeout(wait, connecting).await {
                    self.link.connecting = None;
                    self.connected(result.ok());
                }
            }
        }
    }

    /// Begins to connect where that is due, and takes a connection that is there; waits for neither.
    async fn connect(&mut self) {
        if self.link.connecting.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(connecting) = self.link.connecting.take()
        {
            self.connected(connecting.await.ok());
        }
        if self.link.client.is_none() && self.link.connecting.is_none() && self.link.backoff.allows(Instant::now()) {
            let (address, options) = (self.address.clone(), self.options);
            self.link.connecting = Some(tokio::spawn(async move { Client::connect(&address, options).await }));
        }
    }

    fn connected(&mut self, result: Option<Result<Client, Error>>) {
        let now = Instant::now();
        match result {
            Some(Ok(client)) => {
                tracing::info!(address = self.address, "connected");
                self.link.client = Some(client);
                self.link.ever = true;
                self.link.silent = 0;
                // What had to do without is read at once.
                for group in &mut self.groups {
                    group.due = now;
                }
            }
            Some(Err(error)) => {
                self.link.refused = true;
                let pause = self.link.backoff.failed(now);
                if let Some(count) = self.quiet.count(0, "connect", now) {
                    tracing::warn!(address = self.address, count, "{error}; tried again in {pause:.0?}");
                }
            }
            // The task was aborted or panicked.
            None => {
                self.link.backoff.failed(now);
            }
        }
    }

    /// Reads a group's tags. Afterwards each has a value, or a quality that says why not.
    async fn scan(&mut self, index: usize, stop: &AtomicBool) {
        let now = Instant::now();
        let unit = self.groups[index].unit;
        if self.link.client.is_none() {
            let quality = match (self.link.ever, self.link.refused) {
                (true, _) => Quality::COMM_FAILURE,
                (false, true) => Quality::NOT_CONNECTED,
                (false, false) => Quality::WAITING,
            };
            return self.groups[index].begin(quality);
        }
        if !self.units[unit].breaker.allows(now) {
            return self.groups[index].begin(Quality::COMM_FAILURE);
        }
        let mut reads = self.groups[index].begin_reading(now);
        reads.reverse();
        while let Some(read) = reads.pop() {
            match self.request(unit, &read, stop).await {
                Answer::Stopped => return,
                Answer::Response(response) => {
                    self.alive(unit);
                    self.groups[index].store(&read, &response);
                }
                Answer::Timeout => {
                    let after = self.units[unit].response_timeout;
                    let message = format!("no answer within {after:?}; check the unit id, or raise `response_timeout`");
                    self.silent(unit, &message);
                    return;
                }
                Answer::Error(error) => {
                    if !self.failed(index, &read, error, &mut reads) {
                        return;
                    }
                }
            }
        }
    }

    async fn request(&mut self, unit: usize, read: &Read, stop: &AtomicBool) -> Answer {
        let Some(client) = &mut self.link.client else { return Answer::Timeout };
        let unit = &self.units[unit];
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let request = read.request();
        // The pause between requests does not count as waiting for an answer.
        let patience = unit.response_timeout + self.options.pause_between_requests + self.options.pause_after_connect;
        tokio::select! {
            answer = tokio::time::timeout(patience, client.request(unit.id, &request)) => match answer {
                Ok(Ok(response)) => Answer::Response(response),
                Ok(Err(error)) => Answer::Error(error),
                Err(_) => Answer::Timeout,
            },
            () = stopped => Answer::Stopped,
        }
    }

    /// A unit has answered.
    fn alive(&mut self, unit: usize) {
        let unit = &mut self.units[unit];
        if unit.breaker.until().is_some() {
            tracing::info!(address = self.address, unit = unit.id, "the unit answers again");
        }
        unit.breaker.worked();
        self.link.backoff.worked();
        self.link.silent = 0;
    }

    /// An answer did not come: the unit is left alone for a while if that happens again, and a connection over which
    /// nothing comes any more is given up.
    fn silent(&mut self, unit: usize, message: &str) {
        let now = Instant::now();
        let Unit { id, breaker, .. } = &mut self.units[unit];
        breaker.failed(now);
        let failures = breaker.failures();
        if let Some(count) = self.quiet.count(*id, "timeout", now) {
            tracing::warn!(address = self.address, unit = id, count, failures, "{message}");
        }
        self.link.silent += 1;
        if self.link.silent >= SILENT {
            self.link.silent = 0;
            self.lost(now);
        }
    }

    fn lost(&mut self, now: Instant) {
        if let Some(client) = self.link.client.take() {
            let counters = client.counters();
            tracing::debug!(address = self.address, ?counters, "connection closed");
        }
        self.link.backoff.failed(now);
    }

    /// Takes a failed request in; says whether the scan goes on.
    fn failed(&mut self, index: usize, read: &Read, error: Error, reads: &mut Vec<Read>) -> bool {
        let now = Instant::now();
        let unit = self.groups[index].unit;
        let id = self.units[unit].id;
        let cause = match &error {
            Error::Timeout { .. } => {
                self.silent(unit, &error.to_string());
                return false;
            }
            Error::Exception { exception: Exception::IllegalDataAddress, .. } => {
                self.alive(unit);
                reads.extend(self.groups[index].refused(read, now));
                "exception 2"
            }
            Error::Exception { exception, .. } => {
                self.groups[index].fail(read, quality_of(*exception));
                match exception {
                    Exception::GatewayPathUnavailable | Exception::GatewayTargetFailedToRespond => {
                        // The gateway lives, and waited for the unit in our place.
                        self.link.backoff.worked();
                        self.link.silent = 0;
                        self.units[unit].breaker.failed(now);
                        reads.clear();
                    }
                    _ => self.alive(unit),
                }
                exception_cause(*exception)
            }
            Error::WrongUnit { .. } => {
                self.groups[index].fail(read, Quality::COMM_FAILURE);
                "wrong unit"
            }
            Error::Answer { .. } => {
                self.groups[index].fail(read, Quality::COMM_FAILURE);
                "wrong answer"
            }
            Error::Request(_) => {
                self.groups[index].fail(read, Quality::CONFIG_ERROR);
                "request"
            }
            Error::Garbage { .. } => {
                self.lost(now);
                "garbage"
            }
            Error::Io { .. } | Error::Closed { .. } | Error::Connect { .. } | Error::ConnectTimeout { .. } => {
                self.lost(now);
                "connection broken"
            }
        };
        if let Some(count) = self.quiet.count(id, cause, now) {
            tracing::warn!(address = self.address, unit = id, count, "{error}");
        }
        self.link.client.is_some()
    }
}

fn exception_cause(exception: Exception) -> &'static str {
    match exception {
        Exception::IllegalFunction => "exception 1",
        Exception::IllegalDataAddress => "exception 2",
        Exception::IllegalDataValue => "exception 3",
        Exception::DeviceFailure => "exception 4",
        Exception::Acknowledge => "exception 5",
        Exception::DeviceBusy => "exception 6",
        Exception::MemoryParityError => "exception 8",
        Exception::GatewayPathUnavailable => "exception 10",
        Exception::GatewayTargetFailedToRespond => "exception 11",
        Exception::Other(_) => "another exception",
    }
}

impl Feeder for ModbusFeeder {
    fn run(&mut self, intake: &Arc<dyn Intake>, stop: &AtomicBool) -> Result<(), NodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| NodeError::text(format!("cannot start polling {}: {error}", self.address)))?;
        // What an earlier run left belongs to its runtime.
        self.link.client = None;
        self.link.connecting = None;
        runtime.block_on(self.poll(intake, stop));
        if let Some(client) = self.link.client.take() {
            let counters = client.counters();
            tracing::debug!(address = self.address, ?counters, "polling ends");
        }
        for (unit, cause, count) in self.quiet.totals() {
            tracing::debug!(address = self.address, unit, cause, count, "over the whole run");
        }
        // A name being resolved blocks a thread that is not waited for.
        runtime.shutdown_background();
        Ok(())
    }

    fn name(&self) -> String {
        format!("modbus {}", self.address)
    }
}
