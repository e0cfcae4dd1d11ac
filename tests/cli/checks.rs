//! `check` and `explain`.

use crate::command::{run, workspace};
use crate::site::TestSite;

/// A site with mistakes in each of its files.
fn broken() -> TestSite {
    let site = TestSite::new(502);
    site.write(
        "site/site.yaml",
        "\
site: TEST-001
languge: es
include: [templates.yaml]
assets: [wells.csv]
pipelines:
  - {use: well-monitorin}
",
    );
    site.write("site/wells.csv", "asset;template;unit_id\nWELL-001;rtu;one\nWELL-002;rut;2\nWELL-003;rtu;3\n");
    site
}

#[test]
fn mistakes_are_reported_at_once() {
    let site = broken();
    insta::assert_snapshot!(run(site.path(), &["check", "site"]).expect(1).text());
}

#[test]
fn mistakes_are_reported_to_programs() {
    let site = broken();
    let findings = run(site.path(), &["check", "site", "--json"]).expect(1).json();
    assert_eq!(findings["ok"], false);
    assert!(findings["errors"].as_u64().unwrap() >= 4, "{findings:#}");
    let unknown = &findings["findings"].as_array().unwrap().iter().find(|found| found["line"] == 2).unwrap();
    insta::assert_snapshot!(format!("{unknown:#}"));
}

#[test]
fn the_rows_with_mistakes_go_back_to_who_wrote_them() {
    let site = broken();
    let finished = run(site.path(), &["check", "site", "--report", "errors.xlsx"]).expect(1);
    assert!(finished.stdout.contains("errors.xlsx"), "{finished:?}");
    assert!(std::fs::read(site.path().join("errors.xlsx")).unwrap().starts_with(b"PK"));
}

#[test]
fn what_is_built_in_and_what_is_shipped_is_right() {
    let finished = run(&workspace(), &["check", "site-configs", "pipelines"]).expect(0);
    assert!(finished.stdout.ends_with(": no mistakes\n") && finished.stderr.is_empty(), "{finished:?}");
}

#[test]
fn a_path_that_is_not_there_is_a_finding() {
    let site = TestSite::new(502);
    let finished = run(site.path(), &["check", "sit"]).expect(1);
    assert!(finished.stderr.contains("sit"), "{finished:?}");
    std::fs::create_dir(site.path().join("empty")).unwrap();
    let finished = run(site.path(), &["check", "empty"]).expect(2);
    assert!(finished.stderr.contains("holds no `site.yaml`"), "{finished:?}");
}

#[test]
fn a_tag_is_explained() {
    let folder = workspace();
    let text = run(&folder, &["explain", "site-configs/demo", "WELL-003.THP"]).expect(0);
    insta::assert_snapshot!(text.stdout);
    let json = run(&folder, &["explain", "site-configs/demo", "WELL-003.THP", "--json"]).expect(0).json();
    let fields = json["fields"].as_array().unwrap();
    let deadband = fields.iter().find(|field| field["path"] == "alarms.H.deadband").unwrap();
    assert_eq!(deadband["value"], "100");
    assert!(deadband["file"].as_str().unwrap().ends_with("overrides.csv"), "{deadband:#}");
}

#[test]
fn an_unknown_tag_has_its_neighbour_named() {
    let finished = run(&workspace(), &["explain", "site-configs/demo", "WELL-003.TPH"]).expect(2);
    assert!(finished.stderr.contains("did you mean `WELL-003.THP`?"), "{finished:?}");
}

/// The main body of tests.
#[test]
fn every_scenario_passes() {
    let finished = run(&workspace(), &["test", "pipelines", "tests/scenarios"]);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.lines().count() >= 100, "{}", finished.stdout);
}

#[test]
fn an_end_of_a_span_that_a_table_set_is_explained_at_its_cell() {
    let site = TestSite::new(502);
    site.write("site/overrides.csv", "tag;field;value\nWELL-001.THP;span.1;4000\n");
    let text = std::fs::read_to_string(site.path().join("site/site.yaml")).unwrap();
    site.write("site/site.yaml", &format!("{text}overrides: [overrides.csv]\n"));
    let json = run(site.path(), &["explain", "site", "WELL-001.THP", "--json"]).expect(0).json();
    let field = |path: &str| {
        let fields = json["fields"].as_array().unwrap();
        fields.iter().find(|field| field["path"] == path).unwrap_or_else(|| panic!("{json:#}")).clone()
    };
    let (low, high) = (field("span.0"), field("span.1"));
    assert!(low["file"].as_str().unwrap().ends_with("templates.yaml"), "{low:#}");
    assert!(high["file"].as_str().unwrap().ends_with("overrides.csv"), "{high:#}");
    assert_eq!((&high["line"], &high["value"]), (&2.into(), &"4000".into()));
}
