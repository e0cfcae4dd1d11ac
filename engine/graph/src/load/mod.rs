//! From files to a checked site: everything that is wrong is reported, and only what is right comes out.
//!
//! A site is read in this order: `site.yaml` and what it includes, templates, tables of assets, overrides; from these
//! each tag's definition, decoded once for all tags that share it; then the pipelines, checked node by node along
//! their edges. Nodes that publish tags change the site that sources select from, so pipelines are checked again
//! until the published tags stay the same.

mod assembly;
mod assets;
mod check;
mod datasets;
mod definition;
pub mod fields;
mod files;
mod order;
mod overrides;
mod parameters;
mod pipeline;
mod publish;
mod settings;
mod sink_files;
mod site;
mod tagged;
mod template;
mod units;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use assembly::Assembly;

use crate::codes::Code;
use crate::decode::OrderedMap;
use crate::diagnostic::{Diagnostic, Diagnostics, did_you_mean, quoted_list};
use crate::interpolate::Environment;
use crate::operator::Operator;
use crate::registry::{Registry, Role};
use crate::site::Site;
use crate::source::{Place, Sources};
use crate::tree::{Entry, Node, Spanned};

/// Reads and checks a site: `path` is its folder or its `site.yaml`. The process's environment fills `${env:…}`.
///
/// `None` means that at least one error was pushed. Warnings may be there with a site.
pub fn load_site(
    path: &Path,
    registry: &Registry,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Site>> {
    let environment = |name: &str| std::env::var(name).ok();
    Loader { registry, sources, diagnostics, environment: &environment }.site(path)
}

/// As [`load_site`], and gives what can be made out of a site although it has mistakes: for looking at its devices,
/// never for running it. `None` where not even `site.yaml` can be read.
pub fn load_site_in_part(
    path: &Path,
    registry: &Registry,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Site>> {
    let environment = |name: &str| std::env::var(name).ok();
    Loader { registry, sources, diagnostics, environment: &environment }.site_in_part(path, None).map(Arc::new)
}

/// Reads and checks one pipeline against a site whose own pipelines are left away: a lone file to `check`, or what
/// `replay` and `test` run. Parameters without a default are missing then. Datasets that the site's pipelines store can be read.
///
/// `pipeline` is a path to a file, or the name of a pipeline of the site's folder or of those built in.
pub fn load_pipeline(
    pipeline: &Path,
    site: &Site,
    registry: &Registry,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Site>> {
    let environment = |name: &str| std::env::var(name).ok();
    Loader { registry, sources, diagnostics, environment: &environment }.lone_pipeline(
        pipeline,
        site,
        &OrderedMap::default(),
        None,
    )
}

/// What everything that reads files needs.
pub struct Loader<'a> {
    pub registry: &'a Registry,
    pub sources: &'a mut Sources,
    pub diagnostics: &'a mut Diagnostics,
    /// Looks up `${env:…}` of site files.
    pub environment: Environment<'a>,
}

impl Loader<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// An error of a scalar's parser: what is wrong and, on a second line, what to write.
    fn report_scalar(&mut self, text: &str, place: Place) {
        let (message, help) = text.split_once('\n').unwrap_or((text, ""));
        let diagnostic = Diagnostic::new(Code::ValueInvalid, message).at(place);
        self.report(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// How many errors there are; to tell whether a step added some.
    fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|found| found.severity() == crate::codes::Severity::Error).count()
    }

    /// Takes a field that must be there. One whose name is a slip of the pen is reported and taken in its place, so
    /// that the slip is one finding and what it holds is checked.
    fn take_required(&mut self, node: &mut Node, field: &str) -> Option<Entry> {
        if let Some(entry) = node.take(field) {
            return Some(entry);
        }
        let key = node.entries().iter().map(|entry| &entry.key).find(|key| did_you_mean(key, [field]).is_some())?;
        let diagnostic = Diagnostic::new(Code::FieldUnknown, format!("unknown field `{}`", key.value))
            .at(key.place)
            .suggest(key, [field]);
        let written = key.value.clone();
        self.report(diagnostic);
        node.take(&written)
    }

    /// Takes the `type` out of a node and finds its operator.
    fn take_type(&mut self, node: &mut Node, role: Role) -> Option<Operator> {
        let Some(entry) = self.take_required(node, "type") else {
            let known: Vec<&str> = self.registry.operators(role).map(|operator| operator.name).collect();
            self.report(
                Diagnostic::new(Code::FieldMissing, "the field `type` is missing")
                    .at(node.place)
                    .help(format!("add `type: …`, one of {}", quoted_list(&known))),
            );
            return None;
        };
        let Some(name) = entry.value.as_text() else {
            if entry.value.value != crate::tree::Value::Invalid {
                let message = format!("expected the name of a type, found {}", entry.value.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(entry.value.place));
            }
            return None;
        };
        if let Some(operator) = self.registry.operator(role, name) {
            return Some(operator.clone());
        }
        let message = format!("there is no {} of type `{}`", role.name(), crate::tree::shorten(name));
        let mut diagnostic = Diagnostic::new(Code::OperatorUnknown, message)
            .at(entry.value.place)
            .suggest(name, self.registry.operators(role).map(|operator| operator.name));
        let elsewhere = [Role::Source, Role::Transform, Role::Sink, Role::Connection]
            .into_iter()
            .find(|other| *other != role && self.registry.operator(*other, name).is_some());
        if let Some(other) = elsewhere {
            diagnostic = diagnostic.help(format!("`{name}` is a {}", other.name()));
        }
        self.report(diagnostic);
        None
    }
}

pub(crate) fn dataset_unknown<'a>(name: &Spanned<String>, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic =
        Diagnostic::new(Code::DatasetUnknown, format!("no node of the site stores a dataset `{}`", name.value))
            .at(name.place);
    if known.is_empty() {
        diagnostic.help("add a sink that stores it, or check the pipeline together with its site")
    } else {
        diagnostic.suggest(name, known)
    }
}

/// The site's file, for the folder or the file that a user named.
fn site_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("site.yaml") } else { path.to_owned() }
}
