//! One sample judged check by check: the part of the operator that is not in a hurry.

use std::collections::VecDeque;
use std::sync::Arc;

use ducto_record::{Checks, Dense, Micros, Quality, TagId, Value, ValueKind};
use serde::{Deserialize, Serialize};

use super::flat::FlatRun;
use super::plan::{CLOCK_TOLERANCE, FrozenPlan, JumpPlan, LONGEST_WINDOW, Plan, SpikeForm};

/// What the fast path reads and writes of every tag: half a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hot {
    /// Time of the newest sample; `Micros::MIN` before the first.
    pub(super) newest: Micros,
    /// Engine time at which the last sample came.
    pub(super) seen: Micros,
    /// Bits of the last value, whatever its quality.
    pub(super) bits: u64,
    /// The next sample must be judged check by check. While this is false, the last value is the last good one as
    /// well, it repeats nothing, and [`TagState`] is out of date.
    pub(super) busy: bool,
}

/// What is kept of every tag besides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TagState {
    /// The value that the next is compared with for a jump; NaN before the first.
    last_good: f64,
    /// The value that a jump check rejected last.
    candidate: f64,
    /// Bits of the value of the flat run.
    flat: u64,
    /// Time at which the flat run began.
    since: Micros,
    /// How often the last value has been repeated bit by bit.
    run: u32,
    /// Agreeing rejections of the jump check in a row.
    rejections: u16,
    line: Line,
}

/// Whether there is a value that the next can repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Line {
    /// No value has come.
    #[default]
    Empty,
    /// There was a sample without a reading since the last value: a flat line begins anew.
    Broken,
    Standing,
}

impl Default for Hot {
    fn default() -> Self {
        Self { newest: Micros::MIN, seen: Micros::MIN, bits: 0, busy: true }
    }
}

impl Default for TagState {
    fn default() -> Self {
        Self { last_good: f64::NAN, candidate: f64::NAN, flat: 0, since: 0, run: 0, rejections: 0, line: Line::Empty }
    }
}

/// What only the rarer checks keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Extra {
    /// Time and value of the last sample that was not Bad, for the rate.
    #[serde(default)]
    before: Option<(Micros, f64)>,
    /// The last values that were not Bad, for Hampel's test.
    #[serde(default)]
    window: VecDeque<f64>,
    /// For frozen with a tolerance.
    #[serde(default)]
    flat: FlatRun,
    /// The sample that waits for the next one, for the differential test.
    #[serde(default)]
    pub(super) held: Option<Held>,
    /// The value before the one that waits.
    #[serde(default)]
    before_held: Option<f64>,
}

/// A sample that waits for the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) time: Micros,
    pub(super) value: Value,
    pub(super) quality: Quality,
    pub(super) checks: Checks,
    /// Engine time at which it goes without having seen a next one.
    pub(super) due: Micros,
    number: f64,
}

/// The rarer state by tag; a snapshot shares it.
pub(super) type Extras = Dense<Option<Arc<Extra>>>;

/// A value as the checks see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) number: f64,
    /// What makes two values the same: the bits of a float, the number of an integer.
    pub(super) bits: u64,
    pub(super) kind: ValueKind,
}

impl Reading {
    /// Bits by which values are compared for flatness: −0 is 0.
    fn flat(self) -> u64 {
        if self.kind == ValueKind::Float64 && self.number == 0.0 { 0 } else { self.bits }
    }
}

/// A sample on its way through the checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) tag: TagId,
    pub(super) time: Micros,
    pub(super) reading: Option<Reading>,
    pub(super) quality: Quality,
    pub(super) checks: Checks,
}

/// Where a sample stands in time among those of its tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arrival {
    /// Older than the newest: it moves nothing.
    OutOfOrder,
    /// After this much time, where there was one before.
    InOrder { after: Option<Micros> },
}

/// What a condition of a check says of the moment.
pub(super) type Verdicts<'a> = &'a mut dyn FnMut(usize) -> Option<bool>;

impl Sample {
    fn fail(&mut self, check: Checks, verdict: Quality) {
        self.checks = self.checks.with(check);
        self.quality = self.quality.worst(verdict);
    }

    fn is_judged(&self) -> bool {
        !self.quality.is_bad()
    }
}

/// Takes note that a sample has come, and says whether it is in order. `now` is engine time.
pub(super) fn arrive(plan: &Plan, hot: &mut Hot, state: &mut TagState, sample: &Sample, now: Micros) -> Arrival {
    if sample.checks.contains(Checks::OUT_OF_ORDER) {
        return Arrival::OutOfOrder;
    }
    if sample.time < hot.newest {
        // A device whose clock was ahead and has been put right: its newest time is no measure.
        let tolerance = plan.future.map_or(CLOCK_TOLERANCE, |(tolerance, _)| tolerance);
        if hot.newest <= now.saturating_add(tolerance) {
            return Arrival::OutOfOrder;
        }
    }
    state.catch_up(hot, plan.kind);
    let after = (hot.newest != Micros::MIN).then(|| sample.time.saturating_sub(hot.newest));
    hot.newest = sample.time;
    // Of what is out of service nothing more is expected, so that its silence is none.
    hot.seen = if sample.quality == Quality::OUT_OF_SERVICE { Micros::MIN } else { now };
    Arrival::InOrder { after }
}

fn flat_bits(kind: ValueKind, bits: u64) -> u64 {
    if kind == ValueKind::Float64 && f64::from_bits(bits) == 0.0 { 0 } else { bits }
}

/// Judges a sample that has arrived, in the order range, jump, spike, rate, cross_check, frozen, gap, future.
/// A check judges what is not yet Bad, and never makes a quality better.
pub(super) fn judge(
    plan: &Plan,
    (hot, state): (&mut Hot, &mut TagState),
    extras: &mut Extras,
    sample: &mut Sample,
    arrival: Arrival,
    now: Micros,
    conditions: Verdicts<'_>,
) {
    let Arrival::InOrder { after } = arrival else {
        range(plan, sample);
        sample.checks = sample.checks.with(Checks::OUT_OF_ORDER);
        return;
    };
    let Some(reading) = sample.reading else {
        state.interrupt();
        if plan.frozen.as_ref().is_some_and(|frozen| frozen.tolerance > 0.0) {
            extra(extras, sample.tag).flat.clear();
        }
        times(plan, sample, after, now);
        return;
    };
    // A sample of any quality counts as a repeat.
    let repeats = state.line != Line::Empty && reading.bits == hot.bits;
    state.run = if repeats { state.run.saturating_add(1) } else { 0 };
    hot.bits = reading.bits;
    if state.line == Line::Empty {
        state.line = Line::Broken;
    }
    range(plan, sample);
    let level = sample.is_judged() && jump(plan.jump.as_ref(), state, sample, reading.number);
    if sample.is_judged() && (plan.spike.is_some() || plan.rate.is_some()) {
        spike_and_rate(plan, extra(extras, sample.tag), sample, reading.number);
    }
    if sample.is_judged()
        && let Some((condition, verdict)) = plan.cross
        && conditions(condition) == Some(false)
    {
        sample.fail(Checks::CROSS_CHECK, verdict);
    }
    let usable = sample.is_judged();
    if usable {
        let flat = reading.flat();
        if state.line != Line::Standing || flat != state.flat {
            state.since = sample.time;
            state.flat = flat;
            state.line = Line::Standing;
        }
    }
    if let Some(frozen) = &plan.frozen {
        self::frozen(frozen, state, extras, sample, reading.number, conditions);
    }
    // Only what no check has made Uncertain is a good value for the next to be compared with.
    if level && sample.quality.is_good() {
        state.last_good = reading.number;
    }
    times(plan, sample, after, now);
    let standing = state.line == Line::Standing && state.since == sample.time;
    let settled = usable && state.run == 0 && state.rejections == 0 && standing;
    hot.busy = !(settled && state.last_good.to_bits() == hot.bits);
}

fn range(plan: &Plan, sample: &mut Sample) {
    let Some(Reading { number, .. }) = sample.reading else { return };
    if !sample.is_judged() {
        return;
    }
    if !number.is_finite() {
        sample.fail(Checks::RANGE, Quality::BAD);
        return;
    }
    let outside = |limits: Option<[f64; 2]>| limits.is_some_and(|[low, high]| !(number >= low && number <= high));
    if outside(plan.span) {
        sample.fail(Checks::RANGE, plan.span_verdict);
    }
    if sample.is_judged() && outside(plan.envelope) {
        sample.fail(Checks::ENVELOPE, plan.envelope_verdict);
    }
}

/// Says whether the value is near enough to the last good one.
fn jump(plan: Option<&JumpPlan>, state: &mut TagState, sample: &mut Sample, number: f64) -> bool {
    let limit = plan.map_or(f64::INFINITY, |plan| plan.limit);
    // NaN before the first good value: nothing is far from it.
    if let Some(plan) = plan.filter(|_| (number - state.last_good).abs() > limit) {
        let agrees = state.rejections > 0 && (number - state.candidate).abs() <= limit;
        state.rejections = if agrees { state.rejections.saturating_add(1) } else { 1 };
        state.candidate = number;
        if u32::from(state.rejections) >= plan.rearm {
            // The new level is real. This sample was still rejected; the next is compared with it.
            state.last_good = number;
            state.rejections = 0;
        }
        sample.fail(Checks::JUMP, plan.verdict);
        return false;
    }
    state.rejections = 0;
    true
}

fn spike_and_rate(plan: &Plan, extra: &mut Extra, sample: &mut Sample, number: f64) {
    if let Some((SpikeForm::Hampel { min, k, window }, verdict)) = plan.spike {
        extra.window.push_back(number);
        while extra.window.len() > window {
            extra.window.pop_front();
        }
        if extra.window.len() == window && is_spike(&extra.window, number, min, k) {
            sample.fail(Checks::SPIKE, verdict);
        }
    }
    if !sample.is_judged() {
        return;
    }
    if let Some((limit, verdict)) = plan.rate {
        if let Some((time, before)) = extra.before {
            let seconds = sample.time.saturating_sub(time) as f64 / 1e6;
            // Two values at one time have no rate.
            if seconds > 0.0 && ((number - before) / seconds).abs() > limit {
                sample.fail(Checks::RATE, verdict);
            }
        }
        extra.before = Some((sample.time, number));
    }
}

/// Hampel's test for the newest value of a window.
fn is_spike(window: &VecDeque<f64>, number: f64, min: f64, k: f64) -> bool {
    let mut sorted = [0.0; LONGEST_WINDOW];
    let Some(sorted) = sorted.get_mut(..window.len()) else { return false };
    for (to, from) in sorted.iter_mut().zip(window) {
        *to = *from;
    }
    let median = median(sorted);
    for value in sorted.iter_mut() {
        *value = (*value - median).abs();
    }
    let spread = 1.4826 * self::median(sorted);
    (number - median).abs() > min.max(k * spread)
}

/// The median; of an even number of values the mean of the two in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn frozen(
    plan: &FrozenPlan,
    state: &mut TagState,
    extras: &mut Extras,
    sample: &mut Sample,
    number: f64,
    conditions: Verdicts<'_>,
) {
    if let Some(running) = plan.running
        && conditions(running) != Some(true)
    {
        // The first sample of the equipment at work begins the line.
        state.run = 0;
        state.line = Line::Broken;
        if plan.tolerance > 0.0 {
            extra(extras, sample.tag).flat.clear();
        }
        return;
    }
    if !sample.is_judged() {
        return;
    }
    let reach = plan.fail.max(plan.suspect);
    let since = match reach {
        Some(reach) if plan.tolerance > 0.0 => {
            extra(extras, sample.tag).flat.push(sample.time, number, plan.tolerance, reach)
        }
        _ => state.since,
    };
    let flat = sample.time.saturating_sub(since);
    let repeated = plan.repeats.is_some_and(|repeats| state.run >= repeats);
    if plan.fail.is_some_and(|fail| flat >= fail) {
        sample.fail(Checks::FROZEN, plan.fail_verdict);
    } else if repeated || plan.suspect.is_some_and(|suspect| flat >= suspect) {
        sample.fail(Checks::FROZEN, plan.verdict);
    }
}

fn times(plan: &Plan, sample: &mut Sample, after: Option<Micros>, now: Micros) {
    if let Some((span, verdict)) = plan.gap
        && sample.is_judged()
        && after.is_some_and(|after| after > span)
    {
        sample.fail(Checks::GAP, verdict);
    }
    if let Some((tolerance, verdict)) = plan.future
        && sample.is_judged()
        && sample.time > now.saturating_add(tolerance)
    {
        sample.fail(Checks::FUTURE, verdict);
    }
}

/// The rarer state of a tag, for writing.
pub(super) fn extra(extras: &mut Extras, tag: TagId) -> &mut Extra {
    Arc::make_mut(extras.get_mut(tag).get_or_insert_default())
}

/// Puts a sample in the place of the one that waited for it, which has now been judged by both its neighbours.
/// A Bad sample does not wait: it lets the one before it go, and follows.
pub(super) fn exchange(
    extra: &mut Extra,
    threshold: f64,
    verdict: Quality,
    sample: &Sample,
    due: Micros,
    value: impl FnOnce() -> Value,
) -> (Option<Held>, bool) {
    let Some(reading) = sample.reading.filter(|_| sample.is_judged()) else {
        return (extra.let_go(), false);
    };
    let number = reading.number;
    let mut released = extra.held.replace(Held {
        time: sample.time,
        value: value(),
        quality: sample.quality,
        checks: sample.checks,
        due,
        number,
    });
    if let Some(held) = &mut released {
        if let Some(before) = extra.before_held {
            let (rise, fall) = (held.number - before, number - held.number);
            if rise * fall < 0.0 && rise.abs().min(fall.abs()) > threshold {
                held.checks = held.checks.with(Checks::SPIKE);
                held.quality = held.quality.worst(verdict);
            }
        }
        extra.before_held = Some(held.number);
    }
    (released, true)
}

impl Extra {
    /// The sample that waits goes, since no next one has come.
    pub(super) fn let_go(&mut self) -> Option<Held> {
        let held = self.held.take()?;
        self.before_held = Some(held.number);
        Some(held)
    }
}

impl TagState {
    /// Takes over what the fast path has left in the hot record alone.
    fn catch_up(&mut self, hot: &mut Hot, kind: ValueKind) {
        if !hot.busy {
            self.since = hot.newest;
            self.flat = flat_bits(kind, hot.bits);
            self.run = 0;
            // The fast path keeps the bits of floats, of integers as well.
            self.last_good = f64::from_bits(hot.bits);
            hot.busy = true;
        }
    }

    /// There is no reading: what comes next does not continue a flat line.
    fn interrupt(&mut self) {
        if self.line == Line::Standing {
            self.line = Line::Broken;
        }
    }

    /// A sample without a value was made for this tag.
    pub(super) fn silence(&mut self, hot: &mut Hot, kind: ValueKind) {
        self.catch_up(hot, kind);
        self.interrupt();
    }
}
