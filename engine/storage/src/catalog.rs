//! `tags.parquet` and `views.sql` beside the data: what tags mean, and views that any DuckDB can load.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use ducto_record::{Directory, Tag, TagId};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::dataset::REVISION;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::folder::{DataFolder, dataset_names};
use crate::manifest::Manifest;

/// Name of the table of tags, in its file and in queries.
pub const TAGS: &str = "tags";

/// Columns of the table of tags that every site has; others are columns of the assets table and further languages.
const COLUMNS: [&str; 10] =
    ["tag", "asset", "variable", "kind", "unit", "area", "value_kind", "dataset", "description_es", "description_en"];

/// The tags of a directory as a table of texts, sorted by name: tag, asset, variable, kind (of the asset), unit, area,
/// value_kind, dataset, descriptions by language, and the other columns of the assets.
///
/// # Errors
/// Never for a directory that was built; the type is Arrow's.
pub fn tags_table(
    directory: &Directory,
    dataset_of: impl Fn(TagId) -> Option<String>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut tags: Vec<(TagId, &Tag)> = (0..).zip(directory.tags()).collect();
    tags.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let mut names: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    let languages = tags.iter().flat_map(|(_, tag)| tag.description.keys().map(|language| describes(language)));
    let of_assets = directory.assets().iter().flat_map(|asset| asset.columns.keys().cloned());
    for name in languages.chain(of_assets).collect::<BTreeSet<_>>() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let columns = names.iter().map(|name| {
        let texts = tags.iter().map(|(id, tag)| {
            let asset = directory.asset_of(*id);
            match name.as_str() {
                "tag" => Some(tag.name.to_string()),
                "asset" => asset.map(|asset| asset.name.to_string()),
                "variable" => Some(tag.variable.to_string()),
                "kind" => asset.map(|asset| asset.kind.to_string()),
                "unit" => tag.unit.as_ref().map(|unit| unit.symbol.to_string()),
                "value_kind" => Some(tag.kind.name().to_owned()),
                "dataset" => dataset_of(*id),
                other => tag
                    .description
                    .iter()
                    .find(|(language, _)| describes(language) == other)
                    .map(|(_, text)| text.clone())
                    .or_else(|| asset?.columns.get(other).cloned()),
            }
        });
        Arc::new(texts.collect::<StringArray>()) as ArrayRef
    });
    let fields = names.iter().map(|name| Field::new(name, DataType::Utf8, name != "tag" && name != "variable"));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.collect())
}

fn describes(language: &str) -> String {
    format!("description_{language}")
}

/// Writes `tags.parquet` and `views.sql`. To be called when a site starts and when its tags change; views of
/// datasets that have no file yet are added by their first commit.
///
/// # Errors
/// When a manifest cannot be read or a file cannot be written.
pub fn write_catalog(
    folder: &DataFolder,
    directory: &Directory,
    dataset_of: impl Fn(TagId) -> Option<String>,
) -> Result<(), StorageError> {
    let path = folder.path().join("tags.parquet");
    let arrow = |source| StorageError::Arrow { dataset: TAGS.to_owned(), source };
    let table = tags_table(directory, dataset_of).map_err(arrow)?;
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .build();
    let encode = || -> Result<Vec<u8>, parquet::errors::ParquetError> {
        let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties))?;
        writer.write(&table)?;
        writer.into_inner()
    };
    let bytes = encode().map_err(|source| StorageError::Encode { path: path.clone(), source })?;
    folder.disk().replace(&path, &bytes)?;
    write_views(folder.disk(), folder.path())
}

/// Writes `views.sql` for the datasets that have files.
pub(crate) fn write_views(disk: &Disk, data: &Path) -> Result<(), StorageError> {
    // The writers of several datasets may have their first commit at once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut manifests = BTreeMap::new();
    for name in dataset_names(data)? {
        if let Some(manifest) = Manifest::load(data, &name)?.filter(|manifest| !manifest.files.is_empty()) {
            manifests.insert(name, manifest);
        }
    }
    let text = views(manifests.values(), data.join("tags.parquet").exists());
    Ok(disk.replace(&data.join("views.sql"), text.as_bytes())?)
}

fn views<'a>(manifests: impl Iterator<Item = &'a Manifest>, tags: bool) -> String {
    let mut text = "-- Written by Ducto, and again when datasets or tags change.\n\
                    -- In this folder: duckdb -init views.sql\n"
        .to_owned();
    if tags {
        text.push_str("\nCREATE OR REPLACE VIEW tags AS SELECT * FROM read_parquet('tags.parquet');\n");
    }
    for manifest in manifests {
        let name = &manifest.dataset;
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        // Only rows can get columns later, and looking into every file for them takes its time.
        let by_name = if manifest.corrected { ", union_by_name = true" } else { "" };
        let all = if manifest.corrected { format!("{name}_revisions") } else { name.clone() };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\nCREATE OR REPLACE VIEW {all} AS SELECT * FROM read_parquet('datasets/{name}/*/*/*.parquet', \
             hive_partitioning = true{by_name});"
        );
        if manifest.corrected {
            let key = manifest.key.iter().map(quoted).chain(["\"time\"".to_owned()]).collect::<Vec<_>>().join(", ");
            let _ = writeln!(
                text,
                "CREATE OR REPLACE VIEW {name} AS SELECT * FROM {all} \
                 QUALIFY {REVISION} >= coalesce(\
                 max({REVISION}) FILTER (WHERE {REVISION} % 2 = 1) OVER (PARTITION BY {key}), 0) \
                 AND {REVISION} % 4 <> 3;"
            );
        }
        let schema = manifest.schema();
        if tags && schema.field_with_name("tag").is_ok_and(|field| *field.data_type() == DataType::Utf8) {
            let shared: Vec<&str> =
                COLUMNS.into_iter().filter(|column| schema.field_with_name(column).is_ok()).collect();
            let _ = writeln!(
                text,
                "CREATE OR REPLACE VIEW {name}_with_tags AS SELECT rows.*, tags.* EXCLUDE ({}) \
                 FROM {name} AS rows LEFT JOIN tags USING (tag);",
                shared.join(", ")
            );
        }
    }
    text
}
