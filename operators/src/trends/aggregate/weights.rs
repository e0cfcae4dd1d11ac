//! Weights: figures in which values count by the time they last.

use std::ops::Range;

use ducto_record::Micros;
use serde::{Deserialize, Serialize};

use super::calendar::Window;
use super::outputs::Output;
use crate::slots::Slot;

/// Which weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WeightNeeds {
    integral: bool,
    good: bool,
    nonzero: bool,
    transitions: bool,
}

impl WeightNeeds {
    /// `threshold`: the share of good time is compared with one.
    pub(super) fn of(outputs: &[Output], threshold: bool) -> Self {
        let any = |wanted: &[Output]| outputs.iter().any(|output| wanted.contains(output));
        Self {
            integral: any(&[Output::TimeAverage, Output::Total]),
            good: threshold
                || any(&[
                    Output::TimeAverage,
                    Output::Total,
                    Output::DurationGood,
                    Output::PercentGood,
                    Output::DurationInStateZero,
                ]),
            nonzero: any(&[Output::DurationInStateZero, Output::DurationInStateNonzero]),
            transitions: any(&[Output::NumberOfTransitions]),
        }
    }

    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    pub(super) fn transitions(self) -> bool {
        self.transitions
    }

    /// Bytes that a tag takes in each window.
    pub(super) fn bytes(self) -> usize {
        let of = |needed: bool, bytes: usize| if needed { bytes } else { 0 };
        of(self.integral, 8) + of(self.good, 8) + of(self.nonzero, 8) + of(self.transitions, 4)
    }
}

/// A sample as it is weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) time: Micros,
    /// NaN where it is not accepted.
    pub(super) value: f64,
}

impl Point {
    /// Before the first sample.
    pub(super) const NEVER: Self = Self { time: Micros::MIN, value: f64::NAN };

    pub(super) fn is_accepted(self) -> bool {
        !self.value.is_nan()
    }
}

/// The weights of one slot in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    /// Σ value · µs.
    pub(super) integral: f64,
    /// µs with an accepted value. A float64 like the integral: whole numbers are exact, and one loop adds both.
    pub(super) good: f64,
    /// Of these, with a value that is not zero.
    pub(super) nonzero: f64,
    pub(super) transitions: u32,
}

impl Weight {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            integral: self.integral + other.integral,
            good: self.good + other.good,
            nonzero: self.nonzero + other.nonzero,
            transitions: self.transitions.saturating_add(other.transitions),
        }
    }
}

/// The mean of what goes from `held` towards `next`, of which `share` is reached: a half on a line, nothing on a step.
#[inline]
fn between(held: f64, next: f64, share: f64) -> f64 {
    held * (1.0 - share) + next * share
}

/// Whether there is a change between zero and not zero; NaN is neither.
#[inline]
pub(super) fn changes(before: f64, after: f64) -> bool {
    !before.is_nan() & !after.is_nan() & ((before == 0.0) != (after == 0.0))
}

/// Whether values are joined by a line that is not the value held.
pub(super) fn bends(from: Point, to: Point, sloped: bool) -> bool {
    sloped && from.is_accepted() && to.is_accepted() && from.value != to.value
}

/// What the time from a sample to the next one weighs in a window; without a next one the value holds until the
/// window's end. Equal to what [`Weights::add_run`] adds, to the last bit, where the window holds all of it.
pub(super) fn span(from: Point, to: Option<Point>, window: Window, sloped: bool) -> Weight {
    let begin = from.time.max(window.start);
    let end = to.map_or(window.end, |to| to.time.min(window.end));
    let length = end.saturating_sub(begin);
    if !from.is_accepted() || length <= 0 {
        return Weight::default();
    }
    let length = length as f64;
    let mean = match to {
        Some(to) if bends(from, to, sloped) => {
            let whole = to.time.saturating_sub(from.time) as f64;
            let at = |time: Micros| between(from.value, to.value, time.saturating_sub(from.time) as f64 / whole);
            between(at(begin), at(end), 0.5)
        }
        _ => from.value,
    };
    Weight {
        integral: mean * length,
        good: length,
        nonzero: if from.value == 0.0 { 0.0 } else { length },
        transitions: 0,
    }
}

/// The newest sample of each slot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Newest {
    /// µs as float64, which is exact until the year 2255: so that times are subtracted in vectors. −∞ before the first.
    time: Vec<f64>,
    /// NaN where it is not accepted: only an accepted value lasts until the next.
    value: Vec<f64>,
    /// The newest value that was accepted, for transitions; NaN before the first.
    accepted: Vec<f64>,
}

impl Newest {
    pub(super) fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    pub(super) fn grow(&mut self, slots: usize, needs: WeightNeeds) {
        if self.time.len() < slots {
            self.time.resize(slots, f64::NEG_INFINITY);
            self.value.resize(slots, f64::NAN);
            if needs.transitions {
                self.accepted.resize(slots, f64::NAN);
            }
        }
    }

    pub(super) fn point(&self, slot: Slot) -> Point {
        let at = slot as usize;
        match (self.time.get(at), self.value.get(at)) {
            // −∞ becomes the least integer.
            (Some(time), Some(value)) => Point { time: *time as Micros, value: *value },
            _ => Point::NEVER,
        }
    }

    pub(super) fn accepted(&self, slot: Slot) -> f64 {
        self.accepted.get(slot as usize).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn set(&mut self, slot: Slot, point: Point) {
        let at = slot as usize;
        self.time[at] = point.time as f64;
        self.value[at] = point.value;
        if point.is_accepted() {
            self.set_accepted(slot, point.value);
        }
    }

    pub(super) fn set_accepted(&mut self, slot: Slot, value: f64) {
        if let Some(accepted) = self.accepted.get_mut(slot as usize) {
            *accepted = value;
        }
    }

    /// Accepted values of neighbours at one time.
    pub(super) fn set_run(&mut self, slots: Range<usize>, values: &[f64], time: Micros) {
        self.time[slots.clone()].fill(time as f64);
        self.value[slots.clone()].copy_from_slice(values);
        if !self.accepted.is_empty() {
            self.accepted[slots].copy_from_slice(values);
        }
    }

    /// Whether the samples of all these slots lie in `from..=to`.
    pub(super) fn are_within(&self, slots: Range<usize>, from: Micros, to: Micros) -> bool {
        let (from, to) = (from as f64, to as f64);
        self.time[slots].iter().fold(true, |all, time| all & (*time >= from) & (*time <= to))
    }

    /// Per slot, whether its newest sample is at `time` or later; empty where there is none.
    pub(super) fn beyond(&self, time: Micros) -> Vec<bool> {
        let time = time as f64;
        if self.time.iter().any(|newest| *newest >= time) {
            self.time.iter().map(|newest| *newest >= time).collect()
        } else {
            Vec::new()
        }
    }

    /// What the newest sample adds to its window as long as no other is known: its value holds until the end.
    pub(super) fn rest(&self, slot: Slot, window: Window) -> Weight {
        let newest = self.point(slot);
        if window.contains(newest.time) { span(newest, None, window, false) } else { Weight::default() }
    }

    /// The same with slots given anew: `from[new]` is the slot of this one.
    pub(super) fn permuted(&self, from: &[Option<Slot>], needs: WeightNeeds) -> Self {
        let mut result = Self::default();
        result.take(self, from, needs);
        result
    }

    /// Takes what `other` has of other slots: `from[here]` is the slot there.
    pub(super) fn take(&mut self, other: &Self, from: &[Option<Slot>], needs: WeightNeeds) {
        self.grow(from.len(), needs);
        gather(&mut self.time, &other.time, from);
        gather(&mut self.value, &other.value, from);
        gather(&mut self.accepted, &other.accepted, from);
    }
}

/// Weights per slot: arrays of figures that no output needs stay empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Weights {
    integral: Vec<f64>,
    good: Vec<f64>,
    nonzero: Vec<f64>,
    transitions: Vec<u32>,
}

impl Weights {
    pub(super) fn grow(&mut self, slots: usize, needs: WeightNeeds) {
        for (figures, needed) in
            [(&mut self.integral, needs.integral), (&mut self.good, needs.good), (&mut self.nonzero, needs.nonzero)]
        {
            if needed && figures.len() < slots {
                figures.resize(slots, 0.0);
            }
        }
        if needs.transitions && self.transitions.len() < slots {
            self.transitions.resize(slots, 0);
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Weight {
        let at = slot as usize;
        let figure = |figures: &[f64]| figures.get(at).copied().unwrap_or_default();
        Weight {
            integral: figure(&self.integral),
            good: figure(&self.good),
            nonzero: figure(&self.nonzero),
            transitions: self.transitions.get(at).copied().unwrap_or_default(),
        }
    }

    /// Takes `new` in the place of `old`.
    pub(super) fn replace(&mut self, slot: Slot, old: Weight, new: Weight) {
        let at = slot as usize;
        for (figures, old, new) in [
            (&mut self.integral, old.integral, new.integral),
            (&mut self.good, old.good, new.good),
            (&mut self.nonzero, old.nonzero, new.nonzero),
        ] {
            if let Some(figure) = figures.get_mut(at) {
                *figure = *figure - old + new;
            }
        }
        if let Some(figure) = self.transitions.get_mut(at) {
            *figure = figure.saturating_add(new.transitions).saturating_sub(old.transitions);
        }
    }

    /// The time from the newest samples of neighbouring slots to the next ones, all accepted and at one time; all of it
    /// lies in this window. `shares`: a half where values are joined by lines, nothing where they hold. A loop per
    /// figure without a branch, which the compiler turns into vectors.
    pub(super) fn add_run(
        &mut self,
        slots: Range<usize>,
        newest: &Newest,
        shares: &[f64],
        values: &[f64],
        time: Micros,
    ) {
        let time = time as f64;
        let (since, held) = (&newest.time[slots.clone()], &newest.value[slots.clone()]);
        if !self.integral.is_empty() {
            let spans = since.iter().zip(held).zip(shares.iter().zip(values));
            for (sum, ((since, held), (share, next))) in self.integral[slots.clone()].iter_mut().zip(spans) {
                let part = between(*held, *next, *share) * (time - since);
                *sum += if held.is_nan() { 0.0 } else { part };
            }
        }
        if !self.good.is_empty() {
            for (sum, (since, held)) in self.good[slots.clone()].iter_mut().zip(since.iter().zip(held)) {
                *sum += if held.is_nan() { 0.0 } else { time - since };
            }
        }
        if !self.nonzero.is_empty() {
            for (sum, (since, held)) in self.nonzero[slots.clone()].iter_mut().zip(since.iter().zip(held)) {
                *sum += if held.is_nan() | (*held == 0.0) { 0.0 } else { time - since };
            }
        }
        if !self.transitions.is_empty() {
            let accepted = newest.accepted[slots.clone()].iter().zip(values);
            for (sum, (before, after)) in self.transitions[slots].iter_mut().zip(accepted) {
                *sum += u32::from(changes(*before, *after));
            }
        }
    }

    /// Takes what `other` has of other slots: `from[here]` is the slot there.
    pub(super) fn take(&mut self, other: &Self, from: &[Option<Slot>], needs: WeightNeeds) {
        self.grow(from.len(), needs);
        gather(&mut self.integral, &other.integral, from);
        gather(&mut self.good, &other.good, from);
        gather(&mut self.nonzero, &other.nonzero, from);
        gather(&mut self.transitions, &other.transitions, from);
    }
}

/// Figures of slots given anew: `from[new]` is the slot in `kept`.
pub(super) fn gather<T: Copy>(to: &mut [T], kept: &[T], from: &[Option<Slot>]) {
    for (to, slot) in to.iter_mut().zip(from) {
        if let Some(value) = slot.and_then(|slot| kept.get(slot as usize)) {
            *to = *value;
        }
    }
}
