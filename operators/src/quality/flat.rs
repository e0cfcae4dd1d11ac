//! How long a value has stayed within a tolerance.

use std::collections::VecDeque;

use ducto_record::Micros;
use serde::{Deserialize, Serialize};

/// The longest run of samples, ending with the newest, whose values differ by at most a tolerance.
///
/// Two queues of candidates, for the largest and the smallest value of the run; a sample costs constant time on
/// average. What a window no longer needs is forgotten, so that the queues stay as long as the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FlatRun {
    high: VecDeque<Candidate>,
    low: VecDeque<Candidate>,
    start: Option<Micros>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Candidate {
    value: f64,
    /// Time of the sample that followed: where the run begins once this one is out of it. `None` for the newest.
    next: Option<Micros>,
}

impl FlatRun {
    /// Begins anew.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a sample and says when the run that ends with it began. Runs need not be known further back than `reach`.
    pub(super) fn push(&mut self, time: Micros, value: f64, tolerance: f64, reach: Micros) -> Micros {
        for queue in [&mut self.high, &mut self.low] {
            // The sample before is always the last candidate of both queues.
            if let Some(last) = queue.back_mut() {
                last.next = Some(time);
            }
        }
        while self.high.back().is_some_and(|last| last.value <= value) {
            self.high.pop_back();
        }
        while self.low.back().is_some_and(|last| last.value >= value) {
            self.low.pop_back();
        }
        let newest = Candidate { value, next: None };
        self.high.push_back(newest);
        self.low.push_back(newest);
        let mut start = self.start.unwrap_or(time);
        while let (Some(high), Some(low)) = (self.high.front(), self.low.front()) {
            let apart = high.value - low.value > tolerance;
            // The one that leaves first is the one whose follower is older.
            let (queue, next) = match (high.next, low.next) {
                (Some(a), Some(b)) if a <= b => (&mut self.high, a),
                (_, Some(b)) => (&mut self.low, b),
                (Some(a), None) => (&mut self.high, a),
                (None, None) => break,
            };
            if !apart && next > time.saturating_sub(reach) {
                break;
            }
            queue.pop_front();
            start = start.max(next);
        }
        self.start = Some(start);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_run_is_as_long_as_a_plain_search_says(
            steps in proptest::collection::vec((0i64..4, -3i32..3), 1..120),
            tolerance in 0.0..4.0f64,
            span in 1i64..20,
        ) {
            let mut flat = FlatRun::default();
            let mut seen: Vec<(Micros, f64)> = Vec::new();
            let mut time = 0;
            for (step, value) in steps {
                time += step;
                let value = f64::from(value);
                seen.push((time, value));
                let found = flat.push(time, value, tolerance, span);
                let (mut low, mut high, mut start) = (value, value, time);
                for (at, value) in seen.iter().rev() {
                    low = low.min(*value);
                    high = high.max(*value);
                    if high - low > tolerance {
                        break;
                    }
                    start = *at;
                }
                prop_assert_eq!(time - found >= span, time - start >= span, "{} {} {:?}", found, start, seen);
                prop_assert!(flat.high.len() <= seen.iter().filter(|(at, _)| time - at <= span).count() + 1);
            }
        }
    }
}
