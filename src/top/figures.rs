//! What changed between two looks at a site: rates out of counters.

use std::collections::BTreeMap;

use ducto_site::protocol::{
    ClientState, ConnectionState, DatasetState, DiskState, LogStatus, MemoryState, NodeState, OutboxState,
    PipelineState, Status, SystemAlarm,
};
use serde::Serialize;

use crate::times;

const SECOND: f64 = 1e6;

/// A site as `ducto top` shows it. What needs two looks is null after the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) site: String,
    pub(crate) version: String,
    /// Engine time.
    pub(crate) time: String,
    #[serde(skip)]
    pub(crate) micros: i64,
    #[serde(skip)]
    pub(crate) time_zone: String,
    #[serde(skip)]
    pub(crate) language: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) tags: usize,
    pub(crate) samples_per_second: Option<f64>,
    pub(crate) entries_per_second: Option<f64>,
    /// How long the oldest entry has waited that some pipeline has not processed yet.
    pub(crate) lag_seconds: f64,
    /// Of one core.
    pub(crate) cpu_percent: Option<f64>,
    /// Rows that found the memory for entries full.
    pub(crate) dropped_rows: u64,
    pub(crate) clock_steps: u64,
    /// The site's own.
    pub(crate) alarms: Vec<SystemAlarm>,
    pub(crate) disk: DiskState,
    /// Bytes written to the disk for each byte by which the history has grown.
    pub(crate) disk_writes_per_byte: Option<f64>,
    pub(crate) memory: MemoryState,
    pub(crate) log: LogStatus,
    pub(crate) clients: ClientState,
    pub(crate) connections: Vec<Connection>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) outbox: Vec<Stream>,
}

/// A stream of rows that are sent to another machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stream {
    pub(crate) stream: String,
    pub(crate) endpoint: Option<String>,
    /// Delivered.
    pub(crate) rows_per_second: Option<f64>,
    pub(crate) delivered_rows: u64,
    pub(crate) waiting_batches: u64,
    pub(crate) waiting_rows: u64,
    pub(crate) waiting_bytes: u64,
    /// When the oldest batch that waits was sealed.
    pub(crate) oldest: Option<String>,
    #[serde(skip)]
    pub(crate) oldest_micros: Option<i64>,
    pub(crate) lost_rows: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) failures: u64,
    pub(crate) failing_since: Option<String>,
    pub(crate) why: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Connection {
    pub(crate) name: String,
    /// `waiting`, `up`, `partial`, `down`, `failing`, `ended`, `running`.
    pub(crate) state: String,
    pub(crate) tags: usize,
    pub(crate) samples_per_second: Option<f64>,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) devices: u32,
    pub(crate) silent: u32,
    pub(crate) errors: u64,
    pub(crate) errors_per_second: Option<f64>,
    pub(crate) errors_by_cause: BTreeMap<String, u64>,
    pub(crate) overruns: u64,
    pub(crate) refused_rows: u64,
    pub(crate) failures: u64,
    pub(crate) round_trip_seconds: Option<f64>,
    pub(crate) utilisation_percent: Option<f64>,
    pub(crate) last_error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) behind: u64,
    pub(crate) lag_seconds: f64,
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) restarts: u64,
    pub(crate) lost_entries: u64,
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) operator: String,
    /// Rows that it gave; of a sink, those that it took.
    pub(crate) rows_per_second: Option<f64>,
    pub(crate) batches_per_second: Option<f64>,
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) queued: u64,
    pub(crate) errors: u64,
    pub(crate) set_aside: bool,
    /// It waits for its disk.
    pub(crate) waits: bool,
    /// Why it was set aside, or waits.
    pub(crate) why: Option<String>,
    /// Rows that went no further, by cause, from the start.
    pub(crate) drops: BTreeMap<String, u64>,
    pub(crate) drops_per_second: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) rows_per_second: Option<f64>,
    pub(crate) rows: u64,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) buffered_bytes: usize,
    /// Everything up to this time is on disk.
    pub(crate) committed: Option<String>,
    #[serde(skip)]
    pub(crate) committed_micros: Option<i64>,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
}

impl Node {
    /// Rows that went no further.
    pub(crate) fn dropped(&self) -> u64 {
        self.drops.values().sum()
    }
}

/// How much a counter grew in a second. Nothing where it was not looked at before, or began anew.
struct Rate(Option<f64>);

impl Rate {
    fn of(&self, now: u64, before: Option<u64>) -> Option<f64> {
        let seconds = self.0.filter(|seconds| *seconds > 0.0)?;
        Some(now.checked_sub(before?)? as f64 / seconds)
    }

    /// A counter of nanoseconds as a share of one core.
    fn percent(&self, now: u64, before: Option<u64>) -> Option<f64> {
        self.of(now, before).map(|nanoseconds| nanoseconds / 1e9 * 100.0)
    }
}

impl Figures {
    /// Figures of now, against those of a look before.
    pub(crate) fn between(before: Option<&Status>, now: &Status) -> Self {
        // Another process counts from zero, even where its counters have grown further.
        let before = before.filter(|before| before.started == now.started && before.process == now.process);
        let rate = Rate(before.map(|before| (now.time - before.time) as f64 / SECOND));
        Self {
            site: now.site.clone(),
            version: now.version.clone(),
            time: times::rfc3339(now.time),
            micros: now.time,
            time_zone: now.time_zone.clone(),
            language: now.language.clone(),
            uptime_seconds: u64::try_from(now.time - now.started).unwrap_or(0) / 1_000_000,
            tags: now.tags,
            samples_per_second: rate.of(now.log.rows, before.map(|before| before.log.rows)),
            entries_per_second: rate.of(now.epoch, before.map(|before| before.epoch)),
            lag_seconds: now.pipelines.iter().map(|pipeline| pipeline.lag).max().unwrap_or(0) as f64 / SECOND,
            cpu_percent: rate
                .percent(now.cpu.saturating_mul(1_000), before.map(|before| before.cpu.saturating_mul(1_000))),
            dropped_rows: now.dropped_rows,
            clock_steps: now.clock_steps,
            alarms: now.alarms.clone(),
            disk: now.disk,
            disk_writes_per_byte: now.disk.writes_per_byte(),
            memory: now.memory,
            log: now.log,
            clients: now.clients,
            connections: now
                .connections
                .iter()
                .map(|connection| {
                    let of =
                        |before: &Status| before.connections.iter().find(|old| old.name == connection.name).cloned();
                    connection_figures(connection, before.and_then(of).as_ref(), &rate)
                })
                .collect(),
            pipelines: now
                .pipelines
                .iter()
                .map(|pipeline| {
                    let of = |before: &Status| before.pipelines.iter().find(|old| old.id == pipeline.id).cloned();
                    pipeline_figures(pipeline, before.and_then(of).as_ref(), &rate)
                })
                .collect(),
            datasets: now
                .datasets
                .iter()
                .map(|dataset| {
                    let of = |before: &Status| before.datasets.iter().find(|old| old.name == dataset.name).cloned();
                    dataset_figures(dataset, before.and_then(of).as_ref(), &rate)
                })
                .collect(),
            outbox: now
                .outbox
                .iter()
                .map(|stream| {
                    let of = |before: &Status| before.outbox.iter().find(|old| old.stream == stream.stream).cloned();
                    stream_figures(stream, before.and_then(of).as_ref(), &rate)
                })
                .collect(),
        }
    }
}

fn connection_figures(now: &ConnectionState, before: Option<&ConnectionState>, rate: &Rate) -> Connection {
    let link = now.link.clone().unwrap_or_default();
    let old = before.and_then(|before| before.link.as_ref());
    let errors = link.errors.values().sum();
    let state = match (&now.link, now.ended) {
        (_, true) => "ended",
        (Some(_), _) => link.state.as_str(),
        (None, _) if now.failures > before.map_or(now.failures, |before| before.failures) => "failing",
        (None, _) => "running",
    };
    Connection {
        name: now.name.clone(),
        state: state.to_owned(),
        tags: now.tags,
        samples_per_second: rate.of(now.rows, before.map(|before| before.rows)),
        requests_per_second: rate.of(link.requests, old.map(|old| old.requests)),
        devices: link.devices,
        silent: link.silent,
        errors,
        errors_per_second: rate.of(errors, old.map(|old| old.errors.values().sum())),
        errors_by_cause: link.errors,
        overruns: link.overruns,
        refused_rows: now.refused_rows,
        failures: now.failures,
        round_trip_seconds: link.round_trip.map(|micros| micros as f64 / SECOND),
        utilisation_percent: link.utilisation.map(|share| share * 100.0),
        last_error: link.last_error,
    }
}

fn pipeline_figures(now: &PipelineState, before: Option<&PipelineState>, rate: &Rate) -> Pipeline {
    let nodes: Vec<Node> = now
        .nodes
        .iter()
        .map(|node| {
            let old = before.and_then(|before| before.nodes.iter().find(|old| old.id == node.id));
            node_figures(node, old, rate)
        })
        .collect();
    let shares: Option<Vec<f64>> = nodes.iter().map(|node| node.cpu_percent).collect();
    Pipeline {
        id: now.id.clone(),
        behind: now.behind,
        lag_seconds: now.lag as f64 / SECOND,
        cpu_percent: shares.map(|shares| shares.iter().sum()),
        restarts: now.restarts,
        lost_entries: now.lost_entries,
        nodes,
    }
}

fn node_figures(now: &NodeState, before: Option<&NodeState>, rate: &Rate) -> Node {
    // A sink gives nothing.
    let rows = |node: &NodeState| if node.ports.is_empty() { node.rows_in } else { node.rows_out };
    let batches = |node: &NodeState| if node.ports.is_empty() { node.batches_in } else { node.batches_out };
    let dropped = |node: &NodeState| node.drops.values().sum::<u64>();
    Node {
        id: now.id.clone(),
        operator: now.operator.clone(),
        rows_per_second: rate.of(rows(now), before.map(rows)),
        batches_per_second: rate.of(batches(now), before.map(batches)),
        cpu_percent: rate.percent(now.nanoseconds, before.map(|before| before.nanoseconds)),
        queued: now.queued,
        errors: now.errors,
        set_aside: now.set_aside,
        waits: now.waits,
        why: now.why.clone(),
        drops: now.drops.clone(),
        drops_per_second: rate.of(dropped(now), before.map(dropped)),
    }
}

fn stream_figures(now: &OutboxState, before: Option<&OutboxState>, rate: &Rate) -> Stream {
    Stream {
        stream: now.stream.clone(),
        endpoint: now.endpoint.clone(),
        rows_per_second: rate.of(now.delivered_rows, before.map(|before| before.delivered_rows)),
        delivered_rows: now.delivered_rows,
        waiting_batches: now.waiting_batches,
        waiting_rows: now.waiting_rows + now.open_rows,
        waiting_bytes: now.waiting_bytes,
        oldest: now.oldest.map(times::rfc3339),
        oldest_micros: now.oldest,
        lost_rows: now.lost.values().sum(),
        lost: now.lost.clone(),
        failures: now.failures,
        failing_since: now.failing_since.map(times::rfc3339),
        why: now.why.clone(),
    }
}

fn dataset_figures(now: &DatasetState, before: Option<&DatasetState>, rate: &Rate) -> Dataset {
    Dataset {
        name: now.name.clone(),
        rows_per_second: rate.of(now.rows, before.map(|before| before.rows)),
        rows: now.rows,
        files: now.files,
        bytes: now.bytes,
        buffered_bytes: now.buffered_bytes,
        committed: now.last_commit.map(times::rfc3339),
        committed_micros: now.last_commit,
        errors: now.errors,
        last_error: now.last_error.clone().or_else(|| now.merge_error.clone()),
    }
}
