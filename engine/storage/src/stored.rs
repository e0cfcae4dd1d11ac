//! From batches in flight to the columns of files: names for numbers, revisions for corrections.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int8Array, RecordBatch, StringArray, StringBuilder, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int8Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use ducto_record::{Batch, Directory, role_of};
use hashbrown::HashMap;

use crate::dataset::{Change, DatasetSchema, REMOVED, REVISION, revision};
use crate::error::StorageError;
use crate::historian::Appended;

/// Refuses a batch that is not of the dataset's kind, or whose tags are not of its directory.
pub(crate) fn check(
    dataset: &str,
    schema: &DatasetSchema,
    batch: &Batch,
    directory: &Directory,
) -> Result<(), StorageError> {
    let found = match (schema, batch) {
        (DatasetSchema::Samples(kind), Batch::Samples(samples)) if samples.kind() == *kind => {
            let greatest = samples.tags().iter().copied().max().unwrap_or(0);
            let tags = directory.tags().len();
            return if samples.is_empty() || (greatest as usize) < tags {
                Ok(())
            } else {
                Err(StorageError::Tag { dataset: dataset.to_owned(), tag: greatest, tags })
            };
        }
        (DatasetSchema::Rows(rows), Batch::Rows(batch)) => match different(&rows.schema, &batch.schema()) {
            None => return Ok(()),
            Some(what) => what,
        },
        (_, Batch::Samples(samples)) => format!("{} samples", samples.kind()),
        (_, Batch::Rows(_)) => "rows".to_owned(),
    };
    Err(StorageError::Kind { dataset: dataset.to_owned(), expected: schema.takes(), found })
}

/// The first difference in names or types; metadata and nullability may differ.
fn different(expected: &Schema, found: &Schema) -> Option<String> {
    if expected.fields().len() != found.fields().len() {
        return Some(format!("rows of {} columns instead of {}", found.fields().len(), expected.fields().len()));
    }
    let mut pairs = expected.fields().iter().zip(found.fields());
    pairs.find(|(a, b)| a.name() != b.name() || a.data_type() != b.data_type()).map(|(a, b)| {
        format!("rows with `{}` as {} instead of `{}` as {}", b.name(), b.data_type(), a.name(), a.data_type())
    })
}

/// Batches in flight in the columns `columns` of the files, in the order they came.
pub(crate) fn batches<'a>(
    dataset: &str,
    schema: &DatasetSchema,
    columns: &SchemaRef,
    appended: impl Iterator<Item = &'a Appended>,
) -> Result<Vec<RecordBatch>, StorageError> {
    let convert = || -> Result<Vec<RecordBatch>, ArrowError> {
        match schema {
            DatasetSchema::Samples(_) => appended.map(|appended| named(appended, columns)).collect(),
            DatasetSchema::Rows(rows) => {
                let (mut out, mut epoch, mut of_epoch) = (Vec::new(), 0, Vec::new());
                for appended in appended {
                    if appended.epoch != epoch {
                        revise(columns, &rows.key, epoch, std::mem::take(&mut of_epoch), &mut out)?;
                        epoch = appended.epoch;
                    }
                    let Batch::Rows(batch) = &appended.batch else { continue };
                    let diff = batch.column_by_name("diff").and_then(|diff| diff.as_primitive_opt::<Int8Type>());
                    let diff = diff.ok_or_else(|| ArrowError::SchemaError("rows without `diff`".to_owned()))?;
                    of_epoch.push((named(appended, columns)?, diff.clone()));
                }
                revise(columns, &rows.key, epoch, of_epoch, &mut out)?;
                Ok(out)
            }
        }
    };
    convert().map_err(|source| StorageError::Arrow { dataset: dataset.to_owned(), source })
}

/// A batch with names in place of numbers, its columns in the order of the files, each row as a new one.
fn named(appended: &Appended, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let batch = match &appended.batch {
        Batch::Samples(samples) => samples.record_batch(),
        Batch::Rows(rows) => rows.clone(),
    };
    let rows = batch.num_rows();
    let arrays = columns.fields().iter().map(|field| match batch.schema().column_with_name(field.name()) {
        Some((at, _)) => match (role_of(field), batch.column(at).as_primitive_opt::<UInt32Type>()) {
            (Some(role @ ("tag" | "asset")), Some(numbers)) => {
                Arc::new(names(numbers, role == "tag", &appended.directory)) as ArrayRef
            }
            _ => batch.column(at).clone(),
        },
        None if field.name() == REVISION => {
            Arc::new(UInt64Array::from_value(revision(appended.epoch, Change::Comes), rows))
        }
        None => new_null_array(field.data_type(), rows),
    });
    RecordBatch::try_new(columns.clone(), arrays.collect())
}

fn names(numbers: &UInt32Array, tags: bool, directory: &Directory) -> StringArray {
    let mut builder = StringBuilder::with_capacity(numbers.len(), numbers.len() * 12);
    for number in numbers {
        builder.append_option(
            number.map(|number| if tags { directory.tag_name(number) } else { directory.asset_name(number) }),
        );
    }
    builder.finish()
}

/// Turns the rows of one epoch, with their signs, into rows with revisions.
///
/// A +1 without a −1 is new. What is left of a key and time that was taken back is a correction: the last +1 that was
/// not taken back itself, or else a row of nulls with the reason `removed`.
fn revise(
    columns: &SchemaRef,
    key: &[String],
    epoch: u64,
    batches: Vec<(RecordBatch, Int8Array)>,
    out: &mut Vec<RecordBatch>,
) -> Result<(), ArrowError> {
    if batches.iter().all(|(_, diff)| diff.null_count() == 0 && diff.values().iter().all(|diff| *diff > 0)) {
        out.extend(batches.into_iter().map(|(batch, _)| batch));
        return Ok(());
    }
    let diffs: Vec<i8> = batches.iter().flat_map(|(_, diff)| diff.iter().map(Option::unwrap_or_default)).collect();
    let batch = concat_batches(columns, batches.iter().map(|(batch, _)| batch))?;
    let mut of_key: Vec<ArrayRef> = Vec::with_capacity(key.len() + 1);
    for name in key.iter().map(String::as_str).filter(|name| *name != "time").chain(["time"]) {
        let column = batch.column_by_name(name);
        of_key.push(column.ok_or_else(|| ArrowError::SchemaError(format!("rows without `{name}`")))?.clone());
    }
    let fields = of_key.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&of_key)?;

    #[derive(Default)]
    struct Versions {
        /// A row from before this epoch that was taken back.
        taken_back: Option<usize>,
        live: Vec<usize>,
    }
    let mut versions: HashMap<OwnedRow, Versions> = HashMap::new();
    for (row, diff) in diffs.iter().enumerate() {
        let of_row = versions.entry(rows.row(row).owned()).or_default();
        if *diff > 0 {
            of_row.live.push(row);
        } else if *diff < 0 && of_row.live.pop().is_none() {
            of_row.taken_back = Some(row);
        }
    }
    // Row, revision, removed; back in the order they came.
    let mut kept: Vec<(usize, u64, bool)> = Vec::with_capacity(batch.num_rows());
    for of_row in versions.into_values() {
        match (of_row.taken_back, of_row.live.as_slice()) {
            (Some(row), []) => kept.push((row, revision(epoch, Change::Removes), true)),
            (taken_back, live) => {
                let revision = revision(epoch, if taken_back.is_some() { Change::Replaces } else { Change::Comes });
                kept.extend(live.iter().map(|row| (*row, revision, false)));
            }
        }
    }
    kept.sort_unstable();
    let taken = take_record_batch(&batch, &kept.iter().map(|(row, ..)| *row as u32).collect::<UInt32Array>())?;
    let removed: BooleanArray = kept.iter().map(|(.., removed)| Some(*removed)).collect();
    let any_removed = removed.true_count() > 0;
    let arrays = columns.fields().iter().zip(taken.columns()).map(|(field, column)| {
        let always = field.name() == "time" || field.name() == "quality" || key.contains(field.name());
        Ok(match field.name().as_str() {
            REVISION => Arc::new(kept.iter().map(|(_, revision, _)| *revision).collect::<UInt64Array>()) as ArrayRef,
            "reason" if any_removed => {
                let reason = column.as_string::<i32>().iter().zip(&kept);
                Arc::new(
                    reason
                        .map(|(reason, (.., removed))| if *removed { Some(REMOVED) } else { reason })
                        .collect::<StringArray>(),
                )
            }
            _ if always || !any_removed => column.clone(),
            _ => arrow::compute::nullif(column, &removed)?,
        })
    });
    let arrays = arrays.collect::<Result<Vec<_>, ArrowError>>()?;
    out.push(RecordBatch::try_new(columns.clone(), arrays)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, TimestampMicrosecondArray, UInt16Array};
    use arrow::datatypes::{DataType, Field};
    use ducto_record::{RowType, Tag, ValueKind, with_role};

    fn row_type() -> RowType {
        let own = vec![
            with_role(Field::new("tag", DataType::UInt32, false), "tag"),
            Field::new("mean", DataType::Float64, false),
        ];
        RowType::new(own, &["tag"])
    }

    /// Tag, time, mean, diff.
    fn appended(epoch: u64, rows: &[(u32, i64, f64, i8)]) -> Appended {
        let mut builder = Directory::builder();
        for name in ["A.P", "B.P"] {
            builder.tag(Tag::named(name, ValueKind::Float64));
        }
        let batch = RecordBatch::try_new(
            row_type().schema,
            vec![
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC"),
                ),
                Arc::new(rows.iter().map(|row| row.0).collect::<UInt32Array>()),
                Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
                Arc::new(UInt16Array::from_value(192, rows.len())),
                new_null_array(&DataType::Utf8, rows.len()),
                Arc::new(rows.iter().map(|row| row.3).collect::<Int8Array>()),
            ],
        );
        Appended { epoch, batch: Batch::Rows(batch.unwrap()), directory: Arc::new(builder.build()) }
    }

    /// Tag, time, mean, reason, revision.
    type Row = (String, i64, Option<f64>, Option<String>, u64);

    fn stored(appended: &[Appended]) -> Vec<Row> {
        let schema = DatasetSchema::Rows(row_type());
        let batches = batches("minutes", &schema, &schema.stored(), appended.iter()).unwrap();
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let column = |name: &str| batch.column_by_name(name).unwrap().clone();
                let mean = column("mean");
                let mean = mean.as_primitive::<arrow::datatypes::Float64Type>();
                let reason = column("reason");
                let reason = reason.as_string::<i32>();
                rows.push((
                    column("tag").as_string::<i32>().value(row).to_owned(),
                    column("time").as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row),
                    mean.is_valid(row).then(|| mean.value(row)),
                    reason.is_valid(row).then(|| reason.value(row).to_owned()),
                    column("revision").as_primitive::<arrow::datatypes::UInt64Type>().value(row),
                ));
            }
        }
        rows
    }

    #[test]
    fn corrections_become_revisions() {
        let rows = stored(&[
            appended(3, &[(0, 60, 1.0, 1), (1, 60, 2.0, 1)]),
            // In one epoch, in two batches: corrected; corrected twice; removed; new and taken back again.
            appended(5, &[(0, 60, 1.0, -1), (1, 60, 2.0, -1), (0, 120, 7.0, 1), (1, 180, 9.0, 1)]),
            appended(5, &[(0, 60, 1.5, 1), (0, 60, 1.5, -1), (0, 60, 1.75, 1), (1, 180, 9.0, -1)]),
            appended(6, &[(1, 60, 2.0, 1)]),
        ]);
        let text = |text: &str| text.to_owned();
        assert_eq!(
            rows,
            [
                (text("A.P"), 60, Some(1.0), None, 12),
                (text("B.P"), 60, Some(2.0), None, 12),
                (text("B.P"), 60, None, Some(text("removed")), 23),
                (text("A.P"), 120, Some(7.0), None, 20),
                (text("A.P"), 60, Some(1.75), None, 21),
                // What was removed and comes again is above its removal.
                (text("B.P"), 60, Some(2.0), None, 24),
            ]
        );
    }

    #[test]
    fn rows_of_one_key_and_time_that_nothing_took_back_all_stay() {
        assert_eq!(stored(&[appended(1, &[(0, 60, 1.0, 1), (0, 60, 2.0, 1)])]).len(), 2);
        assert_eq!(stored(&[appended(1, &[(0, 60, 1.0, 1), (0, 60, 2.0, 1), (1, 5, 0.0, -1)])]).len(), 3);
    }

    #[test]
    fn another_schema_or_tag_is_refused() {
        let schema = DatasetSchema::Samples(ValueKind::Float64);
        let rows = appended(1, &[(0, 60, 1.0, 1)]);
        let error = check("history", &schema, &rows.batch, &rows.directory).unwrap_err();
        assert!(error.to_string().contains("takes float64 samples, not rows"), "{error}");
        let sample = ducto_record::Samples::single(
            0,
            2,
            &ducto_record::Value::Float64(1.0),
            ValueKind::Float64,
            ducto_record::Quality::GOOD,
        );
        let error = check("history", &schema, &Batch::Samples(sample), &rows.directory).unwrap_err();
        assert!(matches!(error, StorageError::Tag { tag: 2, tags: 2, .. }), "{error}");
    }
}
