//! Answers to requests.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::error::ArrowError;
use ducto_graph::operator::Reply;
use ducto_record::Value;
use serde_json::Value as Json;
use tokio::io::AsyncWrite;

use super::protocol::{Answer, Ask, LeftOut, Refusal, RefusalKind};
use super::server::{Answered, Writer};
use crate::live::Shared;
use crate::rows::Row;
use crate::{rows, status, users};

/// How long an action waits until every pipeline has seen it.
const ACTION: Duration = Duration::from_secs(5);

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
                Some(Some(status)) => {
                    to.write(&Answer::Status(Box::new(status))).await.map(|()| Ok(LeftOut::default()))
                }
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
                    Ok(Ok(LeftOut::default()))
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
                    Ok(Ok(LeftOut::default()))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        }
        Ask::Query { sql, format } => super::query::query(&sql, format, shared, to).await,
        Ask::Watch { name } => super::watch::watch(&name, shared, stop, to).await,
        Ask::Tap(ask) => super::tap::tap(ask, shared, stop, to).await,
    }
}

/// Does something that waits on a thread of its own; `None` where that thread ended without an answer.
pub(crate) async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(ask).await.ok()
}

pub(crate) fn fault(error: &ArrowError) -> Refusal {
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
