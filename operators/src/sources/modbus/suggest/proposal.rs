//! What an examination found, as lines of a table of overrides and as reasons for people.

use ducto_graph::tree::{Node, Value};
use ducto_record::TagId;
use modbus::{Address, Addressing};

use super::evidence::{self, Verdict};
use super::way::{FromUnit, Way};
use super::{Examination, Subject};

/// Something that is not right with a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub tag: TagId,
    /// What it reads now: `1.13e9, far outside [0, 5000]`.
    pub now: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// These settings are right, and nothing else is.
    Proposal { changes: Vec<Change>, possible: Possible, cause: Cause, reason: String },
    /// Nothing is proposed; some ways fit and it is not known which is right.
    Open { possible: Vec<Possible>, doubt: Doubt },
}

/// A setting of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub field: String,
    pub value: String,
}

/// A way of reading a tag that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Possible {
    /// What would be different: `address 40002`, `order CDAB`, `from kPag`; empty for the way it is set now.
    pub changes: Vec<Change>,
    pub text: String,
    /// The value that it would have.
    pub value: f64,
    /// The registers that hold it.
    pub registers: Vec<u16>,
}

/// What speaks for a proposal, beside that it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many assets of its template are read so.
    Peers { count: usize },
    /// So many tags of its device fit in this way.
    Device { count: usize },
    /// On so many assets of its template it fits in this way.
    Template { count: usize },
    /// It moves as a sensor's value does, where the present one cannot be right.
    Values,
}

/// Why nothing is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing fits.
    Nothing,
    /// More than one way fits.
    Several,
    /// The value does not move, so that anything may stand in its registers.
    Still,
    /// Most other tags of the device do not fit either: it may be another device.
    Device,
    /// The sensor may have failed.
    Sensor,
}

pub(super) fn findings(examination: &Examination<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, subject) in examination.survey.subjects.iter().enumerate() {
        let now = || now_text(subject, &examination.verdicts[index]);
        if let Some((way, cause)) = examination.proposed.get(&index) {
            let possible = possible(examination, index, way);
            let changes = possible.changes.clone();
            let reason = reason(subject, &now(), &possible, cause);
            let outcome = Outcome::Proposal { changes, possible, cause: cause.clone(), reason };
            findings.push(Finding { tag: subject.tag.id, now: now(), outcome });
        } else if let Some((ways, doubt)) = examination.open.get(&index) {
            let possible = ways.iter().map(|way| possible(examination, index, way)).collect();
            let outcome = Outcome::Open { possible, doubt: *doubt };
            findings.push(Finding { tag: subject.tag.id, now: now(), outcome });
        }
    }
    findings
}

fn possible(examination: &Examination<'_>, index: usize, way: &Way) -> Possible {
    let subject = examination.subject(index);
    let changes = changes(subject, way);
    let value = examination.verdict(index, way).series().map_or(f64::NAN, |series| series.last());
    let item = way.layout(subject.layout).map_or(subject.layout.item, |layout| layout.item);
    let mut parts: Vec<String> = changes.iter().map(|change| format!("{} {}", change.field, change.value)).collect();
    if let Some(unit) = &way.unit {
        parts.insert(0, format!("the device gives {}:", unit.symbol));
    }
    let text = if parts.is_empty() { "as it is set".to_owned() } else { parts.join(" ") };
    Possible { changes, text, value, registers: evidence::registers(subject, examination.survey, item) }
}

/// The settings that make a tag be read in this way.
fn changes(subject: &Subject, way: &Way) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut set = |field: &str, value: String| changes.push(Change { field: field.to_owned(), value });
    let now = subject.layout;
    if let Some(new) = way.layout(now) {
        if (new.item.table, new.item.offset) != (now.item.table, now.item.offset) {
            let address = Address { table: new.item.table, offset: new.item.offset };
            set("address", address.in_notation(subject.addressing));
            let spoken = matches!(subject.addressing, Addressing::Zero | Addressing::One);
            if spoken && new.item.table != now.item.table {
                let name = modbus::address::TABLES.iter().find(|(_, table)| *table == new.item.table);
                set("table", name.map_or("holding", |(name, _)| name).to_owned());
            }
        }
        if new.kind != now.kind {
            set("as", new.kind.to_string());
        }
        if new.order != now.order && new.kind.is_number() {
            set("order", new.order.to_string());
        }
    }
    if let Some(unit) = &way.unit {
        rescale(&subject.tag.connection_fields, unit, &mut set);
    }
    changes
}

/// The scale that makes of the device's unit the tag's, on top of the one that is there.
fn rescale(fields: &Node, unit: &FromUnit, set: &mut impl FnMut(&str, String)) {
    let conversion = unit.conversion;
    let number = |node: &Node| node.as_text().and_then(|text| text.parse::<f64>().ok());
    if let Some(engineering) = fields.get("engineering").filter(|node| matches!(node.value, Value::List(_))) {
        let ends: Vec<String> =
            engineering.items().iter().filter_map(number).map(|end| written(conversion.apply(end))).collect();
        set("engineering", format!("[{}]", ends.join(", ")));
        return;
    }
    let scale = fields.get("scale").and_then(number).unwrap_or(1.0);
    let offset = fields.get("offset").and_then(number).unwrap_or(0.0);
    set("scale", written(scale * conversion.scale));
    let offset = offset * conversion.scale + conversion.offset;
    if offset != 0.0 || fields.get("offset").is_some() {
        set("offset", written(offset));
    }
}

/// A number with seven digits that a table without a declared decimal sign reads in one way: `0.125` might be 125
/// where points group digits, `0.1250` cannot.
pub(super) fn written(number: f64) -> String {
    let rounded: f64 = format!("{number:.6e}").parse().unwrap_or(number);
    let text = rounded.to_string();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() == 3 => format!("{text}0"),
        _ => text,
    }
}

/// What a tag reads now, and why that cannot be.
fn now_text(subject: &Subject, verdict: &Verdict) -> String {
    let range = subject.range().map_or_else(String::new, |[low, high]| format!("[{low}, {high}]"));
    let value = verdict.series().map(|series| short(series.last())).unwrap_or_default();
    match verdict {
        Verdict::Unread => "the device has no such register".to_owned(),
        Verdict::NoReading => "the device says that it has no reading".to_owned(),
        Verdict::Zero => "0".to_owned(),
        Verdict::Nonsense(series) if series.0.iter().any(|value| !value.is_finite()) => "no number".to_owned(),
        Verdict::Nonsense(series) => {
            let low = series.0.iter().copied().fold(f64::INFINITY, f64::min);
            let high = series.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            match (short(low), short(high)) {
                (low, high) if low == high => format!("{value}, which no sensor of {range} gives"),
                (low, high) => format!("{low} to {high} in a few readings, which no sensor of {range} gives"),
            }
        }
        Verdict::Outside(_) => format!("{value}, outside {range}"),
        Verdict::Unusual(_) => {
            let [low, high] = subject.tag.envelope.unwrap_or_default();
            format!("{value}, outside its envelope [{low}, {high}]")
        }
        Verdict::Fits(_) => value,
    }
}

/// A number as people compare it.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{value:.2e}") } else { format!("{value:.2}") }
}

fn reason(subject: &Subject, now: &str, possible: &Possible, cause: &Cause) -> String {
    let template = subject.template.as_deref().unwrap_or("its template");
    let unit = subject.unit().map(|unit| format!(" {}", unit.symbol)).unwrap_or_default();
    let because = match cause {
        Cause::Peers { count: 1 } => format!("another asset of {template} is read so"),
        Cause::Peers { count } => format!("{count} other assets of {template} are read so"),
        Cause::Device { count } => format!("{count} tags of this device fit so"),
        Cause::Template { count } => format!("it fits so on {count} assets of {template}"),
        Cause::Values => "nothing else fits, and the value moves as a sensor's".to_owned(),
    };
    format!("reads {}{unit} instead of {now}; {because}", short(possible.value))
}

#[cfg(test)]
mod number_tests {
    use super::written;

    #[test]
    fn numbers_read_one_way() {
        assert_eq!(written(0.145_037_738), "0.1450377");
        assert_eq!(written(0.125), "0.1250");
        assert_eq!(written(1234.5), "1234.5");
        assert_eq!(written(2.0), "2");
        assert_eq!(written(1e-7), "0.0000001");
    }
}
