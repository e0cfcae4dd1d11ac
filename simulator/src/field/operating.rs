//! Where a well works: the rate at which reservoir, pump, tubing, choke and flow line agree.

use super::ATMOSPHERE;
use super::design::Design;
use super::solve;

/// How much of its head a pump keeps with this share of gas at its intake.
pub(super) fn gas_handling(free: f64) -> f64 {
    1.0 / (1.0 + (free / 0.4).powi(4))
}

/// Where pump, tubing, choke and, at rest, reservoir agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint {
    /// Liquid, stb/d.
    pub rate: f64,
    /// At the pump's intake and discharge and at the wellhead, psia.
    pub intake: f64,
    pub discharge: f64,
    pub head: f64,
    /// Barrels a day that come more for each psi more at the intake.
    pub slope: f64,
}

/// What is done to a well, beside its design.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Pressure of the separator, psia.
    pub line: f64,
    /// Hz.
    pub frequency: f64,
    /// Opening of the choke, 0 to 1.
    pub opening: f64,
    /// Share of its head that the pump has lost, 0 to 1.
    pub wear: f64,
    /// How far gas has locked the pump, 0 to 1.
    pub gas_lock: f64,
}

impl Design {
    /// Pressure that the pump adds, psi.
    fn added(&self, rate: f64, intake: f64, gas: f64, at: &Conditions) -> f64 {
        let pumped = self.fluid.at(intake, self.tubing.temperatures[1], gas, 1.0);
        let keeps = (1.0 - at.wear) * (1.0 - 0.94 * at.gas_lock) * gas_handling(pumped.free);
        self.pump.head(rate * pumped.liquid, at.frequency) * keeps * pumped.gradient
    }

    /// Pressures at discharge and wellhead that a rate asks for, psia.
    fn asked(&self, rate: f64, gas: f64, at: &Conditions) -> (f64, f64) {
        let behind = at.line + self.flow_line * rate * rate;
        let head = self.choke.upstream(behind, rate, (1.0 - self.fluid.water_cut) * gas, at.opening);
        (self.tubing.discharge(head, rate, gas, &self.fluid), head)
    }

    /// The rate at which pump and tubing agree for a pressure at the intake that may hang on the rate.
    fn solve(&self, at: &Conditions, guess: f64, intake: impl Fn(f64) -> f64) -> OperatingPoint {
        let gas = |intake: f64| self.fluid.pumped_gas(intake, self.tubing.temperatures[1], self.separated);
        let surplus = |rate: f64| {
            let intake = intake(rate);
            // Below nothing a pressure has only a sign, which says that the rate is too high.
            let floor = intake.max(ATMOSPHERE);
            let gas = gas(floor);
            intake + self.added(rate, floor, gas, at) - self.asked(rate, gas, at).0
        };
        // Without its pump such a well is dead, and the pump's check valve holds what is above it.
        let dead = solve::Root { at: 0.0, slope: f64::NEG_INFINITY };
        let root = if at.frequency < 1.0 { dead } else { solve::falling(surplus, guess, self.pump.free_rate) };
        let intake = intake(root.at).max(ATMOSPHERE);
        let (discharge, head) = self.asked(root.at, gas(intake), at);
        OperatingPoint { rate: root.at, intake, discharge, head, slope: -1.0 / root.slope }
    }

    /// Where the well comes to rest.
    pub fn at_rest(&self, at: &Conditions) -> OperatingPoint {
        let intake = |rate: f64| {
            let flowing = self.inflow.pressure(rate);
            flowing - self.weight_below(flowing)
        };
        self.solve(at, self.rate, intake)
    }

    /// What the pump makes of the pressure that is at its intake now.
    pub(super) fn now(&self, at: &Conditions, intake: f64, guess: f64) -> OperatingPoint {
        self.solve(at, guess, |_| intake)
    }

    /// From the perforations up to the pump, psi.
    pub(super) fn weight_below(&self, pressure: f64) -> f64 {
        let temperature = self.tubing.temperatures[1];
        self.below_pump * self.fluid.at(pressure, temperature, self.fluid.gas_oil_ratio, 1.0).gradient
    }
}
