//! One task per endpoint: polls all its units in turn over one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::{Connection, Intake, IntakeError, Link as Watched, NodeError, Polling};
use ducto_record::{Origin, Part, Quality, Samples};
use modbus::client::{Counters, Error};
use modbus::{Exception, Read};

use super::breaker::{Quiet, hash};
use super::figures::{State, Telling, exception_name};
use super::group::{Group, quality_of};
use super::link::{Event, Link, Lost};
use super::schedule::Fair;
use super::unit::{Answer, Silence, Unit};

/// Answers in a row that may fail to come before the connection is taken for dead; one more for every so many units,
/// since several of them may be dead themselves.
const SILENT: u32 = 3;
const UNITS_PER_SILENT: u32 = 4;

/// Within what time all endpoints of a site begin.
const SPREAD: Duration = Duration::from_secs(1);

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
    silence: Option<Silence>,
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
            silence: None,
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
                // What had to do without is read at once, and silence may have been the connection's fault; not so where
                // the connection broke when that unit was asked.
                self.groups.iter_mut().for_each(|group| group.timing.hurry(now));
                self.units.iter_mut().filter(|unit| unit.state != Answer::Breaks).for_each(|unit| unit.breaker.probe());
            }
            Event::Returned => {
                tracing::info!(endpoint = self.name, "the first endpoint works again and is returned to");
            }
            Event::Failed(error, pause) => {
                if !self.link.was_ever_up() && self.state.lock().connects == 0 {
                    // Tags that still wait become those of an endpoint that cannot be reached.
                    self.groups.iter_mut().for_each(|group| group.timing.hurry(now));
                }
                if let Some(count) = self.quiet.count(0, "connect", now) {
                    let when = match pause.as_millis() {
                        0 => "at once".to_owned(),
                        _ => format!("in {pause:.1?}"),
                    };
                    tracing::warn!(endpoint = self.name, count, "{error}; tried again {when}");
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
                // One that waits for a connection to be mended, or for its turn after those that answer, waits for less
                // than its period.
                let waits_in_vain = !self.link.is_up() || !self.units[group.unit].answers();
                if !usable || (waits_in_vain && group.timing.is_overdue(now)) {
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
            let (samples, missed) = group.pass(quality, now, intake.now());
            self.missed(index, missed, now);
            // That it waits for the first connection was said at the start.
            if quality != Quality::WAITING {
                self.offer(samples, intake)?;
            }
        }
        for index in 0..self.tellings.len() {
            let telling = &mut self.tellings[index];
            if telling.timing.is_due(now) {
                telling.timing.done(now, true);
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
        let Self { groups, units, fair, silence, .. } = self;
        let rests = |unit: &Unit| unit.rests_until(*silence).is_some_and(|until| until > now);
        let is_ready = |group: &Group| group.is_at_work() && !rests(&units[group.unit]);
        let mut ready: Vec<usize> = (0..groups.len()).filter(|index| is_ready(&groups[*index])).collect();
        // Waiting in vain costs the line dearly: between two such waits whoever answers and is due has its turn.
        if let Some(Silence { ended, .. }) = *silence {
            let lives = |index: &usize| {
                let group = &groups[*index];
                units[group.unit].answers() && group.timing.due() <= ended
            };
            if ready.iter().any(lives) {
                ready.retain(lives);
            }
        }
        let next = fair.next(ready.iter().map(|index| (groups[*index].flow(), groups[*index].timing.due())))?;
        Some(ready[next])
    }

    /// Sleeps until something is due, or the way to the endpoint has changed.
    async fn wait(&mut self, now: Instant) {
        let up = self.link.is_up();
        let due = self.groups.iter().map(|group| match group.is_at_work() {
            false if group.timing.is_due(now) => now,
            false => group.timing.due(),
            true if up => self.next_request.max(self.units[group.unit].rests_until(self.silence).unwrap_or(now)),
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
        let on_line = self.link.is_line();
        let read = self.groups[index].next_read(|| intake.now());
        if let (Some(read), Some(client)) = (read, self.link.client()) {
            let sent = Instant::now();
            let proof = if on_line { self.units[unit].proof(read.range, sent) } else { None };
            let asked = proof.unwrap_or(read.range);
            let Unit { id, response_timeout, .. } = self.units[unit];
            let before = client.counters();
            let request = Read { range: asked, items: Vec::new() }.request();
            let result = client.request_within(id, &request, response_timeout).await;
            let now = Instant::now();
            let round_trip = client.round_trip();
            let counted = client.counters();
            self.next_request = sent + self.spacing;
            self.fair.charge(self.groups[index].flow(), now - sent);
            self.count(unit, &before, &counted, now - sent, now);
            if on_line && matches!(result, Err(Error::Timeout { .. })) {
                self.units[unit].is_owed(asked, now);
            }
            let then = match result {
                Ok(_) | Err(Error::Exception { .. }) if proof.is_some() => {
                    self.answered(unit, round_trip);
                    self.units[unit].owes_nothing();
                    Then::Again
                }
                Ok(response) => {
                    self.answered(unit, round_trip);
                    self.link.worked(id, request, response_timeout);
                    self.groups[index].store(&read, &response);
                    Then::Next
                }
                Err(error) => self.failed(index, &read, error, round_trip, sent, now),
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
        // The pauses begin anew only when all of a scan was answered: a unit may fail at one of its reads.
        unit.breaker.probe();
        unit.late_until = None;
        unit.state = Answer::Comes;
    }

    /// An answer did not come: the unit is left alone for a while if that happens again, and a connection over which
    /// nothing comes any more is given up.
    fn silent(&mut self, unit: usize, now: Instant) {
        let line = self.link.is_line();
        let response_timeout = self.units[unit].response_timeout;
        self.units[unit].late_until = line.then(|| now + response_timeout);
        let was_known_to_fail = self.units[unit].fails();
        self.in_vain(unit, response_timeout, now);
        // That a dead unit is still dead says nothing of the connection, as long as another answers over it.
        if !(was_known_to_fail && self.units.iter().any(Unit::answers)) {
            self.silent += 1;
        }
        let doubtful = self.link.is_doubtful();
        let patience = if doubtful { 1 } else { SILENT };
        let all_asked = doubtful || self.units.iter().all(|unit| unit.state != Answer::Unknown);
        if all_asked && self.silent >= patience + self.units.len() as u32 / UNITS_PER_SILENT {
            self.lost(now, Lost::Useless);
        }
    }

    /// The line has waited for a unit in vain.
    fn in_vain(&mut self, unit: usize, waited: Duration, now: Instant) {
        self.silence = Some(Silence { ended: now, rest_until: now + waited });
        self.fails(unit, Answer::Fails, now);
    }

    fn fails(&mut self, index: usize, how: Answer, now: Instant) {
        let unit = &mut self.units[index];
        unit.state = how;
        unit.breaker.failed(now);
        let alone = !unit.breaker.allows(now);
        self.state.unit(index, |state| (state.silent, state.alone) = (true, alone));
    }

    fn lost(&mut self, now: Instant, why: Lost) {
        self.silent = 0;
        if let Some(client) = self.link.client() {
            let counters = client.counters();
            tracing::debug!(endpoint = self.name, ?counters, "connection closed");
        }
        self.link.lost(now, why);
        self.state.lock().connects += 1;
        self.tell_link();
    }

    /// Takes a failed request in; says how the scan goes on.
    fn failed(
        &mut self,
        index: usize,
        read: &Read,
        error: Error,
        round_trip: Option<Duration>,
        sent: Instant,
        now: Instant,
    ) -> Then {
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
            Error::Closed { .. } => {
                // It was found closed before anything was sent: nobody's fault who is behind it.
                self.lost(now, Lost::Broke);
                ("connection broken", if self.link.is_usable() { Then::Again } else { Then::GiveUp })
            }
            error => {
                // Whoever was asked may be why the gateway hung up, or why nothing on the connection makes sense any
                // more: twice in a row, and it is left alone for a while. The others go on, if there are any.
                let garbage = matches!(error, Error::Garbage { .. });
                self.silence = Some(Silence { ended: now, rest_until: now + (now - sent) });
                self.fails(unit, Answer::Breaks, now);
                self.lost(now, if self.units.iter().any(Unit::answers) { Lost::Unit } else { Lost::Broke });
                let retried = self.link.is_usable() && !garbage && self.units[unit].breaker.allows(now);
                (
                    if garbage { "garbage" } else { "connection broken" },
                    if retried { Then::Again } else { Then::GiveUp },
                )
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
            Exception::IllegalDataAddress | Exception::IllegalDataValue => {
                self.answered(unit, round_trip);
                if !self.groups[index].refused(read, exception, now) {
                    // A hole between tags: the plan reads around it from now on, and no tag is without a value.
                    return (Then::Next, false);
                }
                Then::Next
            }
            Exception::GatewayPathUnavailable | Exception::GatewayTargetFailedToRespond => {
                // The gateway lives.
                self.silent = 0;
                self.groups[index].fail(read, quality_of(exception));
                // It waited for the unit in our place.
                self.in_vain(unit, round_trip.unwrap_or_default(), now);
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
        if let Some(longest) = self.groups[index].learn_length(now) {
            let unit = self.units[self.groups[index].unit].id;
            tracing::warn!(
                endpoint = self.name,
                unit,
                "the device refuses long reads, and answered one of {longest}: none is longer for the next ten minutes; \
                 set `max_registers: {longest}` (`max_bits` for coils and discrete inputs)"
            );
        }
        if self.groups[index].is_whole() {
            self.units[self.groups[index].unit].breaker.worked();
        }
        let (samples, missed) = self.groups[index].finish(now, || intake.now());
        self.missed(index, missed, now);
        self.offer(samples, intake)
    }

    /// Scans of a unit that answers were missed.
    fn missed(&mut self, index: usize, missed: u32, now: Instant) {
        if missed == 0 || !self.units[self.groups[index].unit].answers() {
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
