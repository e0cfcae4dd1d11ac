//! Sites and pipelines that are right: what comes out of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::{load_pipeline, load_site};
use ducto_graph::site::{NamedBy, Site};
use ducto_graph::source::Sources;
use ducto_record::ValueKind;
use tempfile::TempDir;

mod model;

const TEMPLATES: &str = "\
templates:
  rtu:
    kind: well
    parameters: {host: {type: string}, unit_id: {type: integer, default: 1}, top: {type: number, default: 5000}}
    connection: {type: plain, host: \"tcp://${host}:502\", unit_id: \"${unit_id}\", scan: 1s}
    tags:
      THP: {address: 1, unit: psig, span: [0, 5000], description: {es: Presión, en: Pressure}, alarms: {H: 2500, HH: {limit: 3000, on_delay: 5s}}}
      RUN: {address: 2, as: bool, states: {0: Parado, 1: En marcha}}
      CUR: {address: 3, unit: A, scan: 10s, span: [0, \"${top}\"]}
";

const SITE: &str = "\
site: FIELD-NORTE-001
tenant: EXAMPLE-OIL
time_zone: America/Bogota
language: es
contract_day: {start: \"06:00\", named_by: end}
units: {atmospheric_pressure: 14.0 psia, display: {pressure: psig}}
memory: 64MB
workers: 2
alarm_classes:
  safety: {uplink: 1, latching: true}
include: [templates/*.yaml, site.d/*.yaml]
assets: [wells.csv]
overrides: [overrides.csv]
pipelines:
  - {use: monitoring}
  - {use: production, as: daily, with: {what: minutes}}
";

const MONITORING: &str = "\
pipeline: monitoring
sources:
  field: {type: tags, kind: well, variables: [THP, CUR]}
transforms:
  checked: {type: pass, inputs: [field]}
  score: {type: score, inputs: [checked], publish: {score: \"{asset}.SCORE\"}}
  minutes: {type: pass, inputs: [checked]}
sinks:
  history: {type: store, inputs: [checked], dataset: history}
  tier: {type: store, inputs: [minutes, minutes.late], dataset: minutes}
";

const PRODUCTION: &str = "\
pipeline: production
parameters: {what: {type: string}}
sources:
  data: {type: dataset, dataset: \"${what}\"}
  scores: {type: tags, variables: [SCORE], published: true}
sinks:
  out: {type: store, inputs: {left: data, right: [scores]}}
";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn site_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("site.yaml", SITE),
            ("templates/rtu.yaml", TEMPLATES),
            (
                "wells.csv",
                "asset;template;host;unit_id;area;enabled;from;THP.alarms.H.limit\n\
                 WELL-001;rtu;10.0.0.1;7;norte;sí;2026-01-31;2600\n\
                 WELL-002;rtu;10.0.0.2;;sur;no;;\n\
                 WELL-003;rtu;10.0.0.3;;sur;;;\n",
            ),
            (
                "overrides.csv",
                "tag;field;value;reason\n\
                 WELL-003.THP;alarms.H.on_delay;10s;noise\n\
                 WELL-003.THP;span;[0, 6000];new sensor\n\
                 WELL-003.THP;unit;kPa;\n\
                 WELL-003.CUR;scan;5s;\n",
            ),
            ("pipelines/monitoring.yaml", MONITORING),
            ("pipelines/production.yaml", PRODUCTION),
        ],
    );
    folder
}

fn load(folder: &Path) -> (Option<Arc<Site>>, String, Sources) {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(folder, &model::registry(), &mut sources, &mut found);
    let text = found.render(&sources, false);
    assert_eq!(site.is_some(), found.is_ok(), "{text}");
    (site, text, sources)
}

#[test]
fn a_whole_site() {
    let folder = site_folder();
    let (site, report, sources) = load(folder.path());
    assert_eq!(report, "");
    let site = site.unwrap();
    assert_eq!((site.name.as_str(), site.tenant.as_deref()), ("FIELD-NORTE-001", Some("EXAMPLE-OIL")));
    assert_eq!(site.contract_day.named_by, NamedBy::End);
    assert_eq!(site.contract_day.start.seconds(), 21_600);
    assert!((site.atmospheric_pressure.unwrap() - 96_526.6).abs() < 0.1);
    assert_eq!((site.memory.bytes(), site.workers, site.language.as_str()), (64_000_000, 2, "es"));
    assert!(site.section::<ducto_graph::decode::OrderedMap<model::Class>>("alarm_classes").is_some());

    let names: Vec<&str> = site.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(&names[..3], ["WELL-001.THP", "WELL-001.RUN", "WELL-001.CUR"]);
    assert_eq!(&names[9..], ["WELL-001.SCORE", "WELL-002.SCORE", "WELL-003.SCORE"]);
    for (id, tag) in site.tags.iter().enumerate() {
        assert_eq!(tag.id as usize, id);
        assert_eq!(site.directory.tag_id(&tag.name), Some(tag.id));
    }
    let tag = |name: &str| &site.tags[site.directory.tag_id(name).unwrap() as usize];
    let thp = tag("WELL-001.THP");
    assert_eq!(thp.unit.as_ref().unwrap().symbol.as_ref(), "psig");
    assert_eq!((thp.kind, thp.span), (ValueKind::Float64, Some([0.0, 5000.0])));
    assert_eq!(thp.scan.unwrap().micros(), 1_000_000);
    assert_eq!(tag("WELL-001.CUR").scan.unwrap().micros(), 10_000_000);
    assert_eq!(thp.description["es"], "Presión");
    assert_eq!(tag("WELL-002.RUN").kind, ValueKind::Bool);
    assert_eq!(tag("WELL-002.RUN").states[&1], "En marcha");
    let limits = |name: &str| tag(name).section::<ducto_graph::decode::OrderedMap<model::Limit>>("alarms").unwrap();
    assert_eq!(limits("WELL-001.THP").get("H").unwrap().limit.value.value, 2600.0);
    assert_eq!(limits("WELL-002.THP").get("H").unwrap().limit.value.value, 2500.0);
    assert_eq!(limits("WELL-003.THP").get("H").unwrap().limit.value.value, 2500.0);
    assert_eq!(limits("WELL-003.THP").get("H").unwrap().on_delay.unwrap().micros(), 10_000_000);
    assert_eq!(tag("WELL-003.THP").span, Some([0.0, 6000.0]));
    assert_eq!(tag("WELL-003.THP").unit.as_ref().unwrap().symbol.as_ref(), "kPa");
    assert_eq!(tag("WELL-003.SCORE").unit.as_ref().unwrap().symbol.as_ref(), "A");
    assert_eq!(tag("WELL-003.SCORE").published_by, Some(("monitoring".into(), "score".into())));
    // Tags of one definition share it.
    assert!(Arc::ptr_eq(&tag("WELL-001.RUN").definition, &tag("WELL-002.RUN").definition));
    let place = tag("WELL-003.THP").definition.get("span").unwrap().place;
    assert_eq!(sources.slice(place), "[0, 6000]");

    assert_eq!(site.assets.len(), 3);
    assert_eq!(site.directory.asset(0).unwrap().columns["area"], "norte");
    // Midnight in Bogotá.
    assert_eq!(site.assets[0].from.unwrap().to_string(), "2026-01-31T05:00:00Z");
    let connected: Vec<&str> = site.connections.iter().map(|connection| &*connection.asset).collect();
    assert_eq!(connected, ["WELL-001", "WELL-003"]);
    assert_eq!(site.connections[0].config.endpoint(), "tcp://10.0.0.1:502");
    let unit_id = site.connections[0].definition.get("unit_id").unwrap();
    assert_eq!((unit_id.as_text(), sources.slice(unit_id.place)), (Some("7"), "7"));
}

#[test]
fn pipelines_of_a_site() {
    let folder = site_folder();
    let (site, _, _) = load(folder.path());
    let site = site.unwrap();
    let ids: Vec<&str> = site.pipelines.iter().map(|pipeline| &*pipeline.id).collect();
    assert_eq!(ids, ["monitoring", "daily"]);
    for pipeline in &site.pipelines {
        for (index, node) in pipeline.nodes.iter().enumerate() {
            assert_eq!(node.edges.len(), node.inputs.len());
            for edge in &node.edges {
                assert!(edge.node < index);
                assert!(edge.port < pipeline.nodes[edge.node].ports.len());
            }
        }
    }
    let tier = site.pipelines[0].node("tier").unwrap();
    assert_eq!(tier.edges[1].port, 1);
    let score = site.pipelines[0].node("score").unwrap();
    let published = &score.publish[0];
    assert_eq!((published.key.as_str(), published.kind), ("asset", ValueKind::Float64));
    assert_eq!(published.tags, [Some(9), Some(10), Some(11)]);
    let daily = &site.pipelines[1];
    assert_eq!(&*daily.name, "production");
    let out = daily.node("out").unwrap();
    assert_eq!(out.inputs[0].name.as_deref(), Some("left"));
    assert_eq!(out.inputs[0].stream, site.datasets["minutes"]);
    assert_eq!(site.datasets.keys().collect::<Vec<_>>(), ["history", "minutes"]);
}

#[test]
fn a_lone_pipeline() {
    let folder = site_folder();
    let (site, _, _) = load(folder.path());
    let site = site.unwrap();
    let registry = model::registry();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let path = folder.path().join("pipelines/monitoring.yaml");
    let alone = load_pipeline(&path, &site, &registry, &mut sources, &mut found);
    assert!(found.is_empty(), "{}", found.render(&sources, false));
    let alone = alone.unwrap();
    assert_eq!((alone.pipelines.len(), alone.tags.len()), (1, 12));
    for name in ["monitoring", "built-in"] {
        let alone = load_pipeline(Path::new(name), &site, &registry, &mut sources, &mut found).unwrap();
        assert_eq!(&*alone.pipelines[0].id, name);
    }
    let bare = Site::bare(["W.THP", "W.CUR", "X"]);
    assert_eq!((bare.assets.len(), bare.tags.len(), bare.assets[0].tags.len()), (1, 3, 2));
    assert!(load_pipeline(Path::new("built-in"), &bare, &registry, &mut sources, &mut found).is_some());
    assert!(load_pipeline(Path::new("no-such"), &bare, &registry, &mut sources, &mut found).is_none());
}

#[test]
fn ten_thousand_tags_are_read_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut wells = String::from("asset,template,host,area\n");
    for well in 0..1_250 {
        wells.push_str(&format!("WELL-{well:04},rtu,10.0.{}.{},norte\n", well / 250, well % 250));
    }
    let mut tags = String::new();
    for tag in 0..8 {
        tags.push_str(&format!(
            "      V{tag}: {{address: {tag}, unit: psig, span: [0, 5000], alarms: {{H: 2500, HH: {{limit: 3000, on_delay: 5s}}}}}}\n"
        ));
    }
    let templates = TEMPLATES.split("      THP").next().unwrap().to_owned() + &tags;
    let site = "site: BIG\ninclude: [t.yaml]\nassets: [wells.csv]\npipelines: [{use: built-in}]\n";
    write(folder.path(), &[("site.yaml", site), ("t.yaml", &templates), ("wells.csv", &wells)]);
    let start = Instant::now();
    let (site, report, _) = load(folder.path());
    let taken = start.elapsed();
    assert_eq!(report, "");
    assert_eq!(site.unwrap().tags.len(), 10_000);
    println!("10,000 tags: {taken:?}");
    // A debug build on a busy machine; a release build takes a fraction of it.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[test]
fn a_tag_is_explained() {
    let folder = site_folder();
    let (site, _, sources) = load(folder.path());
    let site = site.unwrap();
    let explained = |tag: &str| {
        let text = ducto_graph::explain::explain(&site, &sources, tag).unwrap().text();
        text.replace(&format!("{}/", folder.path().display()), "")
    };
    insta::assert_snapshot!(explained("WELL-001.THP"));
    insta::assert_snapshot!(explained("WELL-003.CUR"));
    insta::assert_snapshot!(explained("WELL-003.SCORE"));
    assert!(ducto_graph::explain::explain(&site, &sources, "WELL-009.THP").is_none());
    let json = ducto_graph::explain::explain(&site, &sources, "WELL-003.THP").unwrap().json();
    let span = json["fields"].as_array().unwrap().iter().find(|field| field["path"] == "span").unwrap();
    assert_eq!((&span["value"], &span["line"]), (&"[0, 6000]".into(), &3.into()));
}

#[test]
fn a_pipeline_is_drawn() {
    use ducto_graph::graph_print::{Drawing, draw};
    let folder = site_folder();
    let (site, _, _) = load(folder.path());
    let site = site.unwrap();
    insta::assert_snapshot!(draw(&site.pipelines[0], Drawing::Text));
    insta::assert_snapshot!(draw(&site.pipelines[0], Drawing::Mermaid));
    insta::assert_snapshot!(draw(&site.pipelines[1], Drawing::Dot));
}
