//! `ducto simulate`.

use crate::cli::SimulateArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &SimulateArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`simulate` is not in this build yet"))
}
