//! The hybrid of run lengths and packed bits in which Parquet writes levels and dictionary indexes.

/// Bits that the indexes of a dictionary need; at least one, which every reader accepts.
pub(crate) fn width_of(entries: usize) -> u8 {
    (usize::BITS - entries.saturating_sub(1).leading_zeros()).max(1) as u8
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes runs of indexes of `width` bits; short runs are packed together.
pub(crate) fn runs(out: &mut Vec<u8>, width: u8, runs: impl Iterator<Item = (u32, usize)>) {
    // Packed values come in groups of eight.
    let mut packed: Vec<u32> = Vec::new();
    for (index, mut length) in runs {
        while !packed.len().is_multiple_of(8) && length > 0 {
            packed.push(index);
            length -= 1;
        }
        if length >= 8 {
            pack(out, width, &packed);
            packed.clear();
            varint(out, (length as u64) << 1);
            out.extend_from_slice(&index.to_le_bytes()[..usize::from(width).div_ceil(8)]);
        } else {
            packed.extend(std::iter::repeat_n(index, length));
        }
    }
    pack(out, width, &packed);
}

/// Packs indexes of `width` bits, the last group padded with zeros.
pub(crate) fn pack(out: &mut Vec<u8>, width: u8, indexes: &[u32]) {
    if indexes.is_empty() {
        return;
    }
    packed_header(out, indexes.len());
    let (mut bits, mut count) = (0_u64, 0_u32);
    for index in indexes.iter().copied().chain(std::iter::repeat_n(0, padding(indexes.len()))) {
        bits |= u64::from(index) << count;
        count += u32::from(width);
        while count >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
}

/// Indexes of 8 or 16 bits are bytes, which compress far better than bits that cross them.
pub(crate) fn pack_bytes(out: &mut Vec<u8>, indexes: &[u16], wide: bool) {
    if indexes.is_empty() {
        return;
    }
    packed_header(out, indexes.len());
    if wide {
        out.extend(indexes.iter().flat_map(|index| index.to_le_bytes()));
    } else {
        out.extend(indexes.iter().map(|index| *index as u8));
    }
    out.extend(std::iter::repeat_n(0, padding(indexes.len()) * if wide { 2 } else { 1 }));
}

fn packed_header(out: &mut Vec<u8>, count: usize) {
    varint(out, (count.div_ceil(8) as u64) << 1 | 1);
}

fn padding(count: usize) -> usize {
    count.next_multiple_of(8) - count
}

/// Definition levels of a page of an optional column, with their length in front. `valid: None` is no null.
pub(crate) fn levels(out: &mut Vec<u8>, rows: usize, valid: Option<&[bool]>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match valid {
        None => runs(out, 1, std::iter::once((1, rows))),
        Some(valid) => runs(out, 1, valid.chunk_by(|a, b| a == b).map(|run| (u32::from(run[0]), run.len()))),
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// The runs of equal values of a slice, in order.
pub(crate) fn runs_of(values: &[u16]) -> impl Iterator<Item = (u16, usize)> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let value = *values.get(start)?;
        let mut end = start + 1;
        // Whole blocks first: the compiler compares them at once.
        while let Some(block) = values.get(end..end + 32) {
            if block.iter().fold(0, |different, other| different | (other ^ value)) != 0 {
                break;
            }
            end += 32;
        }
        while values.get(end) == Some(&value) {
            end += 1;
        }
        let length = end - start;
        start = end;
        Some((value, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what this module writes; an independent, slow decoder.
    fn decode(bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let (mut at, mut out) = (0, Vec::new());
        while out.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[at];
                at += 1;
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let size = usize::from(width).div_ceil(8);
            if header & 1 == 0 {
                let mut value = [0; 4];
                value[..size].copy_from_slice(&bytes[at..at + size]);
                at += size;
                out.extend(std::iter::repeat_n(u32::from_le_bytes(value), (header >> 1) as usize));
            } else {
                let values = (header >> 1) as usize * 8;
                for value in 0..values {
                    let mut index = 0;
                    for bit in 0..usize::from(width) {
                        let position = value * usize::from(width) + bit;
                        index |= u32::from(bytes[at + position / 8] >> (position % 8) & 1) << bit;
                    }
                    out.push(index);
                }
                at += values * usize::from(width) / 8;
            }
        }
        assert_eq!(at, bytes.len());
        out.truncate(count);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let lengths = [1, 7, 8, 9, 3, 100, 1, 1, 1, 64, 5, 2000, 2];
        for width in [1, 3, 8, 13, 17] {
            let given: Vec<(u32, usize)> = lengths
                .iter()
                .enumerate()
                .map(|(k, &length)| ((k as u32 * 7919) & ((1 << width) - 1), length))
                .collect();
            let expected: Vec<u32> = given.iter().flat_map(|&(index, n)| std::iter::repeat_n(index, n)).collect();
            let mut out = Vec::new();
            runs(&mut out, width, given.iter().copied());
            assert_eq!(decode(&out, width, expected.len()), expected);
            out.clear();
            pack(&mut out, width, &expected);
            assert_eq!(decode(&out, width, expected.len()), expected);
        }
        let indexes: Vec<u16> = (0..1001).map(|k| k * 31 % 251).collect();
        for (wide, width) in [(false, 8), (true, 16)] {
            let mut out = Vec::new();
            pack_bytes(&mut out, &indexes, wide);
            assert!(decode(&out, width, indexes.len()).iter().zip(&indexes).all(|(a, b)| *a == u32::from(*b)));
        }
    }

    #[test]
    fn runs_are_found_across_blocks() {
        let mut values = vec![192_u16; 100];
        values.extend([0, 0, 64]);
        values.extend(vec![192; 33]);
        let found: Vec<_> = runs_of(&values).collect();
        assert_eq!(found, [(192, 100), (0, 2), (64, 1), (192, 33)]);
    }

    #[test]
    fn widths() {
        assert_eq!([1, 2, 3, 256, 257, 65_536].map(width_of), [1, 1, 2, 8, 9, 16]);
    }
}
