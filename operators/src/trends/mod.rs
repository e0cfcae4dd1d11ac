//! Values over time: windows, slopes.

pub mod aggregate;
pub mod rate_of_change;
