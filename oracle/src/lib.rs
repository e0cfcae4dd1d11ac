//! The oracle of "nothing lost": a site is killed, cut off or let down by its disk, again and again, and what it kept is
//! compared, row for row, with one pass over the log that survived, from empty state.
//!
//! A driver feeds numbered samples through Modbus and through a source that resends until it is acknowledged. *Accepted*
//! is what the site said is durable. A seed makes the faults of a round; it is printed with every failure.

mod driver;
mod forgetful;
mod judge;
mod killed;
mod simulated;
mod site;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

pub use forgetful::Forgetful;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process is killed.
    Kill,
    /// Operations of the disk fail.
    Errors,
    /// The power goes at an operation of the disk.
    Cut,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Errors => "errors",
            Self::Cut => "cut",
        })
    }
}

/// A round.
#[derive(Clone, Debug)]
pub struct Round {
    pub kind: Kind,
    pub seed: u64,
    /// The command, for rounds that kill it.
    pub ducto: Option<PathBuf>,
    /// Syncs do nothing: the oracle has to find that.
    pub forgetful: bool,
}

/// What a round that held has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Entries of the log.
    pub entries: u64,
    /// Rows of all datasets.
    pub rows: usize,
    /// Numbers that were acknowledged.
    pub acknowledged: usize,
    /// How often it went wrong as it was meant to.
    pub faults: usize,
}

/// A round that did not hold.
#[derive(Debug, Error)]
#[error(
    "a round of kind {kind} does not hold: {what}; replay it by `cargo xtask oracle --kind {kind} --rounds 1 --seed {seed}`"
)]
pub struct Failure {
    pub kind: Kind,
    pub seed: u64,
    pub what: String,
}

/// What went wrong in a round, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Round {
    /// # Errors
    /// What was lost, doubled or else different.
    pub fn run(&self) -> Result<Seen, Failure> {
        let seen = match self.kind {
            Kind::Kill => killed::run(self),
            Kind::Errors | Kind::Cut => simulated::run(self),
        };
        seen.map_err(|what| Failure { kind: self.kind, seed: self.seed, what: what.to_string() })
    }
}

/// Small numbers by chance, the same for a seed.
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}
