//! Writing the site log to disk: a thread that commits what has entered, many entries at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::{Epoch, Micros};
use ducto_storage::Journal;

use crate::log::SiteLog;

/// An entry is on disk at the latest this long after it entered.
const LATEST: Duration = Duration::from_millis(200);

/// Entries of one commit, at the most, by their bytes in memory.
const AT_ONCE: usize = 16 << 20;

/// How long the thread waits before it offers entries again that the disk did not take; doubles up to the longest.
const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What the journal does, for those who look from outside.
#[derive(Clone, Debug, Default)]
pub struct JournalStatus {
    /// Everything up to this epoch is on disk.
    pub durable: Epoch,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes written since the start.
    pub bytes_written: u64,
    pub commits: u64,
    /// The longest commit so far.
    pub longest: Duration,
    /// Why the last commit failed; `None` once one has succeeded.
    pub error: Option<String>,
}

/// The thread and what it tells.
pub(crate) struct Journaling {
    log: Arc<SiteLog>,
    status: Arc<Mutex<JournalStatus>>,
    thread: Option<JoinHandle<Journal>>,
}

impl Journaling {
    /// `time` is engine time as it was known before.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(log: &Arc<SiteLog>, journal: Journal, time: Micros) -> std::io::Result<Self> {
        let (last, last_time) = journal.last().unwrap_or((0, Micros::MIN));
        log.put_journal_behind(journal.opener(), last, last_time.max(time));
        let log = log.clone();
        let status = Arc::new(Mutex::new(JournalStatus { durable: log.durable(), ..JournalStatus::default() }));
        let writer = Writer { log: log.clone(), journal, status: status.clone() };
        let thread = std::thread::Builder::new().name("ducto-journal".into()).spawn(move || writer.run())?;
        Ok(Self { log, status, thread: Some(thread) })
    }

    pub(crate) fn status(&self) -> JournalStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything that has entered is on disk when this returns, or cannot be; nothing more may enter.
    pub(crate) fn stop(&mut self) -> Option<Journal> {
        self.log.end_journal();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Journaling {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Writer {
    log: Arc<SiteLog>,
    journal: Journal,
    status: Arc<Mutex<JournalStatus>>,
}

impl Writer {
    fn run(mut self) -> Journal {
        let mut retry = None;
        while let Some(durable) = self.log.wait_for_journal(LATEST) {
            let entries = self.log.entries_after(durable, AT_ONCE);
            let Some(last) = entries.last().map(|entry| entry.epoch) else { continue };
            let started = Instant::now();
            let result = self.journal.commit(&entries);
            let took = started.elapsed();
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(()) => {
                    status.durable = last;
                    status.commits += 1;
                    status.longest = status.longest.max(took);
                    (status.bytes, status.bytes_written) = (self.journal.bytes(), self.journal.bytes_written());
                    if status.error.take().is_some() {
                        tracing::info!(last, "the journal is written again; nothing that was accepted is lost");
                    }
                    drop(status);
                    retry = None;
                    self.log.set_durable(last, self.journal.bytes_written());
                    if let Err(error) = self.journal.forget(self.log.forgettable()) {
                        tracing::warn!(%error, "a part of the journal that is not needed any more stays for now");
                    }
                }
                Err(error) => {
                    if status.error.is_none() {
                        tracing::error!(
                            %error,
                            entries = entries.len(),
                            "the journal cannot be written; entries wait in memory, and are not accepted until it can"
                        );
                    }
                    status.error = Some(error.to_string());
                    drop(status);
                    if self.log.is_ended() {
                        break;
                    }
                    let pause = retry.map_or(RETRY, |retry: Duration| (retry * 2).min(LONGEST_RETRY));
                    retry = Some(pause);
                    self.log.pause_journal(pause);
                }
            }
        }
        self.journal
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use ducto_record::{Action, Directory, Entry, Layout, Origin, Part, Samples, Tag, ValueKind, Values};
    use ducto_storage::disk::{Disk, Fault, SimulatedStorage};

    use super::*;
    use crate::log::Read;

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Site {
        _folder: tempfile::TempDir,
        storage: SimulatedStorage,
        log: Arc<SiteLog>,
        journaling: Journaling,
        layout: Arc<Layout>,
    }

    fn site(capacity: usize) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        std::fs::create_dir(&root).unwrap();
        let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
        let mut builder = Directory::builder();
        let tags = (0..100).map(|tag| builder.tag(Tag::named(&format!("W.{tag}"), ValueKind::Float64))).collect();
        let directory = Arc::new(builder.build());
        let disk = Disk::new(Arc::new(storage.clone()));
        let journal = Journal::open(&disk, &root.join("journal"), &directory).unwrap().journal;
        let log = Arc::new(SiteLog::new(capacity, 0));
        let journaling = Journaling::start(&log, journal, Micros::MIN).unwrap();
        Site { _folder: folder, storage, log, journaling, layout: Layout::new(tags) }
    }

    impl Site {
        fn enter(&self) {
            let values = Values::Float64((0..100).map(f64::from).collect());
            let samples = Samples::scan(&self.layout, 7, values, None).unwrap();
            self.log.append(0, vec![Part::Samples { origin: Origin::Field, samples }]);
        }

        /// Everything that a reader behind `position` finds, in the ring or in the journal.
        fn read(&self, position: Epoch) -> Vec<Epoch> {
            let mut position = position;
            let mut found = Vec::new();
            let mut journal = None;
            loop {
                let entry: Entry = match self.log.read(position) {
                    Read::Empty => return found,
                    Read::Entry(entry) => (*entry).clone(),
                    Read::Gone { .. } => {
                        let reader = journal.get_or_insert_with(|| self.log.journal(position).unwrap());
                        reader.next_entry().unwrap().expect("what the ring let go is in the journal")
                    }
                };
                position = entry.epoch;
                found.push(position);
            }
        }
    }

    #[test]
    fn what_the_ring_lets_go_is_read_from_disk() {
        let site = site(8_000);
        for _ in 0..60 {
            site.enter();
            // The ring holds a few entries.
            assert!(site.log.wait_durable(site.log.last_epoch().saturating_sub(5), PATIENCE));
        }
        assert!(site.log.state().bytes < 30_000);
        assert_eq!(site.read(0), (1..=60).collect::<Vec<_>>());
        assert!(site.log.wait_durable(60, PATIENCE));
        let status = site.journaling.status();
        assert!(status.commits < 50, "commits are shared: {status:?}");
    }

    #[test]
    fn an_action_is_on_disk_at_once() {
        let site = site(1 << 20);
        let action = Action {
            id: 1,
            verb: "acknowledge".into(),
            arguments: std::collections::BTreeMap::new(),
            user: "ana".into(),
            reason: None,
        };
        for _ in 0..20 {
            site.enter();
            let (epoch, _) = site.log.append(0, vec![Part::Action(Arc::new(action.clone()))]);
            assert!(site.log.wait_durable(epoch, PATIENCE));
        }
        assert!(site.journaling.status().commits >= 20);
    }

    #[test]
    fn a_slow_disk_holds_back_nobody_who_looks() {
        let site = site(1 << 20);
        let slow = Duration::from_secs(2);
        site.storage.set_trigger(move |_, verb, _| (verb == "sync").then_some(Fault::Slow(slow)));
        let started = Instant::now();
        for _ in 0..20 {
            site.enter();
        }
        assert_eq!(site.read(0), (1..=20).collect::<Vec<_>>());
        assert!(started.elapsed() < slow, "entries are read while the disk has none of them");
        assert!(site.log.wait_durable(20, PATIENCE));
        assert!(started.elapsed() >= slow, "and count as accepted only when it has them");
        let status = site.journaling.status();
        assert!(status.longest >= slow && status.error.is_none(), "{status:?}");
    }

    #[test]
    fn entries_wait_for_a_disk_that_is_full() {
        let mut site = site(40_000);
        site.storage.set_trigger(|_, verb, _| (verb == "write").then_some(Fault::Error(rustix::io::Errno::NOSPC)));
        let mut entered = 0;
        while !site.log.is_full() {
            site.enter();
            entered += 1;
            assert!(entered < 1_000, "the log is bounded");
        }
        assert_eq!(site.log.durable(), 0);
        site.storage.clear_trigger();
        assert!(site.log.wait_durable(entered, PATIENCE));
        assert!(!site.log.is_full());
        assert_eq!(site.read(0), (1..=entered).collect::<Vec<_>>());
        let journal = site.journaling.stop().unwrap();
        assert_eq!(journal.last().map(|(epoch, _)| epoch), Some(entered));
    }
}
