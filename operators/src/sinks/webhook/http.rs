//! A batch as a request, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use ducto_graph::secret::RevealedSecret;
use ducto_runtime::{Carried, Carrier};
use ducto_storage::{BatchHead, SealedBatch};
use ureq::http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::{Format, is_own};

/// Headers that each request has.
pub(super) const OWN_HEADERS: [&str; 12] = [
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Host",
    "Idempotency-Key",
    "Ducto-Site",
    "Ducto-Incarnation",
    "Ducto-Stream",
    "Ducto-Sequence",
    "Ducto-Class",
    "Ducto-Rows",
];

/// So much of an answer is read, and so much of it shown.
const ANSWER: u64 = 4 << 10;
const SHOWN: usize = 200;

/// What is wrong, and what can be done.
type Fault = (&'static str, &'static str);

pub(super) fn url(text: &str) -> Result<Uri, Fault> {
    const WRITE: &str = "write it as `https://HOST/PATH`, or `http://HOST:PORT/PATH` in a network that is trusted";
    let uri: Uri = text.parse().map_err(|_| ("it is no URL", WRITE))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err(("it is neither http nor https", WRITE)),
        None => return Err(("it does not begin with http:// or https://", WRITE)),
    }
    let authority = uri.authority().ok_or(("it names no machine", WRITE))?;
    if authority.host().is_empty() {
        return Err(("it names no machine", WRITE));
    }
    if authority.as_str().contains('@') {
        return Err(("it holds a password", "put that into `headers`, say `Authorization: \"secret://file/token\"`"));
    }
    if text.contains('#') {
        return Err(("what stands behind `#` is never sent", "leave it away"));
    }
    Ok(uri)
}

/// The URL as it may be logged: without what may be a password or a token.
pub(super) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => text.to_owned(),
    }
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, Fault> {
    if is_own(name) {
        return Err(("Ducto sets it itself", "leave it away"));
    }
    name.parse().map_err(|_| ("a header's name is letters, digits and `-`", "write it as `Authorization`"))
}

pub(super) fn header_value(value: &RevealedSecret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The way to one URL.
pub(super) struct Http {
    agent: Agent,
    url: Uri,
    shown: String,
    format: Format,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Http {
    pub(super) fn new(
        text: &str,
        format: Format,
        headers: Vec<(String, RevealedSecret)>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let url = url(text).map_err(|(what, help)| format!("`{}` cannot be sent to: {what}; {help}", shown(text)))?;
        let headers = headers.into_iter().map(|(name, value)| {
            let known = header_name(&name).ok().zip(header_value(&value));
            known.ok_or_else(|| format!("`{name}` cannot be a header with that value; see `ducto check`"))
        });
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirected POST would come as a GET, or as a POST to somebody that nobody named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ducto/", env!("CARGO_PKG_VERSION")));
        if url.scheme_str() == Some("https") {
            config = config.tls_config(tls()?);
        }
        Ok(Self {
            agent: config.build().into(),
            shown: shown(text),
            url,
            format,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    fn send(&self, batch: &SealedBatch) -> Result<Response<Body>, ureq::Error> {
        let BatchHead { id, class, rows, .. } = &batch.head;
        let content_type = match self.format {
            Format::Jsonl => "application/x-ndjson",
            Format::Json => "application/json",
        };
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, content_type)
            .header("Idempotency-Key", id.to_string())
            .header("Ducto-Site", &*id.site)
            .header("Ducto-Incarnation", &*id.incarnation)
            .header("Ducto-Stream", &*id.stream)
            .header("Ducto-Sequence", id.sequence.to_string())
            .header("Ducto-Class", class.to_string())
            .header("Ducto-Rows", rows.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match self.format {
            Format::Jsonl => request.send(&batch.body[..]),
            Format::Json => request.send(&enveloped(batch)?[..]),
        }
    }
}

impl Carrier for Http {
    fn carry(&mut self, batch: &SealedBatch) -> Carried {
        match self.send(batch) {
            Ok(mut response) => {
                // Read to its end, so that the connection can be used again.
                let text = response.body_mut().with_config().limit(ANSWER).lossy_utf8(true).read_to_string();
                meaning(response.status(), &response, &text.unwrap_or_default())
            }
            Err(ureq::Error::Timeout(_)) => Carried::Later { why: "it did not answer in time".to_owned(), after: None },
            Err(error) => Carried::Later { why: error.to_string(), after: None },
        }
    }

    fn endpoint(&self) -> String {
        self.shown.clone()
    }
}

/// What an answer means for the batch.
fn meaning(status: StatusCode, response: &Response<Body>, text: &str) -> Carried {
    if status.is_success() {
        return Carried::Accepted;
    }
    let mut why = format!("it answered {status}");
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
    if !line.is_empty() {
        why = format!("{why}: {line}");
    }
    if status.is_redirection()
        && let Some(to) = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok())
    {
        why = format!("{why}; it points to `{}`: write that as `url`", shown(to));
    }
    match status.as_u16() {
        400 | 413 | 415 | 422 => Carried::Refused { why },
        _ => {
            let after = response.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
            let after = after.and_then(|after| after.trim().parse().ok()).map(Duration::from_secs);
            Carried::Later { why, after }
        }
    }
}

/// A batch as one JSON object.
fn enveloped(batch: &SealedBatch) -> Result<Vec<u8>, ureq::Error> {
    let BatchHead { id, class, .. } = &batch.head;
    let head = serde_json::json!({
        "id": id.to_string(),
        "site": *id.site,
        "incarnation": *id.incarnation,
        "stream": *id.stream,
        "sequence": id.sequence,
        "class": class.number(),
    });
    let mut text = serde_json::to_vec(&head).map_err(|error| ureq::Error::Other(error.into()))?;
    // In place of the closing brace; the lines are objects as they are.
    text.pop();
    text.extend_from_slice(b",\"rows\":[");
    for (index, line) in batch.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b"]}");
    Ok(text)
}

/// Trusts whom this machine trusts.
fn tls() -> Result<TlsConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this machine trusts nobody{why}: install its package `ca-certificates`, or name a file of certificates by \
             the environment variable `SSL_CERT_FILE`"
        ));
    }
    let certificates: Vec<_> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}
