//! Places and nodes handed past serde, which knows neither.
//!
//! A type that wants its place asks for a newtype struct of a reserved name. The deserializer of a
//! tree leaves the place here and calls the visitor, which takes it at once. Any other deserializer
//! leaves nothing, and the place of the value that is being decoded around it is taken instead.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::source::Place;
use crate::tree::{Entry, Node, Spanned, Value};

pub(super) const SPANNED: &str = "$ducto::Spanned";
pub(super) const NODE: &str = "$ducto::Node";
pub(super) const ORDERED: &str = "$ducto::OrderedMap";

thread_local! {
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
    static NODE_SLOT: RefCell<Option<Node>> = const { RefCell::new(None) };
    static AROUND: Cell<Place> = const { Cell::new(Place::NOWHERE) };
}

pub(super) fn leave_place(place: Place) {
    PLACE.set(Some(place));
}

pub(super) fn leave_node(node: Node) {
    NODE_SLOT.set(Some(node));
}

/// Runs `f` while `place` is what a value without a place of its own takes.
pub(super) fn around<T>(place: Place, f: impl FnOnce() -> T) -> T {
    struct Restore(Place);
    impl Drop for Restore {
        fn drop(&mut self) {
            AROUND.set(self.0);
        }
    }
    let _restore = Restore(AROUND.replace(place));
    f()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpannedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                let place = PLACE.take().unwrap_or_else(|| AROUND.get());
                T::deserialize(deserializer).map(|value| Spanned::new(value, place))
            }
        }

        deserializer.deserialize_newtype_struct(SPANNED, SpannedVisitor(PhantomData))
    }
}

impl<T: serde::Serialize> serde::Serialize for Spanned<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NODE, NodeVisitor)
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// Takes the node left for it, or builds one from whatever serde gives.
struct NodeVisitor;

impl NodeVisitor {
    fn plain<E>(value: Value, written: &str) -> Result<Node, E> {
        let quoted = matches!(value, Value::Text(_));
        Ok(Node { place: AROUND.get(), value, written: written.into(), quoted })
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match NODE_SLOT.take() {
            Some(node) => Ok(node),
            None => deserializer.deserialize_any(self),
        }
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Self::plain(Value::Null, "")
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Self::plain(Value::Null, "")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Self::plain(Value::Bool(value), if value { "true" } else { "false" })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Self::plain(Value::Integer(value), &value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::plain(AROUND.get(), &value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Self::plain(Value::Float(value), &value.to_string())
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(AROUND.get(), text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::new(AROUND.get(), Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.push(Entry { key, value });
        }
        Ok(Node::new(AROUND.get(), Value::Map(entries)))
    }
}
