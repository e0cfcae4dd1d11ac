//! The tag section `checks`: which checks a tag has, with which limits.

use std::borrow::Cow;
use std::fmt;

use ducto_graph::scalar::{Duration, Quantity};
use ducto_graph::tree::{Entry, Node, Spanned, Value};
use ducto_record::Quality;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Which checks a tag has, with which limits. A check may be written short, by its main setting alone
/// (`jump: 60`, `gap: 10s`), and `off` takes away one that the node gives to all tags (`stale: off`).
///
/// Without being asked, every tag is checked for NaN and infinities, for its `span` and `envelope` where it has them,
/// and for silence where it is polled.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// Outside the tag's `span` or `envelope`.
    #[schemars(with = "Option<Shorthand<Range>>")]
    pub range: Option<Range>,
    /// Further from the last good value than a limit. Short: the limit.
    #[schemars(with = "Option<Shorthand<Jump>>")]
    pub jump: Option<Jump>,
    /// A single value away from its neighbours.
    #[schemars(with = "Option<Shorthand<Spike>>")]
    pub spike: Option<Spike>,
    /// Changes faster than a limit. Short: the limit per second.
    #[schemars(with = "Option<Shorthand<Rate>>")]
    pub rate: Option<Rate>,
    /// Contradicts other tags of its asset. Short: the expression.
    #[schemars(with = "Option<Shorthand<CrossCheck>>")]
    pub cross_check: Option<CrossCheck>,
    /// Does not change. Short: for how long.
    #[schemars(with = "Option<Shorthand<Frozen>>")]
    pub frozen: Option<Frozen>,
    /// Silent for longer than it is polled. Short: after how many scans.
    #[schemars(with = "Option<Shorthand<Stale>>")]
    pub stale: Option<Stale>,
    /// A hole before the sample. Short: how long a hole.
    #[schemars(with = "Option<Shorthand<Gap>>")]
    pub gap: Option<Gap>,
    /// Ahead of the engine's clock. Short: by how much.
    #[schemars(with = "Option<Shorthand<Future>>")]
    pub future: Option<Future>,
    /// Names of checks that the node gives to all tags and this one does not have; `stale: off` says the same.
    #[serde(default)]
    pub off: Vec<Spanned<String>>,
}

/// The quality that a failed check gives: an OPC DA code, or `none` to set the check's bit only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(pub Quality);

impl Verdict {
    /// Sets the bit only: Good makes nothing worse.
    pub const NONE: Self = Self(Quality::GOOD);
}

/// Range check against the tag's `span` and `envelope`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// Quality outside the sensor's `span`; 16 (SENSOR_FAILURE) by default.
    #[serde(rename = "as")]
    pub verdict: Verdict,
    /// Quality outside the operating `envelope`; 84 (EU_EXCEEDED) by default.
    #[serde(rename = "envelope_as")]
    pub envelope_verdict: Verdict,
}

impl Default for Range {
    fn default() -> Self {
        Self { verdict: Verdict(Quality::SENSOR_FAILURE), envelope_verdict: Verdict(Quality::EU_EXCEEDED) }
    }
}

/// Jump check: the distance to the last good value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Fails when the distance to the last good value is greater; in the tag's unit unless it names one.
    pub limit: Spanned<Quantity>,
    /// After how many rejected samples in a row, each within `limit` of the one before, the new level is taken for
    /// good; `never` keeps the old one for ever. 5 by default.
    #[serde(default)]
    pub rearm: Rearm,
    /// Quality of what fails; 0 (BAD) by default.
    #[serde(rename = "as", default = "bad")]
    pub verdict: Verdict,
}

/// How many agreeing rejections re-arm a jump check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rearm {
    /// Never.
    Never,
    /// After this many.
    After(u32),
}

impl Default for Rearm {
    fn default() -> Self {
        Self::After(5)
    }
}

/// Spike check: Hampel's test on the samples so far, or the differential test, which looks at the next sample as well.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// Hampel: smallest distance from the median that can fail, in the tag's unit unless it names one. Needed, since
    /// quantised values often have no spread at all.
    pub min: Option<Spanned<Quantity>>,
    /// Hampel: how many standard deviations (1.4826 · MAD) from the median fail; 3 by default.
    #[serde(default = "three")]
    pub k: Spanned<f64>,
    /// Hampel: over how many samples, this one among them; 9 by default. Nothing fails before the window is full.
    #[serde(default = "nine")]
    pub window: Spanned<usize>,
    /// Differential form: fails when the value goes up and down (or down and up) by more than this, so that a real
    /// step passes. Holds each sample until the next, and therefore cannot stand before an alarm.
    pub differential: Option<Spanned<Quantity>>,
    /// Quality of what fails; 88 (SUB_NORMAL) by default.
    #[serde(rename = "as", default = "sub_normal")]
    pub verdict: Verdict,
}

/// Rate check: the change per second since the sample before, by their real times.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Fails when the value changes by more than this per second; in the tag's unit unless it names one.
    pub limit: Spanned<Quantity>,
    /// Quality of what fails; 88 (SUB_NORMAL) by default.
    #[serde(rename = "as", default = "sub_normal")]
    pub verdict: Verdict,
}

/// Cross check: an expression over the tags of one asset.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossCheck {
    /// An expression over the variables of the asset, as of the sample's time: `THP > FLP`. Fails when it is false;
    /// a variable without a usable value makes it unknown, and nothing fails.
    pub expression: Spanned<String>,
    /// Quality of what fails; 64 (UNCERTAIN) by default.
    #[serde(rename = "as", default = "uncertain")]
    pub verdict: Verdict,
}

/// Frozen check: a value that does not change although its equipment runs.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Suspect when the value has stayed within `tolerance` for this long; by default (without `repeats`) three times
    /// the scan, at least 5 minutes.
    #[serde(rename = "for")]
    pub span: Option<Spanned<Duration>>,
    /// Failed when it has stayed within `tolerance` for this long; by default five times the scan, at least 5 minutes,
    /// where neither `for` nor `as` is given, and never otherwise.
    pub fail_for: Option<Spanned<Duration>>,
    /// Largest difference between the values of the time that counts as no change; in the tag's unit unless it names
    /// one, 0 by default.
    pub tolerance: Option<Spanned<Quantity>>,
    /// Suspect when this many samples, whatever their quality, have repeated the value bit by bit.
    pub repeats: Option<Spanned<u32>>,
    /// An expression over the variables of the asset that is true while the equipment runs: `RUN`. While it is false
    /// or unknown nothing is checked, and a flat line begins anew afterwards.
    #[serde(rename = "while")]
    pub running: Option<Spanned<String>>,
    /// Quality of what is suspect; 88 (SUB_NORMAL) by default.
    #[serde(rename = "as")]
    pub verdict: Option<Verdict>,
    /// Quality of what has failed; 16 (SENSOR_FAILURE) by default.
    #[serde(default = "sensor_failure")]
    pub fail_as: Verdict,
}

/// Stale check: silence, noticed by a timer. Each scan that is missed gives one sample without a value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stale {
    /// Silent for how many scans; 3 by default.
    pub scans: Spanned<f64>,
    /// Silent for how long, in place of `scans`; needed where the tag is not polled.
    pub after: Option<Spanned<Duration>>,
    /// Quality of the samples it gives; 24 (COMM_FAILURE) by default.
    #[serde(rename = "as")]
    pub verdict: Verdict,
}

impl Default for Stale {
    fn default() -> Self {
        Self { scans: 3.0.into(), after: None, verdict: Verdict(Quality::COMM_FAILURE) }
    }
}

/// Gap check: the time since the sample before.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gap {
    /// Fails when the sample before is older than this; 5 s by default.
    pub span: Spanned<Duration>,
    /// Quality of what fails; by default `none`: the bit only.
    #[serde(rename = "as")]
    pub verdict: Verdict,
}

impl Default for Gap {
    fn default() -> Self {
        Self { span: Duration::from_secs(5).into(), verdict: Verdict::NONE }
    }
}

/// Future check: a device whose clock is ahead.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Future {
    /// Fails when the sample's time is ahead of the engine's clock by more than this; 5 s by default.
    pub tolerance: Duration,
    /// Quality of what fails; 64 (UNCERTAIN) by default.
    #[serde(rename = "as")]
    pub verdict: Verdict,
}

impl Default for Future {
    fn default() -> Self {
        Self { tolerance: Duration::from_secs(5), verdict: Verdict(Quality::UNCERTAIN) }
    }
}

fn bad() -> Verdict {
    Verdict(Quality::BAD)
}

fn sub_normal() -> Verdict {
    Verdict(Quality::SUB_NORMAL)
}

fn uncertain() -> Verdict {
    Verdict(Quality::UNCERTAIN)
}

fn sensor_failure() -> Verdict {
    Verdict(Quality::SENSOR_FAILURE)
}

fn three() -> Spanned<f64> {
    3.0.into()
}

fn nine() -> Spanned<usize> {
    9.into()
}

/// The checks with the setting that stands for each where it is written short.
const SHORT: [(&str, &str); 9] = [
    ("range", "as"),
    ("jump", "limit"),
    ("spike", "min"),
    ("rate", "limit"),
    ("cross_check", "expression"),
    ("frozen", "for"),
    ("stale", "scans"),
    ("gap", "span"),
    ("future", "tolerance"),
];

impl Checks {
    /// Writes out what may be written short, so that one struct decodes both, places kept.
    pub(super) fn written_out(node: &Node) -> Node {
        let mut node = node.clone();
        let Value::Map(entries) = &mut node.value else { return node };
        let mut off = Vec::new();
        entries.retain_mut(|entry| {
            let Some((name, setting)) = SHORT.iter().find(|(name, _)| *name == entry.key.value) else { return true };
            let value = &entry.value;
            if value.value == Value::Bool(false) || matches!(value.as_text(), Some("off" | "no")) {
                off.push(Node::text(value.place, *name));
                return false;
            }
            let on =
                value.value == Value::Bool(true) || matches!(value.as_text(), Some("on" | "yes")) || value.is_null();
            if on || value.as_text().is_some() {
                let mut inner = Vec::new();
                if !on {
                    let key = Spanned::new((*setting).to_owned(), value.place);
                    inner.push(Entry { key, value: value.clone() });
                }
                entry.value = Node::new(value.place, Value::Map(inner));
            }
            true
        });
        if !off.is_empty() {
            let key = Spanned::new("off".to_owned(), node.place);
            entries.push(Entry { key, value: Node::new(node.place, Value::List(off)) });
        }
        node
    }

    /// These checks, and for those that are not named here the node's own.
    #[must_use]
    pub fn or(&self, node: &Self) -> Self {
        let off = |name: &str| self.off.iter().any(|other| **other == name);
        macro_rules! or {
            ($($name:ident),*) => {
                Self {
                    $($name: self.$name.clone().or_else(|| {
                        node.$name.clone().filter(|_| !off(stringify!($name)))
                    }),)*
                    off: self.off.iter().chain(&node.off).cloned().collect(),
                }
            };
        }
        or!(range, jump, spike, rate, cross_check, frozen, stale, gap, future)
    }

    /// Those of the node's checks that these do not replace.
    pub(super) fn overridden(&self, node: &Self) -> Self {
        let mut rest = node.clone();
        macro_rules! rest {
            ($($name:ident),*) => {
                $(if self.$name.is_some() || self.is_off(stringify!($name)) { rest.$name = None; })*
            };
        }
        rest!(range, jump, spike, rate, cross_check, frozen, stale, gap, future);
        rest
    }

    /// Those of `off` that are no checks, and the names that are.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.off.iter().filter(|name| !Self::names().any(|known| known == name.as_str()))
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        SHORT.iter().map(|(name, _)| *name)
    }

    /// Whether a check was taken away.
    pub fn is_off(&self, name: &str) -> bool {
        self.off.iter().any(|other| **other == name)
    }
}

impl<'de> Deserialize<'de> for Verdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;

        impl Visitor<'_> for Code {
            type Value = Verdict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quality code below 192, or `none`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Verdict, E> {
                if text == "none" {
                    return Ok(Verdict::NONE);
                }
                match text.parse::<u16>().map(Quality) {
                    Ok(quality) if !quality.is_defined() => Err(E::custom(format!(
                        "`{text}` is no OPC DA code\nwrite a Bad or Uncertain code (0, 16, 64, 84, 88, …), or `none`"
                    ))),
                    Ok(quality) if !quality.is_good() => Ok(Verdict(quality)),
                    Ok(_) => Err(E::custom(format!(
                        "`{text}` is a Good quality, and a check never makes a quality better\nwrite a Bad or Uncertain code (0, 16, 64, 84, 88, …), or `none` to set the check's bit only"
                    ))),
                    Err(_) => Err(E::custom(format!(
                        "`{text}` is no quality code\nwrite a Bad or Uncertain code (0, 16, 64, 84, 88, …), or `none`"
                    ))),
                }
            }

            fn visit_i64<E: de::Error>(self, code: i64) -> Result<Verdict, E> {
                self.visit_str(&code.to_string())
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<Verdict, E> {
                self.visit_str(&code.to_string())
            }
        }

        deserializer.deserialize_any(Code)
    }
}

impl JsonSchema for Verdict {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Verdict".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A quality code below 192, or `none` to set the check's bit only.",
            "anyOf": [{"type": "integer", "minimum": 0, "maximum": 191}, {"const": "none"}],
        })
    }
}

impl<'de> Deserialize<'de> for Rearm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;

        impl Visitor<'_> for Count {
            type Value = Rearm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of samples, at least 1, or `never`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rearm, E> {
                match text.parse::<u32>() {
                    _ if text == "never" => Ok(Rearm::Never),
                    Ok(count) if count > 0 => Ok(Rearm::After(count)),
                    _ => Err(E::custom(format!(
                        "`{text}` is no number of samples\nwrite a whole number from 1, or `never`"
                    ))),
                }
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Rearm, E> {
                self.visit_str(&count.to_string())
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Rearm, E> {
                self.visit_str(&count.to_string())
            }
        }

        deserializer.deserialize_any(Count)
    }
}

impl JsonSchema for Rearm {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rearm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "never"}]})
    }
}

/// For the JSON Schema: the full form, its main setting alone, or `off`.
pub(super) struct Shorthand<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Shorthand<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Shorthand{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<T>();
        json_schema!({"anyOf": [full, {"type": ["number", "string", "boolean"]}]})
    }
}
