//! Units that tables set: what a template says in one unit is not said in another.

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, quoted_list};
use crate::tree::{Node, Spanned};

use super::Loader;
use super::settings::Setting;

/// Fields whose numbers are in the tag's unit.
const IN_UNIT: [&str; 2] = ["span", "envelope"];

impl Loader<'_> {
    /// Looks at the `unit` that a table sets on a tag whose template has another: of another quantity it is a mistake,
    /// and of the same one the numbers of the template must be set too.
    pub(super) fn check_unit_settings(&mut self, template: &Node, settings: &[&Setting]) {
        let Some(setting) = settings.iter().rev().find(|setting| setting.path.value == "unit") else { return };
        let before = template.get("unit").and_then(|node| Some((node.place, node.as_text()?)));
        let (Some((place, before)), Some(now)) = (before, setting.value.as_text()) else { return };
        let unit = |name: &str| self.registry.unit(&Spanned::from(name.to_owned())).cloned();
        // An unknown unit is reported where the tag is decoded.
        let (Ok(old), Ok(new)) = (unit(before), unit(now)) else { return };
        let at = setting.value.place;
        if !old.same_quantity(&new) {
            let message = format!("`{now}` measures something else than `{before}`, which the template has");
            self.report(
                Diagnostic::new(Code::UnitReplaced, message)
                    .at(at)
                    .note_at(place, "the template's unit is here")
                    .help("correct the unit, or give the asset a template of its own"),
            );
            return;
        }
        if old == new {
            return;
        }
        let is_set = |field: &str| {
            settings.iter().any(|setting| setting.path.split('.').next().is_some_and(|head| head == field))
        };
        let left: Vec<&str> =
            IN_UNIT.into_iter().filter(|field| template.get(field).is_some() && !is_set(field)).collect();
        if left.is_empty() {
            return;
        }
        let message =
            format!("the unit becomes `{now}`, and {} stays as it was written in `{before}`", quoted_list(&left));
        self.report(
            Diagnostic::new(Code::UnitWithoutRanges, message)
                .at(at)
                .note_at(place, "the template's unit is here")
                .help(format!(
                    "set {} too, and limits of alarms that name no unit; or leave the unit and set `scale`",
                    quoted_list(&left)
                )),
        );
    }
}
