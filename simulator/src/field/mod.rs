//! An oil field as physics: wells with electric submersible pumps, and the separators they flow to.
//!
//! **Architecture Invariant:** knows nothing of devices, files or clocks: a step takes seconds and gives what could be
//! measured. The same seed and the same steps give the same field.

mod design;
mod fluid;
mod inflow;
mod operating;
mod pump;
mod random;
mod separator;
mod solve;
#[cfg(test)]
mod tests;
mod tubing;
mod well;

pub use design::{Design, Known};
pub use fluid::Fluid;
pub use inflow::Inflow;
pub use operating::{Conditions, OperatingPoint};
pub use pump::{Motor, Pump};
pub use random::{Random, Swing};
pub use separator::Separator;
pub use tubing::{Choke, Tubing};
pub use well::{Volumes, Well};

/// Pressure of the air, psia.
pub const ATMOSPHERE: f64 = 14.7;
/// Seconds.
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.0 * DAY;

/// psia as psig.
fn gauge(pressure: f64) -> f64 {
    pressure - ATMOSPHERE
}

/// A value that follows a target with a time constant, `dt` later.
fn relax(value: f64, target: f64, dt: f64, constant: f64) -> f64 {
    target + (value - target) * (-dt / constant).exp()
}

/// Wells and separators, and which flows to which.
#[derive(Clone, Debug)]
pub struct Field {
    pub wells: Vec<Well>,
    pub separators: Vec<Separator>,
    /// For each well the separator that it flows to.
    pub routes: Vec<usize>,
    /// Seconds since midnight of the first day.
    clock: f64,
}

impl Field {
    /// A field in which every route names a separator. `clock` is seconds since midnight.
    pub fn new(wells: Vec<Well>, separators: Vec<Separator>, routes: Vec<usize>, clock: f64) -> Self {
        Self { wells, separators, routes, clock }
    }

    /// Goes on by `dt` seconds.
    pub fn step(&mut self, dt: f64) {
        let mut inflows = vec![Inflowing::default(); self.separators.len()];
        for (well, route) in self.wells.iter_mut().zip(&self.routes) {
            let Some(separator) = self.separators.get(*route) else { continue };
            let volumes = well.step(dt, separator.pressure(), self.clock);
            inflows[*route].add(volumes, well.line_temperature());
        }
        for (separator, inflow) in self.separators.iter_mut().zip(inflows) {
            separator.step(dt, inflow.volumes, inflow.temperature());
        }
        self.clock += dt;
    }
}

/// What flows into a separator in a step.
#[derive(Clone, Copy, Debug, Default)]
struct Inflowing {
    volumes: Volumes,
    /// °F weighed by liquid.
    heat: f64,
}

impl Inflowing {
    fn add(&mut self, volumes: Volumes, temperature: f64) {
        self.volumes += volumes;
        self.heat += volumes.liquid() * temperature;
    }

    fn temperature(&self) -> Option<f64> {
        let liquid = self.volumes.liquid();
        (liquid > 0.0).then(|| self.heat / liquid)
    }
}
