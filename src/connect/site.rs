//! The connections of a site: plans, values now, and what would fit better.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ducto_graph::codes::Severity;
use ducto_graph::diagnostic::suggestion;
use ducto_graph::load::load_site_in_part;
use ducto_graph::site::{ConnectionSettings, Site};
use ducto_operators::sources::modbus::probe::{self, Answered, Endpoint, Wanted};
use ducto_operators::sources::modbus::{Modbus, TagReading, read_plan};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::task::JoinSet;

use super::{overrides, plan, suggestions};
use crate::causes;
use crate::cli::{ConnectArgs, DataArgs};
use crate::data;
use crate::load::{Loading, counted, grouped};
use crate::output::{Exit, Failure, Output};
use crate::pattern::matches;
use crate::reading;
use crate::screen::{self, Cell, Column, Grid, grid};
use crate::table::wrapped;
use crate::words::Language;

/// Endpoints that are read at the same time.
const AT_ONCE: usize = 64;
/// Assets of which the plan and each value are shown; of more only what is not right.
const SHOWN: usize = 3;

pub(crate) fn run(args: &ConnectArgs, output: &Output) -> Result<Exit, Failure> {
    if args.unit.is_some() {
        let message = "`--unit` goes with an endpoint; the units of a site are those of its assets";
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut loading = Loading::new();
    let site = load(&mut loading, Path::new(&args.target), output)?;
    let of = args.of.as_deref().unwrap_or("*");
    let selected =
        Selected::of(&site, |connection| matches(of, &connection.asset) || matches(of, &connection.config.endpoint()));
    if selected.endpoints.is_empty() {
        return Err(none(&site, args.of.as_deref()));
    }
    let selected = selected.refusing_exclusive(&site, &args.place, output)?;
    let samples = if args.suggest { usize::from(args.samples) } else { 0 };
    let answered = survey(selected.endpoints, Wanted { samples, every: args.every }, output)?;
    let findings = match args.suggest {
        true => probe::survey(&answered).examine(loading.registry.units()),
        false => Vec::new(),
    };
    let shown = Shown { site: &site, answered: &answered, language: Language::of(&site.language) };
    let written = match &args.write {
        Some(path) => Some(overrides::write(path, &site, &findings)?),
        None => None,
    };
    if output.is_json() {
        let mut object = shown.json();
        if args.suggest {
            object["suggestions"] = suggestions::json(&site, &findings);
            object["written"] = json!(written);
        }
        output.object(&object);
    } else {
        output.print(&shown.text());
        if args.suggest {
            output.print(&suggestions::text(&site, &findings, &answered));
        }
        if let (Some(count), Some(path)) = (written, &args.write) {
            output.line(&format!("{} in {}", counted(count, "setting"), path.display()));
        }
    }
    let counts = shown.counts();
    Ok(match () {
        () if counts.answering == 0 => Exit::Peer,
        () if counts.answering < counts.assets || counts.bad > 0 || !findings.is_empty() => Exit::Findings,
        () => Exit::Done,
    })
}

/// A site as far as it can be made out: devices are looked at to find its mistakes, too.
pub(crate) fn load(loading: &mut Loading, path: &Path, output: &Output) -> Result<Arc<Site>, Failure> {
    let Loading { registry, sources, diagnostics } = &mut *loading;
    let site = load_site_in_part(path, registry, sources, diagnostics);
    let errors = loading.diagnostics.count(Severity::Error);
    match site {
        Some(site) if errors == 0 => Ok(site),
        Some(site) if !site.connections.is_empty() => {
            if !output.is_json() {
                let errors = counted(errors, "mistake");
                output.remark(&format!("the site has {errors}, which `ducto check {}` shows", path.display()));
            }
            Ok(site)
        }
        _ => loading.accept(None, output),
    }
}

fn none(site: &Site, of: Option<&str>) -> Failure {
    let message = match of {
        None => format!("site `{}` has no Modbus connection", site.name),
        Some(of) => {
            let help = suggestion(of, site.connections.iter().map(|connection| &*connection.asset));
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            format!("site `{}` has no asset or Modbus connection `{of}`{help}", site.name)
        }
    };
    Failure::new(Exit::Usage, message)
}

/// Endpoints of a site with the assets that are wanted.
pub(crate) struct Selected {
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Selected {
    pub(crate) fn of(site: &Site, takes: impl Fn(&ConnectionSettings) -> bool) -> Self {
        Self { endpoints: probe::endpoints(site, takes) }
    }

    /// Leaves out what a running site holds for itself: a serial line, a port that modems dial in to.
    pub(crate) fn refusing_exclusive(
        mut self,
        site: &Site,
        place: &DataArgs,
        output: &Output,
    ) -> Result<Self, Failure> {
        let folder = place.data.clone().unwrap_or_else(|| data::default_for(&site.name));
        let runs = matches!(ducto_site::Client::connect(&folder), Ok(Some(_)));
        if !runs {
            return Ok(self);
        }
        let exclusive = |endpoint: &Endpoint| {
            let configs = endpoint.members.iter().filter_map(|member| Modbus::of(&*member.connection.config));
            configs.flat_map(Modbus::endpoints).any(|endpoint| !matches!(endpoint, modbus::Endpoint::Tcp { .. }))
        };
        let (held, free): (Vec<Endpoint>, Vec<Endpoint>) = self.endpoints.into_iter().partition(exclusive);
        let names: Vec<&str> = held.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let message = format!(
            "the site runs and has {} for itself: stop it, or look at its values with `ducto tap`",
            names.join(", ")
        );
        if !held.is_empty() && free.is_empty() {
            return Err(Failure::new(Exit::Peer, message));
        }
        if !output.is_json() {
            if !held.is_empty() {
                output.remark(&message);
            }
            output.remark(
                "the site runs: its polls go on, and a device that takes one connection only may refuse this one",
            );
        }
        self.endpoints = free;
        Ok(self)
    }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Findings, format!("cannot wait for devices: {error}; try again")))
}

/// Reads endpoints, many at a time.
pub(crate) fn survey(endpoints: Vec<Endpoint>, wanted: Wanted, output: &Output) -> Result<Vec<Answered>, Failure> {
    let runtime = runtime()?;
    let bar = (output.is_watched() && endpoints.len() + wanted.samples > 1).then(|| {
        let bar = ProgressBar::new(endpoints.len() as u64);
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} endpoints");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    });
    let mut answered: Vec<(usize, Answered)> = runtime.block_on(async {
        let mut waiting = endpoints.into_iter().enumerate();
        let mut reading = JoinSet::new();
        let mut done = Vec::new();
        loop {
            while reading.len() < AT_ONCE
                && let Some((number, endpoint)) = waiting.next()
            {
                reading.spawn(async move { (number, probe::read(endpoint, wanted).await) });
            }
            let Some(next) = reading.join_next().await else { return done };
            if let Ok(next) = next {
                done.push(next);
            }
            if let Some(bar) = &bar {
                bar.inc(1);
            }
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    // A name being resolved blocks a thread that is not waited for.
    runtime.shutdown_background();
    answered.sort_by_key(|(number, _)| *number);
    Ok(answered.into_iter().map(|(_, answered)| answered).collect())
}

/// What was read of a site.
struct Shown<'a> {
    site: &'a Site,
    answered: &'a [Answered],
    language: Language,
}

#[derive(Default)]
struct Counts {
    assets: usize,
    answering: usize,
    tags: usize,
    /// Of devices that do not answer.
    silent: usize,
    bad: usize,
}

impl Shown<'_> {
    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for answer in self.answered {
            for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
                counts.assets += 1;
                counts.tags += member.tags.len();
                if answer.error.is_some() || !of.answers() {
                    counts.silent += member.tags.len();
                    continue;
                }
                counts.answering += 1;
                let bad = member.tags.iter().zip(&of.readings);
                counts.bad += bad.filter(|(tag, reading)| !reading::judged(tag, reading).is_good()).count();
            }
        }
        counts
    }

    fn text(&self) -> String {
        let counts = self.counts();
        let whole = counts.assets <= SHOWN;
        let [unit_word, ..] = self.language.request_words();
        let mut text = String::new();
        for answer in self.answered {
            if let Some(error) = &answer.error {
                let error = causes::error(self.language, error);
                text.push_str(&format!("{}\n{}", answer.endpoint.name, planned(&error)));
                continue;
            }
            for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
                let unit = member.unit();
                if let Some(error) = &of.error {
                    let error = causes::error(self.language, error);
                    text.push_str(&format!(
                        "{}  {}, {unit_word} {unit}\n{}",
                        member.asset,
                        answer.endpoint.name,
                        planned(&error)
                    ));
                    continue;
                }
                let bad = member.tags.iter().zip(&of.readings);
                let bad = bad.filter(|(tag, reading)| !reading::judged(tag, reading).is_good()).count();
                if !whole && bad == 0 {
                    continue;
                }
                text.push_str(&format!("{}  {}, {unit_word} {unit}\n", member.asset, answer.endpoint.name));
                if let Some(config) = Modbus::of(&*member.connection.config).filter(|_| whole) {
                    let (head, reads) = plan::text(&read_plan(config, &member.tags), self.language);
                    text.push_str(&format!("  plan: {head}\n{}", planned(&reads)));
                }
                match refused(&of.readings) {
                    Some(error) => text.push_str(&planned(&causes::error(self.language, error))),
                    None => text.push_str(&self.values(member, of, whole)),
                }
            }
        }
        let Counts { assets, answering, tags, silent, bad } = counts;
        let (site, good) = (&self.site.name, grouped((tags - silent - bad) as u64));
        let (of_assets, of_tags) = (grouped(assets as u64), grouped(tags as u64));
        let one = assets == 1;
        text.push_str(&match self.language {
            Language::English => {
                let (asset, answer) = if one { ("asset", "answers") } else { ("assets", "answer") };
                format!("{site}: {answering} of {of_assets} {asset} {answer}, {good} of {} good", counted(tags, "tag"))
            }
            Language::Spanish => {
                let (asset, answer) = if one { ("activo", "responde") } else { ("activos", "responden") };
                format!("{site}: {answering} de {of_assets} {asset} {answer}, {good} de {of_tags} tags buenos")
            }
        });
        if silent > 0 {
            let of = self.language.pick("of devices that do not answer", "de equipos que no responden");
            text.push_str(&format!(", {} {of}", grouped(silent as u64)));
        }
        text.push('\n');
        text
    }

    /// The tags of an asset as a table; why one has no reading stands below it.
    fn values(&self, member: &probe::Member, of: &probe::MemberAnswer, whole: bool) -> String {
        const INDENT: usize = 2;
        let shown: Vec<_> = member
            .tags
            .iter()
            .zip(&of.readings)
            .filter(|(tag, reading)| whole || !reading::judged(tag, reading).is_good())
            .collect();
        let cells: Vec<Vec<Cell>> = shown
            .iter()
            .map(|(tag, reading)| {
                vec![
                    tag.name.as_str().into(),
                    reading::value_text(tag, &reading.value).into(),
                    reading::unit_text(tag).into(),
                    self.language.quality(reading::judged(tag, reading)).into(),
                    reading::registers_text(&reading.registers).into(),
                ]
            })
            .collect();
        let [tag, value, unit, quality, registers] = self.language.reading_columns();
        let columns = [
            Column::left(tag, 40, 0),
            Column::right(value, 24, 0),
            Column::left(unit, 8, 2),
            Column::left(quality, 22, 0),
            Column::left(registers, 24, 1),
        ];
        let width = width().saturating_sub(INDENT);
        let Grid { head, rows } = grid(&columns, &cells, width);
        let mut text = format!("  {}\n", head.to_string().trim_end());
        for (row, (_, reading)) in rows.into_iter().zip(shown) {
            text.push_str(&format!("  {}\n", row.to_string().trim_end()));
            if let Some(error) = &reading.error {
                let error = causes::error(self.language, error);
                let parts = wrapped(&error, width.saturating_sub(4).max(20));
                parts.iter().for_each(|part| text.push_str(&format!("      {part}\n")));
            }
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let endpoints: Vec<_> = self
            .answered
            .iter()
            .map(|answer| {
                let members = answer.endpoint.members.iter().zip(&answer.members);
                let assets: Vec<_> = members.map(|(member, of)| asset_json(member, of)).collect();
                json!({"endpoint": answer.endpoint.name, "error": answer.error, "assets": assets})
            })
            .collect();
        let counts = self.counts();
        json!({
            "site": self.site.name,
            "assets": counts.assets,
            "answering": counts.answering,
            "tags": counts.tags,
            "silent": counts.silent,
            "bad": counts.bad,
            "endpoints": endpoints,
        })
    }
}

fn asset_json(member: &probe::Member, of: &probe::MemberAnswer) -> serde_json::Value {
    let plan = Modbus::of(&*member.connection.config).map(|config| read_plan(config, &member.tags));
    let reads: Vec<_> = plan
        .iter()
        .flat_map(|plan| &plan.reads)
        .map(|read| {
            let tags: Vec<&str> = read.tags.iter().map(|tag| tag.name.as_str()).collect();
            json!({
                "function": read.function,
                "first": read.first,
                "last": read.last,
                "count": read.count,
                "unused": read.unused,
                "cost": read.cost,
                "period": read.period.to_string(),
                "tags": tags,
            })
        })
        .collect();
    let readings: Vec<_> =
        member.tags.iter().zip(&of.readings).map(|(tag, reading)| reading::json(tag, reading)).collect();
    json!({
        "asset": &*member.asset,
        "unit_id": member.unit(),
        "error": of.error,
        "requests_per_minute": plan.as_ref().map(|plan| plan.requests_per_minute),
        "reads": reads,
        "tags": readings,
    })
}

/// The error of a device that refuses every tag for one cause: it is said once.
fn refused(readings: &[TagReading]) -> Option<&str> {
    let error = readings.first()?.error.as_deref()?;
    readings.iter().all(|reading| reading.error.as_deref() == Some(error)).then_some(error)
}

/// Columns of the terminal.
fn width() -> usize {
    usize::from(screen::size().0)
}

/// Lines that may be long, with what does not fit a terminal further in.
fn planned(text: &str) -> String {
    let width = width();
    let lines = text.lines().flat_map(|line| {
        let depth = 2 + line.len() - line.trim_start().len();
        let parts = wrapped(line, width.saturating_sub(depth + 4).max(20));
        parts.into_iter().enumerate().map(move |(at, part)| {
            let depth = if at == 0 { depth } else { depth + 4 };
            format!("{}{part}\n", " ".repeat(depth))
        })
    });
    lines.collect()
}
