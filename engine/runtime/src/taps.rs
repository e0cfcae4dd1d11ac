//! Taps: copies of what leaves a port, for whoever looks, at no cost while nobody does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
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
    sender: Bounds,
    missed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Bounds {
    /// Misses batches when its reader is slow.
    Bounded(SyncSender<Tapped>),
    /// Misses nothing: for tests, whose input ends.
    Unbounded(Sender<Tapped>),
}

impl Bounds {
    fn send(&self, tapped: Tapped) -> Sent {
        match self {
            Self::Bounded(sender) => match sender.try_send(tapped) {
                Ok(()) => Sent::Taken,
                Err(TrySendError::Full(_)) => Sent::Missed,
                Err(TrySendError::Disconnected(_)) => Sent::Gone,
            },
            Self::Unbounded(sender) => sender.send(tapped).map_or(Sent::Gone, |()| Sent::Taken),
        }
    }
}

enum Sent {
    Taken,
    Missed,
    Gone,
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
    /// A reader that may miss batches, or one that misses none and grows instead.
    pub(crate) fn open(&self, every: bool) -> TapReader {
        let (sender, batches) = if every {
            let (sender, batches) = channel();
            (Bounds::Unbounded(sender), batches)
        } else {
            let (sender, batches) = sync_channel(DEPTH);
            (Bounds::Bounded(sender), batches)
        };
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
        readers.retain(|reader| match reader.sender.send(Tapped { epoch, stamp, batch: batch.clone() }) {
            Sent::Taken => true,
            Sent::Missed => {
                reader.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Sent::Gone => false,
        });
        self.open.store(!readers.is_empty(), Ordering::Release);
    }
}
