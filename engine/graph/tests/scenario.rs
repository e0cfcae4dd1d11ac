//! Test files: what is read from them, and what is written back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::scenario::update::{NewExpectation, rewrite, time};
use ducto_graph::scenario::{Happening, TestFile};
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use ducto_record::{Quality, Value, ValueKind};

mod model;

const PIPELINE: &str = "\
pipeline: p
sources:
  field: {type: tags, kind: well}
transforms:
  checked: {type: pass, inputs: [field]}
  score: {type: score, inputs: [checked]}
sinks:
  out: {type: store, inputs: [score, checked.late]}
";

const TESTS: &str = "\
# kept
tests:
  - name: high alarm after its delay   # kept too
    start: 2026-01-01T00:00:00Z
    tags: {W.THP: {unit: psig, alarms: {H: {limit: 100, on_delay: 5s}}}, W.RUN: {kind: bool}}
    assets: {W: {kind: well, area: norte}}
    steps:
      - {at: 0s, send: {W.THP: 120}}
      - {at: 6s, send: {W.THP: {value: 121, quality: uncertain, time: 2s}, W.RUN: [true, {value: null, quality: 24}]}}
      - {advance: 10s}
      - {action: acknowledge, with: {tag: W.THP, alarm: H}, user: ana}
      - {at: 1m, file: day.csv}
    expect:
      score: [{time: 6s, score: 1.5}]   # replaced
      checked.late:
        # replaced
        - {time: 2026-01-01T00:00:07Z, tag: W.THP}

  - name: second
    expect: {}
    steps: []

  # kept
  - steps:
      - advance: 1s
    name: third
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(path: &Path) -> (TestFile, Vec<Option<Arc<Site>>>, String) {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let file = TestFile::load(path, &mut sources, &mut found).unwrap();
    let registry = model::registry();
    let sites = file.scenarios.iter().map(|one| one.prepare(&registry, &mut sources, &mut found)).collect();
    (file, sites, found.render(&sources, false))
}

#[test]
fn a_test_file() {
    let folder = folder(&[("p.yaml", PIPELINE), ("p.test.yaml", TESTS), ("day.csv", "time,W.THP\n")]);
    let (file, sites, report) = load(&folder.path().join("p.test.yaml"));
    assert_eq!(report, "");
    let first = &file.scenarios[0];
    assert_eq!(first.start, 1_767_225_600_000_000);
    let at: Vec<i64> = first.steps.iter().map(|step| (step.at - first.start) / 1_000_000).collect();
    assert_eq!(at, [0, 6, 16, 16, 60]);
    let Happening::Send(sent) = &first.steps[1].what else { panic!() };
    assert_eq!(sent.len(), 3);
    assert_eq!((sent[0].quality, sent[0].time), (Quality::UNCERTAIN, Some(first.start + 2_000_000)));
    assert_eq!((&sent[1].value, &sent[2].value), (&Value::Bool(true), &Value::Null));
    let Happening::Act(acting) = &first.steps[3].what else { panic!() };
    assert_eq!((acting.verb.as_str(), &*acting.user), ("acknowledge", "ana"));
    assert_eq!(acting.arguments()["alarm"], Value::Text("H".into()));
    assert!(matches!(&first.steps[4].what, Happening::File(path) if path.ends_with("day.csv")));
    let late = &first.expect[1];
    assert_eq!((late.node.as_str(), late.port.as_str()), ("checked", "late"));
    assert_eq!(late.rows[0].columns[0].1.time(first.start), Some(first.start + 7_000_000));
    assert_eq!(first.expect[0].rows[0].columns[1].1.value(), Some(Value::Float64(1.5)));
    let site = sites[0].as_ref().unwrap();
    assert_eq!(site.tags[1].kind, ValueKind::Bool);
    assert_eq!(&*site.directory.asset(0).unwrap().kind, "well");
    assert_eq!(site.pipelines[0].nodes.len(), 4);
}

#[test]
fn a_test_with_its_site() {
    let folder = folder(&[
        ("p.yaml", PIPELINE),
        ("site.yaml", "site: S\nassets: [wells.csv]\ninclude: [t.yaml]\n"),
        (
            "t.yaml",
            "templates:\n  t:\n    kind: well\n    connection: {type: plain, host: h}\n    tags: {THP: {address: 1, unit: psig, span: [0, 9]}}\n",
        ),
        ("wells.csv", "asset,template\nW,t\n"),
        ("p.test.yaml", "tests:\n- {name: a, site: ., tags: {W.THP: {span: [0, 5]}}, steps: [{send: {W.THP: 1}}]}\n"),
    ]);
    let (_, sites, report) = load(&folder.path().join("p.test.yaml"));
    assert_eq!(report, "");
    let site = sites[0].as_ref().unwrap();
    assert_eq!(site.tags[0].span, Some([0.0, 5.0]));
    assert_eq!(&*site.tags[0].unit.as_ref().unwrap().symbol, "psig");
}

#[test]
fn only_expectations_are_rewritten() {
    let folder = folder(&[("p.yaml", PIPELINE), ("p.test.yaml", TESTS)]);
    let (file, _, _) = load(&folder.path().join("p.test.yaml"));
    let start = file.scenarios[0].start;
    let new = vec![
        NewExpectation {
            port: "score".into(),
            rows: vec![vec![
                ("time".into(), time(start + 6_000_000, start)),
                ("score".into(), Value::Float64(2.0)),
                ("text".into(), Value::Text("true: \"é\"".into())),
            ]],
        },
        NewExpectation { port: "checked.late".into(), rows: vec![] },
    ];
    let of: Vec<_> = file.scenarios.iter().map(|scenario| (scenario, new.clone())).collect();
    let text = rewrite(TESTS, &of).unwrap();
    let expect = "    expect:\n      score:\n        - {time: 6s, score: 2.0, text: \"true: \\\"é\\\"\"}\n      checked.late: []\n";
    let wanted = TESTS
        .replace(&TESTS[TESTS.find("    expect:\n").unwrap()..TESTS.find("\n  - name: second").unwrap()], expect)
        .replace("    expect: {}\n", expect)
        .replace("    name: third\n", &format!("    name: third\n{expect}"));
    assert_eq!(text, wanted);
    // What was written is read again.
    fs::write(folder.path().join("p.test.yaml"), &text).unwrap();
    let (again, _, _) = load(&folder.path().join("p.test.yaml"));
    assert!(again.scenarios.iter().all(|scenario| scenario.expect.len() == 2));
    let same: Vec<_> = again.scenarios.iter().map(|scenario| (scenario, new.clone())).collect();
    assert_eq!(rewrite(&text, &same).unwrap(), text);
}

#[test]
fn a_test_in_braces_is_left_alone() {
    let text = "tests: [{name: a, expect: {}}]\n";
    let folder = folder(&[("p.yaml", PIPELINE), ("p.test.yaml", text)]);
    let (file, _, _) = load(&folder.path().join("p.test.yaml"));
    assert!(rewrite(text, &[(&file.scenarios[0], vec![])]).is_err());
}
