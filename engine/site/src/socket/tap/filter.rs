//! Which rows of a tap are wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::expr::{Expression, Functions, SampleView};
use ducto_graph::operator::NodeError;
use ducto_graph::site::Site;
use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Samples, StreamType, Units, ValueKind};

use super::target::Target;
use crate::protocol::{Refusal, RefusalKind};
use crate::rows::Names;

/// What a condition is called in the report of its mistakes.
const OPTION: &str = "--where";

/// The tags and the condition of a tap.
pub(crate) struct Filter {
    /// By number; all where there is none.
    wanted: Option<Vec<bool>>,
    condition: Condition,
}

enum Condition {
    None,
    Samples {
        view: SampleView,
        /// A kind that it does not fit passes no sample.
        by_kind: Vec<(ValueKind, Expression)>,
    },
    /// Over rows with names in place of numbers.
    Rows(Expression),
}

/// What is known of expressions.
pub(crate) struct Language {
    pub(crate) functions: Arc<Functions>,
    pub(crate) units: Arc<Units>,
}

/// The rows of a batch that are wanted, tags and assets still numbers.
pub(crate) struct Passed {
    /// Which of the tap's streams they are of; there is one for each kind of value.
    pub(crate) stream: u8,
    /// None where no row is wanted.
    pub(crate) rows: Option<RecordBatch>,
    /// Rows for which the condition could not be computed.
    pub(crate) failed: u64,
}

impl Filter {
    /// Compiles a condition for what a target gives. Says too what the asker should know of it.
    ///
    /// # Errors
    /// Mistakes in the condition, as a report with their places.
    pub(crate) fn new(
        target: &Target,
        condition: Option<&str>,
        site: &Site,
        names: &Names,
        language: &Language,
    ) -> Result<(Self, Vec<String>), Refusal> {
        let wanted = match target {
            Target::Tags { wanted, .. } => Some(wanted.clone()),
            Target::Port { .. } => None,
        };
        let mut notes = Vec::new();
        let condition = match condition {
            None => Condition::None,
            Some(text) => compile(target, text, site, names, language, &mut notes)?,
        };
        Ok((Self { wanted, condition }, notes))
    }

    /// # Errors
    /// When the rows are not what the target said, which is a fault of the engine.
    pub(crate) fn pass(&mut self, batch: &Batch, names: &Names) -> Result<Passed, NodeError> {
        match batch {
            Batch::Samples(samples) => self.samples(samples),
            Batch::Rows(rows) => self.rows(rows, names),
        }
    }

    fn samples(&mut self, samples: &Samples) -> Result<Passed, NodeError> {
        let kind = samples.kind();
        let stream = ValueKind::ALL.iter().position(|other| *other == kind).unwrap_or_default() as u8;
        let mut passed = Passed { stream, rows: None, failed: 0 };
        let mut picked = None;
        if let Some(wanted) = &self.wanted {
            let wants = |row: &u32| wanted.get(samples.tags()[*row as usize] as usize).copied().unwrap_or(false);
            let rows: UInt32Array = (0..samples.len() as u32).filter(wants).collect();
            match rows.len() {
                0 => return Ok(passed),
                all if all == samples.len() => {}
                _ => picked = Some(samples.take(&rows)?),
            }
        }
        let samples = picked.as_ref().unwrap_or(samples);
        passed.rows = match &mut self.condition {
            Condition::None => Some(samples.record_batch()),
            Condition::Rows(_) => return Err(NodeError::Stream { expected: "rows", found: "samples" }),
            Condition::Samples { view, by_kind } => match by_kind.iter().find(|(other, _)| *other == kind) {
                None => None,
                Some((_, condition)) => {
                    let (mask, failures) = view.evaluate_or_null(condition, samples)?;
                    passed.failed = failures.len() as u64;
                    match true_rows(&mask) {
                        Rows::None => None,
                        Rows::All => Some(samples.record_batch()),
                        Rows::Some(rows) => Some(samples.take(&rows)?.record_batch()),
                    }
                }
            },
        };
        Ok(passed)
    }

    fn rows(&self, rows: &RecordBatch, names: &Names) -> Result<Passed, NodeError> {
        let mut passed = Passed { stream: 0, rows: None, failed: 0 };
        passed.rows = match &self.condition {
            Condition::None => Some(rows.clone()),
            Condition::Samples { .. } => return Err(NodeError::Stream { expected: "samples", found: "rows" }),
            Condition::Rows(condition) => {
                let (mask, failures) = condition.evaluate_or_null(&names.rows(rows)?)?;
                passed.failed = failures.len() as u64;
                match true_rows(&mask) {
                    Rows::None => None,
                    Rows::All => Some(rows.clone()),
                    Rows::Some(picked) => Some(take_record_batch(rows, &picked)?),
                }
            }
        };
        Ok(passed)
    }
}

enum Rows {
    None,
    All,
    Some(UInt32Array),
}

/// The rows for which a condition is true.
fn true_rows(mask: &ArrayRef) -> Rows {
    let mask = mask.as_boolean();
    if mask.null_count() == 0 && mask.true_count() == mask.len() {
        return Rows::All;
    }
    let rows: UInt32Array =
        (0..mask.len() as u32).filter(|row| mask.is_valid(*row as usize) && mask.value(*row as usize)).collect();
    if rows.is_empty() { Rows::None } else { Rows::Some(rows) }
}

fn compile(
    target: &Target,
    text: &str,
    site: &Site,
    names: &Names,
    language: &Language,
    notes: &mut Vec<String>,
) -> Result<Condition, Refusal> {
    let mut sources = Sources::new();
    let file = sources.add_text(OPTION, text);
    let text = Spanned::new(text.to_owned(), Place::text(file, 0, text.len()));
    let mut found = Diagnostics::new();
    let Language { functions, units } = language;
    let condition = match target.stream() {
        StreamType::Rows(rows) => {
            let schema = names.rows(&RecordBatch::new_empty(rows.schema.clone())).map(|named| named.schema());
            let schema = schema.unwrap_or_else(|_| rows.schema.clone());
            match Expression::compile_condition(&text, &schema, functions, units) {
                Ok(condition) => Some(Condition::Rows(condition)),
                Err(error) => {
                    found.push(error.diagnostic(&text));
                    None
                }
            }
        }
        StreamType::Samples(kinds) => {
            let view = SampleView::new(&site.directory);
            if kinds.is_empty() {
                return Ok(Condition::None);
            }
            let (mut by_kind, mut unfit) = (Vec::new(), Vec::new());
            for kind in kinds {
                match Expression::compile_condition(&text, view.schema(*kind), functions, units) {
                    Ok(condition) => by_kind.push((*kind, condition)),
                    Err(error) => {
                        found.push(error.diagnostic(&text));
                        // A port may give kinds of which the site has no tag.
                        if site.directory.tags().iter().any(|tag| tag.kind == *kind) {
                            unfit.push(kind.to_string());
                        }
                    }
                }
            }
            if !by_kind.is_empty() && !unfit.is_empty() {
                notes.push(format!("the condition does not fit values of {}; they are left out", unfit.join(" and ")));
            }
            (!by_kind.is_empty()).then_some(Condition::Samples { view, by_kind })
        }
    };
    condition.ok_or_else(|| {
        let report = found.render(&sources, false);
        Refusal {
            findings: Some(found.to_json(&sources)),
            ..Refusal::new(RefusalKind::Expression, format!("the condition is wrong\n{}", report.trim_end()))
        }
    })
}
