//! What goes wrong with a running site and its socket, in words that end in what the reader can do.

use std::path::PathBuf;

use ducto_query::QueryError;
use ducto_runtime::RuntimeError;
use ducto_storage::StorageError;
use thiserror::Error;

use crate::protocol::Refusal;

/// Why a site does not start.
#[derive(Debug, Error)]
pub enum SiteError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the socket `{}` cannot be opened: {source}; name a data folder on a local disk with `--data`", path.display())]
    Socket { path: PathBuf, source: std::io::Error },
}

/// Why a running site did not answer.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the socket `{}` cannot be opened: {source}; run this as the user who runs the site", path.display())]
    Connect { path: PathBuf, source: std::io::Error },
    #[error("the site stopped before it had answered; start it again, or ask once more to read what it left")]
    Stopped,
    #[error("the site answered what this version does not know: {0}; use the version of `ducto` that runs the site")]
    Foreign(String),
    #[error("{}", .0.message)]
    Refused(Refusal),
}
