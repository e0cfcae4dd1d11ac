//! `ducto run`.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::RunArgs;
use crate::data;
use crate::host::{self, Hosted};
use crate::interrupt::{Interrupts, Woken};
use crate::load::{Loading, grouped};
use crate::logging;
use crate::output::{Exit, Failure, Output};
use crate::words::Language;

/// How often the status line is written.
const LINE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &RunArgs, output: &Output) -> Result<Exit, Failure> {
    let mut loading = Loading::new();
    let site = loading.site(&args.site, output)?;
    // Before anything runs, so that no signal can end a half-started site.
    let interrupts = Interrupts::listen()?;
    let folder = args.data.clone().unwrap_or_else(|| data::default_for(&site.name));
    let hosted = Hosted::start(&site, &loading.registry, host::open(&folder)?)?;
    drop(loading);
    if output.is_json() {
        output.object(&hosted.started());
    } else {
        let language = Language::of(&site.language);
        output.print(&hosted.summary(language));
        let place = format!("--data {}", folder.display());
        output.line(&format!("  {:10}  ducto alarms {place}", language.pick("look", "vea")));
        output.line(&format!("              ducto query {place} \"SHOW TABLES\""));
        output.line(&format!("  {:10}  Ctrl-C", language.pick("stop", "detener")));
    }
    wait(&hosted, &interrupts, args.time, output);
    hosted.stop(output)?;
    Ok(Exit::Done)
}

/// Until a signal comes or the time is over. Somebody who watches sees a line of what goes on.
fn wait(hosted: &Hosted, interrupts: &Interrupts, time: Option<Duration>, output: &Output) {
    let end = time.and_then(|time| Instant::now().checked_add(time));
    let bar = output.is_watched().then(|| {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        logging::keep_clear_of(&bar);
        bar
    });
    let (mut last, mut rows) = (Instant::now(), hosted.rows_read());
    loop {
        let next = bar.as_ref().map(|_| Instant::now() + LINE);
        let until = match (next, end) {
            (Some(next), Some(end)) => Some(next.min(end)),
            (next, end) => next.or(end),
        };
        match interrupts.wait(until) {
            Woken::Signal(name) => {
                if let Some(bar) = &bar {
                    bar.finish_and_clear();
                }
                if !output.is_json() {
                    output.remark(&format!("{name}: stopping; once more ends at once"));
                }
                return;
            }
            Woken::Time if end.is_some_and(|end| Instant::now() >= end) => {
                if let Some(bar) = &bar {
                    bar.finish_and_clear();
                }
                return;
            }
            Woken::Time => {}
        }
        if let Some(bar) = &bar {
            let (now, read) = (Instant::now(), hosted.rows_read());
            let rate = (read - rows) as f64 / (now - last).as_secs_f64();
            let alarms = hosted.live.view("alarms").iter().filter(|row| crate::alarms::is_active(row)).count();
            bar.set_message(format!("{} samples/s, {} alarms active", grouped(rate.round() as u64), alarms));
            bar.tick();
            (last, rows) = (now, read);
        }
    }
}
