//! The newest value of each tag, while somebody looks at them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ducto_record::{Checks, Quality};
use ducto_site::Streams;
use ducto_site::protocol::{Answer, Ask, RowFormat, Status, TapAsk};

use crate::ask::{self, Following, Heard};
use crate::output::Failure;
use crate::tap::cells::{Column, join};
use crate::times::Zone;
use crate::words::Language;

/// Taps at once.
const TAPS: usize = 4;
/// After which a tap that failed is opened again.
const AGAIN: Duration = Duration::from_secs(2);
/// Answers of one tap that are taken in at a time.
const ANSWERS: usize = 256;

/// A tag's newest value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) time: i64,
    pub(super) text: String,
    pub(super) unit: String,
    pub(super) quality: Quality,
    pub(super) checks: Checks,
}

impl Value {
    /// `sub-normal: spike`.
    pub(super) fn words(&self, language: Language) -> String {
        let word = language.quality(self.quality);
        let failed = join(self.checks);
        if failed.is_empty() { word.to_owned() } else { format!("{word}: {failed}") }
    }
}

/// Takes in what the ports give that the site stores: there a value has been checked.
#[derive(Default)]
pub(super) struct Values {
    by_tag: BTreeMap<String, Value>,
    taps: Vec<(String, Following, Streams)>,
    tried: Option<Instant>,
    problem: Option<String>,
}

impl Values {
    /// Opens the taps that the site's graphs suggest, unless they are open; what failed is tried again after a while.
    pub(super) fn open(&mut self, folder: &Path, status: &Status) {
        if !self.taps.is_empty() || self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return;
        }
        self.tried = Some(Instant::now());
        self.problem = None;
        for name in ports(status) {
            match follow(folder, &name) {
                Ok(following) => self.taps.push((name, following, Streams::default())),
                Err(failure) => self.problem = Some(failure.message),
            }
        }
    }

    /// Closes the taps: what nobody looks at costs nothing.
    pub(super) fn close(&mut self) {
        self.taps.clear();
        self.tried = None;
    }

    /// Where the values are from, or why there are none.
    pub(super) fn from(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        let names: Vec<&str> = self.taps.iter().map(|(name, _, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Takes in what has come; whether anything has.
    pub(super) fn listen(&mut self) -> bool {
        let mut news = false;
        let mut taps = std::mem::take(&mut self.taps);
        taps.retain_mut(|(_, following, streams)| {
            for _ in 0..ANSWERS {
                match following.next(Duration::ZERO) {
                    None => break,
                    Some(Heard::Answer(Answer::Arrow(piece))) => {
                        for batch in streams.take(piece).unwrap_or_default() {
                            news = true;
                            self.take(&Column::all(&batch), batch.num_rows());
                        }
                    }
                    Some(Heard::Answer(_)) => {}
                    Some(Heard::Ended(_)) => return false,
                    Some(Heard::Failed(error)) => {
                        self.problem = Some(error.to_string());
                        return false;
                    }
                }
            }
            true
        });
        self.taps = taps;
        news
    }

    fn take(&mut self, columns: &[Column], rows: usize) {
        let column = |name: &str| columns.iter().find(|column| column.name == name);
        let (Some(time), Some(tag), Some(value), Some(quality)) =
            (column("time"), column("tag"), column("value"), column("quality"))
        else {
            return;
        };
        let (unit, checks, state) = (column("unit"), column("checks"), column("state"));
        // Times are not shown, so any zone will do.
        let zone = Zone::named("UTC");
        for row in 0..rows {
            let at = time.time(row).unwrap_or_default();
            let tag = tag.plain(row);
            // A row that comes late is not the newest.
            if self.by_tag.get(&tag).is_some_and(|known| known.time > at) {
                continue;
            }
            let state = state.filter(|state| !state.is_null(row));
            let new = Value {
                time: at,
                text: state.unwrap_or(value).text(row, &zone, Language::English),
                unit: unit.filter(|unit| !unit.is_null(row)).map(|unit| unit.plain(row)).unwrap_or_default(),
                quality: quality.quality(row).unwrap_or(Quality::BAD),
                checks: checks.and_then(|checks| checks.checks(row)).unwrap_or_default(),
            };
            self.by_tag.insert(tag, new);
        }
    }

    /// By name, or the worst first.
    pub(super) fn sorted(&self, worst_first: bool) -> Vec<(&str, &Value)> {
        let mut values: Vec<(&str, &Value)> = self.by_tag.iter().map(|(tag, value)| (tag.as_str(), value)).collect();
        if worst_first {
            values.sort_by_key(|(_, value)| value.quality.class());
        }
        values
    }

    #[cfg(test)]
    pub(super) fn of(values: &[(&str, Value)]) -> Self {
        Self {
            by_tag: values.iter().map(|(tag, value)| ((*tag).to_owned(), value.clone())).collect(),
            ..Self::default()
        }
    }
}

fn follow(folder: &Path, name: &str) -> Result<Following, Failure> {
    let client = ask::connect_to(folder)?;
    Following::start(client, Ask::Tap(TapAsk { name: name.to_owned(), format: RowFormat::Arrow, ..TapAsk::default() }))
}

/// The ports of samples that sinks store; where there are none, those of sources.
fn ports(status: &Status) -> Vec<String> {
    let mut stored: Vec<String> = Vec::new();
    let mut sources: Vec<String> = Vec::new();
    for pipeline in &status.pipelines {
        let gives_samples = |name: &str| {
            let (node, port) = name.split_once('.').map_or((name, None), |(node, port)| (node, Some(port)));
            let node = pipeline.nodes.iter().find(|other| other.id == node);
            let of_node = |node: &ducto_site::protocol::NodeState| {
                let port = port.map_or(node.ports.first(), |port| node.ports.iter().find(|own| own.name == port));
                port.is_some_and(|port| port.samples)
            };
            node.is_some_and(of_node)
        };
        for node in &pipeline.nodes {
            if node.dataset.is_some() {
                let inputs = node.inputs.iter().filter(|input| gives_samples(input));
                stored.extend(inputs.map(|input| format!("{}.{input}", pipeline.id)));
            }
            if node.inputs.is_empty() && gives_samples(&node.id) {
                sources.push(format!("{}.{}", pipeline.id, node.id));
            }
        }
    }
    let mut ports = if stored.is_empty() { sources } else { stored };
    let mut seen = std::collections::BTreeSet::new();
    ports.retain(|port| seen.insert(port.clone()));
    ports.truncate(TAPS);
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_the_site_stores() {
        let mut status = super::super::sample::status(1);
        assert_eq!(ports(&status), ["well-monitoring.checked"]);
        for node in &mut status.pipelines[0].nodes {
            node.dataset = None;
        }
        assert_eq!(ports(&status), ["well-monitoring.field"]);
    }
}
