//! `rate_of_change`: how fast each tag changes.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field};
use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Output, Own, Port, Snapshot, Transform,
    TransformConfig,
};
use ducto_graph::scalar::Duration;
use ducto_graph::tree::Spanned;
use ducto_record::{
    Batch, Checks, Dense, Directory, Micros, Quality, RowType, SavedState, StateError, StreamType, ValueKind, with_per,
    with_role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregate::Accept;
use crate::quality::CLOCK_TOLERANCE;

/// For each accepted sample the slope of the straight line through the samples of the last while (least squares, with
/// their real times): rows of `tag` and `rate`. Fewer than `min_samples` give a null with a reason. A sample that is
/// not accepted gives a null too, and leaves the line as it is; one that comes late is passed over and counted as
/// `out_of_order`. With `publish: {rate: "{asset}.THP_RATE"}` the slopes become tags.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateOfChangeConfig {
    /// How far back samples count: those in (t − window, t].
    pub window: Spanned<Duration>,
    /// The time unit of the slope: `1s`, `1m`, `1h`, `1d`.
    #[serde(default = "per_second")]
    pub per: Spanned<Duration>,
    /// Whether Uncertain samples count.
    #[serde(default)]
    pub accept: Accept,
    /// Samples that a line needs, at least 2.
    #[serde(default = "two")]
    pub min_samples: Spanned<u32>,
}

fn per_second() -> Spanned<Duration> {
    Duration::from_secs(1).into()
}

fn two() -> Spanned<u32> {
    2.into()
}

/// The operator `rate_of_change`.
pub fn operator() -> Operator {
    Operator {
        name: "rate_of_change",
        summary: "Slope of each tag over a window, by least squares",
        schema: |generator| generator.subschema_for::<RateOfChangeConfig>(),
        examples: &[
            "slopes: {type: rate_of_change, inputs: [checked], window: 5m, per: 1m}",
            "trend: {type: rate_of_change, inputs: [pressures], window: 1h, per: 1d, accept: usable, min_samples: 10}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<RateOfChangeConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// A time as units name it: `min`; an odd one as it was written, `5m`.
fn time_unit(per: Duration) -> String {
    match per.micros() {
        1_000_000 => "s".to_owned(),
        60_000_000 => "min".to_owned(),
        3_600_000_000 => "h".to_owned(),
        86_400_000_000 => "d".to_owned(),
        _ => per.to_string(),
    }
}

fn row_type(per: Duration) -> RowType {
    RowType::new(
        vec![
            with_role(Field::new("tag", DataType::UInt32, false), "tag"),
            // Each row is in its tag's unit per `per`, so the column has none.
            with_per(Field::new("rate", DataType::Float64, true), &time_unit(per)),
        ],
        &["tag"],
    )
}

impl TransformConfig for RateOfChangeConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        for input in inputs {
            let fits = match &input.stream {
                StreamType::Samples(kinds) => {
                    kinds.is_empty() || kinds.iter().any(|kind| matches!(kind, ValueKind::Float64 | ValueKind::Int64))
                }
                StreamType::Rows(_) => false,
            };
            if !fits {
                cx.report(
                    Diagnostic::new(Code::StreamUnfit, "`rate_of_change` reads samples of float64 or int64")
                        .at(input.from.place)
                        .help("let it read a node that gives such samples"),
                );
            }
        }
        for (name, length) in [("window", &self.window), ("per", &self.per)] {
            if length.micros() == 0 {
                cx.report(
                    Diagnostic::new(Code::NumberOutOfRange, format!("`{name}` must be longer than zero"))
                        .at(length.place)
                        .help("write a duration such as `5m`"),
                );
            }
        }
        if *self.min_samples < 2 {
            cx.report(
                Diagnostic::new(Code::NumberOutOfRange, "a line needs at least 2 samples")
                    .at(self.min_samples.place)
                    .help("write 2 or more, or leave it out"),
            );
        }
        Some(vec![Port::main(StreamType::Rows(row_type(*self.per)))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(RateOfChange {
            window: self.window.micros().max(1),
            per: self.per.micros().max(1) as f64,
            mask: self.accept.mask(),
            min_samples: (*self.min_samples).max(2) as usize,
            row: row_type(*self.per),
            directory: cx.directory.clone(),
            own: cx.own(),
            state: Dense::new(),
        }))
    }
}

/// The accepted samples of a tag that may still count.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct History {
    samples: VecDeque<(Micros, f64, u16)>,
}

struct RateOfChange {
    window: Micros,
    per: f64,
    mask: u16,
    min_samples: usize,
    row: RowType,
    directory: Arc<Directory>,
    own: Own,
    state: Dense<History>,
}

/// The slope per µs of the line through points; `None` where their times are all one. Computed anew for each sample
/// about the mean, so that nothing drifts.
fn slope(samples: &VecDeque<(Micros, f64, u16)>) -> Option<f64> {
    let first = samples.front()?.0;
    let n = samples.len() as f64;
    let (mut times, mut values) = (0.0, 0.0);
    for (time, value, _) in samples {
        times += time.saturating_sub(first) as f64;
        values += value;
    }
    let (mean_time, mean_value) = (times / n, values / n);
    let (mut above, mut below) = (0.0, 0.0);
    for (time, value, _) in samples {
        let step = time.saturating_sub(first) as f64 - mean_time;
        above += step * (value - mean_value);
        below += step * step;
    }
    (below > 0.0).then(|| above / below).filter(|slope| slope.is_finite())
}

impl Transform for RateOfChange {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else {
            return Err(NodeError::Stream { expected: "samples", found: "rows" });
        };
        if !matches!(samples.kind(), ValueKind::Float64 | ValueKind::Int64) {
            out.drop_rows("kind", samples.len() as u64);
            return Ok(());
        }
        let rows = samples.len();
        let (mut times, mut tags, mut quality) =
            (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
        let (mut rates, mut reasons) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut late = 0;
        let trusted = out.now().saturating_add(CLOCK_TOLERANCE);
        let (window, mask, per, needed) = (self.window, self.mask, self.per, self.min_samples);
        self.state.update(samples.tags(), |row, tag, history| {
            let (time, code) = (samples.time(row), samples.quality()[row]);
            let marked = samples.checks()[row] & Checks::OUT_OF_ORDER.0 != 0;
            // A device whose clock was ahead and has been put right: what it gave from the future is no measure.
            if !marked && history.samples.back().is_some_and(|newest| newest.0 > trusted) {
                while history.samples.pop_back_if(|ahead| ahead.0 > time).is_some() {}
            }
            if marked || history.samples.back().is_some_and(|newest| time < newest.0) {
                late += 1;
                return;
            }
            times.push(time);
            tags.push(tag);
            let value = samples.values().number(row).filter(|value| value.is_finite());
            let value = match value {
                Some(value) if code & mask == mask => value,
                _ => {
                    rates.push(None);
                    quality.push(Quality(code).worst(Quality::UNCERTAIN).0);
                    reasons.push(Some("the sample is not accepted"));
                    return;
                }
            };
            history.samples.push_back((time, value, code));
            let oldest = time.saturating_sub(window);
            while history.samples.front().is_some_and(|sample| sample.0 <= oldest) {
                history.samples.pop_front();
            }
            let rate = if history.samples.len() >= needed { slope(&history.samples) } else { None };
            let worst = history.samples.iter().map(|sample| Quality(sample.2)).reduce(Quality::worst);
            let worst = worst.unwrap_or(Quality::GOOD);
            rates.push(rate.map(|rate| rate * per));
            quality.push(if rate.is_some() { worst } else { worst.worst(Quality::UNCERTAIN) }.0);
            reasons.push(rate.is_none().then_some("too few samples for a line"));
        });
        out.drop_rows("out_of_order", late);
        let count = times.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            Arc::new(UInt32Array::from(tags)),
            Arc::new(Float64Array::from(rates)),
            Arc::new(UInt16Array::from(quality)),
            Arc::new(StringArray::from(reasons)),
            Arc::new(Int8Array::from(vec![1; count])),
        ];
        out.emit(0, Batch::Rows(RecordBatch::try_new(self.row.schema.clone(), columns)?));
        Ok(())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (state, directory) = (self.state.clone(), self.directory.clone());
        Some(Box::new(move || {
            let tags: Vec<(&str, &History)> = state
                .iter()
                .filter(|(_, history)| !history.samples.is_empty())
                .map(|(tag, history)| (directory.tag_name(tag), history))
                .collect();
            SavedState::encode(1, &tags)
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let tags: Vec<(String, History)> = saved.decode(1)?;
        for (name, history) in tags {
            if let Some(tag) = self.own.tag(&name) {
                *self.state.get_mut(tag) = history;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::testing::{GOOD, TestNode, TestSite, batch, examples_are_right, floats, seconds};
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;

    fn site() -> TestSite {
        TestSite::new(&[("A.P", ValueKind::Float64, "psig"), ("B.P", ValueKind::Float64, "psig")])
    }

    fn node(yaml: &str) -> TestNode {
        site().node(&operator(), yaml, &[floats()]).unwrap()
    }

    #[test]
    fn a_line_is_found_with_its_real_times() {
        let mut driver = node("{window: 10s, per: 1m}").driver();
        for (at, value) in [(0.0, 1.0), (1.0, 2.0), (4.0, 5.0)] {
            driver.send(at, &[("A.P", at, Some(value), GOOD)]);
        }
        driver.send(5.0, &[("A.P", 5.0, Some(100.0), 0), ("B.P", 5.0, Some(1.0), GOOD), ("A.P", 2.0, Some(1.0), GOOD)]);
        driver.send(12.0, &[("A.P", 12.0, Some(5.0), GOOD)]);
        assert_eq!(
            driver.lines(),
            [
                "0s A.P null 64 too few samples for a line",
                "1s A.P 60 192",
                "4s A.P 60 192",
                "5s A.P null 0 the sample is not accepted",
                "5s B.P null 64 too few samples for a line",
                "12s A.P 0 192",
            ]
        );
        assert_eq!(driver.drops(), [("out_of_order", 1)]);
    }

    #[test]
    fn mistakes_are_reported() {
        let said = site().node(&operator(), "{window: 0s, per: 0s, min_samples: 1}", &[floats()]).err().unwrap();
        assert_eq!(said.lines().count(), 3, "{said}");
    }

    #[test]
    fn examples() {
        examples_are_right(&site(), &operator(), &[floats()]);
    }

    proptest! {
        #[test]
        fn slopes_are_those_of_the_textbook(samples in prop::collection::vec((0.01..3.0f64, -100.0..100.0f64), 1..40), restart in 0usize..40) {
            let node = node("{window: 10s}");
            let mut driver = node.driver();
            let mut all: Vec<(f64, f64)> = Vec::new();
            let mut now = 1000.0;
            for (index, (moved, value)) in samples.iter().enumerate() {
                now += moved;
                now = (now * 1e6).round() / 1e6;
                all.push((now, *value));
                if index == restart {
                    let mut again = node.driver();
                    driver.restore_into(&mut again);
                    driver = again;
                }
                driver.send(now, &[("A.P", now, Some(*value), GOOD)]);
                let Batch::Rows(rows) = &driver.emitted.last().unwrap().batch else { panic!() };
                let given = rows.column(2).as_primitive::<Float64Type>();
                let inside: Vec<_> = all.iter().filter(|(time, _)| seconds(*time) > seconds(now) - 10_000_000).collect();
                let n = inside.len() as f64;
                let mean = |of: &dyn Fn(&(f64, f64)) -> f64| inside.iter().map(|s| of(s)).sum::<f64>() / n;
                let (t, v) = (mean(&|s| s.0 - now), mean(&|s| s.1));
                let above: f64 = inside.iter().map(|s| (s.0 - now - t) * (s.1 - v)).sum();
                let below: f64 = inside.iter().map(|s| (s.0 - now - t).powi(2)).sum();
                if inside.len() < 2 {
                    prop_assert!(given.is_null(0));
                } else {
                    prop_assert!((given.value(0) - above / below).abs() <= 1e-6 * (1.0 + (above / below).abs()));
                }
            }
        }

        #[test]
        fn no_sample_panics(samples in prop::collection::vec((0u32..2, any::<i64>(), any::<Option<f64>>(), any::<u16>()), 0..20)) {
            let mut driver = node("{window: 1d, accept: usable}").driver();
            driver.entry(0, vec![batch(
                &samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.2).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.3).collect::<Vec<_>>(),
            )]);
        }
    }
}
