//! Values that count by the time they last: each sample says what the time since the one before it weighs. What lies in
//! windows whose rows were given is a correction.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use ducto_graph::operator::{NodeError, Output as Out};
use ducto_record::{Batch, Micros};

use super::rows::{Row, Rows};
use super::sums::Sums;
use super::transform::{Aggregate, MAIN};
use super::weights::{Point, Weight, bends, changes, span};
use crate::slots::{Piece, Shape, Slot, pieces};

/// Rows of one time.
pub(super) struct Group<'a> {
    pub(super) time: Micros,
    /// Those of the whole batch.
    pub(super) batch: &'a Arc<[Slot]>,
    pub(super) slots: &'a [Slot],
    pub(super) shape: Shape,
    pub(super) values: ScalarBuffer<f64>,
    pub(super) quality: &'a [u16],
    /// Rows that are not accepted, rising.
    pub(super) rejected: &'a [u32],
    /// Some accepted row is not plain Good.
    pub(super) special: bool,
}

impl Group<'_> {
    /// Whether the batch is kept as it is: each slot once, in rising order.
    fn is_scan(&self) -> bool {
        self.slots.len() > 1 && self.slots.len() == self.batch.len() && self.shape != Shape::Mixed
    }

    fn point(&self, row: usize) -> Point {
        Point { time: self.time, value: self.values[row] }
    }
}

impl Aggregate {
    /// Weighs the rows of a group, which lie in the window `index`, and keeps them.
    pub(super) fn weigh(&mut self, index: usize, group: &Group<'_>, now: Micros) {
        let scan = group.is_scan();
        for piece in pieces(group.slots, group.shape, group.rejected) {
            match piece {
                Piece::Run(rows) if scan => {
                    self.weigh_run(index, group.slots[rows.start], &group.values[rows], group.time, now);
                }
                Piece::Run(rows) => {
                    for row in rows {
                        self.weigh_one(index, group.slots[row], group.point(row), now);
                        self.history.keep(group.slots[row], group.point(row));
                    }
                }
                Piece::Rejected(row) => {
                    let point = Point { time: group.time, value: f64::NAN };
                    self.weigh_one(index, group.slots[row], point, now);
                    if !scan {
                        self.history.keep(group.slots[row], point);
                    }
                }
            }
        }
        if scan {
            self.history.keep_scan(group.time, group.batch, &group.values, group.rejected);
        }
    }

    /// Accepted values of neighbouring slots.
    fn weigh_run(&mut self, index: usize, first: Slot, values: &[f64], time: Micros, now: Micros) {
        let slots = first as usize..first as usize + values.len();
        if !self.newest.are_within(slots.clone(), self.windows[index].start, time) {
            for (slot, value) in (first..).zip(values) {
                self.weigh_one(index, slot, Point { time, value: *value }, now);
            }
            return;
        }
        let newest = Arc::make_mut(&mut self.newest);
        let sums = room(&mut self.windows[index], self.slots.len(), &self.settings);
        sums.weights.add_run(slots.clone(), newest, &self.shares[slots.clone()], values, time);
        newest.set_run(slots, values, time);
    }

    /// One sample of the window `index`.
    fn weigh_one(&mut self, index: usize, slot: Slot, point: Point, now: Micros) {
        let before = self.newest.point(slot);
        if point.time < before.time {
            self.weigh_between(index, slot, point, now);
            return;
        }
        if before.is_accepted() {
            let sloped = self.is_sloped(slot);
            for at in self.first_after(before.time).min(index)..=index {
                let window = self.windows[at].window();
                if self.is_over(at, now) {
                    continue;
                }
                // Where no line comes of it, the value was taken to hold until the window's end, and it did.
                if bends(before, point, sloped) {
                    self.touch(at, slot, now);
                }
                let weight = span(before, Some(point), window, sloped);
                self.sums(at).reweigh(slot, Weight::default(), weight);
            }
        }
        if self.settings.needs.weights.transitions() {
            let transitions = u32::from(changes(self.newest.accepted(slot), point.value));
            self.sums(index).reweigh(slot, Weight::default(), Weight { transitions, ..Weight::default() });
        }
        Arc::make_mut(&mut self.newest).set(slot, point);
    }

    /// One sample of the window `index` that is older than the newest of its slot: it parts the time between its
    /// neighbours anew.
    fn weigh_between(&mut self, index: usize, slot: Slot, point: Point, now: Micros) {
        let sloped = self.is_sloped(slot);
        let before = self.history.before(slot, point.time);
        let after = self.history.after(slot, point.time).unwrap_or(self.newest.point(slot));
        let since = if before.is_accepted() { before.time } else { point.time };
        let end = self.windows.partition_point(|window| window.start < after.time);
        for at in self.first_after(since).min(end)..end {
            if self.is_over(at, now) {
                continue;
            }
            let window = self.windows[at].window();
            let missing = self.windows[at].is_missing(slot);
            let whole = if missing { Weight::default() } else { span(before, Some(after), window, sloped) };
            let parts = span(before, Some(point), window, sloped).plus(span(point, Some(after), window, sloped));
            if parts != whole {
                self.touch(at, slot, now);
                self.sums(at).reweigh(slot, whole, parts);
            }
        }
        if self.settings.needs.weights.transitions() && point.is_accepted() {
            let before = self.history.accepted_before(slot, point.time);
            self.change(index, slot, false, changes(before, point.value), now);
            match self.history.accepted_after(slot, point.time) {
                None => Arc::make_mut(&mut self.newest).set_accepted(slot, point.value),
                Some(after) => {
                    if let Some(at) = self.find(after.time) {
                        self.change(at, slot, changes(before, after.value), changes(point.value, after.value), now);
                    }
                }
            }
        }
    }

    /// Whether a slot has a transition at a sample of a window, as it was said and as it is.
    fn change(&mut self, at: usize, slot: Slot, old: bool, new: bool, now: Micros) {
        if old != new && !self.is_over(at, now) {
            let weight = |transition: bool| Weight { transitions: u32::from(transition), ..Weight::default() };
            self.touch(at, slot, now);
            self.sums(at).weights.replace(slot, weight(old), weight(new));
        }
    }

    fn is_sloped(&self, slot: Slot) -> bool {
        self.shares.get(slot as usize).is_some_and(|share| *share > 0.0)
    }

    /// The first window that ends after a time.
    fn first_after(&self, time: Micros) -> usize {
        self.windows.partition_point(|window| window.end <= time)
    }

    /// The window in which a time lies, if there is one.
    fn find(&self, time: Micros) -> Option<usize> {
        let at = self.first_after(time);
        self.windows.get(at).is_some_and(|window| window.start <= time).then_some(at)
    }

    /// Whether a window is corrected no more.
    fn is_over(&self, at: usize, now: Micros) -> bool {
        let window = &self.windows[at];
        window.closed && window.end.saturating_add(self.settings.cutoff) < now
    }

    fn sums(&mut self, at: usize) -> &mut Sums {
        room(&mut self.windows[at], self.slots.len(), &self.settings)
    }

    /// All that a slot weighs in a window, as far as it is known.
    pub(super) fn weight(&self, sums: &Sums, slot: Slot) -> Weight {
        sums.weights.get(slot).plus(self.newest.rest(slot, self.filled(slot, sums.window())))
    }

    /// Keeps the row of a closed window as it is before it changes.
    pub(super) fn touch(&mut self, at: usize, slot: Slot, now: Micros) {
        let sums = &self.windows[at];
        if !sums.closed {
            return;
        }
        let key = (sums.start, self.slots.tag(slot));
        if !self.touched.contains_key(&key) {
            let row = Row::of(sums, slot, &self.weight(sums, slot), &self.settings);
            self.touched.insert(key, row);
        }
        self.correct_at = Some(now);
    }

    /// Gives what has changed in closed windows.
    #[cold]
    pub(super) fn correct(&mut self, out: &mut Out) -> Result<(), NodeError> {
        self.correct_at = None;
        let touched = std::mem::take(&mut self.touched);
        let settings = self.settings.clone();
        let mut rows = Rows::new(&settings, touched.len() * 2);
        let mut given = 0;
        for ((start, tag), old) in touched {
            let Ok(index) = self.windows.binary_search_by_key(&start, |window| window.start) else { continue };
            let slot = self.slots.slot(tag);
            let sums = &self.windows[index];
            let new = Row::of(sums, slot, &self.weight(sums, slot), &settings);
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
}

/// A window for writing, with room for all slots.
fn room<'a>(window: &'a mut Arc<Sums>, slots: usize, settings: &super::Settings) -> &'a mut Sums {
    let sums = Arc::make_mut(window);
    sums.grow(slots, settings.needs);
    sums
}
