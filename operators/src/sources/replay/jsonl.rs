//! JSON Lines: an object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::cell::Raw;
use super::error::{Content, RecordingError};
use super::options::{Options, Shape};
use super::rows::{Rows, Take, blank};

const CHUNK: usize = 4_096;

/// A line longer than this is no row of samples.
const LONGEST: u64 = 16 << 20;

pub(super) struct JsonlRows {
    path: PathBuf,
    reader: BufReader<File>,
    options: Options,
    /// `None` until the first row says it.
    shape: Option<Shape>,
    line: u64,
    buffer: Vec<u8>,
}

impl JsonlRows {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::io(path, source);
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(io)?);
        if let Some(found) = Content::not_text(reader.fill_buf().map_err(io)?) {
            return Err(RecordingError::Other { path: path.to_owned(), expected: "JSON Lines", found });
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            options: options.clone(),
            shape: options.shape,
            line: 0,
            buffer: Vec::new(),
        })
    }

    /// The next line into the buffer; `Ok(false)` at the end of the file.
    fn next_line(&mut self) -> Result<bool, std::io::Error> {
        self.buffer.clear();
        self.line += 1;
        let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.buffer)?;
        if read as u64 == LONGEST {
            // The rest of the line is passed over without being kept.
            loop {
                let rest = self.reader.fill_buf()?;
                let end = rest.iter().position(|byte| *byte == b'\n');
                let used = end.map_or(rest.len(), |end| end + 1);
                let done = end.is_some() || rest.is_empty();
                self.reader.consume(used);
                if done {
                    break;
                }
            }
        }
        Ok(read > 0)
    }

    fn row(&mut self, object: &Map<String, Value>, take: &mut dyn Take) {
        let get = |name: &str| object.get(name).map_or(Raw::Missing, raw);
        let options = &self.options;
        let long = object.contains_key(&options.tag);
        let shape = *self.shape.get_or_insert(if long { Shape::Long } else { Shape::Wide });
        if !take.time(self.line, get(&options.time)) {
            return;
        }
        match shape {
            Shape::Long => take.sample(self.line, get(&options.tag), get(&options.value), get(&options.quality), false),
            Shape::Wide => {
                for (name, value) in object.iter().filter(|(name, _)| **name != options.time) {
                    if !blank(raw(value)) {
                        take.sample(self.line, Raw::Text(name), raw(value), Raw::Missing, true);
                    }
                }
            }
        }
    }
}

impl Rows for JsonlRows {
    fn read(&mut self, take: &mut dyn Take) -> Result<bool, RecordingError> {
        for _ in 0..CHUNK {
            if !self.next_line().map_err(|source| RecordingError::io(&self.path, source))? {
                return Ok(false);
            }
            let line = self.buffer.trim_ascii();
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(line) {
                Ok(Value::Object(object)) => self.row(&object, take),
                Ok(_) => take.broken(self.line, None, "the line is JSON and no object".into()),
                Err(error) => take.broken(self.line, None, format!("the line is no JSON object: {error}")),
            }
        }
        Ok(true)
    }

    fn names(&self) -> Option<Vec<String>> {
        None
    }
}

fn raw(value: &Value) -> Raw<'_> {
    match value {
        Value::Null => Raw::Missing,
        Value::Bool(flag) => Raw::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Raw::Integer(number),
            (None, Some(number)) => Raw::Float(number),
            (None, None) => Raw::Missing,
        },
        Value::String(text) => Raw::Text(text),
        Value::Array(_) => Raw::Nested("a list"),
        Value::Object(_) => Raw::Nested("an object"),
    }
}
