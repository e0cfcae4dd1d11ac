//! `ducto alarms --history`: what happened to alarms, out of the datasets that hold their events.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::json::LineDelimitedWriter;
use serde_json::{Value as Json, json};

use super::{Row, for_programs, name, text, time, value};
use crate::cli::AlarmsArgs;
use crate::output::{Exit, Failure, Output};
use crate::table::{Align, layout};
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
        output.print(&table(&rows, language, &zone));
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

fn table(rows: &[Row], language: Language, zone: &Zone) -> String {
    let now = times::now();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                zone.since(time(row), now),
                name(row),
                language.event(text(row, "event")).to_owned(),
                value(row),
                text(row, "user").to_owned(),
                text(row, "reason").to_owned(),
            ]
        })
        .collect();
    let [time, alarm, event, value, who, why] = language.event_columns();
    let columns = [
        (time, Align::Left, 14),
        (alarm, Align::Left, 22),
        (event, Align::Left, 12),
        (value, Align::Right, 10),
        (who, Align::Left, 8),
        (why, Align::Left, 20),
    ];
    layout(&columns, &cells)
}
