//! The files that sinks write beside the datasets: no two nodes write one.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::pipeline::NodeConfig;
use crate::tree::Spanned;

use super::check::Flat;

/// Two nodes that write one file would write into each other's lines. Links, and absolute paths into the data folder,
/// which is not known here, are looked at when the site starts.
pub(super) fn check_shared_files(flat: &Flat<'_>, diagnostics: &mut Diagnostics) {
    let mut written: BTreeMap<PathBuf, (usize, Spanned<String>)> = BTreeMap::new();
    for number in flat.numbers() {
        let Some(NodeConfig::Sink(config)) = &flat.node(number).config else { continue };
        let Some(file) = config.file() else { continue };
        match written.get(&plain(Path::new(&file.value))) {
            None => {
                written.insert(plain(Path::new(&file.value)), (number, file));
            }
            Some((first, place)) => {
                let name = |number: usize| format!("`{}.{}`", flat.pipeline(number).id, flat.node(number).id.value);
                let message = format!("{} and {} both write the file `{}`", name(*first), name(number), file.value);
                diagnostics.push(
                    Diagnostic::new(Code::FileShared, message)
                        .at(file.place)
                        .note_at(place.place, "the first is here")
                        .help("give each a file of its own, or give one node both inputs"),
                );
            }
        }
    }
}

/// The path without `.` and `..`, as far as that can be said without the file system.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_path() {
        for path in ["out.csv", "./out.csv", "a/../out.csv", "a//..//./out.csv"] {
            assert_eq!(plain(Path::new(path)), Path::new("out.csv"), "{path}");
        }
        assert_eq!(plain(Path::new("/srv/./x/../out.csv")), Path::new("/srv/out.csv"));
        assert_eq!(plain(Path::new("../out.csv")), Path::new("../out.csv"));
    }
}
