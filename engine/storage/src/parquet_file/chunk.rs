//! A column chunk put together page by page, with its dictionary, statistics and page index.

use std::io::{self, Write};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Level 1 costs least and loses little on sorted columns.
const LEVEL: i32 = 1;

/// A compressor and its buffers, used for every page of a writer.
pub(crate) struct Codec {
    zstd: zstd::bulk::Compressor<'static>,
    /// For the pages of [`Codec::size`].
    trial: Vec<u8>,
    /// The chunk before this one, whose memory serves again.
    chunk: Vec<u8>,
}

impl Codec {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(LEVEL)?, trial: Vec::new(), chunk: Vec::new() })
    }

    pub(crate) fn compression() -> Compression {
        Compression::ZSTD(ZstdLevel::try_new(LEVEL).unwrap_or_default())
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.zstd.compress(bytes).map_err(|error| ParquetError::General(format!("zstd: {error}")))
    }

    /// Bytes that a page would take.
    pub(crate) fn size(&mut self, bytes: &[u8]) -> usize {
        self.trial.clear();
        self.trial.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.zstd.compress_to_buffer(bytes, &mut self.trial).unwrap_or(usize::MAX)
    }
}

/// Least and greatest value of a page in the plain encoding; `None` where a page has no value that can be compared.
pub(crate) type Bounds = Option<(Vec<u8>, Vec<u8>)>;

pub(crate) struct Chunk<'a> {
    column: ColumnDescPtr,
    codec: &'a mut Codec,
    sink: TrackedWrite<Vec<u8>>,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    rows: u64,
    uncompressed: usize,
    dictionary: bool,
    data_offset: Option<u64>,
    encodings: Vec<Encoding>,
    ascending: bool,
}

impl<'a> Chunk<'a> {
    pub(crate) fn new(column: ColumnDescPtr, codec: &'a mut Codec) -> Self {
        let physical: Type = column.physical_type();
        let mut memory = std::mem::take(&mut codec.chunk);
        memory.clear();
        Self {
            column,
            codec,
            sink: TrackedWrite::new(memory),
            index: ColumnIndexBuilder::new(physical),
            offsets: OffsetIndexBuilder::new(),
            rows: 0,
            uncompressed: 0,
            dictionary: false,
            data_offset: None,
            encodings: vec![Encoding::RLE],
            ascending: false,
        }
    }

    /// The pages' bounds never go down.
    pub(crate) fn ascending(mut self) -> Self {
        self.ascending = true;
        self
    }

    /// The dictionary, in the plain encoding; before any page.
    pub(crate) fn dictionary(&mut self, plain: &[u8], entries: usize, sorted: bool) -> Result<()> {
        let buf = Bytes::from(self.codec.compress(plain)?);
        let page =
            Page::DictionaryPage { buf, num_values: entries as u32, encoding: Encoding::PLAIN, is_sorted: sorted };
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, plain.len()))?;
        self.uncompressed += spec.uncompressed_size;
        self.dictionary = true;
        self.encodings.push(Encoding::PLAIN);
        Ok(())
    }

    /// One data page: levels and values as the format wants them.
    pub(crate) fn page(
        &mut self,
        body: &[u8],
        rows: usize,
        nulls: usize,
        encoding: Encoding,
        bounds: Bounds,
    ) -> Result<()> {
        let page = Page::DataPage {
            buf: Bytes::from(self.codec.compress(body)?),
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, body.len()))?;
        self.uncompressed += spec.uncompressed_size;
        self.data_offset.get_or_insert(spec.offset);
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        self.offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        self.offsets.append_row_count(rows as i64);
        match bounds {
            Some((least, greatest)) => self.index.append(false, least, greatest, nulls as i64),
            None if nulls == rows => self.index.append(true, Vec::new(), Vec::new(), nulls as i64),
            // Nothing but NaN: without bounds for each page there is no index.
            None => self.index.to_invalid(),
        }
        self.rows += rows as u64;
        Ok(())
    }

    /// Ends the chunk and puts it into its row group.
    pub(crate) fn append<W: Write + Send>(
        mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        statistics: Statistics,
    ) -> Result<()> {
        self.sink.flush()?;
        let bytes_written = self.sink.bytes_written() as u64;
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Codec::compression())
            .set_encodings(self.encodings)
            .set_total_compressed_size(bytes_written as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(self.data_offset.unwrap_or(0) as i64)
            .set_dictionary_page_offset(self.dictionary.then_some(0))
            .set_statistics(statistics)
            .build()?;
        if self.ascending {
            self.index.set_boundary_order(parquet::basic::BoundaryOrder::ASCENDING);
        }
        let column_index = if self.index.valid() { Some(self.index.build()?) } else { None };
        let close = ColumnCloseResult {
            bytes_written,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offsets.build()),
        };
        let memory = self.sink.into_inner()?;
        group.append_column(&Encoded(&memory), close)?;
        self.codec.chunk = memory;
        Ok(())
    }
}

/// An encoded chunk as Parquet's row groups read it.
struct Encoded<'a>(&'a [u8]);

impl Encoded<'_> {
    fn from(&self, start: u64) -> Result<&[u8]> {
        self.0.get(start as usize..).ok_or_else(|| ParquetError::General("a chunk ends before its page".to_owned()))
    }
}

impl Length for Encoded<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl<'a> ChunkReader for Encoded<'a> {
    type T = &'a [u8];

    fn get_read(&self, start: u64) -> Result<&'a [u8]> {
        Ok(&self.0[self.0.len() - self.from(start)?.len()..])
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        Ok(Bytes::copy_from_slice(&bytes[..length.min(bytes.len())]))
    }
}
