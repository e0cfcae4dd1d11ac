//! In which unit the value and the limit of an alarm are: not always in that of the tag.

use std::sync::Arc;

use ducto_graph::expr::Expression;
use ducto_graph::site::{Site, TagSettings};
use ducto_record::{TagId, Unit, Units, per_of};

use super::definition::Condition;
use super::events::Key;

/// What a condition on a tag compares.
pub(super) fn of_condition(condition: &Condition, tag: &TagSettings, units: &Units) -> Option<Arc<str>> {
    let unit = tag.unit.as_ref()?;
    match condition {
        Condition::High { .. } | Condition::Low { .. } | Condition::Bad => Some(unit.symbol.clone()),
        Condition::Deviation { .. } => Some(distance(unit, units)),
        Condition::Rate { .. } => Some(per(unit, "s", units)),
        Condition::Discrete { .. } => None,
    }
}

/// A distance between two values: of gauge pressures psi, and not psig.
fn distance(unit: &Unit, units: &Units) -> Arc<str> {
    units.difference(unit).unwrap_or(unit).symbol.clone()
}

fn per(unit: &Unit, time: &str, units: &Units) -> Arc<str> {
    format!("{}/{time}", distance(unit, units)).into()
}

/// The units of what an expression compares, for each key.
#[derive(Clone, Debug, Default)]
pub(super) enum Shown {
    /// It has none, or it is not known.
    #[default]
    None,
    Every(Arc<str>),
    /// By the number of the tag.
    ByTag(Vec<Option<Arc<str>>>),
}

impl Shown {
    pub(super) fn of(value: &Expression, key: Key, site: &Site, units: &Units) -> Self {
        if let Some(unit) = value.unit() {
            return Self::Every(unit.into());
        }
        let ([field], Key::Tag) = (&value.input().fields()[..], key) else { return Self::None };
        let by_tag = |of: &dyn Fn(&Unit) -> Arc<str>| {
            Self::ByTag(site.tags.iter().map(|tag| tag.unit.as_ref().map(of)).collect())
        };
        match (per_of(field), field.name().as_str()) {
            (Some(time), _) => by_tag(&|unit| per(unit, time, units)),
            (None, "value") => by_tag(&|unit| unit.symbol.clone()),
            _ => Self::None,
        }
    }

    pub(super) fn unit(&self, key: TagId) -> Option<Arc<str>> {
        match self {
            Self::None => None,
            Self::Every(unit) => Some(unit.clone()),
            Self::ByTag(units) => units.get(key as usize)?.clone(),
        }
    }
}
