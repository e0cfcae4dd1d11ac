//! A device behind an endpoint: whether it answers, when it may be asked, and what it still owes.

use std::time::{Duration, Instant};

use modbus::{Item, Table};

use super::breaker::Backoff;
use super::standing::breaker;

/// A device behind the endpoint.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) id: u8,
    pub(super) response_timeout: Duration,
    /// Opens when nothing of the unit is answered; a read that fails by itself has a breaker of its own.
    pub(super) breaker: Backoff,
    /// Its late answer may come until then, and could pass for the one to another request.
    pub(super) late_until: Option<Instant>,
    /// What it was asked for on a line and did not answer in time: that may come still later.
    owed: Vec<Owed>,
    pub(super) state: Answer,
}

/// An answer that may come late.
#[derive(Clone, Copy, Debug)]
struct Owed {
    table: Table,
    /// Bytes of values in it.
    length: usize,
    /// Nothing comes as late as that.
    until: Instant,
}

/// How late an answer may be.
const LATEST: Duration = Duration::from_secs(60);

/// How many bytes the values of a read have: answers on a line are known by no more.
fn length(range: Item) -> usize {
    match range.table.is_bits() {
        true => usize::from(range.count).div_ceil(8),
        false => 2 * usize::from(range.count),
    }
}

/// What became of a unit's last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Unknown,
    Comes,
    /// It did not come.
    Fails,
    /// The connection broke instead.
    Breaks,
}

impl Unit {
    /// `endpoint` is its name.
    pub(super) fn new(id: u8, response_timeout: Duration, endpoint: &str) -> Self {
        let breaker = breaker(&format!("{endpoint} {id}"));
        Self { id, response_timeout, breaker, late_until: None, owed: Vec::new(), state: Answer::Unknown }
    }

    pub(super) fn answers(&self) -> bool {
        self.state == Answer::Comes
    }

    pub(super) fn fails(&self) -> bool {
        matches!(self.state, Answer::Fails | Answer::Breaks)
    }

    /// It did not answer this read in time.
    pub(super) fn is_owed(&mut self, range: Item, now: Instant) {
        self.owed.push(Owed { table: range.table, length: length(range), until: now + LATEST });
    }

    /// Nothing that it was asked for before comes any more.
    pub(super) fn owes_nothing(&mut self) {
        self.owed.clear();
    }

    fn owes(&self, range: Item) -> bool {
        self.owed.iter().any(|owed| owed.table == range.table && owed.length == length(range))
    }

    /// What to read instead, before a read whose answer could not be told from one that comes late: a read with an
    /// answer of another length. Once that is answered, nothing older comes, since devices answer in turn.
    pub(super) fn proof(&mut self, range: Item, now: Instant) -> Option<Item> {
        self.owed.retain(|owed| owed.until > now);
        if !self.owes(range) {
            return None;
        }
        let step = if range.table.is_bits() { 8 } else { 1 };
        let shorter = (1..).map_while(|steps| range.count.checked_sub(steps * step)).filter(|count| *count > 0);
        let longer = (1..=4).map(|steps| range.count.saturating_add(steps * step));
        let other = |count| Item { count, ..range };
        shorter.chain(longer).map(other).find(|range| !self.owes(*range))
    }
}

/// The last wait in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) ended: Instant,
    /// Until then nobody who failed to answer is asked again: half of the line's time is for those who answer.
    pub(super) rest_until: Instant,
}

/// The share of a line's time that is waited in vain for the dead, where that costs the living scans: one part of so many.
const DEAR_SHARE: u32 = 25;
/// But of so many that are dead, one is asked at least within this time.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How long each of `dead` units and reads rests at least, where the line `waited` so long for one of them in vain;
/// `fastest` is the shortest scan of those who answer. Where a wait is longer than that, it costs them scans whenever it
/// is made, so it is made seldom, by each of the dead in its turn.
pub(super) fn rest_of_the_dead(waited: Duration, fastest: Option<Duration>, dead: usize) -> Duration {
    if fastest.is_none_or(|fastest| waited <= fastest) {
        return Duration::ZERO;
    }
    let each = (waited * (DEAR_SHARE - 1)).min(LONGEST_REST).max(waited);
    each * u32::try_from(dead).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_costs_scans_is_made_seldom() {
        let second = Duration::from_secs(1);
        let rest = rest_of_the_dead;
        let free = Duration::ZERO;
        assert_eq!(rest(second, Some(second), 3), free, "a scan that is late by less than its period is still made");
        assert_eq!(rest(second, None, 3), free, "nobody answers, so nobody loses");
        assert_eq!(rest(second, Some(second / 2), 1), 24 * second);
        assert_eq!(rest(second, Some(second / 2), 8), 8 * 24 * second, "each in its turn");
        assert_eq!(rest(10 * second, Some(second), 2), 120 * second);
        assert_eq!(rest(90 * second, Some(second), 1), 90 * second, "never more than half of the time");
    }

    #[test]
    fn what_is_owed_is_told_from_what_is_asked_by_its_length() {
        let now = Instant::now();
        let mut unit = Unit::new(1, Duration::from_secs(1), "a");
        let read = |table, count| Item { table, offset: 10, count };
        for (table, count, expected) in [
            (Table::HoldingRegisters, 2, [1, 3, 4]),
            (Table::InputRegisters, 1, [2, 3, 4]),
            (Table::Coils, 20, [12, 4, 28]),
            (Table::DiscreteInputs, 3, [11, 19, 27]),
        ] {
            assert_eq!(unit.proof(read(table, count), now), None, "nothing is owed");
            unit.is_owed(read(table, count), now);
            for count_of_proof in expected {
                let proof = unit.proof(read(table, count), now);
                assert_eq!(proof, Some(read(table, count_of_proof)), "{table:?}");
                // It does not come either.
                unit.is_owed(read(table, count_of_proof), now);
            }
            assert_eq!(unit.proof(read(table, count + 40), now), None, "another length cannot be mistaken");
            unit.owes_nothing();
        }
        unit.is_owed(read(Table::Coils, 3), now);
        assert_eq!(unit.proof(read(Table::DiscreteInputs, 3), now), None, "another function");
        assert!(unit.proof(read(Table::Coils, 5), now).is_some(), "as many bytes");
        assert_eq!(unit.proof(read(Table::Coils, 3), now + LATEST), None, "nothing is as late as that");
    }
}
