//! `ducto simulate`: a field made of software.

mod load;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_simulator::device::{MODELS, map_text};
use ducto_simulator::site::{self, SiteError};
use ducto_simulator::{Happening, Overrides, Scenario, Simulator, StartError};
use serde_json::json;

use crate::cli::SimulateArgs;
use crate::interrupt::{Interrupts, Woken};
use crate::load::{Loading, counted, grouped};
use crate::output::{Exit, Failure, Output};

/// How often is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Result<Exit, Failure> {
    if args.map {
        return Ok(maps(output));
    }
    if let Some(size) = args.load {
        return load::run(size, args, output);
    }
    let scenario = scenario(args, output)?;
    match &args.record {
        Some(path) => record::run(&scenario, path, args, output),
        None => live(&scenario, args, output),
    }
}

/// The register maps of all models.
fn maps(output: &Output) -> Exit {
    if output.is_json() {
        for model in MODELS {
            let points: Vec<_> = model
                .points
                .iter()
                .map(|point| json!({"variable": point.variable, "address": point.address(), "as": point.kind.to_string()}))
                .collect();
            output.object(&json!({"model": model.name, "about": model.about, "order": model.order, "points": points}));
        }
    } else {
        let maps: Vec<String> = MODELS.iter().map(map_text).collect();
        output.print(&maps.join("\n"));
    }
    Exit::Done
}

/// The scenario that is named, else the one that is built in.
fn scenario(args: &SimulateArgs, output: &Output) -> Result<Arc<Scenario>, Failure> {
    let mut loading = Loading::new();
    let over = Overrides { wells: args.wells, seed: args.seed, speed: args.speed };
    let Loading { registry, sources, diagnostics } = &mut loading;
    let units = registry.units();
    let scenario = match &args.scenario {
        Some(path) => {
            let path = if path.is_dir() { path.join("simulation.yaml") } else { path.clone() };
            Scenario::load(&path, &over, units, sources, diagnostics)
        }
        None => Scenario::built_in(&over, units, sources, diagnostics),
    };
    loading.accept(scenario, output).map(Arc::new)
}

fn live(scenario: &Arc<Scenario>, args: &SimulateArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let simulator = Simulator::start(scenario.clone(), &args.listen).map_err(not_started)?;
    if let Some(folder) = &args.write_site {
        let name = format!("SIMULATED-{}", scenario.name.to_uppercase());
        site::write_field(folder, &name, &simulator).map_err(not_written)?;
    }
    let addresses: Vec<String> = simulator.addresses().iter().map(ToString::to_string).collect();
    if output.is_json() {
        output.object(&json!({
            "event": "listening",
            "addresses": addresses,
            "scenario": scenario.name,
            "seed": scenario.seed,
            "speed": scenario.speed,
            "wells": scenario.wells.len(),
            "separators": scenario.separators.len(),
            "site": args.write_site.as_ref().map(|folder| folder.display().to_string()),
        }));
    } else {
        output.print(&introduction(scenario, &simulator, args));
    }
    let end = args.time.and_then(|time| Instant::now().checked_add(time));
    let mut warned = false;
    loop {
        let look = Instant::now() + LOOK;
        let woken = interrupts.wait(Some(end.map_or(look, |end| end.min(look))));
        for happening in simulator.happenings() {
            tell(&happening, output);
        }
        if simulator.is_behind() && !warned {
            warned = true;
            output.remark("this machine is too slow for that speed: the field goes on more slowly");
        }
        if woken != Woken::Time || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    let (requests, elapsed) = (simulator.requests(), simulator.elapsed());
    drop(simulator);
    if output.is_json() {
        output.object(&json!({"event": "stopped", "requests": requests, "seconds": elapsed as f64 / 1e6}));
    } else {
        let elapsed = ducto_graph::scalar::Duration::from_micros(elapsed);
        output.line(&format!("stopped after {elapsed} of the field, {} requests answered", grouped(requests)));
    }
    Ok(Exit::Done)
}

fn introduction(scenario: &Scenario, simulator: &Simulator, args: &SimulateArgs) -> String {
    let addresses: Vec<String> = simulator.addresses().iter().map(ToString::to_string).collect();
    let speed = if scenario.speed == 1.0 { String::new() } else { format!(", {} times as fast", scenario.speed) };
    let mut text = format!(
        "{}, {} on Modbus TCP at {}{speed}\n",
        counted(scenario.wells.len(), "well"),
        counted(scenario.separators.len(), "separator"),
        addresses.join(", "),
    );
    let mut behind: Vec<(&str, std::net::SocketAddr, Vec<u8>)> = Vec::new();
    for place in simulator.places() {
        match behind.iter_mut().find(|(model, address, _)| *model == place.model.name && *address == place.address) {
            Some((_, _, units)) => units.push(place.unit),
            None => behind.push((place.model.name, place.address, vec![place.unit])),
        }
    }
    for (model, address, units) in behind {
        let at = if addresses.len() > 1 { format!(" at {address}") } else { String::new() };
        text.push_str(&format!("  {model:14}  {}{at}\n", ranges(&units)));
    }
    if let Some(folder) = &args.write_site {
        text.push_str(&format!("  site            ducto run {}\n", folder.display()));
    }
    text.push_str("`ducto simulate --map` prints the registers; Ctrl-C stops\n");
    text
}

/// "unit 1 to 15, 201".
fn ranges(units: &[u8]) -> String {
    let mut parts: Vec<(u8, u8)> = Vec::new();
    for unit in units {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *unit => *last = *unit,
            _ => parts.push((*unit, *unit)),
        }
    }
    let parts: Vec<String> = parts
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
        .collect();
    format!("unit {}", parts.join(", "))
}

fn tell(happening: &Happening, output: &Output) {
    let Happening { at, asset, event, begins, text: [text, _] } = happening;
    if output.is_json() {
        let seconds = *at as f64 / 1e6;
        output.object(&json!({
            "event": "field",
            "seconds": seconds,
            "asset": asset,
            "what": event.name(),
            "begins": begins,
            "text": text,
        }));
    } else {
        output.line(&format!("{}  {asset}: {text}", clock(*at)));
    }
}

/// Time since the start: `1:02:03`.
fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

pub(crate) fn not_started(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Address(_) | StartError::Ports { .. } => Exit::Usage,
        StartError::InUse(_) | StartError::Listen { .. } => Exit::Peer,
        StartError::Files { .. } | StartError::Threads(_) => Exit::Findings,
    };
    Failure::new(exit, error.to_string())
}

pub(crate) fn not_written(error: SiteError) -> Failure {
    Failure::new(Exit::Data, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_listed_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 201, 202]), "unit 1 to 3, 7, 201 to 202");
        assert_eq!(ranges(&[9]), "unit 9");
    }

    #[test]
    fn a_clock_counts_hours() {
        assert_eq!(clock(0), "0:00:00");
        assert_eq!(clock(93_784_000_000), "26:03:04");
    }
}
