//! The files that users write, read into typed values with every mistake reported at its place.

pub mod codes;
pub mod decode;
pub mod diagnostic;
mod report;
pub mod scalar;
pub mod source;
pub mod tree;
