//! SQL expressions over the columns of a stream, compiled by DataFusion.
//!
//! An expression sees one row at a time: no subqueries, aggregates, window functions, and nothing that a replay would
//! answer in another way (`now()`, `random()`). It is compiled in four steps: text to syntax tree with positions
//! ([`syntax`]), names, types and units against a schema ([`resolve`]), DataFusion's plan with its constants folded
//! ([`plan`]), and then batches are evaluated. What comes out is `Float64`, `Int64`, `Boolean`, `Utf8` or a time.

mod functions;
mod measure;
mod plan;
mod resolve;
mod syntax;
#[cfg(test)]
mod tests;
mod types;
mod view;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use ducto_record::Units;
use thiserror::Error;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{At, Place};
use crate::tree::Spanned;

pub use functions::Functions;
pub use syntax::{MAX_BRACKETS, MAX_BYTES, MAX_DEPTH};
pub use view::{SampleView, TagTable};

/// A compiled expression. A clone shares the plan.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    plan: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    unit: Option<Arc<str>>,
    columns: Vec<usize>,
    /// The columns it reads, in the order of `columns`.
    input: SchemaRef,
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("expression `{text}`: {message}")]
pub struct ExpressionError {
    pub text: Arc<str>,
    pub message: String,
    /// Bytes of the text.
    pub at: Option<Range<usize>>,
    pub help: Option<String>,
    pub kind: ErrorKind,
}

/// The kind of mistake, from which the code of the diagnostic follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    Syntax,
    UnknownColumn,
    UnknownFunction,
    /// SQL that an expression cannot have: subqueries, aggregates, `now()`, ….
    Refused,
    Type,
    Unit,
    /// Too long, or nested too deeply.
    Size,
    /// What only the values show.
    Evaluation,
}

/// The rows of a batch that could not be evaluated, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub row: usize,
    pub message: String,
}

impl Expression {
    /// Compiles against the columns of a schema; their units are in the fields' metadata. Column names are matched as
    /// they are written first, and without regard to case where that finds exactly one.
    ///
    /// # Errors
    /// Syntax, unknown columns and functions, types that do not fit, units that do not fit, and what is refused:
    /// subqueries, aggregates, window functions, `now()`, `random()`.
    pub fn compile(
        text: &str,
        schema: &Schema,
        functions: &Arc<Functions>,
        units: &Arc<Units>,
    ) -> Result<Self, ExpressionError> {
        // DataFusion is large and meets texts here that nobody tried on it before.
        catch_unwind(AssertUnwindSafe(|| plan::compile(text, schema, functions, units))).unwrap_or_else(|_| {
            Err(ExpressionError {
                text: text.into(),
                message: "the expression cannot be compiled: the planner failed on it".to_owned(),
                at: None,
                help: Some("this is a fault of Ducto; write the expression in another way and report it".to_owned()),
                kind: ErrorKind::Refused,
            })
        })
    }

    /// As [`Expression::compile`] for what must be true or false.
    ///
    /// # Errors
    /// Also when the result is no boolean.
    pub fn compile_condition(
        text: &str,
        schema: &Schema,
        functions: &Arc<Functions>,
        units: &Arc<Units>,
    ) -> Result<Self, ExpressionError> {
        let expression = Self::compile(text, schema, functions, units)?;
        if expression.data_type == DataType::Boolean {
            return Ok(expression);
        }
        Err(ExpressionError {
            text: expression.text.clone(),
            message: format!(
                "the expression gives {}, and a condition must be true or false",
                plan::type_name(&expression.data_type)
            ),
            at: None,
            help: Some(format!("compare it with something: `{text} > …`")),
            kind: ErrorKind::Type,
        })
    }

    /// Evaluates over rows with the schema it was compiled against.
    ///
    /// # Errors
    /// What only the values show: overflow, division of integers by zero, a cast that fails.
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for &index in &self.columns {
            let Some(column) = rows.columns().get(index) else {
                return Err(self.failed(format!("the rows have no column {index}")));
            };
            columns.push(column.clone());
        }
        self.evaluate_columns(columns, rows.num_rows())
    }

    /// Evaluates over the columns of [`Expression::columns`] alone, in their order.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn evaluate_columns(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef, ExpressionError> {
        let batch = self.input_batch(columns, rows)?;
        self.evaluate_input(&batch)
    }

    /// Evaluates over rows with the schema it was compiled against; a row that fails (an integer divided by zero, an
    /// overflow) is null in the result and named beside it. Meant for streams, which one bad value must not stop.
    ///
    /// # Errors
    /// Only when the rows do not have the columns.
    pub fn evaluate_or_null(&self, rows: &RecordBatch) -> Result<(ArrayRef, Vec<Failure>), ExpressionError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for &index in &self.columns {
            let Some(column) = rows.columns().get(index) else {
                return Err(self.failed(format!("the rows have no column {index}")));
            };
            columns.push(column.clone());
        }
        self.evaluate_columns_or_null(columns, rows.num_rows())
    }

    /// As [`Expression::evaluate_or_null`] over the columns of [`Expression::columns`] alone.
    ///
    /// # Errors
    /// As [`Expression::evaluate_or_null`].
    pub fn evaluate_columns_or_null(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<(ArrayRef, Vec<Failure>), ExpressionError> {
        let batch = self.input_batch(columns, rows)?;
        match self.evaluate_input(&batch) {
            Ok(result) => Ok((result, Vec::new())),
            Err(_) => self.halves(&batch),
        }
    }

    fn input_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ExpressionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.input.clone(), columns, &options)
            .map_err(|error| self.failed(format!("the rows are not those it was compiled for: {error}")))
    }

    fn evaluate_input(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        self.plan
            .evaluate(batch)
            .and_then(|value| value.into_array(batch.num_rows()))
            .map_err(|error| self.failed(plan::readable(&error)))
    }

    /// Finds the rows that fail by halving: the good ones are still evaluated as batches.
    #[cold]
    fn halves(&self, batch: &RecordBatch) -> Result<(ArrayRef, Vec<Failure>), ExpressionError> {
        let mut parts = Vec::new();
        let mut failures = Vec::new();
        let mut open = vec![(0, batch.num_rows())];
        while let Some((start, length)) = open.pop() {
            match self.evaluate_input(&batch.slice(start, length)) {
                Ok(result) => parts.push(result),
                Err(error) if length <= 1 => {
                    parts.push(new_null_array(&self.data_type, length));
                    failures.push(Failure { row: start, message: error.message });
                }
                Err(_) => {
                    let half = length / 2;
                    open.push((start + half, length - half));
                    open.push((start, half));
                }
            }
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let whole = concat(&parts).map_err(|error| self.failed(error.to_string()))?;
        Ok((whole, failures))
    }

    fn failed(&self, message: String) -> ExpressionError {
        ExpressionError { text: self.text.clone(), message, at: None, help: None, kind: ErrorKind::Evaluation }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// `Float64`, `Int64`, `Boolean`, `Utf8`, or a type of times and dates.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The unit of the result, where the units of the columns say one.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Indexes of the columns it reads, rising.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The columns it reads, in the order of [`Expression::columns`].
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }
}

impl ExpressionError {
    /// The error at its place in the file.
    pub fn diagnostic(&self, text: &Spanned<String>) -> Diagnostic {
        let code = match self.kind {
            ErrorKind::Syntax => Code::ExpressionSyntax,
            ErrorKind::UnknownColumn => Code::ExpressionColumnUnknown,
            ErrorKind::UnknownFunction => Code::ExpressionFunctionUnknown,
            ErrorKind::Refused => Code::ExpressionRefused,
            ErrorKind::Type | ErrorKind::Evaluation => Code::ExpressionType,
            ErrorKind::Unit => Code::ExpressionUnit,
            ErrorKind::Size => Code::ExpressionTooLarge,
        };
        let mut diagnostic = Diagnostic::new(code, self.message.clone());
        match self.part_of(text.place) {
            Some(place) => diagnostic = diagnostic.at(place),
            None => {
                diagnostic = diagnostic.at(text.place);
                if let Some(part) = self.part().filter(|part| !part.is_empty()) {
                    diagnostic = diagnostic.label(format!("at `{part}`"));
                }
            }
        }
        if let Some(help) = &self.help {
            diagnostic = diagnostic.help(help.clone());
        }
        diagnostic
    }

    /// The place of the part that is meant, where the file has the text as it is: plain, or in quotes with nothing
    /// escaped, which shows in its length.
    fn part_of(&self, place: Place) -> Option<Place> {
        let At::Text { start, end } = place.at else { return None };
        let part = self.at.clone()?;
        let (start, length) = (start as usize, (end as usize).checked_sub(start as usize)?);
        let quotes = length.checked_sub(self.text.len())?;
        let first = match quotes {
            0 => start,
            2 => start + 1,
            _ => return None,
        };
        // A text that ends too early is marked at its last character.
        let last = part.end.max(part.start + usize::from(part.start < self.text.len()));
        Some(Place::text(place.file, first + part.start, first + last))
    }

    /// The part of the text that is meant.
    pub fn part(&self) -> Option<&str> {
        self.text.get(self.at.clone()?)
    }
}
