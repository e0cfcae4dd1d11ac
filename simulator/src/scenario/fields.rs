//! The fields of scenarios, as they are written.

use ducto_graph::decode::OrderedMap;
use ducto_graph::scalar::{Duration, Name, Quantity, Timestamp};
use ducto_graph::tree::{Node, Spanned};
use schemars::JsonSchema;
use serde::Deserialize;

use super::kinds::EventName;
use crate::simulation::Lie;

/// A scenario: which wells and separators there are, and what happens to them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SimulationFields {
    /// Name of the scenario.
    pub simulation: Spanned<Name>,
    /// Where everything that is drawn begins: the same seed gives the same values. 1 where it is not given.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How many times faster than the clock on the wall it goes: 60 makes hours of minutes. 1 where it is not given.
    #[serde(default)]
    pub speed: Option<Spanned<f64>>,
    /// The time at which the clock of a recording starts: 2026-01-01T00:00:00Z where it is not given.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// The wells.
    #[serde(default)]
    #[schemars(with = "WellsFields")]
    #[expect(dead_code, reason = "decoded by itself, so that its mistakes are found beside those of the others")]
    pub wells: Option<Node>,
    /// The separators, by name. Without them there are `SEP-01` and, for tests, `SEP-TEST`.
    #[serde(default)]
    #[schemars(with = "OrderedMap<SeparatorFields>")]
    #[expect(dead_code, reason = "as `wells`")]
    pub separators: Option<Node>,
    /// What happens.
    #[serde(default)]
    #[schemars(with = "Vec<EventFields>")]
    #[expect(dead_code, reason = "as `wells`")]
    pub events: Option<Node>,
}

/// The wells: how many there are, and what of them is not left to the seed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WellsFields {
    /// How many; 20 where it is not given.
    #[serde(default)]
    pub count: Option<Spanned<u32>>,
    /// What stands before the number in their names; `WELL-` where it is not given.
    #[serde(default)]
    pub prefix: Option<Spanned<Name>>,
    /// What holds of all of them.
    #[serde(default)]
    pub all: Option<WellFields>,
    /// What holds of single ones, by name.
    #[serde(default)]
    pub each: OrderedMap<WellFields>,
}

/// What is known of a well. The rest is drawn, and pump, motor and choke are chosen for it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WellFields {
    /// Model of its device: `esp-controller` where it is not given.
    pub device: Option<Spanned<String>>,
    /// The separator that it flows to; the first where it is not given.
    pub flows_to: Option<Spanned<String>>,
    /// Pressure of the reservoir, in psia, 200 to 10000.
    pub reservoir_pressure: Option<Spanned<Quantity>>,
    /// Productivity index above the bubble point, in stb/d/psi, 0.05 to 30.
    pub productivity: Option<Spanned<Quantity>>,
    /// Pressure below which gas leaves the oil, in psia, 50 to 5000.
    pub bubble_point: Option<Spanned<Quantity>>,
    /// Share of water in the liquid, in %.
    pub water_cut: Option<Spanned<Quantity>>,
    /// Gas for each barrel of oil, in scf/stb, up to 2500.
    pub gas_oil_ratio: Option<Spanned<Quantity>>,
    /// True vertical depth of the pump, in ft, 1000 to 12000.
    pub pump_depth: Option<Spanned<Quantity>>,
    /// What the drive is set to, in Hz, 30 to 70.
    pub frequency: Option<Spanned<Quantity>>,
    /// Opening of the choke, in %.
    pub choke: Option<Spanned<Quantity>>,
    /// Share of its head that the pump has lost already, in %, up to 90.
    pub wear: Option<Spanned<Quantity>>,
}

/// A separator.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SeparatorFields {
    /// Whether wells flow to it only while they are tested.
    pub test: bool,
    /// Its pressure, in psig, 10 to 1000; 150 where it is not given.
    pub pressure: Option<Spanned<Quantity>>,
    /// What its totals show at the beginning, below 1000000, at which they roll over.
    pub totals: Option<Spanned<f64>>,
}

/// Something that happens, once (`at`), again and again (`every`) or now and then (`random_every`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventFields {
    /// What happens.
    pub event: Spanned<EventName>,
    /// When, since the start: the only time, or the first.
    #[serde(default)]
    pub at: Option<Spanned<Duration>>,
    /// Time from one beginning to the next.
    #[serde(default)]
    pub every: Option<Spanned<Duration>>,
    /// It happens at random times, once in this time on the average, for each well or separator by itself.
    #[serde(default)]
    pub random_every: Option<Spanned<Duration>>,
    /// How long it lasts; then everything is as it was before. Without it, for ever.
    #[serde(default, rename = "for")]
    pub lasts: Option<Spanned<Duration>>,
    /// The well it happens to, or those that a pattern such as `WELL-0*` names.
    #[serde(default)]
    pub well: Option<Spanned<String>>,
    /// The separator it happens to, or a pattern; of `well_test`, where the well goes.
    #[serde(default)]
    pub separator: Option<Spanned<String>>,
    /// The variable whose measurement goes wrong: `THP`.
    #[serde(default)]
    pub tag: Option<Spanned<String>>,
    /// What it becomes: `30 %`, `45 Hz`, `2700 psig`. A number alone is in the unit of the thing.
    #[serde(default)]
    pub to: Option<Spanned<Quantity>>,
    /// By how much it changes.
    #[serde(default)]
    pub by: Option<Spanned<Quantity>>,
    /// How long the change takes; at once where it is not given.
    #[serde(default)]
    pub over: Option<Spanned<Duration>>,
    /// Of `lie`: what the device answers.
    #[serde(default)]
    pub answer: Option<Spanned<Lie>>,
}

impl EventFields {
    /// The fields that hang on the event and are given, by name.
    pub(super) fn given(&self) -> Vec<(&'static str, ducto_graph::source::Place)> {
        let places = [
            ("for", self.lasts.as_ref().map(|field| field.place)),
            ("well", self.well.as_ref().map(|field| field.place)),
            ("separator", self.separator.as_ref().map(|field| field.place)),
            ("tag", self.tag.as_ref().map(|field| field.place)),
            ("to", self.to.as_ref().map(|field| field.place)),
            ("by", self.by.as_ref().map(|field| field.place)),
            ("over", self.over.as_ref().map(|field| field.place)),
            ("answer", self.answer.as_ref().map(|field| field.place)),
        ];
        places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect()
    }
}
