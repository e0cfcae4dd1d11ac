//! Gives a transform one entry: timers, actions and batches in the order of engine time.

use std::sync::Arc;

use ducto_record::{Action, Batch, Epoch, Micros};

use super::{NodeError, Output, Transform};

/// A batch on its way between two nodes, stamped with the engine time at which it was made.
#[derive(Clone, Debug)]
pub struct Packet {
    pub stamp: Micros,
    /// Index of the input at the receiving node.
    pub input: usize,
    pub batch: Batch,
}

/// A batch a node gave: when, and by which port.
#[derive(Clone, Debug)]
pub struct Emitted {
    pub stamp: Micros,
    pub port: usize,
    pub batch: Batch,
}

/// What one entry is for one node.
#[derive(Debug)]
pub struct Turn<'a> {
    pub epoch: Epoch,
    /// The entry's engine time.
    pub time: Micros,
    pub actions: &'a [Arc<Action>],
    /// Emptied by the turn. Stamps are at most `time`: smaller where a timer of an earlier node made the batch.
    pub packets: &'a mut Vec<Packet>,
}

/// Runs a transform over one entry. Timers and batches come in the order of their times, as if the whole pipeline
/// moved from deadline to deadline: for each time first the timers due before it, then what was made at it; last the
/// timers due at the entry's own time. Everything the node gives is put into `emitted`, in that order.
///
/// # Errors
/// The transform's own; the rest of the turn is then not given.
pub fn turn(
    transform: &mut dyn Transform,
    turn: Turn<'_>,
    out: &mut Output,
    emitted: &mut Vec<Emitted>,
) -> Result<(), NodeError> {
    let Turn { epoch, time, actions, packets } = turn;
    out.begin(time);
    packets.sort_by_key(|packet| (packet.stamp, packet.input));
    let mut acted = false;
    let mut packets = packets.drain(..).peekable();
    while let Some(stamp) = packets.peek().map(|packet| packet.stamp) {
        if stamp >= time && !acted {
            fire(transform, epoch, time - 1, out, emitted)?;
            act(transform, epoch, time, actions, out, emitted)?;
            acted = true;
        }
        fire(transform, epoch, stamp - 1, out, emitted)?;
        while let Some(packet) = packets.next_if(|packet| packet.stamp == stamp) {
            out.set(epoch, stamp);
            transform.on_batch(packet.input, &packet.batch, out)?;
            collect(stamp, out, emitted);
        }
    }
    if !acted {
        fire(transform, epoch, time - 1, out, emitted)?;
        act(transform, epoch, time, actions, out, emitted)?;
    }
    fire(transform, epoch, time, out, emitted)
}

fn act(
    transform: &mut dyn Transform,
    epoch: Epoch,
    time: Micros,
    actions: &[Arc<Action>],
    out: &mut Output,
    emitted: &mut Vec<Emitted>,
) -> Result<(), NodeError> {
    for action in actions {
        out.set(epoch, time);
        transform.on_action(action, out)?;
        collect(time, out, emitted);
    }
    Ok(())
}

/// Fires every timer due at `until` or before. A deadline that a node sets in the past fires at once.
fn fire(
    transform: &mut dyn Transform,
    epoch: Epoch,
    until: Micros,
    out: &mut Output,
    emitted: &mut Vec<Emitted>,
) -> Result<(), NodeError> {
    let mut last = None;
    while let Some(deadline) = transform.next_deadline() {
        if deadline > until {
            break;
        }
        if last.is_some_and(|last| deadline <= last) {
            return Err(NodeError::text(format!(
                "the timer due at {} did not move on when it fired; this is a fault of the operator",
                ducto_record::time::format(deadline)
            )));
        }
        last = Some(deadline);
        out.set(epoch, deadline);
        transform.on_time(deadline, out)?;
        collect(deadline, out, emitted);
    }
    Ok(())
}

fn collect(stamp: Micros, out: &mut Output, emitted: &mut Vec<Emitted>) {
    emitted.extend(out.take_packets().map(|(port, batch)| Emitted { stamp, port, batch }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducto_record::{Quality, Samples, Value, ValueKind};

    /// Gives one sample per call, whose value says what the call was.
    struct Recorder {
        deadlines: Vec<Micros>,
    }

    fn sample(time: Micros, value: f64) -> Batch {
        Batch::Samples(Samples::single(time, 0, &Value::Float64(value), ValueKind::Float64, Quality::GOOD))
    }

    impl Transform for Recorder {
        fn on_batch(&mut self, input: usize, _batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
            out.emit(0, sample(out.now(), input as f64));
            Ok(())
        }
        fn next_deadline(&self) -> Option<Micros> {
            self.deadlines.first().copied()
        }
        fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
            self.deadlines.remove(0);
            out.emit(0, sample(deadline, 100.0));
            Ok(())
        }
    }

    #[test]
    fn timers_and_batches_come_in_the_order_of_engine_time() {
        let mut node = Recorder { deadlines: vec![3, 5, 10, 11] };
        let mut packets = vec![
            Packet { stamp: 10, input: 1, batch: sample(10, 0.0) },
            Packet { stamp: 5, input: 0, batch: sample(5, 0.0) },
            Packet { stamp: 10, input: 0, batch: sample(10, 0.0) },
        ];
        let mut out = Output::default();
        let mut emitted = Vec::new();
        turn(&mut node, Turn { epoch: 1, time: 10, actions: &[], packets: &mut packets }, &mut out, &mut emitted)
            .unwrap();
        let seen: Vec<(Micros, f64)> = emitted
            .iter()
            .map(|emitted| match &emitted.batch {
                Batch::Samples(samples) => (emitted.stamp, samples.values().number(0).unwrap()),
                Batch::Rows(_) => unreachable!(),
            })
            .collect();
        assert_eq!(seen, [(3, 100.0), (5, 0.0), (5, 100.0), (10, 0.0), (10, 1.0), (10, 100.0)]);
        assert_eq!(node.next_deadline(), Some(11));
    }
}
