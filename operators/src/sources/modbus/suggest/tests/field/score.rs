//! What was found of a field, judged.

use std::collections::BTreeSet;

use modbus::{Order, ValueType};

use super::{Field, Seeded};

/// What was found of a field, judged.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Mistakes that `check` names the cell or the tag of.
    pub(crate) checked: BTreeSet<String>,
    /// Mistakes for which the right settings are proposed.
    pub(crate) proposed: BTreeSet<String>,
    /// Proposals that are wrong, or for tags that are right.
    pub(crate) wrong: Vec<String>,
    /// Mistakes that are named without a proposal.
    pub(crate) named: BTreeSet<String>,
}

impl Field {
    /// Whether settings, by their fields, are those that a tag should have.
    pub(crate) fn is_right(&self, tag: &str, changes: &[(String, String)]) -> bool {
        let (name, variable) = tag.rsplit_once('.').unwrap();
        let well = self.wells.iter().position(|well| well.name == name).unwrap();
        let model = self.model(well);
        let index = model.variables.iter().position(|known| known.name == variable).unwrap();
        let (of, truth) = (&model.variables[index], self.wells[well].truth[index]);
        // The settings as the spreadsheet has them, with the changes over them.
        let mut cells = self.wells[well].cells.clone();
        for (field, value) in changes {
            cells.insert(format!("{variable}.{field}"), value.clone());
        }
        let cell = |field: &str| cells.get(&format!("{variable}.{field}")).cloned();
        let address = cell("address").unwrap_or_else(|| self.address(well, of.offset));
        let kind: ValueType = cell("as").map_or(of.kind, |text| text.parse().unwrap());
        let read: Order = cell("order").map_or(model.order, |text| text.parse().unwrap());
        let swaps = |order| matches!(order, Order::Badc | Order::Dcba);
        let same_order = match kind.registers() {
            1 => swaps(read) == swaps(truth.order),
            _ => read == truth.order,
        };
        let scale: f64 = cell("scale").map_or(of.scale, |text| text.parse().unwrap());
        let expected = of.scale / truth.factor;
        address == self.address(well, truth.offset)
            && kind == truth.kind
            && same_order
            && (scale / expected - 1.0).abs() < 1e-5
    }

    pub(crate) fn seeded(&self, tag: &str) -> Option<&Seeded> {
        self.seeded.iter().find(|seeded| seeded.tag == tag)
    }
}
