//! Serial lines: pairs of pseudo-terminals that socat joins.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use modbus::server::serve;
use modbus::{
    Address, Device as Units, Fault, Framing, Line, Order, Parity, Registers, Reply, Request, Serial, Table,
    Value as Raw, ValueType,
};

use super::*;

/// A serial line with two ends; gone when dropped, as a converter that is pulled out.
struct Pair {
    socat: Child,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Pair {
    fn new(folder: &Path) -> Self {
        let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
        let end = |path: &Path| format!("pty,rawer,link={}", path.display());
        let socat = Command::new("socat")
            .args([end(&ours), end(&theirs)])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("socat does not start ({error}); run `make setup`"));
        let pair = Self { socat, ours, theirs };
        let started = Instant::now();
        while !(pair.ours.exists() && pair.theirs.exists()) {
            assert!(started.elapsed() < PATIENCE, "socat makes no terminals");
            std::thread::yield_now();
        }
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.socat.kill();
        let _ = self.socat.wait();
        for end in [&self.ours, &self.theirs] {
            let _ = std::fs::remove_file(end);
        }
    }
}

#[test]
fn a_serial_line_is_read_and_found_again_when_it_was_gone() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let endpoint = format!("serial://{}?baud=38400&parity=none", pair.ours.display());
    write_site(&folder.path().join("site"), &endpoint);
    let device = Device::start(pair.theirs.to_str().unwrap());
    let mut site = start(folder.path());
    let tap = site.tap_every("peer", "checked", "main").unwrap();
    let newest = watch(&site, &tap, "a good value of every tag", all_good);
    assert_values(&newest);
    assert!(newest["GONE.FIRST"].1.is_bad(), "{:?}", newest["GONE.FIRST"]);

    let all_lost = |newest: &BTreeMap<String, (Value, Quality)>| {
        newest.len() == 42 && newest.values().all(|(value, quality)| quality.is_bad() && *value == Value::Null)
    };
    drop(device);
    let lost = watch(&site, &tap, "communication failure on every tag", all_lost);
    assert_eq!(lost["A.FIRST"].1, Quality::COMM_FAILURE);
    let device = Device::start(pair.theirs.to_str().unwrap());
    watch(&site, &tap, "good values after the loss", all_good);

    // The converter is pulled out, and put in again.
    drop(pair);
    drop(device);
    watch(&site, &tap, "communication failure without a line", all_lost);
    let pair = Pair::new(folder.path());
    let device = Device::start(pair.theirs.to_str().unwrap());
    watch(&site, &tap, "good values over the new line", all_good);
    site.stop().unwrap();
    drop(device);
}

#[test]
fn a_line_is_nobody_elses_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let line = Line { baud: 115_200, parity: Parity::Odd, stop_bits: 2 };
    let path = pair.ours.to_str().unwrap();
    let first = Serial::open(path, line).unwrap();
    assert_eq!(Serial::open(path, line).unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    drop(first);
    assert!(Serial::open(path, line).is_ok());
    assert!(Serial::open("/dev/null", line).is_err(), "no terminal");
}

/// Units of the line; those that are dead.
const UNITS: u8 = 32;
const DEAD: [u8; 8] = [1, 2, 3, 10, 17, 18, 25, 32];
const PERIOD: Duration = Duration::from_secs(1);
/// How long rates are measured.
const SCANS: i64 = 15;

/// The units of the line, and how often each was asked.
struct Asked {
    registers: Registers,
    times: [AtomicU64; UNITS as usize + 1],
}

impl Units for Asked {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        self.registers.handle(unit, request)
    }

    fn fault(&self, unit: u8) -> Option<Fault> {
        self.times[usize::from(unit)].fetch_add(1, Ordering::Relaxed);
        self.registers.fault(unit)
    }
}

/// All units of a line, on a thread of their own.
fn run_line(path: &Path, device: Arc<Asked>, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let path = path.to_str().unwrap().to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let serial = Serial::open(&path, Line::default()).unwrap();
            let stopped = async {
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                served = serve(serial, Framing::Rtu, &*device) => served.unwrap(),
                () = stopped => {}
            }
        });
    })
}

#[test]
fn a_quarter_of_a_line_is_dead_and_the_others_keep_their_rate() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let device = Arc::new(Asked { registers: Registers::new(), times: std::array::from_fn(|_| AtomicU64::new(0)) });
    for unit in 1..=UNITS {
        for offset in [0, 40] {
            let at = Address { table: Table::HoldingRegisters, offset };
            device.registers.set_value(unit, at, ValueType::F32, Order::Abcd, &Raw::Float(unit.into())).unwrap();
        }
        device.registers.set_fault(unit, DEAD.contains(&unit).then_some(Fault::NoAnswer));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let line = run_line(&pair.theirs, device.clone(), stop.clone());

    let template = format!(
        "\
templates:
  rtu:
    kind: well
    parameters: {{unit_id: {{type: integer}}}}
    connection:
      type: modbus
      endpoint: \"serial://{}\"
      unit_id: \"${{unit_id}}\"
      scan: 1s
      response_timeout: 200ms
      request_cost: 4
    tags:
      NEAR: {{address: 40001, as: f32}}
      FAR: {{address: 40041, as: f32}}
",
        pair.ours.display()
    );
    let site_folder = folder.path().join("site");
    std::fs::create_dir_all(&site_folder).unwrap();
    std::fs::write(site_folder.join("templates.yaml"), template).unwrap();
    let rows: String = (1..=UNITS).map(|unit| format!("W{unit};rtu;{unit}\n")).collect();
    std::fs::write(site_folder.join("wells.csv"), format!("asset;template;unit_id\n{rows}")).unwrap();
    write_pipeline(&site_folder);
    let mut site = start(folder.path());
    let tap = site.tap_every("peer", "checked", "main").unwrap();

    // Of each tag: times and qualities, in the order in which they came.
    let mut seen: BTreeMap<String, Vec<(i64, u16)>> = BTreeMap::new();
    let period = i64::try_from(PERIOD.as_micros()).unwrap();
    let started = Instant::now();
    let measured = |seen: &BTreeMap<String, Vec<(i64, u16)>>| {
        let good =
            |samples: &Vec<(i64, u16)>| samples.iter().find(|(_, quality)| *quality == 192).map(|(time, _)| *time);
        seen.values()
            .find_map(|samples| Some(samples.last()?.0 - good(samples)?))
            .is_some_and(|span| span >= SCANS * period)
    };
    while !measured(&seen) {
        assert!(started.elapsed() < PATIENCE, "the scans do not come");
        let Ok(tapped) = tap.batches.recv_timeout(Duration::from_millis(100)) else { continue };
        let Batch::Samples(samples) = tapped.batch else { continue };
        for row in 0..samples.len() {
            let name = site.site().directory.tag_name(samples.tags()[row]).to_owned();
            seen.entry(name).or_default().push((samples.time(row), samples.quality()[row]));
        }
    }
    site.stop().unwrap();
    stop.store(true, Ordering::Relaxed);
    line.join().unwrap();

    assert_eq!(seen.len(), 2 * usize::from(UNITS));
    for unit in 1..=UNITS {
        for variable in ["NEAR", "FAR"] {
            let samples = &seen[&format!("W{unit}.{variable}")];
            if DEAD.contains(&unit) {
                let (first, _) = samples[0];
                let told = samples.iter().find(|(_, quality)| *quality == 24).map(|(time, _)| *time - first);
                assert!(told.is_some_and(|after| after <= 3 * period), "W{unit}.{variable}: {samples:?}");
                // Two tries, then one at each end of a pause that doubles.
                let asked = device.times[usize::from(unit)].load(Ordering::Relaxed);
                assert!((2..=8).contains(&asked), "W{unit} was asked {asked} times");
                assert!(
                    samples.iter().all(|(_, quality)| [24, 32].contains(quality)),
                    "W{unit}.{variable}: {samples:?}"
                );
            } else {
                let good: Vec<i64> =
                    samples.iter().filter(|(_, quality)| *quality == 192).map(|(time, _)| *time).collect();
                // Scans over the time between the first and the last one.
                let span = (good[good.len() - 1] - good[0]) as f64 / period as f64;
                let rate = (good.len() - 1) as f64 / span;
                assert!(
                    span >= (SCANS - 2) as f64 && rate >= 0.95,
                    "W{unit}.{variable}: {rate} of its rate, {samples:?}"
                );
            }
        }
    }
}
