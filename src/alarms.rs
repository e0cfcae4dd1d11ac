//! `ducto alarms`: the alarms of a site that runs, and what people do to them.

use std::collections::BTreeMap;

use ducto_site::protocol::{Answer, Ask, Status};
use ducto_site::{Client, ClientError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use crate::cli::{ActArgs, AlarmsArgs, DataArgs};
use crate::data;
use crate::output::{Exit, Failure, Output};
use crate::table::{Align, layout, number};
use crate::words::Language;

/// A row of the view `alarms`.
pub(crate) type Row = Map<String, Json>;

/// States of the system's own alarms, which know no acknowledgement: they go with their cause.
const SET_ASIDE: &str = "set_aside";
const WAITS: &str = "waits";

/// What a person does to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Acknowledge,
    Reset,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Reset => "reset",
        }
    }
}

fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    row.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// `WELL-001.THP.HH`: the tag or asset, and the alarm.
pub(crate) fn name(row: &Row) -> String {
    let of = [text(row, "tag"), text(row, "asset")].into_iter().find(|name| !name.is_empty()).unwrap_or("?");
    format!("{of}.{}", text(row, "alarm"))
}

/// Whether its condition holds.
pub(crate) fn is_active(row: &Row) -> bool {
    matches!(text(row, "state"), "B" | "C")
}

/// Where it stands in a list: what needs somebody first, then what is active, then the rest.
fn rank(row: &Row) -> usize {
    const ORDER: [&str; 6] = ["B", "E", "D", "C", "F", "A"];
    ORDER.iter().position(|state| *state == text(row, "state")).unwrap_or(ORDER.len())
}

/// Active first, within a state the newest first.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| text(b, "time").cmp(text(a, "time"))).then_with(|| name(a).cmp(&name(b)))
    });
}

pub(crate) fn list(args: &AlarmsArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = connect(&args.place)?;
    let status = status(&mut client)?;
    let mut rows = alarms(&mut client)?;
    rows.retain(|row| args.all || text(row, "state") != "A");
    sort(&mut rows);
    // What keeps the system itself from its work comes first.
    rows.splice(0..0, troubles(&status));
    let language = Language::of(&status.language);
    if output.is_json() {
        let rows: Vec<Json> = rows
            .into_iter()
            .map(|mut row| {
                row.insert("name".to_owned(), Json::from(name(&row)));
                let state = language.state(text(&row, "state")).to_owned();
                row.insert("state_text".to_owned(), Json::from(state));
                Json::Object(row)
            })
            .collect();
        output.object(&json!({"site": status.site, "alarms": rows}));
    } else if rows.is_empty() {
        output.line(language.no_alarms());
    } else {
        output.print(&table(&rows, language, &status.time_zone));
        for row in rows.iter().filter(|row| is_trouble(row)) {
            output.line(&format!("{}: {}", name(row), text(row, "reason")));
        }
    }
    Ok(Exit::Done)
}

/// Nodes that were set aside, and sinks that wait for their disk, as rows of the list: `well-monitoring.history.WAITS`.
fn troubles(status: &Status) -> Vec<Row> {
    let mut rows = Vec::new();
    for pipeline in &status.pipelines {
        for node in pipeline.nodes.iter().filter(|node| node.set_aside || node.waits) {
            let (alarm, state) = if node.set_aside { ("SET_ASIDE", SET_ASIDE) } else { ("WAITS", WAITS) };
            let time = node.since.and_then(|since| Timestamp::from_microsecond(since).ok());
            let row = json!({
                "tag": format!("{}.{}", pipeline.id, node.id),
                "alarm": alarm,
                "state": state,
                "time": time.map(|time| time.to_string()),
                "class": "system",
                "reason": node.why,
                "pipeline": pipeline.id,
                "node": node.id,
            });
            rows.extend(row.as_object().cloned());
        }
    }
    rows
}

fn is_trouble(row: &Row) -> bool {
    [SET_ASIDE, WAITS].contains(&text(row, "state"))
}

/// The alarms as a table for a terminal of 80 columns.
pub(crate) fn table(rows: &[Row], language: Language, time_zone: &str) -> String {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let value = row.get("value").and_then(Json::as_f64).map(number).unwrap_or_default();
            let unit = text(row, "unit");
            vec![
                name(row),
                language.state(text(row, "state")).to_owned(),
                if value.is_empty() || unit.is_empty() { value } else { format!("{value} {unit}") },
                row.get("limit").and_then(Json::as_f64).map(number).unwrap_or_default(),
                text(row, "class").to_owned(),
                clock(text(row, "time"), &zone),
            ]
        })
        .collect();
    let [alarm, state, value, limit, class, since] = language.alarm_columns();
    let columns = [
        (alarm, Align::Left, 22),
        (state, Align::Left, 24),
        (value, Align::Right, 12),
        (limit, Align::Right, 7),
        (class, Align::Left, 9),
        (since, Align::Left, 14),
    ];
    layout(&columns, &cells)
}

/// A time as people of the site read it: the hour of today, or the day and the hour.
fn clock(time: &str, zone: &TimeZone) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
    let (time, now) = (zone.to_datetime(time), zone.to_datetime(Timestamp::now()));
    let format = if time.date() == now.date() { "%H:%M:%S" } else { "%d-%m %H:%M:%S" };
    time.strftime(format).to_string()
}

pub(crate) fn act(verb: Verb, place: &DataArgs, args: &ActArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = connect(place)?;
    let status = status(&mut client)?;
    let language = Language::of(&status.language);
    let rows = alarms(&mut client)?;
    let troubles = troubles(&status);
    let mut results = Vec::new();
    for pattern in &args.alarms {
        let found: Vec<&Row> = rows.iter().filter(|row| matches(pattern, &name(row))).collect();
        if let Some(trouble) = troubles.iter().find(|row| *pattern == name(row)) {
            results.push((pattern.clone(), false, language.trouble_goes_by_itself(&name(trouble))));
            continue;
        }
        if found.is_empty() {
            let names: Vec<String> = rows.iter().map(name).collect();
            let nearest = ducto_graph::diagnostic::did_you_mean(pattern, names.iter().map(String::as_str));
            results.push((pattern.clone(), false, language.never_raised(pattern, nearest.as_deref())));
        }
        // One that is normal is not what a `*` means.
        let several = pattern.contains('*');
        for row in found.into_iter().filter(|row| !several || text(row, "state") != "A") {
            let key = if text(row, "tag").is_empty() { "asset" } else { "tag" };
            let arguments = [(key, text(row, key)), ("alarm", text(row, "alarm"))]
                .map(|(name, value)| (name.to_owned(), Json::from(value)))
                .into();
            let (user, reason) = (args.user.clone(), args.reason.clone());
            let ask = Ask::Act { verb: verb.name().to_owned(), arguments, user, reason };
            let replies = replies(&mut client, ask)?;
            let done = replies.iter().any(|reply| reply.done);
            let of = name(row);
            let said: Vec<String> = replies
                .into_iter()
                .filter(|reply| reply.done == done)
                .map(|reply| reply.in_words(&of, language))
                .collect();
            let said = if said.is_empty() { language.no_answer().to_owned() } else { said.join("; ") };
            results.push((of, done, said));
        }
    }
    let all_done = !results.is_empty() && results.iter().all(|(_, done, _)| *done);
    if output.is_json() {
        let results: Vec<Json> = results
            .into_iter()
            .map(|(alarm, done, text)| json!({"alarm": alarm, "done": done, "text": text}))
            .collect();
        output.object(&json!({"results": results}));
    } else if results.is_empty() {
        output.line(language.nothing_to_do());
    } else {
        for (_, done, text) in results {
            if done { output.line(&text) } else { output.remark(&text) }
        }
    }
    Ok(if all_done { Exit::Done } else { Exit::Findings })
}

/// Whether a name is meant, `*` standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => match name.strip_prefix(start) {
            None => false,
            Some(name) => {
                let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
                ends.into_iter().any(|at| matches(rest, &name[at..]))
            }
        },
    }
}

/// The site that runs on the data folder that is meant.
fn connect(place: &DataArgs) -> Result<Client, Failure> {
    let folder = data::folder(place)?;
    match Client::connect(&folder).map_err(failure)? {
        Some(client) => Ok(client),
        None => {
            let folder = folder.display();
            let message = format!("no site runs on `{folder}`; start it with `ducto run SITE --data {folder}`");
            Err(Failure::new(Exit::Peer, message))
        }
    }
}

pub(crate) fn failure(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Refused(_) => Exit::Findings,
        _ => Exit::Peer,
    };
    Failure::new(exit, error.to_string())
}

fn status(client: &mut Client) -> Result<Status, Failure> {
    let mut found = None;
    for answer in client.ask(Ask::Status).map_err(failure)? {
        if let Answer::Status(status) = answer.map_err(failure)? {
            found = Some(*status);
        }
    }
    found.ok_or_else(|| failure(ClientError::Foreign("an answer without a status".to_owned())))
}

fn alarms(client: &mut Client) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for answer in client.ask(Ask::View { name: "alarms".to_owned() }).map_err(failure)? {
        if let Answer::Row(row) = answer.map_err(failure)? {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What a node answered.
struct Said {
    done: bool,
    text: String,
    details: BTreeMap<String, String>,
}

impl Said {
    fn in_words(self, of: &str, language: Language) -> String {
        let detail = |name: &str| self.details.get(name).map(String::as_str).unwrap_or_default();
        language.outcome(of, detail("outcome"), detail("state")).unwrap_or(self.text)
    }
}

fn replies(client: &mut Client, ask: Ask) -> Result<Vec<Said>, Failure> {
    let mut replies = Vec::new();
    for answer in client.ask(ask).map_err(failure)? {
        if let Answer::Reply { done, text, details } = answer.map_err(failure)? {
            replies.push(Said { done, text, details });
        }
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(of: &str, alarm: &str, state: &str, time: &str) -> Row {
        let value = json!({"tag": of, "alarm": alarm, "state": state, "time": time, "value": 2612.4, "limit": 2500.0,
            "class": "process", "unit": "psig"});
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn what_needs_somebody_comes_first() {
        let mut rows = [
            row("W.THP", "H", "A", "2026-01-01T00:00:03Z"),
            row("W.THP", "HH", "C", "2026-01-01T00:00:02Z"),
            row("W.CHP", "H", "B", "2026-01-01T00:00:00Z"),
            row("W.CHP", "L", "B", "2026-01-01T00:00:01Z"),
        ];
        sort(&mut rows);
        assert_eq!(rows.each_ref().map(name), ["W.CHP.L", "W.CHP.H", "W.THP.HH", "W.THP.H"]);
    }

    #[test]
    fn a_list_fits_a_terminal_in_both_languages() {
        let rows = [row("WELL-001.ESP_CURRENT", "deviation", "B", "2026-01-01T05:00:00Z")];
        let text = table(&rows, Language::Spanish, "America/Bogota");
        assert!(text.contains("activa, sin reconocer") && text.contains("01-01 00:00:00"), "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= 100, "{widest}: {text}");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*", "W.THP.H") && matches("W.*.H", "W.THP.H") && matches("W.THP.H", "W.THP.H"));
        assert!(matches("W*", "W") && matches("*é*", "añéx"));
        assert!(!matches("W.*.HH", "W.THP.H") && !matches("", "W") && !matches("X*", "W"));
    }
}
