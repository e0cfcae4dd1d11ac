//! What a request comes to, and what that says of the read, its unit and the connection.

use std::time::{Duration, Instant};

use ducto_record::Quality;
use modbus::client::Error;
use modbus::{Exception, Item, Read};

use super::super::figures::exception_name;
use super::super::group::quality_of;
use super::super::link::Lost;
use super::super::unit::{Answer, Silence, Unit, rest_of_the_dead};
use super::Poller;

/// Answers in a row that may fail to come before the connection is taken for dead; one more for every so many units,
/// since several of them may be dead themselves.
const SILENT: u32 = 3;
const UNITS_PER_SILENT: u32 = 4;

/// How a scan goes on after one of its requests.
pub(super) enum Then {
    Next,
    /// The rest of the scan has no chance.
    GiveUp,
    /// The request was not sent.
    Again,
}

impl Poller {
    /// A unit has answered a read, with an exception perhaps, or has proved that it lives.
    pub(super) fn answered(&mut self, index: usize, range: Option<Item>, round_trip: Option<Duration>) {
        self.silent = 0;
        let number = self.groups[index].unit;
        let back = range.filter(|range| self.groups[index].standing.answered(*range));
        let unit = &mut self.units[number];
        let failed = unit.fails();
        unit.breaker.worked();
        unit.late_until = None;
        unit.state = Answer::Comes;
        let of_unit = || self.groups.iter().filter(|group| group.unit == number);
        let partly = back.is_some() && of_unit().any(|group| group.standing.leaves_alone());
        let mut alone = false;
        self.state.unit(number, |state| {
            alone = state.alone;
            state.answered(round_trip);
            state.partly &= back.is_none() || partly;
        });
        let (endpoint, unit) = (&self.name, unit.id);
        if failed {
            let of_unit = self.groups.iter_mut().filter(|group| group.unit == number);
            of_unit.for_each(|group| group.standing.probe());
        }
        if alone {
            tracing::info!(endpoint, unit, "the unit answers again");
        } else if let Some(range) = back {
            let Item { table, offset, count } = range;
            tracing::info!(endpoint, unit, ?table, offset, count, "the unit answers this read again");
        }
    }

    /// An answer did not come: the unit is left alone for a while if that happens again, and a connection over which
    /// nothing comes any more is given up.
    fn silent(&mut self, index: usize, range: Item, now: Instant) {
        let line = self.link.is_line();
        let unit = self.groups[index].unit;
        let response_timeout = self.units[unit].response_timeout;
        self.units[unit].late_until = line.then(|| now + response_timeout);
        let was_known_to_fail = self.units[unit].fails() || !self.groups[index].standing.is_good(range);
        self.in_vain(index, range, response_timeout, now);
        // That a dead unit or read is still dead says nothing of the connection, as long as another answers over it.
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
    fn in_vain(&mut self, index: usize, range: Item, waited: Duration, now: Instant) {
        self.fails(index, range, Answer::Fails, waited, now);
    }

    /// How long whoever is left alone rests at least, after the line has `waited` for it in vain.
    fn rest_after(&self, waited: Duration) -> Duration {
        let living = self.groups.iter().filter(|group| self.units[group.unit].answers() && group.has_good_read());
        let fastest = living.map(|group| group.timing.period()).min();
        // A dead unit is one, however many reads it has.
        let units = self.units.iter().enumerate().map(|(number, unit)| match unit.breaker.failures() > 1 {
            true => 1,
            false => self.groups.iter().filter(|group| group.unit == number).map(|group| group.standing.alone()).sum(),
        });
        rest_of_the_dead(waited, fastest, units.sum())
    }

    /// A read was not answered. It speaks against the unit where it was answered the last time, or where nothing else of
    /// the unit is; else against itself alone.
    fn fails(&mut self, index: usize, range: Item, how: Answer, waited: Duration, now: Instant) {
        self.silence = Some(Silence { ended: now, rest_until: now + waited });
        let rest = self.rest_after(waited);
        let number = self.groups[index].unit;
        let Item { table, offset, count } = range;
        let name = format!("{} {} {table:?} {offset} {count}", self.name, self.units[number].id);
        let standing = &mut self.groups[index].standing;
        let was_good = standing.is_good(range);
        standing.failed(range, how == Answer::Breaks, &name, now, rest);
        let left_alone = !standing.allows(range, now);
        let others = self.groups.iter().any(|group| group.unit == number && group.has_good_read());
        let unit = &mut self.units[number];
        if was_good || !others {
            unit.breaker.failed(now);
            unit.breaker.rest(now + rest);
        }
        let alone = !unit.breaker.allows(now);
        if alone || !others || unit.state == Answer::Unknown {
            unit.state = how;
        }
        let (silent, partly) = (unit.fails(), left_alone && others);
        self.state.unit(number, |state| {
            (state.silent, state.alone) = (silent, alone);
            state.partly |= partly;
        });
        if let Some(count_of_times) = partly.then(|| self.quiet.count(unit.id, "read", now)).flatten() {
            tracing::warn!(
                endpoint = self.name,
                unit = unit.id,
                ?table,
                offset,
                count,
                times = count_of_times,
                "the unit does not answer this read: it alone is left out for a while; see whether the device has \
                 these registers, or read them with another `max_registers`"
            );
        }
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
    pub(super) fn failed(
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
                self.silent(index, read.range, now);
                ("timeout", Then::Next)
            }
            Error::Corrupt { .. } => {
                self.silent(index, read.range, now);
                ("crc", Then::Next)
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
                self.fails(index, read.range, Answer::Breaks, now - sent, now);
                self.lost(now, if self.units.iter().any(Unit::answers) { Lost::Unit } else { Lost::Broke });
                let left_alone = !self.groups[index].standing.allows(read.range, now);
                let retried = self.link.is_usable() && !garbage && !left_alone;
                let cause = if garbage { "garbage" } else { "connection broken" };
                (cause, if retried { Then::Again } else { Then::Next })
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
        let then = match exception {
            Exception::IllegalDataAddress | Exception::IllegalDataValue => {
                self.answered(index, Some(read.range), round_trip);
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
                self.in_vain(index, read.range, round_trip.unwrap_or_default(), now);
                Then::Next
            }
            _ => {
                self.answered(index, Some(read.range), round_trip);
                self.groups[index].fail(read, quality_of(exception));
                Then::Next
            }
        };
        (then, true)
    }
}
