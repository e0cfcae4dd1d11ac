//! What a person sees of the demo: the wells, and alarms as they come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ducto_graph::site::Site;
use ducto_record::{Quality, Value};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use super::latest::Latest;
use crate::alarms::{self, Row};
use crate::host::Hosted;
use crate::interrupt::{Interrupts, Woken};
use crate::logging;
use crate::output::Output;
use crate::table::{Align, layout, number};
use crate::words::Language;

/// How often alarms are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the wells are shown where they cannot be shown in place.
const LINES: Duration = Duration::from_secs(10);

/// Shows what goes on until a signal comes or the time is over.
pub(super) fn until(end: Option<Instant>, hosted: &Hosted, interrupts: &Interrupts, output: &Output) {
    let bar = output.is_watched().then(|| {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        logging::keep_clear_of(&bar);
        bar
    });
    let tap = hosted.live.tap("well-monitoring", "checked", "main");
    let mut latest = Latest::default();
    let mut seen = Seen::default();
    let mut shown = Instant::now();
    loop {
        let look = Instant::now() + LOOK;
        let woken = interrupts.wait(Some(end.map_or(look, |end| end.min(look))));
        if let Some(tap) = &tap {
            latest.take(tap);
        }
        let alarms = hosted.live.view("alarms");
        for row in seen.news(&alarms) {
            if output.is_json() {
                output.object(&json!({"event": "alarm", "alarm": row}));
            } else {
                let line = sentence(&row, Language::of(&hosted.site.language));
                match &bar {
                    Some(bar) => bar.println(line),
                    None => output.line(&line),
                }
            }
        }
        if woken != Woken::Time || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        if let Some(bar) = &bar {
            bar.set_message(wells(&hosted.site, &latest));
            bar.tick();
        } else if !output.is_json() && shown.elapsed() >= LINES {
            shown = Instant::now();
            output.print(&format!("\n{}\n", wells(&hosted.site, &latest)));
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Which event of each alarm has been shown.
#[derive(Default)]
struct Seen {
    times: BTreeMap<String, (String, String)>,
}

impl Seen {
    /// The alarms that have changed since the last look, the oldest first.
    fn news(&mut self, rows: &[Row]) -> Vec<Row> {
        let text = |row: &Row, field: &str| row.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        let mut news: Vec<Row> = rows
            .iter()
            .filter(|row| {
                let event = (text(row, "time"), text(row, "event"));
                self.times.insert(alarms::name(row), event.clone()) != Some(event)
            })
            .cloned()
            .collect();
        news.sort_by_key(|row| text(row, "time"));
        news
    }
}

/// "10:15:32  WELL-003.THP.H raised at 2700 psig (limit 2500)".
fn sentence(row: &Row, language: Language) -> String {
    let text = |field: &str| row.get(field).and_then(Json::as_str).unwrap_or_default();
    let number_of = |field: &str| row.get(field).and_then(Json::as_f64).map(number);
    let clock = text("time").get(11..19).unwrap_or_default();
    let mut sentence = format!("{clock}Z  {} {}", alarms::name(row), language.event(text("event")));
    if let Some(value) = number_of("value") {
        sentence.push_str(&format!(": {value} {}", text("unit")));
    }
    if let Some(limit) = number_of("limit") {
        sentence.push_str(&format!(" (limit {limit})"));
    }
    sentence
}

/// A line for each well: its tags as columns, `!` behind a bad value, `?` behind a doubtful one.
fn wells(site: &Site, latest: &Latest) -> String {
    const SHOWN: [(&str, &str); 7] = [
        ("THP", "THP psig"),
        ("CHP", "CHP psig"),
        ("FLT", "FLT °F"),
        ("ESP_CURRENT", "AMPS"),
        ("ESP_FREQUENCY", "HZ"),
        ("OIL_RATE", "OIL stb/d"),
        ("WATER_RATE", "WATER stb/d"),
    ];
    let rows: Vec<Vec<String>> = site
        .assets
        .iter()
        .map(|asset| {
            let cells = SHOWN.iter().map(|(variable, _)| {
                let tag = site.directory.tag_id(&format!("{}.{variable}", asset.name.value));
                tag.and_then(|tag| latest.get(tag)).map(cell).unwrap_or_default()
            });
            std::iter::once(asset.name.value.clone()).chain(cells).collect()
        })
        .collect();
    let mut columns = vec![("WELL", Align::Left, 12)];
    columns.extend(SHOWN.iter().map(|(_, head)| (*head, Align::Right, 12)));
    layout(&columns, &rows).trim_end().to_owned()
}

fn cell((value, quality): &(Value, Quality)) -> String {
    let mark = if quality.is_good() {
        " "
    } else if quality.is_bad() {
        "!"
    } else {
        "?"
    };
    match value.as_f64() {
        Some(value) => format!("{}{mark}", number(value)),
        None => format!("-{mark}"),
    }
}
