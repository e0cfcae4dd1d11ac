//! A dictionary of 64-bit values for columns that repeat them: converters of 12 bits, readings rounded to a cent.

/// Indexes have at most 16 bits.
const LIMIT: usize = 1 << 16;
const EMPTY: u32 = u32::MAX;

/// Values and their numbers in the order they were first seen. Reused from file to file.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<u32>,
    pub(crate) values: Vec<u64>,
}

impl Table {
    fn clear(&mut self) {
        self.values.clear();
        self.slots.clear();
        self.slots.resize(1 << 10, EMPTY);
    }

    /// Fibonacci hashing of both halves: doubles that are whole numbers differ in their upper bits only.
    #[inline]
    fn slot(&self, bits: u64) -> usize {
        let hash = (bits ^ (bits >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    #[inline]
    fn number(&mut self, bits: u64) -> Option<u16> {
        let mask = self.slots.len() - 1;
        let mut slot = self.slot(bits);
        loop {
            match self.slots[slot] {
                EMPTY => return self.insert(slot, bits),
                number if self.values[number as usize] == bits => return Some(number as u16),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    #[cold]
    fn insert(&mut self, slot: usize, bits: u64) -> Option<u16> {
        let number = self.values.len();
        if number == LIMIT {
            return None;
        }
        self.values.push(bits);
        self.slots[slot] = number as u32;
        if self.values.len() * 4 > self.slots.len() {
            let slots = self.slots.len() * 4;
            self.slots.clear();
            self.slots.resize(slots, EMPTY);
            for number in 0..self.values.len() {
                let mut slot = self.slot(self.values[number]);
                while self.slots[slot] != EMPTY {
                    slot = (slot + 1) & (slots - 1);
                }
                self.slots[slot] = number as u32;
            }
        }
        Some(number as u16)
    }

    /// Numbers for all values, or `false` where they are too many for it to be worth while.
    pub(crate) fn index(&mut self, bits: impl Iterator<Item = u64>, most: usize, out: &mut Vec<u16>) -> bool {
        self.clear();
        out.clear();
        let most = most.min(LIMIT);
        for bits in bits {
            match self.number(bits) {
                Some(number) if self.values.len() <= most => out.push(number),
                _ => return false,
            }
        }
        true
    }

    /// As [`Table::index`] for runs that often repeat the run before them as a whole, as the times of a scan do.
    pub(crate) fn index_runs(
        &mut self,
        values: &[i64],
        lengths: impl Iterator<Item = usize>,
        most: usize,
        out: &mut Vec<u16>,
    ) -> bool {
        self.clear();
        out.clear();
        let most = most.min(LIMIT);
        let mut before = 0..0;
        let mut start = 0;
        for length in lengths {
            let run = start..start + length;
            start = run.end;
            if values[run.clone()] == values[before.clone()] {
                out.extend_from_within(before.clone());
                continue;
            }
            for value in &values[run.clone()] {
                match self.number(*value as u64) {
                    Some(number) if self.values.len() <= most => out.push(number),
                    _ => return false,
                }
            }
            before = run;
        }
        true
    }

    /// Brings the values into the order of `key` and the indexes with them: near values get near indexes.
    pub(crate) fn sort<K: Ord>(&mut self, key: impl Fn(u64) -> K, indexes: &mut [u16]) {
        let mut order: Vec<u32> = (0..self.values.len() as u32).collect();
        order.sort_unstable_by_key(|&number| key(self.values[number as usize]));
        let mut moved = vec![0_u16; order.len()];
        for (to, &from) in order.iter().enumerate() {
            moved[from as usize] = to as u16;
        }
        self.values = order.iter().map(|&from| self.values[from as usize]).collect();
        for index in indexes {
            *index = moved[usize::from(*index)];
        }
    }
}

/// Whether values repeat enough for a dictionary, from a few thousand of them spread over the column.
pub(crate) fn repeats(count: usize, bits: impl Fn(usize) -> u64) -> bool {
    const SAMPLE: usize = 4096;
    let step = (count / SAMPLE).max(1);
    // An odd step does not fall in with the length of a tag's run.
    let step = if step.is_multiple_of(2) { step - 1 } else { step }.max(1);
    let mut sample: Vec<u64> = (0..count).step_by(step).map(bits).take(SAMPLE).collect();
    let taken = sample.len();
    sample.sort_unstable();
    sample.dedup();
    // n draws of D values meet again about n² / 2D times: 1 % of 4,096 is some 200,000 values.
    taken - sample.len() > taken / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_lead_back_to_the_values() {
        let values: Vec<f64> = (0..200_000_u32).map(|k| f64::from(k.wrapping_mul(2_654_435_761) >> 20) / 8.0).collect();
        let (mut table, mut indexes) = (Table::default(), Vec::new());
        assert!(table.index(values.iter().map(|value| value.to_bits()), usize::MAX, &mut indexes));
        table.sort(|bits| bits, &mut indexes);
        assert!(table.values.is_sorted());
        assert!(values.iter().zip(&indexes).all(|(value, index)| table.values[usize::from(*index)] == value.to_bits()));
        assert!(!table.index((0..70_000).map(|k| k * k), usize::MAX, &mut indexes), "too many");
        assert!(!table.index(0..70, 50, &mut indexes), "more than allowed");
    }

    #[test]
    fn noise_does_not_repeat_and_cents_do() {
        let noise = |k: usize| (k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        assert!(!repeats(600_000, noise));
        assert!(repeats(600_000, |k| noise(k) % 50_000));
        assert!(!repeats(0, noise));
    }
}
