use std::fmt;
use std::str::FromStr;

use super::{ScalarError, text_scalar};
use crate::diagnostic::did_you_mean;
use crate::tree::shorten;

/// A time of the day by the clock on the wall: `06:00`, `23:59:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    seconds: u32,
}

impl TimeOfDay {
    /// 00:00.
    pub const MIDNIGHT: TimeOfDay = TimeOfDay { seconds: 0 };

    /// Seconds since midnight.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// As a civil time.
    pub fn to_civil(self) -> jiff::civil::Time {
        let part = |n: u32| i8::try_from(n).unwrap_or(0);
        jiff::civil::Time::new(part(self.seconds / 3600), part(self.seconds / 60 % 60), part(self.seconds % 60), 0)
            .unwrap_or(jiff::civil::Time::MIN)
    }
}

impl FromStr for TimeOfDay {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let part = |part: &str, limit: u32| {
            let two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            two.then(|| part.parse::<u32>().ok()).flatten().filter(|value| *value < limit)
        };
        let mut parts = text.trim().split(':');
        let hours = parts.next().and_then(|hours| part(hours, 24));
        let minutes = parts.next().and_then(|minutes| part(minutes, 60));
        let seconds = parts.next().map_or(Some(0), |seconds| part(seconds, 60));
        match (hours, minutes, seconds, parts.next()) {
            (Some(hours), Some(minutes), Some(seconds), None) => {
                Ok(TimeOfDay { seconds: hours * 3600 + minutes * 60 + seconds })
            }
            _ => Err(ScalarError::new(
                format!("`{}` is not a time of day", shorten(text)),
                "write hours and minutes with two digits, `\"06:00\"`",
            )),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.seconds / 3600, self.seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}")?;
        match self.seconds % 60 {
            0 => Ok(()),
            seconds => write!(f, ":{seconds:02}"),
        }
    }
}

text_scalar!(TimeOfDay, from text, "a time of day such as `06:00`",
    pattern: "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
    examples: ["06:00"]);

/// A time zone of the IANA database: `America/Bogota`, `UTC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

impl TimeZone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        TimeZone { name: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone itself.
    pub fn zone(&self) -> &jiff::tz::TimeZone {
        &self.zone
    }
}

impl FromStr for TimeZone {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let text = text.trim();
        if text == "UTC" {
            return Ok(TimeZone::utc());
        }
        // Abbreviations such as `EST` are in the database and rarely what is meant.
        let zone = text.contains('/').then(|| jiff::tz::TimeZone::get(text).ok()).flatten();
        if let Some(zone) = zone {
            let name = zone.iana_name().unwrap_or(text).to_owned();
            return Ok(TimeZone { name, zone });
        }
        let known: Vec<String> =
            jiff::tz::db().available().map(|name| name.to_string()).filter(|name| name.contains('/')).collect();
        let nearest = did_you_mean(text, known.iter().map(String::as_str));
        Err(ScalarError::new(
            format!("`{}` is not a time zone", shorten(text)),
            match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "write `UTC` or a name of the IANA database, `America/Bogota`".to_owned(),
            },
        ))
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

text_scalar!(TimeZone, from text, "a time zone such as `America/Bogota`",
    pattern: "^(UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$",
    examples: ["America/Bogota", "America/Argentina/Buenos_Aires", "UTC"]);

/// An instant in microseconds since 1970, UTC: `2026-01-01T00:00:00Z`, `2026-01-01T00:00:00-05:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// In microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl FromStr for Timestamp {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        match text.trim().parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Timestamp(instant.as_microsecond())),
            Err(_) => Err(ScalarError::new(
                format!("`{}` is not an instant", shorten(text)),
                "write it by RFC 3339, with `Z` or an offset: `2026-01-01T00:00:00Z`",
            )),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{}µs", self.0),
        }
    }
}

text_scalar!(Timestamp, from text, "an instant such as `2026-01-01T00:00:00Z`",
    pattern: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
    examples: ["2026-01-01T00:00:00Z"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        let time: TimeOfDay = "06:00".parse().unwrap();
        assert_eq!(time.seconds(), 21_600);
        assert_eq!(time.to_string(), "06:00");
        assert_eq!(time.to_civil(), jiff::civil::time(6, 0, 0, 0));
        assert_eq!("23:59:30".parse::<TimeOfDay>().unwrap().to_string(), "23:59:30");
        for text in ["6:00", "24:00", "06:60", "06", "06:00:00:00", "+6:00", "360", ""] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones() {
        let zone: TimeZone = "America/Bogota".parse().unwrap();
        assert_eq!(zone.to_string(), "America/Bogota");
        assert_eq!("UTC".parse::<TimeZone>().unwrap(), TimeZone::utc());
        let error = "America/Bogotá".parse::<TimeZone>().unwrap_err();
        assert!(error.to_string().contains("did you mean `America/Bogota`?"));
        assert!("EST".parse::<TimeZone>().is_err());
        assert!("../../etc/passwd".parse::<TimeZone>().is_err());
    }

    #[test]
    fn timestamps() {
        let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::micros);
        assert_eq!(read("1970-01-01T00:00:01Z"), Ok(1_000_000));
        assert_eq!(read("1970-01-01T00:00:00-05:00"), Ok(18_000_000_000));
        assert_eq!("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert!(read("2026-01-01").is_err());
        assert!(read("2026-01-01T00:00:00").is_err());
    }
}
