//! Scenarios: which wells and separators there are, and what happens to them. A file of YAML, decoded like every other
//! file of Ducto: everything that is wrong is reported at once, with its place.

mod events;
mod fields;
mod kinds;
mod plans;
mod quantity;
mod schema;
#[cfg(test)]
mod tests;
mod well_tests;

use std::path::Path;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::{FileId, Sources};
use ducto_graph::tree::Node;
use ducto_record::{Micros, Units};

use crate::device::Model;
use crate::field::Known;
use crate::simulation::{Lie, Trouble};

pub use kinds::{EventName, On, Takes};
pub use plans::is_speed;
pub use schema::schema;

/// The field that a file of this kind begins with.
pub const MARK: &str = "simulation";
/// 2026-01-01T00:00:00Z.
const DEFAULT_START: Micros = 1_767_225_600_000_000;

/// A scenario that can be run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub seed: u64,
    /// How many times faster than the wall's clock.
    pub speed: f64,
    /// Where the clock of a recording starts.
    pub start: Micros,
    pub wells: Vec<WellPlan>,
    pub separators: Vec<SeparatorPlan>,
    pub events: Vec<Event>,
}

/// A well as the scenario has it.
#[derive(Clone, Debug)]
pub struct WellPlan {
    pub name: Arc<str>,
    pub model: &'static Model,
    pub known: Known,
    /// Index of the separator that it flows to.
    pub flows_to: usize,
}

/// A separator as the scenario has it.
#[derive(Clone, Debug)]
pub struct SeparatorPlan {
    pub name: Arc<str>,
    /// Whether wells flow to it only while they are tested.
    pub test: bool,
    /// psia.
    pub pressure: f64,
    /// What its totals show at the beginning.
    pub totals: f64,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: EventName,
    pub when: When,
    /// µs; for ever where it is not given.
    pub lasts: Option<Micros>,
    /// To each of these by itself.
    pub targets: Vec<Target>,
    pub action: Action,
}

/// When something happens, in µs since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Once(Micros),
    Every { first: Micros, period: Micros },
    Randomly { from: Micros, mean: Micros },
}

/// Index of a well or a separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Well(usize),
    Separator(usize),
}

/// What is done. Numbers are in the units that the field computes in; openings and shares are from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Choke {
        to: f64,
        over: f64,
    },
    Frequency {
        to: f64,
    },
    Stop,
    Start,
    GasLock {
        severity: f64,
    },
    Wear {
        by: f64,
        over: f64,
    },
    WaterCut {
        to: f64,
        over: f64,
    },
    /// To the separator of this index.
    WellTest {
        separator: usize,
    },
    /// psia.
    Pressure {
        to: f64,
    },
    BlockedOutlet,
    /// Of the variable with this index, in its unit.
    Measurement {
        variable: usize,
        dirt: Dirt,
    },
    Device(Trouble),
}

/// What goes wrong with a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dirt {
    SpikeTo(f64),
    SpikeBy(f64),
    Freeze,
    /// By so much in so many seconds.
    Drift {
        by: f64,
        over: f64,
    },
    /// NaN where there is no number.
    Fail(f64),
}

/// What the command line says over a scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    pub wells: Option<u32>,
    pub seed: Option<u64>,
    pub speed: Option<f64>,
}

impl Scenario {
    /// Reads a scenario's file. `None` means that an error was pushed.
    pub fn load(
        path: &Path,
        over: &Overrides,
        units: &Units,
        sources: &mut Sources,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let file = sources.read_yaml(path, None, found)?;
        Self::read(file, over, units, sources, found)
    }

    /// The scenario that is run where none is named.
    pub fn built_in(over: &Overrides, units: &Units, sources: &mut Sources, found: &mut Diagnostics) -> Option<Self> {
        Self::from_text("<built in>", include_str!("built-in.yaml"), over, units, sources, found)
    }

    /// A scenario out of a text, which findings call `name`.
    pub fn from_text(
        name: &str,
        text: &str,
        over: &Overrides,
        units: &Units,
        sources: &mut Sources,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let file = sources.add_text(name, text);
        Self::read(file, over, units, sources, found)
    }

    fn read(file: FileId, over: &Overrides, units: &Units, sources: &Sources, found: &mut Diagnostics) -> Option<Self> {
        let node = Node::parse(file, sources, found)?;
        plans::scenario(&node, over, units, found)
    }

    /// The well, or separator, of an index.
    pub fn name_of(&self, target: Target) -> &Arc<str> {
        match target {
            Target::Well(index) => &self.wells[index].name,
            Target::Separator(index) => &self.separators[index].name,
        }
    }
}

/// For messages: what a lying device answers.
impl Lie {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Garbage => "garbage",
            Self::Exception => "exception",
            Self::WrongUnit => "wrong_unit",
            Self::WrongTransaction => "wrong_transaction",
            Self::Close => "close",
        }
    }

    /// In Spanish, as people say it.
    pub(crate) const fn spanish(self) -> &'static str {
        match self {
            Self::Zeros => "ceros",
            Self::Garbage => "basura",
            Self::Exception => "excepción",
            Self::WrongUnit => "otra unidad",
            Self::WrongTransaction => "otra transacción",
            Self::Close => "cierra la conexión",
        }
    }
}
