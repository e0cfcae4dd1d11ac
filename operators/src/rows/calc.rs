//! `calc`: columns and values by expression.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt16Array};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Float64Type, UInt16Type};
use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::expr::{Expression, Failure, SampleView};
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Output, Port, Transform,
    TransformConfig,
};
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Quality, RowType, SampleColumns, Samples, StreamType, Times, ValueKind, Values, with_unit};
use schemars::JsonSchema;
use serde::Deserialize;

use super::filter::one_stream;

/// Adds columns to rows, or gives samples a new value. Expressions are SQL; in rows each may use the columns named
/// before it. A result that is no number (a division by zero, a logarithm of nothing) is null, with quality Bad and a
/// reason. A null that goes in comes out as null; it is never a 0.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalcConfig {
    /// For rows: new columns, each an expression, or an expression and its unit. A column that is there is replaced.
    #[serde(default)]
    pub columns: OrderedMap<Column>,
    /// For samples: the expression that replaces `value`, of the same kind of value: `value * 1.02`.
    #[serde(default)]
    pub value: Option<Spanned<String>>,
}

/// An expression, or an expression and the unit of its result.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    Expression(Spanned<String>),
    WithUnit(WithUnit),
}

/// An expression and the unit of its result.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithUnit {
    pub expression: Spanned<String>,
    /// Where the units of the columns do not say it. One that they do say must agree.
    pub unit: Spanned<String>,
}

impl Column {
    fn expression(&self) -> &Spanned<String> {
        match self {
            Self::Expression(expression) => expression,
            Self::WithUnit(column) => &column.expression,
        }
    }

    fn unit(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Expression(_) => None,
            Self::WithUnit(column) => Some(&column.unit),
        }
    }
}

/// The operator `calc`.
pub fn operator() -> Operator {
    Operator {
        name: "calc",
        summary: "Adds columns to rows, or gives samples a new value, by SQL expressions",
        schema: |generator| generator.subschema_for::<CalcConfig>(),
        examples: &[
            "scaled: {type: calc, inputs: [checked], value: \"value * 1.02\"}",
            "limited: {type: calc, inputs: [checked], value: \"CASE WHEN variable = 'THP' THEN abs(value) ELSE value END\"}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<CalcConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// Columns that every row has and no expression replaces.
const FRAME: [&str; 4] = ["time", "quality", "reason", "diff"];

impl TransformConfig for CalcConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let stream = one_stream(inputs, "calc", cx)?;
        match stream {
            StreamType::Rows(rows) => {
                if let Some(value) = &self.value {
                    cx.report(
                        Diagnostic::new(Code::StreamUnfit, "`value` is for samples, and rows arrive here")
                            .at(value.place)
                            .help("name columns: `columns: {liquid: \"oil + water\"}`"),
                    );
                    return None;
                }
                if self.columns.is_empty() {
                    cx.report(
                        Diagnostic::new(Code::FieldMissing, "the field `columns` is missing")
                            .at(cx.place)
                            .help("name columns: `columns: {liquid: \"oil + water\"}`"),
                    );
                    return None;
                }
                let (row, _) = self.row(&rows, cx)?;
                Some(vec![Port::main(StreamType::Rows(row))])
            }
            StreamType::Samples(kinds) => {
                let Some(value) = &self.value else {
                    cx.report(
                        Diagnostic::new(Code::FieldMissing, "the field `value` is missing, and samples arrive here")
                            .at(cx.place)
                            .help("write the new value: `value: \"value * 1.02\"`; columns are for rows, as `align` gives them"),
                    );
                    return None;
                };
                if let Some((name, _)) = self.columns.iter().next() {
                    cx.report(
                        Diagnostic::new(Code::StreamUnfit, "`columns` are for rows, and samples arrive here")
                            .at(name.place)
                            .help("write the new value: `value: \"value * 1.02\"`"),
                    );
                    return None;
                }
                let view = SampleView::new(&cx.site.directory);
                for &kind in &kinds {
                    let expression = cx.expression(value, view.schema(kind))?;
                    if *expression.data_type() != kind.data_type() {
                        let fix = match kind {
                            ValueKind::Float64 => "write numbers with a decimal point, or `CAST(… AS DOUBLE)`",
                            ValueKind::Int64 => "round it: `CAST(round(…) AS BIGINT)`",
                            _ => "use `filter` before it, to choose samples of one kind",
                        };
                        cx.report(
                            Diagnostic::new(
                                Code::ColumnKind,
                                format!(
                                    "samples of {kind} arrive here, and the expression gives another type of value"
                                ),
                            )
                            .at(value.place)
                            .help(fix),
                        );
                        return None;
                    }
                }
                Some(vec![Port::main(StreamType::Samples(kinds))])
            }
        }
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let compile = |text: &str, schema: &arrow::datatypes::Schema| {
            Expression::compile(text, schema, &cx.functions, &cx.units).map_err(|error| cx.error(error.to_string()))
        };
        match (cx.inputs.first().map(|input| &input.stream), &self.value) {
            (Some(StreamType::Samples(kinds)), Some(value)) => {
                let view = SampleView::new(&cx.directory);
                let by_kind = kinds
                    .iter()
                    .map(|kind| Ok((*kind, compile(value, view.schema(*kind))?)))
                    .collect::<Result<Vec<_>, BuildError>>()?;
                Ok(Box::new(CalcSamples { view, by_kind }))
            }
            (Some(StreamType::Rows(rows)), _) => {
                let mut row = rows.clone();
                let mut steps = Vec::new();
                for (name, column) in self.columns.iter() {
                    let expression = compile(column.expression(), &row.schema)?;
                    let unit = column.unit().and_then(|unit| cx.units.get(unit)).map(|unit| unit.symbol.to_string());
                    row = with_column(&row, name, &expression, unit.as_deref());
                    let position = row.schema.index_of(name).map_err(|error| cx.error(error.to_string()))?;
                    steps.push(Step { name: name.value.clone(), expression, position, row: row.clone() });
                }
                Ok(Box::new(CalcRows { steps }))
            }
            _ => Err(cx.error("`calc` needs an input and an expression")),
        }
    }
}

impl CalcConfig {
    /// The rows that leave, and the compiled columns.
    fn row(&self, input: &RowType, cx: &mut CheckContext<'_>) -> Option<(RowType, Vec<Expression>)> {
        let mut row = input.clone();
        let mut expressions = Vec::new();
        let mut right = true;
        for (name, column) in self.columns.iter() {
            if FRAME.contains(&name.as_str()) || input.key.contains(&**name) {
                cx.report(
                    Diagnostic::new(
                        Code::ColumnRepeated,
                        format!("the column `{}` is the row's own and cannot be replaced", **name),
                    )
                    .at(name.place)
                    .help("give the new column another name"),
                );
                right = false;
                continue;
            }
            let Some(expression) = cx.expression(column.expression(), &row.schema) else {
                right = false;
                continue;
            };
            if *expression.data_type() == DataType::Null {
                cx.report(
                    Diagnostic::new(Code::ExpressionType, "the expression is always null, and a column needs a type")
                        .at(column.expression().place)
                        .help("write `CAST(NULL AS DOUBLE)`"),
                );
                right = false;
                continue;
            }
            let unit = match column.unit() {
                Some(name) => {
                    let Some(unit) = cx.unit(name) else {
                        right = false;
                        continue;
                    };
                    if let Some(found) = expression.unit()
                        && cx.registry.units().get(found).is_some_and(|found| *found != unit)
                    {
                        cx.report(
                            Diagnostic::new(
                                Code::ExpressionUnit,
                                format!("the expression is in `{found}`, and `{}` is given as its unit", unit.symbol),
                            )
                            .at(name.place)
                            .help(format!(
                                "write `convert({}, '{}')`",
                                expression.text(),
                                unit.symbol
                            )),
                        );
                        right = false;
                    }
                    Some(unit.symbol.to_string())
                }
                None => None,
            };
            row = with_column(&row, name, &expression, unit.as_deref());
            expressions.push(expression);
        }
        right.then_some((row, expressions))
    }
}

/// The rows with a column more, before `quality`, or with one that is another.
fn with_column(row: &RowType, name: &str, expression: &Expression, unit: Option<&str>) -> RowType {
    let mut field = Field::new(name, expression.data_type().clone(), true);
    if let Some(unit) = unit.or(expression.unit()) {
        field = with_unit(field, unit);
    }
    let mut own: Vec<Field> = row
        .schema
        .fields()
        .iter()
        .filter(|field| !FRAME.contains(&field.name().as_str()))
        .map(|field| field.as_ref().clone())
        .collect();
    match own.iter_mut().find(|field| field.name() == name) {
        Some(place) => *place = field,
        None => own.push(field),
    }
    let key: Vec<&str> = row.key.iter().map(String::as_str).collect();
    RowType::new(own, &key)
}

/// Results that are no number become null; the rows are added to `failures`.
fn finite(result: ArrayRef, failures: &mut Vec<Failure>) -> Result<ArrayRef, NodeError> {
    let Some(values) = result.as_primitive_opt::<Float64Type>() else { return Ok(result) };
    if values.values().iter().all(|value| value.is_finite()) {
        return Ok(result);
    }
    let odd: arrow::array::BooleanArray =
        values.iter().map(|value| Some(value.is_some_and(|value| !value.is_finite()))).collect();
    for row in (0..values.len()).filter(|row| odd.value(*row)) {
        failures.push(Failure { row, message: "the result is no finite number".to_owned() });
    }
    Ok(nullif(values, &odd)?)
}

struct CalcSamples {
    view: SampleView,
    by_kind: Vec<(ValueKind, Expression)>,
}

impl Transform for CalcSamples {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else {
            return Err(NodeError::Stream { expected: "samples", found: "rows" });
        };
        let Some((_, expression)) = self.by_kind.iter().find(|(kind, _)| *kind == samples.kind()) else {
            out.emit(0, batch.clone());
            return Ok(());
        };
        let (result, mut failures) = self.view.evaluate_or_null(expression, samples)?;
        let result = finite(result, &mut failures)?;
        let Some(values) = Values::from_array(&result) else {
            return Err(NodeError::text(format!("`{}` gave no value of a sample", expression.text())));
        };
        let quality = if failures.is_empty() {
            samples.quality().clone()
        } else {
            let mut quality = samples.quality().to_vec();
            for failure in &failures {
                quality[failure.row] = Quality(quality[failure.row]).worst(Quality::BAD).0;
            }
            quality.into()
        };
        let changed = match (samples.layout(), samples.times()) {
            (Some(layout), Times::One(time)) => {
                let checks = samples.checks().clone();
                Samples::scan(layout, *time, values, Some(quality.clone()))
                    .and_then(|scan| scan.with_quality(quality, checks))
            }
            _ => Samples::new(SampleColumns {
                times: samples.times().clone(),
                tags: samples.tags().clone(),
                values,
                quality,
                checks: samples.checks().clone(),
            }),
        };
        out.emit(0, Batch::Samples(changed.map_err(NodeError::text)?));
        Ok(())
    }
}

/// One column of a `calc` over rows.
struct Step {
    name: String,
    expression: Expression,
    /// Where the column stands in `row`.
    position: usize,
    row: RowType,
}

struct CalcRows {
    steps: Vec<Step>,
}

impl Transform for CalcRows {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Rows(rows) = batch else {
            return Err(NodeError::Stream { expected: "rows", found: "samples" });
        };
        let mut rows = rows.clone();
        for step in &self.steps {
            rows = step.add(&rows)?;
        }
        out.emit(0, Batch::Rows(rows));
        Ok(())
    }
}

impl Step {
    fn add(&self, rows: &RecordBatch) -> Result<RecordBatch, NodeError> {
        let (result, mut failures) = self.expression.evaluate_or_null(rows)?;
        let result = finite(result, &mut failures)?;
        let mut columns = rows.columns().to_vec();
        let known = self.row.schema.fields().len() == columns.len();
        if !failures.is_empty() {
            self.fail(&mut columns, &failures, rows.num_rows());
        }
        if known {
            columns[self.position] = result;
        } else {
            columns.insert(self.position, result);
        }
        Ok(RecordBatch::try_new(self.row.schema.clone(), columns)?)
    }

    /// Marks rows whose result is withheld: Bad, with the reason. The frame's columns are the last three.
    #[cold]
    fn fail(&self, columns: &mut [ArrayRef], failures: &[Failure], rows: usize) {
        let Some(first) = columns.len().checked_sub(3) else { return };
        let mut quality = columns[first].as_primitive::<UInt16Type>().values().to_vec();
        let mut reasons: Vec<Option<String>> =
            columns[first + 1].as_string::<i32>().iter().map(|reason| reason.map(str::to_owned)).collect();
        for failure in failures.iter().filter(|failure| failure.row < rows) {
            quality[failure.row] = Quality(quality[failure.row]).worst(Quality::BAD).0;
            reasons[failure.row].get_or_insert_with(|| format!("{}: {}", self.name, failure.message));
        }
        columns[first] = Arc::new(UInt16Array::from(quality));
        columns[first + 1] = Arc::new(StringArray::from(reasons));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::testing::{GOOD, TestSite, examples_are_right, floats};
    use arrow::array::{Float64Array, Int8Array, TimestampMicrosecondArray};

    fn site() -> TestSite {
        TestSite::new(&[("A.THP", ValueKind::Float64, "psig"), ("B.THP", ValueKind::Float64, "psig")])
    }

    fn rows() -> RowType {
        let rate = |name: &str, unit: &str| with_unit(Field::new(name, DataType::Float64, true), unit);
        RowType::new(vec![rate("oil", "stb/d"), rate("water", "stb/d"), rate("thp", "psig")], &["oil"])
    }

    fn batch() -> Batch {
        let number = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![1_000_000, 1_000_000, 1_000_000]).with_timezone("UTC")),
            number(vec![Some(100.0), Some(0.0), None]),
            number(vec![Some(300.0), Some(0.0), Some(5.0)]),
            number(vec![Some(1.0), Some(2.0), Some(3.0)]),
            Arc::new(UInt16Array::from(vec![192, 192, 24])),
            Arc::new(StringArray::from(vec![None, None, Some("oil is stale")])),
            Arc::new(Int8Array::from(vec![1, 1, -1])),
        ];
        Batch::Rows(RecordBatch::try_new(rows().schema, columns).unwrap())
    }

    #[test]
    fn columns_are_added_and_no_number_is_withheld_with_its_reason() {
        let yaml = "columns:\n  liquid: oil + water\n  water_cut: {expression: 100 * water / liquid, unit: '%'}\n  thp: thp * 2\n";
        let node = site().node(&operator(), yaml, &[StreamType::Rows(rows())]).unwrap();
        assert_eq!(node.unit_of("liquid"), Some("stb/d"));
        assert_eq!(node.unit_of("water_cut"), Some("%"));
        assert_eq!(node.unit_of("thp"), Some("psig"));
        let mut driver = node.driver();
        driver.entry(1_000_000, vec![batch()]);
        assert_eq!(
            driver.lines(),
            [
                "1s 100 300 2 400 75 192",
                "1s 0 0 4 0 null 0 water_cut: the result is no finite number",
                "1s null 5 6 null null 24 oil is stale -",
            ]
        );
    }

    #[test]
    fn samples_get_a_new_value_and_keep_their_quality() {
        let node = site().node(&operator(), "value: ln(value)", &[floats()]).unwrap();
        let mut driver = node.driver();
        driver.send(
            1.0,
            &[
                ("A.THP", 1.0, Some(1.0), GOOD),
                ("B.THP", 1.0, Some(-1.0), GOOD),
                ("A.THP", 1.0, None, 24),
                ("A.THP", 1.0, Some(1.0), 64),
            ],
        );
        assert_eq!(driver.lines(), ["1s A.THP 0 192 0", "1s B.THP null 0 0", "1s A.THP null 24 0", "1s A.THP 0 64 0"]);
    }

    #[test]
    fn a_scan_stays_a_scan() {
        let node = site().node(&operator(), "value: value + 1", &[floats()]).unwrap();
        let mut driver = node.driver();
        let layout = ducto_record::Layout::new(vec![0, 1]);
        let scan = Samples::scan(&layout, 5, Values::Float64(vec![1.0, 2.0].into()), None).unwrap();
        driver.entry(5, vec![Batch::Samples(scan)]);
        let Batch::Samples(samples) = &driver.emitted[0].batch else { panic!() };
        assert!(Arc::ptr_eq(samples.layout().unwrap(), &layout));
        assert_eq!(samples.values().number(1), Some(3.0));
    }

    #[test]
    fn mistakes_are_reported() {
        let rows = [StreamType::Rows(rows())];
        let samples = [floats()];
        let wrong = |yaml: &str, inputs: &[StreamType]| site().node(&operator(), yaml, inputs).err().unwrap();
        insta::assert_snapshot!(
            [
                wrong("columns: {a: oil + thp, b: olil}", &rows),
                wrong("columns: {quality: '1'}", &rows),
                wrong("columns: {oil: '1.0'}", &rows),
                wrong("columns: {a: {expression: thp, unit: kPag}}", &rows),
                wrong("columns: {a: {expression: thp, unit: kPg}}", &rows),
                wrong("columns: {a: 'NULL'}", &rows),
                wrong("value: value", &rows),
                wrong("", &rows),
                wrong("columns: {a: value}", &samples),
                wrong("value: value > 1", &samples),
                wrong("value: checks", &samples),
            ]
            .join("\n")
        );
    }

    #[test]
    fn examples() {
        examples_are_right(&site(), &operator(), &[floats()]);
    }
}
