//! `ducto alarms`: the alarms of a site that runs, and what people do to them.

mod board;
mod history;
mod texts;
mod watch;

use ducto_site::protocol::{Ask, Status};
use serde_json::{Value as Json, json};

use crate::ask;
pub(crate) use crate::ask::Row;
use crate::cli::{ActArgs, AlarmsArgs, DataArgs};
use crate::output::{Exit, Failure, Output};
use crate::pattern::matches;
use crate::screen::{self, Cell, Column, Grid, grid};
use crate::table::number;
use crate::times::{self, Zone};
use crate::words::Language;

/// The view that holds the state of every alarm.
const VIEW: &str = "alarms";

/// States of the system's own alarms, which know no acknowledgement: they go with their cause.
const SET_ASIDE: &str = "set_aside";
const WAITS: &str = "waits";
const PRESENT: &str = "present";

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

/// Whether it was the first of its group to be raised.
fn is_first(row: &Row) -> bool {
    row.get("first").and_then(Json::as_bool) == Some(true)
}

/// Marks the first of a group in a list.
const FIRST: &str = "*";

/// The name as lists show it.
fn marked_name(row: &Row) -> String {
    if is_first(row) { format!("{FIRST}{}", name(row)) } else { name(row) }
}

/// Whether somebody has to acknowledge it.
fn needs_somebody(row: &Row) -> bool {
    matches!(text(row, "state"), "B" | "D" | "E")
}

/// The value with its unit, where there is one.
fn value(row: &Row) -> String {
    let value = row.get("value").and_then(Json::as_f64).map(number).unwrap_or_default();
    let unit = text(row, "unit");
    if value.is_empty() || unit.is_empty() { value } else { format!("{value} {unit}") }
}

fn limit(row: &Row) -> String {
    row.get("limit").and_then(Json::as_f64).map(number).unwrap_or_default()
}

/// When what it says happened, µs.
fn time(row: &Row) -> i64 {
    times::micros(text(row, "time")).unwrap_or_default()
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

pub(crate) fn run(args: &AlarmsArgs, output: &Output) -> Result<Exit, Failure> {
    if args.history {
        history::run(args, output)
    } else if args.watch {
        watch::run(args, output)
    } else {
        list(args, output)
    }
}

fn list(args: &AlarmsArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = ask::connect(&args.place)?;
    let status = ask::status(&mut client).map_err(ask::failure)?;
    let mut rows = ask::view(&mut client, VIEW).map_err(ask::failure)?;
    rows.retain(|row| args.all || text(row, "state") != "A");
    sort(&mut rows);
    // What keeps the system itself from its work comes first.
    rows.splice(0..0, troubles(&status));
    let language = Language::of(&status.language);
    if output.is_json() {
        let rows: Vec<Json> = rows.into_iter().map(|row| for_programs(row, language)).collect();
        output.object(&json!({"site": status.site, "alarms": rows}));
    } else if rows.is_empty() {
        output.line(language.no_alarms());
    } else {
        let (width, _) = screen::size();
        output.print(&table(&rows, language, &Zone::named(&status.time_zone), usize::from(width)));
        for row in rows.iter().filter(|row| is_trouble(row)) {
            output.line(&format!("{}: {}", name(row), text(row, "reason")));
        }
        if rows.iter().any(is_first) {
            output.line(&format!("{FIRST} {}", language.first_of_group()));
        }
    }
    Ok(Exit::Done)
}

/// With its name and what its state means.
fn for_programs(mut row: Row, language: Language) -> Json {
    row.insert("name".to_owned(), Json::from(name(&row)));
    let state = language.state(text(&row, "state")).to_owned();
    row.insert("state_text".to_owned(), Json::from(state));
    Json::Object(row)
}

/// The columns of a list of alarms. In a narrow window the class gives way first.
fn columns(language: Language) -> [Column; 6] {
    let [alarm, state, value, limit, class, since] = language.alarm_columns();
    [
        Column::left(alarm, 40, 0),
        Column::left(state, 24, 0),
        Column::right(value, 16, 1),
        Column::right(limit, 9, 2),
        Column::left(class, 16, 3),
        Column::left(since, 14, 0),
    ]
}

/// The alarms as a table for a terminal of so many columns.
fn table(rows: &[Row], language: Language, zone: &Zone, width: usize) -> String {
    let now = times::now();
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            vec![
                marked_name(row).into(),
                language.state(text(row, "state")).into(),
                value(row).into(),
                limit(row).into(),
                text(row, "class").into(),
                zone.since(time(row), now).into(),
            ]
        })
        .collect();
    let Grid { head, rows } = grid(&columns(language), &cells, width);
    std::iter::once(head).chain(rows).map(|line| format!("{}\n", line.to_string().trim_end())).collect()
}

/// What is to be asked of the site for an alarm.
fn action(verb: Verb, row: &Row, user: Option<String>, reason: Option<String>) -> Ask {
    let key = if text(row, "tag").is_empty() { "asset" } else { "tag" };
    let arguments = [(key, text(row, key)), ("alarm", text(row, "alarm"))]
        .map(|(name, value)| (name.to_owned(), Json::from(value)))
        .into();
    Ask::Act { verb: verb.name().to_owned(), arguments, user, reason }
}

/// The alarm that an action is about.
fn acted_on(ask: &Ask) -> String {
    let Ask::Act { arguments, .. } = ask else { return String::new() };
    let part = |key: &str| arguments.get(key).and_then(Json::as_str);
    [part("tag").or_else(|| part("asset")), part("alarm")].into_iter().flatten().collect::<Vec<_>>().join(".")
}

/// What came of it for an alarm: whether something was done, and what the nodes said.
fn outcome(of: &str, replies: Vec<ask::Said>, language: Language) -> (bool, String) {
    let done = replies.iter().any(|reply| reply.done);
    let said = replies.into_iter().filter(|reply| reply.done == done).map(|reply| reply.in_words(of, language));
    let said = said.collect::<Vec<_>>().join("; ");
    (done, if said.is_empty() { language.nobody_answered().to_owned() } else { said })
}

/// What the site's own alarms are of: `site.DATA_DAMAGED`.
const SITE: &str = "site";

/// The site's own alarms, nodes that were set aside, and sinks that wait for their disk, as rows of the list: `well-monitoring.history.WAITS`.
fn troubles(status: &Status) -> Vec<Row> {
    let mut rows = Vec::new();
    for alarm in &status.alarms {
        let row = json!({
            "tag": SITE,
            "alarm": alarm.name,
            "state": PRESENT,
            "time": times::rfc3339(alarm.since),
            "class": "system",
            "reason": alarm.why,
        });
        rows.extend(row.as_object().cloned());
    }
    for pipeline in &status.pipelines {
        for node in pipeline.nodes.iter().filter(|node| node.set_aside || node.waits) {
            let (alarm, state) = if node.set_aside { ("SET_ASIDE", SET_ASIDE) } else { ("WAITS", WAITS) };
            let row = json!({
                "tag": format!("{}.{}", pipeline.id, node.id),
                "alarm": alarm,
                "state": state,
                "time": node.since.map(times::rfc3339),
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
    [SET_ASIDE, WAITS, PRESENT].contains(&text(row, "state"))
}

pub(crate) fn act(verb: Verb, place: &DataArgs, args: &ActArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = ask::connect(place)?;
    let status = ask::status(&mut client).map_err(ask::failure)?;
    let language = Language::of(&status.language);
    let rows = ask::view(&mut client, VIEW).map_err(ask::failure)?;
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
            let ask = action(verb, row, args.user.clone(), args.reason.clone());
            let of = name(row);
            let (done, said) = outcome(&of, ask::act(&mut client, ask).map_err(ask::failure)?, language);
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
        let text = table(&rows, Language::Spanish, &Zone::named("America/Bogota"), 80);
        assert!(text.contains("activa, sin reconocer") && text.contains("01-01 00:00:00"), "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= 80, "{widest}: {text}");
    }

    #[test]
    fn the_first_of_a_group_is_marked() {
        let mut rows = [row("W.THP", "H", "B", "2026-01-01T05:00:00Z"), row("W.CHP", "H", "B", "2026-01-01T05:00:00Z")];
        rows[1].insert("first".to_owned(), Json::from(true));
        let text = table(&rows, Language::English, &Zone::named("UTC"), 80);
        assert!(text.contains("\n*W.CHP.H ") && text.contains("\nW.THP.H "), "{text}");
    }
}
