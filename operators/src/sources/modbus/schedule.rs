//! Who is asked next on a line that can ask one thing at a time.
//!
//! The line's time is shared: of all that wants to be read, whoever has had the least of it goes next. A unit that
//! answers slowly, or not at all, so spends its own share and nobody else's. A higher priority has a larger share, and
//! none has everything.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

/// How much of a busy line a poll group gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A quarter of `normal`.
    Low,
    /// What the line has, shared evenly among units.
    #[default]
    Normal,
    /// Four times as much as `normal`.
    High,
}

impl Priority {
    pub(super) const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    fn weight(self) -> f64 {
        match self {
            Self::Low => 1.0,
            Self::Normal => 4.0,
            Self::High => 16.0,
        }
    }
}

/// Start-time fair queueing: each flow (a unit's groups of one priority) has a clock of its own, which its use of the
/// line moves on, the slower the higher its priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Fair {
    clocks: Vec<f64>,
    /// The clock of whoever was served last: a flow that comes back from idling begins here, so that it cannot save up
    /// what it did not use.
    now: f64,
}

/// The flow of a unit (by index) and a priority.
pub(super) fn flow(unit: usize, priority: Priority) -> usize {
    unit * Priority::ALL.len() + priority as usize
}

impl Fair {
    pub(super) fn new(units: usize) -> Self {
        Self { clocks: vec![0.0; units * Priority::ALL.len()], now: 0.0 }
    }

    /// A flow that had nothing to read has something again.
    pub(super) fn wake(&mut self, flow: usize) {
        if let Some(clock) = self.clocks.get_mut(flow) {
            *clock = clock.max(self.now);
        }
    }

    /// Whoever goes next of `(flow, due)`: the slowest clock, and of equal ones what has been due for longest. The
    /// answer is an index into what was given.
    pub(super) fn next(&mut self, waiting: impl Iterator<Item = (usize, Instant)>) -> Option<usize> {
        let clock = |flow: usize| self.clocks.get(flow).copied().unwrap_or_default();
        let chosen = waiting
            .map(|(flow, due)| (clock(flow), due))
            .enumerate()
            .min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        let (index, (clock, _)) = chosen;
        self.now = self.now.max(clock);
        Some(index)
    }

    /// A flow has used the line.
    pub(super) fn charge(&mut self, flow: usize, used: Duration) {
        let priority = Priority::ALL[flow % Priority::ALL.len()];
        if let Some(clock) = self.clocks.get_mut(flow) {
            *clock += used.as_secs_f64() / priority.weight();
        }
    }
}

/// How soon what could not be read is tried again before its time, at the earliest.
const RETRY: Duration = Duration::from_secs(10);

/// When a group is due. It keeps to a grid, so that a late scan does not make all later ones late; a scan that is less
/// than a period late is still made, and what is later is missed.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    period: Duration,
    due: Instant,
    /// Before its time: a connection is there again.
    early: Option<Instant>,
    /// When the last scan ended.
    last: Option<Instant>,
    /// It brought nothing.
    in_vain: bool,
    /// When the last scan ended that gave samples.
    told: Option<Instant>,
}

impl Timing {
    pub(super) fn new(period: Duration, first: Instant) -> Self {
        Self { period, due: first, early: None, last: None, in_vain: false, told: None }
    }

    pub(super) fn period(&self) -> Duration {
        self.period
    }

    pub(super) fn due(&self) -> Instant {
        self.early.map_or(self.due, |early| early.min(self.due))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due() <= now
    }

    /// Whether the next scan is due before this one is made.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due + self.period <= now
    }

    /// Whether it is no news that this scan brings nothing either: it is one before its time, or the one before it was
    /// given up a moment ago.
    pub(super) fn is_told(&self, now: Instant) -> bool {
        let before_its_time = self.early.is_some() && now < self.due;
        let just_now = self.told.is_some_and(|told| now < told + self.period / 2);
        self.in_vain && (before_its_time || just_now)
    }

    /// Reads before its time what was not read last time, but never more often than its period: a connection may come
    /// and go.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.early = match self.last {
            None => Some(now),
            Some(last) => self.in_vain.then(|| now.max(last + self.period.min(RETRY))),
        };
    }

    /// Reads before its time, at this moment, but never more often than its period.
    pub(super) fn try_at(&mut self, at: Instant) {
        let at = self.last.map_or(at, |last| at.max(last + self.period.min(RETRY)));
        self.early = Some(self.early.map_or(at, |early| early.min(at)));
    }

    /// A scan is over, which has `read` something or not: moves on to the next time, and says how many were missed. Where
    /// the next one is far, one in vain is soon tried again.
    pub(super) fn done(&mut self, now: Instant, read: bool) -> u32 {
        if read || !self.is_told(now) {
            self.told = Some(now);
        }
        let again = !read && !self.in_vain && self.last.is_some() && self.period > RETRY * 2;
        self.early = again.then(|| now + RETRY);
        (self.last, self.in_vain) = (Some(now), !read);
        let Some(late) = now.checked_duration_since(self.due) else { return 0 };
        let periods = late.as_nanos() / self.period.as_nanos().max(1);
        let periods = u32::try_from(periods).unwrap_or(u32::MAX).max(1);
        self.due += self.period * periods;
        periods - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Serves flows for `total`; each wants the line at its own period for its own time. How much each used.
    fn serve(wants: &[(usize, Duration, Duration)], total: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut fair = Fair::new(1 + wants.iter().map(|(flow, ..)| flow / 3).max().unwrap_or_default());
        let mut timing: Vec<Timing> = wants.iter().map(|(_, period, _)| Timing::new(*period, start)).collect();
        let mut waiting = vec![false; wants.len()];
        let mut used = vec![Duration::ZERO; wants.len()];
        let mut now = start;
        while now < start + total {
            for index in 0..wants.len() {
                if !waiting[index] && timing[index].is_due(now) {
                    waiting[index] = true;
                    fair.wake(wants[index].0);
                }
            }
            let candidates: Vec<usize> = (0..wants.len()).filter(|index| waiting[*index]).collect();
            let next = fair.next(candidates.iter().map(|index| (wants[*index].0, timing[*index].due())));
            let Some(index) = next.map(|next| candidates[next]) else {
                now += MS;
                continue;
            };
            let (flow, _, takes) = wants[index];
            now += takes;
            fair.charge(flow, takes);
            used[index] += takes;
            waiting[index] = false;
            timing[index].done(now, true);
        }
        used
    }

    #[test]
    fn a_slow_unit_spends_its_own_share() {
        // Nine units that need 5 % of the line each, and one that would like it ten times over.
        let mut wants: Vec<_> = (0..9).map(|unit| (flow(unit, Priority::Normal), 1000 * MS, 50 * MS)).collect();
        wants.push((flow(9, Priority::Normal), 100 * MS, 1000 * MS));
        let used = serve(&wants, 100_000 * MS);
        for quick in &used[..9] {
            assert!(*quick >= 95 * 50 * MS, "{used:?}");
        }
        assert!(used[9] >= 45_000 * MS, "what the others leave is not wasted: {used:?}");
    }

    #[test]
    fn an_overloaded_line_is_shared_by_priority_and_nobody_starves() {
        let wants = [Priority::High, Priority::Normal, Priority::Low, Priority::Normal]
            .into_iter()
            .enumerate()
            .map(|(unit, priority)| (flow(unit, priority), MS, 10 * MS));
        let used = serve(&wants.collect::<Vec<_>>(), 100_000 * MS);
        let share = |index: usize| used[index].as_secs_f64() / 100.0;
        for (index, expected) in [(0, 16.0), (1, 4.0), (2, 1.0), (3, 4.0)] {
            let expected = expected / 25.0;
            assert!((share(index) - expected).abs() < 0.01, "{index}: {} of {expected}", share(index));
        }
    }

    #[test]
    fn who_idled_has_saved_nothing_up() {
        let start = Instant::now();
        let mut fair = Fair::new(2);
        let (a, b) = (flow(0, Priority::Normal), flow(1, Priority::Normal));
        for _ in 0..100 {
            assert_eq!(fair.next([(a, start)].into_iter()), Some(0));
            fair.charge(a, 100 * MS);
        }
        fair.wake(b);
        let mut turns = 0;
        while fair.next([(a, start), (b, start)].into_iter()) == Some(1) {
            fair.charge(b, 100 * MS);
            turns += 1;
        }
        assert!(turns <= 2, "{turns} turns in a row");
    }

    #[test]
    fn scans_keep_to_their_grid() {
        let start = Instant::now();
        let mut timing = Timing::new(100 * MS, start);
        assert!(timing.is_due(start));
        assert_eq!((timing.done(start + 20 * MS, true), timing.due()), (0, start + 100 * MS));
        assert!(!timing.is_due(start + 99 * MS));
        // A little late: the next one follows at once, and nothing is missed.
        assert_eq!((timing.done(start + 210 * MS, true), timing.due()), (0, start + 200 * MS));
        assert_eq!((timing.done(start + 450 * MS, true), timing.due()), (1, start + 400 * MS));
        assert_eq!((timing.done(start + 510 * MS, false), timing.due()), (0, start + 500 * MS));
        assert!(timing.is_told(start + 510 * MS) && !timing.is_told(start + 600 * MS));
    }

    #[test]
    fn what_was_not_read_is_read_before_its_time_but_no_more_often_than_its_period() {
        let start = Instant::now();
        let mut slow = Timing::new(60_000 * MS, start);
        slow.done(start, true);
        slow.hurry(start + MS);
        assert_eq!(slow.due(), start + 60_000 * MS, "it was read");
        slow.done(start + 60_000 * MS, false);
        assert_eq!(slow.due(), start + 70_000 * MS, "one lost answer does not cost a long period");
        slow.hurry(start + 60_500 * MS);
        assert_eq!(slow.due(), start + 70_000 * MS);
        assert!(slow.is_told(start + 70_000 * MS));
        slow.done(start + 70_001 * MS, true);
        assert_eq!(slow.due(), start + 120_000 * MS, "the grid stays");
        slow.done(start + 120_000 * MS, false);
        for _ in 0..5 {
            let now = slow.due();
            slow.hurry(now);
            assert_eq!(
                slow.is_told(now),
                now < start + 180_000 * MS,
                "tries between say nothing, nor stop the next scan"
            );
            slow.done(now, false);
            slow.hurry(now);
        }
        let mut quick = Timing::new(1000 * MS, start);
        quick.done(start + 10 * MS, false);
        for at in [20, 400, 999] {
            quick.hurry(start + at * MS);
            assert_eq!(quick.due(), start + 1000 * MS);
        }
        let mut first = Timing::new(1000 * MS, start + 700 * MS);
        first.hurry(start + 5 * MS);
        assert!(first.is_due(start + 5 * MS) && !first.is_told(start + 5 * MS), "it has said nothing yet");
    }
}
