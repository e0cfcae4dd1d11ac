//! Rows of a port in the form in which expectations are written.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use ducto_graph::scenario::ExpectedRow;
use ducto_record::{Batch, Checks, Directory, Epoch, Micros, Value, role_of};

use crate::taps::Tapped;

/// A value of a row; instants are compared as such.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Value(Value),
    Instant(Micros),
    /// Failed checks: written as a number, or as names.
    Checks(u16),
}

/// One row that left a port.
#[derive(Clone, Debug)]
pub struct Row {
    epoch: Epoch,
    time: Micros,
    key: Vec<String>,
    /// Column and value, in the order of the schema.
    pub cells: Vec<(String, Cell)>,
}

impl Row {
    /// By epoch, time and key; what is equal in these keeps its order.
    pub(super) fn order(a: &Self, b: &Self) -> Ordering {
        (a.epoch, a.time, &a.key).cmp(&(b.epoch, b.time, &b.key))
    }

    /// As an expectation writes it: `{time: 6s, tag: W.THP, event: raised}`, nulls left out.
    pub fn text(&self, start: Micros) -> String {
        let cells: Vec<String> = self
            .cells
            .iter()
            .filter(|(_, cell)| *cell != Cell::Value(Value::Null))
            .map(|(name, cell)| format!("{name}: {}", cell.text(start)))
            .collect();
        format!("{{{}}}", cells.join(", "))
    }
}

impl Cell {
    /// As an expectation writes it.
    pub fn value(&self, start: Micros) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Instant(time) => ducto_graph::scenario::update::time(*time, start),
            Self::Checks(checks) => Value::Int64(i64::from(*checks)),
        }
    }

    fn text(&self, start: Micros) -> String {
        match self {
            Self::Checks(checks) if *checks != 0 => Checks(*checks).names().collect::<Vec<_>>().join(" "),
            _ => self.value(start).to_string(),
        }
    }

    fn matches(&self, expected: &ducto_graph::scenario::Expected, start: Micros) -> bool {
        match self {
            Self::Instant(time) => expected.time(start) == Some(*time),
            Self::Checks(checks) => match expected.value() {
                Some(Value::Int64(mask)) => i64::from(*checks) == mask,
                Some(Value::Text(names)) => {
                    let mut named: Vec<&str> = names.split([' ', ',']).filter(|name| !name.is_empty()).collect();
                    let mut failed: Vec<&str> = Checks(*checks).names().collect();
                    named.sort_unstable();
                    failed.sort_unstable();
                    named == failed
                }
                _ => false,
            },
            Self::Value(value) => expected.value().is_some_and(|expected| equal(value, &expected)),
        }
    }
}

/// Numbers are equal to nine digits: expectations are written in decimals.
fn equal(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Null, Value::Null) => true,
        (Value::Bool(_) | Value::Null | Value::Text(_), _) | (_, Value::Bool(_) | Value::Null | Value::Text(_)) => {
            false
        }
        (a, b) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => false,
        },
    }
}

/// The rows of a batch.
pub(super) fn of(tapped: &Tapped, key: &[String], directory: &Directory) -> Result<Vec<Row>, String> {
    let batch = match &tapped.batch {
        Batch::Samples(samples) => samples.record_batch(),
        Batch::Rows(rows) => rows.clone(),
    };
    let schema = batch.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| Ok((field.name().clone(), cells(field, column, directory)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let rows = (0..batch.num_rows()).map(|index| {
        let cells: Vec<(String, Cell)> =
            columns.iter().map(|(name, cells)| (name.clone(), cells[index].clone())).collect();
        let time = cells
            .iter()
            .find_map(|(name, cell)| match cell {
                Cell::Instant(time) if name == "time" => Some(*time),
                _ => None,
            })
            .unwrap_or(tapped.stamp);
        let key = key
            .iter()
            .map(|wanted| {
                cells.iter().find(|(name, _)| name == wanted).map(|(_, cell)| cell.text(0)).unwrap_or_default()
            })
            .collect();
        Row { epoch: tapped.epoch, time, key, cells }
    });
    Ok(rows.collect())
}

fn cells(field: &Field, column: &ArrayRef, directory: &Directory) -> Result<Vec<Cell>, String> {
    let rows = 0..column.len();
    let wrong = || format!("the column `{}` is of type {}", field.name(), column.data_type());
    let value = |row: usize, value: &dyn Fn(usize) -> Value| {
        Cell::Value(if column.is_null(row) { Value::Null } else { value(row) })
    };
    let names = |name: &dyn Fn(u32) -> String| -> Result<Vec<Cell>, String> {
        let ids = column.as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?;
        Ok(rows.clone().map(|row| value(row, &|row| Value::Text(name(ids.value(row)).into()))).collect())
    };
    match role_of(field) {
        Some("tag") => return names(&|id| directory.tag_name(id).to_owned()),
        Some("asset") => return names(&|id| directory.asset_name(id).to_owned()),
        _ => {}
    }
    let cast_to = |to: &DataType| cast(column, to).map_err(|error| error.to_string());
    Ok(match column.data_type() {
        DataType::Timestamp(_, _) => {
            let times = cast_to(&DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?;
            let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.clone();
            rows.map(|row| if times.is_null(row) { Cell::Value(Value::Null) } else { Cell::Instant(times.value(row)) })
                .collect()
        }
        DataType::UInt16 if field.name() == "checks" => {
            let numbers = cast_to(&DataType::Int64)?;
            let numbers = numbers.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.clone();
            rows.map(|row| Cell::Checks(u16::try_from(numbers.value(row)).unwrap_or_default())).collect()
        }
        DataType::Boolean => {
            let flags = column.as_boolean_opt().ok_or_else(wrong)?;
            rows.map(|row| value(row, &|row| Value::Bool(flags.value(row)))).collect()
        }
        data_type if data_type.is_floating() => {
            let numbers = cast_to(&DataType::Float64)?;
            let numbers = numbers.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.clone();
            rows.map(|row| value(row, &|row| Value::Float64(numbers.value(row)))).collect()
        }
        data_type if data_type.is_integer() => {
            let numbers = cast_to(&DataType::Int64)?;
            let numbers = numbers.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.clone();
            rows.map(|row| value(row, &|row| Value::Int64(numbers.value(row)))).collect()
        }
        _ => {
            let texts = cast_to(&DataType::Utf8)?;
            let texts = texts.as_string_opt::<i32>().ok_or_else(wrong)?.clone();
            rows.map(|row| value(row, &|row| Value::Text(texts.value(row).into()))).collect()
        }
    })
}

/// One line a difference between the expected rows and those that came, in order.
pub(super) fn differences(expected: &[ExpectedRow], found: &[Row], start: Micros, exact: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, row) in expected.iter().enumerate() {
        let Some(came) = found.get(number) else {
            lines.push(format!("row {}: expected, and nothing came", number + 1));
            continue;
        };
        for (column, wanted) in &row.columns {
            match came.cells.iter().find(|(name, _)| *name == column.value) {
                Some((_, cell)) if cell.matches(wanted, start) => {}
                Some((_, cell)) => lines.push(format!(
                    "row {}: `{}` is {}, expected {}",
                    number + 1,
                    column.value,
                    cell.text(start),
                    wanted.node.written
                )),
                None => lines.push(format!("row {}: there is no column `{}`", number + 1, column.value)),
            }
        }
        if exact {
            for (name, cell) in &came.cells {
                let named = row.columns.iter().any(|(column, _)| column.value == *name);
                if !named && *cell != Cell::Value(Value::Null) {
                    lines.push(format!("row {}: `{name}` is {}, and is not expected", number + 1, cell.text(start)));
                }
            }
        }
    }
    for (number, row) in found.iter().enumerate().skip(expected.len()) {
        lines.push(format!("row {}: not expected: {}", number + 1, row.text(start)));
    }
    lines
}
