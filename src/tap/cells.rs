//! The columns of a tap's rows as people read them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType, UInt16Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ducto_record::{Checks, Quality, field_unit};

use crate::table::number;
use crate::times::Zone;
use crate::words::Language;

/// A column of a batch, ready to be read cell by cell.
pub(crate) struct Column {
    pub(crate) name: String,
    /// Of the column, where all its values have one.
    pub(crate) unit: Option<String>,
    pub(crate) kind: Kind,
    values: ArrayRef,
}

/// What a column holds, from which its width and its place follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Time,
    Number,
    Quality,
    Checks,
    Text,
}

impl Column {
    /// The columns of a batch. Names of tags and assets, which come as numbers of a list of all, become texts.
    pub(crate) fn all(batch: &RecordBatch) -> Vec<Self> {
        let schema = batch.schema();
        let column = |(field, values): (&std::sync::Arc<arrow::datatypes::Field>, &ArrayRef)| {
            let (kind, values) = match (field.name().as_str(), values.data_type()) {
                ("quality", DataType::UInt16) => (Kind::Quality, values.clone()),
                ("checks", DataType::UInt16) => (Kind::Checks, values.clone()),
                (_, DataType::Timestamp(..)) => (Kind::Time, values.clone()),
                (_, DataType::Dictionary(..)) => {
                    (Kind::Text, cast(values, &DataType::Utf8).unwrap_or_else(|_| values.clone()))
                }
                (_, kind) if kind.is_numeric() => (Kind::Number, values.clone()),
                _ => (Kind::Text, values.clone()),
            };
            Self { name: field.name().clone(), unit: field_unit(field).map(str::to_owned), kind, values }
        };
        schema.fields().iter().zip(batch.columns()).map(column).collect()
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.values.is_null(row)
    }

    /// A time in microseconds.
    pub(crate) fn time(&self, row: usize) -> Option<i64> {
        let times = self.values.as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(row).then(|| times.value(row))
    }

    pub(crate) fn quality(&self, row: usize) -> Option<Quality> {
        let codes = self.values.as_primitive_opt::<UInt16Type>().filter(|_| self.kind == Kind::Quality)?;
        codes.is_valid(row).then(|| Quality(codes.value(row)))
    }

    pub(crate) fn checks(&self, row: usize) -> Option<Checks> {
        let bits = self.values.as_primitive_opt::<UInt16Type>().filter(|_| self.kind == Kind::Checks)?;
        bits.is_valid(row).then(|| Checks(bits.value(row)))
    }

    /// For people; `-` where there is nothing.
    pub(crate) fn text(&self, row: usize, zone: &Zone, language: Language) -> String {
        if self.is_null(row) {
            return "-".to_owned();
        }
        match self.kind {
            Kind::Time => self.time(row).map_or_else(|| self.plain(row), |time| zone.clock(time)),
            Kind::Quality => self.quality(row).map_or_else(String::new, |quality| language.quality(quality).to_owned()),
            Kind::Checks => self.checks(row).map_or_else(String::new, join),
            Kind::Number => match self.values.as_primitive_opt::<Float64Type>() {
                Some(values) => number(values.value(row)),
                None => self.plain(row),
            },
            Kind::Text => self.plain(row),
        }
    }

    /// For programs; empty where there is nothing.
    pub(crate) fn plain(&self, row: usize) -> String {
        let options = FormatOptions::default().with_null("");
        let formatter = ArrayFormatter::try_new(self.values.as_ref(), &options);
        formatter.map(|formatter| formatter.value(row).to_string()).unwrap_or_default()
    }
}

/// `spike, frozen`.
pub(crate) fn join(checks: Checks) -> String {
    checks.names().collect::<Vec<_>>().join(", ")
}
