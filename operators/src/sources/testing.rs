//! A small site, and an intake that keeps what it is offered, for the tests of sources, sinks and connections.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ducto_graph::operator::{BuildContext, Intake, IntakeError, Partition, Resources};
use ducto_graph::scalar::{ByteSize, TimeOfDay, TimeZone};
use ducto_graph::site::{ContractDay, NamedBy, Site};
use ducto_record::{Asset, Directory, Micros, Part, Quality, Samples, Tag, TagId, Unit, Value, ValueKind};

use crate::units::units;

/// `W1.THP` (float64, psig), `W1.RUN` (bool), `M1.FLOW` (float64); W1 is a well in the North that flows to M1.
pub(crate) fn directory() -> Arc<Directory> {
    let mut builder = Directory::builder();
    let mut asset = |name: &str, kind: &str, columns: &[(&str, &str)]| {
        builder.asset(Asset {
            name: name.into(),
            kind: kind.into(),
            columns: columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        })
    };
    let well = asset("W1", "well", &[("area", "North"), ("flows_to", "M1")]);
    let meter = asset("M1", "meter", &[]);
    let unit: Option<Unit> = units().get("psig").cloned();
    for (name, asset, kind, unit) in [
        ("W1.THP", well, ValueKind::Float64, unit),
        ("W1.RUN", well, ValueKind::Bool, None),
        ("M1.FLOW", meter, ValueKind::Float64, None),
    ] {
        builder.tag(Tag { asset: Some(asset), unit, ..Tag::named(name, kind) });
    }
    Arc::new(builder.build())
}

pub(crate) fn sample(time: Micros, tag: TagId, value: f64) -> Samples {
    Samples::single(time, tag, &Value::Float64(value), ValueKind::Float64, Quality::GOOD)
}

pub(crate) fn site(directory: &Arc<Directory>, folder: PathBuf) -> Site {
    Site {
        name: "TEST".into(),
        tenant: None,
        folder,
        time_zone: TimeZone::utc(),
        language: "en".into(),
        contract_day: ContractDay {
            start: "06:00".parse::<TimeOfDay>().unwrap_or_else(|error| panic!("{error}")),
            named_by: NamedBy::Start,
        },
        atmospheric_pressure: None,
        display_units: BTreeMap::new(),
        memory: ByteSize::from_bytes(64 << 20),
        workers: 1,
        checkpoint_every: Site::CHECKPOINT_EVERY,
        sections: BTreeMap::new(),
        assets: Vec::new(),
        tags: Vec::new(),
        directory: directory.clone(),
        datasets: BTreeMap::new(),
        connections: Vec::new(),
        pipelines: Vec::new(),
    }
}

/// Node `n` of pipeline `p`.
pub(crate) fn context(directory: &Arc<Directory>) -> BuildContext {
    BuildContext {
        site: Arc::new(site(directory, PathBuf::from("."))),
        directory: directory.clone(),
        functions: Arc::default(),
        units: Arc::new(units()),
        pipeline: "p".into(),
        node: "n".into(),
        inputs: Arc::new([]),
        partition: Partition { worker: 0, workers: 1 },
        resources: Resources::default(),
    }
}

/// Keeps what it is offered.
#[derive(Default)]
pub(crate) struct Collected {
    parts: Mutex<Vec<(Option<Micros>, Part)>>,
    came: Condvar,
}

impl Collected {
    fn push(&self, time: Option<Micros>, parts: Vec<Part>) -> Result<(), IntakeError> {
        self.parts.lock().unwrap().extend(parts.into_iter().map(|part| (time, part)));
        self.came.notify_all();
        Ok(())
    }

    /// What came so far, each with the time it was entered at.
    pub(crate) fn parts(&self) -> Vec<(Option<Micros>, Part)> {
        self.parts.lock().unwrap().clone()
    }

    /// Waits until what came meets a condition; fails the test after half a minute.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&[(Option<Micros>, Part)]) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        let mut parts = self.parts.lock().unwrap();
        while !condition(&parts) {
            assert!(Instant::now() < end, "waited in vain for {what}; {} parts came", parts.len());
            parts = self.came.wait_timeout(parts, Duration::from_millis(200)).unwrap().0;
        }
    }
}

impl Intake for Collected {
    fn offer(&self, part: Part) -> Result<(), IntakeError> {
        self.push(None, vec![part])
    }

    fn offer_waiting(&self, part: Part) -> Result<(), IntakeError> {
        self.push(None, vec![part])
    }

    fn enter_at(&self, time: Micros, parts: Vec<Part>) -> Result<(), IntakeError> {
        self.push(Some(time), parts)
    }

    fn now(&self) -> Micros {
        ducto_record::time::now()
    }
}
