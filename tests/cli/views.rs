//! Views of a site that runs: `tap`, `top`, and watching alarms.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, ducto, eventually, run};
use crate::site::{Live, start};

fn end(running: Background) {
    running.signal(Signal::INT);
    running.wait().expect(0);
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn rows_are_shown_as_they_pass() {
    let Live { device, site, running } = start();
    // The first scans may find the device not connected yet.
    let finished = run(site.path(), &["tap", "checked", "--where", "quality >= 192", "--limit", "4"]).expect(0);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    // The site speaks Spanish.
    assert!(lines[0].starts_with("HORA          TAG") && lines[0].ends_with("CALIDAD"), "{finished:?}");
    assert!(lines[1].ends_with("America/Bogota"), "{finished:?}");
    let rows = &lines[2..];
    assert_eq!(rows.len(), 4, "{finished:?}");
    assert!(
        rows.iter().any(|row| row.contains("WELL-001.THP") && row.contains("1800  psig     buena")),
        "{finished:?}"
    );
    assert!(widest(&finished.stdout) <= 80 && !finished.stdout.contains('\u{1b}'), "{finished:?}");

    device.set(0, 2_700.0);
    let condition = "variable = 'THP' AND value > 2000";
    let arguments = ["tap", "well-monitoring.checked", "--where", condition, "--limit", "2", "--format", "csv"];
    let rows = run(site.path(), &arguments).expect(0).stdout;
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!((lines[0], lines.len()), ("time,tag,value,unit,quality,checks,state", 3));
    assert!(lines[1].contains("Z,WELL-001.THP,2700.0,psig,192,0,"), "{rows}");

    // A tag as it enters, for programs; and a time without a row.
    let arguments = ["tap", "WELL-001.CHP", "--where", "quality >= 192", "--limit", "1", "--json"];
    let row = run(site.path(), &arguments).expect(0).json();
    assert_eq!((&row["tag"], &row["value"], &row["unit"]), (&"WELL-001.CHP".into(), &600.0.into(), &"psig".into()));
    let finished = run(site.path(), &["tap", "checked", "--where", "value > 1e9", "--for", "300ms"]).expect(0);
    assert!(finished.stdout.is_empty(), "{finished:?}");
    end(running);
}

#[test]
fn what_cannot_be_tapped_is_said_with_what_can() {
    let Live { site, running, .. } = start();
    let listed = run(site.path(), &["tap"]).expect(0).stdout;
    assert!(listed.contains("checked") && listed.contains("minutes") && widest(&listed) <= 80, "{listed}");
    assert!(!listed.contains("history"), "{listed}");
    let ports = run(site.path(), &["tap", "--json"]).expect(0).json();
    let checked = ports["ports"].as_array().unwrap().iter().find(|port| port["node"] == "checked").unwrap().clone();
    assert_eq!((&checked["pipeline"], &checked["gives"]), (&"well-monitoring".into(), &"samples".into()));

    let finished = run(site.path(), &["tap", "chekced"]).expect(1);
    assert!(
        finished.stderr.contains("did you mean `checked`?") && finished.stderr.contains("`alarms`"),
        "{finished:?}"
    );
    let finished = run(site.path(), &["tap", "checked", "--where", "qualty < 192"]).expect(1);
    for part in ["error[E0220]", "--where:1:1", "qualty < 192", "^^^^^^", "did you mean `quality`?"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    let finished = run(site.path(), &["tap", "checked", "--where", "qualty < 192", "--json"]).expect(1);
    let findings = finished.json();
    assert_eq!((&findings["findings"][0]["code"], &findings["findings"][0]["column"]), (&"E0220".into(), &1.into()));
    end(running);
    let finished = run(site.path(), &["tap", "checked"]).expect(5);
    assert!(finished.stderr.contains("ducto run"), "{finished:?}");
    run(site.path(), &["top"]).expect(5);
    run(site.path(), &["alarms", "--watch"]).expect(5);
}

#[test]
fn a_tap_ends_with_its_reader_and_with_its_site() {
    let Live { site, running, .. } = start();
    let mut tap = ducto(site.path(), &["tap", "checked", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(tap.stdout.take());
    let ended = eventually("the end of the tap", || tap.try_wait().unwrap());
    assert!(ended.success(), "{ended:?}");
    let mut tap = Background::start(site.path(), &["tap", "checked", "--format", "csv"]);
    tap.line("WELL-001");
    end(running);
    let finished = tap.wait().expect(0);
    assert!(finished.stderr.contains("el sitio se ha detenido"), "{finished:?}");
}

#[test]
fn the_load_of_a_site_is_printed_once_and_again() {
    let Live { site, running, .. } = start();
    // After it some samples have passed.
    run(site.path(), &["tap", "checked", "--limit", "2"]).expect(0);
    let figures = run(site.path(), &["top", "--once", "--json"]).expect(0).json();
    assert_eq!((&figures["site"], &figures["tags"]), (&"TEST-001".into(), &2.into()));
    // Two tags, read five times a second.
    let rate = |value: &Value| value.as_f64().unwrap();
    assert!((4.0..40.0).contains(&rate(&figures["samples_per_second"])), "{figures}");
    let connection = &figures["connections"][0];
    assert_eq!(connection["tags"], 2, "{figures}");
    assert!(rate(&connection["samples_per_second"]) > 0.0, "{figures}");
    let nodes = figures["pipelines"][0]["nodes"].as_array().unwrap();
    let checked = nodes.iter().find(|node| node["id"] == "checked").unwrap();
    assert!(rate(&checked["rows_per_second"]) > 0.0 && rate(&checked["batches_per_second"]) > 0.0, "{checked}");
    assert!(
        figures["memory"]["budget"].as_u64().unwrap() > figures["memory"]["buffers"].as_u64().unwrap(),
        "{figures}"
    );

    let text = run(site.path(), &["top", "--once", "--every", "500ms"]).expect(0).stdout;
    for part in ["TEST-001", "muestras/s", "127.0.0.1:", "well-monitoring", "  checked", "history"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(widest(&text) <= 80, "{text}");
    let mut top = Background::start(site.path(), &["top", "--every", "100ms", "--json"]);
    top.line("samples_per_second");
    top.line("samples_per_second");
    top.signal(Signal::INT);
    top.wait().expect(0);
    let finished = run(site.path(), &["top", "--every", "1ms"]).expect(2);
    assert!(finished.stderr.contains("100ms"), "{finished:?}");
    end(running);
}

#[test]
fn alarms_are_watched_line_by_line_and_their_history_listed() {
    let Live { device, site, running } = start();
    let mut watch = Background::start(site.path(), &["alarms", "--watch"]);
    let mut programs = Background::start(site.path(), &["alarms", "--watch", "--json"]);
    device.set(0, 2_700.0);
    let line = watch.line("WELL-001.THP.H");
    assert!(line.contains("activada: 2700 psig (límite 2500)"), "{line}");
    let row: Value = serde_json::from_str(&programs.line("raised")).unwrap();
    assert_eq!((&row["name"], &row["state"]), (&"WELL-001.THP.H".into(), &"B".into()));
    run(site.path(), &["alarms", "ack", "*", "--user", "maria", "--reason", "vista"]).expect(0);
    let line = watch.line("reconocida");
    assert!(line.ends_with("maria: vista"), "{line}");
    device.set(0, 1_800.0);
    watch.line("normalizada");

    let history = eventually("the events", || {
        let text = run(site.path(), &["alarms", "--history"]).expect(0).stdout;
        (text.lines().count() == 4).then_some(text)
    });
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[0].starts_with("HORA") && lines[1].contains("normalizada"), "{history}");
    assert!(lines[2].contains("maria") && lines[3].contains("activada") && widest(&history) <= 80, "{history}");
    end(running);
    assert!(watch.wait().expect(0).stderr.contains("el sitio se ha detenido"));
    programs.wait().expect(0);
    // Out of the files, where no site runs: in English, and in UTC.
    let events = run(site.path(), &["alarms", "--history", "--limit", "2", "--json"]).expect(0).json();
    let events: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["returned", "acknowledged"]);
}

#[test]
fn alarms_that_stand_are_there_again_after_a_start() {
    let Live { device, site, running } = start();
    let shown = || {
        let listed = run(site.path(), &["alarms", "--all", "--json"]).expect(0).json();
        let alarms = listed["alarms"].as_array().unwrap().clone();
        alarms.into_iter().find(|alarm| alarm["name"] == "WELL-001.THP.H")
    };
    device.set(0, 2_700.0);
    eventually("the alarm", shown);
    run(site.path(), &["alarms", "ack", "WELL-001.THP.H", "--reason", "known"]).expect(0);
    let before = shown().unwrap();
    assert_eq!((&before["state"], &before["reason"]), (&"C".into(), &"known".into()));
    end(running);
    // Nothing can raise it again.
    drop(device);
    let again = |stop: fn(Background)| {
        let mut running = Background::start(site.path(), &["run", "site"]);
        running.line("Ctrl-C");
        let found = shown();
        stop(running);
        found
    };
    // After a clean stop, after a kill, and once more.
    for stop in [drop, drop, end] {
        assert_eq!(again(stop).as_ref(), Some(&before));
    }
    let templates = std::fs::read_to_string(site.path().join("site/templates.yaml")).unwrap();
    site.write("site/templates.yaml", &templates.replace(", alarms: {H: {limit: 2500, deadband: 50}}", ""));
    assert_eq!(again(end), None, "the alarm is defined no more");
}
