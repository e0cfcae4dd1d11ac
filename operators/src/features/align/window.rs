//! The recent samples of a tag, and figures of them.

use std::collections::VecDeque;

use ducto_record::{Checks, Micros, Quality};
use serde::{Deserialize, Serialize};

use crate::quality::CLOCK_TOLERANCE;

/// A sample as it is kept: NaN where there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) time: Micros,
    pub(super) value: f64,
    pub(super) quality: Quality,
}

/// The samples of a tag by time: those that a window may still reach, and the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) samples: VecDeque<Kept>,
    /// The time of the newest sample that the device made.
    newest: Micros,
    /// How far that lay behind the engine's clock when it came.
    behind: Micros,
}

impl Default for History {
    fn default() -> Self {
        Self { samples: VecDeque::new(), newest: Micros::MIN, behind: 0 }
    }
}

/// A figure over (t − w, t].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Mean,
    Std,
    Slope,
    Min,
    Max,
    Last,
    /// The value at t − w.
    Lag,
    TimeAverage,
}

/// How samples count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_age: Micros,
    /// Whether forced values count.
    pub(super) forced: bool,
    pub(super) sloped: bool,
}

impl Rules {
    fn is_good(self, kept: &Kept) -> bool {
        kept.quality.is_good() && kept.value.is_finite() && (self.forced || !kept.quality.is_forced())
    }
}

impl History {
    /// Takes a sample that came at the engine's time `now`. Whether it moved anything: one that is older than the tag's
    /// newest does not.
    pub(super) fn take(&mut self, mut kept: Kept, checks: Checks, now: Micros) -> bool {
        if checks.contains(Checks::STALE) {
            // `quality` makes these rows for a silent tag, at the engine's time, which says nothing of the device's: by
            // a clock that is slow the silence lies as much earlier as the samples before it did.
            let newest = self.samples.back().map_or(Micros::MIN, |newest| newest.time);
            kept.time = kept.time.saturating_sub(self.behind).max(newest);
        } else {
            let trusted = self.newest <= now.saturating_add(CLOCK_TOLERANCE);
            if checks.contains(Checks::OUT_OF_ORDER) || (kept.time < self.newest && trusted) {
                return false;
            }
            // Whatever lies later is silence, or of a clock that was ahead and has been put right.
            while self.samples.back().is_some_and(|newest| newest.time > kept.time) {
                self.samples.pop_back();
            }
            self.newest = kept.time;
            self.behind = now.saturating_sub(kept.time).max(0);
        }
        self.samples.push_back(kept);
        true
    }

    /// Samples with a time of at most `time`.
    fn until(&self, time: Micros) -> usize {
        self.samples.partition_point(|kept| kept.time <= time)
    }

    /// Forgets what no window that ends at `time` or later reaches.
    pub(super) fn forget(&mut self, time: Micros, reach: Micros) {
        let oldest = time.saturating_sub(reach);
        while self.samples.get(1).is_some_and(|second| second.time <= oldest) {
            self.samples.pop_front();
        }
    }

    /// The value at a time, with its quality; or why it is withheld.
    pub(super) fn at(&self, time: Micros, rules: Rules) -> Result<(f64, Quality), String> {
        let Some(kept) = self.until(time).checked_sub(1).and_then(|last| self.samples.get(last)) else {
            return Err("has no value yet".to_owned());
        };
        if time.saturating_sub(kept.time) > rules.max_age {
            return Err(format!("is older than {}", ducto_graph::scalar::Duration::from_micros(rules.max_age)));
        }
        if kept.quality.is_bad() {
            return Err(format!("is Bad ({})", kept.quality.name()));
        }
        if !rules.forced && kept.quality.is_forced() {
            return Err("is forced".to_owned());
        }
        if !kept.value.is_finite() {
            return Err("has no finite value".to_owned());
        }
        Ok((kept.value, kept.quality))
    }

    /// A figure of the Good samples of a window that ends at `time`, and the worst of their qualities; or why there is
    /// none. Computed anew each time, so that nothing drifts.
    pub(super) fn figure(
        &self,
        figure: Figure,
        time: Micros,
        window: Micros,
        min_good: Option<f64>,
        rules: Rules,
    ) -> Result<(f64, Quality), String> {
        let from = time.saturating_sub(window);
        if figure == Figure::Lag {
            return self.at(from, rules);
        }
        if let Some(least) = min_good {
            let percent =
                100.0 * self.spans(from, time, rules).map(|span| span.length).sum::<f64>() / window as f64 + 0.0;
            if percent < least {
                return Err(format!("has {percent:.0} % good data, and {least} % are needed"));
            }
        }
        let worst = |qualities: &mut dyn Iterator<Item = Quality>| qualities.fold(Quality::GOOD, Quality::worst);
        let inside = || self.samples.range(self.until(from)..self.until(time)).filter(|kept| rules.is_good(kept));
        let values = || inside().map(|kept| kept.value);
        let count = inside().count() as f64;
        let mean = values().sum::<f64>() / count;
        let quality = match figure {
            Figure::TimeAverage => worst(&mut self.spans(from, time, rules).map(|span| span.quality)),
            Figure::Last => inside().next_back().map_or(Quality::GOOD, |kept| kept.quality),
            _ => worst(&mut inside().map(|kept| kept.quality)),
        };
        let result = match figure {
            Figure::Mean => (count > 0.0).then_some(mean),
            Figure::Std => {
                let squares: f64 = values().map(|value| (value - mean) * (value - mean)).sum();
                (count > 1.0).then(|| (squares / (count - 1.0)).sqrt())
            }
            Figure::Min => values().reduce(f64::min),
            Figure::Max => values().reduce(f64::max),
            Figure::Last => values().next_back(),
            Figure::Lag => None,
            Figure::Slope => {
                let seconds = |kept: &Kept| kept.time.saturating_sub(time) as f64 / 1e6;
                let middle = inside().map(seconds).sum::<f64>() / count;
                let (mut above, mut below) = (0.0, 0.0);
                for kept in inside() {
                    let step = seconds(kept) - middle;
                    above += step * (kept.value - mean);
                    below += step * step;
                }
                (below > 0.0).then(|| above / below)
            }
            Figure::TimeAverage => {
                let (integral, length) = self.spans(from, time, rules).fold((0.0, 0.0), |(integral, length), span| {
                    (integral + span.value * span.length, length + span.length)
                });
                (length > 0.0).then(|| integral / length)
            }
        };
        match result {
            Some(value) if value.is_finite() => Ok((value, quality)),
            _ => Err("has too few good samples".to_owned()),
        }
    }

    /// The stretches of `from..to` with a good value, and its mean there. A value holds until the next sample, for
    /// `max_age` at most; a sloped one goes to the next good value in a line.
    fn spans(&self, from: Micros, to: Micros, rules: Rules) -> impl Iterator<Item = Span> {
        let first = self.until(from).saturating_sub(1);
        (first..self.until(to)).filter_map(move |index| {
            let kept = self.samples.get(index)?;
            if !rules.is_good(kept) {
                return None;
            }
            let next = self.samples.get(index + 1).filter(|next| next.time <= to);
            let end = next.map_or(to, |next| next.time).min(kept.time.saturating_add(rules.max_age));
            let start = kept.time.max(from);
            let length = end.saturating_sub(start);
            if length <= 0 {
                return None;
            }
            let mut quality = kept.quality;
            let value = match next {
                Some(next) if rules.sloped && rules.is_good(next) => {
                    quality = quality.worst(next.quality);
                    let whole = next.time.saturating_sub(kept.time) as f64;
                    let at = |moment: Micros| {
                        kept.value + (next.value - kept.value) * (moment.saturating_sub(kept.time) as f64 / whole)
                    };
                    f64::midpoint(at(start), at(end))
                }
                _ => kept.value,
            };
            Some(Span { value, quality, length: length as f64 })
        })
    }
}

struct Span {
    value: f64,
    /// The worst of the samples that it goes from and to.
    quality: Quality,
    /// In µs.
    length: f64,
}
