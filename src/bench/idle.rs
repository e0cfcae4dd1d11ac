//! `ducto bench idle`: what a small site costs that has little to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::Intake;
use ducto_record::{Layout, Origin, Part, Samples, Values};
use ducto_runtime::{ClockMode, SinkChoice};
use serde_json::json;

use super::{measure, site};
use crate::cli::IdleArgs;
use crate::output::{Exit, Failure, Output};

/// Tags of each well.
const TAGS: usize = 8;

pub(super) fn run(args: &IdleArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(args.data.as_deref())?;
    let path = site::write(folder.path(), 1, (0..args.wells * TAGS).map(|_| 300.0), site::W1)?;
    let loaded = site::load(&path, &registry)?;
    let mut running = site::start(&loaded, &registry, &folder.data(), ClockMode::Wall, false, SinkChoice::All)?;
    let intake: Arc<dyn Intake> = running.intake().clone();
    let layouts: Vec<_> = (0..args.wells as u32)
        .map(|well| Layout::new((well * TAGS as u32..(well + 1) * TAGS as u32).collect()))
        .collect();
    let start = Instant::now();
    let cpu = measure::process_cpu();
    for second in 0..args.seconds {
        for (well, layout) in layouts.iter().enumerate() {
            let due = Duration::from_secs(second) + Duration::from_secs(1) * well as u32 / layouts.len() as u32;
            if let Some(wait) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(wait);
            }
            let values = (0..TAGS).map(|tag| 200.0 + ((second as usize + tag) % 7) as f64).collect::<Vec<_>>();
            let scan = Samples::scan(layout, intake.now(), Values::Float64(values.into()), None)
                .map_err(|message| Failure::new(Exit::Data, message))?;
            intake
                .offer(Part::Samples { origin: Origin::Field, samples: scan })
                .map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
        }
    }
    let cpu = measure::process_cpu() - cpu;
    let wall = start.elapsed().as_secs_f64();
    let rss = measure::memory("VmRSS");
    running.stop().map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    output.object(&json!({
        "bench": "idle",
        "wells": args.wells,
        "tags": args.wells * TAGS,
        "seconds": args.seconds,
        "percent_of_a_core": cpu / wall * 100.0,
        "rss_bytes": rss,
        "peak_rss_bytes": measure::memory("VmHWM"),
    }));
    Ok(Exit::Done)
}
