//! What a build of Ducto knows: operators, connection types, sections, units, functions. A value, so that a test can
//! have its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_record::{Unit, Units};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expr::Functions;
use crate::operator::{Decode, Operator};
use crate::tree::{Node, Spanned};

/// Which list of `type`s a node's operator is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Source,
    Transform,
    Sink,
    Connection,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
            Self::Connection => "connection",
        }
    }
}

/// Where a section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A field of `site.yaml`: `alarm_classes`.
    Site,
    /// A field of each tag: `alarms`, `checks`.
    Tag,
}

/// A field of sites or tags that belongs to an operator: the engine carries it without knowing what it means.
#[derive(Clone)]
pub struct Section {
    pub name: &'static str,
    pub scope: Scope,
    pub summary: &'static str,
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// The field that a single value inside the section stands for, where a mapping could be: `limit` for
    /// `alarms: {H: 2500}`. An override of `alarms.H.on_delay` then keeps the limit.
    pub shorthand: Option<&'static str>,
    /// Decodes the section; the result is given to operators by [`TagSettings::section`](crate::site::TagSettings).
    pub decode: fn(&Node, &mut Diagnostics) -> Option<Arc<dyn Any + Send + Sync>>,
    /// Looks at a decoded section together with the tag it stands on (units of limits, spans, …). For scope
    /// [`Scope::Site`] there is no tag.
    pub check: fn(&SectionCheck<'_>, &mut Diagnostics),
}

/// What [`Section::check`] is given.
pub struct SectionCheck<'a> {
    pub section: &'a (dyn Any + Send + Sync),
    pub node: &'a Node,
    pub tag: Option<&'a crate::site::TagSettings>,
    pub site: &'a crate::site::Site,
    pub registry: &'a Registry,
}

/// Makes the JSON Schema of a config.
pub type MakeSchema = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

/// Makes the tags that a connection adds by itself, out of its fields and the site's language.
pub type OwnTags = fn(&Node, &str) -> Vec<(String, Node)>;

#[derive(Clone, Default)]
pub struct Registry {
    operators: BTreeMap<(Role, &'static str), Operator>,
    /// The fields of a connection's own on its tags, by the connection's type.
    tag_fields: BTreeMap<&'static str, MakeSchema>,
    own_tags: BTreeMap<&'static str, OwnTags>,
    sections: BTreeMap<(Scope, &'static str), Section>,
    units: Arc<Units>,
    functions: Arc<Functions>,
    /// Graphs that are built in, by name: the text of the pipeline file.
    pipelines: BTreeMap<&'static str, &'static str>,
}

impl Registry {
    pub fn new(units: Units, functions: Functions) -> Self {
        Self { units: Arc::new(units), functions: Arc::new(functions), ..Self::default() }
    }

    /// Adds an operator or a connection type; a later one of the same role and name replaces it.
    pub fn add(&mut self, operator: Operator) {
        let role = match operator.decode {
            Decode::Source(_) => Role::Source,
            Decode::Transform(_) => Role::Transform,
            Decode::Sink(_) => Role::Sink,
            Decode::Connection(_) => Role::Connection,
        };
        self.operators.insert((role, operator.name), operator);
    }

    pub fn add_section(&mut self, section: Section) {
        self.sections.insert((section.scope, section.name), section);
    }

    /// The schema of the fields that a connection type reads of its tags (`address`, …), for editors and the
    /// reference. What is right is decided by [`ConnectionConfig`](crate::operator::ConnectionConfig).
    pub fn add_tag_fields(&mut self, connection: &'static str, schema: MakeSchema) {
        self.tag_fields.insert(connection, schema);
    }

    pub fn tag_fields(&self, connection: &str) -> Option<MakeSchema> {
        self.tag_fields.get(connection).copied()
    }

    /// The tags that a connection of this type adds to its asset by itself, out of its fields (its `type` left out) and
    /// the site's language: variables and definitions. A tag that the template defines stays as it is.
    pub fn add_own_tags(&mut self, connection: &'static str, make: OwnTags) {
        self.own_tags.insert(connection, make);
    }

    pub fn own_tags(&self, connection: &str) -> Option<OwnTags> {
        self.own_tags.get(connection).copied()
    }

    pub fn add_pipeline(&mut self, name: &'static str, text: &'static str) {
        self.pipelines.insert(name, text);
    }

    pub fn operator(&self, role: Role, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|((r, n), _)| *r == role && *n == name).map(|(_, operator)| operator)
    }

    /// Operators of a role, by name.
    pub fn operators(&self, role: Role) -> impl Iterator<Item = &Operator> {
        self.operators.iter().filter(move |((r, _), _)| *r == role).map(|(_, operator)| operator)
    }

    pub fn section(&self, scope: Scope, name: &str) -> Option<&Section> {
        self.sections.iter().find(|((s, n), _)| *s == scope && *n == name).map(|(_, section)| section)
    }

    pub fn sections(&self, scope: Scope) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |((s, _), _)| *s == scope).map(|(_, section)| section)
    }

    pub fn pipeline(&self, name: &str) -> Option<&'static str> {
        self.pipelines.get(name).copied()
    }

    pub fn pipelines(&self) -> impl Iterator<Item = &'static str> {
        self.pipelines.keys().copied()
    }

    pub fn units(&self) -> &Arc<Units> {
        &self.units
    }

    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// # Errors
    /// A diagnostic at the name's place, with the nearest unit.
    pub fn unit(&self, name: &Spanned<String>) -> Result<&Unit, Diagnostic> {
        self.units.get(name).ok_or_else(|| {
            Diagnostic::new(Code::UnitUnknown, format!("there is no unit `{}`", **name))
                .at(name.place)
                .suggest(name, self.units.names())
        })
    }
}
