//! What values look like: those of the thing that a tag is said to be, or of something else.

use modbus::value::Value;
use modbus::{Item, Reading, ValueType};

use super::way::Way;
use super::{Layout, Subject, Survey};

/// A share of the range by which a value may lie outside it: sensors have an error at their ends.
const TOLERANCE: f64 = 0.01;
/// A share of the range's larger end below which a number that is not 0 is the beginning of something else.
const TINY: f64 = 1e-6;
/// Times the range's larger end above which no sensor fails.
const ABSURD: f64 = 1e3;
/// A share of the range by which a value does not move from one reading to the next.
const JUMP: f64 = 0.25;
/// Readings from which on it is seen whether a value moves.
const ENOUGH: usize = 3;

/// The values of a tag in one way of reading it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The device refuses the registers, or was not read.
    Unread,
    /// The device says that it has no reading: a sentinel, or what is no number throughout.
    NoReading,
    /// Nothing but 0, which everything reads as.
    Zero,
    /// What no sensor gives: beginnings of other values, jumps over the whole range.
    Nonsense(Series),
    /// A number that a sensor may give, outside its range.
    Outside(Series),
    /// In the span and outside the envelope.
    Unusual(Series),
    Fits(Series),
}

/// Values in the tag's unit, one for each reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series(pub(super) Vec<f64>);

impl Series {
    pub(super) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// How far it moves from one reading to the next, in the mean.
    pub(super) fn roughness(&self) -> f64 {
        let steps = self.0.len().saturating_sub(1).max(1);
        self.0.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>() / steps as f64
    }

    /// Whether it moves, so that what moves and what stands still in its registers says how they are to be read.
    pub(super) fn is_live(&self) -> bool {
        self.0.len() >= ENOUGH && self.0.windows(2).any(|pair| pair[0] != pair[1])
    }
}

impl Verdict {
    pub(super) fn fits(&self) -> bool {
        matches!(self, Self::Fits(_))
    }

    pub(super) fn series(&self) -> Option<&Series> {
        match self {
            Self::Nonsense(series) | Self::Outside(series) | Self::Unusual(series) | Self::Fits(series) => Some(series),
            Self::Unread | Self::NoReading | Self::Zero => None,
        }
    }

    /// Whether it is what some sensor gives, be it one that has failed.
    pub(super) fn is_believable(&self) -> bool {
        matches!(self, Self::Fits(_) | Self::Unusual(_) | Self::Outside(_))
    }

    /// Whether it says anything about how the tag should be read.
    pub(super) fn is_telling(&self) -> bool {
        !matches!(self, Self::Zero | Self::NoReading)
    }
}

/// Reads a tag in one way.
pub(super) fn judge(subject: &Subject, survey: &Survey, way: &Way) -> Verdict {
    let Some(layout) = way.layout(subject.layout) else { return Verdict::Unread };
    let Some(image) = survey.images.get(subject.device) else { return Verdict::Unread };
    let read: Vec<Vec<u16>> = image.registers(layout.item).collect();
    if read.is_empty() {
        return Verdict::Unread;
    }
    let values: Vec<f64> = read.iter().filter_map(|registers| value(subject, layout, way, registers)).collect();
    let silent = read.len() - values.len();
    if is_at_an_end(layout, &read) {
        return Verdict::NoReading;
    }
    // A device says the same each time that it has no reading. One that says it now and then is read wrongly, or its
    // sensor comes and goes; neither is known.
    if values.is_empty() || values.iter().all(|value| value.is_nan()) {
        return Verdict::NoReading;
    }
    classify(subject, values, silent > 0 || is_torn(layout, &read))
}

/// Whether an integer is always the least or the greatest of its type, which devices write where they have no reading.
fn is_at_an_end(layout: Layout, read: &[Vec<u16>]) -> bool {
    let Some(range) = layout.kind.integers() else { return false };
    let ends = [*range.start(), *range.end()].into_iter().filter(|end| *end != 0);
    ends.into_iter().any(|end| {
        read.iter().all(|registers| match layout.kind.decode(layout.order, registers) {
            Ok(Value::Int(value)) => i128::from(value) == end,
            Ok(Value::Uint(value)) => i128::from(value) == end,
            _ => false,
        })
    })
}

/// Steps of a register that counts rather than measures.
const COUNTS: u16 = 4;

/// Whether a float's upper half moves while its lower half stands still or counts. What is measured moves in all its
/// digits, so the two halves are not of one value.
fn is_torn(layout: Layout, read: &[Vec<u16>]) -> bool {
    if layout.kind != ValueType::F32 || read.len() < ENOUGH {
        return false;
    }
    let halves: Vec<(u16, u16)> = read
        .iter()
        .filter_map(|registers| match layout.kind.decode(layout.order, registers) {
            Ok(Value::Float(value)) => Some((value as f32).to_bits()),
            _ => None,
        })
        .map(|bits| ((bits >> 16) as u16, bits as u16))
        .collect();
    let upper = halves.windows(2).any(|pair| pair[0].0 != pair[1].0);
    upper && halves.windows(2).all(|pair| pair[0].1.abs_diff(pair[1].1) <= COUNTS)
}

fn classify(subject: &Subject, values: Vec<f64>, gaps: bool) -> Verdict {
    let Some([low, high]) = subject.range() else { return Verdict::Fits(Series(values)) };
    if values.iter().all(|value| *value == 0.0) {
        return Verdict::Zero;
    }
    let size = low.abs().max(high.abs());
    let width = high - low;
    let series = Series(values);
    let strange =
        |value: &f64| !value.is_finite() || (*value != 0.0 && value.abs() < size * TINY) || value.abs() > size * ABSURD;
    let jumps = series.0.windows(2).any(|pair| (pair[1] - pair[0]).abs() > width * JUMP);
    if gaps || jumps || series.0.iter().any(strange) {
        return Verdict::Nonsense(series);
    }
    let inside =
        |[low, high]: [f64; 2], slack: f64| series.0.iter().all(|value| (low - slack..=high + slack).contains(value));
    let envelope = subject.tag.envelope.map(|envelope| inside(envelope, 0.0));
    match (inside([low, high], width * TOLERANCE), envelope) {
        (false, _) => Verdict::Outside(series),
        (true, Some(false)) => Verdict::Unusual(series),
        (true, _) => Verdict::Fits(series),
    }
}

/// The value of registers in the tag's unit; `None` where they hold none.
fn value(subject: &Subject, layout: Layout, way: &Way, registers: &[u16]) -> Option<f64> {
    let raw = layout.kind.decode(layout.order, registers).ok()?;
    let Reading::Value(value) = subject.conversion.apply(raw) else { return None };
    let value = match value {
        Value::Float(value) => value,
        Value::Int(value) => value as f64,
        Value::Uint(value) => value as f64,
        Value::Bool(_) | Value::Text(_) => return None,
    };
    Some(way.unit.as_ref().map_or(value, |unit| unit.conversion.apply(value)))
}

/// The registers of the newest reading, for people.
pub(super) fn registers(subject: &Subject, survey: &Survey, item: Item) -> Vec<u16> {
    survey.images.get(subject.device).and_then(|image| image.registers(item).last()).unwrap_or_default()
}
