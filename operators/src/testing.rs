//! A node by itself: checked against a small site, driven on a virtual clock, its rows as readable text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int8Type, Int64Type, TimestampMicrosecondType, UInt16Type, UInt32Type,
};
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::expr::Functions;
use ducto_graph::operator::{
    BuildContext, CheckContext, Decode, Emitted, Input, Operator, Output, Packet, Partition, Port, Resources,
    Transform, TransformConfig, Turn, turn,
};
use ducto_graph::registry::Registry;
use ducto_graph::scalar::TimeZone;
use ducto_graph::site::{ContractDay, NamedBy, Site, TagSettings};
use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::{Node, Value as Tree};
use ducto_record::time::format as format_time;
use ducto_record::{
    Asset, Batch, Dimension, Directory, Measure, Micros, Quality, Reference, SampleColumns, Samples, SavedState,
    StreamType, Tag, TagId, Times, Units, ValueKind, Values, role_of,
};

/// A few units, as the command registers many.
pub(crate) fn units() -> Units {
    let mut units = Units::default();
    let pressure = Dimension([-1, 1, -2, 0, 0, 0, 0]);
    let mut add = |symbol: &str, dimension, reference, scale, offset| {
        units.register(Measure { symbol: symbol.into(), dimension, reference, scale, offset }.into(), &[]);
    };
    add("psig", pressure, Reference::Gauge, 6894.757, 0.0);
    add("kPag", pressure, Reference::Gauge, 1000.0, 0.0);
    add("A", Dimension([0, 0, 0, 1, 0, 0, 0]), Reference::None, 1.0, 0.0);
    add("Hz", Dimension([0, 0, -1, 0, 0, 0, 0]), Reference::None, 1.0, 0.0);
    add("stb/d", Dimension([3, 0, -1, 0, 0, 0, 0]), Reference::Standard, 0.158_987 / 86_400.0, 0.0);
    add("%", Dimension::default(), Reference::None, 0.01, 0.0);
    add("s", Dimension([0, 0, 1, 0, 0, 0, 0]), Reference::None, 1.0, 0.0);
    units
}

/// A site of tags `ASSET.VARIABLE`, each with a kind and a unit (empty for none).
pub(crate) struct TestSite {
    pub(crate) registry: Registry,
    pub(crate) site: Arc<Site>,
}

impl TestSite {
    pub(crate) fn new(tags: &[(&str, ValueKind, &str)]) -> Self {
        Self::with_zone(tags, "UTC", "00:00")
    }

    pub(crate) fn with_zone(tags: &[(&str, ValueKind, &str)], zone: &str, day: &str) -> Self {
        let units = units();
        let mut builder = Directory::builder();
        let mut settings = Vec::new();
        let nowhere = Arc::new(Node::new(Place::NOWHERE, Tree::Map(Vec::new())));
        for (name, kind, unit) in tags {
            let asset = name.rsplit_once('.').map(|(asset, _)| {
                builder.asset(Asset { name: asset.into(), kind: "well".into(), columns: BTreeMap::new() })
            });
            let unit = units.get(unit).cloned();
            let tag = Tag { asset, unit: unit.clone(), ..Tag::named(name, *kind) };
            let variable = tag.variable.clone();
            let id = builder.tag(tag);
            settings.push(Arc::new(TagSettings {
                id,
                name: (*name).to_owned().into(),
                asset,
                variable,
                kind: *kind,
                unit,
                span: None,
                envelope: None,
                scan: None,
                description: Arc::default(),
                states: Arc::default(),
                sections: Arc::default(),
                definition: nowhere.clone(),
                connection_fields: nowhere.clone(),
                published_by: None,
            }));
        }
        let site = Site {
            time_zone: zone.parse::<TimeZone>().unwrap(),
            contract_day: ContractDay { start: day.parse().unwrap(), named_by: NamedBy::Start },
            tags: settings,
            directory: Arc::new(builder.build()),
            ..Site::empty("TEST")
        };
        Self { registry: Registry::new(units, Functions::default()), site: Arc::new(site) }
    }

    /// A node from its YAML, without `type` and `inputs`; or what is wrong with it, one line a finding.
    pub(crate) fn node(&self, operator: &Operator, yaml: &str, inputs: &[StreamType]) -> Result<TestNode, String> {
        let mut sources = Sources::new();
        let file = sources.add_text("node.yaml", yaml);
        let mut diagnostics = Diagnostics::new();
        let node = if yaml.trim().is_empty() {
            Some(Node::new(Place::NOWHERE, Tree::Map(Vec::new())))
        } else {
            Node::parse(file, &sources, &mut diagnostics)
        };
        self.parsed(operator, node, inputs, diagnostics)
    }

    fn parsed(
        &self,
        operator: &Operator,
        node: Option<Node>,
        inputs: &[StreamType],
        mut diagnostics: Diagnostics,
    ) -> Result<TestNode, String> {
        let inputs: Arc<[Input]> = inputs
            .iter()
            .enumerate()
            .map(|(index, stream)| Input { name: None, from: format!("input{index}").into(), stream: stream.clone() })
            .collect();
        let Decode::Transform(decode) = operator.decode else { panic!("`{}` is no transform", operator.name) };
        let config = node.and_then(|node| decode(&node, &mut diagnostics));
        let ports = config.as_ref().and_then(|config| {
            let mut cx = CheckContext {
                registry: &self.registry,
                site: &self.site,
                owner: "test",
                node: "node",
                place: Place::NOWHERE,
                diagnostics: &mut diagnostics,
            };
            config.check(&inputs, &mut cx)
        });
        let said: Vec<String> = diagnostics
            .iter()
            .map(|found| match &found.help {
                Some(help) => format!("{} {} ({help})", found.code, found.message),
                None => format!("{} {}", found.code, found.message),
            })
            .collect();
        match (config, ports) {
            (Some(config), Some(ports)) if diagnostics.is_ok() => Ok(TestNode {
                config,
                ports,
                context: BuildContext {
                    site: self.site.clone(),
                    directory: self.site.directory.clone(),
                    functions: self.registry.functions().clone(),
                    units: self.registry.units().clone(),
                    pipeline: "test".into(),
                    node: "node".into(),
                    inputs,
                    partition: Partition { worker: 0, workers: 1 },
                    resources: Resources::default(),
                },
            }),
            _ => Err(said.join("\n")),
        }
    }
}

/// Checks the examples of an operator as nodes of a site.
pub(crate) fn examples_are_right(site: &TestSite, operator: &Operator, inputs: &[StreamType]) {
    assert!(operator.examples.len() > 1);
    for example in operator.examples {
        let mut sources = Sources::new();
        let file = sources.add_text("example.yaml", *example);
        let mut diagnostics = Diagnostics::new();
        let parsed = Node::parse(file, &sources, &mut diagnostics).unwrap();
        let mut node = parsed.entries()[0].value.clone();
        node.take("type").unwrap();
        node.take("inputs").unwrap();
        node.take("publish");
        if let Err(said) = site.parsed(operator, Some(node), inputs, diagnostics) {
            panic!("{example}: {said}");
        }
    }
}

pub(crate) struct TestNode {
    pub(crate) config: Arc<dyn TransformConfig>,
    pub(crate) ports: Vec<Port>,
    pub(crate) context: BuildContext,
}

impl TestNode {
    pub(crate) fn driver(&self) -> Driver {
        Driver {
            transform: self.config.build(&self.context).unwrap(),
            directory: self.context.directory.clone(),
            ports: self.ports.clone(),
            epoch: 0,
            out: Output::default(),
            emitted: Vec::new(),
        }
    }

    /// The unit of a column of the main port.
    pub(crate) fn unit_of(&self, column: &str) -> Option<&str> {
        ducto_record::field_unit(self.rows().schema.field_with_name(column).unwrap())
    }

    pub(crate) fn rows(&self) -> &ducto_record::RowType {
        match &self.ports[0].stream {
            StreamType::Rows(rows) => rows,
            StreamType::Samples(_) => panic!("the main port gives samples"),
        }
    }
}

/// One sample for [`Driver::send`]: tag, time in seconds, value (`None`: no reading), quality.
pub(crate) type Given<'a> = (&'a str, f64, Option<f64>, u16);

/// A transform on a virtual clock.
pub(crate) struct Driver {
    pub(crate) transform: Box<dyn Transform>,
    directory: Arc<Directory>,
    ports: Vec<Port>,
    epoch: u64,
    out: Output,
    pub(crate) emitted: Vec<Emitted>,
}

impl Driver {
    /// One entry at an engine time, in µs.
    pub(crate) fn entry(&mut self, time: Micros, batches: Vec<Batch>) {
        self.entry_of(time, batches.into_iter().map(|batch| (0, batch)).collect());
    }

    /// One entry whose batches name their input.
    pub(crate) fn entry_of(&mut self, time: Micros, batches: Vec<(usize, Batch)>) {
        self.epoch += 1;
        let mut packets: Vec<Packet> =
            batches.into_iter().map(|(input, batch)| Packet { stamp: time, input, batch }).collect();
        let step = Turn { epoch: self.epoch, time, actions: &[], packets: &mut packets };
        turn(&mut *self.transform, step, &mut self.out, &mut self.emitted).unwrap();
    }

    /// Samples of float64 tags in one batch, at an engine time in seconds.
    pub(crate) fn send(&mut self, now: f64, samples: &[Given<'_>]) {
        let batch = self.samples(samples);
        self.entry(seconds(now), vec![batch]);
    }

    pub(crate) fn samples(&self, samples: &[Given<'_>]) -> Batch {
        let tags: Vec<TagId> = samples.iter().map(|(tag, ..)| self.directory.tag_id(tag).unwrap()).collect();
        batch(
            &tags,
            &samples.iter().map(|(_, time, ..)| seconds(*time)).collect::<Vec<_>>(),
            &samples.iter().map(|(_, _, value, _)| *value).collect::<Vec<_>>(),
            &samples.iter().map(|(.., quality)| *quality).collect::<Vec<_>>(),
        )
    }

    /// Moves engine time, in seconds.
    pub(crate) fn advance(&mut self, now: f64) {
        self.entry(seconds(now), Vec::new());
    }

    /// Saves the state and takes it again in `other`.
    pub(crate) fn restore_into(&self, other: &mut Driver) {
        if let Some(snapshot) = self.transform.snapshot() {
            let saved = snapshot().unwrap();
            let saved = SavedState { version: saved.version, bytes: saved.bytes.clone() };
            other.transform.restore(&saved).unwrap();
        }
        other.epoch = self.epoch;
    }

    /// What left so far, a line a row: `[port] time key columns… quality [reason] [-]`.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let emitted = std::mem::take(&mut self.emitted);
        emitted
            .iter()
            .flat_map(|emitted| {
                let port = self.ports[emitted.port].name;
                let prefix = if port == "main" { String::new() } else { format!("{port}: ") };
                let rows = match &emitted.batch {
                    Batch::Samples(samples) => samples.record_batch(),
                    Batch::Rows(rows) => rows.clone(),
                };
                self.text(&rows).into_iter().map(move |line| format!("{prefix}{line}")).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The rows that went no further so far, by cause.
    pub(crate) fn drops(&mut self) -> Vec<(&'static str, u64)> {
        self.out.take_drops().collect()
    }

    pub(crate) fn text(&self, rows: &RecordBatch) -> Vec<String> {
        let schema = rows.schema();
        (0..rows.num_rows())
            .map(|row| {
                let mut parts = Vec::new();
                for (field, column) in schema.fields().iter().zip(rows.columns()) {
                    let text = self.cell(column.as_ref(), role_of(field), row);
                    match field.name().as_str() {
                        "diff" => {
                            if text == "-1" {
                                parts.push("-".to_owned());
                            }
                        }
                        "reason" if text == "null" => {}
                        _ => parts.push(text),
                    }
                }
                parts.join(" ")
            })
            .collect()
    }

    fn cell(&self, column: &dyn Array, role: Option<&str>, row: usize) -> String {
        if column.is_null(row) {
            return "null".to_owned();
        }
        match column.data_type() {
            DataType::Float64 => {
                let value = column.as_primitive::<Float64Type>().value(row);
                let rounded = (value * 1e9).round() / 1e9;
                if rounded.is_finite() { format!("{rounded}") } else { format!("{value}") }
            }
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
            DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).to_string(),
            DataType::UInt32 => {
                let id = column.as_primitive::<UInt32Type>().value(row);
                match role {
                    Some("tag") => self.directory.tag_name(id).to_owned(),
                    Some("asset") => self.directory.asset_name(id).to_owned(),
                    _ => id.to_string(),
                }
            }
            DataType::Timestamp(..) => {
                let time = column.as_primitive::<TimestampMicrosecondType>().value(row);
                if (0..86_400_000_000_000).contains(&time) && time < 1_000_000_000_000_000 / 10 {
                    format!("{}s", time as f64 / 1e6)
                } else {
                    format_time(time)
                }
            }
            DataType::Date32 => format!("day{}", column.as_primitive::<Date32Type>().value(row)),
            DataType::Boolean => column.as_boolean().value(row).to_string(),
            DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
            other => format!("{other}"),
        }
    }
}

pub(crate) fn seconds(seconds: f64) -> Micros {
    (seconds * 1e6).round() as Micros
}

/// A batch of float64 samples.
pub(crate) fn batch(tags: &[TagId], times: &[Micros], values: &[Option<f64>], quality: &[u16]) -> Batch {
    let columns = SampleColumns {
        times: match times {
            [first, rest @ ..] if rest.iter().all(|time| time == first) => Times::One(*first),
            _ => Times::Each(times.to_vec().into()),
        },
        tags: tags.to_vec().into(),
        values: Values::Float64(values.iter().copied().collect()),
        quality: quality.to_vec().into(),
        checks: vec![0; tags.len()].into(),
    };
    Batch::Samples(Samples::new(columns).unwrap())
}

/// Samples of float64.
pub(crate) fn floats() -> StreamType {
    StreamType::Samples(vec![ValueKind::Float64])
}

/// Good, as a number.
pub(crate) const GOOD: u16 = Quality::GOOD.0;
