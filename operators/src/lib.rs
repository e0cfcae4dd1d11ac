//! The operators of Ducto: what the nodes of a graph, the connections of a site and the units of a field are.
//!
//! One operator is one file; [`registry`] lists them all.

pub mod sinks;
pub mod sources;
pub mod units;
