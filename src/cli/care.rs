//! Arguments of `ducto data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
These commands work on the files of a site that does not run, and refuse while one does (exit code 4).

Examples:
  ducto data inspect data/CAMPO-NORTE      what lies there: journal, checkpoints, datasets
  ducto data verify data/CAMPO-NORTE       reads everything; exit code 1 where something is damaged
  ducto data repair data/CAMPO-NORTE --dry-run")]
pub struct DataFolderArgs {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show what a data folder holds.
    Inspect(CareArgs),
    /// Read every file of a data folder, and list what is damaged, with the rows and entries concerned.
    Verify(CareArgs),
    /// Set aside what is damaged, make again what can be made again, and say what is lost. Nothing is deleted.
    Repair(RepairArgs),
}

#[derive(Debug, Args)]
pub struct CareArgs {
    /// Data folder, or the folder of a site whose data lies in `./data/<site>`; by default the only one in `./data`.
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    pub place: CareArgs,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
