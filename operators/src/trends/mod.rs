//! Values over time: windows, slopes.

pub mod aggregate;
