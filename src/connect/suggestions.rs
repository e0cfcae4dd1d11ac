//! Proposals, and what is not proposed, as people and programs read them.

use std::collections::BTreeMap;

use ducto_graph::site::Site;
use ducto_operators::sources::modbus::probe::Answered;
use ducto_operators::sources::modbus::suggest::{Cause, Change, Doubt, Finding, Outcome, Possible};
use serde_json::{Value as Json, json};

use crate::load::{counted, grouped};
use crate::reading::registers_text;
use crate::screen;
use crate::table::{number, wrapped};

/// Assets of one template with the same proposal from which on the template is the better place for it.
const SHARED: usize = 3;

pub(crate) fn text(site: &Site, findings: &[Finding], answered: &[Answered]) -> String {
    let mut proposals = String::new();
    let mut proposed = 0;
    // Those whose values cannot be right, and those whose values may be.
    let mut left = [(0, String::new()), (0, String::new())];
    for finding in findings {
        let name = name(site, finding);
        match &finding.outcome {
            Outcome::Proposal { changes, possible, reason, .. } => {
                proposed += 1;
                for Change { field, value } in changes {
                    proposals.push_str(&format!("  {name};{field};{value}\n"));
                }
                let reason = format!("{reason} ({})", registers_text(&possible.registers));
                proposals.push_str(&set_in(&reason, 6));
            }
            Outcome::Open { possible, doubt } => {
                let (count, open) = &mut left[usize::from(finding.may_be_right)];
                *count += 1;
                open.push_str(&set_in(&format!("{name}  {}", finding.now), 2));
                for way in possible {
                    open.push_str(&set_in(&possible_text(way), 6));
                }
                open.push_str(&set_in(doubt_text(*doubt), 6));
            }
        }
    }
    let mut text = String::new();
    if proposed > 0 {
        text.push_str(&format!(
            "\nproposed for {}, as lines of a table of overrides (tag;field;value)\n",
            counted(proposed, "tag")
        ));
        text.push_str(&proposals);
        text.push_str(&shared(site, findings, answered));
    }
    let whose = [
        ["that reads nothing that can be right", "that read nothing that can be right"],
        ["whose value is in doubt, but may be right", "whose values are in doubt, but may be right"],
    ];
    for ((count, open), whose) in left.into_iter().zip(whose).filter(|((count, _), _)| *count > 0) {
        let whose = whose[usize::from(count != 1)];
        text.push_str(&format!("\nnothing is proposed for {} {whose}\n{open}", counted(count, "tag")));
    }
    if findings.is_empty() {
        let members = || answered.iter().flat_map(|answered| answered.endpoint.members.iter().zip(&answered.members));
        let tags: usize = members().map(|(member, _)| member.tags.len()).sum();
        let readings = members().flat_map(|(_, answer)| &answer.readings);
        let read = readings.filter(|reading| !reading.registers.is_empty()).count();
        text.push_str(&match tags - read {
            0 => "\nevery tag reads as what it is said to be\n".to_owned(),
            unread => format!(
                "\nwhat was read is what it is said to be; nothing was read of {} of {}\n",
                grouped(unread as u64),
                counted(tags, "tag")
            ),
        });
    }
    text.push('\n');
    text
}

/// A text so far in from the left as lines of the terminal. What is said of a name goes on a little further in.
fn set_in(text: &str, depth: usize) -> String {
    let width = usize::from(screen::size().0);
    // A name stands before two spaces.
    let (name, rest) = text.split_at(text.find("  ").map_or(0, |at| at + 2));
    let further = if name.is_empty() { depth } else { depth + 4 };
    let parts = wrapped(rest, width.saturating_sub(depth.max(further) + name.chars().count()).max(20));
    let lines = parts.iter().enumerate().map(|(at, part)| match at {
        0 => format!("{}{name}{part}\n", " ".repeat(depth)),
        _ => format!("{}{part}\n", " ".repeat(further)),
    });
    lines.collect()
}

/// What is the same on many assets of a template belongs into the template.
fn shared(site: &Site, findings: &[Finding], answered: &[Answered]) -> String {
    let mut template_of: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut assets_of: BTreeMap<&str, usize> = BTreeMap::new();
    for member in answered.iter().flat_map(|answer| &answer.endpoint.members) {
        if let Some(template) = &member.template {
            template_of.insert(&member.asset, (template, member.index));
            *assets_of.entry(template).or_default() += 1;
        }
    }
    let mut same: BTreeMap<(&str, &str, &str, &str), usize> = BTreeMap::new();
    for finding in findings {
        let Outcome::Proposal { changes, .. } = &finding.outcome else { continue };
        let Some((asset, variable)) = name(site, finding).rsplit_once('.') else { continue };
        let Some((template, _)) = template_of.get(asset) else { continue };
        for change in changes {
            *same.entry((template, variable, &change.field, &change.value)).or_default() += 1;
        }
    }
    let mut text = String::new();
    for ((template, variable, field, value), count) in same {
        let of = assets_of.get(template).copied().unwrap_or(0);
        if count >= SHARED && count * 2 > of {
            text.push_str(&format!(
                "  `{field}: {value}` for {variable} fits on {count} of {of} assets of `{template}`: set it there instead\n"
            ));
        }
    }
    text
}

fn name<'a>(site: &'a Site, finding: &Finding) -> &'a str {
    site.tag(finding.tag).map_or("?", |tag| tag.name.as_str())
}

fn possible_text(way: &Possible) -> String {
    let reads = if way.changes.is_empty() { "reads" } else { "would read" };
    let value = if way.value.is_finite() { format!("{reads} {}", number(way.value)) } else { "no number".to_owned() };
    format!("{}: {value} ({})", way.text, registers_text(&way.registers))
}

const fn doubt_text(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Nothing => "nothing that was tried fits: check the address and the type against the device's list",
        Doubt::Several => "more than one way fits: compare with the device's own display",
        Doubt::Still => "the value does not move, so that anything may stand there: look again while it changes",
        Doubt::Device => "other tags of this device do not fit either: check which device it is, and its list",
        Doubt::Sensor => "the sensor may have failed, or the value be unusual: compare with the device's own display",
    }
}

pub(crate) fn json(site: &Site, findings: &[Finding]) -> Json {
    findings
        .iter()
        .map(|finding| match &finding.outcome {
            Outcome::Proposal { changes, possible, cause, reason } => json!({
                "tag": name(site, finding),
                "now": finding.now,
                "proposed": changes_json(changes),
                "value": finite(possible.value),
                "registers": possible.registers,
                "cause": cause_text(cause),
                "reason": reason,
            }),
            Outcome::Open { possible, doubt } => {
                let possible: Vec<Json> = possible
                    .iter()
                    .map(|way| {
                        json!({
                            "changes": changes_json(&way.changes),
                            "text": way.text,
                            "value": finite(way.value),
                            "registers": way.registers,
                        })
                    })
                    .collect();
                json!({
                    "tag": name(site, finding),
                    "now": finding.now,
                    "proposed": null,
                    "possible": possible,
                    "doubt": doubt_text(*doubt),
                })
            }
        })
        .collect()
}

fn changes_json(changes: &[Change]) -> Json {
    changes.iter().map(|change| json!({"field": change.field, "value": change.value})).collect()
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

const fn cause_text(cause: &Cause) -> &'static str {
    match cause {
        Cause::Peers { .. } => "peers",
        Cause::Device { .. } => "device",
        Cause::Template { .. } => "template",
        Cause::Values => "values",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use ducto_record::TagId;

    use super::*;

    fn open(tag: TagId, now: &str, may_be_right: bool) -> Finding {
        let way =
            Possible { changes: Vec::new(), text: "as it is set".to_owned(), value: 290.0, registers: vec![1, 2] };
        let outcome = Outcome::Open { possible: vec![way], doubt: Doubt::Several };
        Finding { tag, now: now.to_owned(), may_be_right, outcome }
    }

    #[test]
    fn a_value_inside_its_span_is_not_said_to_be_wrong() {
        let site = Arc::new(Site::bare(["W.A", "W.B", "W.C"]));
        let id = |name: &str| site.tags.iter().find(|tag| tag.name.value == name).map(|tag| tag.id).unwrap();
        let findings = [
            open(id("W.A"), "1.2e33, which no sensor of [0, 5000] gives", false),
            open(id("W.B"), "290.00, inside [0, 5000]", true),
            open(id("W.C"), "0", true),
        ];
        let text = text(&site, &findings, &[]);
        let (wrong, doubtful) = text.split_once("in doubt").unwrap();
        assert!(wrong.contains("1 tag that reads nothing that can be right\n  W.A"), "{text}");
        assert!(wrong.contains("nothing is proposed for 2 tags whose values are "), "{text}");
        assert!(doubtful.starts_with(", but may be right\n  W.B  290.00, inside [0, 5000]\n"), "{text}");
        assert!(doubtful.contains("as it is set: reads 290.0 (") && doubtful.contains("W.C"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
