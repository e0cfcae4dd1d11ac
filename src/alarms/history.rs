//! `ducto alarms --history`: what happened to alarms, out of the datasets that hold their events.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::json::LineDelimitedWriter;
use serde_json::{Value as Json, json};

use super::{Row, for_programs, name, text, time, value};
use crate::cli::AlarmsArgs;
use crate::output::{Exit, Failure, Output};
use crate::screen::{self, Cell, Column, Grid, grid};
use crate::table::wrapped;
use crate::times::{self, Zone};
use crate::words::Language;
use crate::{ask, data, query};

/// Datasets of events of alarms: those with the columns that such an event has.
const DATASETS: &str = "\
SELECT table_name FROM information_schema.columns \
WHERE column_name IN ('time', 'alarm', 'event', 'occurrence', 'state') AND NOT ends_with(table_name, '_revisions') \
GROUP BY table_name HAVING count(*) = 5 ORDER BY table_name";

/// Behind the name of a dataset: with the units and descriptions of its tags.
const WITH_TAGS: &str = "_with_tags";

pub(super) fn run(args: &AlarmsArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = data::folder(&args.place)?;
    let mut rows = Vec::new();
    for dataset in datasets(&folder)? {
        let dataset = dataset.replace('"', "\"\"");
        let sql = format!("SELECT * FROM \"{dataset}\" ORDER BY time DESC LIMIT {}", args.limit);
        for batch in query::rows(&folder, &sql)? {
            rows.extend(objects(&batch)?);
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(time(row)));
    rows.truncate(args.limit);
    let (language, zone, runs) = manners(&folder);
    if output.is_json() {
        let rows: Vec<Json> = rows.into_iter().map(|row| for_programs(row, language)).collect();
        output.object(&json!({"events": rows}));
    } else if rows.is_empty() {
        output.line(language.no_events());
    } else {
        if !runs {
            output.remark("times are in UTC: the site does not run, and its files do not say its time zone");
        }
        let (width, _) = screen::size();
        output.print(&table(&rows, language, &zone, usize::from(width)));
    }
    Ok(Exit::Done)
}

fn datasets(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for batch in query::rows(folder, DATASETS)? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).map_err(strange)?;
        names.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    // With units where they are known, and each dataset once.
    let all = names.clone();
    names.retain(|name| !all.contains(&format!("{name}{WITH_TAGS}")));
    Ok(names)
}

fn objects(batch: &RecordBatch) -> Result<Vec<Row>, Failure> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(strange)?;
    let lines = writer.into_inner();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(strange)).collect()
}

fn strange(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Findings, format!("the history's answer cannot be read: {error}; report this"))
}

/// The language and the zone of the site, and whether it runs; files do not say them.
fn manners(folder: &Path) -> (Language, Zone, bool) {
    let status = ask::connect_to(folder).ok().and_then(|mut client| ask::status(&mut client).ok());
    match status {
        Some(status) => (Language::of(&status.language), Zone::named(&status.time_zone), true),
        None => (Language::English, Zone::named("UTC"), false),
    }
}

/// What somebody who did something said of it.
fn remark(row: &Row) -> String {
    // What was typed stays on its line.
    let said: Vec<&str> =
        ["user", "reason"].map(|field| text(row, field)).into_iter().filter(|t| !t.is_empty()).collect();
    said.join(": ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The events as a table; who did something and why stands behind the row, or below it where there is no room.
fn table(rows: &[Row], language: Language, zone: &Zone, width: usize) -> String {
    const INDENT: usize = 4;
    let now = times::now();
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            vec![
                zone.since(time(row), now).into(),
                name(row).into(),
                language.event(text(row, "event")).into(),
                value(row).into(),
            ]
        })
        .collect();
    let [time, alarm, event, value, who, why] = language.event_columns();
    let columns = [
        Column::left(time, 14, 0),
        Column::left(alarm, 40, 0).naming(),
        Column::left(event, 12, 0),
        Column::right(value, 16, 1),
    ];
    let Grid { head, rows: lines } = grid(&columns, &cells, width);
    let room = width.saturating_sub(head.width() + 2);
    let mut table = String::new();
    let all = std::iter::once((head, format!("{who}: {why}")));
    for (at, (line, remark)) in all.chain(lines.into_iter().zip(rows.iter().map(remark))).enumerate() {
        let line = line.to_string();
        if remark.chars().count() <= room {
            table.push_str(format!("{line}  {remark}").trim_end());
            table.push('\n');
            continue;
        }
        table.push_str(line.trim_end());
        table.push('\n');
        if at > 0 {
            let parts = wrapped(&remark, width.saturating_sub(INDENT).max(8));
            parts.iter().for_each(|part| table.push_str(&format!("{}{part}\n", " ".repeat(INDENT))));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(of: &str, event: &str, reason: Option<&str>) -> Row {
        let value = json!({"tag": of, "alarm": "deviation", "event": event, "time": "2026-01-01T05:00:00Z",
            "value": 1234.5, "unit": "psig", "user": reason.map(|_| "maria"), "reason": reason});
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn events_fit_a_terminal_and_reasons_are_told_wholly() {
        let reason = "vista desde la sala; se espera la cuadrilla, que llega por la tarde con el repuesto del choke";
        let rows = [
            row("WELL-001.ESP_MOTOR_TEMPERATURE", "acknowledged", Some(reason)),
            row("WELL-001.ESP_MOTOR_TEMPERATURE", "acknowledged", Some("vista")),
            row("W.P", "raised", None),
        ];
        for (language, width) in [Language::English, Language::Spanish].into_iter().flat_map(|l| [(l, 60), (l, 80)]) {
            let text = table(&rows, language, &Zone::named("America/Bogota"), width);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= width, "{widest}: {text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            let said: Vec<&str> = reason.split_whitespace().collect();
            assert!(words.windows(said.len()).any(|part| part == said), "{text}");
            assert!(text.contains("01-01 00:00:00") && text.contains(language.event("raised")), "{text}");
        }
        let wide = table(&rows[1..], Language::Spanish, &Zone::named("UTC"), 120);
        assert!(wide.lines().next().unwrap_or_default().ends_with("QUIÉN: POR QUÉ"), "{wide}");
        assert_eq!(wide.lines().count(), 3, "{wide}");
    }
}
