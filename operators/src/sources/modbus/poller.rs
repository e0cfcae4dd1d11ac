//! One task per endpoint: polls all its units in turn over one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::{Connection, Intake, IntakeError, Link as Watched, NodeError, Polling};
use ducto_record::{Origin, Part, Quality, Samples};
use modbus::Read;
use modbus::client::{Counters, Error};

use super::breaker::{Quiet, hash};
use super::figures::{State, Telling};
use super::group::Group;
use super::link::{Event, Link};
use super::schedule::Fair;
use super::unit::{Answer, Silence, Unit};

/// Within what time all endpoints of a site begin.
const SPREAD: Duration = Duration::from_secs(1);

mod outcome;

use outcome::Then;

pub(super) struct Poller {
    /// The endpoint.
    name: String,
    link: Link,
    /// The link's figures say so.
    told_open: bool,
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
            told_open: false,
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
        if self.link.is_open() != self.told_open {
            self.tell_link();
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
                self.groups.iter_mut().for_each(|group| group.standing.probe_silent());
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

    fn tell_link(&mut self) {
        self.told_open = self.link.is_open();
        let mut state = self.state.lock();
        (state.up, state.second, state.ever) = (self.told_open, self.link.is_second(), self.link.was_ever_up());
    }

    /// Begins the scans that are due. One that has no chance is given at once, without values.
    fn begin_due(&mut self, now: Instant, intake: &Arc<dyn Intake>) -> Result<(), Stopped> {
        let usable = self.link.is_usable();
        for index in 0..self.groups.len() {
            let group = &mut self.groups[index];
            if group.is_at_work() {
                // One that waits for a connection to be mended, or for its turn after those that answer, waits for less
                // than its period.
                let waits_in_vain = !self.link.is_up() || !lives(&self.units, group);
                if !usable || (waits_in_vain && group.timing.is_overdue(now)) {
                    self.finish(index, now, intake)?;
                }
                continue;
            }
            if !group.timing.is_due(now) {
                continue;
            }
            let alone = !self.units[group.unit].breaker.allows(now) || !group.allows(now);
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
        let rests = |group: &Group| rests_until(units, group, *silence).is_some_and(|until| until > now);
        let is_ready = |group: &Group| group.is_at_work() && !rests(group);
        let mut ready: Vec<usize> = (0..groups.len()).filter(|index| is_ready(&groups[*index])).collect();
        // Waiting in vain costs the line dearly: between two such waits whoever answers and is due has its turn.
        if let Some(Silence { ended, .. }) = *silence {
            let lives = |index: &usize| {
                let group = &groups[*index];
                lives(units, group) && group.timing.due() <= ended
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
            true if up => self.next_request.max(rests_until(&self.units, group, self.silence).unwrap_or(now)),
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
                    self.answered(index, None, round_trip);
                    self.units[unit].owes_nothing();
                    Then::Again
                }
                Ok(response) => {
                    self.answered(index, Some(read.range), round_trip);
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
        if let Some(until) = self.units[unit].breaker.until().filter(|until| *until > now) {
            // What else of the unit was under way has no chance either.
            for index in 0..self.groups.len() {
                if self.groups[index].unit == unit && self.groups[index].is_at_work() {
                    self.finish(index, now, intake)?;
                }
            }
            // Unless the unit answers some of its reads and others not: which of them is then known soon, however far
            // the next scan is.
            let unknown = self.groups.iter_mut().filter(|group| group.unit == unit && group.has_good_read());
            unknown.for_each(|group| group.timing.try_at(until));
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
        let (samples, missed) = self.groups[index].finish(now, || intake.now());
        self.missed(index, missed, now);
        self.offer(samples, intake)
    }

    /// Scans of what answers were missed.
    fn missed(&mut self, index: usize, missed: u32, now: Instant) {
        let group = &self.groups[index];
        if missed == 0 || !self.units[group.unit].answers() || !group.has_good_read() {
            return;
        }
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

/// Whether what a group asks next may be expected to be answered.
fn lives(units: &[Unit], group: &Group) -> bool {
    units[group.unit].answers() && !group.next_is_doubtful()
}

/// Until when a group is not asked for, were it its turn.
fn rests_until(units: &[Unit], group: &Group, silence: Option<Silence>) -> Option<Instant> {
    let unit = &units[group.unit];
    let rest = silence.filter(|_| unit.fails() || group.next_is_doubtful()).map(|silence| silence.rest_until);
    unit.late_until.max(rest)
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
