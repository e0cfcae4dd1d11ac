//! From batches in flight to the columns of files.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ducto_record::Batch;

use crate::dataset::DatasetSchema;
use crate::error::StorageError;
use crate::historian::Appended;

/// Refuses a batch that is not of the dataset's kind.
pub(crate) fn check(dataset: &str, schema: &DatasetSchema, batch: &Batch) -> Result<(), StorageError> {
    let found = match (schema, batch) {
        (DatasetSchema::Samples(kind), Batch::Samples(samples)) if samples.kind() == *kind => return Ok(()),
        (DatasetSchema::Rows(rows), Batch::Rows(batch)) => match different(rows.schema.as_ref(), &batch.schema()) {
            None => return Ok(()),
            Some(what) => what,
        },
        (_, Batch::Samples(samples)) => format!("{} samples", samples.kind()),
        (_, Batch::Rows(_)) => "rows".to_owned(),
    };
    Err(StorageError::Kind { dataset: dataset.to_owned(), expected: schema.takes(), found })
}

/// The first difference in names or types; metadata and nullability may differ.
fn different(expected: &arrow::datatypes::Schema, found: &arrow::datatypes::Schema) -> Option<String> {
    if expected.fields().len() != found.fields().len() {
        return Some(format!("rows of {} columns instead of {}", found.fields().len(), expected.fields().len()));
    }
    expected
        .fields()
        .iter()
        .zip(found.fields())
        .find(|(a, b)| a.name() != b.name() || a.data_type() != b.data_type())
        .map(|(a, b)| {
            format!("rows with `{}` as {} instead of `{}` as {}", b.name(), b.data_type(), a.name(), a.data_type())
        })
}

/// Batches in flight in the columns `columns` of the files.
pub(crate) fn batches(
    _dataset: &str,
    _schema: &DatasetSchema,
    _columns: &SchemaRef,
    _appended: &[Appended],
) -> Result<Vec<RecordBatch>, StorageError> {
    Ok(Vec::new())
}
