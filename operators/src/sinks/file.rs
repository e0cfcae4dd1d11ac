//! `file`: rows and samples as lines of JSON or CSV.

mod output;
mod position;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Sink, SinkConfig, Store,
};
use ducto_graph::scalar::ByteSize;
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Directory, Epoch, Micros};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Historians;
use super::append::{Pending, written_columns};
use super::claims::{Claim, own_place};
use super::text::TextFormat;
use output::{FileSinkError, Output};
use position::Kept;
pub(super) use position::last_epoch;

/// How often it is written down how far the file holds what came.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// Appends what comes to a file, a line a sample or row, with the names of tags and assets. A corrected row comes
/// again with a higher `revision`. What an epoch brings is written at once when the epoch ends; a kill or a power cut
/// neither loses nor doubles a line of it. While the disk is full
/// or its folder not there, what comes waits in memory, and the rest of the pipeline goes on. When that memory is used up
/// the journal keeps what comes, and it is read again from there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// The file; a relative path lies in the data folder, beside what Ducto keeps there. Folders on the way are made.
    /// No two nodes write one file.
    path: Spanned<String>,
    /// `jsonl` or `csv`; by default as the file's ending says.
    format: Option<TextFormat>,
    /// When to begin a new file. By default never.
    rotate: Option<Rotate>,
}

/// When a file is closed and a new one begun. The old one gets the time of the change in its name:
/// `alarms.20260101T000000Z.jsonl`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rotate {
    /// At this size, `100MB`.
    size: Option<Spanned<ByteSize>>,
    /// At midnight by the site's clock.
    daily: bool,
}

pub fn operator() -> Operator {
    Operator {
        name: "file",
        summary: "Rows and samples as lines of JSON or CSV",
        schema: |generator| generator.subschema_for::<FileSink>(),
        examples: &[
            "events: {type: file, inputs: [alarms], path: alarms.jsonl}",
            "export: {type: file, inputs: [minutes], path: /srv/export/minutes.csv, rotate: {daily: true, size: 100MB}}",
        ],
        decode: Decode::Sink(|node, diagnostics| {
            decode::<FileSink>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SinkConfig>)
        }),
    }
}

impl FileSink {
    fn format(&self) -> Option<TextFormat> {
        self.format.or_else(|| TextFormat::of(&self.path))
    }
}

impl SinkConfig for FileSink {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) {
        let size = self.rotate.as_ref().and_then(|rotate| rotate.size.as_ref());
        if let Some(size) = size.filter(|size| size.bytes() == 0) {
            let message = "`size` is 0, which would be a file for each line";
            let help = "write a size such as `100MB`";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(size.place).help(help));
        }
        let Some(format) = self.format() else {
            let message = format!("the ending of `{}` says neither JSONL nor CSV", *self.path);
            let help = "end it in .jsonl or .csv, or set `format: jsonl` or `format: csv`";
            cx.report(Diagnostic::new(Code::ValueInvalid, message).at(self.path.place).help(help));
            return;
        };
        if let Some(own) = own_place(Path::new(&*self.path)) {
            let message = format!("`{}` is where the data folder keeps `{own}`", *self.path);
            let help = "name another file or folder, say `export/events.jsonl`";
            cx.report(Diagnostic::new(Code::NameReserved, message).at(self.path.place).help(help));
        }
        if format == TextFormat::Csv
            && let Some((first, rest)) = inputs.split_first()
        {
            let columns = written_columns(&first.stream);
            for input in rest.iter().filter(|input| written_columns(&input.stream) != columns) {
                let message = format!(
                    "`{}` has other columns than `{}`, and a CSV file has one header",
                    *input.from, *first.from
                );
                let help = "give each a file of its own, or write JSONL";
                cx.report(Diagnostic::new(Code::StreamRefused, message).at(input.from.place).help(help));
            }
        }
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let historians = cx.resources.get::<Historians>();
        let base = historians.as_ref().map_or(cx.site.folder.as_path(), |historians| historians.folder().path());
        let path = base.join(&*self.path);
        let format = self.format().unwrap_or(TextFormat::Jsonl);
        let columns = cx.inputs.first().map(|input| written_columns(&input.stream)).unwrap_or_default();
        let disk = historians.as_ref().map(|historians| historians.folder().disk().clone()).unwrap_or_default();
        let name = format!("{}.{}", cx.pipeline, cx.node);
        let kept = historians.as_ref().map(|historians| Kept::open(historians.folder(), &name, &path)).transpose();
        let mut kept = kept.map_err(|error| cx.error(error.to_string()))?;
        let claim = historians.map(|historians| historians.claim(&path)).transpose();
        let claim = claim.map_err(|error| cx.error(error.to_string()))?;
        let mut output = Output::new(disk, path, format.header(&columns));
        // Opened now, so that a file that cannot be written is known before anything runs.
        output.file().map_err(|error| cx.error(error.to_string()))?;
        if let Some(kept) = &mut kept {
            kept.begin(output.length());
            output.read_behind(kept.position.length).map_err(|error| cx.error(error.to_string()))?;
        }
        let held = kept.as_ref().map_or(0, |kept| kept.position.epoch);
        Ok(Box::new(FileWriter {
            output,
            format,
            rotate: self.rotate.clone().unwrap_or_default(),
            zone: cx.site.time_zone.zone().clone(),
            day: None,
            inputs: cx.inputs.clone(),
            directory: cx.directory.clone(),
            pending: Pending::default(),
            claim,
            kept,
            ended: held,
            held: Arc::new(AtomicU64::new(held)),
            committed_at: Instant::now(),
            uncommitted: false,
        }))
    }

    fn file(&self) -> Option<Spanned<String>> {
        Some(self.path.clone())
    }
}

struct FileWriter {
    output: Output,
    format: TextFormat,
    rotate: Rotate,
    zone: TimeZone,
    /// Of the newest line.
    day: Option<Date>,
    inputs: Arc<[Input]>,
    directory: Arc<Directory>,
    pending: Pending,
    /// Where a site has a data folder.
    claim: Option<Claim>,
    /// Where a site has a data folder.
    kept: Option<Kept>,
    /// The last epoch that has ended.
    ended: Epoch,
    /// Everything up to this epoch is in the file and on disk.
    held: Arc<AtomicU64>,
    committed_at: Instant,
    /// Lines have been written since.
    uncommitted: bool,
}

impl FileWriter {
    fn rotate_if_due(&mut self, now: Micros) -> Result<(), FileSinkError> {
        let full = self.rotate.size.as_ref().is_some_and(|size| self.output.length() >= size.bytes().max(1));
        let today = jiff::Timestamp::from_microsecond(now).ok().map(|now| self.zone.to_datetime(now).date());
        let over = self.rotate.daily && self.day.is_some() && self.day != today;
        // What comes again is compared in the file where it stands.
        if (full || over) && self.output.length() > 0 && self.output.expected() == 0 {
            // So that nothing behind the position is in a file of another name.
            self.commit()?;
            self.output.rotate(now)?;
        }
        self.day = today;
        Ok(())
    }

    /// Writes down that the file holds everything up to the last epoch that has ended.
    fn commit(&mut self) -> Result<(), FileSinkError> {
        let expected = self.output.expected();
        let file = self.output.file()?;
        let length = file.length().saturating_sub(expected);
        if self.uncommitted {
            file.sync()?;
        }
        if let Some(kept) = &mut self.kept {
            kept.save(self.ended, length)?;
        }
        (self.uncommitted, self.committed_at) = (false, Instant::now());
        self.held.store(self.ended, Ordering::Release);
        Ok(())
    }

    /// Writes the lines of an epoch, as far as they do not stand there.
    fn write(&mut self, text: &[u8], now: Micros) -> Result<(), FileSinkError> {
        self.rotate_if_due(now)?;
        // A new file begins with a position of its own.
        let length = self.output.file()?.length();
        if self.kept.as_ref().is_some_and(|kept| kept.position.length > length) {
            self.commit()?;
        }
        self.output.write_new(text)?;
        self.uncommitted = true;
        Ok(())
    }

    /// A file that cannot be written now is waited for, until the site stops.
    fn node_error(&self, error: FileSinkError) -> NodeError {
        let closing = self.claim.as_ref().is_some_and(Claim::is_closing);
        match error {
            FileSinkError::File(error) if !closing => NodeError::Later(Box::new(error)),
            error => NodeError::Other(Box::new(error)),
        }
    }
}

impl Sink for FileWriter {
    fn on_batch(&mut self, input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        self.pending.push(input, epoch, batch);
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, now: Micros) -> Result<(), NodeError> {
        let batches = self.pending.take(epoch, &self.inputs, &self.directory)?;
        if epoch <= self.ended && self.kept.is_some() {
            return Ok(());
        }
        let mut text = Vec::new();
        for batch in &batches {
            self.format.write(batch, &mut text)?;
        }
        if !text.is_empty() {
            self.write(&text, now).map_err(|error| self.node_error(error))?;
        }
        self.ended = epoch;
        if !self.uncommitted {
            self.held.store(epoch, Ordering::Release);
        } else if self.committed_at.elapsed() >= COMMIT_EVERY
            && let Err(error) = self.commit()
        {
            // The lines are written; that they are is written down with the next epoch.
            tracing::warn!(%error, "it cannot be written down how far a file holds what came");
        }
        Ok(())
    }

    fn store(&self) -> Option<Store> {
        self.kept.as_ref()?;
        let held = self.held.clone();
        Some(Box::new(move || held.load(Ordering::Acquire)))
    }

    fn finish(&mut self) -> Result<(), NodeError> {
        self.commit().map_err(|error| NodeError::Other(Box::new(error)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::super::append::tests::{input, row_type, rows};
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use crate::sources::testing::{context, directory, sample, site};
    use ducto_record::time::DAY;
    use ducto_record::{StreamType, ValueKind};

    fn config(path: &str, rotate: Option<Rotate>) -> FileSink {
        FileSink { path: Spanned::from(path.to_owned()), format: None, rotate }
    }

    fn build(config: &FileSink, folder: &Path, stream: StreamType) -> Result<Box<dyn Sink>, BuildError> {
        let directory = directory();
        let mut cx = context(&directory);
        cx.site = Arc::new(site(&directory, folder.to_owned()));
        cx.inputs = Arc::new([input(stream)]);
        config.build(&cx)
    }

    fn samples() -> StreamType {
        StreamType::Samples(vec![ValueKind::Float64])
    }

    #[test]
    fn lines_are_appended_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let config = config("out/x.csv", None);
        for epoch in [1, 2] {
            let mut sink = build(&config, folder.path(), samples()).unwrap();
            sink.on_batch(0, epoch, &Batch::Samples(sample(epoch as i64 * 1_000_000, 0, 1.5))).unwrap();
            sink.end_epoch(epoch, 0).unwrap();
            sink.finish().unwrap();
            // A crash in the middle of a line.
            let path = folder.path().join("out/x.csv");
            OpenOptions::new().append(true).open(path).unwrap().write_all(b"1970-01").unwrap();
        }
        drop(build(&config, folder.path(), samples()).unwrap());
        let text = fs::read_to_string(folder.path().join("out/x.csv")).unwrap();
        assert_eq!(
            text,
            "time,tag,value,quality,checks\n1970-01-01T00:00:01Z,W1.THP,1.5,192,0\n1970-01-01T00:00:02Z,W1.THP,1.5,192,0\n"
        );
        let error = build(&config, folder.path(), StreamType::Rows(row_type())).err().unwrap();
        assert!(error.to_string().contains("begins with the header"), "{error}");
    }

    #[test]
    fn what_comes_again_after_a_kill_is_not_written_again() {
        for (format, rotate) in [("x.csv", None), ("x.jsonl", None), ("x.csv", Some(90)), ("x.jsonl", Some(200))] {
            let folder = tempfile::tempdir().unwrap();
            let data = std::cell::RefCell::new(folder.path().join("data"));
            let rotate = || rotate.map(|size| Rotate { size: Some(ByteSize::from_bytes(size).into()), daily: false });
            // A process that is killed after `last`, and one that is given again what came behind `checkpoint`.
            let run = |checkpoint: Epoch, last: Epoch, commit: bool| {
                let folder = Arc::new(ducto_storage::DataFolder::open(&data.borrow()).unwrap());
                let historians = Arc::new(Historians::open(folder).unwrap());
                let directory = directory();
                let mut cx = context(&directory);
                cx.inputs = Arc::new([input(samples())]);
                cx.resources.insert(historians.clone());
                let mut sink = config(format, rotate()).build(&cx).unwrap();
                let held = sink.store().unwrap();
                assert!(historians.last_epoch() >= held());
                for epoch in checkpoint + 1..=last {
                    for row in 0..epoch % 3 {
                        let value = epoch as f64 + row as f64 / 10.0;
                        sink.on_batch(0, epoch, &Batch::Samples(sample(epoch as i64 * 1_000_000, 0, value))).unwrap();
                    }
                    sink.end_epoch(epoch, epoch as i64 * 1_000_000).unwrap();
                }
                if commit {
                    sink.finish().unwrap();
                }
                held()
            };
            // Also in the middle of an epoch's lines.
            let tear = || {
                let path = data.borrow().join(format);
                let text = fs::read(&path).unwrap();
                let end = text.len().saturating_sub(20);
                fs::write(&path, &text[..end]).unwrap();
            };
            let held = run(0, 5, true);
            assert_eq!(held, 5);
            let held = run(held, 9, false);
            tear();
            let held = run(held, 14, false);
            // Named otherwise: the data folder was moved.
            let moved = folder.path().join("moved");
            fs::rename(data.replace(moved.clone()), moved).unwrap();
            let held = run(held, 14, false);
            run(held, 20, true);
            let mut lines: Vec<String> = Vec::new();
            for entry in fs::read_dir(&*data.borrow()).unwrap().flatten() {
                if entry.file_name().to_string_lossy().starts_with("x.") {
                    lines.extend(fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned));
                }
            }
            lines.retain(|line| !line.starts_with("time,"));
            let count = lines.len();
            lines.sort();
            lines.dedup();
            let all = (1..=20).map(|epoch| epoch % 3).sum::<usize>();
            assert_eq!((lines.len(), count), (all, all), "{format}: {lines:#?}");
        }
    }

    #[test]
    fn rows_are_lines_with_a_revision() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = build(&config("x.jsonl", None), folder.path(), StreamType::Rows(row_type())).unwrap();
        sink.on_batch(0, 9, &Batch::Rows(rows(&[(0, 0, 1.0, -1), (0, 0, 2.0, 1)]))).unwrap();
        sink.end_epoch(9, 0).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("x.jsonl")).unwrap(),
            "{\"time\":\"1970-01-01T00:00:00Z\",\"asset\":\"W1\",\"mean\":2.0,\"quality\":192,\"reason\":null,\"revision\":37}\n"
        );
    }

    #[test]
    fn a_new_file_by_size_and_by_day() {
        let folder = tempfile::tempdir().unwrap();
        let rotate = Rotate { size: Some(ByteSize::from_bytes(60).into()), daily: true };
        let mut sink = build(&config("x.csv", Some(rotate)), folder.path(), samples()).unwrap();
        for (epoch, now) in [(1, 0), (2, 1), (3, 1), (4, DAY)] {
            sink.on_batch(0, epoch, &Batch::Samples(sample(now, 0, 1.0))).unwrap();
            sink.end_epoch(epoch, now).unwrap();
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x.19700101T000000Z-2.csv", "x.19700101T000000Z.csv", "x.19700102T000000Z.csv", "x.csv"]);
        for name in names {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(text.lines().count(), 2);
        }
    }

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        // Takes nothing, as a full disk.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut sink = build(&config("x.csv", None), folder.path(), samples()).unwrap();
        let mut give = |epoch: Epoch| {
            sink.on_batch(0, epoch, &Batch::Samples(sample(epoch as i64 * 1_000_000, 0, 1.5))).unwrap();
            sink.end_epoch(epoch, 0)
        };
        for _ in 0..5 {
            let error = give(1).unwrap_err();
            assert!(matches!(error, NodeError::Later(_)), "{error:?}");
            assert!(error.to_string().contains("x.csv") && error.to_string().contains("free space"), "{error}");
        }
        // What a full disk took of a line.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "time,ta").unwrap();
        give(1).unwrap();
        give(2).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "time,tag,value,quality,checks\n1970-01-01T00:00:01Z,W1.THP,1.5,192,0\n1970-01-01T00:00:02Z,W1.THP,1.5,192,0\n"
        );
    }

    #[test]
    fn what_cannot_be_opened_is_said_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("taken"), "").unwrap();
        let error = build(&config("taken/x.csv", None), folder.path(), samples()).err().unwrap();
        let taken = folder.path().join("taken").display().to_string();
        assert!(error.to_string().contains(&taken), "{error}");
    }
}
