//! `connect` and `read`: devices looked at from the command line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, Finished, run};
use crate::device::Device;
use crate::site::TestSite;

/// A port on which nothing listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Output without what differs from run to run.
fn settled(text: &str, port: u16) -> String {
    let text = text.replace(&port.to_string(), "PORT");
    let mut settled = String::new();
    for line in text.lines() {
        let line = match line.split_once("  time        ") {
            Some((before, _)) => format!("{before}  time        TIME"),
            None if line.starts_with("unit ") => line.split("  ").next().unwrap_or_default().to_owned() + "  TIME",
            None => line.to_owned(),
        };
        settled.push_str(&line);
        settled.push('\n');
    }
    settled
}

fn text(finished: &Finished, port: u16) -> String {
    settled(&finished.stdout, port)
}

#[test]
fn a_connection_shows_its_plan_and_its_values() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let finished = run(site.path(), &["connect", "site"]).expect(0);
    insta::assert_snapshot!(text(&finished, device.port()));
    let json = run(site.path(), &["connect", "site", "WELL-001", "--json"]).expect(0).json();
    let asset = &json["endpoints"][0]["assets"][0];
    assert_eq!(asset["reads"][0]["cost"], 36, "{json:#}");
    assert_eq!(asset["tags"][0]["value"], 1800.0);
    // What its own span says of it is said here too.
    device.set(0, 6_000.0);
    let finished = run(site.path(), &["connect", "site"]).expect(1);
    assert!(finished.stdout.contains("falla del sensor"), "{finished:?}");
}

#[test]
fn a_device_that_is_not_there_is_no_answer() {
    let site = TestSite::new(free_port());
    let finished = run(site.path(), &["connect", "site"]).expect(5);
    assert!(finished.stdout.contains("cannot connect") && finished.stdout.contains("0 of 1 asset"), "{finished:?}");
    let finished = run(site.path(), &["read", "site", "WELL-001.THP"]).expect(5);
    assert!(finished.stdout.contains("sin respuesta"), "{finished:?}");
    let endpoint = format!("tcp://127.0.0.1:{}", free_port());
    run(site.path(), &["connect", &endpoint]).expect(5);
}

#[test]
fn a_tag_is_read_with_everything_on_the_way() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let finished = run(site.path(), &["read", "site", "WELL-001.*"]).expect(0);
    insta::assert_snapshot!(text(&finished, device.port()));
    let json = run(site.path(), &["read", "site", "WELL-001.CHP", "--json"]).expect(0).json();
    assert_eq!((&json["value"], &json["unit"], &json["quality"]), (&600.0.into(), &"psig".into(), &192.into()));
    assert_eq!((&json["first"], &json["last"], &json["function"]), (&"40003".into(), &"40004".into(), &3.into()));
    assert_eq!(json["registers"], serde_json::json!([0x4416, 0]));
    assert!(json["round_trip_ms"].as_f64().unwrap() > 0.0 && json["time"].as_str().unwrap().ends_with('Z'), "{json:#}");
    let finished = run(site.path(), &["read", "site", "WELL-001.TPH"]).expect(2);
    assert!(finished.stderr.contains("did you mean `WELL-001.THP`?"), "{finished:?}");
    // A register that the device does not have.
    site.write("site/site.yaml", &(read_file(&site, "site/site.yaml") + "overrides: [o.csv]\n"));
    site.write("site/o.csv", "tag;field;value;reason\nWELL-001.CHP;address;40101;\n");
    let finished = run(site.path(), &["read", "site", "WELL-001.CHP"]).expect(1);
    assert!(finished.stdout.contains("error de configuración") && finished.stdout.contains("error"), "{finished:?}");
}

fn read_file(site: &TestSite, name: &str) -> String {
    std::fs::read_to_string(site.path().join(name)).unwrap()
}

#[test]
fn units_behind_an_endpoint_are_found() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let endpoint = format!("tcp://127.0.0.1:{}", device.port());
    let finished = run(site.path(), &["connect", &endpoint, "--unit", "1..4"]).expect(0);
    insta::assert_snapshot!(text(&finished, device.port()));
    let json = run(site.path(), &["connect", &endpoint, "--unit", "1,2", "--json"]).expect(0).json();
    assert_eq!((&json["asked"], &json["units"][0]["unit"]), (&2.into(), &1.into()));
    assert_eq!(json["units"][0]["tables"]["holding"], serde_json::json!([0x44e1, 0, 0x4416, 0]));
    run(site.path(), &["connect", &endpoint, "--unit", "2"]).expect(5);
    let finished = run(site.path(), &["connect", "udp://127.0.0.1:502"]).expect(2);
    assert!(finished.stderr.contains("tcp://host:502"), "{finished:?}");
    run(site.path(), &["connect", &endpoint, "--suggest"]).expect(2);
    run(site.path(), &["connect", &endpoint, "--unit", "300"]).expect(2);
}

#[test]
fn what_is_not_there_is_named() {
    let site = TestSite::new(502);
    let finished = run(site.path(), &["connect", "site", "WELL-002"]).expect(2);
    assert!(finished.stderr.contains("WELL-001"), "{finished:?}");
    run(site.path(), &["connect", "nowhere"]).expect(3);
}

/// Three pressures that move, of a device whose order is not the one that its template says.
#[test]
fn a_wrong_order_is_found_and_written_down() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let template =
        read_file(&site, "site/templates.yaml").replace("addressing: 40001", "addressing: 40001, order: CDAB");
    let template = template.replace(
        "CHP: {address: 40003, as: f32, unit: psig}",
        "CHP: {address: 40003, as: f32, unit: psig, span: [0, 5000]}\n      FLP: {address: 40005, as: f32, unit: psig, span: [0, 5000]}",
    );
    site.write("site/templates.yaml", &template);
    let suggest = |arguments: &[&str]| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut step = 0;
                while !done.load(Ordering::Relaxed) {
                    step += 1;
                    for (offset, base) in [(0, 1800.0), (2, 600.0), (4, 300.0)] {
                        device.set(offset, base * (1.0 + 0.001 * f64::from(step * 7919 % 13)));
                    }
                    // The values move on whatever the clock of the command.
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let all = [&["connect", "site", "--suggest", "--every", "50ms"], arguments].concat();
            let finished = run(site.path(), &all);
            done.store(true, Ordering::Relaxed);
            finished
        })
    };
    let finished = suggest(&["--write", "site/overrides.csv"]).expect(1);
    assert!(finished.stdout.contains("proposed for 3 tags"), "{}", finished.stdout);
    assert!(finished.stdout.contains("3 tags of this device fit so"), "{}", finished.stdout);
    let written = read_file(&site, "site/overrides.csv");
    assert!(written.contains("\nWELL-001.THP;order;ABCD;") && written.lines().count() == 4, "{written}");
    site.write("site/site.yaml", &(read_file(&site, "site/site.yaml") + "overrides: [overrides.csv]\n"));
    run(site.path(), &["check", "site"]).expect(0);
    let finished = suggest(&["--json"]).expect(0);
    assert_eq!(finished.json()["suggestions"], Value::Array(Vec::new()));
    // A table of another shape stays as it is.
    site.write("other.csv", "a,b\n");
    let finished = suggest(&["--write", "other.csv"]).expect(2);
    assert!(finished.stderr.contains("tag;field;value;reason"), "{finished:?}");
}

#[test]
fn what_a_running_site_has_for_itself_is_left_to_it() {
    let site = TestSite::new(502);
    let port = free_port();
    let template = read_file(&site, "site/templates.yaml")
        .replace("tcp://127.0.0.1:502", &format!("tcp-listen://127.0.0.1:{port}"));
    site.write("site/templates.yaml", &template);
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    let finished = run(site.path(), &["connect", "site"]).expect(5);
    assert!(finished.stderr.contains("for itself") && finished.stderr.contains("ducto tap"), "{finished:?}");
    run(site.path(), &["read", "site", "WELL-001.THP"]).expect(5);
    running.signal(Signal::INT);
    running.wait().expect(0);
}

#[test]
fn a_running_site_on_tcp_is_no_hindrance() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    let finished = run(site.path(), &["read", "site", "WELL-001.THP"]).expect(0);
    assert!(finished.stdout.contains("1800") && finished.stderr.contains("the site runs"), "{finished:?}");
    running.signal(Signal::INT);
    running.wait().expect(0);
}
