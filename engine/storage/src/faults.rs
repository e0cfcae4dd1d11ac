//! Failures on purpose: a test says after how many changes of the file system below a folder the next one fails.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::FileError;

/// What happens when the count has run down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This change and all that follow fail, as if the process had stopped.
    Crash,
    /// Changes that need space fail until the fault is lifted.
    DiskFull,
    /// Exchanges fail with this number, from the first on, whatever the count.
    Exchange(rustix::io::Errno),
}

struct Armed {
    fault: Fault,
    left: u64,
}

static ARMED: Mutex<Option<HashMap<PathBuf, Armed>>> = Mutex::new(None);

fn armed() -> MutexGuard<'static, Option<HashMap<PathBuf, Armed>>> {
    ARMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets `after` changes below `root` pass.
pub(crate) fn arm(root: &Path, fault: Fault, after: u64) {
    armed().get_or_insert_default().insert(root.to_owned(), Armed { fault, left: after });
}

/// Lifts the fault and says how many changes could still have passed.
pub(crate) fn lift(root: &Path) -> u64 {
    armed().get_or_insert_default().remove(root).map_or(0, |armed| armed.left)
}

pub(crate) fn before(operation: &'static str, path: &Path) -> Result<(), FileError> {
    let mut armed = armed();
    let Some((_, fault)) = armed.get_or_insert_default().iter_mut().find(|(root, _)| path.starts_with(root)) else {
        return Ok(());
    };
    if fault.fault == Fault::DiskFull && !matches!(operation, "create" | "write" | "sync") {
        return Ok(());
    }
    if let Fault::Exchange(errno) = fault.fault {
        return if operation == crate::files::EXCHANGE {
            Err(FileError::new(operation, path, errno.into()))
        } else {
            Ok(())
        };
    }
    if fault.left > 0 {
        fault.left -= 1;
        return Ok(());
    }
    let error = match fault.fault {
        Fault::Crash => io::Error::other("stopped by the test"),
        Fault::Exchange(errno) => errno.into(),
        Fault::DiskFull => io::Error::from(io::ErrorKind::StorageFull),
    };
    Err(FileError::new(operation, path, error))
}
