//! Rows of a commit, or all files of an hour, into new files and a plan that puts them in place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;
use ducto_record::{ValueKind, Values};

use crate::dataset::{DatasetConfig, DatasetSchema, REVISION, corrects};
use crate::disk::Disk;
use crate::error::{FileError, StorageError};
use crate::folder::dataset_path;
use crate::historian::Sealed;
use crate::hour::Hour;
use crate::manifest::{FileEntry, Level, Manifest};
use crate::order::{Merge, Order};
use crate::parquet_file::{
    Finished, GROUP_ROWS, KeptColumns, Mark, RowFile, SampleColumns, SampleFile, Scratch, StoredValue,
};
use crate::plan::{Plan, Step};
use crate::sort::{self, HourRows, Names};
use crate::stored;

/// Rows of a page in files that will be merged soon, and in files of an hour: one tag at 1 Hz fills one there.
const COMMIT_PAGE: usize = 1 << 14;
const HOUR_PAGE: usize = 1 << 11;

/// Writes the files of one dataset.
pub(crate) struct FileWriter {
    config: DatasetConfig,
    disk: Disk,
    data: PathBuf,
    scratch: Scratch,
    names: Names,
    kept: KeptColumns,
}

/// A file that is written and not yet in place.
struct Part {
    staged: PathBuf,
    mark: Mark,
    rows: u64,
    finished: Finished,
}

impl FileWriter {
    pub(crate) fn new(config: DatasetConfig, disk: &Disk, data: &Path) -> Result<Self, StorageError> {
        let scratch = Scratch::new().map_err(|error| FileError::new("prepare zstd for", data, error))?;
        Ok(Self {
            config,
            disk: disk.clone(),
            data: data.to_owned(),
            scratch,
            names: Names::default(),
            kept: KeptColumns::default(),
        })
    }

    fn live(&self) -> PathBuf {
        dataset_path(&self.data, &self.config.name)
    }

    fn staging(&self) -> PathBuf {
        self.data.join("staging").join(&self.config.name)
    }

    /// Writes sealed commits as one, a file an hour, and plans to put them in place.
    pub(crate) fn commit(&mut self, sealed: &[Sealed], manifest: &Manifest) -> Result<Plan, StorageError> {
        let folder = self.staging().join(format!("commit-{}", manifest.sequence));
        // An attempt that failed may have left some.
        self.disk.remove_folder(&folder)?;
        self.disk.create_folder(&folder)?;
        let mark = Mark {
            dataset: self.config.name.clone(),
            level: Level::Commit,
            sequence: manifest.sequence,
            part: (0, 0),
            epochs: (0, 0),
            held: sealed.last().map_or(manifest.held, |sealed| sealed.epoch),
            times: (0, 0),
            written: sealed.last().map_or(0, |sealed| sealed.engine_time),
            revised: false,
            replaces: Vec::new(),
            key: manifest.key.clone(),
        };
        let parts = match self.config.schema {
            DatasetSchema::Samples(ValueKind::Float64) => self.sample_parts::<f64>(&folder, sealed, &mark),
            DatasetSchema::Samples(ValueKind::Int64) => self.sample_parts::<i64>(&folder, sealed, &mark),
            DatasetSchema::Samples(ValueKind::Bool) => self.sample_parts::<bool>(&folder, sealed, &mark),
            DatasetSchema::Samples(ValueKind::Text) => self.sample_parts::<Box<str>>(&folder, sealed, &mark),
            DatasetSchema::Rows(_) => self.row_parts(&folder, sealed, &mark, &manifest.schema()),
        }?;
        let mut next = manifest.clone();
        next.sequence += 1;
        next.held = mark.held;
        let mut steps = vec![Step::Sync(folder.clone())];
        for part in parts {
            let entry = entry_of(&part.mark, part.rows, part.finished);
            let to = self.live().join(&entry.path);
            let hour = self.live().join(entry.hour().folder());
            steps.extend([Step::Folder(hour.clone()), Step::Rename(part.staged, to), Step::Sync(hour)]);
            insert(&mut next.files, entry);
        }
        steps.push(Step::Save);
        steps.push(Step::Remove(Vec::new(), vec![folder]));
        Ok(Plan { steps: steps.into(), manifest: next })
    }

    fn sample_parts<T: StoredValue>(
        &mut self,
        folder: &Path,
        sealed: &[Sealed],
        mark: &Mark,
    ) -> Result<Vec<Part>, StorageError> {
        sealed.iter().for_each(|sealed| self.names.update(&sealed.rows));
        let hours = sort::by_hour(sealed.iter().flat_map(|sealed| sealed.rows.iter()), &self.names);
        let of = hours.len();
        let mut parts = Vec::with_capacity(of);
        for (part, mut hour) in hours.into_iter().enumerate() {
            hour.count(&self.names);
            let mark = Mark { part: (part, of), epochs: hour.epochs, times: hour.times, ..mark.clone() };
            parts.push(self.sample_part::<T>(folder, &hour, mark)?);
        }
        Ok(parts)
    }

    fn sample_part<T: StoredValue>(
        &mut self,
        folder: &Path,
        hour: &HourRows<'_>,
        mark: Mark,
    ) -> Result<Part, StorageError> {
        let staged = folder.join(format!("{}.part", mark.part.0));
        let mut file = SampleFile::create(&self.disk, &staged, T::KIND, COMMIT_PAGE)?;
        let columns = T::columns(&mut self.kept);
        for ranks in hour.groups(GROUP_ROWS) {
            hour.fill(&self.names, ranks, columns);
            file.group(columns, &mut self.scratch)?;
        }
        let rows = file.rows();
        Ok(Part { staged, finished: file.finish(&mark)?, rows, mark })
    }

    fn row_parts(
        &mut self,
        folder: &Path,
        sealed: &[Sealed],
        mark: &Mark,
        columns: &SchemaRef,
    ) -> Result<Vec<Part>, StorageError> {
        let name = self.config.name.clone();
        let arrow = |source| StorageError::Arrow { dataset: name.clone(), source };
        let appended = sealed.iter().flat_map(|sealed| sealed.rows.iter());
        let batches = stored::batches(&name, &self.config.schema, columns, appended)?;
        let all = concat_batches(columns, &batches).map_err(arrow)?;
        drop(batches);
        let epochs = sealed.iter().flat_map(|sealed| sealed.rows.iter().map(|appended| appended.epoch));
        let epochs = epochs.fold((u64::MAX, 0), |(first, last), epoch| (first.min(epoch), last.max(epoch)));
        let order = Order::new(columns, &self.config.schema.key()).map_err(arrow)?;
        let hours = rows_by_hour(&all);
        let of = hours.len();
        let mut parts = Vec::with_capacity(of);
        for (part, rows) in hours.into_values().enumerate() {
            let rows = take_record_batch(&all, &UInt32Array::from(rows)).and_then(|rows| order.sort(&rows));
            let rows = rows.map_err(arrow)?;
            let staged = folder.join(format!("{part}.part"));
            let mark = Mark { part: (part, of), epochs, times: times(&rows), revised: revised(&rows), ..mark.clone() };
            let mut file = RowFile::create(&self.disk, &staged, columns.clone(), &rows)?;
            file.write(&rows)?;
            parts.push(Part { staged, rows: file.rows(), finished: file.finish(&mark)?, mark });
        }
        Ok(parts)
    }

    fn merge_folder(&self, manifest: &Manifest) -> PathBuf {
        self.staging().join(format!("hour-{}", manifest.sequence))
    }

    /// Removes what a merge that is given up had written.
    pub(crate) fn discard_merge(&self, manifest: &Manifest) {
        if let Err(error) = self.disk.remove_folder(&self.merge_folder(manifest)) {
            tracing::warn!(%error, "the rest of a merge stays until the next start");
        }
    }

    /// Merges the files of an hour into one, in a folder that a plan exchanges with the hour's own.
    pub(crate) fn merge(&mut self, hour: Hour, written: i64, manifest: &Manifest) -> Result<Plan, StorageError> {
        let folder = self.merge_folder(manifest);
        self.disk.remove_folder(&folder)?;
        self.disk.create_folder(&folder)?;
        let (old, kept): (Vec<_>, Vec<_>) = manifest.files.iter().cloned().partition(|file| file.hour() == hour);
        let fold = |pick: fn(&FileEntry) -> (i64, i64)| {
            old.iter().map(pick).fold((i64::MAX, i64::MIN), |(a, b), (first, last)| (a.min(first), b.max(last)))
        };
        let epochs = old.iter().fold((u64::MAX, 0), |(a, b), file| (a.min(file.epochs.0), b.max(file.epochs.1)));
        let mark = Mark {
            dataset: self.config.name.clone(),
            level: Level::Hour,
            sequence: manifest.sequence,
            part: (0, 1),
            epochs,
            held: manifest.held,
            times: fold(|file| file.times),
            written,
            revised: old.iter().any(|file| file.revised),
            replaces: old.iter().map(|file| file.path.clone()).collect(),
            key: manifest.key.clone(),
        };
        let staged = folder.join(file_name(&mark));
        // In the order they were written, so that rows of one tag and time stay in theirs.
        let mut sources: Vec<&FileEntry> = old.iter().collect();
        sources.sort_by_key(|file| (file.level == Level::Commit, file.written, file.epochs));
        let paths: Vec<PathBuf> = sources.iter().map(|file| self.live().join(&file.path)).collect();
        let schema = manifest.schema();
        let mut merge = Merge::open(&self.config.name, &paths, &schema, &manifest.key)?;
        let (rows, finished) = match self.config.schema {
            DatasetSchema::Samples(ValueKind::Float64) => self.merge_samples::<f64>(&staged, &mut merge, &mark),
            DatasetSchema::Samples(ValueKind::Int64) => self.merge_samples::<i64>(&staged, &mut merge, &mark),
            DatasetSchema::Samples(ValueKind::Bool) => self.merge_samples::<bool>(&staged, &mut merge, &mark),
            DatasetSchema::Samples(ValueKind::Text) => self.merge_samples::<Box<str>>(&staged, &mut merge, &mark),
            DatasetSchema::Rows(_) => self.merge_rows(&staged, &mut merge, &mark, &schema),
        }?;
        let expected: u64 = old.iter().map(|file| file.rows).sum();
        if rows != expected {
            let what = format!("the files of {} hold {rows} rows, and the manifest says {expected}", hour.folder());
            return Err(StorageError::Damaged { path: self.live().join(hour.folder()), what });
        }
        let mut next = manifest.clone();
        next.files = kept;
        next.sequence += 1;
        insert(&mut next.files, entry_of(&mark, rows, finished));
        let live = self.live().join(hour.folder());
        let parent = live.parent().map(Path::to_owned).unwrap_or_default();
        let steps = [
            Step::Sync(folder.clone()),
            Step::Exchange(folder.clone(), live),
            Step::Sync(parent),
            Step::Sync(self.staging()),
            Step::Save,
            Step::Remove(old.iter().map(|file| folder.join(file.name())).collect(), vec![folder]),
        ];
        Ok(Plan { steps: steps.into(), manifest: next })
    }

    fn merge_samples<T: StoredValue>(
        &mut self,
        staged: &Path,
        merge: &mut Merge,
        mark: &Mark,
    ) -> Result<(u64, Finished), StorageError> {
        let mut file = SampleFile::create(&self.disk, staged, T::KIND, HOUR_PAGE)?;
        let columns = T::columns(&mut self.kept);
        columns.clear();
        while let Some(slice) = merge.next()? {
            let complete = columns.len() >= GROUP_ROWS;
            if complete && (columns.len() >= 2 * GROUP_ROWS || !columns.continues(&slice)) {
                file.group(columns, &mut self.scratch)?;
                columns.clear();
            }
            columns.extend(&slice);
        }
        file.group(columns, &mut self.scratch)?;
        columns.clear();
        Ok((file.rows(), file.finish(mark)?))
    }

    fn merge_rows(
        &mut self,
        staged: &Path,
        merge: &mut Merge,
        mark: &Mark,
        schema: &SchemaRef,
    ) -> Result<(u64, Finished), StorageError> {
        const BLOCK: usize = 1 << 14;
        let arrow = |source: ArrowError| StorageError::Arrow { dataset: mark.dataset.clone(), source };
        let mut file: Option<RowFile> = None;
        let (mut slices, mut held) = (Vec::new(), 0);
        loop {
            let slice = merge.next()?;
            let last = slice.is_none();
            held += slice.as_ref().map_or(0, RecordBatch::num_rows);
            slices.extend(slice);
            if last || held >= BLOCK {
                let block = concat_batches(schema, &slices).map_err(arrow)?;
                let file = match &mut file {
                    Some(file) => file,
                    none => none.insert(RowFile::create(&self.disk, staged, schema.clone(), &block)?),
                };
                file.write(&block)?;
                slices.clear();
                held = 0;
            }
            if last {
                break;
            }
        }
        let Some(file) = file else { return Err(StorageError::Stopped { dataset: mark.dataset.clone() }) };
        Ok((file.rows(), file.finish(mark)?))
    }

    /// Plans to remove the oldest hours that `keep` does not allow: rows by age, rows by size, and the plan.
    pub(crate) fn expire(&self, now: i64, manifest: &Manifest) -> Option<(u64, u64, Plan)> {
        let keep = self.config.keep;
        let mut hours: BTreeMap<Hour, (u64, u64)> = BTreeMap::new();
        for file in &manifest.files {
            let (bytes, rows) = hours.entry(file.hour()).or_default();
            *bytes += file.bytes;
            *rows += file.rows;
        }
        let mut total: u64 = hours.values().map(|(bytes, _)| bytes).sum();
        let (mut by_age, mut by_size, mut gone) = (0, 0, Vec::new());
        let newest = hours.keys().next_back().copied();
        for (hour, (bytes, rows)) in hours {
            if keep.age.is_some_and(|age| hour.end().saturating_add(age) <= now) {
                by_age += rows;
            } else if Some(hour) != newest && keep.size.is_some_and(|size| total > size) {
                by_size += rows;
            } else {
                break;
            }
            total -= bytes;
            gone.push(hour);
        }
        if gone.is_empty() {
            return None;
        }
        let mut next = manifest.clone();
        let (old, kept) = next.files.into_iter().partition(|file| gone.contains(&file.hour()));
        next.files = kept;
        let old: Vec<FileEntry> = old;
        next.garbage = old.iter().map(|file| format!("datasets/{}/{}", self.config.name, file.path)).collect();
        let mut folders: Vec<PathBuf> = gone.iter().map(|hour| self.live().join(hour.folder())).collect();
        folders.extend(folders.clone().iter().filter_map(|folder| folder.parent()).map(Path::to_owned));
        let files = old.iter().map(|file| self.live().join(&file.path)).collect();
        let steps = [Step::Save, Step::Remove(files, folders)];
        Some((by_age, by_size, Plan { steps: steps.into(), manifest: next }))
    }
}

impl<T: StoredValue> SampleColumns<T> {
    /// Whether the rows of a slice begin with the tag that this ends with.
    fn continues(&self, slice: &RecordBatch) -> bool {
        let tags = slice.column(1).as_string_opt::<i32>();
        let first = tags.filter(|tags| !tags.is_empty()).map(|tags| tags.value(0));
        self.runs.last().map(|(name, _)| &**name) == first
    }

    /// Takes in rows that follow in order, in the columns of samples.
    fn extend(&mut self, slice: &RecordBatch) {
        let before = self.len();
        let rows = slice.num_rows();
        let tags = slice.column(1).as_string::<i32>();
        let mut start = 0;
        while start < rows {
            let name = tags.value(start);
            let end = (start + 1..rows).find(|row| tags.value(*row) != name).unwrap_or(rows);
            match self.runs.last_mut() {
                Some((last, count)) if **last == *name => *count += end - start,
                _ => self.runs.push((name.into(), end - start)),
            }
            start = end;
        }
        self.times.extend_from_slice(slice.column(0).as_primitive::<TimestampMicrosecondType>().values());
        self.quality.extend_from_slice(slice.column(3).as_primitive::<arrow::datatypes::UInt16Type>().values());
        self.checks.extend_from_slice(slice.column(4).as_primitive::<arrow::datatypes::UInt16Type>().values());
        let column = slice.column(2);
        let Some(values) = Values::from_array(column) else { return };
        match T::slice(&values) {
            Some(values) => self.values.extend_from_slice(values),
            None => self.values.extend((0..rows).map(|row| T::get(&values, row))),
        }
        if column.null_count() > 0 && self.valid.is_empty() {
            self.valid.resize(before, true);
        }
        if column.null_count() > 0 || !self.valid.is_empty() {
            self.valid.extend((0..rows).map(|row| column.is_valid(row)));
        }
    }
}

/// `commit-<last epoch>-<number>.parquet`, `hour-<last epoch>-<number>.parquet`.
pub(crate) fn file_name(mark: &Mark) -> String {
    match mark.level {
        Level::Commit => format!("commit-{}-{}.parquet", mark.held, mark.sequence),
        Level::Hour => format!("hour-{}-{}.parquet", mark.epochs.1, mark.sequence),
    }
}

/// Where a file goes, from its dataset's folder.
pub(crate) fn file_path(mark: &Mark) -> String {
    format!("{}/{}", Hour::of(mark.times.0).folder(), file_name(mark))
}

pub(crate) fn entry_of(mark: &Mark, rows: u64, finished: Finished) -> FileEntry {
    FileEntry {
        path: file_path(mark),
        level: mark.level,
        rows,
        bytes: finished.bytes,
        checksum: finished.checksum,
        epochs: mark.epochs,
        times: mark.times,
        written: mark.written,
        revised: mark.revised,
    }
}

pub(crate) fn insert(files: &mut Vec<FileEntry>, entry: FileEntry) {
    let at = files.partition_point(|file| file.path < entry.path);
    files.insert(at, entry);
}

fn rows_by_hour(rows: &RecordBatch) -> BTreeMap<Hour, Vec<u32>> {
    let mut hours: BTreeMap<Hour, Vec<u32>> = BTreeMap::new();
    for (row, time) in rows.column(0).as_primitive::<TimestampMicrosecondType>().values().iter().enumerate() {
        hours.entry(Hour::of(*time)).or_default().push(row as u32);
    }
    hours
}

fn times(rows: &RecordBatch) -> (i64, i64) {
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
    times.iter().fold((i64::MAX, i64::MIN), |(first, last), time| (first.min(*time), last.max(*time)))
}

fn revised(rows: &RecordBatch) -> bool {
    let revisions = rows.column_by_name(REVISION).and_then(|column| column.as_primitive_opt::<UInt64Type>());
    revisions.is_some_and(|revisions| revisions.values().iter().any(|revision| corrects(*revision)))
}
