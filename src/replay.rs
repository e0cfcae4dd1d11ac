//! `ducto replay`: a pipeline over recorded files, on the files' own clock.

use std::sync::Arc;
use std::time::Instant;

use ducto_graph::decode::OrderedMap;
use ducto_graph::load::Loader;
use ducto_graph::operator::{Intake, Resources};
use ducto_graph::site::Site;
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_operators::sinks::Historians;
use ducto_operators::sources::replay::{Options as Form, Recording, expand};
use ducto_record::{Origin, Part};
use ducto_runtime::{ClockMode, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{FormArgs, ReplayArgs};
use crate::interrupt::{Interrupts, Woken};
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};

/// The columns and forms that the arguments name.
fn form(args: &FormArgs) -> Result<Form, Failure> {
    let delimiter = args
        .delimiter
        .map(|sign| {
            u8::try_from(sign).ok().filter(u8::is_ascii).ok_or_else(|| {
                let message = format!("`{sign}` stands between no columns; write `,`, `;` or a tab for `--delimiter`");
                Failure::new(Exit::Usage, message)
            })
        })
        .transpose()?;
    Ok(Form {
        time: args.time_column.clone(),
        tag: args.tag_column.clone(),
        value: args.value_column.clone(),
        quality: args.quality_column.clone(),
        time_format: args.time_format,
        time_zone: args.time_zone.as_ref().map(|zone| zone.zone().clone()),
        decimal: args.decimal,
        delimiter,
        ..Form::default()
    })
}

pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error.to_string());
    let form = form(&args.form)?;
    let files = expand(&args.input, ".".as_ref()).map_err(|error| usage(&error))?;
    let mut loading = Loading::new();
    let base = match &args.site {
        Some(site) => loading.site(site, output)?,
        None => {
            let names = Recording::tag_names(&files, &form).map_err(|error| usage(&error))?;
            Arc::new(Site::bare(names.iter().map(String::as_str)))
        }
    };
    let with = OrderedMap(
        args.with
            .iter()
            .map(|(name, value)| (Spanned::new(name.clone(), Place::NOWHERE), Node::plain(Place::NOWHERE, value)))
            .collect(),
    );
    let environment = |name: &str| std::env::var(name).ok();
    let site = Loader {
        registry: &loading.registry,
        sources: &mut loading.sources,
        diagnostics: &mut loading.diagnostics,
        environment: &environment,
    }
    .lone_pipeline(&args.pipeline, &base, &with, None);
    let site = loading.accept(site, output)?;

    let data = |error: &dyn std::fmt::Display| Failure::new(Exit::Data, error.to_string());
    let folder = DataFolder::open(&args.data).map_err(|error| data(&error))?;
    let historians = Historians::open(Arc::new(folder)).map_err(|error| data(&error))?;
    let last_epoch = historians.last_epoch();
    let mut recording = Recording::open(&files, &form, &site.directory).map_err(|error| usage(&error))?;
    let mut resources = Resources::default();
    resources.insert(Arc::new(historians));
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch,
        resources,
        feeders: false,
        sinks: SinkChoice::All,
        journal: None,
    };
    let mut running = RunningSite::start(&site, &loading.registry, options).map_err(|error| data(&error))?;

    let interrupts = Interrupts::listen()?;
    let mut interrupted = false;
    let progress = progress(output);
    let started = Instant::now();
    let (mut samples, mut entries, mut first) = (0_u64, 0_u64, None);
    let mut failure = None;
    for entry in recording.by_ref() {
        let (time, batches) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                failure = Some(usage(&error));
                break;
            }
        };
        let due = args.pace.due(started, *first.get_or_insert(time), time).unwrap_or_else(Instant::now);
        if matches!(interrupts.wait(Some(due)), Woken::Signal(_)) {
            interrupted = true;
            break;
        }
        samples += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        entries += 1;
        let parts = batches.into_iter().map(|samples| Part::Samples { origin: Origin::Field, samples }).collect();
        running.intake().enter_at(time, parts).map_err(|error| data(&error))?;
        progress.set_position(samples);
    }
    if !interrupted {
        running.end_of_input();
    }
    progress.finish_and_clear();
    running.stop().map_err(|error| data(&error))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    report(output, &recording, samples, entries, started.elapsed().as_secs_f64());
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}

fn progress(output: &Output) -> ProgressBar {
    if output.is_json() {
        return ProgressBar::hidden();
    }
    // Drawn on a terminal only.
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} samples, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn report(output: &Output, recording: &Recording, samples: u64, entries: u64, seconds: f64) {
    let rejected = recording.rejected_total();
    let span = recording.span();
    if output.is_json() {
        output.object(&json!({
            "samples": samples,
            "entries": entries,
            "rejected": rejected,
            "first": span.map(|(first, _)| ducto_record::time::format(first)),
            "last": span.map(|(_, last)| ducto_record::time::format(last)),
            "seconds": seconds,
        }));
        return;
    }
    println!("{samples} samples in {entries} entries replayed in {seconds:.1} s");
    if let Some((first, last)) = span {
        println!("from {} to {}", ducto_record::time::format(first), ducto_record::time::format(last));
    }
    if rejected > 0 {
        eprintln!("{rejected} row(s) of the files were rejected, the first of them:");
        for rejection in recording.rejected().first {
            eprintln!("  {rejection}");
        }
    }
}
