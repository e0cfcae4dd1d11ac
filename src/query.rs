//! `ducto query`: SQL over a site that runs, or over the files of one that does not.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ducto_query::{Answer, Folder, Format, OutputWriter, QueryError, Session};
use ducto_site::protocol::{Ask, RowFormat};
use ducto_site::{Batches, Client, ClientError};
use indicatif::ProgressBar;
use serde_json::json;

use crate::ask::failure;
use crate::cli::{QueryArgs, QueryFormat};
use crate::data;
use crate::load::grouped;
use crate::output::{Exit, Failure, Output};

/// Bytes that a query over files may use in this process.
const MEMORY: usize = 512 << 20;
/// Rows that a table for people shows.
const SHOWN: usize = 1_000;

pub(crate) fn run(args: &QueryArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = data::folder(&args.place)?;
    let format = format(args, output)?;
    let mut target = Target::open(args.output.as_deref(), format, output)?;
    let rows = match ask_site(&folder, &args.sql, &mut target) {
        // It stopped in between: what it kept is in the files now.
        Err(Trouble::Stopped) if target.is_untouched() => ask_files(&folder, &args.sql, &mut target),
        Ok(None) => ask_files(&folder, &args.sql, &mut target),
        Ok(Some(rows)) => Ok(rows),
        Err(trouble) => Err(trouble),
    };
    match rows.and_then(|rows| target.finish(output).map(|()| rows)) {
        Ok(rows) => {
            if let Some(path) = &args.output {
                let path = path.display();
                if output.is_json() {
                    output.object(&json!({"rows": rows, "file": path.to_string()}));
                } else {
                    output.line(&format!("{} rows in {path}", grouped(rows)));
                }
            }
            Ok(Exit::Done)
        }
        Err(Trouble::PipeClosed) => Ok(Exit::Done),
        Err(Trouble::Stopped) => Err(failure(ClientError::Stopped)),
        Err(Trouble::Failed(failure)) => Err(failure),
    }
}

/// How the rows are written.
fn format(args: &QueryArgs, output: &Output) -> Result<Format, Failure> {
    let ending = args.output.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str());
    let chosen = match (args.format, ending) {
        (Some(format), _) => format,
        (None, Some("csv")) => QueryFormat::Csv,
        (None, Some("json")) => QueryFormat::Json,
        (None, Some("parquet" | "pq")) => QueryFormat::Parquet,
        (None, None) if output.is_json() => QueryFormat::Json,
        (None, _) => QueryFormat::Table,
    };
    if chosen == QueryFormat::Parquet && args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "Parquet is not for a terminal; name a file with `--output`"));
    }
    Ok(match chosen {
        QueryFormat::Table => Format::Table,
        QueryFormat::Csv => Format::Csv,
        QueryFormat::Json => Format::Json,
        QueryFormat::Parquet => Format::Parquet,
    })
}

/// Why there is no answer, or not all of it.
enum Trouble {
    /// The site has gone before its answer was whole.
    Stopped,
    /// Whoever reads the output has gone: nothing is wrong.
    PipeClosed,
    Failed(Failure),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Stopped => Self::Stopped,
            other => Self::Failed(failure(other)),
        }
    }
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Output(text) if text.contains("Broken pipe") => Self::PipeClosed,
            _ => Self::Failed(Failure::new(Exit::Findings, error.to_string())),
        }
    }
}

/// On the error output, so that the rows stay what they are for programs.
fn warn(note: &str) {
    eprintln!("warning: {note}");
}

/// Asks the site that runs on the folder; `None` where none does.
fn ask_site(folder: &Path, sql: &str, target: &mut Target) -> Result<Option<u64>, Trouble> {
    let Some(mut client) = Client::connect(folder)? else { return Ok(None) };
    let answers = client.ask(Ask::Query { sql: sql.to_owned(), format: RowFormat::Arrow })?;
    let mut batches = Batches::of(answers)?;
    batches.notes().iter().for_each(|note| warn(note));
    target.begin(batches.schema())?;
    while let Some(batch) = batches.next_batch()? {
        if !target.write(&batch)? {
            break;
        }
    }
    Ok(Some(target.rows))
}

fn ask_files(folder: &Path, sql: &str, target: &mut Target) -> Result<u64, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().map_err(|error| {
        Trouble::Failed(Failure::new(Exit::Findings, format!("the query cannot be started: {error}; try again")))
    })?;
    let source = Folder::open(folder).map_err(|error| Trouble::Failed(Failure::new(Exit::Data, error.to_string())))?;
    let session = Session::new(Arc::new(source), MEMORY)?;
    runtime.block_on(async {
        let mut answer: Answer = session.sql(sql).await?;
        answer.incomplete().iter().for_each(|note| warn(note));
        target.begin(answer.schema())?;
        while let Some(batch) = answer.next().await? {
            if !target.write(&batch)? {
                break;
            }
        }
        Ok(target.rows)
    })
}

/// All rows of an answer: for commands that ask for few.
pub(crate) fn rows(folder: &Path, sql: &str) -> Result<Vec<RecordBatch>, Failure> {
    if let Some(mut client) = Client::connect(folder).map_err(failure)? {
        let answers = client.ask(Ask::Query { sql: sql.to_owned(), format: RowFormat::Arrow }).map_err(failure)?;
        let mut batches = Batches::of(answers).map_err(failure)?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.next_batch().map_err(failure)? {
            rows.push(batch);
        }
        return Ok(rows);
    }
    let failed = |error: String| Failure::new(Exit::Findings, error);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| failed(format!("the query cannot be started: {error}; try again")))?;
    let source = Folder::open(folder).map_err(|error| Failure::new(Exit::Data, error.to_string()))?;
    let session = Session::new(Arc::new(source), MEMORY).map_err(|error| failed(error.to_string()))?;
    let answer = runtime.block_on(async { session.sql(sql).await?.collect().await });
    answer.map_err(|error| failed(error.to_string()))
}

/// Where the rows go. A file gets its name when it is whole.
struct Target {
    format: Format,
    file: Option<(PathBuf, PathBuf)>,
    writer: Option<OutputWriter<Box<dyn Write + Send>>>,
    rows: u64,
    /// Rows of a table that are not shown.
    cut: bool,
    bar: Option<ProgressBar>,
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((_, partial)) = &self.file {
            // After a failure; otherwise it has its own name by now.
            let _ = std::fs::remove_file(partial);
        }
    }
}

impl Target {
    fn open(path: Option<&Path>, format: Format, output: &Output) -> Result<Self, Failure> {
        let file = path.map(|path| {
            let mut partial = path.as_os_str().to_owned();
            partial.push(".part");
            (path.to_owned(), PathBuf::from(partial))
        });
        let bar = (file.is_some() && output.is_watched()).then(ProgressBar::new_spinner);
        Ok(Self { format, file, writer: None, rows: 0, cut: false, bar })
    }

    /// Begins, or begins again: what was written to a file before is forgotten.
    fn begin(&mut self, schema: SchemaRef) -> Result<(), Trouble> {
        let out: Box<dyn Write + Send> = match &self.file {
            None => Box::new(BufWriter::new(std::io::stdout())),
            Some((_, partial)) => Box::new(BufWriter::new(File::create(partial).map_err(|error| self.lost(&error))?)),
        };
        self.rows = 0;
        self.writer = Some(OutputWriter::new(self.format, schema, out)?);
        Ok(())
    }

    /// Whether nobody has seen anything yet.
    fn is_untouched(&self) -> bool {
        self.rows == 0 || self.file.is_some() || self.format == Format::Table
    }

    /// Whether more is wanted.
    fn write(&mut self, batch: &RecordBatch) -> Result<bool, Trouble> {
        let Some(writer) = &mut self.writer else { return Ok(false) };
        let mut batch = batch.clone();
        if self.format == Format::Table {
            let room = SHOWN.saturating_sub(usize::try_from(self.rows).unwrap_or(usize::MAX));
            self.cut = batch.num_rows() > room;
            batch = batch.slice(0, room.min(batch.num_rows()));
        }
        self.rows += batch.num_rows() as u64;
        writer.write(&batch)?;
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.set_message(format!("{} rows", grouped(self.rows)));
        }
        Ok(!self.cut)
    }

    fn finish(&mut self, output: &Output) -> Result<(), Trouble> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        if let Some((path, partial)) = &self.file {
            std::fs::rename(partial, path).map_err(|error| self.lost(&error))?;
        }
        if self.cut {
            let shown = grouped(SHOWN as u64);
            output.remark(&format!("these are the first {shown} rows; `--format csv` writes all, LIMIT fewer"));
        }
        Ok(())
    }

    fn lost(&self, error: &std::io::Error) -> Trouble {
        let path = self.file.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
        let message = format!("`{path}` cannot be written: {error}; name another file with `--output`");
        Trouble::Failed(Failure::new(Exit::Data, message))
    }
}
