//! The field as devices show it: register maps, and gateways that answer Modbus.

pub(crate) mod gateway;
mod map;
pub mod model;

pub use map::{map_markdown, map_text};
pub use model::{Equipment, MODELS, Model, Point, Scale};
