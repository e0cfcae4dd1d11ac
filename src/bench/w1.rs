//! `ducto bench w1`: the reference workload through an ordinary graph. Nothing outside this folder knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::operator::Intake;
use ducto_record::{Layout, Origin, Part};
use ducto_runtime::{ClockMode, Pause, SinkChoice};
use serde_json::json;

use super::input::{Input, splitmix64};
use super::reference::Figures;
use super::{figures, measure, reference, site};
use crate::cli::W1Args;
use crate::output::{Exit, Failure, Output};

pub(super) fn run(args: &W1Args, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(args.data.as_deref())?;
    let pipeline = if args.insert_calc { site::W1_CALC } else { site::W1 };
    let limits = (0..args.tags as u64).map(|tag| Input::base(tag) + 50.0);
    let path = site::write(folder.path(), args.workers, limits, pipeline)?;
    let loading = Instant::now();
    let loaded = site::load(&path, &registry)?;
    let load_seconds = loading.elapsed().as_secs_f64();

    let mut rows: Vec<u64> = (0..args.tags as u64).collect();
    if args.shuffle {
        rows.sort_by_key(|&tag| splitmix64(tag));
    }
    let ids = rows.iter().map(|tag| {
        let name = format!("P{tag}.V");
        loaded.directory.tag_id(&name).ok_or_else(|| Failure::new(Exit::Refused, format!("no tag `{name}`")))
    });
    let layout = Layout::new(ids.collect::<Result<_, _>>()?);
    let input = Input::new(args.values, args.missing);

    let sinks = if args.no_historian { SinkChoice::DatasetsRead } else { SinkChoice::All };
    let data = folder.data();
    let stored_in = site::open(&data)?;
    let mut running = site::start_on(&loaded, &registry, &stored_in, ClockMode::Virtual, false, sinks, args.durable)?;
    let (wall, cpu) = (Instant::now(), measure::process_cpu());
    let fed = feed(running.intake().clone(), input.clone(), layout, rows, args.seconds)?;
    running.end_of_input();
    let status = running.status();
    running.stop().map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    let cpu = measure::process_cpu() - cpu;
    let wall = wall.elapsed().as_secs_f64();
    let peak = measure::memory("VmHWM");

    let longest = |of: fn(Pause) -> Duration| {
        let pauses = status.iter().map(|pipeline| of(pipeline.longest_pause).as_secs_f64() * 1e3);
        pauses.fold(0.0, f64::max)
    };
    let samples = fed.samples.max(1) as f64;
    let mut result = json!({
        "bench": "w1",
        "pipeline": pipeline.0,
        "tags": args.tags,
        "seconds": args.seconds,
        "values": format!("{:?}", args.values).to_lowercase(),
        "workers": args.workers,
        "durable": args.durable,
        "shuffled": args.shuffle,
        "missing_percent": args.missing,
        "samples": fed.samples,
        "cpu_ns_per_sample": (cpu - fed.cpu) * 1e9 / samples,
        "input_cpu_ns_per_sample": fed.cpu * 1e9 / samples,
        "wall_seconds": wall,
        "samples_per_second": samples / wall,
        "peak_rss_bytes": peak,
        "load_seconds": load_seconds,
        "longest_pause_ms": longest(|pause| pause.time),
        // Of it without what the worker waited for a processor: what other processes do is not in it.
        "longest_pause_cpu_ms": longest(|pause| pause.cpu),
        "nodes": status.iter().flat_map(|pipeline| &pipeline.nodes).map(|node| json!({
            "node": &*node.id,
            "operator": node.operator,
            "rows_in": node.counts.rows_in,
            "ns_per_sample": node.counts.nanoseconds as f64 / samples,
        })).collect::<Vec<_>>(),
    });
    let mut exit = Exit::Done;
    if !args.no_historian {
        let stored = figures::stored(&data).map_err(|message| Failure::new(Exit::Data, message))?;
        let expected = reference::figures(&input, args.tags as u64, args.seconds);
        if !stored.agrees(&expected) {
            exit = Exit::Findings;
            result["expected"] = json!(expected);
        }
        add(&mut result, &stored);
        result["figures_equal_plain_loop"] = json!(exit == Exit::Done);
        let kept = figures::bytes(&data, "history");
        result["bytes_per_sample"] = json!(kept as f64 / samples);
        result["disk_bytes_written"] = json!(stored_in.disk().written());
        result["disk_writes_per_byte"] = json!(stored_in.disk().written() as f64 / kept.max(1) as f64);
    }
    output.object(&result);
    Ok(exit)
}

fn add(result: &mut serde_json::Value, figures: &Figures) {
    if let (Some(result), serde_json::Value::Object(figures)) = (result.as_object_mut(), json!(figures)) {
        result.extend(figures);
    }
}

pub(super) struct Fed {
    pub(super) samples: u64,
    cpu: f64,
}

/// Gives the input second by second from a thread of its own, as a connection would; its CPU time is left out of the
/// engine's.
pub(super) fn feed(
    intake: Arc<dyn Intake>,
    input: Input,
    layout: Arc<Layout>,
    rows: Vec<u64>,
    seconds: u64,
) -> Result<Fed, Failure> {
    let failed = |message: String| Failure::new(Exit::Data, message);
    let feeder = std::thread::Builder::new().name("bench-input".into()).spawn(move || {
        let cpu = measure::thread_cpu();
        let mut samples = 0;
        for second in 0..seconds {
            let scan = input.scan(&layout, &rows, second)?;
            samples += scan.len() as u64;
            let time = scan.time(0);
            let part = Part::Samples { origin: Origin::Field, samples: scan };
            intake.enter_at(time, vec![part]).map_err(|error| error.to_string())?;
        }
        Ok(Fed { samples, cpu: measure::thread_cpu() - cpu })
    });
    let joined = feeder.map_err(|error| failed(error.to_string()))?.join();
    joined.map_err(|_| failed("the input thread ended with a panic".to_owned()))?.map_err(failed)
}
