//! The site log: numbered entries, read by each pipeline from its own position. A ring in memory, and the journal on
//! disk behind it where there is one.

mod durable;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ducto_record::{Batch, Entry, Epoch, Micros, Part};

use crate::taps::{Tap, TapReader};

use durable::Journaled;

/// What a reader finds behind its position.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Entry(Arc<Entry>),
    /// Nothing yet.
    Empty,
    /// The ring has moved on: these epochs are in the journal, where there is one, or gone for this reader.
    Gone {
        first: Epoch,
        last: Epoch,
    },
}

/// Wakes a reader; called with the log's lock released.
pub(crate) type Waker = Box<dyn Fn() + Send + Sync>;

/// A registered reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReaderId(u64);

/// What waits for a sink.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// The first epoch that the sink does not hold yet; the greatest where nothing waits.
    first: AtomicU64,
    /// So much waits that input which can wait has to.
    large: AtomicBool,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { first: AtomicU64::new(Epoch::MAX), large: AtomicBool::new(false) }
    }
}

impl Backlog {
    pub(crate) fn set(&self, first: Option<Epoch>, large: bool) {
        self.first.store(first.unwrap_or(Epoch::MAX), Ordering::Release);
        self.large.store(large, Ordering::Release);
    }

    pub(crate) fn first(&self) -> Option<Epoch> {
        Some(self.first.load(Ordering::Acquire)).filter(|first| *first != Epoch::MAX)
    }
}

struct Reader {
    /// Everything up to here is done with: processed and in a snapshot.
    kept_from: Epoch,
    /// Everything up to here is processed, and has come to the sinks or waits for them.
    done: Epoch,
    backlogs: Vec<Arc<Backlog>>,
    wakers: Arc<[Waker]>,
}

/// Where input ended: what comes behind it only moves engine time, and what that brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputEnd {
    pub(crate) epoch: Epoch,
    pub(crate) time: Micros,
}

struct Inner {
    entries: VecDeque<(Arc<Entry>, usize)>,
    bytes: usize,
    /// Rows that entered since the log began.
    rows: u64,
    /// The epoch before the first entry of the ring.
    before_first: Epoch,
    last_time: Micros,
    /// The last entry of the input, once it has ended.
    input_end: Option<InputEnd>,
    next_reader: u64,
    readers: BTreeMap<ReaderId, Reader>,
    journal: Option<Journaled>,
}

/// The ring, and the journal behind it. The ring keeps what a reader may still need, up to `capacity` bytes of buffers;
/// then the oldest entries go.
pub struct SiteLog {
    capacity: usize,
    inner: Mutex<Inner>,
    progress: Condvar,
    /// The journal's thread waits here.
    to_write: Condvar,
    /// Of the samples that enter.
    tap: Tap,
}

/// How the log is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    pub last_epoch: Epoch,
    /// Rows that entered since the start.
    pub rows: u64,
    /// Entries in the ring, and the bytes of buffers that they keep alive.
    pub entries: usize,
    pub bytes: usize,
    /// Bytes that the ring may keep alive.
    pub capacity: usize,
}

impl SiteLog {
    /// `last_epoch` is the last number that is taken already: by the stores of an earlier run.
    pub fn new(capacity: usize, last_epoch: Epoch) -> Self {
        Self {
            capacity,
            inner: Mutex::new(Inner {
                entries: VecDeque::new(),
                bytes: 0,
                rows: 0,
                before_first: last_epoch,
                last_time: Micros::MIN,
                input_end: None,
                next_reader: 0,
                readers: BTreeMap::new(),
                journal: None,
            }),
            progress: Condvar::new(),
            to_write: Condvar::new(),
            tap: Tap::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers and appends an entry. Its time is raised to the last entry's where it lies before that.
    pub fn append(&self, time: Micros, parts: Vec<Part>) -> (Epoch, Micros) {
        let mut inner = self.lock();
        let epoch = inner.last() + 1;
        let time = time.max(inner.last_time);
        inner.last_time = time;
        let entry = Arc::new(Entry { epoch, time, parts });
        let bytes = entry.bytes();
        let writes = inner.journal.as_mut().is_some_and(|journal| journal.note(&entry, bytes));
        inner.rows += entry.parts.iter().map(|part| part.num_rows() as u64).sum::<u64>();
        inner.entries.push_back((entry.clone(), bytes));
        inner.bytes += bytes;
        inner.trim(self.capacity);
        let wakers: Vec<_> = inner.readers.values().map(|reader| reader.wakers.clone()).collect();
        drop(inner);
        if writes {
            self.to_write.notify_one();
        }
        for waker in wakers.iter().flat_map(|wakers| wakers.iter()) {
            waker();
        }
        if self.tap.is_open() {
            for part in &entry.parts {
                if let Part::Samples { samples, .. } = part {
                    self.tap.offer(epoch, time, &Batch::Samples(samples.clone()));
                }
            }
        }
        (epoch, time)
    }

    /// Opens a tap on the samples that enter.
    pub fn tap(&self) -> TapReader {
        self.tap.open(false)
    }

    pub fn state(&self) -> LogState {
        let inner = self.lock();
        LogState {
            last_epoch: inner.last(),
            rows: inner.rows,
            entries: inner.entries.len(),
            bytes: inner.bytes,
            capacity: self.capacity,
        }
    }

    /// Engine time of the entry behind a position: what a reader that stands there still has to do came then. `None`
    /// where nothing waits. Of entries that the ring has lost it is that of the oldest left.
    pub fn time_behind(&self, position: Epoch) -> Option<Micros> {
        let inner = self.lock();
        let index = position.saturating_sub(inner.before_first);
        inner.entries.get(usize::try_from(index).ok()?).map(|(entry, _)| entry.time)
    }

    /// The entry behind a position.
    pub(crate) fn read(&self, position: Epoch) -> Read {
        let inner = self.lock();
        if position < inner.before_first {
            return Read::Gone { first: position + 1, last: inner.before_first };
        }
        match inner.entries.get((position - inner.before_first) as usize) {
            Some((entry, _)) => Read::Entry(entry.clone()),
            None => Read::Empty,
        }
    }

    /// The last epoch appended.
    pub fn last_epoch(&self) -> Epoch {
        self.lock().last()
    }

    /// Engine time of the last entry; `None` before the first.
    pub fn last_time(&self) -> Option<Micros> {
        Some(self.lock().last_time).filter(|&time| time != Micros::MIN)
    }

    /// Input has ended with the last entry.
    pub(crate) fn end_input(&self) {
        let mut inner = self.lock();
        inner.input_end = Some(InputEnd { epoch: inner.last(), time: inner.last_time });
    }

    pub(crate) fn input_end(&self) -> Option<InputEnd> {
        self.lock().input_end
    }

    /// Registers a reader that starts behind `position`.
    /// `backlogs`: what waits for each sink of the reader.
    pub(crate) fn register(&self, position: Epoch, backlogs: Vec<Arc<Backlog>>) -> ReaderId {
        let mut inner = self.lock();
        let id = ReaderId(inner.next_reader);
        inner.next_reader += 1;
        inner.readers.insert(id, Reader { kept_from: position, done: position, backlogs, wakers: Arc::new([]) });
        id
    }

    /// Registers a reader that starts behind `position` and for which nobody waits: a standby.
    pub(crate) fn register_standby(&self, position: Epoch) -> ReaderId {
        let id = self.register(position, Vec::new());
        if let Some(reader) = self.lock().readers.get_mut(&id) {
            reader.done = Epoch::MAX;
        }
        id
    }

    /// A standby, which has processed everything up to `done`, takes the place of another reader.
    pub(crate) fn take_over(&self, standby: ReaderId, other: ReaderId, done: Epoch) {
        let mut inner = self.lock();
        let backlogs = inner.readers.remove(&other).map(|reader| reader.backlogs).unwrap_or_default();
        if let Some(reader) = inner.readers.get_mut(&standby) {
            reader.done = done;
            reader.backlogs = backlogs;
        }
        drop(inner);
        self.progress.notify_all();
    }

    /// Calls `set` with the last epoch before another one can enter.
    pub(crate) fn at_end<R>(&self, set: impl FnOnce(Epoch) -> R) -> R {
        let inner = self.lock();
        set(inner.last())
    }

    /// Replaces what is called when an entry is appended.
    pub(crate) fn set_wakers(&self, id: ReaderId, wakers: Vec<Waker>) {
        let mut inner = self.lock();
        if let Some(reader) = inner.readers.get_mut(&id) {
            reader.wakers = wakers.into();
        }
    }

    pub(crate) fn unregister(&self, id: ReaderId) {
        let mut inner = self.lock();
        inner.readers.remove(&id);
        inner.trim(self.capacity);
        drop(inner);
        self.progress.notify_all();
    }

    /// A reader has processed everything up to `done`, and needs nothing up to `kept_from` any more.
    pub(crate) fn advance(&self, id: ReaderId, done: Epoch, kept_from: Epoch) {
        let mut inner = self.lock();
        if let Some(reader) = inner.readers.get_mut(&id) {
            // Workers of one pipeline report side by side, and the one that looked first may come last.
            reader.done = reader.done.max(done);
            reader.kept_from = reader.kept_from.max(kept_from);
        }
        inner.trim(self.capacity);
        drop(inner);
        self.progress.notify_all();
    }

    /// The epoch that every reader has processed; the last one appended where there is no reader.
    pub fn done(&self) -> Epoch {
        self.lock().done()
    }

    /// Waits until every reader has processed `epoch`, at most `timeout`. Answers whether they have.
    pub fn wait_done(&self, epoch: Epoch, timeout: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .progress
            .wait_timeout_while(inner, timeout, |inner| inner.done() < epoch)
            .unwrap_or_else(PoisonError::into_inner);
        inner.done() >= epoch
    }

    /// Whether so much waits for some sink that input which can wait has to.
    pub(crate) fn is_backed_up(&self) -> bool {
        let inner = self.lock();
        inner.backlogs().any(|backlog| backlog.large.load(Ordering::Acquire))
    }

    /// As [`SiteLog::wait_done`], and until nothing of it waits for a sink.
    pub fn wait_stored(&self, epoch: Epoch, timeout: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .progress
            .wait_timeout_while(inner, timeout, |inner| inner.stored() < epoch)
            .unwrap_or_else(PoisonError::into_inner);
        inner.stored() >= epoch
    }

    /// Wakes whoever waits for progress, to look at something else that changed.
    pub fn notify(&self) {
        // The lock orders this with their look: no wake-up is lost.
        drop(self.lock());
        self.progress.notify_all();
    }
}

impl Inner {
    fn last(&self) -> Epoch {
        self.before_first + self.entries.len() as Epoch
    }

    fn done(&self) -> Epoch {
        self.readers.values().map(|reader| reader.done).min().unwrap_or_else(|| self.last())
    }

    fn backlogs(&self) -> impl Iterator<Item = &Arc<Backlog>> {
        self.readers.values().flat_map(|reader| &reader.backlogs)
    }

    /// The epoch up to which every sink has what was for it.
    fn stored(&self) -> Epoch {
        let first = self.backlogs().filter_map(|backlog| backlog.first()).min();
        first.map_or(self.done(), |first| self.done().min(first.saturating_sub(1)))
    }

    /// Frees what no reader needs, then what exceeds the capacity, oldest first; the newest entry stays, and so does
    /// what the journal has yet to write.
    fn trim(&mut self, capacity: usize) {
        let needed_from = self.readers.values().map(|reader| reader.kept_from).min().unwrap_or(Epoch::MAX);
        let durable = self.journal.as_ref().map_or(Epoch::MAX, |journal| journal.durable);
        while self.entries.len() > 1
            && self.before_first < durable
            && (self.before_first < needed_from || self.bytes > capacity)
        {
            if let Some((_, bytes)) = self.entries.pop_front() {
                self.bytes -= bytes;
                self.before_first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_behind_the_ring_is_told_what_it_lost() {
        let log = SiteLog::new(1, 7);
        let slow = log.register(7, Vec::new());
        for time in 0..5 {
            log.append(time, Vec::new());
        }
        assert!(matches!(log.read(7), Read::Gone { first: 8, last: 11 }));
        assert!(matches!(log.read(11), Read::Entry(entry) if entry.epoch == 12));
        assert!(matches!(log.read(12), Read::Empty));
        assert_eq!(log.done(), 7);
        assert_eq!((log.time_behind(11), log.time_behind(12), log.time_behind(7)), (Some(4), None, Some(4)));
        log.advance(slow, 12, 12);
        assert!(log.wait_done(12, Duration::ZERO));
    }

    #[test]
    fn what_waits_for_a_sink_is_not_stored() {
        let log = SiteLog::new(1 << 20, 0);
        let backlog = Arc::new(Backlog::default());
        let reader = log.register(0, vec![backlog.clone()]);
        for time in [10, 20, 30] {
            log.append(time, Vec::new());
        }
        log.advance(reader, 3, 0);
        assert!(log.wait_stored(3, Duration::ZERO) && !log.is_backed_up());
        backlog.set(Some(2), true);
        assert!(log.wait_stored(1, Duration::ZERO) && !log.wait_stored(2, Duration::ZERO));
        assert!(log.wait_done(3, Duration::ZERO) && log.is_backed_up());
    }

    #[test]
    fn what_a_reader_may_need_stays() {
        let log = SiteLog::new(1 << 20, 0);
        let reader = log.register(0, Vec::new());
        for time in [10, 5, 20] {
            log.append(time, Vec::new());
        }
        log.advance(reader, 3, 1);
        assert!(matches!(log.read(1), Read::Entry(entry) if entry.epoch == 2 && entry.time == 10));
        assert!(matches!(log.read(0), Read::Gone { .. }));
    }
}
