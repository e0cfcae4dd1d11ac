//! Taps: copies of what leaves a port, for whoever looks, at no cost while nobody does.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use ducto_record::{Batch, Epoch, Micros};

/// One batch as it left a port.
#[derive(Debug)]
pub struct Tapped {
    pub epoch: Epoch,
    /// Engine time at which it was made.
    pub stamp: Micros,
    pub batch: Batch,
    _held: Option<Held>,
}

/// Batches that a tap holds for a slow reader before it misses some.
const DEPTH: usize = 1_024;

/// Bytes of buffers that it keeps alive for one; a batch that is larger than that is still held alone.
const BYTES: usize = 4 << 20;

/// The share of one batch in the bytes that a reader keeps alive.
#[derive(Debug)]
struct Held {
    of: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// `None` where the reader holds enough already.
    fn room(of: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        // Tells more than is held for a moment, where two workers offer at once.
        let before = of.fetch_add(bytes, Ordering::Relaxed);
        let held = Self { of: of.clone(), bytes };
        (before == 0 || before + bytes <= BYTES).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

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
    Bounded(SyncSender<Tapped>, Arc<AtomicUsize>),
    /// Misses nothing: for tests, whose input ends.
    Unbounded(Sender<Tapped>),
}

impl Bounds {
    fn send(&self, mut tapped: Tapped, bytes: usize) -> Sent {
        match self {
            Self::Bounded(sender, held) => {
                // What a reader held goes with it, so that one who has gone is never full.
                let Some(room) = Held::room(held, bytes) else { return Sent::Missed };
                tapped._held = Some(room);
                match sender.try_send(tapped) {
                    Ok(()) => Sent::Taken,
                    Err(TrySendError::Full(_)) => Sent::Missed,
                    Err(TrySendError::Disconnected(_)) => Sent::Gone,
                }
            }
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
    /// Rows that came while this reader was too slow.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Where they are counted, for others than the reader.
    pub fn missed_counter(&self) -> Arc<AtomicU64> {
        self.missed.clone()
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
            (Bounds::Bounded(sender, Arc::default()), batches)
        };
        let missed = Arc::new(AtomicU64::new(0));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.push(Reader { sender, missed: missed.clone() });
        self.open.store(true, Ordering::Release);
        TapReader { batches, missed }
    }

    /// Whether somebody may be looking.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn offer(&self, epoch: Epoch, stamp: Micros, batch: &Batch) {
        if self.is_open() {
            self.send(epoch, stamp, batch);
        }
    }

    #[cold]
    fn send(&self, epoch: Epoch, stamp: Micros, batch: &Batch) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, bytes) = (batch.num_rows() as u64, batch.bytes());
        readers.retain(|reader| {
            let tapped = Tapped { epoch, stamp, batch: batch.clone(), _held: None };
            match reader.sender.send(tapped, bytes) {
                Sent::Taken => true,
                Sent::Missed => {
                    reader.missed.fetch_add(rows, Ordering::Relaxed);
                    true
                }
                Sent::Gone => false,
            }
        });
        self.open.store(!readers.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use ducto_record::{Layout, Samples, Values};

    use super::*;

    fn batch(rows: u32) -> Batch {
        let layout = Layout::new((0..rows).collect());
        let values = Values::Float64(vec![1.0; rows as usize].into());
        Batch::Samples(Samples::scan(&layout, 0, values, None).unwrap())
    }

    #[test]
    fn a_slow_reader_misses_what_it_has_no_room_for() {
        let tap = Tap::default();
        let (slow, every) = (tap.open(false), tap.open(true));
        for epoch in 0..2 * DEPTH as u64 {
            tap.offer(epoch, 0, &batch(3));
        }
        assert_eq!((slow.missed(), every.missed()), (3 * DEPTH as u64, 0));
        assert_eq!((slow.batches.try_iter().count(), every.batches.try_iter().count()), (DEPTH, 2 * DEPTH));
    }

    #[test]
    fn what_a_reader_keeps_alive_is_bounded_in_bytes() {
        let tap = Tap::default();
        let reader = tap.open(false);
        // Larger than everything a reader may hold: it comes alone.
        let large = batch(1 << 20);
        assert!(large.bytes() > BYTES);
        tap.offer(1, 0, &large);
        tap.offer(2, 0, &batch(1));
        assert_eq!(reader.missed(), 1);
        let held = reader.batches.try_recv().unwrap();
        tap.offer(3, 0, &batch(1));
        assert_eq!(reader.missed(), 2);
        drop(held);
        tap.offer(4, 0, &batch(1));
        assert_eq!((reader.missed(), reader.batches.try_recv().unwrap().epoch), (2, 4));
    }

    #[test]
    fn a_tap_closes_behind_its_last_reader() {
        let tap = Tap::default();
        assert!(!tap.is_open());
        let (one, other) = (tap.open(false), tap.open(false));
        drop(one);
        tap.offer(1, 0, &batch(1));
        assert!(tap.is_open());
        // Full, and gone all the same.
        tap.offer(2, 0, &batch(1 << 20));
        drop(other);
        tap.offer(3, 0, &batch(1));
        assert!(!tap.is_open());
    }
}
