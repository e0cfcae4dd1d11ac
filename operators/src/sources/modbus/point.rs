//! A tag as Modbus reads it: where it stands in the device, of what type, and how it becomes an engineering value.

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_record::ValueKind;
use modbus::value::Value as Raw;
use modbus::{Address, Addressing, Conversion, Item, Order, Scaling, ValueType};
use schemars::JsonSchema;
use serde::Deserialize;

use super::notation::{OrderName, TableName, TypeName};

/// The fields of a tag that belong to Modbus.
pub(super) const FIELDS: [&str; 12] =
    ["address", "table", "as", "order", "bit", "length", "scale", "offset", "raw", "engineering", "clamp", "sentinel"];

/// What a tag says about its place in a Modbus device.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagFields {
    /// Address in the connection's notation: `40001`.
    address: Spanned<String>,
    /// Table, where `addressing` is 0 or 1: `coil`, `discrete`, `input` or `holding` (the default).
    table: Option<TableName>,
    /// Type of the value: `bool`, `i8` to `i64`, `u8` to `u64`, `f16`, `f32`, `f64`, `bcd16`, `bcd32`, `bit(3)`,
    /// `string(8)` (of so many registers). Coils and discrete inputs are `bool` without it.
    #[serde(rename = "as")]
    kind: Option<Spanned<TypeName>>,
    /// Order of the bytes, where it is not the connection's.
    order: Option<OrderName>,
    /// Bit of the register, 0 (lowest) to 15; the value is then a boolean.
    bit: Option<Spanned<u8>>,
    /// Length of a text in characters, two a register; the value is then a text.
    length: Option<Spanned<u16>>,
    /// Engineering value = raw value · `scale` + `offset`.
    scale: Option<Spanned<f64>>,
    /// See `scale`.
    offset: Option<Spanned<f64>>,
    /// Range of raw values that becomes the range `engineering`: `[0, 4095]`.
    raw: Option<Spanned<[f64; 2]>>,
    /// Range of engineering values that `raw` becomes: `[0, 5000]`.
    engineering: Option<Spanned<[f64; 2]>>,
    /// Holds the value inside `engineering`; otherwise it goes on in a straight line.
    #[serde(default)]
    clamp: bool,
    /// Raw values that mean that there is no reading: the sample is then null and 16 (sensor failure).
    #[serde(default)]
    sentinel: Option<Spanned<Sentinels>>,
}

/// One raw value or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Sentinels {
    One(Number),
    Several(Vec<Number>),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Number {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
}

impl Number {
    fn raw(self) -> Raw {
        match self {
            Self::Integer(number) => Raw::Int(number),
            Self::Unsigned(number) => Raw::Uint(number),
            Self::Float(number) => Raw::Float(number),
        }
    }
}

/// A tag's place and meaning, checked.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) item: Item,
    pub(super) kind: ValueType,
    pub(super) order: Order,
    pub(super) conversion: Conversion,
    scaled: bool,
}

/// What the connection says about all its tags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) addressing: Addressing,
    pub(super) order: Order,
    /// Most registers that the device gives in one answer.
    pub(super) max_registers: u16,
}

impl Point {
    /// Reads a tag's fields; what is wrong is reported.
    pub(super) fn read(fields: &Node, defaults: Defaults, diagnostics: &mut Diagnostics) -> Option<Self> {
        let order = fields.get("order").map(|order| (order.place, order.written.len()));
        let fields: TagFields = decode(fields, diagnostics)?;
        let at = fields.address.place;
        let address = Address::parse(&fields.address, defaults.addressing, fields.table.map(|table| table.0));
        let address = diagnostics.take(address.map_err(|error| wrong(Code::AddressInvalid, &error, at)))?;
        let kind = diagnostics.take(fields.value_type(address))?;
        let bits = address.table.is_bits();
        if bits && kind != ValueType::Bool {
            let place = fields.kind.as_ref().map_or(at, |kind| kind.place);
            let message = format!("`{}` is a {}, which holds no `{kind}`", *fields.address, address.table);
            diagnostics.push(
                Diagnostic::new(Code::AddressInvalid, message).at(place).help("leave `as` away, or read a register"),
            );
            return None;
        }
        let count = kind.registers();
        if let Some((place, 8)) = order
            && count != 4
        {
            let message = format!("the order is of eight bytes, and `{kind}` has {}", count * 2);
            let help = "write four letters, such as `CDAB`";
            diagnostics.push(Diagnostic::new(Code::OrderUnfit, message).at(place).help(help));
            return None;
        }
        if usize::from(address.offset) + usize::from(count) > 65_536 {
            let message = format!("`{kind}` at `{}` goes past the table's last register", *fields.address);
            let help = format!("it takes {count} registers; check the address against the device's list");
            diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(at).help(help));
            return None;
        }
        if !bits && count > defaults.max_registers {
            let message =
                format!("`{kind}` takes {count} registers, and the device gives {} at once", defaults.max_registers);
            let help = "shorten it, or raise `max_registers`: parts read apart would not be one value";
            diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(at).help(help));
            return None;
        }
        let scaling = diagnostics.take(fields.scaling())?;
        let sentinels: Vec<Raw> = match fields.sentinel.as_deref() {
            None => Vec::new(),
            Some(Sentinels::One(number)) => vec![number.raw()],
            Some(Sentinels::Several(numbers)) => numbers.iter().map(|number| number.raw()).collect(),
        };
        let place = [
            fields.sentinel.as_ref().map(|field| field.place),
            fields.scale.as_ref().map(|field| field.place),
            fields.raw.as_ref().map(|field| field.place),
        ];
        let place = place.into_iter().flatten().next().unwrap_or(at);
        let conversion = Conversion::new(kind, scaling, &sentinels);
        let conversion = diagnostics.take(conversion.map_err(|error| wrong(Code::ScalingInvalid, &error, place)))?;
        Some(Self {
            item: Item { table: address.table, offset: address.offset, count },
            kind,
            order: fields.order.map_or(defaults.order, |order| order.0),
            conversion,
            scaled: scaling.is_some(),
        })
    }

    /// The kind of value that samples of this tag have.
    pub(super) fn value_kind(&self) -> ValueKind {
        match self.kind {
            ValueType::Bool | ValueType::Bit(_) => ValueKind::Bool,
            ValueType::String(_) => ValueKind::Text,
            ValueType::F16 | ValueType::F32 | ValueType::F64 => ValueKind::Float64,
            _ if self.scaled => ValueKind::Float64,
            _ => ValueKind::Int64,
        }
    }
}

fn wrong(code: Code, error: &dyn std::fmt::Display, place: Place) -> Diagnostic {
    // The protocol crate's messages end in what the reader can do, behind a colon.
    let text = error.to_string();
    match text.rsplit_once(": ") {
        Some((message, help)) => Diagnostic::new(code, message).at(place).help(help),
        None => Diagnostic::new(code, text).at(place),
    }
}

impl TagFields {
    fn value_type(&self, address: Address) -> Result<ValueType, Diagnostic> {
        let kind = self.kind.as_ref().map(|kind| kind.value.0);
        let clash = |place, what: &str| {
            let kind = kind.map(|kind| kind.to_string()).unwrap_or_default();
            Diagnostic::new(Code::AddressInvalid, format!("`{what}` does not go with `as: {kind}`"))
                .at(place)
                .help(format!("remove one of the two; `{what}` alone says the type"))
        };
        if let Some(bit) = &self.bit {
            if !matches!(kind, None | Some(ValueType::Bool | ValueType::U16)) {
                return Err(clash(bit.place, "bit"));
            }
            return match bit.value {
                0..=15 if !address.table.is_bits() => Ok(ValueType::Bit(bit.value)),
                0..=15 => {
                    let message = format!("a {} has no bits of its own", address.table);
                    Err(Diagnostic::new(Code::AddressInvalid, message).at(bit.place).help("remove `bit`"))
                }
                bit_number => {
                    let message = format!("a register has no bit {bit_number}");
                    let help = "bits are 0, the lowest, to 15; of a value of two registers, read the register that holds the bit";
                    Err(Diagnostic::new(Code::NumberOutOfRange, message).at(bit.place).help(help))
                }
            };
        }
        if let Some(length) = &self.length {
            if kind.is_some_and(|kind| !matches!(kind, ValueType::String(_))) {
                return Err(clash(length.place, "length"));
            }
            return match length.value.div_ceil(2) {
                registers @ 1..=125 => Ok(ValueType::String(registers)),
                _ => {
                    let message = format!("a text of {} characters cannot be read at once", length.value);
                    Err(Diagnostic::new(Code::NumberOutOfRange, message).at(length.place).help("give 1 to 250"))
                }
            };
        }
        match kind {
            Some(kind) => Ok(kind),
            None if address.table.is_bits() => Ok(ValueType::Bool),
            None => Err(Diagnostic::new(
                Code::FieldMissing,
                "the field `as` is missing: what the register holds is not known",
            )
            .at(self.address.place)
            .help("add `as: f32`, `as: u16`, …")),
        }
    }

    fn scaling(&self) -> Result<Option<Scaling>, Diagnostic> {
        let linear = self.scale.as_ref().or(self.offset.as_ref());
        match (&self.raw, &self.engineering) {
            (None, None) if self.clamp => {
                Err(Diagnostic::new(Code::ScalingInvalid, "`clamp` needs the ranges `raw` and `engineering`")
                    .at(self.address.place)
                    .help("add them, or remove `clamp`"))
            }
            (None, None) => Ok(linear.map(|_| Scaling::Linear {
                scale: self.scale.as_ref().map_or(1.0, |scale| scale.value),
                offset: self.offset.as_ref().map_or(0.0, |offset| offset.value),
            })),
            (Some(raw), Some(engineering)) => match linear {
                None => Ok(Some(Scaling::Range {
                    raw: raw.value.into(),
                    engineering: engineering.value.into(),
                    clamp: self.clamp,
                })),
                Some(linear) => Err(Diagnostic::new(Code::ScalingInvalid, "a scale and two ranges are given")
                    .at(linear.place)
                    .help("keep `scale` and `offset`, or `raw` and `engineering`")),
            },
            (Some(alone), None) | (None, Some(alone)) => {
                Err(Diagnostic::new(Code::ScalingInvalid, "one range is given where two make a scale")
                    .at(alone.place)
                    .help("give both: `raw: [0, 4095], engineering: [0, 5000]`"))
            }
        }
    }
}

/// A tag's point with its name, for the check of one device's points against each other.
pub(super) struct Named<'a> {
    pub(super) name: &'a Spanned<String>,
    /// Where its address is written, which need not be where the tag is: a table may set it.
    pub(super) place: Place,
    pub(super) point: Point,
}

/// Reports values of several registers that lie on each other (an error) and equal addresses (a warning).
pub(super) fn check_overlaps(points: &mut [Named<'_>], diagnostics: &mut Diagnostics) {
    points.sort_by_key(|named| (named.point.item.table, named.point.item.offset, named.point.item.count));
    for index in 1..points.len() {
        let (before, this) = points.split_at(index);
        let this = &this[0];
        let item = this.point.item;
        // Of those before, one of 125 registers is the longest that can reach this one.
        let reaching = before
            .iter()
            .rev()
            .take_while(|other| other.point.item.table == item.table && item.offset - other.point.item.offset < 125);
        for other in reaching {
            let theirs = other.point.item;
            if u32::from(theirs.offset) + u32::from(theirs.count) <= u32::from(item.offset) {
                continue;
            }
            let (a, b) = (&*other.name.value, &*this.name.value);
            if theirs == item {
                let bits =
                    matches!((other.point.kind, this.point.kind), (ValueType::Bit(x), ValueType::Bit(y)) if x != y);
                if !bits {
                    diagnostics.push(
                        Diagnostic::new(Code::AddressShared, format!("`{a}` and `{b}` read the same address"))
                            .at(this.place)
                            .note_at(other.place, format!("`{a}` is here"))
                            .help("if they are bits of one register, say which: `bit: 0`"),
                    );
                }
            } else {
                diagnostics.push(
                    Diagnostic::new(
                        Code::AddressOverlap,
                        format!("`{b}` ({}) lies on registers of `{a}` ({})", this.point.kind, other.point.kind),
                    )
                    .at(this.place)
                    .note_at(other.place, format!("`{a}` is here"))
                    .help("one of the addresses or types is wrong; check them against the device's list"),
                );
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ducto_graph::source::Sources;
    use modbus::Table;

    const DEFAULTS: Defaults = Defaults { addressing: Addressing::FiveDigits, order: Order::Cdab, max_registers: 125 };

    fn read(yaml: &str) -> Result<Point, Vec<String>> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let file = sources.add_text("t.yaml", yaml);
        let node = Node::parse(file, &sources, &mut diagnostics).unwrap();
        let point = Point::read(&node, DEFAULTS, &mut diagnostics);
        let found = diagnostics.iter().map(|found| format!("{} {}", found.code, found.message)).collect();
        point.ok_or(found)
    }

    #[test]
    fn what_is_written_is_understood() {
        let point = read("{address: 40001, as: f32}").unwrap();
        assert_eq!(point.item, Item { table: Table::HoldingRegisters, offset: 0, count: 2 });
        assert_eq!((point.order, point.value_kind()), (Order::Cdab, ValueKind::Float64));
        assert_eq!(read("{address: 10001}").unwrap().value_kind(), ValueKind::Bool);
        assert_eq!(read("{address: 00007}").unwrap().item.table, Table::Coils);
        assert_eq!(read("{address: 30002, as: u16}").unwrap().value_kind(), ValueKind::Int64);
        assert_eq!(read("{address: 30002, as: u16, scale: 0.1}").unwrap().value_kind(), ValueKind::Float64);
        assert_eq!(read("{address: 40002, bit: 3}").unwrap().kind, ValueType::Bit(3));
        assert_eq!(read("{address: 40002, length: 5}").unwrap().kind, ValueType::String(3));
        assert_eq!(read("{address: 40002, as: i32, order: BADC}").unwrap().order, Order::Badc);
        assert!(read("{address: 40002, as: i16, sentinel: -32768}").is_ok());
        assert!(read("{address: 40002, as: f32, sentinel: [-999.25, -9999]}").is_ok());
        assert!(read("{address: 40002, as: u16, raw: [0, 4095], engineering: [0, 5000], clamp: true}").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (yaml, code, said) in [
            ("{address: 4x, as: f32}", "E0373", "not a number"),
            ("{address: 20001, as: f32}", "E0373", "names no table"),
            ("{address: 465536, as: f32}", "E0373", "past the table's last register"),
            ("{address: 10001, as: f32}", "E0373", "holds no `f32`"),
            ("{address: 40001}", "E0303", "`as` is missing"),
            ("{as: f32}", "E0303", "`address` is missing"),
            ("{address: 40001, as: float}", "E0302", "`float` is not a type"),
            ("{address: 40001, as: f32, order: XYZ}", "E0302", "`XYZ` is not an order"),
            ("{address: 40001, as: f32, order: GHEFCDAB}", "E0377", "eight bytes, and `f32` has 4"),
            ("{address: 40001, bit: 16}", "E0304", "no bit 16"),
            ("{address: 40001, as: f32, bit: 1}", "E0373", "does not go with `as: f32`"),
            ("{address: 40001, length: 300}", "E0304", "300 characters"),
            ("{address: 40001, as: u16, raw: [0, 1]}", "E0375", "one range"),
            ("{address: 40001, as: u16, scale: 0}", "E0375", "scale or range"),
            (
                "{address: 40001, as: u16, scale: 2, raw: [0, 1], engineering: [0, 1]}",
                "E0375",
                "a scale and two ranges",
            ),
            ("{address: 40001, as: u16, clamp: true}", "E0375", "`clamp` needs"),
            ("{address: 40001, as: bool, scale: 2}", "E0375", "cannot be scaled"),
            ("{address: 40001, as: i16, sentinel: 65535}", "E0375", "sentinel"),
        ] {
            let found = read(yaml).map(|point| format!("{point:?}")).expect_err(yaml);
            assert!(found.iter().any(|found| found.starts_with(code) && found.contains(said)), "{yaml}: {found:?}");
        }
    }

    #[test]
    fn overlaps_are_errors_and_equal_addresses_warnings() {
        let check = |tags: &[&str]| {
            let names: Vec<Spanned<String>> = (0..tags.len()).map(|index| Spanned::from(format!("T{index}"))).collect();
            let mut points: Vec<Named<'_>> = tags
                .iter()
                .zip(&names)
                .map(|(yaml, name)| Named { name, place: name.place, point: read(yaml).unwrap() })
                .collect();
            let mut diagnostics = Diagnostics::new();
            check_overlaps(&mut points, &mut diagnostics);
            diagnostics.iter().map(|found| found.code.to_string()).collect::<Vec<_>>()
        };
        assert!(check(&["{address: 40001, as: f32}", "{address: 40003, as: f32}"]).is_empty());
        assert_eq!(check(&["{address: 40002, as: f32}", "{address: 40001, as: f32}"]), ["E0374"]);
        assert_eq!(check(&["{address: 40001, as: u16}", "{address: 40001, as: f32}"]), ["E0374"]);
        assert_eq!(check(&["{address: 40001, as: u16}", "{address: 40001, as: i16}"]), ["W0370"]);
        assert!(check(&["{address: 40001, bit: 1}", "{address: 40001, bit: 2}"]).is_empty());
        assert_eq!(
            check(&["{address: 40001, as: f64}", "{address: 40002, as: u16}", "{address: 40004, as: u16}"]).len(),
            2
        );
        assert!(check(&["{address: 30001, as: f32}", "{address: 40002, as: f32}"]).is_empty());
    }
}
