//! Sites that run: how they start, stop, and refuse to.

use rustix::process::Signal;

use crate::command::{Background, eventually, run};
use crate::device::Device;
use crate::site::TestSite;

fn count(site: &TestSite) -> Option<u64> {
    counted(site, "count(*)")
}

fn counted(site: &TestSite, what: &str) -> Option<u64> {
    let sql = format!("SELECT {what} AS samples FROM history");
    let finished = run(site.path(), &["query", &sql, "--format", "json"]);
    if finished.code != Some(0) {
        return None;
    }
    let rows: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    rows[0]["samples"].as_u64()
}

#[test]
fn a_site_runs_for_a_while_and_says_what_it_kept() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let finished = run(site.path(), &["run", "site", "--for", "3s"]).expect(0);
    assert!(finished.stdout.starts_with("TEST-001 en marcha: 1 activo, 2 tags, 1 pipeline\n"), "{finished:?}");
    assert!(finished.stdout.contains("kept") && finished.stdout.contains("data/TEST-001"), "{finished:?}");
    let kept = count(&site).unwrap();
    assert!(kept >= 4, "{kept} samples");
    for name in ["tags.parquet", "views.sql"] {
        assert!(site.data().join(name).exists(), "{name}");
    }
    assert!(!site.data().join("ducto.sock").exists());
    // A second run goes on where the first ended.
    let finished = run(site.path(), &["run", "site", "--for", "2s", "--json"]).expect(0);
    let stopped: serde_json::Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(stopped["event"], "stopped");
    assert_eq!(count(&site).unwrap(), kept + stopped["kept"]["history"].as_u64().unwrap());
}

#[test]
fn an_interrupted_site_leaves_whole_files() {
    for signal in [Signal::INT, Signal::TERM] {
        let device = Device::start();
        let site = TestSite::new(device.port());
        let mut running = Background::start(site.path(), &["run", "site"]);
        running.line("Ctrl-C");
        eventually("values", || counted(&site, "count(value)").filter(|count| *count > 0));
        running.signal(signal);
        let finished = running.wait().expect(0);
        assert!(finished.stderr.contains("stopping"), "{finished:?}");
        let sql = "SELECT tag, max(value) AS highest FROM history GROUP BY tag ORDER BY tag";
        let rows = run(site.path(), &["query", sql, "--format", "csv"]).expect(0).stdout;
        assert_eq!(rows, "tag,highest\nWELL-001.CHP,600.0\nWELL-001.THP,1800.0\n");
    }
}

/// `timeout` signals the process and then its group: that is one wish to stop, and not the second one that ends at once.
#[test]
fn two_signals_at_once_stop_a_site_cleanly() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    eventually("values", || counted(&site, "count(value)").filter(|count| *count > 0));
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let finished = running.wait().expect(0);
    assert!(finished.stderr.contains("stopping"), "{finished:?}");
    assert!(site.data().join("tags.parquet").exists() && !site.data().join("ducto.sock").exists());
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let site = TestSite::new(502);
    site.write("site/wells.csv", "asset;template;unit_id\nWELL-001;rtu;one\n");
    let finished = run(site.path(), &["run", "site", "--for", "1s"]).expect(3);
    assert!(finished.stdout.is_empty() && finished.stderr.contains("wells.csv:2:14"), "{finished:?}");
    assert!(!site.path().join("data").exists());
    let finished = run(site.path(), &["run", "site", "--for", "1s", "--json"]).expect(3);
    assert_eq!(finished.json()["ok"], false);
}

#[test]
fn a_second_process_on_a_data_folder_is_told_who_has_it() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let mut running = Background::start(site.path(), &["run", "site", "--json"]);
    running.line("started");
    let finished = run(site.path(), &["run", "site", "--for", "1s"]).expect(4);
    assert!(finished.stderr.contains("in use by process"), "{finished:?}");
    assert!(count(&site).is_some());
    running.signal(Signal::INT);
    running.wait().expect(0);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let site = TestSite::new(502);
    site.write("file", "");
    let finished = run(site.path(), &["run", "site", "--data", "file/data", "--for", "1s"]).expect(4);
    assert!(finished.stderr.contains("`file") && finished.stderr.contains("--data"), "{finished:?}");
    let finished = run(site.path(), &["run", "site", "--data", "file", "--for", "1s"]).expect(4);
    assert!(finished.stderr.contains("file"), "{finished:?}");
}

#[test]
fn a_device_that_is_not_there_gives_bad_samples_and_no_stop() {
    // Nothing listens on this port.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = TestSite::new(port);
    run(site.path(), &["run", "site", "--for", "3s"]).expect(0);
    let sql = "SELECT count(*) AS samples, max(quality) AS best, count(value) AS readings FROM history";
    let rows = run(site.path(), &["query", sql, "--json"]).expect(0).json();
    assert!(rows[0]["samples"].as_u64().unwrap() > 0, "{rows}");
    assert_eq!(rows[0]["readings"], 0);
    assert!(rows[0]["best"].as_u64().unwrap() < 64, "{rows}");
}

#[test]
fn an_asset_out_of_service_is_not_read_and_says_so_once() {
    let device = Device::start();
    let site = TestSite::new(device.port());
    site.write(
        "site/wells.csv",
        "asset;template;unit_id;from;until\nWELL-001;rtu;1;2020-01-01;\nWELL-002;rtu;1;;2021-01-01\nWELL-003;rtu;1;2999-01-01;\n",
    );
    run(site.path(), &["run", "site", "--for", "3s"]).expect(0);
    // Longer than three scans: silence of what is out of service is no communication failure.
    let sql = "SELECT tag, quality, count(*) AS samples FROM history WHERE tag NOT LIKE 'WELL-001.%' GROUP BY tag, quality ORDER BY tag";
    let rows = run(site.path(), &["query", sql, "--format", "csv"]).expect(0).stdout;
    let expected = ["WELL-002.CHP", "WELL-002.THP", "WELL-003.CHP", "WELL-003.THP"].map(|tag| format!("{tag},28,1\n"));
    assert_eq!(rows, format!("tag,quality,samples\n{}", expected.concat()));
    assert!(count(&site).unwrap() > 8);
}
