//! The journal's part of the site log: what is on disk, what waits to be, and reading what the ring no longer has.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ducto_record::{Entry, Epoch, Micros, Part};
use ducto_storage::JournalReader;

use super::{Inner, SiteLog};

/// Opens the journal behind a position.
type OpenJournal = Box<dyn Fn(Epoch) -> JournalReader + Send + Sync>;

pub(super) struct Journaled {
    open: Arc<dyn Fn(Epoch) -> JournalReader + Send + Sync>,
    /// Everything up to here is on disk.
    pub(super) durable: Epoch,
    /// To be on disk without delay, up to here.
    urgent: Epoch,
    /// When the first entry entered that is not on disk.
    since: Option<Instant>,
    /// Bytes of entries that are not on disk.
    waiting: usize,
    /// Not to be written before.
    paused_until: Option<Instant>,
    /// What is up to here may go from the disk.
    forget: Epoch,
    /// Bytes that the journal has written.
    written: u64,
    /// Nothing more enters.
    ended: bool,
    /// Nobody waits for the disk any more.
    given_up: bool,
}

impl Journaled {
    /// An entry enters. Says whether the journal's thread has to look at it now.
    pub(super) fn note(&mut self, entry: &Entry, bytes: usize) -> bool {
        self.waiting += bytes;
        let acts = entry.parts.iter().any(|part| matches!(part, Part::Action(_)));
        if acts {
            self.urgent = entry.epoch;
        }
        let first = self.since.is_none();
        if first {
            self.since = Some(Instant::now());
        }
        first || acts || self.waiting > EARLY
    }
}

/// So many bytes of entries are written without waiting for more.
const EARLY: usize = 4 << 20;

impl SiteLog {
    /// Puts the journal behind the ring. What it holds counts as entered: `last` and `last_time` are of its last entry.
    pub(crate) fn put_journal_behind(&self, open: OpenJournal, last: Epoch, last_time: Micros) {
        let mut inner = self.lock();
        inner.before_first = inner.before_first.max(last);
        inner.last_time = inner.last_time.max(last_time);
        inner.journal = Some(Journaled {
            open: open.into(),
            durable: inner.before_first,
            urgent: 0,
            since: None,
            waiting: 0,
            paused_until: None,
            forget: 0,
            written: 0,
            ended: false,
            given_up: false,
        });
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.lock().journal.is_some()
    }

    /// A reader of the journal behind a position; `None` where there is no journal.
    pub(crate) fn journal(&self, position: Epoch) -> Option<JournalReader> {
        let open = self.lock().journal.as_ref()?.open.clone();
        Some(open(position))
    }

    /// Everything up to here is on disk; the last epoch where there is no journal to wait for.
    pub fn durable(&self) -> Epoch {
        let inner = self.lock();
        inner.journal.as_ref().map_or(inner.last(), |journal| journal.durable)
    }

    /// Waits until an epoch is on disk, at most `timeout`. Answers whether it is.
    pub fn wait_durable(&self, epoch: Epoch, timeout: Duration) -> bool {
        let inner = self.lock();
        let waits = |inner: &mut Inner| {
            inner.journal.as_ref().is_some_and(|journal| journal.durable < epoch && !journal.given_up)
        };
        let (inner, _) =
            self.progress.wait_timeout_while(inner, timeout, waits).unwrap_or_else(PoisonError::into_inner);
        inner.journal.as_ref().is_none_or(|journal| journal.durable >= epoch)
    }

    /// The ring is full of what is not on disk: nothing more can enter without losing it.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.bytes > self.capacity && inner.journal.as_ref().is_some_and(|journal| journal.waiting > self.capacity / 2)
    }

    /// Everything up to this epoch is to be on disk without delay.
    pub(crate) fn urge(&self, epoch: Epoch) {
        if let Some(journal) = &mut self.lock().journal {
            journal.urgent = journal.urgent.max(epoch);
        }
        self.to_write.notify_one();
    }

    /// Waits until there is something to write: entries that have waited `latest`, many bytes, or something urgent.
    /// Answers behind which epoch to begin; `None` once nothing more enters and all is written.
    pub(crate) fn wait_for_journal(&self, latest: Duration) -> Option<Epoch> {
        let mut inner = self.lock();
        loop {
            let last = inner.last();
            let journal = inner.journal.as_ref()?;
            if journal.durable >= last {
                if journal.ended {
                    return None;
                }
                inner = self.to_write.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Instant::now();
            let at_once = journal.urgent > journal.durable || journal.waiting > EARLY || journal.ended;
            let due = if at_once { now } else { journal.since.map_or(now, |since| since + latest) };
            let due = journal.paused_until.filter(|_| !journal.ended).map_or(due, |until| due.max(until));
            if due <= now {
                return Some(journal.durable);
            }
            inner = self.to_write.wait_timeout(inner, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Entries of the ring behind `after`, of about so many bytes.
    pub(crate) fn entries_after(&self, after: Epoch, bytes: usize) -> Vec<Arc<Entry>> {
        let inner = self.lock();
        let skip = usize::try_from(after.saturating_sub(inner.before_first)).unwrap_or(usize::MAX);
        let mut taken = 0;
        let fits = |(_, size): &&(Arc<Entry>, usize)| {
            let fits = taken < bytes;
            taken += size;
            fits
        };
        inner.entries.iter().skip(skip).take_while(fits).map(|(entry, _)| entry.clone()).collect()
    }

    /// Entries up to here are not needed on disk any more.
    pub(crate) fn forget_journal(&self, epoch: Epoch) {
        if let Some(journal) = &mut self.lock().journal {
            journal.forget = journal.forget.max(epoch);
        }
    }

    /// See [`SiteLog::forget_journal`].
    pub(crate) fn forgettable(&self) -> Epoch {
        self.lock().journal.as_ref().map_or(0, |journal| journal.forget)
    }

    /// Bytes that the journal has written since the start.
    pub(crate) fn journal_written(&self) -> u64 {
        self.lock().journal.as_ref().map_or(0, |journal| journal.written)
    }

    /// Everything up to here is on disk now, after so many bytes in all.
    pub(crate) fn set_durable(&self, epoch: Epoch, written: u64) {
        let mut inner = self.lock();
        let last = inner.last();
        let skip = usize::try_from(epoch.saturating_sub(inner.before_first)).unwrap_or(usize::MAX);
        let waiting = inner.entries.iter().skip(skip).map(|(_, bytes)| bytes).sum();
        if let Some(journal) = &mut inner.journal {
            journal.durable = epoch;
            journal.written = written;
            journal.paused_until = None;
            journal.waiting = waiting;
            journal.since = (epoch < last).then(Instant::now);
        }
        inner.trim(self.capacity);
        drop(inner);
        self.progress.notify_all();
    }

    /// The disk took nothing: it is tried again after a while.
    pub(crate) fn pause_journal(&self, pause: Duration) {
        if let Some(journal) = &mut self.lock().journal {
            journal.paused_until = Some(Instant::now() + pause);
        }
    }

    /// Nothing more enters: what waits is written at once.
    pub(crate) fn end_journal(&self) {
        if let Some(journal) = &mut self.lock().journal {
            journal.ended = true;
        }
        self.to_write.notify_all();
    }

    /// Nobody waits for the disk any more, whoever is stopping among them. For tests.
    pub fn give_up_journal(&self) {
        if let Some(journal) = &mut self.lock().journal {
            journal.given_up = true;
            journal.ended = true;
        }
        self.to_write.notify_all();
        self.progress.notify_all();
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.lock().journal.as_ref().is_some_and(|journal| journal.given_up)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().journal.as_ref().is_some_and(|journal| journal.ended)
    }
}
