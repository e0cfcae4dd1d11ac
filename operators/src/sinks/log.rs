//! `log`: rows and samples in the program's own log, for a look at what a graph gives.

use std::sync::Arc;

use ducto_graph::decode::decode;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Sink, SinkConfig,
};
use ducto_record::time::MINUTE;
use ducto_record::{Batch, Directory, Epoch, Micros};
use schemars::JsonSchema;
use serde::Deserialize;

use super::append::Pending;
use super::text::TextFormat;

/// Writes what comes into the log, a line a sample or row. Beyond a number of lines a minute the rest is only counted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSink {
    /// Level of the lines: `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default)]
    level: Level,
    /// Most lines in a minute of engine time.
    #[serde(default = "lines_per_minute")]
    lines_per_minute: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

fn lines_per_minute() -> u32 {
    60
}

pub fn operator() -> Operator {
    Operator {
        name: "log",
        summary: "Rows and samples in the program's own log",
        schema: |generator| generator.subschema_for::<LogSink>(),
        examples: &[
            "look: {type: log, inputs: [alarms]}",
            "flood: {type: log, inputs: [checked], level: debug, lines_per_minute: 10}",
        ],
        decode: Decode::Sink(|node, diagnostics| {
            decode::<LogSink>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SinkConfig>)
        }),
    }
}

impl SinkConfig for LogSink {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) {}

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let (level, node) = (self.level, format!("{}.{}", cx.pipeline, cx.node));
        Ok(Box::new(LogWriter {
            limit: u64::from(self.lines_per_minute),
            minute: None,
            lines: 0,
            left_out: 0,
            inputs: cx.inputs.clone(),
            directory: cx.directory.clone(),
            pending: Pending::default(),
            write: Box::new(move |line| match level {
                Level::Error => tracing::error!(node, "{line}"),
                Level::Warn => tracing::warn!(node, "{line}"),
                Level::Info => tracing::info!(node, "{line}"),
                Level::Debug => tracing::debug!(node, "{line}"),
                Level::Trace => tracing::trace!(node, "{line}"),
            }),
        }))
    }
}

struct LogWriter {
    limit: u64,
    /// The minute of engine time that `lines` were written in.
    minute: Option<Micros>,
    lines: u64,
    left_out: u64,
    inputs: Arc<[Input]>,
    directory: Arc<Directory>,
    pending: Pending,
    write: Box<dyn Fn(&str) + Send>,
}

impl LogWriter {
    fn close_minute(&mut self) {
        if self.left_out > 0 {
            (self.write)(&format!("and {} more in this minute", self.left_out));
        }
        self.lines = 0;
        self.left_out = 0;
    }
}

impl Sink for LogWriter {
    fn on_batch(&mut self, input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        self.pending.push(input, epoch, batch);
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, now: Micros) -> Result<(), NodeError> {
        let minute = Some(now.div_euclid(MINUTE));
        if self.minute != minute {
            self.close_minute();
            self.minute = minute;
        }
        for batch in self.pending.take(epoch, &self.inputs, &self.directory)? {
            let room = usize::try_from(self.limit - self.lines).unwrap_or(usize::MAX).min(batch.num_rows());
            self.left_out += (batch.num_rows() - room) as u64;
            self.lines += room as u64;
            let mut text = Vec::new();
            TextFormat::Jsonl.write(&batch.slice(0, room), &mut text)?;
            String::from_utf8_lossy(&text).lines().for_each(|line| (self.write)(line));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), NodeError> {
        self.close_minute();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sources::testing::{directory, sample};
    use std::sync::Mutex;

    #[test]
    fn a_minute_has_so_many_lines_and_a_count_of_the_rest() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let mut sink = LogWriter {
            limit: 2,
            minute: None,
            lines: 0,
            left_out: 0,
            inputs: Arc::new([]),
            directory: directory(),
            pending: Pending::default(),
            write: Box::new(move |line| kept.lock().unwrap().push(line.to_owned())),
        };
        for epoch in 1..=5 {
            sink.on_batch(0, epoch, &Batch::Samples(sample(epoch as i64, 0, 1.0))).unwrap();
            sink.end_epoch(epoch, epoch as i64).unwrap();
        }
        sink.on_batch(0, 6, &Batch::Samples(sample(MINUTE, 0, 1.0))).unwrap();
        sink.end_epoch(6, MINUTE).unwrap();
        sink.finish().unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].contains("\"tag\":\"W1.THP\""));
        assert_eq!(lines[2], "and 3 more in this minute");
    }
}
