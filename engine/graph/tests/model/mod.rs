//! A few operators that do nothing, for tests of the graph: it knows none of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::operator::{
    Actions, BuildContext, BuildError, CheckContext, Connection, ConnectionConfig, ConnectionTag, Decode, Endpoint,
    Input, Operator, Port, Sink, SinkConfig, Source, SourceConfig, Subject, Transform, TransformConfig,
};
use ducto_graph::registry::{Registry, Scope, Section, SectionCheck};
use ducto_graph::scalar::{Duration, Quantity};
use ducto_graph::site::Site;
use ducto_graph::tree::{Node, Spanned, Value};
use ducto_record::{
    Dimension, Measure, Reference, RowType, StreamType, TagId, Unit, Units, ValueKind, with_role, with_unit,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Units, operators and sections for tests.
pub(crate) fn registry() -> Registry {
    let mut units = Units::default();
    let pressure = Dimension([-1, 1, -2, 0, 0, 0, 0]);
    units.register_quantity("pressure", pressure);
    units.register_quantity("frequency", Dimension([0, 0, -1, 0, 0, 0, 0]));
    for (symbol, dimension, reference, scale, offset) in [
        ("psig", pressure, Reference::Gauge, 6894.757, 0.0),
        ("psia", pressure, Reference::Absolute, 6894.757, 0.0),
        ("kPa", pressure, Reference::Absolute, 1000.0, 0.0),
        ("Hz", Dimension([0, 0, -1, 0, 0, 0, 0]), Reference::None, 1.0, 0.0),
        ("A", Dimension([0, 0, 0, 1, 0, 0, 0]), Reference::None, 1.0, 0.0),
    ] {
        units.register(Measure { symbol: symbol.into(), dimension, reference, scale, offset }.into(), &[]);
    }
    let mut registry = Registry::new(units, ducto_graph::expr::Functions::default());
    let source = |node: &Node, found: &mut Diagnostics| {
        decode::<TagsSource>(node, found).map(|config| Arc::new(config) as Arc<dyn SourceConfig>)
    };
    registry.add(operator::<TagsSource>("tags", Decode::Source(source)));
    let source = |node: &Node, found: &mut Diagnostics| {
        decode::<DatasetSource>(node, found).map(|config| Arc::new(config) as Arc<dyn SourceConfig>)
    };
    registry.add(operator::<DatasetSource>("dataset", Decode::Source(source)));
    let transform = |node: &Node, found: &mut Diagnostics| {
        decode::<Pass>(node, found).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
    };
    registry.add(operator::<Pass>("pass", Decode::Transform(transform)));
    let transform = |node: &Node, found: &mut Diagnostics| {
        decode::<Score>(node, found).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
    };
    registry.add(operator::<Score>("score", Decode::Transform(transform)));
    let transform = |node: &Node, found: &mut Diagnostics| {
        decode::<Convert>(node, found).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
    };
    registry.add(operator::<Convert>("convert", Decode::Transform(transform)));
    let sink = |node: &Node, found: &mut Diagnostics| {
        decode::<Store>(node, found).map(|config| Arc::new(config) as Arc<dyn SinkConfig>)
    };
    registry.add(operator::<Store>("store", Decode::Sink(sink)));
    let connection = |node: &Node, found: &mut Diagnostics| {
        decode::<Plain>(node, found).map(|config| Arc::new(config) as Arc<dyn ConnectionConfig>)
    };
    registry.add(operator::<Plain>("plain", Decode::Connection(connection)));
    registry.add_section(Section {
        name: "alarms",
        scope: Scope::Tag,
        summary: "Limits of a tag.",
        schema: |generator| generator.subschema_for::<BTreeMap<String, Limit>>(),
        shorthand: Some("limit"),
        decode: |node, found| decode_limits(node, found).map(|limits| Arc::new(limits) as Arc<dyn Any + Send + Sync>),
        check: check_limits,
    });
    registry.add_section(Section {
        name: "alarm_classes",
        scope: Scope::Site,
        summary: "Classes of alarms.",
        schema: |generator| generator.subschema_for::<BTreeMap<String, Class>>(),
        shorthand: None,
        decode: |node, found| {
            decode::<OrderedMap<Class>>(node, found).map(|classes| Arc::new(classes) as Arc<dyn Any + Send + Sync>)
        },
        check: |_, _| {},
    });
    registry.add_pipeline(
        "built-in",
        "pipeline: built-in\nsources:\n  all: {type: tags}\nsinks:\n  out: {type: store, inputs: [all], dataset: all}\n",
    );
    registry
}

fn operator<T: JsonSchema>(name: &'static str, decode: Decode) -> Operator {
    Operator { name, summary: "For tests.", schema: |generator| generator.subschema_for::<T>(), examples: &[], decode }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagsSource {
    /// Only assets of this kind.
    #[serde(default)]
    kind: Option<String>,
    /// Only these variables.
    #[serde(default)]
    variables: Vec<String>,
    /// Tags that nodes publish too.
    #[serde(default)]
    published: bool,
}

impl SourceConfig for TagsSource {
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let mut kinds: Vec<ValueKind> =
            self.selects(cx)?.iter().filter_map(|id| cx.site.tag(*id)).map(|tag| tag.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Some(vec![Port::main(StreamType::Samples(kinds))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }

    fn selects(&self, cx: &mut CheckContext<'_>) -> Option<Vec<TagId>> {
        let tags = cx.site.tags.iter().filter(|tag| {
            let asset = cx.site.directory.asset_of(tag.id);
            (self.published || tag.published_by.is_none())
                && (self.variables.is_empty() || self.variables.iter().any(|name| **name == *tag.variable))
                && self.kind.as_ref().is_none_or(|kind| asset.is_some_and(|asset| *asset.kind == **kind))
        });
        Some(tags.map(|tag| tag.id).collect())
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetSource {
    dataset: Spanned<String>,
}

impl SourceConfig for DatasetSource {
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        Some(vec![Port::main(cx.dataset(&self.dataset)?)])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }

    fn datasets(&self) -> Vec<Spanned<String>> {
        vec![self.dataset.clone()]
    }
}

/// Gives what it takes, and a port `late`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pass {
    #[serde(default)]
    #[allow(dead_code)]
    every: Option<Duration>,
}

impl TransformConfig for Pass {
    fn check(&self, inputs: &[Input], _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let stream = inputs.first()?.stream.clone();
        Some(vec![Port::main(stream.clone()), Port { name: "late", stream }])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }
}

/// Gives rows by asset, or by tag.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Score {
    #[serde(default)]
    by_tag: bool,
    #[serde(default)]
    without_key: bool,
}

impl TransformConfig for Score {
    /// As alarms that are called H, on every tag.
    fn actions(&self, _inputs: &[Input], site: &Site) -> Actions {
        let subject = |name: &str| Subject { of: ("tag", name.to_owned()), part: ("alarm", "H".to_owned()) };
        Actions { verbs: &["acknowledge", "reset"], subjects: site.tags.iter().map(|tag| subject(&tag.name)).collect() }
    }

    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        for input in inputs {
            if let StreamType::Rows(_) = input.stream {
                cx.report(
                    Diagnostic::new(Code::TypeMismatch, format!("`{}` gives rows, not samples", *input.from))
                        .at(input.from.place),
                );
                return None;
            }
        }
        let key = if self.by_tag { "tag" } else { "asset" };
        let mut fields = vec![
            with_unit(Field::new("score", DataType::Float64, true), "A"),
            Field::new("parts", DataType::new_list(DataType::Float64, true), true),
        ];
        if !self.without_key {
            fields.insert(0, with_role(Field::new(key, DataType::UInt32, false), key));
        }
        Some(vec![Port::main(StreamType::Rows(RowType::new(fields, &[key])))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }
}

/// Refuses tags whose unit does not convert.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Convert {
    to: Spanned<String>,
    of: String,
}

impl TransformConfig for Convert {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let to = cx.unit(&self.to)?;
        let units: Vec<Unit> =
            cx.site.tags.iter().filter(|tag| *tag.variable == *self.of).filter_map(|tag| tag.unit.clone()).collect();
        for unit in units {
            if let Err(error) = unit.to(&to, cx.site.atmospheric_pressure) {
                cx.report(Diagnostic::new(Code::UnitUnknown, error.to_string()).at(self.to.place));
            }
        }
        Some(vec![Port::main(inputs.first()?.stream.clone())])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    #[serde(default)]
    dataset: Option<Spanned<String>>,
    #[serde(default)]
    file: Option<Spanned<String>>,
    #[serde(default)]
    keep: Option<Duration>,
}

impl SinkConfig for Store {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) {}

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }

    fn dataset(&self) -> Option<Spanned<String>> {
        self.dataset.clone()
    }

    fn file(&self) -> Option<Spanned<String>> {
        self.file.clone()
    }

    fn dataset_settings(&self) -> Vec<(&'static str, String)> {
        vec![("keep", self.keep.map_or_else(|| "everything".to_owned(), |keep| keep.to_string()))]
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plain {
    host: String,
    #[serde(default = "one")]
    unit_id: Spanned<u8>,
    #[serde(default)]
    scan: Option<Duration>,
}

fn one() -> Spanned<u8> {
    Spanned::from(1)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainTag {
    #[allow(dead_code)]
    address: u16,
    #[serde(rename = "as", default)]
    #[allow(dead_code)]
    read_as: ReadAs,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReadAs {
    #[default]
    F32,
    Bool,
}

impl ConnectionConfig for Plain {
    fn check(&self, tags: &[ConnectionTag<'_>], cx: &mut CheckContext<'_>) {
        if *self.unit_id > 247 {
            let message = format!("{} is no unit", *self.unit_id);
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(self.unit_id.place));
        }
        for tag in tags {
            decode::<PlainTag>(tag.fields, cx.diagnostics);
        }
    }

    fn endpoint(&self) -> String {
        self.host.clone()
    }

    fn open(&self, _endpoints: Vec<Endpoint>, cx: &BuildContext) -> Result<Vec<Box<dyn Connection>>, BuildError> {
        Err(cx.error("for tests of checks only"))
    }

    fn scan(&self) -> Option<Duration> {
        self.scan
    }

    fn tag_fields(&self) -> Option<&'static [&'static str]> {
        Some(&["address", "as"])
    }

    fn value_kind(&self, fields: &Node) -> ValueKind {
        match fields.get("as").and_then(Node::as_text) {
            Some("bool") => ValueKind::Bool,
            _ => ValueKind::Float64,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct Class {
    uplink: u8,
    #[serde(default)]
    latching: bool,
}

/// A limit: a number, or a mapping.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) limit: Spanned<Quantity>,
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) on_delay: Option<Duration>,
}

fn decode_limits(node: &Node, found: &mut Diagnostics) -> Option<OrderedMap<Limit>> {
    let before = found.len();
    let mut limits = Vec::new();
    for (name, node) in decode::<OrderedMap<Node>>(node, found)? {
        let limit = match &node.value {
            Value::Map(_) => decode::<Limit>(&node, found),
            _ => decode(&node, found).map(|limit| Limit { limit, on_delay: None }),
        };
        limits.extend(limit.map(|limit| (name, limit)));
    }
    (found.len() == before).then_some(OrderedMap(limits))
}

fn check_limits(check: &SectionCheck<'_>, found: &mut Diagnostics) {
    let (Some(limits), Some(tag)) = (check.section.downcast_ref::<OrderedMap<Limit>>(), check.tag) else { return };
    for (name, limit) in limits.iter() {
        if let Some([low, high]) = tag.span
            && !(low..=high).contains(&limit.limit.value.value)
        {
            let message = format!("the limit of `{}` lies outside the span of the tag", name.value);
            found.push(Diagnostic::new(Code::NumberOutOfRange, message).at(limit.limit.place));
        }
    }
}
