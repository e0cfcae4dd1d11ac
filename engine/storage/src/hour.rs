//! Hours of UTC, the partitions of a dataset.

use ducto_record::Micros;
use ducto_record::time::{DAY, HOUR};

/// Hours since 1970-01-01T00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(pub(crate) i64);

/// Times beyond these years lie in the first or last partition, so that every reader can parse its name.
const FIRST: i64 = -62_135_596_800 / 3600; // 0001-01-01T00
const LAST: i64 = 253_402_300_799 / 3600; // 9999-12-31T23

impl Hour {
    pub(crate) fn of(time: Micros) -> Self {
        Self(time.div_euclid(HOUR).clamp(FIRST, LAST))
    }

    pub(crate) fn end(self) -> Micros {
        (self.0 + 1) * HOUR
    }

    /// `date=2026-01-01/hour=07`.
    pub(crate) fn folder(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(24));
        format!("date={year:04}-{month:02}-{day:02}/hour={:02}", self.0.rem_euclid(24))
    }

    /// Reads the first two parts of a path as [`Hour::folder`] writes them.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let date = parts.next()?.strip_prefix("date=")?;
        let hour: i64 = parts.next()?.strip_prefix("hour=")?.parse().ok()?;
        let date: jiff::civil::Date = date.parse().ok()?;
        let start = jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_microsecond();
        (0..24).contains(&hour).then(|| Self(start.div_euclid(DAY) * 24 + hour))
    }
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i16, i8, i8) {
    // The clamp in `Hour::of` keeps days in jiff's range; should it not, the last day stands in.
    let stamp = jiff::Timestamp::from_microsecond(days.saturating_mul(DAY)).unwrap_or(jiff::Timestamp::MAX);
    let date = jiff::tz::TimeZone::UTC.to_datetime(stamp).date();
    (date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_back() {
        for time in [0, -1, 1_767_225_600_000_000, i64::MIN, i64::MAX, 4_102_444_800_000_000 + 5 * HOUR] {
            let hour = Hour::of(time);
            assert_eq!(Hour::parse(&format!("{}/x.parquet", hour.folder())), Some(hour), "{}", hour.folder());
        }
        assert_eq!(Hour::of(1_767_225_600_000_000).folder(), "date=2026-01-01/hour=00");
        assert_eq!(Hour::of(i64::MAX).folder(), "date=9999-12-31/hour=23");
        assert_eq!(Hour::of(-1).folder(), "date=1969-12-31/hour=23");
    }
}
