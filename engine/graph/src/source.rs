//! The files read for one check, and places in them.
//!
//! `Sources` owns every text, so that a [`Place`] is a few integers that any value can carry.
//! Reading refuses what cannot be configuration (a directory, a device, a file of 100 MB) before
//! its bytes are in memory.

mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Largest YAML file read, in bytes.
pub const YAML_LIMIT: u64 = 8 << 20;
/// Largest CSV or XLSX file read, in bytes.
pub const TABLE_LIMIT: u64 = 64 << 20;

/// A file of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// Where something stands in a file. Ordered by file (as first read), then by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// The position in it.
    pub at: At,
}

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// The file as a whole.
    File,
    /// Bytes `start..end` of its text; of a CSV file too.
    Text {
        /// First byte.
        start: u32,
        /// The byte after the last.
        end: u32,
    },
    /// A cell of a workbook, counted from 0.
    Cell {
        /// Number of the sheet, in the order of the workbook.
        sheet: u32,
        /// Row, 0 for the row that Excel calls 1.
        row: u32,
        /// Column, 0 for A.
        column: u32,
    },
}

impl Place {
    /// A value that was not read from any file.
    pub const NOWHERE: Place = Place { file: FileId(u32::MAX), at: At::File };

    /// A file as a whole.
    pub fn file(file: FileId) -> Self {
        Place { file, at: At::File }
    }

    /// Bytes `start..end` of a file's text.
    pub fn text(file: FileId, start: usize, end: usize) -> Self {
        // Texts are at most `TABLE_LIMIT` long, so the positions fit.
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file, at: At::Text { start: clamp(start), end: clamp(end.max(start)) } }
    }

    /// A cell of a workbook, counted from 0.
    pub fn cell(file: FileId, sheet: u32, row: u32, column: u32) -> Self {
        Place { file, at: At::Cell { sheet, row, column } }
    }

    /// From the start of this place to the end of `other`, where both are text of one file.
    pub fn to(self, other: Place) -> Self {
        match (self.at, other.at) {
            (At::Text { start, end }, At::Text { end: last, .. }) if self.file == other.file => {
                Place { file: self.file, at: At::Text { start, end: end.max(last) } }
            }
            _ => self,
        }
    }

    /// Whether another place is this one or lies in it.
    pub fn contains(self, other: Place) -> bool {
        match (self.at, other.at) {
            _ if self.file != other.file => false,
            (At::Text { start, end }, At::Text { start: from, end: to }) => start <= from && to <= end,
            (here, there) => here == there,
        }
    }

    /// Bytes `start..end` counted from the start of this place; the whole place where those lie
    /// outside it or it is not text.
    pub fn part(self, start: usize, end: usize) -> Self {
        match self.at {
            At::Text { start: from, end: to } if start <= end && end <= (to - from) as usize => {
                Place::text(self.file, from as usize + start, from as usize + end)
            }
            _ => self,
        }
    }

    /// Length in bytes, where the place is text.
    pub fn len(self) -> Option<usize> {
        match self.at {
            At::Text { start, end } => Some((end - start) as usize),
            _ => None,
        }
    }

    /// Whether it is an empty span of text.
    pub fn is_empty(self) -> bool {
        self.len() == Some(0)
    }
}

/// Line and column, counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One line of a text and where a place lies in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceLine<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    /// Bytes of `text` that the place covers.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: Arc<str>,
    /// Byte at which each line starts.
    lines: Vec<u32>,
    sheets: Vec<Sheet>,
}

#[derive(Debug)]
struct Sheet {
    name: String,
    cells: HashMap<(u32, u32), Arc<str>>,
}

/// The files read for one check.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    texts: HashMap<PathBuf, FileId>,
}

impl Sources {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text that is not read from disk: a built-in pipeline, a test's own input.
    pub fn add_text(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> FileId {
        let text: Arc<str> = text.into();
        let mut lines = vec![0];
        lines.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)),
        );
        self.push(path.into(), text, lines)
    }

    /// Adds a file without text, so that a diagnostic can name it.
    pub fn add_file(&mut self, path: impl Into<PathBuf>) -> FileId {
        self.push(path.into(), Arc::from(""), vec![0])
    }

    fn push(&mut self, path: PathBuf, text: Arc<str>, lines: Vec<u32>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1));
        self.files.push(Source { path, text, lines, sheets: Vec::new() });
        id
    }

    /// Reads a YAML file: UTF-8 with or without byte-order mark, at most [`YAML_LIMIT`].
    ///
    /// A file read before is not read again. `named_at` is where the path was written; a missing
    /// file is reported there.
    pub fn read_yaml(&mut self, path: &Path, named_at: Option<Place>, diagnostics: &mut Diagnostics) -> Option<FileId> {
        if let Some(id) = self.texts.get(path) {
            return Some(*id);
        }
        let bytes = self.read_bytes(path, YAML_LIMIT, named_at, diagnostics)?;
        match read::utf8(&bytes) {
            Ok(text) => {
                let id = self.add_text(path, text);
                self.texts.insert(path.to_owned(), id);
                Some(id)
            }
            Err(why) => {
                let id = self.add_file(path);
                diagnostics
                    .push(Diagnostic::new(Code::FileNotText, why).at(Place::file(id)).help("save the file as UTF-8"));
                None
            }
        }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read_bytes(
        &mut self,
        path: &Path,
        limit: u64,
        named_at: Option<Place>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<u8>> {
        match read::regular(path, limit) {
            Ok(bytes) => Some(bytes),
            Err(refusal) => {
                let place = named_at.unwrap_or_else(|| Place::file(self.add_file(path)));
                diagnostics.push(refusal.diagnostic(path, limit).at(place));
                None
            }
        }
    }

    /// Names a sheet of a workbook, so that places in it can be shown.
    pub(crate) fn add_sheet(&mut self, file: FileId, name: &str) -> u32 {
        let Some(source) = self.files.get_mut(file.0 as usize) else {
            return 0;
        };
        source.sheets.push(Sheet { name: name.to_owned(), cells: HashMap::new() });
        u32::try_from(source.sheets.len() - 1).unwrap_or(0)
    }

    pub(crate) fn set_cell(&mut self, place: Place, text: Arc<str>) {
        if let At::Cell { sheet, row, column } = place.at
            && let Some(source) = self.files.get_mut(place.file.0 as usize)
            && let Some(sheet) = source.sheets.get_mut(sheet as usize)
        {
            sheet.cells.insert((row, column), text);
        }
    }

    /// The path as the user gave it; empty for a place that is nowhere.
    pub fn path(&self, file: FileId) -> &Path {
        self.source(file).map_or(Path::new(""), |source| &source.path)
    }

    /// The text of a file; empty for a workbook.
    pub fn text(&self, file: FileId) -> &str {
        self.source(file).map_or("", |source| &source.text)
    }

    /// The text of a file, shared.
    pub fn shared_text(&self, file: FileId) -> Arc<str> {
        self.source(file).map_or_else(|| Arc::from(""), |source| Arc::clone(&source.text))
    }

    /// The text at a place: of a cell its content, of a whole file nothing.
    pub fn slice(&self, place: Place) -> &str {
        match place.at {
            At::File => "",
            At::Text { start, end } => self.text(place.file).get(start as usize..end as usize).unwrap_or(""),
            At::Cell { sheet, row, column } => self
                .source(place.file)
                .and_then(|source| source.sheets.get(sheet as usize))
                .and_then(|sheet| sheet.cells.get(&(row, column)))
                .map_or("", |text| text),
        }
    }

    /// Line and column of a place in a text; `None` for cells and whole files.
    pub fn position(&self, place: Place) -> Option<Position> {
        let line = self.line(place)?;
        Some(Position { line: line.number, column: line.text[..line.start].chars().count() + 1 })
    }

    /// `Sheet1!C7` for a place in a workbook.
    pub fn cell_name(&self, place: Place) -> Option<(String, String)> {
        let At::Cell { sheet, row, column } = place.at else {
            return None;
        };
        let sheet = self
            .source(place.file)
            .and_then(|source| source.sheets.get(sheet as usize))
            .map_or("", |sheet| &sheet.name);
        let cell = format!("{}{}", column_letters(column), u64::from(row) + 1);
        Some((sheet.to_owned(), cell))
    }

    /// Whether a place lies inside a file that was read.
    pub fn contains(&self, place: Place) -> bool {
        let Some(source) = self.source(place.file) else {
            return place == Place::NOWHERE;
        };
        match place.at {
            At::File => true,
            At::Text { start, end } => {
                start <= end
                    && source.text.is_char_boundary(start as usize)
                    && source.text.is_char_boundary(end as usize)
            }
            At::Cell { sheet, .. } => (sheet as usize) < source.sheets.len(),
        }
    }

    /// The line on which a place starts, without its line break, the place clipped to it.
    pub(crate) fn line(&self, place: Place) -> Option<SourceLine<'_>> {
        let At::Text { start, end } = place.at else {
            return None;
        };
        let source = self.source(place.file)?;
        let length = source.text.len();
        let start = floor_boundary(&source.text, start as usize);
        let end = floor_boundary(&source.text, end as usize).max(start);
        let index = source.lines.partition_point(|line| *line as usize <= start).saturating_sub(1);
        let first = source.lines.get(index).map_or(0, |line| *line as usize);
        let last = source.lines.get(index + 1).map_or(length, |line| *line as usize);
        let text = source.text.get(first..last)?.trim_end_matches(['\n', '\r']);
        let clip = |at: usize| (at - first).min(text.len());
        Some(SourceLine { number: index + 1, text, start: clip(start), end: clip(end) })
    }

    fn source(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `A` for 0, `Z` for 25, `AA` for 26.
pub(crate) fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        let digit = (rest - 1) % 26;
        letters.push(char::from(b'A' + u8::try_from(digit).unwrap_or(0)));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn read(path: &Path) -> (Option<FileId>, Vec<Code>, Sources) {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let id = sources.read_yaml(path, None, &mut diagnostics);
        let codes = diagnostics.iter().map(|d| d.code).collect();
        (id, codes, sources)
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let mut sources = Sources::new();
        let file = sources.add_text("a.yaml", "uno: 1\r\nseñal: \"é\"\nfin");
        let at = "uno: 1\r\nseñal: ".len();
        let place = Place::text(file, at, at + 4);
        assert_eq!(sources.slice(place), "\"é\"");
        let position = sources.position(place).unwrap();
        assert_eq!((position.line, position.column), (2, 8));
        let line = sources.line(Place::text(file, 5, 5)).unwrap();
        assert_eq!(line.text, "uno: 1");
        let end = sources.text(file).len();
        assert_eq!(sources.position(Place::text(file, end, end)).unwrap().line, 3);
    }

    #[test]
    fn columns_have_letters() {
        assert_eq!(column_letters(0), "A");
        assert_eq!(column_letters(25), "Z");
        assert_eq!(column_letters(26), "AA");
        assert_eq!(column_letters(16_383), "XFD");
    }

    #[test]
    fn refuses_what_is_not_a_text_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.yaml");
        assert_eq!(read(&path).1, [Code::FileMissing]);
        assert_eq!(read(folder.path()).1, [Code::FileIsDirectory]);
        std::fs::write(&path, b"a: \xFF").unwrap();
        assert_eq!(read(&path).1, [Code::FileNotText]);
        std::fs::write(&path, [0xFF, 0xFE, b'a', 0]).unwrap();
        assert_eq!(read(&path).1, [Code::FileNotText]);
        assert_eq!(read(Path::new("/dev/zero")).1, [Code::FileUnreadable]);
    }

    #[test]
    fn refuses_a_large_file_without_reading_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.yaml");
        // A sparse file: were it read, the bytes would be there.
        File::create(&path).unwrap().set_len(100 << 20).unwrap();
        assert_eq!(read(&path).1, [Code::FileTooLarge]);
    }

    #[test]
    fn a_missing_file_is_reported_where_it_was_named() {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let site = sources.add_text("site.yaml", "include: [rtu.yaml]");
        let named = Place::text(site, 10, 18);
        let path = Path::new("nowhere/rtu.yaml");
        sources.read_yaml(path, Some(named), &mut diagnostics);
        let found = diagnostics.iter().next().unwrap();
        assert_eq!(found.place, Some(named));
        assert!(found.message.contains("nowhere/rtu.yaml"));
    }

    #[test]
    fn drops_a_byte_order_mark_and_reads_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, b"\xEF\xBB\xBFa: 1").unwrap();
        let (id, codes, mut sources) = read(&path);
        assert!(codes.is_empty());
        assert_eq!(sources.text(id.unwrap()), "a: 1");
        let again = sources.read_yaml(&path, None, &mut Diagnostics::new());
        assert_eq!(again, id);
    }
}
