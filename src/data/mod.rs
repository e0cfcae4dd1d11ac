//! Data folders: which one is meant, and looking after one.

pub(crate) mod care;
mod text;
mod words;

use std::path::{Path, PathBuf};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::source::Sources;

use crate::cli::DataArgs;
use crate::output::{Exit, Failure};

/// Where sites keep their data unless they are told otherwise.
const DATA: &str = "data";

/// The data folder of a site that names none.
pub(crate) fn default_for(site: &str) -> PathBuf {
    Path::new(DATA).join(site)
}

/// The data folder that a command is about; it exists.
pub(crate) fn folder(place: &DataArgs) -> Result<PathBuf, Failure> {
    let Some(named) = &place.data else { return only_one() };
    if named.join("site.yaml").exists() || named.file_name().is_some_and(|name| name == "site.yaml") {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let site = load_site(named, &ducto_operators::registry(), &mut sources, &mut diagnostics);
        return match site {
            Some(site) => existing(default_for(&site.name)),
            None => Err(Failure::new(
                Exit::Refused,
                format!(
                    "the site `{}` has mistakes; `ducto check` shows them, or name its data folder",
                    named.display()
                ),
            )),
        };
    }
    existing(named.clone())
}

fn existing(folder: PathBuf) -> Result<PathBuf, Failure> {
    if is_data_folder(&folder) {
        return Ok(folder);
    }
    let why = if folder.exists() { "is no data folder" } else { "does not exist" };
    let message = format!("`{}` {why}; name the one that `ducto run` prints, with `--data`", folder.display());
    Err(Failure::new(Exit::Usage, message))
}

fn is_data_folder(folder: &Path) -> bool {
    ["manifests", "journal", "datasets"].iter().any(|part| folder.join(part).is_dir())
}

fn only_one() -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(DATA).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_data_folder(path)).collect();
    folders.sort();
    match folders.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let message = "there is no data folder in `./data`: start a site here with `ducto run SITE` or `ducto demo`, \
                           go to where one was started, or name its folder with `--data`";
            Err(Failure::new(Exit::Usage, message))
        }
        several => {
            let names: Vec<String> = several.iter().map(|path| format!("`{}`", path.display())).collect();
            let message = format!("there are several data folders: {}; name one with `--data`", names.join(", "));
            Err(Failure::new(Exit::Usage, message))
        }
    }
}
