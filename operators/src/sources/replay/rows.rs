//! What the three kinds of file have in common: rows in the order of the file, cell by cell.

use std::path::{Path, PathBuf};

use super::cell::Raw;
use super::options::{FileKind, Options, RecordingError, Shape};
use super::{csv, jsonl, parquet};

/// Takes what a file gives. For each row first its time, then its samples.
pub(super) trait Take {
    /// Whether the samples of this row are wanted.
    fn time(&mut self, line: u64, raw: Raw<'_>) -> bool;

    /// A sample of the row whose time was last given.
    fn sample(&mut self, line: u64, name: Raw<'_>, value: Raw<'_>, quality: Raw<'_>);

    /// A row that cannot be taken apart at all.
    fn broken(&mut self, line: u64, cause: &'static str, message: String);
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
        let must = |field: &'static str, name: &str| {
            at(name).ok_or_else(|| RecordingError::Column {
                path: path.to_owned(),
                field,
                column: name.to_owned(),
                found: names.to_vec(),
            })
        };
        let time = must("time", &options.time)?;
        let long = at(&options.tag).is_some() && at(&options.value).is_some();
        Ok(match options.shape.unwrap_or(if long { Shape::Long } else { Shape::Wide }) {
            Shape::Wide => Self::Wide { time },
            Shape::Long => Self::Long {
                time,
                tag: must("tag", &options.tag)?,
                value: must("value", &options.value)?,
                quality: at(&options.quality),
            },
        })
    }

    /// Gives one row to `take`.
    pub(super) fn row<'r>(&self, line: u64, names: &[String], cell: impl Fn(usize) -> Raw<'r>, take: &mut dyn Take) {
        match *self {
            Self::Long { time, tag, value, quality } => {
                if take.time(line, cell(time)) {
                    take.sample(line, cell(tag), cell(value), quality.map_or(Raw::Missing, cell));
                }
            }
            Self::Wide { time } => {
                if take.time(line, cell(time)) {
                    for (index, name) in names.iter().enumerate().filter(|(index, _)| *index != time) {
                        let value = cell(index);
                        if !blank(value) {
                            take.sample(line, Raw::Text(name), value, Raw::Missing);
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

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub file: PathBuf,
    /// Line of a text file; row of a Parquet file, counted from 1.
    pub line: u64,
    /// `time`, `tag`, `value`, `quality`, `row`.
    pub cause: &'static str,
    pub message: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// The samples that were left out: how many, why, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    pub total: u64,
    pub causes: std::collections::BTreeMap<&'static str, u64>,
    /// At most [`Rejected::SHOWN`].
    pub first: Vec<Rejection>,
}

impl Rejected {
    pub const SHOWN: usize = 20;

    pub(super) fn push(&mut self, file: &Path, line: u64, cause: &'static str, message: impl FnOnce() -> String) {
        self.total += 1;
        *self.causes.entry(cause).or_default() += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push(Rejection { file: file.to_owned(), line, cause, message: message() });
        }
    }
}
