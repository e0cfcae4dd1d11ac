//! Units that share a line, and connections that do not.

use std::sync::atomic::{AtomicU64, Ordering};

use ducto_graph::operator::LinkState;

use super::*;

const VALUE: &[(&str, &str)] = &[("A", "{address: 40001, as: f32}")];

#[test]
fn one_unit_number_on_two_lines_is_two_devices() {
    let (dead, living) = (Plant::new(), Plant::new());
    dead.set(1, 0, F32, Raw::Float(1.0));
    living.set(1, 0, F32, Raw::Float(2.0));
    dead.registers.set_fault(1, Some(Fault::NoAnswer));
    let (one, other) = (format!("tcp://{}", dead.server.local_addr()), format!("tcp://{}", living.server.local_addr()));
    let polling = Polling::over(&[
        (&one, &[(SCAN, &[("DEAD", "{address: 40001, as: f32}")])]),
        (&other, &[(SCAN, &[("LIVING", "{address: 40001, as: f32}")])]),
    ]);
    polling.wait("LIVING", &Value::Float64(2.0), 192);
    polling.wait("DEAD", &Value::Null, 24);
    let before = living.registers.requests();
    polling.collected.wait("thirty more scans", |_| living.registers.requests() >= before + 30);
    assert_eq!(polling.qualities("LIVING"), [32, 192]);
    dead.registers.set_fault(1, None);
    polling.wait("DEAD", &Value::Float64(1.0), 192);
}

#[test]
fn the_plan_of_a_site_is_made_once_for_devices_that_are_alike() {
    let plant = Plant::new();
    for unit in 1..=3 {
        plant.set(unit, 0, F32, Raw::Float(unit.into()));
    }
    let address = plant.server.local_addr().to_string();
    let tags = |unit: u8| format!("unit_id: {unit}, {SCAN}");
    let (a, b, c) = (tags(1), tags(2), tags(3));
    let polling = Polling::start(
        &address,
        &[
            (&a, &[("A", "{address: 40001, as: f32}")]),
            (&b, &[("B", "{address: 40001, as: f32}")]),
            (&c, &[("C", "{address: 40001, as: f32, scale: 10}")]),
        ],
    );
    polling.wait("A", &Value::Float64(1.0), 192);
    polling.wait("B", &Value::Float64(2.0), 192);
    polling.wait("C", &Value::Float64(30.0), 192);
}

/// A device that counts the requests of each second.
struct Counting {
    registers: Registers,
    requests: AtomicU64,
}

impl modbus::Device for Counting {
    fn handle(&self, unit: u8, request: &modbus::Request) -> modbus::Reply {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.registers.handle(unit, request)
    }
}

#[test]
fn a_poll_budget_is_kept() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let device = Arc::new(Counting { registers: Registers::new(), requests: AtomicU64::new(0) });
    for unit in 1..=2 {
        let at = Address { table: Table::HoldingRegisters, offset: 0 };
        device.registers.set_value(unit, at, F32, Order::Cdab, &Raw::Float(unit.into())).unwrap();
    }
    let server = runtime.block_on(Server::bind("127.0.0.1:0", device.clone())).unwrap();
    let started = Instant::now();
    let polling = Polling::start(
        &server.local_addr().to_string(),
        &[
            (&format!("unit_id: 1, poll_budget: 600, {SCAN}"), VALUE),
            (&format!("unit_id: 2, poll_budget: 1200, {SCAN}"), &[("B", "{address: 40001, as: f32}")]),
        ],
    );
    polling.wait("A", &Value::Float64(1.0), 192);
    polling.wait("B", &Value::Float64(2.0), 192);
    polling.collected.wait("twenty requests", |_| device.requests.load(Ordering::Relaxed) >= 20);
    // The tighter of the two: 600 a minute are one each 100 ms.
    let least = StdDuration::from_millis(100) * (device.requests.load(Ordering::Relaxed) as u32 - 1);
    assert!(started.elapsed() >= least, "{:?} for what may not take less than {least:?}", started.elapsed());
    assert!(polling.links[0].report().overruns > 0, "what the budget does not allow is missed, and counted");
}

#[test]
fn a_connection_tells_of_itself() {
    let plant = Plant::new();
    plant.set(1, 0, F32, Raw::Float(1.0));
    let polling = Polling::start(
        &plant.server.local_addr().to_string(),
        &[(
            SCAN,
            &[
                ("THP", "{address: 40001, as: f32}"),
                ("GONE", "{address: 40901, as: f32}"),
                ("LINK", "{diagnostic: link_state}"),
                ("TRIP", "{diagnostic: round_trip}"),
                ("BUSY", "{diagnostic: utilisation}"),
                ("OVERRUN", "{diagnostic: cycle_overrun}"),
                ("LOST", "{diagnostic: errors_timeout}"),
                ("WRONG", "{diagnostic: errors_exception_2}"),
                ("CUT", "{diagnostic: errors_connect}"),
            ],
        )],
    );
    polling.wait("THP", &Value::Float64(1.0), 192);
    polling.wait("LINK", &Value::Int64(3), 192);
    polling.wait("OVERRUN", &Value::Int64(0), 192);
    polling.wait("WRONG", &Value::Int64(1), 192);
    let trip = polling.newest("TRIP").0.as_f64().unwrap();
    assert!(trip > 0.0 && trip < 300.0, "{trip} ms");
    let busy = polling.newest("BUSY").0.as_f64().unwrap();
    assert!((0.0..=100.0).contains(&busy), "{busy} %");
    assert_eq!(polling.newest("LOST"), (Value::Int64(0), 192));
    let report = polling.links[0].report();
    assert_eq!((report.state, report.devices, report.silent), (LinkState::Up, 1, 0));
    assert_eq!(report.errors.get("exception 2"), Some(&1));
    assert!(report.round_trip.is_some() && report.requests > 0);

    plant.registers.set_fault(1, Some(Fault::NoAnswer));
    polling.wait("LINK", &Value::Int64(2), 192);
    polling.wait("LOST", &Value::Int64(1), 192);
    drop(plant);
    polling.wait("LINK", &Value::Int64(1), 192);
    // That it is gone is known before anybody has tried to connect again.
    polling.wait_until("CUT", "an attempt to connect", |value| value.as_f64() >= Some(1.0));
    assert_eq!(polling.links[0].report().state, LinkState::Down);
    assert!(polling.links[0].report().last_error.is_some());
}

#[test]
fn many_devices_do_not_want_everything_at_once() {
    let period = StdDuration::from_secs(1);
    let mut phases: Vec<StdDuration> = (0..1_000)
        .map(|index| poller::phase(&format!("tcp://10.0.{}.{}:502", index / 250, index % 250), period))
        .collect();
    phases.sort_unstable();
    assert!(phases[0] < period / 100 && phases[999] < period && phases[999] > period * 99 / 100);
    // No tenth of a second has much more than a tenth of them.
    for tenth in 0..10 {
        let from = period / 10 * tenth;
        let count = phases.iter().filter(|phase| **phase >= from && **phase < from + period / 10).count();
        assert!((70..=130).contains(&count), "{count} in tenth {tenth}");
    }
}
