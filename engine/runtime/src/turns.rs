//! Inputs that have clocks of their own: what they bring enters in the order of its times, whoever is faster.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ducto_graph::operator::{Intake, IntakeError};
use ducto_record::{Micros, Part};

use crate::intake::SiteIntake;

/// What each input waits to enter next: `None` until it has said so, [`Micros::MAX`] once it has ended.
#[derive(Debug)]
struct Turns {
    next: Mutex<Vec<Option<Micros>>>,
    changed: Condvar,
}

/// The way into the log for one of several inputs. An entry waits until no other input can bring an older one; input
/// ends when this is dropped.
pub(crate) struct Turned {
    turns: Arc<Turns>,
    input: usize,
    intake: Arc<SiteIntake>,
}

impl Turned {
    /// One way for each of `count` inputs.
    pub(crate) fn ways(intake: &Arc<SiteIntake>, count: usize) -> Vec<Arc<dyn Intake>> {
        let turns = Arc::new(Turns { next: Mutex::new(vec![None; count]), changed: Condvar::new() });
        (0..count)
            .map(|input| Arc::new(Self { turns: turns.clone(), input, intake: intake.clone() }) as Arc<dyn Intake>)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Micros>>> {
        self.turns.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, time: Option<Micros>) {
        if let Some(next) = self.lock().get_mut(self.input) {
            *next = time;
        }
        self.turns.changed.notify_all();
    }

    /// Whether what this input has for `time` comes before anything that another one can still bring.
    fn is_first(&self, next: &[Option<Micros>], time: Micros) -> bool {
        next.iter()
            .enumerate()
            .filter(|(other, _)| *other != self.input)
            .all(|(other, next)| next.is_some_and(|next| (time, self.input) < (next, other)))
    }
}

impl Intake for Turned {
    fn offer(&self, part: Part) -> Result<(), IntakeError> {
        self.intake.offer(part)
    }

    fn offer_waiting(&self, part: Part) -> Result<(), IntakeError> {
        self.intake.offer_waiting(part)
    }

    fn enter_at(&self, time: Micros, parts: Vec<Part>) -> Result<(), IntakeError> {
        self.say(Some(time));
        let mut next = self.lock();
        while !self.is_first(&next, time) {
            // Inputs that are told to stop end, so that the others come to their turn.
            next = self.turns.changed.wait(next).unwrap_or_else(PoisonError::into_inner);
        }
        drop(next);
        let entered = self.intake.enter_at(time, parts);
        self.say(None);
        entered
    }

    fn now(&self) -> Micros {
        self.intake.now()
    }
}

impl Drop for Turned {
    fn drop(&mut self) {
        self.say(Some(Micros::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ClockMode, WallClock};
    use crate::log::{Read, SiteLog};

    #[test]
    fn inputs_enter_in_the_order_of_their_times() {
        let log = Arc::new(SiteLog::new(1 << 20, 0));
        let _reader = log.register(0, Vec::new());
        let intake = SiteIntake::new(ClockMode::Virtual, WallClock::default(), log.clone(), 1 << 20);
        let inputs = [vec![1, 5, 6, 40], vec![2, 3, 5], vec![], vec![4, 50]];
        std::thread::scope(|scope| {
            for (way, times) in Turned::ways(&intake, inputs.len()).into_iter().zip(&inputs) {
                scope.spawn(move || times.iter().for_each(|time| way.enter_at(*time, Vec::new()).unwrap()));
            }
        });
        let mut times = Vec::new();
        while let Read::Entry(entry) = log.read(times.len() as u64) {
            times.push(entry.time);
        }
        assert_eq!(times, [1, 2, 3, 4, 5, 5, 6, 40, 50]);
    }
}
