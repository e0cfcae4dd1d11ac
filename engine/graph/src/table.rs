//! Tables that people keep in spreadsheets: assets, overrides.
//!
//! CSV and XLSX are read as they were saved, into the same [`Table`], in which every cell knows its
//! place. What a text means (`1.234`, `03/04/2026`) is decided only when it is asked for, by the
//! [`Conventions`] that the site declares for the file.

mod assemble;
mod convert;
mod csv;
mod report;
mod workbook;

use std::path::Path;
use std::sync::Arc;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{FileId, Place, Sources, TABLE_LIMIT};
use crate::tree::{Node, Spanned};

pub use convert::{Conventions, DateOrder, Decimal};
pub use report::{ReportError, write_report};

/// Most cells of one table.
pub const CELL_LIMIT: usize = 2_000_000;

/// A table with a header row. Every row has as many cells as there are columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// The file.
    pub file: FileId,
    /// Names of the columns, each once.
    pub columns: Vec<Spanned<String>>,
    /// The rows below the header that are not blank.
    pub rows: Vec<Vec<Cell>>,
    /// Rows that could not be matched to the columns; each is reported.
    pub rejected: Vec<Vec<Cell>>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it shows, without spaces around it; empty for an empty cell.
    pub text: Arc<str>,
    /// Where it is.
    pub place: Place,
    /// Its value, where the spreadsheet keeps more than a text.
    pub typed: Option<Typed>,
}

/// The value of a spreadsheet's cell that is no text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Typed {
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A date, or a date and time, of the clock on the wall.
    Time(jiff::civil::DateTime),
    /// An error such as `#REF!`, which was reported when the table was read.
    Error,
}

impl Table {
    /// Reads a table: XLSX if the file is one, else CSV.
    ///
    /// `sheet` names a sheet of a workbook; without it the first visible one is read. `named_at` is
    /// where the path was written. `None` means that the table could not be made out; a table with
    /// rejected rows is still given, with an error for each of them.
    pub fn read(
        path: &Path,
        sheet: Option<&str>,
        named_at: Option<Place>,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Table> {
        let bytes = sources.read_bytes(path, TABLE_LIMIT, named_at, diagnostics)?;
        Table::from_bytes(path, &bytes, sheet, sources, diagnostics)
    }

    /// Reads a table from the bytes of a file.
    pub fn from_bytes(
        path: &Path,
        bytes: &[u8],
        sheet: Option<&str>,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Table> {
        let named_xlsx = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx"));
        if bytes.starts_with(b"PK\x03\x04") || named_xlsx {
            let file = sources.add_file(path);
            return workbook::read(file, bytes, sheet, sources, diagnostics);
        }
        match csv::decode(bytes) {
            Ok(text) => {
                let file = sources.add_text(path, text);
                csv::parse(file, sources.text(file), diagnostics)
            }
            Err(why) => {
                let file = sources.add_file(path);
                diagnostics.push(
                    Diagnostic::new(Code::FileNotText, why)
                        .at(Place::file(file))
                        .help("save the table as XLSX, or as CSV in UTF-8"),
                );
                None
            }
        }
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.value == name)
    }
}

impl Cell {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The finding that a cell with a spreadsheet's error gives, whatever is asked of it.
    fn error(&self) -> Option<Diagnostic> {
        (self.typed == Some(Typed::Error)).then(|| {
            Diagnostic::new(Code::CellError, format!("the cell holds the error `{}`", self.text))
                .at(self.place)
                .help("mend the formula, or write the value itself")
        })
    }

    /// The cell as a scalar of a tree: `502` is an integer, `10.0.0.1` a text.
    pub fn to_node(&self) -> Node {
        Node::plain(self.place, &self.text)
    }

    /// The cell as a text in a tree, whatever it looks like.
    pub fn to_text_node(&self) -> Node {
        Node::text(self.place, Arc::clone(&self.text))
    }
}

#[cfg(test)]
mod tests;
