//! One field of `inputs.modbus`.

use ducto_graph::tree::Node;
use modbus::{Address, Addressing, Table, ValueType};

use super::{order, text};
use crate::Reader;
use crate::address;
use crate::model::Tag;
use crate::orders;
use crate::remarks::Outcome::Dropped;

pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) name: &'a str,
    pub(super) measurement: &'a str,
    table: Table,
    order: &'a str,
    /// Its type, under the name that the style gives it.
    kind: &'a str,
    /// Whether the type is written as the style `register` does.
    of_register: bool,
}

/// Fields that are read.
const KNOWN: [&str; 13] = [
    "name",
    "address",
    "byte_order",
    "data_type",
    "type",
    "scale",
    "measurement",
    "omit",
    "register",
    "length",
    "bit",
    "output",
    "tags",
];

impl<'a> Field<'a> {
    pub(super) fn of_register(node: &'a Node, table: Table) -> Self {
        let measurement = node.get("measurement").and_then(Node::as_text).unwrap_or("modbus");
        Self {
            node,
            name: text(node, "name"),
            measurement,
            table,
            order: text(node, "byte_order"),
            kind: text(node, "data_type"),
            of_register: true,
        }
    }

    pub(super) fn of_request(node: &'a Node, table: Table, order: &'a str, measurement: &'a str) -> Self {
        let measurement = node.get("measurement").and_then(Node::as_text).unwrap_or(measurement);
        let kind = text(node, "type");
        Self { node, name: text(node, "name"), measurement, table, order, kind, of_register: false }
    }

    /// Fills a tag; `false` leaves it out, with a remark that says why.
    pub(super) fn fill(&self, reader: &mut Reader<'_>, tag: &mut Tag, of: &str) -> bool {
        let placed = self.place(tag);
        let kind = match placed {
            Ok(kind) => kind,
            Err(why) => {
                let found = self.node.get("address").unwrap_or(self.node);
                reader.remark(found.place, of, "address", &describe(found), Dropped, &why);
                return false;
            }
        };
        if !self.table.is_bits() {
            match order(self.order) {
                Some(order) => orders::set(tag, order),
                None => {
                    let place = self.node.get("byte_order").unwrap_or(self.node).place;
                    reader.remark(
                        place,
                        of,
                        "byte_order",
                        self.order,
                        Dropped,
                        "the field is left out: it is no order",
                    );
                    return false;
                }
            }
        }
        if let Some(scale) = self.node.get("scale") {
            match scale.as_text().and_then(|text| text.parse::<f64>().ok()) {
                Some(1.0) => {}
                Some(0.0) | None => {
                    let text = scale.as_text().unwrap_or_default();
                    reader.remark(scale.place, of, "scale", text, Dropped, "it is no factor");
                }
                Some(factor) if kind.is_number() => tag.set("scale", factor),
                Some(_) => {}
            }
        }
        if let Some(output) = self.node.get("output")
            && kind.is_number()
        {
            let reason = "integers without a scale are int64, everything else is float64";
            reader.remark(output.place, of, "output", output.as_text().unwrap_or_default(), Dropped, reason);
        }
        if self.measurement != "modbus" {
            let place = self.node.get("measurement").unwrap_or(self.node).place;
            reader.remark(place, of, "measurement", self.measurement, Dropped, "tags have no measurement");
        }
        for entry in self.node.entries() {
            if !KNOWN.contains(&entry.key.as_str()) {
                let value = entry.value.as_text().unwrap_or_default();
                reader.remark(entry.key.place, of, &entry.key, value, Dropped, "there is nothing like it");
            }
        }
        true
    }

    fn place(&self, tag: &mut Tag) -> Result<ValueType, String> {
        if self.name.is_empty() {
            return Err("the field has no name".to_owned());
        }
        let written = self.node.get("address").ok_or("the field has no address")?;
        let addresses: Vec<u16> = match written.items() {
            [] => vec![offset(written)?],
            items => items.iter().map(offset).collect::<Result<_, _>>()?,
        };
        let (first, count) = (addresses[0], addresses.len());
        if addresses.windows(2).any(|pair| u32::from(pair[0]) + 1 != u32::from(pair[1])) {
            return Err("its registers do not follow one another".to_owned());
        }
        let kind = self.value_type(count)?;
        if self.of_register && !self.table.is_bits() && usize::from(kind.registers()) != count {
            return Err(format!("`{kind}` takes {} registers, and {count} are named", kind.registers()));
        }
        address::place(tag, Address { table: self.table, offset: first }, Addressing::Zero, kind)?;
        Ok(kind)
    }

    fn value_type(&self, count: usize) -> Result<ValueType, String> {
        if self.table.is_bits() {
            return Ok(ValueType::Bool);
        }
        let fixed = |signed: bool| match (count, signed) {
            (1, true) => Ok(ValueType::I16),
            (1, false) => Ok(ValueType::U16),
            (2, true) => Ok(ValueType::I32),
            (2, false) => Ok(ValueType::U32),
            (4, true) => Ok(ValueType::I64),
            (4, false) => Ok(ValueType::U64),
            _ => Err(format!("no integer takes {count} registers")),
        };
        Ok(match self.kind {
            "INT8L" => ValueType::I8,
            "UINT8L" => ValueType::U8,
            "INT16" => ValueType::I16,
            "UINT16" => ValueType::U16,
            "INT32" => ValueType::I32,
            "UINT32" => ValueType::U32,
            "INT64" => ValueType::I64,
            "UINT64" => ValueType::U64,
            "FLOAT16-IEEE" | "FLOAT16" => ValueType::F16,
            "FLOAT32-IEEE" => ValueType::F32,
            "FLOAT64-IEEE" => ValueType::F64,
            // In the old style this is an integer that was meant to have a fraction.
            "FLOAT32" if self.of_register => fixed(false)?,
            "FLOAT32" => ValueType::F32,
            "FLOAT64" => ValueType::F64,
            "FIXED" => fixed(true)?,
            "UFIXED" => fixed(false)?,
            "BIT" => {
                let bit = self.node.get("bit").and_then(Node::as_text).unwrap_or("0");
                ValueType::Bit(bit.parse().ok().filter(|bit| *bit <= 15).ok_or("a register has bits 0 to 15")?)
            }
            "STRING" => {
                let length = self.node.get("length").and_then(Node::as_text).and_then(|text| text.parse().ok());
                let registers = length.unwrap_or(count);
                let registers = u8::try_from(registers).ok().filter(|count| (1..=125).contains(count));
                ValueType::String(registers.ok_or("a text takes 1 to 125 registers")?.into())
            }
            "" => return Err("the field has no type".to_owned()),
            other => return Err(format!("there is no type for `{other}`")),
        })
    }
}

fn offset(node: &Node) -> Result<u16, String> {
    let text = node.as_text().unwrap_or_default();
    text.parse().map_err(|_| format!("`{text}` is no offset from 0 to 65535"))
}

fn describe(node: &Node) -> String {
    match node.items() {
        [] => node.as_text().unwrap_or_default().to_owned(),
        items => items.iter().filter_map(Node::as_text).collect::<Vec<_>>().join(", "),
    }
}
