//! Kepware's CSV: the tags of one device, or of a group of tags, one a row.
//!
//! The file says nothing of the device itself, so its endpoint, its unit and the order of its words must come from
//! elsewhere. Addresses are those of the Modbus drivers: `400001`, `400001.3` (a bit), `400001.20H` (a text),
//! `H4000A` (hexadecimal).

use std::collections::HashSet;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Place;
use ducto_graph::table::{Cell, Table};
use modbus::{Address, Addressing, Order, ValueType};

use crate::Reader;
use crate::address;
use crate::model::{Device, Line, SCANS, Tag, duration};
use crate::names::{self, Folders};
use crate::orders;
use crate::remarks::Outcome::{Approximated, Assumed, Dropped};

/// What Kepware writes where nobody has chosen a rate.
const DEFAULT_RATE: u64 = 100;

/// Whether a table has the columns of such a list.
pub(crate) fn is_one(table: &Table) -> bool {
    ["Tag Name", "Address", "Data Type"].iter().all(|name| table.column(name).is_some())
}

/// Where each column is.
struct Columns<'a>(&'a Table);

impl Columns<'_> {
    fn cell<'a>(&self, row: &'a [Cell], names: &[&str]) -> Option<&'a Cell> {
        names.iter().find_map(|name| row.get(self.0.column(name)?)).filter(|cell| !cell.is_empty())
    }
}

pub(crate) fn read(reader: &mut Reader<'_>, table: &Table, diagnostics: &mut Diagnostics) -> Option<Vec<Device>> {
    if !is_one(table) {
        diagnostics.push(crate::not_recognised(Some(crate::Format::Kepware), Place::file(table.file)));
        return None;
    }
    let columns = Columns(table);
    let mut rows = Vec::new();
    for row in &table.rows {
        if let Some(name) = columns.cell(row, &["Tag Name"]) {
            // A group of an advanced export, or one of the driver's own tags.
            if name.text.starts_with(';') || name.text.rsplit('.').next().is_some_and(|last| last.starts_with('_')) {
                continue;
            }
            rows.push((name, row));
        }
    }
    let paths = rows.iter().map(|(name, _)| name.text.split('.').map(str::to_owned).collect()).collect();
    let folders = Folders::new(paths, reader.stem(), reader.options.asset_depth);
    let mut devices: Vec<Device> = Vec::new();
    let mut taken: Vec<HashSet<String>> = Vec::new();
    for (index, (name, row)) in rows.into_iter().enumerate() {
        let (asset, variable) = folders.name(index);
        let at = devices.iter().position(|device| device.name == asset).unwrap_or_else(|| {
            devices.push(device(reader, asset, name.place));
            taken.push(HashSet::new());
            devices.len() - 1
        });
        let own = names::variable(&variable);
        reader.renamed(&variable, &own, &devices[at].name, name.place);
        let mut tag = Tag::new(own, name.place);
        let of = format!("{}.{}", devices[at].name, tag.variable);
        if row_of(reader, &columns, row, &mut tag, &of) {
            tag.variable = names::distinct(tag.variable, &mut taken[at]);
            devices[at].tags.push(tag);
        }
    }
    devices.retain(|device| !device.tags.is_empty());
    for device in &mut devices {
        orders::settle(&mut device.tags, Some(order_of(reader)));
        common_rate(device);
    }
    Some(devices)
}

fn order_of(reader: &Reader<'_>) -> Order {
    reader.options.order.unwrap_or(Order::Cdab)
}

fn device(reader: &mut Reader<'_>, asset: String, place: Place) -> Device {
    let order = order_of(reader);
    if reader.options.order.is_none() {
        let reason = "the file does not say the order of words; `CDAB` is Kepware's default (`First word low`), `--order` sets another";
        reader.remark(place, &asset, "order", "", Assumed, reason);
    }
    let stem = reader.stem();
    let own = (stem != asset).then_some(stem);
    let (endpoint, unit_id) = reader.line(&asset, own.as_deref().unwrap_or(&asset), None, None, place);
    Device {
        name: asset,
        device: own,
        model: None,
        place,
        line: Line {
            endpoint,
            unit_id,
            addressing: address::notation(Addressing::SixDigits),
            fields: vec![("order".into(), orders::name(order).into())],
        },
        columns: Vec::new(),
        tags: Vec::new(),
    }
}

/// Fills a tag; `false` leaves it out, with a remark that says why.
fn row_of(reader: &mut Reader<'_>, columns: &Columns<'_>, row: &[Cell], tag: &mut Tag, of: &str) -> bool {
    let Some(written) = columns.cell(row, &["Address"]) else {
        reader.remark(tag.place, of, "Address", "", Dropped, "the tag has no address");
        return false;
    };
    let kind = columns.cell(row, &["Data Type"]);
    let kind_text = kind.map_or("Default", |cell| &cell.text);
    let access = columns.cell(row, &["Client Access"]).map(|cell| cell.text.to_ascii_uppercase());
    if access.as_deref() == Some("WO") {
        reader.remark(written.place, of, "Client Access", "WO", Dropped, "the tag can only be written");
        return false;
    }
    let placed = place(&written.text, kind_text).and_then(|(at, kind, swapped)| {
        address::place(tag, at, Addressing::SixDigits, kind)?;
        if let ValueType::String(_) = kind {
            orders::set(tag, if swapped { Order::Badc } else { Order::Abcd });
        }
        Ok(kind)
    });
    let kind = match placed {
        Ok(kind) => kind,
        Err(why) => {
            reader.remark(written.place, of, "Address", &format!("{} {kind_text}", written.text), Dropped, &why);
            return false;
        }
    };
    if !scaling(reader, columns, row, tag, of, kind) {
        return false;
    }
    if let Some(cell) = columns.cell(row, &["Eng Units", "Eng. Units", "Engineering Units"]) {
        reader.unit(tag, of, "Eng Units", &cell.text, cell.place);
    }
    if let Some(cell) = columns.cell(row, &["Description"]) {
        tag.set("description", &*cell.text);
    }
    rate(reader, columns, row, tag, of);
    if access.as_deref().is_some_and(|access| access.contains('W')) {
        reader.remark(written.place, of, "Client Access", "R/W", Dropped, "the tag is read; nothing writes to devices");
    }
    true
}

/// An address and a type: where the value is, what it is, and whether the bytes of a text are swapped.
fn place(text: &str, kind: &str) -> Result<(Address, ValueType, bool), String> {
    let text = text.trim();
    let unknown = || format!("`{text}` is no address of the Modbus drivers");
    if text.contains('[') || kind.ends_with("Array") {
        return Err("an array: give each of its elements a tag".to_owned());
    }
    let (base, suffix) = match text.split_once('.') {
        Some((base, suffix)) => (base, Some(suffix)),
        None => (text, None),
    };
    let at = match base.strip_prefix(['H', 'h']) {
        Some(hex) => {
            let digit = hex.chars().next().ok_or_else(unknown)?;
            let number = u32::from_str_radix(&hex[digit.len_utf8()..], 16).map_err(|_| unknown())?;
            address::table(digit).and_then(|table| address::numbered(table, number))
        }
        None => address::digit_and_number(base),
    };
    let at = at.ok_or_else(unknown)?;
    if let Some(length) = suffix.and_then(|suffix| suffix.strip_suffix(['H', 'L', 'h', 'l'])) {
        let bytes: u16 = length.parse().map_err(|_| unknown())?;
        let registers = u8::try_from(bytes.div_ceil(2)).ok().filter(|count| (1..=125).contains(count));
        let registers = registers.ok_or_else(|| format!("a text of {bytes} characters cannot be read at once"))?;
        let swapped = suffix.is_some_and(|suffix| suffix.ends_with(['L', 'l']));
        return Ok((at, ValueType::String(registers.into()), swapped));
    }
    if let Some(bit) = suffix {
        return match bit.parse() {
            Ok(bit @ 0..=15) if !at.table.is_bits() => Ok((at, ValueType::Bit(bit), false)),
            Ok(16) => {
                Err("bit 16: the device counts bits from 1, and the file does not say so of the others".to_owned())
            }
            _ => Err(unknown()),
        };
    }
    let kind = match kind {
        "Boolean" => ValueType::Bool,
        "Default" if at.table.is_bits() => ValueType::Bool,
        "Char" => ValueType::I8,
        "Byte" => ValueType::U8,
        "Short" => ValueType::I16,
        "Word" | "Default" => ValueType::U16,
        "Long" => ValueType::I32,
        "DWord" => ValueType::U32,
        "LLong" => ValueType::I64,
        "QWord" => ValueType::U64,
        "Float" => ValueType::F32,
        "Double" => ValueType::F64,
        "BCD" => ValueType::Bcd16,
        "LBCD" => ValueType::Bcd32,
        "String" => return Err("a text needs its length behind the address: `400001.20H`".to_owned()),
        other => return Err(format!("there is no type for `{other}`")),
    };
    Ok((at, kind, false))
}

/// Raw and scaled ranges; `false` where the value would be another one without them.
fn scaling(
    reader: &mut Reader<'_>,
    columns: &Columns<'_>,
    row: &[Cell],
    tag: &mut Tag,
    of: &str,
    kind: ValueType,
) -> bool {
    let negated = columns.cell(row, &["Negate Value"]).is_some_and(|cell| flag(&cell.text));
    let mode = columns.cell(row, &["Scaling"]);
    let mode_text = mode.map_or("None", |cell| &cell.text);
    let place = mode.map_or(tag.place, |cell| cell.place);
    match mode_text {
        "None" | "" => {
            if negated && kind.is_number() {
                tag.set("scale", -1.0);
            }
            true
        }
        "Linear" => {
            let end = |name| columns.cell(row, &[name]).and_then(|cell| number(&cell.text));
            let ends = ["Raw Low", "Raw High", "Scaled Low", "Scaled High"].map(end);
            let [Some(raw_low), Some(raw_high), Some(low), Some(high)] = ends else {
                reader.remark(place, of, "Scaling", mode_text, Dropped, "the tag is left out: a range has no number");
                return false;
            };
            if raw_low == raw_high || low == high || !kind.is_number() {
                reader.remark(place, of, "Scaling", mode_text, Dropped, "the tag is left out: a range is empty");
                return false;
            }
            let sign = if negated { -1.0 } else { 1.0 };
            tag.set("raw", crate::Value::Range([raw_low, raw_high]));
            tag.set("engineering", crate::Value::Range([low * sign, high * sign]));
            let clamps =
                ["Clamp Low", "Clamp High"].map(|name| columns.cell(row, &[name]).is_some_and(|cell| flag(&cell.text)));
            match clamps {
                [true, true] => tag.set("clamp", crate::Value::Flag(true)),
                [false, false] => {}
                _ => reader.remark(place, of, "Clamp", "", Dropped, "values are held at both ends or at none"),
            }
            let (one, other) = (low * sign, high * sign);
            tag.set("span", crate::Value::Range([one.min(other), one.max(other)]));
            if let Some(cell) = columns.cell(row, &["Scaled Data Type"])
                && !["Double", "Float"].contains(&&*cell.text)
            {
                let reason = "a scaled value keeps its fraction";
                reader.remark(cell.place, of, "Scaled Data Type", &cell.text, Approximated, reason);
            }
            true
        }
        other => {
            let reason = "the tag is left out: only a linear scale can be said; `calc` can compute this one";
            reader.remark(place, of, "Scaling", other, Dropped, reason);
            false
        }
    }
}

fn rate(reader: &mut Reader<'_>, columns: &Columns<'_>, row: &[Cell], tag: &mut Tag, of: &str) {
    let Some(cell) = columns.cell(row, &["Scan Rate"]) else { return };
    match number(&cell.text).map(|rate| rate as u64) {
        // Written into each tag that nobody has thought about.
        Some(DEFAULT_RATE) => {
            let reason = "100 ms is what Kepware writes by itself; the connection's `scan` is taken";
            reader.remark(cell.place, of, "Scan Rate", &cell.text, Approximated, reason);
        }
        Some(rate) if SCANS.contains(&rate) => tag.set("scan", duration(rate)),
        _ => reader.remark(cell.place, of, "Scan Rate", &cell.text, Dropped, "scans are from 100 ms to a day"),
    }
}

/// The rate that most tags have becomes the connection's.
fn common_rate(device: &mut Device) {
    let rates: Vec<_> = device.tags.iter().map(|tag| tag.get("scan").cloned()).collect();
    let common = crate::group::most_frequent(rates.iter()).cloned().flatten();
    let Some(common) = common else {
        device.line.fields.push(("scan".into(), "1s".into()));
        return;
    };
    for tag in &mut device.tags {
        if tag.get("scan") == Some(&common) {
            tag.remove("scan");
        }
    }
    device.line.fields.push(("scan".into(), common));
}

/// A number of a file that a program wrote: a comma in it is a decimal sign.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let number: f64 = text.parse().or_else(|_| text.replacen(',', ".", 1).parse()).ok()?;
    number.is_finite().then_some(number)
}

fn flag(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use modbus::Table as Registers;

    #[test]
    fn addresses_of_the_modbus_drivers() {
        let offset = |text: &str, kind: &str| place(text, kind).unwrap();
        let holding = |offset| Address { table: Registers::HoldingRegisters, offset };
        assert_eq!(offset("400001", "Float"), (holding(0), ValueType::F32, false));
        assert_eq!(offset("40101", "Short"), (holding(100), ValueType::I16, false));
        assert_eq!(offset("400010.3", "Boolean"), (holding(9), ValueType::Bit(3), false));
        assert_eq!(offset("H4000A", "Word"), (holding(9), ValueType::U16, false));
        assert_eq!(offset("400021.20L", "String"), (holding(20), ValueType::String(10), true));
        assert_eq!(offset("000003", "Boolean").0, Address { table: Registers::Coils, offset: 2 });
        assert_eq!(offset("300001", "Default").1, ValueType::U16);
        for (text, kind) in [
            ("400001[10]", "Float Array"),
            ("DB1.DBW0", "Word"),
            ("400000", "Word"),
            ("400001.16", "Boolean"),
            ("400001.300H", "String"),
            ("400001", "Date"),
            ("Hñ1", "Word"),
            ("H", "Word"),
            ("", "Word"),
        ] {
            assert!(place(text, kind).is_err(), "{text} {kind}");
        }
    }
}
