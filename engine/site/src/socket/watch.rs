//! Watches: the rows of views, and what changes in them.
//!
//! A view holds the newest row of each key, so an asker who is slow misses rows that were replaced meanwhile, and never
//! how things are now: there is nothing to queue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{MissedTickBehavior, interval};

use super::answer::{fault, stopping};
use super::server::{Answered, Writer};
use super::tap::too_many;
use crate::live::Shared;
use crate::protocol::{Answer, LeftOut};
use crate::rows::Watched;

/// How often views are looked at.
const PACE: Duration = Duration::from_millis(200);

pub(crate) async fn watch<W: AsyncWrite + Unpin>(
    name: &str,
    shared: &Arc<Shared>,
    stop: &AtomicBool,
    to: &mut Writer<W>,
) -> io::Result<Answered> {
    let Some(_looking) = shared.lookers.enter() else { return Ok(Err(too_many())) };
    let Some(mut watched) = Watched::new(shared, name) else { return Ok(Err(stopping())) };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    while !stop.load(Ordering::Acquire) {
        pace.tick().await;
        let news = match watched.news(shared.names()) {
            Ok(news) => news,
            Err(error) => return Ok(Err(fault(&error))),
        };
        let changed = news.is_some();
        if let Some(news) = news {
            if news.anew {
                to.write(&Answer::Anew).await?;
            }
            for row in news.rows {
                to.row(row).await?;
            }
        }
        if changed || first {
            let Some(now) = shared.with(|running| running.now()) else { break };
            to.write(&Answer::Now(now)).await?;
        }
        first = false;
    }
    Ok(Ok(LeftOut::default()))
}
