//! What the simulated storage leaves of a folder after a power cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Cut, Disk, Fault, SimulatedStorage};

struct Bench {
    _folder: tempfile::TempDir,
    root: std::path::PathBuf,
    storage: SimulatedStorage,
    disk: Disk,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    fs::create_dir(&root).unwrap();
    let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
    Bench { root, disk: Disk::new(Arc::new(storage.clone())), storage, _folder: folder }
}

fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.insert(name.clone(), "/".to_owned());
            found.extend(tree(&path).into_iter().map(|(inner, content)| (format!("{name}/{inner}"), content)));
        } else {
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    found
}

fn holds(root: &Path, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect();
    assert_eq!(tree(root), expected);
}

impl Bench {
    fn write(&self, name: &str, content: &str, sync: bool) {
        let mut file = self.disk.create(&self.root.join(name)).unwrap();
        file.write(content.as_bytes()).unwrap();
        if sync {
            file.sync().unwrap();
        }
    }
}

#[test]
fn a_name_is_left_once_its_folder_was_synced_and_content_once_its_file_was() {
    let bench = bench();
    bench.write("a", "one", true);
    bench.write("b", "two", false);
    bench.disk.sync_folder(&bench.root).unwrap();
    bench.write("c", "three", true);
    bench.storage.restart(Cut::Strict).unwrap();
    holds(&bench.root, &[("a", "one"), ("b", "")]);
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let bench = bench();
    bench.disk.replace(&bench.root.join("a"), b"old").unwrap();
    bench.disk.replace(&bench.root.join("a"), b"new").unwrap();
    bench.write("b", "newer", true);
    bench.disk.rename(&bench.root.join("b"), &bench.root.join("a")).unwrap();
    bench.storage.restart(Cut::Strict).unwrap();
    holds(&bench.root, &[("a", "new")]);
}

#[test]
fn folders_that_were_exchanged_or_removed_come_back() {
    let bench = bench();
    for (folder, content) in [("live", "old"), ("staging", "new")] {
        bench.disk.create_folder(&bench.root.join(folder)).unwrap();
        bench.write(&format!("{folder}/x"), content, true);
        bench.disk.sync_folder(&bench.root.join(folder)).unwrap();
    }
    bench.disk.exchange(&bench.root.join("staging"), &bench.root.join("live")).unwrap();
    bench.disk.remove_folder(&bench.root.join("staging")).unwrap();
    holds(&bench.root, &[("live", "/"), ("live/x", "new")]);
    bench.storage.restart(Cut::Strict).unwrap();
    holds(&bench.root, &[("live", "/"), ("live/x", "old"), ("staging", "/"), ("staging/x", "new")]);
    bench.disk.exchange(&bench.root.join("staging"), &bench.root.join("live")).unwrap();
    bench.disk.sync_folder(&bench.root).unwrap();
    bench.storage.restart(Cut::Strict).unwrap();
    holds(&bench.root, &[("live", "/"), ("live/x", "new"), ("staging", "/"), ("staging/x", "old")]);
}

#[test]
fn appended_bytes_are_left_as_far_as_they_were_synced() {
    let bench = bench();
    let path = bench.root.join("log");
    let mut file = bench.disk.append(&path).unwrap();
    bench.disk.sync_folder(&bench.root).unwrap();
    file.append(b"one ").unwrap();
    file.sync().unwrap();
    file.append(b"two ").unwrap();
    bench.storage.restart(Cut::Strict).unwrap();
    holds(&bench.root, &[("log", "one ")]);
    for seed in 1..40 {
        let mut file = bench.disk.append(&path).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        file.append(b"more ").unwrap();
        bench.storage.restart(Cut::Chance(seed)).unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.starts_with(&before) && format!("{before}more ").starts_with(&left), "{left}");
    }
}

#[test]
fn a_full_disk_takes_nothing_in_part() {
    let bench = bench();
    let path = bench.root.join("log");
    let mut file = bench.disk.append(&path).unwrap();
    file.append(b"one ").unwrap();
    bench.storage.set_room(Some(2));
    let error = file.append(b"two ").unwrap_err();
    assert!(error.is_full(), "{error}");
    holds(&bench.root, &[("log", "one ")]);
    bench.storage.set_room(None);
    file.append(b"two ").unwrap();
    holds(&bench.root, &[("log", "one two ")]);
}

#[test]
fn planned_faults_come_when_they_are_due() {
    let bench = bench();
    let path = bench.root.join("log");
    let mut file = bench.disk.append(&path).unwrap();
    let next = bench.storage.operations();
    bench.storage.plan(next, Fault::Error(rustix::io::Errno::INTR));
    bench.storage.plan(next + 1, Fault::Short);
    file.append(b"whole").unwrap();
    holds(&bench.root, &[("log", "whole")]);
    bench.storage.plan(bench.storage.operations(), Fault::PowerOff);
    assert!(file.sync().is_err());
    assert!(file.append(b"more").is_err());
    assert!(bench.storage.is_off());
    bench.storage.restart(Cut::Strict).unwrap();
    bench.disk.create(&bench.root.join("again")).unwrap();
}
