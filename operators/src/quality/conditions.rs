//! Expressions over the tags of one asset, as `cross_check` and `while` have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use ducto_graph::expr::{Expression, ExpressionError, Functions};
use ducto_graph::site::{Site, TagSettings};
use ducto_record::{AssetId, TagId, Units, Value, ValueKind, with_unit};

/// The variables of a tag's asset as columns, with the tag behind each; a tag without an asset has itself alone.
pub(super) fn asset_columns(site: &Site, of: &TagSettings) -> (Schema, Vec<TagId>) {
    let (fields, tags): (Vec<Field>, Vec<TagId>) = site
        .tags
        .iter()
        .filter(|tag| if of.asset.is_some() { tag.asset == of.asset } else { tag.id == of.id })
        .map(|tag| {
            let field = Field::new(&*tag.variable, tag.kind.data_type(), true);
            let field = match &tag.unit {
                Some(unit) => with_unit(field, &unit.symbol),
                None => field,
            };
            (field, tag.id)
        })
        .unzip();
    (Schema::new(fields), tags)
}

/// Conditions with the last values of the tags that they read.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    list: Vec<Condition>,
    /// By asset and text, so that the tags of an asset share a condition.
    known: BTreeMap<(Result<AssetId, TagId>, String), usize>,
    /// The tags that are read, with the place of their last value.
    pub(super) watched: BTreeMap<TagId, usize>,
    /// The last value of each; `Null` where it is not usable.
    latest: Vec<Value>,
    /// By place in `latest`: who reads it.
    readers: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Condition {
    expression: Expression,
    /// By column that it reads: its kind.
    kinds: Vec<ValueKind>,
    /// By column that it reads: its place in `latest`.
    columns: Vec<usize>,
    /// What it said of the present values.
    answer: Option<Option<bool>>,
}

impl Conditions {
    /// Adds a condition, or finds the one that is the same.
    ///
    /// # Errors
    /// As [`Expression::compile`], and when the expression is no condition.
    pub(super) fn add(
        &mut self,
        text: &str,
        tag: &TagSettings,
        site: &Site,
        functions: &Arc<Functions>,
        units: &Arc<Units>,
    ) -> Result<usize, ExpressionError> {
        let key = (tag.asset.ok_or(tag.id), text.to_owned());
        if let Some(&index) = self.known.get(&key) {
            return Ok(index);
        }
        let (schema, tags) = asset_columns(site, tag);
        let expression = Expression::compile_condition(text, &schema, functions, units)?;
        let index = self.list.len();
        let (mut columns, mut kinds) = (Vec::new(), Vec::new());
        for &column in expression.columns() {
            let (Some(tag), Some(field)) = (tags.get(column), schema.fields().get(column)) else { continue };
            kinds.push(ValueKind::of(field.data_type()).unwrap_or_default());
            let next = self.latest.len();
            let place = *self.watched.entry(*tag).or_insert(next);
            if place == next {
                self.latest.push(Value::Null);
                self.readers.push(Vec::new());
            }
            self.readers[place].push(index);
            columns.push(place);
        }
        self.list.push(Condition { expression, kinds, columns, answer: None });
        self.known.insert(key, index);
        Ok(index)
    }

    /// The newest value of a tag that is read; `Null` where it is not usable.
    pub(super) fn set(&mut self, tag: TagId, value: Value) {
        let Some(&place) = self.watched.get(&tag) else { return };
        let latest = &mut self.latest[place];
        if *latest != value {
            *latest = value;
            for &reader in &self.readers[place] {
                self.list[reader].answer = None;
            }
        }
    }

    /// Whether a condition holds at the moment; `None` where that cannot be said.
    pub(super) fn holds(&mut self, index: usize) -> Option<bool> {
        let condition = self.list.get_mut(index)?;
        if let Some(answer) = condition.answer {
            return answer;
        }
        let columns = condition
            .columns
            .iter()
            .zip(&condition.kinds)
            .map(|(&place, kind)| column(&self.latest[place], *kind))
            .collect();
        // A row that fails (an integer divided by zero) says nothing.
        let answer = condition.expression.evaluate_columns(columns, 1).ok().and_then(|answer| first(&answer));
        condition.answer = Some(answer);
        answer
    }

    /// The last values, for a snapshot.
    pub(super) fn latest(&self) -> impl Iterator<Item = (TagId, &Value)> {
        self.watched.iter().map(|(&tag, &place)| (tag, &self.latest[place]))
    }
}

fn column(value: &Value, kind: ValueKind) -> ArrayRef {
    match kind {
        ValueKind::Int64 => Arc::new(Int64Array::from(vec![match value {
            Value::Int64(value) => Some(*value),
            _ => None,
        }])),
        ValueKind::Bool => Arc::new(BooleanArray::from(vec![match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }])),
        ValueKind::Text => Arc::new(StringArray::from(vec![match value {
            Value::Text(value) => Some(&**value),
            _ => None,
        }])),
        ValueKind::Float64 => Arc::new(Float64Array::from(vec![value.as_f64()])),
    }
}

fn first(answer: &ArrayRef) -> Option<bool> {
    let answer = answer.as_boolean_opt()?;
    (answer.len() == 1 && answer.is_valid(0)).then(|| answer.value(0))
}
