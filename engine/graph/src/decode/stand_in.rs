//! A made-up value in place of a missing field, so that decoding goes on to the next mistake.
//!
//! What is decoded with it is thrown away. Several kinds of text are tried in turn, since a field
//! may take only a duration, say.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::error::DecodeError;
use super::handover;
use crate::source::Place;
use crate::tree::{Node, Value};

const TEXTS: [&str; 8] =
    ["x", "1s", "06:00", "UTC", "2026-01-01T00:00:00Z", "1MB", "secret://file/x", "tcp://127.0.0.1:1"];

/// How many stand-ins there are to try.
pub(super) const KINDS: usize = TEXTS.len();

/// Deepest struct made up.
const DEPTH: usize = 16;

#[derive(Clone, Copy)]
pub(super) struct StandIn {
    number: usize,
    depth: usize,
}

impl StandIn {
    pub(super) fn new(number: usize) -> Self {
        StandIn { number, depth: 0 }
    }

    fn inner(self) -> Result<Self, DecodeError> {
        if self.depth == DEPTH {
            return Err(DecodeError::custom("too deep"));
        }
        Ok(StandIn { depth: self.depth + 1, ..self })
    }

    fn text(self) -> &'static str {
        TEXTS.get(self.number).copied().unwrap_or("x")
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $value:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit($value)
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.visit_str(self.text())
        }
    )*};
}

impl<'de> Deserializer<'de> for StandIn {
    type Error = DecodeError;

    numbers! {
        deserialize_bool visit_bool false;
        deserialize_i8 visit_i8 1;
        deserialize_i16 visit_i16 1;
        deserialize_i32 visit_i32 1;
        deserialize_i64 visit_i64 1;
        deserialize_u8 visit_u8 1;
        deserialize_u16 visit_u16 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_f32 visit_f32 1.0;
        deserialize_f64 visit_f64 1.0;
        deserialize_char visit_char 'x';
    }

    texts! {
        deserialize_str deserialize_string deserialize_identifier
        deserialize_bytes deserialize_byte_buf
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.number == 0 { visitor.visit_i64(1) } else { visitor.visit_str(self.text()) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == handover::NODE {
            handover::leave_node(Node::new(Place::NOWHERE, Value::Null));
        }
        visitor.visit_newtype_struct(self.inner()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(StandIns::new(self.inner()?, 0))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(StandIns::new(self.inner()?, length))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(StandIns::new(self.inner()?, 0))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_map(StandIns { fields, left: fields.len(), value: self.inner()? })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let first = variants.first().copied().unwrap_or("");
        visitor.visit_enum(StandInEnum(self.inner()?, first))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

struct StandIns {
    fields: &'static [&'static str],
    left: usize,
    value: StandIn,
}

impl StandIns {
    fn new(value: StandIn, left: usize) -> Self {
        StandIns { fields: &[], left, value }
    }
}

impl<'de> SeqAccess<'de> for StandIns {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.value).map(Some)
    }
}

impl<'de> MapAccess<'de> for StandIns {
    type Error = DecodeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let at = self.fields.len() - self.left.min(self.fields.len());
        match self.fields.get(at) {
            Some(field) => {
                self.left -= 1;
                seed.deserialize(StrDeserializer::new(field)).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.value)
    }
}

struct StandInEnum(StandIn, &'static str);

impl<'de> EnumAccess<'de> for StandInEnum {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let variant = seed.deserialize(StrDeserializer::new(self.1))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for StandInEnum {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
