//! What the text of a cell means.
//!
//! `1.234` is a small number to one person and a large one to another. Where a text reads two ways
//! it is an error until the file's [`Conventions`] say which is meant; where it reads one way only,
//! it is taken.

use std::str::FromStr;

use jiff::civil;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Cell, Typed};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::scalar::{TimeZone, Timestamp};
use crate::tree::shorten;

/// How a file writes numbers and dates, where that was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Conventions {
    /// The decimal sign of numbers. Without it, a number such as `1.234` is refused.
    pub decimal: Option<Decimal>,
    /// The order of day, month and year. Without it, a date such as `03/04/2026` is refused.
    pub dates: Option<DateOrder>,
}

/// The decimal sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    /// `1.5`, and `1,500` is fifteen hundred.
    Point,
    /// `1,5`, and `1.500` is fifteen hundred.
    Comma,
}

/// The order of a date's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Year, month, day.
    Ymd,
}

impl Cell {
    /// The cell as a number.
    ///
    /// # Errors
    /// When it is no number, or reads two ways.
    pub fn number(&self, conventions: &Conventions) -> Result<f64, Diagnostic> {
        match self.typed {
            Some(Typed::Number(number)) if number.is_finite() => Ok(number),
            Some(Typed::Time(_)) => Err(self
                .wrong(Code::CellNotNumber, "a date is not a number")
                .help("the spreadsheet took the number for a date: format the cell as a number and type it again")),
            Some(_) => Err(self.wrong(Code::CellNotNumber, &self.is_not("a number"))),
            None => match read_number(&self.text, conventions.decimal) {
                Ok(number) => Ok(number),
                Err(NumberError::Ambiguous(small, large)) => Err(self
                    .wrong(Code::NumberAmbiguous, &format!("`{}` reads two ways, {small} or {large}", self.text))
                    .help("declare `decimal: point` or `decimal: comma` for this file")),
                Err(NumberError::OtherSign) => Err(self
                    .wrong(Code::CellNotNumber, &self.is_not("a number"))
                    .help("the file is declared to use the other decimal sign")),
                Err(NumberError::NoNumber) => Err(self.wrong(Code::CellNotNumber, &self.is_not("a number"))),
            },
        }
    }

    /// The cell as an integer.
    ///
    /// # Errors
    /// When it is no integer of 64 bits, or reads two ways.
    pub fn integer(&self, conventions: &Conventions) -> Result<i64, Diagnostic> {
        if self.typed.is_none()
            && let Ok(number) = self.text.parse()
        {
            return Ok(number);
        }
        let wrong = || self.wrong(Code::CellNotInteger, &self.is_not("an integer"));
        let number = self.number(conventions).map_err(|error| match error.code {
            Code::CellNotNumber => {
                Diagnostic { code: Code::CellNotInteger, message: self.is_not("an integer"), ..error }
            }
            _ => error,
        })?;
        // Beyond 2⁵³ a float no longer tells integers apart.
        if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
            return Err(wrong());
        }
        #[allow(clippy::cast_possible_truncation)] // Checked above.
        Ok(number as i64)
    }

    /// The cell as a date. A time of day is refused unless it is midnight.
    ///
    /// # Errors
    /// When it is no date, or reads two ways.
    pub fn date(&self, conventions: &Conventions) -> Result<civil::Date, Diagnostic> {
        match self.moment(conventions)? {
            Moment::Local(time) if time.time() == civil::Time::midnight() => Ok(time.date()),
            _ => Err(self.wrong(Code::CellNotDate, &self.is_not("a date alone")).help("leave the time of day away")),
        }
    }

    /// The cell as an instant: a date is its midnight, and a time without an offset is one of the
    /// clocks in `zone`.
    ///
    /// # Errors
    /// When it is no date or time, reads two ways, or lies beyond what clocks can tell.
    pub fn instant(&self, conventions: &Conventions, zone: &TimeZone) -> Result<Timestamp, Diagnostic> {
        let instant = match self.moment(conventions)? {
            Moment::Instant(instant) => instant,
            Moment::Local(time) => {
                zone.zone().to_timestamp(time).map_err(|_| self.wrong(Code::CellNotDate, &self.is_not("an instant")))?
            }
        };
        Ok(Timestamp::from_micros(instant.as_microsecond()))
    }

    /// The cell as yes or no: `sí`, `si`, `yes`, `true`, `verdadero`, `1` and their opposites.
    ///
    /// # Errors
    /// When it is neither.
    pub fn boolean(&self) -> Result<bool, Diagnostic> {
        match self.typed {
            Some(Typed::Boolean(value)) => return Ok(value),
            Some(Typed::Number(1.0)) => return Ok(true),
            Some(Typed::Number(0.0)) => return Ok(false),
            _ => {}
        }
        match self.text.to_lowercase().as_str() {
            "sí" | "si" | "s" | "yes" | "y" | "true" | "verdadero" | "1" => Ok(true),
            "no" | "n" | "false" | "falso" | "0" => Ok(false),
            _ => Err(self
                .wrong(Code::CellNotBoolean, &self.is_not("yes or no"))
                .help("write `yes` or `no`, `sí` or `no`, `true` or `false`, `1` or `0`")),
        }
    }

    /// The cell as a scalar of the configuration: a name, a duration.
    ///
    /// # Errors
    /// When the text is not of its form.
    pub fn parse<T>(&self) -> Result<T, Diagnostic>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if self.is_empty() {
            return Err(self.wrong(Code::ValueInvalid, &self.is_not("a value")));
        }
        self.text.parse().map_err(|error: T::Err| {
            let text = error.to_string();
            let (message, help) = match text.split_once('\n') {
                Some((message, help)) => (message, Some(help.to_owned())),
                None => (text.as_str(), None),
            };
            let mut diagnostic = self.wrong(Code::ValueInvalid, message);
            diagnostic.help = help.or(diagnostic.help);
            diagnostic
        })
    }

    fn moment(&self, conventions: &Conventions) -> Result<Moment, Diagnostic> {
        if let Some(Typed::Time(time)) = self.typed {
            return Ok(Moment::Local(time));
        }
        let order =
            if self.typed.is_some() { Err(DateError::NoDate) } else { read_moment(&self.text, conventions.dates) };
        order.map_err(|error| match error {
            DateError::Ambiguous(first, second) => self
                .wrong(Code::DateAmbiguous, &format!("`{}` reads two ways, {first} or {second}", self.text))
                .help("declare `dates: dmy` or `dates: mdy` for this file"),
            DateError::ShortYear => self
                .wrong(Code::DateAmbiguous, &format!("the year of `{}` is not clear", self.text))
                .help("write the year with four digits"),
            DateError::NoDate => self
                .wrong(Code::CellNotDate, &self.is_not("a date"))
                .help("write it as `2026-04-03` or `2026-04-03 06:00`"),
        })
    }

    fn is_not(&self, expected: &str) -> String {
        if self.is_empty() {
            format!("the cell is empty, and {expected} is expected")
        } else {
            format!("`{}` is not {expected}", shorten(&self.text))
        }
    }

    fn wrong(&self, code: Code, message: &str) -> Diagnostic {
        let wrong = || Diagnostic::new(code, message).at(self.place);
        self.error().unwrap_or_else(wrong)
    }
}

#[derive(Debug, PartialEq)]
enum NumberError {
    NoNumber,
    /// The separators are those of the other decimal sign.
    OtherSign,
    /// As a decimal number, as an integer with thousands.
    Ambiguous(String, String),
}

fn read_number(text: &str, decimal: Option<Decimal>) -> Result<f64, NumberError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    // People group thousands by spaces of several kinds and by apostrophes.
    let is_space = |c: char| matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’');
    let spaced = digits.contains(is_space);
    let point = digits.matches('.').count();
    let comma = digits.matches(',').count();
    let declared = decimal.map(|decimal| match decimal {
        Decimal::Point => '.',
        Decimal::Comma => ',',
    });
    let sign_used = match (point, comma) {
        (0, 0) => None,
        (1, 0) => single(digits, '.', declared, spaced, exponent.is_some(), sign)?,
        (0, 1) => single(digits, ',', declared, spaced, exponent.is_some(), sign)?,
        (_, 0) | (0, _) => {
            let groups = if point > 0 { '.' } else { ',' };
            if declared == Some(groups) {
                return Err(NumberError::OtherSign);
            }
            None
        }
        _ => {
            let last = if digits.rfind('.') > digits.rfind(',') { '.' } else { ',' };
            if declared.is_some_and(|declared| declared != last) {
                return Err(NumberError::OtherSign);
            }
            Some(last)
        }
    };
    let (whole, fraction) = match sign_used {
        Some(sign) => digits.split_once(sign).unwrap_or((digits, "")),
        None => (digits, ""),
    };
    let groups: Vec<&str> = whole.split(|c: char| is_space(c) || c == '.' || c == ',').collect();
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = match groups.as_slice() {
        [_] => true,
        [first, rest @ ..] => (1..=3).contains(&first.len()) && rest.iter().all(|group| group.len() == 3),
        [] => false,
    };
    if !grouped || !groups.iter().all(|group| all_digits(group)) || !all_digits(fraction) {
        return Err(NumberError::NoNumber);
    }
    let whole = groups.concat();
    if whole.is_empty() && fraction.is_empty() {
        return Err(NumberError::NoNumber);
    }
    let exponent = exponent.map_or(String::new(), |exponent| format!("e{exponent}"));
    format!("{sign}{whole}.{fraction}0{exponent}")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or(NumberError::NoNumber)
}

/// Whether the only separator of a number is its decimal sign (`Some`) or one of thousands.
fn single(
    digits: &str,
    separator: char,
    declared: Option<char>,
    spaced: bool,
    exponent: bool,
    sign: &str,
) -> Result<Option<char>, NumberError> {
    let (whole, fraction) = digits.split_once(separator).unwrap_or((digits, ""));
    let like_thousands =
        fraction.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0') && !spaced && !exponent;
    match declared {
        Some(declared) if declared == separator => Ok(Some(separator)),
        Some(_) if like_thousands => Ok(None),
        Some(_) => Err(NumberError::OtherSign),
        None if like_thousands && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) => {
            Err(NumberError::Ambiguous(format!("{sign}{whole}.{fraction}"), format!("{sign}{whole}{fraction}")))
        }
        None => Ok(Some(separator)),
    }
}

#[derive(Debug, PartialEq)]
enum Moment {
    Local(civil::DateTime),
    Instant(jiff::Timestamp),
}

#[derive(Debug, PartialEq)]
enum DateError {
    NoDate,
    ShortYear,
    Ambiguous(civil::Date, civil::Date),
}

fn read_moment(text: &str, order: Option<DateOrder>) -> Result<Moment, DateError> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(Moment::Instant(instant));
    }
    let (date, time) = match text.find([' ', 'T', 't']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let date = read_date(date, order)?;
    let time = if time.is_empty() { civil::Time::midnight() } else { read_time(time).ok_or(DateError::NoDate)? };
    Ok(Moment::Local(date.to_datetime(time)))
}

/// `6:00`, `06:00`, `06:00:30`.
fn read_time(text: &str) -> Option<civil::Time> {
    let mut parts = text.split(':');
    let mut part = |fallback: Option<i8>| match parts.next() {
        Some(part) if (1..=2).contains(&part.len()) => {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        }
        Some(_) => None,
        None => fallback,
    };
    let (hour, minute, second) = (part(None)?, part(None)?, part(Some(0))?);
    if parts.next().is_some() {
        return None;
    }
    civil::Time::new(hour, minute, second, 0).ok()
}

fn read_date(text: &str, order: Option<DateOrder>) -> Result<civil::Date, DateError> {
    let separator = text.chars().find(|c| matches!(c, '-' | '/' | '.')).ok_or(DateError::NoDate)?;
    let parts: Vec<&str> = text.split(separator).collect();
    let &[a, b, c] = parts.as_slice() else {
        return Err(DateError::NoDate);
    };
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !parts.iter().all(is_number) || b.len() > 2 {
        return Err(DateError::NoDate);
    }
    let date = |year: &str, month: &str, day: &str| {
        civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
    };
    match (a.len(), c.len()) {
        (4, 1..=2) => date(a, b, c).ok_or(DateError::NoDate),
        (1..=2, 4) => {
            let (dmy, mdy) = (date(c, b, a), date(c, a, b));
            match order {
                Some(DateOrder::Dmy) => dmy.ok_or(DateError::NoDate),
                Some(DateOrder::Mdy) => mdy.ok_or(DateError::NoDate),
                Some(DateOrder::Ymd) => Err(DateError::NoDate),
                None => match (dmy, mdy) {
                    (Some(dmy), Some(mdy)) if dmy != mdy => Err(DateError::Ambiguous(dmy, mdy)),
                    (Some(date), _) | (None, Some(date)) => Ok(date),
                    (None, None) => Err(DateError::NoDate),
                },
            }
        }
        (1..=2, 1..=2) => Err(DateError::ShortYear),
        _ => Err(DateError::NoDate),
    }
}

#[cfg(test)]
mod tests;
