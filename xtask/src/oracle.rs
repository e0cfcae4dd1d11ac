//! `cargo xtask oracle`.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::ValueEnum;
use ducto_oracle::{Kind, Operation, Round, run_all};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    Kill,
    Errors,
    Cut,
    Older,
    Whole,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Kill => Self::Kill,
            KindArg::Errors => Self::Errors,
            KindArg::Cut => Self::Cut,
            KindArg::Older => Self::Older,
            KindArg::Whole => Self::Whole,
        }
    }
}

/// What came of all rounds of a kind.
#[derive(Default)]
struct Sums {
    failures: usize,
    entries: u64,
    faults: usize,
    cut: usize,
}

pub(crate) fn run(seeds: &[u64], kind: Option<KindArg>, at: Option<&Operation>) -> ExitCode {
    let kinds = match (kind, at) {
        (Some(kind), _) => vec![kind.into()],
        (None, Some(_)) => vec![Kind::Cut],
        (None, None) => Kind::ALL.to_vec(),
    };
    let mut failures = 0;
    for kind in kinds {
        match of_kind(kind, seeds, at) {
            Ok(failed) => failures += failed,
            Err(failure) => {
                eprintln!("error: {failure}");
                failures += 1;
            }
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Answers how many do not hold.
fn of_kind(kind: Kind, seeds: &[u64], at: Option<&Operation>) -> Result<usize, ducto_oracle::Failure> {
    // Built beside this program.
    let ducto = std::env::current_exe().ok().map(|path| path.with_file_name("ducto")).filter(|path| path.is_file());
    let operations = match (kind, at) {
        (Kind::Cut, Some(at)) => std::slice::from_ref(at),
        (Kind::Cut, None) => ducto_oracle::operations()?,
        _ => &[],
    };
    // In turn: each seed is cut at the operation behind that of the seed before.
    let at = |seed: u64| operations.iter().cycle().nth(usize::try_from(seed).unwrap_or(0) % operations.len().max(1));
    let rounds: Vec<Round> = seeds
        .iter()
        .map(|&seed| Round { at: at(seed).cloned(), ducto: ducto.clone(), ..Round::new(kind, seed) })
        .collect();
    let sums = Mutex::new(Sums::default());
    let started = Instant::now();
    run_all(&rounds, |_, result| {
        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(seen) => {
                sums.entries += seen.entries;
                sums.faults += seen.faults;
                sums.cut += usize::from(seen.cut);
            }
            Err(failure) => {
                sums.failures += 1;
                eprintln!("error: {failure}");
            }
        }
    });
    let Sums { failures, entries, faults, cut } = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (rounds, seconds) = (rounds.len(), started.elapsed().as_secs());
    println!("{kind}: {rounds} rounds in {seconds} s, {failures} do not hold, {faults} faults, {entries} entries");
    if kind == Kind::Cut {
        let all = operations.len();
        println!("{kind}: in {cut} of them the power went at their operation, of {all} in turn");
    }
    Ok(failures)
}
