//! Serde's `Deserializer` over a [`Node`].

use serde::de::{Deserializer, Expected, Visitor};

use super::access::{EnumOf, ListAccess, MappingAccess};
use super::error::{DecodeError, Kind, one_of, readable, unknown_field};
use super::{State, handover};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::Place;
use crate::tree::{Entry, Node, Value};

#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    pub(super) node: &'a Node,
    /// The key under which the node stands.
    key: Option<Place>,
    pub(super) state: &'a State<'a>,
    /// Whether the errors of a mapping's entries are kept and the mapping read on.
    collects: bool,
}

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(node: &'a Node, key: Option<Place>, state: &'a State<'a>) -> Self {
        NodeDeserializer { node, key, state, collects: false }
    }

    /// Where an error of this value is shown: an empty value at its key.
    fn place(&self) -> Place {
        match self.key {
            Some(key) if self.node.place.is_empty() => key,
            _ => self.node.place,
        }
    }

    /// Runs a step of decoding; an error that no inner value has claimed is one of this value.
    pub(super) fn located<T>(&self, step: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let before = self.state.skips.get();
        handover::around(self.place(), step).map_err(|mut error| {
            if error.origin.is_some() {
                return error;
            }
            match &mut error.kind {
                Kind::Missing { field, report } => {
                    *report = *report && !self.is_attempted(field);
                    return error.from(self.node, self.key.unwrap_or(self.node.place));
                }
                // It may well follow from what was left out.
                kind @ Kind::Report(_) if self.state.skips.get() > before => *kind = Kind::Poisoned,
                _ => {}
            }
            error.from(self.node, self.place())
        })
    }

    /// Whether a missing field is there and failed, or is there under a misspelt name.
    fn is_attempted(&self, field: &str) -> bool {
        self.node.entries().iter().any(|entry| {
            entry.key.value == field
                || did_you_mean(&entry.key.value, [field]).is_some()
                    && self
                        .state
                        .reported
                        .borrow()
                        .iter()
                        .any(|found| found.code == Code::FieldUnknown && found.place == Some(entry.key.place))
        })
    }

    /// Refuses a value that was reported already.
    fn check(&self) -> Result<(), DecodeError> {
        if self.state.skips(self.node) {
            return Err(DecodeError::new(Kind::Poisoned));
        }
        Ok(())
    }

    fn mismatch(&self, expected: &str) -> DecodeError {
        DecodeError::report(self.mismatch_diagnostic(expected))
    }

    fn mismatch_diagnostic(&self, expected: &str) -> Diagnostic {
        DecodeError::mismatch(expected, &self.node.describe())
    }

    /// Where a number or boolean is expected: what is written instead.
    fn scalar_mismatch(&self, expected: &str) -> DecodeError {
        let diagnostic = self.mismatch_diagnostic(expected);
        let plain = Node::plain(self.node.place, &self.node.written);
        let inside = self.node.written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = inside.filter(|name| !name.is_empty() && !name.contains(['{', '}', ':', ' '])) {
            return DecodeError::report(diagnostic.help(format!("a parameter is inserted with `${{{name}}}`")));
        }
        let is_quoted_scalar =
            self.node.quoted && matches!(plain.value, Value::Integer(_) | Value::Float(_) | Value::Bool(_));
        DecodeError::report(if is_quoted_scalar { diagnostic.help("remove the quotes") } else { diagnostic })
    }

    fn entries(&self, expected: &str) -> Result<&'a [Entry], DecodeError> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            // `transforms:` with everything below it commented out.
            Value::Null => Ok(&[]),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn is_elsewhere(&self, key: &str) -> bool {
        std::ptr::eq(self.node, self.state.root) && self.state.elsewhere.contains(&key)
    }

    pub(super) fn visit_entries<V: Visitor<'a>>(
        self,
        entries: &'a [Entry],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let entries =
            entries.iter().filter(|entry| !self.is_elsewhere(&entry.key) && !self.state.skips(&entry.value)).collect();
        visitor.visit_map(MappingAccess::new(self, entries, Vec::new(), self.collects))
    }

    /// A struct: fields it does not know are all reported, then those it knows are visited.
    pub(super) fn visit_fields<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let mut known_entries = Vec::new();
        for entry in self.entries("a mapping")? {
            let key = entry.key.as_str();
            if self.is_elsewhere(key) {
                continue;
            }
            if fields.contains(&key) {
                if !self.state.skips(&entry.value) {
                    known_entries.push(entry);
                }
                continue;
            }
            let mut known = fields.to_vec();
            if std::ptr::eq(self.node, self.state.root) {
                known.extend(self.state.elsewhere);
            }
            // What stands beside it is not meant; what a template has set, and a table names again, may be.
            let file = entry.key.place.file;
            known.retain(|known| self.node.entry(known).is_none_or(|other| other.key.place.file != file));
            let all: Vec<&str> = if known.is_empty() { fields.to_vec() } else { known };
            let mut diagnostic = unknown_field(key, &all).at(entry.key.place);
            if entry.value.is_null() && key.bytes().all(|byte| byte.is_ascii_digit()) {
                // `limit: 50,5` inside braces.
                diagnostic = diagnostic.help("the comma separates fields; decimals are written with a point, `0.5`");
            }
            self.state.report(diagnostic);
        }
        let stand_ins = self.state.stand_ins_of(self.node);
        visitor.visit_map(MappingAccess::new(self, known_entries, stand_ins, false))
    }

    fn visit_items<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let items: &[Node] = match &self.node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Map(_) | Value::Invalid => return Err(self.mismatch("a list")),
            _ => {
                let help = format!("write `[{}]`", items_of(&crate::tree::shorten(&self.node.written)));
                let diagnostic = self.mismatch_diagnostic("a list").help(help);
                return Err(DecodeError::report(diagnostic));
            }
        };
        let items = items.iter().filter(|item| !self.state.skips(item)).collect();
        visitor.visit_seq(ListAccess::new(self.state, items))
    }

    fn integer<T>(&self) -> Result<T, DecodeError>
    where
        T: TryFrom<i64> + std::str::FromStr + Bounds,
    {
        let out_of_range = || out_of_range(&self.node.written, T::bounds());
        match &self.node.value {
            Value::Integer(number) => T::try_from(*number).map_err(|_| out_of_range()),
            Value::Float(_) if is_whole(&self.node.written) => self.node.written.parse().map_err(|_| out_of_range()),
            _ => Err(self.scalar_mismatch("an integer")),
        }
    }

    fn number(&self) -> Result<f64, DecodeError> {
        match self.node.value {
            #[allow(clippy::cast_precision_loss)] // What every reader of YAML does.
            Value::Integer(number) => Ok(number as f64),
            Value::Float(number) if number.is_finite() => Ok(number),
            Value::Float(_) => Err(DecodeError::report(Diagnostic::new(
                Code::NumberOutOfRange,
                format!("`{}` is not a finite number", self.node.written),
            ))),
            _ => Err(self.scalar_mismatch("a number")),
        }
    }

    fn truth(&self) -> Result<bool, DecodeError> {
        if let Value::Bool(value) = self.node.value {
            return Ok(value);
        }
        let error = self.scalar_mismatch("`true` or `false`");
        let instead = match self.node.written.to_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "si" | "sí" => "true",
            "no" | "off" | "n" | "0" => "false",
            _ => return Err(error),
        };
        match error.kind {
            Kind::Report(diagnostic) => Err(DecodeError::report(diagnostic.help(format!("write `{instead}`")))),
            kind => Err(DecodeError::new(kind)),
        }
    }

    fn as_text(&self, expected: &dyn Expected) -> Result<&'a str, DecodeError> {
        self.node.as_text().ok_or_else(|| self.mismatch(&readable(expected)))
    }
}

/// What someone may have meant as items: `0 5000`, `0-5000`, `0..5000`, `0; 5000` as `0, 5000`.
fn items_of(text: &str) -> String {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    for separator in ["..", ";", ",", " to ", " a ", " - ", " ", "-"] {
        let parts: Vec<&str> = text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.len() > 1 && parts.iter().all(|part| is_number(part)) {
            return parts.join(", ");
        }
    }
    text.to_owned()
}

/// Whether a text is an integer, of whatever size.
pub(super) fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn out_of_range(written: &str, bounds: String) -> DecodeError {
    DecodeError::report(Diagnostic::new(Code::NumberOutOfRange, format!("`{written}` is out of range: {bounds}")))
}

/// The range of an integer type in words.
pub(super) trait Bounds {
    fn bounds() -> String;
}

macro_rules! bounds {
    ($($type:ty),*) => {$(
        impl Bounds for $type {
            fn bounds() -> String {
                format!("{} to {} is allowed", <$type>::MIN, <$type>::MAX)
            }
        }
    )*};
}

bounds!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.located(|| {
                self.check()?;
                visitor.$visit(self.integer::<$type>()?)
            })
        }
    )*};
}

impl<'a> Deserializer<'a> for NodeDeserializer<'a> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            match &self.node.value {
                Value::Null => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(*value),
                Value::Integer(number) => visitor.visit_i64(*number),
                Value::Float(number) => visitor.visit_f64(*number),
                Value::Text(text) => visitor.visit_str(text),
                Value::List(_) => self.visit_items(visitor),
                Value::Map(entries) => self.visit_entries(entries, visitor),
                Value::Invalid => Err(DecodeError::new(Kind::Poisoned)),
            }
        })
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            visitor.visit_bool(self.truth()?)
        })
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            visitor.visit_f64(self.number()?)
        })
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            let text = self.as_text(&visitor)?;
            visitor.visit_str(text)
        })
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
        })
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            if self.node.is_null() { visitor.visit_unit() } else { Err(self.mismatch("nothing")) }
        })
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.located(|| {
            match name {
                handover::SPANNED => handover::leave_place(self.place()),
                handover::NODE => {
                    self.check()?;
                    handover::leave_node(self.node.clone());
                }
                _ => {}
            }
            visitor.visit_newtype_struct(NodeDeserializer { collects: name == handover::ORDERED, ..self })
        })
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            self.visit_items(visitor)
        })
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            if let Value::List(items) = &self.node.value
                && items.len() != length
            {
                let message = format!("expected a list of {length}, found {}", items.len());
                let diagnostic = Diagnostic::new(Code::LengthWrong, message);
                return Err(DecodeError::report(if items.len() > length {
                    diagnostic.help("the comma separates items; decimals are written with a point, `0.5`")
                } else {
                    diagnostic
                }));
            }
            self.visit_items(visitor)
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            let entries = self.entries("a mapping")?;
            self.visit_entries(entries, visitor)
        })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            self.visit_fields(fields, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.located(|| {
            self.check()?;
            let (name, place, payload) = match &self.node.value {
                Value::Map(entries) if entries.len() == 1 => match entries.first() {
                    Some(entry) => (entry.key.as_str(), entry.key.place, Some(&entry.value)),
                    None => return Err(self.mismatch(&one_of(variants))),
                },
                _ => match self.node.as_text() {
                    Some(text) => (text, self.node.place, None),
                    None => return Err(self.mismatch(&one_of(variants))),
                },
            };
            visitor.visit_enum(EnumOf { owner: self, name, place, payload })
        })
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}
