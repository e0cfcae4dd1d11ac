//! Values in registers: their types, the orders their bytes come in, and both ways between.

use std::fmt;
use std::str::FromStr;

use half::f16;

/// What registers hold. `as:` in a configuration writes these like `f32`, `bit(3)`, `string(8)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A coil or discrete input; of a register, whether it is not 0.
    Bool,
    /// Bit 0 (lowest) to 15 of a register.
    Bit(u8),
    /// The low byte of a register, or the high one where the order swaps bytes.
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
    /// Four decimal digits in one register.
    Bcd16,
    /// Eight decimal digits in two registers.
    Bcd32,
    /// Text in this many registers, two bytes each: UTF-8, or Latin-1 where it is none.
    String(u16),
    /// Latin-1 text, two characters a register.
    Latin1(u16),
    /// Text with one character a register, in UTF-16: also what devices send that use only one byte of each.
    Utf16(u16),
}

/// The order of a value's bytes on the wire, `A` being the most significant.
///
/// A connection has one order for all its values, so each is defined for every width. 32-bit
/// values take the first four letters that make sense for them, 16-bit ones only care whether the
/// two bytes of a register are swapped. Texts keep their registers in place and swap bytes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// ABCD, ABCDEFGH: big-endian, what the specification says.
    #[default]
    Abcd,
    /// DCBA, HGFEDCBA: little-endian.
    Dcba,
    /// BADC, BADCFEHG: bytes of each register swapped.
    Badc,
    /// CDAB, GHEFCDAB: registers reversed.
    Cdab,
    /// CDABGHEF: registers swapped in each half of 64 bits; CDAB for 32.
    Cdabghef,
    /// EFGHABCD: halves of 64 bits swapped; ABCD for 32.
    Efghabcd,
}

/// Every order under each of its names.
pub const ORDERS: [(&str, Order); 10] = [
    ("ABCD", Order::Abcd),
    ("DCBA", Order::Dcba),
    ("BADC", Order::Badc),
    ("CDAB", Order::Cdab),
    ("ABCDEFGH", Order::Abcd),
    ("HGFEDCBA", Order::Dcba),
    ("BADCFEHG", Order::Badc),
    ("GHEFCDAB", Order::Cdab),
    ("CDABGHEF", Order::Cdabghef),
    ("EFGHABCD", Order::Efghabcd),
];

/// A value read from registers or bits.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    /// Every integer type but `u64`, and BCD.
    Int(i64),
    Uint(u64),
    /// `f16` and `f32` too, widened without loss.
    Float(f64),
    Text(String),
}

/// A coil or discrete input.
impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Bool(on)
    }
}

/// A value that does not go into, or come out of, registers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ValueError {
    #[error("`{kind}` takes {expected} registers and {got} are given: check the address and the type")]
    Registers { kind: ValueType, expected: u16, got: usize },
    #[error("register {register:#06x} is no BCD, each hex digit of which is 0 to 9: check the type and the order")]
    Bcd { register: u16 },
    #[error("{value:?} does not fit `{kind}`: give a value the type can hold")]
    Unfit { kind: ValueType, value: Value },
    #[error(
        "`{0}` is not a type: use bool, bit(0) to bit(15), i8 to i64, u8 to u64, f16, f32, f64, bcd16, bcd32, or for texts string(n), latin1(n) or utf16(n) of 1 to 125 registers"
    )]
    Type(String),
    #[error(
        "`{0}` is not an order: use ABCD, DCBA, BADC, CDAB, or for 64 bits ABCDEFGH, HGFEDCBA, BADCFEHG, GHEFCDAB, CDABGHEF, EFGHABCD"
    )]
    Order(String),
}

impl FromStr for Order {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let named = ORDERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, order)| *order).ok_or_else(|| ValueError::Order(text.to_owned()))
    }
}

/// As it is written: `CDAB`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ORDERS.iter().find(|(_, order)| order == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Order {
    fn swaps_bytes(self) -> bool {
        matches!(self, Self::Dcba | Self::Badc)
    }

    /// Between big-endian and this order, in place. Each order is its own inverse, so this serves
    /// both ways.
    fn arrange(self, registers: &mut [u16]) {
        if self.swaps_bytes() {
            registers.iter_mut().for_each(|register| *register = register.swap_bytes());
        }
        match (self, registers.len()) {
            (Self::Dcba | Self::Cdab, _) | (Self::Cdabghef, 2) => registers.reverse(),
            (Self::Cdabghef, 4) => registers.chunks_mut(2).for_each(<[u16]>::reverse),
            (Self::Efghabcd, 4) => registers.rotate_left(2),
            _ => {}
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bit(bit) => write!(f, "bit({bit})"),
            Self::String(registers) => write!(f, "string({registers})"),
            Self::Latin1(registers) => write!(f, "latin1({registers})"),
            Self::Utf16(registers) => write!(f, "utf16({registers})"),
            other => f.write_str(&format!("{other:?}").to_lowercase()),
        }
    }
}

impl FromStr for ValueType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unknown = || ValueError::Type(text.to_owned());
        let plain = [
            Self::Bool,
            Self::I8,
            Self::U8,
            Self::I16,
            Self::U16,
            Self::I32,
            Self::U32,
            Self::I64,
            Self::U64,
            Self::F16,
            Self::F32,
            Self::F64,
            Self::Bcd16,
            Self::Bcd32,
        ];
        if let Some(kind) = plain.into_iter().find(|kind| kind.to_string() == text) {
            return Ok(kind);
        }
        let (name, number) = text.strip_suffix(')').and_then(|t| t.split_once('(')).ok_or_else(unknown)?;
        let number: u8 = number.parse().map_err(|_| unknown())?;
        match (name, number) {
            ("bit", 0..=15) => Ok(Self::Bit(number)),
            ("string", 1..=125) => Ok(Self::String(number.into())),
            ("latin1", 1..=125) => Ok(Self::Latin1(number.into())),
            ("utf16", 1..=125) => Ok(Self::Utf16(number.into())),
            _ => Err(unknown()),
        }
    }
}

impl ValueType {
    /// How many registers the type takes; for [`Self::Bool`] of a bit table, how many bits.
    #[must_use]
    pub fn registers(self) -> u16 {
        match self {
            Self::Bool | Self::Bit(_) | Self::I8 | Self::U8 | Self::I16 | Self::U16 | Self::F16 | Self::Bcd16 => 1,
            Self::I32 | Self::U32 | Self::F32 | Self::Bcd32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::String(registers) | Self::Latin1(registers) | Self::Utf16(registers) => registers,
        }
    }

    /// Whether values are texts.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::String(_) | Self::Latin1(_) | Self::Utf16(_))
    }

    /// Whether values are numbers, which can be scaled.
    #[must_use]
    pub fn is_number(self) -> bool {
        !(self.is_text() || matches!(self, Self::Bool | Self::Bit(_)))
    }

    fn exactly(self, got: usize) -> Result<(), ValueError> {
        let expected = self.registers();
        if got == usize::from(expected) { Ok(()) } else { Err(ValueError::Registers { kind: self, expected, got }) }
    }

    /// The value in `registers`, of which there are exactly [`Self::registers`].
    pub fn decode(self, order: Order, registers: &[u16]) -> Result<Value, ValueError> {
        self.exactly(registers.len())?;
        if self.is_text() {
            return Ok(Value::Text(text(self, order, registers)));
        }
        let mut words = [0; 4];
        let words = &mut words[..registers.len()];
        words.copy_from_slice(registers);
        order.arrange(words);
        let bits = words.iter().fold(0u64, |bits, word| bits << 16 | u64::from(*word));
        Ok(match self {
            Self::Bool => Value::Bool(bits != 0),
            Self::Bit(bit) => Value::Bool(bits >> (bit & 15) & 1 == 1),
            Self::I8 => Value::Int((bits as i8).into()),
            Self::U8 => Value::Int((bits as u8).into()),
            Self::I16 => Value::Int((bits as i16).into()),
            Self::I32 => Value::Int((bits as i32).into()),
            Self::U16 | Self::U32 => Value::Int(bits as i64),
            Self::I64 => Value::Int(bits as i64),
            Self::U64 => Value::Uint(bits),
            Self::F16 => Value::Float(f16::from_bits(bits as u16).to_f64()),
            Self::F32 => Value::Float(f32::from_bits(bits as u32).into()),
            Self::F64 => Value::Float(f64::from_bits(bits)),
            Self::Bcd16 | Self::Bcd32 => Value::Int(from_bcd(words)?),
            Self::String(_) | Self::Latin1(_) | Self::Utf16(_) => Value::Text(String::new()),
        })
    }

    /// Writes `value` into `registers`, of which there are exactly [`Self::registers`]. A bit or a
    /// byte leaves the rest of its register as it was; a text is padded with NUL.
    pub fn encode(self, order: Order, value: &Value, registers: &mut [u16]) -> Result<(), ValueError> {
        self.exactly(registers.len())?;
        let unfit = || ValueError::Unfit { kind: self, value: value.clone() };
        let first = registers.first().copied().unwrap_or(0);
        let old = if order.swaps_bytes() { first.swap_bytes() } else { first };
        let bits = match (self, value) {
            (Self::String(_) | Self::Latin1(_) | Self::Utf16(_), Value::Text(text)) => {
                return write_text(self, order, text, registers).ok_or_else(unfit);
            }
            (Self::Bool, Value::Bool(on)) => u64::from(*on),
            (Self::Bit(bit), Value::Bool(on)) => {
                let one = 1 << (bit & 15);
                u64::from(if *on { old | one } else { old & !one })
            }
            (Self::F16, Value::Float(x)) => f16::from_f64(*x).to_bits().into(),
            (Self::F32, Value::Float(x)) => (*x as f32).to_bits().into(),
            (Self::F64, Value::Float(x)) => x.to_bits(),
            (_, Value::Int(_) | Value::Uint(_)) => {
                let n = match value {
                    Value::Uint(n) => i128::from(*n),
                    Value::Int(n) => i128::from(*n),
                    _ => return Err(unfit()),
                };
                if matches!(self, Self::F16 | Self::F32 | Self::F64) {
                    return self.encode(order, &Value::Float(n as f64), registers);
                }
                if !self.integers().is_some_and(|range| range.contains(&n)) {
                    return Err(unfit());
                }
                match self {
                    Self::Bcd16 | Self::Bcd32 => to_bcd(n as u32),
                    Self::I8 | Self::U8 => u64::from(old & 0xff00 | u16::from(n as u8)),
                    _ => n as u64,
                }
            }
            _ => return Err(unfit()),
        };
        let mut rest = bits;
        for register in registers.iter_mut().rev() {
            *register = rest as u16;
            rest >>= 16;
        }
        order.arrange(registers);
        Ok(())
    }

    /// The integers the type holds, or `None` where it holds none.
    #[must_use]
    pub fn integers(self) -> Option<std::ops::RangeInclusive<i128>> {
        Some(match self {
            Self::I8 => i8::MIN.into()..=i8::MAX.into(),
            Self::U8 => 0..=u8::MAX.into(),
            Self::I16 => i16::MIN.into()..=i16::MAX.into(),
            Self::U16 => 0..=u16::MAX.into(),
            Self::I32 => i32::MIN.into()..=i32::MAX.into(),
            Self::U32 => 0..=u32::MAX.into(),
            Self::I64 => i64::MIN.into()..=i64::MAX.into(),
            Self::U64 => 0..=u64::MAX.into(),
            Self::Bcd16 => 0..=9999,
            Self::Bcd32 => 0..=99_999_999,
            _ => return None,
        })
    }
}

fn from_bcd(words: &[u16]) -> Result<i64, ValueError> {
    let mut number = 0;
    for word in words {
        for shift in [12, 8, 4, 0] {
            let digit = word >> shift & 0xf;
            if digit > 9 {
                return Err(ValueError::Bcd { register: *word });
            }
            number = number * 10 + i64::from(digit);
        }
    }
    Ok(number)
}

fn to_bcd(number: u32) -> u64 {
    (0..8).fold(0, |bits, digit| bits | u64::from(number / 10u32.pow(digit) % 10) << (4 * digit))
}

/// Text up to the first NUL, without trailing spaces; bytes that are not UTF-8 are read as Latin-1,
/// which old controllers send.
fn text(kind: ValueType, order: Order, registers: &[u16]) -> String {
    let words = registers.iter().map(|word| if order.swaps_bytes() { word.swap_bytes() } else { *word });
    let text = match kind {
        ValueType::Utf16(_) => {
            let characters = char::decode_utf16(words.take_while(|word| *word != 0));
            characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => {
            let bytes: Vec<u8> = words.flat_map(u16::to_be_bytes).take_while(|byte| *byte != 0).collect();
            let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
            match kind {
                ValueType::Latin1(_) => latin(&bytes),
                _ => String::from_utf8(bytes).unwrap_or_else(|error| latin(error.as_bytes())),
            }
        }
    };
    text.trim_end_matches(' ').to_owned()
}

/// `None` where the text does not fit, or has characters that the type cannot hold.
fn write_text(kind: ValueType, order: Order, text: &str, registers: &mut [u16]) -> Option<()> {
    if text.contains('\0') {
        return None;
    }
    let words: Vec<u16> = match kind {
        ValueType::Utf16(_) => text.encode_utf16().collect(),
        _ => {
            let bytes: Vec<u8> = match kind {
                ValueType::Latin1(_) => {
                    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect::<Option<_>>()?
                }
                _ => text.as_bytes().to_vec(),
            };
            let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            bytes.chunks(2).map(word).collect()
        }
    };
    if words.len() > registers.len() {
        return None;
    }
    for (index, register) in registers.iter_mut().enumerate() {
        let word = words.get(index).copied().unwrap_or(0);
        *register = if order.swaps_bytes() { word.swap_bytes() } else { word };
    }
    Some(())
}
