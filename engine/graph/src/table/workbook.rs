//! XLSX workbooks.
//!
//! A workbook is a ZIP archive of XML. It is unpacked once to nowhere and counted before it is
//! read, since a small archive may hold any amount, and its cells are read one by one, since a
//! sheet may claim any size.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use calamine::{DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx};

use super::assemble::{Sparse, assemble};
use super::csv::too_large;
use super::{CELL_LIMIT, Cell, Table, Typed};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{FileId, Place, Sources};

/// Most bytes that a workbook may unpack to.
const UNPACKED_LIMIT: u64 = 256 << 20;
/// Most parts that a workbook may have.
const PART_LIMIT: usize = 10_000;

pub(super) fn read(
    file: FileId,
    bytes: &[u8],
    sheet: Option<&str>,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Table> {
    // The reader panics on some damaged workbooks, on a cell named `A99999999999` for one. What it
    // has left behind then is not used.
    let read = AssertUnwindSafe(|| cells(bytes, sheet, file, sources, diagnostics));
    let result = check_size(bytes, UNPACKED_LIMIT)
        .and_then(|()| catch_unwind(read).unwrap_or_else(|_| Err(unreadable("it is damaged inside"))));
    match result {
        Ok(Sheet { number, rows }) => {
            for cell in rows.values().flat_map(BTreeMap::values) {
                sources.set_cell(cell.place, Arc::clone(&cell.text));
            }
            let mut rows = rows.into_iter().filter(|(_, cells)| cells.values().any(|cell| !cell.is_empty()));
            let header = rows.next().map(|(_, cells)| cells).unwrap_or_default();
            let (numbers, rows): (Vec<u32>, Vec<Sparse>) = rows.unzip();
            let empty = |row: usize, column| {
                let row = numbers.get(row).copied().unwrap_or(0);
                Place::cell(file, number, row, column)
            };
            assemble(file, header, rows, empty, diagnostics)
        }
        Err(diagnostic) => {
            let place = diagnostic.place.unwrap_or(Place::file(file));
            diagnostics.push(diagnostic.at(place));
            None
        }
    }
}

fn unreadable(why: impl std::fmt::Display) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::WorkbookUnreadable, format!("the file is not a readable XLSX workbook: {why}"))
            .help("open it in a spreadsheet and save it as XLSX again"),
    )
}

/// Unpacks every part to nowhere, up to `limit` bytes.
fn check_size(bytes: &[u8], limit: u64) -> Result<(), Box<Diagnostic>> {
    if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        return Err(unreadable("it is an old or password-protected workbook"));
    }
    let too_large = || {
        Box::new(
            Diagnostic::new(Code::WorkbookTooLarge, format!("the workbook unpacks to more than {} MB", limit >> 20))
                .help("keep only the table in the workbook"),
        )
    };
    if !bytes.starts_with(b"PK") {
        return Err(unreadable("it is a file of another kind"));
    }
    if !bytes.starts_with(b"PK") {
        return Err(unreadable("it is a file of another kind"));
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    if archive.len() > PART_LIMIT {
        return Err(too_large());
    }
    let mut left = limit;
    for number in 0..archive.len() {
        let part = archive.by_index(number).map_err(unreadable)?;
        let holds_strings = part.name().is_ok_and(|name| name.to_lowercase().ends_with("sharedstrings.xml"));
        let mut part = part.take(left + 1);
        let unpacked = if holds_strings {
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).map_err(unreadable)?;
            if claims_too_many_strings(&bytes) {
                return Err(unreadable("it claims more texts than it holds"));
            }
            bytes.len() as u64
        } else {
            std::io::copy(&mut part, &mut std::io::sink()).map_err(unreadable)?
        };
        left = left.checked_sub(unpacked).ok_or_else(too_large)?;
    }
    Ok(())
}

/// Whether the number of shared texts cannot be true. The reader takes memory for as many as are
/// claimed before it has seen one, and a process that asks for too much is ended.
fn claims_too_many_strings(part: &[u8]) -> bool {
    const ATTRIBUTE: &[u8] = b"uniqueCount";
    part.windows(ATTRIBUTE.len()).enumerate().filter(|(_, window)| *window == ATTRIBUTE).any(|(at, _)| {
        let digits: String = part[at + ATTRIBUTE.len()..]
            .iter()
            .map(|byte| char::from(*byte))
            .skip_while(|c| c.is_ascii_whitespace() || matches!(c, '=' | '"' | '\'' | '+'))
            .take_while(char::is_ascii_digit)
            .collect();
        // The shortest text is `<si/>`.
        !digits.is_empty() && digits.parse().map_or(true, |count: usize| count > part.len() / 5)
    })
}

struct Sheet {
    number: u32,
    rows: BTreeMap<u32, Sparse>,
}

fn cells(
    bytes: &[u8],
    sheet: Option<&str>,
    file: FileId,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Result<Sheet, Box<Diagnostic>> {
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let name = sheet_name(&workbook, sheet)?;
    let number = sources.add_sheet(file, &name);
    let mut reader = workbook.worksheet_cells_reader(&name).map_err(unreadable)?;
    let mut rows: BTreeMap<u32, Sparse> = BTreeMap::new();
    let mut count = 0;
    while let Some(cell) = reader.next_cell().map_err(unreadable)? {
        let (row, column) = cell.get_position();
        let place = Place::cell(file, number, row, column);
        count += 1;
        if count > CELL_LIMIT {
            return Err(Box::new(too_large().at(place)));
        }
        let (text, typed) = value(cell.get_value());
        let cell = Cell { text: Arc::from(text.trim()), place, typed };
        diagnostics.extend(cell.error());
        rows.entry(row).or_default().insert(column, cell);
    }
    Ok(Sheet { number, rows })
}

fn sheet_name<R: Read + std::io::Seek>(workbook: &Xlsx<R>, wanted: Option<&str>) -> Result<String, Box<Diagnostic>> {
    let sheets: Vec<_> = workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet).collect();
    let found = match wanted {
        Some(name) => sheets.iter().find(|sheet| sheet.name == name),
        None => sheets.iter().find(|sheet| sheet.visible == SheetVisible::Visible).or(sheets.first()),
    };
    match (found, wanted) {
        (Some(sheet), _) => Ok(sheet.name.clone()),
        (None, Some(name)) => Err(Box::new(
            Diagnostic::new(Code::SheetMissing, format!("the workbook has no sheet `{}`", crate::tree::shorten(name)))
                .suggest(name, sheets.iter().map(|sheet| sheet.name.as_str())),
        )),
        (None, None) => Err(unreadable("it has no sheet")),
    }
}

/// The text that a cell shows and the value behind it.
fn value(data: &DataRef<'_>) -> (String, Option<Typed>) {
    match data {
        DataRef::Empty => (String::new(), None),
        DataRef::String(text) | DataRef::DurationIso(text) => (text.clone(), None),
        DataRef::SharedString(text) => ((*text).to_owned(), None),
        #[allow(clippy::cast_precision_loss)] // A spreadsheet's numbers are floats.
        DataRef::Int(number) => (number.to_string(), Some(Typed::Number(*number as f64))),
        DataRef::Float(number) => (number.to_string(), Some(Typed::Number(*number))),
        DataRef::Bool(value) => (value.to_string(), Some(Typed::Boolean(*value))),
        DataRef::Error(error) => (error.to_string(), Some(Typed::Error)),
        DataRef::DateTime(time) => date(*time),
        DataRef::DateTimeIso(text) => {
            let time = text.parse::<jiff::civil::DateTime>().ok();
            (text.clone(), time.map(Typed::Time))
        }
    }
}

fn date(time: ExcelDateTime) -> (String, Option<Typed>) {
    let days = time.as_f64();
    if time.is_duration() || !days.is_finite() {
        return (days.to_string(), Some(Typed::Number(days)));
    }
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    // A cell that holds only a time of day is one of day 0.
    if (0.0..1.0).contains(&days) {
        let text = match second {
            0 => format!("{hour:02}:{minute:02}"),
            second => format!("{hour:02}:{minute:02}:{second:02}"),
        };
        return (text, None);
    }
    let small = |n: u8| i8::try_from(n).unwrap_or(-1);
    let time = jiff::civil::DateTime::new(
        i16::try_from(year).unwrap_or(-1),
        small(month),
        small(day),
        small(hour),
        small(minute),
        small(second),
        i32::from(milli) * 1_000_000,
    );
    match time {
        Ok(time) if time.time() == jiff::civil::Time::midnight() => (time.date().to_string(), Some(Typed::Time(time))),
        Ok(time) => (time.to_string(), Some(Typed::Time(time))),
        Err(_) => (days.to_string(), Some(Typed::Number(days))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_false_number_of_texts_is_noticed() {
        for (part, wrong) in [
            ("<sst count=\"2\" uniqueCount=\"2\"><si/><si/></sst>", false),
            ("<sst uniqueCount=\"4294967295\"><si/></sst>", true),
            ("<sst uniqueCount = '99999999999999999999'/>", true),
            ("<sst uniqueCount=\"\"/>", false),
        ] {
            assert_eq!(claims_too_many_strings(part.as_bytes()), wrong, "{part}");
        }
    }

    #[test]
    fn a_zip_bomb_is_refused_before_it_is_unpacked() {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for part in ["xl/workbook.xml", "xl/sharedStrings.xml"] {
            archive.start_file(part, options).unwrap();
            archive.write_all(&vec![0u8; 3 << 20]).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        assert!(bytes.len() < 1 << 16);
        assert!(check_size(&bytes, 6 << 20).is_ok());
        let error = check_size(&bytes, 5 << 20).unwrap_err();
        assert_eq!(error.code, Code::WorkbookTooLarge);
    }
}
