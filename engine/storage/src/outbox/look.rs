//! The outbox of a data folder on which no site runs: what waits in it, and what of that cannot be read.

use std::path::Path;

use ducto_record::Epoch;
use serde::Serialize;

use super::batch::{self, SealedBatch, Unreadable};
use super::position::Position;
use super::{SUFFIX, entries, set_aside};
use crate::audit::Care;
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::{Fault, Finding};
use crate::set_aside::Problem;

/// A stream as it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamSeen {
    /// `pipeline.node`.
    pub name: String,
    /// The class of its newest batch.
    pub class: Option<u8>,
    /// Batches that wait, their rows, and their bytes on disk.
    pub batches: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The first and the last of them.
    pub sequences: Option<(u64, u64)>,
    /// The last batch that the receiver is known to have.
    pub delivered: u64,
    /// The last epoch all of whose rows are in it.
    pub held: Epoch,
}

/// The streams, and the findings. Changes nothing.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn look(
    data: &Path,
    folder: &Path,
    care: Care,
    looked: &mut dyn FnMut(u64),
) -> Result<(Vec<StreamSeen>, Vec<Finding>), StorageError> {
    let (mut streams, mut findings) = (Vec::new(), Vec::new());
    for path in folders(folder)? {
        streams.push(stream(data, &path, care, looked, &mut findings)?);
    }
    Ok((streams, findings))
}

fn stream(
    data: &Path,
    folder: &Path,
    care: Care,
    looked: &mut dyn FnMut(u64),
    findings: &mut Vec<Finding>,
) -> Result<StreamSeen, StorageError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let position = Position::look(folder)?.unwrap_or_else(|(path, what)| {
        findings.push(Finding::new(data, &path, Fault::Unreadable { why: what.to_owned() }));
        Position::default()
    });
    let (delivered, held) = (position.sequence, position.epoch);
    let mut seen = StreamSeen { name, delivered, held, ..StreamSeen::default() };
    for (sequence, path) in waiting(folder, position)? {
        let bytes = path.metadata().map_err(|error| FileError::new("read", &path, error))?.len();
        let head = match care {
            Care::Sizes => batch::read_head(&path)?,
            Care::Whole => {
                let content = std::fs::read(&path).map_err(|error| FileError::new("read", &path, error))?;
                SealedBatch::decode(&content).map(|batch| batch.head)
            }
        };
        looked(bytes);
        seen.batches += 1;
        seen.bytes += bytes;
        seen.sequences = Some((seen.sequences.map_or(sequence, |(first, _)| first), sequence));
        match head {
            Ok(head) => {
                seen.class = Some(head.class.number());
                seen.rows += head.rows;
                seen.held = seen.held.max(head.epochs.1);
            }
            Err(Unreadable::Newer(format)) => {
                findings.push(Finding::new(data, &path, Fault::Newer { format: format.to_string() }));
            }
            Err(why) => {
                let head = batch::read_head_alone(&path);
                findings.push(Finding {
                    rows: head.as_ref().map(|head| head.rows),
                    epochs: head.map(|head| head.epochs),
                    ..Finding::new(data, &path, Fault::Unreadable { why: why.what() })
                });
            }
        }
    }
    Ok(seen)
}

/// Sets aside what cannot be read, every batch read whole. One of a newer format stays.
///
/// # Errors
/// When a folder cannot be read or written.
pub(crate) fn repair(disk: &Disk, folder: &Path) -> Result<Vec<Problem>, StorageError> {
    let mut problems = Vec::new();
    for folder in folders(folder)? {
        let position = Position::read(disk, &folder, &mut problems)?;
        for (_, path) in waiting(&folder, position)? {
            match SealedBatch::decode(&disk.read(&path)?) {
                Ok(_) | Err(Unreadable::Newer(_)) => {}
                Err(why) => problems.push(set_aside(disk, &folder, path, why)?),
            }
        }
    }
    Ok(problems)
}

/// Those of the streams.
pub(crate) fn folders(folder: &Path) -> Result<Vec<std::path::PathBuf>, StorageError> {
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// Batches that the receiver is not known to have, in their order.
fn waiting(folder: &Path, position: Position) -> Result<Vec<(u64, std::path::PathBuf)>, StorageError> {
    let sequence = |path: &Path| path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse::<u64>().ok();
    let mut files: Vec<_> = entries(folder)?.into_iter().filter_map(|path| Some((sequence(&path)?, path))).collect();
    files.retain(|(sequence, _)| *sequence > position.sequence);
    files.sort_unstable();
    Ok(files)
}
