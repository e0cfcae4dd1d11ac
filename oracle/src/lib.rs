//! The oracle of "nothing lost": a site is killed, cut off or let down by its disk, again and again, and what it kept is
//! compared, row for row, with one pass over the log that survived, from empty state.
//!
//! A driver feeds numbered samples through Modbus and through a source that resends until it is acknowledged, and people
//! acknowledge alarms. *Accepted* is what the site said is durable. What it sends comes to a receiver that is not always
//! well: what that has, each batch once, and what still waits is compared too. A seed makes the faults of a round, and the
//! power goes at a named operation; both are printed with every failure. How threads take turns is not repeated.

mod driver;
mod forgetful;
mod judge;
mod killed;
mod operations;
mod receiver;
mod simulated;
mod site;
mod world;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

pub use forgetful::Forgetful;
pub use operations::{Life, Operation};

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process is killed.
    Kill,
    /// Operations of the disk fail.
    Errors,
    /// The power goes at an operation of the disk, at each in turn.
    Cut,
    /// The newest checkpoint is damaged, and the older one is begun with.
    Older,
    /// Every checkpoint is damaged, and the whole journal is read.
    Whole,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Self::Kill, Self::Errors, Self::Cut, Self::Older, Self::Whole];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Errors => "errors",
            Self::Cut => "cut",
            Self::Older => "older",
            Self::Whole => "whole",
        })
    }
}

/// A round.
#[derive(Clone, Debug)]
pub struct Round {
    pub kind: Kind,
    pub seed: u64,
    /// For rounds that cut the power: before which operation.
    pub at: Option<Operation>,
    /// The command, for rounds that kill it.
    pub ducto: Option<PathBuf>,
    /// Syncs do nothing: the oracle has to find that.
    pub forgetful: bool,
}

/// What a round that held has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Entries of the log.
    pub entries: u64,
    /// Rows of all datasets.
    pub rows: usize,
    /// Numbers and actions that were accepted.
    pub acknowledged: usize,
    /// Alarms that people acknowledged, in the history.
    pub alarms_acknowledged: usize,
    /// Rows that were sent.
    pub sent: usize,
    /// Of a round that cuts the power: whether the life had the operation at which it was to go.
    pub cut: bool,
    /// How often it went wrong as it was meant to.
    pub faults: usize,
}

/// A round that did not hold.
#[derive(Debug)]
pub struct Failure {
    pub round: Round,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round: Round { kind, seed, at, .. }, what } = self;
        write!(f, "a round of kind {kind} does not hold: {what}; ")?;
        write!(f, "replay it by `cargo xtask oracle --kind {kind} --rounds 10 --again --seed {seed}")?;
        at.as_ref().map_or(Ok(()), |at| write!(f, " --at '{at}'"))?;
        f.write_str("`: the faults are the same in each, the turns of threads are not")
    }
}

impl std::error::Error for Failure {}

/// What went wrong in a round, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Round {
    /// A round of that kind; which operation it cuts, where it does, is still to be chosen.
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, seed, at: None, ducto: None, forgetful: false }
    }

    /// # Errors
    /// What was lost, doubled or else different.
    pub fn run(&self) -> Result<Seen, Failure> {
        let seen = match self.kind {
            Kind::Kill => killed::run(self),
            Kind::Errors | Kind::Cut | Kind::Older | Kind::Whole => simulated::run(self),
        };
        seen.map_err(|what| Failure { round: self.clone(), what: what.to_string() })
    }
}

/// Rounds that run side by side: they wait most of their time.
const AT_ONCE: usize = 6;

/// Runs rounds, some of them side by side; what comes of each is told as it ends.
pub fn run_all(rounds: &[Round], told: impl Fn(&Round, Result<Seen, Failure>) + Sync) {
    let next = Mutex::new(rounds.iter());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let round = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(round) = round else { return };
                    told(round, round.run());
                }
            });
        }
    });
}

/// Every operation of the disk in a life on an empty folder, and in one behind a kill: the power is to go at each.
///
/// # Errors
/// When a site does not run on a disk with which nothing is wrong.
pub fn operations() -> Result<&'static [Operation], Failure> {
    simulated::operations().map_err(|what| Failure { round: Round::new(Kind::Cut, 0), what: what.to_string() })
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
