//! The operators of Ducto: what the nodes of a graph, the connections of a site and the units of a field are.
//!
//! One operator is one file; [`registry`] lists them all.

pub mod alarms;
pub mod features;
pub mod quality;
pub mod rows;
pub mod sinks;
mod slots;
pub mod sources;
pub mod trends;
pub mod units;

#[cfg(test)]
mod testing;

use ducto_graph::expr::Functions;
use ducto_graph::registry::Registry;

/// Everything that this build knows: a value, so that a test can take its own and add to it.
pub fn registry() -> Registry {
    let mut registry = Registry::new(units::units(), Functions::default());
    let operators = [
        alarms::operator(),
        quality::operator(),
        sources::dataset::operator(),
        sources::modbus::operator(),
        sources::replay::operator(),
        sources::tags::operator(),
        sinks::file::operator(),
        sinks::historian::operator(),
        sinks::log::operator(),
        sinks::webhook::operator(),
        trends::aggregate::operator(),
        trends::rate_of_change::operator(),
        features::align::operator(),
        rows::calc::operator(),
        rows::filter::operator(),
    ];
    operators.into_iter().for_each(|operator| registry.add(operator));
    registry.add_tag_fields("modbus", |generator| generator.subschema_for::<sources::modbus::TagFields>());
    registry.add_own_tags("modbus", sources::modbus::own_tags);
    registry.add_section(quality::section());
    registry.add_section(trends::interpolation());
    registry.add_section(sinks::outbox::section());
    alarms::sections().into_iter().for_each(|section| registry.add_section(section));
    for (name, text) in PIPELINES {
        registry.add_pipeline(name, text);
    }
    registry
}

/// The pipelines that are built in: those of the folder `pipelines`.
const PIPELINES: [(&str, &str); 1] = [("well-monitoring", include_str!("../../pipelines/well-monitoring.yaml"))];

#[cfg(test)]
mod tests {
    use ducto_graph::diagnostic::Diagnostics;
    use ducto_graph::operator::Decode;
    use ducto_graph::registry::Role;
    use ducto_graph::source::Sources;
    use ducto_graph::tree::Node;

    /// An example is one node; what the graph takes off before an operator decodes its fields is taken off here.
    #[test]
    fn every_example_is_what_its_operator_reads() {
        let registry = super::registry();
        for role in [Role::Source, Role::Transform, Role::Sink, Role::Connection] {
            for operator in registry.operators(role) {
                assert!(operator.examples.len() >= 2, "`{}` has too few examples", operator.name);
                for example in operator.examples {
                    let mut sources = Sources::new();
                    let mut diagnostics = Diagnostics::new();
                    let file = sources.add_text("example.yaml", *example);
                    let tree = Node::parse(file, &sources, &mut diagnostics).unwrap();
                    let [entry] = tree.entries() else { panic!("not one node: {example}") };
                    let mut node = entry.value.clone();
                    let kind = node.take("type").map(|entry| entry.value.as_text().unwrap_or_default().to_owned());
                    assert_eq!(kind.as_deref(), Some(operator.name), "{example}");
                    for field in ["inputs", "publish", "was"] {
                        node.take(field);
                    }
                    let decoded = match operator.decode {
                        Decode::Source(decode) => decode(&node, &mut diagnostics).is_some(),
                        Decode::Transform(decode) => decode(&node, &mut diagnostics).is_some(),
                        Decode::Sink(decode) => decode(&node, &mut diagnostics).is_some(),
                        Decode::Connection(decode) => decode(&node, &mut diagnostics).is_some(),
                    };
                    assert!(decoded && diagnostics.is_empty(), "{example}: {diagnostics:?}");
                }
            }
        }
    }

    #[test]
    fn every_operator_has_a_schema_with_described_fields() {
        let registry = super::registry();
        for role in [Role::Source, Role::Transform, Role::Sink, Role::Connection] {
            for operator in registry.operators(role) {
                let mut generator = schemars::SchemaGenerator::default();
                let schema = (operator.schema)(&mut generator);
                let definitions = generator.take_definitions(true);
                let name = schema.get("$ref").and_then(|name| name.as_str()).and_then(|name| name.rsplit('/').next());
                let object = name.and_then(|name| definitions.get(name)).unwrap_or_else(|| schema.as_value());
                assert_eq!(object["additionalProperties"], false, "`{}` takes unknown fields", operator.name);
                for (field, schema) in object["properties"].as_object().into_iter().flatten() {
                    let described = schema["description"].is_string();
                    assert!(described, "`{field}` of `{}` has no description", operator.name);
                }
            }
        }
    }
}
