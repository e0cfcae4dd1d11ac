//! `aggregate` at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use ducto_graph::operator::{NodeError, Output as Out, Snapshot, Transform};
use ducto_record::time::MINUTE;
use ducto_record::{Batch, Directory, Layout, Micros, Quality, Samples, SavedState, StateError, TagId, Times, Values};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::calendar::Window;
use super::panes::{Cut, Panes, SavedPanes};
use super::rows::{Row, Rows};
use super::sums::{Sample, Slot, Sums, Windows};
use super::weights::{Kept, Weights};

const MAIN: usize = 0;
const LATE: usize = 1;

const VERSION: u32 = 1;

/// No slot was given yet.
const NONE: Slot = Slot::MAX;

/// The slots of a layout's rows.
struct Known {
    layout: Arc<Layout>,
    slots: Arc<[Slot]>,
    shape: Shape,
}

/// How the slots of a batch's rows follow each other.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Each is its neighbour's plus one.
    Neighbours,
    Rising,
    Mixed,
}

pub(super) struct Aggregate {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    /// By tag: whether its values are joined by lines.
    sloped: Vec<bool>,
    slot_of: Vec<Slot>,
    tags: Arc<Vec<TagId>>,
    /// Slots in the order of tags; empty when tags have come since.
    order: Vec<Slot>,
    known: Option<Known>,
    /// By rising start.
    windows: Windows,
    panes: Panes,
    /// Rows of closed windows that this epoch touches, as they were.
    touched: BTreeMap<(Micros, TagId), Option<Row>>,
    /// Slots whose closed panes got samples in this epoch: from when to when.
    unweighed: BTreeMap<Slot, (Micros, Micros)>,
    /// When to give corrections: at the end of the entry that brought them.
    correct_at: Option<Micros>,
    rejected: Vec<u32>,
}

/// A batch as this node reads it.
struct Numbers {
    values: ScalarBuffer<f64>,
    nulls: Option<NullBuffer>,
}

impl Aggregate {
    pub(super) fn new(settings: Settings, directory: Arc<Directory>, sloped: Vec<bool>) -> Self {
        Self {
            settings: Arc::new(settings),
            directory,
            sloped,
            slot_of: Vec::new(),
            tags: Arc::default(),
            order: Vec::new(),
            known: None,
            windows: Vec::new(),
            panes: Panes::default(),
            touched: BTreeMap::new(),
            unweighed: BTreeMap::new(),
            correct_at: None,
            rejected: Vec::new(),
        }
    }

    fn slot(&mut self, tag: TagId) -> Slot {
        let at = tag as usize;
        if let Some(&slot) = self.slot_of.get(at)
            && slot != NONE
        {
            return slot;
        }
        self.new_slot(tag)
    }

    #[cold]
    fn new_slot(&mut self, tag: TagId) -> Slot {
        let at = tag as usize;
        if self.slot_of.len() <= at {
            self.slot_of.resize(at + 1, NONE);
        }
        let slot = self.tags.len() as Slot;
        self.slot_of[at] = slot;
        Arc::make_mut(&mut self.tags).push(tag);
        self.panes.know(slot, self.sloped.get(at).copied().unwrap_or(true));
        self.order.clear();
        slot
    }

    fn slots(&mut self, samples: &Samples) -> (Arc<[Slot]>, Shape) {
        if let (Some(known), Some(layout)) = (&self.known, samples.layout())
            && Arc::ptr_eq(&known.layout, layout)
        {
            return (known.slots.clone(), known.shape);
        }
        let slots: Arc<[Slot]> = samples.tags().iter().map(|tag| self.slot(*tag)).collect();
        let shape = if slots.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)) {
            Shape::Neighbours
        } else if slots.windows(2).all(|pair| pair[1] > pair[0]) {
            Shape::Rising
        } else {
            Shape::Mixed
        };
        if let Some(layout) = samples.layout() {
            self.known = Some(Known { layout: layout.clone(), slots: slots.clone(), shape });
        }
        (slots, shape)
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
        self.windows.insert(after, Arc::new(sums));
        after
    }

    /// Whether samples of a time are no longer, or not yet, taken.
    fn refuses(&self, time: Micros, now: Micros) -> Option<&'static str> {
        if time > now.saturating_add(self.settings.cutoff.max(MINUTE)) {
            return Some("too_early");
        }
        // Most samples are new: only those older than the shortest cutoff need their window looked up.
        if time >= now.saturating_sub(self.settings.cutoff) {
            return None;
        }
        let end = match self.windows.partition_point(|window| window.start <= time).checked_sub(1) {
            Some(before) if self.windows[before].window().contains(time) => self.windows[before].end,
            _ => self.settings.calendar.window(time).end,
        };
        if end.saturating_add(self.settings.cutoff) < now {
            return Some("too_late");
        }
        let kept = now.saturating_sub(self.settings.cutoff + self.settings.keep);
        (self.settings.needs.weights && time < kept).then_some("too_late")
    }

    /// The rows of one time, `from..to` of the batch.
    fn group(
        &mut self,
        samples: &Samples,
        numbers: &Numbers,
        slots: &Arc<[Slot]>,
        shape: Shape,
        rows: std::ops::Range<usize>,
        now: Micros,
    ) {
        let time = samples.time(rows.start);
        let index = self.window(time, now);
        let settings = self.settings.clone();
        let quality = &samples.quality()[rows.clone()];
        let values = &numbers.values[rows.clone()];
        let group = &slots[rows.clone()];
        let mut rejected = std::mem::take(&mut self.rejected);
        rejects(quality, values, settings.mask, &mut rejected);
        if let Some(nulls) = &numbers.nulls {
            let nulls = nulls.slice(rows.start, rows.len());
            rejected.extend((0..rows.len() as u32).filter(|row| nulls.is_null(*row as usize)));
            rejected.sort_unstable();
            rejected.dedup();
        }
        if settings.needs.weights {
            self.keep(
                index,
                time,
                slots,
                values_of(numbers, &rows),
                group,
                shape,
                &rejected,
                rows.len() == slots.len(),
                now,
            );
        }
        if self.windows[index].closed {
            self.touch(index, group, now);
        }
        let slots_known = self.tags.len();
        let sums = Arc::make_mut(&mut self.windows[index]);
        sums.grow(slots_known, settings.needs);
        let mut start = 0;
        for end in rejected.iter().map(|row| *row as usize).chain([group.len()]) {
            add_rows(sums, &group[start..end], &values[start..end], &quality[start..end], time, shape, &settings);
            if end < group.len() {
                let (slot, quality) = (group[end], Quality(quality[end]));
                sums.add(Sample { slot, time, value: f64::NAN, quality, accepted: false });
            }
            start = end + 1;
        }
        self.rejected = rejected;
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, and each is a column or a fact of the group")]
    fn keep(
        &mut self,
        index: usize,
        time: Micros,
        slots: &Arc<[Slot]>,
        values: ScalarBuffer<f64>,
        group: &[Slot],
        shape: Shape,
        rejected: &[u32],
        whole: bool,
        now: Micros,
    ) {
        let window = self.windows[index].window();
        let cut = Cut { window, pane: pane_of(window, time), closed: self.windows[index].closed };
        let mut late = false;
        if whole && shape != Shape::Mixed && group.len() > 1 {
            late = self.panes.keep_scan(&cut, (time, slots, &values, rejected));
        } else {
            let mut bad = rejected.iter().peekable();
            for (row, &slot) in group.iter().enumerate() {
                let value = if bad.next_if(|bad| **bad as usize == row).is_some() { f64::NAN } else { values[row] };
                late |= self.panes.keep(&cut, Kept { slot, time, value });
            }
        }
        if late {
            for &slot in group {
                let range = self.unweighed.entry(slot).or_insert((time, time));
                *range = (range.0.min(time), range.1.max(time));
            }
            self.correct_at = Some(now);
        }
    }

    /// Keeps the rows of a closed window as they are before they change.
    #[cold]
    fn touch(&mut self, index: usize, slots: &[Slot], now: Micros) {
        let sums = self.windows[index].clone();
        for &slot in slots {
            let tag = self.tags[slot as usize];
            self.touched.entry((sums.start, tag)).or_insert_with(|| Row::of(&sums, slot, &self.settings));
        }
        self.correct_at = Some(now);
    }

    /// Gives what has changed in closed windows.
    #[cold]
    fn correct(&mut self, out: &mut Out) -> Result<(), NodeError> {
        self.correct_at = None;
        for (slot, (since, until)) in std::mem::take(&mut self.unweighed) {
            for (pane, old, new) in self.panes.weigh_again(slot, since, until) {
                let Some(index) = find(&self.windows, pane) else { continue };
                if self.windows[index].closed {
                    self.touch(index, &[slot], out.now());
                }
                Arc::make_mut(&mut self.windows[index]).weights.replace(slot, old, new);
            }
        }
        self.correct_at = None;
        let touched = std::mem::take(&mut self.touched);
        let settings = self.settings.clone();
        let mut rows = Rows::new(&settings, touched.len() * 2);
        let mut given = 0;
        for ((start, tag), old) in touched {
            let Ok(index) = self.windows.binary_search_by_key(&start, |window| window.start) else { continue };
            let sums = &self.windows[index];
            let new = Row::of(sums, self.slot_of[tag as usize], &settings);
            if old == new {
                continue;
            }
            for (row, diff) in [(&old, -1), (&new, 1)] {
                if let Some(row) = row {
                    rows.push_row(sums, tag, row, diff);
                    given += 1;
                }
            }
        }
        if given > 0 {
            out.emit(MAIN, Batch::Rows(rows.finish()?));
        }
        Ok(())
    }

    fn close(&mut self, deadline: Micros, out: &mut Out) -> Result<(), NodeError> {
        let until = deadline.saturating_sub(self.settings.wait);
        let settings = self.settings.clone();
        let slots = self.tags.len();
        let windows = &mut self.windows;
        if settings.needs.weights {
            self.panes.close(
                until,
                slots,
                |time| settings.calendar.window(time),
                |pane, weights| weigh(windows, pane, weights),
            );
        }
        let closing: Vec<usize> =
            (0..windows.len()).filter(|index| !windows[*index].closed && windows[*index].end <= until).collect();
        if !closing.is_empty() && self.order.len() != slots {
            self.order = (0..slots as Slot).collect();
            self.order.sort_by_key(|slot| self.tags[*slot as usize]);
        }
        for index in closing {
            if settings.needs.weights {
                let window = self.windows[index].window();
                let windows = &mut self.windows;
                self.panes.complete(window, slots, |pane, weights| weigh(windows, pane, weights));
            }
            let sums = Arc::make_mut(&mut self.windows[index]);
            sums.closed = true;
            let mut rows = Rows::new(&settings, slots);
            for &slot in &self.order {
                if sums.has_row(slot) {
                    rows.push(sums, slot, self.tags[slot as usize]);
                }
            }
            out.emit(MAIN, Batch::Rows(rows.finish()?));
        }
        let over = deadline.saturating_sub(settings.cutoff);
        self.windows.retain(|window| !window.closed || window.end >= over);
        if settings.needs.weights {
            self.panes.forget(until.saturating_sub(settings.cutoff + settings.keep));
        }
        Ok(())
    }
}

fn weigh(windows: &mut Windows, pane: Window, weights: &Weights) {
    if let Some(index) = find(windows, pane) {
        Arc::make_mut(&mut windows[index]).weights.add(weights);
    }
}

/// The window in which a pane lies.
fn find(windows: &Windows, pane: Window) -> Option<usize> {
    let before = windows.partition_point(|window| window.start <= pane.start).checked_sub(1)?;
    windows[before].window().contains(pane.start).then_some(before)
}

/// A minute of a window, or the window where it is shorter.
fn pane_of(window: Window, time: Micros) -> Window {
    let minute = time.saturating_sub(time.rem_euclid(MINUTE));
    Window { start: minute.max(window.start), end: minute.saturating_add(MINUTE).min(window.end) }
}

fn values_of(numbers: &Numbers, rows: &std::ops::Range<usize>) -> ScalarBuffer<f64> {
    numbers.values.slice(rows.start, rows.len())
}

/// Rows that are all accepted, as runs of neighbouring slots.
fn add_rows(
    sums: &mut Sums,
    slots: &[Slot],
    values: &[f64],
    quality: &[u16],
    time: Micros,
    shape: Shape,
    settings: &Settings,
) {
    let qualities = settings.needs.quality || settings.needs.worst;
    let mut start = 0;
    while start < slots.len() {
        let mut end = start + 1;
        if shape == Shape::Neighbours {
            end = slots.len();
        } else {
            while end < slots.len() && slots[end] == slots[end - 1].wrapping_add(1) {
                end += 1;
            }
        }
        sums.add_run(slots[start], &values[start..end], time);
        if qualities {
            sums.add_qualities(slots[start], &quality[start..end]);
        }
        start = end;
    }
}

/// The rows whose quality is not accepted or whose value is no finite number.
fn rejects(quality: &[u16], values: &[f64], mask: u16, rejected: &mut Vec<u32>) {
    rejected.clear();
    const CHUNK: usize = 64;
    for (chunk, (quality, values)) in quality.chunks(CHUNK).zip(values.chunks(CHUNK)).enumerate() {
        let mut any = false;
        for (quality, value) in quality.iter().zip(values) {
            any |= (quality & mask != mask) | !value.is_finite();
        }
        if any {
            for (row, (quality, value)) in quality.iter().zip(values).enumerate() {
                if quality & mask != mask || !value.is_finite() {
                    rejected.push((chunk * CHUNK + row) as u32);
                }
            }
        }
    }
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
        let (slots, shape) = self.slots(samples);
        match samples.times() {
            Times::One(time) => match self.refuses(*time, now) {
                Some(cause) => {
                    out.drop_rows(cause, samples.len() as u64);
                    out.emit(LATE, batch.clone());
                }
                None => self.group(samples, &numbers, &slots, shape, 0..samples.len(), now),
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
                        None => self.group(samples, &numbers, &slots, shape, start..end, now),
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
        let wait = self.settings.wait;
        let window = self.windows.iter().filter(|window| !window.closed).map(|window| window.end).min();
        let pane = if self.settings.needs.weights { self.panes.next_end() } else { None };
        let close = [window, pane].into_iter().flatten().min().map(|end| end.saturating_add(wait));
        [close, self.correct_at].into_iter().flatten().min()
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
        let (directory, tags, windows) = (self.directory.clone(), self.tags.clone(), self.windows.clone());
        let (panes, settings) = (self.panes.clone(), self.settings.clone());
        Some(Box::new(move || {
            SavedState::encode(
                VERSION,
                &Saved {
                    settings: settings.fingerprint.clone(),
                    tags: tags.iter().map(|tag| directory.tag_name(*tag).to_owned()).collect(),
                    windows: windows.iter().map(|sums| Sums::clone(sums)).collect(),
                    panes: panes.saved(),
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
            saved.tags.iter().map(|name| self.directory.tag_id(name).map(|tag| self.slot(tag))).collect();
        let mut from = vec![None; self.tags.len()];
        for (old, new) in to.iter().enumerate() {
            if let Some(new) = new {
                from[*new as usize] = Some(old as Slot);
            }
        }
        let needs = self.settings.needs;
        self.windows = saved.windows.iter().map(|sums| Arc::new(sums.permuted(&from, needs))).collect();
        self.panes.restore(saved.panes, &to, &from);
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    settings: String,
    /// By slot.
    tags: Vec<String>,
    windows: Vec<Sums>,
    panes: SavedPanes,
}
