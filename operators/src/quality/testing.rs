//! A site in a few lines of YAML, and a node of it on a virtual clock. For the tests of quality and alarms.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt16Type, UInt32Type};
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::expr::Functions;
use ducto_graph::operator::{
    BuildContext, CheckContext, Decode, Emitted, Input, Output, Packet, Partition, Resources, Transform,
    TransformConfig, Turn, turn,
};
use ducto_graph::registry::{Registry, Role, Scope, SectionCheck};
use ducto_graph::scalar::{ByteSize, Duration, TimeOfDay, TimeZone};
use ducto_graph::site::{ContractDay, NamedBy, SectionValue, Site, TagSettings};
use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::{Node, Spanned, Value as Tree};
use ducto_record::{
    Action, Asset, Batch, Checks, Dimension, Directory, Measure, Micros, Quality, Reference, SampleColumns, Samples,
    SavedState, StreamType, Tag, Times, Units, Value, ValueKind, Values, role_of,
};

/// A site of a few tags, with the sections of quality and alarms.
pub(crate) struct Bed {
    pub(crate) registry: Registry,
    pub(crate) site: Arc<Site>,
    /// What the sections have to say.
    pub(crate) said: Vec<String>,
}

fn units() -> Units {
    let mut units = Units::default();
    let pressure = Dimension([-1, 1, -2, 0, 0, 0, 0]);
    for (symbol, dimension, reference, scale) in [
        ("psig", pressure, Reference::Gauge, 6894.757),
        ("psia", pressure, Reference::Absolute, 6894.757),
        ("psi", pressure, Reference::Differential, 6894.757),
        ("barg", pressure, Reference::Gauge, 100_000.0),
        ("Hz", Dimension([0, 0, -1, 0, 0, 0, 0]), Reference::None, 1.0),
    ] {
        units.register(Measure { symbol: symbol.into(), dimension, reference, scale, offset: 0.0 }.into(), &[]);
    }
    units
}

impl Bed {
    /// `tags`: YAML of tag names to settings. `site`: YAML of the site's sections.
    pub(crate) fn new(tags: &str) -> Self {
        Self::with(tags, "")
    }

    pub(crate) fn with(tags: &str, site: &str) -> Self {
        let mut registry = Registry::new(units(), Functions::default());
        crate::quality::register(&mut registry);
        crate::alarms::register(&mut registry);
        let mut diagnostics = Diagnostics::new();
        let mut sources = Sources::new();
        let mut parse = |name: &str, text: &str, diagnostics: &mut Diagnostics| {
            let file = sources.add_text(name, text);
            Node::parse(file, &sources, diagnostics).unwrap_or(Node::new(Place::NOWHERE, Tree::Null))
        };
        let tags = parse("tags.yaml", tags, &mut diagnostics);
        let site_node = parse("site.yaml", site, &mut diagnostics);
        let mut builder = Directory::builder();
        let mut settings = Vec::new();
        for entry in tags.entries() {
            let node = &entry.value;
            let asset = entry.key.value.rsplit_once('.').map(|(asset, _)| {
                builder.asset(Asset { name: asset.into(), kind: "well".into(), columns: BTreeMap::new() })
            });
            let field = |name: &str| node.get(name);
            let kind: ValueKind =
                field("as").map_or(ValueKind::Float64, |node| decode(node, &mut diagnostics).unwrap());
            let unit = field("unit").map(|unit| registry.units().get(unit.as_text().unwrap()).unwrap().clone());
            let tag = Tag { asset, unit: unit.clone(), ..Tag::named(&entry.key.value, kind) };
            let variable = tag.variable.clone();
            let id = builder.tag(tag);
            let mut sections: BTreeMap<&'static str, SectionValue> = BTreeMap::new();
            for section in registry.sections(Scope::Tag) {
                if let Some(node) = field(section.name)
                    && let Some(value) = (section.decode)(node, &mut diagnostics)
                {
                    sections.insert(section.name, value);
                }
            }
            let states: BTreeMap<String, String> =
                field("states").map_or_else(BTreeMap::new, |node| decode(node, &mut diagnostics).unwrap());
            settings.push(Arc::new(TagSettings {
                id,
                name: entry.key.clone(),
                asset,
                variable,
                kind,
                unit,
                span: field("span").map(|node| decode(node, &mut diagnostics).unwrap()),
                envelope: field("envelope").map(|node| decode(node, &mut diagnostics).unwrap()),
                scan: field("scan").map(|node| decode::<Duration>(node, &mut diagnostics).unwrap()),
                description: Arc::default(),
                states: states
                    .into_iter()
                    .map(|(number, text)| (number.parse().unwrap(), text))
                    .collect::<BTreeMap<_, _>>()
                    .into(),
                sections: Arc::new(sections),
                definition: Arc::new(node.clone()),
                connection_fields: Arc::new(Node::new(Place::NOWHERE, Tree::Map(Vec::new()))),
                published_by: None,
            }));
        }
        let mut sections: BTreeMap<&'static str, SectionValue> = BTreeMap::new();
        for section in registry.sections(Scope::Site) {
            if let Some(node) = site_node.get(section.name)
                && let Some(value) = (section.decode)(node, &mut diagnostics)
            {
                sections.insert(section.name, value);
            }
        }
        let site = Arc::new(Site {
            name: "TEST".to_owned(),
            tenant: None,
            folder: ".".into(),
            time_zone: "UTC".parse::<TimeZone>().unwrap(),
            language: "en".to_owned(),
            contract_day: ContractDay { start: "00:00".parse::<TimeOfDay>().unwrap(), named_by: NamedBy::Start },
            atmospheric_pressure: Some(100_000.0),
            display_units: BTreeMap::new(),
            memory: ByteSize::from_bytes(256_000_000),
            workers: 1,
            checkpoint_every: Site::CHECKPOINT_EVERY,
            sections,
            assets: Vec::new(),
            tags: settings,
            directory: Arc::new(builder.build()),
            datasets: BTreeMap::new(),
            connections: Vec::new(),
            pipelines: Vec::new(),
        });
        for (scope, tag, node) in std::iter::once((Scope::Site, None, &site_node))
            .chain(site.tags.iter().map(|tag| (Scope::Tag, Some(&**tag), &*tag.definition)))
        {
            let decoded = tag.map_or(&site.sections, |tag| &tag.sections);
            for section in registry.sections(scope) {
                if let (Some(value), Some(node)) = (decoded.get(section.name), node.get(section.name)) {
                    let check = SectionCheck { section: &**value, node, tag, site: &site, registry: &registry };
                    (section.check)(&check, &mut diagnostics);
                }
            }
        }
        Self { registry, site, said: words(&diagnostics) }
    }

    /// A config from its YAML, checked; or what is wrong with it.
    pub(crate) fn config(
        &self,
        operator: &str,
        yaml: &str,
        input: &StreamType,
    ) -> Result<Arc<dyn TransformConfig>, Vec<String>> {
        let mut diagnostics = Diagnostics::new();
        let mut sources = Sources::new();
        let file = sources.add_text("node.yaml", yaml);
        let node = Node::parse(file, &sources, &mut diagnostics).unwrap();
        let node = if node.is_null() { Node::new(Place::NOWHERE, Tree::Map(Vec::new())) } else { node };
        let Decode::Transform(decode) = self.registry.operator(Role::Transform, operator).unwrap().decode else {
            panic!("{operator} is no transform")
        };
        let config = decode(&node, &mut diagnostics);
        if let Some(config) = &config {
            let mut cx = CheckContext {
                registry: &self.registry,
                site: &self.site,
                owner: "test",
                node: "node",
                place: Place::NOWHERE,
                diagnostics: &mut diagnostics,
            };
            config.check(&[given(input)], &mut cx);
        }
        match config {
            Some(config) if diagnostics.is_empty() => Ok(config),
            _ => Err(words(&diagnostics)),
        }
    }

    pub(crate) fn driver(&self, operator: &str, yaml: &str) -> Driver {
        self.driver_of(operator, yaml, &StreamType::Samples(ValueKind::ALL.to_vec()))
    }

    pub(crate) fn driver_of(&self, operator: &str, yaml: &str, input: &StreamType) -> Driver {
        assert_eq!(self.said, Vec::<String>::new());
        let config = self.config(operator, yaml, input).unwrap();
        let context = BuildContext {
            site: self.site.clone(),
            directory: self.site.directory.clone(),
            functions: self.registry.functions().clone(),
            units: self.registry.units().clone(),
            pipeline: "test".into(),
            node: "node".into(),
            inputs: Arc::new([given(input)]),
            partition: Partition { worker: 0, workers: 1 },
            resources: Resources::default(),
        };
        Driver {
            transform: config.build(&context).unwrap(),
            site: self.site.clone(),
            epoch: 0,
            out: Output::default(),
            emitted: Vec::new(),
            replies: Vec::new(),
        }
    }
}

fn given(input: &StreamType) -> Input {
    Input { name: None, from: Spanned::from("input".to_owned()), stream: input.clone() }
}

fn words(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics
        .iter()
        .map(|found| match &found.help {
            Some(help) => format!("{} {} ({help})", found.code, found.message),
            None => format!("{} {}", found.code, found.message),
        })
        .collect()
}

/// One sample of a test.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) tag: String,
    pub(crate) time: Micros,
    pub(crate) value: Value,
    pub(crate) quality: Quality,
    pub(crate) checks: Checks,
}

pub(crate) fn sample(tag: &str, time: f64, value: impl Into<Cell>) -> Given {
    Given {
        tag: tag.to_owned(),
        time: seconds(time),
        value: value.into().0,
        quality: Quality::GOOD,
        checks: Checks::default(),
    }
}

/// What a test writes as a value.
pub(crate) struct Cell(Value);

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self(Value::Float64(value))
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self(Value::Int64(value))
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self(Value::Bool(value))
    }
}

impl From<()> for Cell {
    fn from((): ()) -> Self {
        Self(Value::Null)
    }
}

impl Given {
    pub(crate) fn quality(self, quality: u16) -> Self {
        Self { quality: Quality(quality), ..self }
    }

    pub(crate) fn checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }
}

pub(crate) fn seconds(seconds: f64) -> Micros {
    (seconds * 1e6).round() as Micros
}

/// A transform on a virtual clock.
pub(crate) struct Driver {
    pub(crate) transform: Box<dyn Transform>,
    site: Arc<Site>,
    epoch: u64,
    out: Output,
    emitted: Vec<Emitted>,
    pub(crate) replies: Vec<String>,
}

impl Driver {
    /// One entry at an engine time in seconds, its samples one batch for each run of one kind.
    pub(crate) fn send(&mut self, now: f64, samples: &[Given]) {
        let batches =
            samples.chunk_by(|a, b| self.kind(a) == self.kind(b)).map(|run| Batch::Samples(self.batch(run))).collect();
        self.entry(seconds(now), batches, &[]);
    }

    /// A good sample of now.
    pub(crate) fn put(&mut self, now: f64, tag: &str, value: impl Into<Cell>) {
        self.send(now, &[sample(tag, now, value)]);
    }

    pub(crate) fn entry(&mut self, time: Micros, batches: Vec<Batch>, actions: &[Arc<Action>]) {
        self.epoch += 1;
        let mut packets: Vec<Packet> =
            batches.into_iter().map(|batch| Packet { stamp: time, input: 0, batch }).collect();
        let step = Turn { epoch: self.epoch, time, actions, packets: &mut packets };
        turn(&mut *self.transform, step, &mut self.out, &mut self.emitted).unwrap();
        self.replies.extend(self.out.take_replies().map(|reply| format!("{}: {}", reply.done, reply.text)));
    }

    pub(crate) fn act(&mut self, now: f64, verb: &str, arguments: &[(&str, &str)]) -> Option<String> {
        let arguments =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), Value::Text((*value).into()))).collect();
        let action = Action { id: 1, verb: verb.into(), arguments, user: "ana".into(), reason: Some("seen".into()) };
        self.entry(seconds(now), Vec::new(), &[Arc::new(action)]);
        self.replies.pop()
    }

    pub(crate) fn advance(&mut self, now: f64) {
        self.entry(seconds(now), Vec::new(), &[]);
    }

    fn kind(&self, given: &Given) -> ValueKind {
        let directory = &self.site.directory;
        directory.tag(directory.tag_id(&given.tag).unwrap()).unwrap().kind
    }

    pub(crate) fn batch(&self, samples: &[Given]) -> Samples {
        let values = samples.iter().map(|given| &given.value);
        let values = match self.kind(&samples[0]) {
            ValueKind::Float64 => Values::Float64(values.map(Value::as_f64).collect()),
            ValueKind::Int64 => Values::Int64(
                values.map(|value| if let Value::Int64(value) = value { Some(*value) } else { None }).collect(),
            ),
            ValueKind::Bool => Values::Bool(
                values.map(|value| if let Value::Bool(value) = value { Some(*value) } else { None }).collect(),
            ),
            ValueKind::Text => Values::Text(
                values
                    .map(|value| if let Value::Text(value) = value { Some(value.to_string()) } else { None })
                    .collect(),
            ),
        };
        let times: Vec<Micros> = samples.iter().map(|given| given.time).collect();
        Samples::new(SampleColumns {
            times: match times.as_slice() {
                [first, rest @ ..] if rest.iter().all(|time| time == first) => Times::One(*first),
                _ => Times::Each(times.into()),
            },
            tags: samples
                .iter()
                .map(|given| self.site.directory.tag_id(&given.tag).unwrap())
                .collect::<Vec<_>>()
                .into(),
            values,
            quality: samples.iter().map(|given| given.quality.0).collect::<Vec<_>>().into(),
            checks: samples.iter().map(|given| given.checks.0).collect::<Vec<_>>().into(),
        })
        .unwrap()
    }

    /// The state of `self`, taken over by another driver of the same node.
    pub(crate) fn restore_into(&self, other: &mut Driver) {
        let saved = self.transform.snapshot().unwrap()().unwrap();
        let saved = SavedState { version: saved.version, bytes: saved.bytes };
        other.transform.restore(&saved).unwrap();
        other.epoch = self.epoch;
    }

    /// Batches that left since the last call.
    pub(crate) fn batches(&mut self) -> Vec<Batch> {
        self.emitted.drain(..).map(|emitted| emitted.batch).collect()
    }

    /// Rows that left since the last call: samples as `time tag value quality checks`, rows as their columns that are
    /// not null.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let batches = self.batches();
        batches
            .iter()
            .flat_map(|batch| match batch {
                Batch::Samples(samples) => (0..samples.len())
                    .map(|row| {
                        let checks: Vec<&str> = Checks(samples.checks()[row]).names().collect();
                        let tag = self.site.directory.tag_name(samples.tags()[row]);
                        let time = samples.time(row) as f64 / 1e6;
                        let line = format!(
                            "{time}s {tag} {} {} {}",
                            samples.values().get(row),
                            samples.quality()[row],
                            checks.join("+")
                        );
                        line.trim_end().to_owned()
                    })
                    .collect::<Vec<_>>(),
                Batch::Rows(rows) => (0..rows.num_rows()).map(|row| self.line(rows, row)).collect(),
            })
            .collect()
    }

    fn line(&self, rows: &RecordBatch, row: usize) -> String {
        let schema = rows.schema();
        let cells = schema
            .fields()
            .iter()
            .zip(rows.columns())
            .filter(|(field, column)| column.is_valid(row) && field.name() != "diff");
        let cells: Vec<String> = cells
            .map(|(field, column)| match column.data_type() {
                DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
                DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
                DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).to_string(),
                DataType::UInt32 => {
                    let id = column.as_primitive::<UInt32Type>().value(row);
                    match role_of(field) {
                        Some("asset") => self.site.directory.asset_name(id).to_owned(),
                        _ => self.site.directory.tag_name(id).to_owned(),
                    }
                }
                DataType::Boolean => column.as_boolean().value(row).to_string(),
                DataType::Timestamp(..) => {
                    format!("{}s", column.as_primitive::<TimestampMicrosecondType>().value(row) as f64 / 1e6)
                }
                _ => column.as_string::<i32>().value(row).to_owned(),
            })
            .collect();
        cells.join(" ")
    }
}
