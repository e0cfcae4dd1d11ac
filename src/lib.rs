//! The command line of Ducto: parse, call, print. What the commands do is done by the crates below.

pub mod cli;

mod alarms;
mod ask;
mod bench;
mod causes;
mod check;
mod complete;
mod connect;
mod data;
mod demo;
mod explain;
mod graph;
mod host;
mod import;
mod interrupt;
mod load;
mod logging;
mod open_files;
mod output;
mod pattern;
mod query;
mod read;
mod reading;
mod replay;
mod run;
mod schema;
mod screen;
mod simulate;
mod stored;
mod table;
mod tap;
mod test;
mod times;
mod top;
mod words;

use std::process::ExitCode;

use clap::Parser;
use cli::{AlarmCommand, Cli, Command};
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
    logging::start(cli.command.log_format(), cli.command.logged(), output.colored());
    open_files::allow_many();
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
        Command::Run(args) => run::run(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Graph(args) => graph::run(args, output),
        Command::Test(args) => test::run(args, output),
        Command::Replay(args) => replay::run(args, output),
        Command::Query(args) => query::run(args, output),
        Command::Data(args) => data::care::run(&args.command, output),
        Command::Explain(args) => explain::run(args, output),
        Command::Tap(args) => tap::run(args, output),
        Command::Top(args) => top::run(args, output),
        Command::Alarms(args) => match &args.command {
            None => alarms::run(args, output),
            Some(AlarmCommand::Ack(act)) => alarms::act(alarms::Verb::Acknowledge, &args.place, act, output),
            Some(AlarmCommand::Reset(act)) => alarms::act(alarms::Verb::Reset, &args.place, act, output),
        },
        Command::Connect(args) => connect::run(args, output),
        Command::Read(args) => read::run(args, output),
        Command::Import(args) => import::run(args, output),
        Command::Bench(args) => bench::run(args, output),
        Command::Schema(args) => schema::run(args, output),
        Command::Completions(args) => complete::run(args, output),
        Command::Simulate(args) => simulate::run(args, output),
        Command::Demo(args) => demo::run(args, output),
    }
}
