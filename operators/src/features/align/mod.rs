//! `align`: the tags of each asset side by side, at every tick of engine time.

#[cfg(test)]
mod tests;
mod transform;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, Operator, Port, Transform, TransformConfig,
};
use ducto_graph::scalar::{Duration, Percent};
use ducto_graph::site::{Site, TagSettings};
use ducto_graph::tree::Spanned;
use ducto_record::{
    Conversion, Micros, Reference, RowType, StreamType, TagId, Unit, Units, ValueKind, with_role, with_unit,
};
use schemars::JsonSchema;
use serde::Deserialize;

use window::{Figure, Rules};

/// Gives one row per asset at every tick: the newest values of its tags side by side, and figures over windows of them.
/// A value that is Bad, missing or older than `max_age` is null, the row is Uncertain and `reason` says why; nothing is
/// ever filled in. Samples that come late change nothing. An asset gives rows from its first sample on, and none while
/// nothing comes from it for an hour or the input, that of a replay or a test, has ended.
///
/// The quality of a row is the worst of the samples that its columns are made of; where they are all Good it is 216
/// (LOCAL_OVERRIDE) as soon as one of them was forced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignConfig {
    /// What a row stands for.
    #[serde(default)]
    pub by: By,
    /// How often rows are given: at multiples of this since 1970 in UTC.
    pub every: Spanned<Duration>,
    /// How old a value may be.
    pub max_age: Spanned<Duration>,
    /// Whether values that a person forced (quality 216) count.
    #[serde(default)]
    pub forced: bool,
    /// Columns by name: a variable of the assets, `THP`; or a window of one,
    /// `{of: ESP_CURRENT, std: 10m, min_good: 80}`.
    pub columns: OrderedMap<Column>,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Asset,
}

/// A variable, or a window of one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    Variable(Spanned<String>),
    Window(Box<WindowColumn>),
}

/// A window of a variable: one of `mean` to `time_average` with its length, over the Good samples of (t − length, t].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowColumn {
    /// The variable.
    pub of: Spanned<String>,
    /// The unit of the column, where the tags have another one.
    #[serde(default)]
    pub unit: Option<Spanned<String>>,
    /// Mean of the samples.
    #[serde(default)]
    pub mean: Option<Spanned<Duration>>,
    /// Standard deviation with n − 1.
    #[serde(default)]
    pub std: Option<Spanned<Duration>>,
    /// Slope by least squares, per second.
    #[serde(default)]
    pub slope: Option<Spanned<Duration>>,
    /// Least of the samples.
    #[serde(default)]
    pub min: Option<Spanned<Duration>>,
    /// Greatest of the samples.
    #[serde(default)]
    pub max: Option<Spanned<Duration>>,
    /// The last Good sample of the window.
    #[serde(default)]
    pub last: Option<Spanned<Duration>>,
    /// The value this long ago.
    #[serde(default)]
    pub lag: Option<Spanned<Duration>>,
    /// Mean over time.
    #[serde(default)]
    pub time_average: Option<Spanned<Duration>>,
    /// Share of the window that must have a Good value, in percent; a value counts until the next, for `max_age` at
    /// most.
    #[serde(default)]
    pub min_good: Option<Percent>,
}

impl WindowColumn {
    fn figures(&self) -> Vec<(Figure, &Spanned<Duration>)> {
        [
            (Figure::Mean, &self.mean),
            (Figure::Std, &self.std),
            (Figure::Slope, &self.slope),
            (Figure::Min, &self.min),
            (Figure::Max, &self.max),
            (Figure::Last, &self.last),
            (Figure::Lag, &self.lag),
            (Figure::TimeAverage, &self.time_average),
        ]
        .into_iter()
        .filter_map(|(figure, length)| Some((figure, length.as_ref()?)))
        .collect()
    }
}

impl Column {
    fn variable(&self) -> &Spanned<String> {
        match self {
            Self::Variable(variable) => variable,
            Self::Window(window) => &window.of,
        }
    }

    fn unit(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Variable(_) => None,
            Self::Window(window) => window.unit.as_ref(),
        }
    }

    fn figure(&self) -> Option<(Figure, Micros)> {
        match self {
            Self::Variable(_) => None,
            Self::Window(window) => window.figures().first().map(|(figure, length)| (*figure, length.micros())),
        }
    }

    fn min_good(&self) -> Option<f64> {
        match self {
            Self::Variable(_) => None,
            Self::Window(window) => window.min_good.map(Percent::percent),
        }
    }
}

/// The operator `align`.
pub fn operator() -> Operator {
    Operator {
        name: "align",
        summary: "One row per asset and tick: values of its tags side by side, and figures of their windows",
        schema: |generator| generator.subschema_for::<AlignConfig>(),
        examples: &[
            "features:\n  type: align\n  inputs: [checked]\n  by: asset\n  every: 1s\n  max_age: 30s\n  columns: {thp: THP, esp_current: ESP_CURRENT, esp_current_std_10m: {of: ESP_CURRENT, std: 10m, min_good: 80}}\n",
            "trends: {type: align, inputs: [checked], every: 1m, max_age: 5m, columns: {thp: THP, thp_hour_ago: {of: THP, lag: 1h}}}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<AlignConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// A column as it is filled.
#[derive(Clone, Debug)]
struct Feature {
    name: String,
    variable: String,
    figure: Option<(Figure, Micros)>,
    min_good: Option<f64>,
    field: Field,
    /// By tag of the variable: how its values become the column's unit.
    tags: BTreeMap<TagId, Conversion>,
}

impl AlignConfig {
    /// The columns, and what is wrong with them.
    fn features(&self, site: &Site, units: &Units) -> (Vec<Feature>, Vec<Diagnostic>) {
        let mut wrong = Vec::new();
        let mut features: Vec<Feature> = Vec::new();
        for (name, column) in self.columns.iter() {
            if ["time", "asset", "quality", "reason", "diff"].contains(&name.as_str()) {
                wrong.push(
                    Diagnostic::new(Code::ColumnRepeated, format!("the column `{}` is the row's own", **name))
                        .at(name.place)
                        .help("give the column another name"),
                );
                continue;
            }
            if let Column::Window(window) = column {
                let figures = window.figures();
                if figures.is_empty() && window.min_good.is_some() {
                    wrong.push(
                        Diagnostic::new(Code::FieldMissing, "`min_good` is a share of a window, and none is named")
                            .at(window.of.place)
                            .help("name a figure, such as `mean: 10m`, or remove `min_good`"),
                    );
                }
                if figures.len() > 1 {
                    wrong.push(
                        Diagnostic::new(Code::ValueInvalid, "a column is one figure, and several are named")
                            .at(figures[1].1.place)
                            .help("make a column for each"),
                    );
                }
                for (_, length) in &figures {
                    if length.micros() == 0 {
                        wrong.push(
                            Diagnostic::new(Code::NumberOutOfRange, "a window must be longer than zero")
                                .at(length.place)
                                .help("write a duration such as `10m`"),
                        );
                    }
                }
            }
            let variable = column.variable();
            let tags: Vec<&Arc<TagSettings>> =
                site.tags.iter().filter(|tag| tag.asset.is_some() && *tag.variable == ***variable).collect();
            if tags.is_empty() && site.tags.iter().any(|tag| tag.asset.is_some()) {
                let known = site.tags.iter().filter(|tag| tag.asset.is_some()).map(|tag| &*tag.variable);
                let mut known: Vec<&str> = known.collect();
                known.sort_unstable();
                known.dedup();
                wrong.push(
                    Diagnostic::new(Code::TagOfAssetUnknown, format!("no asset has a tag `{}`", **variable))
                        .at(variable.place)
                        .suggest(variable, known),
                );
                continue;
            }
            if let Some(text) = tags.iter().find(|tag| tag.kind == ValueKind::Text) {
                wrong.push(
                    Diagnostic::new(
                        Code::ColumnKind,
                        format!("`{}` is text, and columns of `align` are numbers", *text.name),
                    )
                    .at(variable.place)
                    .help("leave it out; rows can be joined with text by a transform of type `sql`"),
                );
                continue;
            }
            match self.feature(name, column, &tags, site, units) {
                Ok(feature) => features.push(feature),
                Err(diagnostic) => wrong.push(*diagnostic),
            }
        }
        (features, wrong)
    }

    fn feature(
        &self,
        name: &Spanned<String>,
        column: &Column,
        tags: &[&Arc<TagSettings>],
        site: &Site,
        units: &Units,
    ) -> Result<Feature, Box<Diagnostic>> {
        let variable = column.variable();
        let target: Option<Unit> = match column.unit() {
            Some(unit) => match units.get(unit) {
                Some(unit) => Some(unit.clone()),
                None => {
                    return Err(Box::new(
                        Diagnostic::new(Code::UnitUnknown, format!("there is no unit `{}`", **unit))
                            .at(unit.place)
                            .suggest(unit, units.names()),
                    ));
                }
            },
            None => tags.iter().find_map(|tag| tag.unit.clone()),
        };
        let mut conversions = BTreeMap::new();
        for tag in tags {
            let conversion = match (&tag.unit, &target) {
                (Some(from), Some(to)) => from.to(to, site.atmospheric_pressure).map_err(|error| {
                    Box::new(
                        Diagnostic::new(
                            Code::UnitsDiffer,
                            format!("`{}` does not fit the column `{}`: {error}", *tag.name, **name),
                        )
                        .at(variable.place)
                        .note_at(tag.name.place, format!("`{}` is defined here", *tag.name))
                        .help("give the variables of different quantities different names"),
                    )
                })?,
                (None, Some(to)) => {
                    return Err(Box::new(
                        Diagnostic::new(
                            Code::UnitsDiffer,
                            format!("`{}` has no unit, and the column `{}` is in `{}`", *tag.name, **name, to.symbol),
                        )
                        .at(variable.place)
                        .note_at(tag.name.place, format!("`{}` is defined here", *tag.name))
                        .help(format!("set `unit: {}` on the tag", to.symbol)),
                    ));
                }
                (_, None) => Conversion::IDENTITY,
            };
            conversions.insert(tag.id, conversion);
        }
        let figure = column.figure();
        let all = |kind: ValueKind| !tags.is_empty() && tags.iter().all(|tag| tag.kind == kind);
        let data_type = if figure.is_some() {
            DataType::Float64
        } else if all(ValueKind::Bool) {
            DataType::Boolean
        } else if all(ValueKind::Int64) && conversions.values().all(|conversion| *conversion == Conversion::IDENTITY) {
            DataType::Int64
        } else {
            DataType::Float64
        };
        let mut field = Field::new(&**name, data_type, true);
        if let Some(unit) = target.filter(|unit| keeps_unit(figure, unit)) {
            field = with_unit(field, &unit.symbol);
        }
        Ok(Feature {
            name: name.value.clone(),
            variable: variable.value.clone(),
            figure,
            min_good: column.min_good(),
            field,
            tags: conversions,
        })
    }

    fn row_type(features: &[Feature]) -> RowType {
        let mut fields = vec![with_role(Field::new("asset", DataType::UInt32, false), "asset")];
        fields.extend(features.iter().map(|feature| feature.field.clone()));
        RowType::new(fields, &["asset"])
    }
}

/// A slope is per second and has another unit. A deviation is a difference, which gauge and absolute pressures and
/// temperatures measure in another unit.
fn keeps_unit(figure: Option<(Figure, Micros)>, unit: &Unit) -> bool {
    match figure {
        Some((Figure::Slope, _)) => false,
        Some((Figure::Std, _)) => {
            unit.offset == 0.0 && !matches!(unit.reference, Reference::Gauge | Reference::Absolute)
        }
        _ => true,
    }
}

impl TransformConfig for AlignConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        for input in inputs {
            if let StreamType::Rows(_) = input.stream {
                cx.report(
                    Diagnostic::new(
                        Code::StreamUnfit,
                        format!("`align` reads samples, and `{}` gives rows", *input.from),
                    )
                    .at(input.from.place)
                    .help("let it read samples; columns of rows become samples by `publish`"),
                );
                return None;
            }
        }
        for (name, length) in [("every", &self.every), ("max_age", &self.max_age)] {
            if length.micros() == 0 {
                cx.report(
                    Diagnostic::new(Code::NumberOutOfRange, format!("`{name}` must be longer than zero"))
                        .at(length.place)
                        .help("write a duration such as `1s`"),
                );
            }
        }
        if self.columns.is_empty() {
            cx.report(
                Diagnostic::new(Code::LengthWrong, "`columns` names no column")
                    .at(cx.place)
                    .help("name some, such as `columns: {thp: THP}`"),
            );
        }
        let (features, wrong) = self.features(cx.site, cx.registry.units());
        let right = wrong.is_empty();
        for diagnostic in wrong {
            cx.report(diagnostic);
        }
        right.then(|| vec![Port::main(StreamType::Rows(Self::row_type(&features)))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let (features, wrong) = self.features(&cx.site, &cx.units);
        if let Some(wrong) = wrong.into_iter().next() {
            return Err(cx.error(wrong.message));
        }
        let row = Self::row_type(&features);
        let sloped = cx.site.tags.iter().filter(|tag| crate::trends::is_sloped(tag)).map(|tag| tag.id).collect();
        let rules = Rules { max_age: self.max_age.micros().max(1), forced: self.forced, sloped: false };
        Ok(Box::new(transform::Align::new(transform::Plan {
            every: self.every.micros().max(1),
            rules,
            row,
            features,
            sloped,
            directory: cx.directory.clone(),
            own: cx.own(),
        })))
    }
}
