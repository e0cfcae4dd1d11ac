//! Lists, mappings and enums as serde walks through them.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::deserializer::{Bounds, NodeDeserializer, is_whole, out_of_range};
use super::error::{DecodeError, Kind};
use super::stand_in::StandIn;
use super::{State, handover};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::tree::{Entry, Node};

pub(super) struct ListAccess<'a> {
    state: &'a State<'a>,
    items: std::vec::IntoIter<&'a Node>,
}

impl<'a> ListAccess<'a> {
    pub(super) fn new(state: &'a State<'a>, items: Vec<&'a Node>) -> Self {
        ListAccess { state, items: items.into_iter() }
    }
}

impl<'a> SeqAccess<'a> for ListAccess<'a> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let item = NodeDeserializer::new(node, None, self.state);
        item.located(|| seed.deserialize(item)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

pub(super) struct MappingAccess<'a> {
    owner: NodeDeserializer<'a>,
    entries: std::vec::IntoIter<&'a Entry>,
    stand_ins: std::vec::IntoIter<(&'static str, usize)>,
    collects: bool,
    value: Option<Given<'a>>,
}

/// The value that belongs to the key given last.
enum Given<'a> {
    Entry(&'a Entry),
    StandIn(&'static str, usize),
}

impl<'a> MappingAccess<'a> {
    pub(super) fn new(
        owner: NodeDeserializer<'a>,
        entries: Vec<&'a Entry>,
        stand_ins: Vec<(&'static str, usize)>,
        collects: bool,
    ) -> Self {
        MappingAccess { owner, entries: entries.into_iter(), stand_ins: stand_ins.into_iter(), collects, value: None }
    }
}

impl<'a> MapAccess<'a> for MappingAccess<'a> {
    type Error = DecodeError;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        if let Some(entry) = self.entries.next() {
            self.value = Some(Given::Entry(entry));
            let key = KeyDeserializer { text: &entry.key, place: entry.key.place };
            // A key that is refused takes its value with it.
            return seed.deserialize(key).map(Some).map_err(|error| error.from(&entry.value, entry.key.place));
        }
        let Some((field, number)) = self.stand_ins.next() else {
            return Ok(None);
        };
        self.value = Some(Given::StandIn(field, number));
        let key = KeyDeserializer { text: field, place: self.owner.node.place };
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        match self.value.take() {
            Some(Given::Entry(entry)) => {
                let state = self.owner.state;
                let value = NodeDeserializer::new(&entry.value, Some(entry.key.place), state);
                let result = value.located(|| seed.deserialize(value));
                match result {
                    Err(error) if self.collects => {
                        state.pending.borrow_mut().push(error);
                        Err(DecodeError::new(Kind::Deferred))
                    }
                    result => result,
                }
            }
            Some(Given::StandIn(field, number)) => seed.deserialize(StandIn::new(number)).map_err(|_| {
                let owner = self.owner.node;
                DecodeError::new(Kind::StandIn { field }).from(owner, owner.place)
            }),
            None => Err(DecodeError::custom("a value was asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len() + self.stand_ins.len())
    }
}

/// An enum: a name alone, or a name and what belongs to it.
pub(super) struct EnumOf<'a> {
    pub(super) owner: NodeDeserializer<'a>,
    pub(super) name: &'a str,
    pub(super) place: Place,
    pub(super) payload: Option<&'a Node>,
}

impl<'a> EnumAccess<'a> for EnumOf<'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let key = KeyDeserializer { text: self.name, place: self.place };
        match seed.deserialize(key) {
            Ok(variant) => Ok((variant, self)),
            Err(error) => Err(error.from(self.owner.node, self.place)),
        }
    }
}

impl<'a> EnumOf<'a> {
    fn with_payload<T>(
        self,
        read: impl FnOnce(NodeDeserializer<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let Some(node) = self.payload else {
            return Err(DecodeError::report(
                Diagnostic::new(Code::TypeMismatch, format!("`{}` needs a value of its own", self.name))
                    .help(format!("write `{}: …`", self.name)),
            )
            .from(self.owner.node, self.place));
        };
        let payload = NodeDeserializer::new(node, Some(self.place), self.owner.state);
        payload.located(|| read(payload)).map_err(|mut error| {
            // Without what belongs to it the name means nothing: the whole enum fails.
            if matches!(error.kind, Kind::Poisoned) && error.origin == Some(std::ptr::from_ref(node)) {
                error.origin = Some(self.owner.node);
            }
            error
        })
    }
}

impl<'a> VariantAccess<'a> for EnumOf<'a> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.payload {
            Some(node) if !node.is_null() => Err(DecodeError::report(
                Diagnostic::new(Code::TypeMismatch, format!("`{}` takes no value of its own", self.name))
                    .help(format!("write only `{}`", self.name)),
            )
            .from(node, self.place)),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, DecodeError> {
        self.with_payload(|payload| seed.deserialize(payload))
    }

    fn tuple_variant<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.with_payload(|payload| payload.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.with_payload(|payload| payload.deserialize_struct("", fields, visitor))
    }
}

/// A key, or the name of a variant.
struct KeyDeserializer<'a> {
    text: &'a str,
    place: Place,
}

macro_rules! parsed_keys {
    ($($method:ident $visit:ident $type:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) if is_whole(self.text) => Err(out_of_range(self.text, <$type>::bounds())),
                Err(_) => Err(DecodeError::report(DecodeError::mismatch(
                    $expected,
                    &format!("the key `{}`", crate::tree::shorten(self.text)),
                ))),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for KeyDeserializer<'a> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text)
    }

    parsed_keys! {
        deserialize_i8 visit_i8 i8, "an integer";
        deserialize_i16 visit_i16 i16, "an integer";
        deserialize_i32 visit_i32 i32, "an integer";
        deserialize_i64 visit_i64 i64, "an integer";
        deserialize_u8 visit_u8 u8, "an integer";
        deserialize_u16 visit_u16 u16, "an integer";
        deserialize_u32 visit_u32 u32, "an integer";
        deserialize_u64 visit_u64 u64, "an integer";
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            handover::SPANNED => handover::leave_place(self.place),
            handover::NODE => handover::leave_node(Node::text(self.place, self.text)),
            _ => {}
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        use serde::de::value::StrDeserializer;
        visitor.visit_enum(StrDeserializer::new(self.text))
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.text {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => visitor.visit_str(self.text),
        }
    }

    forward_to_deserialize_any! {
        <W: Visitor<'a>>
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any i128 u128
    }
}
