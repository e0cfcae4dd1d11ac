//! One file's samples in the order of time, however large the file and whatever its order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_graph::diagnostic::did_you_mean;
use ducto_record::{Directory, Micros, Quality, TagId};

use super::cell::{self, Cell, Raw};
use super::error::RecordingError;
use super::options::Options;
use super::rows::{Cause, Needs, Rejected, Rows, Take, open};

/// A sample that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) time: Micros,
    pub(super) tag: TagId,
    pub(super) quality: Quality,
    pub(super) value: Cell,
}

/// What a first pass over the times of a file says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survey {
    pub(super) rows: u64,
    pub(super) first: Micros,
    pub(super) last: Micros,
    ordered: bool,
}

impl Survey {
    fn of(path: &Path, options: &Options) -> Result<Self, RecordingError> {
        struct Times<'a>(Survey, Micros, &'a Options);
        impl Take for Times<'_> {
            fn time(&mut self, _line: u64, raw: Raw<'_>) -> bool {
                let Self(survey, newest, options) = self;
                survey.rows += 1;
                if let Ok(time) = cell::time(raw, options) {
                    survey.ordered &= time >= *newest;
                    *newest = time;
                    survey.first = survey.first.min(time);
                    survey.last = survey.last.max(time);
                }
                false
            }
            fn sample(&mut self, _: u64, _: Raw<'_>, _: Raw<'_>, _: Raw<'_>, _: bool) {}
            fn broken(&mut self, _: u64, _: Option<&str>, _: String) {
                self.0.rows += 1;
            }
        }
        let mut rows = open(path, options, Needs::Times)?;
        let survey = Self { rows: 0, first: Micros::MAX, last: Micros::MIN, ordered: true };
        let mut times = Times(survey, Micros::MIN, options);
        while rows.read(&mut times)? {}
        Ok(times.0)
    }
}

/// A file's samples in the order of time; of one time, in the order of the file.
pub(super) struct Ordered {
    path: PathBuf,
    options: Arc<Options>,
    directory: Arc<Directory>,
    pub(super) survey: Survey,
    pub(super) rejected: Rejected,
    source: Source,
}

enum Source {
    /// The file is in order and is read as it is wanted.
    File {
        rows: Box<dyn Rows>,
        more: bool,
        buffer: std::vec::IntoIter<Sample>,
    },
    Sorted(std::vec::IntoIter<Sample>),
    Runs(Merge),
}

impl Ordered {
    pub(super) fn open(
        path: &Path,
        options: &Arc<Options>,
        directory: &Arc<Directory>,
    ) -> Result<Self, RecordingError> {
        let survey = Survey::of(path, options)?;
        let rows = open(path, options, Needs::Everything)?;
        let mut ordered = Self {
            path: path.to_owned(),
            options: options.clone(),
            directory: directory.clone(),
            survey,
            rejected: Rejected::default(),
            source: Source::File { rows, more: true, buffer: Vec::new().into_iter() },
        };
        if !survey.ordered {
            ordered.sort()?;
        }
        Ok(ordered)
    }

    pub(super) fn next(&mut self) -> Result<Option<Sample>, RecordingError> {
        loop {
            match &mut self.source {
                Source::Sorted(samples) => return Ok(samples.next()),
                Source::Runs(merge) => return merge.next().map_err(|source| self.sort_error(source)),
                Source::File { buffer, more, .. } => {
                    if let Some(sample) = buffer.next() {
                        return Ok(Some(sample));
                    }
                    if !*more {
                        return Ok(None);
                    }
                }
            }
            let mut samples = Vec::new();
            self.fill(&mut samples)?;
            if let Source::File { buffer, .. } = &mut self.source {
                *buffer = samples.into_iter();
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads some rows of the file.
    fn fill(&mut self, samples: &mut Vec<Sample>) -> Result<bool, RecordingError> {
        let Source::File { rows, more, .. } = &mut self.source else { return Ok(false) };
        let mut decoder = Decoder {
            path: &self.path,
            options: &self.options,
            directory: &self.directory,
            rejected: &mut self.rejected,
            samples,
            time: 0,
        };
        *more = rows.read(&mut decoder)?;
        Ok(*more)
    }

    fn sort(&mut self) -> Result<(), RecordingError> {
        let mut samples = Vec::new();
        let mut runs = None;
        loop {
            let more = self.fill(&mut samples)?;
            if !more && runs.is_none() {
                samples.sort_by_key(|sample| sample.time);
                self.source = Source::Sorted(samples.into_iter());
                return Ok(());
            }
            if !more || samples.len() >= self.options.sort_rows {
                samples.sort_by_key(|sample| sample.time);
                let written = runs.get_or_insert_with(Runs::default).write(&samples);
                written.map_err(|source| self.sort_error(source))?;
                samples.clear();
            }
            if !more {
                let merge = runs.unwrap_or_default().merge().map_err(|source| self.sort_error(source))?;
                self.source = Source::Runs(merge);
                return Ok(());
            }
        }
    }

    fn sort_error(&self, source: std::io::Error) -> RecordingError {
        RecordingError::Sort { path: self.path.clone(), source }
    }
}

/// Makes samples of a file's cells, or counts why not.
struct Decoder<'a> {
    path: &'a Path,
    options: &'a Options,
    directory: &'a Directory,
    rejected: &'a mut Rejected,
    samples: &'a mut Vec<Sample>,
    time: Micros,
}

/// Why a cell makes no sample: what is wrong, in which column, in words.
type Wrong = (Cause, Option<String>, String);

impl Decoder<'_> {
    fn decode(&self, name: Raw<'_>, value: Raw<'_>, quality: Raw<'_>, wide: bool) -> Result<Sample, Wrong> {
        let number;
        let options = self.options;
        let column = |of: &str| Some(of.to_owned());
        let written = match name {
            Raw::Text(name) if !name.trim().is_empty() => name.trim(),
            Raw::Integer(name) => {
                number = name.to_string();
                &number
            }
            Raw::Text(_) if wide => {
                return Err((Cause::Tag, None, format!("{value} stands in a column without a name")));
            }
            Raw::Text(_) | Raw::Missing => {
                return Err((Cause::Tag, column(&options.tag), "the name of the tag is missing".into()));
            }
            other => return Err((Cause::Tag, column(&options.tag), format!("{other} is no name of a tag"))),
        };
        let renamed = options.renamed(written);
        let of_name = if wide { written } else { &options.tag };
        let found = self.directory.tag_id(renamed).and_then(|id| Some((id, self.directory.tag(id)?.kind)));
        let (tag, kind) = found.ok_or_else(|| (Cause::Tag, column(of_name), self.unknown(renamed)))?;
        let of_value = if wide { written } else { &options.value };
        let value = cell::value(value, kind, options)
            .map_err(|why| (Cause::Value, column(of_value), format!("`{renamed}`, a tag of {kind}: {why}")))?;
        let quality = cell::quality(quality, &value).map_err(|why| (Cause::Quality, column(&options.quality), why))?;
        Ok(Sample { time: self.time, tag, quality, value })
    }

    /// The nearest name is looked for only where it will be read.
    fn unknown(&self, name: &str) -> String {
        let tags = self.directory.tags().iter().map(|tag| &*tag.name);
        match self.rejected.shows().then(|| did_you_mean(name, tags)).flatten() {
            Some(nearest) => format!("`{name}` is no tag of the site; did you mean `{nearest}`?"),
            None => format!("`{name}` is no tag of the site"),
        }
    }
}

impl Take for Decoder<'_> {
    fn time(&mut self, line: u64, raw: Raw<'_>) -> bool {
        match cell::time(raw, self.options) {
            Ok(time) => {
                self.time = time;
                true
            }
            Err(why) => {
                self.rejected.push(self.path, line, Some(&self.options.time), Cause::Time, || why);
                false
            }
        }
    }

    fn sample(&mut self, line: u64, name: Raw<'_>, value: Raw<'_>, quality: Raw<'_>, wide: bool) {
        match self.decode(name, value, quality, wide) {
            Ok(sample) => self.samples.push(sample),
            Err((cause, column, why)) => self.rejected.push(self.path, line, column.as_deref(), cause, || why),
        }
    }

    fn broken(&mut self, line: u64, column: Option<&str>, message: String) {
        self.rejected.push(self.path, line, column, Cause::Row, || message);
    }
}

/// Sorted runs in one temporary file, which has no name and goes with the process.
#[derive(Default)]
struct Runs {
    file: Option<BufWriter<File>>,
    /// Where each run ends.
    ends: Vec<u64>,
}

impl Runs {
    fn write(&mut self, samples: &[Sample]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 16, tempfile::tempfile()?)),
        };
        for sample in samples {
            file.write_all(&sample.time.to_le_bytes())?;
            file.write_all(&sample.tag.to_le_bytes())?;
            file.write_all(&sample.quality.0.to_le_bytes())?;
            match &sample.value {
                Cell::Null => file.write_all(&[0])?,
                Cell::Number(number) => {
                    file.write_all(&[1])?;
                    file.write_all(&number.to_le_bytes())?;
                }
                Cell::Integer(number) => {
                    file.write_all(&[2])?;
                    file.write_all(&number.to_le_bytes())?;
                }
                Cell::Flag(flag) => file.write_all(&[3, u8::from(*flag)])?,
                Cell::Text(text) => {
                    file.write_all(&[4])?;
                    file.write_all(&(text.len() as u64).to_le_bytes())?;
                    file.write_all(text.as_bytes())?;
                }
            }
        }
        self.ends.push(file.stream_position()?);
        Ok(())
    }

    fn merge(self) -> std::io::Result<Merge> {
        let Some(file) = self.file else { return Ok(Merge { runs: Vec::new(), next: BinaryHeap::new() }) };
        let file = Arc::new(file.into_inner().map_err(std::io::IntoInnerError::into_error)?);
        let mut merge = Merge { runs: Vec::new(), next: BinaryHeap::new() };
        let mut at = 0;
        for end in self.ends {
            let mut run =
                Run { reader: BufReader::with_capacity(1 << 16, Part { file: file.clone(), at, end }), head: None };
            at = end;
            if let Some(time) = run.advance()? {
                merge.next.push(Reverse((time, merge.runs.len())));
            }
            merge.runs.push(run);
        }
        Ok(merge)
    }
}

/// Joins sorted runs; of one time, earlier runs come first, as in the file.
struct Merge {
    runs: Vec<Run>,
    next: BinaryHeap<Reverse<(Micros, usize)>>,
}

impl Merge {
    fn next(&mut self) -> std::io::Result<Option<Sample>> {
        let Some(Reverse((_, index))) = self.next.pop() else { return Ok(None) };
        let Some(run) = self.runs.get_mut(index) else { return Ok(None) };
        let sample = run.head.take();
        if let Some(time) = run.advance()? {
            self.next.push(Reverse((time, index)));
        }
        Ok(sample)
    }
}

struct Run {
    reader: BufReader<Part>,
    head: Option<Sample>,
}

impl Run {
    /// Reads the next sample into `head` and says its time.
    fn advance(&mut self) -> std::io::Result<Option<Micros>> {
        let mut word = [0; 8];
        match self.reader.read_exact(&mut word) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let time = Micros::from_le_bytes(word);
        let mut rest = [0; 7];
        self.reader.read_exact(&mut rest)?;
        let [t0, t1, t2, t3, q0, q1, kind] = rest;
        let value = match kind {
            0 => Cell::Null,
            3 => {
                let mut flag = [0];
                self.reader.read_exact(&mut flag)?;
                Cell::Flag(flag != [0])
            }
            _ => {
                self.reader.read_exact(&mut word)?;
                match kind {
                    1 => Cell::Number(f64::from_le_bytes(word)),
                    2 => Cell::Integer(i64::from_le_bytes(word)),
                    _ => {
                        let mut text = String::new();
                        self.reader.by_ref().take(u64::from_le_bytes(word)).read_to_string(&mut text)?;
                        Cell::Text(text.into())
                    }
                }
            }
        };
        let tag = TagId::from_le_bytes([t0, t1, t2, t3]);
        self.head = Some(Sample { time, tag, quality: Quality(u16::from_le_bytes([q0, q1])), value });
        Ok(Some(time))
    }
}

/// A piece of a file, read without moving the file's own position.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
