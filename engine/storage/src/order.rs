//! The order of rows in files, and merging files that have it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use ducto_record::role_of;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::dataset::REVISION;
use crate::error::{FileError, StorageError};

/// Rows that one file of a merge holds in memory.
const BATCH: usize = 8192;

/// The columns by which files are sorted: names of tags and assets, the rest of the key, time, revision.
pub(crate) struct Order {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Order {
    pub(crate) fn new(schema: &Schema, key: &[String]) -> Result<Self, ArrowError> {
        let named = |name: &String| schema.field_with_name(name).is_ok_and(|field| role_of(field).is_some());
        let (names, others): (Vec<_>, Vec<_>) = key.iter().filter(|name| *name != "time").partition(|name| named(name));
        let names = names.into_iter().chain(others).map(String::as_str).chain(["time"]);
        let mut columns = names.map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        columns.extend(schema.index_of(REVISION));
        let fields = columns.iter().map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { columns, converter })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|at| batch.column(*at).clone()).collect();
        self.converter.convert_columns(&columns)
    }

    /// The rows of a batch in order; equal ones stay as they came.
    pub(crate) fn sort(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows(batch)?;
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
        take_record_batch(batch, &UInt32Array::from(order))
    }
}

/// A file of a merge and where it stands.
struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    rows: Rows,
    at: usize,
}

/// The rows of sorted files in one order, in slices as long as they can be. No row is dropped.
pub(crate) struct Merge {
    schema: SchemaRef,
    order: Order,
    cursors: Vec<Option<Cursor>>,
    /// The next row of each file; of equal rows the earlier file's comes first.
    heap: BinaryHeap<Reverse<(OwnedRow, usize)>>,
    dataset: String,
}

impl Merge {
    pub(crate) fn open(
        dataset: &str,
        paths: &[PathBuf],
        schema: &SchemaRef,
        key: &[String],
    ) -> Result<Self, StorageError> {
        let arrow = |source| StorageError::Arrow { dataset: dataset.to_owned(), source };
        let mut merge = Self {
            schema: schema.clone(),
            order: Order::new(schema, key).map_err(arrow)?,
            cursors: Vec::new(),
            heap: BinaryHeap::new(),
            dataset: dataset.to_owned(),
        };
        for path in paths {
            let file = File::open(path).map_err(|error| FileError::new("open", path, error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(|builder| builder.with_batch_size(BATCH).build())
                .map_err(|source| StorageError::Decode { path: path.clone(), source })?;
            let empty = RecordBatch::new_empty(schema.clone());
            let rows = merge.order.rows(&empty).map_err(arrow)?;
            let cursor = Cursor { path: path.clone(), reader, batch: empty, rows, at: 0 };
            merge.cursors.push(Some(cursor));
            merge.queue(merge.cursors.len() - 1)?;
        }
        Ok(merge)
    }

    /// Puts a file's next row into the heap, reading on where its batch is used up.
    fn queue(&mut self, index: usize) -> Result<(), StorageError> {
        let Some(cursor) = &mut self.cursors[index] else { return Ok(()) };
        while cursor.at == cursor.batch.num_rows() {
            let Some(batch) = cursor.reader.next() else {
                self.cursors[index] = None;
                return Ok(());
            };
            let decode = |source: ArrowError| StorageError::Decode { path: cursor.path.clone(), source: source.into() };
            cursor.batch = adapt(&batch.map_err(decode)?, &self.schema).map_err(decode)?;
            cursor.rows = self.order.rows(&cursor.batch).map_err(decode)?;
            cursor.at = 0;
        }
        self.heap.push(Reverse((cursor.rows.row(cursor.at).owned(), index)));
        Ok(())
    }

    /// The next rows; `None` when all files are read.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, StorageError> {
        let Some(Reverse((_, index))) = self.heap.pop() else { return Ok(None) };
        let Some(cursor) = &mut self.cursors[index] else {
            return Err(StorageError::Stopped { dataset: self.dataset.clone() });
        };
        let (start, end) = (cursor.at, cursor.batch.num_rows());
        let to = match self.heap.peek() {
            None => end,
            Some(Reverse((other, other_index))) => {
                // Rows before the other file's next one: this row at least. Steps double, then halve.
                let before = |row: usize| match cursor.rows.row(row).cmp(&other.row()) {
                    std::cmp::Ordering::Equal => index < *other_index,
                    ordering => ordering.is_lt(),
                };
                let (mut low, mut step) = (start + 1, 1);
                while low + step < end && before(low + step - 1) {
                    low += step;
                    step *= 2;
                }
                let mut high = (low + step).min(end);
                while low < high {
                    let middle = low.midpoint(high);
                    if before(middle) { low = middle + 1 } else { high = middle }
                }
                low
            }
        };
        let slice = cursor.batch.slice(start, to - start);
        cursor.at = to;
        self.queue(index)?;
        Ok(Some(slice))
    }
}

/// A batch in the columns of `schema`: by name, null where a file from before a column was added has none.
pub(crate) fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}
