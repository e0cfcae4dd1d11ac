//! Rows at their highest revision.
//!
//! Corrections are few: their keys, with the revision that counts, are read first and held; the rows then stream past.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use ducto_storage::{REVISION, corrects, removes};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use tokio::sync::OnceCell;

/// Drops rows that a correction has replaced, and rows that say a row was removed.
#[derive(Debug)]
pub(crate) struct Latest {
    /// Its first columns are the answer; key, time and revision are among all.
    input: Arc<dyn ExecutionPlan>,
    of: Arc<Corrected>,
    /// How many columns of the input make up the answer.
    wanted: usize,
    properties: Arc<PlanProperties>,
}

/// Where corrections come from, read once by whichever partition is first.
struct Corrected {
    /// Key and time, then the revision; of files.
    plan: Arc<dyn ExecutionPlan>,
    /// The same columns, of the live tail.
    tail: Vec<RecordBatch>,
    /// How many columns make up key and time.
    key: usize,
    highest: OnceCell<Highest>,
}

impl fmt::Debug for Corrected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corrected").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// The highest revision by which each key and time was corrected: what is below it is hidden.
struct Highest {
    revisions: HashMap<Vec<u8>, u64>,
    converter: RowConverter,
    _reservation: MemoryReservation,
}

impl Corrected {
    async fn highest(&self, context: Arc<TaskContext>) -> Result<&Highest> {
        self.highest.get_or_try_init(|| self.read(context)).await
    }

    async fn read(&self, context: Arc<TaskContext>) -> Result<Highest> {
        let schema = self.plan.schema();
        let fields = schema.fields().iter().take(self.key).map(|field| SortField::new(field.data_type().clone()));
        let reservation = MemoryConsumer::new("corrections").register(context.memory_pool());
        let mut highest = Highest {
            revisions: HashMap::new(),
            converter: RowConverter::new(fields.collect())?,
            _reservation: reservation,
        };
        for batch in &self.tail {
            highest.take(batch, self.key)?;
        }
        for partition in 0..self.plan.output_partitioning().partition_count() {
            let mut batches = self.plan.execute(partition, context.clone())?;
            while let Some(batch) = batches.try_next().await? {
                highest.take(&batch, self.key)?;
            }
        }
        Ok(highest)
    }
}

impl Highest {
    fn take(&mut self, batch: &RecordBatch, key: usize) -> Result<()> {
        let rows = self.converter.convert_columns(&batch.columns()[..key])?;
        let revisions = batch.column(key).as_primitive::<UInt64Type>();
        let mut bytes = 0;
        for (row, revision) in rows.iter().zip(revisions.values()).filter(|(_, revision)| corrects(**revision)) {
            let highest = self.revisions.entry_ref(row.as_ref()).or_insert_with(|| {
                // The text, its place in the table, and the table's free places.
                bytes += row.as_ref().len() + 64;
                0
            });
            *highest = (*highest).max(*revision);
        }
        self._reservation.try_grow(bytes)
    }

    /// Which rows of a batch count.
    fn keep(&self, key: &[ArrayRef], revisions: &ArrayRef) -> Result<BooleanArray> {
        let rows = self.converter.convert_columns(key)?;
        let revisions = revisions.as_primitive::<UInt64Type>();
        let keep = (0..rows.num_rows()).map(|row| {
            let highest = self.revisions.get(rows.row(row).as_ref()).copied().unwrap_or(0);
            let revision = revisions.value(row);
            !removes(revision) && revision >= highest
        });
        Ok(keep.map(Some).collect())
    }
}

impl Latest {
    /// `corrections` and `tail`: `key` columns of key and time, then the revision. `input`: `wanted` columns of the
    /// answer, then what else is needed, each column named as in the dataset.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        corrections: Arc<dyn ExecutionPlan>,
        tail: Vec<RecordBatch>,
        key: usize,
        wanted: usize,
    ) -> Result<Self> {
        let of = Corrected { plan: corrections, tail, key, highest: OnceCell::new() };
        Self::over(input, Arc::new(of), wanted)
    }

    fn over(input: Arc<dyn ExecutionPlan>, of: Arc<Corrected>, wanted: usize) -> Result<Self> {
        let schema: SchemaRef = Arc::new(input.schema().project(&(0..wanted).collect::<Vec<_>>())?);
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { input, of, wanted, properties: Arc::new(properties) })
    }
}

impl DisplayAs for Latest {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest: rows at their highest revision")
    }
}

impl ExecutionPlan for Latest {
    fn name(&self) -> &'static str {
        "Latest"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::over(input, self.of.clone(), self.wanted)?)),
            _ => Err(DataFusionError::Internal("Latest has one input".to_owned())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let read = self.input.schema();
        let key: Vec<usize> = self
            .of
            .plan
            .schema()
            .fields()
            .iter()
            .take(self.of.key)
            .map(|field| read.index_of(field.name()))
            .collect::<std::result::Result<_, _>>()?;
        let revision = read.index_of(REVISION)?;
        let wanted: Vec<usize> = (0..self.wanted).collect();
        let of = self.of.clone();
        let rows = input.and_then(move |batch| {
            let (of, context, key, wanted) = (of.clone(), context.clone(), key.clone(), wanted.clone());
            async move {
                let highest = of.highest(context).await?;
                let columns: Vec<ArrayRef> = key.iter().map(|at| batch.column(*at).clone()).collect();
                let keep = highest.keep(&columns, batch.column(revision))?;
                Ok(filter_record_batch(&batch, &keep)?.project(&wanted)?)
            }
        });
        let rows = rows.try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.boxed())))
    }
}
