//! Alarms of Ignition as alarms of tags.

use ducto_graph::tree::{Node, Value as Json};

use crate::Reader;
use crate::ignition::Member;
use crate::model::{Tag, Value};
use crate::names;
use crate::remarks::Outcome::{Approximated, Dropped};

/// An alarm of which the name is still to be found.
struct Found<'a> {
    node: &'a Node,
    name: String,
    kind: &'static str,
    limit: Option<f64>,
}

/// Fields that are looked at, or change nothing of when an alarm is raised.
const SILENT: [&str; 15] = [
    "name",
    "mode",
    "enabled",
    "setpointA",
    "setpointB",
    "deadband",
    "deadbandMode",
    "timeOnDelaySeconds",
    "timeOffDelaySeconds",
    "priority",
    "inclusiveA",
    "inclusiveB",
    "label",
    "displayPath",
    "notes",
];

/// Sets `alarms` of a tag. Of several limits of one direction the nearest is `H` or `L`, the next `HH` or `LL`.
pub(crate) fn ignition(
    reader: &mut Reader<'_>,
    member: &Member,
    list: &Node,
    tag: &mut Tag,
    of: &str,
    numeric: bool,
    range: Option<[f64; 2]>,
) {
    let mut found: Vec<Found<'_>> = Vec::new();
    for node in list.items() {
        let name = text(member, node, "name").unwrap_or_default();
        if text(member, node, "enabled").as_deref() == Some("false") {
            reader.remark(node.place, of, "alarm", &name, Dropped, "the alarm is switched off");
            continue;
        }
        match read(member, node, numeric) {
            Ok(alarms) => {
                found.extend(alarms.into_iter().map(|(kind, limit)| Found { node, name: name.clone(), kind, limit }))
            }
            Err(why) => reader.remark(node.place, of, "alarm", &name, Dropped, &why),
        }
    }
    let mut used: Vec<String> = Vec::new();
    for kind in ["high", "low", "discrete", "bad"] {
        let mut alike: Vec<&Found<'_>> = found.iter().filter(|found| found.kind == kind).collect();
        // The limit that is reached first comes first.
        alike.sort_by(|a, b| a.limit.partial_cmp(&b.limit).unwrap_or(std::cmp::Ordering::Equal));
        if kind == "low" {
            alike.reverse();
        }
        for (rank, alarm) in alike.into_iter().enumerate() {
            let own = match (kind, rank) {
                ("high", 0) => Some("H"),
                ("high", 1) => Some("HH"),
                ("low", 0) => Some("L"),
                ("low", 1) => Some("LL"),
                ("discrete" | "bad", 0) => Some(kind),
                _ => None,
            };
            let name = own.map_or_else(|| names::variable(&alarm.name), str::to_owned);
            if used.contains(&name) {
                reader.remark(alarm.node.place, of, "alarm", &alarm.name, Dropped, "another alarm has this name");
                continue;
            }
            set(reader, member, alarm, tag, of, &name, own.is_none(), range);
            used.push(name);
        }
    }
}

fn text(member: &Member, node: &Node, field: &str) -> Option<String> {
    member.resolve(node.get(field)?).ok()
}

fn number(member: &Member, node: &Node, field: &str) -> Option<f64> {
    match text(member, node, field)?.as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// What an alarm is: one alarm, or two where it has a limit on either side.
fn read(member: &Member, node: &Node, numeric: bool) -> Result<Vec<(&'static str, Option<f64>)>, String> {
    let bound = ["setpointA", "setpointB", "mode"]
        .iter()
        .filter_map(|field| node.get(field))
        .any(|value| member.resolve(value).is_err());
    if bound {
        return Err("a limit is bound to something that the export does not hold".to_owned());
    }
    let mode = text(member, node, "mode").unwrap_or_else(|| "Equality".to_owned());
    let low = number(member, node, "setpointA").unwrap_or(0.0);
    let high = number(member, node, "setpointB").unwrap_or(0.0);
    let limits = match mode.as_str() {
        "AboveValue" if numeric => vec![("high", Some(low))],
        "BelowValue" if numeric => vec![("low", Some(low))],
        "OutsideValues" if numeric && low < high => vec![("low", Some(low)), ("high", Some(high))],
        "Equality" => vec![("discrete", Some(low))],
        // A boolean that must not be this is the other.
        "Inequality" if !numeric && (low == 0.0 || low == 1.0) => vec![("discrete", Some(1.0 - low))],
        "BadQuality" => vec![("bad", None)],
        _ => return Err(format!("there is no alarm of the mode `{mode}` on such a tag")),
    };
    Ok(limits)
}

#[allow(clippy::too_many_arguments)]
fn set(
    reader: &mut Reader<'_>,
    member: &Member,
    alarm: &Found<'_>,
    tag: &mut Tag,
    of: &str,
    name: &str,
    typed: bool,
    range: Option<[f64; 2]>,
) {
    let node = alarm.node;
    let path = |field: &str| format!("alarms.{name}.{field}");
    if typed {
        tag.set(path("type"), alarm.kind);
    }
    match (alarm.kind, alarm.limit) {
        ("discrete", Some(state)) if is_boolean(tag) => tag.set(path("state"), Value::Flag(state != 0.0)),
        ("discrete", Some(state)) => tag.set(path("state"), state),
        (_, Some(limit)) => tag.set(path("limit"), limit),
        (_, None) => {}
    }
    if alarm.name != name {
        reader.remark(node.place, of, "alarm name", &alarm.name, Approximated, &format!("the alarm is `{name}`"));
    }
    if let Some(deadband) = number(member, node, "deadband").filter(|deadband| *deadband > 0.0) {
        let percent = text(member, node, "deadbandMode").as_deref() == Some("Percent");
        match (percent, range, alarm.kind) {
            (false, _, "high" | "low") => tag.set(path("deadband"), deadband),
            (true, Some([low, high]), "high" | "low") => tag.set(path("deadband"), (high - low) * deadband / 100.0),
            (_, _, "high" | "low") => {
                let reason = "it is a share of a range that the tag does not say";
                reader.remark(node.place, of, "deadband", &deadband.to_string(), Dropped, reason);
            }
            _ => reader.remark(node.place, of, "deadband", &deadband.to_string(), Dropped, "such an alarm has none"),
        }
    }
    for (field, own) in [("timeOnDelaySeconds", "on_delay"), ("timeOffDelaySeconds", "off_delay")] {
        if let Some(seconds) = number(member, node, field).filter(|seconds| *seconds > 0.0) {
            tag.set(path(own), crate::model::duration((seconds * 1000.0).min(86_400_000.0) as u64));
        }
    }
    // Where nothing else is set, that it is there at all must be.
    let prefix = path("");
    if !tag.fields.iter().any(|(field, _)| field.starts_with(&prefix)) {
        tag.set(format!("alarms.{name}"), "on");
    }
    if let Some(priority) = text(member, node, "priority") {
        let reason = "its class is `process`; set `class` where the site has others";
        reader.remark(node.place, of, &format!("priority `{priority}`"), &priority, Dropped, reason);
    }
    for entry in node.entries() {
        if !SILENT.contains(&entry.key.as_str()) && !matches!(entry.value.value, Json::Null) {
            let value = entry.value.as_text().unwrap_or_default();
            reader.remark(
                entry.key.place,
                of,
                &format!("alarm's `{}`", *entry.key),
                value,
                Dropped,
                "there is nothing like it",
            );
        }
    }
}

fn is_boolean(tag: &Tag) -> bool {
    let kind = tag.get("as");
    tag.get("bit").is_some() || kind.is_none() || kind == Some(&Value::from("bool"))
}
