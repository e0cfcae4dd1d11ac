//! The local socket of a running site: one JSON request a line, answers as JSON lines and pieces of Arrow streams.

pub(crate) mod answer;
pub(crate) mod client;
#[cfg(test)]
pub(crate) mod field;
pub mod protocol;
pub(crate) mod query;
pub(crate) mod server;
mod state;
pub(crate) mod tap;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;
mod watch;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Name of the socket in a data folder.
pub(crate) const NAME: &str = "ducto.sock";

/// Longest path that a socket's address takes, less the byte at its end.
const LONGEST: usize = 107;

/// A path of a folder's file as a socket's address: a longer one goes by way of the open folder.
pub(crate) struct Address {
    pub(crate) path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    pub(crate) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }
}
