//! A YAML file as a tree in which every key and value knows its place.
//!
//! Configuration is decoded from this tree, never from text: a node whose type decides its fields
//! is found first and decoded with its own config type afterwards, positions kept.

mod build;
mod scalar;
mod syntax;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::source::{FileId, Place, Sources};

/// Deepest nesting of lists and mappings.
pub const DEPTH_LIMIT: usize = 64;
/// Most values in one file, those repeated by aliases counted each time.
pub const NODE_LIMIT: usize = 500_000;

/// A value and where it stands. An aliased value stands where its anchor is.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value stands; of a list or mapping from its first to its last child.
    pub place: Place,
    /// The value.
    pub value: Value,
    /// A scalar as it was written, quotes and escapes removed, so that `1.10` can be read as
    /// text; empty for lists, mappings and what was never written.
    pub written: Arc<str>,
    /// Whether a scalar was quoted or a block scalar, and therefore is text.
    pub quoted: bool,
}

/// What a [`Node`] holds, by the core schema of YAML 1.2.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of 64 bits.
    Integer(i64),
    /// A number with a fraction or exponent, or an integer beyond 64 bits.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<Entry>),
    /// A value whose mistake is reported already. Decoding skips it in silence.
    Invalid,
}

/// A key of a mapping and its value. No key appears twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; a number or boolean is its text.
    pub key: Spanned<String>,
    /// The value.
    pub value: Node,
}

/// A value of the configuration and where it was written. Equality looks at the value alone.
#[derive(Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written; [`Place::NOWHERE`] if it was not.
    pub place: Place,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, place: Place) -> Self {
        Spanned { value, place }
    }

    /// The same place with the value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(change(self.value), self.place)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Spanned::new(value, Place::NOWHERE)
    }
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Self {
        Spanned::from(T::default())
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl Node {
    /// A value that was not written as a scalar.
    pub fn new(place: Place, value: Value) -> Self {
        Node { place, value, written: Arc::from(""), quoted: false }
    }

    /// A text.
    pub fn text(place: Place, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Node { place, value: Value::Text(Arc::clone(&text)), written: text, quoted: true }
    }

    /// A scalar as if it had been written without quotes: `502` is an integer, `x` a text.
    pub fn plain(place: Place, text: &str) -> Self {
        let written: Arc<str> = Arc::from(text);
        Node { place, value: scalar::resolve(&written), written, quoted: false }
    }

    /// Parses one YAML file.
    ///
    /// Mistakes that leave the structure clear (a duplicate key, an unknown alias) are reported
    /// and parsing goes on; a syntax error stops this file and gives `None`. An empty file is
    /// [`Value::Null`].
    pub fn parse(file: FileId, sources: &Sources, diagnostics: &mut Diagnostics) -> Option<Node> {
        build::parse(file, sources.text(file), diagnostics)
    }

    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A key and its value, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.value == key)
    }

    /// Takes a key and its value out of a mapping.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        match &mut self.value {
            Value::Map(entries) => {
                let at = entries.iter().position(|entry| entry.key.value == key)?;
                Some(entries.remove(at))
            }
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar as written, numbers too; `None` for null, lists and mappings.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Some(&self.written),
            _ => None,
        }
    }

    /// Whether there is nothing here.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What the value is, for a message: "the text `abc`", "a list".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(_) | Value::Float(_) => format!("the number `{}`", self.written),
            Value::Text(text) => format!("the text `{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Invalid => "an invalid value".to_owned(),
        }
    }
}

/// The beginning of a text, on one line, for a message.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
