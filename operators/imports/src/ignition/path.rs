//! OPC item paths of the Modbus drivers: `ns=1;s=[Device]3.HRF1001`.

use modbus::{Address, Table, ValueType};

use crate::address::numbered;

/// Where a tag is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) device: String,
    pub(super) unit: Option<u8>,
    pub(super) at: Address,
    pub(super) kind: ValueType,
}

/// What stands behind `HR` and `IR`, the longest first where one begins with another.
const SUFFIXES: [(&str, ValueType); 11] = [
    ("BCD_32", ValueType::Bcd32),
    ("BCD", ValueType::Bcd16),
    ("UI_64", ValueType::U64),
    ("UI", ValueType::U32),
    ("US", ValueType::U16),
    ("I_64", ValueType::I64),
    ("I", ValueType::I32),
    ("F", ValueType::F32),
    ("D", ValueType::F64),
    ("S", ValueType::String(1)),
    ("", ValueType::I16),
];

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let item = text.find(";s=").map_or(text, |at| &text[at + 3..]);
        let (device, rest) = item
            .strip_prefix('[')
            .and_then(|item| item.split_once(']'))
            .ok_or("it names no device of Ignition's own drivers, `[Device]…`")?;
        let unknown = || "it is no address of the Modbus drivers, such as `HR1`, `HRF1001`, `3.IR7`".to_owned();
        let (unit, rest) = match rest.split_once('.') {
            Some((unit, rest)) if !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_digit()) => {
                (Some(unit.parse().map_err(|_| format!("there is no unit {unit}"))?), rest)
            }
            _ => (None, rest),
        };
        let letters = rest.find(|c: char| c.is_ascii_digit()).filter(|_| rest.is_ascii()).ok_or_else(unknown)?;
        let (table, kind, rest) = designator(rest, letters).ok_or_else(unknown)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(digits);
        let at = number.parse().ok().and_then(|number| numbered(table, number)).ok_or_else(unknown)?;
        let kind = match (kind, rest.split_at_checked(1)) {
            (ValueType::String(_), Some((":", length))) => {
                let length: u16 = length.parse().map_err(|_| unknown())?;
                let registers = length.div_ceil(2);
                if !(1..=125).contains(&registers) {
                    return Err(format!("a text of {length} characters cannot be read at once"));
                }
                ValueType::String(registers)
            }
            (ValueType::String(_), _) => return Err("a text needs its length: `HRS1:20`".to_owned()),
            (kind, None) => kind,
            (ValueType::I16 | ValueType::U16, Some((".", bit))) => {
                ValueType::Bit(bit.parse().ok().filter(|bit| *bit <= 15).ok_or_else(unknown)?)
            }
            _ => return Err(unknown()),
        };
        Ok(Self { device: device.to_owned(), unit, at, kind })
    }
}

/// `HRF1001`, whose first digit is at `letters`, as a table, a type and what is left. The names of 64 bits hold digits
/// themselves.
fn designator(text: &str, letters: usize) -> Option<(Table, ValueType, &str)> {
    match &text[..letters] {
        "C" => return Some((Table::Coils, ValueType::Bool, &text[1..])),
        "DI" => return Some((Table::DiscreteInputs, ValueType::Bool, &text[2..])),
        _ => {}
    }
    let table = match text.get(..2)? {
        "HR" => Table::HoldingRegisters,
        "IR" => Table::InputRegisters,
        _ => return None,
    };
    let rest = &text[2..];
    SUFFIXES
        .iter()
        .filter_map(|(suffix, kind)| Some((table, *kind, rest.strip_prefix(suffix)?)))
        .find(|(_, _, number)| number.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn item_paths_of_the_modbus_drivers() {
        let read = |text: &str| {
            let path = Path::parse(text).unwrap();
            (path.device, path.unit, path.at.table, path.at.offset, path.kind)
        };
        let holding = Table::HoldingRegisters;
        assert_eq!(read("ns=1;s=[RTU 7]HR40001"), ("RTU 7".into(), None, holding, 40_000, ValueType::I16));
        assert_eq!(read("[R]3.HRF1001"), ("R".into(), Some(3), holding, 1000, ValueType::F32));
        assert_eq!(read("[R]IRUS7").4, ValueType::U16);
        assert_eq!(read("[R]HRI_641"), ("R".into(), None, holding, 0, ValueType::I64));
        assert_eq!(read("[R]HRUI_6465536").3, 65_535);
        assert_eq!(read("[R]HRBCD_329").4, ValueType::Bcd32);
        assert_eq!(read("[R]HR12.15").4, ValueType::Bit(15));
        assert_eq!(read("[R]HRS24:20").4, ValueType::String(10));
        assert_eq!(read("[R]C5").2, Table::Coils);
        assert_eq!(read("[R]2.DI1"), ("R".into(), Some(2), Table::DiscreteInputs, 0, ValueType::Bool));
        for text in [
            "",
            "ns=2;s=Device.40001",
            "[R]Prefix/HR1",
            "[R]HR0",
            "[R]HR65537",
            "[R]HRF1.3",
            "[R]HRS1",
            "[R]999.HR1",
            "[R]HRX1",
            "[R]Hñ1",
            "[R]",
            "[R]HR1:",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
