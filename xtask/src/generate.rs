//! Files derived from the code. Each has its one place here; a test fails when one is stale.

mod commands;
mod diagnostics;
mod fields;
mod operators;
mod simulator;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

/// Says where a page comes from, for those who would edit it.
const NOTE: &str = "<!-- Written by `cargo xtask generate` from the code. Edit the doc comments there. -->\n\n";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("not what the code says any more: {0}; run `cargo xtask generate` and commit what it writes")]
    Stale(String),
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Writes all generated files, and says how many there are.
pub(crate) fn write(root: &Path) -> Result<usize, Error> {
    let files = files();
    for (path, text) in &files {
        let path = root.join(path);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| if is_fresh(&path, text) { Ok(()) } else { std::fs::write(&path, text) });
        written.map_err(|source| Error::Write { path, source })?;
    }
    Ok(files.len())
}

/// Compares all generated files with what would be written, and says how many there are.
pub(crate) fn check(root: &Path) -> Result<usize, Error> {
    let files = files();
    let stale: Vec<&str> =
        files.iter().filter(|(path, text)| !is_fresh(&root.join(path), text)).map(|(path, _)| *path).collect();
    if stale.is_empty() { Ok(files.len()) } else { Err(Error::Stale(stale.join(", "))) }
}

fn is_fresh(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|found| found == text)
}

/// Path from the workspace's folder, and content.
fn files() -> Vec<(&'static str, String)> {
    let registry = ducto_operators::registry();
    let json = |schema: serde_json::Value| format!("{schema:#}\n");
    vec![
        ("schemas/site.schema.json", json(ducto_graph::schema::site(&registry))),
        ("schemas/pipeline.schema.json", json(ducto_graph::schema::pipeline(&registry))),
        ("schemas/test.schema.json", json(ducto_graph::schema::test(&registry))),
        ("schemas/simulation.schema.json", json(ducto_simulator::scenario::schema())),
        ("docs/reference/operators.md", operators::page(&registry)),
        ("docs/reference/cli.md", commands::page(ducto::cli::Cli::command())),
        ("docs/reference/diagnostics.md", diagnostics::page()),
        ("docs/reference/simulator.md", simulator::page()),
    ]
}

/// A text inside a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").trim().to_owned()
}

/// A table of Markdown; nothing where there are no rows.
fn table(page: &mut String, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        // Writing to a text cannot fail.
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(&mut head.iter().map(|name| (*name).to_owned()));
    line(&mut head.iter().map(|_| "---".to_owned()));
    for row in rows {
        line(&mut row.iter().map(|text| cell(text)));
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_are_up_to_date() {
        super::check(&super::workspace()).unwrap();
    }

    #[test]
    fn a_stale_file_is_named() {
        let nowhere = std::path::Path::new("/nowhere");
        let error = super::check(nowhere).unwrap_err().to_string();
        assert!(error.contains("schemas/site.schema.json") && error.contains("cargo xtask generate"), "{error}");
    }
}
