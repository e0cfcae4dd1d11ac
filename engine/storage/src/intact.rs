//! Whether a file of a dataset is what its manifest says.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::findings::Fault;
use crate::manifest::FileEntry;
use crate::rebuild::footer;
use crate::recover::measure;

/// How much of a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// That it is there, with its size.
    Size,
    /// Every byte.
    Whole,
    /// Every byte, what it says of itself in its footer, and every page.
    Pages,
}

/// What is wrong with the file at `path`; `None` where it is what was written.
pub(crate) fn fault(path: &Path, file: &FileEntry, depth: Depth) -> Option<Fault> {
    let unreadable = |why: String| Some(Fault::Unreadable { why });
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Some(Fault::Foreign),
        Ok(metadata) if metadata.len() != file.bytes => {
            return Some(Fault::Size { bytes: metadata.len(), expected: file.bytes });
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(Fault::Missing),
        Err(error) => return unreadable(error.to_string()),
    }
    if depth == Depth::Size {
        return None;
    }
    match measure(path) {
        Ok(found) if !file.checksum.is_empty() && found.checksum != file.checksum => return Some(Fault::Checksum),
        Ok(_) => {}
        Err(error) => return unreadable(error.to_string()),
    }
    if depth == Depth::Whole && !file.checksum.is_empty() {
        return None;
    }
    let metadata = match footer(path) {
        Ok(metadata) => metadata,
        Err(why) => return unreadable(why),
    };
    let rows = metadata.file_metadata().num_rows() as u64;
    if rows != file.rows {
        return Some(Fault::Differs { why: format!("{rows} rows, its manifest says {}", file.rows) });
    }
    if let Some(times) = times(&metadata)
        && times != file.times
    {
        return Some(Fault::Differs { why: format!("times {times:?}, its manifest says {:?}", file.times) });
    }
    match decode(path) {
        Ok(decoded) if decoded == rows => None,
        Ok(decoded) => unreadable(format!("its pages hold {decoded} rows of {rows}")),
        Err(why) => unreadable(why),
    }
}

/// Least and greatest time by the statistics of the row groups; `None` where one has none.
fn times(metadata: &ParquetMetaData) -> Option<(i64, i64)> {
    let mut times: Option<(i64, i64)> = None;
    for group in metadata.row_groups() {
        let column = group.columns().iter().find(|column| column.column_path().string() == "time")?;
        let Some(Statistics::Int64(of_group)) = column.statistics() else { return None };
        let (least, greatest) = (*of_group.min_opt()?, *of_group.max_opt()?);
        times = Some(times.map_or((least, greatest), |(first, last)| (first.min(least), last.max(greatest))));
    }
    times
}

/// Rows that its pages hold.
fn decode(path: &Path) -> Result<u64, String> {
    let read = || -> Result<u64, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
        let mut rows = 0;
        for batch in reader.map_err(|error| error.to_string())? {
            rows += batch.map_err(|error| error.to_string())?.num_rows() as u64;
        }
        Ok(rows)
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("its pages make no sense".to_owned()))
}
