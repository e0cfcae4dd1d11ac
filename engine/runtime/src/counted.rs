//! The way into the site log, counted for each of those who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ducto_graph::operator::{Intake, IntakeError};
use ducto_record::{Micros, Part};

/// What came by one way.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    rows: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    /// Rows that came by this way.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Rows that found the memory for entries full.
    pub(crate) fn refused_rows(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The way into the log as one feeder is given it: what comes by it is counted. It ends with the feeder, the counts
/// stay.
pub(crate) struct Counted {
    intake: Arc<dyn Intake>,
    counts: Arc<Counts>,
}

impl Counted {
    pub(crate) fn new(intake: Arc<dyn Intake>, counts: Arc<Counts>) -> Self {
        Self { intake, counts }
    }

    fn count(&self, rows: usize, result: Result<(), IntakeError>) -> Result<(), IntakeError> {
        match result {
            Ok(()) => self.counts.rows.fetch_add(rows as u64, Ordering::Relaxed),
            Err(IntakeError::Full { rows }) => self.counts.refused.fetch_add(rows as u64, Ordering::Relaxed),
            Err(IntakeError::Stopped) => 0,
        };
        result
    }
}

impl Intake for Counted {
    fn offer(&self, part: Part) -> Result<(), IntakeError> {
        self.count(part.num_rows(), self.intake.offer(part))
    }

    fn offer_waiting(&self, part: Part) -> Result<(), IntakeError> {
        self.count(part.num_rows(), self.intake.offer_waiting(part))
    }

    fn enter_at(&self, time: Micros, parts: Vec<Part>) -> Result<(), IntakeError> {
        let rows = parts.iter().map(Part::num_rows).sum();
        self.count(rows, self.intake.enter_at(time, parts))
    }

    fn now(&self) -> Micros {
        self.intake.now()
    }
}
