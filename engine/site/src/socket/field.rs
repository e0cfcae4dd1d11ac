//! A site with graphs of the tests' own: `wells` is `all` (source) → `newest` (rows, and the view `state`) → `kept`
//! (sink); `other` is `all` alone. What enters is in the test's hands.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array,
    UInt32Array,
};
use arrow::datatypes::{self, DataType, Schema};
use ducto_graph::expr::Functions;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Input, Intake, NodeError, Output, Port, Resources, Sink, SinkConfig,
    Source, SourceConfig, Transform, TransformConfig,
};
use ducto_graph::pipeline::{Edge, GraphNode, NodeConfig, Pipeline};
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_graph::source::Place;
use ducto_graph::tree::Spanned;
use ducto_record::{
    Asset, Batch, Dimension, Directory, Entry, Epoch, Layout, Measure, Origin, Part, Reference, RowType, Samples,
    StreamType, Tag, Unit, Units, ValueKind, Values, with_role,
};
use ducto_runtime::{VIEW, WallClock};
use ducto_storage::disk::Disk;
use ducto_storage::{DataFolder, Historian};

use super::protocol::Status;
use crate::{Client, History, LiveSite, Start};

/// The tags, in the order of their numbers.
pub(crate) const TAGS: [&str; 4] = ["W1.THP", "W1.RUN", "W2.THP", "LOOSE"];

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

struct NoHistory;

impl History for NoHistory {
    fn all(&self) -> Vec<(String, Historian)> {
        Vec::new()
    }

    fn close(&self) {}
}

#[derive(Debug)]
struct All;

impl SourceConfig for All {
    fn check(&self, _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        None
    }

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(Self))
    }
}

impl Source for All {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        for part in &entry.parts {
            if let Part::Samples { samples, .. } = part {
                out.emit(0, Batch::Samples(samples.clone()));
            }
        }
        Ok(())
    }
}

fn row_type() -> RowType {
    let own = vec![
        with_role(datatypes::Field::new("tag", DataType::UInt32, false), "tag"),
        datatypes::Field::new("value", DataType::Float64, true),
    ];
    let RowType { schema, key } = RowType::new(own, &["tag"]);
    let metadata = [(VIEW.to_owned(), "state".to_owned())].into();
    RowType { schema: Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata)), key }
}

/// A row for each number; one below zero takes the row of its tag back.
#[derive(Debug)]
struct Newest;

impl TransformConfig for Newest {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        None
    }

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Self))
    }
}

impl Transform for Newest {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else { return Ok(()) };
        if samples.kind() != ValueKind::Float64 {
            return Ok(());
        }
        let rows = samples.len();
        let values: Vec<Option<f64>> = (0..rows).map(|row| samples.values().number(row)).collect();
        let diffs = values.iter().map(|value| if value.is_some_and(|value| value < 0.0) { -1 } else { 1 });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                (0..rows)
                    .map(|row| Some(samples.time(row)))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            Arc::new(UInt32Array::new(samples.tags().clone(), None)),
            Arc::new(Float64Array::from(values.clone())),
            Arc::new(UInt16Array::new(samples.quality().clone(), None)),
            Arc::new(StringArray::new_null(rows)),
            Arc::new(diffs.map(Some).collect::<Int8Array>()),
        ];
        out.emit(0, Batch::Rows(RecordBatch::try_new(row_type().schema, columns)?));
        Ok(())
    }
}

#[derive(Debug)]
struct Nowhere;

impl SinkConfig for Nowhere {
    fn check(&self, _inputs: &[Input], _cx: &mut CheckContext<'_>) {}

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(Self))
    }
}

impl Sink for Nowhere {
    fn on_batch(&mut self, _input: usize, _epoch: Epoch, _batch: &Batch) -> Result<(), NodeError> {
        Ok(())
    }
}

fn node(id: &str, config: NodeConfig, reads: Option<(usize, &str, StreamType)>, ports: Vec<Port>) -> GraphNode {
    let input = |(_, from, stream): (usize, &str, StreamType)| Input {
        name: None,
        from: Spanned::new(from.to_owned(), Place::NOWHERE),
        stream,
    };
    GraphNode {
        id: id.into(),
        operator: "test",
        config,
        edges: reads.iter().map(|(node, _, _)| Edge { node: *node, port: 0 }).collect(),
        inputs: reads.map(input).into_iter().collect(),
        ports,
        publish: Vec::new(),
        place: Place::NOWHERE,
    }
}

pub(crate) fn directory() -> Directory {
    let mut directory = Directory::builder();
    for name in ["W1", "W2"] {
        directory.asset(Asset {
            name: name.into(),
            kind: "well".into(),
            columns: [("area".into(), "NORTE".into())].into(),
        });
    }
    for name in TAGS {
        let kind = if name == "W1.RUN" { ValueKind::Bool } else { ValueKind::Float64 };
        let asset = name.split_once('.').and_then(|(asset, _)| directory.directory().asset_id(asset));
        let unit = name.ends_with("THP").then(psig);
        let states = match name {
            "W1.RUN" => BTreeMap::from([(0, "Parado".to_owned()), (1, "En marcha".to_owned())]),
            _ => BTreeMap::new(),
        };
        let states = Arc::new(states);
        let description = Arc::new(BTreeMap::from([("es".to_owned(), format!("Prueba {name}"))]));
        directory.tag(Tag { asset, unit, states, description, ..Tag::named(name, kind) });
    }
    directory.build()
}

fn psig() -> Unit {
    Unit::from(Measure {
        symbol: "psig".into(),
        dimension: Dimension([-1, 1, -2, 0, 0, 0, 0]),
        reference: Reference::Gauge,
        scale: 6_894.757,
        offset: 0.0,
    })
}

/// A site that runs, and its data folder.
pub(crate) struct Field {
    pub(crate) live: LiveSite,
    folder: Arc<tempfile::TempDir>,
}

impl Field {
    pub(crate) fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(&folder, Disk::default(), WallClock::default())
    }

    /// In a folder that may hold what a site before has left, on a disk and by a clock of the test's own.
    pub(crate) fn start_in(folder: &Arc<tempfile::TempDir>, disk: Disk, wall: WallClock) -> Self {
        let kinds = StreamType::Samples(vec![ValueKind::Float64, ValueKind::Bool]);
        let samples = || vec![Port::main(kinds.clone())];
        let rows = StreamType::Rows(row_type());
        let source = || NodeConfig::Source(Arc::new(All));
        let wells = Pipeline {
            id: "wells".into(),
            name: "wells".into(),
            nodes: vec![
                node("all", source(), None, samples()),
                node(
                    "newest",
                    NodeConfig::Transform(Arc::new(Newest)),
                    Some((0, "all", kinds.clone())),
                    vec![Port::main(rows.clone()), Port { name: "late", stream: rows.clone() }],
                ),
                node("kept", NodeConfig::Sink(Arc::new(Nowhere)), Some((1, "newest", rows)), Vec::new()),
            ],
            place: Place::NOWHERE,
        };
        let other = Pipeline {
            id: "other".into(),
            name: "other".into(),
            nodes: vec![node("all", source(), None, samples())],
            place: Place::NOWHERE,
        };
        let site = Site {
            directory: Arc::new(directory()),
            pipelines: vec![Arc::new(wells), Arc::new(other)],
            ..Site::empty("TEST")
        };
        let mut units = Units::default();
        units.register(psig(), &[]);
        let start = Start {
            findings: Vec::new(),
            folder: Arc::new(DataFolder::open_on(disk, folder.path()).unwrap()),
            resources: Resources::default(),
            history: Arc::new(NoHistory),
            last_epoch: 0,
            dataset_of: Box::new(|_| None),
            version: "0",
        };
        let registry = Registry::new(units, Functions::default());
        let live = LiveSite::start_by(&Arc::new(site), &registry, start, wall).unwrap();
        Self { live, folder: folder.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.path()).unwrap().unwrap()
    }

    pub(crate) fn status(&self) -> Status {
        self.live.status().unwrap()
    }

    /// Enters numbers of tags at one time, and waits until they have passed.
    pub(crate) fn feed(&self, values: &[(u32, f64)]) {
        let layout = Layout::new(values.iter().map(|(tag, _)| *tag).collect());
        let numbers = Values::Float64(values.iter().map(|(_, value)| Some(*value)).collect());
        self.offer(Samples::scan(&layout, 1_767_279_600_000_000, numbers, None).unwrap());
        self.settle();
    }

    pub(crate) fn feed_bool(&self, tag: u32, value: bool) {
        let values = Values::Bool(BooleanArray::from(vec![value]));
        self.offer(Samples::scan(&Layout::new(vec![tag]), 1_767_279_600_000_000, values, None).unwrap());
        self.settle();
    }

    pub(crate) fn offer(&self, samples: Samples) {
        self.live.intake().unwrap().offer_waiting(Part::Samples { origin: Origin::Field, samples }).unwrap();
    }

    /// Waits until every pipeline has processed what has entered.
    pub(crate) fn settle(&self) {
        eventually("rest", || {
            let status = self.status();
            let waits = status.log.waiting > 0 || status.pipelines.iter().any(|pipeline| pipeline.behind > 0);
            (!waits).then_some(())
        });
    }

    /// Waits until so many views are open.
    pub(crate) fn wait_views(&self, views: usize) {
        eventually("the number of views", || (self.status().clients.taps == views).then_some(()));
    }
}

/// Asks again until the answer is there.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
