//! `ducto read`: tags read from their devices, with everything that was seen on the way.

use std::sync::Arc;

use ducto_graph::diagnostic::suggestion;
use ducto_graph::site::{Site, TagSettings};
use ducto_operators::sources::modbus::{Modbus, TagReading, probe, read_plan};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::ReadArgs;
use crate::connect::site::{self, Selected};
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};
use crate::pattern::matches;
use crate::reading;
use crate::words::Language;

pub(crate) fn run(args: &ReadArgs, output: &Output) -> Result<Exit, Failure> {
    let mut loading = Loading::new();
    let site = site::load(&mut loading, &args.site, output)?;
    let tags = chosen(&site, &args.tags)?;
    let selected = Selected::of(&site, |connection| connection.tags.iter().any(|id| tags.contains(id)))
        .refusing_exclusive(&site, &args.place, output)?;
    let endpoints = selected
        .endpoints
        .into_iter()
        .map(|mut endpoint| {
            for member in &mut endpoint.members {
                member.tags.retain(|tag| tags.contains(&tag.id));
            }
            endpoint
        })
        .collect();
    let answered = site::survey(endpoints, probe::Wanted { samples: 0, every: std::time::Duration::ZERO }, output)?;
    let zone = site.time_zone.zone().clone();
    let language = Language::of(&site.language);
    let (mut good, mut silent, mut all) = (0, 0, 0);
    for answer in &answered {
        for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
            let Some(config) = Modbus::of(&*member.connection.config) else { continue };
            let error = answer.error.as_ref().or(of.error.as_ref());
            for tag in &member.tags {
                all += 1;
                let reading = of.readings.iter().find(|reading| reading.tag == tag.id);
                silent += usize::from(error.is_some());
                good += usize::from(reading.is_some_and(|reading| reading.quality.is_good()));
                let shown = Shown { tag, config, endpoint: &answer.endpoint.name, reading, error, time: of.time };
                shown.print(output, &zone, language);
            }
        }
    }
    Ok(match () {
        () if silent == all => Exit::Peer,
        () if good < all => Exit::Findings,
        () => Exit::Done,
    })
}

/// The tags that the names mean, all of them read from Modbus devices.
fn chosen(site: &Site, names: &[String]) -> Result<Vec<u32>, Failure> {
    let read: Vec<&Arc<TagSettings>> =
        site.connections.iter().flat_map(|connection| &connection.tags).filter_map(|id| site.tag(*id)).collect();
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(read.iter().filter(|tag| matches(name, &tag.name)).map(|tag| tag.id));
        if chosen.len() > before {
            continue;
        }
        let known = site.directory.tag_id(name).and_then(|id| site.tag(id));
        let message = match known.and_then(|tag| tag.published_by.as_ref()) {
            Some((pipeline, node)) => {
                format!("`{name}` is computed by `{node}` of the pipeline `{pipeline}`, not read")
            }
            None if known.is_some() => format!("no connection reads `{name}`; `ducto explain` shows its settings"),
            None => {
                let help = suggestion(name, site.directory.tags().iter().map(|tag| &*tag.name));
                let help = help.map(|help| format!("; {help}")).unwrap_or_default();
                format!("site `{}` has no tag `{name}`{help}", site.name)
            }
        };
        return Err(Failure::new(Exit::Usage, message));
    }
    chosen.dedup();
    Ok(chosen)
}

/// One tag and what came of reading it.
struct Shown<'a> {
    tag: &'a Arc<TagSettings>,
    config: &'a Modbus,
    endpoint: &'a str,
    reading: Option<&'a TagReading>,
    error: Option<&'a String>,
    time: Option<Timestamp>,
}

impl Shown<'_> {
    fn print(&self, output: &Output, zone: &TimeZone, language: Language) {
        let plan = read_plan(self.config, std::slice::from_ref(self.tag));
        let read = plan.reads.first();
        if output.is_json() {
            let mut object = match self.reading {
                Some(reading) => reading::json(self.tag, reading),
                None => json!({"tag": &*self.tag.name, "value": null, "error": self.error}),
            };
            object["time"] = json!(self.time.map(|time| time.to_string()));
            object["endpoint"] = json!(self.endpoint);
            object["unit_id"] = json!(self.config.unit_id());
            object["function"] = json!(read.map(|read| read.function));
            object["first"] = json!(read.map(|read| &read.first));
            object["last"] = json!(read.map(|read| &read.last));
            output.object(&object);
            return;
        }
        let name = &*self.tag.name;
        let mut text = match self.reading {
            Some(reading) => {
                let quality = reading::judged(self.tag, reading);
                let value = reading::value_text(self.tag, &reading.value);
                let unit = reading::unit_text(self.tag);
                let space = if unit.is_empty() { "" } else { " " };
                format!("{name}  {value}{space}{unit}  {} ({})\n", language.quality(quality), quality.0)
            }
            None => format!("{name}  {}\n", language.no_answer()),
        };
        if let Some(reading) = self.reading.filter(|reading| !reading.registers.is_empty()) {
            text.push_str(&format!("  registers   {}\n", reading::registers_text(&reading.registers)));
        }
        let request = read.map_or_else(String::new, |read| {
            let to = if read.count > 1 { format!(" to {}", read.last) } else { String::new() };
            format!(", function {}: {}{to}", read.function, read.first)
        });
        text.push_str(&format!("  request     {}, unit {}{request}\n", self.endpoint, self.config.unit_id()));
        if let Some(time) = self.time {
            let trip = self.reading.and_then(|reading| reading.round_trip);
            let trip = trip.map(|trip| format!(", {:.1} ms", trip.as_secs_f64() * 1e3)).unwrap_or_default();
            let local = zone.to_datetime(time);
            let (local, offset) = (local.strftime("%Y-%m-%d %H:%M:%S%.3f"), zone.to_offset(time));
            text.push_str(&format!("  time        {local} {offset}{trip}\n"));
        }
        if let Some(error) = self.reading.and_then(|reading| reading.error.as_ref()).or(self.error) {
            text.push_str(&format!("  error       {error}\n"));
        }
        output.print(&text);
    }
}
