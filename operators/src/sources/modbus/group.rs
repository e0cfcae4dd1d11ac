//! A poll group: the tags of one unit that are read together, as often, and become scans with one time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::ScalarBuffer;
use ducto_record::{Layout, Micros, Quality, Samples, TagId, ValueKind, Values};
use modbus::value::Value as Raw;
use modbus::{Exception, Holes, Item, Limits, Plan, Read, Reading, Response, ValueType};

use super::point::Point;

/// A tag to be read.
#[derive(Clone, Debug)]
pub(super) struct PolledTag {
    pub(super) tag: TagId,
    /// Of its samples.
    pub(super) kind: ValueKind,
    pub(super) point: Point,
}

/// How long a range that the device refused is left alone before it is tried again.
const FORGET: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Group {
    /// Index of the unit.
    pub(super) unit: usize,
    pub(super) period: Duration,
    pub(super) due: Instant,
    tags: Vec<PolledTag>,
    items: Vec<Item>,
    limits: Limits,
    holes: Holes,
    learned: Option<Instant>,
    plan: Plan,
    columns: Vec<Column>,
    /// What the scan under way has read, by tag.
    readings: Vec<(Option<Raw>, Quality)>,
}

/// The tags of one kind of value, which make up one batch.
#[derive(Debug)]
struct Column {
    kind: ValueKind,
    layout: Arc<Layout>,
    /// Indices into `tags`.
    rows: Vec<usize>,
}

impl Group {
    pub(super) fn new(unit: usize, period: Duration, tags: Vec<PolledTag>, limits: Limits, due: Instant) -> Self {
        let items: Vec<Item> = tags.iter().map(|tag| tag.point.item).collect();
        let columns = ValueKind::ALL
            .into_iter()
            .map(|kind| {
                let rows: Vec<usize> = (0..tags.len()).filter(|index| tags[*index].kind == kind).collect();
                Column { kind, layout: Layout::new(rows.iter().map(|row| tags[*row].tag).collect()), rows }
            })
            .filter(|column| !column.rows.is_empty())
            .collect();
        let holes = Holes::new();
        Self {
            unit,
            period,
            due,
            plan: Plan::new(&items, limits, &holes),
            readings: vec![(None, Quality::WAITING); tags.len()],
            tags,
            items,
            limits,
            holes,
            learned: None,
            columns,
        }
    }

    /// The plan, for the log.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Begins a scan: nothing has been read, and a tag that is not read has this quality.
    pub(super) fn begin(&mut self, unread: Quality) {
        self.readings.fill((None, unread));
    }

    /// Begins a scan with requests: the reads to send. Tags that no request reads are a mistake of the configuration.
    pub(super) fn begin_reading(&mut self, now: Instant) -> Vec<Read> {
        if self.learned.is_some_and(|learned| now.duration_since(learned) >= FORGET) {
            self.holes = Holes::new();
            self.learned = None;
            self.replan();
        }
        self.begin(Quality::COMM_FAILURE);
        for (index, _) in &self.plan.refused {
            self.readings[*index].1 = Quality::CONFIG_ERROR;
        }
        self.plan.reads.clone()
    }

    fn replan(&mut self) {
        self.plan = Plan::new(&self.items, self.limits, &self.holes);
    }

    /// Takes an answer in.
    pub(super) fn store(&mut self, read: &Read, response: &Response) {
        for index in &read.items {
            let (Some(tag), Some(item)) = (self.tags.get(*index), self.items.get(*index)) else { continue };
            let range = read.slice(*item);
            let point = &tag.point;
            let raw = match item.table.is_bits() {
                true => response.bits().get(range.start).map(|bit| Ok(Raw::Bool(*bit))),
                false => response.registers().get(range).map(|registers| point.kind.decode(point.order, registers)),
            };
            self.readings[*index] = match raw {
                Some(Ok(raw)) => match point.conversion.apply(raw) {
                    Reading::Value(value) => (Some(value), Quality::GOOD),
                    Reading::Sentinel(_) => (None, Quality::SENSOR_FAILURE),
                },
                // Digits that are none: the type or the order is not the device's.
                Some(Err(_)) => (None, Quality::CONFIG_ERROR),
                // The client has checked that an answer is as long as was asked.
                None => (None, Quality::BAD),
            };
        }
    }

    /// No values for the tags of a read.
    pub(super) fn fail(&mut self, read: &Read, quality: Quality) {
        for index in &read.items {
            self.readings[*index] = (None, quality);
        }
    }

    /// Exception 2: the halves to read instead, or none when one tag alone was refused, whose place is then left out.
    pub(super) fn refused(&mut self, read: &Read, now: Instant) -> Vec<Read> {
        match read.bisect(&self.items) {
            Some((left, right)) => {
                // Whatever lies between the halves is not asked for, and may be what the device does not have.
                let (end, start) = (left.range.offset + left.range.count, right.range.offset);
                if start > end {
                    self.learn(Item { table: read.range.table, offset: end, count: start - end }, now);
                }
                vec![right, left]
            }
            None => {
                self.fail(read, Quality::CONFIG_ERROR);
                self.learn(read.range, now);
                Vec::new()
            }
        }
    }

    fn learn(&mut self, hole: Item, now: Instant) {
        self.holes.insert(hole);
        self.learned.get_or_insert(now);
        self.replan();
    }

    /// What was read as scans with one time, a batch per kind of value, with a row for each tag.
    pub(super) fn samples(&mut self, time: Micros) -> Vec<Samples> {
        let Self { columns, readings, .. } = self;
        let scans = columns.iter().filter_map(|column| {
            let mut quality: Vec<u16> = column.rows.iter().map(|row| readings[*row].1.0).collect();
            let mut take = |row: usize| readings[row].0.take();
            let rows = column.rows.iter().copied();
            let values = match column.kind {
                ValueKind::Float64 => {
                    Values::Float64(rows.map(|row| take(row).and_then(float)).collect::<Float64Array>())
                }
                ValueKind::Int64 => Values::Int64(rows.map(|row| take(row).and_then(integer)).collect::<Int64Array>()),
                ValueKind::Bool => Values::Bool(rows.map(|row| take(row).and_then(flag)).collect::<BooleanArray>()),
                ValueKind::Text => Values::Text(rows.map(|row| take(row).and_then(text)).collect::<StringArray>()),
            };
            for (row, quality) in quality.iter_mut().enumerate() {
                // A number that the kind of value cannot hold is no reading.
                if *quality == Quality::GOOD.0 && values.as_dyn().is_null(row) {
                    *quality = Quality::CONFIG_ERROR.0;
                }
            }
            let good = quality.iter().all(|quality| *quality == Quality::GOOD.0);
            let quality = (!good).then(|| ScalarBuffer::from(quality));
            Samples::scan(&column.layout, time, values, quality).ok()
        });
        scans.collect()
    }

    /// Moves on to the next time, and says how many scans were missed on the way.
    pub(super) fn next(&mut self, now: Instant) -> u32 {
        self.due += self.period;
        if self.due > now {
            return 0;
        }
        let late = now.duration_since(self.due);
        let missed = late.as_micros() / self.period.as_micros().max(1) + 1;
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.due += self.period * missed;
        missed
    }
}

/// The quality of a sample whose read the device refused.
pub(super) fn quality_of(exception: Exception) -> Quality {
    match exception {
        Exception::IllegalFunction | Exception::IllegalDataAddress | Exception::IllegalDataValue => {
            Quality::CONFIG_ERROR
        }
        Exception::DeviceFailure | Exception::MemoryParityError => Quality::DEVICE_FAILURE,
        Exception::GatewayPathUnavailable
        | Exception::GatewayTargetFailedToRespond
        | Exception::Acknowledge
        | Exception::DeviceBusy => Quality::COMM_FAILURE,
        Exception::Other(_) => Quality::BAD,
    }
}

/// Whether a type's values fit a tag that declares this kind.
pub(super) fn fits(kind: ValueType, scaled_or_own: ValueKind, declared: ValueKind) -> bool {
    scaled_or_own == declared || (declared == ValueKind::Float64 && kind.is_number())
}

fn float(raw: Raw) -> Option<f64> {
    match raw {
        Raw::Float(value) => Some(value),
        Raw::Int(value) => Some(value as f64),
        Raw::Uint(value) => Some(value as f64),
        Raw::Bool(_) | Raw::Text(_) => None,
    }
}

fn integer(raw: Raw) -> Option<i64> {
    match raw {
        Raw::Int(value) => Some(value),
        Raw::Uint(value) => i64::try_from(value).ok(),
        Raw::Float(_) | Raw::Bool(_) | Raw::Text(_) => None,
    }
}

fn flag(raw: Raw) -> Option<bool> {
    match raw {
        Raw::Bool(value) => Some(value),
        _ => None,
    }
}

fn text(raw: Raw) -> Option<String> {
    match raw {
        Raw::Text(value) => Some(value),
        _ => None,
    }
}
