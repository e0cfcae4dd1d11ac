//! Tables of overrides: single settings of single tags, with the reason.

use std::collections::HashMap;
use std::path::Path;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::registry::Scope;
use crate::source::Place;
use crate::table::{Cell, Conventions, Typed};
use crate::tree::{Node, Spanned, Value};

use super::Loader;
use super::assets::{Assets, empty, is_error};
use super::parameters::number_node;
use super::settings::{Setting, list_or};
use super::template::Template;

/// How many unknown tags of a site are given the nearest known: looking for it takes its time, and a table that is
/// wrong throughout needs another kind of help.
const SUGGESTIONS: usize = 200;

/// Settings by asset (index of its draft) and tag (index in its template).
pub(super) type Overrides = HashMap<(usize, usize), Vec<Setting>>;

impl Loader<'_> {
    pub(super) fn overrides(
        &mut self,
        files: &[Node],
        site: &Path,
        templates: &[Template],
        assets: &Assets,
    ) -> Overrides {
        let by_name: HashMap<&str, usize> =
            assets.drafts.iter().enumerate().map(|(index, asset)| (asset.name.as_str(), index)).collect();
        let mut overrides = Overrides::new();
        let mut seen: HashMap<(String, String), Place> = HashMap::new();
        let mut suggestions = SUGGESTIONS;
        for file in files {
            let Some(declared) = self.table(file, site) else { continue };
            let table = &declared.table;
            let [Some(tag), Some(field), Some(value)] =
                ["tag", "field", "value"].map(|name| self.required_column(table, name))
            else {
                continue;
            };
            for column in &table.columns {
                if !["tag", "field", "value", "reason"].contains(&column.value.as_str()) {
                    self.report(
                        Diagnostic::new(Code::FieldUnknown, format!("unknown column `{}`", column.value))
                            .at(column.place)
                            .suggest(&column.value, ["tag", "field", "value", "reason"]),
                    );
                }
            }
            for row in &table.rows {
                let (tag, field, value) = (&row[tag], &row[field], &row[value]);
                for (cell, column) in [(tag, "tag"), (field, "field"), (value, "value")] {
                    if cell.is_empty() {
                        self.report(empty(cell, column));
                    }
                }
                if [tag, field, value].iter().any(|cell| cell.is_empty() || is_error(cell)) {
                    continue;
                }
                let first = *seen.entry((tag.text.to_string(), field.text.to_string())).or_insert(field.place);
                if first != field.place {
                    self.report(
                        Diagnostic::new(
                            Code::NameTaken,
                            format!("`{}` of `{}` is set in two rows", field.text, tag.text),
                        )
                        .at(field.place)
                        .note_at(first, "it is set here first")
                        .help("keep one of the two"),
                    );
                    continue;
                }
                let Some(at) = self.tag_named(tag, &by_name, templates, assets, &mut suggestions) else {
                    continue;
                };
                if let Some(node) = self.cell_value(value, &declared.conventions) {
                    let setting = self.setting(Spanned::new(field.text.to_string(), field.place), node);
                    overrides.entry(at).or_default().push(setting);
                }
            }
        }
        overrides
    }

    /// The asset and the tag of its template that a cell names.
    fn tag_named(
        &mut self,
        cell: &Cell,
        by_name: &HashMap<&str, usize>,
        templates: &[Template],
        assets: &Assets,
        suggestions: &mut usize,
    ) -> Option<(usize, usize)> {
        let suggests = *suggestions > 0;
        let mut nearest = |name: &str, known: &mut dyn Iterator<Item = &str>| {
            *suggestions = suggestions.saturating_sub(1);
            if suggests { did_you_mean(name, known.collect::<Vec<_>>()) } else { None }
        };
        let unknown = || {
            Diagnostic::new(Code::SiteTagUnknown, format!("there is no tag `{}`", crate::tree::shorten(&cell.text)))
                .at(cell.place)
        };
        let Some((asset, variable)) = cell.text.rsplit_once('.') else {
            self.report(unknown().help("write the asset, a dot and the variable: `WELL-001.THP`"));
            return None;
        };
        let Some(&index) = by_name.get(asset) else {
            // A row of the assets with a mistake, or a table that was not read, is reported there.
            if !assets.names.contains_key(asset) && !assets.incomplete {
                self.report(match nearest(asset, &mut by_name.keys().copied()) {
                    Some(nearest) => unknown().help(format!("did you mean `{nearest}.{variable}`?")),
                    None => unknown().help(format!("there is no asset `{}`", crate::tree::shorten(asset))),
                });
            }
            return None;
        };
        let template = &templates[assets.drafts[index].template];
        let found = template.variable(variable);
        if found.is_none() {
            self.report(match nearest(variable, &mut template.tags.iter().map(|tag| &*tag.variable)) {
                Some(nearest) => unknown().help(format!("did you mean `{asset}.{nearest}`?")),
                None => unknown().help(format!("the template `{}` has no variable of this name", template.name.value)),
            });
        }
        Some((index, found?))
    }

    /// The value of a cell of any type: numbers by the table's conventions, `[0, 5000]`, text, `null` to unset.
    pub(super) fn cell_value(&mut self, cell: &Cell, conventions: &Conventions) -> Option<Node> {
        match cell.typed {
            Some(Typed::Number(number)) => return Some(number_node(cell.place, number)),
            Some(Typed::Boolean(_)) => {
                return Some(Node::plain(cell.place, if cell.boolean().ok()? { "true" } else { "false" }));
            }
            Some(Typed::Time(_)) => return Some(cell.to_text_node()),
            Some(Typed::Error) => return None,
            None => {}
        }
        if let Some(list) = list_or(&cell.text, cell.place) {
            return Some(list);
        }
        let plain = cell.to_node();
        if matches!(plain.value, Value::Integer(_)) {
            return Some(plain);
        }
        match cell.number(conventions) {
            Ok(number) => Some(number_node(cell.place, number)),
            Err(diagnostic) if diagnostic.code == Code::NumberAmbiguous || matches!(plain.value, Value::Float(_)) => {
                self.report(diagnostic);
                None
            }
            Err(_) => Some(plain),
        }
    }

    pub(super) fn setting(&self, path: Spanned<String>, value: Node) -> Setting {
        let head = path.split('.').next().unwrap_or_default();
        let shorthand = self.registry.section(Scope::Tag, head).and_then(|section| section.shorthand);
        Setting { shorthand, path, value }
    }
}
