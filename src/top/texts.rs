//! Figures as short texts.

use crate::load::grouped;

/// A rate: one decimal where that says something; a dot where it is not known yet.
pub(super) fn rate(value: Option<f64>) -> String {
    match value {
        None => "·".to_owned(),
        Some(value) if value < 0.05 => "0".to_owned(),
        Some(value) if value < 9.95 => format!("{value:.1}"),
        Some(value) => grouped(value.round() as u64),
    }
}

pub(super) fn percent(value: Option<f64>) -> String {
    match value {
        None => "·".to_owned(),
        Some(value) if value < 0.005 => "0 %".to_owned(),
        Some(value) if value < 0.95 => format!("{value:.2} %"),
        Some(value) if value < 9.95 => format!("{value:.1} %"),
        Some(value) => format!("{value:.0} %"),
    }
}

/// How full: `9 %`.
pub(super) fn share(part: usize, whole: usize) -> String {
    format!("{:.0} %", part as f64 / whole.max(1) as f64 * 100.0)
}

/// `[##........]`.
pub(super) fn gauge(part: usize, whole: usize) -> String {
    const CELLS: usize = 10;
    let full = ((part as f64 / whole.max(1) as f64 * CELLS as f64).ceil() as usize).min(CELLS);
    format!("[{}{}]", "#".repeat(full), ".".repeat(CELLS - full))
}

/// A count; nothing for none, so that what is there stands out.
pub(super) fn count(value: u64) -> String {
    match value {
        0 => String::new(),
        _ if value >= 10_000_000 => format!("{:.1} M", value as f64 / 1e6),
        _ => grouped(value),
    }
}

pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if value < 1_000 {
        return format!("{value} B");
    }
    let mut size = value as f64;
    let mut unit = "B";
    for larger in UNITS {
        // What would be rounded to 1000 is one of the next.
        if size < 999.5 {
            break;
        }
        size /= 1e3;
        unit = larger;
    }
    if size < 9.95 { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}

/// A time that should be short: `0 ms`, `12 ms`, `2.5 s`, `3 min 5 s`.
pub(super) fn short_time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 0.010 => format!("{:.1} ms", seconds * 1e3).replace("0.0 ms", "0 ms"),
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => crate::times::span(seconds as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [None, Some(0.0), Some(0.42), Some(9.94), Some(12_345.6)].map(rate),
            ["·", "0", "0.4", "9.9", "12,346"]
        );
        assert_eq!([Some(0.0), Some(0.123), Some(3.12), Some(103.0)].map(percent), ["0 %", "0.12 %", "3.1 %", "103 %"]);
        assert_eq!(
            [0, 999, 1_234, 128_000_000, 999_999_999].map(bytes),
            ["0 B", "999 B", "1.2 kB", "128 MB", "1.0 GB"]
        );
        assert_eq!([0.0, 0.0014, 0.25, 2.5, 185.0].map(short_time), ["0 ms", "1.4 ms", "250 ms", "2.5 s", "3 min 5 s"]);
        assert_eq!([0, 12, 1_234, 12_345_678].map(count), ["", "12", "1,234", "12.3 M"]);
        assert_eq!(
            (gauge(1, 100), gauge(50, 100), gauge(7, 0)),
            ("[#.........]".into(), "[#####.....]".into(), "[##########]".into())
        );
        assert_eq!(share(3, 32), "9 %");
    }
}
