//! Batches: samples as parallel Arrow buffers, rows as Arrow record batches.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt16Array, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::{Checks, Micros, Quality, TagId, Value, ValueKind, Values};

/// Metadata key of a field that names its unit: `psig`.
pub const UNIT: &str = "ducto.unit";

/// Metadata key of a field that says what its numbers stand for: `tag` and `asset` columns hold numbers of the
/// [`Directory`](crate::Directory) in flight and become names where rows leave the engine.
pub const ROLE: &str = "ducto.role";
/// Key of field metadata for the time by which the unit of each row's tag is divided.
const PER: &str = "ducto.per";

/// One packet of an edge.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    Samples(Samples),
    Rows(RecordBatch),
}

impl Batch {
    pub fn num_rows(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.len(),
            Self::Rows(rows) => rows.num_rows(),
        }
    }

    /// Bytes of buffer capacity that this batch keeps alive.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.bytes(),
            Self::Rows(rows) => rows.get_array_memory_size(),
        }
    }
}

/// The tags of a scan: row k of every batch with this layout is tag `tags[k]`. Buffers that the batches share.
#[derive(Debug, PartialEq)]
pub struct Layout {
    pub tags: ScalarBuffer<TagId>,
    /// 192 for every row.
    pub good: ScalarBuffer<u16>,
    /// No failed check for every row.
    pub unchecked: ScalarBuffer<u16>,
}

impl Layout {
    pub fn new(tags: Vec<TagId>) -> Arc<Self> {
        let rows = tags.len();
        Arc::new(Self {
            tags: tags.into(),
            good: vec![Quality::GOOD.0; rows].into(),
            unchecked: vec![Checks::default().0; rows].into(),
        })
    }
}

/// The times of a batch: one for all rows, as a scan gives them, or one each.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    One(Micros),
    Each(ScalarBuffer<Micros>),
}

/// A batch of samples of one kind of value. All buffers have one length.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Set where row k is tag k of a layout; then `tags` is the layout's own buffer.
    layout: Option<Arc<Layout>>,
    times: Times,
    tags: ScalarBuffer<TagId>,
    values: Values,
    quality: ScalarBuffer<u16>,
    checks: ScalarBuffer<u16>,
}

/// The columns of a batch that is not a scan, by name.
#[derive(Clone, Debug)]
pub struct SampleColumns {
    pub times: Times,
    pub tags: ScalarBuffer<TagId>,
    pub values: Values,
    pub quality: ScalarBuffer<u16>,
    pub checks: ScalarBuffer<u16>,
}

impl Samples {
    /// A batch with columns of its own.
    ///
    /// # Errors
    /// When the columns differ in length; the text names the lengths.
    pub fn new(columns: SampleColumns) -> Result<Self, String> {
        let SampleColumns { times, tags, values, quality, checks } = columns;
        let rows = tags.len();
        let time_rows = match &times {
            Times::One(_) => rows,
            Times::Each(times) => times.len(),
        };
        if [time_rows, values.len(), quality.len(), checks.len()].iter().any(|&len| len != rows) {
            return Err(format!(
                "columns of a batch differ in length: {rows} tags, {time_rows} times, {} values, {} qualities, {} checks",
                values.len(),
                quality.len(),
                checks.len()
            ));
        }
        Ok(Self { layout: None, times, tags, values, quality, checks })
    }

    /// The same rows as a scan of `layout`, whose tags they are.
    ///
    /// # Errors
    /// When the tags are not the layout's own buffer.
    pub fn with_layout(self, layout: &Arc<Layout>) -> Result<Self, String> {
        if !self.tags.ptr_eq(&layout.tags) {
            return Err("the rows of a scan are not those of its layout".to_owned());
        }
        Ok(Self { layout: Some(layout.clone()), ..self })
    }

    /// One scan: every tag of a layout at one time. `quality: None` is all Good.
    ///
    /// # Errors
    /// When `values` or `quality` have another length than the layout.
    pub fn scan(
        layout: &Arc<Layout>,
        time: Micros,
        values: Values,
        quality: Option<ScalarBuffer<u16>>,
    ) -> Result<Self, String> {
        let mut samples = Self::new(SampleColumns {
            times: Times::One(time),
            tags: layout.tags.clone(),
            values,
            quality: quality.unwrap_or_else(|| layout.good.clone()),
            checks: layout.unchecked.clone(),
        })?;
        samples.layout = Some(layout.clone());
        Ok(samples)
    }

    /// One sample.
    pub fn single(time: Micros, tag: TagId, value: &Value, kind: ValueKind, quality: Quality) -> Self {
        let values = match kind {
            ValueKind::Float64 => Values::Float64(std::iter::once(value.as_f64()).collect()),
            ValueKind::Int64 => Values::Int64(
                std::iter::once(match value {
                    Value::Int64(value) => Some(*value),
                    Value::Bool(value) => Some(i64::from(*value)),
                    _ => None,
                })
                .collect(),
            ),
            ValueKind::Bool => Values::Bool(
                std::iter::once(match value {
                    Value::Bool(value) => Some(*value),
                    Value::Int64(value) => Some(*value != 0),
                    _ => None,
                })
                .collect(),
            ),
            ValueKind::Text => Values::Text(
                std::iter::once(match value {
                    Value::Text(value) => Some(value.to_string()),
                    Value::Null => None,
                    other => Some(other.to_string()),
                })
                .collect(),
            ),
        };
        Self {
            layout: None,
            times: Times::One(time),
            tags: vec![tag].into(),
            values,
            quality: vec![quality.0].into(),
            checks: vec![0].into(),
        }
    }

    pub fn len(&self) -> usize {
        self.tags.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    pub fn times(&self) -> &Times {
        &self.times
    }

    #[inline]
    pub fn time(&self, row: usize) -> Micros {
        match &self.times {
            Times::One(time) => *time,
            Times::Each(times) => times[row],
        }
    }

    #[inline]
    pub fn tags(&self) -> &ScalarBuffer<TagId> {
        &self.tags
    }

    #[inline]
    pub fn values(&self) -> &Values {
        &self.values
    }

    #[inline]
    pub fn quality(&self) -> &ScalarBuffer<u16> {
        &self.quality
    }

    #[inline]
    pub fn checks(&self) -> &ScalarBuffer<u16> {
        &self.checks
    }

    pub fn kind(&self) -> ValueKind {
        self.values.kind()
    }

    /// The same samples with another quality and other checks.
    ///
    /// # Errors
    /// When the columns have another length than the batch.
    pub fn with_quality(&self, quality: ScalarBuffer<u16>, checks: ScalarBuffer<u16>) -> Result<Self, String> {
        if quality.len() != self.len() || checks.len() != self.len() {
            return Err(format!(
                "a batch of {} rows cannot take {} qualities and {} checks",
                self.len(),
                quality.len(),
                checks.len()
            ));
        }
        Ok(Self { quality, checks, ..self.clone() })
    }

    /// The samples of the given rows, in the order given. The result is no scan; see [`Samples::take_scan`].
    pub fn take(&self, rows: &UInt32Array) -> Result<Self, arrow::error::ArrowError> {
        let pick = |array: &dyn Array| compute::take(array, rows, None);
        let tags = pick(&UInt32Array::new(self.tags.clone(), None))?;
        self.taken(rows, tags_buffer(&tags), None)
    }

    /// As [`Samples::take`] for rows that make up another layout, which the result names.
    pub fn take_scan(&self, rows: &UInt32Array, layout: &Arc<Layout>) -> Result<Self, arrow::error::ArrowError> {
        self.taken(rows, layout.tags.clone(), Some(layout.clone()))
    }

    fn taken(
        &self,
        rows: &UInt32Array,
        tags: ScalarBuffer<TagId>,
        layout: Option<Arc<Layout>>,
    ) -> Result<Self, arrow::error::ArrowError> {
        let gather = |from: &ScalarBuffer<u16>| -> ScalarBuffer<u16> {
            rows.values().iter().map(|&row| from[row as usize]).collect::<Vec<_>>().into()
        };
        let values = compute::take(self.values.as_dyn(), rows, None)?;
        let values = Values::from_array(&values)
            .ok_or_else(|| arrow::error::ArrowError::ComputeError("take changed the kind of value".into()))?;
        Ok(Self {
            layout,
            times: match &self.times {
                Times::One(time) => Times::One(*time),
                Times::Each(times) => {
                    Times::Each(rows.values().iter().map(|&row| times[row as usize]).collect::<Vec<_>>().into())
                }
            },
            tags,
            values,
            quality: gather(&self.quality),
            checks: gather(&self.checks),
        })
    }

    /// Rows `offset..offset + length` without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            layout: None,
            times: match &self.times {
                Times::One(time) => Times::One(*time),
                Times::Each(times) => Times::Each(times.slice(offset, length)),
            },
            tags: self.tags.slice(offset, length),
            values: match &self.values {
                Values::Float64(values) => Values::Float64(values.slice(offset, length)),
                Values::Int64(values) => Values::Int64(values.slice(offset, length)),
                Values::Bool(values) => Values::Bool(values.slice(offset, length)),
                Values::Text(values) => Values::Text(values.slice(offset, length)),
            },
            quality: self.quality.slice(offset, length),
            checks: self.checks.slice(offset, length),
        }
    }

    /// As Arrow columns of [`samples_schema`]: time, tag (number), value, quality, checks. Only a scan's time is copied.
    pub fn record_batch(&self) -> RecordBatch {
        let times: ArrayRef = Arc::new(
            match &self.times {
                Times::One(time) => TimestampMicrosecondArray::from_value(*time, self.len()),
                Times::Each(times) => TimestampMicrosecondArray::new(times.clone(), None),
            }
            .with_timezone("UTC"),
        );
        let columns: Vec<ArrayRef> = vec![
            times,
            Arc::new(UInt32Array::new(self.tags.clone(), None)),
            self.values.array(),
            Arc::new(UInt16Array::new(self.quality.clone(), None)),
            Arc::new(UInt16Array::new(self.checks.clone(), None)),
        ];
        // The constructor of this type checked the lengths, and the schema is made for the kind of value.
        RecordBatch::try_new(samples_schema(self.kind()), columns)
            .unwrap_or_else(|_| RecordBatch::new_empty(samples_schema(self.kind())))
    }

    /// Bytes of buffer capacity that this batch keeps alive, shared buffers of a layout not counted.
    pub fn bytes(&self) -> usize {
        let times = match &self.times {
            Times::One(_) => 8,
            Times::Each(times) => times.inner().capacity(),
        };
        let tags = if self.layout.is_some() { 0 } else { self.tags.inner().capacity() };
        times
            + tags
            + self.values.as_dyn().get_buffer_memory_size()
            + self.quality.inner().capacity()
            + self.checks.inner().capacity()
    }
}

fn tags_buffer(array: &ArrayRef) -> ScalarBuffer<TagId> {
    array.as_any().downcast_ref::<UInt32Array>().map_or_else(|| Vec::new().into(), |tags| tags.values().clone())
}

impl PartialEq for Samples {
    /// Equal rows; how the times are stored and whether the batch is a scan do not matter.
    fn eq(&self, other: &Self) -> bool {
        self.tags == other.tags
            && self.values == other.values
            && self.quality == other.quality
            && self.checks == other.checks
            && (0..self.len()).all(|row| self.time(row) == other.time(row))
    }
}

/// The columns of samples as expressions, taps and sinks see them; `tag` is a number with role `tag`.
pub fn samples_schema(kind: ValueKind) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
        ValueKind::ALL.map(|kind| {
            Arc::new(Schema::new(vec![
                Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
                with_role(Field::new("tag", DataType::UInt32, false), "tag"),
                Field::new("value", kind.data_type(), true),
                Field::new("quality", DataType::UInt16, false),
                Field::new("checks", DataType::UInt16, false),
            ]))
        })
    });
    SCHEMAS[ValueKind::ALL.iter().position(|other| *other == kind).unwrap_or(0)].clone()
}

/// The field with its unit named in its metadata.
#[must_use]
pub fn with_unit(field: Field, unit: &str) -> Field {
    with_metadata(field, UNIT, unit)
}

/// The field with its role named in its metadata.
#[must_use]
pub fn with_role(field: Field, role: &str) -> Field {
    with_metadata(field, ROLE, role)
}

/// The field with the time named in its metadata by which the unit of each row's tag is divided: a slope per `min`.
#[must_use]
pub fn with_per(field: Field, time: &str) -> Field {
    with_metadata(field, PER, time)
}

pub fn per_of(field: &Field) -> Option<&str> {
    field.metadata().get(PER).map(String::as_str)
}

pub fn field_unit(field: &Field) -> Option<&str> {
    field.metadata().get(UNIT).map(String::as_str)
}

pub fn role_of(field: &Field) -> Option<&str> {
    field.metadata().get(ROLE).map(String::as_str)
}

fn with_metadata(field: Field, key: &str, value: &str) -> Field {
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    metadata.insert(key.to_owned(), value.to_owned());
    field.with_metadata(metadata)
}

/// What is known of a stream before anything runs.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamType {
    /// Samples of these kinds, each batch of one kind.
    Samples(Vec<ValueKind>),
    Rows(RowType),
}

/// A stream of rows: its columns, and which of them are the key.
///
/// Every row type has `time` (µs, UTC), `quality` (the worst that went in), `reason` (why a null is withheld) and
/// `diff` (+1, or −1 for a row that is taken back) beside its own columns.
#[derive(Clone, Debug, PartialEq)]
pub struct RowType {
    pub schema: SchemaRef,
    /// Names of the columns that, with `time`, say which row a correction replaces.
    pub key: Vec<String>,
}

impl RowType {
    /// Adds the columns that every row has around `own`: `time` first, `quality`, `reason`, `diff` last.
    pub fn new(own: Vec<Field>, key: &[&str]) -> Self {
        let mut fields =
            vec![Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)];
        fields.extend(own);
        fields.push(Field::new("quality", DataType::UInt16, false));
        fields.push(Field::new("reason", DataType::Utf8, true));
        fields.push(Field::new("diff", DataType::Int8, false));
        Self { schema: Arc::new(Schema::new(fields)), key: key.iter().map(|name| (*name).to_owned()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_and_its_rows_are_equal() {
        let layout = Layout::new(vec![0, 1, 2]);
        let values = Values::Float64(vec![1.0, 2.0, 3.0].into());
        let scan = Samples::scan(&layout, 5, values, None).unwrap();
        let rows = scan.take(&UInt32Array::from(vec![0, 1, 2])).unwrap();
        assert_eq!(scan, rows);
        assert_eq!(scan.record_batch().num_rows(), 3);
        assert_eq!(scan.slice(1, 2).tags()[0], 1);
        assert!(scan.bytes() < rows.bytes());
    }

    #[test]
    fn columns_of_different_length_are_refused() {
        let layout = Layout::new(vec![0, 1]);
        assert!(Samples::scan(&layout, 5, Values::Float64(vec![1.0].into()), None).is_err());
    }
}
