//! An alarm on an expression, at work on rows or samples.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int8Type, TimestampMicrosecondType, UInt16Type, UInt32Type};
use ducto_graph::expr::{Expression, ExpressionError, SampleView};
use ducto_graph::operator::{NodeError, Output, Own, Snapshot, Transform};
use ducto_record::{
    Action, Batch, Checks, Dense, Directory, Micros, Quality, RowType, SavedState, StateError, ValueKind,
};
use serde::{Deserialize, Serialize};

use super::definition::{Counts, Rows};
use super::events::{EventRow, Key, batch, row_type};
use super::machine::{Behaviour, Machine, Truth};
use super::shown::Shown;
use super::verb::Verb;
use crate::quality::CLOCK_TOLERANCE;

const VERSION: u32 = 1;

/// The expressions of an alarm, compiled for one form of rows.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) when: Expression,
    pub(super) clear: Option<Expression>,
    /// What is compared in the condition, for the rows: the value and the limit.
    pub(super) shown: Option<(Expression, Expression)>,
}

/// What the node was told.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) name: Arc<str>,
    pub(super) class: Arc<str>,
    pub(super) behaviour: Behaviour,
    pub(super) rows: Rows,
    pub(super) key: Key,
    pub(super) shown: Shown,
}

/// For what the expressions are compiled.
pub(super) enum Expressions {
    Rows(Box<Compiled>),
    /// Kinds of value for which the condition has a meaning.
    Samples(Vec<(ValueKind, Compiled)>, Box<SampleView>),
}

/// An alarm on an expression, one per key.
pub(super) struct WhenTransform {
    directory: Arc<Directory>,
    own: Own,
    definition: Definition,
    expressions: Expressions,
    row_type: RowType,
    states: Dense<KeyState>,
    /// Deadlines of delays: time, key.
    timers: BTreeSet<(Micros, u32)>,
    events: Vec<EventRow>,
}

/// The state of the alarm of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeyState {
    newest: Micros,
    machine: Machine,
    /// Whether the newest row counts: a timer ends a delay only then.
    usable: bool,
    value: Option<f64>,
    limit: Option<f64>,
    quality: u16,
}

impl Default for KeyState {
    fn default() -> Self {
        Self {
            newest: Micros::MIN,
            machine: Machine::default(),
            usable: false,
            value: None,
            limit: None,
            quality: Quality::WAITING.0,
        }
    }
}

/// The columns that a row is judged by.
struct Columns<'a> {
    keys: &'a UInt32Array,
    times: &'a [Micros],
    quality: &'a [u16],
    /// Rows that are taken back are no news.
    diff: Option<&'a [i8]>,
    checks: Option<&'a [u16]>,
    when: BooleanArray,
    clear: Option<BooleanArray>,
    value: Option<ArrayRef>,
    limit: Option<ArrayRef>,
}

impl WhenTransform {
    pub(super) fn new(directory: Arc<Directory>, own: Own, definition: Definition, expressions: Expressions) -> Self {
        let row_type = row_type(definition.key);
        Self {
            directory,
            own,
            definition,
            expressions,
            row_type,
            states: Dense::new(),
            timers: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// Judges rows; `evaluate` gives an expression's value for each of them.
    fn rows(
        &mut self,
        batch: &RecordBatch,
        compiled: &Compiled,
        evaluate: &mut dyn FnMut(&Expression) -> Result<ArrayRef, ExpressionError>,
        now: Micros,
    ) -> Result<(), NodeError> {
        let mut boolean = |expression: &Expression| {
            evaluate(expression)?
                .as_boolean_opt()
                .cloned()
                .ok_or_else(|| NodeError::text("the condition gave no truth values"))
        };
        let when = boolean(&compiled.when)?;
        let clear = compiled.clear.as_ref().map(&mut boolean).transpose()?;
        let mut number = |expression: &Expression| -> Result<ArrayRef, NodeError> {
            Ok(cast(&evaluate(expression)?, &DataType::Float64)?)
        };
        let (value, limit) = match &compiled.shown {
            Some((value, limit)) => (Some(number(value)?), Some(number(limit)?)),
            None => (None, None),
        };
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| NodeError::text(format!("the rows have no column `{name}`")))
        };
        let no_column = |name: &str| NodeError::text(format!("the column `{name}` has another type than it should"));
        let key = self.definition.key.name();
        let columns = Columns {
            keys: column(key)?.as_primitive_opt::<UInt32Type>().ok_or_else(|| no_column(key))?,
            times: column("time")?
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| no_column("time"))?
                .values(),
            quality: column("quality")?.as_primitive_opt::<UInt16Type>().ok_or_else(|| no_column("quality"))?.values(),
            diff: batch
                .column_by_name("diff")
                .and_then(|diff| Some(&diff.as_primitive_opt::<Int8Type>()?.values()[..])),
            checks: batch
                .column_by_name("checks")
                .and_then(|checks| Some(&checks.as_primitive_opt::<UInt16Type>()?.values()[..])),
            when,
            clear,
            value,
            limit,
        };
        for row in 0..batch.num_rows() {
            if columns.keys.is_valid(row) && columns.diff.is_none_or(|diff| diff[row] > 0) {
                self.row(&columns, row, now);
            }
        }
        Ok(())
    }

    fn row(&mut self, columns: &Columns<'_>, row: usize, now: Micros) {
        let (key, time) = (columns.keys.value(row), columns.times[row]);
        let checks = Checks(columns.checks.map_or(0, |checks| checks[row]));
        let state = self.states.get_mut(key);
        if !checks.contains(Checks::STALE) {
            let trusted = state.newest <= now.saturating_add(CLOCK_TOLERANCE);
            if checks.contains(Checks::OUT_OF_ORDER) || (time < state.newest && trusted) {
                return;
            }
        }
        state.newest = if checks.contains(Checks::STALE) { state.newest.max(Micros::MIN + 1) } else { time };
        let truth = match (&columns.when, &columns.clear) {
            (when, _) if when.is_null(row) => None,
            (when, _) if when.value(row) => Some(Truth::True),
            (_, Some(clear)) if clear.is_valid(row) && clear.value(row) => Some(Truth::False),
            (_, Some(_)) => Some(Truth::Between),
            (_, None) => Some(Truth::False),
        };
        let quality = Quality(columns.quality[row]);
        let counts = match (self.definition.rows.count(quality, truth.is_some()), truth) {
            (Counts::Yes, Some(truth)) => Some(truth),
            (Counts::As(truth), _) => Some(truth),
            _ => None,
        };
        state.usable = counts.is_some();
        let Some(truth) = counts else { return };
        let number = |column: &Option<ArrayRef>| {
            let column = column.as_ref()?.as_primitive_opt::<Float64Type>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        state.value = number(&columns.value);
        state.limit = number(&columns.limit);
        state.quality = quality.0;
        let before = state.machine.deadline();
        let event = state.machine.row(&self.definition.behaviour, truth, time, now);
        let after = state.machine.deadline();
        if before != after {
            if let Some(deadline) = before {
                self.timers.remove(&(deadline, key));
            }
            if let Some(deadline) = after {
                self.timers.insert((deadline, key));
            }
        }
        if let Some(event) = event {
            let state = state.clone();
            self.events.push(self.event(key, &state, event, time, None));
        }
    }

    fn event(
        &self,
        key: u32,
        state: &KeyState,
        event: super::machine::Event,
        time: Micros,
        by: Option<&Action>,
    ) -> EventRow {
        EventRow {
            time,
            key,
            alarm: self.definition.name.clone(),
            occurrence: state.machine.occurrence,
            event,
            state: state.machine.state,
            value: state.value,
            limit: state.limit,
            unit: self.definition.shown.unit(key),
            quality: Quality(state.quality),
            class: self.definition.class.clone(),
            user: by.map(|action| action.user.clone()),
            reason: by.and_then(|action| action.reason.clone()),
            first: None,
        }
    }

    fn emit(&mut self, out: &mut Output) -> Result<(), NodeError> {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            out.emit(0, Batch::Rows(batch(&self.row_type, &events)?));
        }
        Ok(())
    }

    fn key_name(&self, key: u32) -> &str {
        match self.definition.key {
            Key::Tag => self.directory.tag_name(key),
            Key::Asset => self.directory.asset_name(key),
        }
    }

    fn key_of(&self, name: &str) -> Option<u32> {
        match self.definition.key {
            Key::Tag => self.directory.tag_id(name),
            Key::Asset => self.directory.asset_id(name),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedKey {
    key: String,
    state: KeyState,
}

impl Transform for WhenTransform {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let now = out.now();
        match (batch, &mut self.expressions) {
            (Batch::Rows(rows), Expressions::Rows(compiled)) => {
                let compiled = compiled.clone();
                // A row on which an expression fails (an integer divided by zero) says nothing.
                let mut evaluate = |expression: &Expression| Ok(expression.evaluate_or_null(rows)?.0);
                self.rows(rows, &compiled, &mut evaluate, now)?;
            }
            (Batch::Samples(samples), Expressions::Samples(kinds, view)) => {
                let Some((_, compiled)) = kinds.iter().find(|(kind, _)| *kind == samples.kind()) else {
                    out.drop_rows("kind", samples.len() as u64);
                    return Ok(());
                };
                let (compiled, mut view) = (compiled.clone(), view.clone());
                let mut evaluate = |expression: &Expression| Ok(view.evaluate_or_null(expression, samples)?.0);
                self.rows(&samples.record_batch(), &compiled, &mut evaluate, now)?;
            }
            (Batch::Rows(_), _) => return Err(NodeError::Stream { expected: "samples", found: "rows" }),
            (Batch::Samples(_), _) => return Err(NodeError::Stream { expected: "rows", found: "samples" }),
        }
        self.emit(out)
    }

    fn next_deadline(&self) -> Option<Micros> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    fn closes_at(&self, opened_by: Micros) -> Option<Micros> {
        let began = |key: u32| self.states.get(key)?.machine.since();
        self.timers.iter().rev().find(|(_, key)| began(*key) <= Some(opened_by)).map(|(deadline, _)| *deadline)
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        while let Some(&(due, key)) = self.timers.first().filter(|(due, _)| *due <= deadline) {
            self.timers.remove(&(due, key));
            let state = self.states.get_mut(key);
            let usable = state.usable;
            if let Some((time, event)) = state.machine.timer(&self.definition.behaviour, deadline, usable) {
                let state = state.clone();
                self.events.push(self.event(key, &state, event, time, None));
            }
        }
        self.emit(out)
    }

    fn on_action(&mut self, action: &Action, out: &mut Output) -> Result<(), NodeError> {
        let Some(verb) = Verb::of(action) else { return Ok(()) };
        if action.text("alarm").is_some_and(|name| *name != *self.definition.name) {
            return Ok(());
        }
        let Some(key) = action.text(self.definition.key.name()).and_then(|name| self.key_of(name)) else {
            return Ok(());
        };
        // Another worker, or another node, has this key.
        let Some(state) = self.states.get(key).filter(|state| state.newest != Micros::MIN) else { return Ok(()) };
        let mut state = state.clone();
        let outcome = verb.apply(&mut state.machine, &self.definition.name, self.key_name(key));
        let event = outcome.event;
        if let Some(event) = event {
            self.events.push(self.event(key, &state, event, out.now(), Some(action)));
            *self.states.get_mut(key) = state;
        }
        if event.is_some() || action.text("alarm").is_some() {
            out.reply(action, event.is_some(), outcome.text, outcome.details);
        }
        self.emit(out)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (states, directory, key) = (self.states.clone(), self.directory.clone(), self.definition.key);
        Some(Box::new(move || {
            let saved: Vec<SavedKey> = states
                .iter()
                .filter(|(_, state)| state.newest != Micros::MIN)
                .map(|(id, state)| SavedKey {
                    key: match key {
                        Key::Tag => directory.tag_name(id).to_owned(),
                        Key::Asset => directory.asset_name(id).to_owned(),
                    },
                    state: state.clone(),
                })
                .collect();
            SavedState::encode(VERSION, &saved)
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let saved: Vec<SavedKey> = saved.decode(VERSION)?;
        for SavedKey { key, state } in saved {
            let key = match self.definition.key {
                Key::Tag => self.own.tag(&key),
                Key::Asset => self.own.asset(&key),
            };
            let Some(key) = key else { continue };
            if let Some(deadline) = state.machine.deadline() {
                self.timers.insert((deadline, key));
            }
            *self.states.get_mut(key) = state;
        }
        Ok(())
    }
}

/// The two sides of a condition that is one comparison: `score > threshold`.
pub(super) fn comparison(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let (mut depth, mut quote, mut found) = (0usize, None, None);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(' | b'[') => depth += 1,
            (None, b')' | b']') => depth = depth.checked_sub(1)?,
            (None, b'<' | b'>' | b'=' | b'!') if depth == 0 => {
                let length = if matches!(bytes.get(at + 1), Some(b'=' | b'>')) { 2 } else { 1 };
                if found.replace((at, at + length)).is_some() {
                    return None;
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let (from, to) = found?;
    let (left, right) = (text[..from].trim(), text[to..].trim());
    let logic = |side: &str| {
        side.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| {
            ["and", "or", "not", "between", "in", "is", "like", "case"].contains(&word.to_lowercase().as_str())
        })
    };
    (!left.is_empty() && !right.is_empty() && !logic(left) && !logic(right)).then_some((left, right))
}

#[cfg(test)]
mod tests {
    use super::comparison;

    #[test]
    fn a_single_comparison_has_two_sides() {
        assert_eq!(comparison("score > threshold"), Some(("score", "threshold")));
        assert_eq!(comparison("abs(a - b) >= 2*(c)"), Some(("abs(a - b)", "2*(c)")));
        assert_eq!(comparison("a > 1 AND b < 2"), None);
        assert_eq!(comparison("NOT a > 1"), None);
        assert_eq!(comparison("(a > 1)"), None);
        assert_eq!(comparison("name = '<>'"), Some(("name", "'<>'")));
        assert_eq!(comparison("a >"), None);
        assert_eq!(comparison("run"), None);
        assert_eq!(comparison(")a > 1"), None);
        assert_eq!(comparison("ñ > é"), Some(("ñ", "é")));
    }
}
