//! The historians that are open in a site, by dataset: shared by the sinks that store into them and by queries, which
//! read their live tail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ducto_graph::operator::Intake;
use ducto_record::{Batch, Epoch, Origin, Part};
use ducto_storage::{Committed, DataFolder, DatasetConfig, FileError, Finding, Historian, Recovered, StorageError};

/// The open historians. The site makes one over its data folder and gives it to nodes as a resource.
#[derive(Debug)]
pub struct Historians {
    folder: Arc<DataFolder>,
    last_epoch: Epoch,
    findings: Vec<Finding>,
    open: Mutex<BTreeMap<String, Open>>,
    closing: AtomicBool,
    /// Files that sinks write beside the datasets.
    pub(super) files: Mutex<BTreeSet<PathBuf>>,
}

#[derive(Debug)]
struct Open {
    historian: Historian,
    announcer: Option<Arc<Announcer>>,
}

impl Historians {
    /// Finishes or undoes what a crash left in the folder, and sets aside what is damaged.
    ///
    /// # Errors
    /// When a dataset of the folder cannot be read, or not be put right.
    pub fn open(folder: Arc<DataFolder>) -> Result<Self, StorageError> {
        let Recovered { held, findings } = ducto_storage::recover(&folder)?;
        for finding in &findings {
            tracing::error!("{finding}");
        }
        Ok(Self {
            folder,
            last_epoch: held,
            findings,
            open: Mutex::default(),
            closing: AtomicBool::new(false),
            files: Mutex::default(),
        })
    }

    /// The last epoch that any dataset of the folder held when it was opened: a site that starts numbers its entries
    /// above it.
    pub fn last_epoch(&self) -> Epoch {
        self.last_epoch
    }

    /// What was damaged, missing or foreign in the datasets when the folder was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The data folder.
    pub fn folder(&self) -> &Arc<DataFolder> {
        &self.folder
    }

    /// The historian of a dataset by its own name: `history`, `history_int64`.
    pub fn get(&self, dataset: &str) -> Option<Historian> {
        self.lock().get(dataset).map(|open| open.historian.clone())
    }

    /// Every open historian, by dataset.
    pub fn all(&self) -> Vec<(String, Historian)> {
        self.lock().iter().map(|(name, open)| (name.clone(), open.historian.clone())).collect()
    }

    /// Sinks that wait for the disk give up: for a stop while it is full.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Opens a dataset, or gives the one that another sink has opened. Its commits are offered to `intake` as commits
    /// of `dataset`, the name that graphs know it by.
    pub(super) fn dataset(
        &self,
        config: DatasetConfig,
        dataset: &Arc<str>,
        intake: Option<&Arc<dyn Intake>>,
    ) -> Result<(Historian, Option<Arc<Announcer>>), StorageError> {
        let mut open = self.lock();
        if let Some(open) = open.get(&config.name) {
            return Ok((open.historian.clone(), open.announcer.clone()));
        }
        let name = config.name.clone();
        let historian = Historian::open(&self.folder, config)?;
        let announcer = match intake {
            None => None,
            Some(intake) => {
                let (announcer, commits) = Announcer::start(intake.clone(), dataset.clone())
                    .map_err(|error| FileError::new("start the announcer of", self.folder.path(), error))?;
                let counted = announcer.clone();
                historian.on_commit(move |committed| counted.take(&commits, committed));
                Some(announcer)
            }
        };
        open.insert(name, Open { historian: historian.clone(), announcer: announcer.clone() });
        Ok((historian, announcer))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings commits into the site log, on a thread of its own: the writer of a historian must not wait for pipelines that
/// wait for its disk.
#[derive(Debug)]
pub(super) struct Announcer {
    taken: AtomicU64,
    given: Mutex<u64>,
    progress: Condvar,
}

impl Announcer {
    fn start(intake: Arc<dyn Intake>, dataset: Arc<str>) -> std::io::Result<(Arc<Self>, Sender<Committed>)> {
        let announcer = Arc::new(Self { taken: AtomicU64::new(0), given: Mutex::new(0), progress: Condvar::new() });
        let (commits, waiting) = channel::<Committed>();
        let counted = announcer.clone();
        // Ends when the historian, which holds the sender, has gone.
        std::thread::Builder::new().name("announcer".into()).spawn(move || {
            for commit in waiting {
                for appended in commit.rows.iter() {
                    let origin = Origin::Dataset(dataset.clone());
                    let part = match &appended.batch {
                        Batch::Samples(samples) => Part::Samples { origin, samples: samples.clone() },
                        Batch::Rows(rows) => Part::Rows { origin, rows: rows.clone() },
                    };
                    // Only what a site commits after it has flushed comes too late, and that no node reads.
                    let _ = intake.offer_waiting(part);
                }
                *counted.given.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                counted.progress.notify_all();
            }
        })?;
        Ok((announcer, commits))
    }

    fn take(&self, commits: &Sender<Committed>, committed: &Committed) {
        if commits.send(committed.clone()).is_ok() {
            self.taken.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many commits there were.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// How many of them have been offered.
    pub(super) fn offered(&self) -> u64 {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every commit so far has been offered.
    pub(super) fn settle(&self) {
        let taken = self.taken.load(Ordering::Acquire);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while *given < taken {
            given = self.progress.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
