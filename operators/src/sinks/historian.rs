//! `historian`: keeps samples and rows as Parquet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, NodeError, Operator, Sink, SinkConfig, SiteServices, Store,
};
use ducto_graph::scalar::{ByteSize, Duration};
use ducto_graph::tree::Spanned;
use ducto_record::time::HOUR;
use ducto_record::{Batch, Directory, Epoch, Micros, StreamType, ValueKind};
use ducto_storage::{AppendError, Appender, DatasetConfig, DatasetSchema, Keep, StorageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::announcer::Announcing;
use super::dataset_name::{KINDS_BESIDE, dataset_of_kind, name_fault, of_kind};
use super::historians::Historians;

/// Stores samples or rows as Parquet in the data folder, by date and hour, sorted by tag and time, where DuckDB,
/// Polars, pandas and Spark open them as they lie. Samples of whole numbers, booleans and texts become datasets of
/// their own beside it: `history_int64`, `history_bool`, `history_text`. A corrected row is stored with a higher
/// `revision`; `revision` rises with whatever comes, and is odd where it replaces or removes an earlier row,
/// and 3 above a multiple of 4 where it removes one.
///
/// While the disk takes nothing, rows wait in memory, and the rest of the pipeline, its alarms first of all, goes on.
/// When that memory is used up the journal keeps what comes, and it is read again from there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistorianSink {
    /// Name of the dataset, which becomes a folder and a table in queries: lower-case letters, digits and `_`.
    dataset: Spanned<String>,
    /// How long and how much is kept; the oldest hour goes first. By default everything is kept. Nodes that store into
    /// one dataset give the same limits, and the same `commit_every` and `commit_size`.
    #[serde(default)]
    keep: KeepConfig,
    /// Time between commits; what is younger is in memory, where queries see it too.
    #[serde(default = "commit_every")]
    commit_every: Duration,
    /// Size in memory at which a commit does not wait for its time. All datasets together use at most a quarter of the
    /// site's `memory` for rows that are not on disk yet, each an equal part of it.
    #[serde(default = "commit_size")]
    commit_size: ByteSize,
}

/// Limits of a dataset.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct KeepConfig {
    /// Hours older than this are removed: `90d`.
    age: Option<Spanned<Duration>>,
    /// The oldest hours are removed while the files are larger than this: `100GB`.
    size: Option<Spanned<ByteSize>>,
}

fn commit_every() -> Duration {
    Duration::from_secs(60)
}

fn commit_size() -> ByteSize {
    ByteSize::from_bytes(64_000_000)
}

pub fn operator() -> Operator {
    Operator {
        name: "historian",
        summary: "Keeps samples and rows as Parquet",
        schema: |generator| generator.subschema_for::<HistorianSink>(),
        examples: &[
            "history: {type: historian, inputs: [checked], dataset: history, keep: {age: 90d, size: 100GB}}",
            "tier: {type: historian, inputs: [minutes], dataset: minutes, keep: {age: 3y}, commit_every: 5m}",
        ],
        decode: Decode::Sink(|node, diagnostics| {
            decode::<HistorianSink>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SinkConfig>)
        }),
    }
}

impl HistorianSink {
    /// `share` is the memory that this dataset may use for rows that are not on disk.
    fn config(&self, name: &str, schema: DatasetSchema, share: u64) -> DatasetConfig {
        // While one half is written, the other fills.
        let commit_bytes = usize::try_from(self.commit_size.bytes().min(share / 2)).unwrap_or(usize::MAX).max(1);
        DatasetConfig {
            keep: Keep {
                age: self.keep.age.as_ref().map(|age| age.micros()),
                size: self.keep.size.as_ref().map(|size| size.bytes()),
            },
            commit_every: self.commit_every.micros(),
            commit_bytes,
            buffer_bytes: commit_bytes.saturating_mul(2),
            ..DatasetConfig::new(name, schema)
        }
    }
}

impl SinkConfig for HistorianSink {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) {
        if let Some((why, help)) = name_fault(&self.dataset) {
            let message = format!("`{}` cannot name a dataset: {why}", *self.dataset);
            cx.report(Diagnostic::new(Code::DatasetNameInvalid, message).at(self.dataset.place).help(help));
        }
        if self.commit_every == Duration::ZERO {
            let message = "`commit_every` is 0, which would be a file for each entry";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(cx.place).help("the default is `60s`"));
        }
        // Whole hours go: less than one keeps nothing that is not being written.
        if let Some(age) = self.keep.age.as_ref().filter(|age| age.micros() < HOUR) {
            let message = format!("`age: {}` would remove what was only just stored", age.value);
            let help = "write an hour or more, `1h`, `90d`, or leave it away to keep everything";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(age.place).help(help));
        }
        if let Some(size) = self.keep.size.as_ref().filter(|size| size.bytes() == 0) {
            let message = "`size` is 0, so that nothing would be kept";
            let help = "write a size such as `100GB`, or leave it away to keep everything";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(size.place).help(help));
        }
        let Some((first, rest)) = inputs.split_first() else { return };
        for input in rest {
            let fits = match (&first.stream, &input.stream) {
                (StreamType::Samples(_), StreamType::Samples(_)) => true,
                (StreamType::Rows(a), StreamType::Rows(b)) => a == b,
                _ => false,
            };
            if !fits {
                let message =
                    format!("`{}` has other columns than `{}`, and a dataset has one type", *input.from, *first.from);
                let help = "store it in a dataset of its own";
                cx.report(Diagnostic::new(Code::StreamRefused, message).at(input.from.place).help(help));
            }
        }
        if let Some((of, kind)) = of_kind(&self.dataset)
            && matches!(cx.site.datasets.get(of), Some(StreamType::Samples(_)))
        {
            let message = format!("`{}` is where samples of {kind} of the dataset `{of}` are stored", *self.dataset);
            let help = "rename one of the two datasets";
            cx.report(Diagnostic::new(Code::DatasetNameInvalid, message).at(self.dataset.place).help(help));
        }
        if let StreamType::Samples(_) = &first.stream {
            for kind in KINDS_BESIDE {
                let beside = dataset_of_kind(&self.dataset, kind);
                if cx.site.datasets.contains_key(&beside) {
                    let message = format!("samples of {kind} would be stored in `{beside}`, which another sink stores");
                    let help = "rename one of the two datasets";
                    cx.report(Diagnostic::new(Code::DatasetNameInvalid, message).at(self.dataset.place).help(help));
                }
            }
        }
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let historians = cx
            .resources
            .get::<Historians>()
            .ok_or_else(|| cx.error("the site has no data folder; name one with `--data`"))?;
        let services = cx.resources.get::<SiteServices>();
        let mut sink = HistorianWriter {
            config: self.clone(),
            share: cx.site.memory.bytes() / BUFFER_SHARE / (cx.site.datasets.len() as u64).max(1),
            dataset: self.dataset.as_str().into(),
            read: services.filter(|services| services.datasets_read.contains(self.dataset.as_str())),
            historians,
            directory: cx.directory.clone(),
            open: Vec::new(),
            pending: Vec::new(),
            epoch: 0,
            full: None,
        };
        // Opened now, so that a folder that cannot be written is known before anything runs.
        let mut schemas: Vec<DatasetSchema> = Vec::new();
        for input in cx.inputs.iter() {
            match &input.stream {
                StreamType::Samples(kinds) => {
                    let kinds: BTreeSet<ValueKind> = kinds.iter().copied().collect();
                    schemas.extend(kinds.into_iter().map(DatasetSchema::Samples));
                }
                StreamType::Rows(rows) => schemas.push(DatasetSchema::Rows(rows.clone())),
            }
        }
        for schema in schemas {
            sink.open(schema).map_err(|error| cx.error(error.to_string()))?;
        }
        Ok(Box::new(sink))
    }

    fn dataset(&self) -> Option<Spanned<String>> {
        Some(self.dataset.clone())
    }

    fn dataset_settings(&self) -> Vec<(&'static str, String)> {
        let or_all = |limit: Option<String>| limit.unwrap_or_else(|| "everything".to_owned());
        vec![
            ("keep.age", or_all(self.keep.age.as_ref().map(|age| age.value.to_string()))),
            ("keep.size", or_all(self.keep.size.as_ref().map(|size| size.value.to_string()))),
            ("commit_every", self.commit_every.to_string()),
            ("commit_size", self.commit_size.to_string()),
        ]
    }
}

/// Share of the site's memory budget for rows that are not on disk yet.
const BUFFER_SHARE: u64 = 4;

struct HistorianWriter {
    config: HistorianSink,
    share: u64,
    dataset: Arc<str>,
    /// Where commits are offered, if some pipeline reads the dataset.
    read: Option<Arc<SiteServices>>,
    historians: Arc<Historians>,
    directory: Arc<Directory>,
    /// Its share of each historian that it stores into; dropped with the sink, so that others wait for it no longer.
    open: Vec<(DatasetSchema, Arc<Appender>, Option<Announcing>)>,
    /// What came of the epoch that is open.
    pending: Vec<Batch>,
    epoch: Epoch,
    /// The one that had no room.
    full: Option<Arc<Appender>>,
}

impl HistorianWriter {
    /// The historian of a schema, opened where it is not yet.
    fn open(&mut self, schema: DatasetSchema) -> Result<Arc<Appender>, StorageError> {
        if let Some((_, appender, _)) = self.open.iter().find(|(open, _, _)| *open == schema) {
            return Ok(appender.clone());
        }
        let name = match &schema {
            DatasetSchema::Samples(kind) => dataset_of_kind(&self.dataset, *kind),
            DatasetSchema::Rows(_) => self.dataset.to_string(),
        };
        let config = self.config.config(&name, schema.clone(), self.share);
        let kind = match &schema {
            DatasetSchema::Samples(kind) => Some(*kind),
            DatasetSchema::Rows(_) => None,
        };
        let read = self.read.as_ref().map(|services| {
            let announced = services.announced.get(&(self.dataset.clone(), kind)).copied().unwrap_or_default();
            (&services.intake, announced)
        });
        let (historian, announcer) = self.historians.dataset(config, &self.dataset, read)?;
        let appender = Arc::new(historian.appender());
        self.open.push((schema, appender.clone(), announcer.map(|announcer| announcer.announcing())));
        Ok(appender)
    }

    fn appender_of(&mut self, batch: &Batch) -> Result<Arc<Appender>, NodeError> {
        let schema = match batch {
            Batch::Samples(samples) => DatasetSchema::Samples(samples.kind()),
            Batch::Rows(_) => match self.open.first() {
                Some((schema @ DatasetSchema::Rows(_), _, _)) => schema.clone(),
                _ => return Err(NodeError::Stream { expected: "samples", found: "rows" }),
            },
        };
        self.open(schema).map_err(|error| match error {
            StorageError::File(_) if !self.historians.is_closing() => NodeError::Later(Box::new(error)),
            error => NodeError::Other(Box::new(error)),
        })
    }

    fn append(&mut self, appender: &Arc<Appender>, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        match appender.append(epoch, batch, &self.directory) {
            Ok(()) => Ok(()),
            Err(error @ AppendError::Full { .. }) if !self.historians.is_closing() => {
                self.full = Some(appender.clone());
                Err(NodeError::Later(Box::new(error)))
            }
            Err(error) => Err(NodeError::Other(Box::new(error))),
        }
    }

    fn give(&mut self, epoch: Epoch) -> Result<(), NodeError> {
        let batches = std::mem::take(&mut self.pending);
        for batch in &batches {
            let appender = self.appender_of(batch)?;
            self.append(&appender, epoch, batch)?;
        }
        for (schema, _, announcing) in &self.open {
            let Some(announcing) = announcing.as_ref().filter(|announcing| announcing.wants(epoch)) else { continue };
            let ours = |batch: &&Batch| match (schema, batch) {
                (DatasetSchema::Samples(kind), Batch::Samples(samples)) => samples.kind() == *kind,
                (DatasetSchema::Rows(_), Batch::Rows(_)) => true,
                _ => false,
            };
            announcing.ended(epoch, batches.iter().filter(ours));
        }
        Ok(())
    }
}

impl Sink for HistorianWriter {
    fn on_batch(&mut self, _input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        if self.epoch != epoch {
            self.pending.clear();
            self.epoch = epoch;
        }
        self.pending.push(batch.clone());
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, now: Micros) -> Result<(), NodeError> {
        if self.epoch != epoch {
            self.pending.clear();
        }
        if let Err(error) = self.give(epoch) {
            // The epoch will be given again from its first batch.
            self.open.iter().for_each(|(_, appender, _)| appender.restart());
            return Err(error);
        }
        for (_, appender, _) in &self.open {
            appender.end_epoch(epoch, now);
        }
        Ok(())
    }

    fn store(&self) -> Option<Store> {
        let stores: Vec<_> = self
            .open
            .iter()
            .map(|(_, appender, announcing)| {
                let announcer = announcing.as_ref().map(|announcing| announcing.announcer().clone());
                (appender.historian().clone(), announcer)
            })
            .collect();
        Some(Box::new(move || {
            let stored = stores.iter().map(|(historian, announcer)| match announcer {
                None => historian.committed(),
                // In this order: what is committed in between is not told.
                Some(announcer) => historian.told().min(announcer.offered_up_to()),
            });
            stored.min().unwrap_or(Epoch::MAX)
        }))
    }

    fn wait(&mut self, at_most: StdDuration) {
        match self.full.take() {
            Some(appender) => {
                appender.historian().wait_for_room(at_most);
            }
            None => std::thread::sleep(at_most),
        }
    }

    fn settle(&mut self) {
        for (_, appender, announcing) in &self.open {
            if let Some(announcing) = announcing {
                appender.historian().wait_for_commits();
                announcing.announcer().settle();
            }
        }
    }

    fn flush(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        let mut brought = Vec::new();
        for (_, appender, announcing) in &self.open {
            let Some(announcer) = announcing.as_ref().map(Announcing::announcer) else { continue };
            let offered = announcer.offered();
            if let Err(error) = appender.historian().commit() {
                tracing::warn!(dataset = &*self.dataset, %error, "its last rows are not seen by those that read it");
            }
            appender.historian().wait_for_commits();
            if announcer.taken() > offered {
                brought.push(announcer.clone());
            }
        }
        (!brought.is_empty())
            .then(|| Box::new(move || brought.iter().for_each(|announcer| announcer.settle())) as Box<_>)
    }

    fn finish(&mut self) -> Result<(), NodeError> {
        let mut result = Ok(());
        for (_, appender, _) in &self.open {
            if let Err(error) = appender.historian().commit() {
                result = Err(NodeError::Other(Box::new(error)));
            }
        }
        // What is announced now is read by the next process.
        self.settle();
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::append::tests::{input, row_type, rows};
    use super::*;
    use crate::sources::testing::{Collected, context, directory, sample};
    use ducto_record::time::{MINUTE, SECOND};
    use ducto_record::{Origin, Part, Quality, Samples, Value};
    use ducto_storage::DataFolder;
    use std::path::Path;

    fn config(dataset: &str) -> HistorianSink {
        HistorianSink {
            dataset: Spanned::from(dataset.to_owned()),
            keep: KeepConfig::default(),
            commit_every: commit_every(),
            commit_size: commit_size(),
        }
    }

    fn historians(folder: &Path) -> Arc<Historians> {
        Arc::new(Historians::open(Arc::new(DataFolder::open(folder).unwrap())).unwrap())
    }

    fn build(
        config: &HistorianSink,
        historians: &Arc<Historians>,
        stream: StreamType,
        read: Option<&Arc<Collected>>,
    ) -> Box<dyn Sink> {
        let mut cx = context(&directory());
        cx.inputs = Arc::new([input(stream)]);
        cx.resources.insert(historians.clone());
        if let Some(collected) = read {
            let datasets_read = [config.dataset.value.clone()].into();
            cx.resources.insert(Arc::new(SiteServices {
                intake: collected.clone(),
                datasets_read,
                announced: std::collections::BTreeMap::new(),
            }));
        }
        config.build(&cx).unwrap()
    }

    fn samples() -> StreamType {
        StreamType::Samples(vec![ValueKind::Float64, ValueKind::Bool])
    }

    #[test]
    fn kinds_are_datasets_of_their_own_and_commits_enter_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let historians = historians(folder.path());
        let collected = Arc::new(Collected::default());
        let mut sink = build(&config("history"), &historians, samples(), Some(&collected));
        let flag = Samples::single(1, 1, &Value::Bool(true), ValueKind::Bool, Quality::GOOD);
        sink.on_batch(0, 1, &Batch::Samples(sample(1, 0, 1.5))).unwrap();
        sink.on_batch(0, 1, &Batch::Samples(flag)).unwrap();
        sink.end_epoch(1, SECOND).unwrap();
        sink.settle();
        assert!(collected.parts().is_empty(), "nothing is committed before its time");
        assert_eq!(historians.get("history").unwrap().snapshot().appended().len(), 1);
        assert_eq!(historians.get("history_bool").unwrap().snapshot().appended().len(), 1);

        sink.end_epoch(2, 2 * MINUTE).unwrap();
        sink.settle();
        let parts = collected.parts();
        assert_eq!(parts.len(), 2);
        for (_, part) in parts {
            assert!(matches!(part, Part::Samples { origin: Origin::Dataset { name, .. }, .. } if *name == *"history"));
        }
        sink.finish().unwrap();
        assert_eq!(historians.get("history").unwrap().committed(), 2);
        drop(sink);
        drop(historians);
        assert_eq!(self::historians(folder.path()).last_epoch(), 2);
    }

    #[test]
    fn rows_are_stored_with_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let historians = historians(folder.path());
        let mut sink = build(&config("minutes"), &historians, StreamType::Rows(row_type()), None);
        // An epoch that failed above is given again from its first batch.
        sink.on_batch(0, 1, &Batch::Rows(rows(&[(0, 0, 9.0, 1)]))).unwrap();
        sink.on_batch(0, 2, &Batch::Rows(rows(&[(0, 0, 1.0, 1), (0, 1, 2.0, 1)]))).unwrap();
        sink.end_epoch(2, 0).unwrap();
        sink.finish().unwrap();
        let snapshot = historians.get("minutes").unwrap().snapshot();
        assert!(snapshot.appended().is_empty());
        assert_eq!(snapshot.manifest.rows(), 2);
    }
}
