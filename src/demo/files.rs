//! The demo site as the binary carries it, and what its user has made of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the templates say that the devices are.
pub(super) const ADDRESS: &str = "127.0.0.1:5020";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../site-configs/demo/", $name)))),*] };
}

const FILES: [(&str, &str); 9] = files![
    "site.yaml",
    "wells.csv",
    "separators.csv",
    "overrides.csv",
    "templates/esp-well.yaml",
    "templates/rtu-well.yaml",
    "templates/separator.yaml",
    "pipelines/separators.yaml",
    "simulation.yaml",
];

/// Name of the scenario among the files.
pub(super) const SCENARIO: &str = "simulation.yaml";

/// Where the files lie as they were written, to know what has been changed since.
const WRITTEN: &str = ".written";
/// The device's address in those.
const WRITTEN_ADDRESS: &str = "address";

/// Writes the site, with the device at this address. What its user has changed is kept, but for the address: gives
/// those files.
pub(super) fn write(folder: &Path, address: SocketAddr) -> io::Result<Vec<PathBuf>> {
    let written = folder.join(WRITTEN);
    let old = read(&written.join(WRITTEN_ADDRESS))?.unwrap_or_else(|| ADDRESS.to_owned());
    let endpoint = |address: &str| format!("tcp://{address}");
    let mut kept = Vec::new();
    for (name, text) in FILES {
        let (path, copy) = (folder.join(name), written.join(name));
        let text = text.replace(&endpoint(ADDRESS), &endpoint(&address.to_string()));
        let before = read(&copy)?;
        match read(&path)? {
            Some(found) if found != text && before.as_ref() != Some(&found) => {
                let moved = found.replace(&endpoint(&old), &endpoint(&address.to_string()));
                if moved != found {
                    fs::write(&path, &moved)?;
                }
                // Of a demo from before there were copies only the address may differ.
                if moved != text {
                    kept.push(path);
                }
            }
            Some(found) if found == text => {}
            _ => put(&path, &text)?,
        }
        if before.as_ref() != Some(&text) {
            put(&copy, &text)?;
        }
    }
    put(&written.join(WRITTEN_ADDRESS), &address.to_string())?;
    Ok(kept)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        // Whatever else an editor made of it, it is a change.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn what_was_changed_is_kept_and_the_rest_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(write(folder.path(), address(5020)).unwrap().is_empty());
        let template = fs::read_to_string(path("templates/esp-well.yaml")).unwrap();
        // A limit, and a file that was removed.
        fs::write(path("templates/esp-well.yaml"), template.replace("limit: 500", "limit: 400")).unwrap();
        fs::remove_file(path("overrides.csv")).unwrap();
        for _ in 0..2 {
            let kept = write(folder.path(), address(6020)).unwrap();
            assert_eq!(kept, [path("templates/esp-well.yaml")]);
            let changed = fs::read_to_string(path("templates/esp-well.yaml")).unwrap();
            assert!(changed.contains("limit: 400") && changed.contains("tcp://127.0.0.1:6020"), "{changed}");
            assert!(path("overrides.csv").exists());
        }
        // What is as it was written follows the binary; a newer one brings other text.
        for name in ["wells.csv", ".written/wells.csv"] {
            fs::write(path(name), "of an older version").unwrap();
        }
        assert_eq!(write(folder.path(), address(6020)).unwrap().len(), 1);
        assert_eq!(fs::read_to_string(path("wells.csv")).unwrap(), FILES[1].1);
    }

    #[test]
    fn a_demo_from_before_there_were_copies_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), address(5020)).unwrap();
        fs::remove_dir_all(folder.path().join(WRITTEN)).unwrap();
        assert!(write(folder.path(), address(6020)).unwrap().is_empty());
    }

    /// The binary carries every file of the folder, so that what is read there is what runs.
    #[test]
    fn no_file_of_the_demo_is_left_out() {
        fn list(folder: &Path, under: &str, names: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = format!("{under}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    list(&entry.path(), &format!("{name}/"), names);
                } else {
                    names.insert(name);
                }
            }
        }
        let mut names = BTreeSet::new();
        list(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("site-configs/demo"), "", &mut names);
        assert_eq!(names, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
}
