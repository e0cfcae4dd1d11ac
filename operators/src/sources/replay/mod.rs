//! `replay`: recorded files, as a source of a graph and for the command of the same name.

mod assemble;
mod cell;
mod csv;
mod error;
mod jsonl;
mod options;
mod order;
mod pace;
mod parquet;
mod recording;
mod replays;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Feeder, Intake, NodeError, Operator, Output, Port, Source,
    SourceConfig,
};
use ducto_graph::scalar::TimeZone;
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Directory, Entry, Micros, Origin, Part, StreamType, ValueKind};
use schemars::JsonSchema;
use serde::Deserialize;

pub use error::{Advice, RecordingError};
pub use options::{Decimal, Options, Shape, TimeFormat, expand};
pub use pace::{Pace, PaceError};
pub use recording::Recording;
use replays::Progress;
pub use replays::{Held, Replaying, Replays};
pub use rows::{Cause, Rejected, Rejection};

/// Recorded samples from Parquet, CSV or JSON Lines, in the order of their times. Each name must be a tag of the
/// site; rows that cannot be read are left out, counted, and the first of them logged with file and line.
///
/// A site with such a source runs by the clock of its recordings: windows, delays and silences are those of the recorded
/// times, and at the end of the last recording what is open closes with what it has. So the site can have no connections,
/// which run by the clock on the wall. The data folder remembers how far each node came: a site that was stopped goes on
/// behind that, and nothing is stored twice. (`ducto replay` brings files of its own to a pipeline whose source is
/// `tags`.)
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Files, or patterns with `*`, `?` and `**`, relative to the site's folder. Several are merged by time. Files that
    /// are not in the order of time are sorted first.
    files: Vec<Spanned<String>>,
    /// `long`: columns `time`, `tag`, `value` and perhaps `quality`, one sample a row. `wide`: a column `time`, and
    /// every other column is a tag. By default `long` where columns of tag and value are there.
    format: Option<Shape>,
    /// Column of times.
    #[serde(default = "names::time")]
    time: String,
    /// Column of tag names (`long`).
    #[serde(default = "names::tag")]
    tag: String,
    /// Column of values (`long`).
    #[serde(default = "names::value")]
    value: String,
    /// Column of OPC quality codes (`long`). Where the file has none, every value is Good (192).
    #[serde(default = "names::quality")]
    quality: String,
    /// How times are written: `rfc3339` (2026-01-01T00:00:00Z), or `s`, `ms`, `us` since 1970. Columns with a type of
    /// time need none.
    #[serde(default)]
    time_format: TimeFormat,
    /// The clock of times that name no offset, such as `America/Bogota`.
    time_zone: Option<TimeZone>,
    /// The sign before the decimals, in text files.
    #[serde(default)]
    decimal: Decimal,
    /// The sign between the cells of CSV: `,`, `;` or a tab. By default the one that the first line shows.
    delimiter: Option<Delimiter>,
    /// Names in the files that are other names on the site: `{Pressure: WELL-001.THP}`.
    #[serde(default)]
    rename: BTreeMap<String, String>,
    /// `max`, `real`, or a multiple of real time such as `60x`.
    #[serde(default)]
    pace: Pace,
}

/// The sign between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Delimiter {
    #[serde(rename = ",")]
    Comma,
    #[serde(rename = ";")]
    Semicolon,
    #[serde(rename = "\t", alias = "tab")]
    Tab,
}

mod names {
    pub(super) fn time() -> String {
        "time".into()
    }
    pub(super) fn tag() -> String {
        "tag".into()
    }
    pub(super) fn value() -> String {
        "value".into()
    }
    pub(super) fn quality() -> String {
        "quality".into()
    }
}

pub fn operator() -> Operator {
    Operator {
        name: "replay",
        summary: "Recorded samples from Parquet, CSV or JSON Lines",
        schema: |generator| generator.subschema_for::<Replay>(),
        examples: &[
            "recorded: {type: replay, files: [\"recordings/*.parquet\"]}",
            "plant: {type: replay, files: [plant.csv], format: wide, time: datetime, time_zone: America/Bogota, decimal: \",\", rename: {Presion: WELL-001.THP}, pace: 60x}",
        ],
        decode: Decode::Source(|node, diagnostics| {
            decode::<Replay>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SourceConfig>)
        }),
    }
}

impl Replay {
    fn options(&self) -> Options {
        Options {
            shape: self.format,
            time: self.time.clone(),
            tag: self.tag.clone(),
            value: self.value.clone(),
            quality: self.quality.clone(),
            time_format: self.time_format,
            time_zone: self.time_zone.as_ref().map(|zone| zone.zone().clone()),
            decimal: self.decimal,
            delimiter: self.delimiter.map(|delimiter| match delimiter {
                Delimiter::Comma => b',',
                Delimiter::Semicolon => b';',
                Delimiter::Tab => b'\t',
            }),
            rename: self.rename.clone(),
            ..Options::default()
        }
    }
}

impl SourceConfig for Replay {
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        for pattern in &self.files {
            let files = match expand(std::slice::from_ref(&pattern.value), &cx.site.folder) {
                Ok(files) => files,
                Err(error) => {
                    cx.report(Diagnostic::new(error.code(), error.to_string()).at(pattern.place).help(error.help()));
                    continue;
                }
            };
            for file in files {
                if !file.is_file() {
                    let message = format!("there is no file {}", file.display());
                    let help = "the path starts at the site's folder";
                    cx.report(Diagnostic::new(Code::FileMissing, message).at(pattern.place).help(help));
                } else if options::FileKind::of(&file).is_none() {
                    let error = RecordingError::Kind { path: file };
                    cx.report(Diagnostic::new(error.code(), error.to_string()).at(pattern.place).help(error.help()));
                }
            }
        }
        if let Some(connection) = cx.site.connections.first() {
            cx.report(
                Diagnostic::new(
                    Code::ClocksMixed,
                    "a recording has a clock of its own, and the site's connections run by the one on the wall",
                )
                .at(cx.place)
                .note_at(connection.place, "this connection, for one")
                .help(
                    "give the recording a site without connections, or let the source be of type `tags` and bring the \
                     files with `ducto replay`",
                ),
            );
        }
        if self.files.is_empty() {
            let help = "write `files: [recording.parquet]`";
            cx.report(Diagnostic::new(Code::ValueInvalid, "`files` names no file").at(cx.place).help(help));
        }
        let kinds: BTreeSet<ValueKind> = cx.site.directory.tags().iter().map(|tag| tag.kind).collect();
        let kinds = if kinds.is_empty() { ValueKind::ALL.to_vec() } else { kinds.into_iter().collect() };
        Some(vec![Port::main(StreamType::Samples(kinds))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(ReplaySource { pipeline: cx.pipeline.clone(), node: cx.node.clone() }))
    }

    fn feeder(&self, cx: &BuildContext) -> Result<Option<Box<dyn Feeder>>, BuildError> {
        let replays = cx.resources.get::<Replays>();
        let name = format!("{}.{}", cx.pipeline, cx.node);
        let known = replays.as_ref().and_then(|replays| replays.progress(&name));
        if let Some(Progress { until, stored: false }) = known {
            return Err(cx.error(format!(
                "the site that replayed this recording ended without a stop, after {} or later, so that it is not known \
                 what of it is stored; replay it into a new data folder, named with `--data`",
                ducto_record::time::format(until)
            )));
        }
        if let Some(Progress { until, stored: true }) = known {
            tracing::warn!(
                source = name,
                behind = ducto_record::time::format(until),
                "a recording goes on where it was; windows, checks and alarms that were open there begin anew, so that \
                 their first rows are of what follows alone: for figures of the whole replay it into a new data folder"
            );
        }
        let patterns: Vec<String> = self.files.iter().map(|file| file.value.clone()).collect();
        let files = expand(&patterns, &cx.site.folder).map_err(|error| cx.error(error.line()))?;
        Ok(Some(Box::new(ReplayFeeder {
            pipeline: cx.pipeline.clone(),
            node: cx.node.clone(),
            files,
            options: self.options(),
            directory: cx.directory.clone(),
            pace: self.pace,
            given: known.map(|known| known.until),
            replays,
        })))
    }

    fn has_clock(&self) -> bool {
        true
    }
}

/// Takes from the log what the feeder of the same node brought.
struct ReplaySource {
    pipeline: Arc<str>,
    node: Arc<str>,
}

impl Source for ReplaySource {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        for part in &entry.parts {
            if let Part::Samples { origin: Origin::Source { pipeline, node }, samples } = part
                && *pipeline == self.pipeline
                && *node == self.node
            {
                out.emit(0, Batch::Samples(samples.clone()));
            }
        }
        Ok(())
    }
}

struct ReplayFeeder {
    pipeline: Arc<str>,
    node: Arc<str>,
    files: Vec<PathBuf>,
    options: Options,
    directory: Arc<Directory>,
    pace: Pace,
    /// The last time that was given, now or when the site ran before: a feeder that is started again goes on behind it.
    given: Option<Micros>,
    replays: Option<Arc<Replays>>,
}

/// How often a feeder that waits looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

impl Feeder for ReplayFeeder {
    fn run(&mut self, intake: &Arc<dyn Intake>, stop: &AtomicBool) -> Result<(), NodeError> {
        let other = |error: RecordingError| NodeError::Other(error.line().into());
        let mut recording = Recording::open(&self.files, &self.options, &self.directory).map_err(other)?;
        let mut start: Option<(Instant, Micros)> = None;
        let (mut logged, mut passed) = (0, 0);
        let origin = Origin::Source { pipeline: self.pipeline.clone(), node: self.node.clone() };
        while let Some(entry) = recording.next() {
            let (time, batches) = entry.map_err(other)?;
            logged = self.log_rejected(&recording, logged);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if self.given.is_some_and(|given| time <= given) {
                passed += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
                continue;
            }
            if start.is_none()
                && let Some(replays) = &self.replays
            {
                replays.begin_node(&self.name(), time).map_err(|error| NodeError::Other(Box::new(error)))?;
            }
            let (started, first) = *start.get_or_insert_with(|| (Instant::now(), time));
            if let Some(due) = self.pace.due(started, first, time) {
                while let Some(rest) = due.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::sleep(rest.min(LOOK));
                }
            }
            let part = |samples| Part::Samples { origin: origin.clone(), samples };
            if intake.enter_at(time, batches.into_iter().map(part).collect()).is_err() {
                return Ok(());
            }
            self.given = Some(time);
            if let Some(replays) = &self.replays {
                replays.given(&self.name(), time);
            }
        }
        if let (1.., Some(given)) = (passed, self.given) {
            let until = ducto_record::time::format(given);
            tracing::info!(node = self.name(), passed, until, "samples that were replayed before were passed over");
        }
        self.log_rejected(&recording, logged);
        let rejected = recording.rejected();
        if rejected.total > 0 {
            let causes = &rejected.causes;
            tracing::warn!(
                node = self.name(),
                rejected = rejected.total,
                ?causes,
                "samples were left out of the replay"
            );
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("{}.{}", self.pipeline, self.node)
    }
}

impl ReplayFeeder {
    /// Logs what is newly rejected, as far as it is kept, and says how many are logged.
    fn log_rejected(&self, recording: &Recording, logged: usize) -> usize {
        if recording.rejected_total() as usize <= logged || logged >= Rejected::SHOWN {
            return logged;
        }
        let rejected = recording.rejected();
        for rejection in rejected.first.iter().skip(logged) {
            tracing::warn!(node = self.name(), "{rejection}");
        }
        rejected.first.len()
    }
}
