//! What the three kinds of file have in common: rows in the order of the file, cell by cell.

use std::path::{Path, PathBuf};

use super::cell::Raw;
use super::error::RecordingError;
use super::options::{FileKind, Options, Shape};
use super::{csv, jsonl, parquet};

/// Takes what a file gives. For each row first its time, then its samples.
pub(super) trait Take {
    /// Whether the samples of this row are wanted.
    fn time(&mut self, line: u64, raw: Raw<'_>) -> bool;

    /// A sample of the row whose time was last given. Of a `wide` file the name is the column's.
    fn sample(&mut self, line: u64, name: Raw<'_>, value: Raw<'_>, quality: Raw<'_>, wide: bool);

    /// A row, or a column of it, that cannot be taken apart at all.
    fn broken(&mut self, line: u64, column: Option<&str>, message: String);
}

/// A file being read.
pub(super) trait Rows: Send {
    /// Reads some rows; `false` when there are no more.
    fn read(&mut self, take: &mut dyn Take) -> Result<bool, RecordingError>;

    /// The names that are columns, where all names are: no row need be read to know them.
    fn names(&self) -> Option<Vec<String>>;
}

/// What of each row is wanted: columns that are not need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Times,
    Names,
    Everything,
}

pub(super) fn open(path: &Path, options: &Options, needs: Needs) -> Result<Box<dyn Rows>, RecordingError> {
    Ok(match FileKind::of(path).ok_or_else(|| RecordingError::Kind { path: path.to_owned() })? {
        FileKind::Csv => Box::new(csv::CsvRows::open(path, options)?),
        FileKind::Jsonl => Box::new(jsonl::JsonlRows::open(path, options)?),
        FileKind::Parquet => Box::new(parquet::ParquetRows::open(path, options, needs)?),
    })
}

/// Where in a row the parts of a sample stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    Long {
        time: usize,
        tag: usize,
        value: usize,
        quality: Option<usize>,
    },
    /// Every column but `time` is a tag.
    Wide {
        time: usize,
    },
}

impl Columns {
    /// Finds the columns by the names that the options give.
    pub(super) fn find(names: &[String], path: &Path, options: &Options) -> Result<Self, RecordingError> {
        let at = |name: &str| names.iter().position(|column| column == name);
        let repeated = |column: &str| {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == column).map(|(place, _)| place);
            let (first, second) = (places.next()?, places.next()?);
            Some(RecordingError::Repeated { path: path.to_owned(), column: column.to_owned(), first, second })
        };
        let must = |field: &'static str, name: &str| {
            at(name).ok_or_else(|| RecordingError::Column {
                path: path.to_owned(),
                field,
                column: name.to_owned(),
                found: names.to_vec(),
                advice: options.advice,
            })
        };
        let time = must("time", &options.time)?;
        // A column of tag names whose values go by another name is no tag called `tag`.
        let long = at(&options.tag).is_some();
        Ok(match options.shape.unwrap_or(if long { Shape::Long } else { Shape::Wide }) {
            Shape::Wide if names.len() < 2 => {
                return Err(RecordingError::NoTags { path: path.to_owned(), time: options.time.clone() });
            }
            Shape::Wide => match names.iter().filter(|name| !name.is_empty()).find_map(|name| repeated(name)) {
                Some(error) => return Err(error),
                None => Self::Wide { time },
            },
            Shape::Long => {
                let used = [&options.time, &options.tag, &options.value, &options.quality];
                if let Some(error) = used.into_iter().find_map(|name| repeated(name)) {
                    return Err(error);
                }
                Self::Long {
                    time,
                    tag: must("tag", &options.tag)?,
                    value: must("value", &options.value)?,
                    quality: at(&options.quality),
                }
            }
        })
    }

    /// Gives one row to `take`.
    pub(super) fn row<'r>(&self, line: u64, names: &[String], cell: impl Fn(usize) -> Raw<'r>, take: &mut dyn Take) {
        match *self {
            Self::Long { time, tag, value, quality } => {
                if take.time(line, cell(time)) {
                    take.sample(line, cell(tag), cell(value), quality.map_or(Raw::Missing, cell), false);
                }
            }
            Self::Wide { time } => {
                if take.time(line, cell(time)) {
                    for (index, name) in names.iter().enumerate().filter(|(index, _)| *index != time) {
                        let value = cell(index);
                        if !blank(value) {
                            take.sample(line, Raw::Text(name), value, Raw::Missing, true);
                        }
                    }
                }
            }
        }
    }

    /// The columns that are tags.
    pub(super) fn tags(&self, names: &[String]) -> Option<Vec<String>> {
        match self {
            Self::Long { .. } => None,
            Self::Wide { time } => {
                let tags = names.iter().enumerate().filter(|(index, _)| index != time);
                Some(tags.map(|(_, name)| name.clone()).collect())
            }
        }
    }
}

/// In a wide file an empty cell is no sample: that tag was not read at that time.
pub(super) fn blank(raw: Raw<'_>) -> bool {
    match raw {
        Raw::Missing => true,
        Raw::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// A sample that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub file: PathBuf,
    /// Line of a text file; row of a Parquet file, counted from 1.
    pub line: u64,
    /// The column that is wrong, where it is one.
    pub column: Option<String>,
    pub cause: Cause,
    pub message: String,
}

impl Rejection {
    /// Where it is in its file, and why: "line 5, column `value`: `abc` is no number".
    pub fn in_file(&self) -> String {
        let of = if FileKind::of(&self.file) == Some(FileKind::Parquet) { "row" } else { "line" };
        let column = self.column.as_ref().map(|column| format!(", column `{column}`")).unwrap_or_default();
        format!("{of} {}{column}: {}", self.line, self.message)
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.in_file())
    }
}

/// Why a sample was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    Time,
    Tag,
    Value,
    Quality,
    /// The row as a whole.
    Row,
}

impl Cause {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Tag => "tag",
            Self::Value => "value",
            Self::Quality => "quality",
            Self::Row => "row",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Time => "no time",
            Self::Tag => "an unknown tag",
            Self::Value => "no value of the tag's kind",
            Self::Quality => "no quality",
            Self::Row => "a row that cannot be taken apart",
        }
    }
}

/// The samples that were left out: how many, why, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    pub total: u64,
    pub causes: std::collections::BTreeMap<Cause, u64>,
    /// At most [`Rejected::SHOWN`].
    pub first: Vec<Rejection>,
}

impl std::fmt::Display for Rejected {
    /// "12 with no time, 3 with an unknown tag".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, (cause, count)) in self.causes.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{count} with {}", cause.words())?;
        }
        Ok(())
    }
}

impl Rejected {
    pub const SHOWN: usize = 20;

    /// Whether the next one is kept with its message.
    pub(super) fn shows(&self) -> bool {
        self.first.len() < Self::SHOWN
    }

    pub(super) fn push(
        &mut self,
        file: &Path,
        line: u64,
        column: Option<&str>,
        cause: Cause,
        message: impl FnOnce() -> String,
    ) {
        self.total += 1;
        *self.causes.entry(cause).or_default() += 1;
        if self.shows() {
            let column = column.map(str::to_owned);
            self.first.push(Rejection { file: file.to_owned(), line, column, cause, message: message() });
        }
    }
}
