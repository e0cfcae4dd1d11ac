//! A sink and its place among the workers: it gets whole epochs, in order, each once, whatever restarts above it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ducto_graph::operator::{NodeError, Packet, Sink};
use ducto_record::{Epoch, Micros};

use crate::error::panic_text;
use crate::stats::NodeStats;

/// One sink of a pipeline. It outlives the pipeline's restarts.
pub(crate) struct SinkHost {
    stats: Arc<NodeStats>,
    state: Mutex<State>,
}

struct State {
    /// None once it is set aside after too many failures: rows are counted and dropped, and what it shared with others
    /// is let go.
    sink: Option<Box<dyn Sink>>,
    /// The last epoch that the sink holds whole.
    ended: Epoch,
    /// The instance of the pipeline that may deliver; an older one is fenced off.
    instance: u64,
    /// What has come of epochs that not every worker has delivered yet.
    pending: BTreeMap<Epoch, Pending>,
    /// The last epoch each worker has delivered.
    delivered: Vec<Epoch>,
}

struct Pending {
    time: Micros,
    /// By worker, so that the order does not depend on which was faster.
    shares: BTreeMap<usize, Vec<Packet>>,
}

impl SinkHost {
    pub(crate) fn new(sink: Box<dyn Sink>, position: Epoch, stats: Arc<NodeStats>) -> Self {
        Self {
            stats,
            state: Mutex::new(State {
                sink: Some(sink),
                ended: position,
                instance: 0,
                pending: BTreeMap::new(),
                delivered: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on only this instance delivers, from behind `position`.
    pub(crate) fn attach(&self, instance: u64, workers: usize, position: Epoch) {
        let mut state = self.lock();
        state.instance = instance;
        state.pending.clear();
        state.delivered = vec![position; workers];
    }

    pub(crate) fn set_aside(&self) {
        let sink = self.lock().sink.take();
        // Outside the lock: a sink may have something to end.
        if catch_unwind(AssertUnwindSafe(|| drop(sink))).is_err() {
            tracing::error!("a sink that is set aside panicked when it was let go");
        }
    }

    /// A worker's share of an epoch. The sink gets what every worker has delivered by now.
    pub(crate) fn deliver(
        &self,
        instance: u64,
        worker: usize,
        epoch: Epoch,
        time: Micros,
        packets: Vec<Packet>,
    ) -> Result<(), NodeError> {
        let mut state = self.lock();
        if state.instance != instance {
            return Ok(());
        }
        if epoch > state.ended {
            state
                .pending
                .entry(epoch)
                .or_insert_with(|| Pending { time, shares: BTreeMap::new() })
                .shares
                .insert(worker, packets);
        }
        if let Some(delivered) = state.delivered.get_mut(worker) {
            *delivered = epoch;
        }
        let complete = state.delivered.iter().copied().min().unwrap_or(epoch);
        while let Some((&epoch, _)) = state.pending.first_key_value() {
            if epoch > complete {
                break;
            }
            let Some(pending) = state.pending.remove(&epoch) else { break };
            self.give(&mut state, epoch, pending)?;
        }
        Ok(())
    }

    fn give(&self, state: &mut State, epoch: Epoch, pending: Pending) -> Result<(), NodeError> {
        let Pending { time, shares } = pending;
        let rows: usize = shares.values().flatten().map(|packet| packet.batch.num_rows()).sum();
        let Some(sink) = &mut state.sink else {
            self.stats.drop_rows("set_aside", rows as u64);
            state.ended = epoch;
            return Ok(());
        };
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            for packet in shares.values().flatten() {
                sink.on_batch(packet.input, epoch, &packet.batch)?;
            }
            sink.end_epoch(epoch, time)
        }));
        NodeStats::add(&self.stats.nanoseconds, started.elapsed().as_nanos() as u64);
        match result {
            Ok(Ok(())) => {
                state.ended = epoch;
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(NodeError::text(panic_text(&*panic))),
        }
    }

    pub(crate) fn settle(&self) {
        if let Some(sink) = &mut self.lock().sink {
            sink.settle();
        }
    }

    /// See [`Sink::flush`].
    pub(crate) fn flush(&self) -> bool {
        let flushed = match &mut self.lock().sink {
            Some(sink) => catch_unwind(AssertUnwindSafe(|| sink.flush())).unwrap_or(None),
            None => None,
        };
        // Without the lock: a pipeline that delivers to this sink has to go on.
        flushed.map(|wait| wait()).is_some()
    }

    pub(crate) fn finish(&self) -> Result<(), NodeError> {
        let mut state = self.lock();
        let Some(sink) = &mut state.sink else { return Ok(()) };
        catch_unwind(AssertUnwindSafe(|| sink.finish()))
            .unwrap_or_else(|panic| Err(NodeError::text(panic_text(&*panic))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Says when it is dropped.
    struct Shares(std::sync::mpsc::Sender<()>);

    impl Sink for Shares {
        fn on_batch(&mut self, _: usize, _: Epoch, _: &ducto_record::Batch) -> Result<(), NodeError> {
            Ok(())
        }

        fn end_epoch(&mut self, _: Epoch, _: Micros) -> Result<(), NodeError> {
            Ok(())
        }
    }

    impl Drop for Shares {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn a_sink_that_is_set_aside_lets_go_of_what_it_shares() {
        let (gone, waiting) = std::sync::mpsc::channel();
        let stats = Arc::new(NodeStats::default());
        let host = SinkHost::new(Box::new(Shares(gone)), 0, stats);
        host.attach(1, 1, 0);
        host.deliver(1, 0, 1, 0, Vec::new()).unwrap();
        assert!(waiting.try_recv().is_err());
        host.set_aside();
        assert!(waiting.try_recv().is_ok());
        host.deliver(1, 0, 2, 0, Vec::new()).unwrap();
        host.settle();
        host.finish().unwrap();
    }
}
