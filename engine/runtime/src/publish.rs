//! Columns of rows that become tags, which enter the site log like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Int8Type, TimestampMicrosecondType, UInt16Type, UInt32Type};
use arrow::error::ArrowError;
use ducto_graph::operator::{IntakeError, Partition};
use ducto_graph::pipeline::Publish;
use ducto_record::{Directory, Epoch, Origin, Part, Piece, SampleColumns, Samples, TagId, Times, Values};

use crate::intake::SiteIntake;

/// What a node publishes. One per node and worker; it survives a restart of its pipeline, so that nothing is published
/// twice. What comes of one epoch enters as one entry, so that the last epoch says all.
pub(crate) struct Publisher {
    columns: Vec<Publish>,
    pipeline: Arc<str>,
    node: Arc<str>,
    partition: Partition,
    directory: Arc<Directory>,
    intake: Arc<SiteIntake>,
    /// The last epoch of which something was offered.
    last: AtomicU64,
    /// What processes before have published, as the journal tells.
    before: Before,
}

/// Of which node and worker.
pub(crate) struct PublisherOf {
    pub(crate) pipeline: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) partition: Partition,
    pub(crate) directory: Arc<Directory>,
}

/// Up to which epoch the share of the assets of each worker was published, among so many workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    shares: Vec<(Partition, Epoch)>,
    /// Behind the newest of them all.
    newest: Epoch,
}

impl Before {
    pub(crate) fn add(&mut self, partition: Partition, epoch: Epoch) {
        self.shares.push((partition, epoch));
        self.newest = self.newest.max(epoch);
    }

    /// Whether what comes of an asset at an epoch was published.
    fn has(&self, asset: Option<&str>, epoch: Epoch) -> bool {
        self.shares.iter().any(|(partition, last)| epoch <= *last && partition.has(asset))
    }
}

impl Publisher {
    pub(crate) fn new(columns: Vec<Publish>, of: PublisherOf, before: Before, intake: Arc<SiteIntake>) -> Self {
        let PublisherOf { pipeline, node, partition, directory } = of;
        Self { columns, pipeline, node, partition, directory, intake, last: AtomicU64::new(0), before }
    }

    /// Offers the values of all rows of an epoch as samples. Answers the rows that found the intake full.
    pub(crate) fn publish<'a>(
        &self,
        epoch: Epoch,
        batches: impl Iterator<Item = &'a RecordBatch>,
    ) -> Result<usize, ArrowError> {
        // A pipeline that starts anew comes to its epochs again.
        if epoch <= self.last.load(Ordering::Acquire) {
            return Ok(0);
        }
        let Partition { worker, workers } = self.partition;
        let piece = Piece { epoch, worker: worker as u32, workers: workers as u32 };
        let origin = Origin::Published { pipeline: self.pipeline.clone(), node: self.node.clone(), piece };
        let mut parts = Vec::new();
        for rows in batches {
            for column in &self.columns {
                let samples = samples(column, rows, |tag| self.is_new(tag, epoch))?;
                parts.extend(samples.map(|samples| Part::Samples { origin: origin.clone(), samples }));
            }
        }
        if parts.is_empty() {
            return Ok(0);
        }
        self.last.store(epoch, Ordering::Release);
        match self.intake.publish(parts) {
            Err(IntakeError::Full { rows }) => Ok(rows),
            Ok(()) | Err(IntakeError::Stopped) => Ok(0),
        }
    }

    fn is_new(&self, tag: TagId, epoch: Epoch) -> bool {
        epoch > self.before.newest || !self.before.has(self.directory.asset_of(tag).map(|asset| &*asset.name), epoch)
    }
}

/// The values of a column as samples; rows that are taken back, rows of no known tag, and those of tags that are not
/// wanted give none.
fn samples(
    publish: &Publish,
    rows: &RecordBatch,
    wanted: impl Fn(TagId) -> bool,
) -> Result<Option<Samples>, ArrowError> {
    let column = |name: &str| {
        rows.column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("rows to be published have no column `{name}`")))
    };
    let keys = column(&publish.key)?.as_primitive_opt::<UInt32Type>().ok_or_else(|| {
        ArrowError::SchemaError(format!("the key column `{}` holds no numbers of tags or assets", publish.key))
    })?;
    let diff = rows.column_by_name("diff").and_then(|column| column.as_primitive_opt::<Int8Type>());
    let tag_of = |row: usize| {
        let taken_back = diff.is_some_and(|diff| diff.is_valid(row) && diff.value(row) < 0);
        if taken_back || keys.is_null(row) {
            return None;
        }
        publish.tags.get(keys.value(row) as usize)?.filter(|tag| wanted(*tag))
    };
    let (picked, tags): (Vec<u32>, Vec<u32>) =
        (0..rows.num_rows()).filter_map(|row| Some((row as u32, tag_of(row)?))).unzip();
    if picked.is_empty() {
        return Ok(None);
    }
    let picked = UInt32Array::from(picked);
    let pick = |array: &ArrayRef| take(array, &picked, None);
    let times = pick(column("time")?)?;
    let times = times
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| ArrowError::SchemaError("the column `time` holds no times in µs".into()))?;
    let quality = match rows.column_by_name("quality") {
        Some(column) => pick(column)?.as_primitive_opt::<UInt16Type>().map(|quality| quality.values().clone()),
        None => None,
    };
    let values = cast(&pick(column(&publish.column)?)?, &publish.kind.data_type())?;
    let values = Values::from_array(&values)
        .ok_or_else(|| ArrowError::SchemaError(format!("the column `{}` holds no values of tags", publish.column)))?;
    let count = tags.len();
    Samples::new(SampleColumns {
        times: Times::Each(times.values().clone()),
        tags: tags.into(),
        values,
        quality: quality.unwrap_or_else(|| vec![ducto_record::Quality::GOOD.0; count].into()),
        checks: vec![0; count].into(),
    })
    .map(Some)
    .map_err(ArrowError::InvalidArgumentError)
}
