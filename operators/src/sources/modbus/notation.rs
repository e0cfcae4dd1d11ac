//! The words of Modbus as configurations write them, each read by the protocol crate's own parser.

use std::borrow::Cow;

use modbus::{Addressing, Order, Table, ValueType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

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
        "pattern": r"^(bool|[iu](8|16|32|64)|f(16|32|64)|bcd(16|32)|bit\([0-9]+\)|string\([0-9]+\))$",
        "examples": ["bool", "i16", "u16", "f32", "f64", "bcd16", "bit(3)", "string(8)"],
    }
);
