//! `ducto test`.

use crate::cli::TestArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &TestArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`test` is not in this build yet"))
}
