//! `ducto data`, and starts on damaged folders.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::command::{Background, eventually, run};
use crate::device::Device;
use crate::site::{self, TestSite};

/// A folder that a short run has left.
fn left_by_a_run() -> (Device, TestSite) {
    let site::Live { device, site, running } = site::start();
    eventually("rows", || {
        let rows = run(site.path(), &["query", "SELECT count(*) AS n FROM history", "--json"]).expect(0).json();
        rows[0]["n"].as_u64().filter(|rows| *rows > 20)
    });
    running.signal(Signal::INT);
    running.wait().expect(0);
    (device, site)
}

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => found.extend(Some(path).filter(|path| path.extension().is_some_and(|end| end == "parquet"))),
            }
        }
    }
    found.sort();
    found
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_is_inspected_verified_and_repaired() {
    let (_device, site) = left_by_a_run();
    let data = site.data();
    let data = data.to_str().unwrap();
    let said = run(site.path(), &["data", "inspect", data]).expect(0).stdout;
    assert!(said.contains("history") && said.contains("minutes"), "{said}");
    assert!(said.lines().skip(1).all(|line| line.chars().count() <= 80), "{said}");
    let found = run(site.path(), &["data", "inspect", "--json"]).expect(0).json();
    assert!(found["journal"].as_array().is_some_and(|segments| !segments.is_empty()), "{found}");
    assert!(found["checkpoints"].as_array().is_some_and(|files| !files.is_empty()), "{found}");
    run(site.path(), &["data", "verify", data]).expect(0);

    let damaged = parquet(&site.data().join("datasets/history")).remove(0);
    flip(&damaged);
    fs::write(site.data().join("datasets/history/notes.txt"), "mine").unwrap();
    let found = run(site.path(), &["data", "verify", "--json"]).expect(1).json();
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{found}");
    let rows: u64 = findings.iter().filter_map(|finding| finding["rows"].as_u64()).sum();
    assert!(rows > 0, "{found}");
    let said = run(site.path(), &["data", "repair", "--dry-run"]).expect(1).stdout;
    assert!(said.contains("notes.txt") && damaged.exists(), "{said}");
    let repaired = run(site.path(), &["data", "repair", "--json"]).expect(0).json();
    assert_eq!(repaired["left"], 0, "{repaired}");
    assert!(!damaged.exists());
    let aside = site.data().join("damaged").join(damaged.strip_prefix(site.data()).unwrap());
    assert!(aside.exists() && site.data().join("damaged/datasets/history/notes.txt").exists());
    run(site.path(), &["data", "verify"]).expect(0);
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let site::Live { device: _device, site, running } = site::start();
    for verb in ["inspect", "verify", "repair"] {
        let said = run(site.path(), &["data", verb]).expect(4).stderr;
        assert!(said.contains("in use by process"), "{verb}: {said}");
    }
    // And so does a second site.
    let said = run(site.path(), &["run", "site", "--for", "1s"]).expect(4).stderr;
    assert!(said.contains("in use by process"), "{said}");
    running.signal(Signal::INT);
    running.wait().expect(0);
}

#[test]
fn a_site_starts_on_a_damaged_folder_and_says_what_is_lost() {
    let (_device, site) = left_by_a_run();
    let before = run(site.path(), &["query", "SELECT count(*) AS n FROM history", "--json"]).expect(0).json();
    let damaged = parquet(&site.data().join("datasets/history")).remove(0);
    flip(&damaged);
    fs::write(site.data().join("manifests/minutes.json"), "{").unwrap();
    let found = run(site.path(), &["data", "verify", "--json"]).expect(1).json();
    let lost: u64 = found["findings"].as_array().unwrap().iter().filter_map(|finding| finding["rows"].as_u64()).sum();
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    let listed = run(site.path(), &["alarms", "--all", "--json"]).expect(0).json();
    let alarms = listed["alarms"].as_array().unwrap();
    let alarm = alarms.iter().find(|alarm| alarm["name"] == "site.DATA_DAMAGED").expect("an alarm says so");
    assert!(alarm["reason"].as_str().unwrap().contains(damaged.file_name().unwrap().to_str().unwrap()), "{alarm}");
    running.signal(Signal::INT);
    let finished = running.wait().expect(0);
    assert!(finished.stderr.contains(&format!("{lost} rows")), "{}", finished.stderr);
    let after = run(site.path(), &["query", "SELECT count(*) AS n FROM history", "--json"]).expect(0).json();
    assert!(after[0]["n"].as_u64().unwrap() + lost >= before[0]["n"].as_u64().unwrap());
    run(site.path(), &["data", "verify"]).expect(0);
}
