//! Templates: what the assets of one type have in common.

use std::collections::HashMap;
use std::sync::Arc;

use crate::codes::Code;
use crate::decode::{OrderedMap, decode};
use crate::diagnostic::Diagnostic;
use crate::operator::{ConnectionConfig, Decode};
use crate::registry::Role;
use crate::scalar::Name;
use crate::source::Place;
use crate::tree::{Node, Spanned, Value};

use super::Loader;
use super::fields::TemplateFields;
use super::parameters::{Declared, check_declared, check_references};

/// Columns of the assets table that are no parameters, and `${asset}`.
pub(super) const ASSET_COLUMNS: [&str; 5] = ["asset", "template", "enabled", "from", "until"];

pub(super) struct Template {
    pub(super) name: Spanned<String>,
    pub(super) kind: Arc<str>,
    pub(super) parameters: Declared,
    pub(super) connection: Connection,
    pub(super) tags: Vec<TagTemplate>,
    by_variable: HashMap<Arc<str>, usize>,
}

impl Template {
    /// The index of a variable's tag.
    pub(super) fn variable(&self, name: &str) -> Option<usize> {
        self.by_variable.get(name).copied()
    }
}

/// What reads the tags of a template.
pub(super) enum Connection {
    None,
    /// One with a mistake, which is reported.
    Broken,
    Template(ConnectionTemplate),
}

pub(super) struct ConnectionTemplate {
    pub(super) operator: &'static str,
    pub(super) decode: fn(&Node, &mut crate::diagnostic::Diagnostics) -> Option<Arc<dyn ConnectionConfig>>,
    /// Without `type`.
    pub(super) node: Node,
    pub(super) place: Place,
    /// Whether parameters are inserted, so that it differs from asset to asset.
    pub(super) inserts: bool,
}

pub(super) struct TagTemplate {
    pub(super) variable: Arc<str>,
    pub(super) place: Place,
    pub(super) node: Node,
    pub(super) inserts: bool,
}

impl Loader<'_> {
    /// `language` is that of texts which connections add.
    pub(super) fn templates(&mut self, node: &Node, language: &str) -> Vec<Template> {
        let Some(entries) = decode::<OrderedMap<Node>>(node, self.diagnostics) else {
            // Each template is looked at although another is wrong.
            let entries = node.entries().iter();
            return entries.filter_map(|entry| self.template(&entry.key, &entry.value, language)).collect();
        };
        entries.iter().filter_map(|(name, node)| self.template(name, node, language)).collect()
    }

    fn template(&mut self, name: &Spanned<String>, node: &Node, language: &str) -> Option<Template> {
        let fields: TemplateFields = decode(node, self.diagnostics)?;
        check_declared(&fields.parameters, &ASSET_COLUMNS, self.diagnostics);
        let connection = match fields.connection {
            None => Connection::None,
            Some(node) => match self.connection_template(node, &fields.parameters) {
                Some(template) => Connection::Template(template),
                None => Connection::Broken,
            },
        };
        let mut tags = Vec::new();
        for (variable, mut node) in fields.tags {
            if let Err(error) = variable.parse::<Name>() {
                self.report_scalar(&error.to_string(), variable.place);
                continue;
            }
            if node.is_null() {
                node.value = Value::Map(Vec::new());
            }
            let inserts = check_references(&node, &fields.parameters, &["asset"], true, self.diagnostics);
            tags.push(TagTemplate { variable: variable.as_str().into(), place: variable.place, node, inserts });
        }
        if let Connection::Template(of) = &connection
            && let Some(own_tags) = self.registry.own_tags(of.operator)
        {
            for (variable, node) in own_tags(&of.node, language) {
                if tags.iter().all(|tag| *tag.variable != *variable) {
                    tags.push(TagTemplate { variable: variable.into(), place: node.place, node, inserts: false });
                }
            }
        }
        Some(Template {
            name: name.clone(),
            kind: fields.kind.as_str().into(),
            parameters: fields.parameters,
            connection,
            by_variable: tags.iter().enumerate().map(|(index, tag)| (tag.variable.clone(), index)).collect(),
            tags,
        })
    }

    fn connection_template(&mut self, mut node: Node, parameters: &Declared) -> Option<ConnectionTemplate> {
        let place = node.place;
        if !matches!(node.value, Value::Map(_)) {
            if node.value != Value::Invalid {
                let message = format!("expected a mapping with `type`, found {}", node.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(place));
            }
            return None;
        }
        let operator = self.take_type(&mut node, Role::Connection)?;
        let Decode::Connection(decode) = operator.decode else { return None };
        let inserts = check_references(&node, parameters, &["asset"], true, self.diagnostics);
        Some(ConnectionTemplate { operator: operator.name, decode, node, place, inserts })
    }
}
