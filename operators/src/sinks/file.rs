//! `file`: rows and samples as lines of JSON or CSV.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Sink, SinkConfig,
};
use ducto_graph::scalar::ByteSize;
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Directory, Epoch, Micros};
use ducto_storage::FileError;
use ducto_storage::disk::{AppendedFile, Disk};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::Historians;
use super::append::{Pending, written_columns};
use super::claims::{Claim, own_place};
use super::text::TextFormat;

/// Appends what comes to a file, a line a sample or row, with the names of tags and assets. A corrected row comes
/// again with a higher `revision`. What an epoch brings is written at once when the epoch ends. While the disk is full
/// or its folder not there, what comes waits in memory, and the rest of the pipeline goes on. When that memory is used up
/// the oldest rows go, and are counted as `sink_behind`.
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
        let claim = historians.map(|historians| historians.claim(&path)).transpose();
        let claim = claim.map_err(|error| cx.error(error.to_string()))?;
        let mut output = Output { disk, path, header: format.header(&columns), file: None };
        // Opened now, so that a file that cannot be written is known before anything runs.
        output.file().map_err(|error| cx.error(error.to_string()))?;
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
        }))
    }

    fn file(&self) -> Option<Spanned<String>> {
        Some(self.path.clone())
    }
}

/// What went wrong with the file.
#[derive(Debug, Error)]
enum FileSinkError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} begins with the header `{found}` and not with `{expected}`; move it away, or write to another file", path.display())]
    Header { path: PathBuf, expected: String, found: String },
}

/// A file of whole lines. It is opened anew after a failure: what was written of a line is removed then.
struct Output {
    disk: Disk,
    path: PathBuf,
    header: Vec<u8>,
    file: Option<AppendedFile>,
}

impl Output {
    fn file(&mut self) -> Result<&mut AppendedFile, FileSinkError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        Ok(self.file.insert(file))
    }

    fn open(&self) -> Result<AppendedFile, FileSinkError> {
        let (path, header) = (&self.path, &self.header);
        let mut file = self.disk.append(path)?;
        let length = whole_lines(&file)?;
        if length < file.length() {
            tracing::warn!(path = %path.display(), "the last line was cut short and is removed");
            file.cut(length)?;
        }
        if length > 0 && !header.is_empty() {
            let mut found = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(header.len())];
            file.read(0, &mut found)?;
            if found != *header {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
                let (expected, found) = (text(header), text(&found));
                return Err(FileSinkError::Header { expected, found, path: path.clone() });
            }
        }
        Ok(file)
    }

    fn length(&self) -> u64 {
        self.file.as_ref().map_or(0, AppendedFile::length)
    }

    /// All of it or nothing.
    fn write(&mut self, text: &[u8]) -> Result<(), FileSinkError> {
        let header = self.header.clone();
        let file = self.file()?;
        let written = if file.length() == 0 { file.append(&[&header, text].concat()) } else { file.append(text) };
        if written.is_err() {
            self.file = None;
        }
        Ok(written?)
    }

    /// Gives the file a name with this time; the next line begins a new one.
    fn rotate(&mut self, now: Micros) -> Result<(), FileSinkError> {
        self.file()?.sync()?;
        self.disk.rename(&self.path, &dated(&self.path, now))?;
        self.file = None;
        Ok(())
    }
}

/// Bytes up to and with the last line end.
fn whole_lines(file: &AppendedFile) -> Result<u64, FileError> {
    let mut end = file.length();
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.read(start, block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A name that is not taken: `alarms.20260101T000000Z.jsonl`, then `alarms.20260101T000000Z-2.jsonl`.
fn dated(path: &Path, now: Micros) -> PathBuf {
    let stamp = jiff::Timestamp::from_microsecond(now).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    let name = |suffix: &str| path.with_file_name(format!("{stem}.{stamp}{suffix}{ending}"));
    let mut dated = name("");
    for number in 2.. {
        if !dated.exists() {
            break;
        }
        dated = name(&format!("-{number}"));
    }
    dated
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
}

impl FileWriter {
    fn rotate_if_due(&mut self, now: Micros) -> Result<(), FileSinkError> {
        let full = self.rotate.size.as_ref().is_some_and(|size| self.output.length() >= size.bytes().max(1));
        let today = jiff::Timestamp::from_microsecond(now).ok().map(|now| self.zone.to_datetime(now).date());
        let over = self.rotate.daily && self.day.is_some() && self.day != today;
        if (full || over) && self.output.length() > 0 {
            self.output.rotate(now)?;
        }
        self.day = today;
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
        let mut text = Vec::new();
        for batch in &batches {
            self.format.write(batch, &mut text)?;
        }
        if text.is_empty() {
            return Ok(());
        }
        let written = self.rotate_if_due(now).and_then(|()| self.output.write(&text));
        written.map_err(|error| self.node_error(error))
    }

    fn finish(&mut self) -> Result<(), NodeError> {
        let synced = self.output.file().and_then(|file| Ok(file.sync()?));
        synced.map_err(|error| NodeError::Other(Box::new(error)))
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
