//! `webhook`: rows and samples by HTTP to somebody else's machine.

mod http;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod receiver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::operator::{BuildContext, BuildError, CheckContext, Decode, Input, Operator, Sink, SinkConfig};
use ducto_graph::scalar::{ByteSize, Duration};
use ducto_graph::secret::Secret;
use ducto_graph::tree::Spanned;
use ducto_record::time::{MINUTE, SECOND};
use ducto_runtime::Outboxes;
use ducto_storage::{Class, Sealing};
use schemars::JsonSchema;
use serde::Deserialize;

use self::http::{Http, OWN_HEADERS};
use super::outgoing::{Outgoing, Unsent};

/// Sends what comes to a URL, a batch of rows in one POST. Batches wait on disk, in the outbox of the data folder, until
/// the receiver has answered with a status of 200 to 299; a receiver that does not answer delays nothing else in the
/// site, and a restart loses nothing.
///
/// A batch is sent again, with growing pauses, until it is accepted: a receiver can get it twice, when its answer was
/// lost on the way. The header `Idempotency-Key` is the same then, and never the same for another batch. Batches come in
/// order. `Ducto-Sequence` rises by one from each to the next, so that a receiver sees what is missing:
/// `Ducto-Incarnation` changes with each start of the site, and tells apart what a data folder sends that was restored
/// from a copy. `Ducto-Site`, `Ducto-Stream`, `Ducto-Class` and `Ducto-Rows` say the rest. A corrected row comes again
/// with a higher `revision`.
///
/// An answer of 400, 413, 415 or 422 is about the batch itself: after five of them it is moved aside in the outbox, and
/// the next one is sent. Any other answer, and none, is about the receiver: the batch waits. `Retry-After` is respected.
///
/// `ducto replay` sends nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to: `https://…` or `http://…`. The receiver's certificate is checked against those that this machine
    /// trusts, or those of the file that the environment variable `SSL_CERT_FILE` names.
    url: Spanned<String>,
    /// How urgent it is: `1` is sent at once, `2` within a minute, `3` within 15 minutes, `4` within the hour. When more
    /// waits than the outbox may hold, the oldest of the lowest class goes first.
    #[serde(default = "normal")]
    #[schemars(with = "u8", range(min = 1, max = 4))]
    class: Spanned<u8>,
    /// How a batch is written.
    #[serde(default)]
    format: Format,
    /// Headers of each request, such as `Authorization`. A value is a text, or a secret in a file:
    /// `secret://file/webhook-token`.
    #[serde(default)]
    headers: OrderedMap<Spanned<Secret>>,
    /// How long to wait for an answer.
    #[serde(default = "timeout")]
    timeout: Spanned<Duration>,
    /// How long rows are collected before they are sealed into a batch. By its class: at once, `5s`, `30s`, `60s`.
    batch_every: Option<Spanned<Duration>>,
    /// Size at which a batch does not wait for its time.
    #[serde(default = "batch_size")]
    batch_size: Spanned<ByteSize>,
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// An object a line (`application/x-ndjson`).
    #[default]
    Jsonl,
    /// One object (`application/json`): `id`, `site`, `incarnation`, `stream`, `sequence`, `class`, and `rows`, a list of
    /// objects.
    Json,
}

fn normal() -> Spanned<u8> {
    3.into()
}

fn timeout() -> Spanned<Duration> {
    Duration::from_secs(30).into()
}

fn batch_size() -> Spanned<ByteSize> {
    ByteSize::from_bytes(256 << 10).into()
}

/// A batch that is not sealed holds back the checkpoints of its site.
const LONGEST_BATCH: i64 = 10 * MINUTE;
const LONGEST_TIMEOUT: i64 = 10 * MINUTE;
const LARGEST_BATCH: u64 = 16_000_000;

pub fn operator() -> Operator {
    Operator {
        name: "webhook",
        summary: "Rows and samples by HTTP to another machine",
        schema: |generator| generator.subschema_for::<Webhook>(),
        examples: &[
            "pager: {type: webhook, inputs: [alarms], url: \"https://pager.example.com/ducto\", class: 1, headers: {Authorization: \"secret://file/pager-token\"}}",
            "office: {type: webhook, inputs: [minutes], url: \"http://10.0.0.5:8080/minutes\", format: json, timeout: 10s, batch_every: 1m, batch_size: 1MB}",
        ],
        decode: Decode::Sink(|node, diagnostics| {
            decode::<Webhook>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SinkConfig>)
        }),
    }
}

impl Webhook {
    fn class(&self) -> Option<Class> {
        Class::new(*self.class)
    }

    fn sealing(&self, class: Class) -> Sealing {
        let by_class = match class.number() {
            1 => 0,
            2 => 5 * SECOND,
            3 => 30 * SECOND,
            _ => MINUTE,
        };
        let every = self.batch_every.as_ref().map_or(by_class, |every| every.micros());
        Sealing { every, size: usize::try_from(self.batch_size.bytes()).unwrap_or(usize::MAX) }
    }
}

impl SinkConfig for Webhook {
    fn check(&self, _inputs: &[Input], cx: &mut CheckContext<'_>) {
        if let Err((what, help)) = http::url(&self.url) {
            let message = format!("`{}` cannot be sent to: {what}", http::shown(&self.url));
            cx.report(Diagnostic::new(Code::EndpointInvalid, message).at(self.url.place).help(help));
        }
        if self.class().is_none() {
            let message = format!("there is no class {}", *self.class);
            let help = "classes are `1` at once, `2` within a minute, `3` within 15 minutes, `4` within the hour";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(self.class.place).help(help));
        }
        for (name, value) in self.headers.iter() {
            if let Err((what, help)) = http::header_name(name) {
                let message = format!("`{}` cannot be a header: {what}", **name);
                cx.report(Diagnostic::new(Code::ValueInvalid, message).at(name.place).help(help));
            }
            match value.resolve(&cx.site.folder) {
                Err(error) => cx.report(error.diagnostic(value.place)),
                Ok(text) if http::header_value(&text).is_none() => {
                    let message = format!("the value of `{}` has characters that no header can have", **name);
                    let help = "write it in one line, without control characters";
                    cx.report(Diagnostic::new(Code::ValueInvalid, message).at(value.place).help(help));
                }
                Ok(_) => {}
            }
        }
        let seconds = |duration: &Spanned<Duration>, longest: i64| duration.micros() > longest;
        if self.timeout.micros() < SECOND / 10 || seconds(&self.timeout, LONGEST_TIMEOUT) {
            let message = format!("`timeout: {}` is no time to wait for an answer", self.timeout.value);
            let help = "write 100ms to 10m; the default is `30s`";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(self.timeout.place).help(help));
        }
        if let Some(every) = self.batch_every.as_ref().filter(|every| seconds(every, LONGEST_BATCH)) {
            let message = format!("`batch_every: {}` would hold back the checkpoints of the site", every.value);
            let help = "write at most `10m`; what is in no batch yet is read again from the journal after a crash";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(every.place).help(help));
        }
        if !(1..=LARGEST_BATCH).contains(&self.batch_size.bytes()) {
            let message = format!("`batch_size: {}` is no size of a request", self.batch_size.value);
            let help = "write at most `16MB`; the default is `256KiB`";
            cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(self.batch_size.place).help(help));
        }
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let Some(outboxes) = cx.resources.get::<Outboxes>() else {
            tracing::info!(pipeline = &*cx.pipeline, node = &*cx.node, "nothing is sent from a replay");
            return Ok(Box::new(Unsent));
        };
        let class = self.class().ok_or_else(|| cx.error("there is no such class"))?;
        let mut headers = Vec::new();
        for (name, value) in self.headers.iter() {
            let revealed = value.resolve(&cx.site.folder).map_err(|error| cx.error(error.to_string()))?;
            headers.push((name.value.clone(), revealed));
        }
        let carrier = Http::new(&self.url, self.format, headers, self.timeout.to_std());
        let carrier = carrier.map_err(|error| cx.error(error))?;
        Ok(Box::new(Outgoing::start(cx, &outboxes, class, self.sealing(class), Box::new(carrier))?))
    }
}

/// Whether a header is one that each request has anyway.
fn is_own(name: &str) -> bool {
    OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}
