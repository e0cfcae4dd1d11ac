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

use super::{overrides, suggestions};
use crate::cli::{ConnectArgs, DataArgs};
use crate::data;
use crate::load::{Loading, counted};
use crate::output::{Exit, Failure, Output};
use crate::pattern::matches;
use crate::reading;
use crate::table::{Align, layout, wrapped};
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
    bad: usize,
}

impl Shown<'_> {
    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for answer in self.answered {
            for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
                counts.assets += 1;
                if answer.error.is_some() || !of.answers() {
                    continue;
                }
                counts.answering += 1;
                counts.tags += of.readings.len();
                let bad = member.tags.iter().zip(&of.readings);
                counts.bad += bad.filter(|(tag, reading)| !reading::judged(tag, reading).is_good()).count();
            }
        }
        counts
    }

    fn text(&self) -> String {
        let counts = self.counts();
        let whole = counts.assets <= SHOWN;
        let mut text = String::new();
        for answer in self.answered {
            if let Some(error) = &answer.error {
                text.push_str(&format!("{}\n  {error}\n", answer.endpoint.name));
                continue;
            }
            for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
                let unit = member.unit();
                if let Some(error) = &of.error {
                    text.push_str(&format!("{}  {}, unit {unit}\n  {error}\n", member.asset, answer.endpoint.name));
                    continue;
                }
                let bad = member.tags.iter().zip(&of.readings);
                let bad = bad.filter(|(tag, reading)| !reading::judged(tag, reading).is_good()).count();
                if !whole && bad == 0 {
                    continue;
                }
                text.push_str(&format!("{}  {}, unit {unit}\n", member.asset, answer.endpoint.name));
                if let Some(config) = Modbus::of(&*member.connection.config).filter(|_| whole) {
                    let plan = read_plan(config, &member.tags).to_string();
                    // The first line names the endpoint and the unit again.
                    let (head, reads) = plan.split_once('\n').unwrap_or((&plan, ""));
                    let head = head.rsplit_once(": ").map_or(head, |(_, head)| head);
                    text.push_str(&format!("  plan: {head}\n{}", planned(reads)));
                }
                match refused(&of.readings) {
                    Some(error) => text.push_str(&planned(error)),
                    None => text.push_str(&self.values(member, of, whole)),
                }
            }
        }
        let Counts { assets, answering, tags, bad } = counts;
        text.push_str(&format!(
            "{}: {answering} of {} answer{}, {} of {} good\n",
            self.site.name,
            counted(assets, "asset"),
            if assets == 1 { "s" } else { "" },
            tags - bad,
            counted(tags, "tag"),
        ));
        text
    }

    fn values(&self, member: &probe::Member, of: &probe::MemberAnswer, whole: bool) -> String {
        let rows: Vec<Vec<String>> = member
            .tags
            .iter()
            .zip(&of.readings)
            .filter(|(tag, reading)| whole || !reading::judged(tag, reading).is_good())
            .map(|(tag, reading)| {
                vec![
                    tag.name.value.clone(),
                    reading::value_text(tag, &reading.value),
                    reading::unit_text(tag),
                    self.language.quality(reading::judged(tag, reading)).to_owned(),
                    reading.error.clone().unwrap_or_else(|| reading::registers_text(&reading.registers)),
                ]
            })
            .collect();
        let [tag, value, unit, quality, registers] = self.language.reading_columns();
        let columns = [
            (tag, Align::Left, 32),
            (value, Align::Right, 16),
            (unit, Align::Left, 8),
            (quality, Align::Left, 22),
            (registers, Align::Left, 60),
        ];
        indented(&layout(&columns, &rows))
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

/// Lines that may be long, with what does not fit a terminal further in.
fn planned(text: &str) -> String {
    const WIDTH: usize = 80;
    let lines = text.lines().flat_map(|line| {
        let depth = 2 + line.len() - line.trim_start().len();
        let parts = wrapped(line, WIDTH - depth - 4);
        parts.into_iter().enumerate().map(move |(at, part)| {
            let depth = if at == 0 { depth } else { depth + 4 };
            format!("{}{part}\n", " ".repeat(depth))
        })
    });
    lines.collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
