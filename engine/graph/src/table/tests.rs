use rust_xlsxwriter::{Format, Workbook};

use super::*;

fn read(name: &str, bytes: &[u8]) -> (Option<Table>, Sources, Diagnostics) {
    read_sheet(name, bytes, None)
}

fn read_sheet(name: &str, bytes: &[u8], sheet: Option<&str>) -> (Option<Table>, Sources, Diagnostics) {
    let mut sources = Sources::new();
    let mut found = Diagnostics::new();
    let table = Table::from_bytes(Path::new(name), bytes, sheet, &mut sources, &mut found);
    (table, sources, found)
}

fn codes(found: &Diagnostics) -> Vec<Code> {
    found.iter().map(|found| found.code).collect()
}

fn texts(table: &Table) -> Vec<Vec<String>> {
    let row = |row: &Vec<Cell>| row.iter().map(|cell| cell.text.to_string()).collect();
    table.rows.iter().map(row).collect()
}

#[test]
fn every_separator_is_found() {
    for separator in [";", ",", "\t"] {
        let text = "asset,area\n\nW-1,norte\r\n\"W,2;\t\", \"a \"\"b\"\"\" \n".replace(',', separator);
        // The comma inside the quotes was replaced as well.
        let quoted = format!("W{separator}2;\t");
        let (table, sources, found) = read("a.csv", text.as_bytes());
        assert!(found.is_empty(), "{}", found.render(&sources, false));
        let table = table.unwrap();
        assert_eq!(table.columns[1].value, "area");
        assert_eq!(texts(&table), [vec!["W-1", "norte"], vec![quoted.trim(), "a \"b\""]]);
        let at = sources.position(table.rows[0][1].place).unwrap();
        assert_eq!((at.line, at.column), (3, 5));
        assert_eq!(sources.slice(table.rows[0][1].place), "norte");
    }
}

#[test]
fn encodings_and_excels_hint() {
    let (table, _, found) = read("a.csv", b"sep=;\nasset;\xE1rea\nW-1;Ca\xF1o\n");
    assert!(found.is_empty());
    let table = table.unwrap();
    assert_eq!(table.columns[1].value, "área");
    assert_eq!(texts(&table), [["W-1", "Caño"]]);
    let (table, ..) = read("a.csv", "\u{feff}área\nCaño\n".as_bytes());
    assert_eq!(table.unwrap().columns[0].value, "área");
    for bytes in [&b"a;b\n1;\0\n"[..], b"\xFF\xFEa\0", b"\xD0\xCF\x11\xE0xx"] {
        assert_eq!(codes(&read("a.csv", bytes).2), [Code::FileNotText]);
    }
}

#[test]
fn ragged_rows_are_set_aside() {
    let (table, sources, found) = read("a.csv", b"a;b;c;\n1;2;3;;\n1;2\n# no comment;x;y\n1;2;3;4;5\n");
    assert_eq!(codes(&found), [Code::RowRagged, Code::RowRagged]);
    assert_eq!(sources.position(found.iter().next().unwrap().place.unwrap()).unwrap().line, 3);
    let table = table.unwrap();
    assert_eq!(texts(&table), [["1", "2", "3"], ["# no comment", "x", "y"]]);
    assert_eq!(table.rejected.len(), 2);
}

#[test]
fn headers_are_checked() {
    let (table, _, found) = read("a.csv", b"a;;a;b;\n1;2;3;4;5\n;;;;\n");
    assert_eq!(codes(&found), [Code::ColumnDuplicate, Code::ColumnUnnamed, Code::ColumnsWithoutName]);
    assert_eq!(texts(&table.unwrap()), [["1", "4"]]);
    for text in ["", "\n\n", ";;\n"] {
        assert_eq!(codes(&read("a.csv", text.as_bytes()).2), [Code::TableEmpty], "{text:?}");
    }
}

#[test]
fn quotes_are_checked() {
    let (table, sources, found) = read("a.csv", b"a;b\n1;\"2\n3;4\n");
    assert!(table.is_none());
    assert_eq!(codes(&found), [Code::QuoteUnbalanced]);
    assert_eq!(sources.position(found.iter().next().unwrap().place.unwrap()).unwrap().line, 2);
    let (table, _, found) = read("a.csv", b"a;b\n1;\"2\"x\n3;4\"5\n");
    assert_eq!(codes(&found), [Code::QuoteUnbalanced]);
    assert_eq!(texts(&table.unwrap()), [["3", "4\"5"]]);
}

fn workbook() -> Vec<u8> {
    let mut workbook = Workbook::new();
    let notes = workbook.add_worksheet();
    notes.set_name("Notas").unwrap();
    notes.set_hidden(true);
    let sheet = workbook.add_worksheet();
    sheet.set_name("Pozos").unwrap();
    sheet.set_active(true);
    let date = Format::new().set_num_format("yyyy-mm-dd");
    let time = Format::new().set_num_format("hh:mm");
    for (column, name) in ["asset", "unit_id", "limit", "enabled", "from", "at"].iter().enumerate() {
        sheet.write(1, column as u16 + 1, *name).unwrap();
    }
    sheet.write(3, 1, " W-001 ").unwrap();
    sheet.write(3, 2, 7).unwrap();
    sheet.write(3, 3, 2500.5).unwrap();
    sheet.write(3, 4, true).unwrap();
    let day = rust_xlsxwriter::ExcelDateTime::from_ymd(2026, 4, 3).unwrap();
    sheet.write_with_format(3, 5, &day, &date).unwrap();
    sheet.write_with_format(3, 6, 0.25, &time).unwrap();
    sheet.write(4, 1, "W-002").unwrap();
    sheet.write(4, 3, "1.234").unwrap();
    sheet.write(4, 8, "a remark").unwrap();
    workbook.save_to_buffer().unwrap()
}

#[test]
fn a_workbook_keeps_types_and_places() {
    let (table, sources, found) = read("pozos.xlsx", &workbook());
    assert_eq!(codes(&found), [Code::ColumnsWithoutName]);
    let table = table.unwrap();
    assert_eq!(
        texts(&table),
        [["W-001", "7", "2500.5", "true", "2026-04-03", "06:00"], ["W-002", "", "1.234", "", "", ""],]
    );
    let conventions = Conventions::default();
    let row = &table.rows[0];
    assert_eq!(row[1].integer(&conventions), Ok(7));
    assert_eq!(row[2].number(&conventions), Ok(2500.5));
    assert_eq!(row[3].boolean(), Ok(true));
    assert_eq!(row[4].date(&conventions).unwrap().to_string(), "2026-04-03");
    assert_eq!(row[4].number(&conventions).unwrap_err().code, Code::CellNotNumber);
    assert!(row[5].parse::<crate::scalar::TimeOfDay>().is_ok());
    let limit = &table.rows[1][2];
    assert_eq!(sources.cell_name(limit.place), Some(("Pozos".to_owned(), "D5".to_owned())));
    assert_eq!(sources.slice(limit.place), "1.234");
    let empty = &table.rows[1][1];
    assert_eq!(sources.cell_name(empty.place).unwrap().1, "C5");
}

#[test]
fn a_sheet_can_be_named() {
    let (table, _, found) = read_sheet("p.xlsx", &workbook(), Some("Pozo"));
    assert!(table.is_none());
    assert_eq!(codes(&found), [Code::SheetMissing]);
    assert!(found.iter().next().unwrap().help.as_ref().unwrap().contains("`Pozos`"));
    assert_eq!(codes(&read_sheet("p.xlsx", &workbook(), Some("Notas")).2), [Code::TableEmpty]);
}

#[test]
fn what_is_no_workbook_is_refused() {
    for bytes in [&b"a;b\n"[..], b"PK\x03\x04xxxx", b"", b"\xD0\xCF\x11\xE0"] {
        assert_eq!(codes(&read("a.xlsx", bytes).2), [Code::WorkbookUnreadable]);
    }
}

#[test]
fn a_report_gives_back_the_rows_with_their_problems() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("errors.xlsx");
    for (name, bytes) in [("a.csv", b"asset;limit;\nW-1;1.234\nW-2;5\nW-3\n".to_vec()), ("a.xlsx", workbook())] {
        let (table, sources, mut found) = read(name, &bytes);
        let table = table.unwrap();
        let limit = table.column("limit").unwrap();
        for row in &table.rows {
            found.take(row[limit].number(&Conventions::default()));
        }
        write_report(&table, &found, &sources, &path).unwrap();
        let (report, ..) = read("errors.xlsx", &std::fs::read(&path).unwrap());
        let report = report.unwrap();
        let problems = report.column("problems").unwrap();
        let wrong: Vec<String> = report.rows.iter().map(|row| row[problems].text.to_string()).collect();
        if name == "a.csv" {
            assert_eq!(texts(&report)[1][..2], ["W-2", "5"]);
            assert!(wrong[0].starts_with("limit: `1.234` reads two ways"), "{wrong:?}");
            assert_eq!(wrong[1], "");
            assert!(wrong[2].contains("E0404"), "{wrong:?}");
        } else {
            assert_eq!(report.rows[0][2].typed, Some(Typed::Number(2500.5)));
            assert!(matches!(report.rows[0][4].typed, Some(Typed::Time(_))));
            assert!(wrong[1].contains("limit: `1.234` reads two ways"), "{wrong:?}");
        }
    }
    let (table, sources, found) = read("a.csv", b"a;b\n1;2\n");
    let error = write_report(&table.unwrap(), &found, &sources, folder.path()).unwrap_err();
    assert!(matches!(error, ReportError::File { .. }));
}

#[test]
fn the_number_of_cells_is_limited() {
    let text = ";".repeat(CELL_LIMIT + 1);
    assert_eq!(codes(&read("a.csv", text.as_bytes()).2), [Code::TableTooLarge]);
}
