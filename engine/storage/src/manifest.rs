//! The manifest of a dataset: which files make it up, and up to which epoch it holds rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ducto_record::{Micros, ROLE, UNIT};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::dataset::DatasetSchema;
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::findings::Fault;
use crate::hour::Hour;
use crate::intact::{Depth, fault};
use crate::segments::{self, Segment, Weeks};

const FORMAT: u32 = 1;

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Written by one commit.
    Commit,
    /// Merged from all files of an hour.
    Hour,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the dataset's folder: `date=2026-01-01/hour=00/hour-17.parquet`.
    pub path: String,
    pub level: Level,
    pub rows: u64,
    pub bytes: u64,
    /// XXH3, 64 bits, of the whole file, in hexadecimal. Empty where the manifest was made again from the files and
    /// nobody has read them whole since.
    pub checksum: String,
    /// First and last epoch of its rows.
    pub epochs: (u64, u64),
    /// Least and greatest time of its rows.
    pub times: (Micros, Micros),
    /// Engine time of the commit or merge.
    pub written: Micros,
    /// It has rows that hide earlier ones.
    #[serde(default)]
    pub revised: bool,
}

impl FileEntry {
    /// Whether the file at `path` is what was written, by its checksum.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_intact(&self, path: &Path) -> Result<bool, StorageError> {
        match fault(path, self, Depth::Whole) {
            Some(Fault::Missing) => Err(FileError::new("open", path, std::io::ErrorKind::NotFound.into()).into()),
            found => Ok(found.is_none()),
        }
    }

    pub(crate) fn hour(&self) -> Hour {
        Hour::parse(&self.path).unwrap_or_else(|| Hour::of(self.times.0))
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A column as the manifest writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// The state of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub dataset: String,
    columns: Vec<Column>,
    /// The columns that, with `time`, name a row.
    pub key: Vec<String>,
    /// Rows can be corrected: `revision` orders their versions.
    pub corrected: bool,
    /// Every row of epochs up to this one is in the files.
    pub held: u64,
    /// Number of the next file; grows with every commit and merge.
    pub(crate) sequence: u64,
    /// Sorted by path.
    pub files: Vec<FileEntry>,
    /// Where the files of older weeks are listed; only in what is saved.
    #[serde(default)]
    segments: Vec<Segment>,
    #[serde(skip)]
    weeks: Weeks,
    /// Files and folders, from the data folder, that this state no longer needs and that may still be there.
    #[serde(default)]
    pub(crate) garbage: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    checksum: String,
    manifest: serde_json::Value,
}

impl Manifest {
    pub(crate) fn new(dataset: &str, schema: &DatasetSchema) -> Self {
        Self::of_columns(dataset, &schema.stored(), schema.key(), matches!(schema, DatasetSchema::Rows(_)))
    }

    /// One without files.
    pub(crate) fn of_columns(dataset: &str, columns: &Schema, key: Vec<String>, corrected: bool) -> Self {
        Self {
            dataset: dataset.to_owned(),
            columns: columns_of(columns),
            key,
            corrected,
            held: 0,
            sequence: 1,
            files: Vec::new(),
            segments: Vec::new(),
            weeks: Weeks::new(),
            garbage: Vec::new(),
        }
    }

    /// The columns of the files; a file from before a column was added lacks it, which reads as null.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| {
            let data_type = column.data_type.parse::<DataType>().unwrap_or(DataType::Utf8);
            let mut metadata = std::collections::HashMap::new();
            metadata.extend(column.unit.iter().map(|unit| (UNIT.to_owned(), unit.clone())));
            metadata.extend(column.role.iter().map(|role| (ROLE.to_owned(), role.clone())));
            Field::new(&column.name, data_type, column.nullable).with_metadata(metadata)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Takes over the columns of a configuration: new ones are added, the others keep their type.
    pub(crate) fn adopt_schema(&mut self, schema: &DatasetSchema) -> Result<(), StorageError> {
        let refuse = |what: String| Err(StorageError::Schema { dataset: self.dataset.clone(), what });
        if self.corrected != matches!(schema, DatasetSchema::Rows(_)) {
            return refuse(format!("its files hold {}", if self.corrected { "rows" } else { "samples" }));
        }
        if self.key != schema.key() {
            return refuse(format!("its key is {:?}, not {:?}", self.key, schema.key()));
        }
        let mut columns = columns_of(&schema.stored());
        for old in &self.columns {
            match columns.iter_mut().find(|new| new.name == old.name) {
                Some(new) if new.data_type != old.data_type => {
                    return refuse(format!("its column `{}` is {}, not {}", old.name, old.data_type, new.data_type));
                }
                Some(new) if new.unit != old.unit => {
                    let unit = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "no unit".to_owned());
                    return refuse(format!(
                        "its column `{}` is in {}, not in {}",
                        old.name,
                        unit(&old.unit),
                        unit(&new.unit)
                    ));
                }
                Some(new) => new.nullable |= old.nullable,
                None => columns.push(Column { nullable: true, ..old.clone() }),
            }
        }
        for new in &mut columns {
            new.nullable |= !self.columns.iter().any(|old| old.name == new.name);
        }
        self.columns = columns;
        Ok(())
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Reads the manifest of a dataset; `None` where there is none. Takes no lock: its files are only ever replaced
    /// whole.
    ///
    /// # Errors
    /// When it cannot be read, is of a newer format, or its checksum does not fit.
    pub fn load(data: &Path, dataset: &str) -> Result<Option<Self>, StorageError> {
        const ATTEMPTS: usize = 10;
        for _ in 0..ATTEMPTS {
            let Some(mut manifest) = Self::load_recent(data, dataset)? else { return Ok(None) };
            let segments = std::mem::take(&mut manifest.segments);
            // A list of an older week that is gone was replaced after the manifest was read.
            if let Some(weeks) = segments::read(data, dataset, &segments)? {
                let older: Vec<FileEntry> = segments::files(&weeks).cloned().collect();
                manifest.files.splice(0..0, older);
                manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
                manifest.weeks = weeks;
                return Ok(Some(manifest));
            }
        }
        let what = "a list of an older week that it names is missing".to_owned();
        Err(StorageError::Damaged { path: path(data, dataset), what })
    }

    fn load_recent(data: &Path, dataset: &str) -> Result<Option<Self>, StorageError> {
        let path = path(data, dataset);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        };
        let damaged = |what: String| StorageError::Damaged { path: path.clone(), what };
        let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let text = envelope.manifest.to_string();
        let found = sum(envelope.format, &text);
        // Manifests from before do not have their format in the sum.
        if found != envelope.checksum && (envelope.format > 1 || checksum(text.as_bytes()) != envelope.checksum) {
            return Err(damaged(format!("its checksum is {found}, and it names {}", envelope.checksum)));
        }
        if envelope.format > FORMAT {
            return Err(StorageError::Version { path, found: envelope.format.to_string(), known: FORMAT });
        }
        serde_json::from_value(envelope.manifest).map(Some).map_err(|error| damaged(error.to_string()))
    }

    pub(crate) fn save(&mut self, disk: &Disk, data: &Path) -> Result<(), StorageError> {
        let path = path(data, &self.dataset);
        let (recent, weeks) = segments::write(disk, data, &self.dataset, &self.files, &self.weeks)?;
        let encode = |error: serde_json::Error| StorageError::Damaged { path: path.clone(), what: error.to_string() };
        let all = std::mem::replace(&mut self.files, recent);
        self.segments = segments::names(&weeks);
        let manifest = serde_json::to_value(&*self).map_err(encode);
        self.files = all;
        self.segments = Vec::new();
        let manifest = manifest?;
        let checksum = sum(FORMAT, &manifest.to_string());
        let bytes = serde_json::to_vec(&Envelope { format: FORMAT, checksum, manifest }).map_err(encode)?;
        disk.replace(&path, &bytes)?;
        let changed = self.weeks != weeks;
        self.weeks = weeks;
        if changed {
            segments::clean(disk, data, &self.dataset, &self.weeks);
        }
        Ok(())
    }
}

/// The checksum of a manifest. Its format is in it: a flipped bit must not look like a newer build's.
fn sum(format: u32, manifest: &str) -> String {
    checksum(format!("{format} {manifest}").as_bytes())
}

pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

pub(crate) fn path(data: &Path, dataset: &str) -> PathBuf {
    data.join("manifests").join(format!("{dataset}.json"))
}

fn columns_of(schema: &Schema) -> Vec<Column> {
    schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
            unit: ducto_record::field_unit(field).map(str::to_owned),
            role: ducto_record::role_of(field).map(str::to_owned),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducto_record::{RowType, ValueKind, with_role, with_unit};

    fn rows(extra: &[Field]) -> DatasetSchema {
        let mut own = vec![
            with_role(Field::new("tag", DataType::UInt32, false), "tag"),
            with_unit(Field::new("mean", DataType::Float64, true), "psig"),
        ];
        own.extend_from_slice(extra);
        DatasetSchema::Rows(RowType::new(own, &["tag"]))
    }

    #[test]
    fn the_schema_survives_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("manifests")).unwrap();
        for schema in [DatasetSchema::Samples(ValueKind::Bool), rows(&[])] {
            let mut manifest = Manifest::new("minutes", &schema);
            manifest.save(&Disk::default(), folder.path()).unwrap();
            let read = Manifest::load(folder.path(), "minutes").unwrap().unwrap();
            assert_eq!(read, manifest);
            assert_eq!(read.schema(), schema.stored());
        }
    }

    #[test]
    fn older_weeks_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("manifests")).unwrap();
        let mut manifest = Manifest::new("minutes", &rows(&[]));
        let entry = |hour: i64| FileEntry {
            path: format!("{}/commit-1-1.parquet", Hour(hour).folder()),
            level: Level::Commit,
            rows: 1,
            bytes: 1,
            checksum: String::new(),
            epochs: (1, 1),
            times: (0, 0),
            written: 0,
            revised: false,
        };
        manifest.files = (490_000..492_000).map(entry).collect();
        manifest.save(&Disk::default(), folder.path()).unwrap();
        let lists = || {
            let entries = std::fs::read_dir(folder.path().join("manifests").join("minutes")).unwrap();
            let list = |entry: std::fs::DirEntry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap());
            entries.map(|entry| list(entry.unwrap())).collect::<std::collections::BTreeMap<_, _>>()
        };
        let first = lists();
        assert!(first.len() >= 10, "{first:?}");
        let size = std::fs::metadata(path(folder.path(), "minutes")).unwrap().len();
        assert!(size < 150_000, "the manifest itself has {size} bytes");
        assert_eq!(Manifest::load(folder.path(), "minutes").unwrap().unwrap(), manifest);
        // A late file in an old week, and an old hour that is removed.
        manifest.files.insert(301, FileEntry { path: format!("{}/late.parquet", Hour(490_300).folder()), ..entry(0) });
        manifest.files.remove(1000);
        manifest.save(&Disk::default(), folder.path()).unwrap();
        let second = lists();
        assert_eq!(second.len(), first.len());
        let same = first.iter().filter(|(name, modified)| second.get(*name) == Some(modified)).count();
        assert_eq!(same, first.len() - 2);
        assert_eq!(Manifest::load(folder.path(), "minutes").unwrap().unwrap(), manifest);
    }

    #[test]
    fn a_flipped_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("manifests")).unwrap();
        Manifest::new("minutes", &rows(&[])).save(&Disk::default(), folder.path()).unwrap();
        let path = path(folder.path(), "minutes");
        let text = std::fs::read_to_string(&path).unwrap().replace("\"held\":0", "\"held\":7");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Manifest::load(folder.path(), "minutes"), Err(StorageError::Damaged { .. })));
    }

    #[test]
    fn columns_may_be_added_and_not_changed() {
        let mut manifest = Manifest::new("minutes", &rows(&[]));
        manifest.adopt_schema(&rows(&[Field::new("last", DataType::Float64, false)])).unwrap();
        assert!(manifest.schema().field_with_name("last").unwrap().is_nullable());
        manifest.adopt_schema(&rows(&[])).unwrap();
        assert!(manifest.schema().field_with_name("last").is_ok(), "a column that is no longer written stays");
        let error = manifest.adopt_schema(&rows(&[Field::new("last", DataType::Int64, true)])).unwrap_err();
        assert!(error.to_string().contains("`last` is Float64, not Int64"), "{error}");
        assert!(manifest.adopt_schema(&DatasetSchema::Samples(ValueKind::Float64)).is_err());
    }
}
