//! The check figures out of what the graph stored.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, UInt16Type};
use ducto_record::Checks;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::reference::Figures;

/// The figures of the data sets `history`, `minutes` and `alarms`.
pub(super) fn stored(data: &Path) -> Result<Figures, String> {
    let mut figures = Figures::default();
    each(data, "history", |batch| {
        let checks = batch
            .column_by_name("checks")
            .and_then(|column| column.as_primitive_opt::<UInt16Type>())
            .ok_or("`history` has no checks")?;
        for &checks in checks.values() {
            let checks = Checks(checks);
            figures.n_range += u64::from(checks.contains(Checks::RANGE));
            figures.n_jump += u64::from(checks.contains(Checks::JUMP));
            figures.n_frozen += u64::from(checks.contains(Checks::FROZEN));
        }
        Ok(())
    })?;
    each(data, "minutes", |batch| {
        let averages = batch
            .column_by_name("average")
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
            .ok_or("`minutes` has no averages")?;
        figures.n_windows += averages.len() as u64;
        figures.sum_means += averages.iter().flatten().sum::<f64>();
        Ok(())
    })?;
    each(data, "alarms", |batch| {
        let events = batch.column_by_name("event").ok_or("`alarms` has no events")?;
        let events = cast(events, &DataType::Utf8).map_err(|error| error.to_string())?;
        for event in events.as_string::<i32>().iter().flatten() {
            figures.n_raise += u64::from(event == "raised");
            figures.n_clear += u64::from(event == "returned");
        }
        Ok(())
    })?;
    Ok(figures)
}

/// Bytes of a data set's files.
pub(super) fn bytes(data: &Path, dataset: &str) -> u64 {
    files(&data.join("datasets").join(dataset))
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn each(data: &Path, dataset: &str, mut look: impl FnMut(&RecordBatch) -> Result<(), String>) -> Result<(), String> {
    for path in files(&data.join("datasets").join(dataset)) {
        let said = |error: &dyn std::fmt::Display| format!("`{}` cannot be read back: {error}", path.display());
        let file = File::open(&path).map_err(|error| said(&error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.with_batch_size(65_536).build())
            .map_err(|error| said(&error))?;
        for batch in reader {
            look(&batch.map_err(|error| said(&error))?)?;
        }
    }
    Ok(())
}

/// Parquet files of a folder and the folders in it, staging left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "staging") {
                found.extend(files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}
