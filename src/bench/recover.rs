//! `ducto bench recover`: a site is killed with so much journal behind its checkpoint, and starts again, beside devices
//! that answer.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ducto_record::Layout;
use ducto_runtime::{ClockMode, SinkChoice};
use ducto_simulator::load::Size;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use super::input::Input;
use super::modbus::{self, Devices};
use super::{site, w1};
use crate::cli::{BenchValues, RecoverArgs};
use crate::output::{Exit, Failure, Output};

const DEVICES: usize = 100;

const SINKS: &str = "\
  history: {type: historian, inputs: [checked], dataset: history}
  events: {type: historian, inputs: [alarms], dataset: alarm_events}
";

/// How long the site may take to read every device, and to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(args: &RecoverArgs, output: &Output) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Data, error.to_string());
    if let Some(folder) = &args.dies_in {
        return die(args, folder);
    }
    let size = Size { endpoints: DEVICES, tags: args.tags.div_ceil(DEVICES) };
    let devices = Devices::start(size)?;
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(None)?;
    let path = modbus::write(folder.path(), &devices.ports, size.tags, 1, SINKS).map_err(|error| failed(&error))?;

    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let status = Command::new(program)
        .args(["bench", "recover", "--tags", &args.tags.to_string(), "--seconds", &args.seconds.to_string()])
        .arg("--dies-in")
        .arg(folder.path())
        .status()
        .map_err(|error| failed(&error))?;
    if std::os::unix::process::ExitStatusExt::signal(&status) != Some(Signal::KILL.as_raw()) {
        return Err(failed(&format!("the process that was to be killed ended otherwise: {status}")));
    }

    let started = Instant::now();
    let loaded = site::load(&path, &registry)?;
    let data = site::open(&folder.data())?;
    let mut running = site::start_on(&loaded, &registry, &data, ClockMode::Wall, true, SinkChoice::All, true)?;
    // Entries of the devices may be behind it already.
    let last = running.log().last_epoch();
    let opened = started.elapsed();
    let (mut reading, mut caught_up) = (None, None);
    while (reading.is_none() || caught_up.is_none()) && started.elapsed() < PATIENCE {
        if reading.is_none() && modbus::all_up(&running) {
            reading = Some(started.elapsed().as_secs_f64());
        }
        if caught_up.is_none() && running.log().wait_done(last, Duration::from_millis(5)) {
            caught_up = Some(started.elapsed().as_secs_f64());
        }
    }
    let status = running.status();
    let lost: u64 = status.iter().map(|pipeline| pipeline.lost_entries).sum();
    let again = status.iter().flat_map(|pipeline| &pipeline.nodes).map(|node| node.counts.rows_in).max().unwrap_or(0);
    running.stop().map_err(|error| failed(&error))?;
    drop(devices);
    let fed = (size.endpoints * size.tags) as u64 * args.seconds;
    output.object(&json!({
        "bench": "recover",
        "tags": size.endpoints * size.tags,
        "devices": size.endpoints,
        "seconds": args.seconds,
        "samples_before": fed,
        "opened_seconds": opened.as_secs_f64(),
        // Since the start of the process's work: every device has answered.
        "reading_all_devices_seconds": reading,
        "caught_up_seconds": caught_up,
        // With what the devices brought since.
        "samples_processed": again,
        "lost_entries": lost,
    }));
    // Without all of them there was nothing to catch up with.
    let done = lost == 0 && again >= fed && reading.is_some() && caught_up.is_some();
    Ok(if done { Exit::Done } else { Exit::Findings })
}

/// Brings the samples into the journal of the site in a folder, and kills this process.
fn die(args: &RecoverArgs, folder: &Path) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let loaded = site::load(&folder.join("site"), &registry)?;
    let ids: Vec<_> = (0..loaded.tags.len() as u32).collect();
    let rows: Vec<u64> = ids.iter().map(|id| u64::from(*id)).collect();
    let data = site::open(&folder.join("data"))?;
    let running = site::start_on(&loaded, &registry, &data, ClockMode::Virtual, false, SinkChoice::All, true)?;
    w1::feed(running.intake().clone(), Input::new(BenchValues::Full, 0.0), Layout::new(ids), rows, args.seconds)?;
    let last = running.log().last_epoch();
    while !running.log().wait_durable(last, Duration::from_secs(1)) {}
    kill_process(getpid(), Signal::KILL).map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    Ok(Exit::Done)
}
