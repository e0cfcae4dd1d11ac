//! `ducto data`: a data folder on which no site runs.

use std::path::{Path, PathBuf};

use ducto_storage::{Audit, Care, DataFolder, Finding, HeldFolder, StorageError, audit, repair};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{CareArgs, DataArgs, DataCommand, RepairArgs};
use crate::data;
use crate::output::{Exit, Failure, Output};
use crate::words::Language;

use super::text;

pub(crate) fn run(command: &DataCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        DataCommand::Inspect(args) => inspect(args, output),
        DataCommand::Verify(args) => verify(args, output),
        DataCommand::Repair(args) => mend(args, output),
    }
}

fn folder(args: &CareArgs) -> Result<PathBuf, Failure> {
    data::folder(&DataArgs { data: args.folder.clone() })
}

/// The language of whoever asks: there is no site that would say it.
fn language() -> Language {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set).unwrap_or_default();
    Language::of(locale.get(..2).unwrap_or_default())
}

fn unusable(error: StorageError) -> Failure {
    Failure::new(Exit::Data, error.to_string())
}

fn inspect(args: &CareArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = folder(args)?;
    let held = HeldFolder::open(&folder).map_err(unusable)?;
    let found = audit(&held, Care::Sizes, &mut |_| ()).map_err(unusable)?;
    if output.is_json() {
        output.object(&found);
    } else {
        output.print(&text::inventory(&folder, &found, language()));
    }
    Ok(Exit::Done)
}

/// Reads everything, with a bar for whoever watches.
fn read_whole(folder: &Path, output: &Output) -> Result<(Audit, u64), Failure> {
    let held = HeldFolder::open(folder).map_err(unusable)?;
    let bar = match output.is_watched() {
        true => {
            let all = audit(&held, Care::Sizes, &mut |_| ()).map_err(unusable)?.bytes();
            let style = ProgressStyle::with_template("{bar:40} {bytes} / {total_bytes}, {eta}");
            ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }
        false => ProgressBar::hidden(),
    };
    let mut bytes = 0;
    let found = audit(&held, Care::Whole, &mut |read| {
        bytes += read;
        bar.inc(read);
    });
    bar.finish_and_clear();
    Ok((found.map_err(unusable)?, bytes))
}

fn verify(args: &CareArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = folder(args)?;
    let (found, bytes) = read_whole(&folder, output)?;
    if output.is_json() {
        output.object(&json!({
            "data": folder.display().to_string(),
            "bytes": bytes,
            "damaged": found.is_damaged(),
            "findings": found.findings,
        }));
    } else {
        output.print(&text::findings(&folder, &found.findings, bytes, language()));
        if found.is_damaged() {
            output.line(language().how_to_repair());
        }
    }
    Ok(if found.is_damaged() { Exit::Findings } else { Exit::Done })
}

fn mend(args: &RepairArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = folder(&args.place)?;
    let (found, bytes) = read_whole(&folder, output)?;
    let mut findings = found.findings;
    let damaged = !findings.is_empty();
    if damaged && !args.dry_run {
        let open = DataFolder::open(&folder).map_err(unusable)?;
        findings = joined(findings, repair(&open).map_err(unusable)?);
    }
    let left = left(&folder, args.dry_run, damaged)?;
    if output.is_json() {
        output.object(&json!({
            "data": folder.display().to_string(),
            "bytes": bytes,
            "dry_run": args.dry_run,
            "findings": findings,
            "left": left,
        }));
    } else {
        output.print(&text::findings(&folder, &findings, bytes, language()));
        if args.dry_run && damaged {
            output.line(language().would_be_set_aside());
        } else if left > 0 {
            output.line(language().left_for_the_start());
        } else if damaged {
            output.line(language().repaired());
        }
    }
    Ok(if left > 0 { Exit::Findings } else { Exit::Done })
}

/// Findings that a repair has left, or would find.
fn left(folder: &Path, dry_run: bool, damaged: bool) -> Result<usize, Failure> {
    if !damaged {
        return Ok(0);
    }
    let care = if dry_run { Care::Whole } else { Care::Sizes };
    let held = HeldFolder::open(folder).map_err(unusable)?;
    let found = audit(&held, care, &mut |_| ()).map_err(unusable)?;
    // Entries that are gone stay gone: what was lost is told once, by the repair.
    let counts = |finding: &&Finding| !finding.fault.is_harmless() && finding.fault != ducto_storage::Fault::Gap;
    Ok(found.findings.iter().filter(counts).count())
}

/// What was found, with where it lies now; and what the repair told beside.
fn joined(found: Vec<Finding>, told: Vec<Finding>) -> Vec<Finding> {
    let mut told = told;
    let mut joined: Vec<Finding> = found
        .into_iter()
        .map(|mut finding| {
            if let Some(at) = told.iter().position(|other| other.path == finding.path) {
                let other = told.swap_remove(at);
                finding.set_aside = other.set_aside;
                finding.epochs = finding.epochs.or(other.epochs);
            }
            finding
        })
        .collect();
    joined.append(&mut told);
    joined
}
