//! `ducto replay`: recorded files as people have them.

use std::fs;

use crate::command::run;

const PIPELINE: &str = "\
pipeline: keep
sources:
  file: {type: tags}
sinks:
  history: {type: historian, inputs: [file], dataset: history}
";

/// A file as a spreadsheet in Bogotá saves it.
const LOCAL: &str = "\
fecha;pozo;valor
2026-01-01 00:00:00;W1.THP;1,5
2026-01-01 00:00:01;W1.THP;2,5
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keep.yaml"), PIPELINE).unwrap();
    fs::write(folder.path().join("local.csv"), LOCAL).unwrap();
    folder
}

#[test]
fn columns_zone_and_decimals_are_named_on_the_command_line() {
    let folder = folder();
    let replay = ["replay", "keep.yaml", "--input", "local.csv", "--data", "out"];
    let form = [
        "--time-column=fecha",
        "--tag-column=pozo",
        "--value-column=valor",
        "--time-zone=America/Bogota",
        "--decimal=,",
        "--json",
    ];
    let said = run(folder.path(), &[&replay[..], &form].concat()).expect(0).json();
    assert_eq!(said["samples"], 2);
    assert_eq!(said["rejected"], 0);
    assert_eq!(said["first"], "2026-01-01T05:00:00Z");
    let query = "SELECT time, tag, value FROM history ORDER BY time";
    let rows = run(folder.path(), &["query", "--data", "out", "--format", "csv", query]).expect(0).stdout;
    let rows: Vec<&str> = rows.lines().skip(1).collect();
    assert_eq!(rows, ["2026-01-01T05:00:00Z,W1.THP,1.5", "2026-01-01T05:00:01Z,W1.THP,2.5"]);
}

#[test]
fn what_cannot_be_read_is_said_before_anything_is_written() {
    let folder = folder();
    let replay = |more: &[&str]| {
        let start = ["replay", "keep.yaml", "--input", "local.csv", "--data", "out"];
        run(folder.path(), &[&start[..], more].concat())
    };
    let said = replay(&["--time-column=hora"]).expect(2).stderr;
    assert!(said.contains("has no column `hora`; it has `fecha`, `pozo`, `valor`"), "{said}");
    let said = replay(&["--time-zone=America/Bogoto"]).expect(2).stderr;
    assert!(said.contains("America/Bogota"), "{said}");
    let said = replay(&["--delimiter=é"]).expect(2).stderr;
    assert!(said.contains("`é` stands between no columns"), "{said}");
    let said = replay(&["--time-format=days"]).expect(2).stderr;
    assert!(said.contains("`rfc3339`, `s`, `ms` or `us`"), "{said}");
}
