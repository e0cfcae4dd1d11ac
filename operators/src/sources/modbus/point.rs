//! A tag as Modbus reads it: where it stands in the device, of what type, and how it becomes an engineering value. Or a
//! tag that tells how the connection itself is.

use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_record::ValueKind;
use modbus::value::Value as Raw;
use modbus::{Address, Addressing, Conversion, Item, Order, Scaling, Table, ValueType};
use schemars::JsonSchema;
use serde::Deserialize;

use super::figures::Figure;
use super::notation::{FigureName, OrderName, TableName, TypeName};
use super::schedule::Priority;

/// The fields of a tag that belong to Modbus.
pub(super) const FIELDS: [&str; 14] = [
    "address",
    "table",
    "as",
    "order",
    "bit",
    "length",
    "scale",
    "offset",
    "raw",
    "engineering",
    "clamp",
    "sentinel",
    "priority",
    "diagnostic",
];

/// What a tag says about its place in a Modbus device, or which of the connection's own figures it tells.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagFields {
    /// Address in the connection's notation: `40001`.
    address: Option<Spanned<String>>,
    /// Table, where `addressing` is 0 or 1: `coil`, `discrete`, `input` or `holding` (the default).
    table: Option<TableName>,
    /// Type of the value: `bool`, `i8` to `i64`, `u8` to `u64`, `f16`, `f32`, `f64`, `bcd16`, `bcd32`, `bit(3)`; texts
    /// of so many registers are `string(8)` (two characters a register, UTF-8 or else Latin-1), `latin1(8)` and
    /// `utf16(8)` (one character a register). Coils and discrete inputs are `bool` without it.
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
    /// Share of a busy line, where it is not the connection's.
    priority: Option<Priority>,
    /// In place of an address: what the tag tells of the connection itself, such as `round_trip`. The connection's
    /// `diagnostics` makes such tags; one is written out where it needs settings of its own, an alarm perhaps.
    diagnostic: Option<Spanned<FigureName>>,
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
pub struct Point {
    /// What is read: a table, a 0-based offset, so many registers or bits.
    pub item: Item,
    /// What they hold.
    pub kind: ValueType,
    pub order: Order,
    /// From raw to engineering values.
    pub conversion: Conversion,
    scaled: bool,
}

/// What a tag is to its connection.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// Read from the device, with this share of the line where it is not the connection's.
    Point(Point, Option<Priority>),
    /// Told of the connection itself.
    Figure(Figure),
}

/// What the connection says about all its tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Defaults {
    pub(super) addressing: Addressing,
    pub(super) order: Order,
    /// Most registers that the device gives in one answer.
    pub(super) max_registers: u16,
    /// First and last offsets of holding registers that hold 32 bits each.
    pub(super) long: Arc<[(u16, u16)]>,
}

impl Meaning {
    /// Reads a tag's fields; what is wrong is reported.
    pub(super) fn read(fields: &Node, defaults: &Defaults, diagnostics: &mut Diagnostics) -> Option<Self> {
        let place = fields.place;
        let whole = fields;
        let fields: TagFields = decode(fields, diagnostics)?;
        match (&fields.address, &fields.diagnostic) {
            (Some(address), None) => {
                let priority = fields.priority;
                let address = address.clone();
                let point = Point::read(fields, &address, defaults, diagnostics)?;
                if let Some(order) = whole.get("order").filter(|order| order.written.len() == 8)
                    && point.kind.registers() != 4
                {
                    let (kind, bytes) = (point.kind, point.kind.registers() * 2);
                    let message = format!("the order is of eight bytes, and `{kind}` has {bytes}");
                    let help = "write four letters, such as `CDAB`";
                    diagnostics.push(Diagnostic::new(Code::OrderUnfit, message).at(order.place).help(help));
                    return None;
                }
                Some(Self::Point(point, priority))
            }
            (None, Some(figure)) => {
                let others = whole.entries().iter().find(|entry| entry.key.as_str() != "diagnostic");
                if let Some(other) = others {
                    let message = format!("`{}` does not go with `diagnostic`", other.key.as_str());
                    let help = "such a tag is read from no register; remove one of the two";
                    diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(other.key.place).help(help));
                    return None;
                }
                Some(Self::Figure(figure.value.0))
            }
            (Some(address), Some(_)) => {
                let message = "a tag is read from an address or tells of the connection, and not both";
                let help = "remove `address`, or `diagnostic`";
                diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(address.place).help(help));
                None
            }
            (None, None) => {
                let message = "the field `address` is missing";
                let help = "add it, as the connection's `addressing` writes it: `address: 40001`";
                diagnostics.push(Diagnostic::new(Code::FieldMissing, message).at(place).help(help));
                None
            }
        }
    }

    /// The kind of value that samples of this tag have.
    pub(super) fn value_kind(&self) -> ValueKind {
        match self {
            Self::Point(point, _) => point.value_kind(),
            Self::Figure(figure) => figure.kind(),
        }
    }
}

impl Point {
    fn read(
        fields: TagFields,
        written: &Spanned<String>,
        defaults: &Defaults,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let at = written.place;
        let address = Address::parse(written, defaults.addressing, fields.table.map(|table| table.0));
        let address = diagnostics.take(address.map_err(|error| wrong(Code::AddressInvalid, &error, at)))?;
        let address = defaults.table_of(address);
        let kind = diagnostics.take(fields.value_type(address, at))?;
        let bits = address.table.is_bits();
        if bits && kind != ValueType::Bool {
            let place = fields.kind.as_ref().map_or(at, |kind| kind.place);
            let message = format!("`{}` is a {}, which holds no `{kind}`", **written, address.table);
            diagnostics.push(
                Diagnostic::new(Code::AddressInvalid, message).at(place).help("leave `as` away, or read a register"),
            );
            return None;
        }
        let words = address.table.words();
        if kind.registers() % words != 0 || (words > 1 && kind.is_text()) {
            let place = fields.kind.as_ref().map_or(at, |kind| kind.place);
            let message = format!("`{}` is a register of 32 bits, which holds no `{kind}`", **written);
            let help = "read `f32`, `i32`, `u32`, `bcd32` or a type of 64 bits, or correct the ranges of `enron`";
            diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(place).help(help));
            return None;
        }
        let count = kind.registers() / words;
        if usize::from(address.offset) + usize::from(count) > 65_536 {
            let message = format!("`{kind}` at `{}` goes past the table's last register", **written);
            let help = format!("it takes {count} registers; check the address against the device's list");
            diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(at).help(help));
            return None;
        }
        if !bits && kind.registers() > defaults.max_registers {
            let message =
                format!("`{kind}` takes {count} registers, and the device gives {} at once", defaults.max_registers);
            let help = "shorten it, or raise `max_registers`: parts read apart would not be one value";
            diagnostics.push(Diagnostic::new(Code::AddressInvalid, message).at(at).help(help));
            return None;
        }
        let scaling = diagnostics.take(fields.scaling(at))?;
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

    /// The kind of value that its samples have.
    pub fn value_kind(&self) -> ValueKind {
        match self.kind {
            ValueType::Bool | ValueType::Bit(_) => ValueKind::Bool,
            ValueType::String(_) | ValueType::Latin1(_) | ValueType::Utf16(_) => ValueKind::Text,
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

impl Defaults {
    /// A holding register of 32 bits is one of a table of its own.
    fn table_of(&self, address: Address) -> Address {
        let long = self.long.iter().any(|(first, last)| (*first..=*last).contains(&address.offset));
        match address.table {
            Table::HoldingRegisters if long => Address { table: Table::LongRegisters, ..address },
            _ => address,
        }
    }
}

impl TagFields {
    fn value_type(&self, address: Address, at: Place) -> Result<ValueType, Diagnostic> {
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
            if kind.is_some() {
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
            .at(at)
            .help("add `as: f32`, `as: u16`, …")),
        }
    }

    fn scaling(&self, at: Place) -> Result<Option<Scaling>, Diagnostic> {
        let linear = self.scale.as_ref().or(self.offset.as_ref());
        match (&self.raw, &self.engineering) {
            (None, None) if self.clamp => {
                Err(Diagnostic::new(Code::ScalingInvalid, "`clamp` needs the ranges `raw` and `engineering`")
                    .at(at)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use ducto_graph::source::Sources;

    pub(in super::super) fn read(yaml: &str) -> Result<Point, Vec<String>> {
        match meaning(yaml, Addressing::FiveDigits, &[])? {
            Meaning::Point(point, _) => Ok(point),
            Meaning::Figure(figure) => panic!("{yaml} is {figure}"),
        }
    }

    fn meaning(yaml: &str, addressing: Addressing, long: &[(u16, u16)]) -> Result<Meaning, Vec<String>> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let file = sources.add_text("t.yaml", yaml);
        let node = Node::parse(file, &sources, &mut diagnostics).unwrap();
        let defaults = Defaults { addressing, order: Order::Cdab, max_registers: 125, long: long.into() };
        let meaning = Meaning::read(&node, &defaults, &mut diagnostics);
        let found = diagnostics.iter().map(|found| format!("{} {}", found.code, found.message)).collect();
        meaning.ok_or(found)
    }

    #[test]
    fn enron_registers_of_32_bits_are_a_table_of_their_own() {
        let long = [(5_001, 5_999), (7_001, 7_999)];
        let read = |yaml: &str| match meaning(yaml, Addressing::Zero, &long) {
            Ok(Meaning::Point(point, _)) => Ok(point.item),
            Ok(Meaning::Figure(figure)) => panic!("{yaml} is {figure}"),
            Err(found) => Err(found.join(" ")),
        };
        let item = |table, offset, count| Ok(Item { table, offset, count });
        assert_eq!(read("{address: 7001, as: f32}"), item(Table::LongRegisters, 7_001, 1));
        assert_eq!(read("{address: 5999, as: u32}"), item(Table::LongRegisters, 5_999, 1));
        assert_eq!(read("{address: 7005, as: f64}"), item(Table::LongRegisters, 7_005, 2));
        assert_eq!(read("{address: 7000, as: f32}"), item(Table::HoldingRegisters, 7_000, 2));
        assert_eq!(read("{address: 7001, as: f32, table: input}"), item(Table::InputRegisters, 7_001, 2));
        for wrong in ["{address: 7001, as: u16}", "{address: 7001, bit: 3}", "{address: 7001, as: string(4)}"] {
            assert!(read(wrong).unwrap_err().contains("32 bits"), "{wrong}");
        }
    }

    #[test]
    fn a_tag_tells_a_figure_or_is_read() {
        let of = |yaml: &str| meaning(yaml, Addressing::FiveDigits, &[]);
        assert!(matches!(of("{diagnostic: round_trip}"), Ok(Meaning::Figure(Figure::RoundTrip))));
        assert!(matches!(of("{diagnostic: errors_exception_2}"), Ok(Meaning::Figure(Figure::Exceptions(2)))));
        let high = of("{address: 40001, as: u16, priority: high}");
        assert!(matches!(high, Ok(Meaning::Point(_, Some(Priority::High)))));
        for (yaml, said) in [
            ("{diagnostic: link}", "`link` is nothing that a connection knows"),
            ("{diagnostic: link_state, as: u16}", "`as` does not go with `diagnostic`"),
            ("{diagnostic: link_state, address: 40001}", "and not both"),
        ] {
            let found = of(yaml).unwrap_err().join(" ");
            assert!(found.contains(said), "{yaml}: {found}");
        }
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
}
