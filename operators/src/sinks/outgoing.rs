//! A sink whose rows go to somebody else's machine: they come into the outbox, and a courier brings them on.

use std::sync::Arc;

use ducto_graph::operator::{BuildContext, BuildError, Input, NodeError, Sink, SiteServices, Store};
use ducto_record::{Batch, Directory, Epoch, Micros};
use ducto_runtime::{Carrier, Delivery, EngineNow, Outboxes};
use ducto_storage::{Class, Sealing, StorageError, Stream};

use super::Historians;
use super::append::Pending;
use super::text::TextFormat;

/// Rows of a node on their way to its stream.
pub(super) struct Outgoing {
    stream: Stream,
    class: Class,
    delivery: Delivery,
    inputs: Arc<[Input]>,
    directory: Arc<Directory>,
    historians: Option<Arc<Historians>>,
    pending: Pending,
    now: Micros,
}

impl Outgoing {
    /// The sink of a node, and its courier at work.
    pub(super) fn start(
        cx: &BuildContext,
        outboxes: &Outboxes,
        class: Class,
        sealing: Sealing,
        carrier: Box<dyn Carrier>,
    ) -> Result<Self, BuildError> {
        let name = format!("{}.{}", cx.pipeline, cx.node);
        let stream = outboxes.outbox().stream(&name, class, sealing).map_err(|error| cx.error(error.to_string()))?;
        let now: EngineNow = match cx.resources.get::<SiteServices>() {
            Some(services) => Arc::new(move || services.intake.now()),
            // Without a clock batches are sealed as epochs come.
            None => Arc::new(|| Micros::MIN),
        };
        let delivery = outboxes.deliver(&stream, carrier, now);
        let delivery = delivery.map_err(|error| cx.error(format!("no thread could be started: {error}")))?;
        Ok(Self {
            stream,
            class,
            delivery,
            inputs: cx.inputs.clone(),
            directory: cx.directory.clone(),
            historians: cx.resources.get::<Historians>(),
            pending: Pending::default(),
            now: Micros::MIN,
        })
    }

    /// While the disk of the outbox takes nothing it is waited for, until the site stops.
    fn node_error(&self, error: StorageError) -> NodeError {
        let closing = self.historians.as_ref().is_some_and(|historians| historians.is_closing());
        match error {
            StorageError::File(_) if !closing => NodeError::Later(Box::new(error)),
            error => NodeError::Other(Box::new(error)),
        }
    }
}

impl Sink for Outgoing {
    fn on_batch(&mut self, input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        self.pending.push(input, epoch, batch);
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, now: Micros) -> Result<(), NodeError> {
        self.now = now;
        let (mut rows, mut lines) = (0, Vec::new());
        for batch in self.pending.take(epoch, &self.inputs, &self.directory)? {
            rows += batch.num_rows() as u64;
            TextFormat::Jsonl.write(&batch, &mut lines)?;
        }
        self.stream.add(epoch, now, rows, &lines).map_err(|error| self.node_error(error))
    }

    fn store(&self) -> Option<Store> {
        let stream = self.stream.clone();
        Some(Box::new(move || stream.held()))
    }

    fn is_urgent(&self) -> bool {
        self.class.number() == 1
    }

    fn finish(&mut self) -> Result<(), NodeError> {
        let sealed = self.stream.seal(self.now);
        self.delivery.finish();
        sealed.map_err(|error| NodeError::Other(Box::new(error)))
    }
}

/// In place of a sink that sends, where nothing may be sent: in a replay of what was, in a bench.
pub(super) struct Unsent;

impl Sink for Unsent {
    fn on_batch(&mut self, _input: usize, _epoch: Epoch, _batch: &Batch) -> Result<(), NodeError> {
        Ok(())
    }
}
