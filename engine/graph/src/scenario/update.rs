//! New expectations in a test file, the rest of it byte for byte as it was.

use std::ops::Range;

use ducto_record::{Micros, Value};

use super::Scenario;
use crate::diagnostic::Diagnostics;
use crate::scalar::Duration;
use crate::source::{At, Sources};
use crate::tree::{Node, Value as Tree};

/// Rows that a port gave, to be written down.
#[derive(Clone, Debug, Default)]
pub struct NewExpectation {
    /// `alarms`, `minutes.late`.
    pub port: String,
    /// Column and value.
    pub rows: Vec<Vec<(String, Value)>>,
}

/// A file whose tests cannot be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the expectation of `{test}` cannot be rewritten where it stands; write the test in lines of its own, not in braces"
)]
pub struct UpdateError {
    pub test: String,
}

/// An instant as expectations write it: the time since the start, `6s`; before it, RFC 3339.
pub fn time(time: Micros, start: Micros) -> Value {
    let text = match time.checked_sub(start) {
        Some(since) if since >= 0 => Duration::from_micros(since).to_string(),
        _ => ducto_record::time::format(time),
    };
    Value::Text(text.into())
}

/// The text of a test file with the `expect` of some of its scenarios replaced. `text` is what the scenarios were
/// read from.
///
/// # Errors
/// When a test is written inside braces, so that its `expect` has no lines of its own, or so that something else would
/// change with it.
pub fn rewrite(text: &str, new: &[(&Scenario, Vec<NewExpectation>)]) -> Result<String, UpdateError> {
    let mut replaced: Vec<(Range<usize>, String)> = Vec::new();
    for (scenario, expectations) in new {
        let piece = replacement(text, scenario, expectations)
            .ok_or_else(|| UpdateError { test: scenario.name.value.clone() })?;
        replaced.push(piece);
    }
    replaced.sort_by_key(|(range, _)| range.start);
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    for (range, piece) in replaced {
        result.push_str(text.get(at..range.start).unwrap_or_default());
        result.push_str(&piece);
        at = range.end;
    }
    result.push_str(text.get(at..).unwrap_or_default());
    // Lines are found by their indentation, which braces need not keep to: what is written must say the same as before.
    let changed = first_change(text, &result).map(|test| UpdateError { test });
    changed.map_or(Ok(result), Err)
}

/// The first test of which more than its `expect` differs between two files.
fn first_change(old: &str, new: &str) -> Option<String> {
    let parsed = |text: &str| {
        let mut sources = Sources::new();
        let file = sources.add_text("", text);
        let mut found = Diagnostics::new();
        Node::parse(file, &sources, &mut found).filter(|_| found.is_ok())
    };
    let tests =
        |node: &Option<Node>| node.as_ref().and_then(|node| node.get("tests")).map(|tests| tests.items().to_vec());
    let (old, new) = (tests(&parsed(old)).unwrap_or_default(), tests(&parsed(new)).unwrap_or_default());
    let name = |test: &Node| test.get("name").and_then(Node::as_text).unwrap_or_default().to_owned();
    let differs = |(number, test): (usize, &Node)| {
        let without = |test: &Node| {
            let mut test = test.clone();
            test.take("expect");
            test
        };
        !new.get(number).is_some_and(|other| same(&without(test), &without(other)))
    };
    let changed = old.iter().enumerate().find(|(number, test)| differs((*number, test)));
    match changed {
        Some((_, test)) => Some(name(test)),
        None if old.len() != new.len() => new.last().map(name),
        None => None,
    }
}

/// Whether two values say the same, wherever they stand.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Tree::Map(here), Tree::Map(there)) => {
            here.len() == there.len()
                && here.iter().zip(there).all(|(a, b)| a.key.value == b.key.value && same(&a.value, &b.value))
        }
        (Tree::List(here), Tree::List(there)) => {
            here.len() == there.len() && here.iter().zip(there).all(|(a, b)| same(a, b))
        }
        (Tree::Float(_), Tree::Float(_)) => one.written == other.written,
        (here, there) => here == there,
    }
}

/// Bytes that give way, and what takes their place.
fn replacement(text: &str, scenario: &Scenario, new: &[NewExpectation]) -> Option<(Range<usize>, String)> {
    let At::Text { start, end } = scenario.place.at else { return None };
    let (start, end) = (start as usize, end as usize);
    // The first key of the test, behind the dash of the list, says how far its keys are indented.
    let line = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let before = text.get(line..start)?;
    // Inside braces there are no lines to put anything between.
    if text.get(start..)?.starts_with('{') {
        return None;
    }
    if !before.chars().all(|c| matches!(c, ' ' | '-')) {
        return None;
    }
    let indent = before.len();
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let body = write(new, indent, newline);
    let first = if text.get(start..)?.starts_with("expect:") { Some(start) } else { None };
    let found = first.or_else(|| {
        let mut at = start;
        while let Some(next) = text.get(at..end).and_then(|rest| rest.find('\n')) {
            at += next + 1;
            let line = text.get(at..)?;
            if indent_of(line) == Some(indent) && line.get(indent..).is_some_and(|line| line.starts_with("expect:")) {
                return Some(at + indent);
            }
        }
        None
    });
    match found {
        Some(at) => Some((at..block_end(text, at, indent + 1), body)),
        None => {
            let at = block_end(text, start, indent);
            Some((at..at, format!("{newline}{}{body}", " ".repeat(indent))))
        }
    }
}

/// Where a block ends whose lines are indented by `least` or more, behind its first: before the line break of its last
/// line that says something.
fn block_end(text: &str, start: usize, least: usize) -> usize {
    let line_end = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        (at + line.trim_end().len(), at + line.len() + 1)
    };
    let (mut end, mut next) = line_end(start);
    while next < text.len() {
        let line = text.get(next..).unwrap_or_default();
        let (this, after) = line_end(next);
        match indent_of(line) {
            Some(indent) if indent >= least => end = this,
            Some(_) => break,
            None => {}
        }
        next = after;
    }
    end
}

/// Spaces before the first character of a line; `None` for a line that is blank or a comment.
fn indent_of(line: &str) -> Option<usize> {
    let line = line.lines().next().unwrap_or_default();
    let text = line.trim_start_matches(' ');
    let said = text.trim();
    (!said.is_empty() && !said.starts_with('#')).then(|| line.len() - text.len())
}

fn write(new: &[NewExpectation], indent: usize, newline: &str) -> String {
    if new.is_empty() {
        return "expect: {}".to_owned();
    }
    let mut text = String::from("expect:");
    for expectation in new {
        let pad = " ".repeat(indent + 2);
        text.push_str(&format!("{newline}{pad}{}:", scalar(&expectation.port)));
        if expectation.rows.is_empty() {
            text.push_str(" []");
        }
        for row in &expectation.rows {
            let columns: Vec<String> =
                row.iter().map(|(name, value)| format!("{}: {}", scalar(name), value_text(value))).collect();
            text.push_str(&format!("{newline}{pad}  - {{{}}}", columns.join(", ")));
        }
    }
    text
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int64(value) => value.to_string(),
        Value::Float64(value) if value.is_nan() => ".nan".to_owned(),
        Value::Float64(value) if value.is_infinite() => if *value > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        Value::Float64(value) => format!("{value:?}"),
        Value::Text(text) => scalar(text),
    }
}

/// A text as YAML inside braces, quoted where it would read as something else.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+'))
        && !text.starts_with(['-', '.'])
        && Node::plain(crate::source::Place::NOWHERE, text).value == Tree::Text(text.into());
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
