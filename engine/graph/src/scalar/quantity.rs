use std::fmt;
use std::str::FromStr;

use super::{ScalarError, text_scalar};

/// A number and, where it was given, its unit as written: `14.0 psia`, `14.0`.
///
/// The unit is only text here; what it means is known to the units that operators register.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The number, finite.
    pub value: f64,
    /// The unit, not empty.
    pub unit: Option<String>,
}

impl FromStr for Quantity {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let trimmed = text.trim();
        let (number, unit) = split_at_unit(trimmed);
        let value = number.parse().ok().filter(|value: &f64| value.is_finite());
        match value {
            Some(value) => Ok(Quantity { value, unit: (!unit.is_empty()).then(|| unit.to_owned()) }),
            None => Err(ScalarError::new(
                format!("`{}` does not begin with a number", crate::tree::shorten(text)),
                "write a number and its unit, `14.0 psia`",
            )),
        }
    }
}

/// Splits behind the longest number, exponents included, so that `1e3 kPa` and `5 e` both work.
fn split_at_unit(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            at += 1;
        }
        at
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let mut end = digits(sign);
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    (&text[..end], text[end..].trim())
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unit {
            Some(unit) => write!(f, "{} {unit}", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

text_scalar!(Quantity, from any, "a number with or without a unit, such as `14.0 psia`",
    pattern: r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?.*$",
    examples: ["14.0 psia", "60"]);

/// A share from 0 to 100: `80`, `80%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// From 0 to 100.
    pub fn percent(self) -> f64 {
        self.0
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => Ok(Percent(value)),
            _ => Err(ScalarError::new(
                format!("`{}` is not a percentage", crate::tree::shorten(text)),
                "write a number from 0 to 100",
            )),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

text_scalar!(Percent, from any, "a percentage from 0 to 100",
    pattern: r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$",
    examples: ["80", "99.5%"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_number_and_perhaps_a_unit() {
        let read = |text: &str| {
            let quantity: Quantity = text.parse().unwrap();
            (quantity.value, quantity.unit)
        };
        assert_eq!(read("14.0 psia"), (14.0, Some("psia".to_owned())));
        assert_eq!(read("14.0"), (14.0, None));
        assert_eq!(read("-1e3kPa"), (-1000.0, Some("kPa".to_owned())));
        assert_eq!(read("5 e"), (5.0, Some("e".to_owned())));
        assert_eq!(read("20 °C"), (20.0, Some("°C".to_owned())));
        for text in ["", "psia", "1.2.3 psi", "inf", "1e999", "-"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_lie_between_0_and_100() {
        assert_eq!("80%".parse::<Percent>().unwrap().fraction(), 0.8);
        for text in ["-1", "101", "x", "", "nan"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
