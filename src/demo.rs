//! `ducto demo`.

use crate::cli::DemoArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &DemoArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`demo` is not in this build yet"))
}
