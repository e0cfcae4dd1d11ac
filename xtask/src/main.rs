//! What developers run beside cargo itself: `cargo xtask generate`.

mod generate;
mod oracle;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the workspace")]
struct Tasks {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write every file that is derived from the code: JSON Schemas and the reference.
    Generate {
        /// Write nothing; fail when a file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Kill a site, cut its power and let its disk fail, and compare what it kept with one pass over its log.
    Oracle {
        /// Rounds of each kind.
        #[arg(long, default_value_t = 200)]
        rounds: u64,
        /// The first seed; every round has the next one.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Every round has that seed: for a failure that does not come each time.
        #[arg(long)]
        again: bool,
        /// Rounds of one kind: `kill`, `errors`, `cut`, `older` or `whole`.
        #[arg(long)]
        kind: Option<oracle::KindArg>,
        /// The operation of the disk at which the power goes, as a failure of kind `cut` prints it; without it, each
        /// seed has the next of all.
        #[arg(long)]
        at: Option<ducto_oracle::Operation>,
    },
}

fn main() -> ExitCode {
    let check = match Tasks::parse().task {
        Task::Generate { check } => check,
        Task::Oracle { rounds, seed, again, kind, at } => {
            let seeds = (0..rounds).map(|round| if again { seed } else { seed.saturating_add(round) });
            return oracle::run(&seeds.collect::<Vec<_>>(), kind, at.as_ref());
        }
    };
    let root = generate::workspace();
    let done = if check { generate::check(&root) } else { generate::write(&root) };
    match done {
        Ok(files) => {
            println!("{files} generated files are {}", if check { "up to date" } else { "written" });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
