//! `ducto bench`.

use crate::cli::BenchArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &BenchArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`bench` is not in this build yet"))
}
