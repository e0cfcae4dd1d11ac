//! Tags that a test file defines, or changes in its site.

use std::collections::BTreeMap;

use ducto_record::Asset;

use crate::codes::Code;
use crate::decode::OrderedMap;
use crate::diagnostic::Diagnostic;
use crate::scenario::overlay;
use crate::site::Site;
use crate::tree::{Node, Spanned, Value};

use super::Loader;
use super::assembly::Assembly;
use super::definition::ReadBy;

impl Loader<'_> {
    /// The site with these tags defined, or changed where they are there. `assets` says the kind and the columns of
    /// their assets.
    pub fn with_tags(
        &mut self,
        base: &Site,
        tags: &OrderedMap<Node>,
        assets: &OrderedMap<BTreeMap<String, String>>,
    ) -> Site {
        let mut site = Site { pipelines: Vec::new(), ..base.clone() };
        let mut assembly = Assembly::from(base);
        assembly.drop_published();
        for (name, node) in tags.iter() {
            self.tag_of_test(&mut assembly, name, node, &base.language);
        }
        for (name, columns) in assets.iter() {
            self.asset_of_test(&mut assembly, name, columns);
        }
        assembly.finish(&mut site);
        self.check_tag_sections(&site);
        site
    }

    fn tag_of_test(&mut self, assembly: &mut Assembly, name: &Spanned<String>, node: &Node, language: &str) {
        let known = assembly.directory.directory().tag_id(name).and_then(|id| assembly.tags.get(id as usize)).cloned();
        let (definition, read_by) = match &known {
            Some(known) => {
                let mut definition = (*known.definition).clone();
                overlay(&mut definition, node);
                // What the connection adds is judged with the site.
                (definition, ReadBy::Unknown)
            }
            None if node.is_null() => (Node::new(name.place, Value::Map(Vec::new())), ReadBy::Nothing),
            None => (node.clone(), ReadBy::Nothing),
        };
        let mut definition = self.definition(definition, read_by, language);
        let (asset, variable) = match &known {
            Some(known) => {
                definition.kind = definition.kind.or(Some(known.kind));
                definition.scan = definition.scan.or(known.scan);
                (known.asset, known.variable.clone())
            }
            None => {
                let variable = name.rsplit_once('.').map_or(name.as_str(), |(_, variable)| variable);
                (assembly.asset_of(name, name.place), variable.into())
            }
        };
        let id = assembly.tag(name.clone(), asset, &variable, &definition, None);
        assembly.belongs(asset, id);
    }

    fn asset_of_test(&mut self, assembly: &mut Assembly, name: &Spanned<String>, columns: &BTreeMap<String, String>) {
        let directory = assembly.directory.directory();
        let Some(known) = directory.asset_id(name).and_then(|id| directory.asset(id)) else {
            let diagnostic = Diagnostic::new(Code::SiteTagUnknown, format!("no tag is of an asset `{}`", name.value))
                .at(name.place)
                .suggest(name, directory.assets().iter().map(|asset| &*asset.name));
            self.report(diagnostic);
            return;
        };
        let mut asset = Asset { columns: known.columns.clone(), ..known.clone() };
        for (column, value) in columns {
            if column == "kind" {
                asset.kind = value.as_str().into();
            } else {
                asset.columns.insert(column.clone(), value.clone());
            }
        }
        assembly.directory.asset(asset);
    }
}
