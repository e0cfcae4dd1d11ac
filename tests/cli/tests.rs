//! `ducto test`: verdicts, and expectations that are written anew.

use std::fs;

use crate::command::run;

const PIPELINE: &str = "\
pipeline: p
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  alarms: {type: alarm, inputs: [checked]}
sinks:
  log: {type: log, inputs: [alarms]}
";

/// Three tests: one whose expectation is wrong, one with a mistake, one in braces whose expectation is wrong.
const TESTS: &str = "\
tests:
  - name: wrong
    tags: {W.THP: {}}
    steps:
      - {at: 1s, send: {W.THP: 5}}
    expect:
      checked: [{time: 1s, value: 4}]   # goes
  - name: mistaken
    tags: {W.THP: {}}
    steps:
      - {at: 1s, send: {W.TPH: 5}}
    expect: {checked: []}
  - {name: braces, tags: {W.THP: {}}, steps: [{send: {W.THP: 1}}], expect: {checked: []}}
  - name: wrong too
    tags: {W.THP: {}}
    steps:
      - {at: 2s, send: {W.THP: 7}}
    expect:
      checked: []
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PIPELINE).unwrap();
    fs::write(folder.path().join("p.test.yaml"), TESTS).unwrap();
    folder
}

#[test]
fn a_mistake_in_one_test_keeps_no_other_from_being_updated() {
    let folder = folder();
    let said = run(folder.path(), &["test", "--update", "p.test.yaml"]).expect(3);
    insta::assert_snapshot!(said.text());
    let wanted = TESTS.replace(
        "      checked: [{time: 1s, value: 4}]   # goes\n",
        "      checked:\n        - {time: 1s, value: 5.0}\n",
    );
    let written = fs::read_to_string(folder.path().join("p.test.yaml")).unwrap();
    assert!(written.starts_with(&wanted[..wanted.rfind("      checked: []").unwrap()]), "{written}");
    assert!(written.contains("time: 2s"), "{written}");
    // The mistake mended, only what cannot be written anew is left.
    fs::write(
        folder.path().join("p.test.yaml"),
        written.replace("W.TPH", "W.THP").replace("    expect: {checked: []}\n", ""),
    )
    .unwrap();
    let said = run(folder.path(), &["test", "p.test.yaml", "--json"]).expect(1).json();
    assert_eq!((&said["passed"], &said["failed"]), (&3.into(), &1.into()), "{said:#}");
}

#[test]
fn a_recording_of_which_samples_are_left_out_fails_a_test() {
    let folder = folder();
    fs::write(folder.path().join("day.csv"), "time,W.THP,W.X\n2026-01-01T00:00:01Z,1,2\n").unwrap();
    let test = "tests:\n  - name: day\n    tags: {W.THP: {}}\n    steps:\n      - {file: day.csv}\n";
    fs::write(folder.path().join("p.test.yaml"), test).unwrap();
    let said = run(folder.path(), &["test", "p.test.yaml"]).expect(1);
    assert!(said.stdout.contains("1 with an unknown tag (line 2, column `W.X`"), "{said:?}");
}
