//! Weights: figures in which values count by the time they last.

use ducto_record::Micros;
use serde::{Deserialize, Serialize};

use super::sums::Slot;

/// Weights per slot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Weights {
    /// Σ value · µs.
    integral: Vec<f64>,
    /// µs with an accepted value.
    good: Vec<i64>,
    /// Of these, with a value that is not zero.
    nonzero: Vec<i64>,
    transitions: Vec<u32>,
}

/// The weights of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    integral: f64,
    good: i64,
    nonzero: i64,
    transitions: u32,
}

impl Weights {
    pub(super) fn grow(&mut self, slots: usize) {
        if self.good.len() < slots {
            self.integral.resize(slots, 0.0);
            self.good.resize(slots, 0);
            self.nonzero.resize(slots, 0);
            self.transitions.resize(slots, 0);
        }
    }

    pub(super) fn good(&self, slot: Slot) -> i64 {
        self.good.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn integral(&self, slot: Slot) -> f64 {
        self.integral.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn nonzero(&self, slot: Slot) -> i64 {
        self.nonzero.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn transitions(&self, slot: Slot) -> u32 {
        self.transitions.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, slot: Slot) -> Weight {
        Weight {
            integral: self.integral(slot),
            good: self.good(slot),
            nonzero: self.nonzero(slot),
            transitions: self.transitions(slot),
        }
    }

    pub(super) fn set(&mut self, slot: Slot, weight: Weight) {
        let at = slot as usize;
        self.grow(at + 1);
        self.integral[at] = weight.integral;
        self.good[at] = weight.good;
        self.nonzero[at] = weight.nonzero;
        self.transitions[at] = weight.transitions;
    }

    /// Takes `new` in the place of `old`.
    pub(super) fn replace(&mut self, slot: Slot, old: Weight, new: Weight) {
        let now = self.get(slot);
        self.set(
            slot,
            Weight {
                integral: now.integral - old.integral + new.integral,
                good: now.good - old.good + new.good,
                nonzero: now.nonzero - old.nonzero + new.nonzero,
                transitions: now.transitions.saturating_sub(old.transitions).saturating_add(new.transitions),
            },
        );
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.grow(other.good.len());
        for (to, from) in self.integral.iter_mut().zip(&other.integral) {
            *to += from;
        }
        for (to, from) in self.good.iter_mut().zip(&other.good) {
            *to += from;
        }
        for (to, from) in self.nonzero.iter_mut().zip(&other.nonzero) {
            *to += from;
        }
        for (to, from) in self.transitions.iter_mut().zip(&other.transitions) {
            *to += from;
        }
    }

    pub(super) fn take_from(&mut self, other: &Self, from: &[Option<Slot>]) {
        for (to, slot) in from.iter().enumerate() {
            if let Some(slot) = slot
                && other.good.len() > *slot as usize
            {
                self.set(to as Slot, other.get(*slot));
            }
        }
    }
}

/// What is known of a tag up to a time: its newest sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Carry {
    pub(super) time: Micros,
    /// Of the newest accepted sample; NaN before the first.
    pub(super) value: f64,
    /// Whether the newest sample is accepted: only then does its value hold until the next.
    pub(super) good: bool,
}

impl Default for Carry {
    fn default() -> Self {
        Self { time: Micros::MIN, value: f64::NAN, good: false }
    }
}

/// A sample as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) slot: Slot,
    pub(super) time: Micros,
    /// NaN where it is not accepted.
    pub(super) value: f64,
}

/// One slot on its way through a pane.
pub(super) struct Walk {
    pub(super) from: Micros,
    pub(super) carry: Carry,
    pub(super) weight: Weight,
    pub(super) sloped: bool,
}

impl Walk {
    /// The next sample; `value` is NaN where it is not accepted.
    #[inline]
    pub(super) fn step(&mut self, time: Micros, value: f64) {
        let good = !value.is_nan();
        if self.carry.good {
            self.span(time, if self.sloped && good { Some(value) } else { None });
        }
        if good {
            if !self.carry.value.is_nan() && time >= self.from && (self.carry.value == 0.0) != (value == 0.0) {
                self.weight.transitions += 1;
            }
            self.carry.value = value;
        }
        self.carry.good = good;
        self.carry.time = time;
    }

    /// The value held, or the line to the next value, from the last sample (or the pane's start) until `time`.
    #[inline]
    fn span(&mut self, time: Micros, next: Option<f64>) {
        self.span_until(time, time, next);
    }

    /// The part until `end` of the span until `time`.
    fn span_until(&mut self, end: Micros, time: Micros, next: Option<f64>) {
        let Carry { time: since, value, .. } = self.carry;
        let from = since.max(self.from);
        let length = end.saturating_sub(from);
        if length <= 0 {
            return;
        }
        let held = match next {
            None => value,
            Some(next) => {
                let whole = time.saturating_sub(since) as f64;
                let at = |moment: Micros| value + (next - value) * (moment.saturating_sub(since) as f64 / whole);
                f64::midpoint(at(from), at(end))
            }
        };
        self.weight.integral += held * length as f64;
        self.weight.good += length;
        if value != 0.0 {
            self.weight.nonzero += length;
        }
    }

    /// The rest of the pane: to the next sample behind it, where that is known and accepted, or held.
    pub(super) fn finish(&mut self, end: Micros, next: Option<Kept>) {
        if self.carry.good {
            match next {
                Some(next) if self.sloped && !next.value.is_nan() => {
                    self.span_until(end, next.time, Some(next.value));
                }
                _ => self.span(end, None),
            }
        }
    }
}
