//! Numbers with units, read in the unit that is wanted.

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::scalar::Quantity;
use ducto_graph::tree::Spanned;
use ducto_record::{Unit, Units};

use crate::field::ATMOSPHERE;

/// psi in Pa.
const PSI: f64 = 6_894.757_293_168;

/// What a quantity must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The unit that it is read in, and in which it is taken where none is written.
    pub(super) unit: &'static str,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Wanted {
    pub(super) const fn new(unit: &'static str, low: f64, high: f64) -> Self {
        Self { unit, low, high }
    }

    /// The number in the unit that is wanted; what is wrong is reported.
    pub(super) fn read(&self, given: &Spanned<Quantity>, units: &Units, found: &mut Diagnostics) -> Option<f64> {
        let value = self.converted(given, units, found, |from, to| {
            from.to(to, Some(ATMOSPHERE * PSI)).ok().map(|conversion| conversion.apply(given.value.value))
        })?;
        self.inside(value, given, found)
    }

    /// As [`Self::read`], for a change: 10 psi more is 10 more in psig.
    pub(super) fn change(&self, given: &Spanned<Quantity>, units: &Units, found: &mut Diagnostics) -> Option<f64> {
        let value = self.converted(given, units, found, |from, to| {
            (from.dimension == to.dimension).then(|| given.value.value * from.scale / to.scale)
        })?;
        self.inside(value, given, found)
    }

    fn converted(
        &self,
        given: &Spanned<Quantity>,
        units: &Units,
        found: &mut Diagnostics,
        convert: impl Fn(&Unit, &Unit) -> Option<f64>,
    ) -> Option<f64> {
        let Some(name) = given.value.unit.as_deref().filter(|name| *name != self.unit) else {
            return Some(given.value.value);
        };
        let Some(from) = units.get(name) else {
            found.push(
                Diagnostic::new(Code::UnitUnknown, format!("`{name}` is not a unit"))
                    .at(given.place)
                    .help(format!("write it in {}", self.unit))
                    .suggest(name, units.names()),
            );
            return None;
        };
        // Units that are wanted are among those of the field.
        let converted = units.get(self.unit).and_then(|to| convert(from, to));
        if converted.is_none() {
            let message = format!("`{name}` and `{}` measure different things", self.unit);
            let help = format!("write it in {}, or the number alone", self.unit);
            found.push(Diagnostic::new(Code::UnitUnfit, message).at(given.place).help(help));
        }
        converted
    }

    fn inside(&self, value: f64, given: &Spanned<Quantity>, found: &mut Diagnostics) -> Option<f64> {
        // What conversion leaves behind the comma is no mistake.
        let slack = 1e-9 * (self.high - self.low);
        if (self.low - slack..=self.high + slack).contains(&value) {
            return Some(value.clamp(self.low, self.high));
        }
        let Self { unit, low, high } = self;
        found.push(
            Diagnostic::new(Code::NumberOutOfRange, format!("`{}` is outside {low} to {high} {unit}", given.value))
                .at(given.place)
                .help(format!("give a number from {low} to {high} {unit}")),
        );
        None
    }
}
