//! Rows as outsiders read them: numbers of tags and assets become their names, with the unit of each tag beside it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use ducto_record::{Directory, role_of};
use ducto_runtime::{View, ViewChanges};
use serde_json::{Map, Value as Json};

use crate::live::Shared;

pub(crate) type Row = Map<String, Json>;

/// The texts of a directory as dictionaries' values, made once: a row costs its number and no copy of a text, and a
/// stream of rows carries each text once.
#[derive(Debug)]
pub(crate) struct Names {
    directory: Arc<Directory>,
    tags: ArrayRef,
    assets: ArrayRef,
    /// By tag.
    units: ArrayRef,
    /// Some tag has texts for its values.
    has_states: bool,
}

impl Names {
    pub(crate) fn new(directory: &Arc<Directory>) -> Self {
        let tags = directory.tags();
        Self {
            directory: directory.clone(),
            tags: Arc::new(tags.iter().map(|tag| Some(&*tag.name)).collect::<StringArray>()),
            assets: Arc::new(directory.assets().iter().map(|asset| Some(&*asset.name)).collect::<StringArray>()),
            units: Arc::new(
                tags.iter().map(|tag| tag.unit.as_ref().map(|unit| &*unit.symbol)).collect::<StringArray>(),
            ),
            has_states: tags.iter().any(|tag| !tag.states.is_empty()),
        }
    }

    /// The rows with names in place of numbers. Rows of tags get a column `unit` behind `value` (at the end where they
    /// have none), and `state`, the text of a digital value, where tags have such texts; each unless it is there.
    ///
    /// # Errors
    /// When a number is not of the directory.
    pub(crate) fn rows(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = rows.schema();
        let mut columns: Vec<(FieldRef, ArrayRef)> = Vec::with_capacity(rows.num_columns() + 2);
        let mut tags = None;
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            let numbers = column.as_primitive_opt::<UInt32Type>();
            let named = match (role_of(field), numbers) {
                (Some("tag"), Some(numbers)) => {
                    tags = Some(numbers.clone());
                    dictionary(numbers, &self.tags)?
                }
                (Some("asset"), Some(numbers)) => dictionary(numbers, &self.assets)?,
                _ => {
                    columns.push((field.clone(), column.clone()));
                    continue;
                }
            };
            let named_field = Field::new(field.name(), named.data_type().clone(), field.is_nullable());
            columns.push((Arc::new(named_field.with_metadata(field.metadata().clone())), named));
        }
        if let Some(tags) = tags {
            self.describe(&tags, rows, &mut columns)?;
        }
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), arrays)
    }

    fn describe(
        &self,
        tags: &UInt32Array,
        rows: &RecordBatch,
        columns: &mut Vec<(FieldRef, ArrayRef)>,
    ) -> Result<(), ArrowError> {
        let value = columns.iter().position(|(field, _)| field.name() == "value");
        if rows.column_by_name("unit").is_none() {
            let units = dictionary(tags, &self.units)?;
            let field = Arc::new(Field::new("unit", units.data_type().clone(), true));
            columns.insert(value.map_or(columns.len(), |at| at + 1), (field, units));
        }
        if rows.column_by_name("state").is_none()
            && let Some(states) = value.and_then(|at| self.states(tags, &columns[at].1))
        {
            columns.push((Arc::new(Field::new("state", DataType::Utf8, true)), Arc::new(states)));
        }
        Ok(())
    }

    /// The texts of digital values, where tags have such texts.
    fn states(&self, tags: &UInt32Array, values: &ArrayRef) -> Option<StringArray> {
        if !self.has_states {
            return None;
        }
        let numbers: Vec<Option<i64>> = if let Some(values) = values.as_boolean_opt() {
            values.iter().map(|value| value.map(i64::from)).collect()
        } else {
            values.as_primitive_opt::<Int64Type>()?.iter().collect()
        };
        let text = |(tag, number): (Option<u32>, Option<i64>)| -> Option<&str> {
            self.directory.tag(tag?)?.states.get(&number?).map(String::as_str)
        };
        Some(tags.iter().zip(numbers).map(text).collect())
    }

    /// What is known of the tag of each row, added to its object: `description`, by language.
    fn add_descriptions(&self, rows: &RecordBatch, objects: &mut [Row]) {
        let tag_column = rows.schema().fields().iter().position(|field| role_of(field) == Some("tag"));
        let Some(tags) = tag_column.and_then(|column| rows.column(column).as_primitive_opt::<UInt32Type>().cloned())
        else {
            return;
        };
        for (row, object) in objects.iter_mut().enumerate().filter(|(row, _)| tags.is_valid(*row)) {
            let Some(tag) = self.directory.tag(tags.value(row)) else { continue };
            if !tag.description.is_empty() {
                let texts =
                    tag.description.iter().map(|(language, text)| (language.clone(), Json::from(text.as_str())));
                object.insert("description".to_owned(), Json::Object(texts.collect()));
            }
        }
    }
}

fn dictionary(numbers: &UInt32Array, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    // Not every reader looks behind a number for whether there is a text.
    let numbers = match values.null_count() {
        0 => numbers.clone(),
        _ => {
            let is_null = |number: u32| (number as usize) < values.len() && values.is_null(number as usize);
            numbers.iter().map(|number| number.filter(|&number| !is_null(number))).collect()
        }
    };
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(numbers, values.clone())?))
}

/// Rows as JSON objects; what is null stays there as null.
pub(crate) fn objects(rows: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
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

/// The rows of every view with this name, each with its pipeline and node; `None` once the site is stopping.
pub(crate) fn of_view(shared: &Shared, name: &str) -> Option<Result<Vec<Row>, ArrowError>> {
    let news = Watched::new(shared, name)?.news(shared.names());
    Some(news.map(|news| news.map(|news| news.rows).unwrap_or_default()))
}

/// The views of one name, and how much of each was told.
pub(crate) struct Watched {
    views: Vec<(Arc<str>, Arc<str>, Arc<View>)>,
    seen: Vec<u64>,
}

/// What has changed in views.
pub(crate) struct News {
    /// What was told before no longer counts.
    pub(crate) anew: bool,
    pub(crate) rows: Vec<Row>,
}

impl Watched {
    /// `None` once the site is stopping.
    pub(crate) fn new(shared: &Shared, name: &str) -> Option<Self> {
        let mut views = shared.with(|running| running.views())?;
        views.retain(|(_, _, view)| **view.name() == *name);
        Some(Self { seen: vec![0; views.len()], views })
    }

    /// What has changed since the last call; at first everything. `None` where nothing has.
    ///
    /// # Errors
    /// When rows of different schemas came, which is a fault of the operator.
    pub(crate) fn news(&mut self, names: &Names) -> Result<Option<News>, ArrowError> {
        let mut changes = self.changes()?;
        let anew = changes.iter().any(|(index, change)| change.anew && self.seen[*index] > 0);
        if anew {
            // The asker forgets all, so all views are told from their beginning.
            self.seen.fill(0);
            changes = self.changes()?;
        }
        if changes.is_empty() && !anew {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for (index, change) in changes {
            self.seen[index] = change.seen;
            let (pipeline, node, _) = &self.views[index];
            let mut objects = objects(&names.rows(&change.rows)?)?;
            names.add_descriptions(&change.rows, &mut objects);
            rows.extend(objects.into_iter().map(|mut object| {
                object.insert("pipeline".to_owned(), Json::from(&**pipeline));
                object.insert("node".to_owned(), Json::from(&**node));
                object
            }));
        }
        Ok(Some(News { anew, rows }))
    }

    fn changes(&self) -> Result<Vec<(usize, ViewChanges)>, ArrowError> {
        let changed = |(index, ((_, _, view), seen)): (usize, (&(_, _, Arc<View>), &u64))| {
            Some(view.changes(*seen)?.map(|changes| (index, changes)))
        };
        self.views.iter().zip(&self.seen).enumerate().filter_map(changed).collect()
    }
}
