//! From the pump to the wellhead: weight and friction of the mixture in the tubing, and the choke behind it.

use super::ATMOSPHERE;
use super::fluid::Fluid;

/// Pieces that the tubing is computed in.
const PIECES: u32 = 10;
/// Roughness of steel tubing, in.
const ROUGHNESS: f64 = 0.0018;
/// Share of the free gas that is in the pipe at a time; the rest has slipped past the liquid.
const HOLDUP: f64 = 0.6;
/// Viscosity of the mixture, cP.
const VISCOSITY: f64 = 2.0;

/// Tubing from the pump up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tubing {
    /// True vertical depth of the pump, ft.
    pub depth: f64,
    /// Inner diameter, in.
    pub diameter: f64,
    /// At the wellhead and at the pump, °F.
    pub temperatures: [f64; 2],
}

impl Tubing {
    /// Pressure at the pump's discharge, psia, for a pressure at the wellhead and a rate in stb/d with `gas` scf for each
    /// barrel of oil.
    pub(super) fn discharge(&self, head: f64, rate: f64, gas: f64, fluid: &Fluid) -> f64 {
        let [top, bottom] = self.temperatures;
        let piece = self.depth / f64::from(PIECES);
        let mut pressure = head;
        for index in 0..PIECES {
            let temperature = top + (bottom - top) * (f64::from(index) + 0.5) / f64::from(PIECES);
            let mixture = fluid.at(pressure, temperature, gas, HOLDUP);
            let friction = self.friction(rate * mixture.volume, mixture.gradient);
            pressure += piece * (mixture.gradient + friction);
        }
        pressure
    }

    /// Friction of a rate in bbl/d, psi/ft.
    fn friction(&self, rate: f64, gradient: f64) -> f64 {
        let feet = self.diameter / 12.0;
        let area = std::f64::consts::FRAC_PI_4 * feet * feet;
        let velocity = rate * 5.614_583 / 86_400.0 / area;
        // Pounds in a cubic foot.
        let density = gradient * 144.0;
        let reynolds = 1_488.0 * density * velocity * feet / VISCOSITY;
        // Moody's own approximation; laminar flow does not happen at rates that matter.
        let factor = 0.0055 * (1.0 + (2e4 * ROUGHNESS / self.diameter + 1e6 / reynolds.max(1.0)).cbrt());
        factor * density * velocity * velocity / (2.0 * 32.174 * feet * 144.0)
    }
}

/// Smallest opening: a choke that is shut still leaks.
const LEAK: f64 = 0.003;

/// A choke with an opening from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choke {
    /// Bean when wide open, 64ths of an inch.
    pub bean: f64,
}

impl Choke {
    /// Pressure before the choke, psia: Gilbert's rule for critical flow, which fades into the pressure behind the choke
    /// where the flow is not critical. `ratio` is gas to liquid, scf/stb.
    pub fn upstream(&self, behind: f64, rate: f64, ratio: f64, opening: f64) -> f64 {
        behind.hypot(self.critical(rate, ratio, opening)).max(ATMOSPHERE)
    }

    /// The opening at which the pressure before the choke is `upstream`.
    pub(super) fn opening(&self, behind: f64, upstream: f64, rate: f64, ratio: f64) -> f64 {
        let critical = (upstream * upstream - behind * behind).max(1.0).sqrt();
        (self.critical(rate, ratio, 1.0) / critical).powf(1.0 / 1.89).clamp(0.05, 1.0)
    }

    fn critical(&self, rate: f64, ratio: f64, opening: f64) -> f64 {
        let ratio = (ratio / 1_000.0).max(0.02);
        435.0 * ratio.powf(0.546) * rate / (self.bean * opening.clamp(LEAK, 1.0)).powf(1.89)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fluid(water_cut: f64) -> Fluid {
        Fluid { water_cut, gas_oil_ratio: 300.0, oil_gravity: 28.0, gas_gravity: 0.75, water_gravity: 1.02 }
    }

    const TUBING: Tubing = Tubing { depth: 7_000.0, diameter: 2.992, temperatures: [140.0, 190.0] };

    #[test]
    fn a_column_weighs_what_it_should() {
        // Water alone: 0.433 psi/ft, and next to no friction at rest.
        let water = Fluid { water_gravity: 1.0, ..fluid(1.0) };
        let discharge = TUBING.discharge(200.0, 0.0, 0.0, &water);
        assert!((discharge - 200.0 - 7_000.0 * 0.433).abs() < 10.0, "{discharge}");
        // Gas lifts it.
        assert!(TUBING.discharge(200.0, 1_500.0, 300.0, &fluid(0.3)) < discharge - 300.0);
        // Friction of 2,000 stb/d in 3½ in tubing: a handbook's 11 ft of head in 1,000 ft.
        let moving = TUBING.discharge(200.0, 2_000.0, 0.0, &water) - discharge;
        assert!((25.0..45.0).contains(&moving), "{moving}");
    }

    #[test]
    fn more_rate_and_more_head_pressure_ask_for_more() {
        let fluid = fluid(0.6);
        let mut last = 0.0;
        for rate in (0..40).map(|step| 100.0 * f64::from(step)) {
            let discharge = TUBING.discharge(250.0, rate, 250.0, &fluid);
            assert!(discharge > last);
            assert!(TUBING.discharge(300.0, rate, 250.0, &fluid) > discharge);
            last = discharge;
        }
    }

    #[test]
    fn gilbert_and_its_inverse() {
        let choke = Choke { bean: 64.0 };
        // 435 · 0.4^0.546 · 800 / 20^1.89, in critical flow.
        let upstream = choke.upstream(15.0, 800.0, 400.0, 20.0 / 64.0);
        assert!((upstream - 733.0).abs() < 5.0, "{upstream}");
        for target in [250.0, 400.0, 900.0] {
            let opening = choke.opening(180.0, target, 1_400.0, 120.0);
            assert!((choke.upstream(180.0, 1_400.0, 120.0, opening) - target).abs() < 1e-6);
        }
        assert_eq!(choke.upstream(180.0, 0.0, 120.0, 0.0), 180.0);
        assert!(choke.upstream(180.0, 1_000.0, 120.0, 0.0).is_finite());
    }
}
