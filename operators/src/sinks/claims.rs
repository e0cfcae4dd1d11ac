//! Which sink writes which file: no two the same, and none what the data folder keeps.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError};

use thiserror::Error;

use super::Historians;

impl Historians {
    /// Takes a file for a sink until the claim is dropped.
    pub(super) fn claim(self: &Arc<Self>, file: &Path) -> Result<Claim, ClaimError> {
        let own = resolved(file);
        let inside = resolved(self.folder().path());
        if let Some(kept) = own.strip_prefix(&inside).ok().and_then(own_place) {
            return Err(ClaimError::Own { file: own, kept });
        }
        if !self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(own.clone()) {
            return Err(ClaimError::Taken { file: own });
        }
        Ok(Claim { historians: self.clone(), file: own })
    }
}

/// Why a sink cannot have a file.
#[derive(Debug, Error)]
pub(super) enum ClaimError {
    #[error("another sink writes `{}` too; give each a file of its own", file.display())]
    Taken { file: PathBuf },
    #[error("`{}` is where the data folder keeps `{kept}`; name another file or folder", file.display())]
    Own { file: PathBuf, kept: &'static str },
}

/// What of the data folder a path in it means that Ducto keeps there itself.
pub(super) fn own_place(path: &Path) -> Option<&'static str> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir if parts.pop().is_none() => return None,
            Component::RootDir | Component::Prefix(_) => return None,
            _ => {}
        }
    }
    let first = parts.first()?;
    ducto_storage::OWN.into_iter().find(|own| first.eq_ignore_ascii_case(own))
}

/// The path as the file system knows it, as far as it is there: without links, `..`, and other ways to one folder.
fn resolved(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut there = path;
    loop {
        if let Ok(real) = there.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                there = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            }
            _ => return path.to_owned(),
        }
    }
}

/// A file that one sink writes.
#[derive(Debug)]
pub(super) struct Claim {
    historians: Arc<Historians>,
    file: PathBuf,
}

impl Claim {
    pub(super) fn is_closing(&self) -> bool {
        self.historians.is_closing()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.historians.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ducto_storage::DataFolder;

    #[test]
    fn a_file_has_one_sink_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let historians = Arc::new(Historians::open(Arc::new(DataFolder::open(&data).unwrap())).unwrap());
        std::os::unix::fs::symlink(&data, folder.path().join("link")).unwrap();
        // Neither the file nor its folder are there yet.
        let first = historians.claim(&data.join("out/x.csv")).unwrap();
        let link = folder.path().join("link/out/x.csv");
        for other in [data.join("./out/x.csv"), link.clone()] {
            assert!(matches!(historians.claim(&other), Err(ClaimError::Taken { .. })), "{other:?}");
        }
        drop(first);
        let _second = historians.claim(&link).unwrap();
        for own in [data.join("VERSION"), folder.path().join("link/datasets/x.csv"), data.join("views.sql")] {
            assert!(matches!(historians.claim(&own), Err(ClaimError::Own { .. })), "{own:?}");
        }
    }

    #[test]
    fn what_the_data_folder_keeps_is_known() {
        for path in ["VERSION", "./datasets/x.csv", "a/../views.sql", "Datasets/x.csv"] {
            assert!(own_place(Path::new(path)).is_some(), "{path}");
        }
        for path in ["x.csv", "export/datasets/x.csv", "/srv/datasets/x.csv", "../datasets/x.csv"] {
            assert!(own_place(Path::new(path)).is_none(), "{path}");
        }
    }
}
