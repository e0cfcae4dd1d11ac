//! CSV as people save it: comma, semicolon or tab, a byte order mark, Windows-1252.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, ReaderBuilder};

use super::cell::Raw;
use super::error::{Content, RecordingError};
use super::options::{Decimal, Options};
use super::rows::{Columns, Rows, Take};

/// Rows read at once.
const CHUNK: usize = 4_096;

pub(super) struct CsvRows {
    path: PathBuf,
    reader: ::csv::Reader<BufReader<File>>,
    names: Vec<String>,
    columns: Columns,
    record: ByteRecord,
}

impl CsvRows {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::io(path, source);
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io)?);
        let head = file.fill_buf().map_err(io)?;
        if let Some(found) = Content::not_text(head) {
            return Err(RecordingError::Other { path: path.to_owned(), expected: "CSV", found });
        }
        let delimiter = options.delimiter.unwrap_or_else(|| delimiter(head, options.decimal));
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(file);
        let header = reader.byte_headers().map_err(|error| broken(path, error))?;
        let names: Vec<String> =
            header.iter().map(|name| text(name).trim().trim_start_matches('\u{feff}').to_owned()).collect();
        let columns = Columns::find(&names, path, options)?;
        Ok(Self { path: path.to_owned(), reader, names, columns, record: ByteRecord::new() })
    }
}

impl Rows for CsvRows {
    fn read(&mut self, take: &mut dyn Take) -> Result<bool, RecordingError> {
        for _ in 0..CHUNK {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => return Err(broken(&self.path, error)),
            }
            let line = self.record.position().map_or(0, ::csv::Position::line);
            let (found, expected) = (self.record.len(), self.names.len());
            if found != expected {
                take.broken(line, None, format!("the row has {found} cells where the header has {expected}"));
                continue;
            }
            match std::str::from_utf8(self.record.as_slice()) {
                Ok(_) => {
                    let cell = |index| self.record.get(index).map_or(Raw::Missing, utf8);
                    self.columns.row(line, &self.names, cell, take);
                }
                Err(_) => {
                    // Rare enough to be copied.
                    let cells: Vec<Cow<'_, str>> = self.record.iter().map(text).collect();
                    let cell = |index: usize| cells.get(index).map_or(Raw::Missing, |cell| Raw::Text(cell));
                    self.columns.row(line, &self.names, cell, take);
                }
            }
        }
        Ok(true)
    }

    fn names(&self) -> Option<Vec<String>> {
        self.columns.tags(&self.names)
    }
}

fn utf8(bytes: &[u8]) -> Raw<'_> {
    std::str::from_utf8(bytes).map_or(Raw::Missing, Raw::Text)
}

/// Bytes that are no UTF-8 are the letters that western Windows writes; only its signs between 0x80 and 0x9f differ
/// from Latin-1, and no name or number has one.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// The sign that stands most often in the first line. With a decimal comma a comma between cells is no guess.
fn delimiter(head: &[u8], decimal: Decimal) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in line {
        quoted ^= *byte == b'"';
        for (sign, count) in &mut counts {
            *count += usize::from(!quoted && sign == byte);
        }
    }
    if decimal == Decimal::Comma && counts[1].1 + counts[2].1 > 0 {
        counts[0].1 = 0;
    }
    counts.iter().rev().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0).map_or(b',', |(sign, _)| *sign)
}

fn broken(path: &Path, error: ::csv::Error) -> RecordingError {
    let message = error.to_string();
    let source = match error.into_kind() {
        ::csv::ErrorKind::Io(source) => source,
        _ => std::io::Error::other(message),
    };
    RecordingError::io(path, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_what_the_first_line_shows() {
        assert_eq!(delimiter(b"time,a,b\n1;2;3;4;5", Decimal::Point), b',');
        assert_eq!(delimiter(b"time;a;b", Decimal::Point), b';');
        assert_eq!(delimiter(b"time;a,b,c,d", Decimal::Comma), b';');
        assert_eq!(delimiter(b"\"a;b;c\",x", Decimal::Point), b',');
        assert_eq!(delimiter(b"time\tx", Decimal::Point), b'\t');
        assert_eq!(delimiter(b"", Decimal::Point), b',');
    }
}
