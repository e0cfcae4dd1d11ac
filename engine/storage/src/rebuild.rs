//! The manifest of a dataset made again from its files, where it is lost or damaged: each file says which dataset it is
//! of, which epochs it holds and what its columns are.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::datatypes::{Field, Schema};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::dataset::REVISION;
use crate::manifest::Manifest;
use crate::parquet_file::{Mark, read_mark};

/// The number of the first commit of a dataset.
const FIRST: u64 = 1;

/// What stands in the footer of a file. A decoder meets whatever a disk gives back: a panic of it is an answer too.
///
/// # Errors
/// Why it cannot be read, in words.
pub(crate) fn footer(path: &Path) -> Result<ParquetMetaData, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = || SerializedFileReader::new(file).map(|reader| reader.metadata().clone());
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its footer makes no sense".to_owned()),
    }
}

/// The columns of a file as they were given to its writer.
fn columns(metadata: &ParquetMetaData) -> Option<Schema> {
    let file = metadata.file_metadata();
    let read = || parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
    catch_unwind(AssertUnwindSafe(read)).ok()?.ok()
}

/// A manifest without files, with the columns of these, and whether there was one before: until a first commit is
/// done there is none. `None` where no file is of this dataset. Files that were written before the key stood in them
/// have the key of samples, or that of all columns that are names.
pub(crate) fn manifest(dataset: &str, files: &[PathBuf]) -> Option<(Manifest, bool)> {
    let mut found: Vec<(Mark, Schema)> = Vec::new();
    for path in files {
        let Ok(metadata) = footer(path) else { continue };
        if let Some(mark) = read_mark(&metadata).filter(|mark| mark.dataset == dataset)
            && let Some(schema) = columns(&metadata)
        {
            found.push((mark, schema));
        }
    }
    // The newest says how the columns are now; older ones may have some that are no longer written.
    found.sort_by_key(|(mark, _)| std::cmp::Reverse(mark.sequence));
    let (newest, _) = found.first()?;
    let mut key = newest.key.clone();
    let mut fields: Vec<Field> = Vec::new();
    for field in found.iter().flat_map(|(_, schema)| schema.fields()) {
        match fields.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) if field.is_nullable() && !known.is_nullable() => *known = known.clone().with_nullable(true),
            Some(_) => {}
            // Files of samples have no room for what Arrow says of columns.
            None if field.name() == "tag" && ducto_record::role_of(field).is_none() => {
                fields.push(ducto_record::with_role(field.as_ref().clone(), "tag"));
            }
            None => fields.push(field.as_ref().clone()),
        }
    }
    let corrected = fields.iter().any(|field| field.name() == REVISION);
    if key.is_empty() {
        let names = fields.iter().filter(|field| !corrected || ducto_record::role_of(field).is_some());
        key = names.map(|field| field.name().clone()).filter(|name| corrected || name == "tag").collect();
    }
    let was_there = newest.sequence > FIRST;
    Some((Manifest::of_columns(dataset, &Schema::new(fields), key, corrected), was_there))
}
