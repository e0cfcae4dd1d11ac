//! How a running site is, for its socket.

use ducto_graph::operator::LinkReport;
use ducto_graph::pipeline::{NodeConfig, Pipeline};
use ducto_record::{Epoch, Micros, StreamType};
use ducto_runtime::{FeederStatus, NodeCounts, NodeStatus, OutboxStatus, PipelineStatus, RunningSite, TroubleKind};
use ducto_storage::Historian;
use rustix::time::{ClockId, clock_gettime};

use crate::live::Shared;
use crate::protocol::{
    ClientState, ConnectionState, DatasetState, DiskState, LinkStatus, LogStatus, MemoryState, NodeState, OutboxState,
    PipelineState, PortState, Status,
};

/// The status; `None` once the site is stopping.
pub(crate) fn of(shared: &Shared) -> Option<Status> {
    shared.with(|running| status(shared, running))
}

fn status(shared: &Shared, running: &RunningSite) -> Status {
    let site = &shared.site;
    let now = running.now();
    let log = running.log().state();
    let (waiting, waiting_capacity) = running.intake().waiting();
    let (connections, taps) = shared.lookers.counts();
    let datasets: Vec<DatasetState> = shared.history.all().into_iter().map(dataset).collect();
    let pipelines = running.status().into_iter().map(|status| {
        let graph = site.pipelines.iter().find(|pipeline| pipeline.id == status.id);
        pipeline(status, graph.map(|graph| &**graph), log.last_epoch, now)
    });
    Status {
        site: site.name.clone(),
        version: shared.version.to_owned(),
        process: std::process::id(),
        language: site.language.clone(),
        time_zone: site.time_zone.name().to_owned(),
        data: shared.folder.path().display().to_string(),
        time: now,
        started: shared.started,
        epoch: log.last_epoch,
        tags: site.tags.len(),
        dropped_rows: running.intake().dropped_rows(),
        clock_steps: running.intake().clock_steps(),
        cpu: cpu(),
        alarms: shared.alarms.list(),
        disk: disk(shared),
        log: LogStatus {
            rows: log.rows,
            durable: running.log().durable(),
            entries: log.entries,
            bytes: log.bytes,
            capacity: log.capacity,
            waiting,
            waiting_capacity,
        },
        memory: MemoryState {
            budget: site.memory.bytes(),
            buffers: (log.bytes + waiting + datasets.iter().map(|dataset| dataset.buffered_bytes).sum::<usize>())
                as u64,
            resident: resident(),
        },
        clients: ClientState { connections, taps, missed_rows: shared.lookers.missed_rows() },
        pipelines: pipelines.collect(),
        connections: running.feeders().into_iter().map(connection).collect(),
        datasets,
        outbox: shared.outboxes.iter().flat_map(|outboxes| outboxes.status()).map(outbox).collect(),
    }
}

/// Everything that is written goes through the folder's disk.
fn disk(shared: &Shared) -> DiskState {
    let kept = shared.history.all().iter().map(|(_, historian)| historian.stats().bytes_kept).sum();
    DiskState { written: shared.folder.disk().written(), kept }
}

/// CPU time of this process, µs.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// Memory that this process holds; 0 where the system does not tell.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1_024
}

fn dataset((name, historian): (String, Historian)) -> DatasetState {
    let stats = historian.stats();
    let manifest = historian.snapshot().manifest;
    DatasetState {
        name,
        rows: stats.rows,
        files: manifest.files.len(),
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        buffered_bytes: stats.buffered_bytes,
        last_commit: stats.last_commit,
        errors: stats.errors,
        last_error: stats.last_error,
        merge_error: stats.merge_error,
    }
}

fn outbox(OutboxStatus { stream, courier }: OutboxStatus) -> OutboxState {
    let endpoint = courier.as_ref().map(|courier| courier.endpoint.clone());
    let courier = courier.unwrap_or_default();
    OutboxState {
        stream: stream.name.to_string(),
        endpoint,
        waiting_batches: stream.waiting_batches,
        waiting_rows: stream.waiting_rows,
        waiting_bytes: stream.waiting_bytes,
        oldest: stream.oldest,
        open_rows: stream.open_rows,
        delivered_batches: stream.delivered_batches,
        delivered_rows: stream.delivered_rows,
        lost: stream.lost.into_iter().map(|(cause, rows)| (cause.to_owned(), rows)).collect(),
        failures: courier.failures,
        failing_since: courier.failing_since,
        why: courier.why,
    }
}

fn pipeline(status: PipelineStatus, graph: Option<&Pipeline>, last: Epoch, now: Micros) -> PipelineState {
    PipelineState {
        id: status.id.to_string(),
        done: status.done,
        behind: last.saturating_sub(status.done),
        lag: status.waiting_since.map_or(0, |since| (now - since).max(0)),
        restarts: status.restarts,
        lost_entries: status.lost_entries,
        nodes: status.nodes.into_iter().map(|status| node(status, graph)).collect(),
    }
}

fn node(status: NodeStatus, graph: Option<&Pipeline>) -> NodeState {
    let NodeCounts {
        batches_in,
        rows_in,
        batches_out,
        rows_out,
        bytes_out,
        nanoseconds,
        queued,
        errors,
        retries,
        drops,
    } = status.counts;
    let kind = status.trouble.as_ref().map(|trouble| trouble.kind);
    let graph = graph.and_then(|graph| graph.node(&status.id));
    let dataset = match graph.map(|graph| &graph.config) {
        Some(NodeConfig::Sink(config)) => config.dataset().map(|name| name.value),
        _ => None,
    };
    let ports = graph.map(|graph| graph.ports.as_slice()).unwrap_or_default().iter();
    NodeState {
        id: status.id.to_string(),
        operator: status.operator.to_owned(),
        inputs: graph
            .map(|graph| graph.inputs.iter().map(|input| input.from.value.clone()).collect())
            .unwrap_or_default(),
        ports: ports
            .map(|port| PortState {
                name: port.name.to_owned(),
                samples: matches!(port.stream, StreamType::Samples(_)),
            })
            .collect(),
        dataset,
        set_aside: kind == Some(TroubleKind::SetAside),
        waits: kind == Some(TroubleKind::Waits),
        since: status.trouble.as_ref().map(|trouble| trouble.since),
        why: status.trouble.map(|trouble| trouble.why),
        batches_in,
        rows_in,
        batches_out,
        rows_out,
        bytes_out,
        nanoseconds,
        queued,
        errors,
        retries,
        drops: drops.into_iter().map(|(cause, rows)| (cause.to_owned(), rows)).collect(),
    }
}

fn connection(status: FeederStatus) -> ConnectionState {
    let FeederStatus { name, tags, rows, refused_rows, link, failures, ended } = status;
    ConnectionState { name, tags, rows, refused_rows, failures, ended, link: link.map(link_status) }
}

fn link_status(report: LinkReport) -> LinkStatus {
    let LinkReport { state, devices, silent, requests, errors, overruns, round_trip, utilisation, last_error } = report;
    LinkStatus {
        state: state.name().to_owned(),
        devices,
        silent,
        requests,
        errors: errors.into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect(),
        overruns,
        round_trip: round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        utilisation,
        last_error,
    }
}
