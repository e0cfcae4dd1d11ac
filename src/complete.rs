//! `ducto completions`.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &CompletionsArgs, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ducto", &mut script);
    output.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
