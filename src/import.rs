//! `ducto import`: the files of a site from tag lists of other programs.

use std::path::Path;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site_in_part;
use ducto_import::{Files, Format, Import, Options, Outcome, Remarks, place_text};
use serde_json::{Value, json};

use crate::cli::{ImportArgs, ImportTagsArgs, Imported, ListedBy};
use crate::load::{Loading, counted};
use crate::output::{Exit, Failure, Output};

/// Findings in what was written that are shown; `ducto check` shows all.
const SHOWN: usize = 5;

pub(crate) fn run(args: &ImportArgs, output: &Output) -> Result<Exit, Failure> {
    let Imported::Tags(args) = &args.what;
    tags(args, output)
}

impl From<ListedBy> for Format {
    fn from(by: ListedBy) -> Self {
        match by {
            ListedBy::Kepware => Self::Kepware,
            ListedBy::Ignition => Self::Ignition,
            ListedBy::Neuron => Self::Neuron,
            ListedBy::Telegraf => Self::Telegraf,
        }
    }
}

fn tags(args: &ImportTagsArgs, output: &Output) -> Result<Exit, Failure> {
    let options = Options {
        format: args.from.map(Format::from),
        endpoint: args.endpoint.clone(),
        unit_id: args.unit_id,
        order: args.order,
        kind: args.kind.clone(),
        asset_depth: args.asset_depth,
    };
    let mut lists = Loading::new();
    let units = lists.registry.units().clone();
    let import = ducto_import::read(&args.files, &options, &units, &mut lists.sources, &mut lists.diagnostics);
    lists.print_findings(output);
    let Some(mut import) = import.filter(|import| !import.devices.is_empty()) else {
        return nothing(&lists, output);
    };
    let had_site = args.out.join("site.yaml").exists();
    let files = import.files(&site_name(&args.out), had_site, &options, &lists.sources);
    write(&args.out, &files, args.force)?;
    let checked = check(&args.out, &import);
    if output.is_json() {
        output.object(&report(args, &import, &files, &lists, checked.as_ref()));
    } else {
        output.print(&summary(args, &import, &files, &lists));
        match &checked {
            Some(written) => output.print(&check_text(args, written)),
            None => output.print(&format!("add to {}/site.yaml:\n{}", args.out.display(), indented(&files.site_lines))),
        }
    }
    let right = lists.diagnostics.is_ok() && checked.is_none_or(|written| written.diagnostics.is_ok());
    Ok(if right { Exit::Done } else { Exit::Findings })
}

/// What `check` says of the site; `None` where its `site.yaml` was there before and does not name what was written.
fn check(folder: &Path, import: &Import) -> Option<Loading> {
    let mut written = Loading::new();
    let Loading { registry, sources, diagnostics } = &mut written;
    let site = load_site_in_part(folder, registry, sources, diagnostics)?;
    let imported = import.devices.iter().all(|device| site.directory.asset_id(&device.name).is_some());
    imported.then_some(written)
}

/// No file could be used.
fn nothing(lists: &Loading, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.object(&lists.findings());
    } else {
        output.remark(&format!("{}; nothing was written", lists.summary()));
    }
    Err(Failure::said(Exit::Findings))
}

/// The folder's own name, for a site that has none.
fn site_name(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().map_or_else(|| "imported".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn write(folder: &Path, files: &Files, force: bool) -> Result<(), Failure> {
    let there: Vec<String> = files
        .files
        .iter()
        .map(|file| folder.join(&file.path))
        .filter(|path| path.exists())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if !force && !there.is_empty() {
        let message =
            format!("{} already there; name another folder with `--out`, or give `--force`", there.join(", "));
        return Err(Failure::new(Exit::Usage, message));
    }
    for file in &files.files {
        let path = folder.join(&file.path);
        let folder = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, &file.text)).map_err(|error| {
            let message = format!("cannot write `{}`: {error}; name another folder with `--out`", path.display());
            Failure::new(Exit::Data, message)
        })?;
    }
    Ok(())
}

fn summary(args: &ImportTagsArgs, import: &Import, files: &Files, lists: &Loading) -> String {
    let mut text = format!(
        "{}: {}, {}, {}, {} from {}\n",
        args.out.display(),
        counted(files.templates, "template"),
        counted(files.assets, "asset"),
        counted(files.tags, "tag"),
        counted(files.overrides, "override"),
        counted(args.files.len(), "file"),
    );
    text.push_str(&remarks_text(&import.remarks, lists));
    if !import.remarks.is_empty() {
        let path = args.out.join("import-report.csv");
        text.push_str(&format!("each of these with its place: {}\n", path.display()));
    }
    text
}

fn remarks_text(remarks: &Remarks, lists: &Loading) -> String {
    let mut text = String::new();
    for outcome in Outcome::ALL {
        let groups = remarks.groups(outcome);
        if !groups.is_empty() {
            text.push_str(&format!("\n{}\n", outcome.title()));
        }
        for group in groups {
            let first = group.first;
            let value = if first.value.is_empty() || first.setting.contains('`') {
                String::new()
            } else {
                format!(" `{}`", shorten(&first.value))
            };
            let more = if group.count > 1 { format!(", and {} more", group.count - 1) } else { String::new() };
            text.push_str(&format!("  {}{value}: {}\n", first.setting, first.reason));
            text.push_str(&format!("      {} at {}{more}\n", first.of, place_text(first.place, &lists.sources)));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= SHOWN { clean } else { clean.chars().take(SHOWN - 1).chain(['…']).collect() }
}

fn check_text(args: &ImportTagsArgs, written: &Loading) -> String {
    let mut first = Diagnostics::new();
    first.extend(written.diagnostics.sorted().into_iter().take(SHOWN).cloned());
    let mut text = first.render(&written.sources, false);
    if written.diagnostics.len() > SHOWN {
        text.push_str(&format!("… and {} more\n", written.diagnostics.len() - SHOWN));
    }
    text.push_str(&format!("ducto check {}: {}\n", args.out.display(), written.summary()));
    text
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

fn report(args: &ImportTagsArgs, import: &Import, files: &Files, lists: &Loading, checked: Option<&Loading>) -> Value {
    let written: Vec<String> = files.files.iter().map(|file| args.out.join(&file.path).display().to_string()).collect();
    json!({
        "out": args.out.display().to_string(),
        "written": written,
        "templates": files.templates,
        "assets": files.assets,
        "tags": files.tags,
        "overrides": files.overrides,
        "remarks": import.remarks.to_json(&lists.sources),
        "lists": lists.findings(),
        "check": checked.map(Loading::findings),
        "site_lines": checked.is_none().then_some(&files.site_lines),
    })
}
