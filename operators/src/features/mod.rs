//! Rows of features, one per asset and tick.

pub mod align;
