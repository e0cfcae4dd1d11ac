//! What a sink that only appends writes for an epoch: names for numbers, and a `revision` in place of `diff`.
//!
//! Revisions rise with the epochs; readers take the highest of each key. A row that is taken back without a successor
//! has nulls and the reason `removed`. The historian stores rows by the same rule, [`ducto_storage::revision`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, nullif, take_record_batch};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use ducto_graph::operator::Input;
use ducto_record::{Batch, Directory, Epoch, RowType, StreamType, role_of};
use ducto_storage::{Change, REVISION, revision};
use hashbrown::HashMap;

/// What came of the epoch that is open. An epoch that is given again replaces what was kept of it.
#[derive(Default)]
pub(super) struct Pending {
    epoch: Epoch,
    batches: Vec<(usize, Batch)>,
}

impl Pending {
    pub(super) fn push(&mut self, input: usize, epoch: Epoch, batch: &Batch) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
        self.batches.push((input, batch.clone()));
    }

    /// Everything of the epoch, in the form to be written; nothing is kept.
    pub(super) fn take(
        &mut self,
        epoch: Epoch,
        inputs: &[Input],
        directory: &Directory,
    ) -> Result<Vec<RecordBatch>, ArrowError> {
        let batches = std::mem::take(&mut self.batches);
        if self.epoch != epoch {
            return Ok(Vec::new());
        }
        let mut written = Vec::new();
        let mut rows: Vec<(usize, Vec<RecordBatch>)> = Vec::new();
        for (input, batch) in batches {
            match batch {
                Batch::Samples(samples) => written.push(named(&samples.record_batch(), directory)?),
                Batch::Rows(batch) => match rows.iter_mut().find(|(other, _)| *other == input) {
                    Some((_, batches)) => batches.push(batch),
                    None => rows.push((input, vec![batch])),
                },
            }
        }
        for (input, batches) in rows {
            let all = concat_batches(&batches[0].schema(), &batches)?;
            let key = match inputs.get(input).map(|input| &input.stream) {
                Some(StreamType::Rows(RowType { key, .. })) => key.as_slice(),
                _ => &[],
            };
            written.push(named(&revised(&all, key, epoch)?, directory)?);
        }
        Ok(written)
    }
}

/// The columns a batch of this stream is written in.
pub(super) fn written_columns(stream: &StreamType) -> Vec<String> {
    match stream {
        StreamType::Samples(_) => ["time", "tag", "value", "quality", "checks"].map(str::to_owned).to_vec(),
        StreamType::Rows(rows) => {
            let own = rows.schema.fields().iter().map(|field| field.name().clone()).filter(|name| name != "diff");
            own.chain([REVISION.to_owned()]).collect()
        }
    }
}

/// The batch with the names of tags and assets in place of their numbers.
fn named(batch: &RecordBatch, directory: &Directory) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let numbers = column.as_primitive_opt::<UInt32Type>();
        let names: Option<StringArray> = match (role_of(field), numbers) {
            (Some("tag"), Some(numbers)) => {
                Some(numbers.iter().map(|tag| tag.map(|tag| directory.tag_name(tag))).collect())
            }
            (Some("asset"), Some(numbers)) => {
                Some(numbers.iter().map(|asset| asset.map(|asset| directory.asset_name(asset))).collect())
            }
            _ => None,
        };
        match names {
            Some(names) => {
                fields.push(Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)));
                columns.push(Arc::new(names) as ArrayRef);
            }
            None => {
                fields.push(field.clone());
                columns.push(column.clone());
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The rows of an epoch with `revision` in place of `diff`.
fn revised(rows: &RecordBatch, key: &[String], epoch: Epoch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let diff = schema.index_of("diff").ok();
    let diffs = diff.and_then(|index| rows.column(index).as_primitive_opt::<Int8Type>());
    if diffs.is_none_or(|diffs| diffs.values().iter().all(|diff| *diff > 0)) {
        let none = BooleanArray::from(vec![false; rows.num_rows()]);
        return with_revision(
            rows,
            key,
            UInt64Array::from(vec![revision(epoch, Change::Comes); rows.num_rows()]),
            &none,
        );
    }
    let own: Vec<usize> = (0..rows.num_columns()).filter(|index| Some(*index) != diff).collect();
    let keys: Vec<usize> = own.iter().copied().filter(|index| is_key(schema.field(*index).name(), key)).collect();
    let whole = encoded(rows, &own)?;
    let keys = encoded(rows, &keys)?;

    // Rows that were given and taken back within the epoch cancel out.
    let mut counts: HashMap<&OwnedRow, i64> = HashMap::new();
    for (row, encoded) in whole.iter().enumerate() {
        *counts.entry(encoded).or_default() += diffs.map_or(1, |diffs| i64::from(diffs.value(row)));
    }
    let given: HashMap<&OwnedRow, ()> =
        whole.iter().zip(&keys).filter(|(row, _)| counts[row] > 0).map(|(_, key)| (key, ())).collect();
    let taken: HashMap<&OwnedRow, ()> =
        whole.iter().zip(&keys).filter(|(row, _)| counts[row] < 0).map(|(_, key)| (key, ())).collect();
    let mut kept = Vec::new();
    let mut revisions = Vec::new();
    let mut removed = Vec::new();
    for (row, encoded) in whole.iter().enumerate() {
        // One row for each that is left, at its first place.
        let count = counts.remove(encoded).unwrap_or_default();
        let (corrected, replaced) = (taken.contains_key(&keys[row]), given.contains_key(&keys[row]));
        if count > 0 || (count < 0 && !replaced) {
            kept.push(row as u32);
            let change = match (count < 0, corrected) {
                (true, _) => Change::Removes,
                (false, true) => Change::Replaces,
                (false, false) => Change::Comes,
            };
            revisions.push(revision(epoch, change));
            removed.push(count < 0);
        }
    }
    let rows = take_record_batch(rows, &UInt32Array::from(kept))?;
    with_revision(&rows, key, UInt64Array::from(revisions), &BooleanArray::from(removed))
}

fn is_key(name: &str, key: &[String]) -> bool {
    name == "time" || key.iter().any(|key| key == name)
}

fn encoded(rows: &RecordBatch, columns: &[usize]) -> Result<Vec<OwnedRow>, ArrowError> {
    let arrays: Vec<ArrayRef> = columns.iter().map(|index| rows.column(*index).clone()).collect();
    let fields = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(&arrays)?;
    Ok(encoded.iter().map(|row| row.owned()).collect())
}

/// Replaces `diff` by `revision`, and blanks what removed rows say beside their key.
fn with_revision(
    rows: &RecordBatch,
    key: &[String],
    revisions: UInt64Array,
    removed: &BooleanArray,
) -> Result<RecordBatch, ArrowError> {
    let blank = removed.true_count() > 0;
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let name = field.name().as_str();
        if name == "diff" {
            continue;
        }
        if !blank || is_key(name, key) || name == "quality" {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        columns.push(match (name, column.as_string_opt::<i32>()) {
            ("reason", Some(reasons)) => {
                let reasons = reasons.iter().enumerate();
                let said = reasons.map(|(row, reason)| if removed.value(row) { Some("removed") } else { reason });
                Arc::new(said.collect::<StringArray>())
            }
            _ => nullif(column, removed)?,
        });
    }
    fields.push(Arc::new(Field::new(REVISION, DataType::UInt64, false)));
    columns.push(Arc::new(revisions));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::sources::testing::{directory, sample};
    use arrow::array::{Float64Array, Int8Array, TimestampMicrosecondArray, UInt16Array};
    use ducto_record::with_role;

    /// Rows of (time, asset, mean), keyed by asset.
    pub(in crate::sinks) fn row_type() -> RowType {
        RowType::new(
            vec![
                with_role(Field::new("asset", DataType::UInt32, false), "asset"),
                Field::new("mean", DataType::Float64, true),
            ],
            &["asset"],
        )
    }

    pub(in crate::sinks) fn rows(rows: &[(i64, u32, f64, i8)]) -> RecordBatch {
        let count = rows.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>()),
            Arc::new(UInt16Array::from(vec![192; count])),
            Arc::new(StringArray::from(vec![None::<&str>; count])),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int8Array>()),
        ];
        RecordBatch::try_new(row_type().schema, columns).unwrap()
    }

    pub(in crate::sinks) fn input(stream: StreamType) -> Input {
        Input { name: None, from: "x".to_owned().into(), stream }
    }

    /// `time asset mean reason revision`.
    fn written(given: &[(i64, u32, f64, i8)]) -> Vec<String> {
        let mut pending = Pending::default();
        pending.push(0, 7, &Batch::Rows(rows(given)));
        let inputs = [input(StreamType::Rows(row_type()))];
        let batches = pending.take(7, &inputs, &directory()).unwrap();
        let mut lines = Vec::new();
        for batch in &batches {
            let column = |name: &str| batch.column_by_name(name).unwrap().clone();
            let shown =
                |name: &str, row: usize| arrow::util::display::array_value_to_string(&column(name), row).unwrap();
            for row in 0..batch.num_rows() {
                let cells = ["asset", "mean", "reason", "revision"].map(|name| shown(name, row));
                lines.push(cells.join(" "));
            }
        }
        lines
    }

    #[test]
    fn a_correction_is_a_higher_revision() {
        assert_eq!(written(&[(1, 0, 5.0, 1), (1, 1, 6.0, 1)]), ["W1 5.0  28", "M1 6.0  28"]);
        assert_eq!(written(&[(1, 0, 5.0, -1), (1, 0, 5.5, 1), (2, 0, 1.0, 1)]), ["W1 5.5  29", "W1 1.0  28"]);
        assert_eq!(written(&[(1, 0, 5.5, 1), (1, 0, 5.0, -1)]), ["W1 5.5  29"]);
        assert_eq!(written(&[(1, 0, 5.0, -1)]), ["W1  removed 31"]);
        assert!(written(&[(1, 0, 5.0, 1), (1, 0, 5.0, -1)]).is_empty());
        assert_eq!(written(&[(1, 0, 5.0, -1), (1, 0, 6.0, 1), (1, 0, 6.0, -1), (1, 0, 7.0, 1)]), ["W1 7.0  29"]);
    }

    #[test]
    fn an_epoch_that_is_given_again_counts_once() {
        let mut pending = Pending::default();
        let batch = Batch::Samples(sample(1, 0, 1.0));
        pending.push(0, 1, &batch);
        pending.push(0, 2, &batch);
        let directory = directory();
        assert!(pending.take(3, &[], &directory).unwrap().is_empty());
        pending.push(0, 3, &batch);
        let batches = pending.take(3, &[], &directory).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        assert_eq!(batches[0].column_by_name("tag").unwrap().as_string::<i32>().value(0), "W1.THP");
    }
}
