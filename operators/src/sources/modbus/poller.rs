//! One task per endpoint: polls all its units in turn over one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::{Connection, Intake, IntakeError, Link as Watched, NodeError, Polling};
use ducto_record::{Origin, Part, Quality, Samples};
use modbus::client::{Counters, Error};
use modbus::{Exception, Read};

use super::breaker::{Backoff, Quiet, hash};
use super::figures::{State, Telling, exception_name};
use super::group::{Group, quality_of};
use super::link::{Event, Link};
use super::schedule::Fair;

/// Answers in a row that may fail to come before the connection is taken for dead; one more for every so many units,
/// since several of them may be dead themselves.
const SILENT: u32 = 3;
const UNITS_PER_SILENT: u32 = 4;

/// Within what time all endpoints of a site begin.
const SPREAD: Duration = Duration::from_secs(1);

/// A device behind the endpoint.
#[derive(Debug)]
pub(super) struct Unit {
    id: u8,
    response_timeout: Duration,
    breaker: Backoff,
    /// Its late answer may come until then, and could pass for the one to another request.
    rests_until: Option<Instant>,
}

impl Unit {
    /// `endpoint` is its name.
    pub(super) fn new(id: u8, response_timeout: Duration, endpoint: &str) -> Self {
        // One lost answer opens nothing: radios lose some.
        let name = format!("{endpoint} {id}");
        let breaker = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), 1, &name);
        Self { id, response_timeout, breaker, rests_until: None }
    }
}

pub(super) struct Poller {
    /// The endpoint.
    name: String,
    link: Link,
    units: Vec<Unit>,
    groups: Vec<Group>,
    tellings: Vec<Telling>,
    fair: Fair,
    /// The least time from request to request: the poll budget.
    spacing: Duration,
    next_request: Instant,
    /// Answers in a row that did not come.
    silent: u32,
    state: Arc<State>,
    quiet: Quiet,
}

/// The site is stopping.
struct Stopped;

/// How a scan goes on after one of its requests.
enum Then {
    Next,
    /// The rest of the scan has no chance.
    GiveUp,
    /// The request was not sent.
    Again,
}

/// What a poller is made of.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) link: Link,
    pub(super) units: Vec<Unit>,
    pub(super) groups: Vec<Group>,
    pub(super) tellings: Vec<Telling>,
    pub(super) spacing: Duration,
}

/// When a group of an endpoint is due first, counted from the start: spread by the endpoint's name, so that many
/// endpoints do not want everything at once.
pub(super) fn phase(name: &str, period: Duration) -> Duration {
    let share = (hash(name) >> 32) as f64 / f64::from(u32::MAX);
    period.mul_f64(share)
}

impl Poller {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { name, link, units, groups, tellings, spacing } = parts;
        Self {
            fair: Fair::new(units.len()),
            state: State::new(units.len()),
            name,
            link,
            units,
            groups,
            tellings,
            spacing,
            next_request: Instant::now(),
            silent: 0,
            quiet: Quiet::default(),
        }
    }

    async fn poll(&mut self, intake: &Arc<dyn Intake>) -> Result<(), NodeError> {
        // The first run, or one after a failure: what that left behind is forgotten.
        self.link.reset();
        for index in 0..self.groups.len() {
            let group = &mut self.groups[index];
            tracing::debug!(endpoint = self.name, unit = self.units[group.unit].id, plan = %group.plan(), "poll group");
            group.drop_work();
            let samples = group.without_values(Quality::WAITING, intake.now());
            if self.offer(samples, intake).is_err() {
                return Ok(());
            }
        }
        let fastest = self.groups.iter().map(|group| group.timing.period()).min().unwrap_or(SPREAD);
        tokio::time::sleep(phase(&self.name, fastest.min(SPREAD))).await;
        while self.turn(intake).await.is_ok() {}
        for (unit, cause, count) in self.quiet.totals() {
            tracing::debug!(endpoint = self.name, unit, cause, count, "over the whole run");
        }
        Ok(())
    }

    /// Makes one request, or waits until there is something to do.
    async fn turn(&mut self, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        let now = Instant::now();
        if let Some(event) = self.link.step(now).await {
            self.took(event, now);
        }
        self.begin_due(now, intake)?;
        match self.choose(now) {
            Some(group) => self.ask(group, intake).await,
            None => {
                self.wait(now).await;
                Ok(())
            }
        }
    }

    /// What has become of the way to the endpoint.
    fn took(&mut self, event: Event, now: Instant) {
        self.silent = 0;
        match event {
            Event::Connected => {
                tracing::info!(
                    endpoint = self.name,
                    over = self.link.endpoint().map(tracing::field::display),
                    "connected"
                );
                // What had to do without is read at once, and silence may have been the connection's fault.
                self.groups.iter_mut().for_each(|group| group.timing.hurry());
                self.units.iter_mut().for_each(|unit| unit.breaker.probe());
            }
            Event::Returned => {
                tracing::info!(endpoint = self.name, "the first endpoint works again and is returned to");
            }
            Event::Failed(error, pause) => {
                if !self.link.was_ever_up() && self.state.lock().connects == 0 {
                    // Tags that still wait become those of an endpoint that cannot be reached.
                    self.groups.iter_mut().for_each(|group| group.timing.hurry());
                }
                if let Some(count) = self.quiet.count(0, "connect", now) {
                    tracing::warn!(endpoint = self.name, count, "{error}; tried again in {pause:.0?}");
                }
                let mut state = self.state.lock();
                state.connects += 1;
                state.last_error = Some(error.to_string());
            }
        }
        self.tell_link();
    }

    fn tell_link(&self) {
        let mut state = self.state.lock();
        (state.up, state.second, state.ever) = (self.link.is_up(), self.link.is_second(), self.link.was_ever_up());
    }

    /// Begins the scans that are due. One that has no chance is given at once, without values.
    fn begin_due(&mut self, now: Instant, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        let usable = self.link.is_usable();
        for index in 0..self.groups.len() {
            let group = &mut self.groups[index];
            if group.is_at_work() {
                // One that waits for a connection to be mended waits for less than its period.
                if !usable || (!self.link.is_up() && group.timing.is_overdue(now)) {
                    self.finish(index, now, intake)?;
                }
                continue;
            }
            if !group.timing.is_due(now) {
                continue;
            }
            let alone = !self.units[group.unit].breaker.allows(now);
            if usable && !alone {
                group.begin(now);
                self.fair.wake(group.flow());
                continue;
            }
            let quality = if usable { Quality::COMM_FAILURE } else { self.link.quality() };
            let samples = group.without_values(quality, intake.now());
            self.passed(index, now);
            self.offer(samples, intake)?;
        }
        for index in 0..self.tellings.len() {
            let telling = &mut self.tellings[index];
            if telling.timing.is_due(now) {
                telling.timing.done(now);
                let without = if self.link.is_up() { Quality::WAITING } else { self.link.quality() };
                let samples = telling.samples(&self.state, without, intake.now());
                self.offer(samples, intake)?;
            }
        }
        Ok(())
    }

    /// The group to ask for next.
    fn choose(&mut self, now: Instant) -> Option<usize> {
        if !self.link.is_up() || now < self.next_request {
            return None;
        }
        let Self { groups, units, fair, .. } = self;
        let rests = |unit: usize| units[unit].rests_until.is_some_and(|until| until > now);
        let ready: Vec<usize> =
            (0..groups.len()).filter(|index| groups[*index].is_at_work() && !rests(groups[*index].unit)).collect();
        let next = fair.next(ready.iter().map(|index| (groups[*index].flow(), groups[*index].timing.due())))?;
        Some(ready[next])
    }

    /// Sleeps until something is due, or the way to the endpoint has changed.
    async fn wait(&mut self, now: Instant) {
        let up = self.link.is_up();
        let due = self.groups.iter().map(|group| match group.is_at_work() {
            false if group.timing.is_due(now) => now,
            false => group.timing.due(),
            true if up => self.next_request.max(self.units[group.unit].rests_until.unwrap_or(now)),
            true => group.timing.due() + group.timing.period(),
        });
        let told = self.tellings.iter().map(|telling| telling.timing.due());
        let until = due.chain(told).chain(self.link.next_step(now)).min();
        let changed = self.link.changed();
        match until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until.into(), changed).await;
            }
            None => changed.await,
        }
    }

    /// Makes the next request of a group's scan.
    async fn ask(&mut self, index: usize, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        let unit = self.groups[index].unit;
        let read = self.groups[index].next_read(|| intake.now());
        if let (Some(read), Some(client)) = (read, self.link.client()) {
            let Unit { id, response_timeout, .. } = self.units[unit];
            let before = client.counters();
            let request = read.request();
            let sent = Instant::now();
            let result = client.request_within(id, &request, response_timeout).await;
            let now = Instant::now();
            let round_trip = client.round_trip();
            let counted = client.counters();
            self.next_request = sent + self.spacing;
            self.fair.charge(self.groups[index].flow(), now - sent);
            self.count(unit, &before, &counted, now - sent, now);
            let then = match result {
                Ok(response) => {
                    self.answered(unit, round_trip);
                    self.link.worked(id, request, response_timeout);
                    self.groups[index].store(&read, &response);
                    Then::Next
                }
                Err(error) => self.failed(index, &read, error, round_trip, now),
            };
            match then {
                Then::Next => {}
                Then::Again => self.groups[index].put_back(read),
                Then::GiveUp => self.finish(index, now, intake)?,
            }
        }
        let now = Instant::now();
        if self.groups[index].is_done() {
            self.finish(index, now, intake)?;
        }
        if !self.units[unit].breaker.allows(now) {
            // What else of the unit was under way has no chance either.
            for index in 0..self.groups.len() {
                if self.groups[index].unit == unit && self.groups[index].is_at_work() {
                    self.finish(index, now, intake)?;
                }
            }
        }
        Ok(())
    }

    fn count(&self, unit: usize, before: &Counters, after: &Counters, took: Duration, now: Instant) {
        let mut state = self.state.lock();
        state.busy.add(took, now);
        if let Some(unit) = state.units.get_mut(unit) {
            unit.requests += after.requests - before.requests;
            unit.corrupt += (after.crc_errors + after.garbage) - (before.crc_errors + before.garbage);
            unit.foreign += after.foreign() - before.foreign();
        }
    }

    /// A unit has answered, an exception perhaps.
    fn answered(&mut self, unit: usize, round_trip: Option<Duration>) {
        self.silent = 0;
        let mut alone = false;
        self.state.unit(unit, |state| {
            alone = state.alone;
            state.answered(round_trip);
        });
        let unit = &mut self.units[unit];
        if alone {
            tracing::info!(endpoint = self.name, unit = unit.id, "the unit answers again");
        }
        unit.breaker.worked();
        unit.rests_until = None;
    }

    /// An answer did not come: the unit is left alone for a while if that happens again, and a connection over which
    /// nothing comes any more is given up.
    fn silent(&mut self, unit: usize, now: Instant) {
        let line = self.link.is_line();
        let Unit { breaker, rests_until, response_timeout, .. } = &mut self.units[unit];
        breaker.failed(now);
        *rests_until = line.then(|| now + *response_timeout);
        let alone = !breaker.allows(now);
        self.state.unit(unit, |state| (state.silent, state.alone) = (true, alone));
        self.silent += 1;
        let patience = if self.link.is_doubtful() { 1 } else { SILENT };
        if self.silent >= patience + self.units.len() as u32 / UNITS_PER_SILENT {
            self.lost(now, false);
        }
    }

    fn lost(&mut self, now: Instant, broke: bool) {
        self.silent = 0;
        if let Some(client) = self.link.client() {
            let counters = client.counters();
            tracing::debug!(endpoint = self.name, ?counters, "connection closed");
        }
        self.link.lost(now, broke);
        self.state.lock().connects += 1;
        self.tell_link();
    }

    /// Takes a failed request in; says how the scan goes on.
    fn failed(&mut self, index: usize, read: &Read, error: Error, round_trip: Option<Duration>, now: Instant) -> Then {
        let unit = self.groups[index].unit;
        let id = self.units[unit].id;
        let text = error.to_string();
        let (cause, then) = match error {
            Error::Timeout { .. } => {
                self.state.unit(unit, |state| state.timeouts += 1);
                self.silent(unit, now);
                ("timeout", Then::GiveUp)
            }
            Error::Corrupt { .. } => {
                self.silent(unit, now);
                ("crc", Then::GiveUp)
            }
            Error::Exception { exception, .. } => {
                let response_timeout = self.units[unit].response_timeout;
                self.link.worked(id, read.request(), response_timeout);
                let (then, hurts) = self.refused(index, read, exception, round_trip, now);
                if !hurts {
                    tracing::debug!(endpoint = self.name, unit = id, "{text}; the parts are read one by one");
                    return then;
                }
                self.state.unit(unit, |state| state.exception(exception));
                (exception_name(if matches!(exception, Exception::Other(_)) { 0 } else { exception.code() }), then)
            }
            Error::WrongUnit { .. } => {
                self.groups[index].fail(read, Quality::COMM_FAILURE);
                ("wrong unit", Then::Next)
            }
            Error::Answer { .. } => {
                self.groups[index].fail(read, Quality::COMM_FAILURE);
                ("wrong answer", Then::Next)
            }
            Error::Request(_) => {
                self.groups[index].fail(read, Quality::CONFIG_ERROR);
                ("request", Then::Next)
            }
            Error::Garbage { .. } => {
                self.lost(now, false);
                ("garbage", Then::GiveUp)
            }
            _ => {
                self.lost(now, true);
                ("connection broken", if self.link.is_usable() { Then::Again } else { Then::GiveUp })
            }
        };
        if let Some(count) = self.quiet.count(id, cause, now) {
            tracing::warn!(endpoint = self.name, unit = id, count, "{text}");
        }
        self.state.lock().last_error = Some(text);
        then
    }

    /// A device, or the gateway before it, refused a read. Also says whether a tag is without a value for it.
    fn refused(
        &mut self,
        index: usize,
        read: &Read,
        exception: Exception,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> (Then, bool) {
        let unit = self.groups[index].unit;
        let then = match exception {
            Exception::IllegalDataAddress => {
                self.answered(unit, round_trip);
                if !self.groups[index].refused(read, now) {
                    // A hole between tags: the plan reads around it from now on, and no tag is without a value.
                    return (Then::Next, false);
                }
                Then::Next
            }
            Exception::GatewayPathUnavailable | Exception::GatewayTargetFailedToRespond => {
                // The gateway lives, and waited for the unit in our place.
                self.silent = 0;
                self.groups[index].fail(read, quality_of(exception));
                let breaker = &mut self.units[unit].breaker;
                breaker.failed(now);
                let alone = !breaker.allows(now);
                self.state.unit(unit, |state| (state.silent, state.alone) = (true, alone));
                Then::GiveUp
            }
            _ => {
                self.answered(unit, round_trip);
                self.groups[index].fail(read, quality_of(exception));
                Then::Next
            }
        };
        (then, true)
    }

    /// Ends a group's scan and offers it.
    fn finish(&mut self, index: usize, now: Instant, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        let (samples, missed) = self.groups[index].finish(now, || intake.now());
        self.missed(index, missed, now);
        self.offer(samples, intake)
    }

    /// A scan is over of which nothing was read.
    fn passed(&mut self, index: usize, now: Instant) {
        let missed = self.groups[index].timing.done(now);
        self.missed(index, missed, now);
    }

    fn missed(&mut self, index: usize, missed: u32, now: Instant) {
        if missed == 0 {
            return;
        }
        let group = &self.groups[index];
        let (unit, period) = (group.unit, group.timing.period());
        self.state.unit(unit, |state| state.overruns += u64::from(missed));
        let unit = self.units[unit].id;
        if let Some(count) = self.quiet.count(unit, "overrun", now) {
            tracing::warn!(
                endpoint = self.name,
                unit,
                count,
                "scans every {period:?} were missed: polling takes longer; raise `scan` or read less"
            );
        }
    }

    fn offer(&mut self, samples: Vec<Samples>, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        for samples in samples {
            match intake.offer(Part::Samples { origin: Origin::Field, samples }) {
                Ok(()) => {}
                Err(error @ IntakeError::Full { .. }) => {
                    if let Some(count) = self.quiet.count(0, "memory full", Instant::now()) {
                        tracing::warn!(endpoint = self.name, count, "{error}");
                    }
                }
                Err(IntakeError::Stopped) => return Err(Stopped),
            }
        }
        Ok(())
    }
}

impl Connection for Poller {
    fn run<'a>(&'a mut self, intake: &'a Arc<dyn Intake>) -> Polling<'a> {
        Box::pin(self.poll(intake))
    }

    fn name(&self) -> String {
        format!("modbus {}", self.name)
    }

    fn link(&self) -> Option<Arc<dyn Watched>> {
        Some(self.state.clone())
    }
}
