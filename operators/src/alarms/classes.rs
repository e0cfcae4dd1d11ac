//! The site section `alarm_classes`.

use std::collections::BTreeMap;

use ducto_graph::decode::OrderedMap;
use ducto_graph::site::Site;
use schemars::JsonSchema;
use serde::Deserialize;

/// The class of an alarm that names none.
pub(super) const DEFAULT_CLASS: &str = "process";

/// The alarm classes of a site, by name. `safety`, `well_integrity`, `process` and `advisory` are there even where the
/// site does not define them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AlarmClasses(pub OrderedMap<AlarmClass>);

/// What alarms of a class have in common.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmClass {
    /// Priority on the uplink: 1 at once, 2 within a minute, 3 within 15 minutes, 4 within the hour; 2 by default.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 4))]
    pub uplink: u8,
    /// Whether an alarm whose condition is gone stays until a person resets it; no by default.
    #[serde(default)]
    pub latching: bool,
    /// Whether its alarms count as acknowledged from the start; no by default.
    #[serde(default)]
    pub auto_acknowledge: bool,
    /// Who may change limits of this class; `operator` by default.
    #[serde(default)]
    pub edit: Editor,
}

/// Who may change an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Editor {
    /// Operators and engineers.
    #[default]
    Operator,
    /// Engineers only.
    Engineer,
}

fn two() -> u8 {
    2
}

/// Every class that alarms of a site may name: its own, and those that are always there.
pub fn classes(site: &Site) -> BTreeMap<String, AlarmClass> {
    let class = |uplink, latching, edit| AlarmClass { uplink, latching, auto_acknowledge: false, edit };
    let mut classes: BTreeMap<String, AlarmClass> = [
        ("safety", class(1, true, Editor::Engineer)),
        ("well_integrity", class(1, false, Editor::Engineer)),
        (DEFAULT_CLASS, class(2, false, Editor::Operator)),
        ("advisory", class(3, false, Editor::Operator)),
    ]
    .into_iter()
    .map(|(name, class)| (name.to_owned(), class))
    .collect();
    if let Some(own) = site.section::<AlarmClasses>("alarm_classes") {
        classes.extend(own.0.iter().map(|(name, class)| (name.value.clone(), class.clone())));
    }
    classes
}
