//! `ducto schema`.

use crate::cli::SchemaArgs;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(_args: &SchemaArgs, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Usage, "`schema` is not in this build yet"))
}
