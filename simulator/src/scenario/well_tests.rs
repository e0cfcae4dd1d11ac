//! Well tests that would meet: a test separator takes one well at a time.

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::Place;
use ducto_record::Micros;

use super::{Action, Event, Scenario, When};

/// The times of a test whose times are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    first: Micros,
    /// From one beginning to the next.
    period: Option<Micros>,
    /// For ever where it is not given.
    lasts: Option<Micros>,
}

impl Times {
    /// `None` where chance decides: such a test is left out when its time comes and the separator is taken.
    fn of(event: &Event) -> Option<Self> {
        let (first, period) = match event.when {
            When::Once(at) => (at, None),
            When::Every { first, period } => (first, Some(period)),
            When::Randomly { .. } => return None,
        };
        // What never ends does not begin again.
        Some(Self { first, period: period.filter(|_| event.lasts.is_some()), lasts: event.lasts })
    }

    fn end(&self) -> Micros {
        self.lasts.map_or(Micros::MAX, |lasts| self.first.saturating_add(lasts))
    }

    /// Whether one of these times has a moment of one of those.
    fn meet(&self, other: &Self) -> bool {
        match (self.period, other.period) {
            (None, None) => self.first < other.end() && other.first < self.end(),
            (None, Some(period)) => {
                // The first of those that is not over before this begins.
                let lasts = other.lasts.unwrap_or(0);
                let before = self.first.saturating_sub(other.first).saturating_sub(lasts);
                let count = if before < 0 { 0 } else { before / period + 1 };
                other.first.saturating_add(count.saturating_mul(period)) < self.end()
            }
            (Some(_), None) => other.meet(self),
            (Some(a), Some(b)) => {
                // In the long run every distance comes that differs from the first by a multiple of what both periods
                // are multiples of.
                let step = common_divisor(a, b);
                let behind = (other.first - self.first).rem_euclid(step);
                behind < self.lasts.unwrap_or(0) || step - behind < other.lasts.unwrap_or(0)
            }
        }
    }
}

fn common_divisor(mut a: Micros, mut b: Micros) -> Micros {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// Refuses tests that meet on a test separator. Each event has its place beside it.
pub(super) fn check(scenario: &Scenario, events: &[(Event, Place)], found: &mut Diagnostics) {
    let mut tests = Vec::new();
    for (event, place) in events {
        let Action::WellTest { separator } = event.action else { continue };
        let (Some(times), Some(plan)) = (Times::of(event), scenario.separators.get(separator)) else { continue };
        if !plan.test {
            continue;
        }
        let names: Vec<&str> = event.targets.iter().map(|target| &**scenario.name_of(*target)).collect();
        if let [first, second, ..] = names[..] {
            let message = format!("`{first}` and `{second}` would go to `{}` at the same time", plan.name);
            found.push(refusal(message).at(*place));
            continue;
        }
        let Some(name) = names.first().copied() else { continue };
        let taken =
            tests.iter().find(|(other, at, _, _): &&(Times, usize, _, _)| *at == separator && times.meet(other));
        if let Some((_, _, other, there)) = taken {
            let message = format!("`{name}` would go to `{}` while `{other}` is tested there", plan.name);
            found.push(refusal(message).at(*place).note_at(*there, format!("the test of `{other}` is here")));
        }
        tests.push((times, separator, name, *place));
    }
}

fn refusal(message: String) -> Diagnostic {
    Diagnostic::new(Code::ValueInvalid, message)
        .help("a test separator takes one well at a time: give them other times, a shorter `for`, or another separator")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(first: Micros, period: Option<Micros>, lasts: Option<Micros>) -> Times {
        Times { first, period, lasts }
    }

    /// Moment by moment, over many periods.
    fn meet_slowly(a: &Times, b: &Times) -> bool {
        let is_on = |of: &Times, at: Micros| match (of.period, of.lasts) {
            _ if at < of.first => false,
            (_, None) => true,
            (None, Some(lasts)) => at < of.first + lasts,
            (Some(period), Some(lasts)) => (at - of.first) % period < lasts,
        };
        (0..2_000).any(|at| is_on(a, at) && is_on(b, at))
    }

    #[test]
    fn times_meet_where_a_slow_look_finds_them_together() {
        let mut all = Vec::new();
        for first in [0, 1, 4, 9, 30] {
            for lasts in [Some(1), Some(3), Some(5), None] {
                all.push(times(first, None, lasts));
                for period in [6, 8, 9, 14] {
                    all.push(times(first, lasts.map(|_| period), lasts));
                }
            }
        }
        let mut met = 0;
        for a in &all {
            for b in &all {
                assert_eq!(a.meet(b), meet_slowly(a, b), "{a:?} and {b:?}");
                met += usize::from(a.meet(b));
            }
        }
        assert!(met > 100 && met < all.len() * all.len());
    }
}
