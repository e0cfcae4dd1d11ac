//! A scenario as it runs: the field, what happens to it, and what its instruments show.

mod agenda;
mod asset;
mod instrument;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use ducto_record::Micros;

use crate::field::{Design, Field, Random, Separator, Volumes, Well};
use crate::scenario::{Action, EventName, Scenario, Target, WellPlan};
use crate::variables::Around;
use agenda::{Agenda, What};

pub use asset::{Asset, Lie, Tag, Trouble};

/// A scenario that runs, step by step; each step goes on from the one before by a time of its own.
#[derive(Clone, Debug)]
pub struct Simulation {
    scenario: Arc<Scenario>,
    field: Field,
    /// Wells first, then separators, each in the order of the scenario.
    assets: Vec<Asset>,
    agenda: Agenda,
    /// µs since the start.
    elapsed: Micros,
    happenings: Vec<Happening>,
}

/// Something that began or is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// µs since the start.
    pub at: Micros,
    pub asset: Arc<str>,
    pub event: EventName,
    pub begins: bool,
    /// For people, in English and in Spanish: `choke to 8 %`.
    pub text: [String; 2],
}

/// How something is undone when it is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Undo {
    Choke { to: f64, over: f64 },
    Frequency(f64),
    Start,
    Gas,
    WaterCut { to: f64, over: f64 },
    Route(usize),
    Pressure(f64),
    Outlets,
    Measurement { variable: usize },
    Trouble,
}

impl Simulation {
    /// The scenario at its start, with what happens at once already done.
    pub fn new(scenario: Arc<Scenario>) -> Self {
        let wells: Vec<Well> = scenario
            .wells
            .iter()
            .map(|plan| {
                let line = scenario.separators.get(plan.flows_to).map_or(164.7, |separator| separator.pressure);
                let mut random = Random::new(scenario.seed, &plan.name);
                let design = Design::draw(&mut random, &plan.known, line);
                Well::new(design, random, line)
            })
            .collect();
        let routes: Vec<usize> = scenario.wells.iter().map(|plan| plan.flows_to).collect();
        let separators = separators(&scenario, &wells, &routes);
        let of_day = scenario.start.rem_euclid(86_400_000_000) as f64 / 1e6;
        let assets = Asset::all(&scenario);
        let agenda = Agenda::new(&scenario);
        let field = Field::new(wells, separators, routes, of_day);
        let mut simulation = Self { scenario, field, assets, agenda, elapsed: 0, happenings: Vec::new() };
        // What is stuck from the start on is stuck at something.
        simulation.observe();
        simulation.happen();
        simulation.observe();
        simulation
    }

    /// Goes on by `dt` µs.
    pub fn step(&mut self, dt: Micros) {
        self.elapsed += dt;
        self.happen();
        self.field.step(dt as f64 / 1e6);
        self.observe();
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub fn field(&self) -> &Field {
        &self.field
    }

    /// Wells first, then separators.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// µs since the start.
    pub fn elapsed(&self) -> Micros {
        self.elapsed
    }

    /// What has happened since this was last asked.
    pub fn happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Does everything that is due.
    fn happen(&mut self) {
        while let Some((at, what)) = self.agenda.due(self.elapsed) {
            match what {
                What::Begin { event, target } => {
                    let scenario = self.scenario.clone();
                    let Some(what) = scenario.events.get(event) else { continue };
                    let Some(target_of) = what.targets.get(target).copied() else { continue };
                    let id = self.agenda.began(event, target, at, &scenario);
                    if let Some(other) = self.test_in_the_way(what.action, target_of) {
                        let text = [
                            format!("no well test: {other} is tested there"),
                            format!("sin prueba de pozo: {other} está en prueba allí"),
                        ];
                        self.tell(at, target_of, what.name, false, text);
                        continue;
                    }
                    let text = what.action.text(self, target_of);
                    let undo = self.begin(id, what.action, target_of);
                    self.tell(at, target_of, what.name, true, text);
                    match (what.lasts, undo) {
                        (Some(lasts), Some(undo)) => {
                            self.agenda.ends(at + lasts, id, target_of, what.name, undo);
                            self.asset_mut(target_of).begin(id, what.name);
                        }
                        // For ever.
                        (None, Some(_)) => self.asset_mut(target_of).begin(id, what.name),
                        (_, None) => {}
                    }
                }
                What::End { id, target, name, undo } => {
                    self.end(id, undo, target);
                    self.asset_mut(target).end(id);
                    self.tell(at, target, name, false, undo.text(self, target, name));
                }
            }
        }
    }

    /// The well that is on a test separator already. The check of the scenario refuses tests that are sure to meet;
    /// those at random times may, and a separator takes one well at a time.
    fn test_in_the_way(&self, action: Action, target: Target) -> Option<Arc<str>> {
        let (Action::WellTest { separator }, Target::Well(_)) = (action, target) else { return None };
        let scenario = &self.scenario;
        if !scenario.separators.get(separator)?.test {
            return None;
        }
        let on_test =
            |(index, plan): &(usize, &WellPlan)| plan.flows_to != separator && self.field.routes[*index] == separator;
        scenario.wells.iter().enumerate().find(on_test).map(|(_, plan)| plan.name.clone())
    }

    fn tell(&mut self, at: Micros, target: Target, event: EventName, begins: bool, text: [String; 2]) {
        let asset = self.scenario.name_of(target).clone();
        self.happenings.push(Happening { at, asset, event, begins, text });
    }

    fn index(&self, target: Target) -> usize {
        match target {
            Target::Well(index) => index,
            Target::Separator(index) => self.scenario.wells.len() + index,
        }
    }

    pub(crate) fn asset(&self, target: Target) -> &Asset {
        &self.assets[self.index(target)]
    }

    fn asset_mut(&mut self, target: Target) -> &mut Asset {
        let index = self.index(target);
        &mut self.assets[index]
    }

    /// Does something; gives what will undo it, where it can be undone.
    fn begin(&mut self, id: u64, action: Action, target: Target) -> Option<Undo> {
        match (action, target) {
            (Action::Measurement { variable, dirt }, _) => {
                let elapsed = self.elapsed;
                self.asset_mut(target).tags[variable].dirty(id, dirt, elapsed);
                Some(Undo::Measurement { variable })
            }
            (Action::Device(trouble), _) => {
                self.asset_mut(target).set_trouble(id, trouble);
                Some(Undo::Trouble)
            }
            (_, Target::Well(index)) => self.begin_on_well(action, index),
            (Action::Pressure { to }, Target::Separator(index)) => {
                let separator = &mut self.field.separators[index];
                let before = separator.pressure_set();
                separator.set_pressure(to);
                Some(Undo::Pressure(before))
            }
            (Action::BlockedOutlet, Target::Separator(index)) => {
                self.field.separators[index].set_outlets(false);
                Some(Undo::Outlets)
            }
            // The scenario's check lets no other pair pass.
            (_, Target::Separator(_)) => None,
        }
    }

    fn begin_on_well(&mut self, action: Action, index: usize) -> Option<Undo> {
        let well = &mut self.field.wells[index];
        match action {
            Action::Choke { to, over } => {
                let before = well.choke_set();
                well.set_choke(to, over);
                Some(Undo::Choke { to: before, over })
            }
            Action::Frequency { to } => {
                let before = well.frequency_set();
                well.set_frequency(to);
                Some(Undo::Frequency(before))
            }
            Action::Stop => {
                well.stop();
                Some(Undo::Start)
            }
            Action::Start => {
                well.start();
                None
            }
            Action::GasLock { severity } => {
                well.set_gas(severity);
                Some(Undo::Gas)
            }
            Action::Wear { by, over } => {
                well.wear_by(by, over);
                None
            }
            Action::WaterCut { to, over } => {
                let before = well.water_cut_set();
                well.set_water_cut(to, over);
                Some(Undo::WaterCut { to: before, over })
            }
            Action::WellTest { separator } => {
                let before = self.field.routes[index];
                self.field.routes[index] = separator;
                Some(Undo::Route(before))
            }
            Action::Pressure { .. } | Action::BlockedOutlet | Action::Measurement { .. } | Action::Device(_) => None,
        }
    }

    fn end(&mut self, id: u64, undo: Undo, target: Target) {
        match (undo, target) {
            (Undo::Measurement { variable }, _) => self.asset_mut(target).tags[variable].clean(id),
            (Undo::Trouble, _) => self.asset_mut(target).end_trouble(id),
            (Undo::Pressure(to), Target::Separator(index)) => self.field.separators[index].set_pressure(to),
            (Undo::Outlets, Target::Separator(index)) => self.field.separators[index].set_outlets(true),
            (Undo::Route(to), Target::Well(index)) => self.field.routes[index] = to,
            (undo, Target::Well(index)) => {
                let well = &mut self.field.wells[index];
                match undo {
                    Undo::Choke { to, over } => well.set_choke(to, over),
                    Undo::Frequency(to) => well.set_frequency(to),
                    Undo::Start => well.start(),
                    Undo::Gas => well.set_gas(0.0),
                    Undo::WaterCut { to, over } => well.set_water_cut(to, over),
                    _ => {}
                }
            }
            (_, Target::Separator(_)) => {}
        }
    }

    /// Reads every instrument.
    fn observe(&mut self) {
        let Self { scenario, field, assets, elapsed, .. } = self;
        let is_test = |separator: usize| scenario.separators.get(separator).is_some_and(|plan| plan.test);
        let count = field.wells.len();
        let (wells, separators) = assets.split_at_mut(count);
        for (index, asset) in wells.iter_mut().enumerate() {
            let around = Around { on_test: is_test(field.routes[index]), ..Around::default() };
            let well = &field.wells[index];
            asset.observe(*elapsed, |variable| variable.of_well(well, &around));
        }
        for (index, asset) in separators.iter_mut().enumerate() {
            let tested = field.routes.iter().position(|route| *route == index && is_test(index));
            let around = Around {
                testing: tested.map_or(0, |well| well as u32 + 1),
                counted: scenario.separators[index].totals,
                on_test: false,
            };
            let separator = &field.separators[index];
            asset.observe(*elapsed, |variable| variable.of_separator(separator, &around));
        }
    }
}

/// Separators for the wells that flow to them; a test separator for any one of them.
fn separators(scenario: &Scenario, wells: &[Well], routes: &[usize]) -> Vec<Separator> {
    let largest = wells.iter().map(Well::rates).fold(Volumes::default(), |largest, rates| Volumes {
        oil: largest.oil.max(rates.oil),
        water: largest.water.max(rates.water),
        gas: largest.gas.max(rates.gas),
    });
    let plans = scenario.separators.iter().enumerate();
    plans
        .map(|(index, plan)| {
            let mut sum = Volumes::default();
            wells.iter().zip(routes).filter(|(_, route)| **route == index).for_each(|(well, _)| sum += well.rates());
            if sum.liquid() > 0.0 {
                Separator::new(sum, plan.pressure)
            } else {
                Separator::new(largest, plan.pressure).emptied()
            }
        })
        .collect()
}
