//! `ducto replay`: a pipeline over recorded files, on the files' own clock.

use std::sync::Arc;
use std::time::Instant;

use ducto_graph::codes::Code;
use ducto_graph::decode::OrderedMap;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::load::Loader;
use ducto_graph::operator::{Intake, Resources};
use ducto_graph::site::Site;
use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::{Node, Spanned};
use ducto_operators::sinks::Historians;
use ducto_operators::sources::replay::{
    Advice, Held, Options as Form, Recording, RecordingError, Rejected, Replays, expand,
};
use ducto_record::{Origin, Part};
use ducto_runtime::{ClockMode, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use crate::cli::{FormArgs, ReplayArgs};
use crate::interrupt::{Interrupts, Woken};
use crate::load::{Loading, counted, grouped};
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
        advice: Advice::Arguments,
        ..Form::default()
    })
}

pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Failure> {
    let form = form(&args.form)?;
    let mut loading = Loading::new();
    let files = expand(&args.input, "".as_ref()).map_err(|error| refused(&error, &mut loading.sources, output))?;
    let base = match &args.site {
        Some(site) => loading.site(site, output)?,
        None => {
            let names = Recording::tag_names(&files, &form);
            let names = names.map_err(|error| refused(&error, &mut loading.sources, output))?;
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

    // Before the data folder is made: a recording that says nothing leaves nothing behind.
    let mut recording = Recording::open(&files, &form, &site.directory)
        .map_err(|error| refused(&error, &mut loading.sources, output))?;
    if recording.is_empty() {
        let message = "the recording has no sample; name files with rows in them with `--input`";
        return Err(Failure::new(Exit::Usage, message));
    }
    let data = |error: &dyn std::fmt::Display| Failure::new(Exit::Data, error.to_string());
    let folder = DataFolder::open(&args.data).map_err(|error| data(&error))?;
    let replays = Replays::open(&folder).map_err(|error| data(&error))?;
    let historians = Historians::open(Arc::new(folder)).map_err(|error| data(&error))?;
    let last_epoch = historians.last_epoch();
    let pipeline = site.pipelines.first().map(|pipeline| pipeline.id.to_string()).unwrap_or_default();
    if let Some(span) = recording.span()
        && !args.again
        && replays.overlaps(&pipeline, span)
    {
        let names =
            Recording::tag_names(&files, &form).map_err(|error| refused(&error, &mut loading.sources, output))?;
        if let Some(held) = replays.held(&pipeline, span, &names) {
            return Err(held_already(&pipeline, &held, args));
        }
    }
    let mut tags = vec![false; site.tags.len()];
    let mut resources = Resources::default();
    resources.insert(Arc::new(historians));
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch,
        resources,
        feeders: false,
        sinks: SinkChoice::All,
        durable: None,
    };
    let mut running = RunningSite::start(&site, &loading.registry, options).map_err(|error| data(&error))?;
    let every_tag = site.tags.iter().map(|tag| tag.name.to_string()).collect();
    let replaying = recording.span().map(|span| replays.begin(&pipeline, span, every_tag)).transpose();
    let replaying = replaying.map_err(|error| data(&error))?;

    let interrupts = Interrupts::listen()?;
    let mut interrupted = false;
    let progress = progress(output);
    let started = Instant::now();
    let (mut samples, mut entries, mut first, mut last) = (0_u64, 0_u64, None, None);
    let mut failure = None;
    for entry in recording.by_ref() {
        let (time, batches) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                failure = Some(refused(&error, &mut loading.sources, output));
                break;
            }
        };
        let due = args.pace.due(started, *first.get_or_insert(time), time).unwrap_or_else(Instant::now);
        if matches!(interrupts.wait(Some(due)), Woken::Signal(_)) {
            interrupted = true;
            break;
        }
        for tag in batches.iter().flat_map(|batch| batch.tags().iter()) {
            if let Some(seen) = tags.get_mut(*tag as usize) {
                *seen = true;
            }
        }
        last = Some(time);
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
    if let Some(replaying) = replaying {
        let tags = site.tags.iter().zip(tags).filter(|(_, seen)| *seen).map(|(tag, _)| tag.name.to_string()).collect();
        replays.end(replaying, last, tags).map_err(|error| data(&error))?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let left_out = left_out(&recording, &mut loading.sources);
    if !output.is_json() && !left_out.is_empty() {
        output.remark(&left_out.render(&loading.sources, output.colored()));
    }
    let findings = left_out.to_json(&loading.sources);
    report(output, &recording, findings, samples, entries, started.elapsed().as_secs_f64());
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}

/// What is stored already would be stored twice.
fn held_already(pipeline: &str, held: &Held, args: &ReplayArgs) -> Failure {
    let (folder, format) = (args.data.display(), ducto_record::time::format);
    let tags = match held.tags.iter().collect::<Vec<_>>().as_slice() {
        [tag] => format!("`{tag}`"),
        [tag, rest @ ..] => format!("`{tag}` and {} more tags", rest.len()),
        [] => "its tags".to_owned(),
    };
    Failure::new(
        Exit::Refused,
        format!(
            "`{pipeline}` has replayed {tags} from {} to {} into `{folder}` before, and once more would double what is \
             stored of them; name another folder with `--data`, or write `--again` where that is what you want",
            format(held.first),
            format(held.last)
        ),
    )
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

/// Rows that are named one by one.
const NAMED: usize = 5;

/// Why a recording cannot be replayed, as findings are told.
fn refused(error: &RecordingError, sources: &mut Sources, output: &Output) -> Failure {
    let mut diagnostic = Diagnostic::new(error.code(), error.to_string()).help(error.help());
    if let Some(path) = error.path() {
        diagnostic = diagnostic.at(Place::file(sources.add_file(path)));
    }
    if let Some(rejected) = error.rejected() {
        diagnostic = with_rows(diagnostic, rejected);
    }
    let mut found = Diagnostics::new();
    found.push(diagnostic);
    if output.is_json() {
        output.object(&json!({"error": error.to_string(), "findings": found.to_json(sources)}));
    } else {
        output.remark(&found.render(sources, output.colored()));
    }
    Failure::said(Exit::Usage)
}

/// What was left out of each file, with its causes and the first rows.
fn left_out(recording: &Recording, sources: &mut Sources) -> Diagnostics {
    let mut found = Diagnostics::new();
    for (path, rejected) in recording.rejected_by_file().filter(|(_, rejected)| rejected.total > 0) {
        let samples = counted(usize::try_from(rejected.total).unwrap_or(usize::MAX), "sample");
        let message = format!("{samples} of {} left out: {rejected}", path.display());
        let place = Place::file(sources.add_file(path));
        found.push(with_rows(Diagnostic::new(Code::RowsRejected, message).at(place), rejected));
    }
    found
}

fn with_rows(mut diagnostic: Diagnostic, rejected: &Rejected) -> Diagnostic {
    for rejection in rejected.first.iter().take(NAMED) {
        diagnostic = diagnostic.note(rejection.in_file());
    }
    if rejected.total > NAMED as u64 {
        diagnostic = diagnostic.note(format!("and {} more", grouped(rejected.total - NAMED as u64)));
    }
    diagnostic
}

fn report(output: &Output, recording: &Recording, findings: Json, samples: u64, entries: u64, seconds: f64) {
    let rejected = recording.rejected();
    let span = recording.span();
    if output.is_json() {
        let causes: serde_json::Map<String, Json> =
            rejected.causes.iter().map(|(cause, count)| (cause.name().to_owned(), json!(count))).collect();
        output.object(&json!({
            "samples": samples,
            "entries": entries,
            "rejected": rejected.total,
            "rejected_by": causes,
            "findings": findings,
            "first": span.map(|(first, _)| ducto_record::time::format(first)),
            "last": span.map(|(_, last)| ducto_record::time::format(last)),
            "seconds": seconds,
        }));
        return;
    }
    output.line(&format!("{} samples in {} entries replayed in {seconds:.1} s", grouped(samples), grouped(entries)));
    if let Some((first, last)) = span {
        let (first, last) = (ducto_record::time::format(first), ducto_record::time::format(last));
        output.line(&format!("from {first} to {last}"));
    }
}
