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

/// When a group is due. It keeps to a grid, so that a late scan does not make all later ones late; a scan that is less
/// than a period late is still made, and what is later is missed.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    period: Duration,
    due: Instant,
    /// To be read out of turn: a connection is there again.
    at_once: bool,
}

impl Timing {
    pub(super) fn new(period: Duration, first: Instant) -> Self {
        Self { period, due: first, at_once: false }
    }

    pub(super) fn period(&self) -> Duration {
        self.period
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at_once || self.due <= now
    }

    /// Whether the next scan is due before this one is made.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due + self.period <= now
    }

    pub(super) fn hurry(&mut self) {
        self.at_once = true;
    }

    /// A scan is done: moves on to the next time, and says how many were missed.
    pub(super) fn done(&mut self, now: Instant) -> u32 {
        self.at_once = false;
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
            timing[index].done(now);
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
        assert_eq!((timing.done(start + 20 * MS), timing.due()), (0, start + 100 * MS));
        assert!(!timing.is_due(start + 99 * MS));
        // A little late: the next one follows at once, and nothing is missed.
        assert_eq!((timing.done(start + 210 * MS), timing.due()), (0, start + 200 * MS));
        assert_eq!((timing.done(start + 450 * MS), timing.due()), (1, start + 400 * MS));
        timing.hurry();
        assert!(timing.is_due(start + 410 * MS));
        assert_eq!((timing.done(start + 420 * MS), timing.due()), (0, start + 500 * MS));
        timing.hurry();
        assert_eq!((timing.done(start + 430 * MS), timing.due()), (0, start + 500 * MS), "out of turn");
    }
}
