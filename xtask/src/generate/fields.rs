//! Tables of fields from a JSON Schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ducto_graph::scalar::{ByteSize, Duration, Name, Percent, Quantity, TimeOfDay, TimeZone, Timestamp};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::table;

/// Lines of Markdown; writing to a text cannot fail.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _ = writeln!($page, $($text)*); }};
}

/// The scalars of the configuration that have a form of their own: what a reader calls them, and their schema.
fn scalars() -> [(&'static str, Value); 8] {
    fn schema<T: JsonSchema>() -> Value {
        T::json_schema(&mut SchemaGenerator::default()).into()
    }
    [
        ("duration", schema::<Duration>()),
        ("size", schema::<ByteSize>()),
        ("name", schema::<Name>()),
        ("quantity", schema::<Quantity>()),
        ("percentage", schema::<Percent>()),
        ("time of day", schema::<TimeOfDay>()),
        ("time zone", schema::<TimeZone>()),
        ("instant", schema::<Timestamp>()),
    ]
}

/// The section that says how such values are written.
pub(super) fn values(page: &mut String) {
    line!(page, "## Values\n\nKinds of value that have a form of their own.\n");
    let rows: Vec<Vec<String>> = scalars()
        .iter()
        .map(|(name, schema)| {
            let examples: Vec<String> = schema["examples"].as_array().into_iter().flatten().map(written).collect();
            vec![(*name).to_owned(), text(schema, "description").unwrap_or_default(), examples.join(", ")]
        })
        .collect();
    table(page, &["Kind", "What", "Examples"], &rows);
}

/// One schema with its definitions.
pub(super) struct Reference {
    definitions: Map<String, Value>,
    /// Names of scalars by their pattern.
    scalars: BTreeMap<String, &'static str>,
}

/// A mapping whose fields get a table of their own, or a choice whose values are told.
struct Below {
    /// `alarms.H`
    path: String,
    definition: String,
}

impl Reference {
    pub(super) fn new(definitions: Map<String, Value>) -> Self {
        let scalars = scalars().iter().filter_map(|(name, schema)| Some((text(schema, "pattern")?, *name))).collect();
        Self { definitions, scalars }
    }

    pub(super) fn description(&self, schema: &Value) -> Option<String> {
        text(self.resolve(schema), "description")
    }

    /// The table of a mapping's fields, and below it those of the mappings inside. `path` is what stands before the
    /// names of these: nothing for a node, `alarms` for a section.
    pub(super) fn fields(&self, page: &mut String, path: &str, schema: &Value) {
        let mut told = BTreeSet::new();
        let mut below = Vec::new();
        if is_mapping(self.resolve(schema)) {
            self.table(page, path, schema, &mut below);
        } else {
            self.note(path, self.resolve(schema), &mut below);
        }
        if below.is_empty() && self.resolve(schema)["properties"].as_object().is_none_or(Map::is_empty) {
            line!(page, "It has no fields of its own.\n");
        }
        let mut at = 0;
        while at < below.len() {
            let Below { path, definition } = &below[at];
            at += 1;
            if !told.insert(definition.clone()) {
                continue;
            }
            let (path, schema) = (path.clone(), self.definitions.get(definition).cloned().unwrap_or_default());
            self.inside(page, &path, &schema, &mut below);
        }
    }

    fn inside(&self, page: &mut String, path: &str, schema: &Value, below: &mut Vec<Below>) {
        let about = text(schema, "description").unwrap_or_default();
        if is_mapping(schema) {
            line!(page, "{}\n", format!("**`{path}`** {about}").trim_end());
            return self.table(page, path, schema, below);
        }
        let choices = choices(schema);
        if choices.iter().any(|(_, about)| about.is_some()) {
            line!(page, "{}\n", format!("**`{path}`** {about}").trim_end());
            for (choice, about) in choices {
                line!(page, "- {choice}{}", about.map(|about| format!(": {about}")).unwrap_or_default());
            }
            page.push('\n');
            return;
        }
        // Several forms: each that is a mapping has its fields.
        for form in alternatives(schema) {
            if is_mapping(form) {
                let about = text(form, "description").unwrap_or_else(|| about.clone());
                line!(page, "{}\n", format!("**`{path}`** {about}").trim_end());
                self.table(page, path, form, below);
            } else {
                self.note(path, form, below);
            }
        }
    }

    fn table(&self, page: &mut String, path: &str, schema: &Value, below: &mut Vec<Below>) {
        let schema = self.resolve(schema);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object();
        let mut fields: Vec<(&String, &Value)> = properties.into_iter().flatten().collect();
        fields.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
        let mut rows = Vec::new();
        for (name, field) in fields {
            let default = match field.get("default") {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                Some(Value::Object(fields)) if !fields.values().all(Value::is_null) => written(&field["default"]),
                None | Some(Value::Null | Value::Object(_)) => String::new(),
                Some(Value::Array(items)) if items.is_empty() => String::new(),
                Some(default) => written(default),
            };
            let about = text(field, "description").or_else(|| self.description(field)).unwrap_or_default();
            rows.push(vec![format!("`{name}`"), self.kind(field), default, about]);
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.note(&inner, field, below);
        }
        table(page, &["Field", "Kind", "Default", "Meaning"], &rows);
    }

    /// Notes the definitions inside a field, to be told below its table.
    fn note(&self, path: &str, schema: &Value, below: &mut Vec<Below>) {
        if let Some(definition) = self.reference(schema) {
            below.push(Below { path: path.to_owned(), definition });
            return;
        }
        if let Some(items) = schema.get("items") {
            self.note(path, items, below);
        }
        if let Some(values) = schema.get("additionalProperties") {
            self.note(&format!("{path}.…"), values, below);
        }
        for part in alternatives(schema) {
            self.note(path, part, below);
        }
    }

    fn reference(&self, schema: &Value) -> Option<String> {
        Some(schema.get("$ref")?.as_str()?.rsplit('/').next()?.to_owned())
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        self.reference(schema).and_then(|name| self.definitions.get(&name)).unwrap_or(schema)
    }

    /// What a value is, in a few words.
    fn kind(&self, schema: &Value) -> String {
        let schema = self.resolve(schema);
        if let Some(pattern) = text(schema, "pattern") {
            return self.scalars.get(&pattern).map_or_else(|| "text".to_owned(), |name| format!("[{name}](#values)"));
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            return choices.into_iter().map(|(choice, _)| choice).collect::<Vec<_>>().join(", ");
        }
        let mut kinds: Vec<String> = Vec::new();
        for part in alternatives(schema).into_iter().filter(|part| part["type"] != "null") {
            let kind = self.kind(part);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if !kinds.is_empty() {
            return kinds.join(" or ");
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
            _ => return "any value".to_owned(),
        };
        types.into_iter().map(|name| self.typed(name, schema)).collect::<Vec<_>>().join(" or ")
    }

    fn typed(&self, name: &str, schema: &Value) -> String {
        match name {
            "string" => "text".to_owned(),
            "array" => {
                let items = schema.get("items").map_or_else(|| "value".to_owned(), |items| self.kind(items));
                match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                    (Some(least), Some(most)) if least == most => format!("list of {least}: {items}"),
                    _ => format!("list: {items}"),
                }
            }
            "object" => match schema.get("additionalProperties") {
                Some(values @ Value::Object(_)) => format!("mapping: {}", self.kind(values)),
                _ => "mapping".to_owned(),
            },
            other => other.to_owned(),
        }
    }
}

fn is_mapping(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

fn alternatives(schema: &Value) -> Vec<&Value> {
    ["anyOf", "oneOf", "allOf"].iter().filter_map(|name| schema[*name].as_array()).flatten().collect()
}

/// The values of a choice, each with what it means.
fn choices(schema: &Value) -> Vec<(String, Option<String>)> {
    if let Some(value) = schema.get("const") {
        return vec![(written(value), text(schema, "description"))];
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().filter(|value| !value.is_null()).map(|value| (written(value), None)).collect();
    }
    let parts = alternatives(schema);
    let found: Vec<Vec<(String, Option<String>)>> = parts.iter().map(|part| choices(part)).collect();
    if found.iter().any(Vec::is_empty) { Vec::new() } else { found.into_iter().flatten().collect() }
}

fn text(schema: &Value, field: &str) -> Option<String> {
    // A single line break inside a doc comment only wraps it.
    schema.get(field).and_then(Value::as_str).map(|text| {
        let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        paragraphs.join("\n\n")
    })
}

/// A value as YAML would have it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", text.replace('\t', "\\t")),
        other => format!("`{other}`"),
    }
}
