//! Which window a time falls into: by the clock in UTC, or by the site's own day with daylight saving.

use ducto_graph::scalar::TimeOfDay;
use ducto_graph::site::{ContractDay, NamedBy};
use ducto_record::Micros;
use ducto_record::time::{DAY, HOUR};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A half-open window, in µs UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Window {
    pub(super) start: Micros,
    pub(super) end: Micros,
}

impl Window {
    #[inline]
    pub(super) fn contains(self, time: Micros) -> bool {
        self.start <= time && time < self.end
    }
}

/// How time is cut into windows.
#[derive(Clone, Debug)]
pub(super) enum Calendar {
    /// Multiples of a length since 1970 in UTC.
    Utc {
        every: Micros,
    },
    /// Multiples of a length since local midnight. Where the clock changes, a length of up to an hour follows it, so that
    /// an hour that comes twice is two windows; what is longer goes on from one time of the clock to the next.
    Local {
        every: Micros,
        zone: TimeZone,
    },
    Day {
        zone: TimeZone,
        start: TimeOfDay,
    },
    Month {
        zone: TimeZone,
        start: TimeOfDay,
    },
}

impl Calendar {
    pub(super) fn window(&self, time: Micros) -> Window {
        match self {
            Self::Utc { every } => multiple(time, *every, 0),
            Self::Local { every, zone } => match Timestamp::from_microsecond(time) {
                Ok(stamp) if *every <= HOUR => by_offset(zone, stamp, *every),
                Ok(stamp) => local(zone, stamp, *every).unwrap_or_else(|| multiple(time, *every, 0)),
                Err(_) => multiple(time, *every, 0),
            },
            Self::Day { zone, start } => civil(
                zone,
                time,
                |at| {
                    let first = day_of(at, *start)?;
                    Some((first, first.tomorrow().ok()?))
                },
                *start,
            )
            .unwrap_or_else(|| multiple(time, DAY, 0)),
            Self::Month { zone, start } => civil(
                zone,
                time,
                |at| {
                    let first = day_of(at, *start)?.first_of_month();
                    Some((first, first.checked_add(Span::new().months(1)).ok()?))
                },
                *start,
            )
            .unwrap_or_else(|| multiple(time, 30 * DAY, 0)),
        }
    }

    /// The name of a day or month that begins at `start`, as days since 1970.
    pub(super) fn day(&self, window: Window, named_by: NamedBy) -> Option<i32> {
        let (zone, by_end) = match self {
            Self::Day { zone, .. } => (zone, named_by == NamedBy::End),
            Self::Month { zone, .. } => (zone, false),
            _ => return None,
        };
        let time = if by_end { window.end } else { window.start };
        let date = zone.to_datetime(Timestamp::from_microsecond(time).ok()?).date();
        let epoch = Date::constant(1970, 1, 1);
        Some(date.since(epoch).ok()?.get_days())
    }
}

fn multiple(time: Micros, every: Micros, offset: Micros) -> Window {
    let start = time.saturating_sub(time.saturating_add(offset).rem_euclid(every));
    Window { start, end: start.saturating_add(every) }
}

fn offset(zone: &TimeZone, stamp: Timestamp) -> Micros {
    i64::from(zone.to_offset(stamp).seconds()) * 1_000_000
}

/// The multiple by the offset of this moment, cut where the offset changes.
fn by_offset(zone: &TimeZone, stamp: Timestamp, every: Micros) -> Window {
    let time = stamp.as_microsecond();
    let now = offset(zone, stamp);
    let mut window = multiple(time, every, now);
    let differs = |at: Micros| Timestamp::from_microsecond(at).is_ok_and(|at| offset(zone, at) != now);
    let moment = |transition: jiff::tz::TimeZoneTransition<'_>| transition.timestamp().as_microsecond();
    if differs(window.start) {
        let after = Timestamp::from_microsecond(time.saturating_add(1)).unwrap_or(stamp);
        let changes = zone.preceding(after).map(moment);
        window.start = changes.take_while(|at| *at > window.start).find(|at| differs(*at - 1)).unwrap_or(window.start);
    }
    if differs(window.end.saturating_sub(1)) {
        let changes = zone.following(stamp).map(moment);
        window.end = changes.take_while(|at| *at < window.end).find(|at| differs(*at)).unwrap_or(window.end);
    }
    window
}

fn local(zone: &TimeZone, stamp: Timestamp, every: Micros) -> Option<Window> {
    let at = zone.to_datetime(stamp);
    let midnight = at.date().to_datetime(jiff::civil::Time::midnight());
    let passed = at.since(midnight).ok()?.total(jiff::Unit::Microsecond).ok()? as i64;
    let from = midnight.checked_add(Span::new().microseconds(passed - passed.rem_euclid(every))).ok()?;
    let to = from.checked_add(Span::new().microseconds(every)).ok()?;
    Some(Window { start: instant(zone, from)?, end: instant(zone, to)? })
}

/// The day whose start is the last one at or before a local time.
fn day_of(at: DateTime, start: TimeOfDay) -> Option<Date> {
    if at.time() < start.to_civil() { at.date().yesterday().ok() } else { Some(at.date()) }
}

fn civil(
    zone: &TimeZone,
    time: Micros,
    dates: impl Fn(DateTime) -> Option<(Date, Date)>,
    start: TimeOfDay,
) -> Option<Window> {
    let at = zone.to_datetime(Timestamp::from_microsecond(time).ok()?);
    let (first, next) = dates(at)?;
    let window = Window {
        start: instant(zone, first.to_datetime(start.to_civil()))?,
        end: instant(zone, next.to_datetime(start.to_civil()))?,
    };
    if window.contains(time) {
        return Some(window);
    }
    // The start of the day lies in the hour that the clock repeats or leaves out.
    let at = if time >= window.end { next } else { first.yesterday().ok()? };
    let (first, next) = dates(at.to_datetime(start.to_civil()))?;
    let window = Window {
        start: instant(zone, first.to_datetime(start.to_civil()))?,
        end: instant(zone, next.to_datetime(start.to_civil()))?,
    };
    window.contains(time).then_some(window)
}

fn instant(zone: &TimeZone, at: DateTime) -> Option<Micros> {
    Some(zone.to_timestamp(at).ok()?.as_microsecond())
}

/// The calendar of a site's contract days.
pub(super) fn of_days(zone: TimeZone, day: ContractDay) -> Calendar {
    Calendar::Day { zone, start: day.start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducto_record::time::{format, parse};

    fn shown(window: Window) -> String {
        format!("{} {}", format(window.start), format(window.end))
    }

    fn at(text: &str) -> Micros {
        parse(text).unwrap()
    }

    #[test]
    fn utc_windows_are_multiples() {
        let calendar = Calendar::Utc { every: 60_000_000 };
        assert_eq!(shown(calendar.window(at("2023-11-14T22:13:20Z"))), "2023-11-14T22:13:00Z 2023-11-14T22:14:00Z");
        assert_eq!(calendar.window(-1), Window { start: -60_000_000, end: 0 });
    }

    #[test]
    fn contract_days_follow_the_clock_on_the_wall() {
        let zone = TimeZone::get("America/Denver").unwrap();
        let calendar = Calendar::Day { zone, start: "06:00".parse().unwrap() };
        // 2026-03-08 has 23 hours between 06:00 and 06:00.
        let spring = calendar.window(at("2026-03-08T08:00:00Z"));
        assert_eq!(shown(spring), "2026-03-07T13:00:00Z 2026-03-08T12:00:00Z");
        assert_eq!(spring.end - spring.start, 23 * HOUR);
        let autumn = calendar.window(at("2026-11-01T12:59:59Z"));
        assert_eq!(autumn.end - autumn.start, 25 * HOUR);
        assert_eq!(calendar.day(spring, NamedBy::Start), Some(20519));
        assert_eq!(calendar.day(spring, NamedBy::End), Some(20520));
    }

    #[test]
    fn the_day_of_a_change_has_as_many_hours_as_the_clock_shows() {
        let hours = |name: &str, from: &str, to: &str| {
            let calendar = Calendar::Local { every: HOUR, zone: TimeZone::get(name).unwrap() };
            let (mut time, mut windows) = (at(from), Vec::new());
            while time < at(to) {
                let window = calendar.window(time);
                assert_eq!(window.start, time);
                windows.push((window.end - window.start) / 60_000_000);
                time = window.end;
            }
            windows
        };
        assert_eq!(hours("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"), [60; 23]);
        assert_eq!(hours("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"), [60; 25]);
        // By half an hour: 01:30 to 02:00 comes twice, and 02:00 to 02:30 not at all.
        let autumn = hours("Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z");
        assert_eq!((autumn.len(), autumn[2], autumn.iter().sum::<i64>()), (25, 30, 24 * 60 + 30));
        let spring = hours("Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z");
        assert_eq!((spring.len(), spring[2], spring.iter().sum::<i64>()), (24, 30, 24 * 60 - 30));
    }

    #[test]
    fn months_begin_with_their_first_contract_day() {
        let zone = TimeZone::get("America/Bogota").unwrap();
        let calendar = Calendar::Month { zone, start: "06:00".parse().unwrap() };
        assert_eq!(shown(calendar.window(at("2026-03-01T10:59:59Z"))), "2026-02-01T11:00:00Z 2026-03-01T11:00:00Z");
        assert_eq!(shown(calendar.window(at("2026-03-01T11:00:00Z"))), "2026-03-01T11:00:00Z 2026-04-01T11:00:00Z");
    }

    #[test]
    fn windows_follow_each_other_without_gap_across_clock_changes() {
        for name in ["America/Denver", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata"] {
            let zone = TimeZone::get(name).unwrap();
            let start: TimeOfDay = "00:00".parse().unwrap();
            let mut calendars = vec![
                Calendar::Day { zone: zone.clone(), start },
                Calendar::Day { zone: zone.clone(), start: "02:30".parse().unwrap() },
                Calendar::Month { zone: zone.clone(), start },
            ];
            for minutes in [1, 10, 30, 45, 60, 120, 360, 720, 1440] {
                calendars.push(Calendar::Local { every: minutes * 60_000_000, zone: zone.clone() });
            }
            for calendar in calendars {
                let mut time = at("2026-01-01T00:00:00Z");
                while time < at("2026-12-31T00:00:00Z") {
                    let window = calendar.window(time);
                    assert!(window.contains(time), "{name} {calendar:?} {}", format(time));
                    assert_eq!(calendar.window(window.end - 1), window, "{name} {calendar:?}");
                    assert_eq!(calendar.window(window.end).start, window.end, "{name} {calendar:?}");
                    time = window.end + (window.end - window.start).min(HOUR) * 5;
                }
            }
        }
    }

    #[test]
    fn times_far_away_do_not_panic() {
        let zone = TimeZone::get("America/Bogota").unwrap();
        let start: TimeOfDay = "06:00".parse().unwrap();
        for calendar in [
            Calendar::Utc { every: DAY },
            Calendar::Local { every: HOUR, zone: zone.clone() },
            Calendar::Day { zone: zone.clone(), start },
            Calendar::Month { zone, start },
        ] {
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
                let window = calendar.window(time);
                assert!(window.start <= time && time <= window.end, "{calendar:?}");
            }
        }
    }
}
