//! Modbus addresses as fields of a tag.

use modbus::{Address, Addressing, Table, ValueType};

use crate::model::Tag;

/// Last number of a table's last register or bit, counted from 1.
const LAST: u32 = 65_536;

/// An address written as a table's digit and a number from 1: `40001`, `400001` and `41` are the same. The number's
/// leading zeros do not matter.
pub(crate) fn digit_and_number(text: &str) -> Option<Address> {
    let digit = text.chars().next()?;
    let rest = &text[digit.len_utf8()..];
    if rest.is_empty() || rest.len() > 6 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    numbered(table(digit)?, rest.parse().ok()?)
}

/// A number from 1 in a table.
pub(crate) fn numbered(table: Table, number: u32) -> Option<Address> {
    (1..=LAST).contains(&number).then(|| Address { table, offset: (number - 1) as u16 })
}

/// The table that a leading digit names.
pub(crate) fn table(digit: char) -> Option<Table> {
    Some(match digit {
        '0' => Table::Coils,
        '1' => Table::DiscreteInputs,
        '3' => Table::InputRegisters,
        '4' => Table::HoldingRegisters,
        _ => return None,
    })
}

/// Sets `address` and, where the notation has no digit for it, `table`; then `as`, `bit` or `length`. Says what is
/// wrong where a device cannot have such a value there.
pub(crate) fn place(tag: &mut Tag, at: Address, addressing: Addressing, kind: ValueType) -> Result<(), String> {
    let bits = at.table.is_bits();
    if bits && kind != ValueType::Bool {
        return Err(format!("a {} holds no `{kind}`", at.table));
    }
    if u32::from(at.offset) + u32::from(kind.registers()) > LAST {
        return Err(format!("`{kind}` would go past the last register"));
    }
    let written = at.in_notation(addressing);
    match written.parse::<u32>() {
        Ok(number) if number.to_string() == written => tag.set("address", f64::from(number)),
        // The zero of a coil says which table is meant.
        _ => tag.set("address", written),
    }
    if matches!(addressing, Addressing::Zero | Addressing::One) && at.table != Table::HoldingRegisters {
        let name = modbus::address::TABLES.iter().find(|(_, table)| *table == at.table).map_or("", |(name, _)| name);
        tag.set("table", name);
    }
    match kind {
        ValueType::Bool if bits => {}
        ValueType::Bit(bit) => tag.set("bit", f64::from(bit)),
        kind => tag.set("as", kind.to_string()),
    }
    Ok(())
}

/// `addressing:` of a connection.
pub(crate) const fn notation(addressing: Addressing) -> &'static str {
    match addressing {
        Addressing::Zero => "0",
        Addressing::One => "1",
        Addressing::FiveDigits => "40001",
        Addressing::SixDigits => "400001",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_any_length_are_the_same() {
        for text in ["41", "401", "4001", "40001", "400001"] {
            assert_eq!(digit_and_number(text), Some(Address { table: Table::HoldingRegisters, offset: 0 }), "{text}");
        }
        assert_eq!(digit_and_number("465536").unwrap().offset, 65535);
        for text in ["", "4", "40", "40000", "465537", "50001", "4x1", "ñ1", "4000000001"] {
            assert_eq!(digit_and_number(text), None, "{text}");
        }
    }

    #[test]
    fn tables_are_named_where_the_notation_has_no_digit() {
        let at = |table| Address { table, offset: 4 };
        let fields = |table, addressing, kind| {
            let mut tag = Tag::new("X", ducto_graph::source::Place::NOWHERE);
            place(&mut tag, at(table), addressing, kind).map(|()| tag.fields)
        };
        assert_eq!(
            fields(Table::InputRegisters, Addressing::One, ValueType::F32).unwrap(),
            [("address".into(), 5.0.into()), ("table".into(), "input".into()), ("as".into(), "f32".into())]
        );
        assert_eq!(
            fields(Table::Coils, Addressing::SixDigits, ValueType::Bool).unwrap(),
            [("address".into(), "000005".into())]
        );
        assert!(fields(Table::Coils, Addressing::SixDigits, ValueType::U16).is_err());
    }
}
