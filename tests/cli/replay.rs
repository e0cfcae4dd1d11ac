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

/// `second,value` lines of one tag, as a recording.
fn recording(seconds: std::ops::Range<u32>) -> String {
    let rows = seconds.map(|second| format!("2026-01-01T00:00:{second:02}Z,W1.THP,{second}\n"));
    format!("time,tag,value\n{}", rows.collect::<String>())
}

#[test]
fn what_comes_after_a_crash_inside_a_commit_is_numbered_behind_what_is_found_whole() {
    let folder = folder();
    for (name, seconds) in [("a.csv", 0..10), ("b.csv", 10..40), ("c.csv", 40..60)] {
        fs::write(folder.path().join(name), recording(seconds)).unwrap();
    }
    let replay = |file: &str| {
        run(folder.path(), &["replay", "keep.yaml", "--input", file, "--data", "out"]).expect(0);
    };
    replay("a.csv");
    let manifest = folder.path().join("out/manifests/history.json");
    let before = fs::read(&manifest).unwrap();
    replay("b.csv");
    // As a crash leaves it: the files of a commit are in place, and the manifest does not name them yet.
    fs::write(&manifest, before).unwrap();
    replay("c.csv");
    let query = "SELECT count(*), min(value), max(value) FROM history";
    let said = run(folder.path(), &["query", "--data", "out", "--format", "csv", query]).expect(0).stdout;
    assert_eq!(said.lines().nth(1), Some("60,0.0,59.0"), "{said}");
}

#[test]
fn two_sinks_of_one_dataset_keep_what_only_one_of_them_has() {
    let folder = folder();
    let files = [
        (
            "site/site.yaml",
            "site: S\nassets: [assets.csv]\ntemplates:\n  well: {kind: well, tags: {P: {}, RUN: {kind: bool}}}\n  sep: {kind: sep, tags: {P: {}}}\n",
        ),
        ("site/assets.csv", "asset,template\nW,well\nS,sep\n"),
        (
            "two.yaml",
            "pipeline: two\nsources:\n  wells: {type: tags, where: \"kind = 'well'\"}\n  seps: {type: tags, where: \"kind = 'sep'\"}\nsinks:\n  of_wells: {type: historian, inputs: [wells], dataset: history}\n  of_seps: {type: historian, inputs: [seps], dataset: history}\n",
        ),
        (
            "in.csv",
            "time,tag,value\n2026-01-01T00:00:00Z,W.P,1\n2026-01-01T00:00:00Z,S.P,2\n2026-01-01T00:00:00Z,W.RUN,true\n2026-01-01T00:02:00Z,W.P,1\n2026-01-01T00:02:00Z,W.RUN,false\n",
        ),
    ];
    fs::create_dir(folder.path().join("site")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    run(folder.path(), &["replay", "two.yaml", "--site", "site", "--input", "in.csv", "--data", "out"]).expect(0);
    for (table, rows) in [("history", "3"), ("history_bool", "2")] {
        let query = format!("SELECT count(*) FROM {table}");
        let said = run(folder.path(), &["query", "--data", "out", "--format", "csv", &query]).expect(0).stdout;
        assert_eq!(said.lines().nth(1), Some(rows), "{table}: {said}");
    }
}

#[test]
fn a_query_says_that_a_file_is_damaged_or_missing() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), recording(0..10)).unwrap();
    run(folder.path(), &["replay", "keep.yaml", "--input", "a.csv", "--data", "out"]).expect(0);
    let hour = folder.path().join("out/datasets/history/date=2026-01-01/hour=00");
    let file = fs::read_dir(hour).unwrap().next().unwrap().unwrap().path();
    let query = ["query", "--data", "out", "--format", "csv", "SELECT count(*) FROM history"];
    for (damage, why) in [("", "is damaged"), ("gone", "is not on the disk")] {
        match damage {
            "gone" => fs::remove_file(&file).unwrap(),
            text => fs::write(&file, text).unwrap(),
        }
        let said = run(folder.path(), &query).expect(0);
        assert_eq!(said.stdout.lines().nth(1), Some("0"), "{}", said.stdout);
        let told: Vec<&str> = said.stderr.lines().filter(|line| line.contains(why)).collect();
        assert_eq!(told.len(), 1, "{}", said.stderr);
        assert!(told[0].contains("10 rows are not in the answer"), "{}", told[0]);
    }
}
