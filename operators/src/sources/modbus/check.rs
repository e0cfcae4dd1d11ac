//! What can be wrong with a connection and its tags.

use std::collections::BTreeMap;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::operator::{CheckContext, ConnectionConfig, ConnectionTag};
use ducto_graph::scalar::Duration;
use ducto_graph::site::TagSettings;
use ducto_graph::source::Place;
use ducto_graph::tree::Spanned;
use ducto_record::time::{DAY, MILLISECOND};
use ducto_record::{Dimension, Micros};
use modbus::Endpoint;

use super::figures::Figure;
use super::inspect::endpoint_plans;
use super::overlaps::{Named, check_overlaps};
use super::point::Meaning;
use super::{Modbus, shape};

/// Times between scans.
pub(super) const FASTEST: Micros = 100 * MILLISECOND;
pub(super) const SLOWEST: Micros = DAY;

const TIME: Dimension = Dimension([0, 0, 1, 0, 0, 0, 0]);
const NUMBER: Dimension = Dimension([0; 7]);

pub(super) fn connection(config: &Modbus, tags: &[ConnectionTag<'_>], cx: &mut CheckContext<'_>) {
    let first = endpoint(&config.endpoint, cx.diagnostics);
    let second = config.endpoint_2.as_ref().and_then(|text| Some((text, endpoint(text, cx.diagnostics)?)));
    if let (Some(first), Some((text, second))) = (&first, &second)
        && first == second
    {
        let message = "the second endpoint is the first one again";
        let help = "write another way to the device, or remove `endpoint_2`";
        cx.report(Diagnostic::new(Code::EndpointInvalid, message).at(text.place).help(help));
    }
    numbers(config, cx.diagnostics);
    if config.endpoint_2.is_some() || matches!(first, Some(Endpoint::Serial { .. })) {
        shared(config, cx);
    }
    let mut points = Vec::new();
    let mut told = Vec::new();
    for ConnectionTag { tag, fields } in tags {
        if let Some(scan) = tag.scan.filter(|scan| !is_scan(*scan) && *scan != config.scan.value) {
            let place = tag.definition.get("scan").map_or(tag.name.place, |node| node.place);
            let message = format!("`{}` is to be read every {scan}", *tag.name);
            let help = "scans are from `100ms` to `1d`";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(place).help(help));
        }
        match Meaning::read(fields, &config.defaults(), cx.diagnostics) {
            Some(Meaning::Point(point, _)) => {
                if !shape::fits(point.kind, point.value_kind(), tag.kind) {
                    let message = format!(
                        "`{}` is a tag of {}, and `as: {}` gives {}",
                        *tag.name,
                        tag.kind,
                        point.kind,
                        point.value_kind()
                    );
                    let set = tag.definition.get("kind").or(tag.definition.get("as")).map(|field| field.place);
                    cx.report(
                        Diagnostic::new(Code::TypeMismatch, message)
                            .at(set.unwrap_or(tag.name.place))
                            .help("remove `kind`, or read another type"),
                    );
                }
                let place = fields.get("address").map_or(tag.name.place, |address| address.place);
                points.push(Named { name: &tag.name, place, point });
            }
            Some(Meaning::Figure(figure)) => {
                told.push(figure);
                self::figure(figure, tag, cx.diagnostics);
            }
            None => {}
        }
    }
    if let Some(chosen) = &config.diagnostics
        && let Some(missing) = chosen.0.iter().find(|figure| !told.contains(figure))
    {
        let name = missing.name().to_ascii_uppercase();
        let message = format!("`diagnostics` asks for `{missing}`, and no tag tells it");
        let help = format!(
            "no parameter can be inserted there, and a tag `{name}` of the template's own must say `diagnostic: {missing}`"
        );
        cx.report(Diagnostic::new(Code::ValueInvalid, message).at(chosen.place).help(help));
    }
    check_overlaps(&mut points, cx.diagnostics);
    budget(config, cx);
    patience(config, cx);
}

fn endpoint(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Endpoint> {
    text.parse().map_or_else(
        |error: modbus::endpoint::EndpointError| {
            let error = error.to_string();
            let (message, help) = error.rsplit_once(": ").unwrap_or((&error, ""));
            diagnostics.push(Diagnostic::new(Code::EndpointInvalid, message).at(text.place).help(help));
            None
        },
        Some,
    )
}

fn numbers(config: &Modbus, diagnostics: &mut Diagnostics) {
    let mut outside = |outside: bool, place: Place, what: &str, help: &str| {
        if outside {
            diagnostics.push(Diagnostic::new(Code::NumberOutOfRange, what.to_owned()).at(place).help(help.to_owned()));
        }
    };
    let (registers, bits) = (&config.max_registers, &config.max_bits);
    outside(
        !(1..=125).contains(&registers.value),
        registers.place,
        &format!("`max_registers` is {}", registers.value),
        "one answer carries 1 to 125 registers",
    );
    outside(
        !(1..=2000).contains(&bits.value),
        bits.place,
        &format!("`max_bits` is {}", bits.value),
        "one answer carries 1 to 2000 bits",
    );
    outside(
        config.response_timeout.value == Duration::ZERO,
        config.response_timeout.place,
        "`response_timeout` is 0",
        "the default is `1s`",
    );
    outside(
        !is_scan(config.scan.value),
        config.scan.place,
        &format!("`scan` is {}", config.scan.value),
        "scans are from `100ms` to `1d`",
    );
    if let Some(budget) = &config.poll_budget {
        outside(
            !(1..=60_000).contains(&budget.value),
            budget.place,
            &format!("`poll_budget` is {}", budget.value),
            "it is a number of requests a minute, 1 to 60000; without it there is no limit",
        );
    }
}

pub(super) fn is_scan(scan: Duration) -> bool {
    (FASTEST..=SLOWEST).contains(&scan.micros())
}

/// A tag that tells a figure has a kind and a unit that can hold it.
fn figure(figure: Figure, tag: &TagSettings, diagnostics: &mut Diagnostics) {
    use ducto_record::ValueKind::{Float64, Int64};
    if !(tag.kind == figure.kind() || (tag.kind == Float64 && figure.kind() == Int64)) {
        let message =
            format!("`{}` is a tag of {}, and `diagnostic: {figure}` gives {}", *tag.name, tag.kind, figure.kind());
        let help = format!("remove `kind`, or write `kind: {}`", figure.kind());
        diagnostics.push(Diagnostic::new(Code::TypeMismatch, message).at(tag.name.place).help(help));
    }
    let place = tag.definition.get("unit").map_or(tag.name.place, |node| node.place);
    let (dimension, usual) = match figure {
        Figure::RoundTrip => (TIME, "`ms`"),
        Figure::Utilisation => (NUMBER, "`%`"),
        _ => (NUMBER, "none: it is a count"),
    };
    match (&tag.unit, figure.unit()) {
        (None, Some(unit)) => {
            let message = format!("`{}` has no unit", *tag.name);
            let help = format!("add `unit: {unit}`");
            diagnostics.push(Diagnostic::new(Code::FieldMissing, message).at(place).help(help));
        }
        (Some(unit), _) if unit.dimension != dimension => {
            let message = format!("`diagnostic: {figure}` cannot be told in {}", unit.symbol);
            let help = format!("the usual unit is {usual}");
            diagnostics.push(Diagnostic::new(Code::ValueInvalid, message).at(place).help(help));
        }
        _ => {}
    }
}

/// Other connections of the site that go over one of this one's endpoints must say the same of it: it is one line.
fn shared(config: &Modbus, cx: &mut CheckContext<'_>) {
    let own = config.endpoints();
    let name = config.endpoint();
    let conflict = cx.site.connections.iter().find_map(|connection| {
        let other = Modbus::of(&*connection.config)?;
        if std::ptr::eq(other, config) {
            return None;
        }
        let theirs = other.endpoints();
        if other.endpoint() == name {
            return (theirs != own).then(|| {
                let what = match (own.first(), theirs.first()) {
                    (a, b) if a != b => "settings of the line",
                    _ => "second endpoint",
                };
                (connection, format!("`{}` goes over the same endpoint with another {what}", connection.asset))
            });
        }
        let paths = |endpoints: &[Endpoint]| -> Vec<String> {
            let path = |endpoint: &Endpoint| match endpoint {
                Endpoint::Serial { path, .. } => Some(path.clone()),
                _ => None,
            };
            endpoints.iter().filter_map(path).collect()
        };
        let line = paths(&theirs).into_iter().find(|path| paths(&own).contains(path))?;
        Some((connection, format!("`{}` uses the line {line} by another endpoint", connection.asset)))
    });
    if let Some((other, message)) = conflict {
        let (owner, place) = (cx.owner.to_owned(), config.endpoint.place);
        cx.report(
            Diagnostic::new(Code::EndpointShared, format!("`{owner}` and another connection disagree: {message}"))
                .at(place)
                .note_at(other.place, "the other is here")
                .help("one line has one master: give all its connections the same `endpoint` and `endpoint_2`"),
        );
    }
}

/// Warns where a line waits for one unit for longer than the scan of another: whenever that one is dead and is asked, the
/// other misses scans. Said once for an endpoint.
fn patience(config: &Modbus, cx: &mut CheckContext<'_>) {
    let members = cx.site.connections.iter().filter_map(|connection| {
        let other = Modbus::of(&*connection.config)?;
        (other.endpoint.value == config.endpoint.value).then_some((other, connection))
    });
    let members: Vec<_> = members.collect();
    if members.len() < 2 || members.first().is_none_or(|(_, first)| *first.asset != *cx.owner) {
        return;
    }
    let scans = members.iter().flat_map(|(config, connection)| {
        let tags = connection.tags.iter().filter_map(|id| cx.site.tag(*id));
        tags.map(|tag| (tag.scan.unwrap_or(config.scan.value), config.unit_id, tag))
    });
    // The shortest scan of each unit.
    let mut shortest: BTreeMap<u8, (Duration, &TagSettings)> = BTreeMap::new();
    for (scan, unit, tag) in scans {
        let known = shortest.entry(unit).or_insert((scan, tag));
        if scan < known.0 {
            *known = (scan, tag);
        }
    }
    let pairs = members.iter().filter_map(|(config, connection)| {
        let others = shortest.iter().filter(|(unit, _)| **unit != config.unit_id);
        let (scan, tag) = others.map(|(_, known)| *known).min_by_key(|(scan, _)| *scan)?;
        (config.response_timeout.value > scan).then_some((*config, connection, scan, tag))
    });
    let Some((waits, connection, scan, tag)) = pairs.max_by_key(|(config, ..)| config.response_timeout.value) else {
        return;
    };
    let waited = waits.response_timeout.value;
    let place = match waits.response_timeout.place {
        Place::NOWHERE => waits.endpoint.place,
        place => place,
    };
    let message = format!(
        "unit {} (`{}`) is waited for {waited} when it does not answer, and `{}` on the same line is read every {scan}",
        waits.unit_id, connection.asset, *tag.name
    );
    let help = format!(
        "set `response_timeout` to {scan} or less where the device answers in that time, or lengthen `scan`; until then \
         `{}` misses scans whenever the unit is dead and is asked again",
        *tag.name
    );
    cx.report(Diagnostic::new(Code::WaitLongerThanScan, message).at(place).help(help));
}

/// Warns where scans ask for more requests than the budget allows. Said once for an endpoint.
fn budget(config: &Modbus, cx: &mut CheckContext<'_>) {
    let Some(budget) = &config.poll_budget else { return };
    let name = config.endpoint();
    let members = cx.site.connections.iter().filter_map(|connection| {
        let config = Modbus::of(&*connection.config)?;
        (config.endpoint() == name).then_some((config, connection))
    });
    let members: Vec<_> = members.collect();
    if members.first().is_none_or(|(_, first)| *first.asset != *cx.owner) {
        return;
    }
    let budgets = members.iter().filter_map(|(config, _)| config.poll_budget.as_ref());
    let allowed = budgets.map(|budget| budget.value).min().unwrap_or(budget.value);
    let members = members.iter().map(|(config, connection)| {
        (*config, connection.tags.iter().filter_map(|id| cx.site.tag(*id).cloned()).collect())
    });
    let planned: f64 = endpoint_plans(members).iter().map(|plan| plan.requests_per_minute).sum();
    let allowed = f64::from(allowed);
    if planned > allowed {
        let message = format!(
            "the scans over this endpoint need {planned:.1} requests a minute, and the budget allows {allowed}"
        );
        cx.report(
            Diagnostic::new(Code::PollBudgetExceeded, message)
                .at(budget.place)
                .help("lengthen `scan`, read fewer tags, raise `request_cost` to merge reads, or raise the budget; until then scans are missed"),
        );
    }
}
