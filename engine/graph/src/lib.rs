//! From the files that users write to a typed graph: YAML and spreadsheets in, diagnostics or a checked site out.
//!
//! The crate knows no operator by name: a [`registry::Registry`] tells it which there are.

pub mod codes;
pub mod decode;
pub mod diagnostic;
pub mod explain;
pub mod expr;
pub mod graph_print;
pub mod interpolate;
pub mod load;
pub mod operator;
pub mod pipeline;
pub mod registry;
mod report;
pub mod scalar;
pub mod scenario;
pub mod schema;
pub mod secret;
pub mod site;
pub mod source;
pub mod table;
pub mod tree;
