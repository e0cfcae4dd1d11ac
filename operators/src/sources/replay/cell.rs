//! From what a file's cell says to a time, a value of the tag's kind, a quality.

use jiff::Timestamp;
use jiff::civil::DateTime;

use ducto_record::{Micros, Quality, ValueKind};

use super::options::{Decimal, Options, TimeFormat};

/// A cell as the file gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    /// Null, an empty cell, a key that is not there.
    Missing,
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A list or an object of JSON, which is no value.
    Nested(&'static str),
    /// A type of time, already in microseconds UTC.
    Time(Micros),
    /// A type of time without an offset: microseconds since 1970-01-01 on a clock whose zone is not said.
    Local(Micros),
}

/// The value of a sample on its way to a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Number(f64),
    Integer(i64),
    Flag(bool),
    Text(Box<str>),
}

impl std::fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing"),
            Self::Text(text) => {
                let short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
                write!(f, "`{short}`")
            }
            Self::Integer(number) => write!(f, "`{number}`"),
            Self::Float(number) => write!(f, "`{number}`"),
            Self::Bool(flag) => write!(f, "`{flag}`"),
            Self::Nested(what) => f.write_str(what),
            Self::Time(time) | Self::Local(time) => write!(f, "the time `{}`", ducto_record::time::format(*time)),
        }
    }
}

/// The time of a cell, or why there is none.
pub(super) fn time(raw: Raw<'_>, options: &Options) -> Result<Micros, String> {
    let factor = match options.time_format {
        TimeFormat::Rfc3339 => None,
        TimeFormat::Seconds => Some(1_000_000),
        TimeFormat::Milliseconds => Some(1_000),
        TimeFormat::Microseconds => Some(1),
    };
    let micros = match (raw, factor) {
        (Raw::Missing, _) => return Err("the time is missing".into()),
        (Raw::Time(time), _) => time,
        (Raw::Local(time), _) => {
            let civil = jiff::tz::TimeZone::UTC.to_datetime(stamp(time).ok_or("the time is out of range")?);
            return local(civil, options);
        }
        (Raw::Text(text), None) => return text_time(text.trim(), options),
        (Raw::Nested(_) | Raw::Bool(_), _) => return Err(format!("{raw} is no time")),
        (raw, None) => return Err(format!("the time {raw} is a number; {}", options.advice.numbers())),
        (Raw::Integer(number), Some(factor)) => {
            number.checked_mul(factor).ok_or_else(|| format!("the time {raw} is out of range"))?
        }
        (Raw::Float(number), Some(factor)) => scaled(number, factor).ok_or_else(|| format!("{raw} is no time"))?,
        (Raw::Text(text), Some(factor)) => {
            let text = text.trim();
            match text.parse::<i64>() {
                Ok(number) => number.checked_mul(factor).ok_or_else(|| format!("the time {raw} is out of range"))?,
                Err(_) => number(text, options.decimal)
                    .and_then(|number| scaled(number, factor))
                    .ok_or_else(|| format!("the time {raw} is no number since 1970; {}", options.advice.texts()))?,
            }
        }
    };
    // What no calendar can print no timer can wait for.
    stamp(micros).map(|_| micros).ok_or_else(|| format!("the time {micros} µs is out of range"))
}

fn scaled(number: f64, factor: i64) -> Option<Micros> {
    let micros = (number * factor as f64).round();
    (micros.abs() < 9e18).then_some(micros as i64)
}

fn stamp(micros: Micros) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

fn text_time(text: &str, options: &Options) -> Result<Micros, String> {
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Ok(floor(stamp));
    }
    match text.parse::<DateTime>() {
        Ok(civil) => local(civil, options),
        Err(_) if !text.is_empty() && number(text, options.decimal).is_some() => {
            Err(format!("the time {} is a number; {}", Raw::Text(text), options.advice.numbers()))
        }
        Err(_) => Err(format!("{} is no time such as `2026-01-01T00:00:00Z`", Raw::Text(text))),
    }
}

/// Nanoseconds are cut off towards the past, before 1970 too.
fn floor(stamp: Timestamp) -> Micros {
    let nanoseconds = stamp.as_nanosecond();
    Micros::try_from(nanoseconds.div_euclid(1_000)).unwrap_or(stamp.as_microsecond())
}

fn local(civil: DateTime, options: &Options) -> Result<Micros, String> {
    let Some(zone) = &options.time_zone else {
        return Err(format!("the time `{civil}` names no offset; {}", options.advice.zone()));
    };
    // In the hour that a clock repeats the first is meant; one that it leaves out moves on.
    let stamp = zone.to_ambiguous_timestamp(civil).compatible().map_err(|error| format!("`{civil}`: {error}"))?;
    Ok(floor(stamp))
}

/// A number as text with the declared decimal sign. A sign between thousands makes it none.
pub(super) fn number(text: &str, decimal: Decimal) -> Option<f64> {
    match decimal {
        Decimal::Point => text.parse().ok(),
        Decimal::Comma if text.contains('.') => None,
        Decimal::Comma => match text.contains(',') {
            true => text.replacen(',', ".", 1).parse().ok(),
            false => text.parse().ok(),
        },
    }
}

/// The value of a cell for a tag of this kind, or why it has none. Nothing is rounded.
pub(super) fn value(raw: Raw<'_>, kind: ValueKind, options: &Options) -> Result<Cell, String> {
    let decimal = options.decimal;
    let raw = match raw {
        Raw::Text(text) if kind != ValueKind::Text => match text.trim() {
            "" | "null" | "NULL" => Raw::Missing,
            text => Raw::Text(text),
        },
        raw => raw,
    };
    let wrong = |what: &str| Err(format!("{raw} is no {what}"));
    Ok(match (kind, raw) {
        (_, Raw::Missing) => Cell::Null,
        (ValueKind::Float64, Raw::Float(number)) => Cell::Number(number),
        (ValueKind::Float64, Raw::Integer(number)) => Cell::Number(number as f64),
        (ValueKind::Float64, Raw::Text(text)) => match number(text, decimal) {
            Some(number) => Cell::Number(number),
            None if decimal == Decimal::Point && text.contains(',') => {
                return Err(format!("{raw} is no number; {}", options.advice.decimal()));
            }
            None => return wrong("number"),
        },
        (ValueKind::Int64, Raw::Integer(number)) => Cell::Integer(number),
        (ValueKind::Int64, Raw::Float(number)) => match whole(number) {
            Some(number) => Cell::Integer(number),
            None => return wrong("whole number of 64 bits"),
        },
        (ValueKind::Int64, Raw::Text(text)) => {
            match text.parse().ok().or_else(|| number(text, decimal).and_then(whole)) {
                Some(number) => Cell::Integer(number),
                None => return wrong("whole number of 64 bits"),
            }
        }
        (ValueKind::Bool, Raw::Bool(flag)) => Cell::Flag(flag),
        (ValueKind::Bool, Raw::Integer(number @ (0 | 1))) => Cell::Flag(number == 1),
        (ValueKind::Bool, Raw::Float(number)) if number == 0.0 || number == 1.0 => Cell::Flag(number == 1.0),
        (ValueKind::Bool, Raw::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "1.0" | "on" | "yes" => Cell::Flag(true),
            "false" | "0" | "0.0" | "off" | "no" => Cell::Flag(false),
            _ => return wrong("`true` or `false`"),
        },
        (ValueKind::Text, Raw::Text(text)) => Cell::Text(text.into()),
        (ValueKind::Text, Raw::Integer(number)) => Cell::Text(number.to_string().into()),
        (ValueKind::Text, Raw::Float(number)) => Cell::Text(number.to_string().into()),
        (ValueKind::Text, Raw::Bool(flag)) => Cell::Text(flag.to_string().into()),
        (ValueKind::Float64, _) => return wrong("number"),
        (ValueKind::Int64, _) => return wrong("whole number"),
        (ValueKind::Bool, _) => return wrong("`true` or `false`"),
        (ValueKind::Text, _) => return wrong("text"),
    })
}

fn whole(number: f64) -> Option<i64> {
    // 2⁶³ itself is the first that does not fit.
    let fits = number.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    fits.then_some(number as i64)
}

/// The quality of a cell: a code, or the name of one. A missing one is Good where there is a value.
pub(super) fn quality(raw: Raw<'_>, value: &Cell) -> Result<Quality, String> {
    let code = |number: i64| u16::try_from(number).ok().map(Quality).filter(|quality| quality.is_defined());
    let quality = match raw {
        Raw::Missing => None,
        Raw::Integer(number) => Some(code(number)),
        Raw::Float(number) => Some(whole(number).and_then(code)),
        Raw::Text(text) => match text.trim() {
            "" => None,
            text => Some(text.parse().ok().map_or_else(|| Quality::named(text), code)),
        },
        _ => Some(None),
    };
    match quality {
        Some(Some(quality)) => Ok(quality),
        Some(None) => Err(format!(
            "{raw} is no quality; write an OPC DA code (192 is Good, 64 Uncertain, 0 Bad; 255 is the largest) or a name \
             such as `GOOD`"
        )),
        None if *value == Cell::Null => Ok(Quality::BAD),
        None => Ok(Quality::GOOD),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn options(format: TimeFormat, zone: Option<&str>) -> Options {
        Options { time_format: format, time_zone: zone.map(|zone| TimeZone::get(zone).unwrap()), ..Options::default() }
    }

    #[test]
    fn times_of_every_form() {
        let utc = options(TimeFormat::Rfc3339, None);
        let bogota = options(TimeFormat::Rfc3339, Some("America/Bogota"));
        let second = 1_577_836_800_000_000;
        assert_eq!(time(Raw::Text("2020-01-01T00:00:00Z"), &utc), Ok(second));
        assert_eq!(time(Raw::Text(" 2019-12-31 19:00:00.5-05:00 "), &utc), Ok(second + 500_000));
        assert_eq!(time(Raw::Text("2019-12-31 19:00:00"), &bogota), Ok(second));
        assert_eq!(time(Raw::Local(second - 5 * 3_600_000_000), &bogota), Ok(second));
        assert!(time(Raw::Text("2019-12-31 19:00:00"), &utc).unwrap_err().contains("time_zone"));
        assert!(time(Raw::Integer(5), &utc).unwrap_err().contains("time_format"));
        assert_eq!(time(Raw::Text("1969-12-31T23:59:59.9999999Z"), &utc), Ok(-1));
        let seconds = options(TimeFormat::Seconds, None);
        assert_eq!(time(Raw::Text("1577836800"), &seconds), Ok(second));
        assert_eq!(time(Raw::Float(1_577_836_800.25), &seconds), Ok(second + 250_000));
        assert_eq!(time(Raw::Integer(1_577_836_800_000), &options(TimeFormat::Milliseconds, None)), Ok(second));
        assert_eq!(time(Raw::Integer(second), &options(TimeFormat::Microseconds, None)), Ok(second));
        for bad in [Raw::Integer(i64::MAX), Raw::Float(f64::NAN), Raw::Float(1e300), Raw::Missing, Raw::Bool(true)] {
            assert!(time(bad, &seconds).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_by_kind() {
        use ValueKind::{Bool, Float64, Int64, Text};
        let (point, comma) = (Options::default(), Options { decimal: Decimal::Comma, ..Options::default() });
        let point = |raw, kind| value(raw, kind, &point);
        assert_eq!(point(Raw::Text("1.5"), Float64), Ok(Cell::Number(1.5)));
        assert_eq!(value(Raw::Text("1,5"), Float64, &comma), Ok(Cell::Number(1.5)));
        assert!(value(Raw::Text("1.234,5"), Float64, &comma).is_err());
        assert!(point(Raw::Text("1,5"), Float64).unwrap_err().contains("decimal"));
        assert_eq!(point(Raw::Text(""), Float64), Ok(Cell::Null));
        assert_eq!(point(Raw::Text("-Infinity"), Float64), Ok(Cell::Number(f64::NEG_INFINITY)));
        assert_eq!(point(Raw::Text("3.0"), Int64), Ok(Cell::Integer(3)));
        assert!(point(Raw::Float(1e19), Int64).is_err());
        assert!(point(Raw::Float(0.5), Int64).is_err());
        assert_eq!(point(Raw::Text("on"), Bool), Ok(Cell::Flag(true)));
        assert!(point(Raw::Integer(2), Bool).is_err());
        assert_eq!(point(Raw::Text(" x"), Text), Ok(Cell::Text(" x".into())));
    }

    #[test]
    fn no_value_is_without_a_quality() {
        assert_eq!(quality(Raw::Missing, &Cell::Number(1.0)), Ok(Quality::GOOD));
        assert_eq!(quality(Raw::Missing, &Cell::Null), Ok(Quality::BAD));
        assert_eq!(quality(Raw::Text("24"), &Cell::Null), Ok(Quality::COMM_FAILURE));
        assert_eq!(quality(Raw::Text("uncertain"), &Cell::Number(1.0)), Ok(Quality::UNCERTAIN));
        assert!(quality(Raw::Integer(70_000), &Cell::Null).is_err());
        assert!(quality(Raw::Text("fine"), &Cell::Null).is_err());
        for undefined in [500, 128, -1] {
            assert!(quality(Raw::Integer(undefined), &Cell::Null).is_err(), "{undefined}");
        }
        assert_eq!(quality(Raw::Text("219"), &Cell::Null), Ok(Quality(219)));
    }
}
