//! A site against devices that share no line with us: pymodbus over TCP and on a serial line, from registers to Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod line;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::operator::Resources;
use ducto_graph::source::Sources;
use ducto_operators::sinks::Historians;
use ducto_record::{Batch, Quality, Value};
use ducto_runtime::{ClockMode, Options, RunningSite, SinkChoice, TapReader};
use ducto_storage::DataFolder;

/// Longest wait for anything: machines that test are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The device; gone when dropped.
struct Device(Child);

impl Device {
    /// `place` is a port, or the path of a serial line.
    fn start(place: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("DUCTO_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        let child = Command::new(&python)
            .arg(root.join("tests/peers/modbus_device.py"))
            .arg(place)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`{}` does not start ({error}); run `make setup`", python.display()));
        Self(child)
    }

    fn listening(port: u16) -> Self {
        let device = Self::start(&port.to_string());
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "the device does not listen; run `make setup`");
            std::thread::yield_now();
        }
        device
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn write_site(folder: &Path, endpoint: &str) {
    let template = format!(
        "\
templates:
  rtu:
    kind: well
    parameters: {{unit_id: {{type: integer}}}}
    connection:
      type: modbus
      endpoint: \"{endpoint}\"
      unit_id: \"${{unit_id}}\"
      addressing: 40001
      scan: 200ms
      connect_timeout: 2s
      response_timeout: 1s
    tags:
      FIRST: {{address: 40001, as: f32, unit: psig, span: [0, 5000]}}
      BELOW: {{address: 40003, as: f32}}
      LARGE: {{address: 40005, as: f32}}
      SMALL: {{address: 40007, as: f32}}
      WIDE: {{address: 40011, as: f64}}
      SIGNED: {{address: 40021, as: i16}}
      UNSIGNED: {{address: 40022, as: u16}}
      SWAPPED: {{address: 40025, as: f32, order: CDAB}}
      NAME: {{address: 40031, as: \"string(2)\"}}
      DECIMAL: {{address: 40041, as: bcd16}}
      INPUT: {{address: 30008, as: u16, scale: 0.1}}
      EVEN: {{address: 10001, as: bool}}
      ODD: {{address: 10002, as: bool}}
      BEYOND: {{address: 40900, as: u16}}
"
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("templates.yaml"), template).unwrap();
    std::fs::write(folder.join("wells.csv"), "asset;template;unit_id\nA;rtu;1\nB;rtu;2\nGONE;rtu;9\n").unwrap();
    write_pipeline(folder);
}

/// `site.yaml`, and the pipeline that all sites here run.
fn write_pipeline(folder: &Path) {
    let site = "\
site: PEER
include: [templates.yaml]
assets: [wells.csv]
pipelines: [{use: peer}]
";
    let pipeline = "\
pipeline: peer
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
sinks:
  history: {type: historian, inputs: [checked], dataset: history}
";
    std::fs::create_dir_all(folder.join("pipelines")).unwrap();
    std::fs::write(folder.join("site.yaml"), site).unwrap();
    std::fs::write(folder.join("pipelines/peer.yaml"), pipeline).unwrap();
}

fn start(folder: &Path) -> RunningSite {
    let registry = ducto_operators::registry();
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let site = load_site(&folder.join("site"), &registry, &mut sources, &mut diagnostics)
        .unwrap_or_else(|| panic!("{}", diagnostics.render(&sources, false)));
    let data = DataFolder::open(&folder.join("data")).unwrap();
    let mut resources = Resources::default();
    resources.insert(Arc::new(Historians::open(Arc::new(data)).unwrap()));
    let options = Options {
        mode: ClockMode::Wall,
        last_epoch: 0,
        resources,
        feeders: true,
        sinks: SinkChoice::All,
        durable: None,
    };
    RunningSite::start(&site, &registry, options).unwrap()
}

/// The newest value and quality of each tag, taken from a tap until a condition holds.
fn watch(
    site: &RunningSite,
    tap: &TapReader,
    what: &str,
    until: impl Fn(&BTreeMap<String, (Value, Quality)>) -> bool,
) -> BTreeMap<String, (Value, Quality)> {
    let mut newest = BTreeMap::new();
    let started = Instant::now();
    while !until(&newest) {
        assert!(started.elapsed() < PATIENCE, "{what} does not come; the newest are {newest:#?}");
        let Ok(tapped) = tap.batches.recv_timeout(Duration::from_millis(100)) else { continue };
        let Batch::Samples(samples) = tapped.batch else { continue };
        for row in 0..samples.len() {
            let name = site.site().directory.tag_name(samples.tags()[row]).to_owned();
            newest.insert(name, (samples.values().get(row), Quality(samples.quality()[row])));
        }
    }
    newest
}

/// Every tag of the two wells that are there has a value.
fn all_good(newest: &BTreeMap<String, (Value, Quality)>) -> bool {
    let good = newest.values().filter(|(_, quality)| quality.is_good()).count();
    good >= 26 && newest.len() == 42
}

/// What the device holds, as tags of two wells.
fn assert_values(newest: &BTreeMap<String, (Value, Quality)>) {
    for asset in ["A", "B"] {
        let value = |variable: &str| newest[&format!("{asset}.{variable}")].clone();
        let number = |variable: &str| value(variable).0.as_f64().unwrap();
        assert_eq!(number("FIRST"), f64::from(101.325_f32));
        assert_eq!(number("BELOW"), -40.5);
        assert_eq!(number("LARGE"), 3.5e6);
        assert_eq!(number("SMALL"), f64::from(1e-3_f32));
        assert_eq!(number("WIDE"), 1_234_567.891);
        assert_eq!(value("SIGNED").0, Value::Int64(-2));
        assert_eq!(value("UNSIGNED").0, Value::Int64(65_535));
        assert_eq!(number("SWAPPED"), 1_800.25);
        assert_eq!(value("NAME").0, Value::Text("WELL".into()));
        assert_eq!(number("DECIMAL"), 1_234.0);
        assert!((number("INPUT") - 7.0).abs() < 1e-12);
        assert_eq!(value("EVEN").0, Value::Bool(false));
        assert_eq!(value("ODD").0, Value::Bool(true));
        // An address that the device does not have costs only itself.
        assert_eq!(value("BEYOND"), (Value::Null, Quality::CONFIG_ERROR));
    }
}

#[test]
fn registers_become_history_and_a_lost_device_is_seen_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    write_site(&folder.path().join("site"), &format!("tcp://127.0.0.1:{port}"));
    let device = Device::listening(port);
    let mut site = start(folder.path());
    let tap = site.tap_every("peer", "checked", "main").unwrap();

    let newest = watch(&site, &tap, "a good value of every tag", all_good);
    assert_values(&newest);

    // A unit that nobody answers for is bad and harms nobody.
    assert!(newest["GONE.FIRST"].1.is_bad(), "{:?}", newest["GONE.FIRST"]);

    drop(device);
    let lost = watch(&site, &tap, "communication failure on every tag", |newest| {
        newest.len() == 42 && newest.values().all(|(value, quality)| quality.is_bad() && *value == Value::Null)
    });
    assert_eq!(lost["A.FIRST"].1, Quality::COMM_FAILURE);

    let device = Device::listening(port);
    watch(&site, &tap, "a good value after the loss", |newest| {
        newest.get("A.FIRST").is_some_and(|(_, quality)| quality.is_good())
    });
    site.stop().unwrap();
    drop(device);

    // What was seen is in the files, good and bad alike, each kind of value in a dataset of its own.
    let datasets = ducto_storage::dataset_names(&folder.path().join("data")).unwrap();
    assert_eq!(datasets, ["history", "history_bool", "history_int64", "history_text"]);
    for dataset in datasets {
        let manifest = ducto_storage::Manifest::load(&folder.path().join("data"), &dataset).unwrap().unwrap();
        assert!(manifest.rows() > 0, "{dataset} is empty");
    }
}
