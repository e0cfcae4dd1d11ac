//! The files that users write, read into typed values with every mistake reported at its place.

pub mod codes;
pub mod decode;
pub mod diagnostic;
pub mod interpolate;
mod report;
pub mod scalar;
pub mod secret;
pub mod source;
pub mod table;
pub mod tree;
