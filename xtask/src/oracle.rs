//! `cargo xtask oracle`.

use std::process::ExitCode;

use clap::ValueEnum;
use ducto_oracle::{Kind, Round};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    Kill,
    Errors,
    Cut,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Kill => Self::Kill,
            KindArg::Errors => Self::Errors,
            KindArg::Cut => Self::Cut,
        }
    }
}

pub(crate) fn run(rounds: u64, seed: u64, kind: Option<KindArg>) -> ExitCode {
    let kinds = kind.map_or_else(|| vec![Kind::Kill, Kind::Errors, Kind::Cut], |kind| vec![kind.into()]);
    // Built beside this program.
    let ducto = std::env::current_exe().ok().map(|path| path.with_file_name("ducto")).filter(|path| path.is_file());
    let mut failures = 0;
    for kind in kinds {
        let (mut entries, mut faults) = (0, 0);
        for seed in seed..seed.saturating_add(rounds) {
            match (Round { kind, seed, ducto: ducto.clone(), forgetful: false }).run() {
                Ok(seen) => {
                    entries += seen.entries;
                    faults += seen.faults;
                }
                Err(failure) => {
                    failures += 1;
                    eprintln!("error: {failure}");
                }
            }
        }
        println!("{kind}: {rounds} rounds, {faults} faults, {entries} entries");
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
