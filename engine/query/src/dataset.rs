//! A dataset as a table: the files of its manifest that a query needs, and its live tail.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use ducto_storage::{FileEntry, REVISION, Snapshot, corrects};

use crate::QueryError;
use crate::latest::Latest;
use crate::left_out::{Files, Why};
use crate::open_files::{Footers, OpenFile, OpenFiles};

/// A dataset at one moment, with its files open: every table of a query sees the same rows.
#[derive(Debug)]
pub(crate) struct Pinned {
    snapshot: Snapshot,
    schema: SchemaRef,
    tail: Vec<RecordBatch>,
    footers: Arc<Footers>,
    used: Arc<Files>,
}

impl Pinned {
    pub(crate) fn new(
        snapshot: Snapshot,
        footers: Arc<Footers>,
        used: Arc<Files>,
    ) -> std::result::Result<Self, QueryError> {
        let tail = snapshot.tail()?;
        Ok(Self { schema: snapshot.schema(), tail, snapshot, footers, used })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn corrected(&self) -> bool {
        self.snapshot.manifest.corrected
    }

    /// Columns that say which row a correction replaces.
    fn row_key(&self) -> Vec<String> {
        self.snapshot.manifest.key.iter().cloned().chain(["time".to_owned()]).collect()
    }

    fn revised_tail(&self) -> Vec<RecordBatch> {
        let revised = |batch: &&RecordBatch| {
            let column =
                batch.column_by_name(REVISION).and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
            column.is_some_and(|revisions| revisions.values().iter().any(|revision| corrects(*revision)))
        };
        self.tail.iter().filter(revised).cloned().collect()
    }

    /// The files whose times a filter does not exclude.
    fn files(
        &self,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        of: impl Fn(&FileEntry) -> bool,
    ) -> Result<Vec<&FileEntry>> {
        let files: Vec<&FileEntry> = self.snapshot.manifest.files.iter().filter(|file| of(file)).collect();
        let Some(filter) = filter else { return Ok(files) };
        let predicate =
            PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).try_build(filter.clone())?;
        let keep = predicate.prune(&TimesOf(&files))?;
        Ok(files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect())
    }

    fn open(&self, files: &[&FileEntry], partitions: usize) -> Result<Vec<FileGroup>> {
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); partitions.max(1)];
        let mut gone = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let path = self.snapshot.path(file);
            if self.used.known.damaged.contains(&path) {
                self.used.leave_out(path, file, Why::Damaged);
                continue;
            }
            let opened = OpenFile::open(path.clone(), file.bytes).or_else(|error| match error.kind() {
                // A merge has exchanged its folder, and the manifest that says so is not written yet.
                std::io::ErrorKind::NotFound => match self.snapshot.staged(file) {
                    Some(staged) => OpenFile::open(staged, file.bytes),
                    None => Err(error),
                },
                _ => Err(error),
            });
            let open = match opened {
                Ok(open) => open,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if self.used.known.gone.contains(&path) {
                        self.used.leave_out(path, file, Why::Missing);
                    } else {
                        gone.push(path);
                    }
                    continue;
                }
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                    return Err(external(QueryError::TooManyFiles { files: files.len() }));
                }
                Err(error) => {
                    return Err(external(QueryError::Storage(
                        ducto_storage::FileError::new("open", &path, error).into(),
                    )));
                }
            };
            if !open.is_whole() {
                self.used.leave_out(path, file, Why::Damaged);
                continue;
            }
            self.used.opened(&path, file);
            let planned = PartitionedFile::new(path.to_string_lossy(), file.bytes).with_extension(open);
            let group = number % groups.len();
            groups[group].push(planned);
        }
        if !gone.is_empty() {
            return Err(external(QueryError::Gone { paths: gone }));
        }
        Ok(groups.into_iter().filter(|group| !group.is_empty()).map(FileGroup::new).collect())
    }

    fn scan_files(
        &self,
        files: &[&FileEntry],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let groups = self.open(files, partitions)?;
        if groups.is_empty() {
            // A plan without partitions is none that others could sort or join.
            return Ok(None);
        }
        let reader = Arc::new(OpenFiles { footers: self.footers.clone() });
        let mut source = ParquetSource::new(self.schema.clone())
            .with_parquet_file_reader_factory(reader)
            .with_pushdown_filters(true);
        if let Some(filter) = filter {
            source = source.with_predicate(filter.clone());
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }

    fn nothing(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        Ok(Arc::new(EmptyExec::new(schema)))
    }
}

pub(crate) fn external(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Least and greatest time of files, from the manifest.
struct TimesOf<'a>(&'a [&'a FileEntry]);

impl TimesOf<'_> {
    fn times(&self, column: &Column, pick: impl Fn(&FileEntry) -> i64) -> Option<ArrayRef> {
        let times = || self.0.iter().map(|file| pick(file));
        (column.name() == "time")
            .then(|| Arc::new(TimestampMicrosecondArray::from_iter_values(times()).with_timezone("UTC")) as ArrayRef)
    }
}

impl PruningStatistics for TimesOf<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.times.0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.times.1)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|file| file.rows))))
    }

    fn contained(
        &self,
        _column: &Column,
        _values: &std::collections::HashSet<ScalarValue>,
    ) -> Option<arrow::array::BooleanArray> {
        None
    }
}

/// A dataset, with corrected rows at their highest revision or with every revision.
#[derive(Debug)]
pub(crate) struct DatasetTable {
    pub(crate) pinned: Arc<Pinned>,
    pub(crate) every_revision: bool,
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        self.pinned.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // The tail is not filtered, so every filter is applied above as well.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pinned = &self.pinned;
        let described = DFSchema::try_from(pinned.schema.as_ref().clone())?;
        let physical = |filters: Vec<Expr>| match conjunction(filters) {
            Some(filter) => state.create_physical_expr(filter, &described).map(Some),
            None => Ok(None),
        };
        let partitions = state.config().target_partitions();
        let filter = physical(filters.to_vec())?;
        let files = pinned.files(filter.as_ref(), |_| true)?;
        let revised_tail = pinned.revised_tail();
        let revised = files.iter().any(|file| file.revised) || !revised_tail.is_empty();
        if self.every_revision || !revised {
            let from_files = pinned.scan_files(&files, filter.as_ref(), projection, limit, partitions)?;
            return with_tail(from_files, pinned, projection);
        }
        // Which rows a correction replaces depends on nothing but key and time.
        let row_key = pinned.row_key();
        let of_key = |filter: &&Expr| filter.column_refs().iter().all(|column| row_key.contains(&column.name));
        let mut of_corrections: Vec<Expr> = filters.iter().filter(of_key).cloned().collect();
        of_corrections.push((col(REVISION) % lit(2_u64)).eq(lit(1_u64)));
        let of_corrections = physical(of_corrections)?;
        let corrected = pinned.files(of_corrections.as_ref(), |file| file.revised)?;
        let columns_of = |names: &[String]| -> Result<Vec<usize>> {
            Ok(names.iter().map(|name| pinned.schema.index_of(name)).collect::<std::result::Result<_, _>>()?)
        };
        let mut named = row_key.clone();
        named.push(REVISION.to_owned());
        let of_map = columns_of(&named)?;
        let corrections = match pinned.scan_files(&corrected, of_corrections.as_ref(), Some(&of_map), None, 1)? {
            Some(corrections) => corrections,
            None => pinned.nothing(Some(&of_map))?,
        };
        let tail =
            revised_tail.iter().map(|batch| batch.project(&of_map)).collect::<std::result::Result<Vec<_>, _>>()?;

        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..pinned.schema.fields().len()).collect());
        let mut read = wanted.clone();
        let needed = columns_of(&named)?;
        read.extend(needed.iter().filter(|at| !wanted.contains(at)));
        let from_files = pinned.scan_files(&files, filter.as_ref(), Some(&read), None, partitions)?;
        let input = with_tail(from_files, pinned, Some(&read))?;
        Ok(Arc::new(Latest::try_new(input, corrections, tail, row_key.len(), wanted.len())?))
    }
}

fn with_tail(
    files: Option<Arc<dyn ExecutionPlan>>,
    pinned: &Pinned,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if pinned.tail.is_empty() {
        return match files {
            Some(files) => Ok(files),
            None => pinned.nothing(projection),
        };
    }
    let tail = MemorySourceConfig::try_new_exec(
        std::slice::from_ref(&pinned.tail),
        pinned.schema.clone(),
        projection.cloned(),
    )?;
    match files {
        Some(files) => UnionExec::try_new(vec![files, tail]),
        None => Ok(tail),
    }
}
