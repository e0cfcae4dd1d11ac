//! Alarm events as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use ducto_record::{Micros, Quality, RowType, with_role};
use ducto_runtime::VIEW;

use super::machine::{Event, State};

/// What the alarms of a node are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Tag,
    Asset,
}

impl Key {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Asset => "asset",
        }
    }
}

/// One transition.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    pub(super) time: Micros,
    pub(super) key: u32,
    pub(super) alarm: Arc<str>,
    pub(super) occurrence: i64,
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) value: Option<f64>,
    pub(super) limit: Option<f64>,
    /// Of value and limit.
    pub(super) unit: Option<Arc<str>>,
    pub(super) quality: Quality,
    pub(super) class: Arc<str>,
    pub(super) user: Option<Arc<str>>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) first: Option<bool>,
}

/// The rows that the main port gives; the newest of each alarm make up the view `alarms`.
pub(super) fn row_type(key: Key) -> RowType {
    let own = vec![
        with_role(Field::new(key.name(), DataType::UInt32, false), key.name()),
        Field::new("alarm", DataType::Utf8, false),
        Field::new("occurrence", DataType::Int64, false),
        Field::new("event", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("limit", DataType::Float64, true),
        Field::new("unit", DataType::Utf8, true),
        Field::new("class", DataType::Utf8, false),
        Field::new("user", DataType::Utf8, true),
        Field::new("first", DataType::Boolean, true),
    ];
    let RowType { schema, key } = RowType::new(own, &[key.name(), "alarm"]);
    let metadata = [(VIEW.to_owned(), "alarms".to_owned())].into();
    RowType { schema: Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata)), key }
}

/// A batch of [`row_type`].
pub(super) fn batch(row_type: &RowType, rows: &[EventRow]) -> Result<RecordBatch, ArrowError> {
    let text =
        |of: &dyn Fn(&EventRow) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time)).with_timezone("UTC")),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.key))),
        text(&|row| Some(&row.alarm)),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.occurrence))),
        text(&|row| Some(row.event.name())),
        text(&|row| Some(row.state.letter())),
        Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.limit).collect::<Float64Array>()),
        text(&|row| row.unit.as_deref()),
        text(&|row| Some(&row.class)),
        text(&|row| row.user.as_deref()),
        Arc::new(rows.iter().map(|row| row.first).collect::<BooleanArray>()),
        Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.quality.0))),
        text(&|row| row.reason.as_deref()),
        Arc::new(Int8Array::from_value(1, rows.len())),
    ];
    RecordBatch::try_new(row_type.schema.clone(), columns)
}
