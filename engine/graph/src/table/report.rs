//! The customer's own rows with a column that says what is wrong with each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::{Cell, Table, Typed};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{At, Place, Sources};

/// Header of the column added.
const COLUMN: &str = "problems";
/// Longest text of a cell that Excel takes, in characters.
const LONGEST: usize = 32_000;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The table does not fit a sheet.
    #[error("the report of {rows} rows cannot be made: {source}")]
    Sheet {
        /// Rows of the table.
        rows: usize,
        /// What the writer says.
        source: XlsxError,
    },
    /// The file cannot be written.
    #[error("the report `{path}` cannot be written: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Writes an XLSX file with the rows of a table, the cells in question coloured, and a column
/// `problems`. What belongs to no row (a header, the file) is on a second sheet.
///
/// # Errors
/// When the table is larger than a sheet can be or the file cannot be written.
pub fn write_report(
    table: &Table,
    diagnostics: &Diagnostics,
    sources: &Sources,
    path: &Path,
) -> Result<(), ReportError> {
    let rows = Rows::of(table);
    let bytes = workbook(table, &rows, diagnostics, sources)
        .map_err(|source| ReportError::Sheet { rows: rows.rows.len(), source })?;
    std::fs::write(path, bytes).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

/// All rows of a table in the order of the file.
struct Rows<'a> {
    rows: Vec<&'a [Cell]>,
    starts: BTreeMap<Place, usize>,
}

impl<'a> Rows<'a> {
    fn of(table: &'a Table) -> Self {
        let mut rows: Vec<&[Cell]> = table.rows.iter().chain(&table.rejected).map(Vec::as_slice).collect();
        rows.sort_by_key(|row| start(row));
        let starts = rows.iter().enumerate().filter_map(|(number, row)| Some((start(row)?, number))).collect();
        Rows { rows, starts }
    }

    /// The row in which a place lies.
    fn row(&self, place: Place) -> Option<usize> {
        let (_, number) = match place.at {
            At::File => return None,
            // The start of a row sorts before whatever lies in it.
            At::Text { start, .. } => {
                self.starts.range(..=Place::text(place.file, start as usize, usize::MAX)).next_back()?
            }
            At::Cell { sheet, row, .. } => {
                self.starts.range(..=Place::cell(place.file, sheet, row, u32::MAX)).next_back()?
            }
        };
        let cells = self.rows.get(*number)?;
        let inside = match (place.at, cells.last()?.place.at) {
            (At::Text { start, .. }, At::Text { end, .. }) => start <= end,
            (At::Cell { row, .. }, At::Cell { row: last, .. }) => row == last,
            _ => false,
        };
        (inside && cells.first()?.place.file == place.file).then_some(*number)
    }
}

fn start(row: &[Cell]) -> Option<Place> {
    row.iter().map(|cell| cell.place).min()
}

fn workbook(
    table: &Table,
    rows: &Rows<'_>,
    diagnostics: &Diagnostics,
    sources: &Sources,
) -> Result<Vec<u8>, XlsxError> {
    let mut of_row: BTreeMap<usize, Vec<&Diagnostic>> = BTreeMap::new();
    let mut others = Vec::new();
    for found in diagnostics.sorted() {
        match found.place {
            Some(place) if place.file == table.file => match rows.row(place) {
                Some(number) => of_row.entry(number).or_default().push(found),
                None => others.push(found),
            },
            _ => {}
        }
    }
    let bold = Format::new().set_bold();
    let wrapped = Format::new().set_text_wrap();
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let widest = rows.rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let added = narrow(widest.max(table.columns.len()));
    for (column, name) in table.columns.iter().enumerate() {
        sheet.write_string_with_format(0, narrow(column), shown(name), &bold)?;
    }
    sheet.write_string_with_format(0, added, COLUMN, &bold)?;
    sheet.set_column_width(added, 80)?;
    sheet.set_freeze_panes(1, 0)?;
    for (number, cells) in rows.rows.iter().enumerate() {
        let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let found = of_row.get(&number).map_or(&[][..], Vec::as_slice);
        for (column, cell) in cells.iter().enumerate() {
            let wrong = found.iter().any(|found| found.place == Some(cell.place));
            write_cell(sheet, line, narrow(column), cell, wrong)?;
        }
        if !found.is_empty() {
            let text: Vec<String> = found.iter().map(|found| describe(found, table, cells)).collect();
            sheet.write_string_with_format(line, added, shown(&text.join("\n")), &wrapped)?;
        }
    }
    if !others.is_empty() {
        let sheet = workbook.add_worksheet();
        sheet.set_name("Header and file")?;
        sheet.set_column_width(0, 16)?;
        sheet.set_column_width(1, 100)?;
        for (line, found) in (0u32..).zip(others) {
            let place = found.place.unwrap_or(Place::NOWHERE);
            let at = match (sources.cell_name(place), sources.position(place)) {
                (Some((_, cell)), _) => cell,
                (None, Some(at)) => format!("line {}", at.line),
                (None, None) => String::new(),
            };
            sheet.write_string(line, 0, at)?;
            sheet.write_string_with_format(line, 1, shown(&sentence(found)), &wrapped)?;
        }
    }
    workbook.save_to_buffer()
}

fn write_cell(sheet: &mut Worksheet, line: u32, column: u16, cell: &Cell, wrong: bool) -> Result<(), XlsxError> {
    let mut format = Format::new();
    if wrong {
        format = format.set_background_color(0x00FF_C7CE);
    }
    match cell.typed {
        Some(Typed::Number(number)) => {
            sheet.write_number_with_format(line, column, number, &format)?;
        }
        Some(Typed::Boolean(value)) => {
            sheet.write_boolean_with_format(line, column, value, &format)?;
        }
        Some(Typed::Time(time)) => match excel_time(time) {
            Some(serial) => {
                let format = format.set_num_format("yyyy-mm-dd hh:mm:ss");
                sheet.write_datetime_with_format(line, column, &serial, &format)?;
            }
            None => {
                sheet.write_string_with_format(line, column, shown(&cell.text), &format)?;
            }
        },
        None if cell.is_empty() && !wrong => {}
        None | Some(Typed::Error) => {
            sheet.write_string_with_format(line, column, shown(&cell.text), &format)?;
        }
    }
    Ok(())
}

fn excel_time(time: jiff::civil::DateTime) -> Option<ExcelDateTime> {
    let small = |n: i8| u8::try_from(n).ok();
    ExcelDateTime::from_ymd(u16::try_from(time.year()).ok()?, small(time.month())?, small(time.day())?)
        .and_then(|date| {
            date.and_hms_milli(
                u16::from(small(time.hour()).unwrap_or(0)),
                small(time.minute()).unwrap_or(0),
                small(time.second()).unwrap_or(0),
                u16::try_from(time.millisecond()).unwrap_or(0),
            )
        })
        .ok()
}

/// "limit: `1.234` reads two ways …".
fn describe(found: &Diagnostic, table: &Table, cells: &[Cell]) -> String {
    let column = cells
        .iter()
        .position(|cell| found.place == Some(cell.place))
        .filter(|_| cells.len() == table.columns.len())
        .and_then(|column| table.columns.get(column));
    match column {
        Some(column) => format!("{column}: {}", sentence(found)),
        None => sentence(found),
    }
}

fn sentence(found: &Diagnostic) -> String {
    match &found.help {
        Some(help) => format!("{} — {help} [{}]", found.message, found.code),
        None => format!("{} [{}]", found.message, found.code),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

fn narrow(column: usize) -> u16 {
    u16::try_from(column).unwrap_or(u16::MAX)
}
