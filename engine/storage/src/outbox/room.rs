//! Room for a batch: what goes when there is none.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Class, Shared};
use crate::error::StorageError;

/// How soon a loss is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// Rows were let go because more waited than may.
pub(super) const FULL: &str = "outbox_full";

impl Shared {
    /// Makes room for a batch of so many bytes: within its class the oldest go, and of all the oldest of the lowest
    /// class, never for one that is lower than they are. Says whether there is room.
    pub(super) fn make_room(&self, class: Class, bytes: u64) -> Result<bool, StorageError> {
        let of_class = self.caps.classes[class.index()];
        if bytes > self.caps.all || of_class.is_some_and(|cap| bytes > cap) {
            return Ok(false);
        }
        loop {
            let (mut all, mut own) = (bytes, bytes);
            for waiting in self.index().values().flat_map(|queue| queue.waiting.values()) {
                all += waiting.bytes;
                own += if waiting.class == class { waiting.bytes } else { 0 };
            }
            let victim = if of_class.is_some_and(|cap| own > cap) {
                self.oldest(|other| other == class)
            } else if all > self.caps.all {
                self.oldest(|other| other >= class)
            } else {
                return Ok(true);
            };
            match victim {
                Some((stream, sequence)) => self.evict(&stream, sequence)?,
                None => return Ok(false),
            }
        }
    }

    /// Lets a batch of a lower class go, where the disk itself has no room for one of this. Says whether there was one.
    pub(super) fn evict_below(&self, class: Class) -> bool {
        let Some((stream, sequence)) = self.oldest(|other| other > class) else { return false };
        match self.evict(&stream, sequence) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a batch that is to make room cannot be removed");
                false
            }
        }
    }

    /// The oldest batch of the lowest class among those that may go.
    fn oldest(&self, may_go: impl Fn(Class) -> bool) -> Option<(Arc<str>, u64)> {
        let index = self.index();
        let all = index.iter().flat_map(|(name, queue)| {
            let free = queue.waiting.iter().filter(|(sequence, _)| queue.sending != Some(**sequence));
            free.map(move |(sequence, waiting)| (name, *sequence, waiting))
        });
        let victim = all
            .filter(|(_, _, waiting)| may_go(waiting.class))
            .min_by_key(|(_, sequence, waiting)| (std::cmp::Reverse(waiting.class), waiting.sealed, *sequence));
        victim.map(|(name, sequence, _)| (name.clone(), sequence))
    }

    fn evict(&self, stream: &Arc<str>, sequence: u64) -> Result<(), StorageError> {
        // Taken first, so that nobody begins to send what is about to go.
        let taken = {
            let mut index = self.index();
            let queue = index.get_mut(stream).filter(|queue| queue.sending != Some(sequence));
            queue.and_then(|queue| queue.waiting.remove(&sequence))
        };
        let Some(waiting) = taken else { return Ok(()) };
        let path = self.path(stream, sequence);
        if let Err(error) = self.disk.remove(&path) {
            if let Some(queue) = self.index().get_mut(stream) {
                queue.waiting.insert(sequence, waiting);
            }
            return Err(error.into());
        }
        self.lose(stream, FULL, waiting.rows, &path);
        Ok(())
    }

    /// Counts rows that will not be delivered, and says so.
    pub(super) fn lose(&self, stream: &Arc<str>, cause: &'static str, rows: u64, path: &Path) {
        let mut index = self.index();
        let Some(queue) = index.get_mut(stream) else { return };
        queue.lose(cause, rows);
        let now = Instant::now();
        if queue.speak_at.is_some_and(|at| now < at) {
            return;
        }
        queue.speak_at = Some(now + AGAIN);
        let lost = queue.lost.get(cause).copied().unwrap_or_default();
        drop(index);
        let help = match cause {
            FULL => {
                "the outbox is full and the oldest of the lowest class go; mend the way to the receiver, or raise \
                     `outbox: {size: …}` in `site.yaml`"
            }
            _ => "see what was logged of it",
        };
        tracing::error!(stream = &**stream, cause, rows, lost, path = %path.display(), "rows are not sent: {help}");
    }
}
