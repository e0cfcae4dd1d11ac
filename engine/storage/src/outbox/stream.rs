//! One stream of the outbox: rows come in by epochs, batches go out by their numbers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ducto_record::{Epoch, Micros};

use super::batch::{BatchHead, BatchId, Class, SealedBatch};
use super::position::Position;
use super::room::FULL;
use super::{REFUSED, Shared, Waiting, entries, set_aside};
use crate::error::StorageError;

/// Refused batches of a stream that are kept, for a person to look at.
const REFUSED_KEPT: usize = 16;

/// When what has come is sealed into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Once its first row has waited this long, by engine time; at once for 0.
    pub every: Micros,
    /// Once it has this many bytes.
    pub size: usize,
}

/// A stream, for its sink and for who delivers it. Clones are the same stream.
#[derive(Clone, Debug)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    name: Arc<str>,
    class: Class,
    sealing: Sealing,
    folder: PathBuf,
    open: Mutex<Open>,
    /// All rows of this epoch and those before it are on disk.
    held: AtomicU64,
    /// Rises whenever who delivers has something to look at.
    signals: Mutex<u64>,
    signal: Condvar,
}

/// What is in no batch yet.
#[derive(Debug, Default)]
struct Open {
    lines: Vec<u8>,
    rows: u64,
    /// The first epoch that brought a row, and the last that has ended.
    first: Epoch,
    last: Epoch,
    /// Engine time of the first row.
    since: Micros,
}

impl Stream {
    pub(super) fn open(
        shared: Arc<Shared>,
        name: Arc<str>,
        class: Class,
        sealing: Sealing,
    ) -> Result<Self, StorageError> {
        let folder = shared.folder.join(&*name);
        shared.disk.create_folder(&folder)?;
        let held = {
            let mut index = shared.index();
            let queue = index.entry(name.clone()).or_default();
            queue.next = queue.next.max(1);
            queue.served = true;
            queue.held
        };
        let inner = Inner {
            shared,
            name,
            class,
            sealing,
            folder,
            open: Mutex::new(Open { last: held, ..Open::default() }),
            held: AtomicU64::new(held),
            signals: Mutex::new(0),
            signal: Condvar::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    pub fn class(&self) -> Class {
        self.0.class
    }

    /// All rows of this epoch and those before it are on disk, or there were none.
    pub fn held(&self) -> Epoch {
        self.0.held.load(Ordering::Acquire)
    }

    /// Everything of an epoch: its rows, as lines. What is held already is passed over; one that is given again after an
    /// error counts once.
    ///
    /// # Errors
    /// When a batch is due and the disk does not take it. Nothing is lost: the epoch is to be given again.
    pub fn add(&self, epoch: Epoch, now: Micros, rows: u64, lines: &[u8]) -> Result<(), StorageError> {
        let mut open = self.0.open();
        if epoch > open.last {
            if rows > 0 {
                if open.rows == 0 {
                    (open.first, open.since) = (epoch, now);
                }
                open.rows += rows;
                open.lines.extend_from_slice(lines);
            }
            open.last = epoch;
            if open.rows == 0 {
                self.0.held.store(epoch, Ordering::Release);
            } else {
                self.0.note_open(open.rows);
            }
        }
        if self.0.is_due(&open, now) {
            return self.0.seal(&mut open, now);
        }
        let opened = open.rows > 0 && open.first == epoch;
        drop(open);
        if opened {
            // Whoever delivers looks to it that the batch is sealed in time, should no epoch come any more.
            self.0.signal();
        }
        Ok(())
    }

    /// Seals what has waited long enough. Answers after how long to ask again; `None` where nothing waits.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn seal_if_due(&self, now: Micros) -> Result<Option<Duration>, StorageError> {
        let mut open = self.0.open();
        if open.rows == 0 {
            return Ok(None);
        }
        if self.0.is_due(&open, now) {
            return self.0.seal(&mut open, now).map(|()| None);
        }
        let left = open.since.saturating_add(self.0.sealing.every).saturating_sub(now);
        Ok(Some(Duration::from_micros(left.max(1).unsigned_abs())))
    }

    /// Seals what there is.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn seal(&self, now: Micros) -> Result<(), StorageError> {
        let mut open = self.0.open();
        self.0.seal(&mut open, now)
    }

    /// The oldest batch that waits, which now counts as being sent. One that cannot be read is set aside, and the next
    /// is given.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn next(&self) -> Result<Option<SealedBatch>, StorageError> {
        let Inner { shared, name, folder, .. } = &*self.0;
        loop {
            let next = {
                let mut index = shared.index();
                let Some(queue) = index.get_mut(name) else { return Ok(None) };
                queue.sending = queue.waiting.first_key_value().map(|(sequence, _)| *sequence);
                queue.sending
            };
            let Some(sequence) = next else { return Ok(None) };
            let path = shared.path(name, sequence);
            let read = match shared.disk.read(&path) {
                Ok(bytes) => SealedBatch::decode(&bytes),
                Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                    let rows = self.0.done_waiting(sequence);
                    shared.lose(name, "missing", rows, &path);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match read {
                Ok(batch) => return Ok(Some(batch)),
                Err(why) => {
                    let problem = set_aside(&shared.disk, folder, path.clone(), why)?;
                    tracing::error!("{problem}");
                    let rows = self.0.done_waiting(sequence);
                    shared.lose(name, "damaged", rows, &path);
                }
            }
        }
    }

    /// The receiver has a batch. Its file goes once the disk has that.
    ///
    /// # Errors
    /// When the disk does not take it; to be told again, and not to be sent again.
    pub fn accepted(&self, batch: &BatchHead) -> Result<(), StorageError> {
        self.0.advance(batch)?;
        let mut index = self.0.shared.index();
        if let Some(queue) = index.get_mut(&self.0.name) {
            queue.delivered_batches += 1;
            queue.delivered_rows += batch.rows;
        }
        drop(index);
        // What cannot be removed now goes with the next start.
        if let Err(error) = self.0.shared.disk.remove(&self.0.shared.path(&self.0.name, batch.id.sequence)) {
            tracing::warn!(%error, "a batch that is delivered stays in the outbox");
        }
        Ok(())
    }

    /// The receiver will never take a batch: it is moved aside with the reason, and the next one is sent.
    ///
    /// # Errors
    /// When the disk does not take it; to be told again.
    pub fn refused(&self, batch: &BatchHead, why: &str) -> Result<(), StorageError> {
        let Inner { shared, name, folder, .. } = &*self.0;
        let disk = &shared.disk;
        let refused = folder.join(REFUSED);
        disk.create_folder(&refused)?;
        let from = shared.path(name, batch.id.sequence);
        let to = refused.join(from.file_name().unwrap_or_default());
        if from.exists() {
            let text =
                format!("{}: {} rows, epochs {} to {}\n{why}\n", batch.id, batch.rows, batch.epochs.0, batch.epochs.1);
            disk.replace(&to.with_extension("txt"), text.as_bytes())?;
            disk.rename(&from, &to)?;
            disk.sync_folder(&refused)?;
            disk.sync_folder(folder)?;
        }
        self.0.advance(batch)?;
        shared.lose(name, "refused", batch.rows, &to);
        let mut kept: Vec<PathBuf> = entries(&refused)?;
        kept.sort_unstable();
        // Each is two files.
        for old in &kept[..kept.len().saturating_sub(2 * REFUSED_KEPT)] {
            disk.remove(old)?;
        }
        Ok(())
    }

    /// The batch that was given by [`Stream::next`] is not being sent any more: it waits with the others.
    pub fn put_back(&self) {
        if let Some(queue) = self.0.shared.index().get_mut(&self.0.name) {
            queue.sending = None;
        }
    }

    /// Waits for something to look at, at most so long. `seen` is what this answered the last time.
    pub fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let signals = self.0.signals.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |signals: &mut u64| *signals == seen;
        *self.0.signal.wait_timeout_while(signals, at_most, waits).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes whoever delivers.
    pub fn wake(&self) {
        self.0.signal();
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.signal.notify_all();
    }

    fn note_open(&self, rows: u64) {
        if let Some(queue) = self.shared.index().get_mut(&self.name) {
            queue.open_rows = rows;
        }
    }

    fn is_due(&self, open: &Open, now: Micros) -> bool {
        let Sealing { every, size } = self.sealing;
        open.rows > 0 && (open.lines.len() >= size || now.saturating_sub(open.since) >= every)
    }

    fn seal(&self, open: &mut Open, now: Micros) -> Result<(), StorageError> {
        if open.rows == 0 {
            return Ok(());
        }
        let shared = &self.shared;
        let sequence = shared.index().get(&self.name).map_or(1, |queue| queue.next);
        let id = BatchId {
            site: shared.site.clone(),
            incarnation: shared.incarnation.clone(),
            stream: self.name.clone(),
            sequence,
        };
        let epochs = (open.first, open.last);
        let head = BatchHead { id, class: self.class, epochs, sealed: now, rows: open.rows };
        let mut batch = SealedBatch { head, body: std::mem::take(&mut open.lines) };
        let bytes = batch.encode();
        // Given back, so that nothing is missing should the disk not take it.
        open.lines = std::mem::take(&mut batch.body);
        let size = bytes.len() as u64;
        let room = shared.room.lock().unwrap_or_else(PoisonError::into_inner);
        let path = shared.path(&self.name, sequence);
        let has_room = shared.make_room(self.class, size)?;
        if has_room {
            self.put(&path, &bytes)?;
        }
        {
            let mut index = shared.index();
            let queue = index.entry(self.name.clone()).or_default();
            if has_room {
                let waiting = Waiting { class: self.class, bytes: size, rows: open.rows, sealed: now };
                queue.waiting.insert(sequence, waiting);
                queue.held = open.last;
            }
            // A number that was not used up shows the receiver that something is missing.
            queue.next = sequence + 1;
            queue.open_rows = 0;
        }
        drop(room);
        if !has_room {
            shared.lose(&self.name, FULL, open.rows, &path);
        }
        self.held.store(open.last, Ordering::Release);
        *open = Open { last: open.last, lines: std::mem::take(&mut open.lines), ..Open::default() };
        open.lines.clear();
        self.signal();
        Ok(())
    }

    /// Writes a batch's file; on a disk that is full in the place of lower classes.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        loop {
            match self.shared.disk.replace(path, bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full() && self.shared.evict_below(self.class) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A batch does not wait any more. Answers its rows.
    fn done_waiting(&self, sequence: u64) -> u64 {
        let mut index = self.shared.index();
        let Some(queue) = index.get_mut(&self.name) else { return 0 };
        queue.sending = None;
        queue.waiting.remove(&sequence).map_or(0, |waiting| waiting.rows)
    }

    /// Writes that everything up to a batch is done with.
    fn advance(&self, batch: &BatchHead) -> Result<(), StorageError> {
        let sequence = batch.id.sequence;
        let before = self.shared.index().get(&self.name).map(|queue| queue.position).unwrap_or_default();
        let epoch = before.epoch.max(batch.epochs.1);
        let position = Position { sequence: before.sequence.max(sequence), epoch };
        position.save(&self.shared.disk, &self.folder)?;
        if let Some(queue) = self.shared.index().get_mut(&self.name) {
            queue.position = position;
        }
        self.done_waiting(sequence);
        Ok(())
    }
}
