//! `alarm`: raises and clears alarms by the states of ISA-18.2, on tags or on expressions.

mod classes;
mod definition;
mod events;
mod group;
mod judging;
mod machine;
mod samples;
mod settings;
mod shown;
#[cfg(test)]
mod tests;
mod verb;
mod when;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::expr::{Expression, SampleView};
use ducto_graph::operator::{
    Actions, BuildContext, BuildError, CheckContext, Decode, Input, Operator, Port, Subject, Transform, TransformConfig,
};
use ducto_graph::registry::{Registry, Scope, Section};
use ducto_graph::scalar::Duration;
use ducto_graph::site::{Site, TagSettings};
use ducto_graph::tree::{Node, Spanned};
use ducto_record::{Directory, StreamType, TagId, ValueKind, role_of};
use schemars::JsonSchema;
use serde::Deserialize;

pub use classes::{AlarmClass, AlarmClasses, Editor, classes};
pub use settings::{Accept, AlarmSettings, AlarmType, OnBadQuality, StateValue, TagAlarms};

use definition::{Definer, Rows};
use events::{Key, row_type};
use machine::Behaviour;
use samples::TagAlarmsTransform;
use shown::Shown;
use verb::Verb;
use when::{Compiled, Definition, Expressions, WhenTransform, comparison};

/// Raises and clears alarms. Without `when` it watches samples by the `alarms` of their tags; with `when` it is one
/// alarm on an expression over rows or samples, for each asset or tag by itself.
///
/// Each transition gives one row: time, tag (or asset), alarm, occurrence, event (`raised`, `returned`,
/// `acknowledged`, `reset`), state (A normal, B unacknowledged, C acknowledged, D returned, E and F latched), value
/// (what is compared with the limit), limit, unit (of both), class, user, first, quality, reason. Samples older than the newest of
/// their tag change nothing. The actions `acknowledge` and `reset` name a `tag` or an `asset`, and an `alarm`.
///
/// Of n conditions at least k: `when: "CAST(a > 1 AS INT) + CAST(b > 1 AS INT) + CAST(c > 1 AS INT) >= 2"`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmConfig {
    /// Whether Uncertain samples count: `usable` (they do) by default, or `good`. An alarm's own setting goes before.
    #[serde(default)]
    pub accept: Accept,
    /// What a Bad sample does: `hold` (nothing) by default, `force` (the condition counts as true) or `ignore` (it
    /// counts as false). An alarm's own setting goes before.
    #[serde(default)]
    pub on_bad_quality: OnBadQuality,
    /// A delay ends with the first row after it. Where none comes, a timer ends it this long after the delay is over,
    /// so that a row that is on its way is not overtaken; 2 s by default. The event bears the time at which the delay
    /// was over.
    #[serde(default = "two_seconds")]
    pub wait: Duration,
    /// The condition, an expression over the columns of the input: `score > threshold`. Null says nothing.
    pub when: Option<Spanned<String>>,
    /// With `when`: the condition that clears it; by default that `when` is false.
    pub clear_when: Option<Spanned<String>>,
    /// With `when`: the alarm's name.
    pub name: Option<Spanned<String>>,
    /// With `when`: one of the site's `alarm_classes`; `process` by default.
    pub class: Option<Spanned<String>>,
    /// With `when`: how long the condition must hold before it is raised; 0 by default.
    pub on_delay: Option<Spanned<Duration>>,
    /// With `when`: how long it must be gone before it is cleared; 0 by default.
    pub off_delay: Option<Spanned<Duration>>,
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

/// Adds the operator `alarm`, the tag section `alarms` and the site section `alarm_classes`.
pub fn register(registry: &mut Registry) {
    registry.add(operator());
    sections().into_iter().for_each(|section| registry.add_section(section));
}

/// The operator `alarm`.
pub fn operator() -> Operator {
    Operator {
        name: "alarm",
        summary: "Raises and clears alarms on tags and expressions, with delays, deadbands and acknowledgement",
        schema: |generator| generator.subschema_for::<AlarmConfig>(),
        examples: &[
            "alarms: {type: alarm, inputs: [checked]}",
            "alarms: {type: alarm, inputs: [checked], accept: good, on_bad_quality: force}",
            "anomaly: {type: alarm, inputs: [score], when: \"score > threshold\", name: ANOMALY_DETECTED, class: well_integrity}",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            decode::<AlarmConfig>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// The tag section `alarms` and the site section `alarm_classes`.
pub fn sections() -> [Section; 2] {
    [
        Section {
            name: "alarms",
            scope: Scope::Tag,
            summary: "Alarms of the tag, by name",
            schema: |generator| generator.subschema_for::<TagAlarms>(),
            shorthand: Some("limit"),
            decode: |node: &Node, diagnostics: &mut Diagnostics| {
                let node = TagAlarms::written_out(node);
                // With a mistake in one alarm the others are still looked at.
                let alarms = decode::<TagAlarms>(&node, diagnostics).unwrap_or_else(|| TagAlarms::right_ones(&node));
                Some(Arc::new(alarms) as Arc<dyn Any + Send + Sync>)
            },
            check: |check, diagnostics| {
                if let (Some(alarms), Some(tag)) = (check.section.downcast_ref::<TagAlarms>(), check.tag) {
                    Definer::new(check.site, check.registry.units(), Rows::default(), 0).alarms(
                        tag,
                        alarms,
                        diagnostics,
                    );
                }
            },
        },
        Section {
            name: "alarm_classes",
            scope: Scope::Site,
            summary: "Classes of alarms: uplink priority, latching, who may edit",
            schema: |generator| generator.subschema_for::<AlarmClasses>(),
            shorthand: None,
            decode: |node: &Node, diagnostics: &mut Diagnostics| {
                decode::<AlarmClasses>(node, diagnostics).map(|classes| Arc::new(classes) as Arc<dyn Any + Send + Sync>)
            },
            check: |check, diagnostics| {
                let Some(classes) = check.section.downcast_ref::<AlarmClasses>() else { return };
                for (name, class) in classes.0.iter().filter(|(_, class)| !(1..=4).contains(&class.uplink)) {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::NumberOutOfRange,
                            format!("`uplink: {}` of the class `{}` is no priority", class.uplink, **name),
                        )
                        .at(check
                            .node
                            .get(name)
                            .and_then(|class| class.get("uplink"))
                            .map_or(name.place, |uplink| uplink.place))
                        .help("write a priority from 1 (at once) to 4 (within the hour)"),
                    );
                }
            },
        },
    ]
}

impl AlarmConfig {
    fn rows(&self) -> Rows {
        Rows { accept: self.accept, on_bad: self.on_bad_quality }
    }

    /// Settings that only have a meaning with `when`.
    fn check_without_when(&self, cx: &mut CheckContext<'_>) {
        let fields = [
            ("clear_when", self.clear_when.as_ref().map(|field| field.place)),
            ("name", self.name.as_ref().map(|field| field.place)),
            ("class", self.class.as_ref().map(|field| field.place)),
            ("on_delay", self.on_delay.as_ref().map(|field| field.place)),
            ("off_delay", self.off_delay.as_ref().map(|field| field.place)),
        ];
        for (field, place) in fields {
            if let Some(place) = place {
                cx.report(
                    Diagnostic::new(Code::AlarmSettings, format!("`{field}` belongs to an alarm with `when`"))
                        .at(place)
                        .help(format!("add `when: …`, or set `{field}` in the `alarms` of the tags")),
                );
            }
        }
    }

    fn check_when(&self, when: &Spanned<String>, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Key> {
        if self.name.is_none() {
            cx.report(
                Diagnostic::new(Code::FieldMissing, "an alarm with `when` needs a `name`")
                    .at(when.place)
                    .help("write `name: …`"),
            );
        }
        let name = self.name.as_ref().map_or("", |name| name.as_str());
        let definer = Definer::new(cx.site, cx.registry.units(), self.rows(), self.wait.micros());
        definer.class(self.class.as_ref(), name, cx.diagnostics);
        let mut key = None;
        for input in inputs {
            let found = key_of(&input.stream);
            if found.is_none() || key.is_some_and(|key| Some(key) != found) {
                cx.report(
                    Diagnostic::new(
                        Code::StreamUnfit,
                        match found {
                            None => format!("`{}` gives rows without an asset or a tag", *input.from),
                            Some(_) => format!("`{}` has another key than the inputs before it", *input.from),
                        },
                    )
                    .at(input.from.place)
                    .help("an alarm is of an asset or of a tag: keep that column, or use one node for each"),
                );
                continue;
            }
            key = found;
            self.check_expressions(when, &input.stream, cx);
        }
        key
    }

    fn check_expressions(&self, when: &Spanned<String>, stream: &StreamType, cx: &mut CheckContext<'_>) {
        let schemas = schemas(stream, &cx.site.directory);
        let mut errors = Vec::new();
        for (_, schema) in &schemas {
            let mut found = Diagnostics::new();
            for text in std::iter::once(when).chain(&self.clear_when) {
                let (functions, units) = (cx.registry.functions(), &cx.units());
                if let Err(error) = Expression::compile_condition(text, schema, functions, units) {
                    found.push(error.diagnostic(text));
                }
            }
            errors.push(found);
        }
        // Samples come in several kinds of value; it is enough that the condition has a meaning for one.
        if errors.iter().all(|found| !found.is_empty())
            && let Some(first) = errors.into_iter().next()
        {
            cx.diagnostics.extend(first);
        }
    }

    fn compile(&self, when: &str, schema: &Schema, cx: &BuildContext) -> Result<Compiled, BuildError> {
        let compile = |text: &str| Expression::compile(text, schema, &cx.functions, &cx.units);
        let condition = |text: &str| {
            Expression::compile_condition(text, schema, &cx.functions, &cx.units)
                .map_err(|error| cx.error(format!("{error}; `ducto check` shows the place")))
        };
        let number = |text: &str| compile(text).ok().filter(|expression| expression.data_type().is_numeric());
        Ok(Compiled {
            when: condition(when)?,
            clear: self.clear_when.as_ref().map(|clear| condition(clear)).transpose()?,
            shown: comparison(when).and_then(|(left, right)| Some((number(left)?, number(right)?))),
        })
    }

    fn build_when(&self, when: &Spanned<String>, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let definer = Definer::new(&cx.site, &cx.units, self.rows(), self.wait.micros());
        let name = self.name.as_ref().map_or("alarm", |name| name.as_str());
        let (class, settings) = definer
            .class(self.class.as_ref(), name, &mut Diagnostics::new())
            .ok_or_else(|| cx.error(format!("`{name}` has a class that the site does not have")))?;
        let stream = cx.inputs.first().map(|input| &input.stream);
        let (Some(stream), Some(key)) = (stream, stream.and_then(key_of)) else {
            return Err(cx.error("the input has neither an asset nor a tag; `ducto check` shows the place"));
        };
        let micros = |delay: &Option<Spanned<Duration>>| delay.as_ref().map_or(0, |delay| delay.micros());
        let expressions = match stream {
            StreamType::Rows(rows) => Expressions::Rows(Box::new(self.compile(when, &rows.schema, cx)?)),
            StreamType::Samples(_) => Expressions::Samples(
                schemas(stream, &cx.directory)
                    .into_iter()
                    .filter_map(|(kind, schema)| Some((kind?, self.compile(when, &schema, cx).ok()?)))
                    .collect(),
                Box::new(SampleView::new(&cx.directory)),
            ),
        };
        let value = match &expressions {
            Expressions::Rows(compiled) => compiled.shown.as_ref(),
            Expressions::Samples(kinds, _) => kinds.iter().find_map(|(_, compiled)| compiled.shown.as_ref()),
        };
        let shown = value.map(|(value, _)| Shown::of(value, key, &cx.site, &cx.units)).unwrap_or_default();
        let definition = Definition {
            name: name.into(),
            class,
            behaviour: Behaviour {
                on_delay: micros(&self.on_delay),
                off_delay: micros(&self.off_delay),
                latching: settings.latching,
                auto_acknowledge: settings.auto_acknowledge,
                wait: self.wait.micros(),
            },
            rows: self.rows(),
            key,
            shown,
        };
        Ok(Box::new(WhenTransform::new(cx.directory.clone(), cx.own(), definition, expressions)))
    }
}

/// What the alarms of a stream are of: the asset of its rows, or their tag.
fn key_of(stream: &StreamType) -> Option<Key> {
    match stream {
        StreamType::Samples(_) => Some(Key::Tag),
        StreamType::Rows(rows) => {
            let has = |key: Key| {
                rows.schema
                    .fields()
                    .iter()
                    .any(|field| field.name() == key.name() && role_of(field) == Some(key.name()))
            };
            [Key::Tag, Key::Asset].into_iter().find(|key| has(*key))
        }
    }
}

/// The schemas that expressions are compiled against.
fn schemas(stream: &StreamType, directory: &Directory) -> Vec<(Option<ValueKind>, SchemaRef)> {
    match stream {
        StreamType::Samples(kinds) => {
            let view = SampleView::new(directory);
            kinds.iter().map(|kind| (Some(*kind), view.schema(*kind).clone())).collect()
        }
        StreamType::Rows(rows) => vec![(None, rows.schema.clone())],
    }
}

impl AlarmConfig {
    /// Alarms that can be acknowledged and reset.
    fn subjects(&self, inputs: &[Input], site: &Site) -> Vec<Subject> {
        let Some(name) = &self.name else {
            let of_tag = |tag: &Arc<TagSettings>| {
                let alarms = tag.section::<TagAlarms>("alarms").map_or(&[][..], |alarms| &alarms.0.0);
                let subject = |alarm: &Spanned<String>| Subject {
                    of: ("tag", tag.name.value.clone()),
                    part: ("alarm", alarm.value.clone()),
                };
                alarms.iter().map(|(alarm, _)| subject(alarm)).collect::<Vec<_>>()
            };
            return site.tags.iter().flat_map(of_tag).collect();
        };
        let subject =
            |key: Key, of: &str| Subject { of: (key.name(), of.to_owned()), part: ("alarm", name.value.clone()) };
        match inputs.first().and_then(|input| key_of(&input.stream)) {
            Some(Key::Tag) => site.tags.iter().map(|tag| subject(Key::Tag, &tag.name)).collect(),
            Some(Key::Asset) => site.assets.iter().map(|asset| subject(Key::Asset, &asset.name)).collect(),
            None => Vec::new(),
        }
    }
}

impl TransformConfig for AlarmConfig {
    fn actions(&self, inputs: &[Input], site: &Site) -> Actions {
        Actions { verbs: Verb::NAMES, subjects: self.subjects(inputs, site) }
    }

    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let key = match &self.when {
            Some(when) => self.check_when(when, inputs, cx)?,
            None => {
                self.check_without_when(cx);
                for input in inputs.iter().filter(|input| matches!(input.stream, StreamType::Rows(_))) {
                    cx.report(
                        Diagnostic::new(
                            Code::StreamUnfit,
                            format!("`{}` gives rows, and the alarms of tags watch samples", *input.from),
                        )
                        .at(input.from.place)
                        .help("add `when: …` and `name: …` for an alarm on rows"),
                    );
                }
                Key::Tag
            }
        };
        Some(vec![Port::main(StreamType::Rows(row_type(key)))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        if let Some(when) = &self.when {
            return self.build_when(when, cx);
        }
        let definer = Definer::new(&cx.site, &cx.units, self.rows(), self.wait.micros());
        let mut alarms = BTreeMap::new();
        for tag in &cx.site.tags {
            if let Some(section) = tag.section::<TagAlarms>("alarms") {
                // What is wrong has been reported by the check of the section.
                let made = definer.alarms(tag, section, &mut Diagnostics::new());
                if !made.is_empty() {
                    alarms.insert(tag.id, made);
                }
            }
        }
        Ok(Box::new(TagAlarmsTransform::new(cx.directory.clone(), cx.own(), alarms)))
    }

    fn needs_at_once(&self, tag: TagId, site: &Site) -> bool {
        self.when.is_some() || site.tag(tag).is_some_and(|tag| tag.section::<TagAlarms>("alarms").is_some())
    }
}
