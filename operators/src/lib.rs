//! The operators of Ducto, one file each, and the protocols that feed them.

pub mod alarms;
pub mod quality;
