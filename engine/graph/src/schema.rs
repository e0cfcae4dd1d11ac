//! JSON Schemas of the files that users write, from the structs that decode them: an editor completes and explains
//! with these. What they cannot say (cycles, units, references) `check` says.

mod insertions;
mod nodes;
mod written;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::load::fields::{PipelineFields, SiteFields, TagFields, TemplateFields};
use crate::registry::{Registry, Role, Scope};
use crate::scenario::TestFields;

/// Schema of `site.yaml` and of the files it includes. Of these only the first needs `site:`, so the schema does not
/// ask for it.
pub fn site(registry: &Registry) -> Value {
    let mut file = File::new();
    let mut site = file.object::<SiteFields>();
    file.object::<TemplateFields>();
    let tag = file.tag(registry);
    for section in registry.sections(Scope::Site) {
        let schema = described((section.schema)(&mut file.generator).into(), section.summary);
        site.properties().insert(section.name.to_owned(), schema);
    }
    site.properties().insert(
        "templates".to_owned(),
        json!({
            "description": "What the assets of one type have in common, by the template's name.",
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/TemplateFields"},
        }),
    );
    let connected = file.connected_tags(registry, &tag);
    let connection = nodes::choice(registry, Role::Connection, &mut file);
    let mut definitions = file.finish();
    insertions::allow_in_all(&mut definitions, &["ParameterFields"]);
    let mut root = Value::Object(site.0);
    insertions::allow_below(&mut root, &definitions);
    let mut tags = vec![("tag".to_owned(), tag)];
    let mut cases = Vec::new();
    for (name, tag) in connected {
        let of_type = json!({"properties": {"type": {"const": name}}, "required": ["type"]});
        cases.push(json!({
            "if": {"properties": {"connection": of_type}, "required": ["connection"]},
            "then": {"properties": {"tags": {"additionalProperties": or_nothing(&format!("tag.{name}"))}}},
        }));
        tags.push((format!("tag.{name}"), tag));
    }
    for (name, tag) in tags {
        let mut tag = Value::Object(tag.0);
        insertions::allow_below(&mut tag, &definitions);
        definitions.insert(name, tag);
    }
    connection.add_to(&mut definitions);
    definitions.insert("insertion".to_owned(), insertions::schema());
    if let Some(template) = definitions.get_mut("TemplateFields") {
        let fields = &mut template["properties"];
        fields["connection"] = described(json!({"$ref": "#/$defs/connection"}), text(&fields["connection"]));
        fields["tags"]["additionalProperties"] = or_nothing("tag");
        if !cases.is_empty() {
            template["allOf"] = cases.into();
        }
    }
    if let Some(root) = root.as_object_mut() {
        root.remove("required");
    }
    document("Ducto site", root, definitions)
}

/// Schema of a pipeline's file: each node by its `type`.
pub fn pipeline(registry: &Registry) -> Value {
    let mut file = File::new();
    let mut pipeline = file.object::<PipelineFields>();
    let mut choices = Vec::new();
    for (list, role, about) in [
        ("sources", Role::Source, "What brings samples and rows into the graph, by the node's name."),
        ("transforms", Role::Transform, "What is done with them, by the node's name."),
        ("sinks", Role::Sink, "Where samples and rows leave the graph, by the node's name."),
    ] {
        choices.push(nodes::choice(registry, role, &mut file));
        let node = format!("#/$defs/{}", role.name());
        let list_schema = json!({"description": about, "type": "object", "additionalProperties": {"$ref": node}});
        pipeline.properties().insert(list.to_owned(), list_schema);
    }
    let mut definitions = file.finish();
    insertions::allow_in_all(&mut definitions, &["ParameterFields"]);
    for choice in choices {
        choice.add_to(&mut definitions);
    }
    definitions.insert("insertion".to_owned(), insertions::schema());
    document("Ducto pipeline", Value::Object(pipeline.0), definitions)
}

/// Schema of a file of tests.
pub fn test(registry: &Registry) -> Value {
    let mut file = File::new();
    let tests = file.object::<TestFields>();
    let tag = file.tag(registry);
    let mut definitions = file.finish();
    definitions.insert("tag".to_owned(), Value::Object(tag.0));
    if let Some(scenario) = definitions.get_mut("ScenarioFields").and_then(|schema| schema.get_mut("properties")) {
        scenario["tags"]["additionalProperties"] = or_nothing("tag");
    }
    document("Ducto tests of a pipeline", Value::Object(tests.0), definitions)
}

/// Schema of a file that is decoded from one struct.
pub fn file<T: schemars::JsonSchema>(title: &str) -> Value {
    let mut file = File::new();
    let root = file.object::<T>();
    document(title, Value::Object(root.0), file.finish())
}

/// A definition, or nothing written behind the name.
fn or_nothing(definition: &str) -> Value {
    json!({"anyOf": [{"$ref": format!("#/$defs/{definition}")}, {"type": "null"}]})
}

fn document(title: &str, mut root: Value, definitions: Map<String, Value>) -> Value {
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = title.into();
    root["$defs"] = Value::Object(definitions);
    root
}

/// One schema file while it is put together.
struct File {
    generator: SchemaGenerator,
}

impl File {
    fn new() -> Self {
        Self { generator: SchemaSettings::draft2020_12().into_generator() }
    }

    /// The schema of a struct itself, where a reference to it would stand.
    fn object<T: schemars::JsonSchema>(&mut self) -> Object {
        let schema = self.generator.subschema_for::<T>();
        self.resolved(schema.into())
    }

    /// The object that a reference names.
    fn resolved(&self, schema: Value) -> Object {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        let mut found = name.and_then(|name| self.generator.definitions().get(name)).cloned().unwrap_or(schema);
        written::allow_numbers(&mut found);
        Object(if let Value::Object(object) = found { object } else { Map::new() })
    }

    /// A tag: its own fields, the sections of operators, and whatever its connection reads.
    fn tag(&mut self, registry: &Registry) -> Object {
        let mut tag = self.object::<TagFields>();
        for section in registry.sections(Scope::Tag) {
            let schema = described((section.schema)(&mut self.generator).into(), section.summary);
            tag.properties().insert(section.name.to_owned(), schema);
        }
        // The fields of its connection (`address`, …) differ from type to type.
        tag.0.insert("additionalProperties".to_owned(), true.into());
        tag.0.insert("description".to_owned(), "What is measured, and how it is read.".into());
        tag
    }

    /// Tags as each type of connection reads them: with its own fields, and no others.
    fn connected_tags(&mut self, registry: &Registry, tag: &Object) -> Vec<(&'static str, Object)> {
        let connections: Vec<_> = registry
            .operators(Role::Connection)
            .filter_map(|operator| Some((operator.name, registry.tag_fields(operator.name)?)))
            .collect();
        let mut tags = Vec::new();
        for (name, schema) in connections {
            let schema = schema(&mut self.generator).into();
            let mut own = self.resolved(schema);
            let fields = std::mem::take(own.properties());
            let mut tag = Object(tag.0.clone());
            tag.properties().extend(fields);
            tag.0.insert("additionalProperties".to_owned(), false.into());
            tags.push((name, tag));
        }
        tags
    }

    fn finish(mut self) -> Map<String, Value> {
        let mut definitions = self.generator.take_definitions(true);
        written::allow_numbers_in_all(&mut definitions);
        definitions
    }
}

/// The schema of a mapping.
struct Object(Map<String, Value>);

impl Object {
    fn properties(&mut self) -> &mut Map<String, Value> {
        let properties = self.0.entry("properties").or_insert_with(|| json!({}));
        if !properties.is_object() {
            *properties = json!({});
        }
        match properties {
            Value::Object(properties) => properties,
            _ => unreachable!("it was made an object just above"),
        }
    }
}

/// The schema with this description, which stands beside a reference.
fn described(schema: Value, description: &str) -> Value {
    match schema {
        Value::Object(mut schema) => {
            schema.entry("description").or_insert_with(|| description.into());
            Value::Object(schema)
        }
        other => other,
    }
}

/// Its description.
fn text(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}
