//! Broken inputs and the reports that users get for them.
//!
//! A case is a folder `tests/broken/<kind>/<case>/` with its input and, in `expected.txt`, the
//! report as printed. `UPDATE_EXPECT=1 cargo test` writes the reports anew, to be reviewed as a
//! diff. A new kind is a function and a test of its own below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::interpolate::{Parameters, interpolate};
use ducto_graph::scalar::{Duration, Name};
use ducto_graph::source::Sources;
use ducto_graph::table::{Conventions, Table};
use ducto_graph::tree::{Node, Value};
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};

use example::Example;

mod example;

/// Checks the input in a folder.
type Check = fn(&Path, &mut Sources, &mut Diagnostics);

/// Runs all cases of a kind; every difference is reported at once.
fn run(kind: &str, check: Check) {
    // Cargo runs tests in the folder of the crate, so paths in reports are the same everywhere.
    let folder = Path::new("tests/broken").join(kind);
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    let mut failures = Vec::new();
    for case in cases {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        check(&case, &mut sources, &mut diagnostics);
        assert!(!diagnostics.is_empty(), "{} is not broken", case.display());
        for found in &diagnostics {
            if let Some(place) = found.place {
                assert!(sources.contains(place), "{}: {found:?}", case.display());
            }
        }
        let json = diagnostics.to_json(&sources);
        assert_eq!(json.as_array().map(Vec::len), Some(diagnostics.len()));
        let prefix = format!("{}/", case.display());
        let report = diagnostics.render(&sources, false).replace(&prefix, "");
        let path = case.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &report).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != report {
            failures.push(format!("== {}\n-- expected\n{expected}\n-- found\n{report}", case.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn read(case: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Node> {
    let file = sources.read_yaml(&case.join("input.yaml"), None, diagnostics)?;
    Node::parse(file, sources, diagnostics)
}

/// `input.yaml` that cannot be read or parsed.
#[test]
fn yaml() {
    run("yaml", |case, sources, diagnostics| {
        read(case, sources, diagnostics);
    });
}

/// `input.yaml` that is decoded as an [`Example`].
#[test]
fn decoding() {
    run("decode", |case, sources, diagnostics| {
        if let Some(node) = read(case, sources, diagnostics) {
            decode::<Example>(&node, diagnostics);
        }
    });
}

/// `input.yaml` with `parameters:` and a `body:` into which they are inserted; with `site: true`
/// the environment may be read, in which `PORT` is 502.
#[test]
fn interpolation() {
    run("interpolate", |case, sources, diagnostics| {
        let Some(mut node) = read(case, sources, diagnostics) else {
            return;
        };
        let environment = |name: &str| (name == "PORT").then(|| "502".to_owned());
        let mut parameters = Parameters::new();
        if node.get("site").is_some() {
            parameters = parameters.with_environment(&environment);
        }
        if let Some(declared) = node.take("parameters") {
            for entry in declared.value.entries() {
                parameters.insert(entry.key.value.clone(), entry.value.clone());
            }
        }
        let mut body = node.take("body").unwrap().value;
        interpolate(&mut body, &parameters, diagnostics);
        if body.get("name").is_some() {
            decode::<Example>(&body, diagnostics);
        }
    });
}

/// `input.csv`, or `input.tsv` that is made into a workbook, whose columns `number`, `integer`,
/// `date`, `boolean`, `name`, `duration` are read as such; `conventions.yaml` declares how.
#[test]
fn tables() {
    run("table", |case, sources, diagnostics| {
        let conventions = conventions(case, sources, diagnostics);
        let workbook = case.join("input.tsv");
        let table = if workbook.exists() {
            let bytes = make_workbook(&fs::read_to_string(&workbook).unwrap());
            let path = case.join("input.xlsx");
            Table::from_bytes(&path, &bytes, None, sources, diagnostics)
        } else if case.join("input.xlsx").exists() {
            Table::read(&case.join("input.xlsx"), None, None, sources, diagnostics)
        } else {
            Table::read(&case.join("input.csv"), None, None, sources, diagnostics)
        };
        let Some(table) = table else {
            return;
        };
        for row in &table.rows {
            for (column, cell) in table.columns.iter().zip(row) {
                match column.as_str() {
                    "number" => drop(diagnostics.take(cell.number(&conventions))),
                    "integer" => drop(diagnostics.take(cell.integer(&conventions))),
                    "date" => drop(diagnostics.take(cell.date(&conventions))),
                    "boolean" => drop(diagnostics.take(cell.boolean())),
                    "name" => drop(diagnostics.take(cell.parse::<Name>())),
                    "duration" => drop(diagnostics.take(cell.parse::<Duration>())),
                    _ => {}
                }
            }
        }
    });
}

fn conventions(case: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Conventions {
    let path = case.join("conventions.yaml");
    if !path.exists() {
        return Conventions::default();
    }
    let file = sources.read_yaml(&path, None, diagnostics).unwrap();
    let node = Node::parse(file, sources, diagnostics).unwrap();
    decode(&node, diagnostics).unwrap_or_default()
}

/// Cells separated by tabs: numbers, `TRUE`, `@2026-04-03` for a date, `!#REF!` for an error.
fn make_workbook(text: &str) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let date = Format::new().set_num_format("yyyy-mm-dd");
    let sheet = workbook.add_worksheet();
    for (row, line) in (0u32..).zip(text.lines()) {
        for (column, cell) in (0u16..).zip(line.split('\t')) {
            if let Ok(number) = cell.parse::<f64>() {
                sheet.write_number(row, column, number).unwrap();
            } else if let Some(day) = cell.strip_prefix('@') {
                let day = ExcelDateTime::parse_from_str(day).unwrap();
                sheet.write_with_format(row, column, &day, &date).unwrap();
            } else if let Some(error) = cell.strip_prefix('!') {
                let formula = Formula::new("=1/0").set_result(error);
                sheet.write_formula(row, column, formula).unwrap();
            } else if cell == "TRUE" {
                sheet.write_boolean(row, column, true).unwrap();
            } else if !cell.is_empty() {
                let text = cell.strip_prefix('\'').unwrap_or(cell);
                sheet.write_string(row, column, text).unwrap();
            }
        }
    }
    workbook.save_to_buffer().unwrap()
}

#[test]
fn the_example_can_be_right() {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add_text("a.yaml", example::RIGHT);
    let node = Node::parse(file, &sources, &mut diagnostics).unwrap();
    let example = decode::<Example>(&node, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(&sources, false));
    let example = example.unwrap();
    assert_eq!(example.limits.len(), 2);
    assert!(matches!(example.rest.unwrap().value, Value::Map(_)));
}
