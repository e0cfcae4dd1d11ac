//! What a dataset holds: its columns in flight and in files, its key, its limits.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ducto_record::time::{HOUR, MINUTE, SECOND};
use ducto_record::{Micros, RowType, ValueKind, role_of, samples_schema};

use crate::error::StorageError;

/// Name of the column that orders the versions of a row: see [`revision`].
pub const REVISION: &str = "revision";

/// What a row is to earlier ones of its key and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it comes beside them.
    Comes,
    /// It takes their place.
    Replaces,
    /// It says that they are removed.
    Removes,
}

/// The revision of a row that came with an epoch: it rises with the epochs, so that a row that was removed and comes
/// again counts. Odd where it takes the place of an earlier one, or says that it is removed: only such rows hide
/// others. What is removed says so here and nowhere else: a `reason` is a text that people may write.
pub fn revision(epoch: u64, change: Change) -> u64 {
    let change = match change {
        Change::Comes => 0,
        Change::Replaces => 1,
        Change::Removes => 3,
    };
    epoch.saturating_mul(4) | change
}

/// Whether a row with this revision hides those of its key and time with a lower one.
pub fn corrects(revision: u64) -> bool {
    revision % 2 == 1
}

/// Whether a row with this revision says that those of its key and time are removed, and is no row itself.
pub fn removes(revision: u64) -> bool {
    revision % 4 == 3
}

/// The `reason` of a row that was taken back and has no successor, for people.
pub const REMOVED: &str = "removed";

/// What a dataset takes.
#[derive(Clone, Debug, PartialEq)]
pub enum DatasetSchema {
    /// Samples of one kind of value.
    Samples(ValueKind),
    /// Rows of one type.
    Rows(RowType),
}

impl DatasetSchema {
    /// The columns as files have them: names for numbers, `revision` for `diff`.
    pub fn stored(&self) -> SchemaRef {
        let in_flight = match self {
            Self::Samples(kind) => samples_schema(*kind),
            Self::Rows(rows) => rows.schema.clone(),
        };
        let mut fields: Vec<Arc<Field>> = in_flight
            .fields()
            .iter()
            .filter(|field| field.name() != "diff")
            .map(|field| match role_of(field) {
                Some("tag" | "asset") if *field.data_type() == DataType::UInt32 => {
                    Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8))
                }
                _ => field.clone(),
            })
            .collect();
        if let Self::Rows(_) = self {
            // A row that was taken back is stored as nulls: only time, key, quality and revision always have a value.
            let key = self.key();
            fields = fields
                .into_iter()
                .map(|field| {
                    let always = field.name() == "time" || field.name() == "quality" || key.contains(field.name());
                    if always || field.is_nullable() {
                        field
                    } else {
                        Arc::new(field.as_ref().clone().with_nullable(true))
                    }
                })
                .collect();
            fields.push(Arc::new(Field::new(REVISION, DataType::UInt64, false)));
        }
        Arc::new(Schema::new(fields))
    }

    /// The columns that, with `time`, name a row; `tag` for samples.
    pub fn key(&self) -> Vec<String> {
        match self {
            Self::Samples(_) => vec!["tag".to_owned()],
            Self::Rows(rows) => rows.key.iter().filter(|name| *name != "time").cloned().collect(),
        }
    }

    /// For messages: `float64 samples`.
    pub(crate) fn takes(&self) -> String {
        match self {
            Self::Samples(kind) => format!("{kind} samples"),
            Self::Rows(_) => "rows".to_owned(),
        }
    }
}

/// How long a dataset is kept; the oldest hour goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// µs of engine time.
    pub age: Option<Micros>,
    /// Bytes of files.
    pub size: Option<u64>,
}

/// A dataset and how it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetConfig {
    /// Folder and table name: lower-case letters, digits and `_`.
    pub name: String,
    pub schema: DatasetSchema,
    pub keep: Keep,
    /// Engine time between commits, µs.
    pub commit_every: Micros,
    /// Bytes of buffers after which a commit does not wait for its time.
    pub commit_bytes: usize,
    /// Bytes of buffers at which [`Historian::append`](crate::Historian::append) refuses; at least `commit_bytes`.
    pub buffer_bytes: usize,
    /// How long after its end an hour is merged into one file, µs of engine time.
    pub compact_after: Micros,
    /// How often late rows are merged into an hour that was merged before, µs of engine time.
    pub compact_late_every: Micros,
}

impl DatasetConfig {
    /// The defaults: a commit every 60 s or 64 MB, refusal at 128 MB, an hour merged 30 s after its end.
    pub fn new(name: &str, schema: DatasetSchema) -> Self {
        Self {
            name: name.to_owned(),
            schema,
            keep: Keep::default(),
            commit_every: MINUTE,
            commit_bytes: 64 << 20,
            buffer_bytes: 128 << 20,
            compact_after: 30 * SECOND,
            compact_late_every: HOUR,
        }
    }

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        check_name(&self.name)?;
        let schema = match &self.schema {
            DatasetSchema::Samples(_) => return Ok(()),
            DatasetSchema::Rows(rows) => &rows.schema,
        };
        let refuse = |what: String| Err(StorageError::Schema { dataset: self.name.clone(), what });
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        if schema.fields().first().is_none_or(|field| field.name() != "time" || *field.data_type() != time) {
            return refuse("rows need `time` in µs, UTC, as their first column".to_owned());
        }
        for (name, data_type) in [("quality", DataType::UInt16), ("reason", DataType::Utf8), ("diff", DataType::Int8)] {
            if schema.column_with_name(name).is_none_or(|(_, field)| *field.data_type() != data_type) {
                return refuse(format!("rows need a column `{name}` of {data_type}"));
            }
        }
        for name in ["date", "hour", REVISION] {
            if schema.column_with_name(name).is_some() {
                return refuse(format!("a column cannot be named `{name}`, which the files use themselves"));
            }
        }
        match self.schema.key().into_iter().find(|name| schema.column_with_name(name).is_none()) {
            Some(name) => refuse(format!("its key names `{name}`, which is no column")),
            None => Ok(()),
        }
    }
}

/// Refuses names that make no folder or need quotes in SQL.
pub(crate) fn check_name(name: &str) -> Result<(), StorageError> {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase());
    if first && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_') {
        Ok(())
    } else {
        Err(StorageError::Name { name: name.to_owned() })
    }
}
