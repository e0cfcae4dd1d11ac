//! Scalar types of the configuration: a text with a form and a meaning of its own.
//!
//! Each has one parser (`FromStr`), one way of being written (`Display`), and a JSON Schema that
//! an editor completes from. The messages of the parsers may hold a second line, which becomes the
//! help of the diagnostic.

mod duration;
mod name;
mod quantity;
mod size;
mod time;

pub use duration::Duration;
pub use name::Name;
pub use quantity::{Percent, Quantity};
pub use size::ByteSize;
pub use time::{TimeOfDay, TimeZone, Timestamp};

/// Why a text is not a value of its type: what is wrong and, on a second line, what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScalarError(pub(crate) String);

impl ScalarError {
    pub(crate) fn new(wrong: impl std::fmt::Display, write: impl std::fmt::Display) -> Self {
        ScalarError(format!("{wrong}\n{write}"))
    }
}

/// Implements `Deserialize`, `Serialize` and `JsonSchema` by way of `FromStr` and `Display`.
///
/// `from text` reads a number as it was written, so that `007` stays a name; `from any` also takes
/// the number itself, which is all that an untagged enum has kept of it.
macro_rules! text_scalar {
    (@text $deserializer:ident, $visitor:ident) => {
        $deserializer.deserialize_str($visitor)
    };
    (@any $deserializer:ident, $visitor:ident) => {
        $deserializer.deserialize_any($visitor)
    };
    ($type:ident, from $how:ident, $expected:literal, pattern: $pattern:literal, examples: $examples:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }

                crate::scalar::text_scalar!(@$how deserializer, Visitor)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": ["string", "number"],
                    "description": $expected,
                    "pattern": $pattern,
                    "examples": $examples,
                })
            }
        }
    };
}

pub(crate) use text_scalar;

/// Splits "12.5 MB" into "12.5" and "MB".
pub(crate) fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .char_indices()
        .find(|(at, c)| {
            let sign = *at == 0 && matches!(c, '-' | '+');
            !(c.is_ascii_digit() || *c == '.' || sign)
        })
        .map_or(text.len(), |(at, _)| at);
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}
