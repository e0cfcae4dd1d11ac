//! The samples of the last while, by reference to the batches in which they came: what a sample that comes late lies
//! between is looked up here.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use ducto_record::Micros;
use ducto_record::time::MINUTE;
use serde::{Deserialize, Serialize};

use super::weights::{Newest, Point, WeightNeeds};
use crate::slots::Slot;

/// A sample and its turn among those of its chunk: of two of one time the one that came later counts as later.
#[derive(Clone, Copy, Debug)]
struct Turned {
    point: Point,
    turn: u32,
}

impl Turned {
    fn order(&self) -> (Micros, u32) {
        (self.point.time, self.turn)
    }
}

/// Rising slots at one time; the values are the batch's own buffer.
#[derive(Clone, Debug)]
struct Scan {
    time: Micros,
    turn: u32,
    slots: Arc<[Slot]>,
    values: ScalarBuffer<f64>,
    /// Rows that are not accepted, rising.
    rejected: Arc<[u32]>,
}

impl Scan {
    fn value(&self, row: usize) -> f64 {
        if self.rejected.binary_search(&(row as u32)).is_ok() { f64::NAN } else { self.values[row] }
    }

    fn of(&self, slot: Slot) -> Option<Turned> {
        // Mostly the slots are neighbours.
        let guess = slot.wrapping_sub(*self.slots.first()?) as usize;
        let row = if self.slots.get(guess) == Some(&slot) { guess } else { self.slots.binary_search(&slot).ok()? };
        Some(Turned { point: Point { time: self.time, value: self.value(row) }, turn: self.turn })
    }
}

/// The samples of about a minute. A snapshot shares chunks; the next sample copies the one it goes to.
#[derive(Clone, Debug)]
struct Chunk {
    /// All its samples lie between these, and before the start of the next chunk.
    start: Micros,
    newest: Micros,
    turns: u32,
    /// By rising time and turn.
    scans: Vec<Scan>,
    /// Samples that are no part of a scan, of each slot by rising time and turn.
    single: BTreeMap<Slot, Vec<Turned>>,
}

impl Chunk {
    fn new(time: Micros) -> Self {
        Self { start: time, newest: time, turns: 0, scans: Vec::new(), single: BTreeMap::new() }
    }

    fn add(&mut self, slot: Slot, sample: Turned) {
        let samples = self.single.entry(slot).or_default();
        let at = samples.partition_point(|other| other.order() < sample.order());
        samples.insert(at, sample);
    }

    /// The samples of a slot at `until` or before, the latest first.
    fn back(&self, slot: Slot, until: Micros) -> impl Iterator<Item = Point> {
        let scans = &self.scans[..self.scans.partition_point(|scan| scan.time <= until)];
        let single = self.single.get(&slot).map_or(&[][..], Vec::as_slice);
        let single = &single[..single.partition_point(|sample| sample.point.time <= until)];
        let scans = scans.iter().rev().filter_map(move |scan| scan.of(slot));
        merged(scans.peekable(), single.iter().rev().copied().peekable(), |a, b| a.order() > b.order())
    }

    /// The samples of a slot after `since`, the earliest first.
    fn forth(&self, slot: Slot, since: Micros) -> impl Iterator<Item = Point> {
        let scans = &self.scans[self.scans.partition_point(|scan| scan.time <= since)..];
        let single = self.single.get(&slot).map_or(&[][..], Vec::as_slice);
        let single = &single[single.partition_point(|sample| sample.point.time <= since)..];
        let scans = scans.iter().filter_map(move |scan| scan.of(slot));
        merged(scans.peekable(), single.iter().copied().peekable(), |a, b| a.order() < b.order())
    }

    /// The slots with samples here. Of the scans of one layout only the last is looked at.
    fn slots(&self) -> BTreeSet<Slot> {
        let mut layouts = BTreeSet::new();
        let scans = self.scans.iter().filter(|scan| layouts.insert(scan.slots.as_ptr()));
        scans.flat_map(|scan| scan.slots.iter().copied()).chain(self.single.keys().copied()).collect()
    }
}

/// Two sequences in one order.
fn merged(
    mut a: Peekable<impl Iterator<Item = Turned>>,
    mut b: Peekable<impl Iterator<Item = Turned>>,
    a_is_first: impl Fn(&Turned, &Turned) -> bool,
) -> impl Iterator<Item = Point> {
    std::iter::from_fn(move || {
        let next = match (a.peek(), b.peek()) {
            (Some(first), Some(second)) if a_is_first(first, second) => a.next(),
            (Some(_), None) => a.next(),
            _ => b.next(),
        };
        next.map(|sample| sample.point)
    })
}

/// The samples between which late ones may come, and what was known before the oldest of them.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// By rising start.
    chunks: Vec<Arc<Chunk>>,
    /// Of each slot, before the oldest chunk.
    before: Arc<Newest>,
}

impl History {
    /// The chunk to which a sample goes, and the sample's turn there.
    fn chunk(&mut self, time: Micros) -> (&mut Chunk, u32) {
        let after = self.chunks.partition_point(|chunk| chunk.start <= time);
        let index = match after.checked_sub(1).map(|last| (last, &self.chunks[last])) {
            Some((last, chunk)) if time <= chunk.newest || time < chunk.start.saturating_add(MINUTE) => last,
            None if !self.chunks.is_empty() => 0,
            _ => {
                self.chunks.insert(after, Arc::new(Chunk::new(time)));
                after
            }
        };
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        chunk.start = chunk.start.min(time);
        chunk.newest = chunk.newest.max(time);
        chunk.turns += 1;
        let turn = chunk.turns;
        (chunk, turn)
    }

    /// Keeps a scan, whose slots rise; rows of `rejected` are not accepted.
    pub(super) fn keep_scan(
        &mut self,
        time: Micros,
        slots: &Arc<[Slot]>,
        values: &ScalarBuffer<f64>,
        rejected: &[u32],
    ) {
        let (chunk, turn) = self.chunk(time);
        let rejected = if rejected.is_empty() { Arc::default() } else { rejected.into() };
        let scan = Scan { time, turn, slots: slots.clone(), values: values.clone(), rejected };
        let at = chunk.scans.partition_point(|other| other.time <= time);
        chunk.scans.insert(at, scan);
    }

    /// Keeps a single sample.
    pub(super) fn keep(&mut self, slot: Slot, point: Point) {
        let (chunk, turn) = self.chunk(point.time);
        chunk.add(slot, Turned { point, turn });
    }

    fn back(&self, slot: Slot, until: Micros) -> impl Iterator<Item = Point> {
        let count = self.chunks.partition_point(|chunk| chunk.start <= until);
        self.chunks[..count].iter().rev().flat_map(move |chunk| chunk.back(slot, until))
    }

    fn forth(&self, slot: Slot, since: Micros) -> impl Iterator<Item = Point> {
        let first = self.chunks.partition_point(|chunk| chunk.newest <= since);
        self.chunks[first..].iter().flat_map(move |chunk| chunk.forth(slot, since))
    }

    /// The last sample of a slot at `time` or before.
    pub(super) fn before(&self, slot: Slot, time: Micros) -> Point {
        let oldest = self.before.point(slot);
        // Where the cutoff was shorter once, more was forgotten than is known to be missing.
        let oldest = if oldest.time <= time { oldest } else { Point::NEVER };
        self.back(slot, time).next().unwrap_or(oldest)
    }

    /// The first sample of a slot after `time`.
    pub(super) fn after(&self, slot: Slot, time: Micros) -> Option<Point> {
        self.forth(slot, time).next()
    }

    /// The last accepted value of a slot at `time` or before; NaN where there is none.
    pub(super) fn accepted_before(&self, slot: Slot, time: Micros) -> f64 {
        let found = self.back(slot, time).find(|point| point.is_accepted());
        found.map_or_else(|| self.before.accepted(slot), |point| point.value)
    }

    /// The first accepted sample of a slot after `time`.
    pub(super) fn accepted_after(&self, slot: Slot, time: Micros) -> Option<Point> {
        self.forth(slot, time).find(|point| point.is_accepted())
    }

    /// Forgets chunks whose samples lie at `until` or before; the last of each slot stays known.
    pub(super) fn forget(&mut self, until: Micros, slots: usize, needs: WeightNeeds) {
        let count = self.chunks.iter().take_while(|chunk| chunk.newest <= until).count();
        if count == 0 {
            return;
        }
        let before = Arc::make_mut(&mut self.before);
        before.grow(slots, needs);
        for chunk in self.chunks.drain(..count) {
            for slot in chunk.slots() {
                let mut samples = chunk.back(slot, Micros::MAX);
                let Some(newest) = samples.next() else { continue };
                before.set(slot, newest);
                if needs.transitions()
                    && !newest.is_accepted()
                    && let Some(accepted) = samples.find(|point| point.is_accepted())
                {
                    before.set_accepted(slot, accepted.value);
                }
            }
        }
    }

    /// `all`: every slot, as itself.
    pub(super) fn saved(&self, all: &[Option<Slot>], needs: WeightNeeds) -> SavedHistory {
        let mut saved = SavedHistory { before: self.before.permuted(all, needs), ..SavedHistory::default() };
        // By address, then by content: what the journal gave again has other addresses, and is the same state.
        let (mut layouts, mut by_content) = (BTreeMap::new(), BTreeMap::new());
        for chunk in &self.chunks {
            let scans = chunk.scans.iter().map(|scan| SavedScan {
                time: scan.time,
                turn: scan.turn,
                layout: *layouts.entry(scan.slots.as_ptr()).or_insert_with(|| {
                    *by_content.entry(&scan.slots).or_insert_with(|| {
                        saved.layouts.push(scan.slots.to_vec());
                        saved.layouts.len() - 1
                    })
                }),
                values: (0..scan.slots.len()).map(|row| scan.value(row)).collect(),
            });
            let scans = scans.collect();
            let of_slot = |(slot, samples): (&Slot, &Vec<Turned>)| {
                (*slot, samples.iter().map(|kept| (kept.point.time, kept.turn, kept.point.value)).collect())
            };
            saved.chunks.push(SavedChunk {
                start: chunk.start,
                newest: chunk.newest,
                turns: chunk.turns,
                scans,
                single: chunk.single.iter().map(of_slot).collect(),
            });
        }
        saved
    }

    /// Takes the samples of other slots, in the order in which they came; `from` as in [`History::restored`].
    pub(super) fn join(&mut self, other: Self, from: &[Option<Slot>], needs: WeightNeeds) {
        if self.chunks.is_empty() && self.before.is_empty() {
            *self = other;
            return;
        }
        // `other` has its slots where they are here.
        let here: Vec<_> = (0..).zip(from).map(|(slot, from)| from.map(|_| slot)).collect();
        Arc::make_mut(&mut self.before).take(&other.before, &here, needs);
        for chunk in other.chunks {
            let mut scans = chunk.scans.clone();
            scans.sort_by_key(|scan| scan.turn);
            let single = chunk.single.iter();
            let mut single: Vec<_> =
                single.flat_map(|(slot, samples)| samples.iter().map(|sample| (*slot, *sample))).collect();
            single.sort_by_key(|(_, sample)| sample.turn);
            let mut single = single.into_iter().peekable();
            for scan in scans {
                while let Some((slot, sample)) = single.next_if(|(_, sample)| sample.turn < scan.turn) {
                    self.keep(slot, sample.point);
                }
                self.keep_scan(scan.time, &scan.slots, &scan.values, &scan.rejected);
            }
            single.for_each(|(slot, sample)| self.keep(slot, sample.point));
        }
    }

    /// `to[old]` is the slot here, rising as the old ones do; `from[new]` the slot there.
    pub(super) fn restored(
        saved: SavedHistory,
        to: &[Option<Slot>],
        from: &[Option<Slot>],
        needs: WeightNeeds,
    ) -> Self {
        let slot_here = |slot: &Slot| to.get(*slot as usize).copied().flatten();
        let layouts: Vec<Arc<[Slot]>> =
            saved.layouts.iter().map(|slots| slots.iter().filter_map(slot_here).collect()).collect();
        let scan_of = |scan: SavedScan| {
            let there = saved.layouts.get(scan.layout)?;
            let here = there.iter().zip(scan.values).filter(|(slot, _)| slot_here(slot).is_some());
            let values = here.map(|(_, value)| value).collect::<Vec<_>>().into();
            let slots = layouts.get(scan.layout)?.clone();
            Some(Scan { time: scan.time, turn: scan.turn, slots, values, rejected: Arc::default() })
        };
        let turned = |(time, turn, value)| Turned { point: Point { time, value }, turn };
        let chunk_of = |chunk: SavedChunk| Chunk {
            start: chunk.start,
            newest: chunk.newest,
            turns: chunk.turns,
            scans: chunk.scans.into_iter().filter_map(scan_of).collect(),
            single: chunk
                .single
                .into_iter()
                .filter_map(|(slot, samples)| Some((slot_here(&slot)?, samples.into_iter().map(turned).collect())))
                .collect(),
        };
        Self {
            chunks: saved.chunks.into_iter().map(|chunk| Arc::new(chunk_of(chunk))).collect(),
            before: Arc::new(saved.before.permuted(from, needs)),
        }
    }
}

/// [`History`] as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SavedHistory {
    layouts: Vec<Vec<Slot>>,
    chunks: Vec<SavedChunk>,
    before: Newest,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedChunk {
    start: Micros,
    newest: Micros,
    turns: u32,
    scans: Vec<SavedScan>,
    single: Vec<(Slot, Vec<SavedSample>)>,
}

/// Time, turn, value.
type SavedSample = (Micros, u32, f64);

#[derive(Debug, Serialize, Deserialize)]
struct SavedScan {
    time: Micros,
    turn: u32,
    layout: usize,
    /// NaN where a row was not accepted.
    values: Vec<f64>,
}
