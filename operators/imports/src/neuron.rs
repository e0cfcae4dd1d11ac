//! EMQX Neuron's XLSX (or the same columns as CSV): the tags of one node, each in a group, addresses such as
//! `1!400001#BL`. The node's own settings, its host and what its addresses start from, are not in the file.

use std::collections::{BTreeSet, HashMap, HashSet};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Place;
use ducto_graph::table::{Cell, Table, Typed};
use modbus::{Address, Addressing, Order, ValueType};

use crate::Reader;
use crate::address;
use crate::model::{Device, Line, SCANS, Tag, Value, duration};
use crate::names;
use crate::orders;
use crate::remarks::Outcome::{Assumed, Dropped};

/// Columns that are read.
const KNOWN: [&str; 12] = [
    "group",
    "interval",
    "name",
    "address",
    "attribute",
    "type",
    "description",
    "decimal",
    "precision",
    "bias",
    "unit",
    "value",
];

/// Whether a table has the columns of such a list.
pub(crate) fn is_one(table: &Table) -> bool {
    ["name", "address", "attribute", "type"].iter().all(|name| column(table, name).is_some())
}

fn column(table: &Table, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column.value.eq_ignore_ascii_case(name))
}

/// A row that is a tag of a Modbus device.
struct Row<'a> {
    group: String,
    name: &'a Cell,
    cells: &'a [Cell],
    address: Written,
}

/// An address, as it was written.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    slave: u8,
    at: Address,
    bit: Option<u8>,
    order: Option<Order>,
    /// Characters of a text, and whether their bytes are swapped.
    length: Option<(u16, bool)>,
}

pub(crate) fn read(reader: &mut Reader<'_>, table: &Table, diagnostics: &mut Diagnostics) -> Option<Vec<Device>> {
    if !is_one(table) {
        diagnostics.push(crate::not_recognised(Some(crate::Format::Neuron), Place::file(table.file)));
        return None;
    }
    let cell = |row: &'_ [Cell], name: &str| -> Option<Cell> {
        row.get(column(table, name)?).filter(|cell| !cell.is_empty()).cloned()
    };
    for column in &table.columns {
        let filled = table.column(&column.value).is_some_and(|at| table.rows.iter().any(|row| !row[at].is_empty()));
        if filled && !KNOWN.contains(&column.value.to_ascii_lowercase().as_str()) {
            let setting = format!("column `{}`", column.value);
            reader.remark(column.place, "all tags", &setting, "", Dropped, "there is nothing like it");
        }
    }
    let mut rows = Vec::new();
    for cells in &table.rows {
        let Some(name) = column(table, "name").map(|at| &cells[at]).filter(|cell| !cell.is_empty()) else { continue };
        let group = cell(cells, "group").map_or_else(|| reader.stem(), |cell| cell.text.to_string());
        let shown = format!("{group}/{}", name.text);
        if let Some(attribute) = cell(cells, "attribute") {
            let text = attribute.text.to_ascii_lowercase();
            if text.contains("static") {
                let reason = "the tag is a constant, which no device gives";
                reader.remark(attribute.place, &shown, "attribute", &attribute.text, Dropped, reason);
                continue;
            }
            if text.contains("write") {
                let reason = "the tag is read; nothing writes to devices";
                reader.remark(attribute.place, &shown, "attribute", &attribute.text, Dropped, reason);
                if !text.contains("read") && !text.contains("subscribe") {
                    continue;
                }
            }
        }
        let Some(written) = cell(cells, "address") else {
            reader.remark(name.place, &shown, "address", "", Dropped, "the tag has no address");
            continue;
        };
        match parse(&written.text) {
            Ok(address) => rows.push(Row { group, name, cells, address }),
            Err(why) => reader.remark(written.place, &shown, "address", &written.text, Dropped, &why),
        }
    }
    Some(devices(reader, table, rows))
}

/// `1!400001.3`, `1!400001#BL`, `1!400001.20H`.
fn parse(text: &str) -> Result<Written, String> {
    let unknown = || "it is no address of the Modbus drivers, such as `1!400001`".to_owned();
    let (slave, rest) = text.trim().split_once('!').ok_or_else(unknown)?;
    let slave = slave.parse().map_err(|_| unknown())?;
    let end = rest.find(['.', '#']).unwrap_or(rest.len());
    let at = address::digit_and_number(&rest[..end]).ok_or_else(unknown)?;
    let mut written = Written { slave, at, bit: None, order: None, length: None };
    let mut rest = &rest[end..];
    while !rest.is_empty() {
        let next = rest[1..].find(['.', '#']).map_or(rest.len(), |at| at + 1);
        let (mark, part) = (&rest[..1], &rest[1..next]);
        match (mark, part) {
            ("#", part) => {
                written.order = Some(match part {
                    "L" | "LL" => Order::Abcd,
                    "B" | "LB" => Order::Badc,
                    "BL" => Order::Cdab,
                    "BB" => Order::Dcba,
                    _ => return Err(format!("`#{part}` is no order of bytes")),
                });
            }
            (_, part) if part.ends_with(['D', 'E']) => {
                return Err("a text with one character in each register: there is no type for it".to_owned());
            }
            (_, part) if part.ends_with(['H', 'L']) => {
                let length = part[..part.len() - 1].parse().map_err(|_| unknown())?;
                written.length = Some((length, part.ends_with('L')));
            }
            (_, part) => {
                // A bit of a register, or the length of a text: the type says which.
                let number: u16 = part.parse().map_err(|_| unknown())?;
                written.bit = u8::try_from(number).ok().filter(|bit| *bit <= 15);
                written.length.get_or_insert((number, true));
            }
        }
        rest = &rest[next..];
    }
    Ok(written)
}

fn value_type(kind: &str, written: &Written) -> Result<ValueType, String> {
    let bits = written.at.table.is_bits();
    Ok(match kind.to_ascii_uppercase().as_str() {
        "BIT" | "BOOL" if bits => ValueType::Bool,
        "BIT" | "BOOL" => ValueType::Bit(written.bit.ok_or("a bit of a register needs its number: `1!400001.3`")?),
        "INT8" => ValueType::I8,
        "UINT8" => ValueType::U8,
        "INT16" => ValueType::I16,
        "UINT16" | "WORD" => ValueType::U16,
        "INT32" => ValueType::I32,
        "UINT32" | "DWORD" => ValueType::U32,
        "INT64" => ValueType::I64,
        "UINT64" | "LWORD" => ValueType::U64,
        "FLOAT" => ValueType::F32,
        "DOUBLE" => ValueType::F64,
        "STRING" => {
            let (length, _) = written.length.ok_or("a text needs its length: `1!400001.20H`")?;
            let registers = length.div_ceil(2);
            if !(1..=125).contains(&registers) {
                return Err(format!("a text of {length} characters cannot be read at once"));
            }
            ValueType::String(registers)
        }
        other => return Err(format!("there is no type for `{other}`")),
    })
}

/// What each device is called. A group is a well or a station where each slave has all its tags in one group; where
/// groups only say how often tags are read, slaves are the assets.
fn assets(reader: &Reader<'_>, rows: &[Row<'_>]) -> HashMap<(String, u8), String> {
    let mut groups_of: HashMap<u8, BTreeSet<&str>> = HashMap::new();
    let mut slaves_of: HashMap<&str, BTreeSet<u8>> = HashMap::new();
    let mut names: HashMap<u8, HashSet<&str>> = HashMap::new();
    let mut repeated = HashSet::new();
    for row in rows {
        let slave = row.address.slave;
        groups_of.entry(slave).or_default().insert(&row.group);
        slaves_of.entry(&row.group).or_default().insert(slave);
        if !names.entry(slave).or_default().insert(&row.name.text) {
            repeated.insert(slave);
        }
    }
    let stem = reader.stem();
    let mut found = HashMap::new();
    for row in rows {
        let slave = row.address.slave;
        let one_group = groups_of.get(&slave).is_some_and(|groups| groups.len() == 1);
        let one_slave = slaves_of.get(row.group.as_str()).is_some_and(|slaves| slaves.len() == 1);
        let name = match (one_group || repeated.contains(&slave), one_slave) {
            (true, true) => names::asset(&row.group),
            (true, false) => names::asset(&format!("{}-{slave}", row.group)),
            (false, _) if groups_of.len() == 1 => stem.clone(),
            (false, _) => names::asset(&format!("{stem}-{slave}")),
        };
        found.insert((row.group.clone(), slave), name);
    }
    found
}

fn devices(reader: &mut Reader<'_>, table: &Table, rows: Vec<Row<'_>>) -> Vec<Device> {
    let assets = assets(reader, &rows);
    let mut devices: Vec<Device> = Vec::new();
    let mut taken: Vec<HashSet<String>> = Vec::new();
    for row in &rows {
        let Some(asset) = assets.get(&(row.group.clone(), row.address.slave)) else { continue };
        let at = devices.iter().position(|device| device.name == *asset).unwrap_or_else(|| {
            devices.push(device(reader, asset, row));
            taken.push(HashSet::new());
            devices.len() - 1
        });
        let own = names::variable(&row.name.text);
        reader.renamed(&row.name.text, &own, asset, row.name.place);
        let mut tag = Tag::new(own, row.name.place);
        let of = format!("{asset}.{}", tag.variable);
        if fill(reader, table, row, &mut tag, &of) {
            tag.variable = names::distinct(tag.variable, &mut taken[at]);
            devices[at].tags.push(tag);
        }
    }
    devices.retain(|device| !device.tags.is_empty());
    devices.iter_mut().for_each(common);
    devices
}

fn device(reader: &mut Reader<'_>, asset: &str, row: &Row<'_>) -> Device {
    let place = row.name.place;
    let stem = reader.stem();
    let (endpoint, unit_id) = reader.line(asset, &stem, None, Some(row.address.slave), place);
    let reason = "the file does not say whether the node's addresses start from 0 or 1; 1 is Neuron's default";
    reader.remark(place, asset, "start address", "", Assumed, reason);
    Device {
        name: asset.to_owned(),
        device: Some(stem),
        model: None,
        place,
        line: Line { endpoint, unit_id, addressing: address::notation(Addressing::SixDigits), fields: Vec::new() },
        columns: Vec::new(),
        tags: Vec::new(),
    }
}

fn fill(reader: &mut Reader<'_>, table: &Table, row: &Row<'_>, tag: &mut Tag, of: &str) -> bool {
    let cell = |name: &str| row.cells.get(column(table, name)?).filter(|cell| !cell.is_empty());
    let kind_text = cell("type").map_or("", |cell| &cell.text);
    let written = &row.address;
    let placed = value_type(kind_text, written).and_then(|kind| {
        address::place(tag, written.at, Addressing::SixDigits, kind)?;
        Ok(kind)
    });
    let kind = match placed {
        Ok(kind) => kind,
        Err(why) => {
            let place = cell("type").map_or(tag.place, |cell| cell.place);
            reader.remark(place, of, "type", kind_text, Dropped, &why);
            return false;
        }
    };
    let swapped = matches!(kind, ValueType::String(_)) && written.length.is_some_and(|(_, swapped)| swapped);
    let order = if swapped { Some(Order::Badc) } else { written.order };
    // A tag without one has its node's.
    if order.is_none() && reader.options.order.is_none() && kind.registers() > 1 {
        let reason = "tags without `#` have the order of their node, which the file does not say; `ABCD` is Neuron's default, `--order` sets another";
        reader.remark(tag.place, of, "order", "", Assumed, reason);
    }
    let order = order.or(reader.options.order).unwrap_or_default();
    if !row.address.at.table.is_bits() {
        orders::set(tag, if matches!(kind, ValueType::String(_)) && !swapped { Order::Abcd } else { order });
    }
    let number = |name: &str| cell(name).and_then(cell_number);
    // A multiplier of 0 stands where nobody has written one.
    if let Some(scale) = number("decimal").filter(|scale| *scale != 0.0 && *scale != 1.0)
        && kind.is_number()
    {
        tag.set("scale", scale);
    }
    if let Some(offset) = number("bias").filter(|offset| *offset != 0.0)
        && kind.is_number()
    {
        tag.set("offset", offset);
    }
    if let Some(found) = cell("precision").filter(|found| cell_number(found).is_some_and(|digits| digits != 0.0)) {
        reader.remark(found.place, of, "precision", &found.text, Dropped, "values keep all their digits");
    }
    if let Some(found) = cell("unit") {
        reader.unit(tag, of, "unit", &found.text, found.place);
    }
    if let Some(found) = cell("description") {
        tag.set("description", &*found.text);
    }
    match cell("interval") {
        None => {}
        Some(found) => match cell_number(found).map(|interval| interval as u64) {
            Some(interval) if SCANS.contains(&interval) => tag.set("scan", duration(interval)),
            _ => reader.remark(found.place, of, "interval", &found.text, Dropped, "scans are from 100 ms to a day"),
        },
    }
    true
}

fn cell_number(cell: &Cell) -> Option<f64> {
    match cell.typed {
        Some(Typed::Number(number)) => Some(number).filter(|number| number.is_finite()),
        Some(_) => None,
        None => crate::kepware::number(&cell.text),
    }
}

/// The scan and the order that most tags have become the connection's.
fn common(device: &mut Device) {
    let order = orders::settle(&mut device.tags, None);
    device.line.fields.push(("order".to_owned(), order));
    let scans: Vec<Value> =
        device.tags.iter().map(|tag| tag.get("scan").cloned().unwrap_or_else(|| "1s".into())).collect();
    let common = crate::group::most_frequent(scans.iter()).cloned().unwrap_or_else(|| "1s".into());
    for (tag, scan) in device.tags.iter_mut().zip(&scans) {
        if *scan == common {
            tag.remove("scan");
        } else {
            tag.set("scan", scan.clone());
        }
    }
    device.line.fields.push(("scan".to_owned(), common));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use modbus::Table as Registers;

    #[test]
    fn addresses_of_the_modbus_drivers() {
        let holding = |offset| Address { table: Registers::HoldingRegisters, offset };
        let plain = |slave, at| Written { slave, at, bit: None, order: None, length: None };
        assert_eq!(parse("1!400001").unwrap(), plain(1, holding(0)));
        assert_eq!(parse("7!40013").unwrap(), plain(7, holding(12)));
        assert_eq!(parse("1!400001#BL").unwrap().order, Some(Order::Cdab));
        assert_eq!(parse("1!400010.4").unwrap().bit, Some(4));
        assert_eq!(parse("1!400001.10H").unwrap().length, Some((10, false)));
        assert_eq!(parse("1!400001#BB.10").unwrap().length, Some((10, true)));
        for text in ["400001", "x!400001", "1!", "1!500001", "1!400001#Q", "1!400001.x", "1!400001.10E", "1!400001."] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(value_type("STRING", &parse("1!400001.10").unwrap()), Ok(ValueType::String(5)));
        assert_eq!(value_type("BIT", &parse("1!400001.10").unwrap()), Ok(ValueType::Bit(10)));
        assert!(value_type("BIT", &parse("1!400001").unwrap()).is_err());
        assert!(value_type("BYTES", &parse("1!400001").unwrap()).is_err());
    }
}
