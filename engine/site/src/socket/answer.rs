//! Answers to requests.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use arrow::error::ArrowError;
use ducto_graph::operator::Reply;
use ducto_record::Value;
use ducto_runtime::{RuntimeError, TapReader};
use serde_json::{Map, Value as Json};
use tokio::io::AsyncWrite;

use super::protocol::{Answer, Ask, Refusal, RefusalKind};
use super::server::{Answered, Writer};
use crate::live::Shared;
use crate::{rows, status, users};

/// How long an action waits until every pipeline has seen it.
const ACTION: Duration = Duration::from_secs(5);
/// How often a tap looks whether its reader is still there.
const LOOK: Duration = Duration::from_millis(200);

type Row = Map<String, Json>;

pub(crate) fn stopping() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the site is stopping; start it again with `ducto run`")
}

/// Writes the answer, all but its last line.
///
/// # Errors
/// Only of the connection.
pub(crate) async fn answer<W: AsyncWrite + Unpin>(
    ask: Ask,
    user: u32,
    shared: &Arc<Shared>,
    stop: &Arc<AtomicBool>,
    to: &mut Writer<W>,
) -> io::Result<Answered> {
    match ask {
        Ask::Status => {
            let shared = shared.clone();
            match blocking(move || status::of(&shared)).await {
                Some(Some(status)) => to.write(&Answer::Status(Box::new(status))).await.map(|()| Ok(0)),
                _ => Ok(Err(stopping())),
            }
        }
        Ask::View { name } => {
            let shared = shared.clone();
            match blocking(move || view(&shared, &name)).await.unwrap_or_else(|| Err(stopping())) {
                Ok(found) => {
                    for row in found {
                        to.row(row).await?;
                    }
                    Ok(Ok(0))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        }
        Ask::Act { verb, arguments, user: named, reason } => {
            let shared = shared.clone();
            let act = move || {
                let system_user = users::name_of(user);
                let user = named.unwrap_or_else(|| system_user.clone());
                act(&shared, &verb, &arguments, &user, &system_user, reason.as_deref())
            };
            match blocking(act).await.unwrap_or_else(|| Err(stopping())) {
                Ok(replies) => {
                    for Reply { done, text, details, .. } in replies {
                        let details = details.into_iter().map(|(name, value)| (name.to_owned(), value.to_string()));
                        to.write(&Answer::Reply { done, text, details: details.collect() }).await?;
                    }
                    Ok(Ok(0))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        }
        Ask::Query { sql, format } => super::query::query(&sql, format, shared, to).await,
        Ask::Tap { pipeline, node, port, limit } => {
            let opened = shared.with(|running| running.tap(&pipeline, &node, &port));
            match opened {
                None | Some(Err(RuntimeError::Stopping)) => Ok(Err(stopping())),
                Some(Err(error)) => Ok(Err(Refusal::new(RefusalKind::Missing, error.to_string()))),
                Some(Ok(tap)) => taps(tap, limit.unwrap_or(u64::MAX), shared, stop, to).await,
            }
        }
    }
}

/// Does something that waits on a thread of its own; `None` where that thread ended without an answer.
async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(ask).await.ok()
}

fn fault(error: &ArrowError) -> Refusal {
    Refusal::new(RefusalKind::Query, format!("rows could not be brought into an answer: {error}; report this"))
}

fn view(shared: &Shared, name: &str) -> Result<Vec<Row>, Refusal> {
    rows::of_view(shared, name).ok_or_else(stopping)?.map_err(|error| fault(&error))
}

fn act(
    shared: &Shared,
    verb: &str,
    arguments: &BTreeMap<String, Json>,
    user: &str,
    system_user: &str,
    reason: Option<&str>,
) -> Result<Vec<Reply>, Refusal> {
    let mut values = BTreeMap::new();
    for (name, value) in arguments {
        let value = match value {
            Json::String(text) => Value::Text(text.as_str().into()),
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Value::Int64(number),
                (None, Some(number)) => Value::Float64(number),
                (None, None) => Value::Null,
            },
            _ => {
                let message = format!("the argument `{name}` is no text, number or boolean");
                return Err(Refusal::new(RefusalKind::Request, message));
            }
        };
        values.insert(name.clone(), value);
    }
    tracing::info!(verb, ?arguments, user, system_user, reason, "action");
    let replies = shared.with(|running| running.act(verb, values, user, reason, ACTION)).ok_or_else(stopping)?;
    replies.map_err(|error| Refusal::new(RefusalKind::Unavailable, error.to_string()))
}

/// Gives what a tap sees, until `limit` rows were given, the reader goes or the site stops.
async fn taps<W: AsyncWrite + Unpin>(
    tap: TapReader,
    limit: u64,
    shared: &Arc<Shared>,
    stop: &Arc<AtomicBool>,
    to: &mut Writer<W>,
) -> io::Result<Answered> {
    // A reader that is slow makes the tap itself miss batches, which it counts.
    let (sender, mut batches) = tokio::sync::mpsc::channel::<Result<Vec<Row>, ArrowError>>(4);
    let (directory, stop) = (shared.site.directory.clone(), stop.clone());
    let forward = tokio::task::spawn_blocking(move || {
        while !stop.load(Ordering::Acquire) && !sender.is_closed() {
            match tap.batches.recv_timeout(LOOK) {
                Ok(tapped) => {
                    let objects = rows::named(&tapped.batch, &directory).and_then(|batch| rows::objects(&batch));
                    if sender.blocking_send(objects).is_err() {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        tap.missed()
    });
    let mut given = 0;
    while given < limit
        && let Some(objects) = batches.recv().await
    {
        match objects {
            Ok(objects) => {
                for row in objects.into_iter().take(usize::try_from(limit - given).unwrap_or(usize::MAX)) {
                    given += 1;
                    to.row(row).await?;
                }
            }
            Err(error) => return Ok(Err(fault(&error))),
        }
    }
    batches.close();
    drop(batches);
    Ok(Ok(forward.await.unwrap_or_default()))
}
