//! Views: the newest row of each key of a port that says it is one (`ducto.view` in its schema's metadata), so that the
//! present state of alarms and the like can be asked for without asking the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int8Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

/// Metadata key of a schema whose rows, newest by key, make up a view; the value is the view's name.
pub const VIEW: &str = "ducto.view";

/// The view of one port.
#[derive(Debug)]
pub struct View {
    name: Arc<str>,
    schema: SchemaRef,
    key: Vec<usize>,
    state: Mutex<ViewState>,
}

#[derive(Debug)]
struct ViewState {
    converter: RowConverter,
    newest: BTreeMap<OwnedRow, RecordBatch>,
}

impl View {
    /// The view of a port with this row type, if its schema says it is one.
    pub fn of(row_type: &ducto_record::RowType) -> Option<Self> {
        let name = row_type.schema.metadata().get(VIEW)?;
        let key: Vec<usize> = row_type.key.iter().filter_map(|name| row_type.schema.index_of(name).ok()).collect();
        let fields =
            key.iter().map(|&index| SortField::new(row_type.schema.field(index).data_type().clone())).collect();
        let converter = RowConverter::new(fields).ok()?;
        Some(Self {
            name: name.as_str().into(),
            schema: row_type.schema.clone(),
            key,
            state: Mutex::new(ViewState { converter, newest: BTreeMap::new() }),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Takes the rows in: a row takes the place of an older one with the same key, a row taken back leaves none.
    pub(crate) fn update(&self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let columns: Vec<_> = self.key.iter().map(|&index| rows.column(index).clone()).collect();
        let keys = state.converter.convert_columns(&columns)?;
        let diff = rows.column_by_name("diff").and_then(|column| column.as_primitive_opt::<Int8Type>().cloned());
        for row in 0..rows.num_rows() {
            let key = keys.row(row).owned();
            if diff.as_ref().is_some_and(|diff| diff.is_valid(row) && diff.value(row) < 0) {
                state.newest.remove(&key);
            } else {
                state.newest.insert(key, rows.slice(row, 1));
            }
        }
        Ok(())
    }

    /// The rows of now, by key.
    ///
    /// # Errors
    /// When rows of different schemas were taken in, which is a fault of the operator.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        concat_batches(&self.schema, state.newest.values())
    }
}
