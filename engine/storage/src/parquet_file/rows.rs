//! A file of rows, sorted by key and time.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use parquet::arrow::{ArrowWriter, encode_arrow_schema};
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::GROUP_ROWS;
use super::chunk::Codec;
use super::dictionary;
use super::sink::{Finished, Mark, Sink, encode_failed};
use crate::disk::Disk;
use crate::error::StorageError;

pub(crate) struct RowFile {
    writer: ArrowWriter<Sink>,
    path: PathBuf,
    rows: u64,
    /// What Arrow says of the columns.
    columns: String,
}

impl RowFile {
    /// `like` is a part of the rows, by which encodings are chosen.
    pub(crate) fn create(
        disk: &Disk,
        path: &Path,
        schema: SchemaRef,
        like: &RecordBatch,
    ) -> Result<Self, StorageError> {
        let sink = Sink::create(disk, path)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Codec::compression())
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_data_page_row_count_limit(1 << 13)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED);
        for (field, column) in schema.fields().iter().zip(like.columns()) {
            if *field.data_type() == DataType::Float64 {
                let values = column.as_primitive::<Float64Type>().values();
                if !dictionary::repeats(values.len(), |row| values[row].to_bits()) {
                    let path = ColumnPath::from(field.name().as_str());
                    properties = properties
                        .set_column_dictionary_enabled(path.clone(), false)
                        .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
                }
            }
        }
        let columns = encode_arrow_schema(&schema);
        let writer = ArrowWriter::try_new(sink, schema, Some(properties.build())).map_err(encode_failed(path))?;
        Ok(Self { writer, path: path.to_owned(), rows: 0, columns })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StorageError> {
        self.rows += rows.num_rows() as u64;
        self.writer.write(rows).map_err(encode_failed(&self.path))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the file and waits until it is on disk.
    pub(crate) fn finish(mut self, mark: &Mark) -> Result<Finished, StorageError> {
        mark.metadata(Some(&self.columns)).into_iter().for_each(|pair| self.writer.append_key_value_metadata(pair));
        let sink = self.writer.into_inner().map_err(encode_failed(&self.path))?;
        Ok(sink.finish()?)
    }
}
