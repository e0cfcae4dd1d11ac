//! A scenario's site and pipeline, and whether what it sends and expects is there.

use std::path::Path;
use std::sync::Arc;

use ducto_record::{StreamType, Value, ValueKind, samples_schema};

use super::{Expectation, Happening, Scenario, Sent};
use crate::codes::{Code, Severity};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load::Loader;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::site::Site;
use crate::source::Sources;
use crate::tree::Node;

impl Scenario {
    /// The site that the scenario runs on, with its one pipeline. `None` means that an error was pushed.
    pub fn prepare(
        &self,
        registry: &Registry,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Site>> {
        let before = errors(diagnostics);
        let environment = |name: &str| std::env::var(name).ok();
        let mut loader = Loader { registry, sources, diagnostics, environment: &environment };
        let base = match &self.site {
            Some(path) => loader.site_named(&path.value, Some(path.place))?,
            None => Arc::new(Site::empty("test")),
        };
        let site = loader.with_tags(&base, &self.tags, &self.assets);
        let Some(site) = loader.lone_pipeline(&self.pipeline.value, &site, &self.with, Some(self.pipeline.place))
        else {
            self.check_steps(&site, diagnostics);
            return None;
        };
        let pipeline = site.pipelines.first()?;
        self.check_steps(&site, diagnostics);
        self.check_actions(&site, pipeline, diagnostics);
        for expectation in &self.expect {
            check_expectation(expectation, pipeline, diagnostics);
        }
        (!self.broken && errors(diagnostics) == before).then_some(site)
    }

    fn check_steps(&self, site: &Site, diagnostics: &mut Diagnostics) {
        for step in &self.steps {
            if let Happening::File(file) = &step.what
                && !file.value.is_file()
            {
                let message = format!("there is no file `{}`", file.value.display());
                diagnostics.push(
                    Diagnostic::new(Code::FileMissing, message)
                        .at(file.place)
                        .help("the path starts at the folder of the test file"),
                );
            }
            let Happening::Send(sent) = &step.what else { continue };
            for sample in sent {
                match site.directory.tag_id(&sample.tag).and_then(|id| site.tag(id)) {
                    Some(tag) => check_value(sample, tag.kind, diagnostics),
                    None => diagnostics.push(
                        Diagnostic::new(Code::SiteTagUnknown, format!("there is no tag `{}`", sample.tag.value))
                            .at(sample.tag.place)
                            .help("define it under `tags`")
                            .suggest(&sample.tag, site.directory.tags().iter().map(|tag| &*tag.name)),
                    ),
                }
            }
        }
    }
}

fn errors(diagnostics: &Diagnostics) -> usize {
    diagnostics.iter().filter(|found| found.severity() == Severity::Error).count()
}

fn check_value(sample: &Sent, kind: ValueKind, diagnostics: &mut Diagnostics) {
    let fits = match (&sample.value, kind) {
        (Value::Null, _) | (Value::Text(_), ValueKind::Text) | (Value::Bool(_), ValueKind::Bool) => true,
        (Value::Int64(_), ValueKind::Float64 | ValueKind::Int64) | (Value::Float64(_), ValueKind::Float64) => true,
        (Value::Int64(value), ValueKind::Bool) => (0..=1).contains(value),
        _ => false,
    };
    if !fits {
        diagnostics.push(
            Diagnostic::new(
                Code::TypeMismatch,
                format!("`{}` is of kind {kind}, and `{}` is sent", sample.tag.value, sample.value),
            )
            .at(sample.tag.place)
            .help("send a value of that kind, or give the tag another `kind`"),
        );
    }
}

fn check_expectation(expectation: &Expectation, pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    let Some(node) = pipeline.node(&expectation.node) else {
        let message = format!("the pipeline has no node `{}`", expectation.node);
        diagnostics.push(
            Diagnostic::new(Code::InputUnknown, message)
                .at(expectation.place)
                .suggest(&expectation.node, pipeline.nodes.iter().map(|node| &*node.id)),
        );
        return;
    };
    if node.ports.is_empty() {
        diagnostics.push(
            Diagnostic::new(Code::InputsMisplaced, format!("`{}` is a sink and gives no rows", node.id))
                .at(expectation.place)
                .help("expect the rows of the node that it reads"),
        );
        return;
    }
    let Some(port) = node.ports.iter().find(|port| port.name == expectation.port) else {
        diagnostics.push(
            Diagnostic::new(Code::PortUnknown, format!("`{}` has no port `{}`", node.id, expectation.port))
                .at(expectation.place)
                .suggest(&expectation.port, node.ports.iter().map(|port| port.name)),
        );
        return;
    };
    let columns: Vec<String> = match &port.stream {
        StreamType::Samples(_) => {
            samples_schema(ValueKind::Float64).fields().iter().map(|field| field.name().clone()).collect()
        }
        StreamType::Rows(rows) => rows.schema.fields().iter().map(|field| field.name().clone()).collect(),
    };
    for (column, _) in expectation.rows.iter().flat_map(|row| &row.columns) {
        if !columns.contains(&column.value) {
            diagnostics.push(
                Diagnostic::new(Code::FieldUnknown, format!("`{}` gives no column `{}`", node.id, column.value))
                    .at(column.place)
                    .suggest(column, columns.iter().map(String::as_str)),
            );
        }
    }
}

/// Lays fields over a definition: mappings are merged, all else is replaced.
pub(crate) fn overlay(definition: &mut Node, over: &Node) {
    use crate::tree::Value;
    match (&mut definition.value, &over.value) {
        (Value::Map(entries), Value::Map(more)) => {
            for entry in more {
                match entries.iter_mut().find(|old| old.key.value == entry.key.value) {
                    Some(old) => overlay(&mut old.value, &entry.value),
                    None => entries.push(entry.clone()),
                }
            }
        }
        (_, Value::Null) => {}
        _ => *definition = over.clone(),
    }
}

/// Whether a file is one of tests.
pub fn is_test_file(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(super::ENDING))
}
