//! The settings of a connection, and single reads, for commands that look at devices while no site runs.

use std::sync::Arc;
use std::time::Duration;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::operator::ConnectionConfig;
use ducto_graph::site::TagSettings;
use ducto_record::{Quality, TagId, Value};
use modbus::client::Error;
use modbus::value::Value as Raw;
use modbus::{Addressing, Client, Item, Limits, Options, Order, Reading};

use super::Modbus;
use super::group::quality_of;
use super::point::Point;

impl Modbus {
    /// The config of a connection, where it is one of Modbus.
    pub fn of(config: &dyn ConnectionConfig) -> Option<&Self> {
        config.as_any().downcast_ref()
    }

    /// `host:port` of the endpoint.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn endpoint_address(&self) -> Result<String, String> {
        self.address()
    }

    pub fn unit_id(&self) -> u8 {
        self.unit_id
    }

    pub fn order(&self) -> Order {
        self.order.0
    }

    pub fn addressing(&self) -> Addressing {
        self.addressing.0
    }

    pub fn limits(&self) -> Limits {
        Limits { registers: self.max_registers.value, bits: self.max_bits.value, request_cost: self.request_cost }
    }

    pub fn options(&self) -> Options {
        Options {
            connect_timeout: self.connect_timeout.to_std(),
            response_timeout: self.response_timeout.value.to_std(),
            pause_after_connect: self.pause_after_connect.to_std(),
            pause_between_requests: self.pause_between_requests.to_std(),
        }
    }

    /// Where and how a tag is read.
    ///
    /// # Errors
    /// What is wrong with its settings.
    pub fn point(&self, tag: &TagSettings) -> Option<Result<Point, String>> {
        let mut diagnostics = Diagnostics::new();
        let point = Point::read(&tag.connection_fields, self.defaults(), &mut diagnostics);
        let why = || diagnostics.iter().next().map(|found| found.message.clone()).unwrap_or_default();
        Some(point.ok_or_else(why))
    }
}

/// What a single read of a tag gave.
#[derive(Clone, Debug)]
pub struct TagReading {
    pub tag: TagId,
    pub value: Value,
    pub quality: Quality,
    /// Raw; empty where none came.
    pub registers: Vec<u16>,
    pub error: Option<String>,
    pub round_trip: Option<Duration>,
}

/// Reads tags once, in their order.
pub async fn read_once(client: &mut Client, config: &Modbus, tags: &[Arc<TagSettings>]) -> Vec<TagReading> {
    let mut readings = Vec::with_capacity(tags.len());
    for tag in tags {
        let mut reading = TagReading {
            tag: tag.id,
            value: Value::Null,
            quality: Quality::CONFIG_ERROR,
            registers: Vec::new(),
            error: None,
            round_trip: None,
        };
        match config.point(tag) {
            Some(Ok(point)) => read(client, config.unit_id(), &point, &mut reading).await,
            Some(Err(why)) => reading.error = Some(why),
            None => {}
        }
        readings.push(reading);
    }
    readings
}

async fn read(client: &mut Client, unit: u8, point: &Point, reading: &mut TagReading) {
    let Item { table, offset, count } = point.item;
    let request = modbus::Request::read(table, offset, count);
    let began = std::time::Instant::now();
    match client.request(unit, &request).await {
        Ok(response) => {
            reading.round_trip = Some(began.elapsed());
            let raw = match table.is_bits() {
                true => response.bits().first().map(|bit| Ok(Raw::Bool(*bit))),
                false => Some(point.kind.decode(point.order, response.registers())),
            };
            reading.registers = match table.is_bits() {
                true => response.bits().iter().map(|bit| u16::from(*bit)).collect(),
                false => response.registers().to_vec(),
            };
            (reading.value, reading.quality) = match raw {
                Some(Ok(raw)) => match point.conversion.apply(raw) {
                    Reading::Value(value) => (of_raw(value), Quality::GOOD),
                    Reading::Sentinel(_) => (Value::Null, Quality::SENSOR_FAILURE),
                },
                Some(Err(error)) => {
                    reading.error = Some(error.to_string());
                    (Value::Null, Quality::CONFIG_ERROR)
                }
                None => (Value::Null, Quality::BAD),
            };
        }
        Err(error) => {
            reading.quality = match &error {
                Error::Exception { exception, .. } => quality_of(*exception),
                _ => Quality::COMM_FAILURE,
            };
            reading.error = Some(error.to_string());
        }
    }
}

fn of_raw(value: Raw) -> Value {
    match value {
        Raw::Bool(value) => Value::Bool(value),
        Raw::Int(value) => Value::Int64(value),
        Raw::Uint(value) => i64::try_from(value).map_or(Value::Null, Value::Int64),
        Raw::Float(value) => Value::Float64(value),
        Raw::Text(value) => Value::Text(value.into()),
    }
}
