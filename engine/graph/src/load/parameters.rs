//! Declared parameters of templates and pipelines, and the values they are given.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::decode::OrderedMap;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::interpolate::references;
use crate::source::Place;
use crate::table::{Cell, Conventions};
use crate::tree::{Node, Spanned, Value};

use super::fields::{ParameterFields, ParameterType};

/// Most parameters of a template or pipeline.
const PARAMETER_LIMIT: usize = 1_000;

pub(super) type Declared = OrderedMap<ParameterFields>;

impl ParameterType {
    fn wanted(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
        }
    }

    /// A value as one of this type; a number given for a text is the text as it was written.
    pub(super) fn convert(self, name: &str, value: &Node) -> Result<Node, Diagnostic> {
        let fits = match (self, &value.value) {
            (Self::String, Value::Text(_)) | (_, Value::Invalid) => true,
            (Self::String, Value::Bool(_) | Value::Integer(_) | Value::Float(_)) => {
                return Ok(Node::text(value.place, value.written.clone()));
            }
            (Self::Integer, Value::Integer(_)) | (Self::Number, Value::Integer(_) | Value::Float(_)) => true,
            (Self::Boolean, Value::Bool(_)) => true,
            _ => false,
        };
        if fits {
            return Ok(value.clone());
        }
        Err(Diagnostic::new(
            Code::TypeMismatch,
            format!("the parameter `{name}` takes {}, found {}", self.wanted(), value.describe()),
        )
        .at(value.place))
    }

    /// A cell as a value of this type.
    pub(super) fn read(self, cell: &Cell, conventions: &Conventions) -> Result<Node, Diagnostic> {
        Ok(match self {
            Self::String => cell.to_text_node(),
            Self::Integer => Node::plain(cell.place, &cell.integer(conventions)?.to_string()),
            Self::Number => number_node(cell.place, cell.number(conventions)?),
            Self::Boolean => Node::plain(cell.place, if cell.boolean()? { "true" } else { "false" }),
        })
    }
}

/// A number as a scalar: whole ones without a fraction.
pub(super) fn number_node(place: Place, number: f64) -> Node {
    Node::plain(place, &number.to_string())
}

/// Checks declarations: names with a meaning of their own, defaults of another type.
pub(super) fn check_declared(declared: &Declared, reserved: &[&str], diagnostics: &mut Diagnostics) {
    if let Some((name, _)) = declared.0.get(PARAMETER_LIMIT) {
        diagnostics.push(
            Diagnostic::new(Code::TooManyParts, format!("more than {PARAMETER_LIMIT} parameters are declared"))
                .at(name.place)
                .help("declare only what differs from use to use"),
        );
    }
    for (name, fields) in declared.iter() {
        if reserved.contains(&name.as_str()) {
            diagnostics.push(
                Diagnostic::new(Code::NameReserved, format!("no parameter can be called `{}`", name.value))
                    .at(name.place)
                    .help("it has a meaning of its own here; choose another name"),
            );
        }
        let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !well_formed {
            diagnostics.push(
                Diagnostic::new(
                    Code::ValueInvalid,
                    format!("`{}` cannot be the name of a parameter", crate::tree::shorten(name)),
                )
                .at(name.place)
                .help("begin with a letter and use letters, digits, `_` and `-`"),
            );
        }
        if let Some(default) = &fields.default
            && let Err(diagnostic) = fields.kind.convert(name, default)
        {
            diagnostics.push(diagnostic);
        }
    }
}

/// Reports `${…}` that name nothing declared, whether or not anything uses the piece they stand in. Whether any
/// stands there at all.
pub(super) fn check_references(
    node: &Node,
    declared: &Declared,
    more: &[&str],
    environment: bool,
    diagnostics: &mut Diagnostics,
) -> bool {
    let found = references(node);
    for name in &found {
        let known = declared.get(name).is_some() || more.contains(&name.as_str());
        if known || (environment && name.starts_with("env:")) {
            continue;
        }
        // Inserting says the rest, in the same words.
        if name.starts_with("env:") {
            continue;
        }
        diagnostics.push(
            Diagnostic::new(Code::ParameterUnknown, format!("no parameter `{}` is declared", name.value))
                .at(name.place)
                .suggest(name, declared.keys().chain(more.iter().copied())),
        );
    }
    !found.is_empty() || has_dollar(node)
}

fn has_dollar(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains('$'),
        Value::List(items) => items.iter().any(has_dollar),
        Value::Map(entries) => entries.iter().any(|entry| entry.key.contains('$') || has_dollar(&entry.value)),
        _ => false,
    }
}

/// The values of a `with:`, defaults filled in. `place` is where a missing one is reported.
pub(super) fn given(
    declared: &Declared,
    with: &OrderedMap<Node>,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Node> {
    let mut values = BTreeMap::new();
    for (name, value) in with.iter() {
        match declared.get(name) {
            Some(fields) => {
                if let Some(value) = diagnostics.take(fields.kind.convert(name, value)) {
                    values.insert(name.value.clone(), value);
                } else {
                    values.insert(name.value.clone(), Node::new(value.place, Value::Invalid));
                }
            }
            None => diagnostics.push(unknown(name, declared)),
        }
    }
    for (name, fields) in declared.iter() {
        if values.contains_key(&name.value) {
            continue;
        }
        let value = match &fields.default {
            Some(default) => fields.kind.convert(name, default).unwrap_or_else(|_| default.clone()),
            None => {
                diagnostics.push(
                    Diagnostic::new(Code::FieldMissing, format!("the parameter `{}` is not given", name.value))
                        .at(place)
                        .note_at(name.place, "it is declared here without a default")
                        .help(format!("add `with: {{{}: …}}`", name.value)),
                );
                Node::new(place, Value::Invalid)
            }
        };
        values.insert(name.value.clone(), value);
    }
    values
}

fn unknown(name: &Spanned<String>, declared: &Declared) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(Code::ParameterUnknown, format!("no parameter `{}` is declared", name.value)).at(name.place);
    if declared.is_empty() {
        diagnostic.help("the pipeline declares no parameters")
    } else {
        diagnostic.suggest(name, declared.keys())
    }
}
