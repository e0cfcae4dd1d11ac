//! What a transmitter makes of the truth: noise, resolution, and whatever is wrong with it.

use ducto_record::Micros;

use crate::field::Random;
use crate::scenario::Dirt;
use crate::variables::{Kind, Variable};

/// What is wrong with a transmitter, and the event that it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fault {
    id: u64,
    dirt: Dirt,
    /// µs since the start.
    since: Micros,
}

/// A transmitter.
#[derive(Clone, Debug)]
pub(crate) struct Instrument {
    random: Random,
    faults: Vec<Fault>,
}

impl Instrument {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, faults: Vec::new() }
    }

    pub(crate) fn dirty(&mut self, id: u64, dirt: Dirt, since: Micros) {
        self.faults.push(Fault { id, dirt, since });
    }

    pub(crate) fn clean(&mut self, id: u64) {
        self.faults.retain(|fault| fault.id != id);
    }

    /// What is wrong with it, if anything is: what came last.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        self.faults.last().map(|fault| match fault.dirt {
            Dirt::SpikeTo(_) | Dirt::SpikeBy(_) => "spike",
            Dirt::Freeze => "freeze",
            Dirt::Drift { .. } => "drift",
            Dirt::Fail(_) => "fail",
        })
    }

    /// What it shows of a true value; `shown` is what it showed last.
    pub(crate) fn show(&mut self, variable: &Variable, truth: f64, shown: f64, now: Micros) -> f64 {
        let mut value = match variable.kind {
            Kind::Switch(_) => truth,
            Kind::Count => truth.floor(),
            Kind::Total { rolls_over_at } => truth.floor().rem_euclid(f64::from(rolls_over_at)),
            Kind::Analogue => {
                let [absolute, relative] = variable.noise;
                // Drawn whatever is wrong, so that a fault leaves the noise after it as it would have been.
                truth + (absolute + relative * truth.abs()) * self.random.normal()
            }
        };
        let mut stuck = false;
        for fault in &self.faults {
            match fault.dirt {
                Dirt::Drift { by, over } => {
                    let share = if over > 0.0 { ((now - fault.since) as f64 / 1e6 / over).min(1.0) } else { 1.0 };
                    value += by * share;
                }
                Dirt::SpikeBy(by) => value += by,
                Dirt::SpikeTo(to) | Dirt::Fail(to) => value = to,
                Dirt::Freeze => stuck = true,
            }
        }
        // A switch has no value between, and is never less than off.
        match variable.kind {
            _ if stuck => shown,
            Kind::Switch(_) if !value.is_nan() => f64::from(u8::from(value >= 0.5)),
            _ => value,
        }
    }
}
