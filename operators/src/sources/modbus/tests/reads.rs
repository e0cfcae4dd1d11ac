//! Devices that fail at one of their reads and answer the others: that read alone is left out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use ducto_graph::operator::LinkState;
use modbus::{Reply, Request};

use super::*;

/// Offset of the registers at which unit 1 fails.
const BAD: u16 = 100;

/// Units that answer everything but, unit 1, what is asked from some offsets on.
struct Moody {
    registers: Registers,
    fault: Fault,
    bad: &'static [u16],
    ill: AtomicBool,
    /// The offset from which on it answers again.
    well: AtomicU16,
    /// Requests to unit 1 that were not answered, and of them those from each offset on.
    vain: AtomicU64,
    vain_at: Mutex<BTreeMap<u16, u64>>,
}

impl modbus::Device for Moody {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        self.registers.handle(unit, request)
    }

    fn fault_of(&self, unit: u8, pdu: &[u8]) -> Option<Fault> {
        let Ok(Request::ReadHoldingRegisters { address, .. }) = Request::decode(pdu) else { return None };
        let well = address == self.well.load(Ordering::Relaxed);
        let fails = unit == 1 && self.ill.load(Ordering::Relaxed) && self.bad.contains(&address) && !well;
        fails.then(|| {
            self.vain.fetch_add(1, Ordering::Relaxed);
            *self.vain_at.lock().unwrap().entry(address).or_default() += 1;
            self.fault.clone()
        })
    }
}

/// Unit 1 with `GOOD`, `BAD` and `LAST` in one poll group and `SLOW` in another, and unit 2 with `OTHER`.
fn poll(fault: Fault, bad: &'static [u16]) -> (Arc<Moody>, Server, tokio::runtime::Runtime, Polling) {
    poll_at(fault, bad, "scan: 400ms, response_timeout: 350ms, request_cost: 0")
}

/// As [`poll`], but for the timings of the fast group.
fn poll_at(fault: Fault, bad: &'static [u16], fast: &str) -> (Arc<Moody>, Server, tokio::runtime::Runtime, Polling) {
    let registers = Registers::new();
    for unit in 1..=2 {
        for offset in [0, 100, 200, 300] {
            let at = Address { table: Table::HoldingRegisters, offset };
            registers.set_value(unit, at, F32, Order::Cdab, &Raw::Float(f64::from(offset))).unwrap();
        }
    }
    let device = Arc::new(Moody {
        registers,
        fault,
        bad,
        ill: AtomicBool::new(true),
        well: AtomicU16::new(u16::MAX),
        vain: AtomicU64::new(0),
        vain_at: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind("127.0.0.1:0", device.clone())).unwrap();
    // A unit has one timeout.
    let (_, rest) = fast.split_once(", ").unwrap();
    let polling = Polling::start(
        &server.local_addr().to_string(),
        &[
            (
                fast,
                &[
                    ("GOOD", "{address: 40001, as: f32}"),
                    ("BAD", "{address: 40101, as: f32}"),
                    ("LAST", "{address: 40201, as: f32}"),
                ],
            ),
            (&format!("scan: 3100ms, {rest}"), &[("SLOW", "{address: 40301, as: f32}")]),
            (&format!("unit_id: 2, {fast}"), &[("OTHER", "{address: 40001, as: f32}")]),
        ],
    );
    (device, server, runtime, polling)
}

/// Times in microseconds and qualities of each tag.
fn seen(polling: &Polling) -> BTreeMap<String, Vec<(i64, u16)>> {
    super::dead::seen(polling)
}

fn fails_at_one_read(fault: Fault) {
    let (device, _server, _runtime, polling) = poll(fault, &[BAD]);
    super::dead::wait_for_values(&polling, "OTHER", 25);
    let seen = seen(&polling);
    for (tag, period) in [("GOOD", 400_000), ("LAST", 400_000), ("OTHER", 400_000), ("SLOW", 3_100_000)] {
        assert_eq!(polling.qualities(tag), [32, 192], "{tag}: {:?}", seen[tag]);
        let rate = super::dead::rate(&seen[tag], period);
        assert!((0.95..=1.5).contains(&rate), "{tag}, {rate}: {:?}", seen[tag]);
    }
    assert_eq!(polling.qualities("BAD"), [32, 24], "{:?}", seen["BAD"]);
    assert!(seen["BAD"].len() >= 20, "a sample each scan: {:?}", seen["BAD"]);
    // Some ten seconds: two tries, then one after each pause of 1, 2, 4 s.
    let vain = device.vain.load(Ordering::Relaxed);
    assert!((3..=8).contains(&vain), "{vain} requests in vain");
    let report = polling.links[0].report();
    assert_eq!((report.state, report.devices, report.silent), (LinkState::Partial, 2, 0));

    device.ill.store(false, Ordering::Relaxed);
    polling.wait("BAD", &Value::Float64(100.0), 192);
    assert_eq!(polling.links[0].report().state, LinkState::Up);
}

#[test]
fn a_read_that_is_never_answered_costs_only_itself() {
    fails_at_one_read(Fault::NoAnswer);
}

#[test]
fn a_read_at_which_the_device_hangs_up_costs_only_itself() {
    fails_at_one_read(Fault::Close);
}

#[test]
fn a_read_that_is_answered_by_garbage_costs_only_itself() {
    fails_at_one_read(Fault::Garbage(vec![0xFF; 40]));
}

#[test]
fn of_a_dead_unit_with_many_reads_no_more_is_asked_than_of_one_with_a_single_read() {
    let (device, _server, _runtime, polling) = poll(Fault::NoAnswer, &[0, 100, 200, 300]);
    super::dead::wait_for_values(&polling, "OTHER", 25);
    let seen = seen(&polling);
    let rate = super::dead::rate(&seen["OTHER"], 400_000);
    assert!(rate >= 0.95, "{rate}: {:?}", seen["OTHER"]);
    let vain = device.vain.load(Ordering::Relaxed);
    assert!((3..=9).contains(&vain), "{vain} requests in vain");
    for tag in ["GOOD", "BAD", "LAST", "SLOW"] {
        assert_eq!(polling.qualities(tag), [32, 24], "{tag}: {:?}", seen[tag]);
    }
    let report = polling.links[0].report();
    assert_eq!((report.state, report.silent), (LinkState::Partial, 1));

    device.ill.store(false, Ordering::Relaxed);
    let skip = polling.count();
    polling.wait("GOOD", &Value::Float64(0.0), 192);
    for (tag, value) in [("BAD", 100.0), ("LAST", 200.0), ("SLOW", 300.0)] {
        polling.wait_behind(skip, tag, &Value::Float64(value), 192);
    }
    assert_eq!(polling.links[0].report().state, LinkState::Up);
}

#[test]
fn two_reads_of_four_that_are_never_answered_cost_only_themselves() {
    let (_device, _server, _runtime, polling) = poll(Fault::NoAnswer, &[0, 100]);
    super::dead::wait_for_values(&polling, "LAST", 25);
    for tag in ["LAST", "SLOW", "OTHER"] {
        let seen = &seen(&polling)[tag];
        // Until it is known which of them it is, the unit was left alone once.
        let lost = seen.iter().filter(|(_, quality)| *quality == 24).count();
        assert!(lost <= 6, "{tag}: {seen:?}");
    }
    for tag in ["GOOD", "BAD"] {
        assert_eq!(polling.qualities(tag), [32, 24]);
    }
}

/// Where a wait in vain is longer than a scan, so that what is left alone is asked seldom.
const DEAR: &str = "scan: 200ms, response_timeout: 250ms, request_cost: 0";

#[test]
fn a_read_comes_back_while_another_of_its_unit_is_still_dead() {
    let (device, _server, _runtime, polling) = poll_at(Fault::NoAnswer, &[BAD, 300], DEAR);
    let tries = |offset| device.vain_at.lock().unwrap().get(&offset).copied().unwrap_or_default();
    polling.collected.wait("both to be left alone", |_| tries(BAD) > 1 && tries(300) > 1);
    assert_eq!(polling.qualities("BAD"), [32, 24]);
    device.well.store(BAD, Ordering::Relaxed);
    polling.wait("BAD", &Value::Float64(100.0), 192);
    assert_eq!(polling.qualities("SLOW"), [32, 24]);
}

#[test]
fn a_dead_unit_with_many_reads_is_waited_for_as_seldom_as_one_with_a_single_read() {
    let (device, _server, _runtime, polling) =
        poll_at(Fault::NoAnswer, &[0, 100, 200, 300], "scan: 200ms, response_timeout: 500ms, request_cost: 0");
    polling.collected.wait("two tries", |_| device.vain.load(Ordering::Relaxed) >= 2);
    let skip = seen(&polling)["OTHER"].len();
    super::dead::wait_for_values(&polling, "OTHER", 60 + skip);
    let seen = seen(&polling);
    let samples = &seen["OTHER"][seen["OTHER"].len() - 58..];
    let rate = super::dead::rate(samples, 200_000);
    assert!(rate >= 0.95, "{rate}: {samples:?}");
    let vain = device.vain.load(Ordering::Relaxed);
    assert!((2..=4).contains(&vain), "{vain} requests in vain");
}
