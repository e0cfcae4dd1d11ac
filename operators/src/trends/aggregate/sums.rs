//! What a window keeps of each tag: one array per figure, only those that its outputs need.

use std::sync::Arc;

use ducto_record::{Micros, Quality};
use serde::{Deserialize, Serialize};

use super::calendar::Window;
use super::outputs::Output;
use super::weights::{Weight, WeightNeeds, Weights, gather};
use crate::slots::Slot;

/// Which figures are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    sum: bool,
    minimum: bool,
    minimum_time: bool,
    maximum: bool,
    maximum_time: bool,
    first: bool,
    last: bool,
    edges: bool,
    deviation: bool,
    worst: bool,
    pub(super) weights: WeightNeeds,
}

impl Needs {
    pub(super) fn of(outputs: &[Output], threshold: bool) -> Self {
        let any = |wanted: &[Output]| outputs.iter().any(|output| wanted.contains(output));
        Self {
            sum: any(&[Output::Average]),
            minimum: any(&[Output::Minimum, Output::MinimumTime, Output::Range]),
            minimum_time: any(&[Output::MinimumTime]),
            maximum: any(&[Output::Maximum, Output::MaximumTime, Output::Range]),
            maximum_time: any(&[Output::MaximumTime]),
            first: any(&[Output::First, Output::FirstTime, Output::Delta]),
            last: any(&[Output::Last, Output::LastTime, Output::Delta]),
            edges: any(&[Output::Start, Output::End]),
            deviation: any(&[Output::StandardDeviation]),
            worst: any(&[Output::WorstQuality]),
            weights: WeightNeeds::of(outputs, threshold),
        }
    }

    /// Bytes that a tag takes in each window.
    pub(super) fn bytes(self) -> usize {
        let of = |needed: bool, bytes: usize| if needed { bytes } else { 0 };
        4 + of(self.sum, 8)
            + of(self.minimum, 8)
            + of(self.minimum_time, 8)
            + of(self.maximum, 8)
            + of(self.maximum_time, 8)
            + of(self.first, 16)
            + of(self.last, 16)
            + of(self.edges, 34)
            + of(self.deviation, 16)
            + of(self.worst, 2)
            + self.weights.bytes()
    }
}

/// The figures of a window, one of each per slot. Arrays of figures that no output needs stay empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) start: Micros,
    pub(super) end: Micros,
    /// Its rows were given: what comes now is a correction.
    pub(super) closed: bool,
    /// The newest time of all its samples: as long as times rise, no slot's own need be compared.
    newest: Micros,
    pub(super) count: Vec<u32>,
    sum: Vec<f64>,
    minimum: Vec<f64>,
    minimum_time: Vec<Micros>,
    maximum: Vec<f64>,
    maximum_time: Vec<Micros>,
    first: Vec<f64>,
    first_time: Vec<Micros>,
    last: Vec<f64>,
    last_time: Vec<Micros>,
    /// The first and the last sample whatever their quality: NaN where it was not accepted.
    edge_start: Vec<f64>,
    edge_start_time: Vec<Micros>,
    edge_end: Vec<f64>,
    edge_end_time: Vec<Micros>,
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// The worst quality of all samples, and of the accepted ones. Plain Good changes neither: the arrays are made when
    /// the first other code comes.
    worst: Vec<u16>,
    quality: Vec<u16>,
    pub(super) weights: Weights,
    /// Of a window in which nobody had a sample until a late one came: slots that were beyond it then, so that the time
    /// over it was weighed nowhere. Mostly empty.
    pub(super) missing: Vec<bool>,
}

impl Sums {
    pub(super) fn new(window: Window) -> Self {
        Self {
            start: window.start,
            end: window.end,
            closed: false,
            newest: Micros::MIN,
            count: Vec::new(),
            sum: Vec::new(),
            minimum: Vec::new(),
            minimum_time: Vec::new(),
            maximum: Vec::new(),
            maximum_time: Vec::new(),
            first: Vec::new(),
            first_time: Vec::new(),
            last: Vec::new(),
            last_time: Vec::new(),
            edge_start: Vec::new(),
            edge_start_time: Vec::new(),
            edge_end: Vec::new(),
            edge_end_time: Vec::new(),
            mean: Vec::new(),
            squares: Vec::new(),
            worst: Vec::new(),
            quality: Vec::new(),
            weights: Weights::default(),
            missing: Vec::new(),
        }
    }

    pub(super) fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    /// Room for this many slots.
    pub(super) fn grow(&mut self, slots: usize, needs: Needs) {
        if self.count.len() >= slots {
            return;
        }
        self.count.resize(slots, 0);
        if needs.sum {
            self.sum.resize(slots, 0.0);
        }
        if needs.minimum {
            self.minimum.resize(slots, f64::INFINITY);
        }
        if needs.minimum_time {
            self.minimum_time.resize(slots, 0);
        }
        if needs.maximum {
            self.maximum.resize(slots, f64::NEG_INFINITY);
        }
        if needs.maximum_time {
            self.maximum_time.resize(slots, 0);
        }
        if needs.first {
            self.first.resize(slots, f64::NAN);
            self.first_time.resize(slots, Micros::MAX);
        }
        if needs.last {
            self.last.resize(slots, f64::NAN);
            self.last_time.resize(slots, Micros::MIN);
        }
        if needs.edges {
            self.edge_start.resize(slots, f64::NAN);
            self.edge_start_time.resize(slots, Micros::MAX);
            self.edge_end.resize(slots, f64::NAN);
            self.edge_end_time.resize(slots, Micros::MIN);
        }
        if needs.deviation {
            self.mean.resize(slots, 0.0);
            self.squares.resize(slots, 0.0);
        }
        self.weights.grow(slots, needs.weights);
    }

    /// Accepted samples of neighbouring slots at one time: the whole of a scan, mostly. A loop per figure, which the
    /// compiler turns into vectors.
    pub(super) fn add_run(&mut self, first: Slot, values: &[f64], time: Micros) {
        let slots = first as usize..first as usize + values.len();
        for count in &mut self.count[slots.clone()] {
            *count += 1;
        }
        if !self.sum.is_empty() {
            for (sum, value) in self.sum[slots.clone()].iter_mut().zip(values) {
                *sum += value;
            }
        }
        // The time of an extreme first: it compares with the extreme as it was. Among equals the earliest time is kept,
        // also when it comes late.
        if !self.minimum_time.is_empty() {
            let figures = self.minimum_time[slots.clone()].iter_mut().zip(&self.minimum[slots.clone()]);
            for ((at, minimum), value) in figures.zip(values) {
                let better = (value < minimum) | ((value == minimum) & (time < *at));
                *at = if better { time } else { *at };
            }
        }
        if !self.minimum.is_empty() {
            for (minimum, &value) in self.minimum[slots.clone()].iter_mut().zip(values) {
                *minimum = if value < *minimum { value } else { *minimum };
            }
        }
        if !self.maximum_time.is_empty() {
            let figures = self.maximum_time[slots.clone()].iter_mut().zip(&self.maximum[slots.clone()]);
            for ((at, maximum), value) in figures.zip(values) {
                let better = (value > maximum) | ((value == maximum) & (time < *at));
                *at = if better { time } else { *at };
            }
        }
        if !self.maximum.is_empty() {
            for (maximum, &value) in self.maximum[slots.clone()].iter_mut().zip(values) {
                *maximum = if value > *maximum { value } else { *maximum };
            }
        }
        if !self.first.is_empty() {
            let figures = self.first[slots.clone()].iter_mut().zip(&mut self.first_time[slots.clone()]);
            for ((first, at), &value) in figures.zip(values) {
                let earlier = time < *at;
                *first = if earlier { value } else { *first };
                *at = if earlier { time } else { *at };
            }
        }
        if !self.last.is_empty() {
            if time >= self.newest {
                self.last[slots.clone()].copy_from_slice(values);
                self.last_time[slots.clone()].fill(time);
            } else {
                let figures = self.last[slots.clone()].iter_mut().zip(&mut self.last_time[slots.clone()]);
                for ((last, at), &value) in figures.zip(values) {
                    let later = time >= *at;
                    *last = if later { value } else { *last };
                    *at = if later { time } else { *at };
                }
            }
        }
        if !self.edge_start.is_empty() {
            for (slot, &value) in slots.clone().zip(values) {
                self.edge(slot, time, value);
            }
        }
        if !self.mean.is_empty() {
            for (slot, &value) in slots.zip(values) {
                self.deviate(slot, value);
            }
        }
        self.newest = self.newest.max(time);
    }

    /// The qualities of accepted samples, some of which are not plain Good.
    pub(super) fn add_qualities(&mut self, first: Slot, qualities: &[u16], needs: Needs) {
        merge(&mut self.quality, first, qualities, self.count.len());
        if needs.worst {
            merge(&mut self.worst, first, qualities, self.count.len());
        }
    }

    /// A sample that is not accepted.
    pub(super) fn reject(&mut self, slot: Slot, time: Micros, quality: u16, needs: Needs) {
        if needs.worst {
            merge(&mut self.worst, slot, &[quality], self.count.len());
        }
        if needs.edges {
            self.edge(slot as usize, time, f64::NAN);
        }
    }

    /// Takes `new` in the place of `old` among what this window has of a slot.
    pub(super) fn reweigh(&mut self, slot: Slot, old: Weight, new: Weight) {
        if let Some(missing) = self.missing.get_mut(slot as usize) {
            *missing = false;
        }
        self.weights.replace(slot, old, new);
    }

    /// Whether the time of a slot over this window was weighed nowhere.
    pub(super) fn is_missing(&self, slot: Slot) -> bool {
        self.missing.get(slot as usize).copied().unwrap_or_default()
    }

    fn edge(&mut self, slot: usize, time: Micros, value: f64) {
        if time < self.edge_start_time[slot] {
            self.edge_start_time[slot] = time;
            self.edge_start[slot] = value;
        }
        if time >= self.edge_end_time[slot] {
            self.edge_end_time[slot] = time;
            self.edge_end[slot] = value;
        }
    }

    /// Welford's update; `count` holds the sample already.
    fn deviate(&mut self, slot: usize, value: f64) {
        let step = value - self.mean[slot];
        self.mean[slot] += step / f64::from(self.count[slot]);
        self.squares[slot] += step * (value - self.mean[slot]);
    }

    /// Whether a row stands for this slot: it has an accepted sample.
    pub(super) fn has_row(&self, slot: Slot) -> bool {
        self.count.get(slot as usize).is_some_and(|count| *count > 0)
    }

    /// The worst quality of the accepted samples.
    pub(super) fn quality_of(&self, slot: Slot) -> Quality {
        self.quality.get(slot as usize).map_or(Quality::GOOD, |quality| Quality(*quality))
    }

    /// An output as a number: times are µs, which a float64 holds exactly until the year 2255. `weight` is all that the
    /// slot weighs in this window.
    pub(super) fn value(&self, output: Output, slot: Slot, weight: &Weight, total_per: Micros) -> Option<f64> {
        let at = slot as usize;
        let count = self.count.get(at).copied().unwrap_or_default();
        let figure = |figures: &[f64]| figures.get(at).copied().filter(|_| count > 0);
        let time = |times: &[Micros]| times.get(at).map(|time| *time as f64).filter(|_| count > 0);
        let edge = |figures: &[f64]| figures.get(at).copied().filter(|value| value.is_finite());
        let length = self.end.saturating_sub(self.start) as f64;
        let good = weight.good;
        match output {
            Output::Count => Some(f64::from(count)),
            Output::Average => figure(&self.sum).map(|sum| sum / f64::from(count)),
            Output::Minimum => figure(&self.minimum),
            Output::Maximum => figure(&self.maximum),
            Output::MinimumTime => time(&self.minimum_time),
            Output::MaximumTime => time(&self.maximum_time),
            Output::Range => Some(figure(&self.maximum)? - figure(&self.minimum)?),
            Output::First => figure(&self.first),
            Output::FirstTime => time(&self.first_time),
            Output::Last => figure(&self.last),
            Output::LastTime => time(&self.last_time),
            Output::Delta => Some(figure(&self.last)? - figure(&self.first)?),
            Output::Start => edge(&self.edge_start),
            Output::End => edge(&self.edge_end),
            Output::StandardDeviation => {
                (count > 1).then(|| self.squares[at] / f64::from(count - 1)).map(|variance| variance.max(0.0).sqrt())
            }
            Output::WorstQuality => Some(f64::from(self.worst.get(at).copied().unwrap_or(Quality::GOOD.0))),
            Output::TimeAverage => (good > 0.0).then(|| weight.integral / good),
            Output::Total => (good > 0.0).then(|| weight.integral / total_per as f64),
            Output::DurationGood => Some(good / 1e6),
            Output::PercentGood => Some(if length > 0.0 { 100.0 * good / length } else { 0.0 }),
            Output::NumberOfTransitions => Some(f64::from(weight.transitions)),
            Output::DurationInStateZero => Some((good - weight.nonzero) / 1e6),
            Output::DurationInStateNonzero => Some(weight.nonzero / 1e6),
        }
        // An infinite sum of finite values is no figure.
        .filter(|value| value.is_finite())
    }

    /// The same figures with slots given anew: `from[new]` is the slot of this one.
    pub(super) fn permuted(&self, from: &[Option<Slot>], needs: Needs) -> Self {
        let mut result = Self::new(self.window());
        result.take(self, from, needs);
        result
    }

    /// Takes the figures of other slots of the same window: `from[here]` is the slot in `other`.
    pub(super) fn take(&mut self, other: &Self, from: &[Option<Slot>], needs: Needs) {
        self.closed |= other.closed;
        self.newest = self.newest.max(other.newest);
        self.grow(from.len(), needs);
        gather(&mut self.count, &other.count, from);
        gather(&mut self.sum, &other.sum, from);
        gather(&mut self.minimum, &other.minimum, from);
        gather(&mut self.minimum_time, &other.minimum_time, from);
        gather(&mut self.maximum, &other.maximum, from);
        gather(&mut self.maximum_time, &other.maximum_time, from);
        gather(&mut self.first, &other.first, from);
        gather(&mut self.first_time, &other.first_time, from);
        gather(&mut self.last, &other.last, from);
        gather(&mut self.last_time, &other.last_time, from);
        gather(&mut self.edge_start, &other.edge_start, from);
        gather(&mut self.edge_start_time, &other.edge_start_time, from);
        gather(&mut self.edge_end, &other.edge_end, from);
        gather(&mut self.edge_end_time, &other.edge_end_time, from);
        gather(&mut self.mean, &other.mean, from);
        gather(&mut self.squares, &other.squares, from);
        for (kept, result) in [(&other.worst, &mut self.worst), (&other.quality, &mut self.quality)] {
            if !kept.is_empty() {
                result.resize(from.len(), Quality::GOOD.0);
                gather(result, kept, from);
            }
        }
        if !other.missing.is_empty() {
            self.missing.resize(from.len(), false);
            gather(&mut self.missing, &other.missing, from);
        }
        self.weights.take(&other.weights, from, needs.weights);
    }
}

/// Takes the qualities of neighbouring slots into the worst ones.
fn merge(worst: &mut Vec<u16>, first: Slot, qualities: &[u16], slots: usize) {
    if worst.len() < slots {
        worst.resize(slots, Quality::GOOD.0);
    }
    for (worst, quality) in worst[first as usize..].iter_mut().zip(qualities) {
        *worst = Quality(*worst).worst(Quality(*quality)).0;
    }
}

/// Windows by start, the newest last.
pub(super) type Windows = Vec<Arc<Sums>>;
