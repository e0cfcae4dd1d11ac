//! Answers as text or files: a table for people, CSV, JSON and Parquet for programs.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::json;
use arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;

use crate::error::QueryError;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns side by side, with a frame; held until the answer is complete.
    #[default]
    Table,
    /// With a line of names, times as RFC 3339, nothing where there is null. An empty text is nothing too: JSON and
    /// Parquet tell the two apart.
    Csv,
    /// An array of objects, each with all columns; null is `null`.
    Json,
    Parquet,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "parquet" => Ok(Self::Parquet),
            other => Err(format!("`{other}` is no format; use table, csv, json or parquet")),
        }
    }
}

enum Inner<W: Write + Send> {
    Table(W, SchemaRef, Vec<RecordBatch>),
    Csv(Box<csv::Writer<W>>, SchemaRef, bool),
    Json(Box<json::ArrayWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

/// Writes the batches of one answer.
pub struct OutputWriter<W: Write + Send> {
    inner: Inner<W>,
    rows: usize,
}

fn told(error: impl std::fmt::Display) -> QueryError {
    QueryError::Output(error.to_string())
}

impl<W: Write + Send> OutputWriter<W> {
    /// # Errors
    /// When Parquet cannot hold the schema.
    pub fn new(format: Format, schema: SchemaRef, out: W) -> Result<Self, QueryError> {
        let inner = match format {
            Format::Table => Inner::Table(out, schema, Vec::new()),
            Format::Csv => {
                let writer = csv::WriterBuilder::new().with_header(true).build(out);
                Inner::Csv(Box::new(writer), schema, false)
            }
            Format::Json => Inner::Json(Box::new(json::WriterBuilder::new().with_explicit_nulls(true).build(out))),
            Format::Parquet => {
                let zstd = parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default());
                let properties = parquet::file::properties::WriterProperties::builder().set_compression(zstd).build();
                Inner::Parquet(Box::new(ArrowWriter::try_new(out, schema, Some(properties)).map_err(told)?))
            }
        };
        Ok(Self { inner, rows: 0 })
    }

    /// # Errors
    /// When the output cannot be written: a closed pipe, a full disk.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.rows += batch.num_rows();
        match &mut self.inner {
            Inner::Table(_, _, batches) => {
                batches.push(batch.clone());
                Ok(())
            }
            Inner::Csv(writer, _, begun) => {
                *begun = true;
                writer.write(batch).map_err(told)
            }
            Inner::Json(writer) => writer.write(batch).map_err(told),
            Inner::Parquet(writer) => writer.write(batch).map_err(told),
        }
    }

    /// Ends the output and says how many rows it has.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(self) -> Result<usize, QueryError> {
        match self.inner {
            Inner::Table(mut out, schema, batches) => {
                let text = pretty_format_batches_with_schema(schema, &batches).map_err(told)?;
                writeln!(out, "{text}").and_then(|()| out.flush()).map_err(told)?;
            }
            Inner::Csv(mut writer, schema, begun) => {
                // An answer without rows still has a line of names.
                if !begun {
                    writer.write(&RecordBatch::new_empty(schema)).map_err(told)?;
                }
                writer.into_inner().flush().map_err(told)?;
            }
            Inner::Json(mut writer) => {
                writer.finish().map_err(told)?;
                let mut out = writer.into_inner();
                writeln!(out).and_then(|()| out.flush()).map_err(told)?;
            }
            Inner::Parquet(writer) => {
                writer.into_inner().map_err(told)?.flush().map_err(told)?;
            }
        }
        Ok(self.rows)
    }
}
