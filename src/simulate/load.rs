//! `ducto simulate --load`: many endpoints, for measurements of load.

use std::time::Instant;

use ducto_simulator::load::{Load, Size};
use ducto_simulator::site;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::{not_started, not_written};
use crate::cli::SimulateArgs;
use crate::interrupt::Interrupts;
use crate::load::{counted, grouped};
use crate::output::{Exit, Failure, Output};

pub(super) fn run(size: Size, args: &SimulateArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let load = Load::start(size, args.seed.unwrap_or(1), &args.listen).map_err(not_started)?;
    if let Some(folder) = &args.write_site {
        site::write_load(folder, size, &load).map_err(not_written)?;
    }
    let addresses = load.addresses();
    let (first, last) = (addresses[0], addresses[addresses.len() - 1]);
    let Size { endpoints, tags } = size;
    if output.is_json() {
        let (first, last) = (first.to_string(), last.to_string());
        output
            .object(&json!({"event": "listening", "first": first, "last": last, "endpoints": endpoints, "tags": tags}));
    } else {
        let to = if endpoints > 1 { format!(" to {last}") } else { String::new() };
        output.line(&format!("{} on Modbus TCP at {first}{to}", counted(endpoints, "endpoint")));
        output.line(&format!("  each with {} (f32, CDAB) from 40001 on; Ctrl-C stops", counted(tags, "tag")));
        if let Some(folder) = &args.write_site {
            output.line(&format!("  site      ducto run {}", folder.display()));
        }
    }
    let (started, cpu) = (Instant::now(), cpu_seconds());
    interrupts.wait(args.time.and_then(|time| Instant::now().checked_add(time)));
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (requests, connections) = (load.requests(), load.connections());
    drop(load);
    if output.is_json() {
        output.object(&json!({
            "event": "stopped",
            "seconds": seconds,
            "requests": requests,
            "connections": connections,
            "cpu_seconds": cpu,
        }));
    } else {
        output.line(&format!(
            "stopped after {seconds:.1} s: {} requests over {}, {:.1} % of a core",
            grouped(requests),
            counted(usize::try_from(connections).unwrap_or(usize::MAX), "connection"),
            100.0 * cpu / seconds.max(1e-9),
        ));
    }
    Ok(Exit::Done)
}

/// CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
