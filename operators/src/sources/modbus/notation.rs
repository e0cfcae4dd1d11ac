//! The words of Modbus as configurations write them, each read by the protocol crate's own parser.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use modbus::{Addressing, Order, Table, ValueType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::figures::{FIGURES, Figure};

macro_rules! notation {
    ($(#[$doc:meta])* $name:ident($inner:ty), $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.trim().parse().map(Self).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

notation!(
    /// The order of a value's bytes, `A` the most significant.
    OrderName(Order),
    { "enum": [
        "ABCD", "DCBA", "BADC", "CDAB", "ABCDEFGH", "HGFEDCBA", "BADCFEHG", "GHEFCDAB", "CDABGHEF", "EFGHABCD",
    ] }
);
notation!(
    /// How a device's addresses are written.
    AddressingName(Addressing),
    { "enum": [0, 1, 40001, 400001] }
);
notation!(
    /// A table of a device.
    TableName(Table),
    { "enum": ["coil", "discrete", "input", "holding"] }
);
notation!(
    /// What registers hold.
    TypeName(ValueType),
    {
        "type": "string",
        "pattern": r"^(bool|[iu](8|16|32|64)|f(16|32|64)|bcd(16|32)|bit\([0-9]+\)|(string|latin1|utf16)\([0-9]+\))$",
        "examples": ["bool", "i16", "u16", "f32", "f64", "bcd16", "bit(3)", "string(8)", "utf16(8)"],
    }
);
notation!(
    /// What a connection knows of itself.
    FigureName(Figure),
    { "enum": FIGURES.iter().map(|(name, ..)| *name).collect::<Vec<_>>() }
);

/// Which of the connection's figures become tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chosen(pub(super) Vec<Figure>);

impl<'de> Deserialize<'de> for Chosen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Chosen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a list such as [link_state, round_trip]")
            }

            fn visit_bool<E: Error>(self, all: bool) -> Result<Chosen, E> {
                Ok(Chosen(FIGURES.iter().filter(|_| all).map(|(_, figure, ..)| *figure).collect()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Chosen, A::Error> {
                let mut chosen = Vec::new();
                while let Some(FigureName(figure)) = list.next_element()? {
                    if !chosen.contains(&figure) {
                        chosen.push(figure);
                    }
                }
                Ok(Chosen(chosen))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Chosen {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Chosen".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<FigureName>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "array", "items": name }] })
    }
}

/// The holding registers that hold 32 bits, by first and last offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Enron(pub(super) Arc<[(u16, u16)]>);

/// Where Enron put integers and floats.
const ENRON: [(u16, u16); 2] = [(5_001, 5_999), (7_001, 7_999)];

impl<'de> Deserialize<'de> for Enron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Enron;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a list of ranges such as [[5001, 5999], [7001, 7999]]")
            }

            fn visit_bool<E: Error>(self, usual: bool) -> Result<Enron, E> {
                Ok(Enron(if usual { ENRON.into() } else { Arc::default() }))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Enron, A::Error> {
                let mut ranges = Vec::new();
                while let Some([first, last]) = list.next_element::<[u16; 2]>()? {
                    if first > last {
                        return Err(A::Error::custom(format!(
                            "the range from {first} to {last} is empty: write the lower end first"
                        )));
                    }
                    ranges.push((first, last));
                }
                Ok(Enron(ranges.into()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Enron {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Enron".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let range = generator.subschema_for::<[u16; 2]>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "array", "items": range }] })
    }
}
