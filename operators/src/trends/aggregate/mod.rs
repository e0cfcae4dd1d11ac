//! `aggregate`: one row per tag and window.

mod calendar;
mod history;
mod outputs;
#[cfg(test)]
mod properties;
mod rows;
mod sums;
#[cfg(test)]
mod tests;
mod transform;
mod weigh;
mod weights;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, did_you_mean};
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, Operator, Port, Transform, TransformConfig,
};
use ducto_graph::scalar::{Duration, Percent};
use ducto_graph::site::Site;
use ducto_graph::tree::Spanned;
use ducto_record::time::{DAY, HOUR, MINUTE, SECOND};
use ducto_record::{Micros, RowType, StreamType, ValueKind, with_role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Interpolation, is_sloped};
use crate::quality::patience;
use calendar::Calendar;
pub use outputs::Output;
use sums::Needs;

/// Gives one row per tag and window, a little after the window's end: `time` is the window's start, `tag` the tag, then
/// the outputs in the order in which they are named. A tag without an accepted sample in a window has no row there.
/// Samples that come late correct their window (the old row is taken back, the new one given) until `cutoff`; what
/// comes later leaves by the port `late`. Numbers are float64: integers beyond 2⁵³ are rounded, `true` is 1.
///
/// The quality of a row is the worst of its accepted samples; where they are all Good it is 216 (LOCAL_OVERRIDE) as soon
/// as one of them was forced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    /// Length of the windows, from `1s` to `1d`; or `contract_day`, or `month` (from the first contract day of a month),
    /// which follow the site's time zone and daylight saving. The two have a column `day` with the day's name.
    pub every: Spanned<Every>,
    /// Where windows that are shorter than a day begin: multiples of `every` from midnight in `utc`, or from midnight in
    /// the time zone of the `site`.
    #[serde(default)]
    pub aligned: Aligned,
    /// The columns, by the names of OPC UA Part 13.
    #[serde(default = "default_outputs")]
    pub outputs: Vec<Spanned<Output>>,
    /// Whether Uncertain samples count.
    #[serde(default)]
    pub accept: Accept,
    /// A row whose tag was good for less than this share of the window is Uncertain. Without it, all rows keep the
    /// quality of their samples.
    #[serde(default)]
    pub percent_good: Option<Percent>,
    /// How values change between samples, for the outputs that weigh time; goes before what tags say. Without it a
    /// tag's own `interpolation` counts, and else float64 is sloped and all other kinds are stepped. Where the next
    /// value is not known when a window is closed, the last one holds until the window's end; a line to a value that
    /// comes then corrects the window, so that the totals of windows that follow each other add up. Where tags send less
    /// often than `wait`, a longer `wait` saves these corrections. No line goes to or from a sample that is not
    /// accepted: the value before it holds until it, and the time after it is left out. Behind the end of an input that
    /// ends (a replay, a test) the last value of a tag that is polled holds as long as the tag may be silent before it is
    /// stale, as where the site runs on.
    #[serde(default)]
    pub interpolation: Option<Interpolation>,
    /// The time unit of rates that `total` sums up: `1d` for stb/d, so that the total is in stb.
    #[serde(default = "default_total_per")]
    pub total_per: Spanned<Duration>,
    /// How long after its end a window is closed and its rows are given.
    #[serde(default = "default_wait")]
    pub wait: Duration,
    /// How long after its end a window is still corrected, `wait` at least; `0s` for never. For time-weighted outputs the
    /// samples of this time, and of an hour or a window before it, are kept in memory: as many as fit into a quarter of
    /// the site's `memory`, at eight bytes a sample and one sample of each tag per `scan` (1 s where it has none). Where
    /// that is less, `ducto check` says so, and what is older than the oldest of them leaves by `late`.
    #[serde(default = "default_cutoff")]
    pub cutoff: Spanned<Duration>,
}

fn default_outputs() -> Vec<Spanned<Output>> {
    [Output::TimeAverage, Output::Minimum, Output::Maximum, Output::Last].into_iter().map(Spanned::from).collect()
}

fn default_total_per() -> Spanned<Duration> {
    Duration::from_secs(1).into()
}

fn default_wait() -> Duration {
    Duration::from_secs(2)
}

fn default_cutoff() -> Spanned<Duration> {
    Duration::from_secs(3600).into()
}

/// How long windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    Length(Duration),
    ContractDay,
    Month,
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "contract_day" => Ok(Self::ContractDay),
            "month" => Ok(Self::Month),
            other => match other.parse::<Duration>() {
                Ok(length) => Ok(Self::Length(length)),
                Err(error) => Err(match did_you_mean(other, ["contract_day", "month"]) {
                    Some(nearest) => format!("`{other}` is no length of a window\ndid you mean `{nearest}`?"),
                    None => error.to_string(),
                }),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Every {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "a duration such as `1m`, `contract_day` or `month`",
            "examples": ["1m", "1h", "contract_day", "month"],
        })
    }
}

/// Where windows begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aligned {
    /// Multiples since midnight in UTC.
    #[default]
    Utc,
    /// Multiples since midnight in the site's time zone. When the clock changes, windows of up to an hour follow it: an
    /// hour that comes twice gives two rows, one that is left out gives none. Longer ones are longer or shorter by it.
    Site,
}

/// Which samples count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Good ones.
    #[default]
    Good,
    /// Good and Uncertain ones.
    Usable,
}

impl Accept {
    /// The bits of a quality code that must be set.
    pub(crate) const fn mask(self) -> u16 {
        match self {
            Self::Good => 0xC0,
            Self::Usable => 0x40,
        }
    }
}

/// The kinds of value that become numbers.
const KINDS: [ValueKind; 3] = [ValueKind::Float64, ValueKind::Int64, ValueKind::Bool];

/// The operator `aggregate`.
pub fn operator() -> Operator {
    Operator {
        name: "aggregate",
        summary: "Windows of each tag: average, minimum, maximum, time average, totals, durations, transitions",
        schema: |generator| generator.subschema_for::<AggregateConfig>(),
        examples: &[
            "minutes: {type: aggregate, inputs: [checked], every: 1m, outputs: [time_average, minimum, maximum, last, percent_good]}",
            "days:\n  type: aggregate\n  inputs: [checked]\n  every: contract_day\n  outputs: [total, duration_in_state_nonzero, count]\n  total_per: 1d\n  percent_good: 80\n",
            "hours: {type: aggregate, inputs: [checked], every: 1h, aligned: site, accept: usable, interpolation: stepped}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<AggregateConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// What a node computes, as its instances share it.
#[derive(Debug)]
struct Settings {
    outputs: Vec<Output>,
    needs: Needs,
    calendar: Calendar,
    named_by: ducto_graph::site::NamedBy,
    has_day: bool,
    mask: u16,
    threshold: Option<f64>,
    total_per: Micros,
    wait: Micros,
    cutoff: Micros,
    /// How long samples are kept for weighing.
    kept: Kept,
    row: RowType,
    /// Says which settings a saved state was made with.
    fingerprint: String,
}

/// How long samples are kept for weighing.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// The cutoff, and a window before it, an hour at most.
    wanted: Micros,
    /// What fits into this node's share of the site's memory. From the configuration alone, so that which samples are too
    /// late does not depend on how they come.
    fits: Micros,
}

impl Kept {
    fn time(self) -> Micros {
        self.wanted.min(self.fits)
    }

    fn is_short(self) -> bool {
        self.fits < self.wanted
    }
}

/// Share of the site's memory budget for the samples that one node keeps.
const KEPT_SHARE: u64 = 4;

impl AggregateConfig {
    fn kept(&self, site: &Site) -> Kept {
        let wanted = self.cutoff.micros().max(self.wait.micros()).saturating_add(self.length().min(HOUR));
        let numbers = site.tags.iter().filter(|tag| KINDS.contains(&tag.kind));
        let per_second: f64 = numbers
            .map(|tag| size_of::<f64>() as f64 / tag.scan.map_or(1.0, |scan| scan.micros() as f64 / SECOND as f64))
            .sum();
        let share = (site.memory.bytes() / KEPT_SHARE) as f64;
        // An open window takes what comes within `wait`, whatever the memory.
        let fits = if per_second > 0.0 { (share / per_second * SECOND as f64) as Micros } else { Micros::MAX };
        let fits = fits.max(self.wait.micros().saturating_add(MINUTE));
        Kept { wanted, fits }
    }

    fn calendar(&self, site: &Site) -> Calendar {
        let zone = site.time_zone.zone().clone();
        match (*self.every, self.aligned) {
            (Every::ContractDay, _) => calendar::of_days(zone, site.contract_day),
            (Every::Month, _) => Calendar::Month { zone, start: site.contract_day.start },
            (Every::Length(every), Aligned::Utc) => Calendar::Utc { every: every.micros().max(1) },
            (Every::Length(every), Aligned::Site) => Calendar::Local { every: every.micros().max(1), zone },
        }
    }

    /// About how long a window is.
    fn length(&self) -> Micros {
        match *self.every {
            Every::Length(every) => every.micros().max(1),
            Every::ContractDay => DAY,
            Every::Month => 31 * DAY,
        }
    }

    fn row_type(&self, site: &Site) -> RowType {
        let mut fields = vec![with_role(Field::new("tag", DataType::UInt32, false), "tag")];
        if matches!(*self.every, Every::ContractDay | Every::Month) {
            fields.push(Field::new("day", DataType::Date32, true));
        }
        let common = common_unit(site);
        fields.extend(self.outputs.iter().map(|output| output.field(common.as_deref())));
        RowType::new(fields, &["tag"])
    }

    fn settings(&self, site: &Site) -> Settings {
        let outputs: Vec<Output> = self.outputs.iter().map(|output| **output).collect();
        Settings {
            needs: Needs::of(&outputs, self.percent_good.is_some()),
            calendar: self.calendar(site),
            named_by: site.contract_day.named_by,
            has_day: matches!(*self.every, Every::ContractDay | Every::Month),
            mask: self.accept.mask(),
            threshold: self.percent_good.map(Percent::percent),
            total_per: self.total_per.micros().max(1),
            wait: self.wait.micros(),
            // A window that is not closed yet takes what belongs into it.
            cutoff: self.cutoff.micros().max(self.wait.micros()),
            kept: self.kept(site),
            row: self.row_type(site),
            fingerprint: format!(
                "{:?} {:?} {:?} {outputs:?} {}",
                *self.every,
                self.aligned,
                self.accept,
                self.percent_good.is_some()
            ),
            outputs,
        }
    }
}

/// The unit that all tags with numbers have in common.
fn common_unit(site: &Site) -> Option<String> {
    let mut units = site.tags.iter().filter(|tag| KINDS.contains(&tag.kind)).map(|tag| tag.unit.as_ref());
    let first = units.next()??;
    units.all(|unit| unit == Some(first)).then(|| first.symbol.to_string())
}

impl TransformConfig for AggregateConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let mut kinds = Vec::new();
        for input in inputs {
            match &input.stream {
                StreamType::Samples(found) => kinds.extend(found.iter().copied()),
                StreamType::Rows(_) => {
                    cx.report(
                        Diagnostic::new(
                            Code::StreamUnfit,
                            format!("`aggregate` reads samples, and `{}` gives rows", *input.from),
                        )
                        .at(input.from.place)
                        .help("let it read samples, or aggregate rows with a transform of type `sql`"),
                    );
                    return None;
                }
            }
        }
        if !kinds.is_empty() && !kinds.iter().any(|kind| KINDS.contains(kind)) {
            cx.report(
                Diagnostic::new(
                    Code::StreamUnfit,
                    "`aggregate` reads numbers and booleans, and only text arrives here",
                )
                .at(cx.place)
                .help("let it read a node that gives float64, int64 or bool"),
            );
        }
        if let Every::Length(every) = *self.every {
            let every = every.micros();
            if !(SECOND..=DAY).contains(&every) {
                cx.report(
                    Diagnostic::new(Code::NumberOutOfRange, "windows last from `1s` to `1d`")
                        .at(self.every.place)
                        .help("for days write `contract_day`, for months `month`"),
                );
            } else if self.aligned == Aligned::Site && DAY % every != 0 {
                cx.report(
                    Diagnostic::new(Code::ValueInvalid, "windows aligned on the site's day must divide a day evenly")
                        .at(self.every.place)
                        .help("write `10m`, `1h`, `6h`, or align on UTC"),
                );
            }
        }
        let cutoff = self.cutoff.value;
        if cutoff != Duration::ZERO && cutoff < self.wait {
            cx.report(
                Diagnostic::new(
                    Code::SettingsContradict,
                    format!(
                        "a window would be corrected until {cutoff} after its end, and is closed {} after it",
                        self.wait
                    ),
                )
                .at(self.cutoff.place)
                .help("write a `cutoff` longer than `wait`, or `0s` where nothing is to be corrected"),
            );
        }
        if self.total_per.micros() == 0 {
            cx.report(
                Diagnostic::new(Code::NumberOutOfRange, "`total_per` must be longer than zero")
                    .at(self.total_per.place)
                    .help("write the time unit of the rate: `1d` for stb/d, `1h` for m3/h"),
            );
        }
        if self.outputs.is_empty() {
            cx.report(
                Diagnostic::new(Code::LengthWrong, "`outputs` names no output")
                    .at(cx.place)
                    .help("name some, such as `[time_average, minimum, maximum, last]`"),
            );
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if self.outputs[..index].contains(output) {
                cx.report(
                    Diagnostic::new(Code::ColumnRepeated, format!("the output `{}` is named twice", output.name()))
                        .at(output.place)
                        .help("remove one of the two"),
                );
            }
        }
        if self.length() >= SECOND {
            self.check_memory(cx);
        }
        kinds.sort();
        kinds.dedup();
        Some(vec![
            Port::main(StreamType::Rows(self.row_type(cx.site))),
            Port { name: "late", stream: StreamType::Samples(kinds) },
        ])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let sloped = cx
            .site
            .tags
            .iter()
            .map(|tag| self.interpolation.map_or_else(|| is_sloped(tag), |said| said == Interpolation::Sloped))
            .collect();
        let patience = cx.site.tags.iter().map(|tag| patience(tag, &cx.units).unwrap_or(Micros::MAX)).collect();
        Ok(Box::new(transform::Aggregate::new(self.settings(&cx.site), cx, sloped, patience)))
    }
}

impl AggregateConfig {
    /// Windows that may still be corrected are kept for every tag: that must fit.
    fn check_memory(&self, cx: &mut CheckContext<'_>) {
        let outputs: Vec<Output> = self.outputs.iter().map(|output| **output).collect();
        let needs = Needs::of(&outputs, self.percent_good.is_some());
        let tags = cx.site.tags.len() as i64;
        let windows = 2 + self.cutoff.micros().saturating_add(self.wait.micros()) / self.length();
        let bytes = windows.saturating_mul(tags).saturating_mul(needs.bytes() as i64);
        let memory = cx.site.memory.bytes() as i64;
        if bytes > memory {
            cx.report(
                Diagnostic::new(
                    Code::StateTooLarge,
                    format!(
                        "windows that may still be corrected take {} MB for {tags} tags, more than the site's memory of {} MB",
                        bytes >> 20,
                        memory >> 20
                    ),
                )
                .at(self.every.place)
                .help("lengthen `every`, shorten `cutoff`, or raise `memory` in site.yaml"),
            );
            return;
        }
        let kept = self.kept(cx.site);
        if needs.weights.any() && kept.is_short() {
            let minutes = |time: Micros| time / MINUTE;
            cx.report(
                Diagnostic::new(
                    Code::CorrectionsShortened,
                    format!(
                        "the samples of {} minutes are kept for corrections, which need those of {}: more of {tags} tags do \
                         not fit into a quarter of the site's memory of {} MB",
                        minutes(kept.fits),
                        minutes(kept.wanted),
                        memory / 1_000_000
                    ),
                )
                .at(cx.place)
                .help("shorten `cutoff`, raise `memory` in site.yaml, or let the node read fewer tags; samples that are later leave by `late`"),
            );
        }
    }
}
