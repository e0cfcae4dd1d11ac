//! `ducto bench recover`: a site dies with so much journal behind its checkpoint, and starts again.

use std::time::{Duration, Instant};

use ducto_record::Layout;
use ducto_runtime::{ClockMode, SinkChoice};
use serde_json::json;

use super::input::Input;
use super::{site, w1};
use crate::cli::{BenchValues, RecoverArgs};
use crate::output::{Exit, Failure, Output};

pub(super) fn run(args: &RecoverArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(None)?;
    let limits = (0..args.tags as u64).map(|tag| Input::base(tag) + 50.0);
    let path = site::write(folder.path(), 1, limits, site::W1)?;
    let loaded = site::load(&path, &registry)?;
    let rows: Vec<u64> = (0..args.tags as u64).collect();
    let ids = rows.iter().filter_map(|tag| loaded.directory.tag_id(&format!("P{tag}.V")));
    let layout = Layout::new(ids.collect());
    let data = folder.data();

    let mut running =
        site::start_on(&loaded, &registry, &site::open(&data)?, ClockMode::Virtual, false, SinkChoice::All, true)?;
    let fed = w1::feed(running.intake().clone(), Input::new(BenchValues::Full, 0.0), layout, rows, args.seconds)?;
    let last = running.log().last_epoch();
    while !running.log().wait_durable(last, Duration::from_secs(1)) {}
    running.abandon();
    drop(running);

    let started = Instant::now();
    let mut running =
        site::start_on(&loaded, &registry, &site::open(&data)?, ClockMode::Wall, false, SinkChoice::All, true)?;
    let reads = started.elapsed();
    while !running.log().wait_done(last, Duration::from_secs(1)) {}
    let caught_up = started.elapsed();
    let status = running.status();
    let lost: u64 = status.iter().map(|pipeline| pipeline.lost_entries).sum();
    let again = status.iter().flat_map(|pipeline| &pipeline.nodes).map(|node| node.counts.rows_in).max().unwrap_or(0);
    running.stop().map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    output.object(&json!({
        "bench": "recover",
        "tags": args.tags,
        "seconds": args.seconds,
        "samples": fed.samples,
        "reading_again_seconds": reads.as_secs_f64(),
        "caught_up_seconds": caught_up.as_secs_f64(),
        "samples_read_again": again,
        "lost_entries": lost,
    }));
    // Without all of them there was nothing to catch up with.
    Ok(if lost == 0 && again >= fed.samples { Exit::Done } else { Exit::Findings })
}
