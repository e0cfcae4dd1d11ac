//! What happens, in a few words for people: in English and in Spanish.

use super::{Simulation, Undo};
use crate::field::ATMOSPHERE;
use crate::scenario::{Action, Dirt, EventName, Target};
use crate::simulation::Trouble;

fn both(english: impl Into<String>, spanish: impl Into<String>) -> [String; 2] {
    [english.into(), spanish.into()]
}

impl Action {
    /// `choke to 8 %`.
    pub(super) fn text(self, simulation: &Simulation, target: Target) -> [String; 2] {
        let over = |over: f64| match over > 0.0 {
            true => (format!(", over {over:.0} s"), format!(", en {over:.0} s")),
            false => (String::new(), String::new()),
        };
        match self {
            Self::Choke { to, over: time } => {
                let (to, (en, es)) = (100.0 * to, over(time));
                both(format!("choke to {to:.0} %{en}"), format!("choke a {to:.0} %{es}"))
            }
            Self::Frequency { to } => both(format!("drive to {to:.1} Hz"), format!("variador a {to:.1} Hz")),
            Self::Stop => both("pump stops", "la bomba para"),
            Self::Start => both("pump starts", "la bomba arranca"),
            Self::GasLock { .. } => both("gas gets into the pump", "entra gas en la bomba"),
            Self::Wear { by, over: time } => {
                let (by, (en, es)) = (100.0 * by, over(time));
                both(
                    format!("pump loses {by:.0} % of its head{en}"),
                    format!("la bomba pierde {by:.0} % de su altura{es}"),
                )
            }
            Self::WaterCut { to, over: time } => {
                let (to, (en, es)) = (100.0 * to, over(time));
                both(format!("water cut to {to:.0} %{en}"), format!("corte de agua a {to:.0} %{es}"))
            }
            Self::WellTest { separator } => {
                let separator = simulation.scenario().name_of(Target::Separator(separator));
                both(format!("goes to {separator}"), format!("pasa a {separator}"))
            }
            Self::Pressure { to } => {
                let to = to - ATMOSPHERE;
                both(format!("pressure to {to:.0} psig"), format!("presión a {to:.0} psig"))
            }
            Self::BlockedOutlet => both("liquid outlets blocked", "salidas de líquido bloqueadas"),
            Self::Measurement { variable, dirt } => {
                let model = simulation.asset(target).model;
                let variable = &model.on.variables()[variable];
                let unit = variable.unit.unwrap_or_default();
                let [english, spanish] = match dirt {
                    Dirt::SpikeTo(to) => both(format!("spikes to {to} {unit}"), format!("da un pico de {to} {unit}")),
                    Dirt::SpikeBy(by) => {
                        both(format!("spikes by {by} {unit}"), format!("da un pico de {by} {unit} más"))
                    }
                    Dirt::Freeze => both("is stuck", "se congela"),
                    Dirt::Drift { by, over: time } => {
                        let (en, es) = over(time);
                        both(format!("drifts by {by} {unit}{en}"), format!("se desvía {by} {unit}{es}"))
                    }
                    Dirt::Fail(to) if to.is_nan() => both("fails", "falla"),
                    Dirt::Fail(to) => both(format!("fails at {to} {unit}"), format!("falla en {to} {unit}")),
                };
                let name = variable.name;
                both(format!("{name} {}", english.trim_end()), format!("{name} {}", spanish.trim_end()))
            }
            Self::Device(Trouble::Dead) => both("device is dead", "el equipo no responde"),
            Self::Device(Trouble::Slow { seconds }) => {
                both(format!("device answers {seconds} s late"), format!("el equipo responde {seconds} s tarde"))
            }
            Self::Device(Trouble::Lies(lie)) => {
                both(format!("device lies: {}", lie.name()), format!("el equipo miente: {}", lie.spanish()))
            }
        }
    }
}

impl Undo {
    /// `choke back to 34 %`.
    pub(super) fn text(self, simulation: &Simulation, target: Target, event: EventName) -> [String; 2] {
        match self {
            Self::Choke { to, .. } => {
                let to = 100.0 * to;
                both(format!("choke back to {to:.0} %"), format!("choke de vuelta a {to:.0} %"))
            }
            Self::Frequency(to) => {
                both(format!("drive back to {to:.1} Hz"), format!("variador de vuelta a {to:.1} Hz"))
            }
            Self::Start => both("pump starts again", "la bomba arranca de nuevo"),
            Self::Gas => both("the gas is gone", "el gas se ha ido"),
            Self::WaterCut { to, .. } => {
                let to = 100.0 * to;
                both(format!("water cut back to {to:.0} %"), format!("corte de agua de vuelta a {to:.0} %"))
            }
            Self::Route(to) => {
                let to = simulation.scenario().name_of(Target::Separator(to));
                both(format!("goes back to {to}"), format!("vuelve a {to}"))
            }
            Self::Pressure(to) => {
                let to = to - ATMOSPHERE;
                both(format!("pressure back to {to:.0} psig"), format!("presión de vuelta a {to:.0} psig"))
            }
            Self::Outlets => both("liquid outlets open again", "salidas de líquido abiertas de nuevo"),
            Self::Measurement { variable } => {
                let name = simulation.asset(target).model.on.variables()[variable].name;
                let event = event.name();
                both(format!("{name} is right again, {event} is over"), format!("{name} mide bien de nuevo"))
            }
            Self::Trouble => both("device is well again", "el equipo está bien de nuevo"),
        }
    }
}
