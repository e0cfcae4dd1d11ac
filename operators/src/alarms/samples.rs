//! The alarms of tags, at work on samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Array;
use ducto_graph::operator::{NodeError, Output, Snapshot, Transform};
use ducto_record::{
    Action, Batch, Checks, Dense, Directory, Micros, Quality, RowType, Samples, SavedState, StateError, TagId, Times,
    Values,
};
use serde::{Deserialize, Serialize};

use super::definition::{Alarm, Condition, Counts, Setpoint};
use super::events::{EventRow, Key, batch, row_type};
use super::group::Groups;
use super::machine::{Event, Machine, State, Truth};
use super::verb::Verb;
use crate::quality::CLOCK_TOLERANCE;

const VERSION: u32 = 1;

/// What is kept of every tag: what a sample that changes nothing is compared with.
#[derive(Clone, Copy, Debug)]
struct Hot {
    /// A good value from `low` to `high` changes nothing.
    low: f64,
    high: f64,
    newest: Micros,
    /// Index of the tag's alarms; [`NONE`] for a tag without.
    slot: u32,
}

const NONE: u32 = u32::MAX;

/// The band of a tag whose rows must all be looked at.
const NEVER: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

impl Default for Hot {
    fn default() -> Self {
        Self { low: f64::MIN, high: f64::MAX, newest: Micros::MIN, slot: NONE }
    }
}

/// A tag with alarms, or one that is a set-point of others.
#[derive(Clone, Debug)]
struct Watched {
    tag: TagId,
    alarms: Vec<Alarm>,
    /// By alarm.
    groups: Vec<Option<usize>>,
    /// Values that change nothing while all alarms are normal.
    calm: (f64, f64),
    /// Whether the samples of this tag wait for the end of their entry, when deviations are judged.
    compared: bool,
    /// Slots with a deviation from this tag.
    followers: Vec<u32>,
}

/// What changes of a tag with alarms.
#[derive(Clone, Debug, PartialEq)]
struct TagState {
    /// Whether a row has come.
    seen: bool,
    alarms: Vec<AlarmState>,
    /// The value and quality that deviations see; `None` before the first row.
    compared: Option<(Option<f64>, Quality)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct AlarmState {
    machine: Machine,
    /// Whether the newest row counts: a timer ends a delay only then.
    usable: bool,
    /// Time and value of the row before, for a rate.
    #[serde(default)]
    before: Option<(Micros, f64)>,
    /// What was last compared with the limit (the value, the distance or the rate), and its quality.
    #[serde(default)]
    value: Option<f64>,
    quality: u16,
}

/// A sample that waits for the end of its entry.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    time: Micros,
    slot: u32,
    value: Option<f64>,
    quality: Quality,
}

/// The alarms of tags at work.
pub(super) struct TagAlarmsTransform {
    directory: Arc<Directory>,
    row_type: RowType,
    hot: Dense<Hot>,
    cold: Cold,
}

/// Everything but the records that the pass over a batch touches.
struct Cold {
    watched: Arc<Vec<Watched>>,
    states: Vec<Arc<TagState>>,
    groups: Groups,
    /// Deadlines of delays: time, slot, alarm.
    timers: BTreeSet<(Micros, u32, u32)>,
    waiting: Vec<Waiting>,
    waiting_at: Option<Micros>,
    events: Vec<EventRow>,
}

/// A row as an alarm sees it.
#[derive(Clone, Copy)]
struct Row {
    time: Micros,
    value: Option<f64>,
    quality: Quality,
}

impl TagAlarmsTransform {
    /// `alarms`: tags in the order of numbers, each with its alarms.
    pub(super) fn new(directory: Arc<Directory>, alarms: BTreeMap<TagId, Vec<Alarm>>) -> Self {
        let mut groups = Groups::default();
        let mut alarms = alarms;
        let setpoints: BTreeSet<TagId> = alarms.values().flatten().filter_map(setpoint_of).collect();
        for tag in setpoints {
            alarms.entry(tag).or_default();
        }
        let slots: BTreeMap<TagId, u32> = alarms.keys().zip(0..).map(|(tag, slot)| (*tag, slot)).collect();
        let mut watched: Vec<Watched> = Vec::with_capacity(alarms.len());
        for (slot, (tag, alarms)) in (0..).zip(alarms) {
            let kind = directory.tag(tag).map(|tag| tag.kind).unwrap_or_default();
            let asset = directory.tag(tag).and_then(|tag| tag.asset);
            let calm = alarms.iter().try_fold((f64::MIN, f64::MAX), |(low, high), alarm| {
                alarm.condition.calm(kind).map(|(from, to)| (low.max(from), high.min(to)))
            });
            watched.push(Watched {
                tag,
                calm: calm.unwrap_or(NEVER),
                compared: alarms.iter().any(|alarm| matches!(alarm.condition, Condition::Deviation { .. })),
                groups: alarms
                    .iter()
                    .map(|alarm| alarm.group.as_ref().map(|name| groups.add(asset, slot, name)))
                    .collect(),
                followers: Vec::new(),
                alarms,
            });
        }
        for slot in 0..watched.len() {
            let setpoints: BTreeSet<TagId> = watched[slot].alarms.iter().filter_map(setpoint_of).collect();
            for leader in setpoints.iter().filter_map(|tag| slots.get(tag)) {
                let leader = &mut watched[*leader as usize];
                leader.followers.push(slot as u32);
                leader.compared = true;
                leader.calm = NEVER;
            }
        }
        let mut hot = Dense::<Hot>::new();
        for (slot, watched) in (0..).zip(&watched) {
            let (low, high) = watched.calm;
            *hot.get_mut(watched.tag) = Hot { low, high, newest: Micros::MIN, slot };
        }
        let states = watched
            .iter()
            .map(|watched| {
                Arc::new(TagState {
                    seen: false,
                    alarms: vec![AlarmState::default(); watched.alarms.len()],
                    compared: None,
                })
            })
            .collect();
        Self {
            directory,
            row_type: row_type(Key::Tag),
            hot,
            cold: Cold {
                watched: Arc::new(watched),
                states,
                groups,
                timers: BTreeSet::new(),
                waiting: Vec::new(),
                waiting_at: None,
                events: Vec::new(),
            },
        }
    }

    /// One pass over the rows: a good value inside the calm band of its tag costs the comparisons.
    #[inline]
    fn pass(
        &mut self,
        samples: &Samples,
        now: Micros,
        time: impl Fn(usize) -> Micros,
        number: impl Fn(usize) -> Option<f64>,
    ) {
        let (tags, quality, checks) = (&samples.tags()[..], &samples.quality()[..], &samples.checks()[..]);
        let rows = tags.len();
        let (quality, checks) = (&quality[..rows], &checks[..rows]);
        let Self { hot, cold, .. } = self;
        hot.update(tags, |row, _, hot| {
            let (time, value) = (time(row), number(row));
            if let Some(number) = value
                && (number >= hot.low)
                    & (number <= hot.high)
                    & (quality[row] & Quality::GOOD.0 == Quality::GOOD.0)
                    & (checks[row] & (Checks::OUT_OF_ORDER.0 | Checks::STALE.0) == 0)
                    & (time >= hot.newest)
            {
                hot.newest = time;
            } else if hot.slot != NONE {
                let checks = Checks(checks[row]);
                cold.row(hot, Row { time, value, quality: Quality(quality[row]) }, checks, now);
            }
        });
    }

    /// After something other than a row: the band of a tag follows from its alarms.
    fn set_band(&mut self, slot: u32) {
        if let Some(watched) = self.cold.watched.get(slot as usize) {
            let (low, high) = self.cold.band(slot);
            let hot = self.hot.get_mut(watched.tag);
            (hot.low, hot.high) = (low, high);
        }
    }

    fn emit(&mut self, out: &mut Output) -> Result<(), NodeError> {
        if !self.cold.events.is_empty() {
            let events = std::mem::take(&mut self.cold.events);
            out.emit(0, Batch::Rows(batch(&self.row_type, &events)?));
        }
        Ok(())
    }
}

fn setpoint_of(alarm: &Alarm) -> Option<TagId> {
    match alarm.condition {
        Condition::Deviation { setpoint: Setpoint::Tag(tag), .. } => Some(tag),
        _ => None,
    }
}

impl Cold {
    /// A row that may change something.
    #[cold]
    #[inline(never)]
    fn row(&mut self, hot: &mut Hot, row: Row, checks: Checks, now: Micros) {
        // Rows that `quality` makes for a silent tag bear the engine's time, which says nothing of the device's.
        if !checks.contains(Checks::STALE) {
            let trusted = hot.newest <= now.saturating_add(CLOCK_TOLERANCE);
            if checks.contains(Checks::OUT_OF_ORDER) || (row.time < hot.newest && trusted) {
                return;
            }
            hot.newest = row.time;
        }
        let slot = hot.slot;
        let watched = self.watched.clone();
        let Some(watched) = watched.get(slot as usize) else { return };
        Arc::make_mut(&mut self.states[slot as usize]).seen = true;
        let value = row.value.filter(|value| value.is_finite());
        for (index, alarm) in (0..).zip(&watched.alarms) {
            let rows = alarm.rows;
            let (counts, shown) = match alarm.condition {
                Condition::Deviation { .. } => continue,
                Condition::Bad => {
                    (Counts::As(if row.quality.is_bad() { Truth::True } else { Truth::False }), row.value)
                }
                Condition::Rate { .. } => {
                    let counts = rows.count(row.quality, value.is_some());
                    match (counts, value) {
                        (Counts::Yes, Some(value)) => match self.rate(slot, index, row.time, value) {
                            Some(rate) => (Counts::As(alarm.condition.judge(rate)), Some(rate)),
                            None => (Counts::No, None),
                        },
                        _ => (counts, None),
                    }
                }
                _ => match (rows.count(row.quality, value.is_some()), value) {
                    (Counts::Yes, Some(value)) => (Counts::As(alarm.condition.judge(value)), row.value),
                    (counts, _) => (counts, row.value),
                },
            };
            self.judge(slot, index, alarm, watched, counts, Row { value: shown, ..row }, now);
        }
        if watched.compared {
            self.waiting.push(Waiting { time: row.time, slot, value, quality: row.quality });
            self.waiting_at = Some(now);
        }
        (hot.low, hot.high) = self.band(slot);
    }

    /// The change per second since the row before; `None` for the first, and for two at one time.
    fn rate(&mut self, slot: u32, index: u32, time: Micros, value: f64) -> Option<f64> {
        let state = &mut Arc::make_mut(&mut self.states[slot as usize]).alarms[index as usize];
        let before = state.before.replace((time, value));
        let (then, was) = before?;
        let seconds = time.saturating_sub(then) as f64 / 1e6;
        (seconds > 0.0).then(|| ((value - was) / seconds).abs())
    }

    /// Gives an alarm what a row says of its condition.
    #[allow(clippy::too_many_arguments)]
    fn judge(
        &mut self,
        slot: u32,
        index: u32,
        alarm: &Alarm,
        watched: &Watched,
        counts: Counts,
        row: Row,
        now: Micros,
    ) {
        let state = &mut Arc::make_mut(&mut self.states[slot as usize]).alarms[index as usize];
        let Counts::As(truth) = counts else {
            state.usable = false;
            return;
        };
        state.usable = true;
        state.value = row.value;
        state.quality = row.quality.0;
        let (from, deadline) = (state.machine.state, state.machine.deadline());
        let event = state.machine.row(&alarm.behaviour, truth, row.time, now);
        let after = state.machine.deadline();
        if deadline != after {
            if let Some(deadline) = deadline {
                self.timers.remove(&(deadline, slot, index));
            }
            if let Some(deadline) = after {
                self.timers.insert((deadline, slot, index));
            }
        }
        if let Some(event) = event {
            self.event(slot, index, watched, from, event, row.time, None);
        }
    }

    /// Writes the row of a transition that has been made.
    #[allow(clippy::too_many_arguments)]
    fn event(
        &mut self,
        slot: u32,
        index: u32,
        watched: &Watched,
        from: State,
        event: Event,
        time: Micros,
        by: Option<&Action>,
    ) {
        let Some(alarm) = watched.alarms.get(index as usize) else { return };
        let state = self.states[slot as usize].alarms[index as usize];
        let to = state.machine.state;
        let first = watched.groups[index as usize]
            .map(|group| self.groups.moved(group, (slot, index), from == State::A, to == State::A));
        self.events.push(EventRow {
            time,
            key: watched.tag,
            alarm: alarm.name.clone(),
            occurrence: state.machine.occurrence,
            event,
            state: to,
            value: state.value,
            limit: alarm.condition.limit(),
            quality: Quality(state.quality),
            class: alarm.class.clone(),
            user: by.map(|action| action.user.clone()),
            reason: by.and_then(|action| action.reason.clone()),
            first,
        });
    }

    /// The values that change nothing at the moment.
    fn band(&self, slot: u32) -> (f64, f64) {
        let calm = self.states[slot as usize].alarms.iter().all(|alarm| alarm.machine.is_calm());
        if calm { self.watched[slot as usize].calm } else { NEVER }
    }

    /// Every row of the entry has come: deviations are judged, at each time with what was known of it.
    fn settle(&mut self, now: Micros) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|waiting| waiting.time);
        let watched = self.watched.clone();
        for group in waiting.chunk_by(|a, b| a.time == b.time) {
            let mut touched = BTreeSet::new();
            for Waiting { slot, value, quality, .. } in group {
                Arc::make_mut(&mut self.states[*slot as usize]).compared = Some((*value, *quality));
                touched.insert(*slot);
                touched.extend(&watched[*slot as usize].followers);
            }
            for slot in touched {
                self.deviations(slot, &watched, group[0].time, now);
            }
        }
    }

    fn deviations(&mut self, slot: u32, all: &[Watched], time: Micros, now: Micros) {
        let watched = &all[slot as usize];
        let Some((value, quality)) = self.states[slot as usize].compared else { return };
        for (index, alarm) in (0..).zip(&watched.alarms) {
            let Condition::Deviation { setpoint, .. } = alarm.condition else { continue };
            let (setpoint, its_quality) = match setpoint {
                Setpoint::Number(number) => (Some(number), Quality::GOOD),
                Setpoint::Tag(tag) => {
                    let Ok(leader) = all.binary_search_by_key(&tag, |watched| watched.tag) else { continue };
                    let Some(compared) = self.states[leader].compared else { continue };
                    compared
                }
            };
            let quality = quality.worst(its_quality);
            let distance = value.zip(setpoint).map(|(value, setpoint)| (value - setpoint).abs());
            let counts = match (alarm.rows.count(quality, distance.is_some()), distance) {
                (Counts::Yes, Some(distance)) => Counts::As(alarm.condition.judge(distance)),
                (counts, _) => counts,
            };
            self.judge(slot, index, alarm, watched, counts, Row { time, value: distance, quality }, now);
        }
    }
}

/// The state of a tag's alarms as it is saved.
#[derive(Debug, Serialize, Deserialize)]
struct SavedTag {
    tag: String,
    newest: Micros,
    #[serde(default)]
    compared: Option<(Option<f64>, u16)>,
    alarms: Vec<SavedAlarm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedAlarm {
    name: String,
    state: AlarmState,
    /// Whether it is the first of its group.
    #[serde(default)]
    first: bool,
}

impl Transform for TagAlarmsTransform {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else {
            return Err(NodeError::Stream { expected: "samples", found: "rows" });
        };
        let now = out.now();
        match (samples.times(), samples.values()) {
            (Times::One(time), Values::Float64(values)) if values.nulls().is_none() => {
                let (time, values) = (*time, &values.values()[..samples.len()]);
                self.pass(samples, now, |_| time, |row| Some(values[row]));
            }
            (times, values) => {
                let time = |row: usize| match times {
                    Times::One(time) => *time,
                    Times::Each(times) => times[row],
                };
                self.pass(samples, now, time, |row| values.number(row));
            }
        }
        self.emit(out)
    }

    fn next_deadline(&self) -> Option<Micros> {
        let timer = self.cold.timers.first().map(|(deadline, ..)| *deadline);
        match (self.cold.waiting_at, timer) {
            (Some(waiting), Some(timer)) => Some(waiting.min(timer)),
            (waiting, timer) => waiting.or(timer),
        }
    }

    fn closes_at(&self) -> Option<Micros> {
        self.cold.timers.last().map(|(deadline, ..)| *deadline)
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        if self.cold.waiting_at.is_some_and(|at| at <= deadline) {
            self.cold.waiting_at = None;
            self.cold.settle(deadline);
        }
        let watched = self.cold.watched.clone();
        while let Some(&(due, slot, index)) = self.cold.timers.first().filter(|(due, ..)| *due <= deadline) {
            self.cold.timers.remove(&(due, slot, index));
            let Some(tag) = watched.get(slot as usize) else { continue };
            let Some(alarm) = tag.alarms.get(index as usize) else { continue };
            let state = &mut Arc::make_mut(&mut self.cold.states[slot as usize]).alarms[index as usize];
            let from = state.machine.state;
            let ended = state.machine.timer(&alarm.behaviour, deadline, state.usable);
            if let Some((time, event)) = ended {
                self.cold.event(slot, index, tag, from, event, time, None);
                self.set_band(slot);
            }
        }
        self.emit(out)
    }

    fn on_action(&mut self, action: &Action, out: &mut Output) -> Result<(), NodeError> {
        let Some(verb) = Verb::of(action) else { return Ok(()) };
        let Some(tag) = action.text("tag").and_then(|name| self.directory.tag_id(name)) else { return Ok(()) };
        let Some(slot) = self.hot.get(tag).map(|hot| hot.slot).filter(|slot| *slot != NONE) else { return Ok(()) };
        // Another worker, or another node, has this tag.
        if !self.cold.states[slot as usize].seen {
            return Ok(());
        }
        let watched = self.cold.watched.clone();
        let watched = &watched[slot as usize];
        let name = action.text("alarm");
        let mut replies = Vec::new();
        let mut done = false;
        for (index, alarm) in (0..).zip(&watched.alarms) {
            if name.is_some_and(|name| *name != *alarm.name) {
                continue;
            }
            let state = &mut Arc::make_mut(&mut self.cold.states[slot as usize]).alarms[index as usize];
            let from = state.machine.state;
            let (event, text) = verb.apply(&mut state.machine, &alarm.name, self.directory.tag_name(tag));
            if let Some(event) = event {
                done = true;
                self.cold.event(slot, index, watched, from, event, out.now(), Some(action));
            }
            // Of all alarms of a tag only those are worth a word for which something was done.
            if event.is_some() || name.is_some() {
                replies.push(text);
            }
        }
        if name.is_none() && replies.is_empty() && !watched.alarms.is_empty() {
            replies.push(format!("no alarm of `{}` waits for this", self.directory.tag_name(tag)));
        }
        self.set_band(slot);
        if !replies.is_empty() {
            out.reply(action, done, replies.join("; "));
        }
        self.emit(out)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (directory, watched, hot) = (self.directory.clone(), self.cold.watched.clone(), self.hot.clone());
        let (states, groups) = (self.cold.states.clone(), self.cold.groups.clone());
        Some(Box::new(move || {
            let mut saved = Vec::new();
            for (slot, (watched, state)) in (0..).zip(watched.iter().zip(&states)) {
                if !state.seen {
                    continue;
                }
                let alarms = (0..)
                    .zip(watched.alarms.iter().zip(&state.alarms))
                    .map(|(index, (alarm, state))| SavedAlarm {
                        name: alarm.name.to_string(),
                        state: *state,
                        first: watched.groups[index as usize]
                            .is_some_and(|group| groups.is_first(group, (slot, index))),
                    })
                    .collect();
                saved.push(SavedTag {
                    tag: directory.tag_name(watched.tag).to_owned(),
                    newest: hot.get(watched.tag).map_or(Micros::MIN, |hot| hot.newest),
                    compared: state.compared.map(|(value, quality)| (value, quality.0)),
                    alarms,
                });
            }
            SavedState::encode(VERSION, &saved)
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let saved: Vec<SavedTag> = saved.decode(VERSION)?;
        for tag in saved {
            let Some(id) = self.directory.tag_id(&tag.tag) else { continue };
            let Some(slot) = self.hot.get(id).map(|hot| hot.slot).filter(|slot| *slot != NONE) else { continue };
            self.hot.get_mut(id).newest = tag.newest;
            let watched = self.cold.watched.clone();
            let watched = &watched[slot as usize];
            let state = Arc::make_mut(&mut self.cold.states[slot as usize]);
            state.seen = true;
            state.compared = tag.compared.map(|(value, quality)| (value, Quality(quality)));
            for alarm in tag.alarms {
                let Some(index) = watched.alarms.iter().position(|known| *known.name == *alarm.name) else { continue };
                let member = (slot, index as u32);
                state.alarms[index] = alarm.state;
                if let Some(deadline) = alarm.state.machine.deadline() {
                    self.cold.timers.insert((deadline, member.0, member.1));
                }
                if let Some(group) = watched.groups[index].filter(|_| alarm.state.machine.state != State::A) {
                    self.cold.groups.restore(group, member, alarm.first);
                }
            }
            self.set_band(slot);
        }
        Ok(())
    }
}
