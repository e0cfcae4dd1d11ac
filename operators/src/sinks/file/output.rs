//! A file of whole lines.

use std::path::{Path, PathBuf};

use ducto_record::Micros;
use ducto_storage::FileError;
use ducto_storage::disk::{AppendedFile, Disk};
use thiserror::Error;

/// What went wrong with the file.
#[derive(Debug, Error)]
pub(super) enum FileSinkError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} begins with the header `{found}` and not with `{expected}`; move it away, or write to another file", path.display())]
    Header { path: PathBuf, expected: String, found: String },
}

/// A file of whole lines. It is opened anew after a failure: what was written of a line is removed then.
pub(super) struct Output {
    disk: Disk,
    path: PathBuf,
    header: Vec<u8>,
    file: Option<AppendedFile>,
    /// What the file holds of epochs that will come again.
    again: Vec<u8>,
}

impl Output {
    pub(super) fn new(disk: Disk, path: PathBuf, header: Vec<u8>) -> Self {
        Self { disk, path, header, file: None, again: Vec::new() }
    }

    pub(super) fn file(&mut self) -> Result<&mut AppendedFile, FileSinkError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        Ok(self.file.insert(file))
    }

    fn open(&self) -> Result<AppendedFile, FileSinkError> {
        let (path, header) = (&self.path, &self.header);
        let mut file = self.disk.append(path)?;
        let length = whole_lines(&file)?;
        if length < file.length() {
            tracing::warn!(path = %path.display(), "the last line was cut short and is removed");
            file.cut(length)?;
        }
        if length > 0 && !header.is_empty() {
            let mut found = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(header.len())];
            file.read(0, &mut found)?;
            if found != *header {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
                let (expected, found) = (text(header), text(&found));
                return Err(FileSinkError::Header { expected, found, path: path.clone() });
            }
        }
        Ok(file)
    }

    /// Takes note of what stands behind this length.
    pub(super) fn read_behind(&mut self, length: u64) -> Result<(), FileSinkError> {
        let header = self.header.len() as u64;
        let file = self.file()?;
        let from = if length == 0 { header } else { length };
        // A file that is shorter has been moved away or rotated.
        let mut again = vec![0; usize::try_from(file.length().saturating_sub(from)).unwrap_or(0)];
        if !again.is_empty() {
            file.read(from, &mut again)?;
            self.again = again;
        }
        Ok(())
    }

    /// Bytes at the end of the file of epochs that have not come again yet.
    pub(super) fn expected(&self) -> u64 {
        self.again.len() as u64
    }

    /// Writes what of `text` does not stand there already.
    pub(super) fn write_new(&mut self, text: &[u8]) -> Result<(), FileSinkError> {
        if self.again.starts_with(text) {
            self.again.drain(..text.len());
            return Ok(());
        }
        // What does not come again, because there was no journal to give it again, stays.
        let new = text.strip_prefix(self.again.as_slice()).unwrap_or(text);
        self.write(new)?;
        self.again.clear();
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        self.file.as_ref().map_or(0, AppendedFile::length)
    }

    /// All of it or nothing.
    fn write(&mut self, text: &[u8]) -> Result<(), FileSinkError> {
        let header = self.header.clone();
        let file = self.file()?;
        let written = if file.length() == 0 { file.append(&[&header, text].concat()) } else { file.append(text) };
        if written.is_err() {
            self.file = None;
        }
        Ok(written?)
    }

    /// Gives the file a name with this time; the next line begins a new one.
    pub(super) fn rotate(&mut self, now: Micros) -> Result<(), FileSinkError> {
        self.file()?.sync()?;
        self.disk.rename(&self.path, &dated(&self.path, now))?;
        self.file = None;
        Ok(())
    }
}

/// Bytes up to and with the last line end.
fn whole_lines(file: &AppendedFile) -> Result<u64, FileError> {
    let mut end = file.length();
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.read(start, block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A name that is not taken: `alarms.20260101T000000Z.jsonl`, then `alarms.20260101T000000Z-2.jsonl`.
fn dated(path: &Path, now: Micros) -> PathBuf {
    let stamp = jiff::Timestamp::from_microsecond(now).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    let name = |suffix: &str| path.with_file_name(format!("{stem}.{stamp}{suffix}{ending}"));
    let mut dated = name("");
    for number in 2.. {
        if !dated.exists() {
            break;
        }
        dated = name(&format!("-{number}"));
    }
    dated
}
