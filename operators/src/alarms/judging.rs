//! The alarms of tags, judged row by row: the part of the operator that is not in a hurry.

use std::collections::BTreeSet;
use std::sync::Arc;

use ducto_record::{Action, Checks, Micros, Quality, TagId};
use serde::{Deserialize, Serialize};

use super::definition::{Alarm, Condition, Counts, Setpoint};
use super::events::EventRow;
use super::group::Groups;
use super::machine::{Event, Machine, State, Truth};
use crate::quality::CLOCK_TOLERANCE;

/// What is kept of every tag: what a sample that changes nothing is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    /// A good value from `low` to `high` changes nothing.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) newest: Micros,
    /// The tag's place among those with alarms; [`NONE`] for a tag without.
    pub(super) place: u32,
}

pub(super) const NONE: u32 = u32::MAX;

/// The band of a tag whose rows must all be looked at.
pub(super) const NEVER: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

impl Default for Hot {
    fn default() -> Self {
        Self { low: f64::MIN, high: f64::MAX, newest: Micros::MIN, place: NONE }
    }
}

/// A tag with alarms, or one that is a set-point of others.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) tag: TagId,
    pub(super) alarms: Vec<Alarm>,
    /// By alarm.
    pub(super) groups: Vec<Option<usize>>,
    /// Values that change nothing while all alarms are normal.
    pub(super) calm: (f64, f64),
    /// Whether the samples of this tag wait for the end of their entry, when deviations are judged.
    pub(super) compared: bool,
    /// Places of tags with a deviation from this one.
    pub(super) followers: Vec<u32>,
}

/// What changes of a tag with alarms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TagState {
    /// Whether a row has come that was more than compared; the fast path leaves its trace in [`Hot::newest`] alone.
    pub(super) seen: bool,
    /// [`Hot::newest`] of a state that was restored, until a sample of the tag comes.
    pub(super) newest: Micros,
    pub(super) alarms: Vec<AlarmState>,
    /// The value and quality that deviations see; `None` before the first row.
    pub(super) compared: Option<(Option<f64>, Quality)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct AlarmState {
    pub(super) machine: Machine,
    /// Whether the newest row counts: a timer ends a delay only then.
    pub(super) usable: bool,
    /// Time and value of the row before, for a rate.
    #[serde(default)]
    pub(super) before: Option<(Micros, f64)>,
    /// What was last compared with the limit (the value, the distance or the rate), and its quality.
    #[serde(default)]
    pub(super) value: Option<f64>,
    pub(super) quality: u16,
}

/// A sample that waits for the end of its entry.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    time: Micros,
    place: u32,
    value: Option<f64>,
    quality: Quality,
}

/// Everything but the records that the pass over a batch touches.
pub(super) struct Cold {
    pub(super) watched: Arc<Vec<Watched>>,
    pub(super) states: Vec<Arc<TagState>>,
    pub(super) groups: Groups,
    /// Deadlines of delays: time, place, alarm.
    pub(super) timers: BTreeSet<(Micros, u32, u32)>,
    waiting: Vec<Waiting>,
    pub(super) waiting_at: Option<Micros>,
    pub(super) events: Vec<EventRow>,
}

/// A row as an alarm sees it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) time: Micros,
    pub(super) value: Option<f64>,
    pub(super) quality: Quality,
}

impl Cold {
    pub(super) fn new(watched: Vec<Watched>, groups: Groups) -> Self {
        let states = watched
            .iter()
            .map(|watched| {
                let alarms = vec![AlarmState::default(); watched.alarms.len()];
                Arc::new(TagState { seen: false, newest: Micros::MIN, alarms, compared: None })
            })
            .collect();
        Self {
            watched: Arc::new(watched),
            states,
            groups,
            timers: BTreeSet::new(),
            waiting: Vec::new(),
            waiting_at: None,
            events: Vec::new(),
        }
    }

    /// A row that may change something.
    #[cold]
    #[inline(never)]
    pub(super) fn row(&mut self, hot: &mut Hot, row: Row, checks: Checks, now: Micros) {
        // Rows that `quality` makes for a silent tag bear the engine's time, which says nothing of the device's.
        if !checks.contains(Checks::STALE) {
            let trusted = hot.newest <= now.saturating_add(CLOCK_TOLERANCE);
            if checks.contains(Checks::OUT_OF_ORDER) || (row.time < hot.newest && trusted) {
                return;
            }
            hot.newest = row.time;
        }
        let place = hot.place;
        let watched = self.watched.clone();
        let Some(watched) = watched.get(place as usize) else { return };
        Arc::make_mut(&mut self.states[place as usize]).seen = true;
        let value = row.value.filter(|value| value.is_finite());
        for (index, alarm) in (0..).zip(&watched.alarms) {
            let rows = alarm.rows;
            let (counts, shown) = match alarm.condition {
                Condition::Deviation { .. } => continue,
                Condition::Bad if row.quality == Quality::OUT_OF_SERVICE => (Counts::No, row.value),
                Condition::Bad => {
                    (Counts::As(if row.quality.is_bad() { Truth::True } else { Truth::False }), row.value)
                }
                Condition::Rate { .. } => {
                    let counts = rows.count(row.quality, value.is_some());
                    match (counts, value) {
                        (Counts::Yes, Some(value)) => match self.rate(place, index, row.time, value) {
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
            self.judge(place, index, alarm, watched, counts, Row { value: shown, ..row }, now);
        }
        if watched.compared {
            self.waiting.push(Waiting { time: row.time, place, value, quality: row.quality });
            self.waiting_at = Some(now);
        }
        (hot.low, hot.high) = self.band(place);
    }

    /// The change per second since the row before; `None` for the first, and for two at one time.
    fn rate(&mut self, place: u32, index: u32, time: Micros, value: f64) -> Option<f64> {
        let state = &mut Arc::make_mut(&mut self.states[place as usize]).alarms[index as usize];
        let before = state.before.replace((time, value));
        let (then, was) = before?;
        let seconds = time.saturating_sub(then) as f64 / 1e6;
        (seconds > 0.0).then(|| ((value - was) / seconds).abs())
    }

    /// Gives an alarm what a row says of its condition.
    #[allow(clippy::too_many_arguments)]
    fn judge(
        &mut self,
        place: u32,
        index: u32,
        alarm: &Alarm,
        watched: &Watched,
        counts: Counts,
        row: Row,
        now: Micros,
    ) {
        let state = &mut Arc::make_mut(&mut self.states[place as usize]).alarms[index as usize];
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
                self.timers.remove(&(deadline, place, index));
            }
            if let Some(deadline) = after {
                self.timers.insert((deadline, place, index));
            }
        }
        if let Some(event) = event {
            self.event(place, index, watched, from, event, row.time, None);
        }
    }

    /// Writes the row of a transition that has been made.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn event(
        &mut self,
        place: u32,
        index: u32,
        watched: &Watched,
        from: State,
        event: Event,
        time: Micros,
        by: Option<&Action>,
    ) {
        let Some(alarm) = watched.alarms.get(index as usize) else { return };
        let state = self.states[place as usize].alarms[index as usize];
        let to = state.machine.state;
        let first = watched.groups[index as usize]
            .map(|group| self.groups.moved(group, (place, index), from == State::A, to == State::A));
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

    /// The place of a tag among those with alarms.
    pub(super) fn place(&self, tag: TagId) -> Option<u32> {
        self.watched.binary_search_by_key(&tag, |watched| watched.tag).ok().map(|place| place as u32)
    }

    /// The record of the tag at a place, before its first sample.
    pub(super) fn hot(&self, place: u32) -> Hot {
        let (low, high) = self.band(place);
        Hot { low, high, newest: self.states[place as usize].newest, place }
    }

    /// The values that change nothing at the moment.
    pub(super) fn band(&self, place: u32) -> (f64, f64) {
        let calm = self.states[place as usize].alarms.iter().all(|alarm| alarm.machine.is_calm());
        if calm { self.watched[place as usize].calm } else { NEVER }
    }

    /// Every row of the entry has come: deviations are judged, at each time with what was known of it.
    pub(super) fn settle(&mut self, now: Micros) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|waiting| waiting.time);
        let watched = self.watched.clone();
        for group in waiting.chunk_by(|a, b| a.time == b.time) {
            let mut touched = BTreeSet::new();
            for Waiting { place, value, quality, .. } in group {
                Arc::make_mut(&mut self.states[*place as usize]).compared = Some((*value, *quality));
                touched.insert(*place);
                touched.extend(&watched[*place as usize].followers);
            }
            for place in touched {
                self.deviations(place, &watched, group[0].time, now);
            }
        }
    }

    fn deviations(&mut self, place: u32, all: &[Watched], time: Micros, now: Micros) {
        let watched = &all[place as usize];
        let Some((value, quality)) = self.states[place as usize].compared else { return };
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
            self.judge(place, index, alarm, watched, counts, Row { time, value: distance, quality }, now);
        }
    }
}
