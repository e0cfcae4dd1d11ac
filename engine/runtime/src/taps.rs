//! Taps: copies of what leaves a port, for whoever looks, at no cost while nobody does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use ducto_record::{Batch, Epoch, Micros};

/// One batch as it left a port.
#[derive(Clone, Debug)]
pub struct Tapped {
    pub epoch: Epoch,
    /// Engine time at which it was made.
    pub stamp: Micros,
    pub batch: Batch,
}

/// Batches that a tap holds for a slow reader before it misses some.
const DEPTH: usize = 256;

/// The tap of one port.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    open: AtomicBool,
    readers: Mutex<Vec<Reader>>,
}

#[derive(Debug)]
struct Reader {
    sender: SyncSender<Tapped>,
    missed: Arc<AtomicU64>,
}

/// What a reader of a tap holds; dropping it closes the tap.
#[derive(Debug)]
pub struct TapReader {
    pub batches: Receiver<Tapped>,
    missed: Arc<AtomicU64>,
}

impl TapReader {
    /// Batches that came while this reader was too slow.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl Tap {
    pub(crate) fn open(&self) -> TapReader {
        let (sender, batches) = sync_channel(DEPTH);
        let missed = Arc::new(AtomicU64::new(0));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.push(Reader { sender, missed: missed.clone() });
        self.open.store(true, Ordering::Release);
        TapReader { batches, missed }
    }

    #[inline]
    pub(crate) fn offer(&self, epoch: Epoch, stamp: Micros, batch: &Batch) {
        if self.open.load(Ordering::Acquire) {
            self.send(epoch, stamp, batch);
        }
    }

    #[cold]
    fn send(&self, epoch: Epoch, stamp: Micros, batch: &Batch) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| match reader.sender.try_send(Tapped { epoch, stamp, batch: batch.clone() }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                reader.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        self.open.store(!readers.is_empty(), Ordering::Release);
    }
}
