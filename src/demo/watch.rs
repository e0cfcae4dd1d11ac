//! What a person sees of the demo: what happens in the field, and what Ducto makes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ducto_graph::site::Site;
use ducto_simulator::Simulator;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::changes::{Changes, Newest};
use super::shift::{self, Shift};
use crate::alarms::{self, Row};
use crate::host::Hosted;
use crate::interrupt::{Interrupts, Woken};
use crate::load::grouped;
use crate::logging;
use crate::output::Output;
use crate::table::{Align, layout, number};
use crate::words::Language;

/// How often is looked what is new.
const LOOK: Duration = Duration::from_millis(500);
/// When the values are shown: every tag has been read by then.
const VALUES: Duration = Duration::from_secs(4);
/// What is tapped: pipeline and node.
const TAPS: [(&str, &str); 2] = [("well-monitoring", "checked"), ("separators", "judged")];

/// Shows what goes on until a signal comes or the time is over.
pub(super) fn until(
    end: Option<Instant>,
    hosted: &Hosted,
    simulator: &Simulator,
    interrupts: &Interrupts,
    output: &Output,
) {
    let bar = output.is_watched().then(|| {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        logging::keep_clear_of(&bar);
        bar
    });
    let zone = hosted.site.time_zone.zone().clone();
    let language = Language::of(&hosted.site.language);
    let told = Told { output, bar: bar.as_ref(), zone, language };
    let taps: Vec<_> = TAPS.iter().filter_map(|(pipeline, node)| hosted.live.tap(pipeline, node, "main")).collect();
    let (mut changes, mut seen, mut shift) = (Changes::default(), Seen::default(), Shift::default());
    let mut values_at = Some(Instant::now() + VALUES);
    let (mut last, mut rows) = (Instant::now(), hosted.rows_read());
    loop {
        let look = Instant::now() + LOOK;
        let woken = interrupts.wait(Some(end.map_or(look, |end| end.min(look))));
        for happening in simulator.happenings() {
            let [english, spanish] = &happening.text;
            let line = format!("{}: {}", happening.asset, language.pick(english, spanish));
            let (asset, what) = (&happening.asset, happening.event.name());
            told.tell("field", &line, || json!({"event": "field", "asset": asset, "what": what, "text": english}));
        }
        for tap in &taps {
            changes.take(tap);
        }
        for change in changes.news(&hosted.site) {
            told.tell("data", &change.text(language), || change.json());
        }
        let alarms = hosted.live.view("alarms");
        for row in seen.news(&alarms) {
            let is_shifts = (text(&row, "tag"), text(&row, "alarm")) == shift::ALARM;
            if is_shifts && text(&row, "event") == "raised" {
                shift.called();
            }
            let line = sentence(&row, language);
            told.tell("alarm", &line, || json!({"event": "alarm", "alarm": row}));
        }
        shift.look(&hosted.data, language);
        if values_at.is_some_and(|at| Instant::now() >= at) {
            values_at = None;
            if !output.is_json() {
                told.print(&format!("\n{}\n\n", values(&hosted.site, &changes)));
            }
        }
        if woken != Woken::Time || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        if let Some(bar) = &bar {
            let (now, read) = (Instant::now(), hosted.rows_read());
            if now - last > Duration::from_secs(2) {
                let rate = (read - rows) as f64 / (now - last).as_secs_f64();
                let active = alarms.iter().filter(|row| alarms::is_active(row)).count();
                let (tags, poor) = changes.counts();
                let rate = grouped(rate.round() as u64);
                bar.set_message(match language {
                    Language::English => {
                        format!("{rate} samples/s of {tags} tags, {poor} not good, {active} alarms active; Ctrl-C stops")
                    }
                    Language::Spanish => format!(
                        "{rate} muestras/s de {tags} tags, {poor} no buenos, {active} alarmas activas; Ctrl-C lo detiene"
                    ),
                });
                (last, rows) = (now, read);
            }
            bar.tick();
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Lines about what goes on.
struct Told<'a> {
    output: &'a Output,
    bar: Option<&'a ProgressBar>,
    zone: TimeZone,
    language: Language,
}

impl Told<'_> {
    /// `02:10:12  alarm  …`, or an object for programs.
    fn tell(&self, what: &str, text: &str, json: impl FnOnce() -> Json) {
        if self.output.is_json() {
            return self.output.object(&json());
        }
        let clock = self.zone.to_datetime(jiff::Timestamp::now()).strftime("%H:%M:%S").to_string();
        let what = match what {
            "field" => self.language.pick("field", "campo"),
            "data" => self.language.pick("data", "datos"),
            _ => self.language.pick("alarm", "alarma"),
        };
        let width = self.language.pick("alarm", "alarma").len();
        self.print(&format!("{clock}  {what:width$}  {text}\n"));
    }

    fn print(&self, text: &str) {
        match self.bar {
            Some(bar) => bar.suspend(|| self.output.print(text)),
            None => self.output.print(text),
        }
    }
}

fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    row.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// Which event of each alarm has been shown.
#[derive(Default)]
struct Seen {
    times: BTreeMap<String, (String, String)>,
}

impl Seen {
    /// The alarms that have changed since the last look, the oldest first.
    fn news(&mut self, rows: &[Row]) -> Vec<Row> {
        let mut news: Vec<Row> = rows
            .iter()
            .filter(|row| {
                let event = (text(row, "time").to_owned(), text(row, "event").to_owned());
                self.times.insert(alarms::name(row), event.clone()) != Some(event)
            })
            .cloned()
            .collect();
        news.sort_by_key(|row| text(row, "time").to_owned());
        news
    }
}

/// "WELL-003.THP.H raised: 612.4 psig (limit 500)".
fn sentence(row: &Row, language: Language) -> String {
    let number_of = |field: &str| row.get(field).and_then(Json::as_f64).map(number);
    let mut sentence = format!("{} {}", alarms::name(row), language.event(text(row, "event")));
    if let Some(value) = number_of("value") {
        sentence.push_str(format!(": {value} {}", text(row, "unit")).trim_end());
    }
    if let Some(limit) = number_of("limit") {
        sentence.push_str(&format!(" ({} {limit})", language.pick("limit", "límite")));
    }
    let by: Vec<&str> = [text(row, "user"), text(row, "reason")].into_iter().filter(|text| !text.is_empty()).collect();
    if !by.is_empty() {
        sentence.push_str(&format!(", {}", by.join(": ")));
    }
    sentence
}

/// A line for each well: its tags as columns, `!` behind a bad value, `?` behind a doubtful one.
fn values(site: &Site, changes: &Changes) -> String {
    const SHOWN: [(&str, &str); 7] = [
        ("THP", "THP psig"),
        ("PIP", "PIP psig"),
        ("FLT", "FLT °F"),
        ("ESP_CURRENT", "AMPS"),
        ("ESP_FREQUENCY", "HZ"),
        ("OIL_RATE", "OIL stb/d"),
        ("WATER_RATE", "WATER stb/d"),
    ];
    let is_well = |name: &str| site.directory.tag_id(&format!("{name}.THP")).is_some();
    let wells = site.assets.iter().filter(|asset| is_well(&asset.name.value));
    let rows: Vec<Vec<String>> = wells
        .map(|asset| {
            let cells = SHOWN.iter().map(|(variable, _)| {
                let tag = site.directory.tag_id(&format!("{}.{variable}", asset.name.value));
                tag.and_then(|tag| changes.newest(tag)).map(cell).unwrap_or_default()
            });
            std::iter::once(asset.name.value.clone()).chain(cells).collect()
        })
        .collect();
    let mut columns = vec![("WELL", Align::Left, 12)];
    columns.extend(SHOWN.iter().map(|(_, head)| (*head, Align::Right, 12)));
    layout(&columns, &rows).trim_end().to_owned()
}

fn cell(newest: &Newest) -> String {
    let mark = if newest.quality.is_good() {
        " "
    } else if newest.quality.is_bad() {
        "!"
    } else {
        "?"
    };
    match newest.value.as_f64() {
        Some(value) => format!("{}{mark}", number(value)),
        None => format!("-{mark}"),
    }
}
