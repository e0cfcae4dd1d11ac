//! What the files of a site do not say as the list did, or what the list left open.

use ducto_graph::source::{Place, Sources};
use serde_json::{Value as Json, json};

/// What became of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Somebody must fill it in before the site is complete.
    Missing,
    /// It is left out.
    Dropped,
    /// It is said in another way, which is not quite the same.
    Approximated,
    /// The list does not say it, and this was taken.
    Assumed,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Missing, Self::Dropped, Self::Approximated, Self::Assumed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Dropped => "dropped",
            Self::Approximated => "approximated",
            Self::Assumed => "assumed",
        }
    }

    /// The head of its part of the report.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Missing => "to fill in",
            Self::Dropped => "left out",
            Self::Approximated => "not quite the same",
            Self::Assumed => "taken because the list does not say it",
        }
    }
}

/// One setting of one tag or device.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    pub place: Place,
    /// The asset or the tag.
    pub of: String,
    /// As the list calls it.
    pub setting: String,
    /// What the list says; empty where it says nothing.
    pub value: String,
    pub outcome: Outcome,
    pub reason: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    all: Vec<Remark>,
}

/// Remarks that say the same of many tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    pub first: &'a Remark,
    pub count: usize,
}

impl Remarks {
    pub fn push(&mut self, remark: Remark) {
        self.all.push(remark);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Remark> {
        self.all.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Those of one outcome, equal settings with equal reasons counted together.
    pub fn groups(&self, outcome: Outcome) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut known: std::collections::HashMap<(&str, &str), usize> = std::collections::HashMap::new();
        for remark in self.all.iter().filter(|remark| remark.outcome == outcome) {
            let at = *known.entry((&remark.setting, &remark.reason)).or_insert_with(|| {
                groups.push(Group { first: remark, count: 0 });
                groups.len() - 1
            });
            groups[at].count += 1;
        }
        groups
    }

    /// An array of objects with `outcome`, `of`, `setting`, `value`, `reason`, `file`, `line`, `column`, `sheet`, `cell`.
    pub fn to_json(&self, sources: &Sources) -> Json {
        self.all
            .iter()
            .map(|remark| {
                let position = sources.position(remark.place);
                let (sheet, cell) = sources.cell_name(remark.place).unzip();
                json!({
                    "outcome": remark.outcome.name(),
                    "of": remark.of,
                    "setting": remark.setting,
                    "value": remark.value,
                    "reason": remark.reason,
                    "file": sources.path(remark.place.file).display().to_string(),
                    "line": position.map(|position| position.line),
                    "column": position.map(|position| position.column),
                    "sheet": sheet,
                    "cell": cell,
                })
            })
            .collect()
    }
}

/// `WELL-017.csv:5:3`, `tags.xlsx Sheet1!C7`.
pub fn place_text(place: Place, sources: &Sources) -> String {
    let file = sources.path(place.file).display();
    if let Some(position) = sources.position(place) {
        return format!("{file}:{}:{}", position.line, position.column);
    }
    match sources.cell_name(place) {
        Some((sheet, cell)) => format!("{file} {sheet}!{cell}"),
        None => file.to_string(),
    }
}
