//! Hours of UTC, the partitions of a dataset.

use ducto_record::Micros;
use ducto_record::time::HOUR;

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
        let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let days = days_before(year, month) + day - 1;
        (0..24).contains(&hour).then_some(Self(days * 24 + hour))
    }
}

/// Days from 1970-01-01 to the first of a month, in the proleptic Gregorian calendar.
fn days_before(year: i64, month: i64) -> i64 {
    // Years that begin in March have their odd day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 - 719_468
}

/// Year, month and day of a day since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // A year is at most 366 days, so this starts at or before the right one.
    let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_before(year, *month) <= days).unwrap_or(1);
    (year, month, days - days_before(year, month) + 1)
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
        assert_eq!(Hour::of(951_782_400_000_000).folder(), "date=2000-02-29/hour=00");
        assert_eq!(Hour::of(i64::MIN).folder(), "date=0001-01-01/hour=00");
        assert_eq!(Hour::of(i64::MAX).folder(), "date=9999-12-31/hour=23");
        assert_eq!(Hour::of(-1).folder(), "date=1969-12-31/hour=23");
    }
}
