//! `ducto bench modbus`: many devices polled over Modbus TCP, on the wall clock. The devices are another process, so that
//! what is measured is the engine alone.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ducto_graph::operator::LinkState;
use ducto_runtime::{ClockMode, RunningSite, SinkChoice};
use ducto_simulator::load::{Load, ORDER, Size};
use serde_json::json;

use super::{measure, site};
use crate::cli::{DevicesArgs, ModbusArgs};
use crate::output::{Exit, Failure, Output};
use crate::simulate::not_started;

/// Reads, checks and alarms; the lines of the sinks follow.
const PIPELINE: &str = "\
pipeline: field
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  alarms: {type: alarm, inputs: [checked]}
sinks:
";

/// Without history.
const SINKS: &str = "  events: {type: log, inputs: [alarms]}\n";

/// How long all devices may take to answer first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between everything being up and the beginning of what is measured.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ModbusArgs, output: &Output) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Data, error.to_string());
    let devices = Devices::start(Size { endpoints: args.connections, tags: args.tags })?;
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(args.data.as_deref())?;
    let path = write(folder.path(), &devices.ports, args.tags, args.workers, SINKS).map_err(|error| failed(&error))?;
    let loading = Instant::now();
    let loaded = site::load(&path, &registry)?;
    let load_seconds = loading.elapsed().as_secs_f64();
    let load_rss = measure::memory("VmRSS");
    let opening = Instant::now();
    let mut running = site::start(&loaded, &registry, &folder.data(), ClockMode::Wall, true, SinkChoice::All)?;
    let open_seconds = opening.elapsed().as_secs_f64();

    let started = Instant::now();
    while !all_up(&running) {
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(
                Exit::Peer,
                "not every device answers: more connections than this machine carries",
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(SETTLE);
    let before = Counts::of(&running);
    let (wall, cpu) = (Instant::now(), measure::process_cpu());
    std::thread::sleep(Duration::from_secs(args.seconds));
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), measure::process_cpu() - cpu);
    let after = Counts::of(&running);
    let (rss, peak) = (measure::memory("VmRSS"), measure::memory("VmHWM"));
    let dropped = running.intake().dropped_rows();
    running.stop().map_err(|error| failed(&error))?;
    drop(devices);

    let samples = (after.samples - before.samples) as f64;
    let expected = (args.connections * args.tags) as f64 * wall;
    output.object(&json!({
        "bench": "modbus",
        "connections": args.connections,
        "tags": args.connections * args.tags,
        "seconds": wall,
        "load_seconds": load_seconds,
        "load_rss_bytes": load_rss,
        "open_seconds": open_seconds,
        "cores": cpu / wall,
        "cpu_ns_per_sample": cpu * 1e9 / samples,
        "rss_bytes": rss,
        "peak_rss_bytes": peak,
        // With the states of all nodes at the end, encoded.
        "stop_peak_rss_bytes": measure::memory("VmHWM"),
        "samples_per_second": samples / wall,
        "percent_of_samples_due": samples / expected * 100.0,
        "requests_per_second": (after.requests - before.requests) as f64 / wall,
        "overruns": after.overruns - before.overruns,
        "errors": after.errors - before.errors,
        "dropped_rows": dropped,
    }));
    Ok(if after.overruns > before.overruns { Exit::Findings } else { Exit::Done })
}

pub(super) fn all_up(running: &RunningSite) -> bool {
    running
        .feeders()
        .iter()
        .all(|feeder| feeder.link.as_ref().is_some_and(|link| link.state == LinkState::Up && link.round_trip.is_some()))
}

/// What has been counted so far.
struct Counts {
    samples: u64,
    requests: u64,
    overruns: u64,
    errors: u64,
}

impl Counts {
    fn of(running: &RunningSite) -> Self {
        let links: Vec<_> = running.feeders().into_iter().filter_map(|feeder| feeder.link).collect();
        let checked = running.status().into_iter().flat_map(|pipeline| pipeline.nodes);
        Self {
            samples: checked.filter(|node| &*node.id == "checked").map(|node| node.counts.rows_in).sum(),
            requests: links.iter().map(|link| link.requests).sum(),
            overruns: links.iter().map(|link| link.overruns).sum(),
            errors: links.iter().flat_map(|link| link.errors.values()).sum(),
        }
    }
}

/// A site of as many wells as there are devices, as an integrator would write it.
pub(super) fn write(
    folder: &Path,
    ports: &[u16],
    tags: usize,
    workers: usize,
    sinks: &str,
) -> std::io::Result<PathBuf> {
    let site = folder.join("site");
    let mut template = format!(
        "templates:\n  rtu:\n    kind: well\n    parameters: {{port: {{type: integer}}}}\n    connection: {{type: modbus, \
         endpoint: \"tcp://127.0.0.1:${{port}}\", order: {ORDER}, scan: 1s}}\n    tags:\n",
    );
    for tag in 0..tags {
        let alarm = if tag % 10 == 0 { ", alarms: {H: 300}" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            template,
            "      V{tag:03}: {{address: {}, as: f32, unit: psig, span: [0, 400]{alarm}}}",
            400_001 + 2 * tag
        );
    }
    let mut assets = String::from("asset;template;port\n");
    for (number, port) in ports.iter().enumerate() {
        let _ = writeln!(assets, "W{number};rtu;{port}");
    }
    std::fs::create_dir_all(site.join("pipelines"))?;
    std::fs::write(
        site.join("site.yaml"),
        format!(
            "site: BENCH\nmemory: 256MB\nworkers: {workers}\ninclude: [templates.yaml]\nassets: [assets.csv]\npipelines: [{{use: field}}]\n"
        ),
    )?;
    std::fs::write(site.join("templates.yaml"), template)?;
    std::fs::write(site.join("assets.csv"), assets)?;
    std::fs::write(site.join("pipelines/field.yaml"), format!("{PIPELINE}{sinks}"))?;
    Ok(site)
}

/// The devices' process; it ends with this one.
pub(super) struct Devices {
    process: Child,
    pub(super) ports: Vec<u16>,
}

impl Devices {
    pub(super) fn start(size: Size) -> Result<Self, Failure> {
        let failed = |what: String| Failure::new(Exit::Data, format!("the devices cannot be started: {what}"));
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut process = Command::new(program)
            .args(["bench", "devices", &format!("{}x{}", size.endpoints, size.tags)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        }
        let ports: Vec<u16> = serde_json::from_str(&line).map_err(|error| failed(error.to_string()))?;
        Ok(Self { process, ports })
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        // It reads its standard input, and ends when that does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// `ducto bench devices`: the endpoints of `ducto simulate --load` until standard input ends. Prints their ports.
pub(super) fn devices(args: &DevicesArgs) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Data, format!("the devices cannot be told: {error}"));
    let load = Load::start(args.size, 1, "127.0.0.1:0").map_err(not_started)?;
    let ports: Vec<u16> = load.addresses().iter().map(|address| address.port()).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!(ports)).and_then(|()| out.flush()).map_err(failed)?;
    std::io::stdin().read_to_end(&mut Vec::new()).map_err(failed)?;
    Ok(Exit::Done)
}
