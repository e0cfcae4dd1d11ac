//! `ducto connect`: devices looked at before, or beside, a site that reads them.

mod endpoint;
mod overrides;
mod plan;
pub(crate) mod site;
mod suggestions;

use crate::cli::ConnectArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &ConnectArgs, output: &Output) -> Result<Exit, Failure> {
    if args.target.contains("://") { endpoint::run(args, output) } else { site::run(args, output) }
}
