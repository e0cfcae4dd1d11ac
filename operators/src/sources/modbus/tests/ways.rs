//! Other ways to a device than Modbus TCP to one address.

use ducto_graph::operator::LinkState;
use modbus::Framing;
use modbus::server::serve;
use tokio::task::JoinHandle;

use super::*;

const THP: &[(&str, &str)] = &[("THP", "{address: 40001, as: f32}")];

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn rtu_over_tcp_finds_its_way_through_noise_and_foreign_frames() {
    let plant = Plant::framed(Framing::Rtu);
    plant.set(1, 0, F32, Raw::Float(1.0));
    let polling = Polling::over(&[(&format!("rtu+tcp://{}", plant.server.local_addr()), &[(SCAN, THP)])]);
    polling.wait("THP", &Value::Float64(1.0), 192);
    for fault in [
        Fault::Garbage(b"\x01\x03\x04\x00".to_vec()),
        Fault::Corrupt,
        Fault::WrongUnit,
        Fault::WrongFunction,
        Fault::NoAnswer,
    ] {
        let skip = polling.count();
        plant.registers.set_fault(1, Some(fault));
        polling.wait_behind(skip, "THP", &Value::Null, 24);
        let skip = polling.count();
        plant.registers.set_fault(1, None);
        polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
    }
    let report = polling.links[0].report();
    for error in ["timeout", "crc", "foreign frame"] {
        assert!(report.errors.get(error).is_some_and(|count| *count > 0), "{error}: {report:?}");
    }
}

/// A modem that dials a listening site, and the device behind it.
struct Modem {
    runtime: tokio::runtime::Runtime,
    registers: Arc<Registers>,
    address: String,
    calls: Vec<JoinHandle<()>>,
}

impl Modem {
    fn new(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, registers: Arc::default(), address: address.to_owned(), calls: Vec::new() }
    }

    fn set(&self, value: f64) {
        let at = Address { table: Table::HoldingRegisters, offset: 0 };
        self.registers.set_value(1, at, F32, Order::Cdab, &Raw::Float(value)).unwrap();
    }

    fn connect(&self) -> tokio::net::TcpStream {
        let end = Instant::now() + StdDuration::from_secs(30);
        loop {
            match self.runtime.block_on(tokio::net::TcpStream::connect(&self.address)) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < end, "nobody listens: {error}"),
            }
        }
    }

    fn dial(&mut self, framing: Framing) {
        let stream = self.connect();
        let registers = self.registers.clone();
        self.calls.push(self.runtime.spawn(async move {
            let _ = serve(stream, framing, &*registers).await;
        }));
    }

    fn hang_up(&mut self) {
        for call in self.calls.drain(..) {
            call.abort();
            let _ = self.runtime.block_on(call);
        }
    }
}

#[test]
fn a_modem_dials_in_drops_and_dials_again() {
    for (scheme, framing) in [("tcp-listen", Framing::Tcp), ("rtu+tcp-listen", Framing::Rtu)] {
        let address = free_address();
        let mut modem = Modem::new(&address);
        modem.set(1.0);
        let fields = "scan: 100ms, response_timeout: 300ms, connect_timeout: 200ms";
        let polling = Polling::over(&[(&format!("{scheme}://{address}"), &[(fields, THP)])]);
        polling.wait("THP", &Value::Null, 8);
        modem.dial(framing);
        polling.wait("THP", &Value::Float64(1.0), 192);

        let skip = polling.count();
        modem.hang_up();
        polling.wait_behind(skip, "THP", &Value::Null, 24);
        modem.set(2.0);
        modem.dial(framing);
        polling.wait("THP", &Value::Float64(2.0), 192);

        // The line is lost without a word: the old connection stays open, and the modem dials again.
        modem.set(3.0);
        modem.registers.set_fault(1, Some(Fault::NoAnswer));
        let skip = polling.count();
        polling.wait_behind(skip, "THP", &Value::Null, 24);
        modem.registers.set_fault(1, None);
        modem.dial(framing);
        polling.wait("THP", &Value::Float64(3.0), 192);
    }
}

#[test]
fn the_second_endpoint_serves_until_the_first_answers_again() {
    let first = free_address();
    let second = Plant::new();
    second.set(1, 0, F32, Raw::Float(2.0));
    let fields = format!("endpoint_2: \"tcp://{}\", return_after: 200ms, {SCAN}", second.server.local_addr());
    let polling = Polling::over(&[(&format!("tcp://{first}"), &[(&fields, THP)])]);
    polling.wait("THP", &Value::Float64(2.0), 192);

    // It listens, and does not answer: that proves nothing.
    let plant = Plant::at(&first);
    plant.set(1, 0, F32, Raw::Float(1.0));
    plant.registers.set_fault(1, Some(Fault::NoAnswer));
    let skip = polling.count();
    polling.collected.wait("two attempts to return", |_| plant.server.accepted() >= 2);
    assert!(!polling.has_behind(skip, "THP", &Value::Null, 24), "an attempt to return costs nothing");

    plant.registers.set_fault(1, None);
    let skip = polling.count();
    polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);

    // And back to the second, when the first is there and silent.
    let skip = polling.count();
    plant.registers.set_fault(1, Some(Fault::NoAnswer));
    polling.wait_behind(skip, "THP", &Value::Float64(2.0), 192);
    let skip = polling.count();
    plant.registers.set_fault(1, None);
    polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
    let skip = polling.count();
    drop(plant);
    polling.wait_behind(skip, "THP", &Value::Float64(2.0), 192);
}

#[test]
fn a_connection_that_the_far_end_closes_is_told_before_anything_is_asked() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(7.0));
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[
            ("scan: 1h", &[("A", "{address: 40001, as: f32}")]),
            ("scan: 100ms", &[("LINK", "{diagnostic: link_state}")]),
        ],
    );
    polling.wait("A", &Value::Float64(7.0), 192);
    polling.wait("LINK", &Value::Int64(3), 192);
    let requests = plant.registers.requests();
    let skip = polling.count();
    plant.server.disconnect_all();
    polling.wait_behind(skip, "LINK", &Value::Int64(1), 192);
    assert_eq!(polling.links[0].report().state, LinkState::Down);
    assert_eq!(plant.registers.requests(), requests, "nothing was asked for it");
}

#[test]
fn a_device_that_closes_idle_connections_loses_no_scan() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    let polling = Polling::start(&plant.server.local_addr().to_string(), &[(SCAN, THP)]);
    polling.wait("THP", &Value::Float64(1.0), 192);
    for closed in 1..=5 {
        plant.server.disconnect_all();
        let skip = polling.count();
        polling.collected.wait("a new connection", |_| plant.server.accepted() > closed);
        polling.wait_behind(skip, "THP", &Value::Float64(1.0), 192);
    }
    assert_eq!(polling.qualities("THP"), [32, 192]);
}

#[test]
fn a_port_that_is_taken_is_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut modem = Modem::new(&address);
    modem.set(1.0);
    let polling = Polling::over(&[(&format!("tcp-listen://{address}"), &[(SCAN, THP)])]);
    polling.wait("THP", &Value::Null, 8);
    drop(taken);
    modem.dial(Framing::Tcp);
    polling.wait("THP", &Value::Float64(1.0), 192);
}

#[test]
fn enron_registers_hold_32_bits_each() {
    let plant = Plant::new();
    plant.registers.set_long(1, 5_001, &[70_000, u32::MAX]);
    plant.registers.set_long(1, 7_001, &[12.5_f32.to_bits(), (-0.25_f32).to_bits()]);
    plant.registers.set(1, Address { table: Table::HoldingRegisters, offset: 3_001 }, &[42]);
    let fields = format!("addressing: 0, enron: true, {SCAN}");
    let fields = fields.as_str();
    let polling = Polling::over(&[(
        &format!("tcp://{}", plant.server.local_addr()),
        &[(
            fields,
            &[
                ("TOTAL", "{address: 5001, as: u32, order: ABCD}"),
                ("MISSING", "{address: 5002, as: i32, sentinel: -1}"),
                ("FLOW", "{address: 7001, as: f32, order: ABCD}"),
                ("DENSITY", "{address: 7002, as: f32, order: ABCD, scale: -4}"),
                ("STATUS", "{address: 3001, as: u16}"),
            ],
        )],
    )]);
    polling.wait("TOTAL", &Value::Int64(70_000), 192);
    polling.wait("MISSING", &Value::Null, 16);
    polling.wait("FLOW", &Value::Float64(12.5), 192);
    polling.wait("DENSITY", &Value::Float64(1.0), 192);
    polling.wait("STATUS", &Value::Int64(42), 192);
}
