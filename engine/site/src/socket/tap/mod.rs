//! Taps for askers: what passes a port, or enters as a tag, as long as the asker reads.
//!
//! The nodes leave their batches by reference in a bounded queue and go on; everything else is done here, several times
//! a second for what has come together, so that a tap costs the site next to nothing for each batch and little for each
//! row. An asker who is slow makes the queue miss rows, which are counted and told.

mod filter;
mod giver;
mod target;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use ducto_graph::operator::NodeError;
use ducto_runtime::{RuntimeError, TapReader};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::answer::{blocking, fault, stopping};
use super::server::{Answered, Writer};
use crate::live::Shared;
use crate::protocol::{Answer, LeftOut, Refusal, RefusalKind, TapAsk, Tapping};
use crate::rows::Names;
use filter::Filter;
pub(crate) use filter::Language;
use giver::{Allowance, Giver};
use target::Target;

/// How often an asker is given what has come: seldom enough to cost little, often enough for eyes.
const PACE: Duration = Duration::from_millis(200);
/// Rows that are gathered before they are given, whatever the pace.
const GATHERED: usize = 8_192;
/// How often an asker is told that rows are left out.
const TOLD: Duration = Duration::from_secs(1);

/// A tap that was asked for and can be opened.
struct Prepared {
    target: Target,
    filter: Filter,
    notes: Vec<String>,
}

pub(crate) async fn tap<W: AsyncWrite + Unpin>(
    ask: TapAsk,
    shared: &Arc<Shared>,
    stop: &AtomicBool,
    to: &mut Writer<W>,
) -> io::Result<Answered> {
    let Some(looking) = shared.lookers.enter() else { return Ok(Err(too_many())) };
    let (asked, site) = (ask.clone(), shared.clone());
    let prepared = match blocking(move || prepare(&asked, &site)).await.unwrap_or_else(|| Err(stopping())) {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Prepared { target, filter, notes } = prepared;
    let reader = match open(&target, shared) {
        Ok(reader) => reader,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let raw = matches!(target, Target::Tags { .. });
    to.write(&Answer::Tapping(Tapping { name: target.to_string(), raw, notes })).await?;
    let stream = Stream {
        reader,
        filter,
        giver: Giver::new(ask.format),
        limit: ask.limit.unwrap_or(u64::MAX),
        rate: ask.rows_per_second.map(u64::from),
        saved: 0,
        left_out: LeftOut::default(),
    };
    let answered = stream.run(shared, stop, to).await;
    drop(looking);
    answered
}

/// Looks up what is meant and compiles the condition.
fn prepare(ask: &TapAsk, shared: &Shared) -> Result<Prepared, Refusal> {
    let target = Target::of(&ask.name, &shared.site)?;
    let (filter, notes) =
        Filter::new(&target, ask.condition.as_deref(), &shared.site, shared.names(), &shared.language)?;
    Ok(Prepared { target, filter, notes })
}

fn open(target: &Target, shared: &Shared) -> Result<TapReader, Refusal> {
    let opened = shared.with(|running| match target {
        Target::Port { pipeline, node, port, .. } => running.tap(pipeline, node, port),
        Target::Tags { .. } => Ok(running.tap_log()),
    });
    match opened {
        None | Some(Err(RuntimeError::Stopping)) => Err(stopping()),
        Some(Err(error)) => Err(Refusal::new(RefusalKind::Missing, error.to_string())),
        Some(Ok(reader)) => Ok(reader),
    }
}

pub(crate) fn too_many() -> Refusal {
    let message = "too many views are open on this site; close one";
    Refusal::new(RefusalKind::Unavailable, message)
}

/// An open tap.
struct Stream {
    reader: TapReader,
    filter: Filter,
    giver: Giver,
    /// Rows until it ends.
    limit: u64,
    /// Rows a second that the asker can use.
    rate: Option<u64>,
    /// Rows that the asker may be given beyond the rate now, because less came before.
    saved: u64,
    left_out: LeftOut,
}

impl Stream {
    async fn run<W: AsyncWrite + Unpin>(
        mut self,
        shared: &Shared,
        stop: &AtomicBool,
        to: &mut Writer<W>,
    ) -> io::Result<Answered> {
        let names = shared.names();
        let _counting = shared.lookers.count(self.reader.missed_counter());
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut told_at, mut last) = (LeftOut::default(), None::<Instant>, Instant::now());
        let mut ended = false;
        while !ended && self.limit > 0 {
            let now = pace.tick().await;
            self.allow(now - last);
            last = now;
            loop {
                let more = match self.gather(names) {
                    Ok(more) => more,
                    Err(error) => return Ok(Err(wrong(&error))),
                };
                // Where a rate is given, what comes together within one look shares what is allowed.
                let now = self.rate.map_or(u64::MAX, |_| self.saved);
                let given = match self.giver.give(names, Allowance { limit: self.limit, now }) {
                    Ok(given) => given,
                    Err(error) => return Ok(Err(fault(&error))),
                };
                self.limit -= given.rows;
                self.saved -= given.rows.min(self.saved);
                self.left_out.thinned += given.thinned;
                for answer in given.answers {
                    to.write(&answer).await?;
                }
                to.rows += given.rows;
                match more {
                    More::Now if self.limit > 0 => {}
                    More::Now | More::Later => break,
                    More::Never => {
                        ended = true;
                        break;
                    }
                }
            }
            self.left_out.slow = self.reader.missed();
            if self.left_out != told && told_at.is_none_or(|at| now - at >= TOLD) {
                (told, told_at) = (self.left_out, Some(now));
                to.write(&Answer::LeftOut(told)).await?;
            }
            ended |= stop.load(Ordering::Acquire);
        }
        self.left_out.slow = self.reader.missed();
        match self.giver.finish() {
            Ok(answers) => {
                for answer in answers {
                    to.write(&answer).await?;
                }
                Ok(Ok(self.left_out))
            }
            Err(error) => Ok(Err(fault(&error))),
        }
    }

    /// Adds to what may be given: never more than a second's worth.
    fn allow(&mut self, passed: Duration) {
        if let Some(rate) = self.rate {
            let more = (rate as f64 * passed.as_secs_f64()).ceil() as u64;
            self.saved = (self.saved + more).min(rate);
        }
    }

    /// Takes in what waits, up to a bound.
    fn gather(&mut self, names: &Names) -> Result<More, NodeError> {
        let mut rows = 0;
        while rows < GATHERED {
            let tapped = match self.reader.batches.try_recv() {
                Ok(tapped) => tapped,
                Err(TryRecvError::Empty) => return Ok(More::Later),
                Err(TryRecvError::Disconnected) => return Ok(More::Never),
            };
            let passed = self.filter.pass(&tapped.batch, names)?;
            self.left_out.failed += passed.failed;
            if let Some(passing) = passed.rows {
                rows += passing.num_rows();
                self.giver.gather(passed.stream, passing);
            }
        }
        Ok(More::Now)
    }
}

/// When there is more to give.
enum More {
    Now,
    Later,
    Never,
}

fn wrong(error: &NodeError) -> Refusal {
    Refusal::new(RefusalKind::Expression, format!("the tap has ended: {error}"))
}
