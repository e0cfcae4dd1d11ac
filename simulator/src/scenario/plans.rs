//! From the fields of a scenario to wells and separators.

use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::scalar::{Name, Timestamp};
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_record::Units;
use serde::de::DeserializeOwned;

use super::events::Reader;
use super::fields::{EventFields, SeparatorFields, SimulationFields, WellFields, WellsFields};
use super::quantity::Wanted;
use super::{DEFAULT_START, Overrides, Scenario, SeparatorPlan, WellPlan};
use crate::device::{Equipment, MODELS, Model};
use crate::field::{ATMOSPHERE, Known};

/// Wells where their number is not given.
const DEFAULT_WELLS: u32 = 20;
const DEFAULT_PREFIX: &str = "WELL-";
const DEFAULT_PRESSURE: f64 = 150.0;
/// More than these would be no field any more.
pub(crate) const MOST_WELLS: u32 = 10_000;
/// Units that a gateway has left for separators.
pub(crate) const MOST_SEPARATORS: usize = 40;
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=100_000.0;

const RESERVOIR: Wanted = Wanted::new("psia", 200.0, 10_000.0);
const PRODUCTIVITY: Wanted = Wanted::new("stb/d/psi", 0.05, 30.0);
const BUBBLE_POINT: Wanted = Wanted::new("psia", 50.0, 5_000.0);
const GAS_OIL_RATIO: Wanted = Wanted::new("scf/stb", 0.0, 2_500.0);
const PUMP_DEPTH: Wanted = Wanted::new("ft", 1_000.0, 12_000.0);
pub(super) const FREQUENCY: Wanted = Wanted::new("Hz", 30.0, 70.0);
pub(super) const PERCENT: Wanted = Wanted::new("%", 0.0, 100.0);
const WEAR: Wanted = Wanted::new("%", 0.0, 90.0);
pub(super) const PRESSURE: Wanted = Wanted::new("psig", 10.0, 1_000.0);

/// Reads a scenario. Each part is looked at although another is wrong.
pub(super) fn scenario(node: &Node, over: &Overrides, units: &Units, found: &mut Diagnostics) -> Option<Scenario> {
    let before = found.len();
    let fields = decode::<SimulationFields>(node, found);
    let speed = over.speed.unwrap_or_else(|| speed(fields.as_ref().and_then(|fields| fields.speed.as_ref()), found));
    let separators: Option<OrderedMap<SeparatorFields>> = part(node, "separators", found);
    let separators = separators.map(|fields| self::separators(&fields, units, found));
    let wells: Option<WellsFields> = part(node, "wells", found);
    let wells = wells.map(|fields| self::wells(fields, separators.as_deref(), over, units, found));
    // Where these are not known, it is not said of an event that they are not there.
    let known = wells.is_some() && separators.is_some();
    let mut scenario = Scenario {
        name: fields.as_ref().map(|fields| fields.simulation.value.to_string()).unwrap_or_default(),
        seed: over.seed.or(fields.as_ref().and_then(|fields| fields.seed)).unwrap_or(1),
        speed,
        start: fields.as_ref().and_then(|fields| fields.start).map_or(DEFAULT_START, Timestamp::micros),
        wells: wells.unwrap_or_default(),
        separators: separators.unwrap_or_default(),
        events: Vec::new(),
    };
    let mut events = Vec::new();
    for node in part::<Vec<Node>>(node, "events", found).unwrap_or_default() {
        let Some(event) = decode::<EventFields>(&node, found) else { continue };
        events.extend(Reader { scenario: &scenario, known, units, found }.event(event, node.place));
    }
    scenario.events = events;
    (fields.is_some() && found.len() == before).then_some(scenario)
}

/// A part of the file; its default where it is not there, `None` where it has mistakes.
fn part<T: DeserializeOwned + Default>(node: &Node, name: &str, found: &mut Diagnostics) -> Option<T> {
    match node.get(name) {
        Some(node) => decode(node, found),
        None => Some(T::default()),
    }
}

fn speed(given: Option<&Spanned<f64>>, found: &mut Diagnostics) -> f64 {
    let Some(given) = given else { return 1.0 };
    if !SPEEDS.contains(&given.value) {
        found.push(
            Diagnostic::new(Code::NumberOutOfRange, format!("`{}` is no speed", given.value))
                .at(given.place)
                .help(format!("give a number from {} to {}; 1 is real time", SPEEDS.start(), SPEEDS.end())),
        );
        return 1.0;
    }
    given.value
}

/// Whether a speed is one that a simulation can have.
pub fn is_speed(speed: f64) -> bool {
    SPEEDS.contains(&speed)
}

fn separators(fields: &OrderedMap<SeparatorFields>, units: &Units, found: &mut Diagnostics) -> Vec<SeparatorPlan> {
    let Some((first, _)) = fields.iter().next() else {
        let plan = |name: &str, test| SeparatorPlan {
            name: name.into(),
            test,
            pressure: DEFAULT_PRESSURE + ATMOSPHERE,
            totals: 0.0,
        };
        return vec![plan("SEP-01", false), plan("SEP-TEST", true)];
    };
    let mut plans = Vec::new();
    for (name, fields) in fields {
        check_name(name, found);
        plans.push(separator(name, fields, units, found));
    }
    if plans.iter().all(|plan| plan.test) {
        found.push(
            Diagnostic::new(Code::FieldMissing, "every separator is for tests, so there is none that wells flow to")
                .at(first.place)
                .help("add one without `test: true`"),
        );
    }
    if plans.len() > MOST_SEPARATORS {
        let message = format!("there are {} separators", plans.len());
        let help = format!("a simulation has at most {MOST_SEPARATORS}");
        let place = fields.iter().nth(MOST_SEPARATORS).map_or(Place::NOWHERE, |(name, _)| name.place);
        found.push(Diagnostic::new(Code::TooManyParts, message).at(place).help(help));
    }
    plans
}

fn separator(
    name: &Spanned<String>,
    fields: &SeparatorFields,
    units: &Units,
    found: &mut Diagnostics,
) -> SeparatorPlan {
    let pressure = fields.pressure.as_ref().and_then(|given| PRESSURE.read(given, units, found));
    let totals = fields.totals.as_ref().map_or(0.0, |given| {
        if !(0.0..1_000_000.0).contains(&given.value) {
            found.push(
                Diagnostic::new(Code::NumberOutOfRange, format!("a total cannot begin at {}", given.value))
                    .at(given.place)
                    .help("totals go from 0 to 999999, and then begin again"),
            );
        }
        given.value
    });
    let pressure = pressure.unwrap_or(DEFAULT_PRESSURE) + ATMOSPHERE;
    SeparatorPlan { name: name.as_str().into(), test: fields.test, pressure, totals }
}

fn check_name(name: &Spanned<String>, found: &mut Diagnostics) {
    if let Err(error) = name.parse::<Name>() {
        let text = error.to_string();
        let (message, help) = text.split_once('\n').unwrap_or((&text, "choose another name"));
        found.push(Diagnostic::new(Code::ValueInvalid, message).at(name.place).help(help));
    }
}

fn wells(
    fields: WellsFields,
    separators: Option<&[SeparatorPlan]>,
    over: &Overrides,
    units: &Units,
    found: &mut Diagnostics,
) -> Vec<WellPlan> {
    let written = fields.count.as_ref().map_or(DEFAULT_WELLS, |count| count.value);
    if let Some(count) = fields.count.as_ref().filter(|count| !(1..=MOST_WELLS).contains(&count.value)) {
        found.push(
            Diagnostic::new(Code::NumberOutOfRange, format!("`{}` wells cannot be simulated", count.value))
                .at(count.place)
                .help(format!("give a number from 1 to {MOST_WELLS}")),
        );
    }
    let count = over.wells.unwrap_or(written).clamp(1, MOST_WELLS);
    let prefix = fields.prefix.as_ref().map_or(DEFAULT_PREFIX, |prefix| prefix.value.as_str());
    let names: Vec<Arc<str>> = (1..=count).map(|number| format!("{prefix}{number:03}").into()).collect();
    for (name, _) in &fields.each {
        // With `--wells 3` there is no well 4, which is no mistake of the file.
        let beyond = over.wells.is_some() && (1..=written).any(|number| format!("{prefix}{number:03}") == name.value);
        if !beyond && !names.iter().any(|known| **known == *name.value) {
            found.push(
                Diagnostic::new(Code::SimulatedUnknown, format!("there is no well `{}`", name.value))
                    .at(name.place)
                    .help(format!("the wells are `{}` to `{}`", names[0], names[names.len() - 1])),
            );
        }
    }
    let mut read = |fields: &WellFields| one_well(fields, separators, units, found);
    let all = read(&fields.all.clone().unwrap_or_default());
    let each: Vec<_> = fields.each.iter().map(|(name, fields)| (name.as_str(), read(fields))).collect();
    let first = separators.unwrap_or_default().iter().position(|separator| !separator.test).unwrap_or(0);
    names
        .into_iter()
        .map(|name| {
            let own = each.iter().find(|(of, _)| **of == *name).map(|(_, own)| own).cloned().unwrap_or_default();
            let known = own.known.or(&all.known);
            WellPlan {
                model: own.model.or(all.model).unwrap_or(&MODELS[0]),
                flows_to: own.flows_to.or(all.flows_to).unwrap_or(first),
                known,
                name,
            }
        })
        .collect()
}

/// What the fields of a well say.
#[derive(Clone, Default)]
struct Said {
    model: Option<&'static Model>,
    flows_to: Option<usize>,
    known: Known,
}

fn one_well(fields: &WellFields, separators: Option<&[SeparatorPlan]>, units: &Units, found: &mut Diagnostics) -> Said {
    let model = fields.device.as_ref().and_then(|name| {
        let of_wells = || MODELS.iter().filter(|model| model.on == Equipment::Well).map(|model| model.name);
        let model = Model::named(name).filter(|model| model.on == Equipment::Well);
        if model.is_none() {
            found.push(
                Diagnostic::new(Code::ChoiceUnknown, format!("there is no model of a well's device `{}`", name.value))
                    .at(name.place)
                    .suggest(name, of_wells()),
            );
        }
        model
    });
    let flows_to = fields.flows_to.as_ref().zip(separators).and_then(|(name, separators)| {
        let index = separators.iter().position(|separator| *separator.name == *name.value);
        if index.is_none() {
            found.push(
                Diagnostic::new(Code::SimulatedUnknown, format!("there is no separator `{}`", name.value))
                    .at(name.place)
                    .suggest(name, separators.iter().map(|separator| &*separator.name)),
            );
        }
        index
    });
    let mut read =
        |wanted: Wanted, given: &Option<Spanned<_>>| given.as_ref().and_then(|given| wanted.read(given, units, found));
    let known = Known {
        reservoir_pressure: read(RESERVOIR, &fields.reservoir_pressure),
        productivity: read(PRODUCTIVITY, &fields.productivity),
        bubble_point: read(BUBBLE_POINT, &fields.bubble_point),
        water_cut: read(PERCENT, &fields.water_cut).map(share),
        gas_oil_ratio: read(GAS_OIL_RATIO, &fields.gas_oil_ratio),
        pump_depth: read(PUMP_DEPTH, &fields.pump_depth),
        frequency: read(FREQUENCY, &fields.frequency),
        choke: read(PERCENT, &fields.choke).map(share),
        wear: read(WEAR, &fields.wear).map(share),
    };
    Said { model, flows_to, known }
}

pub(super) fn share(percent: f64) -> f64 {
    percent / 100.0
}

impl Known {
    /// What is known here, else what is known there.
    fn or(&self, other: &Self) -> Self {
        Self {
            reservoir_pressure: self.reservoir_pressure.or(other.reservoir_pressure),
            productivity: self.productivity.or(other.productivity),
            bubble_point: self.bubble_point.or(other.bubble_point),
            water_cut: self.water_cut.or(other.water_cut),
            gas_oil_ratio: self.gas_oil_ratio.or(other.gas_oil_ratio),
            pump_depth: self.pump_depth.or(other.pump_depth),
            frequency: self.frequency.or(other.frequency),
            choke: self.choke.or(other.choke),
            wear: self.wear.or(other.wear),
        }
    }
}
