//! `ducto simulate --record`: a scenario on a virtual clock, into a file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::scalar::Duration as Span;
use ducto_simulator::Scenario;
use ducto_simulator::record::{Pace, RecordError, Recorded, record};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::SimulateArgs;
use crate::interrupt::{Interrupts, Woken};
use crate::load::grouped;
use crate::output::{Exit, Failure, Output};

/// Steps of the field where none are asked for.
const DEFAULT_STEP: Duration = Duration::from_secs(10);

pub(super) fn run(
    scenario: &Arc<Scenario>,
    path: &Path,
    args: &SimulateArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let Some(time) = args.time.map(micros).filter(|time| *time > 0) else {
        let message = "a recording needs a length; add `--for 30d`, or as long as it is to be";
        return Err(Failure::new(Exit::Usage, message));
    };
    let every = micros(args.every.unwrap_or(DEFAULT_STEP));
    if every <= 0 {
        return Err(Failure::new(Exit::Usage, "`--every` must be more than no time; the default is `10s`"));
    }
    let interrupts = Interrupts::listen()?;
    let bar = output.is_watched().then(|| {
        let bar = ProgressBar::new(u64::try_from(time).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{bar:40} {percent} %  {msg}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    });
    let started = Instant::now();
    let mut interrupted = false;
    let recorded = record(scenario.clone(), path, Pace { every, time }, |done| {
        if let Some(bar) = &bar {
            bar.set_position(u64::try_from(done).unwrap_or(0));
            bar.set_message(Span::from_micros(done / 3_600_000_000 * 3_600_000_000).to_string());
        }
        interrupted = interrupts.wait(Some(Instant::now())) != Woken::Time;
        !interrupted
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let recorded = recorded.map_err(|error| {
        let exit = if matches!(error, RecordError::Kind(_)) { Exit::Usage } else { Exit::Data };
        Failure::new(exit, error.to_string())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    say(&recorded, path, seconds, interrupted, output);
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}

fn say(recorded: &Recorded, path: &Path, seconds: f64, interrupted: bool, output: &Output) {
    let Recorded { rows, tags, time } = *recorded;
    if output.is_json() {
        output.object(&json!({
            "event": "recorded",
            "file": path.display().to_string(),
            "rows": rows,
            "tags": tags,
            "seconds": time as f64 / 1e6,
            "took_seconds": seconds,
            "interrupted": interrupted,
        }));
        return;
    }
    let stopped = if interrupted { ", where it was interrupted" } else { "" };
    let time = Span::from_micros(time);
    let (rows, path) = (grouped(rows), path.display());
    output.line(&format!("{path}: {rows} rows, {tags} tags, {time}{stopped}; took {seconds:.1} s"));
}
