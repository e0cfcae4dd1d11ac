//! Columns of rows that become tags, which enter the site log like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Int8Type, TimestampMicrosecondType, UInt16Type, UInt32Type};
use arrow::error::ArrowError;
use ducto_graph::operator::Intake;
use ducto_graph::pipeline::Publish;
use ducto_record::{Epoch, Origin, Part, SampleColumns, Samples, Times, Values};

/// What a node publishes. One per node and worker; it survives a restart of its pipeline, so that no epoch is
/// published twice.
pub(crate) struct Publisher {
    columns: Vec<Publish>,
    origin: Origin,
    intake: Arc<dyn Intake>,
    /// The last epoch that was published whole.
    held: AtomicU64,
}

impl Publisher {
    pub(crate) fn new(columns: Vec<Publish>, origin: Origin, intake: Arc<dyn Intake>) -> Self {
        Self { columns, origin, intake, held: AtomicU64::new(0) }
    }

    /// Everything of this epoch was given to [`Publisher::publish`].
    pub(crate) fn end_epoch(&self, epoch: Epoch) {
        self.held.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Offers the rows' values as samples. Answers the rows that found the intake full.
    pub(crate) fn publish(&self, epoch: Epoch, rows: &RecordBatch) -> Result<usize, ArrowError> {
        if epoch <= self.held.load(Ordering::Acquire) {
            return Ok(0);
        }
        let mut refused = 0;
        for column in &self.columns {
            if let Some(samples) = samples(column, rows)? {
                let part = Part::Samples { origin: self.origin.clone(), samples };
                if let Err(ducto_graph::operator::IntakeError::Full { rows }) = self.intake.offer(part) {
                    refused += rows;
                }
            }
        }
        Ok(refused)
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
