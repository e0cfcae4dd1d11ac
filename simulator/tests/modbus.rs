//! A simulated field as a Modbus client sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::source::Sources;
use ducto_simulator::device::{Model, Point, Scale};
use ducto_simulator::load::{Load, Size};
use ducto_simulator::{Overrides, Scenario, Simulation, Simulator, StartError, site};
use modbus::client::Error;
use modbus::{Client, Exception, Options, Order, Request, Value, ValueType};

fn scenario(text: &str) -> Arc<Scenario> {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let units = ducto_operators::units::units();
    let read = Scenario::from_text("test.yaml", text, &Overrides::default(), &units, &mut sources, &mut found);
    Arc::new(read.unwrap_or_else(|| panic!("{}", found.render(&sources, false))))
}

/// A client with a runtime of its own.
struct Reader {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Reader {
    fn connect(address: std::net::SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = Options { response_timeout: Duration::from_millis(400), ..Options::default() };
        let client = runtime.block_on(Client::connect(&address.to_string(), options)).unwrap();
        Self { runtime, client }
    }

    fn ask(&mut self, unit: u8, request: &Request) -> Result<modbus::Response, Error> {
        self.runtime.block_on(self.client.request(unit, request))
    }

    /// The value of a point, scaled.
    fn value(&mut self, unit: u8, model: &Model, point: &Point) -> Result<f64, Error> {
        let response = self.ask(unit, &Request::read(point.table, point.offset, point.kind.registers()))?;
        if point.table.is_bits() {
            return Ok(f64::from(u8::from(response.bits()[0])));
        }
        let order: Order = model.order.parse().unwrap();
        let raw = match point.kind.decode(order, response.registers()).unwrap() {
            Value::Int(raw) => raw as f64,
            Value::Float(raw) => raw,
            other => panic!("{other:?}"),
        };
        Ok(match point.scale {
            Scale::One => raw,
            Scale::Times(step) => raw * step,
            Scale::Range(full, engineering) => raw / full * engineering,
        })
    }
}

#[test]
fn every_register_holds_what_the_field_shows() {
    let text = "
simulation: test
wells: {count: 4, each: {WELL-003: {device: well-rtu}}}
events: [{at: 0s, well: WELL-002, tag: PIP, event: fail}]
";
    let scenario = scenario(text);
    // At its start the simulator shows what the simulation shows at its start.
    let simulation = Simulation::new(scenario.clone());
    let simulator = Simulator::start(scenario, "127.0.0.1:0").unwrap();
    let mut reader = Reader::connect(simulator.addresses()[0]);
    let units: BTreeMap<&str, u8> = simulator.places().iter().map(|place| (&*place.asset, place.unit)).collect();
    assert_eq!(units["WELL-001"], 1);
    assert_eq!((units["SEP-01"], units["SEP-TEST"]), (201, 202));
    let mut compared = 0;
    for asset in simulation.assets() {
        for point in asset.model.points {
            let tag = asset.tags.iter().find(|tag| tag.variable.name == point.variable).unwrap();
            let read = reader.value(units[&*asset.name], asset.model, point).unwrap();
            if tag.shown.is_nan() {
                assert!(read.is_nan());
                continue;
            }
            // Less than a second has passed, or a few have on a slow machine: values are near, and never elsewhere.
            let resolution = match point.scale {
                Scale::One => 1.0,
                Scale::Times(step) => step,
                Scale::Range(full, engineering) => engineering / full,
            };
            let near = 3.0 * resolution + 0.06 * tag.shown.abs() + 6.0;
            assert!((read - tag.shown).abs() < near, "{}: {read} where {} is shown", tag.name, tag.shown);
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
    // What no model has is not there, and nothing can be written.
    for (request, expected) in [
        (Request::ReadHoldingRegisters { address: 500, count: 1 }, Exception::IllegalDataAddress),
        (Request::ReadHoldingRegisters { address: 29, count: 6 }, Exception::IllegalDataAddress),
        (Request::ReadCoils { address: 0, count: 1 }, Exception::IllegalFunction),
        (Request::WriteSingleRegister { address: 0, value: 1 }, Exception::IllegalFunction),
    ] {
        match reader.ask(1, &request) {
            Err(Error::Exception { exception, .. }) => assert_eq!(exception, expected, "{request:?}"),
            other => panic!("{other:?}"),
        }
    }
    let nobody = reader.ask(77, &Request::ReadHoldingRegisters { address: 0, count: 1 });
    assert!(matches!(nobody, Err(Error::Exception { exception: Exception::GatewayTargetFailedToRespond, .. })));
    assert!(simulator.requests() > 80);
}

#[test]
fn bad_devices_answer_badly_and_the_others_well() {
    let text = "
simulation: test
wells: {count: 8}
events:
  - {at: 0s, well: WELL-001, event: dead}
  - {at: 0s, well: WELL-002, event: slow, by: 100 ms}
  - {at: 0s, well: WELL-003, event: lie, answer: zeros}
  - {at: 0s, well: WELL-004, event: lie, answer: exception}
  - {at: 0s, well: WELL-005, event: lie, answer: wrong_unit}
  - {at: 0s, well: WELL-006, event: lie, answer: wrong_transaction}
  - {at: 0s, well: WELL-007, event: lie, answer: garbage}
";
    let simulator = Simulator::start(scenario(text), "127.0.0.1:0").unwrap();
    let address = simulator.addresses()[0];
    let read = Request::ReadHoldingRegisters { address: 0, count: 2 };
    let mut reader = Reader::connect(address);
    assert!(matches!(reader.ask(1, &read), Err(Error::Timeout { .. })));
    let asked = Instant::now();
    assert!(reader.ask(2, &read).is_ok() && asked.elapsed() >= Duration::from_millis(100));
    assert_eq!(reader.ask(3, &read).unwrap().registers(), [0, 0]);
    let exception = reader.ask(4, &read);
    assert!(matches!(exception, Err(Error::Exception { exception: Exception::DeviceFailure, .. })), "{exception:?}");
    assert!(matches!(reader.ask(5, &read), Err(Error::WrongUnit { .. })));
    assert!(matches!(reader.ask(6, &read), Err(Error::Timeout { .. })));
    assert_ne!(reader.ask(8, &read).unwrap().registers(), [0, 0]);
    let mut reader = Reader::connect(address);
    assert!(reader.ask(7, &read).is_err());
}

#[test]
fn speed_makes_minutes_of_seconds() {
    let text = "{simulation: test, speed: 600, wells: {count: 2}, events: [{at: 5m, well: WELL-002, event: stop}]}";
    let simulator = Simulator::start(scenario(text), "127.0.0.1:0").unwrap();
    let mut reader = Reader::connect(simulator.addresses()[0]);
    let running = Request::ReadDiscreteInputs { address: 0, count: 1 };
    let end = Instant::now() + Duration::from_secs(60);
    // Five minutes of the field are half a second.
    while reader.ask(2, &running).unwrap().bits()[0] {
        assert!(Instant::now() < end, "the pump never stops");
    }
    assert!(simulator.elapsed() >= 300_000_000);
    assert!(reader.ask(1, &running).unwrap().bits()[0]);
    assert!(simulator.happenings().iter().any(|happening| happening.text[0] == "pump stops"));
}

#[test]
fn many_wells_take_several_ports() {
    let simulator = Simulator::start(scenario("{simulation: test, wells: {count: 401}}"), "127.0.0.1:0").unwrap();
    assert_eq!(simulator.addresses().len(), 3);
    let last = &simulator.places()[400];
    assert_eq!((&*last.asset, last.unit), ("WELL-401", 1));
    let mut reader = Reader::connect(last.address);
    assert!(reader.ask(1, &Request::ReadHoldingRegisters { address: 0, count: 16 }).is_ok());
}

#[test]
fn a_port_in_use_is_named() {
    let first = Simulator::start(scenario("{simulation: test, wells: {count: 1}}"), "127.0.0.1:0").unwrap();
    let address = first.addresses()[0].to_string();
    let second = Simulator::start(scenario("{simulation: test, wells: {count: 1}}"), &address);
    match second {
        Err(error @ StartError::InUse(_)) => assert!(error.to_string().contains(&address), "{error}"),
        other => panic!("{other:?}"),
    }
    // Once the first has gone its port can be had again.
    drop(first);
    let end = Instant::now() + Duration::from_secs(30);
    while Simulator::start(scenario("{simulation: test, wells: {count: 1}}"), &address).is_err() {
        assert!(Instant::now() < end, "the port is never free again");
    }
}

#[test]
fn load_answers_on_every_endpoint() {
    let size: Size = "40x300".parse().unwrap();
    let load = Load::start(size, 1, "127.0.0.1:0").unwrap();
    assert_eq!(load.addresses().len(), 40);
    let mut first = Vec::new();
    for address in load.addresses() {
        let mut reader = Reader::connect(*address);
        let mut registers = Vec::new();
        for from in (0..600).step_by(120) {
            let read = Request::ReadHoldingRegisters { address: from, count: 120 };
            registers.extend_from_slice(reader.ask(1, &read).unwrap().registers());
        }
        assert!(reader.ask(1, &Request::ReadHoldingRegisters { address: 599, count: 2 }).is_err());
        for pair in registers.chunks(2) {
            let Value::Float(value) = ValueType::F32.decode(Order::Cdab, pair).unwrap() else { panic!() };
            assert!((0.0..=100.0).contains(&value), "{value}");
        }
        first.push(registers[0]);
    }
    first.dedup();
    assert!(first.len() > 20, "the endpoints are all alike");
    assert_eq!((load.requests(), load.connections()), (40 * 6, 40));
    for text in ["1000", "0x300", "1000x0", "ax300", "1000x40000"] {
        assert!(text.parse::<Size>().is_err(), "{text}");
    }
    assert_eq!("1_000x300".parse(), Ok(Size { endpoints: 1_000, tags: 300 }));
}

/// What a site is said to read is where it says.
fn check(folder: &std::path::Path) -> Arc<ducto_graph::site::Site> {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(folder, &ducto_operators::registry(), &mut sources, &mut found);
    assert!(found.is_empty(), "{}", found.render(&sources, false));
    site.unwrap()
}

#[test]
fn the_site_that_is_written_is_right_and_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let field = folder.path().join("field");
    let text = "{simulation: test, wells: {count: 3, each: {WELL-002: {device: well-rtu}}}}";
    let simulator = Simulator::start(scenario(text), "127.0.0.1:0").unwrap();
    site::write_field(&field, "WRITTEN-1", &simulator).unwrap();
    let written = check(&field);
    let points: usize = simulator.places().iter().map(|place| place.model.points.len()).sum();
    assert_eq!((written.assets.len(), written.tags.len()), (5, points));
    let again = site::write_field(&field, "WRITTEN-1", &simulator).unwrap_err().to_string();
    assert!(again.contains("site.yaml") && again.contains("not written over"), "{again}");
    let load = Load::start("3x200".parse().unwrap(), 1, "127.0.0.1:0").unwrap();
    let folder = folder.path().join("load");
    site::write_load(&folder, "3x200".parse().unwrap(), &load).unwrap();
    assert_eq!(check(&folder).tags.len(), 600);
}

/// The demo's templates say of each tag what the register maps say.
#[test]
fn the_demo_site_reads_what_the_devices_have() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../site-configs/demo");
    let demo_site = check(&demo);
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let units = ducto_operators::units::units();
    let path = demo.join("simulation.yaml");
    let scenario = Scenario::load(&path, &Overrides::default(), &units, &mut sources, &mut found).unwrap();
    let simulation = Simulation::new(Arc::new(scenario));
    let assets: BTreeMap<&str, &Model> = simulation.assets().iter().map(|asset| (&*asset.name, asset.model)).collect();
    assert_eq!(demo_site.assets.len(), assets.len());
    for tag in &demo_site.tags {
        let (asset, variable) = tag.name.split_once('.').unwrap();
        let model = assets[asset];
        let point =
            model.points.iter().find(|point| point.variable == variable).unwrap_or_else(|| panic!("{variable}"));
        let variable = model.on.variables().iter().find(|known| known.name == variable).unwrap();
        let said = |field: &str| tag.definition.get(field).and_then(|node| node.as_text()).map(str::to_owned);
        assert_eq!(said("address").as_deref(), Some(&*point.address()), "{}", *tag.name);
        assert_eq!(said("as"), Some(point.kind.to_string()), "{}", *tag.name);
        if let Scale::Times(step) = point.scale {
            assert_eq!(said("scale"), Some(step.to_string()), "{}", *tag.name);
        }
        assert_eq!(said("unit").as_deref(), variable.unit, "{}", *tag.name);
        assert_eq!(tag.span, variable.span, "{}", *tag.name);
    }
}
