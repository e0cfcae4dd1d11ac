//! Why a recording cannot be read, and what its reader can do where the mistake is one of naming.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use ducto_graph::codes::Code;

use super::rows::Rejected;

/// Where the reader of an advice can write what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// Fields of the source `replay`: `time_zone: UTC`.
    #[default]
    Fields,
    /// Arguments of the command: `--time-zone UTC`.
    Arguments,
    /// Nowhere but in the file itself, such as one that a test sends.
    File,
}

impl Advice {
    /// How a column that has another name is named.
    fn column(self, field: &str, found: &str) -> String {
        match self {
            Self::Fields => format!("name the column that is meant, such as `{field}: {found}`"),
            Self::Arguments => format!("name the column that is meant, such as `--{field}-column {found}`"),
            Self::File => format!("rename the column that is meant to `{field}`"),
        }
    }

    pub(super) fn zone(self) -> &'static str {
        match self {
            Self::Fields => "say of which clock it is, such as `time_zone: UTC`",
            Self::Arguments => "say of which clock it is, such as `--time-zone UTC`",
            Self::File => "write it with one, such as `2026-01-01T00:00:00Z`",
        }
    }

    pub(super) fn numbers(self) -> &'static str {
        match self {
            Self::Fields => "say `time_format: s`, `ms` or `us`",
            Self::Arguments => "say `--time-format s`, `ms` or `us`",
            Self::File => "write it as `2026-01-01T00:00:00Z`",
        }
    }

    pub(super) fn texts(self) -> &'static str {
        match self {
            Self::Fields => "say `time_format: rfc3339`",
            Self::Arguments => "say `--time-format rfc3339`",
            Self::File => "write it as `2026-01-01T00:00:00Z`",
        }
    }

    pub(super) fn decimal(self) -> &'static str {
        match self {
            Self::Fields => "say `decimal: \",\"` where the comma stands before decimals",
            Self::Arguments => "say `--decimal ,` where the comma stands before decimals",
            Self::File => "write a point before decimals",
        }
    }
}

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("`{pattern}` matches no file in `{}`", if base.as_os_str().is_empty() { Path::new(".") } else { base }.display())]
    NoFile { pattern: String, base: PathBuf },
    #[error("`{pattern}` is no file pattern: {message}")]
    Pattern { pattern: String, message: String },
    #[error("{} is neither CSV, JSONL nor Parquet by its name", path.display())]
    Kind { path: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is {found}, and its name says {expected}", path.display())]
    Other { path: PathBuf, expected: &'static str, found: Content },
    #[error("{} is no readable Parquet file: {message}", path.display())]
    Parquet { path: PathBuf, message: String },
    #[error("{} has no column `{column}`; it has {}", path.display(), list(found))]
    Column { path: PathBuf, field: &'static str, column: String, found: Vec<String>, advice: Advice },
    #[error("{} has two columns `{column}`, the {}. and the {}.", path.display(), first + 1, second + 1)]
    Repeated { path: PathBuf, column: String, first: usize, second: usize },
    #[error("{} has no column but `{time}`, so there is nothing to replay", path.display())]
    NoTags { path: PathBuf, time: String },
    #[error("{}: the column `{column}` has the type {data_type}, which holds no {what}", path.display())]
    ColumnType { path: PathBuf, column: String, data_type: String, what: &'static str },
    #[error("no sample of {} can be read: {rejected}", path.display())]
    Rejected { path: PathBuf, rejected: Rejected },
    #[error("cannot sort {} in a temporary file: {source}", path.display())]
    Sort { path: PathBuf, source: std::io::Error },
}

impl RecordingError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub fn code(&self) -> Code {
        match self {
            Self::NoFile { .. } | Self::Pattern { .. } => Code::FileMissing,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Code::FileMissing,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::IsADirectory => Code::FileIsDirectory,
            Self::Io { .. } | Self::Sort { .. } => Code::FileUnreadable,
            Self::Kind { .. } | Self::Other { .. } | Self::Parquet { .. } => Code::RecordingUnreadable,
            Self::Column { .. } | Self::NoTags { .. } => Code::ColumnMissing,
            Self::Repeated { .. } => Code::ColumnDuplicate,
            Self::ColumnType { .. } => Code::ColumnKind,
            Self::Rejected { .. } => Code::RecordingRefused,
        }
    }

    /// The file that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::NoFile { .. } | Self::Pattern { .. } => None,
            Self::Kind { path }
            | Self::Io { path, .. }
            | Self::Other { path, .. }
            | Self::Parquet { path, .. }
            | Self::Column { path, .. }
            | Self::Repeated { path, .. }
            | Self::NoTags { path, .. }
            | Self::ColumnType { path, .. }
            | Self::Rejected { path, .. }
            | Self::Sort { path, .. } => Some(path),
        }
    }

    /// What the reader can do.
    pub fn help(&self) -> String {
        match self {
            Self::NoFile { .. } => "check the path".into(),
            Self::Pattern { .. } => "use `*`, `?` and `**`".into(),
            Self::Kind { .. } => "give it the ending .csv, .jsonl or .parquet".into(),
            Self::Io { .. } => "check that it exists and may be read".into(),
            Self::Other { found, .. } => found.remedy().into(),
            Self::Parquet { .. } => "write it anew, or copy it again: a copy that was cut short looks like this".into(),
            Self::Column { field, found, advice, .. } => {
                advice.column(field, found.first().map_or("timestamp", String::as_str))
            }
            Self::Repeated { .. } => "rename one of the two, or remove it".into(),
            Self::NoTags { .. } => {
                "a file has the columns `time`, `tag`, `value`, or `time` and a column for each tag".into()
            }
            Self::ColumnType { .. } => "write it as another type, or leave it away".into(),
            Self::Rejected { .. } => {
                "look at what these rows have in common: another column, form of time or site may be meant".into()
            }
            Self::Sort { .. } => "make room in the folder for temporary files".into(),
        }
    }

    /// What was left out, where that is all there is.
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected { rejected, .. } => Some(rejected),
            _ => None,
        }
    }

    /// Everything as one line, for a log.
    pub fn line(&self) -> String {
        let first = self.rejected().and_then(|rejected| rejected.first.first());
        let first = first.map(|first| format!(" ({})", first.in_file())).unwrap_or_default();
        format!("{self}{first}; {}", self.help())
    }
}

/// "`a`, `b` and 3 more".
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text.push_str("no columns at all");
    } else if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// What a file is by its first bytes, where that is not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Gzip,
    Zip,
    OldExcel,
    Parquet,
    Utf16,
    Binary,
    Text,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "compressed with gzip",
            Self::Zip => "a ZIP archive or an Excel workbook",
            Self::OldExcel => "an old Excel workbook (.xls)",
            Self::Parquet => "a Parquet file",
            Self::Utf16 => "text in UTF-16",
            Self::Binary => "no text",
            Self::Text => "a text file",
        })
    }
}

impl Content {
    fn remedy(self) -> &'static str {
        match self {
            Self::Gzip => "unpack it first, with `gunzip`",
            Self::Zip | Self::OldExcel => "save the sheet as CSV, or unpack the archive",
            Self::Parquet => "give it the ending .parquet",
            Self::Utf16 => "save it as UTF-8: `iconv -f UTF-16 -t UTF-8 OLD > NEW`, or `CSV UTF-8` in Excel",
            Self::Binary => "give the file that was meant",
            Self::Text => "give it the ending .csv or .jsonl",
        }
    }

    /// Looks at the first bytes of a file that should be text.
    pub(super) fn not_text(head: &[u8]) -> Option<Self> {
        match head {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [b'P', b'K', 3, 4, ..] => Some(Self::Zip),
            [0xD0, 0xCF, 0x11, 0xE0, ..] => Some(Self::OldExcel),
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(Self::Utf16),
            // Text in UTF-16 without a mark: every second byte of ASCII is zero.
            _ if head.len() >= 8 && (0..2).any(|at| head.iter().take(64).skip(at).step_by(2).all(|b| *b == 0)) => {
                Some(Self::Utf16)
            }
            _ if head.contains(&0) => Some(Self::Binary),
            _ => None,
        }
    }

    /// Looks at the first bytes of a file that should be Parquet.
    pub(super) fn not_parquet(mut file: &std::fs::File) -> Option<Self> {
        let mut head = [0; 64];
        let read = file.read(&mut head).ok()?;
        let head = head.get(..read)?;
        match Self::not_text(head) {
            Some(Self::Parquet | Self::Binary) => None,
            Some(other) => Some(other),
            None if !head.is_empty() && std::str::from_utf8(head).is_ok() => Some(Self::Text),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_something_else() {
        assert_eq!(Content::not_text(b"time,tag,value\n"), None);
        assert_eq!(Content::not_text(&[0x1F, 0x8B, 8, 0]), Some(Content::Gzip));
        assert_eq!(Content::not_text(b"\xff\xfet\0i\0m\0e\0"), Some(Content::Utf16));
        assert_eq!(Content::not_text(b"t\0i\0m\0e\0,\0"), Some(Content::Utf16));
        assert_eq!(Content::not_text(b"\0t\0i\0m\0e\0,"), Some(Content::Utf16));
        assert_eq!(Content::not_text(b"abc\0defgh"), Some(Content::Binary));
        assert_eq!(Content::not_text(b"PAR1...."), Some(Content::Parquet));
        assert_eq!(Content::not_text(b""), None);
    }

    #[test]
    fn advice_is_what_its_reader_can_write() {
        assert!(Advice::Arguments.column("time", "fecha").contains("`--time-column fecha`"));
        assert!(Advice::Fields.column("time", "fecha").contains("`time: fecha`"));
        assert!(Advice::File.column("time", "fecha").contains("to `time`"));
    }
}
