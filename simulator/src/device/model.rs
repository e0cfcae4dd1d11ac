//! The models of devices: which variable stands where, and how it is written there.

use modbus::{Address, Addressing, Order, Table, Value, ValueType};

use crate::variables::{self, Variable};

/// A type of device, with its register map.
#[derive(Debug)]
pub struct Model {
    /// As scenarios name it: `esp-controller`.
    pub name: &'static str,
    pub about: &'static str,
    pub on: Equipment,
    /// Order of the bytes of values in several registers, as sites write it.
    pub order: &'static str,
    pub points: &'static [Point],
}

/// What a device stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equipment {
    Well,
    Separator,
}

impl Equipment {
    /// What is measured on it.
    pub fn variables(self) -> &'static [Variable] {
        match self {
            Self::Well => variables::WELL,
            Self::Separator => variables::SEPARATOR,
        }
    }
}

/// A variable in a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Name of the variable.
    pub variable: &'static str,
    pub table: Table,
    /// 0-based, as on the wire.
    pub offset: u16,
    pub kind: ValueType,
    pub scale: Scale,
}

/// How a value becomes a raw number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// As it is.
    One,
    /// Value = raw · this.
    Times(f64),
    /// Raw 0 to the first is the value's 0 to the second.
    Range(f64, f64),
}

impl Point {
    const fn holding(variable: &'static str, number: u16, kind: ValueType, scale: Scale) -> Self {
        Self { variable, table: Table::HoldingRegisters, offset: number - 40_001, kind, scale }
    }

    const fn input(variable: &'static str, number: u16, kind: ValueType, scale: Scale) -> Self {
        Self { variable, table: Table::InputRegisters, offset: number - 30_001, kind, scale }
    }

    const fn discrete(variable: &'static str, number: u16) -> Self {
        let kind = ValueType::Bool;
        Self { variable, table: Table::DiscreteInputs, offset: number - 10_001, kind, scale: Scale::One }
    }

    /// The address as people write it: `40001`.
    pub fn address(&self) -> String {
        Address { table: self.table, offset: self.offset }.in_notation(Addressing::FiveDigits)
    }

    /// The raw number that stands for "no reading", where the type has no NaN.
    pub fn sentinel(&self) -> Option<i64> {
        match self.kind {
            ValueType::I16 => Some(i16::MIN.into()),
            ValueType::U16 => Some(u16::MAX.into()),
            ValueType::U32 => Some(u32::MAX.into()),
            _ => None,
        }
    }

    /// The registers, or the bit, of a value. What is larger than the type can say is the largest it can say, as
    /// converters do it; NaN is the sentinel.
    pub(crate) fn registers(&self, value: f64, order: Order) -> Vec<u16> {
        let raw = match self.scale {
            Scale::One => value,
            Scale::Times(step) => value / step,
            Scale::Range(raw, engineering) => value / engineering * raw,
        };
        let value = match self.kind.integers() {
            _ if self.kind == ValueType::Bool => Value::Bool(raw != 0.0),
            None => Value::Float(raw),
            Some(_) if raw.is_nan() => Value::Int(self.sentinel().unwrap_or(0)),
            Some(range) => {
                let (low, high) = (*range.start() as f64, *range.end() as f64);
                Value::Int(raw.round().clamp(low, high) as i64)
            }
        };
        let mut registers = vec![0; self.kind.registers().into()];
        // The value was made for the type just above.
        let _ = self.kind.encode(order, &value, &mut registers);
        registers
    }
}

impl Model {
    pub(crate) fn byte_order(&self) -> Order {
        self.order.parse().unwrap_or_default()
    }

    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }
}

use Scale::{One, Range, Times};
use ValueType::{F32, I16, U16, U32};

/// Every model.
pub const MODELS: &[Model] = &[
    Model {
        name: "esp-controller",
        about: "Controller of an electric submersible pump: floats in holding registers, the lower half first",
        on: Equipment::Well,
        order: "CDAB",
        points: &[
            Point::holding("THP", 40_001, F32, One),
            Point::holding("CHP", 40_003, F32, One),
            Point::holding("FLT", 40_005, F32, One),
            Point::holding("ESP_CURRENT", 40_007, F32, One),
            Point::holding("ESP_FREQUENCY", 40_009, F32, One),
            Point::holding("OIL_RATE", 40_011, F32, One),
            Point::holding("WATER_RATE", 40_013, F32, One),
            Point::holding("GAS_RATE", 40_015, F32, One),
            Point::holding("PIP", 40_017, F32, One),
            Point::holding("PDP", 40_019, F32, One),
            Point::holding("MOTOR_TEMP", 40_021, F32, One),
            Point::holding("ESP_VOLTAGE", 40_023, F32, One),
            Point::holding("VIBRATION", 40_025, F32, One),
            Point::holding("CHOKE", 40_027, F32, One),
            Point::holding("FLP", 40_029, F32, One),
            Point::holding("RUN_HOURS", 40_041, U32, One),
            Point::holding("STARTS", 40_043, U16, One),
            Point::discrete("RUN", 10_001),
            Point::discrete("ON_TEST", 10_002),
        ],
    },
    Model {
        name: "well-rtu",
        about: "Old remote terminal unit of a well: scaled 16-bit integers in input registers",
        on: Equipment::Well,
        order: "ABCD",
        points: &[
            Point::input("THP", 30_001, U16, Times(0.1)),
            Point::input("CHP", 30_002, U16, Times(0.1)),
            Point::input("FLP", 30_003, U16, Times(0.1)),
            Point::input("FLT", 30_004, I16, Times(0.1)),
            Point::input("ESP_CURRENT", 30_005, U16, Times(0.01)),
            Point::input("ESP_FREQUENCY", 30_006, U16, Times(0.01)),
            // A 4 to 20 mA transmitter on a converter of 12 bits.
            Point::input("PIP", 30_007, U16, Range(4_095.0, 5_000.0)),
            Point::input("CHOKE", 30_008, U16, Times(0.1)),
            Point::input("OIL_RATE", 30_009, U16, One),
            Point::input("WATER_RATE", 30_010, U16, One),
            Point::input("GAS_RATE", 30_011, U16, One),
            Point::discrete("RUN", 10_001),
            Point::discrete("ON_TEST", 10_002),
        ],
    },
    Model {
        name: "separator-rtu",
        about: "Remote terminal unit of a separator: scaled 16-bit integers, totals of 32 bits, and switches",
        on: Equipment::Separator,
        order: "ABCD",
        points: &[
            Point::holding("PRESSURE", 40_001, U16, Times(0.1)),
            Point::holding("TEMP", 40_002, I16, Times(0.1)),
            Point::holding("LEVEL", 40_003, U16, Times(0.01)),
            Point::holding("WATER_LEVEL", 40_004, U16, Times(0.01)),
            Point::holding("OIL_RATE", 40_005, U16, One),
            Point::holding("WATER_RATE", 40_006, U16, One),
            Point::holding("GAS_RATE", 40_007, U16, One),
            Point::holding("WELL_ON_TEST", 40_008, U16, One),
            Point::holding("OIL_TOTAL", 40_011, U32, One),
            Point::holding("WATER_TOTAL", 40_013, U32, One),
            Point::holding("GAS_TOTAL", 40_015, U32, One),
            Point::discrete("LEVEL_HIGH", 10_001),
            Point::discrete("LEVEL_LOW", 10_002),
        ],
    },
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn maps_name_variables_that_are_there_and_nothing_lies_on_anything() {
        for model in MODELS {
            let mut taken = std::collections::BTreeSet::new();
            let variables = model.on.variables();
            assert!(model.order.parse::<Order>().is_ok());
            for point in model.points {
                assert!(variables.iter().any(|variable| variable.name == point.variable), "{point:?}");
                for register in point.offset..point.offset + point.kind.registers() {
                    assert!(taken.insert((point.table, register)), "{} lies on something", point.variable);
                }
            }
        }
    }

    #[test]
    fn values_that_do_not_fit_are_the_largest_that_do() {
        let point = |kind, scale| Point { variable: "X", table: Table::HoldingRegisters, offset: 0, kind, scale };
        let thp = point(U16, Times(0.1));
        assert_eq!(thp.registers(245.04, Order::Abcd), [2_450]);
        assert_eq!(thp.registers(9_999.0, Order::Abcd), [65_535]);
        assert_eq!(thp.registers(-3.0, Order::Abcd), [0]);
        assert_eq!(thp.registers(f64::NAN, Order::Abcd), [65_535]);
        assert_eq!(point(I16, Times(0.1)).registers(-12.3, Order::Abcd), [(-123i16) as u16]);
        assert_eq!(point(U16, Range(4_095.0, 5_000.0)).registers(2_500.0, Order::Abcd), [2_048]);
        assert_eq!(point(U32, One).registers(70_000.4, Order::Cdab), [4_464, 1]);
        let nan = point(F32, One).registers(f64::NAN, Order::Abcd);
        assert!(f32::from_bits(u32::from(nan[0]) << 16 | u32::from(nan[1])).is_nan());
        assert_eq!(point(ValueType::Bool, One).registers(1.0, Order::Abcd), [1]);
    }
}
