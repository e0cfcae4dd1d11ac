//! Samples that leave on their own: those of which the differential test needs the next one, those judged at the end
//! of their entry.

use std::collections::{BTreeMap, BTreeSet};

use ducto_graph::operator::{NodeError, Output};
use ducto_record::time::SECOND;
use ducto_record::{Batch, Micros, SampleColumns, Samples, TagId, Times, Value, ValueKind, Values};

use super::judge::{Arrival, Extras, Held, Sample, exchange, extra};
use super::plan::{Plan, SpikeForm};

/// How long a sample waits for the next one of a tag that is not polled.
const HOLD: Micros = 60 * SECOND;

/// When samples that wait for the next one of their tag have waited long enough.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// One time for each tag of which a sample waits. That sample may be due later: it is looked at then.
    pub(super) due: BTreeSet<(Micros, TagId)>,
    /// When the last of them is due.
    pub(super) last: Micros,
}

impl Holds {
    /// A sample waits; `first` says that none of its tag did.
    pub(super) fn hold(&mut self, tag: TagId, due: Micros, first: bool) {
        self.last = self.last.max(due);
        if first {
            self.due.insert((due, tag));
        }
    }
}

/// The way out of a judged sample: by the differential test where the tag has it.
pub(super) struct Holding<'a> {
    pub(super) plan: &'a Plan,
    pub(super) extras: &'a mut Extras,
    pub(super) holds: &'a mut Holds,
    pub(super) now: Micros,
}

impl Holding<'_> {
    pub(super) fn release(self, sample: Sample, value: &Value, arrival: Arrival, loose: &mut Loose) {
        if let Some((SpikeForm::Differential { threshold }, verdict)) = self.plan.spike
            && arrival != Arrival::OutOfOrder
        {
            let patience = self.plan.stale.as_ref().map_or(HOLD, |stale| stale.after);
            let due = self.now.saturating_add(patience);
            let extra = extra(self.extras, sample.tag);
            let first = extra.held.is_none();
            let (released, waits) = exchange(extra, threshold, verdict, &sample, due, || value.clone());
            if let Some(held) = released {
                loose.let_go(self.plan.kind, sample.tag, held);
            }
            if waits {
                self.holds.hold(sample.tag, due, first);
                return;
            }
        }
        loose.push(self.plan.kind, sample, value.clone());
    }
}

/// Samples that leave on their own, outside the batch they came in.
#[derive(Default)]
pub(super) struct Loose {
    kinds: BTreeMap<ValueKind, Vec<(Sample, Value)>>,
}

impl Loose {
    pub(super) fn let_go(&mut self, kind: ValueKind, tag: TagId, held: Held) {
        let Held { time, value, quality, checks, .. } = held;
        self.push(kind, Sample { tag, time, reading: None, quality, checks }, value);
    }

    pub(super) fn push(&mut self, kind: ValueKind, sample: Sample, value: Value) {
        self.kinds.entry(kind).or_default().push((sample, value));
    }

    pub(super) fn emit(self, out: &mut Output) -> Result<(), NodeError> {
        for (kind, rows) in self.kinds {
            let values = rows.iter().map(|(_, value)| value);
            let values = match kind {
                ValueKind::Float64 => Values::Float64(values.map(Value::as_f64).collect()),
                ValueKind::Int64 => Values::Int64(
                    values
                        .map(|value| match value {
                            Value::Int64(value) => Some(*value),
                            _ => None,
                        })
                        .collect(),
                ),
                ValueKind::Bool => Values::Bool(
                    values
                        .map(|value| match value {
                            Value::Bool(value) => Some(*value),
                            _ => None,
                        })
                        .collect(),
                ),
                ValueKind::Text => continue,
            };
            let column = |of: &dyn Fn(&Sample) -> u16| rows.iter().map(|(sample, _)| of(sample)).collect::<Vec<_>>();
            let columns = SampleColumns {
                times: Times::Each(rows.iter().map(|(sample, _)| sample.time).collect::<Vec<_>>().into()),
                tags: rows.iter().map(|(sample, _)| sample.tag).collect::<Vec<_>>().into(),
                values,
                quality: column(&|sample| sample.quality.0).into(),
                checks: column(&|sample| sample.checks.0).into(),
            };
            out.emit(0, Batch::Samples(Samples::new(columns).map_err(NodeError::text)?));
        }
        Ok(())
    }
}
