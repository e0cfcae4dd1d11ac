//! What an expression measures: units through arithmetic.

use std::sync::Arc;

use ducto_record::Units;

/// What is known of the unit of a part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measure {
    /// A number written in the text, or made of such: fits any unit.
    Number,
    /// A column with this unit, or what keeps it.
    Known(Arc<str>),
    /// A column without a unit, a product of two units, ….
    Unknown,
}

/// Two parts whose units do not fit together.
#[derive(Debug, PartialEq)]
pub(super) struct Mismatch {
    pub(super) left: Arc<str>,
    pub(super) right: Arc<str>,
}

/// Rules over the units that a site can name.
pub(super) struct Measures<'a> {
    pub(super) units: &'a Units,
}

impl Measures<'_> {
    pub(super) fn same(&self, left: &str, right: &str) -> bool {
        left == right
            || match (self.units.get(left), self.units.get(right)) {
                (Some(left), Some(right)) => left == right,
                _ => false,
            }
    }

    /// One measure for parts that stand for each other: compared, chosen from, in a list.
    pub(super) fn alike(&self, parts: &[Measure]) -> Result<Measure, Mismatch> {
        let mut result = Measure::Number;
        let mut first: Option<&Arc<str>> = None;
        for part in parts {
            match part {
                Measure::Number => {}
                Measure::Unknown => result = Measure::Unknown,
                Measure::Known(unit) => {
                    if let Some(first) = first
                        && !self.same(first, unit)
                    {
                        return Err(Mismatch { left: first.clone(), right: unit.clone() });
                    }
                    first.get_or_insert(unit);
                    if result == Measure::Number {
                        result = part.clone();
                    }
                }
            }
        }
        Ok(result)
    }

    /// `a + b`: equal units, or a difference added to what it is a difference of.
    pub(super) fn plus(&self, left: &Measure, right: &Measure) -> Result<Measure, Mismatch> {
        if let (Measure::Known(a), Measure::Known(b)) = (left, right) {
            if self.difference(a).is_some_and(|difference| self.same(&difference, b)) {
                return Ok(left.clone());
            }
            if self.difference(b).is_some_and(|difference| self.same(&difference, a)) {
                return Ok(right.clone());
            }
        }
        self.alike(&[left.clone(), right.clone()])
    }

    /// `a - b`: of two gauge pressures or two temperatures the result is a difference, in the unit for differences
    /// where there is one, and without a unit where there is none.
    pub(super) fn minus(&self, left: &Measure, right: &Measure) -> Result<Measure, Mismatch> {
        let (Measure::Known(a), Measure::Known(b)) = (left, right) else {
            return self.alike(&[left.clone(), right.clone()]);
        };
        if self.difference(a).is_some_and(|difference| self.same(&difference, b)) {
            return Ok(left.clone());
        }
        let alike = self.alike(&[left.clone(), right.clone()])?;
        Ok(match self.units.get(a) {
            Some(unit) if unit.has_zero_of_its_own() => self.difference(a).map_or(Measure::Unknown, Measure::Known),
            _ => alike,
        })
    }

    /// `a * b` keeps a unit where the other side is a number.
    pub(super) fn times(left: &Measure, right: &Measure) -> Measure {
        match (left, right) {
            (Measure::Number, other) | (other, Measure::Number) => other.clone(),
            _ => Measure::Unknown,
        }
    }

    /// `a / b` keeps the unit of `a` where `b` is a number.
    pub(super) fn over(left: &Measure, right: &Measure) -> Measure {
        if *right == Measure::Number { left.clone() } else { Measure::Unknown }
    }

    /// The unit in which differences of `unit` are measured, where it is another one.
    fn difference(&self, unit: &str) -> Option<Arc<str>> {
        self.units.difference(self.units.get(unit)?).map(|other| other.symbol.clone())
    }
}
