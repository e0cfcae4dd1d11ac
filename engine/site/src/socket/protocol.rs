//! What is said on a site's socket.
//!
//! A request is one line of JSON, at most [`LONGEST_REQUEST`] bytes: `{"version": 1, "ask": "status"}`,
//! `{"version": 1, "ask": {"query": {"sql": "SELECT 1"}}}`. It is answered by lines of JSON, each one [`Answer`], the
//! last of which is `end` or `error`; the bytes that a line `arrow` counts follow it as they are. A connection takes one
//! request after the other, and who closes it ends what is under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

pub use super::state::{
    ClientState, ConnectionState, DatasetState, DiskState, LinkStatus, LogStatus, MemoryState, NodeState, OutboxState,
    PipelineState, PortState, Status, SystemAlarm,
};

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
    /// As `view`, and then every change until the asker goes or the site stops: answers `row` for what is so now, `now`,
    /// and again `row` and `now` whenever something has changed. `anew` before them takes back all rows so far.
    Watch { name: String },
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
    /// What passes from now on, until the asker goes, the site stops or `limit` rows were given: answers `tapping`, then
    /// `arrow` or `row`, and `left_out` where rows were not given.
    Tap(TapAsk),
}

/// What is tapped, and which of its rows are wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapAsk {
    /// A node (`checked`, `well-monitoring.checked`), one of its ports (`minutes.late`), a tag or an asset.
    pub name: String,
    /// A SQL expression that is true for the rows that are wanted.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Rows after which the answer ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Rows that the asker can use in a second: what is more is left out and counted. All where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<u32>,
    #[serde(default)]
    pub format: RowFormat,
}

/// How rows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// Pieces of Arrow IPC streams.
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
    Arrow(Piece),
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
    /// What a tap is on.
    Tapping(Tapping),
    /// Rows of a tap that were not given, so far.
    LeftOut(LeftOut),
    /// What a watch told so far no longer counts.
    Anew,
    /// That is how things are at this engine time, in microseconds.
    Now(i64),
    /// That was all.
    End(End),
    /// It was not, or not wholly, done.
    Error(Refusal),
}

/// The next bytes of an Arrow IPC stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which stream: a tap gives one for each kind of value, as each has columns of its own.
    pub stream: u8,
    /// How many bytes follow the line.
    pub bytes: usize,
    /// These bytes.
    #[serde(skip)]
    pub data: Vec<u8>,
}

impl Piece {
    pub fn new(stream: u8, data: Vec<u8>) -> Self {
        Self { stream, bytes: data.len(), data }
    }
}

/// What a tap is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tapping {
    /// Its full name: `well-monitoring.checked`, `well-monitoring.minutes.late`, `WELL-001.THP`.
    pub name: String,
    /// Samples as they enter the site, before any check.
    pub raw: bool,
    /// What else the asker should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Rows of a tap that were not given, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The asker was slower than they came.
    pub slow: u64,
    /// They were more in a second than the asker wanted.
    pub thinned: u64,
    /// The condition could not be computed: an integer divided by zero.
    pub failed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Rows given.
    pub rows: u64,
    /// Rows of a tap that were not given.
    #[serde(default)]
    pub left_out: LeftOut,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
    /// Mistakes in an expression, as `ducto check --json` gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Json>,
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
    /// The expression is wrong.
    Expression,
    /// The site is stopping, or has too much to do.
    Unavailable,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), findings: None }
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

pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
