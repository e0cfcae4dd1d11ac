//! `tags`: samples of the site's tags, whatever protocol each tag's connection speaks.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::expr::{Expression, ExpressionError};
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, NodeError, Operator, Output, Port, Source, SourceConfig,
};
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Directory, Entry, Origin, Part, StreamType, TagId, ValueKind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::selection::Selection;

/// Samples of the site's tags: those that connections read and those that other pipelines publish. What the node's
/// own pipeline publishes is left out, so that no pipeline feeds itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// Which tags: a condition over `tag`, `asset`, `variable`, `unit`, the asset's `kind` and `area`, and every other
    /// column of the assets table, all of them text. It is evaluated once, when the graph is built, and not for each
    /// sample. Without it all tags are taken.
    #[serde(rename = "where")]
    condition: Option<Spanned<String>>,
}

pub fn operator() -> Operator {
    Operator {
        name: "tags",
        summary: "Samples of the site's tags, selected by what the tags and their assets are",
        schema: |generator| generator.subschema_for::<Tags>(),
        examples: &[
            "field: {type: tags, where: \"kind = 'well'\"}",
            "pressures: {type: tags, where: \"variable IN ('THP', 'CHP') AND area = 'North'\"}",
            "everything: {type: tags}",
        ],
        decode: Decode::Source(|node, diagnostics| {
            decode::<Tags>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SourceConfig>)
        }),
    }
}

impl Tags {
    fn compile(&self, directory: &Directory, cx: &mut CheckContext<'_>) -> Option<Vec<bool>> {
        let Some(condition) = &self.condition else { return Some(vec![true; directory.tags().len()]) };
        let attributes = attributes(directory);
        let expression = cx.expression(condition, &attributes.schema())?;
        if *expression.data_type() != DataType::Boolean {
            cx.report(
                Diagnostic::new(Code::ConditionNotBoolean, format!("`where` gives {}", expression.data_type()))
                    .at(condition.place)
                    .help("write a condition that is true or false for each tag, such as `kind = 'well'`"),
            );
            return None;
        }
        match evaluate(&expression, &attributes) {
            Ok(wanted) => Some(wanted),
            Err(error) => {
                cx.report(error.diagnostic(condition));
                None
            }
        }
    }

    /// The tags that can leave this node: not those that its own pipeline publishes.
    fn selected(&self, cx: &mut CheckContext<'_>) -> Option<Vec<TagId>> {
        let site = cx.site;
        let directory = &site.directory;
        let wanted = self.compile(directory, cx)?;
        let owner = cx.owner;
        let own = |tag: TagId| {
            let publisher = site.tag(tag).and_then(|tag| tag.published_by.as_ref());
            publisher.is_some_and(|(pipeline, _)| **pipeline == *owner)
        };
        Some((0u32..).zip(wanted).filter(|(tag, wanted)| *wanted && !own(*tag)).map(|(tag, _)| tag).collect())
    }
}

impl SourceConfig for Tags {
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let selected = self.selected(cx)?;
        let kinds: BTreeSet<ValueKind> =
            selected.iter().filter_map(|tag| cx.site.directory.tag(*tag)).map(|tag| tag.kind).collect();
        if selected.is_empty()
            && let Some(condition) = &self.condition
        {
            cx.report(
                Diagnostic::new(Code::SelectionEmpty, format!("`{}` is true for no tag of the site", **condition))
                    .at(condition.place)
                    .help("`ducto explain TAG` shows what a tag and its asset are"),
            );
        }
        // Nothing is selected, as where a pipeline is looked at without a site: what follows is checked as for the
        // kind that tags have unless they say otherwise.
        let kinds = if kinds.is_empty() { vec![ValueKind::Float64] } else { kinds.into_iter().collect() };
        Some(vec![Port::main(StreamType::Samples(kinds))])
    }

    fn selects(&self, cx: &mut CheckContext<'_>) -> Option<Vec<TagId>> {
        self.selected(cx)
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        let wanted = match &self.condition {
            None => vec![true; cx.directory.tags().len()],
            Some(condition) => {
                let attributes = attributes(&cx.directory);
                Expression::compile(condition, &attributes.schema(), &cx.functions, &cx.units)
                    .and_then(|expression| evaluate(&expression, &attributes))
                    .map_err(|error| cx.error(error.to_string()))?
            }
        };
        Ok(Box::new(TagSource { pipeline: cx.pipeline.clone(), selection: Selection::new(wanted) }))
    }
}

/// What `where` sees: a row per tag.
fn attributes(directory: &Directory) -> RecordBatch {
    const OWN: [&str; 5] = ["tag", "asset", "variable", "kind", "unit"];
    let mut names: BTreeSet<&str> =
        directory.assets().iter().flat_map(|asset| asset.columns.keys()).map(String::as_str).collect();
    names.insert("area");
    names.retain(|name| !OWN.contains(name));
    let asset = |tag: &ducto_record::Tag| tag.asset.and_then(|asset| directory.asset(asset));
    let tags = || directory.tags().iter();
    let mut columns: Vec<(&str, StringArray)> = vec![
        ("tag", tags().map(|tag| Some(&*tag.name)).collect()),
        ("asset", tags().map(|tag| asset(tag).map(|asset| &*asset.name)).collect()),
        ("variable", tags().map(|tag| Some(&*tag.variable)).collect()),
        ("kind", tags().map(|tag| asset(tag).map(|asset| &*asset.kind)).collect()),
        ("unit", tags().map(|tag| tag.unit.as_ref().map(|unit| &*unit.symbol)).collect()),
    ];
    for name in names {
        let column = tags().map(|tag| asset(tag).and_then(|asset| asset.columns.get(name)).map(String::as_str));
        columns.push((name, column.collect()));
    }
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = columns.into_iter().map(|(_, column)| Arc::new(column) as ArrayRef).collect();
    // Columns of one length and of the types just named.
    RecordBatch::try_new(schema.clone(), columns).unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// True where the condition is true; null is not true.
fn evaluate(expression: &Expression, attributes: &RecordBatch) -> Result<Vec<bool>, ExpressionError> {
    let result = expression.evaluate(attributes)?;
    Ok(match result.as_boolean_opt() {
        Some(flags) => flags.iter().map(|flag| flag == Some(true)).collect(),
        None => vec![false; attributes.num_rows()],
    })
}

struct TagSource {
    pipeline: Arc<str>,
    selection: Selection,
}

impl Source for TagSource {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        for part in &entry.parts {
            let Part::Samples { origin, samples } = part else { continue };
            let ours = match origin {
                Origin::Field => true,
                Origin::Published { pipeline, .. } => *pipeline != self.pipeline,
                Origin::Source { .. } | Origin::Dataset { .. } => false,
            };
            if ours && let Some(selected) = self.selection.of(samples)? {
                out.emit(0, Batch::Samples(selected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sources::testing::{context, directory, sample};
    use ducto_record::Piece;

    fn run(config: &Tags, parts: Vec<Part>) -> Vec<String> {
        let directory = directory();
        let mut source = config.build(&context(&directory)).unwrap();
        let mut out = Output::at(1, 5);
        source.on_entry(&Entry { epoch: 1, time: 5, parts }, &mut out).unwrap();
        out.take_packets()
            .flat_map(|(_, batch)| match batch {
                Batch::Samples(samples) => {
                    samples.tags().iter().map(|tag| directory.tag_name(*tag).to_owned()).collect::<Vec<_>>()
                }
                Batch::Rows(_) => Vec::new(),
            })
            .collect()
    }

    fn part(origin: Origin, tag: TagId) -> Part {
        Part::Samples { origin, samples: sample(5, tag, 1.0) }
    }

    #[test]
    fn a_pipeline_does_not_read_what_it_publishes() {
        let published =
            |pipeline: &str| Origin::Published { pipeline: pipeline.into(), node: "n".into(), piece: Piece::default() };
        let got = run(
            &Tags::default(),
            vec![
                part(Origin::Field, 0),
                part(published("p"), 1),
                part(published("other"), 2),
                part(Origin::Dataset { name: "history".into(), epoch: 1 }, 0),
                part(Origin::Source { pipeline: "p".into(), node: "r".into() }, 0),
            ],
        );
        assert_eq!(got, ["W1.THP", "M1.FLOW"]);
    }

    #[test]
    fn a_condition_sees_tags_and_their_assets() {
        let where_ = |text: &str| Tags { condition: Some(Spanned::from(text.to_owned())) };
        let all = || (0..3).map(|tag| part(Origin::Field, tag)).collect::<Vec<_>>();
        assert_eq!(run(&where_("kind = 'well'"), all()), ["W1.THP", "W1.RUN"]);
        assert_eq!(run(&where_("area = 'North' AND variable = 'RUN'"), all()), ["W1.RUN"]);
        assert_eq!(run(&where_("flows_to = 'M1'"), all()), ["W1.THP", "W1.RUN"]);
        assert_eq!(run(&where_("unit = 'psig' OR asset = 'M1'"), all()), ["W1.THP", "M1.FLOW"]);
        assert!(run(&where_("area = 'South'"), all()).is_empty());
    }
}
