//! `aggregate` at work.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use ducto_graph::operator::{BuildContext, NodeError, Output as Out, Own, Snapshot, Transform};
use ducto_record::time::MINUTE;
use ducto_record::{Batch, Directory, Micros, Quality, Samples, SavedState, StateError, TagId, Times, Values};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::calendar::Window;
use super::history::{History, SavedHistory};
use super::rows::{Row, Rows};
use super::sums::{Sums, Windows};
use super::weigh::Group;
use super::weights::Newest;
use crate::slots::{Batched, Piece, Slot, Slots, pieces};

pub(super) const MAIN: usize = 0;
const LATE: usize = 1;

/// 2: weights follow each sample; a minute's samples are weighed no more when the minute is over.
const VERSION: u32 = 2;

pub(super) struct Aggregate {
    pub(super) settings: Arc<Settings>,
    directory: Arc<Directory>,
    own: Own,
    /// By tag: whether its values are joined by lines.
    sloped: Vec<bool>,
    pub(super) slots: Slots,
    /// By slot: how much of the next value counts for the time before it: a half on a line, nothing on a step.
    pub(super) shares: Vec<f64>,
    /// By rising start.
    pub(super) windows: Windows,
    pub(super) newest: Arc<Newest>,
    pub(super) history: History,
    /// Rows of closed windows that this epoch touches, as they were.
    pub(super) touched: BTreeMap<(Micros, TagId), Option<Row>>,
    /// When to give corrections: at the end of the entry that brought them.
    pub(super) correct_at: Option<Micros>,
    rejected: Vec<u32>,
    /// By tag: how long its value stands when the input has ended; [`Micros::MAX`] for the rest of the window.
    patience: Vec<Micros>,
    /// When the input ended.
    ended: Option<Micros>,
    /// When samples were forgotten last.
    forgotten: Micros,
}

/// A batch as this node reads it.
struct Numbers {
    values: ScalarBuffer<f64>,
    nulls: Option<NullBuffer>,
}

impl Aggregate {
    pub(super) fn new(settings: Settings, cx: &BuildContext, sloped: Vec<bool>, patience: Vec<Micros>) -> Self {
        Self {
            settings: Arc::new(settings),
            directory: cx.directory.clone(),
            own: cx.own(),
            sloped,
            slots: Slots::default(),
            shares: Vec::new(),
            windows: Vec::new(),
            newest: Arc::default(),
            history: History::default(),
            touched: BTreeMap::new(),
            correct_at: None,
            rejected: Vec::new(),
            patience,
            ended: None,
            forgotten: Micros::MIN,
        }
    }

    /// The part of a window that the newest value of a slot can fill. A tag that is polled would be called stale when
    /// it is silent for long; behind the end of the input nobody says so, and its value stands no longer for that.
    pub(super) fn filled(&self, slot: Slot, window: Window) -> Window {
        match self.ended {
            Some(at) if window.end.saturating_add(self.settings.wait) > at => {
                let patience = self.patience.get(self.slots.tag(slot) as usize).copied().unwrap_or(Micros::MAX);
                let stands = self.newest.point(slot).time.saturating_add(patience).max(at);
                Window { end: window.end.min(stands), ..window }
            }
            _ => window,
        }
    }

    /// Room for slots that were given since.
    fn know_slots(&mut self) {
        let needs = self.settings.needs.weights;
        if self.shares.len() < self.slots.len() && needs.any() {
            for slot in self.shares.len()..self.slots.len() {
                let tag = self.slots.tag(slot as Slot) as usize;
                let sloped = self.sloped.get(tag).copied().unwrap_or(true);
                self.shares.push(if sloped { 0.5 } else { 0.0 });
            }
            Arc::make_mut(&mut self.newest).grow(self.slots.len(), needs);
        }
    }

    /// The window in which a time lies: its index, made where there is none.
    fn window(&mut self, time: Micros, now: Micros) -> usize {
        if let Some(last) = self.windows.last()
            && last.window().contains(time)
        {
            return self.windows.len() - 1;
        }
        let after = self.windows.partition_point(|window| window.start <= time);
        if let Some(before) = after.checked_sub(1)
            && self.windows[before].window().contains(time)
        {
            return before;
        }
        let mut sums = Sums::new(self.settings.calendar.window(time));
        // Nobody sent anything while it was open.
        sums.closed = sums.end.saturating_add(self.settings.wait) < now;
        sums.missing = self.newest.beyond(sums.end);
        self.windows.insert(after, Arc::new(sums));
        after
    }

    /// Whether samples of a time are no longer, or not yet, taken.
    fn refuses(&self, time: Micros, now: Micros) -> Option<&'static str> {
        if time > now.saturating_add(self.settings.cutoff.max(MINUTE)) {
            return Some("too_early");
        }
        let weighs = self.settings.needs.weights.any();
        let kept = if weighs { now.saturating_sub(self.settings.kept.time()) } else { Micros::MIN };
        // Most samples are new: only those older than the shortest cutoff need their window looked up.
        if time >= now.saturating_sub(self.settings.cutoff).max(kept) {
            return None;
        }
        let end = match self.windows.partition_point(|window| window.start <= time).checked_sub(1) {
            Some(before) if self.windows[before].window().contains(time) => self.windows[before].end,
            _ => self.settings.calendar.window(time).end,
        };
        if end.saturating_add(self.settings.cutoff) < now {
            return Some("too_late");
        }
        (time < kept).then_some(if self.settings.kept.is_short() { "beyond_memory" } else { "too_late" })
    }

    /// The rows of one time, `rows` of the batch.
    fn group(&mut self, samples: &Samples, numbers: &Numbers, batch: &Batched, rows: Range<usize>, now: Micros) {
        let time = samples.time(rows.start);
        let index = self.window(time, now);
        let settings = self.settings.clone();
        let quality = &samples.quality()[rows.clone()];
        let values = numbers.values.slice(rows.start, rows.len());
        let mut rejected = std::mem::take(&mut self.rejected);
        let special = rejects(quality, &values, settings.mask, &mut rejected);
        if let Some(nulls) = &numbers.nulls {
            let nulls = nulls.slice(rows.start, rows.len());
            rejected.extend((0..rows.len() as u32).filter(|row| nulls.is_null(*row as usize)));
            rejected.sort_unstable();
            rejected.dedup();
        }
        let group = Group {
            time,
            batch: &batch.slots,
            slots: &batch.slots[rows],
            shape: batch.shape,
            values,
            quality,
            rejected: &rejected,
            special,
        };
        if self.windows[index].closed {
            for &slot in group.slots {
                self.touch(index, slot, now);
            }
        }
        if settings.needs.weights.any() {
            self.weigh(index, &group, now);
        }
        let sums = Arc::make_mut(&mut self.windows[index]);
        sums.grow(self.slots.len(), settings.needs);
        add(sums, &group, &settings);
        self.rejected = rejected;
    }

    fn close(&mut self, deadline: Micros, out: &mut Out) -> Result<(), NodeError> {
        let until = deadline.saturating_sub(self.settings.wait);
        let settings = self.settings.clone();
        for index in 0..self.windows.len() {
            if self.windows[index].closed || self.windows[index].end > until {
                continue;
            }
            let order = self.slots.in_order_of_tags().to_vec();
            let sums = &self.windows[index];
            let mut rows = Rows::new(&settings, order.len());
            for slot in order {
                if sums.has_row(slot) {
                    rows.push(sums, slot, &self.weight(sums, slot), self.slots.tag(slot));
                }
            }
            out.emit(MAIN, Batch::Rows(rows.finish()?));
            Arc::make_mut(&mut self.windows[index]).closed = true;
        }
        let over = deadline.saturating_sub(settings.cutoff);
        self.windows.retain(|window| !window.closed || window.end >= over);
        self.forget(deadline);
        Ok(())
    }

    /// Forgets samples that no late one can be weighed against any more. Long windows close too seldom for that.
    fn forget(&mut self, now: Micros) {
        let settings = &self.settings;
        self.forgotten = now;
        if settings.needs.weights.any() {
            let until = now.saturating_sub(settings.wait).saturating_sub(settings.kept.time());
            self.history.forget(until, self.slots.len(), settings.needs.weights);
        }
    }
}

/// Takes a group into the sums of its window.
fn add(sums: &mut Sums, group: &Group<'_>, settings: &Settings) {
    for piece in pieces(group.slots, group.shape, group.rejected) {
        match piece {
            Piece::Run(rows) => {
                let first = group.slots[rows.start];
                sums.add_run(first, &group.values[rows.clone()], group.time);
                if group.special {
                    sums.add_qualities(first, &group.quality[rows], settings.needs);
                }
            }
            Piece::Rejected(row) => sums.reject(group.slots[row], group.time, group.quality[row], settings.needs),
        }
    }
}

/// The rows whose quality is not accepted or whose value is no finite number. Whether another row is not plain Good.
fn rejects(quality: &[u16], values: &[f64], mask: u16, rejected: &mut Vec<u32>) -> bool {
    rejected.clear();
    let mut special = false;
    const CHUNK: usize = 64;
    for (chunk, (quality, values)) in quality.chunks(CHUNK).zip(values.chunks(CHUNK)).enumerate() {
        let mut any = false;
        for (quality, value) in quality.iter().zip(values) {
            any |= (*quality != Quality::GOOD.0) | !value.is_finite();
        }
        if any {
            for (row, (quality, value)) in quality.iter().zip(values).enumerate() {
                if quality & mask != mask || !value.is_finite() {
                    rejected.push((chunk * CHUNK + row) as u32);
                } else {
                    special |= *quality != Quality::GOOD.0;
                }
            }
        }
    }
    special
}

/// Values as numbers.
fn numbers(values: &Values) -> Option<Numbers> {
    Some(match values {
        Values::Float64(values) => Numbers { values: values.values().clone(), nulls: values.nulls().cloned() },
        Values::Int64(values) => Numbers {
            values: values.values().iter().map(|value| *value as f64).collect::<Vec<_>>().into(),
            nulls: values.nulls().cloned(),
        },
        Values::Bool(values) => Numbers {
            values: values.values().iter().map(|value| f64::from(u8::from(value))).collect::<Vec<_>>().into(),
            nulls: values.nulls().cloned(),
        },
        Values::Text(_) => return None,
    })
}

impl Transform for Aggregate {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Out) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else {
            return Err(NodeError::Stream { expected: "samples", found: "rows" });
        };
        let Some(numbers) = numbers(samples.values()) else {
            out.drop_rows("text", samples.len() as u64);
            return Ok(());
        };
        if samples.is_empty() {
            return Ok(());
        }
        let now = out.now();
        let batched = self.slots.of_batch(samples);
        self.know_slots();
        if now.saturating_sub(self.forgotten) >= MINUTE {
            self.forget(now);
        }
        match samples.times() {
            Times::One(time) => match self.refuses(*time, now) {
                Some(cause) => {
                    out.drop_rows(cause, samples.len() as u64);
                    out.emit(LATE, batch.clone());
                }
                None => self.group(samples, &numbers, &batched, 0..samples.len(), now),
            },
            Times::Each(times) => {
                let mut refused: Vec<u32> = Vec::new();
                let mut start = 0;
                while start < times.len() {
                    let mut end = start + 1;
                    while end < times.len() && times[end] == times[start] {
                        end += 1;
                    }
                    match self.refuses(times[start], now) {
                        Some(cause) => {
                            out.drop_rows(cause, (end - start) as u64);
                            refused.extend(start as u32..end as u32);
                        }
                        None => self.group(samples, &numbers, &batched, start..end, now),
                    }
                    start = end;
                }
                if !refused.is_empty() {
                    out.emit(LATE, Batch::Samples(samples.take(&UInt32Array::from(refused))?));
                }
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Micros> {
        let open = self.windows.iter().filter(|window| !window.closed);
        let close = open.map(|window| window.end.saturating_add(self.settings.wait)).min();
        [close, self.correct_at].into_iter().flatten().min()
    }

    fn end_input(&mut self, at: Micros) {
        self.ended = Some(at);
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Out) -> Result<(), NodeError> {
        if self.correct_at.is_some_and(|at| at <= deadline) {
            self.correct(out)?;
        }
        self.close(deadline, out)
    }

    fn closes_at(&self, opened_by: Micros) -> Option<Micros> {
        let open = self.windows.iter().filter(|window| !window.closed && window.start <= opened_by);
        open.map(|window| window.end.saturating_add(self.settings.wait)).max()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (directory, tags, windows) = (self.directory.clone(), self.slots.tags(), self.windows.clone());
        let (newest, history, settings) = (self.newest.clone(), self.history.clone(), self.settings.clone());
        Some(Box::new(move || {
            // Arrays are as long as there are slots, whenever they were made: the same log gives the same bytes.
            let (all, needs) = ((0..tags.len() as Slot).map(Some).collect::<Vec<_>>(), settings.needs);
            SavedState::encode(
                VERSION,
                &Saved {
                    settings: settings.fingerprint.clone(),
                    tags: tags.iter().map(|tag| directory.tag_name(*tag).to_owned()).collect(),
                    windows: windows.iter().map(|sums| sums.permuted(&all, needs)).collect(),
                    newest: newest.permuted(&all, needs.weights),
                    history: history.saved(&all, needs.weights),
                },
            )
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let saved: Saved = saved.decode(VERSION)?;
        if saved.settings != self.settings.fingerprint {
            tracing::warn!("windows were kept for other settings ({}); they start anew", saved.settings);
            return Ok(());
        }
        let to: Vec<Option<Slot>> =
            saved.tags.iter().map(|name| self.own.tag(name).map(|tag| self.slots.slot(tag))).collect();
        self.know_slots();
        let mut from = vec![None; self.slots.len()];
        for (old, new) in to.iter().enumerate() {
            if let Some(new) = new {
                from[*new as usize] = Some(old as Slot);
            }
        }
        let needs = self.settings.needs;
        for sums in &saved.windows {
            match self.windows.binary_search_by_key(&sums.start, |window| window.start) {
                Ok(at) => Arc::make_mut(&mut self.windows[at]).take(sums, &from, needs),
                Err(at) => self.windows.insert(at, Arc::new(sums.permuted(&from, needs))),
            }
        }
        Arc::make_mut(&mut self.newest).take(&saved.newest, &from, needs.weights);
        let restored = History::restored(saved.history, &to, &from, needs.weights);
        self.history.join(restored, &from, needs.weights);
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    settings: String,
    /// By slot.
    tags: Vec<String>,
    windows: Vec<Sums>,
    newest: Newest,
    history: SavedHistory,
}
