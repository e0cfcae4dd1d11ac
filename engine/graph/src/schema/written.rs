//! Texts that YAML reads as numbers: `address: 40001`, `addressing: 40001`. A field of text takes them as they are
//! written, and so must its schema.

use serde_json::{Map, Value, json};

pub(super) fn allow_numbers_in_all(definitions: &mut Map<String, Value>) {
    definitions.values_mut().for_each(allow_numbers);
}

/// Lets every text inside be written as a number, and every choice that looks like one.
pub(super) fn allow_numbers(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            allow_here(object);
            for (keyword, inside) in object.iter_mut() {
                if !matches!(keyword.as_str(), "default" | "examples" | "enum" | "const") {
                    allow_numbers(inside);
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(allow_numbers),
        _ => {}
    }
}

fn allow_here(object: &mut Map<String, Value>) {
    let mut values = match (object.get("const"), object.get("enum")) {
        (Some(value), _) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => {
            let free = !["pattern", "format"].iter().any(|keyword| object.contains_key(*keyword));
            match object.get_mut("type") {
                Some(kind @ Value::String(_)) if free && kind == "string" => *kind = json!(["string", "number"]),
                Some(Value::Array(kinds))
                    if free && kinds.contains(&json!("string")) && !kinds.contains(&json!("number")) =>
                {
                    kinds.push("number".into());
                }
                _ => {}
            }
            return;
        }
    };
    let numbers: Vec<Value> =
        values.iter().filter_map(|value| value.as_str()?.parse::<i64>().ok()).map(Value::from).collect();
    if numbers.is_empty() {
        return;
    }
    values.extend(numbers);
    object.remove("const");
    object.remove("type");
    object.insert("enum".to_owned(), values.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_may_look_like_numbers() {
        let mut schema = json!({"properties": {
            "address": {"type": "string", "description": "Where."},
            "name": {"type": ["string", "null"]},
            "every": {"type": "string", "pattern": "^[0-9]+s$"},
            "addressing": {"oneOf": [{"type": "string", "const": "40001"}, {"const": "modicon"}]},
            "type": {"type": "object", "default": {"type": "string"}},
        }});
        allow_numbers(&mut schema);
        assert_eq!(
            schema["properties"],
            json!({
                "address": {"type": ["string", "number"], "description": "Where."},
                "name": {"type": ["string", "null", "number"]},
                "every": {"type": "string", "pattern": "^[0-9]+s$"},
                "addressing": {"oneOf": [{"enum": ["40001", 40001]}, {"const": "modicon"}]},
                "type": {"type": "object", "default": {"type": "string"}},
            })
        );
    }
}
