//! Which reads of a poll group fail by themselves: a device may hang, or hang up, at one of them and answer the others.

use std::time::{Duration, Instant};

use modbus::Item;

use super::breaker::Backoff;

/// Pauses before what does not answer is asked again, a unit or one of its reads.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The breaker of a unit, or of a read. `of` names it. One lost answer opens nothing: radios lose some.
pub(super) fn breaker(of: &str) -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, 1, of)
}

/// The reads that were not answered when they were last asked. All others are in good standing.
#[derive(Debug, Default)]
pub(super) struct Standing {
    failing: Vec<Failing>,
}

#[derive(Debug)]
struct Failing {
    range: Item,
    breaker: Backoff,
    /// The connection broke when it was asked.
    breaks: bool,
}

impl Standing {
    fn of(&self, range: Item) -> Option<&Failing> {
        self.failing.iter().find(|failing| failing.range == range)
    }

    pub(super) fn is_good(&self, range: Item) -> bool {
        self.of(range).is_none()
    }

    /// Whether it is to be asked now; that of one left alone is the probe.
    pub(super) fn allows(&self, range: Item, now: Instant) -> bool {
        self.of(range).is_none_or(|failing| failing.breaker.allows(now))
    }

    /// How many are left alone.
    pub(super) fn alone(&self) -> usize {
        self.failing.iter().filter(|failing| failing.breaker.failures() > 1).count()
    }

    /// How often in a row it failed.
    pub(super) fn failures(&self, range: Item) -> u32 {
        self.of(range).map_or(0, |failing| failing.breaker.failures())
    }

    /// It was not answered. `of` names it; if it is left alone, then at least for `rest`.
    pub(super) fn failed(&mut self, range: Item, breaks: bool, of: &str, now: Instant, rest: Duration) {
        let index = self.failing.iter().position(|failing| failing.range == range).unwrap_or_else(|| {
            self.failing.push(Failing { range, breaker: breaker(of), breaks });
            self.failing.len() - 1
        });
        let failing = &mut self.failing[index];
        failing.breaks = breaks;
        failing.breaker.failed(now);
        failing.breaker.rest(now + rest);
    }

    /// It was answered, and with it whatever it holds. Says whether some of that had been left alone.
    pub(super) fn answered(&mut self, range: Item) -> bool {
        let mut left_alone = false;
        self.failing.retain(|Failing { range: part, breaker, .. }| {
            let end = |item: Item| u32::from(item.offset) + u32::from(item.count);
            let held = part.table == range.table && part.offset >= range.offset && end(*part) <= end(range);
            left_alone |= held && breaker.failures() > 1;
            !held
        });
        left_alone
    }

    /// Whether one of them has failed more than once.
    pub(super) fn leaves_alone(&self) -> bool {
        self.alone() > 0
    }

    /// The unit answers again: each is tried once before its time.
    pub(super) fn probe(&mut self) {
        self.failing.iter_mut().for_each(|failing| failing.breaker.probe());
    }

    /// The connection is a new one: those are tried that may have failed for the old one's sake.
    pub(super) fn probe_silent(&mut self) {
        self.failing.iter_mut().filter(|failing| !failing.breaks).for_each(|failing| failing.breaker.probe());
    }
}
