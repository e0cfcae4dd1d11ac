//! What developers run beside cargo itself: `cargo xtask generate`.

mod generate;

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
}

fn main() -> ExitCode {
    let Task::Generate { check } = Tasks::parse().task;
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
