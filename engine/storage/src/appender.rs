//! Several that append to one historian: an epoch of the dataset has ended when each of them has ended it.

use std::sync::Arc;

use ducto_record::{Batch, Directory, Micros};

use crate::dataset::DatasetConfig;
use crate::error::AppendError;
use crate::historian::{Historian, State};

pub(crate) type AppenderId = u64;

/// Who appends without having registered, where nobody else does.
pub(crate) const ALONE: AppenderId = 0;

impl State {
    /// Takes in an epoch that an appender has ended, once the others have ended it too. Says whether the writer has
    /// something to do.
    pub(crate) fn end_of(
        &mut self,
        config: &DatasetConfig,
        appender: AppenderId,
        epoch: u64,
        engine_time: Micros,
    ) -> bool {
        if epoch <= self.held {
            return false;
        }
        if let Some(ended) = self.ended.get_mut(&appender) {
            *ended = (*ended).max(epoch);
        }
        if self.ended.len() <= 1 && self.times.is_empty() {
            return self.end(config, epoch, engine_time);
        }
        self.times.insert(epoch, engine_time);
        self.end_common(config)
    }

    /// Takes in what every appender has ended.
    pub(crate) fn end_common(&mut self, config: &DatasetConfig) -> bool {
        let all = self.ended.values().copied().min().unwrap_or(u64::MAX);
        let mut wake = false;
        while let Some(entry) = self.times.first_entry().filter(|entry| *entry.key() <= all) {
            let (epoch, engine_time) = entry.remove_entry();
            wake |= self.end(config, epoch, engine_time);
        }
        wake
    }

    /// Forgets what an appender has brought of epochs that have not ended for it.
    pub(crate) fn forget(&mut self, appender: AppenderId) {
        let ended = self.ended.get(&appender).copied().unwrap_or(self.held);
        let mut dropped = 0;
        for (_, batches) in self.open.range_mut(ended.saturating_add(1)..) {
            batches.retain(|(of, appended)| {
                let keep = *of != appender;
                dropped += if keep { 0 } else { appended.batch.num_rows() as u64 };
                keep
            });
        }
        self.stats.rows = self.stats.rows.saturating_sub(dropped);
    }
}

impl Historian {
    /// Registers one of several that append: an epoch of the dataset has ended when each of them has ended it, until it
    /// is dropped.
    pub fn appender(&self) -> Appender {
        let mut state = self.shared.lock();
        let id = state.next_appender;
        state.next_appender += 1;
        let held = state.held;
        state.ended.insert(id, held);
        drop(state);
        Appender { historian: self.clone(), id }
    }
}

/// One of several that append to a historian.
///
/// When it is dropped the others go on without it: what it had brought of epochs that it has not ended is forgotten.
pub struct Appender {
    historian: Historian,
    id: AppenderId,
}

impl Appender {
    pub fn historian(&self) -> &Historian {
        &self.historian
    }

    /// As [`Historian::append`].
    ///
    /// # Errors
    /// As [`Historian::append`].
    pub fn append(&self, epoch: u64, batch: &Batch, directory: &Arc<Directory>) -> Result<(), AppendError> {
        self.historian.append_of(self.id, epoch, batch, directory)
    }

    /// Ends an epoch at its engine time, for this appender.
    pub fn end_epoch(&self, epoch: u64, engine_time: Micros) {
        self.historian.end_epoch_of(self.id, epoch, engine_time);
    }

    /// Rows of epochs that this appender has not ended are forgotten: they will be given again.
    pub fn restart(&self) {
        self.historian.shared.lock().forget(self.id);
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let shared = &self.historian.shared;
        let mut state = shared.lock();
        state.forget(self.id);
        state.ended.remove(&self.id);
        let mut wake = state.end_common(&shared.config);
        // Nobody is left whose epochs would bring on the next commit.
        if state.ended.is_empty() && !state.current.is_empty() {
            let held = state.held;
            state.seal(held);
            wake = true;
        }
        drop(state);
        if wake {
            shared.work.notify_one();
        }
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("dataset", &self.historian.shared.name).field("id", &self.id).finish()
    }
}
