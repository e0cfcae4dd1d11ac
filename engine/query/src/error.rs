//! What can go wrong with a query, in words for whoever wrote it.

use std::path::PathBuf;

use datafusion::common::{DataFusionError, SchemaError};
use ducto_storage::StorageError;
use thiserror::Error;

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    #[error("this is no SQL that can be read: {0}")]
    Syntax(String),
    #[error("queries only read, and `{0}` does more; to keep an answer, write it to a file with `--output`")]
    ReadOnly(String),
    #[error("there is no table `{name}`{}", suggest(suggestion.as_deref(), known))]
    Table { name: String, suggestion: Option<String>, known: Vec<String> },
    #[error("there is no column `{name}`{}", suggest(suggestion.as_deref(), known))]
    Column { name: String, suggestion: Option<String>, known: Vec<String> },
    #[error("the query does not fit the tables: {0}")]
    Plan(String),
    #[error(
        "the query needs more than the {limit} bytes it may use: {detail}; narrow the time or the tags, or raise \
         `memory`"
    )]
    Memory { limit: usize, detail: String },
    #[error("the query touches {files} files, more than this process may open; narrow its time, or raise `ulimit -n`")]
    TooManyFiles { files: usize },
    /// Never leaves a session, which plans anew.
    #[error("{} file(s) of the manifest are not on the disk, the first `{}`", paths.len(), first(paths))]
    Gone { paths: Vec<PathBuf> },
    /// Found when rows of the answer were out already.
    #[error(
        "`{}` is damaged, and the answer is not whole; put it back from a backup or move it away, and ask again",
        path.display()
    )]
    Damaged { path: PathBuf },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the query failed: {0}")]
    Failed(String),
    #[error("the answer cannot be written: {0}")]
    Output(String),
}

fn first(paths: &[PathBuf]) -> String {
    paths.first().map(|path| path.display().to_string()).unwrap_or_default()
}

fn suggest(suggestion: Option<&str>, known: &[String]) -> String {
    match suggestion {
        Some(suggestion) => format!("; did you mean `{suggestion}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The known name that is most like what was written, if one is.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let likeness = |known: &String| strsim::jaro_winkler(name, known);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then(|| best.clone())
}

impl QueryError {
    /// Tells what DataFusion reports by its kind. `tables` are the names that a query may use.
    pub(crate) fn of(error: DataFusionError, tables: &[String], limit: usize) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::of(*inner, tables, limit)
            }
            DataFusionError::Collection(mut all) if !all.is_empty() => Self::of(all.remove(0), tables, limit),
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Failed(other.to_string()),
            },
            DataFusionError::SQL(error, _) => Self::Syntax(plain(&error.to_string(), "sql parser error: ")),
            DataFusionError::SchemaError(error, _) => match *error {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let mut known: Vec<String> = valid_fields.iter().map(|field| field.name.clone()).collect();
                    known.sort();
                    known.dedup();
                    let suggestion = nearest(&field.name, &known);
                    Self::Column { name: field.name.clone(), suggestion, known }
                }
                other => Self::Plan(other.to_string()),
            },
            DataFusionError::ResourcesExhausted(detail) => {
                Self::Memory { limit, detail: plain(detail.lines().next().unwrap_or_default(), "") }
            }
            DataFusionError::Plan(text) => Self::of_plan(&text, tables),
            other => match other.find_root() {
                DataFusionError::ResourcesExhausted(detail) => {
                    Self::Memory { limit, detail: detail.lines().next().unwrap_or_default().to_owned() }
                }
                root => Self::Failed(root.strip_backtrace()),
            },
        }
    }

    fn of_plan(text: &str, tables: &[String]) -> Self {
        if let Some(name) = text.strip_prefix("table '").and_then(|text| text.split('\'').next()) {
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            let suggestion = nearest(&name, tables);
            return Self::Table { name, suggestion, known: tables.to_vec() };
        }
        for prefix in ["DDL not supported: ", "DML not supported: ", "Statement not supported: "] {
            if let Some(what) = text.strip_prefix(prefix) {
                return Self::ReadOnly(what.to_owned());
            }
        }
        Self::Plan(text.to_owned())
    }
}

fn plain(text: &str, prefix: &str) -> String {
    text.strip_prefix(prefix).unwrap_or(text).to_owned()
}
