//! Nodes and connections: the fields that can stand there follow from `type`.

use serde_json::{Map, Value, json};

use super::{File, Object, insertions};
use crate::registry::{Registry, Role};

/// What can stand where a node of one role stands: a schema of the role, and one of each of its operators.
pub(super) struct Choice {
    role: Role,
    operators: Vec<(&'static str, &'static str, Object)>,
}

pub(super) fn choice(registry: &Registry, role: Role, file: &mut File) -> Choice {
    let operators = registry.operators(role).map(|operator| {
        let schema = (operator.schema)(&mut file.generator);
        (operator.name, operator.summary, file.resolved(schema.into()))
    });
    Choice { role, operators: operators.collect() }
}

impl Choice {
    /// Adds the definitions `transform`, `transform.quality`, …
    pub(super) fn add_to(self, definitions: &mut Map<String, Value>) {
        let role = self.role.name();
        let mut names = Vec::new();
        let mut cases = Vec::new();
        for (name, summary, fields) in self.operators {
            names.push(json!({"const": name, "description": summary}));
            cases.push(json!({
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"$ref": format!("#/$defs/{role}.{name}")},
            }));
            let fields = framed(self.role, name, summary, fields, definitions);
            definitions.insert(format!("{role}.{name}"), fields);
        }
        // Without an operator nothing can stand there.
        let schema = if names.is_empty() {
            json!(false)
        } else {
            json!({
                "type": "object",
                "properties": {"type": {"description": "What the node is.", "oneOf": names}},
                "required": ["type"],
                "allOf": cases,
            })
        };
        definitions.insert(role.to_owned(), schema);
    }
}

/// An operator's own fields, with those that the graph reads.
fn framed(role: Role, name: &str, summary: &str, fields: Object, definitions: &Map<String, Value>) -> Value {
    let mut schema = Value::Object(fields.0);
    insertions::allow_below(&mut schema, definitions);
    let Value::Object(schema) = schema else { return json!(true) };
    let mut fields = Object(schema);
    let mut required = match fields.0.remove("required") {
        Some(Value::Array(required)) => required,
        _ => Vec::new(),
    };
    let properties = fields.properties();
    properties.insert("type".to_owned(), json!({"description": summary, "const": name}));
    required.push("type".into());
    if matches!(role, Role::Transform | Role::Sink) {
        properties.insert("inputs".to_owned(), inputs());
        required.push("inputs".into());
    }
    if role == Role::Transform {
        properties.insert("publish".to_owned(), publish());
    }
    fields.0.insert("required".to_owned(), required.into());
    Value::Object(fields.0)
}

fn inputs() -> Value {
    let list = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true});
    json!({
        "description": "The nodes it reads: `[node]`, a port beside the main one as `node.late`, \
            or by name where the operator tells its inputs apart: `{left: a, right: b}`.",
        "oneOf": [
            list,
            {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": [{"type": "string"}, list]}},
        ],
    })
}

fn publish() -> Value {
    json!({
        "description": "Columns that become tags of the site, each with the tag's name: \
            `{score: \"{asset}.ANOMALY_SCORE\"}`. `{…}` is filled from each row.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    })
}
