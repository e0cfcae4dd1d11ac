//! A tag's place in the arrays of a node.
//!
//! A node that keeps something of every tag walks through it once a scan. In the order of the scan's rows that is a
//! stream; in the order of the tags' numbers, which is another as a rule, nearly every row waits for memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ducto_record::{Layout, Samples, TagId};

/// A tag's place: given in the order in which tags first appear, so that the rows of a scan are neighbours whatever the
/// order of its tags.
pub(crate) type Slot = u32;

/// No slot was given yet.
const NONE: Slot = Slot::MAX;

/// How the slots of a batch's rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Each is its neighbour's plus one.
    Neighbours,
    Rising,
    Mixed,
}

/// The slots of a batch's rows.
#[derive(Clone)]
pub(crate) struct Batched {
    pub(crate) slots: Arc<[Slot]>,
    pub(crate) shape: Shape,
}

/// The slots of a layout's rows. The layout is kept, so that no other one gets its address.
struct Known {
    layout: Arc<Layout>,
    batched: Batched,
}

/// Layouts that are remembered before that begins anew.
const LAYOUTS: usize = 4_096;

/// Which tag has which slot.
#[derive(Default)]
pub(crate) struct Slots {
    of_tag: Vec<Slot>,
    /// By slot.
    tags: Arc<Vec<TagId>>,
    /// Slots in the order of tags; empty when tags have come since.
    by_tag: Vec<Slot>,
    /// By the layout's address.
    known: HashMap<usize, Known>,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.tags.len()
    }

    pub(crate) fn tag(&self, slot: Slot) -> TagId {
        self.tags[slot as usize]
    }

    /// By slot.
    pub(crate) fn tags(&self) -> Arc<Vec<TagId>> {
        self.tags.clone()
    }

    /// The slot of a tag that has one.
    pub(crate) fn get(&self, tag: TagId) -> Option<Slot> {
        self.of_tag.get(tag as usize).copied().filter(|slot| *slot != NONE)
    }

    /// The slot of a tag, given now where it has none.
    pub(crate) fn slot(&mut self, tag: TagId) -> Slot {
        match self.of_tag.get(tag as usize) {
            Some(&slot) if slot != NONE => slot,
            _ => self.give(tag),
        }
    }

    #[cold]
    fn give(&mut self, tag: TagId) -> Slot {
        let at = tag as usize;
        if self.of_tag.len() <= at {
            self.of_tag.resize(at + 1, NONE);
        }
        let slot = self.tags.len() as Slot;
        self.of_tag[at] = slot;
        Arc::make_mut(&mut self.tags).push(tag);
        self.by_tag.clear();
        slot
    }

    /// The slots of a batch's rows, in their order.
    pub(crate) fn of_batch(&mut self, samples: &Samples) -> Batched {
        let Some(layout) = samples.layout() else { return self.of_tags(samples.tags()) };
        let address = Arc::as_ptr(layout) as usize;
        if let Some(known) = self.known.get(&address).filter(|known| Arc::ptr_eq(&known.layout, layout)) {
            return known.batched.clone();
        }
        let batched = self.of_tags(samples.tags());
        if self.known.len() >= LAYOUTS {
            self.known.clear();
        }
        self.known.insert(address, Known { layout: layout.clone(), batched: batched.clone() });
        batched
    }

    fn of_tags(&mut self, tags: &[TagId]) -> Batched {
        let slots: Arc<[Slot]> = tags.iter().map(|tag| self.slot(*tag)).collect();
        let shape = if slots.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)) {
            Shape::Neighbours
        } else if slots.windows(2).all(|pair| pair[1] > pair[0]) {
            Shape::Rising
        } else {
            Shape::Mixed
        };
        Batched { slots, shape }
    }

    /// All slots in the order of their tags.
    pub(crate) fn in_order_of_tags(&mut self) -> &[Slot] {
        if self.by_tag.len() != self.tags.len() {
            self.by_tag = (0..self.tags.len() as Slot).collect();
            self.by_tag.sort_by_key(|slot| self.tags[*slot as usize]);
        }
        &self.by_tag
    }
}

/// A part of a group of rows.
pub(crate) enum Piece {
    /// Accepted rows of neighbouring slots.
    Run(Range<usize>),
    /// A row that is not accepted.
    Rejected(usize),
}

/// Cuts a group of rows into runs of neighbours: the whole of a scan, mostly. `rejected` rises.
pub(crate) fn pieces<'a>(slots: &'a [Slot], shape: Shape, rejected: &'a [u32]) -> impl Iterator<Item = Piece> + 'a {
    let mut rejected = rejected.iter().map(|row| *row as usize).peekable();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        if start >= slots.len() {
            return None;
        }
        at += 1;
        if rejected.next_if_eq(&start).is_some() {
            return Some(Piece::Rejected(start));
        }
        let limit = rejected.peek().copied().unwrap_or(slots.len());
        if shape == Shape::Neighbours {
            at = limit;
        } else {
            while at < limit && slots[at] == slots[at - 1].wrapping_add(1) {
                at += 1;
            }
        }
        Some(Piece::Run(start..at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducto_record::Values;

    fn scan(layout: &Arc<Layout>) -> Samples {
        let values = Values::Float64(vec![1.0; layout.tags.len()].into());
        Samples::scan(layout, 0, values, None).unwrap()
    }

    #[test]
    fn the_rows_of_scans_are_neighbours_in_any_order_of_tags() {
        let layouts = [Layout::new(vec![7, 2, 9]), Layout::new(vec![1, 8]), Layout::new(vec![2, 9])];
        let mut slots = Slots::default();
        // The second time, from what is remembered.
        for _ in 0..2 {
            for (layout, expected) in layouts.iter().zip([&[0, 1, 2][..], &[3, 4], &[1, 2]]) {
                let batched = slots.of_batch(&scan(layout));
                assert_eq!((&*batched.slots, batched.shape), (expected, Shape::Neighbours));
            }
        }
        assert_eq!(slots.in_order_of_tags(), [3, 1, 0, 4, 2]);
        assert_eq!((slots.get(8), slots.get(3), slots.get(99)), (Some(4), None, None));
        let gaps = slots.of_batch(&scan(&Layout::new(vec![7, 9, 1])));
        assert_eq!((&*gaps.slots, gaps.shape), (&[0, 2, 3][..], Shape::Rising));
        let back = slots.of_batch(&scan(&Layout::new(vec![9, 7])));
        assert_eq!((&*back.slots, back.shape), (&[2, 0][..], Shape::Mixed));
    }

    #[test]
    fn what_is_remembered_of_layouts_has_an_end() {
        let mut slots = Slots::default();
        for tag in 0..LAYOUTS as TagId + 2 {
            let batched = slots.of_batch(&scan(&Layout::new(vec![tag])));
            assert_eq!(&*batched.slots, [tag]);
        }
        assert_eq!(slots.known.len(), 2);
    }

    #[test]
    fn a_group_is_cut_at_gaps_and_at_what_is_rejected() {
        let cut = |slots: &[Slot], shape, rejected: &[u32]| -> Vec<String> {
            pieces(slots, shape, rejected)
                .map(|piece| match piece {
                    Piece::Run(rows) => format!("{rows:?}"),
                    Piece::Rejected(row) => format!("not {row}"),
                })
                .collect()
        };
        assert_eq!(cut(&[4, 5, 6, 7], Shape::Neighbours, &[]), ["0..4"]);
        assert_eq!(cut(&[4, 5, 6, 7], Shape::Neighbours, &[0, 2]), ["not 0", "1..2", "not 2", "3..4"]);
        assert_eq!(cut(&[4, 5, 7, 8], Shape::Rising, &[3]), ["0..2", "2..3", "not 3"]);
        assert_eq!(cut(&[5, 5, 4], Shape::Mixed, &[]), ["0..1", "1..2", "2..3"]);
    }
}
