//! Whatever is read, nothing panics, everything ends, and each finding points into its file.
//!
//! The inputs are a corpus and seeded mutations of it. `PROPTEST_CASES` sets how many of each kind
//! are tried (a few seconds by default), `PROPTEST_RNG_SEED` which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::interpolate::{Parameters, interpolate, references};
use ducto_graph::scalar::{ByteSize, Duration, Name, Percent, Quantity, TimeOfDay, TimeZone, Timestamp};
use ducto_graph::secret::Secret;
use ducto_graph::source::{Place, Sources};
use ducto_graph::table::{Cell, Conventions, DateOrder, Decimal, Table, write_report};
use ducto_graph::tree::Node;
use proptest::collection::vec;
use proptest::prelude::*;
use rust_xlsxwriter::Workbook;

use example::Example;
use mutation::{TOKENS, changes, check, mutate};

mod example;
mod mutation;

/// The inputs of one kind of broken case.
fn corpus(kind: &str, file: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("tests/broken").join(kind);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join(file)).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        // Refused for their size, which takes its time.
        .filter(|bytes| !bytes.windows(5).any(|part| part == b"a8: &"))
        .collect()
}

fn assert_inside(sources: &Sources, diagnostics: &Diagnostics) {
    for found in diagnostics {
        let places = found.notes.iter().filter_map(|note| note.place);
        for place in places.chain(found.place) {
            assert!(sources.contains(place), "{found:?}");
        }
    }
    diagnostics.render(sources, false);
    diagnostics.to_json(sources);
}

fn assert_places(node: &Node, sources: &Sources) {
    assert!(sources.contains(node.place), "{:?}", node.place);
    for entry in node.entries() {
        assert!(sources.contains(entry.key.place));
        assert_places(&entry.value, sources);
    }
    for item in node.items() {
        assert_places(item, sources);
    }
}

fn read_yaml(text: String) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add_text("fuzz.yaml", text);
    if let Some(mut node) = Node::parse(file, &sources, &mut diagnostics) {
        assert_places(&node, &sources);
        for name in references(&node) {
            assert!(sources.contains(name.place));
        }
        let mut parameters = Parameters::new();
        parameters.insert("a", node.get("name").cloned().unwrap_or(node.clone()));
        interpolate(&mut node, &parameters, &mut diagnostics);
        let decoded = decode::<Example>(&node, &mut diagnostics);
        assert!(decoded.is_some() || !diagnostics.is_ok());
        decode::<Vec<Node>>(&node, &mut diagnostics);
    } else {
        assert!(!diagnostics.is_ok());
    }
    assert_inside(&sources, &diagnostics);
}

#[test]
fn yaml() {
    let mut inputs = corpus("yaml", "input.yaml");
    inputs.extend(corpus("decode", "input.yaml"));
    inputs.extend(corpus("interpolate", "input.yaml"));
    inputs.extend(vec![example::RIGHT.as_bytes().to_vec(); 10]);
    let strategy = (0..inputs.len(), changes());
    check(1_000, &strategy, |(input, changes)| {
        let bytes = mutate(&inputs[input], &changes);
        read_yaml(String::from_utf8_lossy(&bytes).into_owned());
    });
}

#[test]
fn yaml_of_tokens() {
    let words = ["a", "name: x", "mode: hold", "x: 1"];
    let token = (0..TOKENS.len() + words.len()).prop_map(move |number| match TOKENS.get(number) {
        Some(token) => *token,
        None => words[number - TOKENS.len()],
    });
    check(1_000, &vec(token, 0..40), |tokens| read_yaml(tokens.concat()));
}

fn use_table(name: &str, bytes: &[u8], report: Option<&Path>) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let table = Table::from_bytes(Path::new(name), bytes, None, &mut sources, &mut diagnostics);
    assert!(table.is_some() || !diagnostics.is_ok());
    if let Some(table) = table {
        for column in &table.columns {
            assert!(sources.contains(column.place));
        }
        for cell in table.rows.iter().chain(&table.rejected).flatten() {
            assert!(sources.contains(cell.place));
            use_cell(cell, &mut diagnostics);
        }
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len());
        }
        if let Some(path) = report {
            write_report(&table, &diagnostics, &sources, path).unwrap();
        }
    }
    assert_inside(&sources, &diagnostics);
}

fn use_cell(cell: &Cell, diagnostics: &mut Diagnostics) {
    let zone = TimeZone::utc();
    for decimal in [None, Some(Decimal::Comma), Some(Decimal::Point)] {
        for dates in [None, Some(DateOrder::Dmy), Some(DateOrder::Ymd)] {
            let conventions = Conventions { decimal, dates };
            diagnostics.take(cell.number(&conventions));
            diagnostics.take(cell.integer(&conventions));
            diagnostics.take(cell.date(&conventions));
            diagnostics.take(cell.instant(&conventions, &zone));
        }
    }
    diagnostics.take(cell.boolean());
    diagnostics.take(cell.parse::<Name>());
    cell.to_node();
}

#[test]
fn csv() {
    let inputs = corpus("table", "input.csv");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.xlsx");
    let strategy = (0..inputs.len(), changes(), 0..20);
    check(500, &strategy, |(input, changes, dice)| {
        let bytes = mutate(&inputs[input], &changes);
        use_table("fuzz.csv", &bytes, (dice == 0).then_some(path.as_path()));
    });
}

/// The parts of a workbook with a little of everything.
fn parts() -> Vec<(String, Vec<u8>)> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in ["asset", "number", "when", "enabled"].iter().enumerate() {
        sheet.write(0, column as u16, *name).unwrap();
    }
    let date = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd hh:mm");
    sheet.write(1, 0, "WELL-001").unwrap();
    sheet.write(1, 1, 2.5).unwrap();
    sheet.write_with_format(1, 2, 46_000.5, &date).unwrap();
    sheet.write(1, 3, true).unwrap();
    sheet.write_formula(2, 1, rust_xlsxwriter::Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|number| {
            let mut part = archive.by_index(number).unwrap();
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            (part.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn pack(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in parts {
        archive.start_file(name.as_str(), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn workbooks_with_changed_parts() {
    let parts = parts();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.xlsx");
    let strategy = (0..parts.len(), changes(), 0..20);
    check(400, &strategy, |(part, changes, dice)| {
        let mut parts = parts.clone();
        parts[part].1 = mutate(&parts[part].1, &changes);
        let report = (dice == 0).then_some(path.as_path());
        use_table("fuzz.xlsx", &pack(&parts), report);
    });
}

/// Numbers in the XML of a sheet are where readers go wrong: positions, indices, styles, dates.
#[test]
fn workbooks_with_changed_numbers() {
    const NUMBERS: [&str; 14] = [
        "0",
        "1",
        "-1",
        "99999999999999999999",
        "4294967295",
        "4294967296",
        "1048576",
        "16384",
        "XFD1048576",
        "A0",
        "ZZZZZZZ1",
        "1e308",
        "NaN",
        "",
    ];
    let parts = parts();
    let strategy = (0..parts.len(), any::<usize>(), 0..NUMBERS.len());
    check(400, &strategy, |(part, at, number)| {
        let mut parts = parts.clone();
        let text = String::from_utf8(parts[part].1.clone()).unwrap();
        let starts: Vec<usize> = text
            .match_indices(['"', '>'])
            .map(|(at, _)| at + 1)
            .filter(|at| text[*at..].starts_with(|c: char| c.is_ascii_alphanumeric()))
            .collect();
        if starts.is_empty() {
            return;
        }
        let start = starts[at % starts.len()];
        let end = start + text[start..].find(['"', '<']).unwrap_or(0);
        parts[part].1 = format!("{}{}{}", &text[..start], NUMBERS[number], &text[end..]).into();
        use_table("fuzz.xlsx", &pack(&parts), None);
    });
}

#[test]
fn workbooks_with_changed_bytes() {
    let bytes = pack(&parts());
    check(200, &changes(), |changes| {
        use_table("fuzz.xlsx", &mutate(&bytes, &changes), None);
    });
}

#[test]
fn interpolation() {
    check(1_000, &"[a${}: \"'ñen-]{0,24}", |text| {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let file = sources.add_text("fuzz.yaml", format!("k: '{}'\n", text.replace('\'', "''")));
        let mut node = Node::parse(file, &sources, &mut diagnostics).unwrap();
        let before = node.get("k").unwrap().as_text().unwrap().to_owned();
        let environment = |name: &str| (name != "n").then(|| "x: [1".to_owned());
        let mut parameters = Parameters::new().with_environment(&environment);
        parameters.insert("a", Node::text(Place::NOWHERE, "${e}\n- b: 1"));
        parameters.insert("e", Node::plain(Place::NOWHERE, "5"));
        interpolate(&mut node, &parameters, &mut diagnostics);
        assert_eq!(node.entries().len(), 1);
        if diagnostics.is_ok() && !before.contains('$') {
            assert_eq!(node.get("k").unwrap().as_text(), Some(before.as_str()));
        }
        assert_inside(&sources, &diagnostics);
    });
}

/// A text is refused, or what it gives is written in a way that reads back the same.
fn round_trip<T>(text: &str)
where
    T: std::str::FromStr + std::fmt::Display + PartialEq + std::fmt::Debug,
    T::Err: std::fmt::Debug,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().unwrap(), value, "{text}");
    }
}

#[test]
fn scalars() {
    let number = "[-+]?[0-9]{0,12}[.]?[0-9]{0,3}";
    let unit = "( ?(y|w|d|h|m|s|ms|us|µs|[KMGT]i?B|B|%|psia|e5|°F)[0-9]{0,2}){0,3}";
    let shaped = format!("{number}{unit}");
    let time = "[0-9-]{0,10}[T ]?[0-9:.]{0,10}(Z|[+-][0-9:]{0,5})?";
    let strategy = prop_oneof![shaped.as_str(), time, "[A-Za-z/_]{0,12}", any::<String>()];
    check(4_000, &strategy, |text: String| {
        round_trip::<Duration>(&text);
        round_trip::<ByteSize>(&text);
        round_trip::<Percent>(&text);
        round_trip::<Quantity>(&text);
        round_trip::<TimeOfDay>(&text);
        round_trip::<Timestamp>(&text);
        round_trip::<Name>(&text);
        let _ = text.parse::<Secret>();
        let mut diagnostics = Diagnostics::new();
        use_cell(&Cell { text: text.into(), place: Place::NOWHERE, typed: None }, &mut diagnostics);
    });
}

/// Apart, since the nearest zone is looked for among hundreds.
#[test]
fn time_zones() {
    let strategy = prop_oneof!["(America|Etc|US)/[A-Za-z/_+-]{0,8}[0-9]{0,2}", any::<String>()];
    check(50, &strategy, |text: String| round_trip::<TimeZone>(&text));
}
