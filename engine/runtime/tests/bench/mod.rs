//! A site with one small graph of the test's own: `all` (source) → `sums` (running sums, and totals by a timer) →
//! `kept` (sink), and beside it `all` → `raw` (sink). A second pipeline, `reader`, reads what the first publishes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{
    Float64Array, Int8Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field};
use ducto_graph::expr::Functions;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Input, Intake, NodeError, Output, Port, Resources, Sink, SinkConfig,
    Snapshot, Source, SourceConfig, Store, Transform, TransformConfig,
};
use ducto_graph::pipeline::{Edge, GraphNode, NodeConfig, Pipeline, Publish};
use ducto_graph::registry::Registry;
use ducto_graph::scalar::{self, ByteSize};
use ducto_graph::site::Site;
use ducto_graph::source::Place;
use ducto_record::time::SECOND;
use ducto_record::{
    Batch, Directory, Entry, Epoch, Micros, Origin, Part, RowType, SampleColumns, Samples, SavedState, StateError,
    StreamType, Tag, Times, Units, ValueKind, Values, with_role,
};
use ducto_runtime::{ClockMode, Durable, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;

/// The tag that `sums` publishes for tag 1.
pub(crate) const PUBLISHED: u32 = 9;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: Micros,
    pub(crate) tag: u32,
    pub(crate) value: f64,
}

impl Row {
    pub(crate) fn order(a: &Self, b: &Self) -> std::cmp::Ordering {
        (a.time, a.tag).cmp(&(b.time, b.tag)).then(a.value.total_cmp(&b.value))
    }
}

/// A node that fails on an epoch, or on any where it is 0, so many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) node: &'static str,
    pub(crate) epoch: Epoch,
    pub(crate) times: u32,
    pub(crate) panics: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Trap {
    fault: Option<Fault>,
    left: Arc<AtomicU32>,
}

impl Trap {
    fn new(node: &str, faults: &[Fault]) -> Self {
        let fault = faults.iter().find(|fault| fault.node == node).copied();
        Self { fault, left: Arc::new(AtomicU32::new(fault.map_or(0, |fault| fault.times))) }
    }

    /// The fault comes so many times more.
    #[allow(dead_code)] // Not every test does that.
    pub(crate) fn arm(&self, times: u32) {
        self.left.store(times, Ordering::SeqCst);
    }

    pub(crate) fn spring(&self, epoch: Epoch) -> Result<(), NodeError> {
        let Some(fault) = self.fault.filter(|fault| fault.epoch == epoch || fault.epoch == 0) else { return Ok(()) };
        let sprung = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (sprung, fault.panics) {
            (Err(_), _) => Ok(()),
            (Ok(_), true) => panic!("a fault of the test"),
            (Ok(_), false) => Err(NodeError::text("a fault of the test")),
        }
    }
}

fn row_type() -> RowType {
    RowType::new(
        vec![with_role(Field::new("tag", DataType::UInt32, false), "tag"), Field::new("sum", DataType::Float64, false)],
        &["tag"],
    )
}

#[derive(Debug)]
struct All;

impl SourceConfig for All {
    fn check(&self, _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        None
    }
    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(All))
    }
}

impl Source for All {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        for part in &entry.parts {
            if let Part::Samples { samples, origin } = part
                // Not what the pipeline itself publishes: it would feed itself for ever.
                && *origin == Origin::Field
            {
                out.emit(0, Batch::Samples(samples.clone()));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Everything;

impl SourceConfig for Everything {
    fn check(&self, _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        None
    }
    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(Everything))
    }
}

impl Source for Everything {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        for part in &entry.parts {
            if let Part::Samples { samples, .. } = part {
                out.emit(0, Batch::Samples(samples.clone()));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SumsConfig(Trap);

impl TransformConfig for SumsConfig {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        None
    }
    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Sums { trap: self.0.clone(), sums: BTreeMap::new(), due: None }))
    }
}

struct Sums {
    trap: Trap,
    sums: BTreeMap<u32, f64>,
    due: Option<Micros>,
}

fn rows(time: Micros, rows: &[(u32, f64)]) -> Batch {
    let count = rows.len();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_value(time, count).with_timezone("UTC")),
        Arc::new(rows.iter().map(|(tag, _)| *tag).collect::<UInt32Array>()),
        Arc::new(rows.iter().map(|(_, sum)| *sum).collect::<Float64Array>()),
        Arc::new(UInt16Array::from_value(192, count)),
        Arc::new(StringArray::new_null(count)),
        Arc::new(Int8Array::from_value(1, count)),
    ];
    Batch::Rows(RecordBatch::try_new(row_type().schema, columns).unwrap())
}

impl Transform for Sums {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        self.trap.spring(out.epoch())?;
        let Batch::Samples(samples) = batch else { return Ok(()) };
        if !samples.is_empty() && self.due.is_none() {
            self.due = Some((out.now().div_euclid(10 * SECOND) + 1) * 10 * SECOND);
        }
        for row in 0..samples.len() {
            let tag = samples.tags()[row];
            let sum = self.sums.entry(tag).or_default();
            *sum += samples.values().number(row).unwrap_or_default();
            let sum = *sum;
            out.emit(0, rows(samples.time(row), &[(tag, sum)]));
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Micros> {
        self.due
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        let totals: Vec<(u32, f64)> = self.sums.iter().map(|(&tag, &sum)| (tag, -sum)).collect();
        out.emit(0, rows(deadline, &totals));
        self.due = Some(deadline + 10 * SECOND);
        Ok(())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let state = (self.sums.clone(), self.due);
        Some(Box::new(move || SavedState::encode(1, &state)))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        (self.sums, self.due) = saved.decode(1)?;
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct KeptConfig {
    trap: Trap,
    rows: Arc<Mutex<Vec<Row>>>,
    count: Arc<AtomicUsize>,
    slow: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
    is_store: bool,
    stored: Arc<AtomicU64>,
}

impl SinkConfig for KeptConfig {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) {}
    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let Self { trap, rows, count, slow, full, is_store, stored } = self.clone();
        Ok(Box::new(Kept { trap, waiting: Vec::new(), epoch: 0, rows, count, slow, full, is_store, stored }))
    }
}

struct Kept {
    trap: Trap,
    waiting: Vec<Row>,
    epoch: Epoch,
    rows: Arc<Mutex<Vec<Row>>>,
    count: Arc<AtomicUsize>,
    slow: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
    is_store: bool,
    stored: Arc<AtomicU64>,
}

impl Sink for Kept {
    fn on_batch(&mut self, _input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(NodeError::Later("the disk of the test is full".into()));
        }
        if self.slow.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if epoch != self.epoch {
            self.waiting.clear();
            self.epoch = epoch;
        }
        match batch {
            Batch::Rows(rows) => {
                let times = rows.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
                let tags = rows.column(1).as_any().downcast_ref::<UInt32Array>().unwrap();
                let sums = rows.column(2).as_any().downcast_ref::<Float64Array>().unwrap();
                for row in 0..rows.num_rows() {
                    self.waiting.push(Row { time: times.value(row), tag: tags.value(row), value: sums.value(row) });
                }
            }
            Batch::Samples(samples) => {
                self.count.fetch_add(samples.len(), Ordering::Relaxed);
            }
        }
        self.trap.spring(epoch).inspect_err(|_| self.waiting.clear())
    }

    fn end_epoch(&mut self, epoch: Epoch, _now: Micros) -> Result<(), NodeError> {
        // What a process before has stored is there already.
        if epoch == self.epoch && epoch > self.stored.load(Ordering::SeqCst) {
            self.rows.lock().unwrap().append(&mut self.waiting);
        }
        self.stored.fetch_max(epoch, Ordering::SeqCst);
        Ok(())
    }

    fn store(&self) -> Option<Store> {
        let stored = self.is_store.then(|| self.stored.clone())?;
        Some(Box::new(move || stored.load(Ordering::SeqCst)))
    }
}

pub(crate) fn samples_part(time: Micros, samples: &[(u32, f64)]) -> Part {
    let count = samples.len();
    let samples = Samples::new(SampleColumns {
        times: Times::One(time),
        tags: samples.iter().map(|(tag, _)| *tag).collect::<Vec<_>>().into(),
        values: Values::Float64(samples.iter().map(|(_, value)| *value).collect::<Vec<_>>().into()),
        quality: vec![192; count].into(),
        checks: vec![0; count].into(),
    })
    .unwrap();
    Part::Samples { origin: Origin::Field, samples }
}

/// What is outside of a site, and outlives it.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    /// What the sink `kept` holds.
    rows: Arc<Mutex<Vec<Row>>>,
    stored: Arc<AtomicU64>,
    /// While it is set, that sink takes nothing.
    pub(crate) full: Arc<AtomicBool>,
    /// Rows that came to the sink `raw`.
    pub(crate) raw: Arc<AtomicUsize>,
    /// Rows that came to the sink of the pipeline `reader`.
    pub(crate) read: Arc<AtomicUsize>,
    /// While it is set, that sink takes 20 ms for each batch.
    pub(crate) slow: Arc<AtomicBool>,
}

pub(crate) struct Bench {
    site: Option<RunningSite>,
    pub(crate) outside: Outside,
    /// The faults of `sums`.
    pub(crate) sums: Trap,
}

fn node(id: &str, config: NodeConfig, edges: Vec<Edge>, ports: Vec<Port>, publish: Vec<Publish>) -> GraphNode {
    GraphNode {
        id: id.into(),
        operator: "test",
        config,
        edges,
        inputs: Arc::new([]),
        ports,
        publish,
        place: Place::NOWHERE,
    }
}

impl Bench {
    pub(crate) fn start(workers: usize, mode: ClockMode, faults: &[Fault]) -> Self {
        Self::start_on(&Outside::default(), None, 64_000_000, workers, mode, faults)
    }

    /// With a journal in a data folder.
    pub(crate) fn start_on(
        outside: &Outside,
        folder: Option<&DataFolder>,
        memory: u64,
        workers: usize,
        mode: ClockMode,
        faults: &[Fault],
    ) -> Self {
        let sums = Trap::new("sums", faults);
        let samples = || vec![Port::main(StreamType::Samples(vec![ValueKind::Float64]))];
        let mut published = vec![None; 9];
        published[1] = Some(PUBLISHED);
        let publish = Publish { column: "sum".into(), key: "tag".into(), kind: ValueKind::Float64, tags: published };
        let sink = |name: &'static str| {
            let mut config = KeptConfig {
                trap: Trap::new(name, faults),
                rows: Arc::default(),
                count: Arc::default(),
                slow: Arc::default(),
                full: Arc::default(),
                is_store: name == "kept",
                stored: Arc::default(),
            };
            match name {
                "kept" => {
                    config.rows = outside.rows.clone();
                    config.stored = outside.stored.clone();
                    config.full = outside.full.clone();
                }
                "raw" => config.count = outside.raw.clone(),
                _ => {
                    config.count = outside.read.clone();
                    config.slow = outside.slow.clone();
                }
            }
            NodeConfig::Sink(Arc::new(config))
        };
        let first = Edge { node: 0, port: 0 };
        let test = Pipeline {
            id: "test".into(),
            name: "test".into(),
            nodes: vec![
                node("all", NodeConfig::Source(Arc::new(All)), vec![], samples(), vec![]),
                node(
                    "sums",
                    NodeConfig::Transform(Arc::new(SumsConfig(sums.clone()))),
                    vec![first],
                    vec![Port::main(StreamType::Rows(row_type()))],
                    vec![publish],
                ),
                node("kept", sink("kept"), vec![Edge { node: 1, port: 0 }], vec![], vec![]),
                node("raw", sink("raw"), vec![first], vec![], vec![]),
            ],
            place: Place::NOWHERE,
        };
        let reader = Pipeline {
            id: "reader".into(),
            name: "reader".into(),
            nodes: vec![
                node("all", NodeConfig::Source(Arc::new(Everything)), vec![], samples(), vec![]),
                node("nowhere", sink("nowhere"), vec![first], vec![], vec![]),
            ],
            place: Place::NOWHERE,
        };
        let mut directory = Directory::builder();
        for tag in 0..10 {
            directory.tag(Tag::named(&format!("T{tag}"), ValueKind::Float64));
        }
        let site = Site {
            memory: ByteSize::from_bytes(memory),
            workers,
            checkpoint_every: folder.map_or(Site::CHECKPOINT_EVERY, |_| scalar::Duration::from_micros(200_000)),
            directory: Arc::new(directory.build()),
            pipelines: vec![Arc::new(test), Arc::new(reader)],
            ..Site::empty("TEST")
        };
        let registry = Registry::new(Units::default(), Functions::default());
        let options = Options {
            mode,
            last_epoch: 0,
            resources: Resources::default(),
            feeders: false,
            sinks: SinkChoice::All,
            durable: folder.map(|folder| Durable::open(folder, &site.directory).unwrap()),
        };
        let site = RunningSite::start(&Arc::new(site), &registry, options).unwrap();
        Self { site: Some(site), outside: outside.clone(), sums }
    }

    pub(crate) fn site(&self) -> &RunningSite {
        self.site.as_ref().unwrap()
    }

    /// One entry a second; its samples cut into batches of at most `cut` rows.
    pub(crate) fn feed(&mut self, input: &[Vec<(u32, f64)>], cut: usize) {
        for (second, samples) in input.iter().enumerate() {
            let time = second as i64 * SECOND;
            let parts = samples.chunks(cut).map(|chunk| samples_part(time, chunk)).collect();
            self.site().intake().enter_at(time, parts).unwrap();
        }
    }

    pub(crate) fn feed_at(&mut self, time: Micros, samples: &[(u32, f64)]) {
        self.site().intake().offer(samples_part(time, samples)).unwrap();
    }

    pub(crate) fn settle(&self) {
        assert!(self.site().wait_idle(Duration::from_secs(20)), "the pipelines do not come to rest");
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.outside.rows.lock().unwrap().clone()
    }

    /// Stops the site as it is.
    pub(crate) fn stop(&mut self) {
        self.site.take().unwrap().stop().unwrap();
    }

    /// Stops the site; what the sink `kept` holds, in order.
    pub(crate) fn finish(&mut self) -> Vec<Row> {
        self.settle();
        self.site.take().unwrap().stop().unwrap();
        let mut rows = self.rows();
        rows.sort_by(Row::order);
        rows
    }
}
