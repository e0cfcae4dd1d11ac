//! What happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ducto_record::Micros;

use super::Undo;
use crate::field::Random;
use crate::scenario::{EventName, Scenario, Target, When};

/// Everything that is to happen, the next first.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    queue: BinaryHeap<Reverse<Entry>>,
    /// For each event that comes at random times, and each of its targets, the stream that says when.
    randoms: Vec<Vec<Random>>,
    /// Counts entries, so that what is due at one time happens in the order in which it was put down.
    entered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// An event, by its index, for one of its targets.
    Begin {
        event: usize,
        target: usize,
    },
    End {
        id: u64,
        target: Target,
        name: EventName,
        undo: Undo,
    },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Micros,
    order: u64,
    what: What,
}

impl Entry {
    fn key(&self) -> (Micros, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Agenda {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut agenda = Self { queue: BinaryHeap::new(), randoms: Vec::new(), entered: 0 };
        for (index, event) in scenario.events.iter().enumerate() {
            let mut randoms = Vec::new();
            for (number, target) in event.targets.iter().enumerate() {
                let first = match event.when {
                    When::Once(at) => at,
                    When::Every { first, .. } => first,
                    When::Randomly { from, mean } => {
                        let stream = format!("{} {index} {}", event.name.name(), scenario.name_of(*target));
                        let mut random = Random::new(scenario.seed, &stream);
                        let first = from.saturating_add(waiting(&mut random, mean));
                        randoms.push(random);
                        first
                    }
                };
                agenda.enter(first, What::Begin { event: index, target: number });
            }
            agenda.randoms.push(randoms);
        }
        agenda
    }

    fn enter(&mut self, at: Micros, what: What) {
        self.entered += 1;
        self.queue.push(Reverse(Entry { at, order: self.entered, what }));
    }

    /// The next thing that is due by now, with the time it was due.
    pub(super) fn due(&mut self, now: Micros) -> Option<(Micros, What)> {
        let Reverse(next) = self.queue.peek()?;
        if next.at > now {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }

    /// Notes when an event that begins at `at` will begin again, and gives this beginning a number of its own.
    pub(super) fn began(&mut self, event: usize, target: usize, at: Micros, scenario: &Scenario) -> u64 {
        let of = &scenario.events[event];
        let next = match of.when {
            When::Once(_) => None,
            When::Every { period, .. } => Some(at.saturating_add(period)),
            // It cannot begin again before it is over.
            When::Randomly { mean, .. } => {
                let random = &mut self.randoms[event][target];
                Some(at.saturating_add(of.lasts.unwrap_or(0)).saturating_add(waiting(random, mean)))
            }
        };
        if let Some(next) = next {
            self.enter(next, What::Begin { event, target });
        }
        self.entered += 1;
        self.entered
    }

    pub(super) fn ends(&mut self, at: Micros, id: u64, target: Target, name: EventName, undo: Undo) {
        self.enter(at, What::End { id, target, name, undo });
    }
}

/// At least a microsecond, so that time goes on.
fn waiting(random: &mut Random, mean: Micros) -> Micros {
    (random.waiting(mean as f64) as Micros).max(1)
}
