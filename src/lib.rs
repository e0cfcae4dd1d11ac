//! The command line of Ducto: parse, call, print. What the commands do is done by the crates below.

pub mod cli;

mod bench;
mod check;
mod complete;
mod explain;
mod graph;
mod interrupt;
mod load;
mod logging;
mod output;
mod replay;
mod table;
mod test;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use output::{Exit, Failure, Output};

/// Parses the arguments of the process, does what they say, and gives the exit code that `ducto --help` documents.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let output = Output::new(cli.json, cli.color);
    logging::start(cli.command.log_format(), cli.command.is_long(), output.colored());
    match dispatch(&cli, &output) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn dispatch(cli: &Cli, output: &Output) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Check(args) => check::run(args, output),
        Command::Graph(args) => graph::run(args, output),
        Command::Test(args) => test::run(args, output),
        Command::Replay(args) => replay::run(args, output),
        Command::Explain(args) => explain::run(args, output),
        Command::Bench(args) => bench::run(args, output),
        _ => Err(Failure::new(Exit::Usage, "not in this build yet")),
    }
}
