//! Columns of rows that become tags, which enter the site log like any other.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Int8Type, TimestampMicrosecondType, UInt16Type, UInt32Type};
use arrow::error::ArrowError;
use ducto_graph::operator::Intake;
use ducto_graph::pipeline::Publish;
use ducto_record::{Epoch, Origin, Part, Piece, SampleColumns, Samples, Times, Values};

/// What a node publishes. One per node and worker; it survives a restart of its pipeline, so that nothing is published
/// twice: each piece has a number, the same whenever its epoch is processed again.
pub(crate) struct Publisher {
    columns: Vec<Publish>,
    pipeline: Arc<str>,
    node: Arc<str>,
    worker: u32,
    intake: Arc<dyn Intake>,
    state: Mutex<State>,
}

struct State {
    /// The last piece that was offered, now or, as the journal tells, by a process before.
    last: Option<Piece>,
    /// The one that comes next, if of the same epoch.
    next: Piece,
}

/// Of which node and worker.
pub(crate) struct PublisherOf {
    pub(crate) pipeline: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) worker: usize,
}

impl Publisher {
    pub(crate) fn new(columns: Vec<Publish>, of: PublisherOf, last: Option<Piece>, intake: Arc<dyn Intake>) -> Self {
        let PublisherOf { pipeline, node, worker } = of;
        let state = Mutex::new(State { last, next: Piece::default() });
        Self { columns, pipeline, node, worker: worker as u32, intake, state }
    }

    /// Offers the rows' values as samples. Answers the rows that found the intake full.
    pub(crate) fn publish(&self, epoch: Epoch, rows: &RecordBatch) -> Result<usize, ArrowError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.epoch != epoch {
            state.next = Piece { epoch, number: 0, worker: self.worker };
        }
        let mut refused = 0;
        for column in &self.columns {
            let Some(samples) = samples(column, rows)? else { continue };
            let piece = state.next;
            state.next.number += 1;
            if state.last.is_some_and(|last| piece <= last) {
                continue;
            }
            let origin = Origin::Published { pipeline: self.pipeline.clone(), node: self.node.clone(), piece };
            if let Err(ducto_graph::operator::IntakeError::Full { rows }) =
                self.intake.offer(Part::Samples { origin, samples })
            {
                refused += rows;
            }
            state.last = Some(piece);
        }
        Ok(refused)
    }

    /// The pipeline starts anew and comes to its epochs again, from their first piece.
    pub(crate) fn restart(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).next = Piece::default();
    }
}

/// The values of a column as samples; rows that are taken back and rows of no known tag give none.
fn samples(publish: &Publish, rows: &RecordBatch) -> Result<Option<Samples>, ArrowError> {
    let column = |name: &str| {
        rows.column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("rows to be published have no column `{name}`")))
    };
    let keys = column(&publish.key)?.as_primitive_opt::<UInt32Type>().ok_or_else(|| {
        ArrowError::SchemaError(format!("the key column `{}` holds no numbers of tags or assets", publish.key))
    })?;
    let diff = rows.column_by_name("diff").and_then(|column| column.as_primitive_opt::<Int8Type>());
    let tag_of = |row: usize| {
        let taken_back = diff.is_some_and(|diff| diff.is_valid(row) && diff.value(row) < 0);
        if taken_back || keys.is_null(row) { None } else { *publish.tags.get(keys.value(row) as usize)? }
    };
    let (picked, tags): (Vec<u32>, Vec<u32>) =
        (0..rows.num_rows()).filter_map(|row| Some((row as u32, tag_of(row)?))).unzip();
    if picked.is_empty() {
        return Ok(None);
    }
    let picked = UInt32Array::from(picked);
    let pick = |array: &ArrayRef| take(array, &picked, None);
    let times = pick(column("time")?)?;
    let times = times
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| ArrowError::SchemaError("the column `time` holds no times in µs".into()))?;
    let quality = match rows.column_by_name("quality") {
        Some(column) => pick(column)?.as_primitive_opt::<UInt16Type>().map(|quality| quality.values().clone()),
        None => None,
    };
    let values = cast(&pick(column(&publish.column)?)?, &publish.kind.data_type())?;
    let values = Values::from_array(&values)
        .ok_or_else(|| ArrowError::SchemaError(format!("the column `{}` holds no values of tags", publish.column)))?;
    let count = tags.len();
    Samples::new(SampleColumns {
        times: Times::Each(times.values().clone()),
        tags: tags.into(),
        values,
        quality: quality.unwrap_or_else(|| vec![ducto_record::Quality::GOOD.0; count].into()),
        checks: vec![0; count].into(),
    })
    .map(Some)
    .map_err(ArrowError::InvalidArgumentError)
}
