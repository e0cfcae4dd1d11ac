use std::fmt;
use std::str::FromStr;

use super::{ScalarError, split_number, text_scalar};

/// A length of time in microseconds, never negative: `100ms`, `5s`, `1h30m`, `90d`, `3y`.
///
/// A day is 24 hours, a week 7 days, a year 365 days; `0` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

/// Units from long to short, with their length in microseconds.
const UNITS: [(&str, i64); 8] = [
    ("y", 365 * 86_400_000_000),
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Duration {
    /// No time.
    pub const ZERO: Duration = Duration(0);

    /// From microseconds; negative ones give zero.
    pub fn from_micros(micros: i64) -> Self {
        Duration(micros.max(0))
    }

    /// From seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Duration(seconds as i64 * 1_000_000)
    }

    /// In microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// As the standard library's type.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.unsigned_abs())
    }
}

impl FromStr for Duration {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let write = "write a number and a unit, `500ms`, `5s`, `10m`, `1h30m`, `90d`, `3y`";
        let wrong = |why: &str| {
            let meant = clock(text).map(|meant| format!("write `{meant}`: what looks like a time of day is none"));
            let text = crate::tree::shorten(text);
            ScalarError::new(format!("`{text}` is not a duration: {why}"), meant.as_deref().unwrap_or(write))
        };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Duration(0));
        }
        if rest.is_empty() {
            return Err(ScalarError::new("a duration cannot be empty", write));
        }
        if rest.starts_with('-') {
            return Err(wrong("it is negative"));
        }
        let mut total = 0i64;
        let mut shorter_than = i64::MAX;
        while !rest.is_empty() {
            let (number, behind) = split_number(rest);
            let letters = behind.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(behind.len());
            let (unit, behind) = behind.split_at(letters);
            rest = behind.trim_start();
            if number.is_empty() {
                return Err(wrong("a number is missing"));
            }
            if unit.is_empty() {
                return Err(wrong("the unit is missing"));
            }
            let length = match unit {
                "µs" => 1,
                unit => {
                    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, length)| *length).ok_or_else(
                        || match short(unit) {
                            Some(short) => {
                                let text = crate::tree::shorten(text);
                                let help = format!("write `{number}{short}`");
                                ScalarError::new(
                                    format!("`{text}` is not a duration: `{unit}` is no unit of time"),
                                    &help,
                                )
                            }
                            None => wrong(&format!("`{unit}` is no unit of time")),
                        },
                    )?
                }
            };
            if length >= shorter_than {
                return Err(wrong("the units must go from long to short"));
            }
            shorter_than = length;
            let part = scale(number, length).ok_or_else(|| wrong("the number does not fit"))?;
            total = total.checked_add(part).ok_or_else(|| wrong("it is too long"))?;
        }
        Ok(Duration(total))
    }
}

/// The unit that someone means who writes it out, in English or Spanish.
fn short(unit: &str) -> Option<&'static str> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "seg" | "segs" | "segundo" | "segundos" => "s",
        "min" | "mins" | "minute" | "minutes" | "minuto" | "minutos" => "m",
        "hr" | "hrs" | "hour" | "hours" | "hora" | "horas" => "h",
        "day" | "days" | "dia" | "dias" => "d",
        "week" | "weeks" | "semana" | "semanas" => "w",
        "year" | "years" => "y",
        "msec" | "millis" => "ms",
        _ => return None,
    })
}

/// `00:00:05`, which spreadsheets make of a duration, as one.
fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.trim().split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    (parts.next().is_none() && minutes < 60 && seconds < 60)
        .then(|| Duration::from_secs(hours.saturating_mul(3600).saturating_add(minutes * 60 + seconds)))
}

/// `number × length`, exactly; `None` if it is no decimal number, too long or not whole.
fn scale(number: &str, length: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = whole.parse().ok()?;
    let mut micros = whole.checked_mul(length)?;
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 12)?;
        let part = i128::from(fraction.parse::<u64>().ok()?) * i128::from(length);
        let scale = 10i128.pow(digits);
        if part % scale != 0 {
            return None;
        }
        micros = micros.checked_add(i64::try_from(part / scale).ok()?)?;
    } else if number.ends_with('.') {
        return None;
    }
    Some(micros)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, length) in UNITS {
            // Weeks read worse than days.
            if unit != "w" && rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

text_scalar!(Duration, from any, "a duration such as `5s` or `1h30m`",
    pattern: r"^\s*(0|([0-9]+(\.[0-9]+)?\s*(y|w|d|h|m|s|ms|us|µs)\s*)+)$",
    examples: ["100ms", "5s", "10m", "1h", "90d"]);

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        text.parse::<Duration>().ok().map(Duration::micros)
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(micros("100ms"), Some(100_000));
        assert_eq!(micros("5s"), Some(5_000_000));
        assert_eq!(micros("10 m"), Some(600_000_000));
        assert_eq!(micros("1h30m"), Some(5_400_000_000));
        assert_eq!(micros("1.5h"), Some(5_400_000_000));
        assert_eq!(micros("90d"), Some(90 * 86_400_000_000));
        assert_eq!(micros("3y"), Some(3 * 365 * 86_400_000_000));
        assert_eq!(micros("0"), Some(0));
        assert_eq!(micros("0s"), Some(0));
        for text in ["", "5", "-5s", "5 parsecs", "s", "5s1h", "1h1h", "9999999999y", "1.s", "1e3s", "0.1us", "5M"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["100ms", "5s", "1h30m", "90d", "3y", "0s", "1d2h3m4s5ms6us"] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string(), text);
        }
    }
}
