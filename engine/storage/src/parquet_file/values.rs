//! The value column, by kind of value.

use std::ops::Range;

use arrow::array::Array;
use ducto_record::{ValueKind, Values};
use parquet::basic::Encoding;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::Result;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Bounds, Chunk};
use super::samples::{SampleColumns, Scratch, no_column};
use super::sink::Sink;
use super::{dictionary, hybrid};

/// Columns that a writer keeps from file to file; one kind is in use in each.
#[derive(Default)]
pub(crate) struct KeptColumns {
    float64: SampleColumns<f64>,
    int64: SampleColumns<i64>,
    bool: SampleColumns<bool>,
    text: SampleColumns<Box<str>>,
}

/// A value as it waits for its file.
pub(crate) trait StoredValue: Clone + Default + 'static {
    const KIND: ValueKind;

    /// The columns of this kind among those that a writer keeps.
    fn columns(kept: &mut KeptColumns) -> &mut SampleColumns<Self>;

    /// The values as they lie in memory, where they lie as this type; nulls hold anything.
    fn slice(values: &Values) -> Option<&[Self]>;

    /// The value of a row; anything where it is null.
    fn get(values: &Values, row: usize) -> Self;

    fn write(
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        column: &ColumnDescPtr,
        columns: &SampleColumns<Self>,
        pages: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Result<()>;
}

impl StoredValue for f64 {
    const KIND: ValueKind = ValueKind::Float64;

    fn columns(kept: &mut KeptColumns) -> &mut SampleColumns<Self> {
        &mut kept.float64
    }

    fn slice(values: &Values) -> Option<&[Self]> {
        match values {
            Values::Float64(values) => Some(values.values()),
            _ => None,
        }
    }

    fn get(values: &Values, row: usize) -> Self {
        Self::slice(values).map_or(0.0, |values| values[row])
    }

    fn write(
        group: &mut SerializedRowGroupWriter<'_, Sink>,
        column: &ColumnDescPtr,
        columns: &SampleColumns<Self>,
        pages: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let compact: Vec<f64>;
        let present: &[f64] = if columns.valid.is_empty() {
            &columns.values
        } else {
            compact = present_of(&columns.values, &columns.valid);
            &compact
        };
        let pages = value_pages(pages, &columns.valid);
        let nulls = columns.len() - present.len();
        let mut form = Form::Split;
        if dictionary::repeats(present.len(), |row| present[row].to_bits()) {
            let bits = present.iter().map(|value| value.to_bits());
            if scratch.table.index(bits, present.len() / 4 + 16, &mut scratch.indexes) {
                scratch.table.sort(ordered, &mut scratch.indexes);
                form = smallest(present, &pages, scratch);
            }
        }
        let mut chunk = Chunk::new(column.clone(), &mut scratch.codec);
        if form != Form::Split {
            let plain: Vec<u8> = scratch.table.values.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            chunk.dictionary(&plain, scratch.table.values.len(), false)?;
        }
        let mut whole: Option<(f64, f64)> = None;
        for page in &pages {
            scratch.body.clear();
            hybrid::levels(&mut scratch.body, page.rows.len(), page.valid);
            form.encode(&mut scratch.body, present, &scratch.indexes, scratch.table.values.len(), &page.present);
            let ends = extremes(&present[page.present.clone()]);
            if let Some((least, greatest)) = ends {
                let (a, b) = whole.unwrap_or((least, greatest));
                whole = Some((a.min(least), b.max(greatest)));
            }
            let bounds: Bounds = ends.map(|(a, b)| (a.to_le_bytes().to_vec(), b.to_le_bytes().to_vec()));
            let encoding = if form == Form::Split { Encoding::BYTE_STREAM_SPLIT } else { Encoding::RLE_DICTIONARY };
            chunk.page(&scratch.body, page.rows.len(), page.rows.len() - page.present.len(), encoding, bounds)?;
        }
        let (least, greatest) = whole.unzip();
        chunk.append(group, Statistics::new::<f64>(least, greatest, None, Some(nulls as u64), false))
    }
}

/// How a page of doubles is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// BYTE_STREAM_SPLIT: exponents and upper bits lie together, where they compress.
    Split,
    /// Indexes of as many bits as the dictionary needs.
    Tight,
    /// Indexes of 8 or 16 bits: whole bytes, whose upper half hardly changes within a tag.
    Bytes,
}

impl Form {
    fn encode(self, out: &mut Vec<u8>, present: &[f64], indexes: &[u16], entries: usize, rows: &Range<usize>) {
        match self {
            Self::Split => split_bytes(out, &present[rows.clone()]),
            Self::Tight => {
                let width = hybrid::width_of(entries);
                out.push(width);
                let indexes: Vec<u32> = indexes[rows.clone()].iter().map(|index| u32::from(*index)).collect();
                hybrid::pack(out, width, &indexes);
            }
            Self::Bytes => {
                let wide = entries > 256;
                out.push(if wide { 16 } else { 8 });
                hybrid::pack_bytes(out, &indexes[rows.clone()], wide);
            }
        }
    }
}

/// Writes a page in the middle in each form and takes the smallest, its share of the dictionary counted.
fn smallest(present: &[f64], pages: &[ValuePage<'_>], scratch: &mut Scratch) -> Form {
    let Some(page) = pages.get(pages.len() / 2).filter(|page| !page.present.is_empty()) else {
        return Form::Bytes;
    };
    let entries = scratch.table.values.len();
    let plain: Vec<u8> = scratch.table.values.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let share = scratch.codec.size(&plain) * page.present.len() / present.len().max(1);
    let mut best = (usize::MAX, Form::Split);
    for form in [Form::Bytes, Form::Tight, Form::Split] {
        scratch.body.clear();
        form.encode(&mut scratch.body, present, &scratch.indexes, entries, &page.present);
        let size = scratch.codec.size(&scratch.body) + if form == Form::Split { 0 } else { share };
        if size < best.0 {
            best = (size, form);
        }
    }
    best.1
}

/// Eight streams, one for each byte of a double.
fn split_bytes(out: &mut Vec<u8>, values: &[f64]) {
    let start = out.len();
    let count = values.len();
    out.resize(start + count * 8, 0);
    let streams = &mut out[start..];
    for (byte, stream) in streams.chunks_exact_mut(count.max(1)).enumerate() {
        for (to, value) in stream.iter_mut().zip(values) {
            *to = (value.to_bits() >> (byte * 8)) as u8;
        }
    }
}

/// Bits in the order of the numbers.
fn ordered(bits: u64) -> u64 {
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Least and greatest number as Parquet wants them: NaN aside, zero with the sign that takes in both.
fn extremes(values: &[f64]) -> Option<(f64, f64)> {
    let (mut least, mut greatest) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8]);
    let mut blocks = values.chunks_exact(8);
    for block in &mut blocks {
        for lane in 0..8 {
            least[lane] = if block[lane] < least[lane] { block[lane] } else { least[lane] };
            greatest[lane] = if block[lane] > greatest[lane] { block[lane] } else { greatest[lane] };
        }
    }
    let rest = blocks.remainder();
    let low = least.iter().chain(rest).copied().fold(f64::INFINITY, f64::min);
    let high = greatest.iter().chain(rest).copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return None;
    }
    Some((if low == 0.0 { -0.0 } else { low }, if high == 0.0 { 0.0 } else { high }))
}

pub(super) fn bounds<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((least, greatest)) => Some((value.min(least), value.max(greatest))),
    })
}

/// A page of an optional column: its rows, and its place among the values that are there.
struct ValuePage<'a> {
    rows: Range<usize>,
    present: Range<usize>,
    valid: Option<&'a [bool]>,
}

fn value_pages<'a>(pages: &[Range<usize>], valid: &'a [bool]) -> Vec<ValuePage<'a>> {
    if valid.is_empty() {
        return pages.iter().map(|rows| ValuePage { rows: rows.clone(), present: rows.clone(), valid: None }).collect();
    }
    let mut start = 0;
    let page = |rows: &Range<usize>| {
        let valid = &valid[rows.clone()];
        let end = start + valid.iter().filter(|valid| **valid).count();
        let present = start..end;
        start = end;
        ValuePage { rows: rows.clone(), present, valid: Some(valid) }
    };
    pages.iter().map(page).collect()
}

fn present_of<T: Clone>(values: &[T], valid: &[bool]) -> Vec<T> {
    values.iter().zip(valid).filter(|(_, valid)| **valid).map(|(value, _)| value.clone()).collect()
}

/// Leaves a column to Parquet's own writer; for kinds of value that are rare.
fn write_plainly<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    values: &[D::T],
    rows: usize,
    valid: &[bool],
) -> Result<()> {
    let levels: Vec<i16> = match valid {
        [] => vec![1; rows],
        valid => valid.iter().map(|valid| i16::from(*valid)).collect(),
    };
    let mut writer = group.next_column()?.ok_or_else(no_column)?;
    writer.typed::<D>().write_batch(values, Some(&levels), None)?;
    writer.close()
}

macro_rules! stored_plainly {
    ($type:ty, $kind:ident, $kept:ident, $parquet:ty, $slice:expr, $get:expr, $convert:expr) => {
        impl StoredValue for $type {
            const KIND: ValueKind = ValueKind::$kind;

            fn columns(kept: &mut KeptColumns) -> &mut SampleColumns<Self> {
                &mut kept.$kept
            }

            fn slice(values: &Values) -> Option<&[Self]> {
                let slice: fn(&Values) -> Option<&[Self]> = $slice;
                slice(values)
            }

            fn get(values: &Values, row: usize) -> Self {
                match values {
                    Values::$kind(values) if values.is_valid(row) => $get(values.value(row)),
                    _ => Self::default(),
                }
            }

            fn write(
                group: &mut SerializedRowGroupWriter<'_, Sink>,
                _column: &ColumnDescPtr,
                columns: &SampleColumns<Self>,
                _pages: &[Range<usize>],
                _scratch: &mut Scratch,
            ) -> Result<()> {
                let present = match columns.valid.as_slice() {
                    [] => columns.values.iter().map($convert).collect::<Vec<_>>(),
                    valid => present_of(&columns.values, valid).iter().map($convert).collect(),
                };
                write_plainly::<$parquet>(group, &present, columns.len(), &columns.valid)
            }
        }
    };
}

stored_plainly!(
    i64,
    Int64,
    int64,
    Int64Type,
    |values| match values {
        Values::Int64(values) => Some(values.values()),
        _ => None,
    },
    i64::from,
    |value| *value
);
stored_plainly!(bool, Bool, bool, BoolType, |_| None, bool::from, |value| *value);
stored_plainly!(Box<str>, Text, text, ByteArrayType, |_| None, Box::<str>::from, text_bytes);

#[allow(clippy::borrowed_box)] // What an iterator over boxes gives.
fn text_bytes(text: &Box<str>) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_leave_nan_aside() {
        let mut values = vec![f64::NAN; 9];
        assert_eq!(extremes(&values), None);
        values.extend([3.0, -1.0, f64::INFINITY]);
        assert_eq!(extremes(&values), Some((-1.0, f64::INFINITY)));
        let (low, high) = extremes(&[0.0]).unwrap();
        assert!(low.is_sign_negative() && high.is_sign_positive());
    }

    #[test]
    fn order_of_bits_is_order_of_numbers() {
        let mut values = [3.5, -0.0, f64::NEG_INFINITY, 0.0, -7.25, f64::MAX];
        values.sort_by_key(|value| ordered(value.to_bits()));
        assert_eq!(values, [f64::NEG_INFINITY, -7.25, -0.0, 0.0, 3.5, f64::MAX]);
    }

    #[test]
    fn bytes_are_split_into_streams() {
        let mut out = vec![7];
        split_bytes(&mut out, &[f64::from_bits(0x0102_0304_0506_0708), f64::from_bits(0x1112_1314_1516_1718)]);
        assert_eq!(out, [7, 8, 0x18, 7, 0x17, 6, 0x16, 5, 0x15, 4, 0x14, 3, 0x13, 2, 0x12, 1, 0x11]);
    }
}
