//! What quality and alarm cost: CPU nanoseconds per sample on scans of 10,000 tags, each operator by itself and both.
//!
//! The input is a field of sensors with spikes, frozen values and high alarms; the rows are counted, so that a change
//! that makes it faster by doing less is seen.

// A bench has nobody to give an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::expr::Functions;
use ducto_graph::operator::{
    BuildContext, Decode, Emitted, Input, Output, Packet, Partition, Resources, Transform, Turn, turn,
};
use ducto_graph::registry::{Registry, Role, Scope};
use ducto_graph::scalar::ByteSize;
use ducto_graph::site::{ContractDay, NamedBy, Site, TagSettings};
use ducto_graph::source::{Place, Sources};
use ducto_graph::tree::{Node, Spanned, Value as Tree};
use ducto_record::{
    Asset, Batch, Checks, Directory, Layout, Quality, Samples, StreamType, Tag, Units, ValueKind, Values,
};

const TAGS: usize = 10_000;
const SECONDS: u64 = 600;
/// Scans made ahead, so that making them is not measured.
const BLOCK: u64 = 60;
const START: i64 = 1_700_000_000_000_000;

fn main() {
    let field = Field::new(TAGS);
    let (mut quality, mut alarm) = (Stage::new(&field, "quality", QUALITY), Stage::new(&field, "alarm", ALARM));
    let (mut first, mut second) = (Stage::new(&field, "quality", QUALITY), Stage::new(&field, "alarm", ALARM));
    let mut both = 0;
    let mut counts = BTreeMap::<String, u64>::new();
    for from in (0..SECONDS).step_by(BLOCK as usize) {
        let scans: Vec<Batch> = (from..from + BLOCK).map(|second| Batch::Samples(field.scan(second))).collect();
        let judged: Vec<Batch> = scans.iter().flat_map(|scan| quality.run(scan)).collect();
        for batch in &judged {
            count(batch, &mut counts);
            for events in alarm.run(batch) {
                count(&events, &mut counts);
            }
        }
        let before = cpu();
        for scan in &scans {
            for batch in first.run(scan) {
                std::hint::black_box(second.run(&batch));
            }
        }
        both += cpu() - before;
    }
    let samples = (TAGS as u64 * SECONDS) as f64;
    println!("quality {:.2} ns/sample", quality.spent as f64 / samples);
    println!("alarm   {:.2} ns/sample", alarm.spent as f64 / samples);
    println!("both    {:.2} ns/sample", both as f64 / samples);
    println!("{counts:?}");
}

const QUALITY: &str =
    "checks: {range: {as: 0}, jump: {limit: 100, as: 0, rearm: never}, frozen: {repeats: 60, as: 64}}";
const ALARM: &str = "accept: good";

/// CPU time of this thread in nanoseconds.
fn cpu() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn count(batch: &Batch, counts: &mut BTreeMap<String, u64>) {
    match batch {
        Batch::Samples(samples) => {
            for bits in samples.checks().iter().filter(|bits| **bits != 0) {
                for name in Checks(*bits).names() {
                    *counts.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        Batch::Rows(rows) => {
            for event in rows.column_by_name("event").unwrap().as_string::<i32>().iter().flatten() {
                *counts.entry(event.to_owned()).or_default() += 1;
            }
        }
    }
}

/// An operator at work, and the CPU time it has used.
struct Stage {
    transform: Box<dyn Transform>,
    out: Output,
    emitted: Vec<Emitted>,
    epoch: u64,
    spent: u64,
}

impl Stage {
    fn new(field: &Field, operator: &str, yaml: &str) -> Self {
        let Decode::Transform(decode) = field.registry.operator(Role::Transform, operator).unwrap().decode else {
            panic!("{operator} is a transform")
        };
        let config = decode(&parse(yaml), &mut Diagnostics::new()).unwrap();
        let input = Input {
            name: None,
            from: Spanned::from("field".to_owned()),
            stream: StreamType::Samples(vec![ValueKind::Float64]),
        };
        let context = BuildContext {
            site: field.site.clone(),
            directory: field.site.directory.clone(),
            functions: field.registry.functions().clone(),
            units: field.registry.units().clone(),
            pipeline: "bench".into(),
            node: operator.into(),
            inputs: Arc::new([input]),
            partition: Partition { worker: 0, workers: 1 },
            resources: Resources::default(),
        };
        Self {
            transform: config.build(&context).unwrap(),
            out: Output::default(),
            emitted: Vec::new(),
            epoch: 0,
            spent: 0,
        }
    }

    fn run(&mut self, batch: &Batch) -> Vec<Batch> {
        let before = cpu();
        self.epoch += 1;
        let time = match batch {
            Batch::Samples(samples) => samples.time(0),
            Batch::Rows(_) => 0,
        };
        let mut packets = vec![Packet { stamp: time, input: 0, batch: batch.clone() }];
        let step = Turn { epoch: self.epoch, time, actions: &[], packets: &mut packets };
        turn(&mut *self.transform, step, &mut self.out, &mut self.emitted).unwrap();
        let batches = self.emitted.drain(..).map(|emitted| emitted.batch).collect();
        self.spent += cpu() - before;
        batches
    }
}

fn parse(yaml: &str) -> Node {
    let mut sources = Sources::new();
    let file = sources.add_text("bench.yaml", yaml);
    Node::parse(file, &sources, &mut Diagnostics::new()).unwrap()
}

/// A site of sensors, and what they measure.
struct Field {
    registry: Registry,
    site: Arc<Site>,
    layout: Arc<Layout>,
}

impl Field {
    fn new(tags: usize) -> Self {
        let mut registry = Registry::new(Units::default(), Functions::default());
        ducto_operators::quality::register(&mut registry);
        ducto_operators::alarms::register(&mut registry);
        let mut builder = Directory::builder();
        let mut settings = Vec::new();
        for i in 0..tags {
            let name = format!("W{i:05}.P");
            let asset =
                builder.asset(Asset { name: format!("W{i:05}").into(), kind: "well".into(), columns: BTreeMap::new() });
            let tag = Tag { asset: Some(asset), ..Tag::named(&name, ValueKind::Float64) };
            let id = builder.tag(tag);
            let definition =
                parse(&format!("alarms: {{H: {{limit: {}, deadband: 2, on_delay: 5s}}}}", base(i as u64) + 50.0));
            let section = registry.section(Scope::Tag, "alarms").unwrap();
            let alarms = (section.decode)(definition.get("alarms").unwrap(), &mut Diagnostics::new()).unwrap();
            settings.push(Arc::new(TagSettings {
                id,
                name: Spanned::from(name),
                asset: Some(asset),
                variable: "P".into(),
                kind: ValueKind::Float64,
                unit: None,
                span: Some([0.0, 400.0]),
                envelope: None,
                scan: Some("1s".parse().unwrap()),
                description: Arc::default(),
                states: Arc::default(),
                sections: Arc::new(BTreeMap::from([("alarms", alarms)])),
                definition: Arc::new(definition),
                connection_fields: Arc::new(Node::new(Place::NOWHERE, Tree::Null)),
                published_by: None,
            }));
        }
        let site = Site {
            name: "BENCH".to_owned(),
            tenant: None,
            folder: ".".into(),
            time_zone: "UTC".parse().unwrap(),
            language: "en".to_owned(),
            contract_day: ContractDay { start: "00:00".parse().unwrap(), named_by: NamedBy::Start },
            atmospheric_pressure: None,
            display_units: BTreeMap::new(),
            memory: ByteSize::from_bytes(256_000_000),
            workers: 1,
            checkpoint_every: Site::CHECKPOINT_EVERY,
            sections: BTreeMap::new(),
            assets: Vec::new(),
            tags: settings,
            directory: Arc::new(builder.build()),
            datasets: BTreeMap::new(),
            connections: Vec::new(),
            pipelines: Vec::new(),
        };
        let layout = Layout::new((0..tags as u32).collect());
        Self { registry, site: Arc::new(site), layout }
    }

    fn scan(&self, second: u64) -> Samples {
        let rows = self.layout.tags.len() as u64;
        let (values, quality): (Vec<f64>, Vec<u16>) = (0..rows).map(|i| measured(i, second)).unzip();
        let time = START + second as i64 * 1_000_000;
        // A device reports qualities only where something is wrong.
        let quality = quality.iter().any(|quality| *quality != Quality::GOOD.0).then(|| quality.into());
        Samples::scan(&self.layout, time, Values::Float64(values.into()), quality).unwrap()
    }
}

fn base(i: u64) -> f64 {
    100.0 + (i % 50) as f64
}

fn noise(i: u64, second: u64) -> u64 {
    let z = ((i << 32) | second).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn measured(i: u64, second: u64) -> (f64, u16) {
    let h = noise(i, second);
    let formula = |second: u64, h: u64| {
        let u = (h >> 11) as f64 * (0.5f64).powi(53) * 2.0 - 1.0;
        let phase = ((second + i) % 600) as f64 / 600.0;
        base(i) + 10.0 * (2.0 * std::f64::consts::PI * phase).sin() + u
    };
    let frozen = i.is_multiple_of(97) && (120..240).contains(&second);
    let mut value = if frozen { formula(120, noise(i, 120)) } else { formula(second, h) };
    if i.is_multiple_of(31) && (300..420).contains(&second) {
        value += 60.0;
    }
    if h.is_multiple_of(10_007) {
        value += 500.0;
    }
    if h % 10_009 == 1 {
        value += 150.0;
    }
    (value, if h % 5_003 == 2 { 0 } else { Quality::GOOD.0 })
}
