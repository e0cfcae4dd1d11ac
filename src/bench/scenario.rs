//! `ducto bench scenario`: a day of one tag through quality, alarms and minutes on a virtual clock, as tests run.

use std::time::Instant;

use ducto_graph::operator::Intake;
use ducto_record::{Layout, Origin, Part};
use ducto_runtime::{ClockMode, SinkChoice};
use serde_json::json;

use super::input::Input;
use super::site;
use crate::cli::{BenchValues, ScenarioArgs};
use crate::output::{Exit, Failure, Output};

pub(super) fn run(args: &ScenarioArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(None)?;
    let path = site::write(folder.path(), 1, std::iter::once(150.0), site::W1)?;
    let loaded = site::load(&path, &registry)?;
    let start = Instant::now();
    let mut running =
        site::start(&loaded, &registry, &folder.data(), ClockMode::Virtual, false, SinkChoice::DatasetsRead)?;
    let input = Input::new(BenchValues::Full, 0.0);
    let layout = Layout::new(vec![0]);
    for second in 0..args.seconds {
        let scan = input.scan(&layout, &[1], second).map_err(|message| Failure::new(Exit::Data, message))?;
        let time = scan.time(0);
        running
            .intake()
            .enter_at(time, vec![Part::Samples { origin: Origin::Field, samples: scan }])
            .map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    }
    running.end_of_input();
    running.stop().map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    let wall = start.elapsed().as_secs_f64();
    output.object(&json!({
        "bench": "scenario",
        "samples": args.seconds,
        "wall_seconds": wall,
        "times_real_time": args.seconds as f64 / wall,
    }));
    Ok(Exit::Done)
}
