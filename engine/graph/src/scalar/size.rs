use std::fmt;
use std::str::FromStr;

use super::{ScalarError, split_number, text_scalar};

/// A number of bytes: `256MB` (10⁶), `64KiB` (2¹⁰), `100GB`; `0` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// Units from large to small.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        ByteSize(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = |why: &str| {
            ScalarError::new(
                format!("`{}` is not a size: {why}", crate::tree::shorten(text)),
                "write a number and a unit, `256MB`, `64KiB`, `100GB`",
            )
        };
        let text = text.trim();
        if text == "0" {
            return Ok(ByteSize(0));
        }
        if text.starts_with('-') {
            return Err(wrong("it is negative"));
        }
        let (number, unit) = split_number(text);
        if number.is_empty() {
            return Err(wrong("a number is missing"));
        }
        if unit.is_empty() {
            return Err(wrong("the unit is missing"));
        }
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| wrong(&format!("`{unit}` is no unit of size")))?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(*scale).map(ByteSize).ok_or_else(|| wrong("it is too large"));
        }
        let number: f64 = number.parse().map_err(|_| wrong("the number does not fit"))?;
        #[allow(clippy::cast_precision_loss)] // A size with a fraction is a rough one.
        let bytes = (number * *scale as f64).round();
        if !(0.0..1e18).contains(&bytes) {
            return Err(wrong("it is too large"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
        Ok(ByteSize(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) =
            UNITS.iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

text_scalar!(ByteSize, from any, "a size such as `256MB` or `64KiB`",
    pattern: r"^\s*(0|[0-9]+(\.[0-9]+)?\s*([kKmMgGtT][iI]?)?[bB])\s*$",
    examples: ["64KiB", "256MB", "100GB"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in
            [("256MB", 256_000_000), ("100GB", 100_000_000_000), ("64KiB", 65_536), ("0B", 0), ("7B", 7)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("1.5 gb".parse::<ByteSize>().unwrap().bytes(), 1_500_000_000);
        for text in ["", "MB", "256", "-1MB", "1.2.3MB", "99999999999TB", "1Mb/s", "1e999MB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
