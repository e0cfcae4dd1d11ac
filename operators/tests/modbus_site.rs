//! Connections of Modbus in whole sites: what is checked, the tags that they add, their plans, and tags read once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::site::{Site, TagSettings};
use ducto_graph::source::Sources;
use ducto_operators::sources::modbus::{Modbus, endpoint_plans, read_once, read_plan};
use ducto_record::{Quality, Value, ValueKind};
use modbus::{Address, Client, Fault, Registers, Server, Table};

/// A site of one template and its wells; the report is without the folder's path.
fn load(language: &str, template: &str, wells: &str, overrides: &str) -> (Option<Arc<Site>>, String) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "site.yaml",
        &format!(
            "site: TEST\nlanguage: {language}\nassets: [wells.csv]\noverrides: [overrides.csv]\ninclude: [t.yaml]\npipelines: []\n"
        ),
    );
    write("t.yaml", template);
    write("wells.csv", wells);
    write("overrides.csv", &format!("tag;field;value;reason\n{overrides}"));
    load_folder(folder.path())
}

fn load_folder(folder: &Path) -> (Option<Arc<Site>>, String) {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(folder, &ducto_operators::registry(), &mut sources, &mut found);
    let report = found.render(&sources, false).replace(&folder.display().to_string(), "site");
    (site, report)
}

fn well(connection: &str, tags: &str) -> String {
    format!("templates:\n  well:\n    kind: well\n    connection: {{type: modbus, {connection}}}\n    tags:\n{tags}")
}

fn tags(site: &Site) -> Vec<Arc<TagSettings>> {
    site.connections[0].tags.iter().map(|id| site.tag(*id).unwrap().clone()).collect()
}

#[test]
fn a_connection_adds_tags_of_its_own_that_can_be_overridden() {
    let template = well(
        "endpoint: \"tcp://10.0.0.1\", diagnostics: true",
        "      THP: {address: 40001, as: f32, unit: psig}\n      \
         LINK_STATE: {diagnostic: link_state, description: Enlace, alarms: {LL: 2}}\n",
    );
    let (site, report) =
        load("es", &template, "asset;template\nW1;well\nW2;well\n", "W2.ROUND_TRIP;scan;1m;slow radio\n");
    let site = site.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(report, "");
    let tag = |name: &str| site.tag(site.directory.tag_id(name).unwrap()).unwrap();
    assert_eq!(site.tags.len(), 2 * (1 + 19));
    assert_eq!(tag("W1.ROUND_TRIP").unit.as_ref().map(|unit| &*unit.symbol), Some("ms"));
    assert_eq!(tag("W1.UTILISATION").unit.as_ref().map(|unit| &*unit.symbol), Some("%"));
    assert_eq!(tag("W1.UTILISATION").kind, ValueKind::Float64);
    assert_eq!(tag("W1.ERRORS_EXCEPTION_11").kind, ValueKind::Int64);
    assert_eq!(tag("W1.ROUND_TRIP").scan.map(|scan| scan.to_string()), Some("10s".to_owned()));
    assert_eq!(tag("W2.ROUND_TRIP").scan.map(|scan| scan.to_string()), Some("1m".to_owned()));
    assert!(tag("W1.REQUESTS").description["es"].contains("Consultas"));
    // What the template says stands.
    assert_eq!(tag("W1.LINK_STATE").description["es"], "Enlace");
    assert!(tag("W1.LINK_STATE").states.is_empty());

    let chosen =
        well("endpoint: \"tcp://10.0.0.1\", diagnostics: [link_state]", "      THP: {address: 40001, as: f32}\n");
    let (site, report) = load("es", &chosen, "asset;template\nW1;well\n", "");
    let site = site.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(site.tags.len(), 2);
    assert_eq!(site.tags[1].states[&3], "Responde");
}

#[test]
fn mistakes_of_connections_are_said() {
    for (connection, tags, expected) in [
        (
            "endpoint: \"tcp://10.0.0.1\", diagnostics: [link]",
            "      A: {address: 40001, as: u16}\n",
            "`link` is nothing that a connection knows of itself",
        ),
        (
            "endpoint: \"rtu:///dev/ttyS0\"",
            "      A: {address: 40001, as: u16}\n",
            "`rtu://` is no way to a Modbus device",
        ),
        (
            "endpoint: \"serial:///dev/ttyS0?bits=7\"",
            "      A: {address: 40001, as: u16}\n",
            "`bits=7` is no setting of a serial line",
        ),
        (
            "endpoint: \"tcp://a\", endpoint_2: \"tcp://A:502\"",
            "      A: {address: 40001, as: u16}\n",
            "the second endpoint is the first one again",
        ),
        ("endpoint: \"tcp://a\", poll_budget: 0", "      A: {address: 40001, as: u16}\n", "`poll_budget` is 0"),
        (
            "endpoint: \"tcp://a\", poll_budget: 60, scan: 500ms",
            "      A: {address: 40001, as: u16}\n",
            "need 120.0 requests a minute, and the budget allows 60",
        ),
        (
            "endpoint: \"tcp://a\", diagnostics: [requests]",
            "      REQUESTS: {address: 40001, as: u16}\n",
            "`diagnostics` asks for `requests`, and no tag tells it",
        ),
        ("endpoint: \"tcp://a\", priority: highest", "      A: {address: 40001, as: u16}\n", "highest"),
        (
            "endpoint: \"tcp://a\", enron: [[5, 1]]",
            "      A: {address: 40001, as: u16}\n",
            "the range from 5 to 1 is empty",
        ),
        ("endpoint: \"tcp://a\"", "      A: {diagnostic: round_trip}\n", "`W1.A` has no unit"),
        ("endpoint: \"tcp://a\"", "      A: {diagnostic: round_trip, unit: psig}\n", "cannot be told in psig"),
        (
            "endpoint: \"tcp://a\"",
            "      A: {diagnostic: round_trip, unit: s, kind: text}\n",
            "`diagnostic: round_trip` gives float64",
        ),
        ("endpoint: \"tcp://a\"", "      A: {diagnostic: round_trip, unit: s, address: 40001}\n", "and not both"),
        (
            "endpoint: \"tcp://a\", addressing: 0, enron: true",
            "      A: {address: 7001, as: u16}\n",
            "is a register of 32 bits, which holds no `u16`",
        ),
    ] {
        let (_, report) = load("en", &well(connection, tags), "asset;template\nW1;well\nW2;well\n", "");
        assert!(report.contains(expected), "{connection}: {report}");
        assert!(report.contains("help:") || report.contains(": use ") || report.contains(": write "), "{report}");
        let budget = report.matches("and the budget allows").count();
        assert!(budget <= 1, "once for an endpoint: {report}");
    }
}

#[test]
fn connections_of_one_line_say_the_same_of_it() {
    let template = "\
templates:
  well:
    kind: well
    parameters: {endpoint: {type: string}, second: {type: string}, unit_id: {type: integer}}
    connection: {type: modbus, endpoint: \"${endpoint}\", endpoint_2: \"${second}\", unit_id: \"${unit_id}\"}
    tags: {A: {address: 40001, as: u16}}
";
    let header = "asset;template;endpoint;second;unit_id\n";
    let check = |rows: &str| load("en", template, &format!("{header}{rows}"), "").1;
    assert_eq!(check("A;well;serial:///dev/ttyS0;tcp://b;1\nB;well;serial:///dev/ttyS0?baud=19200;tcp://b;2\n"), "");
    let speeds = check("A;well;serial:///dev/ttyS0;tcp://b;1\nB;well;serial:///dev/ttyS0?baud=9600;tcp://b;2\n");
    assert!(speeds.contains("E0380") && speeds.contains("another settings of the line"), "{speeds}");
    let seconds = check("A;well;tcp://a;tcp://b;1\nB;well;tcp://a;tcp://c;2\n");
    assert!(seconds.contains("E0380") && seconds.contains("second endpoint"), "{seconds}");
    let crossed = check("A;well;serial:///dev/ttyS0;tcp://b;1\nB;well;tcp://c;serial:///dev/ttyS0;2\n");
    assert!(crossed.contains("E0380") && crossed.contains("uses the line /dev/ttyS0"), "{crossed}");
}

#[test]
fn a_wait_that_is_longer_than_a_scan_of_another_unit_is_said() {
    let template = "\
templates:
  well:
    kind: well
    parameters: {host: {type: string}, unit_id: {type: integer}, wait: {type: string}, scan: {type: string}}
    connection: {type: modbus, endpoint: \"tcp://${host}\", unit_id: \"${unit_id}\", scan: \"${scan}\", response_timeout: \"${wait}\"}
    tags: {A: {address: 40001, as: u16}, B: {address: 40002, as: u16, scan: 1h}}
";
    let check = |rows: &str| load("en", template, &format!("asset;template;host;unit_id;wait;scan\n{rows}"), "").1;
    let long = check("P;well;a;1;500ms;1s\nQ;well;a;2;3s;10s\nR;well;a;3;2s;10s\n");
    assert_eq!(long.matches("W0381").count(), 1, "once for an endpoint: {long}");
    assert!(long.contains("unit 2 (`Q`) is waited for 3s when it does not answer, and `P.A`"), "{long}");
    assert!(long.contains("is read every 1s") && long.contains("help: set `response_timeout` to 1s"), "{long}");
    assert!(long.contains("wells.csv:3:12"), "where it is set: {long}");
    // As long as a scan, alone on its line, or longer only than its own scan.
    for fine in [
        "P;well;a;1;1s;1s\nQ;well;a;2;1s;1s\n",
        "P;well;a;1;5s;1s\nQ;well;b;2;5s;1s\n",
        "P;well;a;1;5s;1s\nQ;well;a;1;5s;1s\n",
        "P;well;a;1;5s;1s\nQ;well;a;2;500ms;10s\n",
    ] {
        assert_eq!(check(fine), "", "{fine}");
    }
    let by_default = template.replace(", response_timeout: \"${wait}\"", "");
    let rows = "asset;template;host;unit_id;wait;scan\nP;well;a;1;;500ms\nQ;well;a;2;;500ms\n";
    let by_default = load("en", &by_default, rows, "").1;
    assert!(by_default.contains("is waited for 1s") && by_default.contains("-->"), "{by_default}");
}

#[test]
fn the_plan_of_a_connection_is_printed() {
    let template = well(
        "endpoint: \"tcp://10.0.0.1\", unit_id: 3, request_cost: 20, max_registers: 40, diagnostics: [link_state]",
        "      THP: {address: 40001, as: f32}\n      CHP: {address: 40012, as: f32}\n      \
         FAR: {address: 40900, as: u16, scan: 1m, priority: high}\n      RUN: {address: 10001}\n      \
         FLAG: {address: 40003, bit: 2}\n",
    );
    let (site, report) = load("en", &template, "asset;template\nW1;well\n", "");
    let site = site.unwrap_or_else(|| panic!("{report}"));
    let config = Modbus::of(&*site.connections[0].config).unwrap();
    let plan = read_plan(config, &tags(&site));
    assert_eq!(
        plan.to_string(),
        "tcp://10.0.0.1:502, unit 3: 3 requests, 121.0 a minute\n  \
         function 2: 10001, 1 discrete input every 1s, cost 21: W1.RUN\n  \
         function 3: 40001 to 40013, 13 holding registers (8 not needed) every 1s, cost 33: W1.THP, W1.FLAG, W1.CHP\n  \
         function 3: 40900, 1 holding register every 1m, priority high, cost 21: W1.FAR"
    );
    assert_eq!((plan.reads[1].start, plan.reads[1].count, plan.reads[1].unused), (0, 13, 8));

    // Assets of one unit are read together.
    let (site, report) = load("en", &template, "asset;template\nW1;well\nW2;well\n", "");
    let site = site.unwrap_or_else(|| panic!("{report}"));
    let members = site.connections.iter().map(|connection| {
        let tags = connection.tags.iter().map(|id| site.tag(*id).unwrap().clone()).collect();
        (Modbus::of(&*connection.config).unwrap(), tags)
    });
    let plans = endpoint_plans(members);
    assert_eq!((plans.len(), plans[0].reads.len(), plans[0].requests_per_minute), (1, 3, 121.0));
    assert_eq!(plans[0].reads[1].tags.len(), 6);
}

#[tokio::test]
async fn tags_are_read_once_as_a_running_site_would() {
    let device = Arc::new(Registers::new());
    let holding = |offset| Address { table: Table::HoldingRegisters, offset };
    device.set(3, holding(0), &[0x4148, 0, 7]);
    device.set(3, holding(10), &[0xffff]);
    device.set(3, holding(11), &[0x1a2b]);
    device.set_bits(3, Address { table: Table::DiscreteInputs, offset: 0 }, &[true]);
    let server = Server::bind("127.0.0.1:0", device.clone()).await.unwrap();
    let template = well(
        &format!(
            "endpoint: \"tcp://{}\", unit_id: 3, response_timeout: 20s, diagnostics: [link_state]",
            server.local_addr()
        ),
        "      THP: {address: 40001, as: f32}\n      COUNT: {address: 40003, as: u16}\n      \
         DEAD: {address: 40011, as: i16, sentinel: -1}\n      DIGITS: {address: 40012, as: bcd16}\n      \
         RUN: {address: 10001}\n      GONE: {address: 40006, as: u16, scale: 2}\n",
    );
    let (site, report) = load("en", &template, "asset;template\nW1;well\n", "");
    let site = site.unwrap_or_else(|| panic!("{report}"));
    let config = Modbus::of(&*site.connections[0].config).unwrap();
    let mut client = Client::open(&config.endpoints()[0], config.options()).await.unwrap();
    let readings = read_once(&mut client, config, &tags(&site)).await;
    let expected = [
        (Value::Float64(12.5), Quality::GOOD, &[0x4148, 0][..], None),
        (Value::Int64(7), Quality::GOOD, &[7], None),
        (Value::Null, Quality::SENSOR_FAILURE, &[0xffff], Some("sentinel")),
        (Value::Null, Quality::CONFIG_ERROR, &[0x1a2b], Some("type and the order")),
        (Value::Bool(true), Quality::GOOD, &[1], None),
        (Value::Null, Quality::CONFIG_ERROR, &[], Some("exception 2")),
        (Value::Null, Quality::CONFIG_ERROR, &[], Some("no request reads it")),
    ];
    assert_eq!(readings.len(), expected.len());
    for (reading, (value, quality, registers, error)) in readings.iter().zip(expected) {
        assert_eq!((&reading.value, reading.quality, &reading.registers[..]), (&value, quality, registers));
        match error {
            Some(said) => assert!(reading.error.as_ref().unwrap().contains(said), "{reading:?}"),
            None => assert!(reading.error.is_none() && reading.round_trip.is_some(), "{reading:?}"),
        }
    }

    device.set_fault(3, Some(Fault::Close));
    let readings = read_once(&mut client, config, &tags(&site)).await;
    assert!(readings[..6].iter().all(|reading| reading.quality == Quality::COMM_FAILURE && reading.error.is_some()));
}
