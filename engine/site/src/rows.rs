//! Batches as outsiders read them: numbers of tags and assets become their names, rows become JSON objects.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use ducto_record::{Batch, Directory, role_of};
use serde_json::{Map, Value as Json};

use crate::live::Shared;

/// A batch with names in place of the numbers of tags and assets.
pub(crate) fn named(batch: &Batch, directory: &Directory) -> Result<RecordBatch, ArrowError> {
    match batch {
        Batch::Samples(samples) => named_rows(&samples.record_batch(), directory),
        Batch::Rows(rows) => named_rows(rows, directory),
    }
}

pub(crate) fn named_rows(rows: &RecordBatch, directory: &Directory) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let name_of: Option<fn(&Directory, u32) -> &str> = match role_of(field) {
            Some("tag") => Some(Directory::tag_name),
            Some("asset") => Some(Directory::asset_name),
            _ => None,
        };
        match (name_of, column.as_primitive_opt::<UInt32Type>()) {
            (Some(name_of), Some(numbers)) => {
                columns.push(names(numbers, |number| name_of(directory, number)));
                let named = Field::new(field.name(), DataType::Utf8, field.is_nullable());
                fields.push(Arc::new(named.with_metadata(field.metadata().clone())));
            }
            _ => {
                columns.push(column.clone());
                fields.push(field.clone());
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), columns)
}

fn names<'a>(numbers: &UInt32Array, name_of: impl Fn(u32) -> &'a str) -> ArrayRef {
    Arc::new(numbers.iter().map(|number| number.map(&name_of)).collect::<StringArray>())
}

/// Rows as JSON objects; what is null stays there as null.
pub(crate) fn objects(rows: &RecordBatch) -> Result<Vec<Map<String, Json>>, ArrowError> {
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|error| ArrowError::JsonError(error.to_string())))
        .collect()
}

/// As [`objects`], and what is known of the tag of each row: `unit`, `description` (by language).
pub(crate) fn described_objects(
    rows: &RecordBatch,
    directory: &Directory,
) -> Result<Vec<Map<String, Json>>, ArrowError> {
    let tag_column = rows.schema().fields().iter().position(|field| role_of(field) == Some("tag"));
    let tags = tag_column.and_then(|column| rows.column(column).as_primitive_opt::<UInt32Type>().cloned());
    let mut objects = objects(&named_rows(rows, directory)?)?;
    if let Some(tags) = tags {
        for (row, object) in objects.iter_mut().enumerate().filter(|(row, _)| tags.is_valid(*row)) {
            let Some(tag) = directory.tag(tags.value(row)) else { continue };
            if let Some(unit) = &tag.unit {
                object.insert("unit".to_owned(), Json::from(&*unit.symbol));
            }
            if !tag.description.is_empty() {
                let texts =
                    tag.description.iter().map(|(language, text)| (language.clone(), Json::from(text.as_str())));
                object.insert("description".to_owned(), Json::Object(texts.collect()));
            }
        }
    }
    Ok(objects)
}

/// The rows of every view with this name, each with its pipeline and node; `None` once the site is stopping.
pub(crate) fn of_view(shared: &Shared, name: &str) -> Option<Result<Vec<Map<String, Json>>, ArrowError>> {
    let views = shared.with(ducto_runtime::RunningSite::views)?;
    let mut found = Vec::new();
    for (pipeline, node, view) in views.iter().filter(|(_, _, view)| **view.name() == *name) {
        let objects = match view.rows().and_then(|rows| described_objects(&rows, &shared.site.directory)) {
            Ok(objects) => objects,
            Err(error) => return Some(Err(error)),
        };
        found.extend(objects.into_iter().map(|mut object| {
            object.insert("pipeline".to_owned(), Json::from(&**pipeline));
            object.insert("node".to_owned(), Json::from(&**node));
            object
        }));
    }
    Some(Ok(found))
}
