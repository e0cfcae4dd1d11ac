//! Tables of assets: one row each, with the values that its template asks for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::codes::Code;
use crate::decode::decode;
use crate::diagnostic::{Diagnostic, did_you_mean, quoted_list, suggestion};
use crate::scalar::{TimeZone, Timestamp};
use crate::table::{Cell, Conventions, Table, Typed};
use crate::tree::{Node, Spanned, Value};

use super::Loader;
use super::fields::TableFields;
use super::files::parent;
use super::settings::Setting;
use super::template::{ASSET_COLUMNS, Template};

/// Names that expressions over samples see already, so that no column of assets can have them.
const TAKEN_COLUMNS: [&str; 7] = ["time", "tag", "value", "quality", "checks", "variable", "kind"];
/// Longest name of an asset, in characters.
const LONGEST_NAME: usize = 128;

/// An asset as its row says it.
pub(super) struct AssetDraft {
    pub(super) name: Spanned<String>,
    /// Index of its template.
    pub(super) template: usize,
    pub(super) template_name: Spanned<String>,
    /// A value for each parameter of the template; of a disabled asset maybe null.
    pub(super) parameters: BTreeMap<String, Node>,
    pub(super) columns: BTreeMap<String, String>,
    /// Settings of its tags, by variable.
    pub(super) settings: Vec<(String, Setting)>,
    pub(super) enabled: bool,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// All assets of a site.
#[derive(Default)]
pub(super) struct Assets {
    pub(super) drafts: Vec<AssetDraft>,
    /// Names of all rows, those with mistakes too, so that nothing else is reported about them.
    pub(super) names: HashMap<String, Spanned<String>>,
    /// Names of all rows in small letters.
    lowered: HashMap<String, Spanned<String>>,
    /// Whether some row or table could not be used.
    pub(super) incomplete: bool,
}

/// What a column is to the assets of one template.
enum Use {
    Own,
    Parameter,
    Setting { variable: String, setting: Spanned<String> },
    Column,
    Elsewhere,
}

/// The templates that assets can name.
#[derive(Clone, Copy)]
pub(super) struct Templates<'a> {
    pub(super) all: &'a [Template],
    /// Names of those that have mistakes, which are reported.
    pub(super) broken: &'a HashSet<String>,
    /// Whether every file that may define some could be read.
    pub(super) complete: bool,
}

/// A table with what was declared about it.
pub(super) struct DeclaredTable {
    pub(super) table: Table,
    pub(super) conventions: Conventions,
}

impl Loader<'_> {
    /// Reads a table that `assets:` or `overrides:` names.
    pub(super) fn table(&mut self, node: &Node, site: &Path) -> Option<DeclaredTable> {
        let fields: TableFields = match &node.value {
            Value::Text(path) => TableFields {
                file: Spanned::new(path.to_string(), node.place),
                sheet: None,
                decimal: None,
                dates: None,
            },
            Value::Map(_) | Value::Invalid => decode(node, self.diagnostics)?,
            _ => {
                let message = format!("expected a path or `{{file: …}}`, found {}", node.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(node.place));
                return None;
            }
        };
        let path = parent(self.sources.path(fields.file.place.file), site).join(&fields.file.value);
        let place = Some(fields.file.place);
        let table = Table::read(&path, fields.sheet.as_deref(), place, self.sources, self.diagnostics)?;
        Some(DeclaredTable { table, conventions: fields.conventions() })
    }

    pub(super) fn assets(&mut self, files: &[Node], site: &Path, zone: &TimeZone, templates: Templates<'_>) -> Assets {
        let mut assets = Assets::default();
        for file in files {
            let Some(declared) = self.table(file, site) else {
                assets.incomplete = true;
                continue;
            };
            if !declared.table.rejected.is_empty() {
                assets.incomplete = true;
            }
            self.asset_table(&declared, zone, templates, &mut assets);
        }
        assets
    }

    fn asset_table(&mut self, declared: &DeclaredTable, zone: &TimeZone, known: Templates<'_>, assets: &mut Assets) {
        let templates = known.all;
        let table = &declared.table;
        self.check_asset_columns(table, templates);
        let (Some(name), Some(template)) =
            (self.required_column(table, "asset"), self.required_column(table, "template"))
        else {
            assets.incomplete = true;
            return;
        };
        let by_name: HashMap<&str, usize> =
            templates.iter().enumerate().map(|(index, template)| (template.name.as_str(), index)).collect();
        let mut uses: HashMap<usize, Vec<Use>> = HashMap::new();
        let mut nearest: HashMap<Arc<str>, Option<String>> = HashMap::new();
        for row in &table.rows {
            let Some(asset) = self.asset_name(&row[name], assets) else {
                assets.incomplete = true;
                continue;
            };
            let cell = &row[template];
            let Some(&index) = by_name.get(&*cell.text) else {
                assets.incomplete = true;
                if cell.is_empty() {
                    self.report(empty(cell, "template"));
                } else if known.complete && !known.broken.contains(&*cell.text) {
                    // The same mistake tends to stand in many rows.
                    let names = || templates.iter().map(|template| template.name.as_str());
                    let help = nearest.entry(cell.text.clone()).or_insert_with(|| suggestion(&cell.text, names()));
                    let mut diagnostic =
                        Diagnostic::new(Code::TemplateUnknown, format!("there is no template `{}`", cell.text))
                            .at(cell.place);
                    diagnostic.help.clone_from(help);
                    if templates.is_empty() {
                        diagnostic.help =
                            Some("the site has no template: name the file that defines some in `include`".into());
                    }
                    self.report(diagnostic);
                }
                continue;
            };
            let uses = uses.entry(index).or_insert_with(|| column_uses(table, &templates[index], templates));
            let draft = self.asset_row(asset, row, index, uses, declared, zone, templates);
            assets.drafts.push(draft);
        }
    }

    /// A name that no earlier row has.
    fn asset_name(&mut self, cell: &Cell, assets: &mut Assets) -> Option<Spanned<String>> {
        if cell.is_empty() {
            self.report(empty(cell, "asset"));
            return None;
        }
        if is_error(cell) {
            return None;
        }
        if cell.text.chars().count() > LONGEST_NAME || cell.text.contains(|c: char| c.is_control() || "{}$".contains(c))
        {
            let message = format!("`{}` cannot be the name of an asset", crate::tree::shorten(&cell.text));
            self.report(
                Diagnostic::new(Code::ValueInvalid, message)
                    .at(cell.place)
                    .help(format!("use at most {LONGEST_NAME} characters, and none of `{{`, `}}`, `$`")),
            );
            return None;
        }
        let name = Spanned::new(cell.text.to_string(), cell.place);
        if let Some(first) = assets.names.get(&name.value) {
            self.report(
                Diagnostic::new(Code::NameTaken, format!("the asset `{}` stands in two rows", name.value))
                    .at(cell.place)
                    .note_at(first.place, "it stands here first")
                    .help("keep one row, or rename one of the two"),
            );
            return None;
        }
        if let Some(first) = assets.lowered.insert(name.value.to_lowercase(), name.clone()) {
            self.report(
                Diagnostic::new(
                    Code::NamesAlike,
                    format!(
                        "the assets `{}` and `{}` differ in small and capital letters only",
                        first.value, name.value
                    ),
                )
                .at(cell.place)
                .note_at(first.place, "the other stands here")
                .help("if they are one asset, remove a row"),
            );
        }
        assets.names.insert(name.value.clone(), name.clone());
        Some(name)
    }

    #[allow(clippy::too_many_arguments)]
    fn asset_row(
        &mut self,
        name: Spanned<String>,
        row: &[Cell],
        template: usize,
        uses: &[Use],
        declared: &DeclaredTable,
        zone: &TimeZone,
        templates: &[Template],
    ) -> AssetDraft {
        let (table, conventions) = (&declared.table, &declared.conventions);
        let of = &templates[template];
        let column = |name: &str| table.column(name).and_then(|at| row.get(at)).filter(|cell| !cell.is_empty());
        let enabled = column("enabled").and_then(|cell| self.diagnostics.take(cell.boolean())).unwrap_or(true);
        let mut instant =
            |name| column(name).and_then(|cell: &Cell| self.diagnostics.take(cell.instant(conventions, zone)));
        let (from, until) = (instant("from"), instant("until"));
        if let (Some(from), Some(until), Some(cell)) = (from, until, column("until"))
            && until <= from
        {
            self.report(
                Diagnostic::new(Code::RangeReversed, "the asset leaves service before it enters it")
                    .at(cell.place)
                    .help("write a time in `until` that lies behind `from`"),
            );
        }
        let mut draft = AssetDraft {
            template_name: column("template")
                .map_or_else(|| of.name.clone(), |cell| Spanned::new(cell.text.to_string(), cell.place)),
            name,
            template,
            parameters: BTreeMap::new(),
            columns: BTreeMap::new(),
            settings: Vec::new(),
            enabled,
            from,
            until,
        };
        for ((cell, column), used) in row.iter().zip(&table.columns).zip(uses) {
            if cell.is_empty() {
                continue;
            }
            match used {
                Use::Own => {}
                Use::Parameter => {
                    let Some(parameter) = of.parameters.get(&column.value) else { continue };
                    if is_error(cell) {
                        draft.parameters.insert(column.value.clone(), Node::new(cell.place, Value::Invalid));
                        continue;
                    }
                    let value = match parameter.kind.read(cell, conventions) {
                        Ok(value) => value,
                        Err(mut diagnostic) => {
                            diagnostic.message = format!("{} (parameter `{}`)", diagnostic.message, column.value);
                            self.report(diagnostic);
                            Node::new(cell.place, Value::Invalid)
                        }
                    };
                    draft.parameters.insert(column.value.clone(), value);
                }
                Use::Setting { variable, setting } => {
                    if let Some(value) = self.cell_value(cell, conventions) {
                        let setting = self.setting(setting.clone(), value);
                        draft.settings.push((variable.clone(), setting));
                    }
                }
                Use::Column if is_error(cell) => {}
                Use::Column => {
                    draft.columns.insert(column.value.clone(), cell.text.to_string());
                }
                Use::Elsewhere => self.report(
                    Diagnostic::new(
                        Code::FieldUnknown,
                        format!("the template `{}` has no variable for `{}`", of.name.value, column.value),
                    )
                    .at(cell.place)
                    .help("leave the cell empty, or choose another template"),
                ),
            }
        }
        self.fill_parameters(&mut draft, row, table, of);
        draft
    }

    /// Defaults of parameters that the row does not give, and what is missing.
    fn fill_parameters(&mut self, draft: &mut AssetDraft, row: &[Cell], table: &Table, template: &Template) {
        for (name, fields) in template.parameters.iter() {
            if draft.parameters.contains_key(&name.value) {
                continue;
            }
            let value = match &fields.default {
                Some(default) => fields.kind.convert(name, default).unwrap_or_else(|_| default.clone()),
                None if !draft.enabled => Node::new(draft.name.place, Value::Null),
                None => {
                    let needs = format!("template `{}` needs", template.name.value);
                    let diagnostic = match table.column(&name.value) {
                        Some(at) => Diagnostic::new(
                            Code::CellEmpty,
                            format!(
                                "the parameter `{}` of `{}`, which {needs}, is not given",
                                name.value, draft.name.value
                            ),
                        )
                        .at(row.get(at).map_or(draft.name.place, |cell| cell.place))
                        .help("fill the cell, or write `no` in the column `enabled`"),
                        None => column_missing(
                            table,
                            name,
                            format!("the table has no column `{}`, which {needs}", name.value),
                        ),
                    };
                    self.report(diagnostic.note_at(name.place, "the parameter is declared here without a default"));
                    Node::new(draft.name.place, Value::Invalid)
                }
            };
            draft.parameters.insert(name.value.clone(), value);
        }
    }

    fn check_asset_columns(&mut self, table: &Table, templates: &[Template]) {
        for column in &table.columns {
            if TAKEN_COLUMNS.contains(&column.value.as_str()) {
                self.report(
                    Diagnostic::new(
                        Code::NameReserved,
                        format!("no column of assets can be called `{}`", column.value),
                    )
                    .at(column.place)
                    .help("expressions know something else by this name; rename the column"),
                );
            }
            if let Some((variable, _)) = column.value.split_once('.') {
                let variables = || templates.iter().flat_map(|template| &template.tags).map(|tag| &*tag.variable);
                if !templates.is_empty() && templates.iter().all(|template| template.variable(variable).is_none()) {
                    let message = format!("no template has a variable `{variable}`");
                    self.report(
                        Diagnostic::new(Code::FieldUnknown, message).at(column.place).suggest(variable, variables()),
                    );
                }
            }
        }
    }

    pub(super) fn required_column(&mut self, table: &Table, name: &str) -> Option<usize> {
        let found = table.column(name);
        if found.is_none() {
            self.report(column_missing(table, name, format!("the table has no column `{name}`")));
        }
        found
    }
}

fn column_uses(table: &Table, template: &Template, all: &[Template]) -> Vec<Use> {
    let has = |template: &Template, variable: &str| template.variable(variable).is_some();
    table
        .columns
        .iter()
        .map(|column| {
            if ASSET_COLUMNS.contains(&column.value.as_str()) {
                return Use::Own;
            }
            if template.parameters.get(&column.value).is_some() {
                return Use::Parameter;
            }
            match column.value.split_once('.') {
                Some((variable, path)) if has(template, variable) => {
                    Use::Setting { variable: variable.to_owned(), setting: Spanned::new(path.to_owned(), column.place) }
                }
                Some((variable, _)) if all.iter().any(|template| has(template, variable)) => Use::Elsewhere,
                _ => Use::Column,
            }
        })
        .collect()
}

/// A column that a table lacks: with the one that was probably meant, or those that it has.
fn column_missing(table: &Table, name: &str, message: String) -> Diagnostic {
    let names = || table.columns.iter().map(|column| column.value.as_str());
    let nearest = did_you_mean(name, names());
    let meant = nearest.as_ref().and_then(|nearest| table.columns.iter().find(|column| column.value == *nearest));
    let place = meant.or(table.columns.first()).map_or(crate::source::Place::file(table.file), |column| column.place);
    let help = match nearest {
        Some(nearest) => format!("if `{nearest}` is meant, call it `{name}`"),
        None => {
            format!("call one of its columns `{name}`, or add it; it has {}", quoted_list(&names().collect::<Vec<_>>()))
        }
    };
    Diagnostic::new(Code::ColumnMissing, message).at(place).help(help)
}

/// A cell with an error of the spreadsheet, which was reported when it was read.
pub(super) fn is_error(cell: &Cell) -> bool {
    cell.typed == Some(Typed::Error)
}

pub(super) fn empty(cell: &Cell, column: &str) -> Diagnostic {
    let help = match cell.place.at {
        crate::source::At::Cell { .. } => "fill it, or remove the row; of merged cells only the first holds the value",
        _ => "fill it, or remove the row",
    };
    Diagnostic::new(Code::CellEmpty, format!("the cell of column `{column}` is empty")).at(cell.place).help(help)
}
