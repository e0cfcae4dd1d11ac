//! From raw values to engineering ones: scale and offset or two ranges, clamping, and the raw
//! values that mean "no reading".

use crate::value::{Order, Value, ValueError, ValueType};

/// How a raw number becomes an engineering one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// raw × scale + offset.
    Linear { scale: f64, offset: f64 },
    /// The raw range onto the engineering range, each (low, high); the engineering one may fall.
    /// `clamp` holds the result inside the engineering range, otherwise it is extrapolated.
    Range { raw: (f64, f64), engineering: (f64, f64), clamp: bool },
}

/// A conversion that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScalingError {
    #[error("`{0}` is no number and cannot be scaled: remove the scale or change the type")]
    NotANumber(ValueType),
    #[error("with the scale {scale} no value can be computed both ways: give a finite number other than 0")]
    Scale { scale: f64 },
    #[error("the offset {offset} is not finite: give a number")]
    Offset { offset: f64 },
    #[error("`{name}` [{low}, {high}] is no range: give two finite numbers that differ")]
    Range { name: &'static str, low: f64, high: f64 },
    #[error(
        "the sentinel {sentinel} is nothing that `{kind}` can hold: write it as the type reads it, such as -1 for an i16 of 0xffff"
    )]
    Sentinel { kind: ValueType, sentinel: Value },
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// What a raw value says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    Value(Value),
    /// The raw value is one of the sentinels: the device has no reading.
    Sentinel(Value),
}

/// The conversion of one tag, checked when it is made so that applying it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    kind: ValueType,
    scaling: Option<Scaling>,
    sentinels: Vec<Value>,
}

impl Conversion {
    /// `sentinels` are raw values, as the type reads them before scaling.
    pub fn new(kind: ValueType, scaling: Option<Scaling>, sentinels: &[Value]) -> Result<Self, ScalingError> {
        if let Some(scaling) = &scaling {
            if !kind.is_number() {
                return Err(ScalingError::NotANumber(kind));
            }
            scaling.check()?;
        }
        // Through the registers and back, so that -9999.9 becomes what an f32 makes of it.
        let sentinels = sentinels
            .iter()
            .map(|sentinel| {
                let unfit = || ScalingError::Sentinel { kind, sentinel: sentinel.clone() };
                let whole = match sentinel {
                    Value::Float(x) => whole(kind, *x).ok_or_else(unfit)?,
                    other => other.clone(),
                };
                let mut registers = vec![0; kind.registers().into()];
                kind.encode(Order::Abcd, &whole, &mut registers).map_err(|_| unfit())?;
                kind.decode(Order::Abcd, &registers).map_err(|_| unfit())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { kind, scaling, sentinels })
    }

    /// The reading of a raw value. Scaled values are [`Value::Float`]; others stay as they are.
    #[must_use]
    pub fn apply(&self, raw: Value) -> Reading {
        if self.sentinels.iter().any(|sentinel| same(sentinel, &raw)) {
            return Reading::Sentinel(raw);
        }
        let number = match (&self.scaling, &raw) {
            (Some(_), Value::Int(n)) => *n as f64,
            (Some(_), Value::Uint(n)) => *n as f64,
            (Some(_), Value::Float(x)) => *x,
            _ => return Reading::Value(raw),
        };
        let scaled = self.scaling.as_ref().map_or(number, |scaling| scaling.forward(number));
        Reading::Value(Value::Float(scaled))
    }

    /// The raw value for an engineering one, rounded for integer types: what a simulator puts in
    /// its registers, or a set-point write sends. Fails where the type cannot hold it.
    pub fn raw(&self, engineering: &Value) -> Result<Value, ScalingError> {
        let number = match engineering {
            Value::Float(x) => *x,
            Value::Int(n) if self.scaling.is_some() => *n as f64,
            Value::Uint(n) if self.scaling.is_some() => *n as f64,
            other => return Ok(other.clone()),
        };
        let raw = self.scaling.as_ref().map_or(number, |scaling| scaling.backward(number));
        let unfit = || ValueError::Unfit { kind: self.kind, value: Value::Float(raw) };
        let rounded = if self.kind.integers().is_some() { raw.round() } else { raw };
        Ok(whole(self.kind, rounded).ok_or_else(unfit)?)
    }
}

impl Scaling {
    fn check(&self) -> Result<(), ScalingError> {
        // Both ways: what is divided by must not be 0, nor so small that the quotient is infinite.
        let divides = |x: f64| x.is_finite() && (1.0 / x).is_finite();
        match *self {
            Self::Linear { scale, .. } if !divides(scale) => Err(ScalingError::Scale { scale }),
            Self::Linear { offset, .. } if !offset.is_finite() => Err(ScalingError::Offset { offset }),
            Self::Linear { .. } => Ok(()),
            Self::Range { raw, engineering, .. } => {
                let named = [("raw", raw), ("engineering", engineering)];
                match named.into_iter().find(|(_, (low, high))| !divides(high - low)) {
                    Some((name, (low, high))) => Err(ScalingError::Range { name, low, high }),
                    None => Ok(()),
                }
            }
        }
    }

    fn forward(&self, x: f64) -> f64 {
        match *self {
            Self::Linear { scale, offset } => x * scale + offset,
            Self::Range { raw, engineering: (low, high), clamp } => {
                let y = low + (x - raw.0) / (raw.1 - raw.0) * (high - low);
                // A NaN passes, for the checks downstream to see.
                if clamp { y.clamp(low.min(high), low.max(high)) } else { y }
            }
        }
    }

    fn backward(&self, y: f64) -> f64 {
        match *self {
            Self::Linear { scale, offset } => (y - offset) / scale,
            Self::Range { raw: (low, high), engineering, .. } => {
                low + (y - engineering.0) / (engineering.1 - engineering.0) * (high - low)
            }
        }
    }
}

/// `x` as the type's kind of value, or `None` where the type holds integers and `x` is none of
/// them.
fn whole(kind: ValueType, x: f64) -> Option<Value> {
    let Some(range) = kind.integers() else {
        return Some(Value::Float(x));
    };
    let n = x as i128;
    if n as f64 != x || !range.contains(&n) {
        return None;
    }
    Some(if kind == ValueType::U64 { Value::Uint(n as u64) } else { Value::Int(n as i64) })
}

fn same(a: &Value, b: &Value) -> bool {
    matches!((a, b), (Value::Float(a), Value::Float(b)) if a.is_nan() && b.is_nan()) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Float, Int, Uint};

    fn range(raw: (f64, f64), engineering: (f64, f64), clamp: bool) -> Option<Scaling> {
        Some(Scaling::Range { raw, engineering, clamp })
    }

    #[test]
    fn scales_both_ways() {
        let tenths = Some(Scaling::Linear { scale: 0.1, offset: -40.0 });
        let cases = [
            (ValueType::I16, tenths, Int(900), 50.0),
            (ValueType::U16, range((0.0, 4095.0), (0.0, 5000.0), false), Int(4095), 5000.0),
            (ValueType::U16, range((800.0, 4000.0), (100.0, 0.0), true), Int(1600), 75.0),
            (ValueType::U64, range((0.0, 10.0), (0.0, 1.0), true), Uint(10), 1.0),
            (ValueType::F32, range((4.0, 20.0), (0.0, 200.0), false), Float(21.6), 220.0),
        ];
        for (kind, scaling, raw, expected) in cases {
            let conversion = Conversion::new(kind, scaling, &[]).unwrap();
            let Reading::Value(Float(got)) = conversion.apply(raw.clone()) else { panic!("{raw:?}") };
            assert!((got - expected).abs() < 1e-9, "{raw:?}: {got}");
            match (conversion.raw(&Float(expected)).unwrap(), raw) {
                (Float(got), Float(raw)) => assert!((got - raw).abs() < 1e-9),
                (got, raw) => assert_eq!(got, raw),
            }
        }
        let clamped = Conversion::new(ValueType::U16, range((800.0, 4000.0), (100.0, 0.0), true), &[]).unwrap();
        assert_eq!(clamped.apply(Int(0)), Reading::Value(Float(100.0)));
        assert_eq!(clamped.apply(Int(65535)), Reading::Value(Float(0.0)));
        assert!(clamped.raw(&Float(1e9)).is_err());
    }

    #[test]
    fn sentinels_are_compared_as_the_type_reads_them() {
        let f32s = Conversion::new(ValueType::F32, None, &[Float(-9999.9), Float(f64::NAN)]).unwrap();
        assert_eq!(f32s.apply(Float((-9999.9f32).into())), Reading::Sentinel(Float((-9999.9f32).into())));
        assert!(matches!(f32s.apply(Float(f64::NAN)), Reading::Sentinel(_)));
        assert_eq!(f32s.apply(Float(1.0)), Reading::Value(Float(1.0)));
        let tenths = Some(Scaling::Linear { scale: 0.1, offset: 0.0 });
        let i16s = Conversion::new(ValueType::I16, tenths, &[Int(-32768), Float(32767.0)]).unwrap();
        assert!(matches!(i16s.apply(Int(-32768)), Reading::Sentinel(_)));
        assert!(matches!(i16s.apply(Int(32767)), Reading::Sentinel(_)));
        let u64s = Conversion::new(ValueType::U64, None, &[Uint(u64::MAX)]).unwrap();
        assert!(matches!(u64s.apply(Uint(u64::MAX)), Reading::Sentinel(_)));
        assert_eq!(u64s.apply(Uint(u64::MAX - 1)), Reading::Value(Uint(u64::MAX - 1)));
    }

    #[test]
    fn refuses_what_cannot_work() {
        let linear = |scale| Some(Scaling::Linear { scale, offset: 0.0 });
        assert!(Conversion::new(ValueType::U16, linear(0.0), &[]).is_err());
        assert!(Conversion::new(ValueType::U16, linear(f64::NAN), &[]).is_err());
        assert!(Conversion::new(ValueType::U16, range((5.0, 5.0), (0.0, 1.0), true), &[]).is_err());
        assert!(Conversion::new(ValueType::Bool, linear(1.0), &[]).is_err());
        assert!(Conversion::new(ValueType::I16, None, &[Int(65535)]).is_err());
        assert!(Conversion::new(ValueType::I16, None, &[Float(0.5)]).is_err());
    }

    #[test]
    fn says_what_was_written() {
        let text =
            |kind, scaling, sentinels: &[Value]| Conversion::new(kind, scaling, sentinels).unwrap_err().to_string();
        let sentinel = text(ValueType::I16, None, &[Int(65535)]);
        assert!(sentinel.starts_with("the sentinel 65535 is nothing that `i16` can hold: "), "{sentinel}");
        let empty = text(ValueType::U16, range((5.0, 5.0), (0.0, 1.0), true), &[]);
        assert_eq!(empty, "`raw` [5, 5] is no range: give two finite numbers that differ");
        let none = text(ValueType::U16, Some(Scaling::Linear { scale: 0.0, offset: 0.0 }), &[]);
        assert!(none.starts_with("with the scale 0 "), "{none}");
        let long = |text: &str| text.parse::<ValueType>().unwrap_err().to_string();
        for (written, said) in [
            ("string(126)", "125 registers"),
            ("utf16(70000)", "1 to 125"),
            ("string(0)", "1 to 125"),
            ("bit(16)", "0, the lowest, to 15"),
            ("string(x)", "is not a type"),
        ] {
            assert!(long(written).contains(said), "{}", long(written));
        }
    }
}
