//! What operators are while they run. Nothing here blocks, and a node reads nothing from outside: it is given batches,
//! deadlines and actions, and gives batches.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ducto_record::{Action, Batch, Entry, Epoch, Micros, Part, SavedState, StateError};
use thiserror::Error;

use super::Link;
use crate::expr::ExpressionError;

/// A node's error while it runs. The host adds the names of pipeline and node.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    #[error("columns do not fit together: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("a batch of {found} arrived where {expected} was expected")]
    Stream { expected: &'static str, found: &'static str },
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// Of a sink: what takes its rows, a disk, cannot take them now. The host gives the epoch again until it can.
    #[error("{0}")]
    Later(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl NodeError {
    /// An error that only has a text.
    pub fn text(message: impl Into<String>) -> Self {
        Self::Other(message.into().into())
    }
}

/// A node's state at one moment, cheap to take (pointers are cloned) and encoded elsewhere.
pub type Snapshot = Box<dyn FnOnce() -> Result<SavedState, StateError> + Send>;

/// What reads the site log for a source node.
pub trait Source: Send {
    /// Emits what of the entry is this node's.
    ///
    /// # Errors
    /// As [`Transform::on_batch`].
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError>;
}

/// A transform at work. Same calls, same rows: no clock but `out.now()`, no randomness, no order of hash maps.
pub trait Transform: Send {
    /// A batch on the input with this index (in the order of `inputs`). Several of one epoch may come; how an
    /// epoch's samples are cut into batches must not matter to the rows.
    ///
    /// # Errors
    /// Anything that cannot be said in rows. The pipeline then restarts from its last snapshot.
    fn on_batch(&mut self, input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError>;

    /// The earliest engine time at which [`Transform::on_time`] wants to be called.
    fn next_deadline(&self) -> Option<Micros> {
        None
    }

    /// A deadline has come; `out.now()` is that deadline. Must move [`Transform::next_deadline`] past it.
    ///
    /// # Errors
    /// As [`Transform::on_batch`].
    fn on_time(&mut self, _deadline: Micros, _out: &mut Output) -> Result<(), NodeError> {
        Ok(())
    }

    /// The engine time by which everything that was opened at `opened_by` or before, and is open now, has been given:
    /// the end of the last such window and its wait. Input that ends (a replay, a test) moves engine time there. Timers
    /// that recur for ever do not count, and `opened_by` leaves out what they open behind the end of the input.
    fn closes_at(&self, _opened_by: Micros) -> Option<Micros> {
        None
    }

    /// The input ended at `at`, and nobody sends any more. What a node makes of silence, the samples of a tag that is
    /// stale, the rows of a grid that holds values, ends here; what was open goes on until it has been given (see
    /// [`Transform::closes_at`]). Called before each turn that lies behind the end.
    fn end_input(&mut self, _at: Micros) {}

    /// Something a person asked for; nodes ignore verbs that they do not know, and answer the others by
    /// [`Output::reply`].
    ///
    /// # Errors
    /// As [`Transform::on_batch`].
    fn on_action(&mut self, _action: &Action, _out: &mut Output) -> Result<(), NodeError> {
        Ok(())
    }

    /// The state at this moment; `None` for a node that keeps none.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    /// Takes a state that [`Transform::snapshot`] gave, in this process or another. Names in it that this node no
    /// longer has, or that are of another worker ([`Own`](super::Own)), are passed over. Where the number of workers has
    /// changed it is called with the state of each of them, and takes from each what is its own.
    ///
    /// # Errors
    /// When the state's version or bytes cannot be read.
    fn restore(&mut self, _saved: &SavedState) -> Result<(), StateError> {
        Ok(())
    }
}

/// See [`Sink::store`].
pub type Store = Box<dyn Fn() -> Epoch + Send + Sync>;

/// A sink at work, one for the site. The host never gives it a whole epoch twice. When a call fails, the epoch is
/// given again from its first batch: a sink keeps what it was given aside until [`Sink::end_epoch`].
///
/// Where a site runs by the wall clock each sink has a thread of its own: what it waits for holds back nothing else.
pub trait Sink: Send {
    /// # Errors
    /// [`NodeError::Later`] for what goes by itself or is mended by somebody: a full disk, a folder that is not
    /// mounted. With any other error a sink is set aside at the third failure on one epoch.
    fn on_batch(&mut self, input: usize, epoch: Epoch, batch: &Batch) -> Result<(), NodeError>;

    /// Everything of this epoch has been given; `now` is its engine time.
    ///
    /// # Errors
    /// As [`Sink::on_batch`].
    fn end_epoch(&mut self, _epoch: Epoch, _now: Micros) -> Result<(), NodeError> {
        Ok(())
    }

    /// Tells up to which epoch all that the sink was given is on disk, whatever the sink is at; `None` for a sink that
    /// keeps nothing which a start after a power cut would miss. A checkpoint waits for every store.
    fn store(&self) -> Option<Store> {
        None
    }

    /// Whether its rows are wanted at once where they go: the journal then does not wait, with what they came of, for
    /// more to write along with it.
    fn is_urgent(&self) -> bool {
        false
    }

    /// After [`NodeError::Later`]: waits until it is worth to try again, at most this long.
    fn wait(&mut self, at_most: std::time::Duration) {
        std::thread::sleep(at_most);
    }

    /// Blocks until what [`Sink::end_epoch`] set going (a commit on another thread) is done. Called between entries
    /// on a virtual clock, where what a commit brings must be in the log before the next entry.
    fn settle(&mut self) {}

    /// The input has ended, or the site is about to stop: sets going that what other nodes read of this sink (a
    /// dataset) comes into the site log. Where there is anything, gives what waits until it has been offered: the host
    /// calls that while the sink goes on taking epochs, which make the room. Called until no sink has anything.
    fn flush(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }

    /// A clean stop: everything that was given is brought to where it belongs.
    ///
    /// # Errors
    /// What could not be brought there, and why.
    fn finish(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// What brings input from outside into the site log, on a thread of its own.
pub trait Feeder: Send {
    /// Runs until the input ends or `stop` is set, which it looks at several times a second. Errors of a device
    /// become samples of bad quality; only what makes the feeder useless ends it.
    ///
    /// # Errors
    /// What went wrong for good. The site logs it and starts the feeder again with a growing pause.
    fn run(&mut self, intake: &Arc<dyn Intake>, stop: &AtomicBool) -> Result<(), NodeError>;

    /// For threads, logs and `connections` listings.
    fn name(&self) -> String;

    /// What others may know of its endpoint while it runs. Asked for once, before the first [`Feeder::run`].
    fn link(&self) -> Option<Arc<dyn Link>> {
        None
    }
}

/// What a [`Connection`] does while it runs.
pub type Polling<'a> = Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send + 'a>>;

/// What reads one endpoint and offers what it reads, as a task beside those of all other endpoints of the site: a few
/// threads serve them all, so it waits only in `.await` and computes for less than a millisecond at a time.
pub trait Connection: Send {
    /// Runs until the input ends; on tokio. The site stops it by dropping the future at one of its awaits. Errors of
    /// a device become samples of bad quality; only what makes the connection useless ends it.
    ///
    /// # Errors
    /// What went wrong for good. The site logs it and runs the connection again after a growing pause.
    fn run<'a>(&'a mut self, intake: &'a Arc<dyn Intake>) -> Polling<'a>;

    /// For logs and listings.
    fn name(&self) -> String;

    /// What others may know of its endpoint while it runs. Asked for once, before the first [`Connection::run`].
    fn link(&self) -> Option<Arc<dyn Link>> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IntakeError {
    #[error("the site's memory for entries is full; {rows} rows were dropped and counted")]
    Full { rows: usize },
    #[error("the site is stopping")]
    Stopped,
}

/// The way into the site log.
pub trait Intake: Send + Sync {
    /// Offers a part; it is sealed into an entry with what else waits.
    ///
    /// # Errors
    /// [`IntakeError::Full`] when the memory for entries is full: the field cannot be told to wait, so the part is
    /// dropped and counted. Sources that keep what is not fetched use [`Intake::offer_waiting`] instead.
    fn offer(&self, part: Part) -> Result<(), IntakeError>;

    /// As [`Intake::offer`], but waits for room.
    ///
    /// # Errors
    /// [`IntakeError::Stopped`].
    fn offer_waiting(&self, part: Part) -> Result<(), IntakeError>;

    /// As [`Intake::offer_waiting`], of parts that come into one entry: a start after a crash finds all of them or none.
    ///
    /// # Errors
    /// [`IntakeError::Stopped`].
    fn offer_together(&self, parts: Vec<Part>) -> Result<(), IntakeError> {
        parts.into_iter().try_for_each(|part| self.offer_waiting(part))
    }

    /// Enters parts as one entry with this engine time: for input that has a clock of its own (replay from files,
    /// tests, benches). Waits until the pipelines are near enough. On a site that runs by the wall clock the time is
    /// not used.
    ///
    /// # Errors
    /// [`IntakeError::Stopped`].
    fn enter_at(&self, time: Micros, parts: Vec<Part>) -> Result<(), IntakeError>;

    /// Engine time now.
    fn now(&self) -> Micros;
}

/// An answer to an [`Action`], for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// [`Action::id`].
    pub action: u64,
    /// Whether something was done.
    pub done: bool,
    pub text: String,
    /// What the text says, for those who have words of their own.
    pub details: Vec<(&'static str, Arc<str>)>,
}

/// Where a node puts what it gives. The host makes one per node and reuses it.
#[derive(Debug, Default)]
pub struct Output {
    now: Micros,
    entry_time: Micros,
    epoch: Epoch,
    packets: Vec<(usize, Batch)>,
    drops: Vec<(&'static str, u64)>,
    replies: Vec<Reply>,
}

impl Output {
    /// For hosts and tests: an output at this engine time.
    pub fn at(epoch: Epoch, now: Micros) -> Self {
        Self { now, epoch, ..Self::default() }
    }

    /// For hosts: turns to an entry of this time.
    pub fn begin(&mut self, time: Micros) {
        self.entry_time = time;
    }

    /// Engine time of the entry that made the timers fire. A timer that recurs as long as nothing comes finds it far
    /// behind its deadline where the site stood still in between, off perhaps for a week, and may pass over that time.
    pub fn entry_time(&self) -> Micros {
        self.entry_time
    }

    /// For hosts: moves engine time.
    pub fn set(&mut self, epoch: Epoch, now: Micros) {
        self.epoch = epoch;
        self.now = now;
    }

    /// Engine time: the deadline in [`Transform::on_time`]; otherwise the time at which the input was stamped.
    pub fn now(&self) -> Micros {
        self.now
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Gives a batch by the port with this index (in the order in which the config's check named them). Empty batches
    /// are passed over.
    pub fn emit(&mut self, port: usize, batch: Batch) {
        if batch.num_rows() > 0 {
            self.packets.push((port, batch));
        }
    }

    /// Counts rows that go no further, with the cause (`too_late`, `no_asset`, …). Nothing is dropped without this.
    pub fn drop_rows(&mut self, cause: &'static str, rows: u64) {
        if rows > 0 {
            self.drops.push((cause, rows));
        }
    }

    /// Answers an action: in English words, and as `details` by name for those who have words of their own.
    pub fn reply(
        &mut self,
        action: &Action,
        done: bool,
        text: impl Into<String>,
        details: Vec<(&'static str, Arc<str>)>,
    ) {
        self.replies.push(Reply { action: action.id, done, text: text.into(), details });
    }

    /// For hosts and tests: what was given since the last call, by port.
    pub fn take_packets(&mut self) -> std::vec::Drain<'_, (usize, Batch)> {
        self.packets.drain(..)
    }

    pub fn take_drops(&mut self) -> std::vec::Drain<'_, (&'static str, u64)> {
        self.drops.drain(..)
    }

    pub fn take_replies(&mut self) -> std::vec::Drain<'_, Reply> {
        self.replies.drain(..)
    }
}
