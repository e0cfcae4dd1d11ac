//! When to try again, and how often to say so: pauses that grow, for connections and for units behind them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Pauses that double with every failure, with jitter so that many gateways do not come back at once. Which jitter
/// follows from what it is for: the same endpoint and unit always have the same.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// Failures that are let pass before the first pause.
    patience: u32,
    seed: u64,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// `of` names what fails: an endpoint, or a unit behind it.
    pub(super) fn new(first: Duration, longest: Duration, patience: u32, of: &str) -> Self {
        Self { first, longest, patience, seed: hash(of), failures: 0, until: None }
    }

    /// Whether to try now. When a pause is over one try is let through: it is the probe.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// When the next try is due; `None` for now.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How often in a row it failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// It failed; the answer says how long nothing will be tried.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let beyond = self.failures.saturating_sub(self.patience);
        if beyond == 0 {
            return Duration::ZERO;
        }
        let pause = self.first.saturating_mul(1 << (beyond - 1).min(16)).min(self.longest);
        // Between half of the pause and all of it.
        let chance = xxh3_64_with_seed(&self.failures.to_le_bytes(), self.seed) >> 32;
        let pause = pause.mul_f64(0.5 + 0.5 * chance as f64 / f64::from(u32::MAX));
        self.until = Some(now + pause);
        pause
    }

    /// Lengthens a pause: it costs others too much to try sooner.
    pub(super) fn rest(&mut self, until: Instant) {
        self.until = self.until.map(|at| at.max(until));
    }

    /// Lets one try through before the pause is over; if it fails, pauses go on growing.
    pub(super) fn probe(&mut self) {
        self.until = None;
    }

    /// It worked: data came, not merely a connection.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
        self.until = None;
    }
}

/// A number that follows from a name, for what shall differ from endpoint to endpoint.
pub(super) fn hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

/// Lets one line a minute through for each cause, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    causes: BTreeMap<(u8, &'static str), Cause>,
}

#[derive(Debug, Default)]
struct Cause {
    total: u64,
    said: Option<Instant>,
    /// Since the last line.
    unsaid: u64,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Quiet {
    /// Counts an event of a unit. `Some` when it is to be said: with how many since the last line.
    pub(super) fn count(&mut self, unit: u8, cause: &'static str, now: Instant) -> Option<u64> {
        let cause = self.causes.entry((unit, cause)).or_default();
        cause.total += 1;
        cause.unsaid += 1;
        if cause.said.is_some_and(|said| now.duration_since(said) < MINUTE) {
            return None;
        }
        cause.said = Some(now);
        Some(std::mem::take(&mut cause.unsaid))
    }

    /// Every cause with its count: `(unit, cause, count)`.
    pub(super) fn totals(&self) -> impl Iterator<Item = (u8, &'static str, u64)> + '_ {
        self.causes.iter().map(|((unit, name), cause)| (*unit, *name, cause.total))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut backoff = Backoff::new(second, 8 * second, 1, "a");
        let mut other = Backoff::new(second, 8 * second, 0, "b");
        assert_ne!(other.failed(now), Backoff::new(second, 8 * second, 0, "c").failed(now), "each has its own jitter");
        assert_eq!(other.failed(now), {
            let mut again = Backoff::new(second, 8 * second, 0, "b");
            again.failed(now);
            again.failed(now)
        });
        assert_eq!(backoff.failed(now), Duration::ZERO);
        assert!(backoff.allows(now), "one lost answer is no dead unit");
        let mut whole = second;
        for _ in 0..6 {
            let pause = backoff.failed(now);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            assert!(!backoff.allows(now) && backoff.allows(now + whole));
            whole = (whole * 2).min(8 * second);
        }
        backoff.probe();
        assert!(backoff.allows(now));
        assert!(backoff.failed(now) >= 4 * second, "a probe that fails shortens nothing");
        backoff.rest(now + 60 * second);
        assert!(!backoff.allows(now + 59 * second) && backoff.allows(now + 60 * second));
        backoff.worked();
        backoff.rest(now + second);
        assert!(backoff.allows(now), "there is no pause to lengthen");
        assert_eq!(backoff.failed(now), Duration::ZERO, "it begins anew");
    }

    #[test]
    fn one_line_a_minute_for_each_cause() {
        let mut quiet = Quiet::default();
        let now = Instant::now();
        assert_eq!(quiet.count(1, "timeout", now), Some(1));
        assert_eq!(quiet.count(1, "timeout", now), None);
        assert_eq!(quiet.count(2, "timeout", now), Some(1));
        assert_eq!(quiet.count(1, "garbage", now), Some(1));
        assert_eq!(quiet.count(1, "timeout", now + MINUTE), Some(2));
        assert_eq!(quiet.totals().find(|(unit, cause, _)| (*unit, *cause) == (1, "timeout")).unwrap().2, 3);
    }
}
