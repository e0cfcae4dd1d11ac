//! What poll groups of like devices have in common: where their tags stand, what they mean, how they are read.

use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use ducto_record::{Layout, Micros, Quality, Samples, ValueKind, Values};
use modbus::value::Value as Raw;
use modbus::{Holes, Item, Limits, Plan, Read, Reading, Response, ValueType};

use super::point::Point;

/// The tags of a group, without their numbers: a thousand wells of one template have one shape.
#[derive(Debug)]
pub(super) struct Shape {
    points: Vec<Point>,
    /// Of each point, the column and the row of its values.
    places: Vec<(usize, usize)>,
    pub(super) items: Vec<Item>,
    pub(super) limits: Limits,
    /// The plan as long as nothing is known to be missing in the device.
    pub(super) plan: Arc<Plan>,
    /// Of each column, its kind and which points are its rows.
    pub(super) columns: Vec<(ValueKind, Vec<usize>)>,
}

impl Shape {
    /// Points with the kind of value that their samples have.
    pub(super) fn new(points: Vec<(Point, ValueKind)>, limits: Limits) -> Self {
        let items: Vec<Item> = points.iter().map(|(point, _)| point.item).collect();
        let mut places = vec![(0, 0); points.len()];
        let mut columns = Vec::new();
        for kind in ValueKind::ALL {
            let rows: Vec<usize> = (0..points.len()).filter(|index| points[*index].1 == kind).collect();
            if rows.is_empty() {
                continue;
            }
            for (row, index) in rows.iter().enumerate() {
                places[*index] = (columns.len(), row);
            }
            columns.push((kind, rows));
        }
        Self {
            plan: Arc::new(Plan::new(&items, limits, &Holes::new())),
            points: points.into_iter().map(|(point, _)| point).collect(),
            places,
            items,
            limits,
            columns,
        }
    }
}

/// A scan while it is made: every tag's value, or why there is none.
#[derive(Debug)]
pub(super) struct Scan {
    shape: Arc<Shape>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    cells: Cells,
    /// 192 exactly where there is a value.
    quality: Vec<u16>,
}

#[derive(Debug)]
enum Cells {
    Float64(Vec<f64>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Scan {
    /// A scan in which nothing is read yet; a tag that is not read has this quality.
    pub(super) fn new(shape: &Arc<Shape>, unread: Quality) -> Self {
        let column = |(kind, rows): &(ValueKind, Vec<usize>)| Column {
            cells: match kind {
                ValueKind::Float64 => Cells::Float64(vec![0.0; rows.len()]),
                ValueKind::Int64 => Cells::Int64(vec![0; rows.len()]),
                ValueKind::Bool => Cells::Bool(vec![false; rows.len()]),
                ValueKind::Text => Cells::Text(vec![String::new(); rows.len()]),
            },
            quality: vec![unread.0; rows.len()],
        };
        Self { columns: shape.columns.iter().map(column).collect(), shape: shape.clone() }
    }

    /// Takes an answer in.
    pub(super) fn store(&mut self, read: &Read, response: &Response) {
        let shape = self.shape.clone();
        for &index in &read.items {
            let (Some(point), Some(item)) = (shape.points.get(index), shape.items.get(index)) else { continue };
            let range = read.slice(*item);
            let raw = if item.table.is_bits() {
                response.bits().get(range.start).map(|bit| Ok(Raw::Bool(*bit)))
            } else {
                response.registers().get(range).map(|registers| point.kind.decode(point.order, registers))
            };
            match raw {
                Some(Ok(raw)) => match point.conversion.apply(raw) {
                    Reading::Value(value) => self.put(index, value),
                    Reading::Sentinel(_) => self.fail_one(index, Quality::SENSOR_FAILURE),
                },
                // Digits that are none: the type or the order is not the device's.
                Some(Err(_)) => self.fail_one(index, Quality::CONFIG_ERROR),
                // The client has checked that an answer is as long as was asked.
                None => self.fail_one(index, Quality::BAD),
            }
        }
    }

    fn put(&mut self, index: usize, value: Raw) {
        let (column, row) = self.shape.places[index];
        let Column { cells, quality } = &mut self.columns[column];
        let held = match (cells, value) {
            (Cells::Float64(cells), Raw::Float(value)) => set(cells, row, Some(value)),
            (Cells::Float64(cells), Raw::Int(value)) => set(cells, row, Some(value as f64)),
            (Cells::Float64(cells), Raw::Uint(value)) => set(cells, row, Some(value as f64)),
            (Cells::Int64(cells), Raw::Int(value)) => set(cells, row, Some(value)),
            (Cells::Int64(cells), Raw::Uint(value)) => set(cells, row, i64::try_from(value).ok()),
            (Cells::Bool(cells), Raw::Bool(value)) => set(cells, row, Some(value)),
            (Cells::Text(cells), Raw::Text(value)) => set(cells, row, Some(value)),
            _ => false,
        };
        // A number that the kind of value cannot hold is no reading.
        quality[row] = if held { Quality::GOOD.0 } else { Quality::CONFIG_ERROR.0 };
    }

    fn fail_one(&mut self, index: usize, reason: Quality) {
        let Some((column, row)) = self.shape.places.get(index) else { return };
        self.columns[*column].quality[*row] = reason.0;
    }

    /// No values for these tags.
    pub(super) fn fail(&mut self, tags: impl IntoIterator<Item = usize>, quality: Quality) {
        tags.into_iter().for_each(|index| self.fail_one(index, quality));
    }

    /// The scan as batches of one time, one for each kind of value, with a row for each tag.
    pub(super) fn samples(self, layouts: &[Arc<Layout>], time: Micros) -> Vec<Samples> {
        let scans = self.columns.into_iter().zip(layouts).filter_map(|(Column { cells, quality }, layout)| {
            let good = quality.iter().all(|quality| *quality == Quality::GOOD.0);
            let present = || quality.iter().map(|quality| *quality == Quality::GOOD.0);
            let nulls = (!good).then(|| NullBuffer::from_iter(present()));
            let values = match cells {
                Cells::Float64(cells) => Values::Float64(Float64Array::new(cells.into(), nulls)),
                Cells::Int64(cells) => Values::Int64(Int64Array::new(cells.into(), nulls)),
                Cells::Bool(cells) => Values::Bool(BooleanArray::new(cells.into(), nulls)),
                Cells::Text(cells) => Values::Text(
                    cells
                        .into_iter()
                        .zip(present())
                        .map(|(cell, present)| present.then_some(cell))
                        .collect::<StringArray>(),
                ),
            };
            let quality = (!good).then(|| ScalarBuffer::from(quality));
            Samples::scan(layout, time, values, quality).ok()
        });
        scans.collect()
    }
}

fn set<T>(cells: &mut [T], row: usize, value: Option<T>) -> bool {
    match (cells.get_mut(row), value) {
        (Some(cell), Some(value)) => {
            *cell = value;
            true
        }
        _ => false,
    }
}

/// Whether a type's values fit a tag that declares this kind.
pub(super) fn fits(kind: ValueType, scaled_or_own: ValueKind, declared: ValueKind) -> bool {
    scaled_or_own == declared || (declared == ValueKind::Float64 && kind.is_number())
}
