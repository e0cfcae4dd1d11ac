//! The samples of the last while, in panes: a minute, or a window where that is shorter. A pane is weighed when it is
//! over; a sample that comes late has its tag's panes weighed again. A window's weights are those of its panes.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use ducto_record::Micros;
use serde::{Deserialize, Serialize};

use super::calendar::Window;
use super::sums::Slot;
use super::weights::{Carry, Kept, Walk, Weight, Weights};

/// Where a time lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) window: Window,
    pub(super) pane: Window,
    /// The window's rows were given.
    pub(super) closed: bool,
}

/// Neighbouring slots at one time; the values are the batch's own buffer.
#[derive(Clone, Debug)]
struct Scan {
    time: Micros,
    slots: Arc<[Slot]>,
    values: ScalarBuffer<f64>,
    /// Rows that are not accepted, rising.
    rejected: Arc<[u32]>,
    /// Its turn among what its pane was given: of two samples of one time the later one counts as later.
    turn: u32,
}

impl Scan {
    fn value(&self, row: usize) -> f64 {
        if self.rejected.binary_search(&(row as u32)).is_ok() { f64::NAN } else { self.values[row] }
    }
}

/// The samples of a minute, or of a window that is shorter.
#[derive(Clone, Debug)]
pub(super) struct Pane {
    pub(super) window: Window,
    pub(super) closed: bool,
    /// By rising time.
    scans: Vec<Scan>,
    /// Single samples, in the order in which they came, each with its turn.
    loose: Vec<(u32, Kept)>,
    turns: u32,
    weights: Weights,
}

/// The panes that late samples may still change, and what was known before the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Panes {
    /// By rising start.
    pub(super) panes: Vec<Arc<Pane>>,
    /// Per slot, before the oldest pane.
    base: Arc<Vec<Carry>>,
    /// Per slot, at the end of the newest closed pane.
    head: Arc<Vec<Carry>>,
    /// Whether values between samples are joined by lines, per slot.
    sloped: Arc<Vec<bool>>,
}

impl Pane {
    fn new(window: Window) -> Self {
        Self { window, closed: false, scans: Vec::new(), loose: Vec::new(), turns: 0, weights: Weights::default() }
    }

    fn turn(&mut self) -> u32 {
        self.turns += 1;
        self.turns
    }

    /// The samples of a slot, by time, those of one time as they came.
    fn samples(&self, slot: Slot) -> Vec<Kept> {
        let mut samples: Vec<(u32, Kept)> = self.loose.iter().filter(|(_, kept)| kept.slot == slot).copied().collect();
        for scan in &self.scans {
            if let Some(row) = row_of(&scan.slots, slot) {
                samples.push((scan.turn, Kept { slot, time: scan.time, value: scan.value(row) }));
            }
        }
        samples.sort_by_key(|(turn, kept)| (kept.time, *turn));
        samples.into_iter().map(|(_, kept)| kept).collect()
    }

    /// Calls `each` for all samples, those of each slot by time and turn.
    fn walk(&self, slots: usize, mut each: impl FnMut(Slot, Micros, f64)) {
        // Slots with single samples are walked by themselves, so that all of a slot's samples come in order.
        let mut single = vec![false; slots];
        for (_, kept) in &self.loose {
            if let Some(single) = single.get_mut(kept.slot as usize) {
                *single = true;
            }
        }
        for scan in &self.scans {
            let mut rejected = scan.rejected.iter().peekable();
            for (row, (slot, value)) in scan.slots.iter().zip(scan.values.iter()).enumerate() {
                let bad = rejected.next_if(|next| **next as usize == row).is_some();
                if !single.get(*slot as usize).copied().unwrap_or_default() {
                    each(*slot, scan.time, if bad { f64::NAN } else { *value });
                }
            }
        }
        let mut loose = self.loose.clone();
        if !self.scans.is_empty() {
            for slot in (0..slots).filter(|slot| single[*slot]) {
                for scan in &self.scans {
                    if let Some(row) = row_of(&scan.slots, slot as Slot) {
                        loose.push((scan.turn, Kept { slot: slot as Slot, time: scan.time, value: scan.value(row) }));
                    }
                }
            }
        }
        loose.sort_by_key(|(turn, kept)| (kept.slot, kept.time, *turn));
        for (_, kept) in loose {
            each(kept.slot, kept.time, kept.value);
        }
    }
}

/// Slots of a scan rise; mostly they are neighbours.
fn row_of(slots: &[Slot], slot: Slot) -> Option<usize> {
    let guess = slot.wrapping_sub(*slots.first()?) as usize;
    if slots.get(guess) == Some(&slot) { Some(guess) } else { slots.binary_search(&slot).ok() }
}

impl Panes {
    pub(super) fn know(&mut self, slot: Slot, sloped: bool) {
        let all = Arc::make_mut(&mut self.sloped);
        let at = slot as usize;
        if all.len() <= at {
            all.resize(at + 1, false);
        }
        all[at] = sloped;
    }

    /// The pane in which a time lies, made where there is none: a minute, or, where time was weighed already, all that
    /// is free of the window, so that what lies before and after is weighed too.
    fn index(&mut self, time: Micros, at: &Cut) -> usize {
        let after = self.panes.partition_point(|pane| pane.window.start <= time);
        if let Some(before) = after.checked_sub(1)
            && self.panes[before].window.contains(time)
        {
            return before;
        }
        let closed = at.closed || self.panes.get(after).is_some_and(|next| next.closed);
        let wanted = if closed { at.window } else { at.pane };
        let start = after.checked_sub(1).map_or(wanted.start, |before| wanted.start.max(self.panes[before].window.end));
        let end = self.panes.get(after).map_or(wanted.end, |next| wanted.end.min(next.window.start));
        let mut pane = Pane::new(Window { start, end });
        pane.closed = closed;
        self.panes.insert(after, Arc::new(pane));
        after
    }

    /// Keeps a scan, whose slots rise; rows of `rejected` are not accepted. Whether its pane was weighed already.
    pub(super) fn keep_scan(&mut self, at: &Cut, scan: (Micros, &Arc<[Slot]>, &ScalarBuffer<f64>, &[u32])) -> bool {
        let (time, slots, values, rejected) = scan;
        let index = self.index(time, at);
        let pane = Arc::make_mut(&mut self.panes[index]);
        let turn = pane.turn();
        let scan = Scan { time, slots: slots.clone(), values: values.clone(), rejected: rejected.into(), turn };
        let position = pane.scans.partition_point(|other| other.time <= time);
        pane.scans.insert(position, scan);
        pane.closed
    }

    /// Keeps a single sample. Whether its pane was weighed already.
    pub(super) fn keep(&mut self, at: &Cut, kept: Kept) -> bool {
        let index = self.index(kept.time, at);
        let pane = Arc::make_mut(&mut self.panes[index]);
        let turn = pane.turn();
        pane.loose.push((turn, kept));
        pane.closed
    }

    /// The end of the first pane that is not closed.
    pub(super) fn next_end(&self) -> Option<Micros> {
        self.panes.iter().find(|pane| !pane.closed).map(|pane| pane.window.end)
    }

    /// Weighs the panes whose end is at most `until`, and gives each with its weights to `each`. The time between
    /// panes is weighed too, as far as it lies in a window that has samples; `window_of` says where windows lie.
    pub(super) fn close(
        &mut self,
        until: Micros,
        slots: usize,
        window_of: impl Fn(Micros) -> Window,
        mut each: impl FnMut(Window, &Weights),
    ) {
        while let Some(index) = self.panes.iter().position(|pane| !pane.closed) {
            let pane = self.panes[index].window;
            if pane.end > until {
                break;
            }
            let before = index.checked_sub(1).map(|before| self.panes[before].window.end);
            let gap = match before {
                Some(before) if before < pane.start => {
                    let behind = window_of(before);
                    let ahead = window_of(pane.start);
                    if behind.start < before && behind.end < pane.start {
                        Some(Window { start: before, end: behind.end })
                    } else {
                        Some(Window { start: before.max(ahead.start), end: pane.start })
                    }
                }
                Some(_) => None,
                None => Some(Window { start: window_of(pane.start).start, end: pane.start }),
            };
            if let Some(gap) = gap.filter(|gap| gap.start < gap.end) {
                self.panes.insert(index, Arc::new(Pane::new(gap)));
                continue;
            }
            self.close_one(index, slots, &mut each);
        }
    }

    /// Weighs what is left of a window behind its last pane.
    pub(super) fn complete(&mut self, window: Window, slots: usize, mut each: impl FnMut(Window, &Weights)) {
        let after = self.panes.partition_point(|pane| pane.window.start < window.end);
        let Some(last) = after.checked_sub(1).map(|last| self.panes[last].window) else { return };
        if last.end > window.start && last.end < window.end {
            self.panes.insert(after, Arc::new(Pane::new(Window { start: last.end, end: window.end })));
            self.close_one(after, slots, &mut each);
        }
    }

    fn close_one(&mut self, index: usize, slots: usize, each: &mut impl FnMut(Window, &Weights)) {
        let weights = self.weigh(index, slots);
        let pane = Arc::make_mut(&mut self.panes[index]);
        pane.closed = true;
        each(pane.window, &weights);
        pane.weights = weights;
    }

    /// Weighs all slots of a pane, from what is known at its start.
    fn weigh(&mut self, index: usize, slots: usize) -> Weights {
        let pane = self.panes[index].clone();
        let head = Arc::make_mut(&mut self.head);
        head.resize(slots.max(head.len()), Carry::default());
        let mut walks: Vec<Walk> = head
            .iter()
            .enumerate()
            .map(|(slot, carry)| Walk {
                from: pane.window.start,
                carry: *carry,
                weight: Weight::default(),
                sloped: self.sloped.get(slot).copied().unwrap_or_default(),
            })
            .collect();
        pane.walk(walks.len(), |slot, time, value| walks[slot as usize].step(time, value));
        let mut next: Vec<Option<(u32, Kept)>> = vec![None; walks.len()];
        if self.sloped.contains(&true) {
            for later in self.panes.iter().skip(index + 1).rev() {
                for scan in later.scans.iter().rev() {
                    for (row, slot) in scan.slots.iter().enumerate() {
                        let kept = Kept { slot: *slot, time: scan.time, value: scan.value(row) };
                        offer(&mut next, scan.turn, kept);
                    }
                }
                for (turn, kept) in later.loose.iter().rev() {
                    offer(&mut next, *turn, *kept);
                }
            }
        }
        let mut weights = Weights::default();
        weights.grow(walks.len());
        for (slot, walk) in walks.iter_mut().enumerate() {
            walk.finish(pane.window.end, next[slot].map(|(_, kept)| kept));
            weights.set(slot as Slot, walk.weight);
            head[slot] = walk.carry;
        }
        weights
    }

    /// Weighs a slot's closed panes again around samples that came late, the earliest of which lies at `since` and the
    /// latest at `until`. Gives each pane whose weights changed: where it lies, the old and the new.
    pub(super) fn weigh_again(&mut self, slot: Slot, since: Micros, until: Micros) -> Vec<(Window, Weight, Weight)> {
        let closed = self.panes.partition_point(|pane| pane.closed);
        let samples_of = |index: usize| self.panes[index].samples(slot);
        // From the pane of the sample before the late ones to that of the sample after them.
        let mut first = self.panes.partition_point(|pane| pane.window.end <= since).min(closed);
        let mut found =
            self.panes.get(first).is_some_and(|pane| pane.samples(slot).iter().any(|kept| kept.time < since));
        while !found && first > 0 {
            first -= 1;
            found = !samples_of(first).is_empty();
        }
        let mut carry = self.carry_before(first, slot);
        let sloped = self.sloped.get(slot as usize).copied().unwrap_or_default();
        let mut results = Vec::new();
        let mut samples = if first < self.panes.len() { samples_of(first) } else { Vec::new() };
        for index in first..closed {
            let window = self.panes[index].window;
            let mut following = Vec::new();
            let mut next = None;
            for later in index + 1..self.panes.len() {
                let found = samples_of(later);
                next = found.first().copied();
                if later == index + 1 {
                    following = found;
                }
                if next.is_some() {
                    break;
                }
            }
            let mut walk = Walk { from: window.start, carry, weight: Weight::default(), sloped };
            for kept in &samples {
                walk.step(kept.time, kept.value);
            }
            carry = walk.carry;
            walk.finish(window.end, next);
            results.push((index, walk.weight));
            if window.start > until && samples.iter().any(|kept| !kept.value.is_nan()) {
                break;
            }
            samples = following;
        }
        if results.last().is_none_or(|(index, _)| index + 1 == closed) && closed > 0 {
            let head = Arc::make_mut(&mut self.head);
            if head.len() <= slot as usize {
                head.resize(slot as usize + 1, Carry::default());
            }
            head[slot as usize] = carry;
        }
        let mut changed = Vec::new();
        for (index, weight) in results {
            let pane = &mut self.panes[index];
            let old = pane.weights.get(slot);
            if old != weight {
                let pane = Arc::make_mut(pane);
                pane.weights.set(slot, weight);
                changed.push((pane.window, old, weight));
            }
        }
        changed
    }

    /// What is known of a slot at the start of a pane.
    fn carry_before(&self, index: usize, slot: Slot) -> Carry {
        let base = self.base.get(slot as usize).copied().unwrap_or_default();
        let mut newest: Option<Kept> = None;
        for pane in self.panes[..index].iter().rev() {
            for kept in pane.samples(slot).iter().rev() {
                let last = *newest.get_or_insert(*kept);
                if !kept.value.is_nan() {
                    return Carry { time: last.time, value: kept.value, good: !last.value.is_nan() };
                }
            }
        }
        match newest {
            Some(last) => Carry { time: last.time, value: base.value, good: false },
            None => base,
        }
    }

    /// Forgets panes that end at `until` or before; what was known at their end is kept.
    pub(super) fn forget(&mut self, until: Micros) {
        let count = self.panes.iter().take_while(|pane| pane.closed && pane.window.end <= until).count();
        if count == 0 {
            return;
        }
        let base = Arc::make_mut(&mut self.base);
        base.resize(base.len().max(self.sloped.len()), Carry::default());
        for pane in self.panes.drain(..count) {
            pane.walk(base.len(), |slot, time, value| {
                let Some(carry) = base.get(slot as usize).copied() else { return };
                let good = !value.is_nan();
                base[slot as usize] = Carry { time, good, value: if good { value } else { carry.value } };
            });
        }
    }

    pub(super) fn saved(&self) -> SavedPanes {
        let panes = self
            .panes
            .iter()
            .map(|pane| {
                let mut samples = pane.loose.clone();
                for scan in &pane.scans {
                    for (row, slot) in scan.slots.iter().enumerate() {
                        samples.push((scan.turn, Kept { slot: *slot, time: scan.time, value: scan.value(row) }));
                    }
                }
                samples.sort_by_key(|(turn, kept)| (kept.time, *turn));
                let samples = samples.into_iter().map(|(_, kept)| (kept.slot, kept.time, kept.value)).collect();
                SavedPane {
                    start: pane.window.start,
                    end: pane.window.end,
                    closed: pane.closed,
                    samples,
                    weights: pane.weights.clone(),
                }
            })
            .collect();
        SavedPanes { panes, base: self.base.to_vec(), head: self.head.to_vec() }
    }

    /// `to[old]` is the slot here; `from[new]` the slot there.
    pub(super) fn restore(&mut self, saved: SavedPanes, to: &[Option<Slot>], from: &[Option<Slot>]) {
        let carries = |kept: Vec<Carry>| {
            Arc::new(
                from.iter()
                    .map(|slot| slot.and_then(|slot| kept.get(slot as usize).copied()).unwrap_or_default())
                    .collect::<Vec<_>>(),
            )
        };
        self.base = carries(saved.base);
        self.head = carries(saved.head);
        self.panes = saved
            .panes
            .into_iter()
            .map(|pane| {
                let mut loose = Vec::with_capacity(pane.samples.len());
                for (slot, time, value) in pane.samples {
                    if let Some(Some(slot)) = to.get(slot as usize) {
                        loose.push((loose.len() as u32, Kept { slot: *slot, time, value }));
                    }
                }
                let mut weights = Weights::default();
                weights.take_from(&pane.weights, from);
                Arc::new(Pane {
                    window: Window { start: pane.start, end: pane.end },
                    closed: pane.closed,
                    scans: Vec::new(),
                    turns: loose.len() as u32,
                    loose,
                    weights,
                })
            })
            .collect();
    }
}

/// Panes are offered from the latest to the earliest: within one, the first sample counts.
fn offer(next: &mut [Option<(u32, Kept)>], turn: u32, kept: Kept) {
    if let Some(known) = next.get_mut(kept.slot as usize)
        && known
            .is_none_or(|(known_turn, known)| (kept.time, turn) < (known.time, known_turn) || kept.time < known.time)
    {
        *known = Some((turn, kept));
    }
}

/// [`Panes`] as they are kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SavedPanes {
    panes: Vec<SavedPane>,
    base: Vec<Carry>,
    head: Vec<Carry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedPane {
    start: Micros,
    end: Micros,
    closed: bool,
    samples: Vec<(Slot, Micros, f64)>,
    weights: Weights,
}
