//! Reading a file, or refusing it in words that say what to do.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, did_you_mean};

/// Decodes UTF-8 and drops a byte-order mark; the error says where the text stops being UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("the file is UTF-16, not UTF-8".to_owned());
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let offset = error.valid_up_to();
            let line = bytes[..offset].iter().filter(|byte| **byte == b'\n').count() + 1;
            let byte = bytes.get(offset).copied().unwrap_or(0);
            Err(format!("the file is not UTF-8: byte 0x{byte:02X} at offset {offset} (line {line})"))
        }
    }
}

/// Why a file is not read.
pub(super) enum Refusal {
    Missing,
    Directory,
    NotRegular,
    TooLarge,
    Io(std::io::Error),
}

impl Refusal {
    pub(super) fn diagnostic(&self, path: &Path, limit: u64) -> Diagnostic {
        let whole = path;
        let path = path.display();
        match self {
            Refusal::Missing => {
                let diagnostic = Diagnostic::new(Code::FileMissing, format!("the file `{path}` does not exist"));
                match neighbour(whole) {
                    Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
                    None => diagnostic,
                }
            }
            Refusal::Directory => {
                Diagnostic::new(Code::FileIsDirectory, format!("`{path}` is a directory, and a file is expected"))
            }
            Refusal::NotRegular => Diagnostic::new(Code::FileUnreadable, format!("`{path}` is not a regular file"))
                .help("name a file on disk, not a device, pipe or socket"),
            Refusal::TooLarge => {
                Diagnostic::new(Code::FileTooLarge, format!("the file `{path}` is larger than {} MB", limit >> 20))
                    .help("split the file, or check that it is the one you meant")
            }
            Refusal::Io(error) => {
                Diagnostic::new(Code::FileUnreadable, format!("the file `{path}` cannot be read: {error}"))
                    .help("check the permissions of the file and of its folders")
            }
        }
    }
}

/// The file of the same folder whose name is nearest to one that is not there.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    did_you_mean(path.file_name()?.to_str()?, names.iter().map(String::as_str))
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Refusal::Missing,
            ErrorKind::IsADirectory => Refusal::Directory,
            _ => Refusal::Io(error),
        }
    }
}

/// The bytes of a regular file of at most `limit` bytes.
pub(super) fn regular(path: &Path, limit: u64) -> Result<Vec<u8>, Refusal> {
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(Refusal::Directory);
    }
    if !metadata.is_file() {
        return Err(Refusal::NotRegular);
    }
    if metadata.len() > limit {
        return Err(Refusal::TooLarge);
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Refusal::TooLarge);
    }
    Ok(bytes)
}
