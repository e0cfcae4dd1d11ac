//! The read planner: which requests read a poll group's items at the least cost.
//!
//! A request costs as much as a number of registers, so ranges are merged over gaps shorter than
//! that. Sorted by offset, the items of an optimal plan's requests are consecutive (two requests
//! that interleave can swap items without growing), so dynamic programming over the sorted items
//! finds the optimum.

use std::collections::BTreeMap;
use std::fmt;

use crate::address::{Address, Addressing, Table};
use crate::pdu::{MAX_LONG_REGISTERS, Request};

/// Something to read: `count` registers or bits from a 0-based offset. Long registers count as one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Item {
    pub table: Table,
    pub offset: u16,
    pub count: u16,
}

impl Item {
    fn end(self) -> u32 {
        u32::from(self.offset) + u32::from(self.count)
    }
}

/// What a device takes, and what a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Registers per request, at most 125.
    pub registers: u16,
    /// Bits per request, at most 2000.
    pub bits: u16,
    /// The cost of one more request, in registers (each 16 bits): turnaround, headers and the
    /// device's scan. High on radios and slow devices; 0 never reads what is not asked for.
    pub request_cost: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { registers: 125, bits: 2000, request_cost: 32 }
    }
}

/// Ranges that a device refuses (exception 2). They are never read over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holes {
    /// Start and end (exclusive), not overlapping.
    ranges: BTreeMap<(Table, u32), u32>,
}

impl Holes {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns a range; ranges that touch become one.
    pub fn insert(&mut self, hole: Item) {
        let (mut start, mut end) = (u32::from(hole.offset), hole.end());
        if start == end {
            return;
        }
        while let Some((from, to)) = self.last_before(hole.table, end + 1).filter(|(_, to)| *to >= start) {
            start = start.min(from);
            end = end.max(to);
            self.ranges.remove(&(hole.table, from));
        }
        self.ranges.insert((hole.table, start), end);
    }

    /// Whether a range touches a hole.
    #[must_use]
    pub fn overlap(&self, range: Item) -> bool {
        range.count > 0 && self.last_before(range.table, range.end()).is_some_and(|(_, to)| to > range.offset.into())
    }

    /// The holes as ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Item> + '_ {
        self.ranges.iter().map(|((table, start), end)| Item {
            table: *table,
            offset: *start as u16,
            count: (end - start).min(u16::MAX.into()) as u16,
        })
    }

    fn last_before(&self, table: Table, end: u32) -> Option<(u32, u32)> {
        self.ranges.range((table, 0)..(table, end)).next_back().map(|((_, from), to)| (*from, *to))
    }
}

/// One request of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The range it reads.
    pub range: Item,
    /// The items it serves, as indices into the planned slice, by offset.
    pub items: Vec<usize>,
}

impl Read {
    /// The request to send.
    #[must_use]
    pub fn request(&self) -> Request {
        Request::read(self.range.table, self.range.offset, self.range.count)
    }

    /// Where `item` lies in the answer's 16-bit registers or bits.
    #[must_use]
    pub fn slice(&self, item: Item) -> std::ops::Range<usize> {
        let words = usize::from(item.table.words());
        let start = usize::from(item.offset.saturating_sub(self.range.offset)) * words;
        start..start + usize::from(item.count) * words
    }

    /// Entries of the range that no item asks for: what a merge over gaps reads for nothing.
    #[must_use]
    pub fn unused(&self, items: &[Item]) -> u16 {
        let (mut needed, mut seen) = (0, u32::from(self.range.offset));
        for item in self.items.iter().filter_map(|index| items.get(*index)) {
            needed += item.end().saturating_sub(seen.max(item.offset.into()));
            seen = seen.max(item.end());
        }
        u32::from(self.range.count).saturating_sub(needed) as u16
    }

    /// What the request costs, in registers: its own cost and what it reads.
    #[must_use]
    pub fn cost(&self, limits: Limits) -> u32 {
        let bits = u32::from(self.range.count) * width(self.range.table) as u32;
        u32::from(limits.request_cost) + bits.div_ceil(16)
    }

    /// Two reads for this one after exception 2, each with half of the items and nothing at its
    /// ends that no item asks for; `None` with one item, which then is the hole. Where both halves
    /// succeed, the hole lies between them.
    #[must_use]
    pub fn bisect(&self, items: &[Item]) -> Option<(Self, Self)> {
        if self.items.len() < 2 {
            return None;
        }
        let half = |indices: &[usize]| {
            let served = || indices.iter().filter_map(|i| items.get(*i));
            let start = served().map(|item| item.offset).min()?;
            let end = served().map(|item| item.end()).max()?;
            let range = Item { table: self.range.table, offset: start, count: (end - u32::from(start)) as u16 };
            Some(Self { range, items: indices.to_vec() })
        };
        let (left, right) = self.items.split_at(self.items.len() / 2);
        Some((half(left)?, half(right)?))
    }
}

/// Why an item is in no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It lies in a hole.
    Hole,
    /// It is longer than the device takes in one request; parts read apart would not be one value.
    TooLong,
    /// It has no length, or goes past offset 65535.
    OutOfRange,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hole => "the device answered exception 2 (illegal data address) here",
            Self::TooLong => "longer than the device takes in one request",
            Self::OutOfRange => "empty, or past offset 65535",
        })
    }
}

/// The requests that read a group's items. Prints as one line per request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    items: Vec<Item>,
    /// The requests, by table and offset.
    pub reads: Vec<Read>,
    /// The items that no request reads, as indices into the planned slice.
    pub refused: Vec<(usize, Refusal)>,
}

impl Plan {
    /// The cheapest plan for `items`; of equally cheap ones, one with the fewest requests.
    #[must_use]
    pub fn new(items: &[Item], limits: Limits, holes: &Holes) -> Self {
        let mut refused = Vec::new();
        let mut tables: BTreeMap<Table, Vec<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let refusal = if item.count == 0 || item.end() > 65536 {
                Some(Refusal::OutOfRange)
            } else if item.count > limits.longest(item.table) {
                Some(Refusal::TooLong)
            } else if holes.overlap(*item) {
                Some(Refusal::Hole)
            } else {
                None
            };
            match refusal {
                Some(refusal) => refused.push((index, refusal)),
                None => tables.entry(item.table).or_default().push(index),
            }
        }
        let mut reads = Vec::new();
        for (table, mut indices) in tables {
            indices.sort_by_key(|i| (items[*i].offset, items[*i].count));
            plan_table(table, items, &indices, limits, holes, &mut reads);
        }
        Self { items: items.to_vec(), reads, refused }
    }

    /// The plan with offsets in the device's notation.
    pub fn display(&self, addressing: Addressing) -> impl fmt::Display + '_ {
        PlanText { plan: self, addressing }
    }
}

impl Limits {
    fn longest(self, table: Table) -> u16 {
        match table {
            Table::Coils | Table::DiscreteInputs => self.bits.min(2000),
            Table::InputRegisters | Table::HoldingRegisters => self.registers.min(125),
            Table::LongRegisters => (self.registers / 2).min(MAX_LONG_REGISTERS),
        }
    }
}

/// Bits of one entry: costs count bits, so that bit tables and registers share one scale.
fn width(table: Table) -> u64 {
    if table.is_bits() { 1 } else { 16 * u64::from(table.words()) }
}

/// `indices` are one table's items by offset, each of them readable.
fn plan_table(table: Table, items: &[Item], indices: &[usize], limits: Limits, holes: &Holes, reads: &mut Vec<Read>) {
    let width = width(table);
    let request_cost = u64::from(limits.request_cost) * 16;
    let longest = u32::from(limits.longest(table));

    // best[i]: cost and number of requests for the first i items, and where the last one starts.
    let mut best = vec![(0u64, 0u32, 0usize); indices.len() + 1];
    for i in 1..=indices.len() {
        let mut end = 0;
        let mut found: Option<(u64, u32, usize)> = None;
        for j in (0..i).rev() {
            let first = items[indices[j]];
            end = end.max(first.end());
            let count = end - u32::from(first.offset);
            let range = Item { table, offset: first.offset, count: count.min(65535) as u16 };
            if count > longest || holes.overlap(range) {
                // Starting earlier only makes the range longer.
                break;
            }
            let (cost, requests, _) = best[j];
            let candidate = (cost + request_cost + u64::from(count) * width, requests + 1, j);
            if found.is_none_or(|found| (candidate.0, candidate.1) < (found.0, found.1)) {
                found = Some(candidate);
            }
        }
        // A single item always is a candidate: the caller has refused what no request can read.
        best[i] = found.unwrap_or((u64::MAX / 2, 0, i - 1));
    }

    let from = reads.len();
    let mut i = indices.len();
    while i > 0 {
        let j = best[i].2;
        let served = &indices[j..i];
        let offset = items[indices[j]].offset;
        let end = served.iter().map(|k| items[*k].end()).max().unwrap_or_default();
        let range = Item { table, offset, count: (end - u32::from(offset)) as u16 };
        reads.push(Read { range, items: served.to_vec() });
        i = j;
    }
    reads[from..].reverse();
}

struct PlanText<'a> {
    plan: &'a Plan,
    addressing: Addressing,
}

impl fmt::Display for PlanText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { items, reads, refused } = self.plan;
        write!(f, "{} items in {} requests", items.len() - refused.len(), reads.len())?;
        let at = |table, offset: u16| Address { table, offset }.in_notation(self.addressing);
        for read in reads {
            let Read { range, items: served } = read;
            let last = range.offset.saturating_add(range.count.saturating_sub(1));
            let (first, last) = (at(range.table, range.offset), at(range.table, last));
            write!(f, "\n{}s {first}..{last}: {} for {} items", range.table, range.count, served.len())?;
            let unused = read.unused(items);
            if unused > 0 {
                write!(f, ", {unused} not needed")?;
            }
        }
        for (index, refusal) in refused {
            if let Some(item) = items.get(*index) {
                let first = at(item.table, item.offset);
                write!(f, "\n{} {first}, length {}: not read, {refusal}", item.table, item.count)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(Addressing::Zero).fmt(f)
    }
}
