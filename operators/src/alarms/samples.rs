//! The alarms of tags, at work on samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Array;
use ducto_graph::operator::{NodeError, Output, Own, Snapshot, Transform};
use ducto_record::{
    Action, Batch, Checks, Dense, Directory, Micros, Quality, RowType, Samples, SavedState, StateError, TagId, Times,
    Values,
};
use serde::{Deserialize, Serialize};

use super::definition::{Alarm, Condition, Setpoint};
use super::events::{Key, batch, row_type};
use super::group::Groups;
use super::judging::{AlarmState, Cold, Hot, NEVER, NONE, Row, Watched};
use super::machine::State;
use super::verb::Verb;
use crate::slots::{Slot, Slots};

const VERSION: u32 = 1;

/// The alarms of tags at work.
pub(super) struct TagAlarmsTransform {
    directory: Arc<Directory>,
    own: Own,
    row_type: RowType,
    slots: Slots,
    /// By slot.
    hot: Dense<Hot>,
    /// How many slots have their record in `hot`.
    known: usize,
    cold: Cold,
}

impl TagAlarmsTransform {
    /// `alarms`: tags in the order of numbers, each with its alarms.
    pub(super) fn new(directory: Arc<Directory>, own: Own, alarms: BTreeMap<TagId, Vec<Alarm>>) -> Self {
        let mut groups = Groups::default();
        let mut alarms = alarms;
        let setpoints: BTreeSet<TagId> = alarms.values().flatten().filter_map(setpoint_of).collect();
        for tag in setpoints {
            alarms.entry(tag).or_default();
        }
        let places: BTreeMap<TagId, u32> = alarms.keys().zip(0..).map(|(tag, place)| (*tag, place)).collect();
        let mut watched: Vec<Watched> = Vec::with_capacity(alarms.len());
        for (place, (tag, alarms)) in (0..).zip(alarms) {
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
                    .map(|alarm| alarm.group.as_ref().map(|name| groups.add(asset, place, name)))
                    .collect(),
                followers: Vec::new(),
                alarms,
            });
        }
        for place in 0..watched.len() {
            let setpoints: BTreeSet<TagId> = watched[place].alarms.iter().filter_map(setpoint_of).collect();
            for leader in setpoints.iter().filter_map(|tag| places.get(tag)) {
                let leader = &mut watched[*leader as usize];
                leader.followers.push(place as u32);
                leader.compared = true;
                leader.calm = NEVER;
            }
        }
        Self {
            directory,
            own,
            row_type: row_type(Key::Tag),
            slots: Slots::default(),
            hot: Dense::new(),
            known: 0,
            cold: Cold::new(watched, groups),
        }
    }

    /// Records for slots that were given since.
    fn know_slots(&mut self) {
        for slot in self.known as Slot..self.slots.len() as Slot {
            if let Some(place) = self.cold.place(self.slots.tag(slot)) {
                *self.hot.get_mut(slot) = self.cold.hot(place);
            }
        }
        self.known = self.slots.len();
    }

    /// One pass over the rows: a good value inside the calm band of its tag costs the comparisons.
    #[inline]
    fn pass(
        &mut self,
        samples: &Samples,
        slots: &[Slot],
        now: Micros,
        time: impl Fn(usize) -> Micros,
        number: impl Fn(usize) -> Option<f64>,
    ) {
        let rows = slots.len();
        let (quality, checks) = (&samples.quality()[..rows], &samples.checks()[..rows]);
        let Self { hot, cold, .. } = self;
        hot.update(slots, |row, _, hot| {
            let (time, value) = (time(row), number(row));
            if let Some(number) = value
                && (number >= hot.low)
                    & (number <= hot.high)
                    & (quality[row] & Quality::GOOD.0 == Quality::GOOD.0)
                    & (checks[row] & (Checks::OUT_OF_ORDER.0 | Checks::STALE.0) == 0)
                    & (time >= hot.newest)
            {
                hot.newest = time;
            } else if hot.place != NONE {
                let checks = Checks(checks[row]);
                cold.row(hot, Row { time, value, quality: Quality(quality[row]) }, checks, now);
            }
        });
    }

    /// After something other than a row: the band of a tag follows from its alarms.
    fn set_band(&mut self, place: u32) {
        let tag = self.cold.watched.get(place as usize).map(|watched| watched.tag);
        // Without a slot, the band is made with it.
        if let Some(slot) = tag.and_then(|tag| self.slots.get(tag)) {
            let hot = self.hot.get_mut(slot);
            (hot.low, hot.high) = self.cold.band(place);
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
        let batched = self.slots.of_batch(samples);
        self.know_slots();
        let slots = &*batched.slots;
        match (samples.times(), samples.values()) {
            (Times::One(time), Values::Float64(values)) if values.nulls().is_none() => {
                let (time, values) = (*time, &values.values()[..samples.len()]);
                self.pass(samples, slots, now, |_| time, |row| Some(values[row]));
            }
            (times, values) => {
                let time = |row: usize| match times {
                    Times::One(time) => *time,
                    Times::Each(times) => times[row],
                };
                self.pass(samples, slots, now, time, |row| values.number(row));
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

    fn closes_at(&self, opened_by: Micros) -> Option<Micros> {
        let began = |place: u32, index: u32| {
            let machine = &self.cold.states.get(place as usize)?.alarms.get(index as usize)?.machine;
            machine.since()
        };
        let mut timers = self.cold.timers.iter().rev();
        timers.find(|(_, place, index)| began(*place, *index) <= Some(opened_by)).map(|(deadline, ..)| *deadline)
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        if self.cold.waiting_at.is_some_and(|at| at <= deadline) {
            self.cold.waiting_at = None;
            self.cold.settle(deadline);
        }
        let watched = self.cold.watched.clone();
        while let Some(&(due, place, index)) = self.cold.timers.first().filter(|(due, ..)| *due <= deadline) {
            self.cold.timers.remove(&(due, place, index));
            let Some(tag) = watched.get(place as usize) else { continue };
            let Some(alarm) = tag.alarms.get(index as usize) else { continue };
            let state = &mut Arc::make_mut(&mut self.cold.states[place as usize]).alarms[index as usize];
            let from = state.machine.state;
            let ended = state.machine.timer(&alarm.behaviour, deadline, state.usable);
            if let Some((time, event)) = ended {
                self.cold.event(place, index, tag, from, event, time, None);
                self.set_band(place);
            }
        }
        self.emit(out)
    }

    fn on_action(&mut self, action: &Action, out: &mut Output) -> Result<(), NodeError> {
        let Some(verb) = Verb::of(action) else { return Ok(()) };
        let Some(tag) = action.text("tag").and_then(|name| self.directory.tag_id(name)) else { return Ok(()) };
        let Some(place) = self.cold.place(tag) else { return Ok(()) };
        let hot = self.slots.get(tag).and_then(|slot| self.hot.get(slot));
        // Another worker, or another node, has this tag.
        if hot.is_none_or(|hot| hot.newest == Micros::MIN) && !self.cold.states[place as usize].seen {
            return Ok(());
        }
        let watched = self.cold.watched.clone();
        let watched = &watched[place as usize];
        let name = action.text("alarm");
        let mut replies = Vec::new();
        let mut details = Vec::new();
        let mut done = false;
        for (index, alarm) in (0..).zip(&watched.alarms) {
            if name.is_some_and(|name| *name != *alarm.name) {
                continue;
            }
            let state = &mut Arc::make_mut(&mut self.cold.states[place as usize]).alarms[index as usize];
            let from = state.machine.state;
            let outcome = verb.apply(&mut state.machine, &alarm.name, self.directory.tag_name(tag));
            let event = outcome.event;
            if let Some(event) = event {
                done = true;
                self.cold.event(place, index, watched, from, event, out.now(), Some(action));
            }
            // Of all alarms of a tag only those are worth a word for which something was done.
            if event.is_some() || name.is_some() {
                replies.push(outcome.text);
                details = outcome.details;
            }
        }
        if name.is_none() && replies.is_empty() && !watched.alarms.is_empty() {
            replies.push(format!("no alarm of `{}` waits for this", self.directory.tag_name(tag)));
        }
        self.set_band(place);
        if !replies.is_empty() {
            let details = if replies.len() == 1 { details } else { Vec::new() };
            out.reply(action, done, replies.join("; "), details);
        }
        self.emit(out)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (directory, watched, hot) = (self.directory.clone(), self.cold.watched.clone(), self.hot.clone());
        let (states, groups) = (self.cold.states.clone(), self.cold.groups.clone());
        Some(Box::new(move || {
            let mut saved = Vec::new();
            let mut newest: Vec<Micros> = states.iter().map(|state| state.newest).collect();
            for (_, hot) in hot.iter().filter(|(_, hot)| hot.place != NONE) {
                newest[hot.place as usize] = hot.newest;
            }
            for (place, (watched, state)) in (0..).zip(watched.iter().zip(&states)) {
                let newest = newest[place as usize];
                if newest == Micros::MIN && !state.seen {
                    continue;
                }
                let alarms = (0..)
                    .zip(watched.alarms.iter().zip(&state.alarms))
                    .map(|(index, (alarm, state))| SavedAlarm {
                        name: alarm.name.to_string(),
                        state: *state,
                        first: watched.groups[index as usize]
                            .is_some_and(|group| groups.is_first(group, (place, index))),
                    })
                    .collect();
                saved.push(SavedTag {
                    tag: directory.tag_name(watched.tag).to_owned(),
                    newest,
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
            let Some(id) = self.own.tag(&tag.tag) else { continue };
            let Some(place) = self.cold.place(id) else { continue };
            let watched = self.cold.watched.clone();
            let watched = &watched[place as usize];
            let state = Arc::make_mut(&mut self.cold.states[place as usize]);
            state.seen = true;
            state.newest = tag.newest;
            state.compared = tag.compared.map(|(value, quality)| (value, Quality(quality)));
            for alarm in tag.alarms {
                let Some(index) = watched.alarms.iter().position(|known| *known.name == *alarm.name) else { continue };
                let member = (place, index as u32);
                state.alarms[index] = alarm.state;
                if let Some(deadline) = alarm.state.machine.deadline() {
                    self.cold.timers.insert((deadline, member.0, member.1));
                }
                if let Some(group) = watched.groups[index] {
                    let is_normal = alarm.state.machine.state == State::A;
                    self.cold.groups.restore(group, member, is_normal, alarm.first);
                }
            }
        }
        // Slots are given as samples come, in the order of their layouts, which the tags with alarms alone do not have.
        self.known = 0;
        self.know_slots();
        Ok(())
    }
}
