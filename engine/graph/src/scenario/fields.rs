//! The fields of test files, and what they mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ducto_record::{Micros, Quality};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Acting, ENDING, Expectation, Expected, ExpectedRow, Happening, Scenario, Sent, Step, instant, port_of, value_of,
};
use crate::codes::Code;
use crate::decode::{OrderedMap, decode, decode_field, decode_items};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::scalar::{Duration, Timestamp};
use crate::source::Place;
use crate::tree::{Node, Spanned, Value, shorten};

/// 2026-01-01T00:00:00Z.
const DEFAULT_START: i64 = 1_767_225_600_000_000;
/// How long a test may last: longer ones move the clock beyond what times can say.
const LONGEST: Micros = 100 * 366 * ducto_record::time::DAY;

/// A test file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFields {
    /// The tests.
    #[schemars(with = "Vec<ScenarioFields>")]
    pub tests: Vec<Node>,
}

/// A test: what happens on a virtual clock, and the rows that come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFields {
    /// What it shows, in a few words.
    pub name: Spanned<String>,
    /// The pipeline: a path relative to this file, or a name. Without it, `x.test.yaml` tests `x.yaml` beside it.
    #[serde(default)]
    pub pipeline: Option<Spanned<String>>,
    /// Values of the pipeline's parameters.
    #[serde(default)]
    pub with: OrderedMap<Node>,
    /// A site whose tags, limits and settings it runs with: a path relative to this file.
    #[serde(default)]
    pub site: Option<Spanned<String>>,
    /// The time at which the clock starts: 2026-01-01T00:00:00Z where it is not given.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// Tags with their settings, by name. Tags of the site keep what is not said here.
    #[serde(default)]
    pub tags: OrderedMap<Node>,
    /// What is known of the tags' assets, as the table of assets would say it: `{W: {kind: well, area: north}}`.
    #[serde(default)]
    pub assets: OrderedMap<BTreeMap<String, String>>,
    /// What happens, in the order of time.
    #[serde(default)]
    pub steps: Vec<Spanned<StepFields>>,
    /// The rows that must come, by node or `node.port`. `[]` says that none may come.
    #[serde(default)]
    pub expect: OrderedMap<Vec<Spanned<OrderedMap<Node>>>>,
    /// Compare every column, and not only those named.
    #[serde(default)]
    pub exact: bool,
}

/// Something that happens: one of `send`, `file`, `advance`, `action`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFields {
    /// When, since the start; without it, when the step before happened.
    #[serde(default)]
    pub at: Option<Spanned<Duration>>,
    /// Samples that enter at once, by tag: a value, or `{value, quality, time}`.
    #[serde(default)]
    pub send: Option<Spanned<OrderedMap<Node>>>,
    /// A recorded file that enters: Parquet, CSV or JSON lines; a path relative to this file.
    #[serde(default)]
    pub file: Option<Spanned<String>>,
    /// The clock moves on by this much.
    #[serde(default)]
    pub advance: Option<Spanned<Duration>>,
    /// Something that a person asks for: `acknowledge`, `reset`.
    #[serde(default)]
    pub action: Option<Spanned<String>>,
    /// What the action is about: `{tag: W.THP, alarm: H}`.
    #[serde(default)]
    pub with: OrderedMap<Node>,
    /// Who asks; `test` where it is not given.
    #[serde(default)]
    pub user: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentFields {
    #[serde(default)]
    value: Option<Node>,
    #[serde(default)]
    quality: Option<Node>,
    #[serde(default)]
    time: Option<Spanned<String>>,
}

impl ScenarioFields {
    /// A scenario with everything of it that can be read. `None` where that is nothing.
    pub(super) fn read(node: &Node, path: &Path, found: &mut Diagnostics) -> Option<Scenario> {
        let before = found.len();
        let mut node = node.clone();
        take_exact(&mut node, found);
        let fields = match decode::<Self>(&node, found) {
            Some(fields) => fields,
            None if matches!(node.value, Value::Map(_)) => Self::parts(&node),
            None => return None,
        };
        let broken = found.len() > before;
        let mut scenario = fields.scenario(node.place, path, found);
        scenario.broken |= broken;
        Some(scenario)
    }

    /// What can be read of a scenario that has mistakes, which are reported.
    fn parts(node: &Node) -> Self {
        let expect = node.get("expect").map_or(&[][..], Node::entries).iter();
        Self {
            name: decode_field(node, "name").unwrap_or_else(|| Spanned::new(String::new(), node.place)),
            pipeline: decode_field(node, "pipeline"),
            with: decode_field(node, "with").unwrap_or_default(),
            site: decode_field(node, "site"),
            start: decode_field(node, "start"),
            tags: decode_field(node, "tags").unwrap_or_default(),
            assets: decode_field(node, "assets").unwrap_or_default(),
            steps: decode_items(node, "steps"),
            expect: OrderedMap(
                expect
                    .filter_map(|entry| Some((entry.key.clone(), decode(&entry.value, &mut Diagnostics::new())?)))
                    .collect(),
            ),
            exact: false,
        }
    }

    fn scenario(self, place: Place, path: &Path, found: &mut Diagnostics) -> Scenario {
        let before = found.len();
        let folder = path.parent().unwrap_or(Path::new(""));
        let pipeline = match &self.pipeline {
            Some(name) => name.clone().map(|name| pipeline_path(folder, &name)),
            None => {
                let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stem = file.strip_suffix(ENDING).unwrap_or(file);
                Spanned::new(folder.join(format!("{stem}.yaml")), self.name.place)
            }
        };
        let start = self.start.map_or(DEFAULT_START, Timestamp::micros);
        let mut steps = Vec::new();
        let mut clock = start;
        for step in self.steps {
            if let Some(step) = step.value.step(step.place, start, &mut clock, folder, found) {
                steps.push(step);
            }
        }
        let expect = self.expect.into_iter().filter_map(|(port, rows)| expectation(port, rows, found)).collect();
        let scenario = Scenario {
            name: self.name,
            pipeline,
            with: self.with,
            site: self.site.map(|site| site.map(|site| folder.join(site))),
            start,
            tags: self.tags,
            assets: self.assets,
            steps,
            expect,
            exact: self.exact,
            place,
            broken: false,
        };
        Scenario { broken: found.len() > before, ..scenario }
    }
}

/// `exact` inside `expect`, where it would be a node: a slip that the type of its value gives away.
fn take_exact(node: &mut Node, found: &mut Diagnostics) {
    let Value::Map(entries) = &mut node.value else { return };
    let Some(expect) = entries.iter_mut().find(|entry| entry.key.value == "expect") else { return };
    if expect.value.get("exact").is_some_and(|exact| matches!(exact.value, Value::Bool(_)))
        && let Some(exact) = expect.value.take("exact")
    {
        found.push(
            Diagnostic::new(Code::FieldUnknown, "`exact` stands inside `expect`, where the names of nodes stand")
                .at(exact.key.place)
                .help("write `exact: true` beside `expect:`, as far to the left as that"),
        );
    }
}

/// A path, or the name of a pipeline beside the test; a name that has no file may be built in.
fn pipeline_path(folder: &Path, name: &str) -> PathBuf {
    if name.ends_with(".yaml") || name.contains('/') {
        return folder.join(name);
    }
    let beside = folder.join(format!("{name}.yaml"));
    if beside.exists() { beside } else { PathBuf::from(name) }
}

fn expectation(
    port: Spanned<String>,
    rows: Vec<Spanned<OrderedMap<Node>>>,
    found: &mut Diagnostics,
) -> Option<Expectation> {
    let rows = rows.into_iter().map(|row| ExpectedRow {
        columns: row.value.into_iter().map(|(column, node)| (column, Expected { node })).collect(),
        place: row.place,
    });
    let rows: Vec<ExpectedRow> = rows.collect();
    if let Some(empty) = rows.iter().find(|row| row.columns.is_empty()) {
        found.push(
            Diagnostic::new(Code::FieldMissing, "an expected row names no column")
                .at(empty.place)
                .help("name the columns that matter: `{time: 6s, event: raised}`"),
        );
        return None;
    }
    let (node, name) = port_of(&port);
    Some(Expectation { node: node.to_owned(), port: name.to_owned(), place: port.place, rows })
}

impl StepFields {
    /// The step with its time; the clock is moved to it.
    fn step(
        self,
        place: Place,
        start: Micros,
        clock: &mut Micros,
        folder: &Path,
        found: &mut Diagnostics,
    ) -> Option<Step> {
        let kinds: Vec<&str> = [
            self.send.as_ref().map(|_| "send"),
            self.file.as_ref().map(|_| "file"),
            self.advance.as_ref().map(|_| "advance"),
            self.action.as_ref().map(|_| "action"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [kind] = kinds[..] else {
            let names: Vec<String> = kinds.iter().map(|name| format!("`{name}`")).collect();
            let message = if names.is_empty() {
                "nothing happens in this step".to_owned()
            } else {
                format!("several things happen in one step: {}", names.join(", "))
            };
            found.push(
                Diagnostic::new(Code::FieldMissing, message)
                    .at(place)
                    .help("give a step one of `send`, `file`, `advance`, `action`"),
            );
            return None;
        };
        let by = self.at.as_ref().map(|at| (start.saturating_add(at.value.micros()), at.place));
        if let Some((at, place)) = by {
            if at < *clock {
                found.push(
                    Diagnostic::new(Code::ValueInvalid, "the step lies before the one above it")
                        .at(place)
                        .help("write steps in the order of time; a late sample has a `time` of its own"),
                );
                return None;
            }
            *clock = at;
        }
        if let Some(advance) = &self.advance {
            *clock = clock.saturating_add(advance.value.micros());
        }
        if *clock > start.saturating_add(LONGEST) {
            found.push(
                Diagnostic::new(Code::NumberOutOfRange, "the test lasts more than a hundred years")
                    .at(place)
                    .help("check the unit of the duration"),
            );
            return None;
        }
        let of_actions =
            [(!self.with.is_empty(), "with"), (self.user.is_some(), "user"), (self.reason.is_some(), "reason")];
        if let Some((_, name)) = of_actions.iter().find(|(given, _)| *given && kind != "action") {
            found.push(
                Diagnostic::new(Code::FieldUnknown, format!("`{name}` belongs to an `action`"))
                    .at(place)
                    .help("remove it, or add `action: …`"),
            );
            return None;
        }
        let what = if let Some(send) = self.send {
            Happening::Send(sent(send, start, found))
        } else if let Some(file) = self.file {
            Happening::File(file.map(|file| folder.join(file)))
        } else if let Some(action) = self.action {
            let mut with = Vec::new();
            for (name, node) in self.with {
                match value_of(&node) {
                    Some(value) => with.push((name, Spanned::new(value, node.place))),
                    None => {
                        found.push(not_single(&node));
                        return None;
                    }
                }
            }
            Happening::Act(Acting {
                verb: action,
                with,
                user: self.user.unwrap_or_else(|| "test".to_owned()).into(),
                reason: self.reason.map(Into::into),
            })
        } else {
            Happening::Advance
        };
        Some(Step { at: *clock, what, place })
    }
}

fn not_single(node: &Node) -> Diagnostic {
    Diagnostic::new(Code::TypeMismatch, format!("expected a single value, found {}", node.describe())).at(node.place)
}

/// The samples of a step; one with a mistake is left out.
fn sent(send: Spanned<OrderedMap<Node>>, start: Micros, found: &mut Diagnostics) -> Vec<Sent> {
    if send.value.is_empty() {
        found.push(Diagnostic::new(Code::FieldMissing, "nothing is sent").at(send.place).help("write `{TAG: value}`"));
    }
    let mut all = Vec::new();
    for (tag, node) in send.value {
        // Several samples of one tag are a list.
        let items = if matches!(node.value, Value::List(_)) { node.items().to_vec() } else { vec![node] };
        all.extend(items.iter().filter_map(|item| one_sent(tag.clone(), item, start, found)));
    }
    all
}

fn one_sent(tag: Spanned<String>, node: &Node, start: Micros, found: &mut Diagnostics) -> Option<Sent> {
    let fields = match &node.value {
        Value::Map(_) | Value::Invalid => decode::<SentFields>(node, found)?,
        _ => SentFields { value: Some(node.clone()), quality: None, time: None },
    };
    let value = match &fields.value {
        None => ducto_record::Value::Null,
        Some(value) => match value_of(value) {
            Some(value) => value,
            None => {
                found.push(not_single(value));
                return None;
            }
        },
    };
    let quality = match &fields.quality {
        Some(node) => quality(node, found)?,
        None => Quality::GOOD,
    };
    let time = match &fields.time {
        None => None,
        Some(text) => {
            let time = instant(text, start);
            if time.is_none() {
                found.push(
                    Diagnostic::new(Code::ValueInvalid, format!("`{}` is no time", shorten(text)))
                        .at(text.place)
                        .help("write a duration since the start, `6s`, or RFC 3339"),
                );
                return None;
            }
            time
        }
    };
    Some(Sent { tag, value, quality, time })
}

/// A code, `192`, or its name.
fn quality(node: &Node, found: &mut Diagnostics) -> Option<Quality> {
    let text = node.as_text().unwrap_or_default();
    let quality = match text.parse::<u16>() {
        Ok(code) => Some(Quality(code)).filter(|quality| quality.is_defined()),
        Err(_) => Quality::named(text),
    };
    if quality.is_none() {
        found.push(
            Diagnostic::new(Code::ValueInvalid, format!("{} is no quality", node.describe()))
                .at(node.place)
                .help("write a code such as `192`, or a name such as `GOOD`, `UNCERTAIN`, `BAD`, `COMM_FAILURE`"),
        );
    }
    quality
}
