//! A well that could be: what the seed and the scenario leave open is drawn, and pump, motor and choke are chosen for the
//! rest, as an engineer would.

use super::ATMOSPHERE;
use super::fluid::Fluid;
use super::inflow::Inflow;
use super::pump::{BEST, Motor, Pump, RATED};
use super::random::Random;
use super::tubing::{Choke, Tubing};

/// Liquid that the largest pump is chosen for, stb/d.
const MOST: f64 = 6_000.0;

/// What is known of a well before it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// psia.
    pub reservoir_pressure: Option<f64>,
    /// stb/d/psi.
    pub productivity: Option<f64>,
    /// psia.
    pub bubble_point: Option<f64>,
    /// 0 to 1.
    pub water_cut: Option<f64>,
    /// scf/stb.
    pub gas_oil_ratio: Option<f64>,
    /// True vertical depth, ft.
    pub pump_depth: Option<f64>,
    /// Hz.
    pub frequency: Option<f64>,
    /// Opening, 0 to 1.
    pub choke: Option<f64>,
    /// Share of its head that the pump has lost already, 0 to 1.
    pub wear: Option<f64>,
}

/// What a well is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    pub inflow: Inflow,
    pub fluid: Fluid,
    pub tubing: Tubing,
    pub pump: Pump,
    pub motor: Motor,
    pub choke: Choke,
    /// From the pump down to the perforations, ft.
    pub below_pump: f64,
    /// Share of the free gas at the intake that goes up the annulus.
    pub separated: f64,
    /// Barrels that the annulus takes for each psi at the intake.
    pub annulus: f64,
    /// Friction of the flow line, psi for each (stb/d)².
    pub flow_line: f64,
    /// Where it is run: Hz, and opening of the choke from 0 to 1.
    pub frequency: f64,
    pub opening: f64,
    pub wear: f64,
    /// Liquid rate that the pump was chosen for, stb/d.
    pub rate: f64,
    /// Shares of a year: of its pressure that the reservoir loses, of the oil that becomes water, of its head that the
    /// pump loses.
    pub decline: f64,
    pub watering: f64,
    pub wearing: f64,
}

impl Design {
    /// Draws a well that flows into a separator at about `line` psia.
    pub fn draw(random: &mut Random, known: &Known, line: f64) -> Self {
        // Everything is drawn, whatever is known, so that one thing that is given leaves the others as they are.
        let mut draw = |low, high| random.between(low, high);
        let pump_depth = draw(5_200.0, 8_400.0);
        let below_pump = draw(200.0, 700.0);
        let gradient = draw(0.30, 0.40);
        let bubble_point = draw(600.0, 1_300.0);
        let water_cut = draw(0.30, 0.85);
        let gas_oil_ratio = draw(120.0, 420.0);
        let oil_gravity = draw(20.0, 32.0);
        let gas_gravity = draw(0.68, 0.85);
        let water_gravity = draw(1.01, 1.06);
        let rate = draw(700.0, 2_600.0);
        let drawdown = draw(0.34, 0.56);
        let separated = draw(0.5, 0.8);
        let frequency = draw(46.0, 56.0);
        let head_over_line = draw(60.0, 160.0);
        let stage_head = draw(32.0, 46.0);
        let current = draw(24.0, 58.0);
        let (decline, watering, wearing) = (draw(0.02, 0.10), draw(0.01, 0.08), draw(0.03, 0.12));
        let wear = draw(0.0, 0.06);

        let depth = known.pump_depth.unwrap_or(pump_depth);
        let perforations = depth + below_pump;
        let reservoir = known.reservoir_pressure.unwrap_or(perforations * gradient);
        let bubble_point = known.bubble_point.unwrap_or(bubble_point);
        let temperature = 90.0 + 0.0135 * perforations;
        let fluid = Fluid {
            water_cut: known.water_cut.unwrap_or(water_cut),
            gas_oil_ratio: known.gas_oil_ratio.unwrap_or(gas_oil_ratio),
            oil_gravity,
            gas_gravity,
            water_gravity,
        };
        // The pressure at the intake that it is to be pumped down to, and the inflow that gives the rate there.
        let flowing = reservoir * (1.0 - drawdown);
        let of_one = Inflow { reservoir, productivity: 1.0, bubble_point };
        let productivity = known.productivity.unwrap_or(rate / of_one.rate(flowing).max(1.0));
        let inflow = Inflow { productivity, ..of_one };
        // The best of wells is produced no faster than its casing lets a pump be.
        let rate = inflow.rate(flowing).min(MOST);
        let flowing = inflow.pressure(rate);
        let below = fluid.at(flowing, temperature, fluid.gas_oil_ratio, 1.0).gradient * below_pump;
        let intake = (flowing - below).max(60.0);

        let frequency = known.frequency.unwrap_or(frequency);
        let diameter = if rate > 1_500.0 { 2.992 } else { 2.441 };
        let tubing = Tubing { depth, diameter, temperatures: [130.0, temperature] };
        let flow_line = 30.0 / (1_500.0f64 * 1_500.0);
        let line = line + flow_line * rate * rate;
        let head_pressure = line + head_over_line;
        let gas = fluid.pumped_gas(intake, temperature, separated);
        let bean = if rate > 1_500.0 { 128.0 } else { 96.0 };
        let choke = Choke { bean };
        let ratio = (1.0 - fluid.water_cut) * gas;
        let opening = known.choke.unwrap_or(choke.opening(line, head_pressure, rate, ratio));
        let needed = (tubing.discharge(head_pressure, rate, gas, &fluid) - intake).max(200.0);
        let pumped = fluid.at(intake, temperature, gas, 1.0);
        let head = needed / pumped.gradient / super::operating::gas_handling(pumped.free);
        // At its best where it is to run, and a little too strong, as it will wear.
        let through = rate * pumped.liquid;
        // Sized for a frequency that drives have, whatever the scenario sets.
        let sized_at = frequency.clamp(40.0, RATED);
        let free_rate = through / (BEST * sized_at / RATED);
        let of_one = Pump { stages: 1.0, shut_off_head: stage_head, free_rate };
        let stages = (1.06 * head / of_one.head(through, sized_at)).ceil().clamp(10.0, 600.0);
        let pump = Pump { stages, ..of_one };
        // A motor is chosen by its torque, which the frequency leaves as it is.
        let power = 1.2 * pump.power(through, sized_at) * RATED / sized_at;
        // Power factor and efficiency of such motors.
        let voltage = power * 745.7 / (3f64.sqrt() * current * 0.84 * 0.86);
        let motor = Motor { power, current, voltage };
        let outer = if diameter > 2.5 { 3.5f64 } else { 2.875 };
        let annulus = (6.276f64 * 6.276 - outer * outer) / 1_029.4 / 0.38;
        Self {
            inflow,
            fluid,
            tubing,
            pump,
            motor,
            choke,
            below_pump,
            separated,
            annulus,
            flow_line,
            frequency,
            opening,
            wear: known.wear.unwrap_or(wear),
            rate,
            decline,
            watering,
            wearing,
        }
    }

    /// Whether every number is one that a well can have.
    pub fn is_sound(&self) -> bool {
        let positive = [
            self.inflow.reservoir - ATMOSPHERE,
            self.inflow.productivity,
            self.inflow.bubble_point,
            self.tubing.depth,
            self.pump.stages,
            self.pump.free_rate,
            self.motor.power,
            self.motor.current,
            self.opening,
            self.rate,
        ];
        positive.iter().all(|value| value.is_finite() && *value > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wells_are_of_the_size_that_such_wells_have() {
        for seed in 0..500 {
            let design = Design::draw(&mut Random::new(seed, "W"), &Known::default(), 165.0);
            assert!(design.is_sound(), "{design:?}");
            assert!((650.0..2_700.0).contains(&design.rate), "{design:?}");
            assert!((0.3..8.0).contains(&design.inflow.productivity), "{design:?}");
            assert!((40.0..600.0).contains(&design.pump.stages), "{design:?}");
            assert!((15.0..160.0).contains(&design.motor.current), "{design:?}");
            assert!((0.1..0.95).contains(&design.opening), "{design:?}");
        }
    }

    #[test]
    fn what_is_known_stays_and_leaves_the_rest_alone() {
        let drawn = |known: &Known| Design::draw(&mut Random::new(3, "W"), known, 165.0);
        let free = drawn(&Known::default());
        let wet = drawn(&Known { water_cut: Some(0.95), ..Known::default() });
        assert_eq!(wet.fluid.water_cut, 0.95);
        assert_eq!(wet.inflow.reservoir, free.inflow.reservoir);
        assert_eq!(wet.frequency, free.frequency);
        assert_ne!(wet.pump.stages, free.pump.stages);
    }
}
