//! Why a tag is as it is: each of its fields, the value, and the file and line or cell it came from.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::interpolate::references;
use crate::site::{AssetSettings, Site, TagSettings};
use crate::source::{Place, Sources};
use crate::tree::{Node, Value};

/// A tag with the origin of everything that is set on it.
#[derive(Debug)]
pub struct Explanation {
    /// `WELL-001.THP`.
    pub tag: String,
    /// The asset, its kind and its template.
    pub asset: Option<(String, String, Option<String>)>,
    pub fields: Vec<ExplainedField>,
}

/// A field by its path, and where it comes from.
#[derive(Debug)]
pub struct ExplainedField {
    /// `alarms.H.limit`, `connection.endpoint`.
    pub path: String,
    /// As configuration would write it.
    pub value: String,
    pub origin: Origin,
    /// Parameters in the value and where they were given, each a name and a place.
    pub parameters: Vec<(String, Origin)>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, with the line and column, or the sheet and cell.
    File { file: String, line: Option<usize>, column: Option<usize>, cell: Option<String> },
    /// Nobody wrote it: it is the default, or follows from something else; the text says from what.
    Derived(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { file, line: Some(line), column: Some(column), .. } => write!(f, "{file}:{line}:{column}"),
            Self::File { file, cell: Some(cell), .. } => write!(f, "{file} [{cell}]"),
            Self::File { file, .. } => f.write_str(file),
            Self::Derived(why) => f.write_str(why),
        }
    }
}

/// Explains a tag; `None` where the site has no tag of this name.
pub fn explain(site: &Site, sources: &Sources, tag: &str) -> Option<Explanation> {
    let settings = site.tag(site.directory.tag_id(tag)?)?;
    let asset = settings.asset.and_then(|id| site.assets.get(id as usize));
    let explain = Explain { sources, asset };
    let mut fields = Vec::new();
    explain.leaves(&settings.definition, "", &mut fields);
    explain.derived(settings, site, &mut fields);
    let directory_asset = site.directory.asset_of(settings.id);
    if let Some(asset) = directory_asset {
        for (name, value) in &asset.columns {
            let origin = explain.row();
            fields.push(ExplainedField {
                path: format!("asset.{name}"),
                value: value.clone(),
                origin,
                parameters: vec![],
            });
        }
    }
    let connection = site.connections.iter().find(|connection| connection.tags.contains(&settings.id));
    if let Some(connection) = connection {
        let origin = explain.origin(connection.place);
        let value = connection.operator.to_owned();
        fields.push(ExplainedField { path: "connection.type".to_owned(), value, origin, parameters: vec![] });
        explain.leaves(&connection.definition, "connection", &mut fields);
    }
    Some(Explanation {
        tag: settings.name.value.clone(),
        asset: directory_asset.map(|found| {
            let template = asset.and_then(|asset| asset.template.as_ref()).map(|template| template.value.clone());
            (found.name.to_string(), found.kind.to_string(), template)
        }),
        fields,
    })
}

struct Explain<'a> {
    sources: &'a Sources,
    asset: Option<&'a AssetSettings>,
}

impl Explain<'_> {
    fn leaves(&self, node: &Node, path: &str, fields: &mut Vec<ExplainedField>) {
        let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match &node.value {
            Value::Map(entries) if !entries.is_empty() => {
                for entry in entries {
                    self.leaves(&entry.value, &inner(&entry.key), fields);
                }
            }
            // Lists of scalars are one value; others, and those of which a table has set an item, are walked by number.
            Value::List(items) if self.is_walked(node, items) => {
                for (number, item) in items.iter().enumerate() {
                    self.leaves(item, &inner(&number.to_string()), fields);
                }
            }
            _ if path.is_empty() => {}
            _ => fields.push(ExplainedField {
                path: path.to_owned(),
                value: written(node),
                origin: self.origin(node.place),
                parameters: self.parameters(node),
            }),
        }
    }

    fn is_walked(&self, list: &Node, items: &[Node]) -> bool {
        if items.iter().any(|item| matches!(item.value, Value::Map(_) | Value::List(_))) {
            return true;
        }
        let parameters = self.parameters(list);
        let set_elsewhere = |item: &Node| {
            let origin = self.origin(item.place);
            !list.place.contains(item.place) && !parameters.iter().any(|(_, parameter)| *parameter == origin)
        };
        items.iter().any(set_elsewhere)
    }

    /// Fields that nobody wrote.
    fn derived(&self, settings: &TagSettings, site: &Site, fields: &mut Vec<ExplainedField>) {
        let mut add = |path: &str, value: String, why: &str| {
            if !fields.iter().any(|field| field.path == path) {
                let origin = Origin::Derived(why.to_owned());
                fields.push(ExplainedField { path: path.to_owned(), value, origin, parameters: vec![] });
            }
        };
        let published = settings.published_by.as_ref();
        let by = match published {
            Some((pipeline, node)) => format!("published by {pipeline}.{node}"),
            None if site.connections.iter().any(|connection| connection.tags.contains(&settings.id)) => {
                "from the connection".to_owned()
            }
            None => "default".to_owned(),
        };
        add("kind", settings.kind.to_string(), &by);
        if let Some(unit) = &settings.unit {
            add("unit", unit.symbol.to_string(), &by);
        }
        if let Some(scan) = settings.scan {
            add("scan", scan.to_string(), &by);
        }
    }

    /// The parameters that the source of a value names, as the asset gives them.
    fn parameters(&self, node: &Node) -> Vec<(String, Origin)> {
        let text = self.sources.slice(node.place);
        if !text.contains("${") {
            return Vec::new();
        }
        let source = Node::text(node.place, Arc::<str>::from(text));
        references(&source)
            .into_iter()
            .filter_map(|name| {
                let origin = match self.asset?.parameters.get(&name.value) {
                    Some(value) => self.origin(value.place),
                    None if name.value == "asset" => self.row(),
                    None => Origin::Derived("from the environment".to_owned()),
                };
                Some((name.value, origin))
            })
            .collect()
    }

    /// The row of the asset.
    fn row(&self) -> Origin {
        self.asset.map_or_else(|| Origin::Derived("default".to_owned()), |asset| self.origin(asset.name.place))
    }

    fn origin(&self, place: Place) -> Origin {
        if place == Place::NOWHERE {
            return Origin::Derived("default".to_owned());
        }
        let position = self.sources.position(place);
        Origin::File {
            file: self.sources.path(place.file).display().to_string(),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            cell: self.sources.cell_name(place).map(|(sheet, cell)| format!("{sheet}!{cell}")),
        }
    }
}

/// A value as configuration writes it.
fn written(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::List(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Map(_) => "{}".to_owned(),
        Value::Invalid => "?".to_owned(),
        Value::Text(text) => text.to_string(),
        _ => node.written.to_string(),
    }
}

impl Explanation {
    /// For people: one line for each field, in columns.
    pub fn text(&self) -> String {
        let mut text = self.tag.clone();
        if let Some((asset, kind, template)) = &self.asset {
            text.push_str(&format!("  asset {asset}"));
            if !kind.is_empty() {
                text.push_str(&format!(", {kind}"));
            }
            if let Some(template) = template {
                text.push_str(&format!(", template {template}"));
            }
        }
        text.push('\n');
        let width = |get: &dyn Fn(&ExplainedField) -> usize| self.fields.iter().map(get).max().unwrap_or(0).min(48);
        let path = width(&|field| field.path.chars().count());
        let value = width(&|field| field.value.chars().count());
        for field in &self.fields {
            text.push_str(&format!("  {:path$}  {:value$}  {}", field.path, field.value, field.origin));
            for (name, origin) in &field.parameters {
                text.push_str(&format!(", {name} from {origin}"));
            }
            text.push('\n');
        }
        text
    }

    /// For programs: `tag`, `asset`, `kind`, `template`, and `fields` with `path`, `value` and the origin's `file`,
    /// `line`, `column`, `cell` or `because`.
    pub fn json(&self) -> Json {
        let origin = |origin: &Origin| match origin {
            Origin::File { file, line, column, cell } => {
                json!({"file": file, "line": line, "column": column, "cell": cell})
            }
            Origin::Derived(why) => json!({"because": why}),
        };
        let fields: Vec<Json> = self
            .fields
            .iter()
            .map(|field| {
                let mut object = origin(&field.origin);
                object["path"] = json!(field.path);
                object["value"] = json!(field.value);
                if !field.parameters.is_empty() {
                    let parameters: serde_json::Map<String, Json> =
                        field.parameters.iter().map(|(name, from)| (name.clone(), origin(from))).collect();
                    object["parameters"] = Json::Object(parameters);
                }
                object
            })
            .collect();
        json!({
            "tag": self.tag,
            "asset": self.asset.as_ref().map(|(asset, _, _)| asset),
            "kind": self.asset.as_ref().map(|(_, kind, _)| kind),
            "template": self.asset.as_ref().and_then(|(_, _, template)| template.as_ref()),
            "fields": fields,
        })
    }
}
