//! Values over time: windows, slopes.

pub mod aggregate;
pub mod rate_of_change;

use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::registry::{Scope, Section};
use ducto_graph::site::TagSettings;
use ducto_record::ValueKind;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a tag's value changes between its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// A value holds until the next: digital tags, set-points, counters.
    Stepped,
    /// Values are joined by lines: pressures, rates.
    Sloped,
}

/// Whether a tag's values are joined by lines: what the tag says, else float64 is sloped and all other kinds stepped.
pub(crate) fn is_sloped(tag: &TagSettings) -> bool {
    match tag.section::<Interpolation>("interpolation") {
        Some(said) => *said == Interpolation::Sloped,
        None => tag.kind == ValueKind::Float64,
    }
}

/// The field `interpolation` of tags.
pub fn interpolation() -> Section {
    Section {
        name: "interpolation",
        scope: Scope::Tag,
        summary: "How the value changes between samples: `stepped` or `sloped`",
        schema: |generator| generator.subschema_for::<Interpolation>(),
        shorthand: None,
        decode: |node, diagnostics| {
            decode::<Interpolation>(node, diagnostics)
                .map(|said| Arc::new(said) as Arc<dyn std::any::Any + Send + Sync>)
        },
        check: |check, diagnostics| {
            let sloped = check.section.downcast_ref() == Some(&Interpolation::Sloped);
            if sloped && check.tag.is_some_and(|tag| matches!(tag.kind, ValueKind::Bool | ValueKind::Text)) {
                diagnostics.push(
                    Diagnostic::new(Code::ValueInvalid, "a digital tag is stepped and cannot be sloped")
                        .at(check.node.place)
                        .help("remove `interpolation`, or write `stepped`"),
                );
            }
        },
    }
}
