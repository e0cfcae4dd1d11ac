//! Views on disk: the rows as an Arrow stream, with the names of tags and assets in place of their numbers, which another
//! configuration gives to others.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};
use ducto_record::{Directory, role_of};

#[derive(Clone, Copy)]
enum Named {
    Tag,
    Asset,
}

impl Named {
    /// Whether a column holds numbers that stand for names.
    fn of(field: &Field) -> Option<Self> {
        match role_of(field).filter(|_| *field.data_type() == DataType::UInt32)? {
            "tag" => Some(Self::Tag),
            "asset" => Some(Self::Asset),
            _ => None,
        }
    }

    fn name(self, number: u32, directory: &Directory) -> Option<&str> {
        match self {
            Self::Tag => directory.tag(number).map(|tag| &*tag.name),
            Self::Asset => directory.asset(number).map(|asset| &*asset.name),
        }
    }

    fn number(self, name: &str, directory: &Directory) -> Option<u32> {
        match self {
            Self::Tag => directory.tag_id(name),
            Self::Asset => directory.asset_id(name),
        }
    }
}

/// The columns as they lie on disk. A number without a name becomes none.
fn named_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match Named::of(field) {
        Some(_) => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8).with_nullable(true)),
        None => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

pub(super) fn encode(rows: &RecordBatch, directory: &Directory) -> Result<Vec<u8>, ArrowError> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match Named::of(field) {
        None => column.clone(),
        Some(named) => {
            let numbers = column.as_primitive::<UInt32Type>();
            let name = |number: Option<u32>| named.name(number?, directory);
            Arc::new(numbers.iter().map(name).collect::<StringArray>())
        }
    });
    let on_disk = named_schema(&schema);
    let batch = RecordBatch::try_new(on_disk.clone(), columns.collect())?;
    let mut writer = StreamWriter::try_new(Vec::new(), &on_disk)?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// The rows that [`encode`] wrote, as this configuration numbers them: those of names that it has, and that are `known`.
pub(super) fn decode(
    bytes: &[u8],
    schema: &SchemaRef,
    directory: &Directory,
    known: impl Fn(&RecordBatch, usize) -> bool,
) -> Result<RecordBatch, ArrowError> {
    let expected = named_schema(schema);
    let mut found = Vec::new();
    for batch in StreamReader::try_new(bytes, None)? {
        let batch = batch?;
        let like = |(a, b): (&Arc<Field>, &Arc<Field>)| (a.name(), a.data_type()) == (b.name(), b.data_type());
        let schema_found = batch.schema();
        let fields = schema_found.fields();
        if fields.len() != expected.fields().len() || !fields.iter().zip(expected.fields()).all(like) {
            return Err(ArrowError::SchemaError("it has other columns".into()));
        }
        let mut has_name = vec![true; batch.num_rows()];
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let Some(named) = Named::of(field) else {
                columns.push(column.clone());
                continue;
            };
            let names = column.as_string::<i32>();
            let number = |row: usize| {
                let number = names.is_valid(row).then(|| named.number(names.value(row), directory)).flatten();
                has_name[row] &= number.is_some();
                number.unwrap_or_default()
            };
            columns.push(Arc::new((0..names.len()).map(number).collect::<UInt32Array>()));
        }
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(has_name[row] && known(&batch, row))).collect();
        found.push(filter_record_batch(&RecordBatch::try_new(schema.clone(), columns)?, &keep)?);
    }
    arrow::compute::concat_batches(schema, &found)
}
