//! Parquet files, the historian's own among them.

use std::fs::File;
use std::path::{Path, PathBuf};

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;

use super::cell::Raw;
use super::error::{Content, RecordingError};
use super::options::Options;
use super::rows::{Columns, Needs, Rows, Take};

const CHUNK: usize = 8_192;

pub(super) struct ParquetRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    names: Vec<String>,
    columns: Columns,
    /// Per column of the file, its place in the batches; `None` where it is not read.
    projected: Vec<Option<usize>>,
    row: u64,
}

/// A column of a batch in one of the few types that cells have.
enum Column {
    Integer(Int64Array),
    Unsigned(ArrayRef),
    Float(Float64Array),
    Bool(BooleanArray),
    Text(StringArray),
    Time { micros: Int64Array, local: bool },
    Nothing,
}

impl ParquetRows {
    pub(super) fn open(path: &Path, options: &Options, needs: Needs) -> Result<Self, RecordingError> {
        let unreadable = |error: &dyn std::fmt::Display| RecordingError::Parquet {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let file = File::open(path).map_err(|source| RecordingError::io(path, source))?;
        if let Some(found) = Content::not_parquet(&file) {
            return Err(RecordingError::Other { path: path.to_owned(), expected: "Parquet", found });
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(&error))?;
        let schema = builder.schema().clone();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = Columns::find(&names, path, options)?;
        let wanted = |index: usize| match (&columns, needs) {
            (Columns::Long { time, .. } | Columns::Wide { time }, Needs::Times) => index == *time,
            (Columns::Long { time, tag, .. }, Needs::Names) => index == *time || index == *tag,
            (Columns::Wide { time }, Needs::Names) => index == *time,
            (Columns::Long { time, tag, value, quality }, Needs::Everything) => {
                [*time, *tag, *value].contains(&index) || *quality == Some(index)
            }
            (Columns::Wide { .. }, Needs::Everything) => true,
        };
        let mut place = 0;
        let projected: Vec<Option<usize>> = (0..names.len())
            .map(|index| {
                let wanted = wanted(index);
                place += usize::from(wanted);
                wanted.then(|| place - 1)
            })
            .collect();
        for (index, field) in schema.fields().iter().enumerate().filter(|(index, _)| projected[*index].is_some()) {
            if canonical(field.data_type()).is_none() {
                return Err(RecordingError::ColumnType {
                    path: path.to_owned(),
                    column: names[index].clone(),
                    data_type: field.data_type().to_string(),
                    what: "numbers, texts or times",
                });
            }
        }
        let roots = (0..names.len()).filter(|index| projected[*index].is_some());
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader =
            builder.with_projection(mask).with_batch_size(CHUNK).build().map_err(|error| unreadable(&error))?;
        Ok(Self { path: path.to_owned(), reader, names, columns, projected, row: 0 })
    }

    fn columns_of(&self, batch: &RecordBatch) -> Result<Vec<Column>, ArrowError> {
        let column = |place: &Option<usize>| match place.and_then(|place| batch.columns().get(place)) {
            Some(array) => Column::new(array),
            None => Ok(Column::Nothing),
        };
        self.projected.iter().map(column).collect()
    }
}

impl Rows for ParquetRows {
    fn read(&mut self, take: &mut dyn Take) -> Result<bool, RecordingError> {
        let Some(batch) = self.reader.next() else { return Ok(false) };
        let columns = batch.and_then(|batch| Ok((batch.num_rows(), self.columns_of(&batch)?)));
        let (rows, columns) =
            columns.map_err(|error| RecordingError::Parquet { path: self.path.clone(), message: error.to_string() })?;
        for row in 0..rows {
            self.row += 1;
            self.columns.row(self.row, &self.names, |index| columns[index].cell(row), take);
        }
        Ok(true)
    }

    fn names(&self) -> Option<Vec<String>> {
        self.columns.tags(&self.names)
    }
}

/// The type that cells of a column are read in.
fn canonical(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match data_type {
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => Int64,
        UInt64 => UInt64,
        Float16 | Float32 | Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Float64,
        Boolean => Boolean,
        Utf8 | LargeUtf8 | Utf8View => Utf8,
        Dictionary(_, of) => canonical(of)?,
        Timestamp(_, zone) => Timestamp(TimeUnit::Microsecond, zone.clone()),
        Date32 | Date64 => Timestamp(TimeUnit::Microsecond, None),
        Null => Null,
        _ => return None,
    })
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let Some(to) = canonical(array.data_type()) else { return Ok(Self::Nothing) };
        let array = if *array.data_type() == to { array.clone() } else { cast(array, &to)? };
        Ok(match to {
            DataType::Int64 => Self::Integer(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Self::Unsigned(array),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().clone()),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Timestamp(_, zone) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let micros = Int64Array::new(times.values().clone(), times.nulls().cloned());
                Self::Time { micros, local: zone.is_none() }
            }
            _ => Self::Nothing,
        })
    }

    fn cell(&self, row: usize) -> Raw<'_> {
        match self {
            Self::Integer(values) if values.is_valid(row) => Raw::Integer(values.value(row)),
            Self::Unsigned(values) if values.is_valid(row) => {
                let value = values.as_primitive::<UInt64Type>().value(row);
                // What does not fit is kept as a float, which a tag of int64 then refuses.
                i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Integer)
            }
            Self::Float(values) if values.is_valid(row) => Raw::Float(values.value(row)),
            Self::Bool(values) if values.is_valid(row) => Raw::Bool(values.value(row)),
            Self::Text(values) if values.is_valid(row) => Raw::Text(values.value(row)),
            Self::Time { micros, local: false } if micros.is_valid(row) => Raw::Time(micros.value(row)),
            Self::Time { micros, local: true } if micros.is_valid(row) => Raw::Local(micros.value(row)),
            _ => Raw::Missing,
        }
    }
}
