//! A connection looked at from outside a running site: the plan of its reads, and its tags read once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use ducto_graph::operator::ConnectionConfig;
use ducto_graph::scalar::Duration;
use ducto_graph::site::TagSettings;
use ducto_record::{Layout, Quality, TagId, Value};
use modbus::client::Error;
use modbus::{Address, Client, Exception, Holes, Item, Limits, Plan, Read, Table};

use super::Modbus;
use super::group::quality_of;
use super::point::{Meaning, Point};
use super::schedule::Priority;
use super::shape::{Scan, Shape};

/// The requests that read the tags of one connection.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    pub endpoint: String,
    pub unit: u8,
    /// By period, then by table and offset.
    pub reads: Vec<PlannedRead>,
    /// Tags that no request reads, and why.
    pub refused: Vec<(Arc<TagSettings>, String)>,
    /// Requests a minute that all these reads need.
    pub requests_per_minute: f64,
}

/// One request of a plan.
#[derive(Clone, Debug)]
pub struct PlannedRead {
    pub table: Table,
    /// Function code.
    pub function: u8,
    /// First offset, as on the wire.
    pub start: u16,
    /// Registers or bits.
    pub count: u16,
    /// First and last address in the connection's notation.
    pub first: String,
    pub last: String,
    pub period: Duration,
    pub priority: Priority,
    /// By address.
    pub tags: Vec<Arc<TagSettings>>,
    /// Registers or bits between them that no tag asks for: reading over them costs less than one more request.
    pub unused: u16,
    /// In registers, what one request costs included.
    pub cost: u32,
}

/// The plan of one connection, as polling begins with it; what a device refuses changes it later.
pub fn read_plan(config: &Modbus, tags: &[Arc<TagSettings>]) -> ReadPlan {
    let (mut groups, mut refused) = (Groups::new(), Vec::new());
    gather(config, tags, &mut groups, &mut refused);
    plan_of(config, config.limits(), groups, refused)
}

/// The plans of the connections that share an endpoint, one for each unit: assets of one unit are read together, with
/// the smallest answers that one of them says the device gives.
pub fn endpoint_plans<'a>(members: impl IntoIterator<Item = (&'a Modbus, Vec<Arc<TagSettings>>)>) -> Vec<ReadPlan> {
    let mut units: BTreeMap<u8, (&Modbus, Limits, Groups, Refused)> = BTreeMap::new();
    for (config, tags) in members {
        let own = config.limits();
        let unit = units.entry(config.unit_id()).or_insert_with(|| (config, own, Groups::new(), Vec::new()));
        let (_, limits, groups, refused) = unit;
        *limits = together(*limits, own);
        gather(config, &tags, groups, refused);
    }
    units.into_values().map(|(config, limits, groups, refused)| plan_of(config, limits, groups, refused)).collect()
}

/// What a unit gives of which several connections say something.
pub(super) fn together(limits: Limits, others: Limits) -> Limits {
    Limits { registers: limits.registers.min(others.registers), bits: limits.bits.min(others.bits), ..limits }
}

/// Tags by period and priority: poll groups.
type Groups = BTreeMap<(Duration, Priority), Vec<(Arc<TagSettings>, Point)>>;
type Refused = Vec<(Arc<TagSettings>, String)>;

fn gather(config: &Modbus, tags: &[Arc<TagSettings>], groups: &mut Groups, refused: &mut Refused) {
    for tag in tags {
        match config.meaning(&tag.connection_fields) {
            Some(Meaning::Point(point, priority)) => {
                let key = (tag.scan.unwrap_or(config.scan.value), priority.unwrap_or(config.priority));
                groups.entry(key).or_default().push((tag.clone(), point));
            }
            Some(Meaning::Figure(_)) => {}
            None => refused.push((tag.clone(), "its fields are wrong; `ducto check` says how".to_owned())),
        }
    }
}

fn plan_of(config: &Modbus, limits: Limits, groups: Groups, mut refused: Refused) -> ReadPlan {
    let addressing = config.addressing();
    let mut reads = Vec::new();
    let mut requests_per_minute = 0.0;
    for ((period, priority), members) in groups {
        let items: Vec<Item> = members.iter().map(|(_, point)| point.item).collect();
        let plan = Plan::new(&items, limits, &Holes::new());
        requests_per_minute += plan.reads.len() as f64 * 60e6 / period.micros().max(1) as f64;
        let unread =
            plan.refused.iter().filter_map(|(index, why)| Some((members.get(*index)?.0.clone(), why.to_string())));
        refused.extend(unread);
        for read in &plan.reads {
            let Item { table, offset, count } = read.range;
            let at = |offset| Address { table, offset }.in_notation(addressing);
            reads.push(PlannedRead {
                table,
                function: read.request().function().code(),
                start: offset,
                count,
                first: at(offset),
                last: at(offset.saturating_add(count.saturating_sub(1))),
                period,
                priority,
                tags: read.items.iter().filter_map(|index| Some(members.get(*index)?.0.clone())).collect(),
                unused: read.unused(&items),
                cost: read.cost(limits),
            });
        }
    }
    ReadPlan { endpoint: config.endpoint(), unit: config.unit_id(), reads, refused, requests_per_minute }
}

impl fmt::Display for ReadPlan {
    /// A line for each request: `function 3: 40001 to 40014, 14 holding registers (10 not needed) every 1s, cost 46: THP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.reads.len() == 1 { "" } else { "s" };
        write!(f, "{}, unit {}: {} request{plural}", self.endpoint, self.unit, self.reads.len())?;
        write!(f, ", {:.1} a minute", self.requests_per_minute)?;
        for read in &self.reads {
            let PlannedRead { table, function, count, first, last, period, priority, tags, unused, cost, .. } = read;
            let plural = if *count == 1 { "" } else { "s" };
            write!(f, "\n  function {function}: {first}")?;
            if count > &1 {
                write!(f, " to {last}")?;
            }
            write!(f, ", {count} {table}{plural}")?;
            if *unused > 0 {
                write!(f, " ({unused} not needed)")?;
            }
            write!(f, " every {period}")?;
            if *priority != Priority::Normal {
                write!(f, ", priority {}", priority.name())?;
            }
            write!(f, ", cost {cost}: ")?;
            for (index, tag) in tags.iter().enumerate() {
                write!(f, "{}{}", if index == 0 { "" } else { ", " }, *tag.name)?;
            }
        }
        for (tag, why) in &self.refused {
            write!(f, "\n  not read: {}, {why}", *tag.name)?;
        }
        Ok(())
    }
}

/// A tag read once.
#[derive(Clone, Debug, PartialEq)]
pub struct TagReading {
    pub tag: TagId,
    pub value: Value,
    pub quality: Quality,
    /// As they came; 0 and 1 for bits. Empty where nothing came.
    pub registers: Vec<u16>,
    /// Why there is no reading.
    pub error: Option<String>,
    /// Of the request that read it.
    pub round_trip: Option<StdDuration>,
}

/// Reads tags once, as a running site would: planned, and what the device refuses bisected. Answers are in the order of
/// `tags`. A connection that breaks leaves the rest without values.
pub async fn read_once(client: &mut Client, config: &Modbus, tags: &[Arc<TagSettings>]) -> Vec<TagReading> {
    let mut readings: Vec<TagReading> = tags
        .iter()
        .map(|tag| TagReading {
            tag: tag.id,
            value: Value::Null,
            quality: Quality::CONFIG_ERROR,
            registers: Vec::new(),
            error: Some("no request reads it".to_owned()),
            round_trip: None,
        })
        .collect();
    let meant = tags.iter().enumerate().filter_map(|(index, tag)| match config.meaning(&tag.connection_fields)? {
        Meaning::Point(point, _) => Some((index, (point, tag.kind))),
        Meaning::Figure(_) => None,
    });
    let (indices, points): (Vec<usize>, Vec<_>) = meant.unzip();
    let shape = Arc::new(Shape::new(points, config.limits()));
    let mut scan = Scan::new(&shape, Quality::CONFIG_ERROR);
    let mut reads: VecDeque<Read> = shape.plan.reads.iter().cloned().collect();
    while let Some(read) = reads.pop_front() {
        let answer = client.request_within(config.unit_id(), &read.request(), config.options().response_timeout).await;
        let mut each = |change: &mut dyn FnMut(&mut TagReading, usize)| {
            for index in &read.items {
                if let Some(reading) = indices.get(*index).and_then(|index| readings.get_mut(*index)) {
                    change(reading, *index);
                }
            }
        };
        match answer {
            Ok(response) => {
                scan.store(&read, &response);
                let round_trip = client.round_trip();
                each(&mut |reading, index| {
                    let range = shape.items.get(index).map_or(0..0, |item| read.slice(*item));
                    let bits = response.bits().get(range.clone()).unwrap_or_default();
                    let registers = response.registers().get(range).unwrap_or_default();
                    reading.registers =
                        registers.iter().copied().chain(bits.iter().map(|bit| u16::from(*bit))).collect();
                    (reading.error, reading.round_trip) = (None, round_trip);
                });
            }
            Err(Error::Exception { exception: Exception::IllegalDataAddress, .. }) if read.items.len() > 1 => {
                if let Some((left, right)) = read.bisect(&shape.items) {
                    reads.push_front(right);
                    reads.push_front(left);
                }
            }
            Err(error) => {
                let quality = match &error {
                    Error::Exception { exception, .. } => quality_of(*exception),
                    Error::Request(_) => Quality::CONFIG_ERROR,
                    _ => Quality::COMM_FAILURE,
                };
                scan.fail(read.items.iter().copied(), quality);
                let text = error.to_string();
                each(&mut |reading, _| reading.error = Some(text.clone()));
            }
        }
    }
    let layouts: Vec<Arc<Layout>> =
        shape.columns.iter().map(|(_, rows)| Layout::new(rows.iter().map(|row| *row as TagId).collect())).collect();
    for samples in scan.samples(&layouts, 0) {
        for row in 0..samples.len() {
            let index = samples.tags()[row] as usize;
            let Some(reading) = indices.get(index).and_then(|index| readings.get_mut(*index)) else { continue };
            (reading.value, reading.quality) = (samples.values().get(row), Quality(samples.quality()[row]));
            if reading.error.is_none() && reading.value == Value::Null {
                reading.error = Some(match reading.quality {
                    Quality::SENSOR_FAILURE => "the device says that it has no reading (a sentinel)".to_owned(),
                    _ => "the registers hold no such value: check the type and the order".to_owned(),
                });
            }
        }
    }
    readings
}
