//! What goes wrong while a site runs.

use std::any::Any;
use std::sync::Arc;

use ducto_graph::operator::BuildError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the worker threads could not be started: {0}")]
    Workers(String),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("there is no pipeline `{0}`; `ducto graph` lists them")]
    NoPipeline(Arc<str>),
    #[error("pipeline `{pipeline}` has no node `{node}` with a port `{port}`; `ducto graph` shows them")]
    NoPort { pipeline: Arc<str>, node: String, port: String },
    #[error("a pipeline `{0}` runs already")]
    Duplicate(Arc<str>),
    #[error("the last states of a pipeline cannot be read: {0}")]
    State(#[from] ducto_record::StateError),
    #[error("the site is stopping")]
    Stopping,
    #[error("sink `{pipeline}.{node}` could not finish: {message}")]
    Finish { pipeline: Arc<str>, node: Arc<str>, message: String },
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("a fault in the operator (panic): {said}")
}
