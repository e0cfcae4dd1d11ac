//! The operator at work: the pass over a batch, silence, samples that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Float64Array, Int64Array, UInt32Array};
use ducto_graph::operator::{NodeError, Output, Own, Snapshot, Transform};
use ducto_record::{
    Batch, CHUNK, Checks, Dense, Directory, Micros, Quality, SampleColumns, Samples, SavedState, StateError, TagId,
    Times, Value, ValueKind, Values,
};
use serde::{Deserialize, Serialize};

use super::conditions::Conditions;
use super::judge::{Arrival, Extra, Extras, Hot, Reading, Sample, TagState, arrive, extra, judge};
use super::loose::{Holding, Holds, Loose};
use super::plan::{self, Limits, Plan, Plans};
use crate::slots::{Slot, Slots};

const VERSION: u32 = 2;

/// A running site makes an entry for each timer: where one is later than this, the site stood still.
const STOOD_STILL: Micros = 60 * ducto_record::time::SECOND;

/// `quality` at work.
pub(super) struct QualityTransform {
    directory: Arc<Directory>,
    own: Own,
    slots: Slots,
    /// By slot, as `patience`, `hot` and `state`.
    limits: Vec<Limits>,
    /// How long a tag may be silent; `Micros::MAX` for ever.
    patience: Vec<Micros>,
    hot: Dense<Hot>,
    state: Dense<TagState>,
    /// By tag number; a tag behind the end passes unjudged.
    plans: Plans,
    bounds: plan::Times,
    extras: Extras,
    conditions: Conditions,
    silence: Silence,
    holds: Holds,
    waiting: Vec<Waiting>,
    /// Engine time of the entry whose samples wait.
    waiting_at: Option<Micros>,
}

/// When to look for tags that have become silent: a lower bound for each chunk of slots, so that a sample costs nothing.
#[derive(Debug, Default)]
struct Silence {
    due: Vec<Micros>,
    next: Option<Micros>,
    /// The input has ended: nobody would send, so that silence says nothing.
    ended: bool,
}

impl Silence {
    fn at_the_latest(&mut self, slot: Slot, deadline: Micros) {
        if self.ended {
            return;
        }
        let chunk = slot as usize / CHUNK;
        if chunk >= self.due.len() {
            self.due.resize(chunk + 1, Micros::MAX);
        }
        self.due[chunk] = self.due[chunk].min(deadline);
        self.next = Some(self.next.map_or(deadline, |next| next.min(deadline)));
    }
}

/// A sample that waits for the end of its entry: it is judged with others of its asset, or others are judged with it.
#[derive(Clone, Debug)]
struct Waiting {
    sample: Sample,
    value: Value,
    arrival: Arrival,
    /// Whether it is still to be judged; otherwise it has been, and is only looked at.
    judged: bool,
}

/// What a pass changes and takes out of a batch.
struct Pass {
    now: Micros,
    quality: Option<Vec<u16>>,
    checks: Option<Vec<u16>>,
    /// Rows that leave the batch.
    taken: Vec<u32>,
    loose: Loose,
}

impl QualityTransform {
    pub(super) fn new(directory: Arc<Directory>, own: Own, plans: Plans, conditions: Conditions) -> Self {
        Self {
            directory,
            own,
            slots: Slots::default(),
            limits: Vec::new(),
            patience: Vec::new(),
            bounds: plan::Times::of(&plans),
            plans,
            hot: Dense::new(),
            state: Dense::new(),
            extras: Dense::new(),
            conditions,
            silence: Silence::default(),
            holds: Holds::default(),
            waiting: Vec::new(),
            waiting_at: None,
        }
    }

    /// What is kept by slot, for slots that were given since.
    fn know_slots(&mut self) {
        for slot in self.limits.len()..self.slots.len() {
            let plan = self.plans.get(self.slots.tag(slot as Slot) as usize).and_then(Option::as_ref);
            self.limits.push(plan.map_or(Limits::NEVER, |plan| plan.limits()));
            self.patience.push(plan.and_then(|plan| plan.stale.as_ref()).map_or(Micros::MAX, |stale| stale.after));
        }
    }

    /// One pass over the rows. A row that passes every comparison costs those; the rest goes to [`Cold::judge`].
    #[inline]
    fn pass(
        &mut self,
        samples: &Samples,
        slots: &[Slot],
        pass: &mut Pass,
        time: impl Fn(usize) -> Micros,
        reading: impl Fn(usize) -> Option<(f64, u64)>,
    ) {
        let Self { limits, bounds, hot, state, plans, extras, conditions, silence, holds, waiting, .. } = self;
        let plan::Times { gap, lead } = *bounds;
        let rows = slots.len();
        let (quality, checks) = (&samples.quality()[..rows], &samples.checks()[..rows]);
        let now = pass.now;
        hot.update(slots, |row, slot, hot| {
            let limits = &limits[slot as usize];
            let time = time(row);
            if let Some((number, bits)) = reading(row)
                && (quality[row] == Quality::GOOD.0)
                    & (checks[row] == 0)
                    & (number >= limits.low)
                    & (number <= limits.high)
                    & ((number - f64::from_bits(hot.bits)).abs() <= limits.jump)
                    & (number != f64::from_bits(hot.bits))
                    & (time.wrapping_sub(hot.newest) as u64 <= gap)
                    & (time.saturating_sub(now) <= lead)
                    & !hot.busy
            {
                hot.bits = bits;
                hot.newest = time;
                hot.seen = now;
                return;
            }
            let Some(Some(plan)) = plans.get(samples.tags()[row] as usize) else { return };
            let mut cold = Cold { plan, state, extras, conditions, silence, holds, waiting };
            cold.judge(samples, row, slot, time, hot, pass);
        });
    }

    fn samples(&mut self, samples: &Samples, out: &mut Output) -> Result<(), NodeError> {
        let mut pass = Pass { now: out.now(), quality: None, checks: None, taken: Vec::new(), loose: Loose::default() };
        let batched = self.slots.of_batch(samples);
        self.know_slots();
        let slots = &*batched.slots;
        match (samples.times(), samples.values()) {
            (_, Values::Text(_)) => {}
            (Times::One(time), Values::Float64(values)) if values.nulls().is_none() => {
                let (time, values) = (*time, &values.values()[..samples.len()]);
                self.pass(samples, slots, &mut pass, |_| time, |row| Some((values[row], values[row].to_bits())));
            }
            (times, values) => {
                let time = |row: usize| match times {
                    Times::One(time) => *time,
                    Times::Each(times) => times[row],
                };
                match values {
                    Values::Float64(values) => self.pass(samples, slots, &mut pass, time, |row| float(values, row)),
                    // The fast path compares floats: integers that are equal only as floats are told apart by `judge`.
                    Values::Int64(values) => self.pass(samples, slots, &mut pass, time, |row| integer(values, row)),
                    Values::Bool(_) | Values::Text(_) => self.pass(samples, slots, &mut pass, time, |_| None),
                }
            }
        }
        let Pass { quality, checks, taken, loose, now } = pass;
        if !self.waiting.is_empty() {
            self.waiting_at = Some(now);
        }
        let mut changed = None;
        if quality.is_some() || checks.is_some() {
            let quality = quality.map_or_else(|| samples.quality().clone(), Into::into);
            let checks = checks.map_or_else(|| samples.checks().clone(), Into::into);
            changed = Some(samples.with_quality(quality, checks).map_err(NodeError::text)?);
        }
        let samples = changed.as_ref().unwrap_or(samples);
        if taken.is_empty() {
            out.emit(0, Batch::Samples(samples.clone()));
        } else {
            let mut taken = taken.into_iter().peekable();
            let kept: UInt32Array = (0..samples.len() as u32)
                .filter(|row| taken.next_if(|taken| taken == row).is_none())
                .collect::<Vec<u32>>()
                .into();
            out.emit(0, Batch::Samples(samples.take(&kept)?));
        }
        loose.emit(out)
    }

    /// Every batch of the entry has come: what waited is judged, in the order of time.
    fn settle(&mut self, now: Micros, out: &mut Output) -> Result<(), NodeError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|waiting| waiting.sample.time);
        let mut loose = Loose::default();
        for group in waiting.chunk_by_mut(|a, b| a.sample.time == b.sample.time) {
            for waiting in group.iter() {
                let usable = waiting.sample.quality.is_usable()
                    && waiting.sample.reading.is_none_or(|reading| reading.number.is_finite());
                let value = if usable { waiting.value.clone() } else { Value::Null };
                self.conditions.set(waiting.sample.tag, value);
            }
            for waiting in group.iter_mut().filter(|waiting| !waiting.judged) {
                let Waiting { sample, arrival, value, .. } = waiting;
                let Some(Some(plan)) = self.plans.get(sample.tag as usize) else { continue };
                let conditions = &mut self.conditions;
                let slot = self.slots.slot(sample.tag);
                let state = (self.hot.get_mut(slot), self.state.get_mut(slot));
                judge(plan, state, &mut self.extras, sample, *arrival, now, &mut |index| conditions.holds(index));
                let holding = Holding { plan, extras: &mut self.extras, holds: &mut self.holds, now };
                holding.release(*sample, value, *arrival, &mut loose);
            }
        }
        loose.emit(out)
    }

    /// Makes the samples of tags that are silent: one at the deadline, and one for each scan that follows. Where the site
    /// stood still for longer than [`STOOD_STILL`], nobody scanned: of that time only the last scan has one.
    fn silent(&mut self, deadline: Micros, out: &mut Output) {
        let mut silent: BTreeMap<ValueKind, Vec<(TagId, Quality)>> = BTreeMap::new();
        for chunk in 0..self.silence.due.len() {
            if self.silence.due[chunk] > deadline {
                continue;
            }
            let mut due = Micros::MAX;
            for slot in chunk * CHUNK..((chunk + 1) * CHUNK).min(self.patience.len()) {
                let (after, slot) = (self.patience[slot], slot as Slot);
                let seen = self.hot.get(slot).map_or(Micros::MIN, |hot| hot.seen);
                if seen == Micros::MIN || after == Micros::MAX {
                    continue;
                }
                let mut at = seen.saturating_add(after);
                if at <= deadline
                    && let Some((kind, verdict, again)) = self.fall_silent(slot, deadline, out.entry_time())
                {
                    silent.entry(kind).or_default().push((self.slots.tag(slot), verdict));
                    at = again;
                }
                due = due.min(at);
            }
            self.silence.due[chunk] = due;
        }
        self.silence.next = self.silence.due.iter().copied().min().filter(|due| *due != Micros::MAX);
        for (kind, mut tags) in silent {
            tags.sort_unstable_by_key(|(tag, _)| *tag);
            let rows = tags.len();
            let columns = SampleColumns {
                times: Times::One(deadline),
                tags: tags.iter().map(|(tag, _)| *tag).collect::<Vec<_>>().into(),
                values: no_values(kind, rows),
                quality: tags.iter().map(|(_, quality)| quality.0).collect::<Vec<_>>().into(),
                checks: vec![Checks::STALE.0; rows].into(),
            };
            if let Ok(samples) = Samples::new(columns) {
                out.emit(0, Batch::Samples(samples));
            }
        }
    }
}

impl QualityTransform {
    /// Lets the samples go that have waited long enough for a next one.
    fn let_go(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        let mut loose = Loose::default();
        while let Some(&(due, tag)) = self.holds.due.first().filter(|(due, _)| *due <= deadline) {
            self.holds.due.remove(&(due, tag));
            let Some(Some(plan)) = self.plans.get(tag as usize) else { continue };
            let extra = extra(&mut self.extras, tag);
            match extra.held.as_ref().map(|held| held.due) {
                None => {}
                Some(due) if due > deadline => {
                    self.holds.due.insert((due, tag));
                }
                Some(_) => {
                    if let Some(held) = extra.let_go() {
                        loose.let_go(plan.kind, tag, held);
                    }
                }
            }
        }
        loose.emit(out)
    }

    /// A tag has become silent, or still is: its kind, the quality of the sample, and when the next is due.
    #[cold]
    fn fall_silent(&mut self, slot: Slot, deadline: Micros, entry: Micros) -> Option<(ValueKind, Quality, Micros)> {
        let tag = self.slots.tag(slot);
        let plan = self.plans.get(tag as usize)?.as_ref()?;
        let stale = plan.stale.as_ref()?;
        let mut again = deadline.saturating_add(stale.scan);
        if entry.saturating_sub(again) > STOOD_STILL {
            again += (entry - again) / stale.scan * stale.scan;
        }
        let hot = self.hot.get_mut(slot);
        self.state.get_mut(slot).silence(hot, plan.kind);
        hot.seen = again.saturating_sub(stale.after);
        self.conditions.set(tag, Value::Null);
        Some((plan.kind, stale.verdict, again))
    }
}

/// What [`QualityTransform::pass`] needs for a row that does not pass at once.
struct Cold<'a> {
    plan: &'a Plan,
    state: &'a mut Dense<TagState>,
    extras: &'a mut Extras,
    conditions: &'a mut Conditions,
    silence: &'a mut Silence,
    holds: &'a mut Holds,
    waiting: &'a mut Vec<Waiting>,
}

impl Cold<'_> {
    #[cold]
    #[inline(never)]
    fn judge(&mut self, samples: &Samples, row: usize, slot: Slot, time: Micros, hot: &mut Hot, pass: &mut Pass) {
        let plan = self.plan;
        let mut sample = Sample {
            tag: samples.tags()[row],
            time,
            reading: reading(samples.values(), row),
            quality: Quality(samples.quality()[row]),
            checks: Checks(samples.checks()[row]),
        };
        let (quality, checks) = (sample.quality, sample.checks);
        // Silence is asked for again after the first sample and after each silence; otherwise its bound still holds.
        let first_after_silence = hot.busy || hot.seen == Micros::MIN;
        let state = self.state.get_mut(slot);
        let arrival = arrive(plan, hot, state, &sample, pass.now);
        let expected = first_after_silence && hot.seen != Micros::MIN;
        if let (Some(stale), true, Arrival::InOrder { .. }) = (&plan.stale, expected, arrival) {
            self.silence.at_the_latest(slot, pass.now.saturating_add(stale.after));
        }
        let in_order = arrival != Arrival::OutOfOrder;
        if in_order && plan.waits() {
            let value = samples.values().get(row);
            self.waiting.push(Waiting { sample, value, arrival, judged: false });
            pass.taken.push(row as u32);
            return;
        }
        let conditions = &mut *self.conditions;
        judge(plan, (hot, state), self.extras, &mut sample, arrival, pass.now, &mut |index| conditions.holds(index));
        if in_order && plan.watched {
            self.waiting.push(Waiting { sample, value: samples.values().get(row), arrival, judged: true });
        }
        if plan.holds() && in_order {
            pass.taken.push(row as u32);
            let holding = Holding { plan, extras: self.extras, holds: self.holds, now: pass.now };
            holding.release(sample, &samples.values().get(row), arrival, &mut pass.loose);
            return;
        }
        if sample.quality != quality {
            pass.quality.get_or_insert_with(|| samples.quality().to_vec())[row] = sample.quality.0;
        }
        if sample.checks != checks {
            pass.checks.get_or_insert_with(|| samples.checks().to_vec())[row] = sample.checks.0;
        }
    }
}

fn float(values: &Float64Array, row: usize) -> Option<(f64, u64)> {
    values.is_valid(row).then(|| (values.value(row), values.value(row).to_bits()))
}

fn integer(values: &Int64Array, row: usize) -> Option<(f64, u64)> {
    // Beyond 2⁵³ the bits of the float are not those of the number: such values are never fast.
    let value = values.value(row);
    let small = value.unsigned_abs() < 1 << 53;
    (small && values.is_valid(row)).then(|| (value as f64, (value as f64).to_bits()))
}

fn reading(values: &Values, row: usize) -> Option<Reading> {
    let number = values.number(row)?;
    let bits = match values {
        Values::Int64(values) => {
            let value = values.value(row);
            // Small integers are kept as the fast path keeps them.
            if value.unsigned_abs() < 1 << 53 { number.to_bits() } else { value as u64 }
        }
        _ => number.to_bits(),
    };
    Some(Reading { number, bits, kind: values.kind() })
}

fn no_values(kind: ValueKind, rows: usize) -> Values {
    match kind {
        ValueKind::Float64 => Values::Float64(Float64Array::new_null(rows)),
        ValueKind::Int64 => Values::Int64(Int64Array::new_null(rows)),
        ValueKind::Bool => Values::Bool(BooleanArray::new_null(rows)),
        ValueKind::Text => Values::Text(arrow::array::StringArray::new_null(rows)),
    }
}

/// The state as it is saved: columns, since a site has many tags.
#[derive(Debug, Deserialize)]
struct Saved {
    /// By slot, so that the rows of a scan are neighbours again.
    tags: Vec<String>,
    states: Vec<(Hot, TagState)>,
    /// With the index of the tag in `tags`.
    extras: Vec<(usize, Extra)>,
    /// Last values that conditions read.
    latest: Vec<(String, Value)>,
}

/// [`Saved`] on its way out.
#[derive(Serialize)]
struct Saving<T, S> {
    tags: T,
    states: S,
    extras: Vec<(usize, Extra)>,
    latest: Vec<(String, Value)>,
}

/// A list whose items are made one by one while it is written.
struct Each<I>(I);

impl<I: ExactSizeIterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

impl Transform for QualityTransform {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        match batch {
            Batch::Samples(samples) => self.samples(samples, out),
            Batch::Rows(_) => Err(NodeError::Stream { expected: "samples", found: "rows" }),
        }
    }

    fn next_deadline(&self) -> Option<Micros> {
        let hold = self.holds.due.first().map(|(due, _)| *due);
        [self.waiting_at, hold, self.silence.next].into_iter().flatten().min()
    }

    fn closes_at(&self, _opened_by: Micros) -> Option<Micros> {
        // Silence makes no sample that waits.
        (!self.holds.due.is_empty()).then_some(self.holds.last)
    }

    fn end_input(&mut self, _at: Micros) {
        self.silence = Silence { ended: true, ..Silence::default() };
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        if self.waiting_at.is_some_and(|at| at <= deadline) {
            self.waiting_at = None;
            self.settle(deadline, out)?;
        }
        // Before silence says that there is no newer one.
        self.let_go(deadline, out)?;
        if self.silence.next.is_some_and(|next| next <= deadline) {
            self.silent(deadline, out);
        }
        Ok(())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (tags, hot, state) = (self.slots.tags(), self.hot.clone(), self.state.clone());
        let (extras, directory) = (self.extras.clone(), self.directory.clone());
        let latest: Vec<(TagId, Value)> = self.conditions.latest().map(|(tag, value)| (tag, value.clone())).collect();
        Some(Box::new(move || {
            let known: Vec<(u32, Hot)> =
                hot.iter().filter(|(_, hot)| hot.newest != Micros::MIN).map(|(slot, hot)| (slot, *hot)).collect();
            let tag_of = |slot: u32| tags[slot as usize];
            let extras = known.iter().enumerate().filter_map(|(index, (slot, _))| {
                let extra = extras.get(tag_of(*slot))?.as_ref()?;
                Some((index, (**extra).clone()))
            });
            let latest = latest.into_iter().map(|(tag, value)| (directory.tag_name(tag).to_owned(), value));
            // With names and states as they are written: a copy of all of them would be as large as the state.
            let saving = Saving {
                tags: Each(known.iter().map(|(slot, _)| directory.tag_name(tag_of(*slot)))),
                states: Each(known.iter().map(|(slot, hot)| (*hot, state.get(*slot).cloned().unwrap_or_default()))),
                extras: extras.collect(),
                latest: latest.collect(),
            };
            SavedState::encode(VERSION, &saving)
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let saved: Saved = saved.decode(VERSION)?;
        for (name, (hot, state)) in saved.tags.iter().zip(saved.states) {
            let Some(tag) = self.own.tag(name) else { continue };
            let slot = self.slots.slot(tag);
            if let Some(Some(plan)) = self.plans.get(tag as usize)
                && let Some(stale) = &plan.stale
                && hot.seen != Micros::MIN
            {
                self.silence.at_the_latest(slot, hot.seen.saturating_add(stale.after));
            }
            *self.hot.get_mut(slot) = hot;
            *self.state.get_mut(slot) = state;
        }
        self.know_slots();
        for (index, extra) in saved.extras {
            if let Some(tag) = saved.tags.get(index).and_then(|name| self.own.tag(name)) {
                if let Some(held) = &extra.held {
                    self.holds.hold(tag, held.due, true);
                }
                *self.extras.get_mut(tag) = Some(Arc::new(extra));
            }
        }
        for (name, value) in saved.latest {
            if let Some(tag) = self.own.tag(&name) {
                self.conditions.set(tag, value);
            }
        }
        Ok(())
    }
}
