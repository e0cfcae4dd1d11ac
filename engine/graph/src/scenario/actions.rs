//! Whether the actions of a scenario name something that its pipeline has.

use std::collections::BTreeSet;

use ducto_record::Value;

use super::{Acting, Scenario};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::operator::{Actions, Subject};
use crate::pipeline::{NodeConfig, Pipeline};
use crate::site::Site;
use crate::tree::shorten;

impl Scenario {
    pub(super) fn check_actions(&self, site: &Site, pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
        let mut acts = self.steps.iter().filter_map(|step| step.what.acting()).peekable();
        // Every alarm of every tag: only where somebody asks.
        if acts.peek().is_none() {
            return;
        }
        let offered: Vec<Actions> = pipeline
            .nodes
            .iter()
            .filter_map(|node| match &node.config {
                NodeConfig::Transform(config) => Some(config.actions(&node.inputs, site)),
                _ => None,
            })
            .collect();
        for acting in acts {
            if let Some(found) = mistake(acting, &offered) {
                diagnostics.push(found);
            }
        }
    }
}

/// The first thing that is wrong with an action: what comes behind it cannot be told without it.
fn mistake(acting: &Acting, offered: &[Actions]) -> Option<Diagnostic> {
    let verb = &acting.verb;
    let subjects: Vec<&Subject> =
        offered.iter().filter(|actions| actions.verbs.contains(&verb.as_str())).flat_map(|of| &of.subjects).collect();
    let verbs: BTreeSet<&str> = offered.iter().flat_map(|actions| actions.verbs).copied().collect();
    if !verbs.contains(verb.as_str()) {
        let message = format!("no node of the pipeline knows the action `{}`", shorten(verb));
        let diagnostic = Diagnostic::new(Code::ChoiceUnknown, message).at(verb.place);
        return Some(if verbs.is_empty() {
            diagnostic.help("no node takes actions; a node of type `alarm` does")
        } else {
            diagnostic.suggest(verb, verbs)
        });
    }
    let keys: BTreeSet<&str> = subjects.iter().map(|subject| subject.of.0).collect();
    let parts: BTreeSet<&str> = subjects.iter().map(|subject| subject.part.0).collect();
    let unknown = acting.with.iter().find(|(name, _)| !keys.contains(name.as_str()) && !parts.contains(name.as_str()));
    if let (Some((name, _)), false) = (unknown, subjects.is_empty()) {
        return Some(
            Diagnostic::new(Code::FieldUnknown, format!("`{}` names nothing by `{}`", **verb, shorten(name)))
                .at(name.place)
                .suggest(name, keys.iter().chain(&parts).copied()),
        );
    }
    if subjects.is_empty() {
        return Some(
            Diagnostic::new(Code::SubjectUnknown, format!("there is nothing to {}: no tag has an alarm", **verb))
                .at(verb.place)
                .help("give a tag its `alarms` under `tags` of the test"),
        );
    }
    let Some((name, value)) = acting.with.iter().find(|(name, _)| keys.contains(name.as_str())) else {
        let example = subjects.first()?;
        return Some(
            Diagnostic::new(Code::FieldMissing, format!("`{}` does not say what it is about", **verb))
                .at(verb.place)
                .help(format!(
                    "write `with: {{{}: {}, {}: {}}}`",
                    example.of.0, example.of.1, example.part.0, example.part.1
                )),
        );
    };
    let text = written(&value.value);
    let of: Vec<&Subject> =
        subjects.iter().filter(|subject| subject.of.0 == name.as_str() && subject.of.1 == text).copied().collect();
    if of.is_empty() {
        let known: BTreeSet<&str> =
            subjects.iter().filter(|subject| subject.of.0 == name.as_str()).map(|subject| &*subject.of.1).collect();
        let message = format!("there is nothing to {} of a {} `{}`", **verb, **name, shorten(&text));
        return Some(Diagnostic::new(Code::SubjectUnknown, message).at(value.place).suggest(&text, known));
    }
    let (part, wanted) = acting.with.iter().find(|(name, _)| parts.contains(name.as_str()))?;
    let wanted_text = written(&wanted.value);
    let known: BTreeSet<&str> = of.iter().map(|subject| &*subject.part.1).collect();
    (!known.contains(wanted_text.as_str())).then(|| {
        let message = format!("`{}` has no {} `{}`", shorten(&text), **part, shorten(&wanted_text));
        Diagnostic::new(Code::SubjectUnknown, message).at(wanted.place).suggest(&wanted_text, known)
    })
}

fn written(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        other => other.to_string(),
    }
}
