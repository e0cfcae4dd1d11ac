//! What a site that runs is asked, and what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, eventually, run};
use crate::device::Device;
use crate::site::{Live, TestSite, start};

fn alarms(site: &TestSite, all: bool) -> Vec<Value> {
    let arguments: &[&str] = if all { &["alarms", "--all", "--json"] } else { &["alarms", "--json"] };
    run(site.path(), arguments).expect(0).json()["alarms"].as_array().unwrap().clone()
}

fn state(site: &TestSite) -> Option<String> {
    alarms(site, true).first().map(|alarm| alarm["state"].as_str().unwrap().to_owned())
}

#[test]
fn an_alarm_is_listed_acknowledged_and_gone() {
    let Live { device, site, running } = start();
    assert!(alarms(&site, true).is_empty());
    device.set(0, 2_700.0);
    eventually("the alarm", || state(&site).filter(|state| state == "B"));
    let listed = run(site.path(), &["alarms"]).expect(0).stdout;
    assert!(listed.contains("WELL-001.THP.H") && listed.contains("activa, sin reconocer"), "{listed}");
    assert!(listed.contains("2700 psig") && listed.lines().all(|line| line.chars().count() <= 80), "{listed}");

    let finished = run(site.path(), &["alarms", "ack", "WELL-001.THP.HH"]).expect(1);
    assert!(finished.stderr.contains("WELL-001.THP.H"), "{finished:?}");
    let arguments = ["alarms", "ack", "WELL-*", "--user", "maria", "--reason", "seen"];
    let finished = run(site.path(), &arguments).expect(0);
    assert!(finished.stdout.contains("reconocida"), "{finished:?}");
    let alarm = alarms(&site, false).remove(0);
    assert_eq!((&alarm["state"], &alarm["user"], &alarm["reason"]), (&"C".into(), &"maria".into(), &"seen".into()));
    assert_eq!((&alarm["name"], &alarm["unit"]), (&"WELL-001.THP.H".into(), &"psig".into()));
    // Nothing is left to acknowledge, and the answer says so.
    let finished = run(site.path(), &["alarms", "ack", "WELL-001.THP.H", "--json"]).expect(1).json();
    assert_eq!(finished["results"][0]["done"], false);

    device.set(0, 1_800.0);
    eventually("the alarm's end", || state(&site).filter(|state| state == "A"));
    assert!(run(site.path(), &["alarms"]).expect(0).stdout.contains("ninguna"));
    running.signal(Signal::INT);
    running.wait().expect(0);
    let sql = "SELECT event, \"user\" FROM alarm_events ORDER BY time";
    let events = run(site.path(), &["query", sql, "--format", "csv"]).expect(0).stdout;
    assert_eq!(events, "event,user\nraised,\nacknowledged,maria\nreturned,\n");
}

#[test]
fn a_query_sees_what_is_not_on_disk_yet_and_the_files_afterwards() {
    let Live { site, running, .. } = start();
    let count = || {
        let sql = "SELECT count(*) AS n FROM history_with_tags WHERE unit = 'psig'";
        run(site.path(), &["query", sql, "--json"]).expect(0).json()[0]["n"].as_u64().filter(|n| *n > 0)
    };
    let live = eventually("samples", count);
    // No commit is due in the first minute: these come from memory.
    assert!(!site.data().join("datasets/history").is_dir() || parquet_files(&site) == 0);
    running.signal(Signal::INT);
    running.wait().expect(0);
    assert!(parquet_files(&site) > 0);
    assert!(count().unwrap() >= live);
    let finished = run(site.path(), &["query", "SELECT * FROM histroy"]).expect(1);
    assert!(finished.stderr.contains("did you mean `history`?"), "{finished:?}");
    let arguments = ["query", "SELECT * FROM history", "--output", "rows.parquet"];
    assert!(run(site.path(), &arguments).expect(0).stdout.contains("rows in rows.parquet"));
    assert!(std::fs::read(site.path().join("rows.parquet")).unwrap().starts_with(b"PAR1"));
}

fn parquet_files(site: &TestSite) -> usize {
    fn walk(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
    }
    walk(&site.data().join("datasets"))
}

#[test]
fn without_a_site_alarms_are_not_reachable() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let finished = run(site.path(), &["alarms"]).expect(2);
    assert!(finished.stderr.contains("--data"), "{finished:?}");
    run(site.path(), &["run", "site", "--for", "1s"]).expect(0);
    let finished = run(site.path(), &["alarms"]).expect(5);
    assert!(finished.stderr.contains("ducto run"), "{finished:?}");
    let finished = run(site.path(), &["alarms", "ack", "X.Y.H", "--data", "site"]).expect(5);
    assert!(finished.stderr.contains("no site runs"), "{finished:?}");
}

#[test]
fn bad_requests_are_refused_without_harm() {
    let Live { site, running, .. } = start();
    let path = site.data().join("ducto.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: &[u8]| {
        stream.write_all(line).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    for (line, kind) in [
        (&b"hello"[..], "request"),
        (b"\xff\xfe\x00", "request"),
        (b"[1, 2", "request"),
        (b"{}", "version"),
        (br#"{"version": 9, "ask": "status"}"#, "version"),
        (br#"{"version": 1, "ask": "reboot"}"#, "request"),
        (br#"{"version": 1, "ask": {"query": {"sql": "DROP TABLE history"}}}"#, "query"),
        (br#"{"version": 1, "ask": {"tap": {"name": "x.y"}}}"#, "missing"),
        (br#"{"version": 1, "ask": {"tap": {"name": "checked", "where": "valeu > 1"}}}"#, "expression"),
        (br#"{"version": 1, "ask": {"act": {"verb": "acknowledge", "arguments": {"tag": [1]}}}}"#, "request"),
    ] {
        let answer = ask(line);
        assert_eq!(answer["error"]["kind"], kind, "{answer}");
    }
    let status = ask(br#"{"version": 1, "ask": "status"}"#);
    assert_eq!(status["status"]["site"], "TEST-001");
    assert_eq!(status["status"]["pipelines"][0]["id"], "well-monitoring");

    // A line without an end is cut off, and only this connection with it.
    let mut flood = UnixStream::connect(&path).unwrap();
    let chunk = vec![b'x'; 64 << 10];
    while flood.write_all(&chunk).is_ok() {}
    let mut answer = String::new();
    let _ = flood.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("longer than"), "{answer}");

    let mut tap = UnixStream::connect(&path).unwrap();
    let request =
        br#"{"version": 1, "ask": {"tap": {"name": "well-monitoring.checked", "limit": 3, "format": "rows"}}}"#;
    tap.write_all(request).unwrap();
    tap.write_all(b"\n").unwrap();
    let lines: Vec<Value> =
        BufReader::new(tap).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).take(5).collect();
    assert_eq!(lines[0]["tapping"]["name"], "well-monitoring.checked");
    assert!(lines[1]["row"]["tag"].as_str().unwrap().starts_with("WELL-001."), "{lines:?}");
    assert_eq!(lines[4]["end"]["rows"], 3);
    running.signal(Signal::INT);
    running.wait().expect(0);
}

#[test]
fn what_a_killed_site_left_is_replaced() {
    let Live { device, site, running } = start();
    running.signal(Signal::KILL);
    drop(running);
    assert!(site.data().join("ducto.sock").exists());
    run(site.path(), &["alarms"]).expect(5);
    let mut again = Background::start(site.path(), &["run", "site"]);
    again.line("Ctrl-C");
    device.set(0, 2_700.0);
    eventually("the alarm", || state(&site).filter(|state| state == "B"));
    again.signal(Signal::INT);
    again.wait().expect(0);
}
