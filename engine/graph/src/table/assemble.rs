//! Cells by column into a [`Table`]: what the rules for headers are, for CSV and XLSX alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Cell, Table};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{FileId, Place};
use crate::tree::{Spanned, shorten};

/// The cells of a row by the number of their column.
pub(super) type Sparse = BTreeMap<u32, Cell>;

/// Puts a table together. `empty` gives the place of a cell that is not there, by row (from 0,
/// below the header) and column.
pub(super) fn assemble(
    file: FileId,
    header: Sparse,
    rows: Vec<Sparse>,
    empty: impl Fn(usize, u32) -> Place,
    diagnostics: &mut Diagnostics,
) -> Option<Table> {
    let mut named: Vec<(u32, Spanned<String>)> = Vec::new();
    let mut unnamed = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    let mut first_of: HashMap<String, Place> = HashMap::new();
    for (column, cell) in header {
        if cell.is_empty() {
            unnamed.insert(column, cell.place);
            continue;
        }
        if let Some(first) = first_of.insert(cell.text.to_string(), cell.place) {
            diagnostics.push(
                Diagnostic::new(Code::ColumnDuplicate, format!("two columns are named `{}`", shorten(&cell.text)))
                    .at(cell.place)
                    .note_at(first, "the first is here")
                    .help("rename or remove one of the two"),
            );
            repeated.insert(column);
            continue;
        }
        named.push((column, Spanned::new(cell.text.to_string(), cell.place)));
    }
    let Some(last) = named.last().map(|(column, _)| *column) else {
        diagnostics.push(
            Diagnostic::new(Code::TableEmpty, "the table has no header row")
                .at(Place::file(file))
                .help("write the names of the columns into the first row"),
        );
        return None;
    };
    let nothing: Arc<str> = Arc::from("");
    let mut stray = BTreeMap::new();
    let mut beyond = None;
    let mut table = Table {
        file,
        columns: named.iter().map(|(_, name)| name.clone()).collect(),
        rows: Vec::with_capacity(rows.len()),
        rejected: Vec::new(),
    };
    for (number, mut cells) in rows.into_iter().enumerate() {
        let row: Vec<Cell> = named
            .iter()
            .map(|(column, _)| {
                cells.remove(column).unwrap_or_else(|| Cell {
                    text: Arc::clone(&nothing),
                    place: empty(number, *column),
                    typed: None,
                })
            })
            .collect();
        for (column, cell) in cells {
            if cell.is_empty() || repeated.contains(&column) {
                continue;
            }
            if column > last {
                beyond.get_or_insert(cell.place);
            } else {
                stray.entry(column).or_insert(cell.place);
            }
        }
        if row.iter().any(|cell| !cell.is_empty()) {
            table.rows.push(row);
        }
    }
    for (column, cell) in stray {
        let wrong = Diagnostic::new(Code::ColumnUnnamed, "a column with cells has no name")
            .help("name the column in the header, or empty it");
        diagnostics.push(match unnamed.get(&column) {
            Some(header) => wrong.at(*header).note_at(cell, "its first cell is here"),
            None => wrong.at(cell),
        });
    }
    if let Some(place) = beyond {
        diagnostics.push(
            Diagnostic::new(Code::ColumnsWithoutName, "cells to the right of the last named column are not read")
                .at(place)
                .help("name their column in the header, or remove them"),
        );
    }
    Some(table)
}
