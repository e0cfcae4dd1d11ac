//! `ducto replay`.

use crate::cli::ReplayArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &ReplayArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`replay` is not in this build yet"))
}
