//! The core schema of YAML 1.2: what a scalar without quotes is.

use std::sync::Arc;

use super::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &Arc<str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if let Some(value) = integer(text).or_else(|| float(text)) {
        return value;
    }
    Value::Text(Arc::clone(text))
}

fn integer(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match text.parse() {
        Ok(value) => Some(Value::Integer(value)),
        // Beyond 64 bits the nearest float is what other readers give.
        Err(_) => text.parse().ok().map(Value::Float),
    }
}

fn radix(digits: &str, radix: u32) -> Option<Value> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(Value::Integer)
}

fn float(text: &str) -> Option<Value> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Some(Value::Float(f64::INFINITY));
        }
        "-.inf" | "-.Inf" | "-.INF" => return Some(Value::Float(f64::NEG_INFINITY)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    // Rust also reads `inf` and `nan`, which YAML takes for text.
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    if number && digits { text.parse().ok().map(Value::Float) } else { None }
}

/// The value of a scalar with a core tag such as `!!int`; `None` if the text does not fit it.
pub(super) fn resolve_tagged(text: &Arc<str>, tag: &str) -> Option<Value> {
    let value = resolve(text);
    match (tag, value) {
        ("str", _) => Some(Value::Text(Arc::clone(text))),
        ("null", Value::Null) => Some(Value::Null),
        ("bool", value @ Value::Bool(_)) => Some(value),
        ("int", value @ Value::Integer(_)) => Some(value),
        ("float", value @ Value::Float(_)) => Some(value),
        #[allow(clippy::cast_precision_loss)] // `!!float` asks for exactly this.
        ("float", Value::Integer(value)) => Some(Value::Float(value as f64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        resolve(&Arc::from(text))
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        assert_eq!(value("12"), Value::Integer(12));
        assert_eq!(value("-0x1"), Value::Text("-0x1".into()));
        assert_eq!(value("0x1F"), Value::Integer(31));
        assert_eq!(value("0o17"), Value::Integer(15));
        assert_eq!(value("007"), Value::Integer(7));
        assert_eq!(value("1.10"), Value::Float(1.1));
        assert_eq!(value(".5"), Value::Float(0.5));
        assert_eq!(value("1e3"), Value::Float(1000.0));
        assert_eq!(value("99999999999999999999"), Value::Float(1e20));
        for text in ["inf", "nan", "yes", "no", "06:00", "1.4.0", "1-2", "e", ".", "+", "1_000"] {
            assert_eq!(value(text), Value::Text(text.into()), "{text}");
        }
        assert_eq!(value("~"), Value::Null);
        assert!(matches!(value(".nan"), Value::Float(n) if n.is_nan()));
    }
}
