//! Proposals, and what is not proposed, as people and programs read them.

use std::collections::BTreeMap;

use ducto_graph::site::Site;
use ducto_operators::sources::modbus::probe::Answered;
use ducto_operators::sources::modbus::suggest::{Cause, Change, Doubt, Finding, Outcome, Possible};
use serde_json::{Value as Json, json};

use crate::load::counted;
use crate::reading::registers_text;
use crate::table::{number, wrapped};

/// Assets of one template with the same proposal from which on the template is the better place for it.
const SHARED: usize = 3;

pub(crate) fn text(site: &Site, findings: &[Finding], answered: &[Answered]) -> String {
    let (mut proposals, mut open) = (String::new(), String::new());
    let (mut proposed, mut left) = (0, 0);
    for finding in findings {
        let name = name(site, finding);
        match &finding.outcome {
            Outcome::Proposal { changes, possible, reason, .. } => {
                proposed += 1;
                for Change { field, value } in changes {
                    proposals.push_str(&format!("  {name};{field};{value}\n"));
                }
                let reason = format!("{reason} ({})", registers_text(&possible.registers));
                wrapped(&reason, 74).iter().for_each(|line| proposals.push_str(&format!("      {line}\n")));
            }
            Outcome::Open { possible, doubt } => {
                left += 1;
                open.push_str(&format!("  {name}  {}\n", finding.now));
                for way in possible {
                    open.push_str(&format!("      {}\n", possible_text(way)));
                }
                open.push_str(&format!("      {}\n", doubt_text(*doubt)));
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
    if left > 0 {
        text.push_str(&format!(
            "\nnothing is proposed for {} that cannot be right as {} set\n",
            counted(left, "tag"),
            if left == 1 { "it is" } else { "they are" }
        ));
        text.push_str(&open);
    }
    if findings.is_empty() {
        text.push_str("\nevery tag reads as what it is said to be\n");
    }
    text.push('\n');
    text
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
    let value =
        if way.value.is_finite() { format!("would read {}", number(way.value)) } else { "no number".to_owned() };
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
