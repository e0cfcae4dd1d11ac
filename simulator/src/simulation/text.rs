//! What happens, in a few words for people.

use super::{Simulation, Undo};
use crate::field::ATMOSPHERE;
use crate::scenario::{Action, Dirt, EventName, Target};
use crate::simulation::Trouble;

impl Action {
    /// `choke to 8 %`.
    pub(super) fn text(self, simulation: &Simulation, target: Target) -> String {
        let over = |over: f64| if over > 0.0 { format!(", over {over:.0} s") } else { String::new() };
        match self {
            Self::Choke { to, over: time } => format!("choke to {:.0} %{}", 100.0 * to, over(time)),
            Self::Frequency { to } => format!("drive to {to:.1} Hz"),
            Self::Stop => "pump stops".to_owned(),
            Self::Start => "pump starts".to_owned(),
            Self::GasLock { .. } => "gas gets into the pump".to_owned(),
            Self::Wear { by, over: time } => format!("pump loses {:.0} % of its head{}", 100.0 * by, over(time)),
            Self::WaterCut { to, over: time } => format!("water cut to {:.0} %{}", 100.0 * to, over(time)),
            Self::WellTest { separator } => {
                format!("goes to {}", simulation.scenario().name_of(Target::Separator(separator)))
            }
            Self::Pressure { to } => format!("pressure to {:.0} psig", to - ATMOSPHERE),
            Self::BlockedOutlet => "liquid outlets blocked".to_owned(),
            Self::Measurement { variable, dirt } => {
                let model = simulation.asset(target).model;
                let variable = &model.on.variables()[variable];
                let unit = variable.unit.unwrap_or_default();
                let what = match dirt {
                    Dirt::SpikeTo(to) => format!("spikes to {to} {unit}"),
                    Dirt::SpikeBy(by) => format!("spikes by {by} {unit}"),
                    Dirt::Freeze => "is stuck".to_owned(),
                    Dirt::Drift { by, over: time } => format!("drifts by {by} {unit}{}", over(time)),
                    Dirt::Fail(to) if to.is_nan() => "fails".to_owned(),
                    Dirt::Fail(to) => format!("fails at {to} {unit}"),
                };
                format!("{} {}", variable.name, what.trim_end())
            }
            Self::Device(Trouble::Dead) => "device is dead".to_owned(),
            Self::Device(Trouble::Slow { seconds }) => format!("device answers {seconds} s late"),
            Self::Device(Trouble::Lies(lie)) => format!("device lies: {}", lie.name()),
        }
    }
}

impl Undo {
    /// `choke back to 34 %`.
    pub(super) fn text(self, simulation: &Simulation, target: Target, event: EventName) -> String {
        match self {
            Self::Choke { to, .. } => format!("choke back to {:.0} %", 100.0 * to),
            Self::Frequency(to) => format!("drive back to {to:.1} Hz"),
            Self::Start => "pump starts again".to_owned(),
            Self::Gas => "the gas is gone".to_owned(),
            Self::WaterCut { to, .. } => format!("water cut back to {:.0} %", 100.0 * to),
            Self::Route(to) => format!("goes back to {}", simulation.scenario().name_of(Target::Separator(to))),
            Self::Pressure(to) => format!("pressure back to {:.0} psig", to - ATMOSPHERE),
            Self::Outlets => "liquid outlets open again".to_owned(),
            Self::Measurement { variable } => {
                let variable = &simulation.asset(target).model.on.variables()[variable];
                format!("{} is right again, {} is over", variable.name, event.name())
            }
            Self::Trouble => "device is well again".to_owned(),
        }
    }
}
