//! Small files beside the datasets in which nodes note how far they are: how far a `file` sink holds what came
//! (`files/`), and what was replayed (`replays.json`). Their owners know more of them; here it is seen whether they are whole.

use std::path::{Path, PathBuf};

use ducto_record::Epoch;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::folder::FILES;
use crate::set_aside::set_aside;

const REPLAYS: &str = "replays.json";

/// How far a file holds what its node was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileHeld {
    /// `pipeline.node`.
    pub node: String,
    pub path: PathBuf,
    /// Everything of this epoch and those before it is in the file.
    pub epoch: Epoch,
    /// Bytes that the file had then.
    pub length: u64,
}

/// The positions of files, and the findings. Changes nothing.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn look(data: &Path) -> Result<(Vec<FileHeld>, Vec<Finding>), StorageError> {
    let (mut held, mut findings) = (Vec::new(), Vec::new());
    for path in positions(data)? {
        match position(&path)? {
            Ok(position) => held.push(position),
            Err(why) => findings.push(Finding::new(data, &path, Fault::Unreadable { why })),
        }
    }
    let path = data.join(REPLAYS);
    if let Some(why) = damage_of_replays(&path)? {
        findings.push(Finding::new(data, &path, Fault::Unreadable { why }));
    }
    Ok((held, findings))
}

/// Sets aside what is not whole.
///
/// # Errors
/// When a file cannot be read or moved.
pub(crate) fn repair(disk: &Disk, data: &Path) -> Result<Vec<Finding>, StorageError> {
    let (_, mut findings) = look(data)?;
    for finding in &mut findings {
        let to = set_aside(disk, data, &data.join(&finding.path))?;
        finding.set_aside = to.strip_prefix(data).ok().map(Path::to_owned);
    }
    Ok(findings)
}

fn positions(data: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let folder = data.join(FILES);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |error| FileError::new("read", &folder, error);
    let entries = std::fs::read_dir(&folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    Ok(paths)
}

/// The position, or what is wrong with it.
fn position(file: &Path) -> Result<Result<FileHeld, String>, StorageError> {
    #[derive(Deserialize)]
    struct Written {
        path: PathBuf,
        epoch: Epoch,
        length: u64,
    }
    let bytes = std::fs::read(file).map_err(|error| FileError::new("read", file, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let whole =
        text.split_once('\n').filter(|(json, sum)| sum.trim_end() == format!("{:016x}", xxh3_64(json.as_bytes())));
    let Some((json, _)) = whole else { return Ok(Err("its checksum does not fit".to_owned())) };
    let node = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let position = serde_json::from_str::<Written>(json).map_err(|error| error.to_string());
    Ok(position.map(|Written { path, epoch, length }| FileHeld { node, path, epoch, length }))
}

/// What is wrong with the notes of what was replayed. They have no checksum: what still reads is taken for whole.
fn damage_of_replays(path: &Path) -> Result<Option<String>, StorageError> {
    #[derive(Deserialize)]
    struct OfFormat {
        #[serde(rename = "format")]
        _format: u32,
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice::<OfFormat>(&bytes).err().map(|error| error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", path, error).into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_told_and_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(look(data).unwrap(), (vec![], vec![]));
        std::fs::create_dir(data.join(FILES)).unwrap();
        let json = r#"{"format":1,"path":"/data/lines.jsonl","epoch":7,"length":120}"#;
        let file = data.join(FILES).join("p.lines.json");
        std::fs::write(&file, format!("{json}\n{:016x}\n", xxh3_64(json.as_bytes()))).unwrap();
        std::fs::write(data.join(REPLAYS), r#"{"format":1,"stretches":[],"tags":[],"nodes":{}}"#).unwrap();
        let held = FileHeld { node: "p.lines".into(), path: "/data/lines.jsonl".into(), epoch: 7, length: 120 };
        assert_eq!(look(data).unwrap(), (vec![held], vec![]));

        std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("120", "130")).unwrap();
        std::fs::write(data.join(REPLAYS), r#"{"format":1,"stre"#).unwrap();
        let found = look(data).unwrap().1;
        let paths: Vec<_> = found.iter().map(|finding| finding.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["files/p.lines.json", "replays.json"]);
        let repaired = repair(&Disk::default(), data).unwrap();
        assert!(repaired.iter().all(|finding| data.join(finding.set_aside.as_ref().unwrap()).exists()), "{repaired:?}");
        assert_eq!(look(data).unwrap(), (vec![], vec![]));
    }
}
