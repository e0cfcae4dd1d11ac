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

/// A site of one well, whose tags are polled each second.
fn polled(folder: &std::path::Path) {
    fs::create_dir(folder.join("site")).unwrap();
    let files = [
        (
            "site/site.yaml",
            "site: S\nassets: [assets.csv]\ntemplates:\n  well: {kind: well, tags: {THP: {scan: 1s}, CHP: {scan: 1s}}}\n",
        ),
        ("site/assets.csv", "asset,template\nW,well\n"),
        (
            "hours.yaml",
            "\
pipeline: hours
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  hours: {type: aggregate, inputs: [checked], every: 1h, outputs: [count, duration_good]}
sinks:
  history: {type: historian, inputs: [checked], dataset: history}
  tier: {type: historian, inputs: [hours], dataset: hours}
",
        ),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn nothing_is_made_up_behind_the_end_of_the_input() {
    let folder = folder();
    polled(folder.path());
    // CHP ends 200 s before THP.
    let row = |tag: &str, second: usize| format!("2026-01-01T00:{:02}:{:02}Z,W.{tag},1\n", second / 60, second % 60);
    let rows: String = (0..300).map(|second| row("THP", second)).chain((0..100).map(|at| row("CHP", at))).collect();
    fs::write(folder.path().join("in.csv"), format!("time,tag,value\n{rows}")).unwrap();
    run(folder.path(), &["replay", "hours.yaml", "--site", "site", "--input", "in.csv", "--data", "out"]).expect(0);
    let ask = |query: &str| {
        let said = run(folder.path(), &["query", "--data", "out", "--format", "csv", query]).expect(0).stdout;
        said.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    // The 100th sample of CHP came at 99 s: silent from 102 s until the last of THP, at 299 s.
    let found =
        ask("SELECT tag, quality, count(*), max(time) FROM history GROUP BY tag, quality ORDER BY tag, quality");
    assert_eq!(
        found,
        [
            "W.CHP,24,198,2026-01-01T00:04:59Z",
            "W.CHP,192,100,2026-01-01T00:01:39Z",
            "W.THP,192,300,2026-01-01T00:04:59Z"
        ]
    );
    // As where the site runs on: good until each is, or would be, called silent.
    assert_eq!(ask("SELECT tag, count, duration_good FROM hours ORDER BY tag"), ["W.CHP,100,102.0", "W.THP,300,302.0"]);
}

#[test]
fn what_is_stored_already_is_not_stored_twice_unasked() {
    let folder = folder();
    for (name, seconds) in [("a.csv", 0..20), ("b.csv", 20..40), ("c.csv", 35..50)] {
        fs::write(folder.path().join(name), recording(seconds)).unwrap();
    }
    fs::write(folder.path().join("other.csv"), recording(0..20).replace("W1.", "W2.")).unwrap();
    let replay = |file: &str, more: &[&str]| {
        let start = ["replay", "keep.yaml", "--input", file, "--data", "out"];
        run(folder.path(), &[&start[..], more].concat())
    };
    let stored = || {
        let query = ["query", "--data", "out", "--format", "csv", "SELECT count(*) FROM history"];
        run(folder.path(), &query).expect(0).stdout.lines().nth(1).map(str::to_owned).unwrap()
    };
    replay("a.csv", &[]).expect(0);
    let said = replay("a.csv", &[]).expect(3).stderr;
    assert!(said.contains("`keep` has replayed `W1.THP` from 2026-01-01T00:00:00Z to 2026-01-01T00:00:19Z"), "{said}");
    assert!(said.contains("`--data`") && said.contains("`--again`"), "{said}");
    // Other times and other tags are something else; what overlaps in part is named.
    replay("b.csv", &[]).expect(0);
    replay("other.csv", &[]).expect(0);
    let said = replay("c.csv", &[]).expect(3).stderr;
    assert!(said.contains("from 2026-01-01T00:00:35Z to 2026-01-01T00:00:39Z"), "{said}");
    assert_eq!(stored(), "60");
    replay("a.csv", &["--again"]).expect(0);
    assert_eq!(stored(), "80");
}

#[test]
fn a_file_of_which_nothing_can_be_read_is_refused_and_leaves_nothing_behind() {
    let folder = folder();
    let rows: String = (0..7).map(|second| format!("{second};W1.THP;1,5\n")).collect();
    fs::write(folder.path().join("numbers.csv"), format!("time;tag;value\n{rows}")).unwrap();
    let replay = ["replay", "keep.yaml", "--input", "numbers.csv", "--data", "out"];
    let refused = run(folder.path(), &replay).expect(2);
    insta::assert_snapshot!(refused.stderr);
    assert!(!folder.path().join("out").exists());
    let json = run(folder.path(), &[&replay[..], &["--json"]].concat()).expect(2).json();
    assert_eq!(json["findings"][0]["code"], "E0431", "{json:#}");
    fs::write(folder.path().join("empty.csv"), "time,tag,value\n").unwrap();
    let empty = run(folder.path(), &["replay", "keep.yaml", "--input", "empty.csv", "--data", "out"]).expect(2);
    assert!(empty.stderr.contains("no sample"), "{empty:?}");
}

#[test]
fn rows_that_are_left_out_are_counted_by_their_causes() {
    let folder = folder();
    fs::write(
        folder.path().join("some.csv"),
        "time,tag,value,quality\n2026-01-01T00:00:00Z,W1.THP,1,192\nyesterday,W1.THP,1,192\n\
         2026-01-01T00:00:01Z,W1.THP,\"1,5\",192\n2026-01-01T00:00:02Z,W1.THP,2,500\n2026-01-01T00:00:03Z,,2,192\n",
    )
    .unwrap();
    let replay = ["replay", "keep.yaml", "--input", "some.csv", "--data", "out"];
    let said = run(folder.path(), &replay).expect(0);
    insta::assert_snapshot!(said.stderr);
    let json = run(folder.path(), &["replay", "keep.yaml", "--input", "some.csv", "--data", "out2", "--json"]);
    let json = json.expect(0).json();
    assert_eq!(json["rejected_by"]["quality"], 1, "{json:#}");
    assert_eq!(json["findings"][0]["severity"], "warning", "{json:#}");
}
