//! Time as microseconds since 1970-01-01 in UTC.

use jiff::Timestamp;

/// Microseconds since the Unix epoch, UTC; also the unit of every duration in flight.
pub type Micros = i64;

pub const MILLISECOND: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;
pub const MINUTE: Micros = 60 * SECOND;
pub const HOUR: Micros = 60 * MINUTE;
pub const DAY: Micros = 24 * HOUR;

/// RFC 3339 with as many decimals as the time needs; a time outside jiff's range is printed as a number.
pub fn format(time: Micros) -> String {
    match Timestamp::from_microsecond(time) {
        Ok(stamp) => stamp.to_string(),
        Err(_) => format!("{time}µs"),
    }
}

/// Reads RFC 3339 (`2026-01-01T00:00:00Z`, any offset).
pub fn parse(text: &str) -> Result<Micros, String> {
    text.trim()
        .parse::<Timestamp>()
        .map(|stamp| stamp.as_microsecond())
        .map_err(|error| format!("`{text}` is no RFC 3339 time such as `2026-01-01T00:00:00Z`: {error}"))
}

/// The present moment by the system's wall clock.
pub fn now() -> Micros {
    Timestamp::now().as_microsecond()
}
