//! What looks at one row at a time: new columns, conditions.

pub mod calc;
pub mod filter;
