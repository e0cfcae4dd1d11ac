//! The four kinds of value a sample can have.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use serde::{Deserialize, Serialize};

/// The kind of value of a tag and of every batch of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    #[default]
    Float64,
    Int64,
    Bool,
    Text,
}

impl ValueKind {
    pub const ALL: [Self; 4] = [Self::Float64, Self::Int64, Self::Bool, Self::Text];

    pub const fn data_type(self) -> DataType {
        match self {
            Self::Float64 => DataType::Float64,
            Self::Int64 => DataType::Int64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
        }
    }

    pub fn of(data_type: &DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.data_type() == *data_type)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value, for what happens rarely: table cells, alarm rows, expectations of tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Null,
    Bool(bool),
    Int64(i64),
    Float64(f64),
    Text(Arc<str>),
}

impl Value {
    /// As a number where it is one; `true` is 1.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int64(value) => Some(*value as f64),
            Self::Float64(value) => Some(*value),
            Self::Null | Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int64(value) => write!(f, "{value}"),
            Self::Float64(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// The values of a batch: one kind, null where a sample has no reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Float64(Float64Array),
    Int64(Int64Array),
    Bool(BooleanArray),
    Text(StringArray),
}

impl Values {
    pub fn from_array(array: &ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().clone()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => {
                // Counters of 64 bits unsigned: what does not fit becomes null, never a wrong number.
                let values = array.as_primitive::<UInt64Type>();
                Self::Int64(values.iter().map(|value| value.and_then(|value| i64::try_from(value).ok())).collect())
            }
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            _ => return None,
        })
    }

    pub fn array(&self) -> ArrayRef {
        match self {
            Self::Float64(values) => Arc::new(values.clone()),
            Self::Int64(values) => Arc::new(values.clone()),
            Self::Bool(values) => Arc::new(values.clone()),
            Self::Text(values) => Arc::new(values.clone()),
        }
    }

    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Float64(_) => ValueKind::Float64,
            Self::Int64(_) => ValueKind::Int64,
            Self::Bool(_) => ValueKind::Bool,
            Self::Text(_) => ValueKind::Text,
        }
    }

    pub fn len(&self) -> usize {
        self.as_dyn().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.as_dyn().nulls()
    }

    pub fn as_dyn(&self) -> &dyn Array {
        match self {
            Self::Float64(values) => values,
            Self::Int64(values) => values,
            Self::Bool(values) => values,
            Self::Text(values) => values,
        }
    }

    /// The value of a row; `Null` where there is no reading.
    pub fn get(&self, row: usize) -> Value {
        if self.as_dyn().is_null(row) {
            return Value::Null;
        }
        match self {
            Self::Float64(values) => Value::Float64(values.value(row)),
            Self::Int64(values) => Value::Int64(values.value(row)),
            Self::Bool(values) => Value::Bool(values.value(row)),
            Self::Text(values) => Value::Text(values.value(row).into()),
        }
    }

    /// The value of a row as a number; `None` for text and where there is no reading.
    #[inline]
    pub fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Float64(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Int64(values) => values.is_valid(row).then(|| values.value(row) as f64),
            Self::Bool(values) => values.is_valid(row).then(|| f64::from(u8::from(values.value(row)))),
            Self::Text(_) => None,
        }
    }
}
