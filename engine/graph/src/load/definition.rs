//! What is set on a tag, decoded once for all tags that have the same definition.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_record::{Unit, ValueKind};

use crate::codes::Code;
use crate::decode::decode;
use crate::diagnostic::Diagnostic;
use crate::operator::ConnectionConfig;
use crate::registry::Scope;
use crate::scalar::Duration;
use crate::site::SectionValue;
use crate::tree::{Entry, Node, Spanned, Value};

use super::Loader;
use super::fields::{TAG_FIELDS, TagFields};

/// A tag's definition, decoded.
#[derive(Clone, Default)]
pub(super) struct Definition {
    pub(super) kind: Option<ValueKind>,
    pub(super) unit: Option<Unit>,
    pub(super) span: Option<[f64; 2]>,
    pub(super) envelope: Option<[f64; 2]>,
    pub(super) scan: Option<Duration>,
    pub(super) description: Arc<BTreeMap<String, String>>,
    pub(super) states: Arc<BTreeMap<i64, String>>,
    pub(super) sections: Arc<BTreeMap<&'static str, SectionValue>>,
    pub(super) whole: Option<Arc<Node>>,
    pub(super) connection_fields: Option<Arc<Node>>,
}

/// What reads a tag, for the fields that are its own.
#[derive(Clone, Copy)]
pub(super) enum ReadBy<'a> {
    /// Nothing: every field is the graph's own or a section.
    Nothing,
    /// A connection that could not be decoded: its fields are not judged.
    Unknown,
    Connection(&'a dyn ConnectionConfig),
}

impl Loader<'_> {
    /// Decodes a definition. Mistakes are reported, and what is right is kept, so that the tag is there for others to
    /// name.
    pub(super) fn definition(&mut self, node: Node, read_by: ReadBy<'_>, language: &str) -> Definition {
        let mut definition = Definition::default();
        let Value::Map(entries) = &node.value else {
            if node.value != Value::Invalid {
                let message = format!("expected the fields of a tag, found {}", node.describe());
                self.report(
                    Diagnostic::new(Code::TypeMismatch, message)
                        .at(node.place)
                        .help("write a mapping, such as `{unit: psig, span: [0, 5000]}`"),
                );
            }
            return definition;
        };
        let (mut core, mut own) = (Vec::new(), Vec::new());
        let mut sections: BTreeMap<&'static str, SectionValue> = BTreeMap::new();
        for entry in entries {
            let name = entry.key.as_str();
            if TAG_FIELDS.contains(&name) {
                core.push(entry.clone());
            } else if let Some(section) = self.registry.section(Scope::Tag, name) {
                if let Some(value) = (section.decode)(&entry.value, self.diagnostics) {
                    sections.insert(section.name, value);
                }
            } else {
                self.check_own_field(&entry.key, entries, read_by);
                own.push(entry.clone());
            }
        }
        let map = |entries: Vec<Entry>| Node::new(node.place, Value::Map(entries));
        if let Some(fields) = decode::<TagFields>(&map(core), self.diagnostics) {
            self.core_fields(fields, language, &mut definition);
        }
        definition.sections = Arc::new(sections);
        definition.connection_fields = Some(Arc::new(map(own)));
        definition.whole = Some(Arc::new(node));
        definition
    }

    fn check_own_field(&mut self, name: &Spanned<String>, set: &[Entry], read_by: ReadBy<'_>) {
        let own: &[&str] = match read_by {
            ReadBy::Nothing => &[],
            ReadBy::Unknown => return,
            ReadBy::Connection(connection) => match connection.tag_fields() {
                Some(fields) => fields,
                None => return,
            },
        };
        if own.contains(&name.as_str()) {
            return;
        }
        let sections: Vec<&str> = self.registry.sections(Scope::Tag).map(|section| section.name).collect();
        let known = TAG_FIELDS.into_iter().chain(sections).chain(own.iter().copied());
        let here = |entry: &Entry| entry.key.place.file == name.place.file;
        let known = known.filter(|known| set.iter().all(|entry| entry.key.value != *known || !here(entry)));
        let diagnostic = Diagnostic::new(Code::FieldUnknown, format!("unknown field `{}`", crate::tree::shorten(name)))
            .at(name.place)
            .suggest(name, known);
        self.report(diagnostic);
    }

    fn core_fields(&mut self, fields: TagFields, language: &str, definition: &mut Definition) {
        definition.kind = fields.kind.map(ValueKind::from);
        definition.unit = fields.unit.and_then(|name| {
            let unit = self.registry.unit(&name).cloned();
            self.diagnostics.take(unit)
        });
        definition.span = self.range("span", fields.span);
        definition.envelope = self.range("envelope", fields.envelope);
        definition.scan = fields.scan;
        definition.description = Arc::new(fields.description.by_language(language));
        definition.states = Arc::new(fields.states);
    }

    fn range(&mut self, name: &str, range: Option<Spanned<[Spanned<f64>; 2]>>) -> Option<[f64; 2]> {
        let range = range?;
        let [low, high] = &range.value;
        if low.value < high.value && low.value.is_finite() && high.value.is_finite() {
            return Some([low.value, high.value]);
        }
        // An end that a table set is where the mistake is most likely.
        let set = [low, high].into_iter().map(|end| end.place).find(|place| !range.place.contains(*place));
        let mut diagnostic =
            Diagnostic::new(Code::RangeReversed, format!("`{name}` goes from {} to {}", **low, **high))
                .at(set.unwrap_or(range.place))
                .help("write the lower end first, and two different numbers");
        if set.is_some() {
            diagnostic = diagnostic.note_at(range.place, "the range is here");
        }
        self.report(diagnostic);
        None
    }
}

/// A decoded section, as its check is given it.
pub(super) fn as_any(value: &SectionValue) -> &(dyn Any + Send + Sync) {
    &**value
}
