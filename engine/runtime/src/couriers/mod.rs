//! Who brings the outbox to its receivers: a courier for each stream, on a thread of its own, so that a receiver which
//! never answers keeps nobody else waiting.
//!
//! A courier gives its carrier the oldest batch, again and again until the receiver has it, with growing pauses in
//! between. Then that is written down, and only then does the batch leave the disk. So a batch can come twice, under the
//! same id, and never not at all.

mod courier;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::Micros;
use ducto_storage::{Outbox, SealedBatch, Stream, StreamStats};

use courier::{Courier, Shared};

/// How long a stop gives a receiver that answers to take what waits for it.
const AT_THE_END: Duration = Duration::from_secs(5);

/// How long a stop waits for a request that is under way.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// What came of giving a batch to its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The receiver has it.
    Accepted,
    /// It may have it or not: to be tried again, by the receiver's own word after so long.
    Later { why: String, after: Option<Duration> },
    /// The receiver does not take this batch, and will hardly take it another time.
    Refused { why: String },
}

/// The way to a receiver.
pub trait Carrier: Send {
    /// Gives the receiver a batch and waits for its answer, for a limited time.
    fn carry(&mut self, batch: &SealedBatch) -> Carried;

    /// Where to, for people; without anything secret.
    fn endpoint(&self) -> String;
}

/// Tells engine time.
pub type EngineNow = Arc<dyn Fn() -> Micros + Send + Sync>;

/// How it goes with a receiver; counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourierStatus {
    pub endpoint: String,
    /// Requests that did not bring a batch to its receiver.
    pub failures: u64,
    /// Engine time since when nothing is delivered; `None` while all goes well.
    pub failing_since: Option<Micros>,
    /// Why the last request failed, while nothing is delivered.
    pub why: Option<String>,
}

/// A stream of the outbox and who delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxStatus {
    pub stream: StreamStats,
    /// `None` where no node of the graphs serves it.
    pub courier: Option<CourierStatus>,
}

/// The outbox of a site and its couriers: a service for nodes.
#[derive(Debug)]
pub struct Outboxes {
    outbox: Outbox,
    couriers: Mutex<BTreeMap<Arc<str>, Weak<Shared>>>,
}

impl Outboxes {
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox, couriers: Mutex::default() }
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Delivers a stream until what this gives is dropped.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn deliver(&self, stream: &Stream, carrier: Box<dyn Carrier>, now: EngineNow) -> std::io::Result<Delivery> {
        let shared = Arc::new(Shared::new(carrier.endpoint()));
        let courier = Courier::new(stream.clone(), carrier, shared.clone(), now);
        let thread = std::thread::Builder::new().name("courier".into()).spawn(move || courier.run())?;
        let mut couriers = self.couriers.lock().unwrap_or_else(PoisonError::into_inner);
        couriers.insert(stream.name().clone(), Arc::downgrade(&shared));
        Ok(Delivery { shared, stream: stream.clone(), thread: Some(thread) })
    }

    pub fn status(&self) -> Vec<OutboxStatus> {
        let couriers = self.couriers.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |stream: StreamStats| {
            let courier = couriers.get(&stream.name).and_then(Weak::upgrade).map(|shared| shared.status());
            OutboxStatus { stream, courier }
        };
        let all = self.outbox.stats().into_iter().map(status);
        // What a node has left that is no longer there matters as long as something waits.
        all.filter(|status| status.courier.is_some() || status.stream.waiting_batches > 0).collect()
    }
}

/// A courier at work.
#[derive(Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
    stream: Stream,
    thread: Option<JoinHandle<()>>,
}

impl Delivery {
    /// Ends it: at once where its receiver fails, else once what waits is delivered, or after a few seconds. What is left
    /// is delivered after the next start.
    pub fn finish(&mut self) {
        let fails = self.shared.status().failing_since.is_some();
        self.end(if fails { Duration::ZERO } else { AT_THE_END });
    }

    fn end(&mut self, patience: Duration) {
        let Some(thread) = self.thread.take() else { return };
        let end = Instant::now() + patience;
        self.shared.stop(end);
        self.stream.wake();
        // A request that the receiver does not answer is left to its timeout: whatever comes of it is not looked at.
        if self.shared.wait_ended(end + UNDER_WAY) {
            let _ = thread.join();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
