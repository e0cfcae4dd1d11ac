//! Rows of windows, column by column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int8Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, UInt16Builder, UInt32Builder,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use ducto_record::{Micros, Quality, TagId};

use super::sums::Sums;
use super::weights::Weight;
use super::{Output, Settings};
use crate::slots::Slot;

/// A row that was given, kept until it may have to be taken back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    values: Vec<Option<f64>>,
    quality: Quality,
    low: bool,
}

impl Row {
    pub(super) fn of(sums: &Sums, slot: Slot, weight: &Weight, settings: &Settings) -> Option<Self> {
        if !sums.has_row(slot) {
            return None;
        }
        let value = |output: &Output| sums.value(*output, slot, weight, settings.total_per);
        let (quality, low) = quality(sums, slot, weight, settings);
        Some(Self { values: settings.outputs.iter().map(value).collect(), quality, low })
    }
}

/// The quality of a row, and whether too little of its window was good.
fn quality(sums: &Sums, slot: Slot, weight: &Weight, settings: &Settings) -> (Quality, bool) {
    let worst = sums.quality_of(slot);
    let low = settings.threshold.is_some_and(|threshold| {
        sums.value(Output::PercentGood, slot, weight, settings.total_per).is_none_or(|percent| percent < threshold)
    });
    (if low { worst.worst(Quality::UNCERTAIN) } else { worst }, low)
}

enum Column {
    Float(Float64Builder),
    Int(Int64Builder),
    Time(TimestampMicrosecondBuilder),
    Quality(UInt16Builder),
}

impl Column {
    fn push(&mut self, value: Option<f64>) {
        match self {
            Self::Float(column) => column.append_option(value),
            Self::Int(column) => column.append_option(value.map(|value| value as i64)),
            Self::Time(column) => column.append_option(value.map(|value| value as i64)),
            Self::Quality(column) => column.append_option(value.map(|value| value as u16)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Float(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish().with_timezone("UTC")),
            Self::Quality(column) => Arc::new(column.finish()),
        }
    }
}

/// Collects rows.
pub(super) struct Rows<'a> {
    settings: &'a Settings,
    time: TimestampMicrosecondBuilder,
    tag: UInt32Builder,
    day: Date32Builder,
    columns: Vec<Column>,
    quality: UInt16Builder,
    reason: StringBuilder,
    diff: Int8Builder,
    low: String,
    /// The window of the rows before, and its day.
    named: Option<(Micros, Option<i32>)>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(settings: &'a Settings, rows: usize) -> Self {
        let columns = settings
            .outputs
            .iter()
            .map(|output| match output.data_type() {
                DataType::Int64 => Column::Int(Int64Builder::with_capacity(rows)),
                DataType::Timestamp(..) => Column::Time(TimestampMicrosecondBuilder::with_capacity(rows)),
                DataType::UInt16 => Column::Quality(UInt16Builder::with_capacity(rows)),
                _ => Column::Float(Float64Builder::with_capacity(rows)),
            })
            .collect();
        Self {
            settings,
            time: TimestampMicrosecondBuilder::with_capacity(rows),
            tag: UInt32Builder::with_capacity(rows),
            day: Date32Builder::new(),
            columns,
            quality: UInt16Builder::with_capacity(rows),
            reason: StringBuilder::new(),
            diff: Int8Builder::with_capacity(rows),
            low: match settings.threshold {
                Some(threshold) => format!("less than {threshold} % of the window is good"),
                None => String::new(),
            },
            named: None,
        }
    }

    pub(super) fn push(&mut self, sums: &Sums, slot: Slot, weight: &Weight, tag: TagId) {
        for (output, column) in self.settings.outputs.iter().zip(&mut self.columns) {
            column.push(sums.value(*output, slot, weight, self.settings.total_per));
        }
        let (worst, low) = quality(sums, slot, weight, self.settings);
        self.frame(sums, tag, worst, low, 1);
    }

    pub(super) fn push_row(&mut self, sums: &Sums, tag: TagId, row: &Row, diff: i8) {
        for (value, column) in row.values.iter().zip(&mut self.columns) {
            column.push(*value);
        }
        self.frame(sums, tag, row.quality, row.low, diff);
    }

    fn frame(&mut self, sums: &Sums, tag: TagId, quality: Quality, low: bool, diff: i8) {
        self.time.append_value(sums.start);
        self.tag.append_value(tag);
        if self.settings.has_day {
            let day = match self.named {
                Some((start, day)) if start == sums.start => day,
                _ => self.settings.calendar.day(sums.window(), self.settings.named_by),
            };
            self.named = Some((sums.start, day));
            self.day.append_option(day);
        }
        self.quality.append_value(quality.0);
        self.reason.append_option(low.then_some(&self.low));
        self.diff.append_value(diff);
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.time.finish().with_timezone("UTC")), Arc::new(self.tag.finish())];
        if self.settings.has_day {
            columns.push(Arc::new(self.day.finish()));
        }
        columns.extend(self.columns.iter_mut().map(Column::finish));
        columns.push(Arc::new(self.quality.finish()));
        columns.push(Arc::new(self.reason.finish()));
        columns.push(Arc::new(self.diff.finish()));
        RecordBatch::try_new(self.settings.row.schema.clone(), columns)
    }
}
