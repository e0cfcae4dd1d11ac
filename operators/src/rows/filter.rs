//! `filter`: passes the rows or samples that meet a condition.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::expr::{Expression, SampleView};
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Output, Port, Transform,
    TransformConfig,
};
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, StreamType, ValueKind};
use schemars::JsonSchema;
use serde::Deserialize;

/// Passes the rows, or samples, for which a condition is true. The others are counted as `filtered`; those for which it
/// cannot be computed (an integer divided by zero) as `failed`. Samples have the columns time, tag, value, quality,
/// checks, asset, variable, kind, area, unit, and the site's own columns of assets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// A SQL expression that is true or false: `quality >= 192 AND value > 100`. Null counts as false. Of samples whose
    /// kind of value it does not fit, none passes: `value > 100` passes no states.
    #[serde(rename = "where")]
    pub condition: Spanned<String>,
}

/// The operator `filter`.
pub fn operator() -> Operator {
    Operator {
        name: "filter",
        summary: "Passes the rows or samples that meet a condition",
        schema: |generator| generator.subschema_for::<FilterConfig>(),
        examples: &[
            "north: {type: filter, inputs: [checked], where: \"area = 'north' AND quality >= 192\"}",
            "pressures: {type: filter, inputs: [checked], where: \"variable IN ('THP', 'CHP')\"}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<FilterConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// The condition, compiled for what comes.
enum Condition {
    /// By kind of value; one that cannot be compiled for a kind passes no sample of it.
    Samples {
        view: SampleView,
        by_kind: Vec<(ValueKind, Expression)>,
    },
    Rows(Expression),
}

impl TransformConfig for FilterConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let mut stream = one_stream(inputs, "filter", cx)?;
        match &mut stream {
            StreamType::Rows(rows) => {
                cx.condition(&self.condition, &rows.schema)?;
            }
            StreamType::Samples(kinds) => {
                let view = SampleView::new(&cx.site.directory);
                let (functions, units) = (cx.registry.functions(), cx.units());
                let mut first_error = None;
                kinds.retain(|kind| {
                    Expression::compile_condition(&self.condition, view.schema(*kind), functions, &units)
                        .map_err(|error| first_error.get_or_insert(error).kind)
                        .is_ok()
                });
                if let Some(error) = first_error.filter(|_| kinds.is_empty()) {
                    cx.report(error.diagnostic(&self.condition));
                    return None;
                }
            }
        }
        Some(vec![Port::main(stream)])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let compile = |schema: &arrow::datatypes::Schema| {
            Expression::compile_condition(&self.condition, schema, &cx.functions, &cx.units)
                .map_err(|error| cx.error(error.to_string()))
        };
        let condition = match cx.inputs.first().map(|input| &input.stream) {
            Some(StreamType::Rows(rows)) => Condition::Rows(compile(&rows.schema)?),
            Some(StreamType::Samples(kinds)) => {
                let view = SampleView::new(&cx.directory);
                let by_kind =
                    kinds.iter().filter_map(|kind| Some((*kind, compile(view.schema(*kind)).ok()?))).collect();
                Condition::Samples { view, by_kind }
            }
            None => return Err(cx.error("a filter needs an input; name one under `inputs`")),
        };
        Ok(Box::new(Filter { condition }))
    }
}

/// The stream that all inputs have in common; what differs is reported.
pub(super) fn one_stream(inputs: &[Input], operator: &str, cx: &mut CheckContext<'_>) -> Option<StreamType> {
    let mut streams = inputs.iter();
    let first = streams.next()?;
    let mut stream = first.stream.clone();
    for other in streams {
        match (&mut stream, &other.stream) {
            (StreamType::Samples(kinds), StreamType::Samples(more)) => {
                kinds.extend(more);
                kinds.sort();
                kinds.dedup();
            }
            (one, two) if *one == *two => {}
            _ => {
                cx.report(
                    Diagnostic::new(
                        Code::StreamUnfit,
                        format!("`{operator}` is given `{}` and `{}`, whose columns differ", *first.from, *other.from),
                    )
                    .at(other.from.place)
                    .help("use a node for each of them"),
                );
                return None;
            }
        }
    }
    Some(stream)
}

struct Filter {
    condition: Condition,
}

impl Transform for Filter {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let (mask, failures) = match (&mut self.condition, batch) {
            (Condition::Samples { view, by_kind }, Batch::Samples(samples)) => {
                match by_kind.iter().find(|(kind, _)| *kind == samples.kind()) {
                    Some((_, condition)) => view.evaluate_or_null(condition, samples)?,
                    None => {
                        out.drop_rows("kind", samples.len() as u64);
                        return Ok(());
                    }
                }
            }
            (Condition::Rows(condition), Batch::Rows(rows)) => condition.evaluate_or_null(rows)?,
            (Condition::Samples { .. }, Batch::Rows(_)) => {
                return Err(NodeError::Stream { expected: "samples", found: "rows" });
            }
            (Condition::Rows(_), Batch::Samples(_)) => {
                return Err(NodeError::Stream { expected: "rows", found: "samples" });
            }
        };
        let passing = true_rows(&mask);
        out.drop_rows("failed", failures.len() as u64);
        out.drop_rows("filtered", (batch.num_rows() - passing.len() - failures.len()) as u64);
        if passing.len() == batch.num_rows() {
            out.emit(0, batch.clone());
        } else if !passing.is_empty() {
            out.emit(
                0,
                match batch {
                    Batch::Samples(samples) => Batch::Samples(samples.take(&passing)?),
                    Batch::Rows(rows) => Batch::Rows(take_record_batch(rows, &passing)?),
                },
            );
        }
        Ok(())
    }
}

/// The rows for which a condition is true.
fn true_rows(mask: &ArrayRef) -> UInt32Array {
    let mask = mask.as_boolean();
    (0..mask.len() as u32).filter(|row| mask.is_valid(*row as usize) && mask.value(*row as usize)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::testing::{GOOD, TestSite, examples_are_right, floats};

    fn site() -> TestSite {
        TestSite::new(&[("A.THP", ValueKind::Float64, "psig"), ("B.THP", ValueKind::Float64, "psig")])
    }

    #[test]
    fn a_condition_has_to_fit_one_kind() {
        let mixed = StreamType::Samples(vec![ValueKind::Float64, ValueKind::Bool]);
        site().node(&operator(), "where: value > 100", &[mixed]).unwrap();
        let states = StreamType::Samples(vec![ValueKind::Bool]);
        let said = site().node(&operator(), "where: value > 100", &[states]).err().unwrap();
        assert!(said.starts_with("E0321"), "{said}");
    }

    #[test]
    fn samples_pass_by_value_quality_and_tag() {
        let node =
            site().node(&operator(), "where: \"asset = 'A' AND value > 1 AND quality >= 192\"", &[floats()]).unwrap();
        let mut driver = node.driver();
        driver.send(
            1.0,
            &[
                ("A.THP", 1.0, Some(2.0), GOOD),
                ("B.THP", 1.0, Some(2.0), GOOD),
                ("A.THP", 1.0, Some(2.0), 0),
                ("A.THP", 1.0, None, GOOD),
                ("A.THP", 1.0, Some(3.0), 216),
            ],
        );
        assert_eq!(driver.lines(), ["1s A.THP 2 192 0", "1s A.THP 3 216 0"]);
        assert_eq!(driver.drops(), [("filtered", 3)]);
    }

    #[test]
    fn rows_that_cannot_be_judged_are_counted() {
        let node = site().node(&operator(), "where: 10 / (quality - 192) > 0", &[floats()]).unwrap();
        let mut driver = node.driver();
        driver.send(1.0, &[("A.THP", 1.0, Some(2.0), GOOD), ("B.THP", 1.0, Some(2.0), 194)]);
        assert_eq!(driver.lines(), ["1s B.THP 2 194 0"]);
        assert_eq!(driver.drops(), [("failed", 1)]);
    }

    #[test]
    fn a_condition_must_fit_the_columns() {
        let said = site().node(&operator(), "where: valeu > 1", &[floats()]).err().unwrap();
        assert_eq!(said, "E0220 there is no column `valeu` (did you mean `value`?)");
        let said = site().node(&operator(), "where: value", &[floats()]).err().unwrap();
        assert!(said.starts_with("E0321 the expression gives a number"), "{said}");
    }

    #[test]
    fn examples() {
        examples_are_right(&site(), &operator(), &[floats()]);
    }
}
