//! `ducto bench latency`: from the moment a batch is offered to the moment its alarm leaves the graph, at one sample a
//! second of each tag on the wall clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use ducto_graph::operator::Intake;
use ducto_record::{Batch, Layout, Micros, Origin, Part, Samples, Values};
use ducto_runtime::{ClockMode, SinkChoice};
use serde_json::json;

use super::{measure, site};
use crate::cli::LatencyArgs;
use crate::output::{Exit, Failure, Output};

/// Batches a second: tags come as the scans of so many devices.
const BATCHES: u64 = 100;

pub(super) const PIPELINE: (&str, &str) = (
    "latency",
    "\
pipeline: latency
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  alarms: {type: alarm, inputs: [checked], accept: good}
  minutes: {type: aggregate, inputs: [checked], every: 1m, outputs: [time_average, minimum, maximum, last, percent_good]}
sinks:
  history: {type: historian, inputs: [checked], dataset: history}
  tier: {type: historian, inputs: [minutes], dataset: minutes}
",
);

pub(super) fn run(args: &LatencyArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(args.data.as_deref())?;
    // A limit without a delay: the row that passes it raises the alarm.
    let path = site::write(folder.path(), args.workers, (0..args.tags).map(|_| 300.0), PIPELINE)?;
    let template = path.join("templates.yaml");
    let text = std::fs::read_to_string(&template).map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    std::fs::write(
        &template,
        text.replace(", deadband: 2, on_delay: 5s", "").replace("jump: {limit: 100, as: 0, rearm: never}", "jump: off"),
    )
    .map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    let loaded = site::load(&path, &registry)?;
    let mut running = site::start(&loaded, &registry, &folder.data(), ClockMode::Wall, false, SinkChoice::All)?;
    let tap = running
        .tap_every("latency", "alarms", "main")
        .map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;

    let sent: Arc<Mutex<HashMap<Micros, Instant>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let (seen_sent, seen_done) = (sent.clone(), done.clone());
    let watcher = std::thread::spawn(move || {
        let mut latencies = Vec::new();
        loop {
            match tap.batches.recv_timeout(Duration::from_millis(200)) {
                Ok(tapped) => {
                    let now = Instant::now();
                    let Batch::Rows(rows) = tapped.batch else { continue };
                    let Some(times) = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>() else { continue };
                    let sent = seen_sent.lock().unwrap_or_else(PoisonError::into_inner);
                    // One figure a batch: its alarms leave together.
                    if let Some(offered) = times.values().first().and_then(|time| sent.get(time)) {
                        latencies.push((now - *offered).as_secs_f64() * 1e3);
                    }
                }
                Err(_) if seen_done.load(Ordering::Acquire) => return latencies,
                Err(_) => {}
            }
        }
    });

    let per_batch = (args.tags / BATCHES as usize).max(1);
    let layouts: Vec<_> =
        (0..args.tags as u32).collect::<Vec<_>>().chunks(per_batch).map(|tags| Layout::new(tags.to_vec())).collect();
    let intake: Arc<dyn Intake> = running.intake().clone();
    let start = Instant::now();
    let cpu = measure::process_cpu();
    let mut samples = 0_u64;
    for second in 0..args.seconds {
        for (number, layout) in layouts.iter().enumerate() {
            let due = Duration::from_secs(second) + Duration::from_secs(1) * number as u32 / layouts.len() as u32;
            if let Some(wait) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(wait);
            }
            // One tag of the batch passes its limit every other second; the rest is as it always is.
            let mut values = vec![200.0; layout.tags.len()];
            values[second as usize % layout.tags.len()] = if second % 2 == 0 { 350.0 } else { 200.0 };
            let time = intake.now();
            let scan = Samples::scan(layout, time, Values::Float64(values.into()), None)
                .map_err(|message| Failure::new(Exit::Data, message))?;
            samples += scan.len() as u64;
            sent.lock().unwrap_or_else(PoisonError::into_inner).insert(time, Instant::now());
            intake
                .offer(Part::Samples { origin: Origin::Field, samples: scan })
                .map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
        }
    }
    running.wait_idle(Duration::from_secs(10));
    done.store(true, Ordering::Release);
    let cpu = measure::process_cpu() - cpu;
    let wall = start.elapsed().as_secs_f64();
    let mut latencies = watcher.join().unwrap_or_default();
    running.stop().map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    latencies.sort_by(f64::total_cmp);
    output.object(&json!({
        "bench": "latency",
        "tags": args.tags,
        "seconds": args.seconds,
        "samples": samples,
        "samples_per_second": samples as f64 / wall,
        "batches_with_alarms": latencies.len(),
        "p50_ms": measure::percentile(&latencies, 0.50),
        "p99_ms": measure::percentile(&latencies, 0.99),
        "max_ms": latencies.last().copied().unwrap_or_default(),
        "cores": cpu / wall,
        "peak_rss_bytes": measure::memory("VmHWM"),
    }));
    Ok(Exit::Done)
}
