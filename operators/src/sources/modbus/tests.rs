#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration as StdDuration, Instant};

use ducto_graph::operator::{ConnectionMember, Intake, Link};
use ducto_graph::site::TagSettings;
use ducto_graph::source::Sources;
use ducto_record::{Directory, Part, Tag, Value};
use modbus::value::Value as Raw;
use modbus::{Address, Exception, Fault, Framing, Registers, Server, Table, ValueType};

mod dead;
mod reads;
mod sharing;
mod ways;

use super::*;
use crate::sources::testing::{Collected, context};

/// A device on a runtime of its own.
struct Plant {
    registers: Arc<Registers>,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Plant {
    fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    fn at(address: &str) -> Self {
        Self::on(address, Framing::Tcp)
    }

    fn framed(framing: Framing) -> Self {
        Self::on("127.0.0.1:0", framing)
    }

    fn on(address: &str, framing: Framing) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registers = Arc::new(Registers::new());
        let server = runtime.block_on(Server::bind_framed(address, framing, registers.clone())).unwrap();
        Self { registers, server, _runtime: runtime }
    }

    fn set(&self, unit: u8, offset: u16, kind: ValueType, value: Raw) {
        let at = Address { table: Table::HoldingRegisters, offset };
        self.registers.set_value(unit, at, kind, Order::Cdab, &value).unwrap();
    }
}

fn node(yaml: &str) -> Node {
    let mut sources = Sources::new();
    let file = sources.add_text("t.yaml", yaml);
    Node::parse(file, &sources, &mut Diagnostics::new()).unwrap()
}

/// Connections at work, and what they offer.
struct Polling {
    collected: Arc<Collected>,
    runtime: Option<tokio::runtime::Runtime>,
    links: Vec<Arc<dyn Link>>,
    directory: Arc<Directory>,
}

/// For each unit the connection's fields but the endpoint, and its tags as name and fields.
type Units<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

impl Polling {
    /// Polls a device over Modbus TCP.
    fn start(address: &str, units: Units<'_>) -> Self {
        Self::over(&[(&format!("tcp://{address}"), units)])
    }

    /// Polls several endpoints.
    fn over(endpoints: &[(&str, Units<'_>)]) -> Self {
        let mut directory = Directory::builder();
        let mut opened = Vec::new();
        for (endpoint, units) in endpoints {
            let mut members = Vec::new();
            for (fields, tags) in *units {
                let config = node(&format!("{{endpoint: \"{endpoint}\", order: CDAB, {fields}}}"));
                let mut diagnostics = Diagnostics::new();
                let config: Modbus = decode(&config, &mut diagnostics).unwrap_or_else(|| panic!("{diagnostics:?}"));
                let mut settings = Vec::new();
                for (name, fields) in *tags {
                    let fields = Arc::new(node(fields));
                    let kind = config.value_kind(&fields);
                    let id = directory.tag(Tag::named(name, kind));
                    settings.push(Arc::new(TagSettings {
                        id,
                        name: Spanned::from((*name).to_owned()),
                        asset: None,
                        variable: (*name).into(),
                        kind,
                        unit: None,
                        span: None,
                        envelope: None,
                        scan: None,
                        description: Arc::default(),
                        states: Arc::default(),
                        sections: Arc::default(),
                        definition: fields.clone(),
                        connection_fields: fields,
                        published_by: None,
                    }));
                }
                members.push(ConnectionMember { asset: "W".into(), config: Arc::new(config), tags: settings });
            }
            opened.push(Endpoint { name: members[0].config.endpoint(), members });
        }
        let directory = Arc::new(directory.build());
        let config = opened[0].members[0].config.clone();
        let connections = config.open(opened, &context(&directory)).unwrap();
        let collected = Arc::new(Collected::default());
        let links = connections.iter().map(|connection| connection.link().unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for mut connection in connections {
            let intake: Arc<dyn Intake> = collected.clone();
            runtime.spawn(async move { connection.run(&intake).await });
        }
        Self { collected, runtime: Some(runtime), links, directory }
    }

    /// Whether a tag has given this value and quality after the first `skip` parts.
    fn has_behind(&self, skip: usize, tag: &str, value: &Value, quality: u16) -> bool {
        Self::has(self.directory.tag_id(tag).unwrap(), value, quality, &self.collected.parts()[skip..])
    }

    fn has(
        id: ducto_record::TagId,
        value: &Value,
        quality: u16,
        parts: &[(Option<ducto_record::Micros>, Part)],
    ) -> bool {
        parts.iter().any(|(_, part)| match part {
            Part::Samples { samples, .. } => (0..samples.len()).any(|row| {
                samples.tags()[row] == id && samples.values().get(row) == *value && samples.quality()[row] == quality
            }),
            _ => false,
        })
    }

    /// Waits until a tag has given this value and quality after the first `skip` parts.
    fn wait_behind(&self, skip: usize, tag: &str, value: &Value, quality: u16) {
        let id = self.directory.tag_id(tag).unwrap();
        self.collected.wait(&format!("{tag} = {value} @ {quality}"), |parts| {
            Self::has(id, value, quality, &parts[skip.min(parts.len())..])
        });
    }

    /// The newest value and quality of a tag.
    fn newest(&self, tag: &str) -> (Value, u16) {
        let id = self.directory.tag_id(tag).unwrap();
        let parts = self.collected.parts();
        let found = parts.iter().rev().find_map(|(_, part)| {
            let Part::Samples { samples, .. } = part else { return None };
            let row = (0..samples.len()).find(|row| samples.tags()[*row] == id)?;
            Some((samples.values().get(row), samples.quality()[row]))
        });
        found.unwrap_or_else(|| panic!("{tag} has given nothing"))
    }

    fn wait(&self, tag: &str, value: &Value, quality: u16) {
        self.wait_behind(0, tag, value, quality);
    }

    /// Waits for a value of a tag that meets a condition.
    fn wait_until(&self, tag: &str, what: &str, condition: impl Fn(&Value) -> bool) {
        let id = self.directory.tag_id(tag).unwrap();
        self.collected.wait(what, |parts| {
            parts.iter().any(|(_, part)| {
                let Part::Samples { samples, .. } = part else { return false };
                (0..samples.len()).any(|row| samples.tags()[row] == id && condition(&samples.values().get(row)))
            })
        });
    }

    /// Qualities that a tag has given, each change once.
    fn qualities(&self, tag: &str) -> Vec<u16> {
        let id = self.directory.tag_id(tag).unwrap();
        let mut qualities = Vec::new();
        for (_, part) in self.collected.parts() {
            let Part::Samples { samples, .. } = part else { continue };
            for row in (0..samples.len()).filter(|row| samples.tags()[*row] == id) {
                qualities.push(samples.quality()[row]);
            }
        }
        qualities.dedup();
        qualities
    }

    fn count(&self) -> usize {
        self.collected.parts().len()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(StdDuration::from_secs(10));
    }
}

const SCAN: &str = "scan: 100ms, response_timeout: 300ms";
const F32: ValueType = ValueType::F32;

#[test]
fn values_of_every_kind_come_as_scans_with_one_time() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1250.5));
    plant.set(1, 2, ValueType::U16, Raw::Int(2048));
    plant.set(1, 3, ValueType::I16, Raw::Int(-32768));
    plant.set(1, 4, ValueType::U32, Raw::Int(4_000_000_000));
    plant.set(1, 6, ValueType::U16, Raw::Int(0b1000));
    plant.set(1, 7, ValueType::String(2), Raw::Text("ESP".into()));
    plant.registers.set_bits(1, Address { table: Table::DiscreteInputs, offset: 0 }, &[true]);
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[(
            SCAN,
            &[
                ("THP", "{address: 40001, as: f32}"),
                ("LEVEL", "{address: 40003, as: u16, raw: [0, 4096], engineering: [0, 100]}"),
                ("DEAD", "{address: 40004, as: i16, scale: 0.1, sentinel: -32768}"),
                ("COUNT", "{address: 40005, as: u32}"),
                ("BIT", "{address: 40007, bit: 3}"),
                ("NAME", "{address: 40008, length: 4}"),
                ("RUN", "{address: 10001, as: bool}"),
            ],
        )],
    );
    polling.wait("THP", &Value::Float64(1250.5), 192);
    polling.wait("LEVEL", &Value::Float64(50.0), 192);
    polling.wait("DEAD", &Value::Null, 16);
    polling.wait("COUNT", &Value::Int64(4_000_000_000), 192);
    polling.wait("BIT", &Value::Bool(true), 192);
    polling.wait("NAME", &Value::Text("ESP".into()), 192);
    polling.wait("RUN", &Value::Bool(true), 192);
    assert_eq!(polling.qualities("THP").last(), Some(&192));
    let mut layouts = Vec::new();
    for (_, part) in polling.collected.parts() {
        let Part::Samples { samples, .. } = part else { panic!("only samples are offered") };
        layouts.push((samples.kind(), samples.layout().cloned().expect("a scan")));
    }
    let (kind, layout) = layouts[0].clone();
    assert!(layouts.iter().filter(|(other, _)| *other == kind).all(|(_, other)| Arc::ptr_eq(other, &layout)));
}

#[test]
fn a_tag_waits_is_not_connected_and_then_has_a_value() {
    // A port that nothing listens on, until something does.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let polling = Polling::start(&address, &[(SCAN, &[("THP", "{address: 40001, as: f32}")])]);
    polling.wait("THP", &Value::Null, 32);
    polling.wait("THP", &Value::Null, 8);
    let plant = Plant::at(&address);
    plant.set(1, 0, F32, Raw::Float(7.0));
    polling.wait("THP", &Value::Float64(7.0), 192);
    let silent_from = polling.count();
    drop(plant);
    polling.wait_behind(silent_from, "THP", &Value::Null, 24);
    assert_eq!(polling.qualities("THP")[..4], [32, 8, 192, 24]);
}

#[test]
fn exceptions_become_qualities() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    let polling =
        Polling::start(&plant.server.local_addr().to_string(), &[(SCAN, &[("THP", "{address: 40001, as: f32}")])]);
    polling.wait("THP", &Value::Float64(1.0), 192);
    for (exception, quality) in [
        (Exception::IllegalFunction, 4),
        (Exception::IllegalDataValue, 4),
        (Exception::DeviceFailure, 12),
        (Exception::GatewayPathUnavailable, 24),
    ] {
        let skip = polling.count();
        plant.registers.set_fault(1, Some(Fault::Exception(exception)));
        polling.wait_behind(skip, "THP", &Value::Null, quality);
        let skip = polling.count();
        plant.registers.set_fault(1, None);
        polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
    }
}

#[test]
fn registers_that_are_not_there_cost_only_their_own_tags() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    plant.set(1, 20, F32, Raw::Float(2.0));
    plant.set(1, 30, F32, Raw::Float(3.0));
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[(
            SCAN,
            &[
                ("A", "{address: 40001, as: f32}"),
                ("GONE", "{address: 40011, as: f32}"),
                ("B", "{address: 40021, as: f32}"),
                ("C", "{address: 40031, as: f32}"),
            ],
        )],
    );
    for (tag, value) in [("A", 1.0), ("B", 2.0), ("C", 3.0)] {
        polling.wait(tag, &Value::Float64(value), 192);
    }
    polling.wait("GONE", &Value::Null, 4);
    // Once learned, a scan takes the same few requests: nothing is bisected again.
    let before = plant.registers.requests();
    let scans = polling.count();
    polling.collected.wait("ten more scans", |parts| parts.len() >= scans + 10);
    let requests = plant.registers.requests() - before;
    assert!(requests <= 4 * 12, "{requests} requests in about ten scans of three reads");
}

/// Such a number is right, and so is the setting: a float takes it, a tag of whole numbers says that it is no reading.
#[test]
fn a_number_above_what_a_whole_number_keeps_is_a_float_or_out_of_range() {
    let plant = Plant::new();
    plant.set(1, 0, ValueType::U64, Raw::Uint(u64::MAX - 7));
    plant.set(1, 4, ValueType::U64, Raw::Uint(i64::MAX as u64));
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[(
            SCAN,
            &[
                ("FLOAT", "{address: 40001, as: u64, scale: 1}"),
                ("TENTHS", "{address: 40001, as: u64, scale: 0.1}"),
                ("WHOLE", "{address: 40001, as: u64}"),
                ("GREATEST", "{address: 40005, as: u64}"),
            ],
        )],
    );
    polling.wait("FLOAT", &Value::Float64(u64::MAX as f64), 192);
    polling.wait("TENTHS", &Value::Float64(u64::MAX as f64 * 0.1), 192);
    polling.wait("GREATEST", &Value::Int64(i64::MAX), 192);
    polling.wait("WHOLE", &Value::Null, 0);
    assert!(polling.qualities("WHOLE").iter().all(|quality| [32, 0].contains(quality)));
}

#[test]
fn a_dead_unit_costs_the_others_little() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    plant.set(2, 0, F32, Raw::Float(2.0));
    plant.registers.set_fault(2, Some(Fault::NoAnswer));
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[
            (&format!("unit_id: 1, {SCAN}"), &[("ALIVE", "{address: 40001, as: f32}")]),
            (&format!("unit_id: 2, {SCAN}"), &[("DEAD", "{address: 40001, as: f32}")]),
        ],
    );
    polling.wait("ALIVE", &Value::Float64(1.0), 192);
    polling.wait("DEAD", &Value::Null, 24);
    let scans = polling.count();
    polling.collected.wait("twenty more scans", |parts| parts.len() >= scans + 20);
    assert!(polling.qualities("ALIVE").iter().all(|quality| [32, 192].contains(quality)));
    assert_eq!(plant.server.accepted(), 1, "the units share one socket, which is not given up for one of them");
    plant.registers.set_fault(2, None);
    polling.wait("DEAD", &Value::Float64(2.0), 192);
}

#[test]
fn garbage_and_a_broken_connection_are_got_over() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    let polling =
        Polling::start(&plant.server.local_addr().to_string(), &[(SCAN, &[("THP", "{address: 40001, as: f32}")])]);
    polling.wait("THP", &Value::Float64(1.0), 192);
    for fault in [
        Fault::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Fault::WrongUnit,
        Fault::WrongTransaction,
        Fault::Close,
    ] {
        let skip = polling.count();
        plant.registers.set_fault(1, Some(fault));
        polling.wait_behind(skip, "THP", &Value::Null, 24);
        let skip = polling.count();
        plant.registers.set_fault(1, None);
        polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
    }
    let skip = polling.count();
    plant.server.disconnect_all();
    polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
}

#[test]
fn a_stop_does_not_wait_for_a_silent_device() {
    let plant = Plant::new();
    plant.registers.set_fault(1, Some(Fault::NoAnswer));
    let mut polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[("scan: 100ms, response_timeout: 60s", &[("THP", "{address: 40001, as: f32}")])],
    );
    polling.collected.wait("a request", |_| plant.server.accepted() > 0);
    let started = Instant::now();
    polling.runtime.take().unwrap().shutdown_timeout(StdDuration::from_secs(30));
    assert!(started.elapsed() < StdDuration::from_secs(10), "{:?}", started.elapsed());
    polling.runtime = Some(tokio::runtime::Builder::new_current_thread().build().unwrap());
}

#[test]
fn endpoints() {
    let name = |text: &str| {
        let config = node(&format!("{{endpoint: \"{text}\"}}"));
        let config = decode::<Modbus>(&config, &mut Diagnostics::new()).unwrap();
        (config.endpoint(), config.endpoints().len())
    };
    assert_eq!(name("tcp://10.0.0.5"), ("tcp://10.0.0.5:502".to_owned(), 1));
    assert_eq!(name("tcp://RTU-7.field:1502/").0, "tcp://rtu-7.field:1502");
    // Assets on one line share it, whatever they say of its speed: that they agree is checked.
    assert_eq!(name("serial:///dev/ttyS1?baud=9600").0, name("serial:///dev/ttyS1?parity=none").0);
    assert_eq!(name("10.0.0.5:502"), ("10.0.0.5:502".to_owned(), 0));
}
