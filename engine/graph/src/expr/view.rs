//! Samples and tags as expressions see them: with the names, the asset and the unit of each tag beside its number.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use ducto_record::{Directory, Layout, Samples, Tag, Times, ValueKind, samples_schema};

use super::{ErrorKind, Expression, ExpressionError, Failure};

/// Columns that every tag has, in this order, before the site's own columns of assets.
const OF_TAGS: [&str; 6] = ["tag", "asset", "variable", "kind", "area", "unit"];

/// Columns of samples that are no text of the directory.
const OF_SAMPLES: [&str; 4] = ["time", "value", "quality", "checks"];

/// The texts of a directory by column, one per tag number.
fn texts(directory: &Directory) -> Vec<(String, ArrayRef)> {
    let column = |text: &dyn Fn(&Tag) -> Option<String>| -> ArrayRef {
        Arc::new(directory.tags().iter().map(text).collect::<StringArray>())
    };
    let asset = |tag: &Tag| tag.asset.and_then(|asset| directory.asset(asset));
    let mut columns: Vec<(String, ArrayRef)> = OF_TAGS
        .iter()
        .map(|&name| {
            let array = column(&|tag| match name {
                "tag" => Some(tag.name.to_string()),
                "asset" => asset(tag).map(|asset| asset.name.to_string()),
                "variable" => Some(tag.variable.to_string()),
                "kind" => asset(tag).map(|asset| asset.kind.to_string()),
                "unit" => tag.unit.as_ref().map(|unit| unit.symbol.to_string()),
                other => asset(tag).and_then(|asset| asset.columns.get(other).cloned()),
            });
            (name.to_owned(), array)
        })
        .collect();
    let mut others: Vec<&String> = directory.assets().iter().flat_map(|asset| asset.columns.keys()).collect();
    others.sort();
    others.dedup();
    for name in others {
        if !OF_TAGS.contains(&name.as_str()) && !OF_SAMPLES.contains(&name.as_str()) {
            columns.push((name.clone(), column(&|tag| asset(tag).and_then(|asset| asset.columns.get(name).cloned()))));
        }
    }
    columns
}

/// Samples with the texts of their tags. Columns: time, tag, value, quality, checks, asset, variable, kind, area, unit,
/// and every other column of the site's assets.
///
/// The text columns are dictionaries whose keys are the batch's own tag numbers and whose values are made once, so a
/// batch costs nothing per sample; only the columns that an expression reads are made.
#[derive(Clone, Debug)]
pub struct SampleView {
    schemas: [SchemaRef; 4],
    /// By column: the texts per tag; `None` for what samples bring themselves.
    texts: Vec<Option<ArrayRef>>,
    /// Dictionaries of the layout that came last.
    last: Option<(Arc<Layout>, Vec<Option<ArrayRef>>)>,
}

impl SampleView {
    pub fn new(directory: &Directory) -> Self {
        let texts = texts(directory);
        let text = |name: &str| {
            Field::new(name, DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8)), true)
        };
        let schemas = ValueKind::ALL.map(|kind| {
            let samples = samples_schema(kind);
            let fields: Vec<Field> = samples
                .fields()
                .iter()
                .map(|field| if field.name() == "tag" { text("tag") } else { field.as_ref().clone() })
                .chain(texts.iter().skip(1).map(|(name, _)| text(name)))
                .collect();
            Arc::new(Schema::new(fields))
        });
        let columns = schemas[0]
            .fields()
            .iter()
            .map(|field| texts.iter().find(|(name, _)| name == field.name()).map(|(_, array)| array.clone()))
            .collect();
        Self { schemas, texts: columns, last: None }
    }

    /// The columns of samples of this kind.
    pub fn schema(&self, kind: ValueKind) -> &SchemaRef {
        let index = ValueKind::ALL.iter().position(|other| *other == kind).unwrap_or_default();
        &self.schemas[index]
    }

    /// Evaluates an expression that was compiled for the kind of these samples.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn evaluate(&mut self, expression: &Expression, samples: &Samples) -> Result<ArrayRef, ExpressionError> {
        let columns = self.columns(expression, samples)?;
        expression.evaluate_columns(columns, samples.len())
    }

    /// As [`SampleView::evaluate`], with null where a row fails.
    ///
    /// # Errors
    /// As [`Expression::evaluate_or_null`].
    pub fn evaluate_or_null(
        &mut self,
        expression: &Expression,
        samples: &Samples,
    ) -> Result<(ArrayRef, Vec<Failure>), ExpressionError> {
        let columns = self.columns(expression, samples)?;
        expression.evaluate_columns_or_null(columns, samples.len())
    }

    /// All columns of a batch, for tests and taps.
    ///
    /// # Errors
    /// When a tag number is not of the directory.
    pub fn record_batch(&mut self, samples: &Samples) -> Result<RecordBatch, arrow::error::ArrowError> {
        let columns = (0..self.texts.len()).map(|index| self.column(index, samples)).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(self.schema(samples.kind()).clone(), columns)
    }

    fn columns(&mut self, expression: &Expression, samples: &Samples) -> Result<Vec<ArrayRef>, ExpressionError> {
        expression.columns().iter().map(|&index| self.column(index, samples)).collect::<Result<_, _>>().map_err(
            |error| ExpressionError {
                text: expression.text().into(),
                message: format!("a sample's tag is not of this site: {error}"),
                at: None,
                help: None,
                kind: ErrorKind::Evaluation,
            },
        )
    }

    fn column(&mut self, index: usize, samples: &Samples) -> Result<ArrayRef, arrow::error::ArrowError> {
        if let Some(Some(values)) = self.texts.get(index) {
            let values = values.clone();
            return self.dictionary(index, values, samples);
        }
        Ok(match index {
            0 => Arc::new(
                match samples.times() {
                    Times::One(time) => TimestampMicrosecondArray::from_value(*time, samples.len()),
                    Times::Each(times) => TimestampMicrosecondArray::new(times.clone(), None),
                }
                .with_timezone("UTC"),
            ),
            2 => samples.values().array(),
            3 => Arc::new(UInt16Array::new(samples.quality().clone(), None)),
            _ => Arc::new(UInt16Array::new(samples.checks().clone(), None)),
        })
    }

    fn dictionary(
        &mut self,
        index: usize,
        values: ArrayRef,
        samples: &Samples,
    ) -> Result<ArrayRef, arrow::error::ArrowError> {
        let make = || -> Result<ArrayRef, arrow::error::ArrowError> {
            let keys = UInt32Array::new(samples.tags().clone(), None);
            Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(keys, values)?))
        };
        let Some(layout) = samples.layout() else { return make() };
        let width = self.texts.len();
        let (_, columns) = match &mut self.last {
            Some(last) if Arc::ptr_eq(&last.0, layout) => last,
            last => last.insert((layout.clone(), vec![None; width])),
        };
        if let Some(column) = &columns[index] {
            return Ok(column.clone());
        }
        let column = make()?;
        columns[index] = Some(column.clone());
        Ok(column)
    }
}

/// The tags of a directory as a table, one row per tag in the order of numbers: tag, asset, variable, kind, area, unit,
/// and every other column of the site's assets.
#[derive(Clone, Debug)]
pub struct TagTable {
    rows: RecordBatch,
}

impl TagTable {
    pub fn new(directory: &Directory) -> Self {
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) =
            texts(directory).into_iter().map(|(name, array)| (Field::new(name, DataType::Utf8, true), array)).unzip();
        let schema = Arc::new(Schema::new(fields));
        // The columns were made for the schema, and all have one text per tag.
        let rows = RecordBatch::try_new(schema.clone(), columns).unwrap_or_else(|_| RecordBatch::new_empty(schema));
        Self { rows }
    }

    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// For each tag, whether a condition compiled against this table's schema is true; null is false.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn matching(&self, condition: &Expression) -> Result<Vec<bool>, ExpressionError> {
        let result = condition.evaluate(&self.rows)?;
        let Some(mask) = result.as_any().downcast_ref::<BooleanArray>() else {
            return Err(ExpressionError {
                text: condition.text().into(),
                message: "a condition must be true or false".to_owned(),
                at: None,
                help: None,
                kind: ErrorKind::Type,
            });
        };
        Ok((0..mask.len()).map(|row| mask.is_valid(row) && mask.value(row)).collect())
    }
}
