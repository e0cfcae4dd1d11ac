//! Whatever stands in the files of a site, nothing panics, everything ends soon, and each finding points into a file.
//!
//! The inputs are seeded mutations of a site that is right and of its broken cases. `PROPTEST_CASES` sets how many are
//! tried (a few seconds by default), `PROPTEST_RNG_SEED` which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::explain::explain;
use ducto_graph::graph_print::{Drawing, draw};
use ducto_graph::load::load_site;
use ducto_graph::scenario::TestFile;
use ducto_graph::scenario::update::{NewExpectation, rewrite};
use ducto_graph::source::Sources;
use ducto_record::Value;
use mutation::{changes, check, mutate};
use proptest::prelude::*;

mod model;
#[allow(dead_code)]
mod mutation;

const TEST: &str = "\
tests:
  - name: a
    tags: {W.THP: {unit: psig, alarms: {H: 100}}}
    steps:
      - {at: 0s, send: {W.THP: 120}}
      - {at: 6s, send: {W.THP: {value: 121, quality: 192, time: 5s}}}
      - {advance: 10s}
      - {action: acknowledge, with: {tag: W.THP}}
    expect:
      checked: [{time: 6s, tag: W.THP}]
  - name: b
";

/// The files of a folder, by their paths in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let inside = files(&path);
            let name = PathBuf::from(path.file_name().unwrap());
            found.extend(inside.into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
        } else {
            found.push((PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn assert_inside(sources: &Sources, found: &Diagnostics) {
    for found in found {
        for place in found.notes.iter().filter_map(|note| note.place).chain(found.place) {
            assert!(sources.contains(place), "{found:?}");
        }
    }
    found.render(sources, false);
    found.to_json(sources);
}

fn read_site(files: &[(PathBuf, Vec<u8>)]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let start = Instant::now();
    let site = load_site(folder.path(), &model::registry(), &mut sources, &mut found);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(site.is_some(), found.is_ok());
    assert_inside(&sources, &found);
    let Some(site) = site else { return };
    for (id, tag) in site.tags.iter().enumerate() {
        assert_eq!(site.directory.tag_id(&tag.name), Some(id as u32));
        let explained = explain(&site, &sources, &tag.name).unwrap();
        explained.text();
        explained.json();
    }
    for pipeline in &site.pipelines {
        for drawing in [Drawing::Text, Drawing::Mermaid, Drawing::Dot] {
            draw(pipeline, drawing);
        }
        for (index, node) in pipeline.nodes.iter().enumerate() {
            assert!(node.edges.iter().all(|edge| edge.node < index));
            let tags = node.publish.iter().flat_map(|publish| publish.tags.iter().flatten());
            assert!(tags.into_iter().all(|tag| (*tag as usize) < site.tags.len()));
        }
    }
}

#[test]
fn one_file_of_a_site() {
    let base = files(Path::new("tests/broken/site/base"));
    check(500, &(0..base.len(), changes()), |(file, changes)| {
        let mut files = base.clone();
        files[file].1 = mutate(&files[file].1, &changes);
        read_site(&files);
    });
}

#[test]
fn broken_cases_broken_further() {
    let base = files(Path::new("tests/broken/site/base"));
    let mut cases: Vec<_> = fs::read_dir("tests/broken/site").unwrap().map(|entry| entry.unwrap().path()).collect();
    // Refused for their size, which takes its time.
    cases.retain(|case| !case.ends_with("alias-bomb"));
    cases.sort();
    let cases: Vec<_> = cases.iter().map(|case| files(case)).collect();
    check(500, &(0..cases.len(), any::<usize>(), changes()), |(case, file, changes)| {
        let mut files = base.clone();
        for (name, bytes) in &cases[case] {
            files.retain(|(other, _)| other != name && !other.starts_with(name) && !name.starts_with(other));
            files.push((name.clone(), bytes.clone()));
        }
        let file = file % files.len();
        files[file].1 = mutate(&files[file].1, &changes);
        read_site(&files);
    });
}

#[test]
fn test_files() {
    let pipeline = "pipeline: p\nsources: {all: {type: tags}}\ntransforms: {checked: {type: pass, inputs: [all]}}\nsinks: {out: {type: store, inputs: [checked]}}\n";
    check(500, &changes(), |changes| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
        let path = folder.path().join("p.test.yaml");
        fs::write(&path, mutate(TEST.as_bytes(), &changes)).unwrap();
        let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
        let file = TestFile::load(&path, &mut sources, &mut found);
        if let Some(file) = file {
            let text = sources.text(file.file).to_owned();
            for scenario in &file.scenarios {
                scenario.prepare(&model::registry(), &mut sources, &mut found);
                if !scenario.is_whole() {
                    continue;
                }
                let row = vec![("time".to_owned(), Value::Text("6s".into()))];
                let new = NewExpectation { port: "checked".to_owned(), rows: vec![row] };
                if let Ok(new) = rewrite(&text, &[(scenario, vec![new])]) {
                    fs::write(&path, &new).unwrap();
                    let again = TestFile::load(&path, &mut Sources::new(), &mut Diagnostics::new());
                    let again = again.unwrap_or_else(|| panic!("{new}"));
                    let same = again.scenarios.iter().find(|other| other.name == scenario.name);
                    assert_eq!(same.unwrap_or_else(|| panic!("{new}")).expect.len(), 1, "{text}\n---\n{new}");
                }
            }
        }
        assert_inside(&sources, &found);
    });
}
