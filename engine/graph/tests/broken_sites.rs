//! Broken sites, pipelines and tests, and the reports that users get for them.
//!
//! A case is a folder `tests/broken/<kind>/<case>/`. Its files are laid over those of `tests/broken/site/base`, a site
//! that is right, and `expected.txt` is the report as printed; `UPDATE_EXPECT=1 cargo test` writes it anew, to be
//! reviewed as a diff. `x.xlsx.tsv` is made into the workbook `x.xlsx`, and `x.large` into a file `x` of 100 MB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::{load_pipeline, load_site};
use ducto_graph::scenario::TestFile;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use rust_xlsxwriter::{Formula, Workbook};

mod model;

const BASE: &str = "tests/broken/site/base";

type Check = fn(&Path, &mut Sources, &mut Diagnostics);

fn run(kind: &str, check: Check) {
    let folder = Path::new("tests/broken").join(kind);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases.retain(|case| case.is_dir() && !case.ends_with("base"));
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    let mut failures = Vec::new();
    for case in cases {
        let site = tempfile::tempdir().unwrap();
        lay(Path::new(BASE), site.path());
        lay(&case, site.path());
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let start = Instant::now();
        check(site.path(), &mut sources, &mut diagnostics);
        assert!(start.elapsed() < Duration::from_secs(20), "{} takes too long", case.display());
        assert!(!diagnostics.is_empty(), "{} is not broken", case.display());
        for found in &diagnostics {
            for place in found.notes.iter().filter_map(|note| note.place).chain(found.place) {
                assert!(sources.contains(place), "{}: {found:?}", case.display());
            }
        }
        assert_eq!(diagnostics.to_json(&sources).as_array().map(Vec::len), Some(diagnostics.len()));
        let prefix = format!("{}/", site.path().display());
        let report = diagnostics.render(&sources, false).replace(&prefix, "");
        let path = case.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &report).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != report {
            failures.push(format!("== {}\n-- expected\n{expected}\n-- found\n{report}", case.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Copies the files of a case, and makes those that no repository holds.
fn lay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let target = to.join(name);
        if path.is_dir() {
            lay(&path, &target);
        } else if let Some(name) = name.strip_suffix(".tsv") {
            fs::write(to.join(name), workbook(&fs::read_to_string(&path).unwrap())).unwrap();
        } else if let Some(name) = name.strip_suffix(".large") {
            fs::File::create(to.join(name)).unwrap().set_len(100 << 20).unwrap();
        } else if name != "expected.txt" {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Cells separated by tabs: numbers, `!#REF!` for an error, else text.
fn workbook(text: &str) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, line) in (0u32..).zip(text.lines()) {
        for (column, cell) in (0u16..).zip(line.split('\t')) {
            if let Ok(number) = cell.parse::<f64>() {
                sheet.write_number(row, column, number).unwrap();
            } else if let Some(error) = cell.strip_prefix('!') {
                sheet.write_formula(row, column, Formula::new("=1/0").set_result(error)).unwrap();
            } else if !cell.is_empty() {
                sheet.write_string(row, column, cell).unwrap();
            }
        }
    }
    workbook.save_to_buffer().unwrap()
}

#[test]
fn the_base_is_right() {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(Path::new(BASE), &model::registry(), &mut sources, &mut found);
    assert!(found.is_empty(), "{}", found.render(&sources, false));
    assert!(site.is_some());
}

/// Whole sites.
#[test]
fn sites() {
    run("site", |folder, sources, found| {
        let site = load_site(folder, &model::registry(), sources, found);
        assert_eq!(site.is_some(), found.is_ok());
    });
}

/// `pipeline.yaml` without a site.
#[test]
fn pipelines() {
    run("pipeline", |folder, sources, found| {
        let bare = Site::bare(["W.THP"]);
        assert!(load_pipeline(&folder.join("pipeline.yaml"), &bare, &model::registry(), sources, found).is_none());
    });
}

/// `p.test.yaml`.
#[test]
fn scenarios() {
    run("scenario", |folder, sources, found| {
        let Some(file) = TestFile::load(&folder.join("p.test.yaml"), sources, found) else { return };
        for scenario in &file.scenarios {
            scenario.prepare(&model::registry(), sources, found);
        }
    });
}
