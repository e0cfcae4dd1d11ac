//! `ducto query`.

use crate::cli::QueryArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &QueryArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "queries are not in this build yet"))
}
