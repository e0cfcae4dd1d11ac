//! The historians that are open in a site, by dataset: shared by the sinks that store into them and by queries, which
//! read their live tail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ducto_graph::operator::Intake;
use ducto_record::Epoch;
use ducto_storage::{DataFolder, DatasetConfig, FileError, Finding, Historian, Recovered, StorageError};

use super::announcer::Announcer;

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
        let held = held.max(super::file::last_epoch(&folder));
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
    /// of `dataset`, the name that graphs know it by, from behind the epoch that the journal has of them.
    pub(super) fn dataset(
        &self,
        config: DatasetConfig,
        dataset: &Arc<str>,
        intake: Option<(&Arc<dyn Intake>, Epoch)>,
    ) -> Result<(Historian, Option<Arc<Announcer>>), StorageError> {
        let mut open = self.lock();
        if let Some(open) = open.get(&config.name) {
            return Ok((open.historian.clone(), open.announcer.clone()));
        }
        let name = config.name.clone();
        let historian = Historian::open(&self.folder, config)?;
        let announcer = match intake {
            None => None,
            Some((intake, announced)) => {
                let announcer = Announcer::start(intake.clone(), dataset.clone(), historian.held(), announced)
                    .map_err(|error| FileError::new("start the announcer of", self.folder.path(), error))?;
                let told = announcer.clone();
                historian.on_commit(move |committed| told.take(committed));
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
