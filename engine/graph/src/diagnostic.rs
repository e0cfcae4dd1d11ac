//! One finding about the configuration, and the collector that every stage pushes into.

use std::collections::{HashMap, HashSet};

use crate::codes::{Code, Severity};
use crate::source::Place;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is about.
    pub code: Code,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// A few words under the caret.
    pub label: Option<String>,
    /// What else one should know, some with a place of its own.
    pub notes: Vec<Note>,
    /// What the reader can do.
    pub help: Option<String>,
}

/// A remark of a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The remark.
    pub message: String,
    /// Where it points, `first defined here`.
    pub place: Option<Place>,
}

impl Diagnostic {
    /// A finding without a place.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), place: None, label: None, notes: Vec::new(), help: None }
    }

    /// Sets where it is; [`Place::NOWHERE`] leaves it without a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = (place != Place::NOWHERE).then_some(place);
        self
    }

    /// Sets the words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a remark.
    #[must_use]
    pub fn note(mut self, message: impl Into<String>) -> Self {
        self.notes.push(Note { message: message.into(), place: None });
        self
    }

    /// Adds a remark that points somewhere.
    #[must_use]
    pub fn note_at(mut self, place: Place, message: impl Into<String>) -> Self {
        self.notes.push(Note { message: message.into(), place: (place != Place::NOWHERE).then_some(place) });
        self
    }

    /// Sets what the reader can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to the nearest of `candidates`, or to the list of them where it is short.
    #[must_use]
    pub fn suggest<'a>(mut self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        self.help = suggestion(name, candidates).or(self.help);
        self
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// Findings, collected while a check goes on. The same finding twice is kept once.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    seen: HashSet<(Code, Option<Place>, String)>,
}

impl Diagnostics {
    /// No findings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let key = (diagnostic.code, diagnostic.place, diagnostic.message.clone());
        if self.seen.insert(key) {
            self.found.push(diagnostic);
        }
    }

    /// Adds the finding of a failed step and gives the value of one that did not fail.
    pub fn take<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.push(diagnostic);
                None
            }
        }
    }

    /// Whether there is no error; warnings may be there.
    pub fn is_ok(&self) -> bool {
        !self.found.iter().any(|found| found.severity() == Severity::Error)
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many findings of a severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|found| found.severity() == severity).count()
    }

    /// How many findings there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The findings in the order they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// The findings by file and position; those without a place come first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self.found.iter().collect();
        sorted.sort_by_key(|found| (found.place, found.code));
        sorted
    }
}

/// Findings of many assets or tags that share what is wrong, such as a template: each is told once, of the first that has
/// it, with how many others have it too.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    found: Vec<(Diagnostic, Vec<String>)>,
    index: HashMap<(Code, Place, Vec<Option<Place>>), usize>,
}

impl Alike {
    /// Adds what was found of one of them.
    pub(crate) fn add(&mut self, of: &str, found: Diagnostics) {
        for diagnostic in found {
            let Some(place) = diagnostic.place else {
                self.found.push((diagnostic, vec![of.to_owned()]));
                continue;
            };
            let key = (diagnostic.code, place, diagnostic.notes.iter().map(|note| note.place).collect());
            match self.index.get(&key).and_then(|at| self.found.get_mut(*at)) {
                // Two findings of one asset at one place are two mistakes.
                Some((_, all)) if all.last().is_some_and(|last| last != of) => all.push(of.to_owned()),
                _ => {
                    self.index.insert(key, self.found.len());
                    self.found.push((diagnostic, vec![of.to_owned()]));
                }
            }
        }
    }

    /// The findings; `noun` says what they are of.
    pub(crate) fn finish(self, noun: &str, into: &mut Diagnostics) {
        const NAMED: usize = 3;
        for (mut diagnostic, of) in self.found {
            let others = of.get(1..).unwrap_or_default();
            if let Some((first, rest)) = others.split_first() {
                let named: Vec<&str> = std::iter::once(first).chain(rest).take(NAMED).map(String::as_str).collect();
                let more = match others.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let plural = if others.len() == 1 { "" } else { "s" };
                diagnostic = diagnostic.note(format!(
                    "the same holds for {} other {noun}{plural}: {}{more}",
                    others.len(),
                    quoted_list(&named)
                ));
            }
            into.push(diagnostic);
        }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The candidate that `name` was probably meant to be, if one is near enough.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lowered = name.to_lowercase();
    // A third of the letters may be wrong; a name of two letters has no neighbours.
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&lowered, &other);
            let near = distance <= allowed && distance < other.chars().count();
            // `psgi` is nearer to `psig` than to `PSIG`.
            near.then(|| (distance, strsim::damerau_levenshtein(name, candidate), candidate))
        })
        .min()
        .map(|(.., candidate)| candidate.to_owned())
}

/// Longest list of known names that a help line spells out.
const LISTED: usize = 12;

/// "did you mean `x`?", else the known names if there are few, else nothing.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let nearest = did_you_mean(name, candidates.iter().copied());
    let known = (1..=LISTED).contains(&candidates.len()).then(|| quoted_list(&candidates));
    match (nearest, known) {
        (Some(nearest), Some(known)) if candidates.len() > 1 => {
            Some(format!("did you mean `{nearest}`? Known: {known}"))
        }
        (Some(nearest), _) => Some(format!("did you mean `{nearest}`?")),
        (None, Some(known)) => Some(format!("known: {known}")),
        (None, None) => None,
    }
}

/// "`a`, `b`, `c`".
pub(crate) fn quoted_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["inputs", "type", "every", "WELL-001.THP"];
        assert_eq!(did_you_mean("input", known).as_deref(), Some("inputs"));
        assert_eq!(did_you_mean("tpye", known).as_deref(), Some("type"));
        assert_eq!(did_you_mean("well-01.thp", known).as_deref(), Some("WELL-001.THP"));
        assert_eq!(did_you_mean("psgi", ["PSIG", "psig"]).as_deref(), Some("psig"));
        assert_eq!(did_you_mean("zzz", known), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
        assert_eq!(suggestion("zzz", ["a", "b"]).as_deref(), Some("known: `a`, `b`"));
    }

    #[test]
    fn findings_are_sorted_and_kept_once() {
        let mut sources = Sources::new();
        let a = sources.add_text("a", "12345");
        let b = sources.add_text("b", "12345");
        let mut found = Diagnostics::new();
        let error = |place| Diagnostic::new(Code::ValueInvalid, "x").at(place);
        found.push(error(Place::text(b, 0, 1)));
        found.push(error(Place::text(a, 3, 4)));
        found.push(error(Place::text(a, 1, 2)));
        found.push(error(Place::text(a, 1, 2)));
        found.push(Diagnostic::new(Code::FileMissing, "y"));
        assert_eq!(found.len(), 4);
        let places: Vec<_> = found.sorted().iter().map(|d| d.place).collect();
        assert!(places.is_sorted());
        assert!(!found.is_ok());
    }

    #[test]
    fn warnings_are_no_failure() {
        let mut found = Diagnostics::new();
        found.push(Diagnostic::new(Code::ColumnsWithoutName, "x"));
        assert!(found.is_ok());
        assert!(!found.is_empty());
    }
}
