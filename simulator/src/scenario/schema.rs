//! The JSON Schema of scenarios, with which an editor completes and explains.

use serde_json::{Value, json};

use super::fields::SimulationFields;
use super::kinds::{EventName, On};

/// Schema of a scenario's file.
pub fn schema() -> Value {
    let mut schema = ducto_graph::schema::file::<SimulationFields>("Ducto simulation");
    let cases: Vec<Value> = EventName::ALL.iter().map(|name| case(*name)).collect();
    schema["$defs"]["EventFields"]["allOf"] = cases.into();
    schema["$defs"]["EventFields"]["anyOf"] =
        ["at", "every", "random_every"].iter().map(|field| json!({"required": [field]})).collect();
    schema
}

/// What an event of one kind needs and takes.
fn case(name: EventName) -> Value {
    const OF_EVENTS: [&str; 8] = ["for", "well", "separator", "tag", "to", "by", "over", "answer"];
    let takes = name.takes();
    let mut needs: Vec<&str> = takes.needs.to_vec();
    let mut may: Vec<&str> = takes.may.to_vec();
    match takes.on {
        On::Well => needs.push("well"),
        On::Separator => needs.push("separator"),
        On::Device => may.extend(["well", "separator"]),
        On::Tag => {
            needs.push("tag");
            may.extend(["well", "separator"]);
        }
    }
    if takes.lasts {
        may.push("for");
    }
    let refused: serde_json::Map<String, Value> = OF_EVENTS
        .iter()
        .filter(|field| !needs.contains(field) && !may.contains(field))
        .map(|field| ((*field).to_owned(), json!(false)))
        .collect();
    json!({
        "if": {"properties": {"event": {"const": name.name()}}, "required": ["event"]},
        "then": {"properties": refused, "required": needs},
    })
}
