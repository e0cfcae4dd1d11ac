//! The demo site as the binary carries it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

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

/// Writes the site, with the devices at this address.
pub(super) fn write(folder: &Path, address: SocketAddr) -> io::Result<()> {
    for (name, text) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text.replace(&format!("tcp://{ADDRESS}"), &format!("tcp://{address}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

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
