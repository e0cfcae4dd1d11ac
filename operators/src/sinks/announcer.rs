//! Brings what a dataset has committed into the site log, for the nodes that read it.
//!
//! The rows of one epoch enter as one entry, which names the epoch, so that the journal says what has been announced. What
//! was committed before a crash, and not announced, is announced once the log has given it again: the historian passes
//! over what it holds, and the announcer takes it instead.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ducto_graph::operator::Intake;
use ducto_record::{Batch, Epoch, Origin, Part};
use ducto_storage::Committed;

/// Rows with the epochs they came of, in their order, and up to which epoch these are all.
#[derive(Debug)]
struct Brought {
    epoch: Epoch,
    rows: Vec<(Epoch, Batch)>,
}

/// Has a thread of its own: the writer of a historian must not wait for pipelines that wait for its disk.
#[derive(Debug)]
pub(super) struct Announcer {
    commits: Mutex<Sender<Brought>>,
    taken: AtomicU64,
    given: Mutex<Given>,
    progress: Condvar,
    /// What the historian held when it was opened: rows of epochs up to this it passes over.
    held: Epoch,
    /// What the journal holds of it.
    announced: Epoch,
    /// Rows between the two may still come.
    behind: AtomicBool,
    again: Mutex<Again>,
}

#[derive(Debug)]
struct Given {
    commits: u64,
    /// Everything up to here was offered.
    epoch: Epoch,
}

/// What the log gives again.
#[derive(Debug, Default)]
struct Again {
    next: u64,
    /// By sink, up to which epoch it has given.
    ended: BTreeMap<u64, Epoch>,
    rows: BTreeMap<Epoch, Vec<Batch>>,
}

/// One of the sinks that store into the dataset; its rows are waited for until it is dropped.
#[derive(Debug)]
pub(super) struct Announcing {
    announcer: Arc<Announcer>,
    id: u64,
}

impl Announcer {
    /// `held` is what the historian holds, `announced` what the journal says.
    pub(super) fn start(
        intake: Arc<dyn Intake>,
        dataset: Arc<str>,
        held: Epoch,
        announced: Epoch,
    ) -> std::io::Result<Arc<Self>> {
        let (commits, waiting) = channel();
        let announcer = Arc::new(Self {
            commits: Mutex::new(commits),
            taken: AtomicU64::new(0),
            given: Mutex::new(Given { commits: 0, epoch: announced }),
            progress: Condvar::new(),
            held,
            announced,
            behind: AtomicBool::new(held > announced),
            again: Mutex::default(),
        });
        let given = Arc::downgrade(&announcer);
        // Ends with the announcer, which holds the sender.
        std::thread::Builder::new().name("announcer".into()).spawn(move || {
            let offer = |waiting: &Receiver<Brought>| -> Option<Epoch> {
                let Brought { epoch, rows } = waiting.recv().ok()?;
                for of_epoch in rows.chunk_by(|one, other| one.0 == other.0) {
                    // Only a site that has stopped refuses it, and then the next process announces it.
                    let _ = intake.offer_together(parts(&dataset, of_epoch));
                }
                Some(epoch)
            };
            while let Some(epoch) = offer(&waiting) {
                let Some(announcer) = given.upgrade() else { return };
                let mut given = announcer.given();
                given.commits += 1;
                given.epoch = given.epoch.max(epoch);
                drop(given);
                announcer.progress.notify_all();
            }
        })?;
        Ok(announcer)
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self) -> MutexGuard<'_, Again> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the historian has committed.
    pub(super) fn take(&self, committed: &Committed) {
        let rows = committed.rows.iter().map(|appended| (appended.epoch, appended.batch.clone())).collect();
        self.send(Brought { epoch: committed.epoch, rows });
    }

    fn send(&self, brought: Brought) {
        self.taken.fetch_add(1, Ordering::AcqRel);
        // The thread ends only with this.
        let _ = self.commits.lock().unwrap_or_else(PoisonError::into_inner).send(brought);
    }

    /// How many commits there were.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// How many of them have been offered.
    pub(super) fn offered(&self) -> u64 {
        self.given().commits
    }

    /// Waits until every commit so far has been offered.
    pub(super) fn settle(&self) {
        let taken = self.taken();
        let mut given = self.given();
        while given.commits < taken {
            given = self.progress.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Up to which epoch everything that was committed has been offered; the greatest where that is all of it.
    pub(super) fn offered_up_to(&self) -> Epoch {
        if self.behind.load(Ordering::Acquire) {
            return self.announced;
        }
        let given = self.given();
        if given.commits == self.taken() { Epoch::MAX } else { given.epoch }
    }

    /// A sink begins to give.
    pub(super) fn announcing(self: &Arc<Self>) -> Announcing {
        let mut again = self.again();
        let id = again.next;
        again.next += 1;
        again.ended.insert(id, 0);
        Announcing { announcer: self.clone(), id }
    }

    /// Once every sink has given what the historian holds already, that is announced.
    fn bring_again(&self, mut again: MutexGuard<'_, Again>) {
        if again.ended.values().any(|ended| *ended < self.held) || !self.behind.load(Ordering::Acquire) {
            return;
        }
        let rows = std::mem::take(&mut again.rows);
        let rows = rows.into_iter().flat_map(|(epoch, batches)| batches.into_iter().map(move |batch| (epoch, batch)));
        self.send(Brought { epoch: self.held, rows: rows.collect() });
        self.behind.store(false, Ordering::Release);
    }
}

impl Announcing {
    pub(super) fn announcer(&self) -> &Arc<Announcer> {
        &self.announcer
    }

    /// Whether the announcer wants to be told what is given of this epoch.
    pub(super) fn wants(&self, epoch: Epoch) -> bool {
        self.announcer.behind.load(Ordering::Acquire) && epoch > self.announcer.announced
    }

    /// Batches of an epoch that the sink has given for good.
    pub(super) fn ended<'a>(&self, epoch: Epoch, batches: impl Iterator<Item = &'a Batch>) {
        let mut again = self.announcer.again();
        if epoch <= self.announcer.held {
            again.rows.entry(epoch).or_default().extend(batches.cloned());
        }
        again.ended.insert(self.id, epoch);
        self.announcer.bring_again(again);
    }
}

impl Drop for Announcing {
    fn drop(&mut self) {
        let mut again = self.announcer.again();
        again.ended.remove(&self.id);
        if !again.ended.is_empty() {
            self.announcer.bring_again(again);
        }
    }
}

fn parts(dataset: &Arc<str>, rows: &[(Epoch, Batch)]) -> Vec<Part> {
    let part = |(epoch, batch): &(Epoch, Batch)| {
        let origin = Origin::Dataset { name: dataset.clone(), epoch: *epoch };
        match batch {
            Batch::Samples(samples) => Part::Samples { origin, samples: samples.clone() },
            Batch::Rows(rows) => Part::Rows { origin, rows: rows.clone() },
        }
    };
    rows.iter().map(part).collect()
}
