//! `graph`.

use crate::command::{run, workspace};

#[test]
fn a_pipeline_in_every_format() {
    let drawn = ["text", "mermaid", "dot"]
        .map(|format| run(&workspace(), &["graph", "site-configs/demo", "--format", format]).expect(0).stdout);
    insta::assert_snapshot!(drawn.join("\n"));
}

#[test]
fn a_pipeline_for_programs() {
    let object = run(&workspace(), &["graph", "site-configs/demo", "--json"]).expect(0).json();
    let nodes = object["pipelines"][0]["nodes"].as_array().unwrap();
    let alarms = nodes.iter().find(|node| node["id"] == "alarms").unwrap();
    assert_eq!(alarms["type"], "alarm");
    assert_eq!(alarms["inputs"][0]["from"], "checked");
    assert!(alarms["ports"][0]["stream"]["rows"].as_array().unwrap().iter().any(|column| column["name"] == "event"));
}

#[test]
fn a_built_in_pipeline_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let site = workspace().join("site-configs/demo");
    let drawn = run(folder.path(), &["graph", "well-monitoring", "--site", site.to_str().unwrap()]).expect(0);
    assert!(drawn.stdout.contains("historian"), "{drawn:?}");
}
