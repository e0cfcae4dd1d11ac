//! Engine time: the one clock that nodes see.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use ducto_record::{Micros, time};

/// How engine time moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// Monotonic, tied to UTC at the start.
    Wall,
    /// By the input: replay from files, tests, benches.
    Virtual,
}

/// A wall clock that was moved while the site runs. Engine time does not follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// How far the wall clock has moved against engine time since the last look: positive is forward.
    pub by: Micros,
}

/// Engine time of a site that runs by the wall clock.
#[derive(Debug)]
pub struct EngineClock {
    start: Instant,
    start_utc: Micros,
    /// Wall clock less engine time when last looked at.
    offset: Mutex<Micros>,
}

/// Smaller differences are the wall clock being disciplined, not stepped.
const STEP: Micros = time::SECOND;

impl EngineClock {
    pub fn start() -> Self {
        Self { start: Instant::now(), start_utc: time::now(), offset: Mutex::new(0) }
    }

    pub fn now(&self) -> Micros {
        self.start_utc.saturating_add(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The wall clock less engine time when it was last looked at for steps.
    pub fn offset(&self) -> Micros {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the wall clock was stepped since the last call.
    pub fn step(&self) -> Option<ClockStep> {
        let offset = time::now() - self.now();
        let mut last = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let by = offset - *last;
        *last = offset;
        (by.abs() >= STEP).then_some(ClockStep { by })
    }
}
