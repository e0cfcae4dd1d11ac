//! A three-phase separator: what flows in leaves through controlled outlets, and each outlet is metered.

use super::well::Volumes;
use super::{DAY, gauge, relax};

/// Share of a leg below which its outlet is shut.
const LOW: f64 = 0.3;
/// Share at which the outlet passes what the separator was built for.
const NORMAL: f64 = 0.5;
/// Seconds of the flow it was built for that a leg holds.
const RESIDENCE: f64 = 240.0;
/// Seconds in which the gas outlet answers.
const GAS_ANSWER: f64 = 20.0;
/// psi that the pressure is off where twice the gas comes that it was built for.
const DROOP: f64 = 6.0;
/// Seconds in which the pressure follows its set point.
const PRESSURE_ANSWER: f64 = 25.0;

/// Something that fills, and empties the faster the fuller it is.
#[derive(Clone, Copy, Debug)]
struct Leg {
    content: f64,
    capacity: f64,
    low: f64,
    /// Share of what stands above `low` that leaves in a second.
    gain: f64,
}

/// What a leg did in a step.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    by_outlet: f64,
    over_the_top: f64,
}

impl Leg {
    /// A leg for a flow in units a day, with that flow in balance.
    fn liquid(flow: f64) -> Self {
        let capacity = flow / DAY * RESIDENCE;
        let gain = 1.0 / (RESIDENCE * (NORMAL - LOW));
        Self { content: NORMAL * capacity, capacity, low: LOW * capacity, gain }
    }

    fn gas(flow: f64) -> Self {
        let content = flow / DAY * GAS_ANSWER;
        Self { content, capacity: f64::INFINITY, low: 0.0, gain: 1.0 / GAS_ANSWER }
    }

    /// Takes in a volume in `dt` seconds; what comes out is exact however long they are.
    fn step(&mut self, volume: f64, dt: f64, open: bool) -> Left {
        let before = self.content;
        let flow = volume / dt;
        let mut left = dt;
        if self.content < self.low {
            let fills_in = if flow > 0.0 { (self.low - self.content) / flow } else { f64::INFINITY };
            left = (dt - fills_in).max(0.0);
        }
        if !open || left == 0.0 {
            self.content += volume;
        } else {
            let from = self.content.max(self.low);
            self.content = relax(from, self.low + flow / self.gain, left, 1.0 / self.gain);
        }
        let over_the_top = (self.content - self.capacity).max(0.0);
        self.content -= over_the_top;
        Left { by_outlet: (before + volume - self.content - over_the_top).max(0.0), over_the_top }
    }

    fn level(&self) -> f64 {
        self.content / self.capacity
    }
}

/// A separator as it works.
#[derive(Clone, Debug)]
pub struct Separator {
    oil: Leg,
    water: Leg,
    gas: Leg,
    set_pressure: f64,
    pressure: f64,
    open: bool,
    /// Gas a day that it was built for.
    built_for: f64,
    flows: Volumes,
    metered: Volumes,
    carried_over: Volumes,
    temperature: f64,
}

impl Separator {
    /// One for these flows a day, at a pressure in psia.
    pub fn new(built_for: Volumes, pressure: f64) -> Self {
        // Legs of nothing hold nothing: there is always room for a barrel or two.
        let flow = |value: f64, least: f64| value.max(least);
        Self {
            oil: Leg::liquid(flow(built_for.oil, 300.0)),
            water: Leg::liquid(flow(built_for.water, 300.0)),
            gas: Leg::gas(flow(built_for.gas, 50.0)),
            set_pressure: pressure,
            pressure,
            open: true,
            built_for: flow(built_for.gas, 50.0),
            flows: built_for,
            metered: Volumes::default(),
            carried_over: Volumes::default(),
            temperature: 120.0,
        }
    }

    /// Nothing flows to it, and has not for long: it stands at its low levels.
    pub fn emptied(mut self) -> Self {
        self.oil.content = self.oil.low;
        self.water.content = self.water.low;
        self.gas.content = 0.0;
        self.flows = Volumes::default();
        self
    }

    /// Sets the pressure, psia.
    pub fn set_pressure(&mut self, pressure: f64) {
        self.set_pressure = pressure;
    }

    /// psia.
    pub fn pressure_set(&self) -> f64 {
        self.set_pressure
    }

    /// Opens or blocks the liquid outlets.
    pub fn set_outlets(&mut self, open: bool) {
        self.open = open;
    }

    /// Goes on by `dt` seconds in which these volumes came, at a temperature in °F where something came.
    pub fn step(&mut self, dt: f64, volumes: Volumes, temperature: Option<f64>) {
        let oil = self.oil.step(volumes.oil, dt, self.open);
        let water = self.water.step(volumes.water, dt, self.open);
        let gas = self.gas.step(volumes.gas, dt, true);
        let out = Volumes { oil: oil.by_outlet, water: water.by_outlet, gas: gas.by_outlet };
        self.flows = out.times(DAY / dt);
        self.metered += out;
        // A separator that is full sends liquid down the gas line, past the meters.
        self.carried_over += Volumes { oil: oil.over_the_top, water: water.over_the_top, gas: 0.0 };
        let share = self.gas.content / (self.built_for / DAY * GAS_ANSWER);
        let target = self.set_pressure + DROOP * (share - 1.0).clamp(-1.0, 3.0);
        self.pressure = relax(self.pressure, target, dt, PRESSURE_ANSWER);
        self.temperature = relax(self.temperature, temperature.unwrap_or(85.0), dt, 600.0);
    }

    /// psia, as the wells see it.
    pub(super) fn pressure(&self) -> f64 {
        self.pressure
    }

    /// psig.
    pub fn gauge_pressure(&self) -> f64 {
        gauge(self.pressure)
    }

    /// °F.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Of the oil leg, 0 to 1.
    pub fn oil_level(&self) -> f64 {
        self.oil.level()
    }

    /// Of the water leg, 0 to 1.
    pub fn water_level(&self) -> f64 {
        self.water.level()
    }

    /// What passes the meters now, a day.
    pub fn flows(&self) -> Volumes {
        self.flows
    }

    /// What has passed the meters since the beginning.
    pub fn metered(&self) -> Volumes {
        self.metered
    }

    /// What is inside.
    pub fn content(&self) -> Volumes {
        Volumes { oil: self.oil.content, water: self.water.content, gas: self.gas.content }
    }

    /// What went past the meters since the beginning.
    pub fn carried_over(&self) -> Volumes {
        self.carried_over
    }
}
