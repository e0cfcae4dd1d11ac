//! `${…}` stands for values of any type, so a schema has to take it where it would ask for a number, a choice or a
//! text of some form.

use serde_json::{Map, Value, json};

/// Deepest chain of references and alternatives that is followed.
const DEPTH: usize = 16;
/// What says something about a value to people and stays outside when a schema becomes an alternative.
const ANNOTATIONS: [&str; 4] = ["description", "default", "examples", "title"];

/// The schema of `${name}` and `${env:NAME}`, under `#/$defs/insertion`.
pub(super) fn schema() -> Value {
    json!({
        "description": "`${name}` inserts a parameter; in the files of a site `${env:NAME}` inserts from the environment.",
        "type": "string",
        "pattern": r"\$\{[^}]+\}",
    })
}

/// Allows insertions below every definition but those named.
pub(super) fn allow_in_all(definitions: &mut Map<String, Value>, but: &[&str]) {
    let all = definitions.clone();
    for (_, definition) in definitions.iter_mut().filter(|(name, _)| !but.contains(&name.as_str())) {
        allow_below(definition, &all);
    }
}

/// Allows insertions in place of every value inside this one.
pub(super) fn allow_below(schema: &mut Value, definitions: &Map<String, Value>) {
    let Value::Object(object) = schema else { return };
    for (keyword, inside) in object.iter_mut() {
        match (keyword.as_str(), inside) {
            ("properties" | "patternProperties", Value::Object(fields)) => {
                fields.values_mut().for_each(|field| allow(field, definitions));
            }
            ("items" | "additionalProperties", inside @ Value::Object(_)) => allow(inside, definitions),
            ("prefixItems", Value::Array(items)) => items.iter_mut().for_each(|item| allow(item, definitions)),
            ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => {
                parts.iter_mut().for_each(|part| allow_below(part, definitions));
            }
            _ => {}
        }
    }
}

fn allow(schema: &mut Value, definitions: &Map<String, Value>) {
    allow_below(schema, definitions);
    if takes_any_text(schema, definitions, DEPTH) {
        return;
    }
    let Value::Object(object) = schema else { return };
    let mut alternatives = Map::new();
    for name in ANNOTATIONS {
        if let Some(annotation) = object.remove(name) {
            alternatives.insert(name.to_owned(), annotation);
        }
    }
    let value = Value::Object(std::mem::take(object));
    alternatives.insert("anyOf".to_owned(), json!([value, {"$ref": "#/$defs/insertion"}]));
    *schema = Value::Object(alternatives);
}

/// Whether `${x}` is accepted already.
fn takes_any_text(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> bool {
    let Value::Object(object) = schema else { return *schema == Value::Bool(true) };
    if depth == 0 || ["enum", "const", "pattern", "format", "not"].iter().any(|name| object.contains_key(*name)) {
        return false;
    }
    let below = |schema: &Value| takes_any_text(schema, definitions, depth - 1);
    if let Some(path) = object.get("$ref").and_then(Value::as_str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        return definitions.get(name).is_some_and(below);
    }
    for alternatives in ["anyOf", "oneOf"] {
        if let Some(Value::Array(parts)) = object.get(alternatives) {
            return parts.iter().any(below);
        }
    }
    match object.get("type") {
        None => !object.contains_key("allOf"),
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(mut schema: Value) -> Value {
        allow_below(&mut schema, &Map::new());
        schema
    }

    #[test]
    fn a_number_may_be_inserted_and_a_text_is_left_as_it_is() {
        let schema = allowed(json!({"properties": {
            "limit": {"type": "number", "description": "The limit."},
            "name": {"type": "string"},
        }}));
        assert_eq!(
            schema["properties"]["limit"],
            json!({"description": "The limit.", "anyOf": [{"type": "number"}, {"$ref": "#/$defs/insertion"}]})
        );
        assert_eq!(schema["properties"]["name"], json!({"type": "string"}));
    }

    #[test]
    fn what_takes_a_text_already_is_left_as_it_is() {
        let description = json!({"anyOf": [{"type": "string"}, {"type": "object"}]});
        assert_eq!(allowed(json!({"items": description}))["items"], description);
        assert_eq!(allowed(json!({"items": true}))["items"], json!(true));
        let span = json!({"type": ["array", "null"], "items": {"type": "number"}});
        assert!(allowed(json!({"items": span}))["items"]["anyOf"][0]["items"]["anyOf"].is_array());
    }
}
