//! How people write Modbus addresses, and what goes on the wire for them.
//!
//! On the wire an address is a table (chosen by the function) and a 0-based offset. Manuals write
//! it 0-based, 1-based, or with a leading digit for the table: `40001` and `400001` are both the
//! first holding register. Five digits end at 9999, six reach every register.

use std::fmt;
use std::str::FromStr;

/// The tables of a Modbus device: the four of the specification, and Enron's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Bits that can be written (leading digit 0).
    Coils,
    /// Bits that can only be read (leading digit 1).
    DiscreteInputs,
    /// 16-bit registers that can only be read (leading digit 3).
    InputRegisters,
    /// 16-bit registers that can be written (leading digit 4).
    HoldingRegisters,
    /// Enron's holding registers of 32 bits, one address each. They are addressed like holding registers; which
    /// addresses are long the device's manual says.
    LongRegisters,
}

impl Table {
    /// Whether the table's entries are bits rather than 16-bit registers.
    #[must_use]
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coils | Self::DiscreteInputs)
    }

    fn digit(self) -> u32 {
        match self {
            Self::Coils => 0,
            Self::DiscreteInputs => 1,
            Self::InputRegisters => 3,
            Self::HoldingRegisters | Self::LongRegisters => 4,
        }
    }

    /// 16-bit words in one entry; 1 for bits too.
    #[must_use]
    pub fn words(self) -> u16 {
        if self == Self::LongRegisters { 2 } else { 1 }
    }

    fn from_digit(digit: u32) -> Option<Self> {
        Some(match digit {
            0 => Self::Coils,
            1 => Self::DiscreteInputs,
            3 => Self::InputRegisters,
            4 => Self::HoldingRegisters,
            _ => return None,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coils => "coil",
            Self::DiscreteInputs => "discrete input",
            Self::InputRegisters => "input register",
            Self::HoldingRegisters => "holding register",
            Self::LongRegisters => "long register",
        })
    }
}

/// The texts [`Table`] is written with in configurations.
pub const TABLES: [(&str, Table); 4] = [
    ("coil", Table::Coils),
    ("discrete", Table::DiscreteInputs),
    ("input", Table::InputRegisters),
    ("holding", Table::HoldingRegisters),
];

impl FromStr for Table {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let named = TABLES.iter().find(|(name, _)| *name == text);
        named.map(|(_, table)| *table).ok_or_else(|| AddressError::Table(text.to_owned()))
    }
}

/// The notation a device's addresses are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Addressing {
    /// 0-based offsets, as on the wire; the table is said beside the address.
    Zero,
    /// 1-based numbers; the table is said beside the address.
    One,
    /// Five digits, the first one the table. Six digits are understood too, as `465536` can mean
    /// nothing else.
    #[default]
    FiveDigits,
    /// Six digits, the first one the table. A coil above 9999 keeps its leading zero.
    SixDigits,
}

impl FromStr for Addressing {
    type Err = AddressError;

    /// `0`, `1`, `40001` or `400001`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "0" => Ok(Self::Zero),
            "1" => Ok(Self::One),
            "40001" => Ok(Self::FiveDigits),
            "400001" => Ok(Self::SixDigits),
            _ => Err(AddressError::Addressing(text.to_owned())),
        }
    }
}

/// A table and a 0-based offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub table: Table,
    pub offset: u16,
}

/// An address, or a word about addresses, that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address `{0}` is not a number of at most six digits: write it like `40001`")]
    NotANumber(String),
    #[error("the address `{text}` is outside {low} to {high}: check it against the device's list, and `addressing`")]
    OutOfRange { text: String, low: u32, high: u32 },
    #[error(
        "the address `{0}` names no table: the first digit is 0 (coils), 1 (discrete inputs), 3 (input registers) or 4 (holding registers); set `addressing` to 0 or 1 if it has no such digit"
    )]
    NoTable(String),
    #[error(
        "the address `{0}` has five digits where six are expected: set `addressing: 40001`, or write `0{0}` for a coil"
    )]
    FiveDigits(String),
    #[error("the address `{text}` is a {written} and the table beside it says {said}: remove one of the two")]
    OtherTable { text: String, written: Table, said: Table },
    #[error("`{0}` is not a table: use `coil`, `discrete`, `input` or `holding`")]
    Table(String),
    #[error("`{0}` is not a way of addressing: use 0, 1, 40001 or 400001")]
    Addressing(String),
}

impl Address {
    /// Reads `text` in a notation. `table` is what is said beside the address; without it, 0- and
    /// 1-based numbers are holding registers.
    pub fn parse(text: &str, addressing: Addressing, table: Option<Table>) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() || text.len() > 6 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::NotANumber(text.to_owned()));
        }
        let number: u32 = text.parse().map_err(|_| AddressError::NotANumber(text.to_owned()))?;
        let in_table = |number: u32, low: u32, high: u32, table: Table| {
            if !(low..=high).contains(&number) {
                return Err(AddressError::OutOfRange { text: text.to_owned(), low, high });
            }
            Ok(Self { table, offset: (number - low) as u16 })
        };
        let per_table = match addressing {
            Addressing::Zero => {
                return in_table(number, 0, 65535, table.unwrap_or(Table::HoldingRegisters));
            }
            Addressing::One => {
                return in_table(number, 1, 65536, table.unwrap_or(Table::HoldingRegisters));
            }
            Addressing::FiveDigits if text.len() < 6 => 10_000,
            Addressing::FiveDigits => 100_000,
            // A spreadsheet drops the zero of coil 040001: the number alone reads two ways.
            Addressing::SixDigits if text.len() == 5 && Table::from_digit(number / 10_000).is_some() => {
                return Err(AddressError::FiveDigits(text.to_owned()));
            }
            Addressing::SixDigits => 100_000,
        };
        let written = Table::from_digit(number / per_table).ok_or_else(|| AddressError::NoTable(text.to_owned()))?;
        if let Some(said) = table.filter(|said| *said != written) {
            return Err(AddressError::OtherTable { text: text.to_owned(), written, said });
        }
        let first = written.digit() * per_table + 1;
        in_table(number, first, first - 1 + (per_table - 1).min(65536), written)
    }

    /// The address in a notation, as [`Self::parse`] reads it: `400001`. An offset that five
    /// digits cannot hold is written with six.
    #[must_use]
    pub fn in_notation(self, addressing: Addressing) -> String {
        let number = u32::from(self.offset) + 1;
        match addressing {
            Addressing::Zero => self.offset.to_string(),
            Addressing::One => number.to_string(),
            Addressing::FiveDigits if number < 10_000 => {
                format!("{}{number:04}", self.table.digit())
            }
            Addressing::FiveDigits | Addressing::SixDigits => {
                format!("{}{number:05}", self.table.digit())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Addressing::{FiveDigits, One, SixDigits, Zero};
    use Table::{Coils, DiscreteInputs, HoldingRegisters, InputRegisters};

    #[test]
    fn notations() {
        let cases = [
            ("40001", FiveDigits, None, HoldingRegisters, 0),
            ("400001", FiveDigits, None, HoldingRegisters, 0),
            ("400001", SixDigits, None, HoldingRegisters, 0),
            ("49999", FiveDigits, None, HoldingRegisters, 9998),
            ("465536", FiveDigits, None, HoldingRegisters, 65535),
            ("465536", SixDigits, Some(HoldingRegisters), HoldingRegisters, 65535),
            ("30013", FiveDigits, None, InputRegisters, 12),
            ("10001", FiveDigits, None, DiscreteInputs, 0),
            ("1", FiveDigits, None, Coils, 0),
            ("00001", FiveDigits, None, Coils, 0),
            ("1", SixDigits, None, Coils, 0),
            ("040001", SixDigits, None, Coils, 40000),
            ("65536", SixDigits, None, Coils, 65535),
            ("0", Zero, None, HoldingRegisters, 0),
            ("65535", Zero, Some(InputRegisters), InputRegisters, 65535),
            ("40001", Zero, None, HoldingRegisters, 40001),
            ("65536", One, Some(Coils), Coils, 65535),
            ("1", One, None, HoldingRegisters, 0),
        ];
        for (text, addressing, table, expected, offset) in cases {
            let address = Address::parse(text, addressing, table).unwrap();
            assert_eq!((address.table, address.offset), (expected, offset), "{text}");
        }
        for addressing in [Zero, One, FiveDigits, SixDigits] {
            for (_, table) in TABLES {
                for offset in [0, 9998, 9999, 39999, 65535] {
                    let address = Address { table, offset };
                    let text = address.in_notation(addressing);
                    assert_eq!(Address::parse(&text, addressing, Some(table)), Ok(address), "{text}");
                }
            }
        }
    }

    #[test]
    fn refusals() {
        let bad = [
            ("", Zero, None),
            ("4x001", FiveDigits, None),
            ("-1", Zero, None),
            ("0400001", SixDigits, None),
            ("65536", Zero, None),
            ("0", One, None),
            ("0", FiveDigits, None),
            ("40000", FiveDigits, None),
            ("20001", FiveDigits, None),
            ("465537", SixDigits, None),
            ("40001", SixDigits, None),
            ("40001", FiveDigits, Some(InputRegisters)),
        ];
        for (text, addressing, table) in bad {
            assert!(Address::parse(text, addressing, table).is_err(), "{text} {addressing:?}");
        }
        assert!("5".parse::<Addressing>().is_err());
        assert_eq!("holding".parse(), Ok(HoldingRegisters));
    }
}
