//! The tables of one query, each dataset as it was when the query first named it.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, JoinType, Result};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col};
use datafusion::prelude::SessionContext;
use ducto_storage::TAGS;
use hashbrown::HashMap;

use crate::dataset::{DatasetTable, Pinned, external};
use crate::error::QueryError;
use crate::left_out::Files;
use crate::open_files::Footers;
use crate::source::Source;

const REVISIONS: &str = "_revisions";
const WITH_TAGS: &str = "_with_tags";

pub(crate) struct Tables {
    source: Arc<dyn Source>,
    footers: Arc<Footers>,
    pinned: Mutex<HashMap<String, Option<Arc<Pinned>>>>,
    used: Arc<Files>,
    /// Tables that a site gives besides its datasets.
    others: Arc<HashMap<String, Arc<dyn TableProvider>>>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Tables {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        footers: Arc<Footers>,
        others: Arc<HashMap<String, Arc<dyn TableProvider>>>,
        used: Arc<Files>,
    ) -> Self {
        Self { source, footers, pinned: Mutex::default(), used, others }
    }

    fn pinned(&self, dataset: &str) -> Result<Option<Arc<Pinned>>, QueryError> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pinned.get(dataset) {
            return Ok(known.clone());
        }
        let snapshot = self.source.snapshot(dataset)?;
        let pin = |snapshot| Pinned::new(snapshot, self.footers.clone(), self.used.clone());
        let new = snapshot.map(pin).transpose()?.map(Arc::new);
        pinned.insert(dataset.to_owned(), new.clone());
        Ok(new)
    }

    fn dataset(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        Ok(self.pinned(name)?.map(|pinned| Arc::new(DatasetTable { pinned, every_revision: false }) as _))
    }

    fn revisions(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let pinned = self.pinned(name)?.filter(|pinned| pinned.corrected());
        Ok(pinned.map(|pinned| Arc::new(DatasetTable { pinned, every_revision: true }) as _))
    }

    fn tags(&self) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(tags) = self.source.tags().map_err(|error| external(error.into()))? else { return Ok(None) };
        Ok(Some(Arc::new(MemTable::try_new(tags.schema(), vec![vec![tags]])?)))
    }

    /// The dataset with what its tags mean: the columns of `tags` that it does not have itself.
    fn with_tags(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(pinned) = self.pinned(name).map_err(external)? else { return Ok(None) };
        let schema = pinned.schema();
        let has_tag = schema.field_with_name("tag").is_ok_and(|field| *field.data_type() == DataType::Utf8);
        let (Some(rows), Some(tags), true) = (self.dataset(name).map_err(external)?, self.tags()?, has_tag) else {
            return Ok(None);
        };
        let own = |field: &str| schema.field_with_name(field).is_ok();
        let of_tags = tags.schema();
        let mut columns: Vec<Expr> =
            schema.fields().iter().map(|field| col(format!("{name}.\"{}\"", field.name()))).collect();
        let more = of_tags.fields().iter().filter(|field| !own(field.name()));
        columns.extend(more.map(|field| col(format!("{TAGS}.\"{}\"", field.name()))));
        let tags = LogicalPlanBuilder::scan(TAGS, provider_as_source(tags), None)?.build()?;
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(rows), None)?
            .join_on(tags, JoinType::Left, [col(format!("{name}.tag")).eq(col(format!("{TAGS}.tag")))])?
            .project(columns)?
            .build()?;
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    /// Every name that a query may use, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, QueryError> {
        let mut names: Vec<String> = self.others.keys().cloned().collect();
        let tags = self.source.tags()?.is_some();
        if tags {
            names.push(TAGS.to_owned());
        }
        for dataset in self.source.datasets()? {
            if let Some(pinned) = self.pinned(&dataset)? {
                if pinned.corrected() {
                    names.push(format!("{dataset}{REVISIONS}"));
                }
                if tags && pinned.schema().field_with_name("tag").is_ok() {
                    names.push(format!("{dataset}{WITH_TAGS}"));
                }
                names.push(dataset);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.names().unwrap_or_default()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(table) = self.others.get(name) {
            return Ok(Some(table.clone()));
        }
        if name == TAGS {
            return self.tags();
        }
        if let Some(table) = self.dataset(name).map_err(external)? {
            return Ok(Some(table));
        }
        if let Some(dataset) = name.strip_suffix(REVISIONS) {
            return self.revisions(dataset).map_err(external);
        }
        match name.strip_suffix(WITH_TAGS) {
            Some(dataset) => self.with_tags(dataset),
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

/// Puts the tables of a query where names without a schema are looked up.
pub(crate) fn register(context: &SessionContext, tables: Arc<Tables>) -> Result<()> {
    let catalog = datafusion::catalog::MemoryCatalogProvider::new();
    datafusion::catalog::CatalogProvider::register_schema(&catalog, SCHEMA, tables)?;
    context.register_catalog(CATALOG, Arc::new(catalog));
    Ok(())
}

pub(crate) const CATALOG: &str = "ducto";
pub(crate) const SCHEMA: &str = "site";
