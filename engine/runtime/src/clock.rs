//! Engine time: the one clock that nodes see.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
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

/// The clock on the wall, which somebody may set while the site runs: the machine's, unless a test brings its own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl WallClock {
    /// Asked for UTC, in microseconds since 1970.
    pub fn new(now: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    fn now(&self) -> Micros {
        (self.0)()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(time::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
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
    wall: WallClock,
    start: Instant,
    start_time: Micros,
    /// Wall clock less engine time when last looked at.
    offset: Mutex<Micros>,
}

/// Smaller differences are the wall clock being disciplined, not stepped.
const STEP: Micros = time::SECOND;

impl EngineClock {
    /// Begins at the wall clock, but not before `last`, the engine time that is in the log already: where the wall
    /// clock was set back while no site ran, engine time goes on from where it was. Timers and delays go on with it;
    /// if it stood until the wall clock has come so far, no alarm would be raised meanwhile.
    pub fn start(wall: WallClock, last: Option<Micros>) -> Self {
        let utc = wall.now();
        let start_time = last.map_or(utc, |last| last.max(utc));
        Self { wall, start: Instant::now(), start_time, offset: Mutex::new(utc - start_time) }
    }

    pub fn now(&self) -> Micros {
        self.start_time.saturating_add(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The wall clock less engine time when it was last looked at for steps.
    pub fn offset(&self) -> Micros {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the wall clock was stepped since the last call.
    pub fn step(&self) -> Option<ClockStep> {
        let offset = self.wall.now().saturating_sub(self.now());
        let mut last = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let by = offset - *last;
        *last = offset;
        (by.abs() >= STEP).then_some(ClockStep { by })
    }
}
