//! Times as people of a site read them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The time zone of a site.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// By its name; UTC where the name is not known here.
    pub(crate) fn named(name: &str) -> Self {
        match TimeZone::get(name) {
            Ok(zone) => Self { name: name.to_owned(), zone },
            Err(_) => Self { name: "UTC".to_owned(), zone: TimeZone::UTC },
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn at(&self, micros: i64) -> jiff::civil::DateTime {
        let time =
            Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX });
        self.zone.to_datetime(time)
    }

    /// `10:15:32.250`.
    pub(crate) fn clock(&self, micros: i64) -> String {
        self.at(micros).strftime("%H:%M:%S%.3f").to_string()
    }

    /// `10:15:32`.
    pub(crate) fn seconds(&self, micros: i64) -> String {
        self.at(micros).strftime("%H:%M:%S").to_string()
    }

    pub(crate) fn date(&self, micros: i64) -> Date {
        self.at(micros).date()
    }

    /// A time of which it matters when it was: the hour of today, or the day and the hour.
    pub(crate) fn since(&self, micros: i64, now: i64) -> String {
        let (time, now) = (self.at(micros), self.at(now));
        let format = if time.date() == now.date() { "%H:%M:%S" } else { "%d-%m %H:%M:%S" };
        time.strftime(format).to_string()
    }
}

/// Microseconds of a time in RFC 3339.
pub(crate) fn micros(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// Engine time of now, for a site on this machine.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A time in RFC 3339, in UTC.
pub(crate) fn rfc3339(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default()
}

/// How long: `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
pub(crate) fn span(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        _ if seconds < MINUTE => format!("{seconds} s"),
        _ if seconds < HOUR => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        _ if seconds < DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_site() {
        let zone = Zone::named("America/Bogota");
        let time = micros("2026-01-01T04:59:59.250Z").unwrap();
        assert_eq!(zone.clock(time), "23:59:59.250");
        assert_eq!(zone.since(time, time), "23:59:59");
        assert_eq!(zone.since(time, time + 1_000_000), "31-12 23:59:59");
        assert_eq!(Zone::named("Nowhere/Land").name(), "UTC");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        // Also what no clock has.
        assert!(!zone.clock(i64::MAX).is_empty() && !zone.clock(i64::MIN).is_empty());
    }

    #[test]
    fn spans_have_two_parts() {
        let texts = [9, 185, 7_800, 356_400].map(span);
        assert_eq!(texts, ["9 s", "3 min 5 s", "2 h 10 min", "4 d 3 h"]);
    }
}
