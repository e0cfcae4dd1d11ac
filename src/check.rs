//! `ducto check`: every mistake of sites, pipelines, tests and simulations at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::load;
use ducto_graph::scenario::{TestFile, is_test_file};
use ducto_graph::site::Site;
use ducto_graph::source::{FileId, Place};
use ducto_graph::table::{Table, write_report};
use ducto_simulator::scenario::MARK;
use ducto_simulator::{Overrides, Scenario};

use crate::cli::CheckArgs;
use crate::load::{Loading, counted};
use crate::output::{Exit, Failure, Output};

/// Folders that hold no configuration.
const PASSED_OVER: [&str; 3] = ["target", "data", "node_modules"];
/// Deepest folder looked into.
const DEPTH: usize = 16;

pub(crate) fn run(args: &CheckArgs, output: &Output) -> Result<Exit, Failure> {
    let mut targets = BTreeSet::new();
    for path in &args.paths {
        let before = targets.len();
        find(path, DEPTH, &mut targets);
        if targets.len() == before && path.is_dir() {
            let message = format!(
                "`{}` holds no `site.yaml`, pipeline, `*.test.yaml` or simulation; name one, or a folder of them",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let mut check = Check { loading: Loading::new(), sites: BTreeMap::new() };
    for target in &targets {
        check.target(target, args.site.as_deref());
    }
    let reports = match &args.report {
        Some(path) => check.report(path)?,
        None => Vec::new(),
    };
    let loading = &check.loading;
    loading.print_findings(output);
    if output.is_json() {
        let mut object = loading.findings();
        object["checked"] = targets.iter().map(|target| target.path().display().to_string()).collect();
        object["reports"] = reports.iter().map(|path| path.display().to_string()).collect();
        output.object(&object);
    } else {
        output.line(&format!("{}: {}", counts(&targets), loading.summary()));
        for path in &reports {
            output.line(&format!("the rows with mistakes are in {}", path.display()));
        }
        if args.report.is_some() && reports.is_empty() {
            output.line("no table has a mistake, so no report was written");
        }
    }
    Ok(if loading.diagnostics.is_ok() { Exit::Done } else { Exit::Findings })
}

/// Something to check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Site(PathBuf),
    Pipeline(PathBuf),
    Test(PathBuf),
    Simulation(PathBuf),
}

impl Target {
    fn path(&self) -> &Path {
        let (Self::Site(path) | Self::Pipeline(path) | Self::Test(path) | Self::Simulation(path)) = self;
        path
    }
}

/// "1 site, 2 pipelines".
fn counts(targets: &BTreeSet<Target>) -> String {
    let count = |is: fn(&Target) -> bool| targets.iter().filter(|target| is(target)).count();
    let parts = [
        (count(|target| matches!(target, Target::Site(_))), "site"),
        (count(|target| matches!(target, Target::Pipeline(_))), "pipeline"),
        (count(|target| matches!(target, Target::Test(_))), "test file"),
        (count(|target| matches!(target, Target::Simulation(_))), "simulation"),
    ];
    parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|&(count, noun)| counted(count, noun))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What a path stands for. A file that cannot be read is left to the loader, which says why.
fn find(path: &Path, depth: usize, targets: &mut BTreeSet<Target>) {
    if !path.is_dir() {
        targets.insert(if is_test_file(path) {
            Target::Test(path.to_owned())
        } else if begins_with(path, "site") {
            Target::Site(path.to_owned())
        } else if begins_with(path, MARK) {
            Target::Simulation(path.to_owned())
        } else {
            Target::Pipeline(path.to_owned())
        });
        return;
    }
    if path.join("site.yaml").exists() {
        targets.insert(Target::Site(path.to_owned()));
        // Pipelines of a site may need the parameters that it gives them, so they are checked as it uses them.
        for entry in entries(&path.join("pipelines")).into_iter().filter(|entry| is_test_file(entry)) {
            targets.insert(Target::Test(entry));
        }
        // Beside it may lie what simulates its field.
        for entry in entries(path).into_iter().filter(|entry| is_yaml(entry) && begins_with(entry, MARK)) {
            targets.insert(Target::Simulation(entry));
        }
        return;
    }
    for entry in entries(path) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if depth > 0 && !name.starts_with('.') && !PASSED_OVER.contains(&name) {
                find(&entry, depth - 1, targets);
            }
        } else if is_test_file(&entry) {
            targets.insert(Target::Test(entry));
        } else if is_yaml(&entry) && begins_with(&entry, "pipeline") {
            targets.insert(Target::Pipeline(entry));
        } else if is_yaml(&entry) && begins_with(&entry, MARK) {
            targets.insert(Target::Simulation(entry));
        }
    }
}

fn is_yaml(path: &Path) -> bool {
    matches!(path.extension().and_then(|ending| ending.to_str()), Some("yaml" | "yml"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Whether a file has this field at its top level, as text: enough to tell what it is, whatever else is wrong with it.
fn begins_with(path: &Path, field: &str) -> bool {
    const LOOKED_AT: u64 = 64 << 10;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, LOOKED_AT), &mut bytes));
    read.is_ok()
        && String::from_utf8_lossy(&bytes).lines().any(|line| {
            line.trim_start_matches('\u{feff}').strip_prefix(field).is_some_and(|rest| rest.starts_with(':'))
        })
}

struct Check {
    loading: Loading,
    /// Sites that pipelines are checked against, each loaded once.
    sites: BTreeMap<PathBuf, Option<Arc<Site>>>,
}

impl Check {
    fn target(&mut self, target: &Target, site: Option<&Path>) {
        match target {
            Target::Site(path) => {
                self.site(path);
            }
            Target::Pipeline(path) => self.pipeline(path, site),
            Target::Test(path) => self.test(path),
            Target::Simulation(path) => {
                let Loading { registry, sources, diagnostics } = &mut self.loading;
                Scenario::load(path, &Overrides::default(), registry.units(), sources, diagnostics);
            }
        }
    }

    fn site(&mut self, path: &Path) -> Option<Arc<Site>> {
        let key = if path.is_dir() { path.join("site.yaml") } else { path.to_owned() };
        if let Some(site) = self.sites.get(&key) {
            return site.clone();
        }
        let Loading { registry, sources, diagnostics } = &mut self.loading;
        let site = load::load_site(&key, registry, sources, diagnostics);
        self.sites.insert(key, site.clone());
        site
    }

    fn pipeline(&mut self, path: &Path, site: Option<&Path>) {
        let folder = path.parent().filter(|folder| folder.ends_with("pipelines")).and_then(Path::parent);
        let around = folder.filter(|folder| folder.join("site.yaml").exists());
        let site = match site.or(around) {
            // With mistakes in the site nothing can be said of the pipeline.
            Some(path) => match self.site(path) {
                Some(site) => site,
                None => return,
            },
            None => Arc::new(Site::empty("")),
        };
        let Loading { registry, sources, diagnostics } = &mut self.loading;
        let mut found = Diagnostics::new();
        load::load_pipeline(path, &site, registry, sources, &mut found);
        // Without a site there is nothing that could be selected.
        let selected = |found: &Diagnostic| !site.tags.is_empty() || found.code != Code::SelectionEmpty;
        diagnostics.extend(found.into_iter().filter(selected));
    }

    fn test(&mut self, path: &Path) {
        let Loading { registry, sources, diagnostics } = &mut self.loading;
        let Some(file) = TestFile::load(path, sources, diagnostics) else { return };
        for scenario in &file.scenarios {
            scenario.prepare(registry, sources, diagnostics);
        }
    }

    /// Writes a workbook for each table in which something was found.
    fn report(&mut self, path: &Path) -> Result<Vec<PathBuf>, Failure> {
        let mut tables: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        for diagnostic in &self.loading.diagnostics {
            let Some(place) = diagnostic.place else { continue };
            let file = self.loading.sources.path(place.file);
            if is_table(file) {
                tables.entry(file.to_owned()).or_default().push(diagnostic.clone());
            }
        }
        let mut written = Vec::new();
        for (number, (file, found)) in tables.into_iter().enumerate() {
            let path = if number == 0 { path.to_owned() } else { numbered(path, number + 1) };
            if self.write_report(&file, &found, &path)? {
                written.push(path);
            }
        }
        Ok(written)
    }

    fn write_report(&mut self, file: &Path, found: &[Diagnostic], path: &Path) -> Result<bool, Failure> {
        let sources = &mut self.loading.sources;
        let sheet = found.iter().find_map(|found| sources.cell_name(found.place?)).map(|(sheet, _)| sheet);
        // What the reading of the table itself reports was reported when the site was loaded.
        let mut again = Diagnostics::new();
        let Some(table) = Table::read(file, sheet.as_deref(), None, sources, &mut again) else { return Ok(false) };
        let mut moved = Diagnostics::new();
        moved.extend(found.iter().map(|found| moved_to(found, table.file)));
        write_report(&table, &moved, sources, path)
            .map_err(|error| Failure::new(Exit::Data, format!("{error}; name another file with `--report`")))?;
        Ok(true)
    }
}

fn is_table(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(ending.as_str(), "csv" | "tsv" | "txt" | "xlsx")
}

/// `errors.xlsx` as `errors-2.xlsx`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("report");
    path.with_file_name(format!("{stem}-{number}.xlsx"))
}

/// The finding at the same place of the file as it was read again.
fn moved_to(diagnostic: &Diagnostic, file: FileId) -> Diagnostic {
    let place = diagnostic.place.map(|place| Place { file, ..place });
    Diagnostic { place, ..diagnostic.clone() }
}
