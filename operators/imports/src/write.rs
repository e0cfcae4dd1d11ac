//! The files of a site, written.

use std::fmt::Write as _;
use std::path::PathBuf;

use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::Node;

use crate::group::{Asset, Grouped, Override, Template, group};
use crate::model::Value;
use crate::remarks::{Outcome, Remarks, place_text};
use crate::{Import, Options, names};

/// A file and its path in the site's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    pub text: String,
}

/// What an import becomes.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub files: Vec<File>,
    /// Lines of `site.yaml` that name them.
    pub site_lines: String,
    pub templates: usize,
    pub assets: usize,
    pub tags: usize,
    pub overrides: usize,
}

/// Where every remark is written down.
const REPORT: &str = "import-report.csv";

impl Import {
    /// The files of a site called `name`. `site.yaml` is among them unless there is one already.
    pub fn files(&mut self, name: &str, has_site: bool, options: &Options, sources: &Sources) -> Files {
        let grouped = group(&self.devices, options.kind.as_deref(), sources, &mut self.remarks);
        let mut files = Files {
            templates: grouped.templates.len(),
            assets: grouped.assets.len(),
            tags: self.devices.iter().map(|device| device.tags.len()).sum(),
            overrides: grouped.overrides.len(),
            ..Files::default()
        };
        for found in &grouped.templates {
            files.add(format!("templates/{}.yaml", found.name), template(found));
        }
        files.add("assets.csv", assets(&grouped));
        if !grouped.overrides.is_empty() {
            files.add("overrides.csv", overrides(&grouped.overrides));
        }
        if !self.remarks.is_empty() {
            files.add(REPORT, report(&self.remarks, sources));
        }
        files.site_lines = site_lines(&grouped);
        if !has_site {
            let wells = grouped.templates.iter().any(|template| template.kind == "well");
            files.add("site.yaml", site(name, &files.site_lines, wells));
        }
        files
    }
}

impl Files {
    fn add(&mut self, path: impl Into<PathBuf>, text: String) {
        self.files.push(File { path: path.into(), text });
    }
}

fn site_lines(grouped: &Grouped) -> String {
    // Numbers are written with a point, whatever the spreadsheets of the site do.
    let mut text = String::from("include: [templates/*.yaml]\nassets: [{file: assets.csv, decimal: point}]\n");
    if !grouped.overrides.is_empty() {
        text.push_str("overrides: [{file: overrides.csv, decimal: point}]\n");
    }
    text
}

fn site(name: &str, lines: &str, wells: bool) -> String {
    let name = names::variable(name).to_ascii_uppercase();
    let mut text = format!(
        "# Written by `ducto import tags`; {REPORT} says what the tag lists did not carry over.\nsite: {name}\n{lines}"
    );
    if wells {
        text.push_str("pipelines:\n  - {use: well-monitoring}\n");
    }
    text
}

fn template(template: &Template) -> String {
    let Template { name, kind, addressing, line, parameters, tags } = template;
    let mut text = format!("templates:\n  {name}:\n    kind: {}\n    parameters:\n", scalar(&kind.as_str().into()));
    text.push_str("      endpoint: {type: string}\n      unit_id: {type: integer, default: 1}\n");
    for (field, value) in parameters {
        let _ = writeln!(text, "      {field}: {{type: string, default: {}}}", scalar(value));
    }
    let _ = write!(
        text,
        "    connection: {{type: modbus, endpoint: \"${{endpoint}}\", unit_id: \"${{unit_id}}\", addressing: {addressing}"
    );
    for (field, value) in line {
        let _ = write!(text, ", {field}: {}", scalar(value));
    }
    for (field, _) in parameters {
        let _ = write!(text, ", {field}: \"${{{field}}}\"");
    }
    text.push_str("}\n    tags:\n");
    for (variable, fields) in tags {
        let mut tree = Tree::default();
        fields.iter().for_each(|(path, value)| tree.set(path, value));
        let _ = writeln!(text, "      {}: {}", scalar(&variable.as_str().into()), tree.flow());
    }
    text
}

/// Fields by their paths as nested mappings.
#[derive(Default)]
struct Tree<'a>(Vec<(&'a str, Branch<'a>)>);

enum Branch<'a> {
    Leaf(&'a Value),
    Tree(Tree<'a>),
}

impl<'a> Tree<'a> {
    fn set(&mut self, path: &'a str, value: &'a Value) {
        let (head, rest) = match path.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (path, None),
        };
        let at = self.0.iter().position(|(name, _)| *name == head).unwrap_or_else(|| {
            self.0.push((head, Branch::Tree(Tree::default())));
            self.0.len() - 1
        });
        match (rest, &mut self.0[at].1) {
            (Some(rest), Branch::Tree(tree)) => tree.set(rest, value),
            (Some(rest), leaf) => {
                let mut tree = Tree::default();
                tree.set(rest, value);
                *leaf = Branch::Tree(tree);
            }
            // What has fields keeps them: `on` alone says no more.
            (None, Branch::Tree(tree)) if !tree.0.is_empty() => {}
            (None, leaf) => *leaf = Branch::Leaf(value),
        }
    }

    fn flow(&self) -> String {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(name, branch)| {
                let value = match branch {
                    Branch::Leaf(value) => scalar(value),
                    Branch::Tree(tree) => tree.flow(),
                };
                format!("{}: {value}", scalar(&(*name).into()))
            })
            .collect();
        format!("{{{}}}", fields.join(", "))
    }
}

/// A value inside a flow mapping, in a file whose `${…}` are parameters.
fn scalar(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Range([low, high]) => format!("[{low}, {high}]"),
        Value::Text(text) => {
            let begins = text.starts_with(char::is_alphanumeric) && !text.ends_with(' ');
            let plain = text.chars().all(|c| c.is_alphanumeric() || "_-./%() ".contains(c));
            let is_text = matches!(Node::plain(Place::NOWHERE, text).value, ducto_graph::tree::Value::Text(_));
            if begins && plain && is_text { text.clone() } else { quoted(text) }
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // A parameter begins with one.
            '$' => out.push_str("$$"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn assets(grouped: &Grouped) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in grouped.assets.iter().flat_map(|asset| &asset.cells) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let head = ["asset", "template", "endpoint", "unit_id"].into_iter().chain(columns.iter().copied());
    let mut text = row(head.map(str::to_owned));
    for Asset { name, template, endpoint, unit_id, cells } in &grouped.assets {
        let own = [
            name.clone(),
            template.clone(),
            endpoint.clone().unwrap_or_default(),
            unit_id.map(|unit| unit.to_string()).unwrap_or_default(),
        ];
        let rest = columns.iter().map(|column| {
            cells.iter().find(|(name, _)| name == column).map(|(_, value)| cell(value)).unwrap_or_default()
        });
        text.push_str(&row(own.into_iter().chain(rest)));
    }
    text
}

fn overrides(overrides: &[Override]) -> String {
    let mut text = row(["tag", "field", "value", "reason"].map(str::to_owned));
    for Override { tag, field, value, reason } in overrides {
        let value = value.as_ref().map_or_else(|| "null".to_owned(), cell);
        text.push_str(&row([tag.clone(), field.clone(), value, reason.clone()]));
    }
    text
}

fn report(remarks: &Remarks, sources: &Sources) -> String {
    let mut text = row(["outcome", "of", "setting", "value", "reason", "place"].map(str::to_owned));
    for outcome in Outcome::ALL {
        for remark in remarks.iter().filter(|remark| remark.outcome == outcome) {
            text.push_str(&row([
                outcome.name().to_owned(),
                remark.of.clone(),
                remark.setting.clone(),
                remark.value.clone(),
                remark.reason.clone(),
                place_text(remark.place, sources),
            ]));
        }
    }
    text
}

/// A value in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Range([low, high]) => format!("[{low}, {high}]"),
    }
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells
        .into_iter()
        .map(|cell| {
            let clean: String = cell.chars().map(|c| if matches!(c, '\n' | '\r' | '\0') { ' ' } else { c }).collect();
            // A comma too: a table is told by its first line, and a heading may hold more commas than semicolons.
            if clean.contains([';', '"', ',', '\t']) || clean.trim() != clean {
                format!("\"{}\"", clean.replace('"', "\"\""))
            } else {
                clean
            }
        })
        .collect();
    cells.join(";") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, written) in [
            ("psig", "psig"),
            ("kg/cm2g", "kg/cm2g"),
            ("400001", "\"400001\""),
            ("1e5", "\"1e5\""),
            ("000001", "\"000001\""),
            ("250ms", "250ms"),
            ("Tubing head pressure", "Tubing head pressure"),
            ("Presión", "Presión"),
            ("true", "\"true\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("x, y", "\"x, y\""),
            ("cost ${x} \"q\"", "\"cost $${x} \\\"q\\\"\""),
            ("°F", "\"°F\""),
            ("-", "\"-\""),
        ] {
            assert_eq!(scalar(&text.into()), written, "{text}");
        }
        assert_eq!(scalar(&Value::Range([0.0, 5000.0])), "[0, 5000]");
    }

    #[test]
    fn paths_become_mappings() {
        let (on, limit) = (Value::from("on"), Value::from(2500.0));
        let mut tree = Tree::default();
        tree.set("alarms.bad", &on);
        tree.set("alarms.H.limit", &limit);
        assert_eq!(tree.flow(), "{alarms: {bad: on, H: {limit: 2500}}}");
    }

    #[test]
    fn cells_are_quoted_where_needed() {
        assert_eq!(row(["a;b", "x\ny", " z", "[0, 5]"].map(str::to_owned)), "\"a;b\";x y;\" z\";\"[0, 5]\"\n");
    }
}
