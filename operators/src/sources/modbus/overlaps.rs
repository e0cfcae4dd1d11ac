//! Tags of one device whose places lie on each other.

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::Place;
use ducto_graph::tree::Spanned;
use modbus::ValueType;

use super::point::Point;

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
    use super::super::point::tests::read;
    use super::*;

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
