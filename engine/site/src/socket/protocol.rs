//! What is said on a site's socket.
//!
//! A request is one line of JSON, at most [`LONGEST_REQUEST`] bytes: `{"version": 1, "ask": "status"}`,
//! `{"version": 1, "ask": {"query": {"sql": "SELECT 1"}}}`. It is answered by lines of JSON, each one [`Answer`], the
//! last of which is `end` or `error`. A connection takes one request after the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Version of this protocol; a site refuses another.
pub const VERSION: u32 = 1;

/// Longest line of a request, in bytes.
pub const LONGEST_REQUEST: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub version: u32,
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How the site is: one answer `status`.
    Status,
    /// The newest row of each key of the views with this name (`alarms`): answers `row`.
    View { name: String },
    /// An action for the nodes that know its verb: answers `reply`.
    Act {
        /// `acknowledge`, `reset`.
        verb: String,
        /// Texts, numbers and booleans.
        #[serde(default)]
        arguments: BTreeMap<String, Json>,
        /// Who does it; by default the user of the process that asks.
        #[serde(default)]
        user: Option<String>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// SQL over files and live tail: answers `arrow` or `row`.
    Query {
        sql: String,
        #[serde(default)]
        format: RowFormat,
    },
    /// What leaves a port from now on: answers `row`, until the asker goes, the site stops or `limit` rows were given.
    Tap {
        pipeline: String,
        node: String,
        #[serde(default = "main_port")]
        port: String,
        #[serde(default)]
        limit: Option<u64>,
    },
}

fn main_port() -> String {
    ducto_graph::operator::MAIN.to_owned()
}

/// How the rows of a query come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// Pieces of one Arrow IPC stream.
    #[default]
    Arrow,
    /// A JSON object each.
    Rows,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    Row(Map<String, Json>),
    /// The next bytes of an Arrow IPC stream, in base64.
    Arrow(String),
    Reply {
        /// Whether something was done.
        done: bool,
        /// In English.
        text: String,
        /// What the text says, for those who have words of their own: of an alarm `outcome` and `state`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        details: BTreeMap<String, String>,
    },
    /// What the asker should know of the answer, such as that files are missing.
    Note(String),
    /// That was all.
    End(End),
    /// It was not, or not wholly, done.
    Error(Refusal),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Rows given.
    pub rows: u64,
    /// Batches that a tap missed because the asker was slow.
    #[serde(default)]
    pub missed: u64,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The line is no request.
    Request,
    /// Another version of the protocol.
    Version,
    /// What it names is not there.
    Missing,
    /// The query is wrong, or needs more than it may have.
    Query,
    /// The site is stopping, or has too much to do.
    Unavailable,
}

/// How a site is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub site: String,
    /// Version of `ducto`.
    pub version: String,
    pub process: u32,
    /// `es`, `en`.
    pub language: String,
    /// IANA name, or an offset.
    pub time_zone: String,
    pub data: String,
    /// Engine time, as all times here in microseconds since 1970 in UTC.
    pub time: i64,
    pub started: i64,
    /// Number of the newest entry.
    pub epoch: u64,
    pub tags: usize,
    /// Rows that found the memory for entries full.
    pub dropped_rows: u64,
    pub clock_steps: u64,
    pub pipelines: Vec<PipelineState>,
    pub connections: Vec<ConnectionState>,
    pub datasets: Vec<DatasetState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineState {
    pub id: String,
    /// Everything up to this epoch is processed.
    pub done: u64,
    pub restarts: u64,
    pub lost_entries: u64,
    pub nodes: Vec<NodeState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    pub id: String,
    #[serde(rename = "type")]
    pub operator: String,
    /// It failed too often, and the rest goes on without it.
    pub set_aside: bool,
    /// It waits for what takes its rows, a disk, and goes on by itself.
    #[serde(default)]
    pub waits: bool,
    /// Why it was set aside, or waits.
    #[serde(default)]
    pub why: Option<String>,
    /// Engine time since when.
    #[serde(default)]
    pub since: Option<i64>,
    pub batches_in: u64,
    pub rows_in: u64,
    pub batches_out: u64,
    pub rows_out: u64,
    pub bytes_out: u64,
    pub nanoseconds: u64,
    pub queued: u64,
    pub errors: u64,
    /// Times that a sink could not take an epoch yet.
    #[serde(default)]
    pub retries: u64,
    /// Rows that went no further, by cause.
    pub drops: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionState {
    pub name: String,
    /// How often its thread failed and was started again.
    pub failures: u64,
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetState {
    pub name: String,
    /// Rows taken since the site started.
    pub rows: u64,
    pub files: usize,
    pub bytes: u64,
    /// Bytes that are not on disk yet.
    pub buffered_bytes: usize,
    pub errors: u64,
    pub last_error: Option<String>,
    /// Why the files of an hour are not merged.
    #[serde(default)]
    pub merge_error: Option<String>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Reads a request from its line, without the line break.
///
/// # Errors
/// Why the line is none. The message repeats no more than a few words of it.
pub fn parse(line: &[u8]) -> Result<Ask, Refusal> {
    if line.len() > LONGEST_REQUEST {
        return Err(too_long());
    }
    // The version is looked at by itself, so that a newer client is told about it and not about a field.
    #[derive(Deserialize)]
    struct Version {
        version: Option<Json>,
    }
    let version: Version = serde_json::from_slice(line).map_err(|error| {
        let message = format!("this is no request ({error}); write one JSON object a line, such as {EXAMPLE}");
        Refusal::new(RefusalKind::Request, message)
    })?;
    if version.version.as_ref().and_then(Json::as_u64) != Some(u64::from(VERSION)) {
        let found = match version.version {
            Some(Json::Number(number)) => format!("version {number}"),
            Some(_) => "a version that is no number".to_owned(),
            None => "no version".to_owned(),
        };
        let message = format!("the request has {found}, and this site speaks version {VERSION}: {EXAMPLE}");
        return Err(Refusal::new(RefusalKind::Version, message));
    }
    let request: Request = serde_json::from_slice(line).map_err(|error| {
        Refusal::new(RefusalKind::Request, format!("the request is not understood: {}", shorten(&error.to_string())))
    })?;
    Ok(request.ask)
}

const EXAMPLE: &str = r#"{"version": 1, "ask": "status"}"#;

pub(crate) fn too_long() -> Refusal {
    let message = format!("a request is longer than {LONGEST_REQUEST} bytes; write the rows to a file instead");
    Refusal::new(RefusalKind::Request, message)
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
