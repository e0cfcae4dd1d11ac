//! Lists of each program into the files of a site, and files that are no lists. What is written is in `snapshots`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::source::Sources;
use ducto_import::{Format, Import, Options, Outcome, Remarks, place_text, read};
use lists::{list, neuron};
use modbus::Order;

mod lists;

struct Done {
    import: Option<Import>,
    sources: Sources,
    found: Diagnostics,
}

fn import(paths: &[PathBuf], options: &Options) -> Done {
    let units = ducto_operators::units::units();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let import = read(paths, options, &units, &mut sources, &mut found);
    Done { import, sources, found }
}

/// Everything that is written, and everything that is said, as one text; the site is checked on the way.
fn whole(paths: &[PathBuf], options: &Options) -> String {
    let Done { import, sources, found } = import(paths, options);
    assert!(found.is_ok(), "{}", found.render(&sources, false));
    let mut import = import.unwrap();
    let files = import.files("campo-norte", false, options, &sources);
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for file in &files.files {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.text).unwrap();
        if file.path != Path::new("import-report.csv") {
            let _ = write!(text, "--- {}\n{}", file.path.display(), file.text);
        }
    }
    let _ = write!(text, "--- remarks\n{}", remarks(&import.remarks, &sources));
    let (mut written, mut check) = (Sources::new(), Diagnostics::new());
    let registry = ducto_operators::registry();
    let site = load_site(folder.path(), &registry, &mut written, &mut check);
    // How long the devices of a list take to answer, it does not say: a warning where their scans are shorter is right.
    let others = check.iter().filter(|found| found.code != Code::WaitLongerThanScan).count();
    assert_eq!(others, 0, "{}", check.render(&written, false));
    let site = site.unwrap();
    assert_eq!((site.assets.len(), site.tags.len()), (files.assets, files.tags));
    text
}

fn remarks(remarks: &Remarks, sources: &Sources) -> String {
    let mut text = String::new();
    for outcome in Outcome::ALL {
        for group in remarks.groups(outcome) {
            let first = group.first;
            let place = place_text(first.place, sources);
            let place = place.rsplit('/').next().unwrap();
            let _ = writeln!(
                text,
                "{} {}x {} of {} = `{}` at {place}: {}",
                outcome.name(),
                group.count,
                first.setting,
                first.of,
                first.value,
                first.reason
            );
        }
    }
    text
}

fn reached() -> Options {
    Options { endpoint: Some("tcp://{device}:502".to_owned()), unit_id: Some(1), ..Options::default() }
}

#[test]
fn kepware() {
    let options = Options { order: Some(Order::Cdab), ..reached() };
    let options = Options { endpoint: Some("tcp://10.0.0.5:502".to_owned()), ..options };
    insta::assert_snapshot!(whole(&[list("WELL-001.csv"), list("WELL-002.csv")], &options));
}

#[test]
fn kepware_with_groups_of_wells() {
    insta::assert_snapshot!(whole(&[list("gateway.csv")], &reached()));
}

#[test]
fn ignition() {
    insta::assert_snapshot!(whole(&[list("tags.json")], &reached()));
}

#[test]
fn neuron_workbook() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plc-norte.xlsx");
    fs::write(&path, neuron()).unwrap();
    let options = Options { endpoint: Some("tcp://10.0.0.7".to_owned()), ..Options::default() };
    insta::assert_snapshot!(whole(&[path], &options));
}

#[test]
fn telegraf() {
    insta::assert_snapshot!(whole(&[list("telegraf.conf")], &Options::default()));
}

#[test]
fn what_a_list_does_not_say_is_to_be_filled_in() {
    let done = import(&[list("WELL-001.csv")], &Options::default());
    let mut import = done.import.unwrap();
    let missing = import.remarks.groups(Outcome::Missing);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].first.reason.contains("`endpoint`"), "{missing:?}");
    // And `check` says so of the cell.
    let files = import.files("x", false, &Options::default(), &done.sources);
    let folder = tempfile::tempdir().unwrap();
    for file in &files.files {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.text).unwrap();
    }
    let (mut written, mut check) = (Sources::new(), Diagnostics::new());
    assert!(load_site(folder.path(), &ducto_operators::registry(), &mut written, &mut check).is_none());
    let text = check.render(&written, false);
    assert!(text.contains("`endpoint` of `WELL-001`") && text.contains("assets.csv:2"), "{text}");
}

#[test]
fn the_format_is_guessed_and_can_be_said() {
    for (name, format) in
        [("WELL-001.csv", Format::Kepware), ("tags.json", Format::Ignition), ("telegraf.conf", Format::Telegraf)]
    {
        let guessed = import(&[list(name)], &reached()).import.unwrap().devices;
        let said = Options { format: Some(format), ..reached() };
        assert_eq!(guessed, import(&[list(name)], &said).import.unwrap().devices, "{name}");
    }
    let wrong = Options { format: Some(Format::Neuron), ..reached() };
    let done = import(&[list("WELL-001.csv")], &wrong);
    assert!(done.import.is_none());
    assert!(done.found.render(&done.sources, false).contains("no tag list of `neuron`"));
}

#[test]
fn files_that_cannot_be_read_are_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain("{}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let latin: Vec<u8> = b"{\"name\": \"Presi\xF3n\"}".to_vec();
    let json = fs::read(list("tags.json")).unwrap();
    let toml = fs::read(list("telegraf.conf")).unwrap();
    // In the middle of a list.
    let cut = String::from_utf8_lossy(&toml).find("address =").unwrap();
    let csv = fs::read(list("WELL-001.csv")).unwrap();
    let workbook = neuron();
    for (name, bytes, code, said) in [
        ("a.json", utf16.clone(), "E0103", "UTF-16"),
        ("b.json", latin, "E0103", "line 1"),
        ("c.json", json[..json.len() / 2].to_vec(), "E0118", "cut off"),
        ("d.json", b"[]".to_vec(), "E0302", "no tag list"),
        ("e.json", b"{\"tags\": []}".to_vec(), "E0302", "no tags"),
        ("f.json", b"[".repeat(5_000), "E0502", "nested"),
        ("g.toml", toml[..cut].to_vec(), "E0119", "not valid TOML"),
        ("h.toml", b"[agent]\n".to_vec(), "E0302", "no tag list"),
        ("i.csv", csv[..csv.len() / 2].to_vec(), "E0405", "not closed"),
        ("j.csv", utf16, "E0103", "UTF-16"),
        ("k.csv", b"a;b\n1;2\n".to_vec(), "E0302", "no tag list"),
        ("l.csv", Vec::new(), "E0401", "no header"),
        ("m.xlsx", workbook[..workbook.len() / 2].to_vec(), "E0407", "XLSX"),
        ("n.xlsx", b"PK\x03\x04 and nothing else".to_vec(), "E0407", "XLSX"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let done = import(&[path], &Options::default());
        let text = done.found.render(&done.sources, false);
        assert!(done.import.is_none_or(|import| import.devices.is_empty()), "{name}");
        assert!(text.contains(code) && text.contains(said), "{name}: {text}");
    }
    let huge = folder.path().join("huge.json");
    fs::File::create(&huge).unwrap().set_len(100 << 20).unwrap();
    let done = import(&[huge, folder.path().join("nowhere.csv"), folder.path().to_owned()], &Options::default());
    let codes: Vec<String> = done.found.iter().map(|found| found.code.to_string()).collect();
    assert_eq!(codes, ["E0501", "E0101", "E0102"]);
}
