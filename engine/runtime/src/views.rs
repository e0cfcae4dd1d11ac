//! Views: the newest row of each key of a port that says it is one (`ducto.view` in its schema's metadata), so that the
//! present state of alarms and the like can be asked for without asking the node.

mod kept;
mod saved;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int8Type, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use ducto_record::{Directory, Micros};

/// Metadata key of a schema whose rows, newest by key, make up a view; the value is the view's name.
pub const VIEW: &str = "ducto.view";

/// The view of one port.
#[derive(Debug)]
pub struct View {
    name: Arc<str>,
    schema: SchemaRef,
    key: Vec<usize>,
    /// Counts rows taken in, so that a look at it says whether anything is new.
    changes: AtomicU64,
    state: Mutex<ViewState>,
}

#[derive(Debug)]
struct ViewState {
    converter: RowConverter,
    /// Each row with its number among the changes.
    newest: BTreeMap<OwnedRow, (u64, RecordBatch)>,
    /// The time of each that was shown before a start or a restart: what is older comes again, and is no news.
    before: BTreeMap<OwnedRow, Micros>,
    changes: u64,
    /// Number of the last change that took a row back.
    taken_back: u64,
}

/// What a view has become since somebody looked.
#[derive(Debug)]
pub struct ViewChanges {
    /// The rows that are new, in the order in which they came; all rows, by key, where `anew` says so.
    pub rows: RecordBatch,
    /// Rows were taken back: what was known before no longer counts.
    pub anew: bool,
    /// To be given the next time.
    pub seen: u64,
}

impl View {
    /// The view of a port with this row type, if its schema says it is one.
    pub fn of(row_type: &ducto_record::RowType) -> Option<Self> {
        let name = row_type.schema.metadata().get(VIEW)?;
        let key: Vec<usize> = row_type.key.iter().filter_map(|name| row_type.schema.index_of(name).ok()).collect();
        let fields =
            key.iter().map(|&index| SortField::new(row_type.schema.field(index).data_type().clone())).collect();
        let converter = RowConverter::new(fields).ok()?;
        Some(Self {
            name: name.as_str().into(),
            schema: row_type.schema.clone(),
            key,
            changes: AtomicU64::new(0),
            state: Mutex::new(ViewState {
                converter,
                newest: BTreeMap::new(),
                before: BTreeMap::new(),
                changes: 0,
                taken_back: 0,
            }),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Takes the rows in: a row takes the place of an older one with the same key, a row taken back leaves none.
    pub(crate) fn update(&self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let columns: Vec<_> = self.key.iter().map(|&index| rows.column(index).clone()).collect();
        let keys = state.converter.convert_columns(&columns)?;
        let diff = rows.column_by_name("diff").and_then(|column| column.as_primitive_opt::<Int8Type>().cloned());
        let times = times(rows);
        for row in 0..rows.num_rows() {
            let key = keys.row(row).owned();
            if let Some(&before) = state.before.get(&key) {
                if times.as_ref().is_some_and(|times| times.value(row) < before) {
                    continue;
                }
                state.before.remove(&key);
            }
            state.changes += 1;
            let change = state.changes;
            if diff.as_ref().is_some_and(|diff| diff.is_valid(row) && diff.value(row) < 0) {
                state.newest.remove(&key);
                state.taken_back = change;
            } else {
                state.newest.insert(key, (change, rows.slice(row, 1)));
            }
        }
        self.changes.store(state.changes, Ordering::Release);
        Ok(())
    }

    /// The rows of now, by key.
    ///
    /// # Errors
    /// When rows of different schemas were taken in, which is a fault of the operator.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        concat_batches(&self.schema, state.newest.values().map(|(_, row)| row))
    }

    /// The rows of now for a checkpoint, under the names of their tags and assets.
    pub(crate) fn save(&self, directory: &Directory) -> Result<Vec<u8>, ArrowError> {
        saved::encode(&self.rows()?, directory)
    }

    /// Takes what [`View::save`] gave in a process before: rows of names that there are, and that are `known`.
    pub(crate) fn restore(
        &self,
        bytes: &[u8],
        directory: &Directory,
        known: impl Fn(&RecordBatch, usize) -> bool,
    ) -> Result<(), ArrowError> {
        self.update(&saved::decode(bytes, &self.schema, directory, known)?)?;
        self.hold();
        Ok(())
    }

    /// What it shows comes again, from older rows on: none of them takes the place of what is shown.
    pub(crate) fn hold(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = state.newest.iter();
        state.before =
            shown.filter_map(|(key, (_, row))| Some((key.clone(), times(row)?.values().first().copied()?))).collect();
    }

    /// Forgets everything: the node that it is of begins anew.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest.clear();
        state.before.clear();
        state.changes += 1;
        state.taken_back = state.changes;
        self.changes.store(state.changes, Ordering::Release);
    }

    /// What has changed behind `seen`, which is 0 at first; `None` where nothing has.
    ///
    /// # Errors
    /// As [`View::rows`].
    pub fn changes(&self, seen: u64) -> Option<Result<ViewChanges, ArrowError>> {
        if self.changes.load(Ordering::Acquire) == seen {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let anew = state.taken_back > seen;
        let mut new: Vec<&(u64, RecordBatch)> =
            state.newest.values().filter(|(change, _)| anew || *change > seen).collect();
        if !anew {
            new.sort_by_key(|(change, _)| *change);
        }
        let rows = concat_batches(&self.schema, new.into_iter().map(|(_, row)| row));
        Some(rows.map(|rows| ViewChanges { rows, anew, seen: state.changes }))
    }
}

fn times(rows: &RecordBatch) -> Option<TimestampMicrosecondArray> {
    rows.column_by_name("time")?.as_primitive_opt::<TimestampMicrosecondType>().cloned()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int8Array, StringArray, TimestampMicrosecondArray, UInt16Array, UInt32Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use ducto_record::{RowType, Tag, ValueKind, with_role};

    use super::*;

    fn row_type() -> RowType {
        let RowType { schema, key } =
            RowType::new(vec![with_role(Field::new("tag", DataType::UInt32, false), "tag")], &["tag"]);
        let metadata = [(VIEW.to_owned(), "test".to_owned())].into();
        RowType { schema: Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata)), key }
    }

    fn rows(tags: &[u32], diff: i8) -> RecordBatch {
        rows_at(0, tags, diff)
    }

    fn rows_at(time: i64, tags: &[u32], diff: i8) -> RecordBatch {
        let count = tags.len();
        RecordBatch::try_new(
            row_type().schema,
            vec![
                Arc::new(TimestampMicrosecondArray::from(vec![time; count]).with_timezone("UTC")),
                Arc::new(UInt32Array::from(tags.to_vec())),
                Arc::new(UInt16Array::from(vec![192; count])),
                Arc::new(StringArray::new_null(count)),
                Arc::new(Int8Array::from(vec![diff; count])),
            ],
        )
        .unwrap()
    }

    fn tags(rows: &RecordBatch) -> Vec<u32> {
        rows.column(1).as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec()
    }

    #[test]
    fn who_looks_again_sees_what_is_new() {
        let view = View::of(&row_type()).unwrap();
        assert!(view.changes(0).is_none());
        view.update(&rows(&[3, 1], 1)).unwrap();
        let first = view.changes(0).unwrap().unwrap();
        assert_eq!((tags(&first.rows), first.anew), (vec![3, 1], false));
        assert!(view.changes(first.seen).is_none());
        view.update(&rows(&[2], 1)).unwrap();
        view.update(&rows(&[1], 1)).unwrap();
        let second = view.changes(first.seen).unwrap().unwrap();
        assert_eq!((tags(&second.rows), second.anew), (vec![2, 1], false));
        // One row is taken back: everything is told again.
        view.update(&rows(&[3], -1)).unwrap();
        let third = view.changes(second.seen).unwrap().unwrap();
        assert_eq!((tags(&third.rows), third.anew), (vec![1, 2], true));
        assert_eq!(tags(&view.rows().unwrap()), [1, 2]);
        // To somebody new there is nothing to take back.
        assert!(view.changes(third.seen).is_none());
    }

    #[test]
    fn what_comes_again_after_a_start_takes_no_newer_row_back() {
        let mut directory = Directory::builder();
        for name in ["A", "B"] {
            directory.tag(Tag::named(name, ValueKind::Float64));
        }
        let directory = directory.build();
        let times = |view: &View| times(&view.rows().unwrap()).unwrap().values().to_vec();
        let (before, after) = (View::of(&row_type()).unwrap(), View::of(&row_type()).unwrap());
        before.update(&rows_at(20, &[0], 1)).unwrap();
        after.restore(&before.save(&directory).unwrap(), &directory, |_, _| true).unwrap();
        for (time, shown) in [(10, [20, 10]), (20, [20, 20]), (30, [30, 30]), (5, [5, 5])] {
            after.update(&rows_at(time, &[0, 1], 1)).unwrap();
            assert_eq!(times(&after), shown, "a row of {time}; once it has come as far, what is newest counts");
        }
        let seen = after.changes(0).unwrap().unwrap().seen;
        after.clear();
        let changes = after.changes(seen).unwrap().unwrap();
        assert_eq!((changes.rows.num_rows(), changes.anew), (0, true));
    }

    #[test]
    fn rows_keep_their_names_when_numbers_change() {
        let directory = |names: &[&str]| {
            let mut directory = Directory::builder();
            for name in names {
                directory.tag(Tag::named(name, ValueKind::Float64));
            }
            directory.build()
        };
        let (before, after) = (directory(&["A", "B", "C", "D"]), directory(&["D", "X", "C", "B"]));
        let view = View::of(&row_type()).unwrap();
        view.update(&rows(&[0, 1, 2, 3], 1)).unwrap();
        let bytes = view.save(&before).unwrap();
        let restored = View::of(&row_type()).unwrap();
        let not_c = |rows: &RecordBatch, row: usize| rows.column(1).as_string::<i32>().value(row) != "C";
        restored.restore(&bytes, &after, not_c).unwrap();
        // A is there no more, C is not wanted.
        assert_eq!(tags(&restored.rows().unwrap()), [0, 3]);
        for length in 0..bytes.len() {
            let _ = restored.restore(&bytes[..length], &after, |_, _| true);
        }
        let other = RowType::new(vec![Field::new("depth", DataType::Float64, false)], &["depth"]);
        let metadata = [(VIEW.to_owned(), "test".to_owned())].into();
        let schema = Arc::new(Schema::new_with_metadata(other.schema.fields().clone(), metadata));
        let other = View::of(&RowType { schema, key: other.key }).unwrap();
        assert!(other.restore(&bytes, &after, |_, _| true).is_err());
    }
}
