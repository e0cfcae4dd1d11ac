//! Test files: scenarios on a virtual clock, `<name>.test.yaml` beside a pipeline.
//!
//! A file is read with [`TestFile::load`], each scenario made ready with [`Scenario::prepare`] (which gives the site
//! with the one pipeline), and run elsewhere. [`update::rewrite`] writes the rows that were found over those expected.

mod actions;
mod fields;
mod prepare;
pub mod update;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::{Micros, Quality, Value};

use crate::codes::Code;
use crate::decode::OrderedMap;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::operator::MAIN;
use crate::scalar::{Duration, Timestamp};
use crate::source::{FileId, Place, Sources};
use crate::tree::{Node, Spanned, Value as Written};

pub use fields::{ScenarioFields, StepFields, TestFields};
pub use prepare::is_test_file;
pub(crate) use prepare::overlay;

/// The ending of test files.
pub const ENDING: &str = ".test.yaml";

/// A test file.
#[derive(Debug)]
pub struct TestFile {
    pub path: PathBuf,
    pub file: FileId,
    pub scenarios: Vec<Scenario>,
}

/// One test.
#[derive(Debug)]
pub struct Scenario {
    pub name: Spanned<String>,
    /// The pipeline's file, or the name of one that is built in.
    pub pipeline: Spanned<PathBuf>,
    /// Values of its parameters.
    pub with: OrderedMap<Node>,
    /// The site whose tags and limits it runs with.
    pub site: Option<Spanned<PathBuf>>,
    /// The engine time at which it starts.
    pub start: Micros,
    /// Tags that are defined here, or changed.
    pub tags: OrderedMap<Node>,
    /// What is known of the tags' assets.
    pub assets: OrderedMap<BTreeMap<String, String>>,
    /// In the order of their times.
    pub steps: Vec<Step>,
    pub expect: Vec<Expectation>,
    /// Whether the expected rows must name every column.
    pub exact: bool,
    /// The whole test in its file.
    pub place: Place,
    /// Whether some of it could not be read, so that it cannot run; the rest is checked all the same.
    broken: bool,
}

/// Something that happens.
#[derive(Debug)]
pub struct Step {
    /// Engine time: of `advance`, where the clock is afterwards.
    pub at: Micros,
    pub what: Happening,
    pub place: Place,
}

#[derive(Debug)]
pub enum Happening {
    /// Samples enter as one entry.
    Send(Vec<Sent>),
    /// A recorded file enters, at the times of its rows.
    File(Spanned<PathBuf>),
    /// Only the clock moves.
    Advance,
    /// A person asks for something.
    Act(Acting),
}

/// What a person asks for.
#[derive(Debug)]
pub struct Acting {
    pub verb: Spanned<String>,
    /// What it is about: `tag`, `alarm`.
    pub with: Vec<(Spanned<String>, Spanned<Value>)>,
    pub user: Arc<str>,
    pub reason: Option<Arc<str>>,
}

impl Scenario {
    /// Whether all of it could be read.
    pub fn is_whole(&self) -> bool {
        !self.broken
    }
}

impl Happening {
    fn acting(&self) -> Option<&Acting> {
        match self {
            Self::Act(acting) => Some(acting),
            _ => None,
        }
    }
}

impl Acting {
    /// What it is about, by name.
    pub fn arguments(&self) -> BTreeMap<String, Value> {
        self.with.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
    }
}

/// A sample of a step.
#[derive(Debug)]
pub struct Sent {
    pub tag: Spanned<String>,
    /// As written; it becomes a value of the tag's kind.
    pub value: Value,
    pub quality: Quality,
    /// The source's time, where it is not that of the step.
    pub time: Option<Micros>,
}

/// Rows that a port must give.
#[derive(Debug)]
pub struct Expectation {
    pub node: String,
    pub port: String,
    /// Where node and port are named.
    pub place: Place,
    pub rows: Vec<ExpectedRow>,
}

/// A row that must come. Columns that are not named are not compared.
#[derive(Debug)]
pub struct ExpectedRow {
    pub columns: Vec<(Spanned<String>, Expected)>,
    pub place: Place,
}

/// A value that a column must have, compared by what the column holds.
#[derive(Clone, Debug)]
pub struct Expected {
    pub node: Node,
}

impl Expected {
    /// As a value: text, a number, true or false, null. Lists and mappings have none.
    pub fn value(&self) -> Option<Value> {
        value_of(&self.node)
    }

    /// As an instant: RFC 3339, or a duration since the start, `6s`.
    pub fn time(&self, start: Micros) -> Option<Micros> {
        instant(self.node.as_text()?, start)
    }

    pub fn place(&self) -> Place {
        self.node.place
    }
}

fn value_of(node: &Node) -> Option<Value> {
    Some(match &node.value {
        Written::Null => Value::Null,
        Written::Bool(value) => Value::Bool(*value),
        Written::Integer(value) => Value::Int64(*value),
        Written::Float(value) => Value::Float64(*value),
        Written::Text(text) => Value::Text(text.clone()),
        Written::List(_) | Written::Map(_) | Written::Invalid => return None,
    })
}

fn instant(text: &str, start: Micros) -> Option<Micros> {
    match text.parse::<Duration>() {
        Ok(since) => start.checked_add(since.micros()),
        Err(_) => text.parse::<Timestamp>().ok().map(Timestamp::micros),
    }
}

impl TestFile {
    /// Reads a test file. `None` means that an error was pushed. Of a scenario with mistakes the rest is given, so that
    /// [`Scenario::prepare`] finds what else is wrong with it.
    pub fn load(path: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Self> {
        let file = sources.read_yaml(path, None, diagnostics)?;
        let node = Node::parse(file, sources, diagnostics)?;
        let fields: TestFields = crate::decode::decode(&node, diagnostics)?;
        let mut scenarios: Vec<Scenario> = Vec::new();
        let mut names: HashMap<String, Place> = HashMap::new();
        for node in &fields.tests {
            let Some(mut scenario) = ScenarioFields::read(node, path, diagnostics) else { continue };
            let first = *names.entry(scenario.name.value.clone()).or_insert(scenario.name.place);
            if first != scenario.name.place {
                diagnostics.push(
                    Diagnostic::new(Code::NameTaken, format!("two tests are called `{}`", scenario.name.value))
                        .at(scenario.name.place)
                        .note_at(first, "the first is here")
                        .help("give each test a name of its own"),
                );
                scenario.broken = true;
            }
            scenarios.push(scenario);
        }
        Some(TestFile { path: path.to_owned(), file, scenarios })
    }
}

/// `alarms` or `minutes.late` as node and port.
fn port_of(text: &str) -> (&str, &str) {
    text.split_once('.').unwrap_or((text, MAIN))
}
