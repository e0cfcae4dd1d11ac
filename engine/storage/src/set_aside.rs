//! What is done with files that are not what they should be: they are kept beside, and told.

use std::fmt;
use std::path::{Path, PathBuf};

use ducto_record::Epoch;

use crate::disk::Disk;
use crate::error::StorageError;

/// Where damaged files and pieces of files of a folder go.
pub(crate) const DAMAGED: &str = "damaged";

/// Something that was not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub what: String,
    /// Where it lies now, for a person to look at.
    pub set_aside: Option<PathBuf>,
    /// Epochs that are gone, first and last; [`Epoch::MAX`] where nothing tells the last.
    pub lost: Option<(Epoch, Epoch)>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.what)?;
        match self.lost {
            Some((first, Epoch::MAX)) => write!(f, "; entries from {first} on are lost")?,
            Some((first, last)) if first == last => write!(f, "; entry {first} is lost")?,
            Some((first, last)) => write!(f, "; entries {first} to {last} are lost")?,
            None => write!(f, "; no entry is lost")?,
        }
        match &self.set_aside {
            Some(path) => write!(f, "; what stood there lies in `{}`", path.display()),
            None => Ok(()),
        }
    }
}

/// Moves a file of a data folder to the same place below its folder `damaged`, and says where it is now.
pub(crate) fn set_aside(disk: &Disk, data: &Path, path: &Path) -> Result<PathBuf, StorageError> {
    let inside = path.strip_prefix(data).unwrap_or(path);
    let folder = data.join(DAMAGED).join(inside.parent().unwrap_or(Path::new("")));
    disk.create_folder(&folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let others = (1..).map(|at| folder.join(format!("{name}.{at}")));
    let mut free = std::iter::once(folder.join(&name)).chain(others).filter(|path| !path.exists());
    let to = free.next().unwrap_or_else(|| folder.join(&name));
    disk.rename(path, &to)?;
    disk.sync_folder(&folder)?;
    if let Some(parent) = path.parent() {
        disk.sync_folder(parent)?;
    }
    Ok(to)
}

/// A place below `folder` for something of the name of `path`, not taken yet.
pub(crate) fn place_for(disk: &Disk, folder: &Path, path: &Path) -> Result<PathBuf, StorageError> {
    let damaged = folder.join(DAMAGED);
    disk.create_folder(&damaged)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (0..).map(|at| damaged.join(format!("{name}.{at}"))).find(|path| !path.exists());
    Ok(free.unwrap_or_else(|| damaged.join(name)))
}
