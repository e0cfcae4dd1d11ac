//! JSON Schemas of the files that users write, for editors: completion, hover, and the first mistakes.
//!
//! They are made from the structs that the files are decoded into, and from what the registry's operators say of
//! their own fields.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use crate::load::fields::{PipelineFields, SiteFields, TagFields, TemplateFields};
use crate::operator::Operator;
use crate::registry::{Registry, Role, Scope};
use crate::scenario::TestFields;

/// Version of JSON Schema that all schemas follow.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Of `site.yaml`, and of the files that it includes.
pub fn site(registry: &Registry) -> Json {
    let mut schema = Schema::default();
    let mut site = schema.of::<SiteFields>();
    for section in registry.sections(Scope::Site) {
        let mut own = schema.add(section.schema);
        describe(&mut own, section.summary);
        set(&mut site, "properties", section.name, own);
    }
    let mut template = schema.of::<TemplateFields>();
    let connection = schema.one_of(registry, Role::Connection);
    set(&mut template, "properties", "connection", connection);
    let mut tag = schema.of::<TagFields>();
    for section in registry.sections(Scope::Tag) {
        let mut own = schema.add(section.schema);
        describe(&mut own, section.summary);
        set(&mut tag, "properties", section.name, own);
    }
    if let Some(tag) = tag.as_object_mut() {
        // The other fields belong to the connection: where the tag is in its device.
        tag.insert("additionalProperties".to_owned(), json!(true));
    }
    set(&mut template, "properties", "tags", json!({"type": "object", "additionalProperties": tag}));
    describe_property(&mut template, "tags", "What is measured, by the variable's name.");
    let templates = json!({
        "description": "What the assets of one type have in common, by the template's name.",
        "type": "object",
        "additionalProperties": template,
    });
    set(&mut site, "properties", "templates", templates);
    // Files that a site includes have some of its fields.
    if let Some(site) = site.as_object_mut() {
        site.remove("required");
    }
    schema.finish(site, "Ducto site")
}

/// Of a pipeline.
pub fn pipeline(registry: &Registry) -> Json {
    let mut schema = Schema::default();
    let mut pipeline = schema.of::<PipelineFields>();
    for (field, role, description) in [
        ("sources", Role::Source, "Where batches come from, by the node's id."),
        ("transforms", Role::Transform, "What is made of them, by the node's id."),
        ("sinks", Role::Sink, "Where they leave, by the node's id."),
    ] {
        let node = schema.one_of(registry, role);
        let nodes = json!({"description": description, "type": "object", "additionalProperties": node});
        set(&mut pipeline, "properties", field, nodes);
    }
    schema.finish(pipeline, "Ducto pipeline")
}

/// Of a test file.
pub fn test() -> Json {
    let mut schema = Schema::default();
    let test = schema.of::<TestFields>();
    schema.finish(test, "Ducto test")
}

/// Of one operator's fields; `None` where there is none of this name. A name that several roles have gives the first
/// in the order source, transform, sink, connection.
pub fn operator(registry: &Registry, name: &str) -> Option<Json> {
    let (role, operator) = ROLES.iter().find_map(|role| Some((*role, registry.operator(*role, name)?)))?;
    let mut schema = Schema::default();
    let mut own = schema.node(operator, role);
    describe(&mut own, operator.summary);
    Some(schema.finish(own, &format!("Ducto {} {name}", role.name())))
}

/// In the order in which a pipeline names them.
const ROLES: [Role; 4] = [Role::Source, Role::Transform, Role::Sink, Role::Connection];

/// A schema in the making: its own text and the definitions it refers to.
#[derive(Default)]
struct Schema {
    generator: SchemaGenerator,
}

impl Schema {
    /// The schema of a struct, written out so that properties can be added.
    fn of<T: JsonSchema>(&mut self) -> Json {
        self.add(|generator| generator.subschema_for::<T>())
    }

    fn add(&mut self, schema: impl FnOnce(&mut SchemaGenerator) -> schemars::Schema) -> Json {
        let schema = schema(&mut self.generator).to_value();
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|name| name.rsplit('/').next());
        match name.and_then(|name| self.generator.definitions().get(name)) {
            Some(definition) => definition.clone(),
            None => schema,
        }
    }

    /// A node of an operator: its fields, and those that the graph gives to every node of its role.
    fn node(&mut self, operator: &Operator, role: Role) -> Json {
        let mut node = self.add(operator.schema);
        let kind = json!({"description": operator.summary, "const": operator.name});
        set(&mut node, "properties", "type", kind);
        require(&mut node, "type");
        if matches!(role, Role::Transform | Role::Sink) {
            let one_or_more = json!({"type": ["string", "array"], "items": {"type": "string"}});
            set(
                &mut node,
                "properties",
                "inputs",
                json!({
                    "description": "The nodes it reads: `[checked]`, `[minutes.late]`, or by name: `{left: days}`.",
                    "anyOf": [
                        {"type": "array", "items": {"type": "string"}},
                        {"type": "object", "additionalProperties": one_or_more},
                    ],
                }),
            );
            require(&mut node, "inputs");
        }
        if role == Role::Transform {
            set(
                &mut node,
                "properties",
                "publish",
                json!({
                    "description": "Columns that become tags: `{score: \"{asset}.ANOMALY_SCORE\"}`.",
                    "type": "object",
                }),
            );
        }
        node
    }

    /// Any operator of a role, told apart by `type`.
    fn one_of(&mut self, registry: &Registry, role: Role) -> Json {
        let names: Vec<&str> = registry.operators(role).map(|operator| operator.name).collect();
        let choices: Vec<Json> = registry
            .operators(role)
            .map(|operator| {
                let node = self.node(operator, role);
                json!({"if": {"properties": {"type": {"const": operator.name}}, "required": ["type"]}, "then": node})
            })
            .collect();
        json!({
            "type": "object",
            "properties": {"type": {"enum": names}},
            "required": ["type"],
            "allOf": choices,
        })
    }

    fn finish(mut self, schema: Json, title: &str) -> Json {
        let mut definitions = Json::Object(self.generator.take_definitions(true).into_iter().collect());
        let mut schema = schema;
        allow_references(&mut schema);
        allow_references(&mut definitions);
        let mut whole = Map::new();
        whole.insert("$schema".to_owned(), json!(DIALECT));
        whole.insert("title".to_owned(), json!(title));
        if let Json::Object(schema) = schema {
            whole.extend(schema);
        }
        if definitions.as_object().is_some_and(|definitions| !definitions.is_empty()) {
            whole.insert("$defs".to_owned(), definitions);
        }
        Json::Object(whole)
    }
}

/// Wherever a number or a boolean can stand, `${name}` can too.
fn allow_references(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            let scalar = |kind: &Json| matches!(kind.as_str(), Some("integer" | "number" | "boolean"));
            let kinds = match object.get("type") {
                Some(Json::Array(kinds)) => kinds.clone(),
                Some(kind @ Json::String(_)) => vec![kind.clone()],
                _ => Vec::new(),
            };
            let has_text = kinds.iter().any(|kind| kind == "string");
            if kinds.iter().any(scalar) && !has_text && !object.contains_key("enum") {
                let kinds: Vec<Json> = kinds.into_iter().chain([json!("string")]).collect();
                object.insert("type".to_owned(), Json::Array(kinds));
                object.insert("pattern".to_owned(), json!(r"^\$\{.+\}$"));
            }
            object.values_mut().for_each(allow_references);
        }
        Json::Array(items) => items.iter_mut().for_each(allow_references),
        _ => {}
    }
}

fn set(schema: &mut Json, field: &str, name: &str, value: Json) {
    if let Some(object) = schema.as_object_mut() {
        let inner = object.entry(field).or_insert_with(|| json!({}));
        if let Some(inner) = inner.as_object_mut() {
            inner.insert(name.to_owned(), value);
        }
    }
}

fn require(schema: &mut Json, name: &str) {
    if let Some(object) = schema.as_object_mut() {
        let required = object.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.insert(0, json!(name));
        }
    }
}

fn describe(schema: &mut Json, text: &str) {
    if let Some(object) = schema.as_object_mut() {
        object.entry("description").or_insert_with(|| json!(text));
    }
}

fn describe_property(schema: &mut Json, name: &str, text: &str) {
    if let Some(property) = schema.get_mut("properties").and_then(|properties| properties.get_mut(name)) {
        describe(property, text);
    }
}
