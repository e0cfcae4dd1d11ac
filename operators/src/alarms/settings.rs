//! The tag section `alarms`.

use std::borrow::Cow;
use std::fmt;

use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::scalar::{Duration, Quantity};
use ducto_graph::tree::{Entry, Node, Spanned, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// The alarms of a tag, by name. `H`, `HH`, `L`, `LL`, `deviation`, `rate`, `discrete` and `bad` say their type
/// themselves; any other name needs `type`. A number alone is the limit; `off` takes away an alarm that a template
/// gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct TagAlarms(pub OrderedMap<AlarmSettings>);

impl TagAlarms {
    /// Those alarms of a section that have no mistake.
    pub(super) fn right_ones(node: &Node) -> Self {
        let read = |entry: &Entry| Some((entry.key.clone(), decode(&entry.value, &mut Diagnostics::new())?));
        Self(OrderedMap(node.entries().iter().filter_map(read).collect()))
    }
}

/// One alarm of a tag.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmSettings {
    /// What raises it, where the name does not say.
    #[serde(rename = "type")]
    pub kind: Option<AlarmType>,
    /// Raised above it (`high`), below it (`low`), or when the deviation or the change per second is above it; in the
    /// tag's unit unless it names one: `170 bar`.
    pub limit: Option<Spanned<Quantity>>,
    /// How far on the normal side of the limit the value must be for the alarm to clear; 0 by default. In the tag's
    /// unit unless it names one.
    pub deadband: Option<Spanned<Quantity>>,
    /// How long the condition must hold before it is raised; 0 by default.
    #[serde(default)]
    pub on_delay: Duration,
    /// How long it must be gone before it is cleared; 0 by default.
    #[serde(default)]
    pub off_delay: Duration,
    /// One of the site's `alarm_classes`; `process` by default.
    pub class: Option<Spanned<String>>,
    /// For a deviation: a number, or the variable of the same asset that holds the set-point.
    pub setpoint: Option<Spanned<StateValue>>,
    /// For a discrete alarm: the state that raises it, by number, by `true` or `false`, or by its text in the tag's
    /// `states`.
    pub state: Option<Spanned<StateValue>>,
    /// What a Bad sample does; by default as the node says, which is `hold` by default.
    pub on_bad_quality: Option<OnBadQuality>,
    /// Whether Uncertain samples count; by default as the node says, which is `usable` by default.
    pub accept: Option<Accept>,
    /// First-out group within the asset: of the alarms of a group the first one is marked until all are normal.
    pub group: Option<String>,
}

/// What raises an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmType {
    /// The value is above the limit.
    High,
    /// The value is below the limit.
    Low,
    /// The value is further from its set-point than the limit.
    Deviation,
    /// The value changes faster than the limit per second.
    Rate,
    /// The value is a state.
    Discrete,
    /// The quality is Bad.
    Bad,
}

impl AlarmType {
    /// The type that a name says.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "H" | "HH" => Self::High,
            "L" | "LL" => Self::Low,
            "deviation" => Self::Deviation,
            "rate" => Self::Rate,
            "discrete" => Self::Discrete,
            "bad" => Self::Bad,
            _ => return None,
        })
    }

    /// Names that say a type.
    pub(super) const NAMES: [&str; 8] = ["H", "HH", "L", "LL", "deviation", "rate", "discrete", "bad"];
}

/// What a Bad sample does to an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBadQuality {
    /// Nothing: the alarm stays as it is.
    #[default]
    Hold,
    /// It counts as the condition being true.
    Force,
    /// It counts as the condition being false.
    Ignore,
}

/// Which samples count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Good and Uncertain.
    #[default]
    Usable,
    /// Good only.
    Good,
}

/// A number, a truth value, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateValue(pub String);

impl<'de> Deserialize<'de> for StateValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = StateValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `true`, `false` or a text")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<StateValue, E> {
                Ok(StateValue(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<StateValue, E> {
                Ok(StateValue(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<StateValue, E> {
                Ok(StateValue(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<StateValue, E> {
                Ok(StateValue(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<StateValue, E> {
                Ok(StateValue(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for StateValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StateValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "boolean", "string"]})
    }
}

impl TagAlarms {
    /// Writes out limits that stand alone, and leaves out what is `off`.
    pub(super) fn written_out(node: &Node) -> Node {
        let mut node = node.clone();
        let Value::Map(entries) = &mut node.value else { return node };
        entries.retain_mut(|entry| {
            let value = &entry.value;
            if value.value == Value::Bool(false) || value.as_text() == Some("off") {
                return false;
            }
            if value.value == Value::Bool(true) || value.as_text() == Some("on") || value.is_null() {
                entry.value = Node::new(value.place, Value::Map(Vec::new()));
            } else if value.as_text().is_some() {
                let key = Spanned::new("limit".to_owned(), value.place);
                entry.value = Node::new(value.place, Value::Map(vec![Entry { key, value: value.clone() }]));
            }
            true
        });
        node
    }
}

impl JsonSchema for TagAlarms {
    fn schema_name() -> Cow<'static, str> {
        "TagAlarms".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let alarm = generator.subschema_for::<AlarmSettings>();
        json_schema!({
            "description": "The alarms of a tag, by name. `H`, `HH`, `L`, `LL`, `deviation`, `rate`, `discrete` and `bad` say their type themselves; any other name needs `type`. A number alone is the limit; `off` takes away an alarm that a template gives.",
            "type": "object",
            "additionalProperties": {"anyOf": [alarm, {"type": ["number", "string", "boolean"]}]},
        })
    }
}
