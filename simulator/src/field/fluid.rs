//! What a well produces, and how much room it takes at a pressure: black oil after Standing, with a real gas of constant
//! deviation. Pressures in psia, temperatures in °F, volumes in barrels for each stock tank barrel of liquid.

use super::ATMOSPHERE;

/// Pounds in a barrel of water.
const WATER: f64 = 350.2;
/// Pounds in a cubic foot of air at standard conditions.
const AIR: f64 = 0.0764;
/// Deviation factor of the gas, between the 0.8 and 1 that fields see.
const DEVIATION: f64 = 0.92;
/// psi per foot for each pound in a barrel.
const GRADIENT: f64 = 1.0 / (5.614_583 * 144.0);

/// Oil, water and gas of a well.
#[derive(Clone, Debug, PartialEq)]
pub struct Fluid {
    /// Share of water in the liquid, 0 to 1.
    pub water_cut: f64,
    /// Gas for each barrel of oil, scf/stb.
    pub gas_oil_ratio: f64,
    /// °API.
    pub oil_gravity: f64,
    /// Of the gas, air being 1.
    pub gas_gravity: f64,
    /// Of the water, fresh water being 1.
    pub water_gravity: f64,
}

/// A barrel of liquid, and its gas, at some depth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mixture {
    /// Liquid alone, bbl/stb.
    pub(super) liquid: f64,
    /// Liquid and free gas, bbl/stb.
    pub(super) volume: f64,
    /// Weight of liquid and gas, psi/ft.
    pub(super) gradient: f64,
    /// Share of free gas in the volume, 0 to 1.
    pub(super) free: f64,
}

impl Fluid {
    /// Gravity of the oil, water being 1.
    fn oil_density(&self) -> f64 {
        141.5 / (131.5 + self.oil_gravity)
    }

    /// Gas that the oil holds in solution, scf/stb.
    pub(super) fn dissolved(&self, pressure: f64, temperature: f64) -> f64 {
        let exponent = 0.0125 * self.oil_gravity - 0.000_91 * temperature;
        let base = (pressure / 18.2 + 1.4) * 10f64.powf(exponent);
        (self.gas_gravity * base.powf(1.2048)).min(self.gas_oil_ratio)
    }

    /// Gas that goes up the tubing where the pump takes this much of what is free at its intake, scf/stb; the rest
    /// leaves by the annulus.
    pub(super) fn pumped_gas(&self, intake: f64, temperature: f64, separated: f64) -> f64 {
        let dissolved = self.dissolved(intake, temperature);
        dissolved + (1.0 - separated) * (self.gas_oil_ratio - dissolved)
    }

    /// A barrel of liquid with `gas` scf for each barrel of oil. Where gas slips past the liquid less of it is in the
    /// pipe at a time than flows through it: `holdup` is the share that is.
    pub(super) fn at(&self, pressure: f64, temperature: f64, gas: f64, holdup: f64) -> Mixture {
        let pressure = pressure.max(ATMOSPHERE);
        let oil = 1.0 - self.water_cut;
        let oil_density = self.oil_density();
        let dissolved = self.dissolved(pressure, temperature).min(gas);
        let swollen = dissolved * (self.gas_gravity / oil_density).sqrt() + 1.25 * temperature;
        let formation_volume = 0.9759 + 0.000_12 * swollen.powf(1.2);
        let gas_volume = 0.005_04 * DEVIATION * (temperature + 459.67) / pressure;
        let liquid = oil * formation_volume + self.water_cut;
        let free = holdup * oil * (gas - dissolved) * gas_volume;
        let volume = liquid + free;
        let free_weight = holdup * oil * (gas - dissolved) * AIR * self.gas_gravity;
        let weight = oil * (oil_density * WATER + AIR * self.gas_gravity * dissolved)
            + self.water_cut * self.water_gravity * WATER
            + free_weight;
        Mixture { liquid, volume, gradient: weight / volume * GRADIENT, free: free / volume }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fluid(water_cut: f64) -> Fluid {
        Fluid { water_cut, gas_oil_ratio: 350.0, oil_gravity: 30.0, gas_gravity: 0.75, water_gravity: 1.03 }
    }

    #[test]
    fn handbook_values() {
        // Standing, by hand: 2,000 psia, 180 °F, 30 °API, gravity 0.75 give 394 scf/stb when there is so much.
        let rich = Fluid { gas_oil_ratio: 1_000.0, ..fluid(0.0) };
        let dissolved = rich.dissolved(2_000.0, 180.0);
        assert!((dissolved - 393.6).abs() < 1.0, "{dissolved}");
        // Water weighs 0.433 psi/ft, salt water a little more.
        let water = fluid(1.0).at(1_000.0, 150.0, 0.0, 1.0);
        assert!((water.gradient - 0.433 * 1.03).abs() < 0.002, "{water:?}");
        // Dead oil of 30 °API: 0.876, less what it swells by heat.
        let oil = Fluid { gas_oil_ratio: 0.0, ..fluid(0.0) }.at(500.0, 60.0, 0.0, 1.0);
        assert!((0.36..0.385).contains(&oil.gradient), "{oil:?}");
    }

    #[test]
    fn gas_makes_light_and_pressure_makes_heavy() {
        let fluid = fluid(0.5);
        let at = |pressure| fluid.at(pressure, 160.0, 350.0, 0.6);
        let mut before = at(20.0);
        for pressure in (1..60).map(|step| f64::from(step) * 50.0) {
            let now = at(pressure);
            assert!(now.gradient > before.gradient || now.free == 0.0, "{pressure}: {now:?}");
            assert!(now.free <= before.free && (0.0..1.0).contains(&now.free));
            before = now;
        }
        assert_eq!(at(5_000.0).free, 0.0);
        // All gas is pumped where none is separated, and only the dissolved where all is.
        assert!((fluid.pumped_gas(400.0, 180.0, 0.0) - 350.0).abs() < 1e-9);
        assert!((fluid.pumped_gas(400.0, 180.0, 1.0) - fluid.dissolved(400.0, 180.0)).abs() < 1e-9);
    }
}
