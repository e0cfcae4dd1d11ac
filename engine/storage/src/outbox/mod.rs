//! The outbox: what waits to be sent, on disk, until its receiver has said that it has it.
//!
//! ```text
//! outbox/<pipeline>.<node>/000000000042.batch   sealed rows, oldest first
//! outbox/<pipeline>.<node>/position             how far the receiver has the stream
//! outbox/<pipeline>.<node>/refused/             what the receiver would not take, the newest few
//! outbox/<pipeline>.<node>/damaged/             what could not be read
//! ```
//!
//! A stream is the rows of one sink. They collect in memory, are sealed into a numbered batch, and that is written whole
//! or not at all. Each batch says up to which epoch it and those before it hold all rows: epochs that come again after a
//! restart are passed over, and those of rows that were not sealed yet come again out of the journal. A file goes once
//! the position on disk says that the receiver has it.
//!
//! A batch is named by (site, incarnation, stream, sequence), and keeps its name in its file, whoever delivers it. An
//! incarnation is one opening of the outbox. So no two processes ever name different rows alike, whatever the folder
//! they found was: the one they left, a copy that runs beside it, one that was restored from last week, one whose last
//! writes a dishonest disk has lost. Nothing has to tell these apart. The sequence goes on from one incarnation to the
//! next, so that a receiver sees what is missing.

mod batch;
mod look;
mod position;
mod room;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ducto_record::{Epoch, Micros};

pub use batch::{BatchHead, BatchId, Class, SealedBatch};
pub use look::StreamSeen;
pub(crate) use look::{folders, look, repair};
pub use stream::{Sealing, Stream};

use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::set_aside::{DAMAGED, Problem, place_for};
use batch::Unreadable;
use position::Position;

const SUFFIX: &str = ".batch";
const REFUSED: &str = "refused";

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes on disk of all streams together.
    pub all: u64,
    /// Bytes on disk of each class, from the first to the fourth.
    pub classes: [Option<u64>; 4],
}

impl Default for Caps {
    fn default() -> Self {
        Self { all: 1 << 30, classes: [None; 4] }
    }
}

/// What waits in a data folder to be sent. Clones are the same.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    disk: Disk,
    folder: PathBuf,
    site: Arc<str>,
    incarnation: Arc<str>,
    caps: Caps,
    /// Never locked while a file is touched.
    index: Mutex<BTreeMap<Arc<str>, Queue>>,
    /// Held while room is made for a batch and the batch is written: two streams do not take the same room.
    room: Mutex<()>,
}

/// A stream as it lies on disk.
#[derive(Debug, Default)]
struct Queue {
    /// By sequence.
    waiting: BTreeMap<u64, Waiting>,
    position: Position,
    /// The sequence of the next batch.
    next: u64,
    /// The last epoch all of whose rows are on disk.
    held: Epoch,
    /// Given to who delivers it, and not to be taken from under its hands.
    sending: Option<u64>,
    /// Rows that are in no batch yet.
    open_rows: u64,
    /// Whether a sink of the site's graphs writes it and somebody delivers it.
    served: bool,
    delivered_batches: u64,
    delivered_rows: u64,
    lost: BTreeMap<&'static str, u64>,
    /// When a loss may be said again.
    speak_at: Option<std::time::Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    class: Class,
    bytes: u64,
    rows: u64,
    sealed: Micros,
}

/// What is known of a stream; counts are since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStats {
    /// `pipeline.node`.
    pub name: Arc<str>,
    /// Sealed and not delivered yet.
    pub waiting_batches: u64,
    pub waiting_rows: u64,
    pub waiting_bytes: u64,
    /// Engine time when the oldest of them was sealed.
    pub oldest: Option<Micros>,
    /// Rows that are in no batch yet.
    pub open_rows: u64,
    /// Whether anybody delivers it: no for a node that has gone from the graphs.
    pub served: bool,
    pub delivered_batches: u64,
    pub delivered_rows: u64,
    /// Rows that were not delivered and will not be, by cause.
    pub lost: BTreeMap<&'static str, u64>,
}

/// What a folder held when it was opened.
#[derive(Debug)]
pub struct OpenedOutbox {
    pub outbox: Outbox,
    /// What was found damaged, and where it lies now.
    pub problems: Vec<Problem>,
}

impl Outbox {
    /// Opens the outbox, creating its folder where it is missing. Batches that cannot be read are set aside.
    ///
    /// # Errors
    /// When the folder cannot be read or written, and for a batch of a newer format.
    pub fn open(disk: &Disk, folder: &Path, site: &str, caps: Caps) -> Result<OpenedOutbox, StorageError> {
        disk.create_folder(folder)?;
        let (mut index, mut problems) = (BTreeMap::new(), Vec::new());
        for path in entries(folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|_| path.is_dir()) {
                index.insert(name.into(), open_queue(disk, &path, &mut problems)?);
            }
        }
        let shared = Shared {
            disk: disk.clone(),
            folder: folder.to_owned(),
            site: site.into(),
            incarnation: incarnation()?.into(),
            caps,
            index: Mutex::new(index),
            room: Mutex::new(()),
        };
        Ok(OpenedOutbox { outbox: Self(Arc::new(shared)), problems })
    }

    /// The stream of a sink, which is to be opened once.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn stream(&self, name: &str, class: Class, sealing: Sealing) -> Result<Stream, StorageError> {
        Stream::open(self.0.clone(), name.into(), class, sealing)
    }

    /// The last epoch of which any stream holds rows: a site that starts numbers its entries above it.
    pub fn last_epoch(&self) -> Epoch {
        self.0.index().values().map(|queue| queue.held).max().unwrap_or_default()
    }

    /// Of this opening.
    pub fn incarnation(&self) -> &Arc<str> {
        &self.0.incarnation
    }

    pub fn caps(&self) -> Caps {
        self.0.caps
    }

    pub fn stats(&self) -> Vec<StreamStats> {
        let stats = |(name, queue): (&Arc<str>, &Queue)| StreamStats {
            name: name.clone(),
            waiting_batches: queue.waiting.len() as u64,
            waiting_rows: queue.waiting.values().map(|waiting| waiting.rows).sum(),
            waiting_bytes: queue.bytes(),
            oldest: queue.waiting.values().map(|waiting| waiting.sealed).min(),
            open_rows: queue.open_rows,
            served: queue.served,
            delivered_batches: queue.delivered_batches,
            delivered_rows: queue.delivered_rows,
            lost: queue.lost.clone(),
        };
        self.0.index().iter().map(stats).collect()
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Queue>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, stream: &str, sequence: u64) -> PathBuf {
        path(&self.folder.join(stream), sequence)
    }
}

impl Queue {
    fn bytes(&self) -> u64 {
        self.waiting.values().map(|waiting| waiting.bytes).sum()
    }

    fn lose(&mut self, cause: &'static str, rows: u64) {
        if rows > 0 {
            *self.lost.entry(cause).or_default() += rows;
        }
    }
}

/// A name that no process has had before.
fn incarnation() -> Result<String, StorageError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| FileError::new("read", Path::new("/dev/urandom"), std::io::Error::other(error.to_string())))?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

fn path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:012}{SUFFIX}"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = |error| FileError::new("read", folder, error);
    let read = std::fs::read_dir(folder).map_err(failed)?;
    Ok(read.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?)
}

/// What a stream's folder holds. What its position says is delivered goes, and so does what was being written.
fn open_queue(disk: &Disk, folder: &Path, problems: &mut Vec<Problem>) -> Result<Queue, StorageError> {
    let position = Position::read(disk, folder, problems)?;
    let mut queue = Queue { position, held: position.epoch, next: position.sequence + 1, ..Queue::default() };
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
            Some(sequence) if sequence <= position.sequence => disk.remove(&path)?,
            Some(sequence) => files.push((sequence, path)),
            None if name.ends_with(".new") => disk.remove(&path)?,
            None => {}
        }
    }
    files.sort_unstable();
    let newest = files.last().map(|(sequence, _)| *sequence);
    for (sequence, path) in files {
        queue.next = sequence + 1;
        // Of the newest all is read: what is damaged there may come again out of the journal.
        let head = match Some(sequence) == newest {
            true => SealedBatch::decode(&disk.read(&path)?).map(|batch| batch.head),
            false => batch::read_head(&path)?,
        };
        match head {
            Ok(head) => {
                queue.held = queue.held.max(head.epochs.1);
                let bytes = path.metadata().map_err(|error| FileError::new("read", &path, error))?.len();
                let BatchHead { class, rows, sealed, .. } = head;
                queue.waiting.insert(sequence, Waiting { class, bytes, rows, sealed });
            }
            Err(Unreadable::Newer(format)) => {
                return Err(StorageError::Version { path, found: format.to_string(), known: batch::FORMAT });
            }
            Err(why) => problems.push(set_aside(disk, folder, path, why)?),
        }
    }
    Ok(queue)
}

/// Moves a batch that cannot be read out of the way.
fn set_aside(disk: &Disk, folder: &Path, path: PathBuf, why: Unreadable) -> Result<Problem, StorageError> {
    let lost = batch::read_head_alone(&path).map(|head| head.epochs);
    let to = place_for(disk, folder, &path)?;
    disk.rename(&path, &to)?;
    disk.sync_folder(&folder.join(DAMAGED))?;
    disk.sync_folder(folder)?;
    Ok(Problem { path, what: why.what(), set_aside: Some(to), lost })
}
