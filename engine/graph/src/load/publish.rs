//! Columns of rows that become tags: which tags those are, and of which kind and unit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use ducto_record::{AssetId, StreamType, TagId, Unit, ValueKind, field_unit, role_of};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::pipeline::Publish;
use crate::registry::Registry;
use crate::scalar::Name;
use crate::site::Site;
use crate::source::Place;
use crate::tree::Spanned;

use super::pipeline::NodeDraft;

const ASSET: &str = "{asset}.";
const VARIABLE: &str = "{variable}";

/// A tag that a node publishes.
#[derive(Clone, Debug)]
pub(super) struct PublishedTag {
    pub(super) name: String,
    pub(super) asset: AssetId,
    pub(super) variable: Arc<str>,
    pub(super) kind: ValueKind,
    pub(super) unit: Option<Unit>,
    pub(super) place: Place,
    pub(super) by: (Arc<str>, Arc<str>),
}

impl PartialEq for PublishedTag {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.unit.as_ref().map(|unit| &unit.symbol) == other.unit.as_ref().map(|unit| &unit.symbol)
            && self.by == other.by
    }
}

/// The tags published in one round of checks, in the order of their numbers.
#[derive(Default)]
pub(super) struct Published {
    pub(super) tags: Vec<PublishedTag>,
    by_name: HashMap<String, usize>,
}

/// What the names of a node's published tags are made for.
pub(super) struct PublishScope<'a> {
    pub(super) registry: &'a Registry,
    pub(super) site: &'a Site,
    /// How many tags the files define; published ones are numbered behind them.
    pub(super) defined: usize,
    /// The tags that reach the node; `None` where that is not known.
    pub(super) tags: Option<&'a [TagId]>,
    pub(super) pipeline: &'a Arc<str>,
}

impl Published {
    /// The columns that a node publishes, with the tags they go to.
    pub(super) fn columns(
        &mut self,
        node: &NodeDraft,
        stream: &StreamType,
        scope: &PublishScope<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Publish> {
        let StreamType::Rows(rows) = stream else {
            if let Some((column, _)) = node.publish.first() {
                diagnostics.push(
                    Diagnostic::new(Code::PublishMisplaced, format!("`{}` gives samples, not rows", node.id.value))
                        .at(column.place)
                        .help("only columns of rows are published"),
                );
            }
            return Vec::new();
        };
        let fields: Vec<&Field> = rows.schema.fields().iter().map(|field| &**field).collect();
        node.publish
            .iter()
            .filter_map(|(column, name)| match self.column(node, &fields, column, name, scope) {
                Ok(publish) => Some(publish),
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    None
                }
            })
            .collect()
    }

    fn column(
        &mut self,
        node: &NodeDraft,
        fields: &[&Field],
        column: &Spanned<String>,
        name: &Spanned<String>,
        scope: &PublishScope<'_>,
    ) -> Result<Publish, Box<Diagnostic>> {
        let Some(field) = fields.iter().find(|field| *field.name() == column.value) else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::PublishColumn,
                    format!("`{}` gives no column `{}`", node.id.value, crate::tree::shorten(column)),
                )
                .at(column.place)
                .suggest(column, fields.iter().map(|field| field.name().as_str())),
            ));
        };
        let Some(kind) = kind_of(field.data_type()) else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::PublishColumn,
                    format!("the column `{}` is of type {}, which no tag can have", column.value, field.data_type()),
                )
                .at(column.place)
                .help("publish columns of numbers, text, or true and false"),
            ));
        };
        let pattern = pattern(name)?;
        let by_tag = pattern.contains(VARIABLE);
        let (key, role) = key(fields, by_tag).ok_or_else(|| {
            let what = if by_tag { "tag" } else { "asset or tag" };
            Box::new(
                Diagnostic::new(
                    Code::PublishKeyMissing,
                    format!("the rows of `{}` do not say of which {what} they are", node.id.value),
                )
                .at(name.place)
                .help("publish from a node whose rows are keyed by asset or tag"),
            )
        })?;
        let mut publish = Publish { column: column.value.clone(), key, kind, tags: Vec::new() };
        let unit = field_unit(field).and_then(|unit| scope.registry.units().get(unit)).cloned();
        let mut given: HashMap<String, TagId> = HashMap::new();
        for (number, asset, variable) in keys(role, scope) {
            let Some(asset_name) = scope.site.directory.asset(asset).map(|asset| &asset.name) else { continue };
            let variable = pattern.replace(VARIABLE, &variable);
            let tag = PublishedTag {
                name: format!("{asset_name}.{variable}"),
                asset,
                variable: variable.into(),
                kind,
                unit: unit.clone(),
                place: name.place,
                by: (scope.pipeline.clone(), node.id.value.clone()),
            };
            if given.contains_key(&tag.name) {
                return Err(Box::new(
                    Diagnostic::new(
                        Code::PublishAmbiguous,
                        format!("rows of several tags would be published as `{}`", tag.name),
                    )
                    .at(name.place)
                    .help("add `{variable}` to the name"),
                ));
            }
            let full_name = tag.name.clone();
            let id = self.add(tag, scope)?;
            given.insert(full_name, id);
            if publish.tags.len() <= number {
                publish.tags.resize(number + 1, None);
            }
            publish.tags[number] = Some(id);
        }
        Ok(publish)
    }

    fn add(&mut self, tag: PublishedTag, scope: &PublishScope<'_>) -> Result<TagId, Box<Diagnostic>> {
        let taken = |message: String, first: Place, note: &str| {
            let diagnostic = Diagnostic::new(Code::NameTaken, message).at(tag.place).note_at(first, note);
            Box::new(diagnostic.help("publish under another name"))
        };
        let defined = scope.site.directory.tag_id(&tag.name).filter(|id| (*id as usize) < scope.defined);
        if let Some(defined) = defined.and_then(|id| scope.site.tag(id)) {
            let message = format!("the tag `{}` is there already", tag.name);
            return Err(taken(message, defined.name.place, "it is defined here"));
        }
        if let Some(&first) = self.by_name.get(&tag.name) {
            let first = &self.tags[first];
            let name = |(pipeline, node): &(Arc<str>, Arc<str>)| format!("`{pipeline}.{node}`");
            let message = format!("{} and {} publish the same tag `{}`", name(&first.by), name(&tag.by), tag.name);
            return Err(taken(message, first.place, "the first is here"));
        }
        let id = (scope.defined + self.tags.len()) as TagId;
        self.by_name.insert(tag.name.clone(), self.tags.len());
        self.tags.push(tag);
        Ok(id)
    }
}

/// The kind of tag that can hold a column.
fn kind_of(data_type: &DataType) -> Option<ValueKind> {
    use DataType as T;
    match data_type {
        T::Float16 | T::Float32 | T::Float64 => Some(ValueKind::Float64),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => Some(ValueKind::Int64),
        T::Boolean => Some(ValueKind::Bool),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Some(ValueKind::Text),
        _ => None,
    }
}

/// The name behind `{asset}.`, its braces checked.
fn pattern(name: &Spanned<String>) -> Result<String, Box<Diagnostic>> {
    let wrong = |code, message: String, help: &str| Box::new(Diagnostic::new(code, message).at(name.place).help(help));
    let shown = crate::tree::shorten(name);
    let Some(pattern) = name.strip_prefix(ASSET) else {
        return Err(wrong(
            Code::ValueInvalid,
            format!("`{shown}` does not begin with `{ASSET}`"),
            "write `\"{asset}.NAME\"`",
        ));
    };
    let plain = pattern.replace(VARIABLE, "V");
    if let Some(at) = plain.find(['{', '}']) {
        let end = plain[at..].find('}').map_or(plain.len(), |end| at + end + 1);
        return Err(wrong(
            Code::PlaceholderUnknown,
            format!("`{}` is not known in a published name", crate::tree::shorten(&plain[at..end])),
            "known: `{asset}`, `{variable}`",
        ));
    }
    match plain.parse::<Name>() {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => {
            let text = error.to_string();
            let (_, help) = text.split_once('\n').unwrap_or(("", "use letters, digits, `_` and `-`"));
            Err(wrong(Code::ValueInvalid, format!("`{shown}` cannot be the name of a tag"), help))
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Asset,
    Tag,
}

/// The column that says of which asset or tag a row is.
fn key(fields: &[&Field], by_tag: bool) -> Option<(String, Role)> {
    let named = |role: &str| {
        let field = fields.iter().find(|field| role_of(field) == Some(role) && *field.data_type() == DataType::UInt32);
        field.map(|field| field.name().clone())
    };
    let asset = if by_tag { None } else { named("asset").map(|name| (name, Role::Asset)) };
    asset.or_else(|| named("tag").map(|name| (name, Role::Tag)))
}

/// Numbers of the key, each with its asset and variable.
fn keys(role: Role, scope: &PublishScope<'_>) -> Vec<(usize, AssetId, Arc<str>)> {
    let directory = &scope.site.directory;
    let tags: Vec<TagId> = match scope.tags {
        Some(tags) => tags.to_vec(),
        // Tags that are published themselves would make new ones for ever.
        None => (0..scope.defined as TagId).collect(),
    };
    match role {
        Role::Tag => tags
            .iter()
            .filter_map(|id| {
                let tag = directory.tag(*id)?;
                Some((*id as usize, tag.asset?, tag.variable.clone()))
            })
            .collect(),
        Role::Asset => {
            let mut assets: Vec<AssetId> = match scope.tags {
                Some(_) => tags.iter().filter_map(|id| directory.tag(*id)?.asset).collect(),
                None => (0..directory.assets().len() as AssetId).collect(),
            };
            assets.sort_unstable();
            assets.dedup();
            assets.into_iter().map(|id| (id as usize, id, Arc::from(""))).collect()
        }
    }
}
