//! Values as they were read from a device, for people and programs.

use ducto_graph::site::TagSettings;
use ducto_operators::sources::modbus::TagReading;
use ducto_record::{Quality, Value};
use serde_json::{Value as Json, json};

use crate::table::number;

/// A value as people read it; `-` where there is none.
pub(crate) fn value_text(tag: &TagSettings, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Float64(value) => number(*value),
        value => {
            let state = value.as_f64().and_then(|number| tag.states.get(&(number as i64)));
            state.map_or_else(|| value.to_string(), |state| format!("{value} ({state})"))
        }
    }
}

pub(crate) fn unit_text(tag: &TagSettings) -> String {
    tag.unit.as_ref().map(|unit| unit.symbol.to_string()).unwrap_or_default()
}

/// `447d 6666`, as they came.
pub(crate) fn registers_text(registers: &[u16]) -> String {
    registers.iter().map(|register| format!("{register:04x}")).collect::<Vec<_>>().join(" ")
}

/// The quality that the range check of a site would give: outside the span a sensor has failed, outside the envelope a
/// value is suspect.
pub(crate) fn judged(tag: &TagSettings, reading: &TagReading) -> Quality {
    let Some(value) = reading.value.as_f64().filter(|_| reading.quality.is_good()) else { return reading.quality };
    let outside = |range: Option<[f64; 2]>| range.is_some_and(|[low, high]| !(low..=high).contains(&value));
    match () {
        () if matches!(reading.value, Value::Bool(_)) => reading.quality,
        () if !value.is_finite() => Quality::BAD,
        () if outside(tag.span) => Quality::SENSOR_FAILURE,
        () if outside(tag.envelope) => Quality::EU_EXCEEDED,
        () => reading.quality,
    }
}

pub(crate) fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int64(value) => json!(value),
        // JSON has no NaN: it is null, and the quality says that it is no reading.
        Value::Float64(value) => json!(value.is_finite().then_some(*value)),
        Value::Text(value) => json!(&**value),
    }
}

/// A reading as one object.
pub(crate) fn json(tag: &TagSettings, reading: &TagReading) -> Json {
    let quality = judged(tag, reading);
    json!({
        "tag": &*tag.name,
        "value": value_json(&reading.value),
        "unit": unit_text(tag),
        "quality": quality.0,
        "quality_name": quality.name(),
        "registers": reading.registers,
        "error": reading.error,
        "round_trip_ms": reading.round_trip.map(|time| time.as_secs_f64() * 1e3),
    })
}
