//! The columns of samples as bytes.
//!
//! A column of 64-bit values is written as eight planes: first every value's highest byte, then every second, and so
//! on. High bytes of values of one site resemble each other and shrink; low bytes of a measurement are noise, and noise
//! is copied. So each plane goes either to what the frame will compress or to what it will not. Readings that are
//! decimals, such as 1234.5, are whole numbers first, whose upper planes are all zero and are not written at all.

use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use ducto_record::{Micros, ValueKind, Values};

use crate::bytes::{Cursor, Malformed, put_i64, put_u64};

type Result<T> = std::result::Result<T, Malformed>;

/// Rows of one column at the most: what a site can hold in memory is far less, and a length in a damaged file is
/// refused before anything of that size is allocated.
const MOST_ROWS: usize = 1 << 24;

/// Powers of ten that readings are tried with.
const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];

/// Whole numbers that a `f64` holds exactly with room to spare.
const EXACT: f64 = 4_503_599_627_370_496.0;

/// What a frame is filled with: bytes worth compressing, and noise.
#[derive(Debug, Default)]
pub(super) struct Halves {
    pub(super) dense: Vec<u8>,
    pub(super) noise: Vec<u8>,
}

impl Halves {
    pub(super) fn clear(&mut self) {
        self.dense.clear();
        self.noise.clear();
    }
}

/// The same, being read.
pub(super) struct HalvesRead<'a> {
    pub(super) dense: Cursor<'a>,
    pub(super) noise: Cursor<'a>,
}

pub(super) fn rows(from: &mut HalvesRead<'_>) -> Result<usize> {
    match from.dense.count()? {
        rows if rows <= MOST_ROWS => Ok(rows),
        _ => Err(Malformed("a batch has too many rows")),
    }
}

/// Whether bytes look like noise: a sample of them has nearly as many distinct values as chance would give.
fn is_noise(words: &[u64], plane: u32) -> bool {
    const LOOKED_AT: usize = 256;
    // 256 random bytes have some 162 distinct values.
    const DISTINCT: u32 = 128;
    if words.len() < LOOKED_AT {
        return false;
    }
    let step = words.len() / LOOKED_AT;
    let mut seen = [0_u64; 4];
    for word in words.iter().step_by(step).take(LOOKED_AT) {
        let byte = (word >> (plane * 8)) as u8;
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|bits| bits.count_ones()).sum::<u32>() >= DISTINCT
}

/// Writes words as planes. A byte says for each plane whether it is there at all, another whether it is noise.
fn put_words(to: &mut Halves, words: &[u64]) {
    let used = words.iter().fold(0_u64, |all, word| all | word);
    let (mut present, mut noise) = (0_u8, 0_u8);
    for plane in 0..8 {
        if (used >> (plane * 8)) as u8 != 0 {
            present |= 1 << plane;
            noise |= u8::from(is_noise(words, plane)) << plane;
        }
    }
    to.dense.extend([present, noise]);
    for plane in (0..8).filter(|plane| present & (1 << plane) != 0) {
        let half = if noise & (1 << plane) != 0 { &mut to.noise } else { &mut to.dense };
        half.extend(words.iter().map(|word| (word >> (plane * 8)) as u8));
    }
}

fn words(from: &mut HalvesRead<'_>, rows: usize) -> Result<Vec<u64>> {
    let (present, noise) = (from.dense.u8()?, from.dense.u8()?);
    let mut words = vec![0_u64; rows];
    for plane in (0..8).filter(|plane| present & (1 << plane) != 0) {
        let half = if noise & (1 << plane) != 0 { &mut from.noise } else { &mut from.dense };
        for (word, byte) in words.iter_mut().zip(half.take(rows)?) {
            *word |= u64::from(*byte) << (plane * 8);
        }
    }
    Ok(words)
}

/// Whole numbers from the smallest on.
fn put_whole(to: &mut Halves, values: impl Iterator<Item = i64> + Clone) {
    let least = values.clone().min().unwrap_or_default();
    put_i64(&mut to.dense, least);
    let above: Vec<u64> = values.map(|value| value.wrapping_sub(least) as u64).collect();
    put_words(to, &above);
}

fn whole(from: &mut HalvesRead<'_>, rows: usize) -> Result<impl Iterator<Item = i64> + use<>> {
    let least = from.dense.i64()?;
    Ok(words(from, rows)?.into_iter().map(move |above| least.wrapping_add(above as i64)))
}

/// The value as a whole number of the scale's parts, where nothing is lost.
#[inline]
fn scaled(value: f64, scale: f64) -> Option<i64> {
    let rounded = (value * scale).round_ties_even();
    let whole = rounded as i64;
    // What reading does, so that every bit comes back, or the value is refused: -0.0, NaN and whatever was rounded.
    (rounded.abs() < EXACT && (whole as f64 / scale).to_bits() == value.to_bits()).then_some(whole)
}

const RAW: u8 = 0xff;

fn put_floats(to: &mut Halves, values: &[f64]) {
    // A few rows say which scales are worth a try with all of them.
    let step = (values.len() / 16).max(1);
    let fits = |scale: f64| values.iter().step_by(step).all(|&value| scaled(value, scale).is_some());
    for (exponent, &scale) in SCALES.iter().enumerate() {
        if !fits(scale) {
            continue;
        }
        if let Some(whole) = values.iter().map(|&value| scaled(value, scale)).collect::<Option<Vec<_>>>() {
            to.dense.push(exponent as u8);
            put_whole(to, whole.iter().copied());
            return;
        }
    }
    to.dense.push(RAW);
    let words: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
    put_words(to, &words);
}

fn floats(from: &mut HalvesRead<'_>, rows: usize) -> Result<Vec<f64>> {
    match from.dense.u8()? {
        RAW => Ok(words(from, rows)?.into_iter().map(f64::from_bits).collect()),
        exponent => {
            let scale = *SCALES.get(usize::from(exponent)).ok_or(Malformed("a scale is unknown"))?;
            Ok(whole(from, rows)?.map(|value| value as f64 / scale).collect())
        }
    }
}

fn put_bits(to: &mut Halves, bits: &BooleanBuffer) {
    to.dense.extend(
        bits.iter()
            .collect::<Vec<_>>()
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, &bit)| byte | u8::from(bit) << at)),
    );
}

fn bits(from: &mut HalvesRead<'_>, rows: usize) -> Result<BooleanBuffer> {
    let bytes = from.dense.take(rows.div_ceil(8))?;
    Ok((0..rows).map(|row| bytes[row / 8] & (1 << (row % 8)) != 0).collect())
}

const KINDS: [ValueKind; 4] = ValueKind::ALL;

pub(super) fn put_values(to: &mut Halves, values: &Values) {
    let kind = KINDS.iter().position(|kind| *kind == values.kind()).unwrap_or_default();
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
    to.dense.push(kind as u8 | if nulls.is_some() { 0x80 } else { 0 });
    if let Some(nulls) = nulls {
        put_bits(to, nulls.inner());
    }
    match values {
        // What stands where there is no reading means nothing and is not kept: zeros shrink best.
        Values::Float64(array) => match nulls {
            None => put_floats(to, array.values()),
            Some(_) => put_floats(to, &array.iter().map(Option::unwrap_or_default).collect::<Vec<_>>()),
        },
        Values::Int64(array) => match nulls {
            None => put_whole(to, array.values().iter().copied()),
            Some(_) => put_whole(to, array.iter().map(Option::unwrap_or_default)),
        },
        Values::Bool(array) => put_bits(to, array.values()),
        Values::Text(array) => {
            for text in array {
                put_u64(&mut to.dense, text.map_or(0, str::len) as u64);
            }
            for text in array.iter().flatten() {
                to.dense.extend_from_slice(text.as_bytes());
            }
        }
    }
}

pub(super) fn values(from: &mut HalvesRead<'_>, rows: usize) -> Result<Values> {
    let head = from.dense.u8()?;
    let kind = *KINDS.get(usize::from(head & 0x7f)).ok_or(Malformed("a kind of value is unknown"))?;
    let nulls = if head & 0x80 != 0 { Some(NullBuffer::new(bits(from, rows)?)) } else { None };
    Ok(match kind {
        ValueKind::Float64 => Values::Float64(Float64Array::new(floats(from, rows)?.into(), nulls)),
        ValueKind::Int64 => Values::Int64(Int64Array::new(whole(from, rows)?.collect(), nulls)),
        ValueKind::Bool => Values::Bool(BooleanArray::new(bits(from, rows)?, nulls)),
        ValueKind::Text => {
            let mut lengths = Vec::new();
            for _ in 0..rows {
                lengths.push(from.dense.count()?);
            }
            let total = lengths.iter().try_fold(0_usize, |total, length| total.checked_add(*length));
            let total = total.filter(|total| i32::try_from(*total).is_ok()).ok_or(Malformed("texts are too long"))?;
            let text = from.dense.take(total)?.to_vec();
            StringArray::try_new(OffsetBuffer::from_lengths(lengths), text.into(), nulls)
                .map(Values::Text)
                .map_err(|_| Malformed("a text is not UTF-8"))?
        }
    })
}

/// Times of rows, which lie near each other or run on evenly.
pub(super) fn put_times(to: &mut Halves, times: &[Micros]) {
    put_whole(to, times.iter().copied());
}

pub(super) fn times(from: &mut HalvesRead<'_>, rows: usize) -> Result<ScalarBuffer<Micros>> {
    Ok(whole(from, rows)?.collect())
}

pub(super) fn put_tags(to: &mut Halves, tags: &[u32]) {
    let mut last = 0;
    for &tag in tags {
        put_i64(&mut to.dense, i64::from(tag) - last);
        last = i64::from(tag);
    }
}

pub(super) fn tags(from: &mut HalvesRead<'_>, rows: usize) -> Result<Vec<u32>> {
    let mut last = 0_i64;
    let mut tags = Vec::new();
    for _ in 0..rows {
        last = last.wrapping_add(from.dense.i64()?);
        tags.push(u32::try_from(last).map_err(|_| Malformed("a tag's number is too large"))?);
    }
    Ok(tags)
}

/// Qualities and checks: nearly always one value for all rows.
pub(super) fn put_marks(to: &mut Halves, marks: &[u16]) {
    let Some(&first) = marks.first() else { return };
    if marks.iter().all(|mark| *mark == first) {
        to.dense.push(0);
        to.dense.extend(first.to_le_bytes());
        return;
    }
    to.dense.push(1);
    to.dense.extend(marks.iter().map(|mark| *mark as u8));
    to.dense.extend(marks.iter().map(|mark| (*mark >> 8) as u8));
}

pub(super) fn marks(from: &mut HalvesRead<'_>, rows: usize) -> Result<ScalarBuffer<u16>> {
    if rows == 0 {
        return Ok(Vec::new().into());
    }
    match from.dense.u8()? {
        0 => {
            let mark = u16::from_le_bytes([from.dense.u8()?, from.dense.u8()?]);
            Ok(vec![mark; rows].into())
        }
        1 => {
            let low = from.dense.take(rows)?;
            let high = from.dense.take(rows)?;
            Ok(low.iter().zip(high).map(|(&low, &high)| u16::from_le_bytes([low, high])).collect())
        }
        _ => Err(Malformed("qualities are written in an unknown way")),
    }
}
