//! Whatever stands in a list, nothing panics, everything ends soon, every finding and remark points into a file, and
//! what is written is read again without a panic.
//!
//! The inputs are seeded mutations of lists that are right. `PROPTEST_CASES` sets how many are tried, and
//! `PROPTEST_RNG_SEED` which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::source::Sources;
use ducto_import::{Format, Options, read};
use lists::{list, neuron};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

mod lists;

/// Pieces that mean something to one of the formats.
const TOKENS: [&str; 40] = [
    "\n",
    " ",
    "\t",
    ",",
    ";",
    ":",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    "!",
    "#",
    "\\u",
    "\\",
    "/",
    "-",
    "0",
    "65536",
    "99999999999",
    "400001",
    "HR",
    "ns=1;s=[",
    "bindType",
    "tagType",
    "UdtInstance",
    "typeId",
    "[[inputs.modbus]]",
    "null",
    "true",
    "1e308",
    "ñ",
    "\u{feff}",
    "\0",
    "{Base+1}",
    "BL",
    "_types_",
];

type Change = (u8, usize, usize, usize);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec((0u8..5, any::<usize>(), 1usize..60, any::<usize>()), 0..10)
}

fn mutate(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &(kind, at, length, token) in changes {
        let at = at % (bytes.len() + 1);
        let end = (at + length).min(bytes.len());
        match kind {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, TOKENS[token % TOKENS.len()].bytes())),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 if at < bytes.len() => bytes[at] = (token % 256) as u8,
            _ => bytes.truncate(bytes.len() - (token % 200).min(bytes.len())),
        }
    }
    bytes
}

/// Runs a property on many mutations, the same ones each time.
fn check(cases: u32, property: impl Fn(Vec<Change>)) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(20_260_101);
    }
    let run = |value| -> Result<(), TestCaseError> {
        property(value);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&changes(), run) {
        panic!("{failure}");
    }
}

fn survives(name: &str, bytes: &[u8], format: Option<Format>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let options = Options { format, endpoint: Some("tcp://{device}:502".to_owned()), ..Options::default() };
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let began = Instant::now();
    let import = read(&[path], &options, &ducto_operators::units::units(), &mut sources, &mut found);
    found.render(&sources, false);
    for diagnostic in &found {
        assert!(diagnostic.place.is_none_or(|place| sources.contains(place)), "{diagnostic:?}");
    }
    let Some(mut import) = import else {
        assert!(!found.is_empty());
        return;
    };
    let files = import.files("fuzz", false, &options, &sources);
    import.remarks.to_json(&sources);
    for remark in import.remarks.iter() {
        assert!(sources.contains(remark.place), "{remark:?}");
        assert!(!remark.reason.is_empty());
    }
    let site = folder.path().join("site");
    for file in &files.files {
        let path = site.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.text).unwrap();
    }
    let (mut written, mut check) = (Sources::new(), Diagnostics::new());
    load_site(&site, &ducto_operators::registry(), &mut written, &mut check);
    // What is written is well-formed, whatever the names in the list were.
    for diagnostic in &check {
        let code = diagnostic.code.id();
        assert!(!code.starts_with("E01") && !code.starts_with("E04"), "{}", check.render(&written, false));
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn kepware_lists() {
    for name in ["WELL-001.csv", "gateway.csv"] {
        let bytes = fs::read(list(name)).unwrap();
        check(150, |changes| survives(name, &mutate(&bytes, &changes), Some(Format::Kepware)));
    }
}

#[test]
fn ignition_lists() {
    let bytes = fs::read(list("tags.json")).unwrap();
    check(250, |changes| survives("tags.json", &mutate(&bytes, &changes), None));
}

#[test]
fn neuron_lists() {
    let bytes = neuron();
    check(100, |changes| survives("tags.xlsx", &mutate(&bytes, &changes), Some(Format::Neuron)));
    // The same columns as text, where a mutation reaches the addresses.
    let text = "group;name;address;attribute;type;decimal;bias\nW1;THP;1!400001#BL;Read;FLOAT;0.1;2\nW1;RUN;1!400002.3;Read;BIT;;\nW2;S;2!300001.8H;Read;STRING;;\n";
    check(250, |changes| survives("tags.csv", &mutate(text.as_bytes(), &changes), Some(Format::Neuron)));
}

#[test]
fn telegraf_lists() {
    let bytes = fs::read(list("telegraf.conf")).unwrap();
    check(250, |changes| survives("telegraf.conf", &mutate(&bytes, &changes), Some(Format::Telegraf)));
}
