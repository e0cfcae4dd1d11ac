//! From the connections of a site to what polls their endpoints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::operator::{BuildContext, BuildError, Connection, ConnectionMember, Endpoint};
use ducto_graph::scalar::Duration;
use ducto_graph::site::TagSettings;
use ducto_record::{TagId, ValueKind};
use modbus::{Limits, Options};

use super::Modbus;
use super::check::{FASTEST, SLOWEST};
use super::figures::{Telling, TellingTag};
use super::group::Group;
use super::inspect::together;
use super::link::Link;
use super::point::{Defaults, Meaning};
use super::poller::{Parts, Poller, phase};
use super::schedule::{Priority, Timing};
use super::shape::Shape;
use super::unit::Unit;

/// A tag's fields, by address: tags of one template share them. With the defaults that they are read with.
type FieldsKey = (usize, usize);

/// What makes two shapes one: their tags' fields and kinds of value, and what the device takes.
type ShapeKey = (Vec<(FieldsKey, ValueKind)>, Limits);

/// What is alike in many endpoints, made once.
#[derive(Default)]
struct Alike {
    /// Tags' fields by address must not be freed meanwhile.
    kept: Vec<Arc<ducto_graph::tree::Node>>,
    defaults: Vec<Defaults>,
    meanings: HashMap<FieldsKey, Meaning>,
    shapes: HashMap<ShapeKey, Arc<Shape>>,
}

/// The tags of a poll group: their numbers, and what they are.
#[derive(Default)]
struct Gathered {
    tags: Vec<TagId>,
    keys: Vec<(FieldsKey, ValueKind)>,
}

pub(super) fn all(endpoints: Vec<Endpoint>, cx: &BuildContext) -> Result<Vec<Box<dyn Connection>>, BuildError> {
    let mut alike = Alike::default();
    let open = |endpoint: Endpoint| {
        let cx = BuildContext { node: endpoint.name.as_str().into(), ..cx.clone() };
        one(&endpoint, &mut alike, &cx).map(|poller| Box::new(poller) as Box<dyn Connection>)
    };
    endpoints.into_iter().map(open).collect()
}

fn one(endpoint: &Endpoint, alike: &mut Alike, cx: &BuildContext) -> Result<Poller, BuildError> {
    let name = endpoint.name.as_str();
    let mut settings: Option<Settings> = None;
    let mut units: BTreeMap<u8, (StdDuration, Limits)> = BTreeMap::new();
    let mut groups: BTreeMap<(u8, Duration, Priority), Gathered> = BTreeMap::new();
    let mut tellings: BTreeMap<(u8, Duration), Vec<TellingTag>> = BTreeMap::new();
    for ConnectionMember { asset, config, tags } in &endpoint.members {
        let config =
            Modbus::of(&**config).ok_or_else(|| cx.error(format!("the connection of `{asset}` is of another type")))?;
        let own = Settings::of(config);
        settings = Some(match settings {
            Some(settings) => settings.with(own),
            None => own,
        });
        let (patience, limits) = (config.response_timeout.to_std(), config.limits());
        let unit = units.entry(config.unit_id).or_insert((patience, limits));
        unit.0 = unit.0.max(patience);
        unit.1 = together(unit.1, limits);
        for tag in tags {
            let (key, meaning) =
                alike.meaning(config, tag).map_err(|why| cx.error(format!("`{}`: {why}", *tag.name)))?;
            let scan = tag.scan.unwrap_or(config.scan.value).micros().clamp(FASTEST, SLOWEST);
            let scan = Duration::from_micros(scan);
            match meaning {
                Meaning::Point(_, priority) => {
                    let priority = priority.unwrap_or(config.priority);
                    let group = groups.entry((config.unit_id, scan, priority)).or_default();
                    group.tags.push(tag.id);
                    group.keys.push((key, tag.kind));
                }
                Meaning::Figure(figure) => tellings.entry((config.unit_id, scan)).or_default().push(TellingTag {
                    tag: tag.id,
                    kind: tag.kind,
                    figure: *figure,
                    unit: tag.unit.clone(),
                }),
            }
        }
    }
    let Some(Settings { endpoints, options, return_after, spacing }) = settings else {
        return Err(cx.error("nothing is read over this endpoint".to_owned()));
    };
    let start = Instant::now();
    let timing = |period: Duration| Timing::new(period.to_std(), start + phase(name, period.to_std()));
    let index: HashMap<u8, usize> = units.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    let groups = groups
        .into_iter()
        .filter_map(|((id, period, priority), gathered)| {
            let (_, limits) = units.get(&id)?;
            let shape = alike.shape(gathered.keys, *limits);
            Some(Group::new(*index.get(&id)?, priority, timing(period), shape, &gathered.tags))
        })
        .collect();
    let tellings = tellings
        .into_iter()
        .filter_map(|((id, period), tags)| Some(Telling::new(*index.get(&id)?, timing(period), &tags)))
        .collect();
    Ok(Poller::new(Parts {
        link: Link::new(endpoints, options, return_after, name),
        units: units.into_iter().map(|(id, (patience, _))| Unit::new(id, patience, name)).collect(),
        groups,
        tellings,
        spacing,
        name: name.to_owned(),
    }))
}

/// What all members of an endpoint have in common. One socket serves all: it is as patient as the most patient of them.
struct Settings {
    endpoints: Vec<modbus::Endpoint>,
    options: Options,
    return_after: StdDuration,
    /// From request to request at least.
    spacing: StdDuration,
}

impl Settings {
    fn of(config: &Modbus) -> Self {
        let budget = config.poll_budget.as_ref().map(|budget| budget.value.max(1));
        Self {
            endpoints: config.endpoints(),
            options: config.options(),
            return_after: config.return_after.to_std().max(StdDuration::from_millis(100)),
            spacing: budget.map_or(StdDuration::ZERO, |budget| StdDuration::from_secs(60) / budget),
        }
    }

    fn with(mut self, other: Self) -> Self {
        let (mine, theirs) = (&mut self.options, other.options);
        mine.connect_timeout = mine.connect_timeout.max(theirs.connect_timeout);
        mine.response_timeout = mine.response_timeout.max(theirs.response_timeout);
        mine.pause_after_connect = mine.pause_after_connect.max(theirs.pause_after_connect);
        mine.pause_between_requests = mine.pause_between_requests.max(theirs.pause_between_requests);
        mine.turnaround = mine.turnaround.max(theirs.turnaround);
        mine.inter_frame_gap = mine.inter_frame_gap.max(theirs.inter_frame_gap);
        self.return_after = self.return_after.max(other.return_after);
        self.spacing = self.spacing.max(other.spacing);
        self
    }
}

impl Alike {
    fn meaning(&mut self, config: &Modbus, tag: &TagSettings) -> Result<(FieldsKey, &Meaning), String> {
        let defaults = config.defaults();
        let number = match self.defaults.iter().position(|known| *known == defaults) {
            Some(number) => number,
            None => {
                self.defaults.push(defaults);
                self.defaults.len() - 1
            }
        };
        let key = (Arc::as_ptr(&tag.connection_fields) as usize, number);
        if !self.meanings.contains_key(&key) {
            let mut found = Diagnostics::new();
            let meaning = Meaning::read(&tag.connection_fields, &self.defaults[number], &mut found)
                .ok_or_else(|| found.iter().next().map(|found| found.message.clone()).unwrap_or_default())?;
            self.kept.push(tag.connection_fields.clone());
            self.meanings.insert(key, meaning);
        }
        self.meanings.get(&key).map(|meaning| (key, meaning)).ok_or_else(String::new)
    }

    fn shape(&mut self, keys: Vec<(FieldsKey, ValueKind)>, limits: Limits) -> Arc<Shape> {
        let Self { shapes, meanings, .. } = self;
        let entry = shapes.entry((keys, limits));
        let points = entry.key().0.iter().filter_map(|(key, kind)| match meanings.get(key)? {
            Meaning::Point(point, _) => Some((point.clone(), *kind)),
            Meaning::Figure(_) => None,
        });
        let points: Vec<_> = points.collect();
        entry.or_insert_with(|| Arc::new(Shape::new(points, limits))).clone()
    }
}
