//! The registers of a unit, as they were read several times.

use std::collections::{BTreeMap, HashMap};

use modbus::{Item, Limits, Table};

use super::evidence::Verdict;
use super::{Layout, Survey};

/// Registers by their place, one set for each time they were read.
#[derive(Clone, Debug, Default)]
pub struct Image {
    samples: Vec<BTreeMap<(Table, u16), u16>>,
}

impl Image {
    /// Begins another reading.
    pub fn begin(&mut self) {
        self.samples.push(BTreeMap::new());
    }

    /// Takes registers of the newest reading in.
    pub fn store(&mut self, table: Table, offset: u16, registers: &[u16]) {
        if let Some(sample) = self.samples.last_mut() {
            for (at, register) in (offset..=u16::MAX).zip(registers) {
                sample.insert((table, at), *register);
            }
        }
    }

    /// Takes the readings of another asset of the same unit in, each into the one of its number.
    pub fn merge(&mut self, other: &Self) {
        for (number, sample) in other.samples.iter().enumerate() {
            match self.samples.get_mut(number) {
                Some(own) => own.extend(sample),
                None => self.samples.push(sample.clone()),
            }
        }
    }

    /// How often it was read.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.iter().all(BTreeMap::is_empty)
    }

    /// The registers of an item in each reading that has them all.
    pub(super) fn registers(&self, item: Item) -> impl Iterator<Item = Vec<u16>> + '_ {
        self.samples.iter().filter_map(move |sample| {
            let last = u32::from(item.offset) + u32::from(item.count);
            let last = u16::try_from(last.checked_sub(1)?).ok()?;
            let registers: Vec<u16> =
                sample.range((item.table, item.offset)..=(item.table, last)).map(|(_, register)| *register).collect();
            (registers.len() == usize::from(item.count)).then_some(registers)
        })
    }
}

/// A tag's registers with one before and one behind, as far as there are some and the device gives so many.
pub(super) fn window(layout: Layout, limits: Limits) -> Item {
    let item = layout.item;
    if item.table.is_bits() {
        return item;
    }
    let first = item.offset.saturating_sub(1);
    let end = (u32::from(item.offset) + u32::from(item.count) + 1).min(65_536);
    let count = (end - u32::from(first)) as u16;
    if count > limits.registers { item } else { Item { table: item.table, offset: first, count } }
}

/// Which registers belong to tags that read as something that a sensor gives.
pub(super) struct Claims {
    by_register: HashMap<(usize, Table, u16), Vec<usize>>,
}

impl Claims {
    pub(super) fn new(survey: &Survey, verdicts: &[Verdict]) -> Self {
        let mut by_register: HashMap<(usize, Table, u16), Vec<usize>> = HashMap::new();
        for (index, subject) in survey.subjects.iter().enumerate() {
            // Bits and texts cannot be judged: they have what they are said to have.
            if subject.is_judged() && !verdicts[index].is_believable() {
                continue;
            }
            let item = subject.layout.item;
            for offset in (item.offset..=u16::MAX).take(item.count.into()) {
                by_register.entry((subject.device, item.table, offset)).or_default().push(index);
            }
        }
        Self { by_register }
    }

    /// Other tags than this one to which some register of an item belongs.
    pub(super) fn others(&self, device: usize, item: Item, this: usize) -> impl Iterator<Item = usize> + '_ {
        let registers = (item.offset..=u16::MAX).take(item.count.into());
        let tags = registers.filter_map(move |offset| self.by_register.get(&(device, item.table, offset)));
        tags.flatten().copied().filter(move |tag| *tag != this)
    }
}
