//! A simulated oil field: its physics, its instruments and their faults, scenarios that say what happens, devices that
//! show it over Modbus TCP, and recordings of it.
//!
//! [`Scenario`] is read from YAML, [`Simulation`] runs it step by step, [`Simulator`] shows it to whoever asks over
//! Modbus, [`record`] writes it to a file, and [`load`] is a field without physics for measurements of load.

pub mod device;
pub mod field;
pub mod load;
mod ports;
pub mod record;
pub mod scenario;
mod server;
mod simulation;
pub mod site;
mod variables;

pub use scenario::{Overrides, Scenario};
pub use server::{Simulator, StartError};
pub use simulation::{Asset, Happening, Lie, Simulation, Tag, Trouble};
pub use variables::{Kind, Variable};
