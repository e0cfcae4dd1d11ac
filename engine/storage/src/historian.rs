//! The historian of one dataset: takes batches by reference, commits them on a thread of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::{Batch, Directory, Micros};

use crate::appender::{ALONE, AppenderId};
use crate::dataset::DatasetConfig;
use crate::disk::Disk;
use crate::error::{AppendError, StorageError};
use crate::folder::DataFolder;
use crate::manifest::Manifest;
use crate::recover;
use crate::snapshot::Snapshot;
use crate::stored;
use crate::writer::{self, Due};

/// A batch with the epoch it came in and the directory that its numbers are of.
#[derive(Clone, Debug)]
pub struct Appended {
    pub epoch: u64,
    pub batch: Batch,
    pub directory: Arc<Directory>,
}

/// Rows that have just become durable, as they were appended.
#[derive(Clone, Debug)]
pub struct Committed {
    pub dataset: Arc<str>,
    /// Every row of epochs up to this one is on disk.
    pub epoch: u64,
    /// Engine time of the epoch that ended the commit.
    pub engine_time: Micros,
    /// In the order they came.
    pub rows: Arc<[Appended]>,
}

/// What a historian has done since it was opened.
#[derive(Clone, Debug, Default)]
pub struct HistorianStats {
    /// Rows taken.
    pub rows: u64,
    /// Rows not taken because their epoch was held already.
    pub skipped_rows: u64,
    pub commits: u64,
    /// Engine time up to which everything is on disk; `None` before the first commit of this process.
    pub last_commit: Option<Micros>,
    pub files_written: u64,
    pub bytes_written: u64,
    /// By how much the files have grown: those that merges took the place of do not count. What `keep` removed does.
    pub bytes_kept: u64,
    pub merges: u64,
    /// Merges that failed; their hours stay in more than one file for now.
    pub merge_errors: u64,
    /// Why the last merge failed; `None` once one has succeeded.
    pub merge_error: Option<String>,
    /// Rows removed because the dataset's `keep` says so, by its cause.
    pub expired_rows_by_age: u64,
    pub expired_rows_by_size: u64,
    pub errors: u64,
    /// Why the last attempt to commit or remove failed; `None` once one has succeeded.
    pub last_error: Option<String>,
    /// Bytes of batches not on disk yet.
    pub buffered_bytes: usize,
    /// Time the writer's thread spent, CPU and waiting, on commits and merges.
    pub busy: Duration,
}

/// A commit that is decided and not yet written.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) epoch: u64,
    pub(crate) engine_time: Micros,
    pub(crate) rows: Arc<[Appended]>,
    pub(crate) bytes: usize,
}

type Listener = Box<dyn Fn(&Committed) + Send + Sync>;

pub(crate) struct State {
    /// Batches of epochs that have not ended, with whose they are.
    pub(crate) open: BTreeMap<u64, Vec<(AppenderId, Appended)>>,
    /// Engine time of epochs that some appender has not ended yet; empty with one.
    pub(crate) times: BTreeMap<u64, Micros>,
    /// Last epoch that each registered appender has ended.
    pub(crate) ended: BTreeMap<AppenderId, u64>,
    pub(crate) next_appender: AppenderId,
    /// Batches of ended epochs, for the next commit.
    pub(crate) current: Vec<Appended>,
    current_bytes: usize,
    pub(crate) sealed: std::collections::VecDeque<Sealed>,
    sealed_bytes: usize,
    pub(crate) held: u64,
    pub(crate) engine_time: Micros,
    last_commit: Option<Micros>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) due: Due,
    /// Attempts of the writer that have ended, well or not; who waits compares.
    attempts: u64,
    /// A commit is in the files and its listeners have not all been called.
    announcing: bool,
    /// Someone waits for a commit now: a failed attempt is repeated at once.
    pub(crate) urgent: bool,
    /// The writer has looked and found nothing to do.
    pub(crate) idle: bool,
    pub(crate) stop: bool,
    pub(crate) stopped: bool,
    pub(crate) stats: HistorianStats,
}

pub(crate) struct Shared {
    pub(crate) config: DatasetConfig,
    pub(crate) disk: Disk,
    pub(crate) data: PathBuf,
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
    /// The writer waits here for work.
    pub(crate) work: Condvar,
    /// Callers wait here for the writer.
    pub(crate) done: Condvar,
    listeners: Mutex<Vec<Listener>>,
}

impl Shared {
    /// A thread that panicked with the lock left numbers and pointers, each of which is whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is in the files: the manifest and the buffers change in one step for every reader.
    pub(crate) fn committed(&self, manifest: Manifest, commits: usize) {
        let mut done = Vec::new();
        {
            let mut state = self.lock();
            state.announcing = true;
            state.manifest = Arc::new(manifest);
            for _ in 0..commits {
                if let Some(sealed) = state.sealed.pop_front() {
                    state.sealed_bytes -= sealed.bytes;
                    state.stats.last_commit = Some(sealed.engine_time);
                    done.push(sealed);
                }
            }
            state.stats.commits += commits as u64;
            state.stats.last_error = None;
            state.stats.buffered_bytes = state.buffered();
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for Sealed { epoch, engine_time, rows, .. } in done {
            let committed = Committed { dataset: self.name.clone(), epoch, engine_time, rows };
            listeners.iter().for_each(|listener| listener(&committed));
        }
        drop(listeners);
        self.attempted(None);
    }

    pub(crate) fn attempted(&self, error: Option<&StorageError>) {
        let mut state = self.lock();
        state.announcing = false;
        state.attempts += 1;
        if let Some(error) = error {
            state.stats.errors += 1;
            state.stats.last_error = Some(error.to_string());
        }
        drop(state);
        self.done.notify_all();
    }
}

impl State {
    fn committed(&self) -> u64 {
        if self.current.is_empty() && self.sealed.is_empty() { self.held } else { self.manifest.held }
    }

    fn buffered(&self) -> usize {
        self.current_bytes + self.sealed_bytes
    }

    pub(crate) fn seal(&mut self, epoch: u64) {
        let rows: Arc<[Appended]> = std::mem::take(&mut self.current).into();
        let bytes = std::mem::take(&mut self.current_bytes);
        self.sealed_bytes += bytes;
        self.sealed.push_back(Sealed { epoch, engine_time: self.engine_time, rows, bytes });
    }

    /// Takes an ended epoch in and says whether the writer has something to do.
    pub(crate) fn end(&mut self, config: &DatasetConfig, epoch: u64, engine_time: Micros) -> bool {
        // Epochs that nobody ended by name belong to the next one that was.
        while let Some(entry) = self.open.first_entry().filter(|entry| *entry.key() <= epoch) {
            let batches = entry.remove();
            self.current_bytes += batches.iter().map(|(_, appended)| appended.batch.bytes()).sum::<usize>();
            self.current.extend(batches.into_iter().map(|(_, appended)| appended));
        }
        self.held = epoch;
        self.engine_time = self.engine_time.max(engine_time);
        self.stats.buffered_bytes = self.buffered();
        let now = self.engine_time;
        let last = *self.last_commit.get_or_insert(now);
        let every = config.commit_every.max(1);
        let time_is_up = now.div_euclid(every) > last.div_euclid(every);
        if time_is_up {
            self.last_commit = Some(now);
        }
        if !self.current.is_empty() && (time_is_up || self.current_bytes >= config.commit_bytes) {
            self.seal(epoch);
            return true;
        }
        self.due.at.is_some_and(|at| now >= at)
    }
}

/// The historian of one dataset. Clones share it.
///
/// Rows belong to the epoch they are appended with. An epoch whose number is not above [`Historian::held`] is skipped:
/// after a restart the log may be read again from any earlier position and every row is stored once.
#[derive(Clone)]
pub struct Historian {
    pub(crate) shared: Arc<Shared>,
    thread: Arc<Thread>,
}

/// Stops the writer when the last handle goes; what is not committed then is not written.
struct Thread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A panic of the writer has been reported by its own message.
            let _ = handle.join();
        }
    }
}

impl Historian {
    /// Opens a dataset: finishes or undoes what a crash left, and starts the writer.
    ///
    /// # Errors
    /// A name that cannot be a folder, a schema that does not fit the files, a damaged or newer manifest, a file that
    /// cannot be read or written.
    pub fn open(folder: &DataFolder, config: DatasetConfig) -> Result<Self, StorageError> {
        config.check()?;
        let manifest = recover::open(folder, &config)?;
        let name: Arc<str> = config.name.as_str().into();
        let state = State {
            open: BTreeMap::new(),
            times: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_appender: ALONE + 1,
            current: Vec::new(),
            current_bytes: 0,
            sealed: std::collections::VecDeque::new(),
            sealed_bytes: 0,
            held: manifest.held,
            engine_time: Micros::MIN,
            last_commit: None,
            due: Due::of(&manifest, &config),
            manifest: Arc::new(manifest),
            attempts: 0,
            announcing: false,
            urgent: false,
            idle: false,
            stop: false,
            stopped: false,
            stats: HistorianStats::default(),
        };
        let shared = Arc::new(Shared {
            config,
            disk: folder.disk().clone(),
            data: folder.path().to_owned(),
            name: name.clone(),
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
            listeners: Mutex::new(Vec::new()),
        });
        let handle = writer::spawn(shared.clone())?;
        let thread = Arc::new(Thread { shared: shared.clone(), handle: Mutex::new(Some(handle)) });
        Ok(Self { shared, thread })
    }

    pub fn config(&self) -> &DatasetConfig {
        &self.shared.config
    }

    /// Takes a batch by reference; nothing is copied here. Rows of an epoch become part of the dataset when the epoch
    /// ends. A batch of an epoch that is held already is skipped and counted.
    ///
    /// # Errors
    /// [`AppendError::Full`] when rows that wait for the disk have reached `buffer_bytes`: nothing was taken.
    /// [`StorageError::Kind`] for a batch of another kind than the dataset's, [`StorageError::Tag`] for a tag that its
    /// directory does not have.
    pub fn append(&self, epoch: u64, batch: &Batch, directory: &Arc<Directory>) -> Result<(), AppendError> {
        self.append_of(ALONE, epoch, batch, directory)
    }

    pub(crate) fn append_of(
        &self,
        appender: AppenderId,
        epoch: u64,
        batch: &Batch,
        directory: &Arc<Directory>,
    ) -> Result<(), AppendError> {
        let config = &self.shared.config;
        stored::check(&config.name, &config.schema, batch, directory)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut state = self.shared.lock();
        if epoch <= state.held {
            state.stats.skipped_rows += batch.num_rows() as u64;
            return Ok(());
        }
        if state.stopped {
            return Err(StorageError::Stopped { dataset: config.name.clone() }.into());
        }
        let bytes = state.buffered();
        if bytes >= config.buffer_bytes.max(config.commit_bytes) {
            let cause = match &state.stats.last_error {
                Some(error) => format!("the last commit failed: {error}"),
                None => "the disk is slower than the rows come; wait for the commit that is under way".to_owned(),
            };
            return Err(AppendError::Full { dataset: config.name.clone(), bytes, cause });
        }
        state.stats.rows += batch.num_rows() as u64;
        let appended = Appended { epoch, batch: batch.clone(), directory: directory.clone() };
        state.open.entry(epoch).or_default().push((appender, appended));
        Ok(())
    }

    /// Ends an epoch at its engine time, which decides when rows are committed. For a historian that nobody has
    /// registered with by [`Historian::appender`].
    pub fn end_epoch(&self, epoch: u64, engine_time: Micros) {
        self.end_epoch_of(ALONE, epoch, engine_time);
    }

    pub(crate) fn end_epoch_of(&self, appender: AppenderId, epoch: u64, engine_time: Micros) {
        if self.shared.lock().end_of(&self.shared.config, appender, epoch, engine_time) {
            self.shared.work.notify_one();
        }
    }

    /// Who appends starts again: rows of epochs that have not ended are forgotten, and the log gives them again.
    pub fn restart(&self) {
        self.shared.lock().forget(ALONE);
    }

    /// Last epoch that this historian holds, in its buffers or on disk. A reader of the log skips up to here; a site
    /// numbers its entries above the greatest of all its historians.
    pub fn held(&self) -> u64 {
        self.shared.lock().held
    }

    /// Last epoch whose rows, with all before it, are on disk.
    pub fn committed(&self) -> u64 {
        self.shared.lock().committed()
    }

    /// As [`Historian::committed`], of commits whose listeners have been told; 0 while they are.
    pub fn told(&self) -> u64 {
        let state = self.shared.lock();
        if state.announcing { 0 } else { state.committed() }
    }

    /// Commits every ended epoch now and waits for it: for a clean stop. Returns the epoch up to which rows are on disk.
    ///
    /// # Errors
    /// Why the attempt failed; the rows stay in the buffers.
    pub fn commit(&self) -> Result<u64, StorageError> {
        let mut state = self.shared.lock();
        if !state.current.is_empty() {
            let held = state.held;
            state.seal(held);
        }
        let Some(target) = state.sealed.back().map(|sealed| sealed.epoch) else {
            return Ok(state.held);
        };
        state.urgent = true;
        self.shared.work.notify_one();
        let mut attempts = state.attempts;
        let mut failures = 0;
        while state.manifest.held < target {
            if state.stopped {
                return Err(StorageError::Stopped { dataset: self.shared.config.name.clone() });
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
            if state.attempts > attempts && state.stats.last_error.is_some() {
                failures += 1;
                // The attempt that was under way when this call came may have failed for what is over by now.
                if failures > 1 {
                    let what = state.stats.last_error.clone().unwrap_or_default();
                    return Err(StorageError::Uncommitted { dataset: self.shared.config.name.clone(), what });
                }
                state.urgent = true;
                self.shared.work.notify_one();
            }
            attempts = state.attempts;
        }
        Ok(target)
    }

    /// Waits until [`Historian::append`] takes rows again, at most `timeout`; says whether it does.
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        let config = &self.shared.config;
        let limit = config.buffer_bytes.max(config.commit_bytes);
        let end = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while state.buffered() >= limit {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stopped {
                return false;
            }
            state = self.shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits until every commit that is due is on disk and its listeners were called; commits nothing early. Ends too
    /// when an attempt fails.
    pub fn wait_for_commits(&self) {
        let mut state = self.shared.lock();
        while (!state.sealed.is_empty() || state.announcing) && !state.stopped && state.stats.last_error.is_none() {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the writer has nothing to do: no commit, merge or removal that is due. For tests and a clean stop.
    ///
    /// # Errors
    /// Why its last attempt failed.
    pub fn settle(&self) -> Result<(), StorageError> {
        self.commit()?;
        let mut state = self.shared.lock();
        state.idle = false;
        self.shared.work.notify_one();
        while !state.idle {
            if state.stopped {
                return Err(StorageError::Stopped { dataset: self.shared.config.name.clone() });
            }
            if let Some(what) = state.stats.last_error.clone() {
                return Err(StorageError::Uncommitted { dataset: self.shared.config.name.clone(), what });
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Files and live tail in one step.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.lock();
        let sealed = state.sealed.iter().flat_map(|sealed| sealed.rows.iter());
        Snapshot {
            manifest: state.manifest.clone(),
            data: self.shared.data.clone(),
            schema: Some(self.shared.config.schema.clone()),
            tail: sealed.chain(&state.current).cloned().collect(),
        }
    }

    /// Calls `listener` after each commit, on the writer's thread, in order: it must not wait for this historian.
    pub fn on_commit(&self, listener: impl Fn(&Committed) + Send + Sync + 'static) {
        self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    pub fn stats(&self) -> HistorianStats {
        let state = self.shared.lock();
        HistorianStats { buffered_bytes: state.buffered(), ..state.stats.clone() }
    }

    /// Commits what has ended and stops the writer.
    ///
    /// # Errors
    /// Why the last commit failed; what it would have written is lost with the buffers.
    pub fn close(self) -> Result<u64, StorageError> {
        let committed = self.commit();
        drop(self.thread);
        committed
    }
}

impl std::fmt::Debug for Historian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Historian").field("dataset", &self.shared.name).finish_non_exhaustive()
    }
}
