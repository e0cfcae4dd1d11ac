//! Lists as the programs write them, made for these tests.

use std::path::PathBuf;

use rust_xlsxwriter::Workbook;

pub(crate) fn list(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lists").join(name)
}

/// What Neuron exports: one sheet with a row a tag.
pub(crate) fn neuron() -> Vec<u8> {
    let head =
        ["group", "interval", "name", "address", "attribute", "type", "description", "decimal", "precision", "bias"];
    let rows: [[&str; 10]; 11] = [
        ["WELL-001", "1000", "THP", "1!400001#BL", "Read Subscribe", "FLOAT", "Presión de cabeza", "", "2", ""],
        ["WELL-001", "1000", "CURRENT", "1!400013", "Read", "INT16", "", "0.1", "", "-5"],
        ["WELL-001", "1000", "TRIP", "1!400021.3", "Read", "BIT", "", "", "", ""],
        ["WELL-001", "1000", "RUN", "1!100001", "Read", "BIT", "", "", "", ""],
        ["WELL-002", "2000", "THP", "2!400001#BL", "Read Subscribe", "FLOAT", "Presión de cabeza", "", "2", ""],
        ["WELL-002", "2000", "CURRENT", "2!400013", "Read Write", "INT16", "", "0.1", "", "-5"],
        ["WELL-002", "2000", "TRIP", "2!400021.3", "Read", "BIT", "", "", "", ""],
        ["WELL-002", "2000", "RUN", "2!100001", "Read", "BIT", "", "", "", ""],
        ["SEP", "500", "NAME", "3!400101.16H", "Read", "STRING", "", "", "", ""],
        ["SEP", "500", "LIMIT", "", "Static Read", "INT16", "", "", "", ""],
        ["SEP", "500", "STATUS", "3!400121#LL", "Read", "UINT32", "", "", "", ""],
    ];
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(head) {
        sheet.write_string(0, column, name).unwrap();
    }
    for (row, cells) in (1..).zip(rows) {
        for (column, cell) in (0..).zip(cells) {
            match cell.parse::<f64>() {
                Ok(number) => sheet.write_number(row, column, number).unwrap(),
                Err(_) => sheet.write_string(row, column, cell).unwrap(),
            };
        }
    }
    workbook.save_to_buffer().unwrap()
}
