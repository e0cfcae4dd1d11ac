//! A file of samples: rows by tag and time, each column in the encoding that its data asks for.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::ValueKind;
use parquet::basic::{ConvertedType, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, ColumnPath, Type};

use super::chunk::{Chunk, Codec};
use super::dictionary::Table;
use super::sink::{Finished, Mark, Sink, encode_failed};
use super::{hybrid, values};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};

/// Rows of a row group, about: what one reader holds at a time, and one writer.
pub(crate) const GROUP_ROWS: usize = 1 << 20;

pub(crate) use values::{KeptColumns, StoredValue};

/// Sorted rows of one row group. Buffers are kept from group to group.
#[derive(Debug, Default)]
pub(crate) struct SampleColumns<T> {
    /// The tags in the order of their names, each with its rows.
    pub(crate) runs: Vec<(Arc<str>, usize)>,
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<T>,
    /// Which rows have a reading; empty where all have.
    pub(crate) valid: Vec<bool>,
    pub(crate) quality: Vec<u16>,
    pub(crate) checks: Vec<u16>,
}

impl<T> SampleColumns<T> {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.times.clear();
        self.values.clear();
        self.valid.clear();
        self.quality.clear();
        self.checks.clear();
    }
}

/// What a writer of files keeps from one to the next.
pub(crate) struct Scratch {
    pub(super) codec: Codec,
    pub(super) table: Table,
    pub(super) indexes: Vec<u16>,
    pub(super) body: Vec<u8>,
    pages: Vec<Range<usize>>,
}

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            codec: Codec::new()?,
            table: Table::default(),
            indexes: Vec::new(),
            body: Vec::new(),
            pages: Vec::new(),
        })
    }
}

pub(crate) struct SampleFile {
    writer: SerializedFileWriter<Sink>,
    path: PathBuf,
    page_rows: usize,
    rows: u64,
}

impl SampleFile {
    /// `page_rows`: rows of a page, about; a page ends where a tag ends.
    pub(crate) fn create(
        disk: &Disk,
        path: &Path,
        kind: ValueKind,
        page_rows: usize,
    ) -> std::result::Result<Self, StorageError> {
        let sink = Sink::create(disk, path)?;
        let properties = properties(kind, page_rows);
        let writer = schema(kind)
            .and_then(|schema| SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties)))
            .map_err(encode_failed(path))?;
        Ok(Self { writer, path: path.to_owned(), page_rows, rows: 0 })
    }

    /// Writes one row group.
    pub(crate) fn group<T: StoredValue>(
        &mut self,
        columns: &SampleColumns<T>,
        scratch: &mut Scratch,
    ) -> std::result::Result<(), StorageError> {
        if columns.len() == 0 {
            return Ok(());
        }
        self.rows += columns.len() as u64;
        let page_rows = self.page_rows;
        let mut write = |writer: &mut SerializedFileWriter<Sink>| {
            let described = writer.schema_descr().columns().to_vec();
            let mut pages = std::mem::take(&mut scratch.pages);
            cut_pages(&columns.runs, page_rows, &mut pages);
            let mut group = writer.next_row_group()?;
            times(&mut group, &described[0], columns, &pages, scratch)?;
            tags(&mut group, &described[1], columns, &pages, scratch)?;
            T::write(&mut group, &described[2], columns, &pages, scratch)?;
            small_numbers(&mut group, &described[3], &columns.quality, &pages, scratch)?;
            small_numbers(&mut group, &described[4], &columns.checks, &pages, scratch)?;
            group.close()?;
            scratch.pages = pages;
            Ok(())
        };
        write(&mut self.writer).map_err(encode_failed(&self.path))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the file and waits until it is on disk.
    pub(crate) fn finish(mut self, mark: &Mark) -> std::result::Result<Finished, StorageError> {
        mark.metadata(None).into_iter().for_each(|pair| self.writer.append_key_value_metadata(pair));
        let sink = self.writer.into_inner().map_err(encode_failed(&self.path))?;
        Ok(sink.finish().map_err(|error: FileError| error)?)
    }
}

fn schema(kind: ValueKind) -> Result<Type> {
    let column = |name: &'static str, physical| {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED)
    };
    let value = match kind {
        ValueKind::Float64 => column("value", Physical::DOUBLE),
        ValueKind::Int64 => column("value", Physical::INT64),
        ValueKind::Bool => column("value", Physical::BOOLEAN),
        ValueKind::Text => column("value", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)),
    };
    let u16 = LogicalType::integer(16, false);
    let time = LogicalType::timestamp(true, TimeUnit::MICROS);
    let fields = [
        column("time", Physical::INT64).with_logical_type(Some(time)),
        column("tag", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)),
        value.with_repetition(Repetition::OPTIONAL),
        column("quality", Physical::INT32).with_logical_type(Some(u16.clone())),
        column("checks", Physical::INT32).with_logical_type(Some(u16)),
    ];
    let fields = fields.into_iter().map(|field| field.build().map(Arc::new)).collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("samples").with_fields(fields).with_converted_type(ConvertedType::NONE).build()
}

/// For the columns that Parquet's own writer encodes.
fn properties(kind: ValueKind, page_rows: usize) -> WriterProperties {
    let sorting = [1, 0].map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false });
    let value = ColumnPath::from("value");
    let builder = WriterProperties::builder()
        .set_compression(Codec::compression())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(page_rows)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(sorting.to_vec()))
        .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED);
    match kind {
        ValueKind::Int64 => builder.set_column_encoding(value, Encoding::DELTA_BINARY_PACKED),
        ValueKind::Text => builder.set_column_dictionary_enabled(value, true),
        ValueKind::Float64 | ValueKind::Bool => builder,
    }
    .build()
}

/// Cuts rows into pages where tags end, so that one tag's rows are in as few pages as can be.
fn cut_pages(runs: &[(Arc<str>, usize)], target: usize, pages: &mut Vec<Range<usize>>) {
    pages.clear();
    let (mut start, mut end) = (0, 0);
    for (_, rows) in runs {
        let mut left = *rows;
        // A tag with many rows has pages of its own.
        while left > 0 {
            let room = (target * 2).saturating_sub(end - start);
            let taken = left.min(room);
            end += taken;
            left -= taken;
            if end - start >= target {
                pages.push(start..end);
                start = end;
            }
        }
    }
    if end > start {
        pages.push(start..end);
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Sink>;

/// Few distinct times that come again with every tag: a dictionary. Long or irregular runs: differences.
fn times<T>(
    group: &mut Group<'_>,
    column: &ColumnDescPtr,
    columns: &SampleColumns<T>,
    pages: &[Range<usize>],
    scratch: &mut Scratch,
) -> Result<()> {
    const LONG_RUN: usize = 512;
    let times = &columns.times;
    let long = times.len() / columns.runs.len().max(1) >= LONG_RUN;
    let lengths = columns.runs.iter().map(|(_, rows)| *rows);
    if long || !scratch.table.index_runs(times, lengths, times.len() / 4 + 16, &mut scratch.indexes) {
        let mut writer = group.next_column()?.ok_or_else(no_column)?;
        writer.typed::<Int64Type>().write_batch(times, None, None)?;
        return writer.close();
    }
    scratch.table.sort(|bits| bits as i64, &mut scratch.indexes);
    let plain: Vec<u8> = scratch.table.values.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let entries = scratch.table.values.len();
    let wide = entries > 256;
    let mut chunk = Chunk::new(column.clone(), &mut scratch.codec);
    chunk.dictionary(&plain, entries, true)?;
    for page in pages {
        let indexes = &scratch.indexes[page.clone()];
        scratch.body.clear();
        scratch.body.push(if wide { 16 } else { 8 });
        hybrid::pack_bytes(&mut scratch.body, indexes, wide);
        let (least, greatest) = values::bounds(indexes.iter().copied()).unwrap_or_default();
        let bytes = |index: u16| scratch.table.values[usize::from(index)].to_le_bytes().to_vec();
        let bounds = Some((bytes(least), bytes(greatest)));
        chunk.page(&scratch.body, indexes.len(), 0, Encoding::RLE_DICTIONARY, bounds)?;
    }
    let ends = |bits: Option<&u64>| bits.map(|bits| *bits as i64);
    let values = &scratch.table.values;
    chunk.append(group, Statistics::new::<i64>(ends(values.first()), ends(values.last()), None, Some(0), false))
}

/// Names are runs: they cost what their dictionary costs.
fn tags<T>(
    group: &mut Group<'_>,
    column: &ColumnDescPtr,
    columns: &SampleColumns<T>,
    pages: &[Range<usize>],
    scratch: &mut Scratch,
) -> Result<()> {
    let runs = &columns.runs;
    let mut plain = Vec::new();
    for (name, _) in runs {
        plain.extend_from_slice(&(name.len() as u32).to_le_bytes());
        plain.extend_from_slice(name.as_bytes());
    }
    let mut chunk = Chunk::new(column.clone(), &mut scratch.codec).ascending();
    chunk.dictionary(&plain, runs.len(), true)?;
    let width = hybrid::width_of(runs.len());
    // Where the next page starts: in which run, and how many of its rows are written.
    let (mut run, mut used) = (0, 0);
    for page in pages {
        let first = run;
        let mut last = run;
        let mut left = page.len();
        scratch.body.clear();
        scratch.body.push(width);
        let of_page = std::iter::from_fn(|| {
            let (_, rows) = runs.get(run).filter(|_| left > 0)?;
            let taken = left.min(rows - used);
            let index = run;
            last = run;
            left -= taken;
            used += taken;
            if used == *rows {
                (run, used) = (run + 1, 0);
            }
            Some((index as u32, taken))
        });
        hybrid::runs(&mut scratch.body, width, of_page);
        let bytes = |run: usize| runs[run].0.as_bytes().to_vec();
        let bounds = Some((bytes(first), bytes(last)));
        chunk.page(&scratch.body, page.len(), 0, Encoding::RLE_DICTIONARY, bounds)?;
    }
    let end = |run: Option<&(Arc<str>, usize)>| run.map(|(name, _)| ByteArray::from(name.as_bytes().to_vec()));
    chunk.append(group, Statistics::new::<ByteArray>(end(runs.first()), end(runs.last()), None, Some(0), false))
}

/// Quality and checks: few values, nearly always the same.
fn small_numbers(
    group: &mut Group<'_>,
    column: &ColumnDescPtr,
    numbers: &[u16],
    pages: &[Range<usize>],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut entries: Vec<u16> = Vec::new();
    let mut runs: Vec<(u16, usize)> = Vec::new();
    let mut page_ends = Vec::with_capacity(pages.len());
    for page in pages {
        for (number, length) in hybrid::runs_of(&numbers[page.clone()]) {
            if let Err(place) = entries.binary_search(&number) {
                entries.insert(place, number);
            }
            runs.push((number, length));
        }
        page_ends.push(runs.len());
    }
    let plain: Vec<u8> = entries.iter().flat_map(|number| i32::from(*number).to_le_bytes()).collect();
    let width = hybrid::width_of(entries.len());
    let mut chunk = Chunk::new(column.clone(), &mut scratch.codec);
    chunk.dictionary(&plain, entries.len(), true)?;
    let mut start = 0;
    for (page, end) in pages.iter().zip(page_ends) {
        let of_page = &runs[start..end];
        start = end;
        scratch.body.clear();
        scratch.body.push(width);
        let index = |number| entries.binary_search(&number).unwrap_or(0) as u32;
        hybrid::runs(&mut scratch.body, width, of_page.iter().map(|(number, length)| (index(*number), *length)));
        let (least, greatest) = values::bounds(of_page.iter().map(|(number, _)| *number)).unwrap_or_default();
        let bytes = |number: u16| i32::from(number).to_le_bytes().to_vec();
        let bounds = Some((bytes(least), bytes(greatest)));
        chunk.page(&scratch.body, page.len(), 0, Encoding::RLE_DICTIONARY, bounds)?;
    }
    let end = |number: Option<&u16>| number.map(|number| i32::from(*number));
    chunk.append(group, Statistics::new::<i32>(end(entries.first()), end(entries.last()), None, Some(0), false))
}

pub(super) fn no_column() -> ParquetError {
    ParquetError::General("a row group has fewer columns than its schema".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_tags_end() {
        let runs = |rows: &[usize]| rows.iter().map(|rows| (Arc::from("t"), *rows)).collect::<Vec<_>>();
        let mut pages = Vec::new();
        cut_pages(&runs(&[60, 60, 60]), 100, &mut pages);
        assert_eq!(pages, [0..120, 120..180]);
        cut_pages(&runs(&[450]), 100, &mut pages);
        assert_eq!(pages, [0..200, 200..400, 400..450]);
        cut_pages(&[], 100, &mut pages);
        assert!(pages.is_empty());
    }
}
