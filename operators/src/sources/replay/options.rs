//! How a recorded file is read: what it holds where, and how its times and numbers are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::{Advice, RecordingError};

/// One sample a row, or one time a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Columns `time`, `tag`, `value` and, where there is one, `quality`: one sample a row.
    Long,
    /// A column `time`; every other column is a tag.
    Wide,
}

/// How times are written where they are not of a type of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TimeFormat {
    /// `2026-01-01T00:00:00Z`, with any offset; with `time_zone`, also `2026-01-01 00:00:00` by its clock.
    #[default]
    #[serde(rename = "rfc3339")]
    Rfc3339,
    /// Seconds since 1970-01-01 in UTC, decimals allowed.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds since 1970-01-01 in UTC.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds since 1970-01-01 in UTC.
    #[serde(rename = "us", alias = "µs")]
    Microseconds,
}

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "rfc3339" => Self::Rfc3339,
            "s" => Self::Seconds,
            "ms" => Self::Milliseconds,
            "us" | "µs" => Self::Microseconds,
            _ => return Err(format!("`{text}` is no format of times; write `rfc3339`, `s`, `ms` or `us`")),
        })
    }
}

/// The sign before the decimals of numbers written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Decimal {
    #[default]
    #[serde(rename = ".")]
    Point,
    #[serde(rename = ",")]
    Comma,
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "." => Ok(Self::Point),
            "," => Ok(Self::Comma),
            _ => Err(format!("`{text}` is no sign before decimals; write `.` or `,`")),
        }
    }
}

/// How recorded files are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: long where the columns of tag and value are there, wide otherwise.
    pub shape: Option<Shape>,
    /// Name of the column of times.
    pub time: String,
    /// Name of the column of tag names (long).
    pub tag: String,
    /// Name of the column of values (long).
    pub value: String,
    /// Name of the column of quality codes; a file without one is Good throughout.
    pub quality: String,
    pub time_format: TimeFormat,
    /// Of times that name no offset; without it such a time is a mistake.
    pub time_zone: Option<TimeZone>,
    pub decimal: Decimal,
    /// Of CSV; `None` takes the one that the first line shows.
    pub delimiter: Option<u8>,
    /// Names in the file that are other names on the site.
    pub rename: BTreeMap<String, String>,
    /// What the advice of errors names.
    pub advice: Advice,
    /// Rows sorted in memory at once where a file is not in the order of time; more go through a temporary file.
    pub sort_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shape: None,
            time: "time".into(),
            tag: "tag".into(),
            value: "value".into(),
            quality: "quality".into(),
            time_format: TimeFormat::default(),
            time_zone: None,
            decimal: Decimal::default(),
            delimiter: None,
            rename: BTreeMap::new(),
            advice: Advice::default(),
            sort_rows: 1 << 20,
        }
    }
}

impl Options {
    /// The site's name of what the file calls `name`.
    pub(super) fn renamed<'a>(&'a self, name: &'a str) -> &'a str {
        self.rename.get(name).map_or(name, String::as_str)
    }
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Csv,
    Jsonl,
    Parquet,
}

impl FileKind {
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "txt" => Self::Csv,
            "jsonl" | "ndjson" => Self::Jsonl,
            "parquet" | "pq" => Self::Parquet,
            _ => return None,
        })
    }
}

/// The files of patterns: plain paths, or with `*`, `?` and `**`. Relative ones lie in `base`. Sorted within a
/// pattern, each file once.
///
/// # Errors
/// A pattern that is none, or that matches nothing.
pub fn expand(patterns: &[String], base: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let mut files = Vec::new();
    for pattern in patterns {
        let path = base.join(pattern);
        if !pattern.contains(['*', '?', '[']) {
            files.push(path);
            continue;
        }
        let bad = |message: String| RecordingError::Pattern { pattern: pattern.clone(), message };
        let text = path.to_str().ok_or_else(|| bad("it is not UTF-8".into()))?;
        let before = files.len();
        for found in glob::glob(text).map_err(|error| bad(error.msg.into()))? {
            let found = found.map_err(|error| RecordingError::io(error.path(), error.error().kind().into()))?;
            if found.is_file() {
                files.push(found);
            }
        }
        if files.len() == before {
            return Err(RecordingError::NoFile { pattern: pattern.clone(), base: base.to_owned() });
        }
        files[before..].sort();
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}
