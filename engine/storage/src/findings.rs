//! What is found wrong in a data folder: where, what, and what it costs.

use std::fmt;
use std::path::{Path, PathBuf};

use ducto_record::time;
use ducto_record::{Epoch, Micros};
use serde::Serialize;

use crate::set_aside::Problem;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// It should be there, and is not.
    Missing,
    /// It was cut off, or something was put behind it.
    Size { bytes: u64, expected: u64 },
    /// It is not what was written.
    Checksum,
    /// It cannot be read, or not be understood.
    Unreadable { why: String },
    /// It can be read, and holds something else than its manifest says.
    Differs { why: String },
    /// Nothing of this data folder.
    Foreign,
    /// A segment of the journal whose table of names is damaged, which a start of its site may know all the same.
    Names,
    /// Damaged places in a segment of the journal.
    Places { places: u64, bytes: u64 },
    /// The end of a segment is a write that was not finished, as a kill or a power cut leaves it.
    Tail { bytes: u64 },
    /// Entries of the journal are not there.
    Gap,
    /// A newer build wrote it.
    Newer { format: String },
    /// As whoever found it says.
    Told { what: String },
}

impl Fault {
    /// Nothing that was accepted is lost by it, and a start cleans it up without a word.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Tail { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Size { bytes, expected } => write!(f, "{bytes} bytes, {expected} were written"),
            Self::Checksum => f.write_str("its checksum does not fit"),
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
            Self::Differs { why } => write!(f, "not what its manifest says: {why}"),
            Self::Foreign => f.write_str("nothing of this data folder"),
            Self::Names => f.write_str("the names of its tags are damaged"),
            Self::Places { places: 1, bytes } => write!(f, "a damaged place of {bytes} bytes"),
            Self::Places { places, bytes } => write!(f, "{places} damaged places, {bytes} bytes"),
            Self::Tail { bytes } => {
                write!(f, "{bytes} bytes at its end are no whole write, as a power cut leaves them")
            }
            Self::Gap => f.write_str("entries are missing"),
            Self::Newer { format } => write!(f, "format {format}, of a newer build"),
            Self::Told { what } => f.write_str(what),
        }
    }
}

/// Something in a data folder that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// From the data folder.
    pub path: PathBuf,
    #[serde(flatten)]
    pub fault: Fault,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Rows that are lost with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// First and last epoch of what is lost; [`Epoch::MAX`] where nothing tells the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<(Epoch, Epoch)>,
    /// Least and greatest time of what is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<(Micros, Micros)>,
    /// Where it lies now, from the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<PathBuf>,
}

impl Finding {
    pub(crate) fn new(data: &Path, path: &Path, fault: Fault) -> Self {
        let path = below(data, path);
        Self { path, fault, dataset: None, rows: None, epochs: None, times: None, set_aside: None }
    }

    /// What the journal or the checkpoints told when they were opened.
    pub fn of(data: &Path, problem: &Problem) -> Self {
        let fault = Fault::Told { what: problem.what.clone() };
        Self {
            epochs: problem.lost,
            set_aside: problem.set_aside.as_ref().map(|path| below(data, path)),
            ..Self::new(data, &problem.path, fault)
        }
    }
}

fn below(data: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(data).unwrap_or(path).to_owned()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.fault)?;
        if let Some(rows) = self.rows {
            write!(f, "; {rows} rows")?;
            if let Some((first, last)) = self.times {
                write!(f, " of {} to {}", time::format(first), time::format(last))?;
            }
            f.write_str(" are lost")?;
        } else if let Some((first, last)) = self.epochs {
            match last {
                Epoch::MAX => write!(f, "; entries from {first} on are lost")?,
                last => write!(f, "; entries {first} to {last} are lost")?,
            }
        }
        match &self.set_aside {
            Some(path) => write!(f, "; it lies in `{}` now", path.display()),
            None => Ok(()),
        }
    }
}
