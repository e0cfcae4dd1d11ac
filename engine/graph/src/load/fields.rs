//! The fields of site files, templates, tags and pipelines, as they are written. The JSON Schemas of the files are
//! made from these structs.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::decode::OrderedMap;
use crate::scalar::{ByteSize, Duration, Name, Quantity, TimeOfDay, TimeZone};
use crate::site::NamedBy;
use crate::table::{Conventions, DateOrder, Decimal};
use crate::tree::{Node, Spanned};

/// `site.yaml`, without its templates and the fields that belong to operators.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteFields {
    /// Name of the site, unique in the company: `FIELD-NORTE-001`.
    pub site: Spanned<Name>,
    /// The company or unit the site belongs to.
    #[serde(default)]
    pub tenant: Option<Name>,
    /// Time zone of the IANA database, in which production days and texts for people are given.
    #[serde(default = "TimeZone::utc")]
    pub time_zone: TimeZone,
    /// Language of the texts that operators in the field read.
    #[serde(default)]
    pub language: Language,
    /// When the production day begins, and which calendar day names it.
    #[serde(default)]
    pub contract_day: ContractDayFields,
    /// Units of the site.
    #[serde(default)]
    pub units: UnitFields,
    /// The one memory budget: entries, batches, state, queries. 256 MB where it is not given.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// Worker threads of each pipeline; assets are split among them. 1 where it is not given.
    #[serde(default)]
    pub workers: Option<Spanned<u16>>,
    /// Time between checkpoints: after a power cut the site reads the journal from the last one on. 5 minutes where it
    /// is not given; 100 ms at least.
    #[serde(default)]
    pub checkpoint_every: Option<Spanned<Duration>>,
    /// Folders, beside the site's own `pipelines`, in which `use:` looks for pipelines.
    #[serde(default)]
    pub library: Vec<Spanned<String>>,
    /// More files of the same shape: `templates/*.yaml`. A file says a thing once; two files that say it differ.
    #[serde(default)]
    pub include: Vec<Spanned<String>>,
    /// Tables of assets, CSV or XLSX. Columns: `asset`, `template`, `enabled`, `from`, `until`, one for each parameter
    /// of the templates, and any others, which expressions then see. An asset before `from` or past `until` when the site
    /// starts is not read: each of its tags gives one sample of quality 28, and its history is kept.
    #[serde(default)]
    #[schemars(with = "Vec<TableFile>")]
    pub assets: Vec<Node>,
    /// Tables of settings of single tags, CSV or XLSX. Columns: `tag`, `field`, `value`, `reason`.
    #[serde(default)]
    #[schemars(with = "Vec<TableFile>")]
    pub overrides: Vec<Node>,
    /// The graphs that run.
    #[serde(default)]
    pub pipelines: Vec<UseFields>,
}

fn default_memory() -> ByteSize {
    crate::site::Site::DEFAULT_MEMORY
}

/// Language of the texts that operators in the field read.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }
}

/// When the production day begins, and which calendar day names it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContractDayFields {
    /// Time of day in the site's time zone. Midnight where it is not given.
    pub start: TimeOfDay,
    /// Whether the calendar day on which it starts or the one on which it ends names it.
    pub named_by: NamedBy,
}

impl Default for ContractDayFields {
    fn default() -> Self {
        Self { start: TimeOfDay::MIDNIGHT, named_by: NamedBy::Start }
    }
}

/// Units of the site.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitFields {
    /// Pressure of the air at the site, for conversions between gauge and absolute: `14.0 psia`.
    pub atmospheric_pressure: Option<Spanned<Quantity>>,
    /// The unit in which a quantity is shown: `{pressure: psig, liquid_rate: stb/d}`. Stored values keep their own.
    pub display: OrderedMap<Spanned<String>>,
}

/// A table: its path, or its path and how it is written.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used: `TableFields` is decoded")]
pub enum TableFile {
    /// A path, relative to the file that names it.
    Path(String),
    /// A path and how the file is written.
    Table(TableFields),
}

/// A table and how it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableFields {
    /// Path, relative to the file that names it.
    pub file: Spanned<String>,
    /// Sheet of a workbook; the first visible one where it is not given.
    #[serde(default)]
    pub sheet: Option<String>,
    /// The decimal sign of numbers. Without it, a number that reads two ways is refused.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// The order of day, month and year. Without it, a date that reads two ways is refused.
    #[serde(default)]
    pub dates: Option<DateOrder>,
}

impl TableFields {
    pub(super) fn conventions(&self) -> Conventions {
        Conventions { decimal: self.decimal, dates: self.dates }
    }
}

/// A pipeline that runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UseFields {
    /// Name of the pipeline: looked for in the site's `pipelines`, then in `library`, then among those built in.
    #[serde(rename = "use")]
    pub name: Spanned<Name>,
    /// The name it runs under, where one pipeline is used several times.
    #[serde(rename = "as", default)]
    pub id: Option<Spanned<Name>>,
    /// Values of the pipeline's parameters.
    #[serde(default)]
    pub with: OrderedMap<Node>,
}

/// What the assets of one type have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateFields {
    /// What such an asset is: `well`, `separator`.
    pub kind: Spanned<Name>,
    /// Values that differ from asset to asset, one column each in the table of assets. `${name}` inserts one, and
    /// `${asset}` the asset's name.
    #[serde(default)]
    pub parameters: OrderedMap<ParameterFields>,
    /// The connection that reads the tags: `type` and the fields of that type.
    #[serde(default)]
    pub connection: Option<Node>,
    /// What is measured, by the variable's name.
    #[serde(default)]
    pub tags: OrderedMap<Node>,
}

/// A declared parameter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterFields {
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Its value where none is given. Without it a value must be given.
    #[serde(default)]
    pub default: Option<Node>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Text, which may look like a number.
    String,
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
}

/// The fields that every tag can have, whatever reads it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TagFields {
    /// The kind of value. Where it is not given, the connection says it; otherwise it is `float64`.
    pub kind: Option<KindName>,
    /// The unit in which values arrive and are stored.
    pub unit: Option<Spanned<String>>,
    /// What the sensor can measure, from and to, in the tag's unit. Outside it a value is a failure of the sensor.
    #[schemars(with = "Option<[f64; 2]>")]
    pub span: Option<Spanned<[Spanned<f64>; 2]>>,
    /// What the equipment should do, from and to, in the tag's unit. Outside it a value is suspect.
    #[schemars(with = "Option<[f64; 2]>")]
    pub envelope: Option<Spanned<[Spanned<f64>; 2]>>,
    /// How often it is polled, where that differs from the connection.
    pub scan: Option<Duration>,
    /// What it is, for people: a text, or one by language.
    pub description: Description,
    /// What the values of a digital tag are called: `{0: Stopped, 1: Running}`.
    pub states: BTreeMap<i64, String>,
}

/// Names of [`TagFields`].
pub const TAG_FIELDS: [&str; 7] = ["kind", "unit", "span", "envelope", "scan", "description", "states"];

/// The kind of value of a tag.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindName {
    /// A number with a fraction.
    Float64,
    /// An integer.
    Int64,
    /// True or false.
    Bool,
    /// Text.
    Text,
}

impl From<KindName> for ducto_record::ValueKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Float64 => Self::Float64,
            KindName::Int64 => Self::Int64,
            KindName::Bool => Self::Bool,
            KindName::Text => Self::Text,
        }
    }
}

/// A text for people, in the site's language or in several.
#[derive(Debug, Default, JsonSchema)]
#[schemars(untagged)]
pub enum Description {
    /// None.
    #[default]
    #[schemars(skip)]
    None,
    /// In the site's language.
    Text(String),
    /// By language: `{es: …, en: …}`.
    ByLanguage(BTreeMap<String, String>),
}

impl Description {
    pub(super) fn by_language(self, language: &str) -> BTreeMap<String, String> {
        match self {
            Self::None => BTreeMap::new(),
            Self::Text(text) => BTreeMap::from([(language.to_owned(), text)]),
            Self::ByLanguage(texts) => texts,
        }
    }
}

impl<'de> Deserialize<'de> for Description {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Description;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or a text for each language")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Description, E> {
                Ok(Description::Text(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Description, A::Error> {
                BTreeMap::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Description::ByLanguage)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A pipeline's file, without its nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineFields {
    /// Name of the pipeline.
    pub pipeline: Spanned<Name>,
    /// Values that a site can set with `with:`; `${name}` inserts one.
    #[serde(default)]
    pub parameters: OrderedMap<ParameterFields>,
}
