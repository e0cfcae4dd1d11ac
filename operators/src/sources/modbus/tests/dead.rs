//! Devices that do not answer, that hang up, that refuse long reads: they cost only themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use modbus::{Reply, Request};

use super::*;

/// Units behind one gateway, and how often each was asked.
struct Gateway {
    registers: Registers,
    asked: [AtomicU64; 256],
    /// Longest read that is answered, and how others are refused.
    longest: u16,
    refusal: Exception,
}

impl Gateway {
    /// Each of the units has a value for each of its registers.
    fn new(units: std::ops::RangeInclusive<u8>, longest: u16) -> Arc<Self> {
        Self::refusing(units, longest, Exception::IllegalDataAddress)
    }

    fn refusing(units: std::ops::RangeInclusive<u8>, longest: u16, refusal: Exception) -> Arc<Self> {
        let registers = Registers::new();
        for unit in units {
            for offset in (0..100).step_by(2) {
                let at = Address { table: Table::HoldingRegisters, offset };
                registers.set_value(unit, at, F32, Order::Cdab, &Raw::Float(unit.into())).unwrap();
            }
            registers.set_bits(unit, Address { table: Table::Coils, offset: 0 }, &[true; 300]);
        }
        Arc::new(Self { registers, asked: std::array::from_fn(|_| AtomicU64::new(0)), longest, refusal })
    }

    fn asked(&self, unit: u8) -> u64 {
        self.asked[usize::from(unit)].load(Ordering::Relaxed)
    }
}

impl modbus::Device for Gateway {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        match request {
            Request::ReadHoldingRegisters { count, .. } if *count > self.longest => Err(self.refusal),
            _ => self.registers.handle(unit, request),
        }
    }

    fn fault(&self, unit: u8) -> Option<Fault> {
        self.asked[usize::from(unit)].fetch_add(1, Ordering::Relaxed);
        self.registers.fault(unit)
    }
}

/// A server on a runtime of its own.
fn serve(gateway: &Arc<Gateway>) -> (Server, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind("127.0.0.1:0", gateway.clone())).unwrap();
    (server, runtime)
}

/// One tag of each unit, named by its number.
fn poll(server: &Server, units: std::ops::RangeInclusive<u8>, timings: &str) -> Polling {
    let fields: Vec<String> = units.clone().map(|unit| format!("unit_id: {unit}, {timings}")).collect();
    let names: Vec<String> = units.map(|unit| unit.to_string()).collect();
    let tags: Vec<[(&str, &str); 1]> = names.iter().map(|name| [(&**name, "{address: 40001, as: f32}")]).collect();
    let units: Vec<_> = fields.iter().zip(&tags).map(|(fields, tags)| (&**fields, &tags[..])).collect();
    Polling::start(&server.local_addr().to_string(), &units)
}

/// Of each tag, times in microseconds and qualities in the order in which they came.
pub(super) fn seen(polling: &Polling) -> BTreeMap<String, Vec<(i64, u16)>> {
    let mut seen: BTreeMap<String, Vec<(i64, u16)>> = BTreeMap::new();
    for (_, part) in polling.collected.parts() {
        let Part::Samples { samples, .. } = part else { continue };
        for row in 0..samples.len() {
            let name = polling.directory.tag_name(samples.tags()[row]).to_owned();
            seen.entry(name).or_default().push((samples.time(row), samples.quality()[row]));
        }
    }
    seen
}

/// Values of a tag, of those that its period would give from the first to the last of them.
pub(super) fn rate(samples: &[(i64, u16)], period: i64) -> f64 {
    let good: Vec<i64> = samples.iter().filter(|(_, quality)| *quality == 192).map(|(time, _)| *time).collect();
    let (Some(first), Some(last)) = (good.first(), good.last()) else { return 0.0 };
    (good.len() - 1) as f64 / ((last - first) as f64 / period as f64).max(1.0)
}

pub(super) fn wait_for_values(polling: &Polling, tag: &str, count: usize) {
    let id = polling.directory.tag_id(tag).unwrap();
    polling.collected.wait("values of a living unit", |parts| {
        let has = |samples: &ducto_record::Samples| {
            (0..samples.len()).any(|row| samples.tags()[row] == id && samples.quality()[row] == 192)
        };
        let values = parts.iter().filter(|(_, part)| matches!(part, Part::Samples { samples, .. } if has(samples)));
        values.count() >= count
    });
}

#[test]
fn a_quarter_behind_a_gateway_is_dead_and_the_others_keep_their_rate() {
    const DEAD: [u8; 8] = [1, 2, 3, 10, 17, 18, 25, 32];
    let gateway = Gateway::new(1..=32, 125);
    DEAD.into_iter().for_each(|unit| gateway.registers.set_fault(unit, Some(Fault::NoAnswer)));
    let (server, _runtime) = serve(&gateway);
    // A dead unit holds the line up for as long as a scan's whole period.
    let polling = poll(&server, 1..=32, "scan: 500ms, response_timeout: 500ms");
    wait_for_values(&polling, "4", 40);
    let seen = seen(&polling);
    let period = 500_000;
    for unit in 1..=32 {
        let samples = &seen[&unit.to_string()];
        if !DEAD.contains(&unit) {
            assert!(rate(samples, period) >= 0.95, "unit {unit}: {samples:?}");
            continue;
        }
        let (first, _) = samples[0];
        let told: Vec<i64> =
            samples.iter().filter(|(_, quality)| *quality == 24).map(|(time, _)| time - first).collect();
        assert!(told[0] <= 3 * period, "unit {unit}: {samples:?}");
        let span = samples[samples.len() - 1].0 - first;
        assert!(told.len() as i64 <= span / period + 1, "unit {unit}: more than one a scan: {samples:?}");
        assert!(told.len() as i64 >= span / period * 8 / 10, "unit {unit}: {samples:?}");
        assert!((2..=8).contains(&gateway.asked(unit)), "unit {unit} was asked {} times", gateway.asked(unit));
    }
}

#[test]
fn the_living_keep_their_rate_even_where_a_dead_unit_is_waited_for_longer_than_their_scan() {
    const DEAD: [u8; 2] = [3, 6];
    let gateway = Gateway::new(1..=8, 125);
    DEAD.into_iter().for_each(|unit| gateway.registers.set_fault(unit, Some(Fault::NoAnswer)));
    let (server, _runtime) = serve(&gateway);
    let polling = poll(&server, 1..=8, "scan: 200ms, response_timeout: 500ms");
    polling.collected.wait("two tries of each of the dead", |_| DEAD.iter().all(|unit| gateway.asked(*unit) >= 2));
    let skip = seen(&polling)["8"].len();
    wait_for_values(&polling, "8", 60 + skip);
    let seen = seen(&polling);
    for unit in (1..=8).filter(|unit| !DEAD.contains(unit)) {
        let samples = &seen[&unit.to_string()];
        let rate = rate(&samples[samples.len() - 58..], 200_000);
        assert!(rate >= 0.95, "unit {unit}, {rate}: {samples:?}");
    }
    for unit in DEAD {
        let told = seen[&unit.to_string()].iter().filter(|(_, quality)| *quality == 24).count();
        assert!(told >= 50, "unit {unit}: {:?}", seen[&unit.to_string()]);
    }
}

/// Unit 3 of eight does something to the connection that all share.
fn harm_nobody(fault: Fault) {
    let gateway = Gateway::new(1..=8, 125);
    gateway.registers.set_fault(3, Some(fault));
    let (server, _runtime) = serve(&gateway);
    let polling = poll(&server, 1..=8, "scan: 200ms, response_timeout: 500ms");
    wait_for_values(&polling, "8", 40);
    let seen = seen(&polling);
    let period = 200_000;
    for unit in (1..=8).filter(|unit| *unit != 3) {
        let samples = &seen[&unit.to_string()];
        assert!(rate(samples, period) >= 0.95, "unit {unit}: {samples:?}");
        assert!(rate(samples, period) <= 1.1, "unit {unit} is asked more often than its scan says: {samples:?}");
    }
    // Some eight seconds: two tries, then one after each pause of 1, 2, 4 s.
    assert!((2..=8).contains(&gateway.asked(3)), "{} times", gateway.asked(3));
    assert!(server.accepted() <= gateway.asked(3) + 1, "{} connections", server.accepted());
    let told = seen["3"].iter().filter(|(_, quality)| *quality == 24).count();
    assert!(told >= 30 && !seen["3"].iter().any(|(_, quality)| *quality == 192), "{:?}", seen["3"]);

    gateway.registers.set_fault(3, None);
    polling.wait("3", &Value::Float64(3.0), 192);
}

#[test]
fn a_unit_that_makes_the_gateway_hang_up_harms_nobody() {
    harm_nobody(Fault::Close);
}

#[test]
fn a_unit_that_answers_garbage_harms_nobody() {
    harm_nobody(Fault::Garbage(vec![0xFF; 40]));
}

#[test]
fn a_connection_that_was_found_closed_is_nobodys_fault() {
    let gateway = Gateway::new(1..=2, 125);
    let (server, _runtime) = serve(&gateway);
    let polling = poll(&server, 1..=2, "scan: 300ms, response_timeout: 300ms");
    wait_for_values(&polling, "2", 1);
    // The second unit is left alone, and well again when it is asked next: first of both, since it had least of the line.
    let asked = gateway.asked(2);
    gateway.registers.set_fault(2, Some(Fault::Close));
    polling.collected.wait("two tries in vain", |_| gateway.asked(2) >= asked + 2);
    gateway.registers.set_fault(2, None);
    let skip = polling.count();
    // By then the gateway has always closed the connection, as it does with one that is idle.
    let asked = gateway.asked(1);
    let good = || polling.has_behind(skip, "2", &Value::Float64(2.0), 192);
    for scan in 1.. {
        polling.collected.wait("the next scan", |_| gateway.asked(1) >= asked + scan);
        server.disconnect_all();
        if good() {
            break;
        }
        assert!(scan < 40, "the second unit is never asked");
    }
}

/// A device that is late with one answer: that to the read behind one of offset 0.
struct Hiccup {
    registers: Registers,
    /// Milliseconds; 0 for in time.
    late: AtomicU64,
    last: AtomicU64,
}

impl modbus::Device for Hiccup {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        if let Request::ReadHoldingRegisters { address, .. } = request {
            self.last.store((*address).into(), Ordering::Relaxed);
        }
        self.registers.handle(unit, request)
    }

    fn fault(&self, _unit: u8) -> Option<Fault> {
        let late = if self.last.load(Ordering::Relaxed) == 0 { self.late.swap(0, Ordering::Relaxed) } else { 0 };
        (late > 0).then(|| Fault::Late(StdDuration::from_millis(late)))
    }
}

#[test]
fn an_answer_that_comes_very_late_is_not_taken_for_another() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registers = Registers::new();
    for (index, offset) in [0, 100, 200].into_iter().enumerate() {
        let at = Address { table: Table::HoldingRegisters, offset };
        registers.set_value(1, at, F32, Order::Cdab, &Raw::Float(index as f64)).unwrap();
    }
    let device = Arc::new(Hiccup { registers, late: AtomicU64::new(0), last: AtomicU64::new(200) });
    let server = runtime.block_on(Server::bind_framed("127.0.0.1:0", Framing::Rtu, device.clone())).unwrap();
    let polling = Polling::over(&[(
        &format!("rtu+tcp://{}", server.local_addr()),
        &[(
            "scan: 100ms, response_timeout: 100ms, request_cost: 0",
            &[
                ("0", "{address: 40001, as: f32}"),
                ("1", "{address: 40101, as: f32}"),
                ("2", "{address: 40201, as: f32}"),
            ],
        )],
    )]);
    // The unit is asked again between 200 and 300 ms after the request that it is late with.
    for late in [250, 275, 300, 325, 350, 120] {
        let skip = polling.count();
        device.late.store(late, Ordering::Relaxed);
        polling.wait_behind(skip, "1", &Value::Null, 24);
        let skip = polling.count();
        for tag in ["0", "1", "2"] {
            polling.wait_behind(skip, tag, &Value::Float64(tag.parse().unwrap()), 192);
        }
    }
    for (_, part) in polling.collected.parts() {
        let Part::Samples { samples, .. } = part else { continue };
        for row in (0..samples.len()).filter(|row| samples.quality()[*row] == 192) {
            let tag: f64 = polling.directory.tag_name(samples.tags()[row]).parse().unwrap();
            assert_eq!(samples.values().get(row), Value::Float64(tag), "a value of another tag");
        }
    }
}

#[test]
fn a_port_that_hangs_up_at_once_gives_one_sample_a_scan() {
    let gateway = Gateway::new(1..=2, 125);
    for unit in 1..=2 {
        gateway.registers.set_fault(unit, Some(Fault::Close));
    }
    let (server, _runtime) = serve(&gateway);
    let polling = poll(&server, 1..=2, "scan: 300ms, response_timeout: 300ms");
    polling.collected.wait("ten scans", |parts| parts.len() >= 20);
    for (unit, samples) in seen(&polling) {
        let told: Vec<i64> = samples.iter().filter(|(_, quality)| *quality == 24).map(|(time, _)| *time).collect();
        let span = told[told.len() - 1] - told[0];
        assert!(told.len() as i64 <= span / 300_000 + 2, "unit {unit}: {samples:?}");
        assert!(told.windows(2).all(|pair| pair[1] > pair[0]), "unit {unit}: {samples:?}");
    }
}

#[test]
fn a_device_that_refuses_long_reads_is_asked_for_shorter_ones() {
    for refusal in [Exception::IllegalDataAddress, Exception::IllegalDataValue] {
        let gateway = Gateway::refusing(1..=1, 60, refusal);
        let (server, _runtime) = serve(&gateway);
        let float = |tag| (format!("T{tag}"), format!("{{address: {}, as: f32}}", 40001 + 2 * tag));
        let coil = |tag| (format!("C{tag}"), format!("{{address: {}, as: bool}}", 1 + tag));
        let tags: Vec<(String, String)> = (0..50).map(float).chain((0..300).map(coil)).collect();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(name, fields)| (&**name, &**fields)).collect();
        let polling = Polling::start(&server.local_addr().to_string(), &[(SCAN, &tags)]);
        wait_for_values(&polling, "T49", 1);
        let (asked, scans) = (gateway.asked(1), seen(&polling)["T49"].len());
        assert!(asked >= 4, "the whole, its halves, and the coils: {asked}");
        wait_for_values(&polling, "T49", 11);
        let (asked, scans) = (gateway.asked(1) - asked, seen(&polling)["T49"].len() - scans);
        assert!(asked as usize <= 3 * (scans + 1), "{asked} requests for {scans} scans: no more in vain");
        assert_eq!(polling.qualities("T0"), [32, 192]);
    }
}
