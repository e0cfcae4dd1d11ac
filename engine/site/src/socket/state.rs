//! How a site is, as its socket tells it. Times are microseconds since 1970 in UTC; counters grow from the start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Engine time.
    pub time: i64,
    pub started: i64,
    /// Number of the newest entry.
    pub epoch: u64,
    pub tags: usize,
    /// Rows that found the memory for entries full.
    pub dropped_rows: u64,
    pub clock_steps: u64,
    /// CPU time of the process, in microseconds.
    pub cpu: u64,
    /// What keeps the site itself from what it promises.
    #[serde(default)]
    pub alarms: Vec<SystemAlarm>,
    #[serde(default)]
    pub disk: DiskState,
    pub log: LogStatus,
    pub memory: MemoryState,
    pub clients: ClientState,
    pub pipelines: Vec<PipelineState>,
    pub connections: Vec<ConnectionState>,
    pub datasets: Vec<DatasetState>,
    /// What waits to be sent to other machines.
    #[serde(default)]
    pub outbox: Vec<OutboxState>,
}

/// An alarm of the site itself, which goes when its cause has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemAlarm {
    /// `JOURNAL_WAITS`, `DATA_DAMAGED`.
    pub name: String,
    /// Engine time.
    pub since: i64,
    /// In English.
    pub why: String,
}

/// What is written to the disk, since the start, and what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskState {
    /// Bytes of every file of the data folder, whatever became of it.
    pub written: u64,
    /// By how many bytes the history has grown, in the files that stay.
    pub kept: u64,
}

impl DiskState {
    /// Bytes written for each byte of history; `None` before there is any.
    pub fn writes_per_byte(&self) -> Option<f64> {
        (self.kept > 0).then(|| self.written as f64 / self.kept as f64)
    }
}

/// The site log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Rows that entered.
    pub rows: u64,
    /// Everything up to this entry is on disk: whatever becomes of the process, it is not lost.
    #[serde(default)]
    pub durable: u64,
    /// Entries in the ring.
    pub entries: usize,
    /// Bytes in the ring, and how many it may have.
    pub bytes: usize,
    pub capacity: usize,
    /// Bytes that wait to become an entry, and how many may.
    pub waiting: usize,
    pub waiting_capacity: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryState {
    /// What the site's file allows for buffers.
    pub budget: u64,
    /// Buffers of the ring, of what waits, and of history that is not on disk.
    pub buffers: u64,
    /// What the whole process holds; 0 where that cannot be read.
    pub resident: u64,
}

/// Who looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientState {
    pub connections: usize,
    pub taps: usize,
    /// Rows that taps have missed because their askers were slow.
    pub missed_rows: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineState {
    pub id: String,
    /// Everything up to this epoch is processed.
    pub done: u64,
    /// Entries that are not processed yet, and for how long the oldest of them has waited, in microseconds.
    pub behind: u64,
    pub lag: i64,
    pub restarts: u64,
    pub lost_entries: u64,
    pub nodes: Vec<NodeState>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    pub id: String,
    #[serde(rename = "type")]
    pub operator: String,
    /// The nodes and ports that it reads.
    pub inputs: Vec<String>,
    /// What can be tapped.
    pub ports: Vec<PortState>,
    /// The dataset that it stores.
    pub dataset: Option<String>,
    /// It failed too often, and the rest goes on without it.
    pub set_aside: bool,
    /// It waits for what takes its rows, a disk, and goes on by itself.
    #[serde(default)]
    pub waits: bool,
    /// Why it was set aside, or waits, or is behind.
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    pub name: String,
    /// Samples, or else rows with columns of their own.
    pub samples: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionState {
    pub name: String,
    pub tags: usize,
    /// Rows that it brought.
    pub rows: u64,
    /// Rows that found the memory for entries full.
    pub refused_rows: u64,
    /// How often its thread failed and was started again.
    pub failures: u64,
    pub ended: bool,
    /// What it tells of its endpoint, where it does.
    pub link: Option<LinkStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `waiting`, `up`, `partial`, `down`.
    pub state: String,
    /// Devices behind the endpoint, and those that do not answer.
    pub devices: u32,
    pub silent: u32,
    pub requests: u64,
    /// By cause.
    pub errors: BTreeMap<String, u64>,
    /// Scans that were missed because polling took longer.
    pub overruns: u64,
    /// Of late, in microseconds.
    pub round_trip: Option<u64>,
    /// Share of the time that the line was busy, of late.
    pub utilisation: Option<f64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetState {
    pub name: String,
    /// Rows taken since the site started.
    pub rows: u64,
    pub files: usize,
    pub bytes: u64,
    /// Bytes that are not on disk yet.
    pub buffered_bytes: usize,
    /// Engine time up to which everything is on disk.
    pub last_commit: Option<i64>,
    pub errors: u64,
    pub last_error: Option<String>,
    /// Why the files of an hour are not merged.
    #[serde(default)]
    pub merge_error: Option<String>,
}

/// A stream of rows that are sent to another machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxState {
    /// `pipeline.node`.
    pub stream: String,
    /// Where to; none for what a node has left that is no longer there.
    pub endpoint: Option<String>,
    /// Batches on disk that its receiver does not have yet.
    pub waiting_batches: u64,
    pub waiting_rows: u64,
    pub waiting_bytes: u64,
    /// Engine time when the oldest of them was sealed.
    pub oldest: Option<i64>,
    /// Rows that are in no batch yet.
    pub open_rows: u64,
    pub delivered_batches: u64,
    pub delivered_rows: u64,
    /// Rows that were not delivered and will not be, by cause.
    pub lost: BTreeMap<String, u64>,
    /// Requests that did not bring a batch to its receiver.
    pub failures: u64,
    /// Engine time since when nothing is delivered, and why.
    pub failing_since: Option<i64>,
    pub why: Option<String>,
}
