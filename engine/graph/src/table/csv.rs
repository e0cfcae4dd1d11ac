//! CSV as spreadsheets write it: `,`, `;` or tab, UTF-8 or Windows-1252, quotes where needed.
//!
//! The text is walked by hand because every cell must know its bytes, which no record reader
//! gives.

use std::sync::Arc;

use super::assemble::{Sparse, assemble};
use super::{CELL_LIMIT, Cell, Table};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{FileId, Place};

/// The text of a CSV file: UTF-8 where it is that, else Windows-1252.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        return Err("the file is an old or password-protected Excel workbook".to_owned());
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("the file is UTF-16, neither UTF-8 nor Windows-1252".to_owned());
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("the file is not a text: a zero byte at offset {offset}"));
    }
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    })
}

/// A table from a CSV text.
pub(super) fn parse(file: FileId, text: &str, diagnostics: &mut Diagnostics) -> Option<Table> {
    let (start, separator) = separator(text);
    let mut reader = Reader { file, text, at: start, separator, nothing: Arc::from(""), cells: 0 };
    let mut header: Option<Row> = None;
    let mut rows = Vec::new();
    let mut rejected = Vec::new();
    while reader.at < text.len() {
        let row = diagnostics.take(reader.row())?;
        let Some(head) = &header else {
            if !row.is_blank() {
                header = Some(row);
            }
            continue;
        };
        if row.is_blank() {
            continue;
        }
        // Separators at the end of a row are what spreadsheets leave behind.
        let (names, filled) = (filled(&head.cells), filled(&row.cells));
        let problem = match row.problem {
            Some(problem) => Some(*problem),
            None if row.cells.len() < names || filled > head.cells.len() => Some(ragged(&row, names)),
            None => None,
        };
        match problem {
            Some(problem) => {
                diagnostics.push(problem);
                rejected.push(row.cells);
            }
            None => rows.push(row.cells),
        }
    }
    let header = header.unwrap_or_default();
    if let Some(problem) = header.problem {
        diagnostics.push(*problem);
        return None;
    }
    let sparse = |cells: Vec<Cell>| -> Sparse { (0u32..).zip(cells).collect() };
    let rows = rows.into_iter().map(sparse).collect();
    let nowhere = |_, _| Place::file(file);
    let mut table = assemble(file, sparse(header.cells), rows, nowhere, diagnostics)?;
    table.rejected = rejected;
    Some(table)
}

/// Cells up to the last that is not empty.
fn filled(cells: &[Cell]) -> usize {
    cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1)
}

fn ragged(row: &Row, names: usize) -> Diagnostic {
    // Of too many cells the empty ones at the end do not matter, of too few they do.
    let cells = filled(&row.cells).max(row.cells.len().min(names));
    let plural = if cells == 1 { "" } else { "s" };
    let place = match (row.cells.first(), row.cells.last()) {
        (Some(first), Some(last)) => first.place.to(last.place),
        _ => Place::NOWHERE,
    };
    let diagnostic =
        Diagnostic::new(Code::RowRagged, format!("the row has {cells} cell{plural}, the header {names}")).at(place);
    let other = row.cells.first().filter(|_| cells == 1 && names > 1);
    match other.and_then(|cell| cell.text.chars().find(|sign| matches!(sign, ',' | ';' | '\t'))) {
        Some(sign) => {
            let sign = if sign == '\t' { "a tab".to_owned() } else { format!("`{sign}`") };
            diagnostic.help(format!("the row is separated by {sign}, and the header is not: give both the same sign"))
        }
        None => diagnostic.help("add or remove separators; quote a cell that contains one"),
    }
}

/// Where the table begins and what separates its cells, from its first line.
fn separator(text: &str) -> (usize, char) {
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        let content = line.trim_matches(['\n', '\r']);
        if content.trim().is_empty() {
            start += line.len();
            continue;
        }
        // Excel's own hint.
        if let Some(hint) = content.strip_prefix("sep=")
            && let Some(separator) = hint.chars().next().filter(|c| matches!(c, ',' | ';' | '\t'))
            && hint.len() == 1
        {
            return (start + line.len(), separator);
        }
        let mut quoted = false;
        let mut counts = [(';', 0), ('\t', 0), (',', 0)];
        for c in content.chars() {
            if c == '"' {
                quoted = !quoted;
            }
            for (separator, count) in &mut counts {
                if !quoted && c == *separator {
                    *count += 1;
                }
            }
        }
        let best = counts.iter().rev().max_by_key(|(_, count)| *count);
        return (start, best.map_or(',', |(separator, _)| *separator));
    }
    (start, ',')
}

#[derive(Default)]
struct Row {
    cells: Vec<Cell>,
    problem: Option<Box<Diagnostic>>,
}

impl Row {
    fn is_blank(&self) -> bool {
        self.problem.is_none() && self.cells.iter().all(Cell::is_empty)
    }
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    separator: char,
    nothing: Arc<str>,
    cells: usize,
}

impl Reader<'_> {
    /// The next row; fails where the file cannot be read on.
    fn row(&mut self) -> Result<Row, Diagnostic> {
        let mut row = Row::default();
        loop {
            self.cells += 1;
            if self.cells > CELL_LIMIT {
                return Err(too_large().at(Place::text(self.file, self.at, self.at)));
            }
            let cell = self.cell(&mut row.problem)?;
            row.cells.push(cell);
            let rest = &self.text[self.at..];
            if rest.starts_with(self.separator) {
                self.at += 1;
                continue;
            }
            if rest.starts_with("\r\n") {
                self.at += 2;
            } else if !rest.is_empty() {
                self.at += 1;
            }
            return Ok(row);
        }
    }

    /// The next cell, up to the separator or line break behind it.
    fn cell(&mut self, problem: &mut Option<Box<Diagnostic>>) -> Result<Cell, Diagnostic> {
        let rest = &self.text[self.at..];
        let inside = rest.trim_start_matches([' ', '\u{a0}']);
        if inside.starts_with('"') {
            self.at += rest.len() - inside.len();
            return self.quoted(problem);
        }
        let start = self.at;
        let end = start + self.to_separator(start);
        self.at = end;
        let text = self.text[start..end].trim_start();
        let from = end - text.len();
        let text = text.trim_end();
        Ok(self.make(text, from, from + text.len()))
    }

    fn quoted(&mut self, problem: &mut Option<Box<Diagnostic>>) -> Result<Cell, Diagnostic> {
        let start = self.at;
        let mut content = String::new();
        let mut at = start + 1;
        loop {
            let Some(length) = self.text[at..].find('"') else {
                return Err(Diagnostic::new(Code::QuoteUnbalanced, "a quoted cell is not closed")
                    .at(Place::text(self.file, start, start + 1))
                    .help("close the quote; a quote inside a quoted cell is written twice"));
            };
            content.push_str(&self.text[at..at + length]);
            at += length + 1;
            if !self.text[at..].starts_with('"') {
                break;
            }
            content.push('"');
            at += 1;
        }
        self.at = at + self.to_separator(at);
        let behind = &self.text[at..self.at];
        if !behind.trim().is_empty() {
            problem.get_or_insert_with(|| {
                Box::new(
                    Diagnostic::new(Code::QuoteUnbalanced, "text stands behind the closing quote of a cell")
                        .at(Place::text(self.file, at, self.at))
                        .help("a quote inside a quoted cell is written twice"),
                )
            });
        }
        Ok(self.make(content.trim(), start, at))
    }

    /// Bytes from `at` to the next separator or line break.
    fn to_separator(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        rest.find([self.separator, '\n', '\r']).unwrap_or(rest.len())
    }

    fn make(&self, text: &str, start: usize, end: usize) -> Cell {
        Cell {
            text: if text.is_empty() { Arc::clone(&self.nothing) } else { Arc::from(text) },
            place: Place::text(self.file, start, end),
            typed: None,
        }
    }
}

pub(super) fn too_large() -> Diagnostic {
    Diagnostic::new(Code::TableTooLarge, format!("the table has more than {CELL_LIMIT} cells"))
        .help("split the table into several files")
}
