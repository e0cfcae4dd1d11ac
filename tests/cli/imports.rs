//! `import tags`: lists of other programs into a site that `check` takes.

use crate::command::{run, workspace};
use crate::site::TestSite;

fn list(name: &str) -> String {
    workspace().join("operators/imports/tests/lists").join(name).display().to_string()
}

/// Output without the folders of this machine.
fn settled(text: &str) -> String {
    let lists = workspace().join("operators/imports/tests/lists");
    text.replace(&format!("{}/", lists.display()), "")
}

#[test]
fn a_list_becomes_a_site() {
    let site = TestSite::new(502);
    let arguments = ["import", "tags", &list("WELL-001.csv"), &list("WELL-002.csv"), "--out", "norte"];
    let finished = run(site.path(), &arguments).expect(1);
    insta::assert_snapshot!(settled(&finished.text()));
    // Nothing is replaced without being asked to.
    let finished = run(site.path(), &arguments).expect(2);
    assert!(finished.stderr.contains("--force"), "{finished:?}");
    let more = ["--force", "--endpoint", "tcp://10.0.0.5:502", "--order", "ABCD", "--unit-id", "3"];
    let all = [&arguments[..], &more].concat();
    let finished = run(site.path(), &all).expect(0);
    assert!(finished.stdout.ends_with("ducto check norte: no mistakes\n"), "{finished:?}");
    run(site.path(), &["check", "norte"]).expect(0);
    let explained = run(site.path(), &["explain", "norte", "WELL-002.CHP"]).expect(0).stdout;
    assert!(explained.contains("400103"), "{explained}");
}

#[test]
fn programs_read_the_report() {
    let site = TestSite::new(502);
    let arguments = ["import", "tags", "--from", "telegraf", &list("telegraf.conf"), "--out", "t", "--json"];
    let report = run(site.path(), &arguments).expect(0).json();
    assert_eq!((&report["check"]["ok"], &report["assets"]), (&true.into(), &5.into()), "{report:#}");
    let dropped =
        report["remarks"].as_array().unwrap().iter().find(|remark| remark["setting"] == "busy_retries").unwrap();
    assert_eq!((&dropped["outcome"], &dropped["line"]), (&"dropped".into(), &9.into()));
}

#[test]
fn a_site_that_is_there_is_added_to() {
    let site = TestSite::new(502);
    let before = std::fs::read_to_string(site.path().join("site/site.yaml")).unwrap();
    let arguments = ["import", "tags", &list("tags.json"), "--out", "site", "--endpoint", "tcp://{device}:502"];
    let finished = run(site.path(), &arguments).expect(0);
    assert!(finished.stdout.contains("add to site/site.yaml:\n  include: [templates/*.yaml]"), "{finished:?}");
    assert_eq!(std::fs::read_to_string(site.path().join("site/site.yaml")).unwrap(), before);
}

#[test]
fn a_broken_list_writes_nothing() {
    let site = TestSite::new(502);
    site.write("cut.json", "{\"tags\": [{\"name\": ");
    let finished = run(site.path(), &["import", "tags", "cut.json", "--out", "x"]).expect(1);
    assert!(finished.stderr.contains("E0118") && finished.stderr.contains("nothing was written"), "{finished:?}");
    assert!(!site.path().join("x").exists());
    run(site.path(), &["import", "tags", "cut.json", "--from", "excel", "--out", "x"]).expect(2);
}
