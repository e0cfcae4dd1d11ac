//! A session: SQL in, record batches out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use hashbrown::HashMap;

use crate::error::QueryError;
use crate::left_out::{self, Files, Known, LeftOut};
use crate::open_files::Footers;
use crate::source::Source;
use crate::tables::{CATALOG, SCHEMA, Tables, register};

/// How often a query is planned anew because a merge moved its files between the manifest and their opening.
const ATTEMPTS: usize = 10;

/// Answers queries over one source, within one bound of memory. Clones share both.
#[derive(Clone)]
pub struct Session {
    source: Arc<dyn Source>,
    state: SessionState,
    footers: Arc<Footers>,
    others: Arc<HashMap<String, Arc<dyn TableProvider>>>,
    memory: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("source", &self.source).field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// The rows of an answer, as they come.
pub struct Answer {
    stream: SendableRecordBatchStream,
    /// What was read to see whether the files can be.
    first: Option<RecordBatch>,
    memory: usize,
    files: Arc<Files>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema()).finish_non_exhaustive()
    }
}

impl Answer {
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// Files that a manifest names and that are missing or damaged: their rows are not in the answer.
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.files.left_out()
    }

    /// What [`Answer::left_out`] means, for people; `None` where nothing is left out.
    pub fn incomplete(&self) -> Option<String> {
        left_out::told(&self.left_out())
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// What failed while the query ran.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.stream.next().await.transpose() {
            Ok(batch) => Ok(batch),
            Err(error) if left_out::may_be_damage(&error) => match damaged(&self.files).await.pop_first() {
                Some(path) => Err(QueryError::Damaged { path }),
                None => Err(QueryError::of(error, &[], self.memory)),
            },
            Err(error) => Err(QueryError::of(error, &[], self.memory)),
        }
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// What failed while the query ran.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

impl Session {
    /// `memory`: bytes that all queries of this session may use together, cached footers of files included.
    ///
    /// # Errors
    /// When DataFusion cannot be set up.
    pub fn new(source: Arc<dyn Source>, memory: usize) -> Result<Self, QueryError> {
        let set_up = |error: DataFusionError| QueryError::Failed(error.to_string());
        let footers = memory / 8;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory - footers)))
            // What does not fit is refused: a gateway's disk is for its history.
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build_arc()
            .map_err(set_up)?;
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true)
            .set_bool("datafusion.execution.parquet.pushdown_filters", true)
            .set_str("datafusion.execution.time_zone", "UTC");
        let state =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
        Ok(Self { source, state, footers: Arc::new(Footers::new(footers)), others: Arc::default(), memory })
    }

    /// Adds a table that is no dataset, under its own name.
    #[must_use]
    pub fn with_table(mut self, name: &str, table: Arc<dyn TableProvider>) -> Self {
        Arc::make_mut(&mut self.others).insert(name.to_owned(), table);
        self
    }

    /// Names that a query may use, sorted.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn tables(&self) -> Result<Vec<String>, QueryError> {
        self.pin(Known::default()).0.names()
    }

    fn pin(&self, known: Known) -> (Tables, Arc<Files>) {
        let files = Arc::new(Files::new(known));
        (Tables::new(self.source.clone(), self.footers.clone(), self.others.clone(), files.clone()), files)
    }

    /// Plans a query and starts it. Everything it reads is as it was at this moment, files that are merged or removed
    /// meanwhile included. To be called within a tokio runtime.
    ///
    /// # Errors
    /// SQL that cannot be read, unknown names with the nearest known, anything that would write, files that cannot be
    /// opened. Files that are missing or damaged are no error: see [`Answer::left_out`].
    pub async fn sql(&self, text: &str) -> Result<Answer, QueryError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let mut known = Known::default();
        for attempt in 1.. {
            let (tables, files) = self.pin(known.clone());
            let tables = Arc::new(tables);
            let told = |error| {
                let names = tables.names().unwrap_or_default();
                QueryError::of(error, &names, self.memory)
            };
            let catalogs: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
            let state = SessionStateBuilder::new_from_existing(self.state.clone()).with_catalog_list(catalogs).build();
            let context = SessionContext::new_with_state(state);
            register(&context, tables.clone()).map_err(told)?;
            let frame = context.sql_with_options(text, options).await.map_err(told)?;
            // The first rows are read here: for most questions, all files. What cannot be read is found before anybody
            // has seen a part of the answer.
            let begun = match frame.execute_stream().await {
                Ok(mut stream) => stream.next().await.transpose().map(|first| (stream, first)),
                Err(error) => Err(error),
            };
            match begun {
                Ok((stream, first)) => {
                    return Ok(Answer { stream, first, memory: self.memory, files });
                }
                Err(error) if attempt >= ATTEMPTS => return Err(told(error)),
                Err(error) => {
                    if let Some(paths) = gone_files(&error) {
                        known.gone.extend(paths.iter().cloned());
                        continue;
                    }
                    let damaged = if left_out::may_be_damage(&error) { damaged(&files).await } else { BTreeSet::new() };
                    if damaged.is_empty() {
                        return Err(told(error));
                    }
                    known.damaged.extend(damaged);
                }
            }
        }
        Err(QueryError::Failed("the files changed while the query was planned; run it again".to_owned()))
    }
}

/// The files that are not what was written.
async fn damaged(files: &Arc<Files>) -> BTreeSet<PathBuf> {
    let files = files.clone();
    tokio::task::spawn_blocking(move || files.damaged()).await.unwrap_or_default()
}

/// Files of the manifest that were merged away before they were opened, or that are missing.
fn gone_files(error: &DataFusionError) -> Option<&[PathBuf]> {
    let DataFusionError::External(inner) = error.find_root() else { return None };
    match inner.downcast_ref() {
        Some(QueryError::Gone { paths }) => Some(paths),
        _ => None,
    }
}
