//! A well or a separator as its device shows it.

use std::sync::Arc;

use ducto_record::{Micros, Quality};
use schemars::JsonSchema;
use serde::Deserialize;

use super::instrument::Instrument;
use crate::device::{Equipment, MODELS, Model};
use crate::field::Random;
use crate::scenario::{Dirt, EventName, Scenario};
use crate::variables::Variable;

/// A well or a separator.
#[derive(Clone, Debug)]
pub struct Asset {
    pub name: Arc<str>,
    pub model: &'static Model,
    /// One for each variable of the equipment, in their order.
    pub tags: Vec<Tag>,
    /// For each point of the model its tag.
    pub(crate) points: Vec<usize>,
    /// What is wrong with the device, and the event that it comes from.
    troubles: Vec<(u64, Trouble)>,
    /// What goes on.
    active: Vec<(u64, EventName)>,
}

/// A variable of an asset.
#[derive(Clone, Debug)]
pub struct Tag {
    /// `WELL-001.THP`.
    pub name: Arc<str>,
    pub variable: &'static Variable,
    pub truth: f64,
    /// What the transmitter shows, whether or not the device tells it.
    pub shown: f64,
    instrument: Instrument,
}

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    Dead,
    Slow { seconds: f64 },
    Lies(Lie),
}

/// What a lying device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Every register is zero, as after a loss of memory.
    Zeros,
    /// Bytes that are no Modbus.
    Garbage,
    /// Exception 4, device failure.
    Exception,
    /// The answer carries the next unit's number.
    WrongUnit,
    /// The answer carries a transaction number that nobody sent.
    WrongTransaction,
    /// The connection is closed instead of answering.
    Close,
}

impl Asset {
    /// Wells first, then separators.
    pub(super) fn all(scenario: &Scenario) -> Vec<Self> {
        let separator = MODELS.iter().find(|model| model.on == Equipment::Separator).unwrap_or(&MODELS[0]);
        let wells = scenario.wells.iter().map(|plan| (&plan.name, plan.model));
        let separators = scenario.separators.iter().map(|plan| (&plan.name, separator));
        wells.chain(separators).map(|(name, model)| Self::new(name.clone(), model, scenario.seed)).collect()
    }

    fn new(name: Arc<str>, model: &'static Model, seed: u64) -> Self {
        let variables = model.on.variables();
        let tag = |variable: &'static Variable| {
            let name: Arc<str> = format!("{name}.{}", variable.name).into();
            let instrument = Instrument::new(Random::new(seed, &name));
            Tag { name, variable, truth: 0.0, shown: 0.0, instrument }
        };
        let tags = variables.iter().map(tag).collect();
        let index = |variable| variables.iter().position(|other| other.name == variable);
        // Models name only variables that are there; a test sees to that.
        let points = model.points.iter().filter_map(|point| index(point.variable)).collect();
        Self { name, model, points, tags, troubles: Vec::new(), active: Vec::new() }
    }

    pub(super) fn observe(&mut self, now: Micros, read: impl Fn(&'static Variable) -> f64) {
        for tag in &mut self.tags {
            tag.truth = read(tag.variable);
            tag.shown = tag.instrument.show(tag.variable, tag.truth, tag.shown, now);
        }
    }

    /// What is wrong with the device now: what came last.
    pub fn trouble(&self) -> Option<Trouble> {
        self.troubles.last().map(|(_, trouble)| *trouble)
    }

    pub(super) fn set_trouble(&mut self, id: u64, trouble: Trouble) {
        self.troubles.push((id, trouble));
    }

    pub(super) fn end_trouble(&mut self, id: u64) {
        self.troubles.retain(|(of, _)| *of != id);
    }

    pub(super) fn begin(&mut self, id: u64, event: EventName) {
        self.active.push((id, event));
    }

    pub(super) fn end(&mut self, id: u64) {
        self.active.retain(|(of, _)| *of != id);
    }

    /// What goes on with the equipment itself, the newest last.
    pub fn going_on(&self) -> impl Iterator<Item = EventName> {
        self.active.iter().map(|(_, event)| *event).filter(|event| !event.is_dirt())
    }

    /// What a connection would make of the device's answer for a tag: its value, if one comes, and the quality.
    pub fn received(&self, tag: &Tag) -> (Option<f64>, Quality) {
        match self.trouble() {
            None | Some(Trouble::Slow { .. }) => (Some(tag.shown), Quality::GOOD),
            Some(Trouble::Lies(Lie::Zeros)) => (Some(0.0), Quality::GOOD),
            Some(Trouble::Lies(Lie::Exception)) => (None, Quality::DEVICE_FAILURE),
            Some(Trouble::Dead | Trouble::Lies(_)) => (None, Quality::COMM_FAILURE),
        }
    }

    /// What is wrong with a tag's value on its way, if anything is.
    pub fn wrong(&self, tag: &Tag) -> Option<&'static str> {
        let of_device = self.trouble().map(|trouble| match trouble {
            Trouble::Dead => "dead",
            Trouble::Slow { .. } => "slow",
            Trouble::Lies(_) => "lie",
        });
        of_device.or_else(|| tag.instrument.wrong())
    }
}

impl Tag {
    pub(super) fn dirty(&mut self, id: u64, dirt: Dirt, since: Micros) {
        self.instrument.dirty(id, dirt, since);
    }

    pub(super) fn clean(&mut self, id: u64) {
        self.instrument.clean(id);
    }
}
