//! How a running site is, for its socket.

use ducto_runtime::{FeederStatus, NodeCounts, NodeStatus, PipelineStatus, RunningSite, TroubleKind};

use crate::live::Shared;
use crate::protocol::{ConnectionState, DatasetState, NodeState, PipelineState, Status};

/// The status; `None` once the site is stopping.
pub(crate) fn of(shared: &Shared) -> Option<Status> {
    shared.with(|running| status(shared, running))
}

fn status(shared: &Shared, running: &RunningSite) -> Status {
    let site = &shared.site;
    Status {
        site: site.name.clone(),
        version: shared.version.to_owned(),
        process: std::process::id(),
        language: site.language.clone(),
        time_zone: site.time_zone.name().to_owned(),
        data: shared.folder.path().display().to_string(),
        time: running.now(),
        started: shared.started,
        epoch: running.log().last_epoch(),
        tags: site.tags.len(),
        dropped_rows: running.intake().dropped_rows(),
        clock_steps: running.intake().clock_steps(),
        pipelines: running.status().into_iter().map(pipeline).collect(),
        connections: running.feeders().into_iter().map(connection).collect(),
        datasets: shared
            .history
            .all()
            .into_iter()
            .map(|(name, historian)| {
                let stats = historian.stats();
                let manifest = historian.snapshot().manifest;
                DatasetState {
                    name,
                    rows: stats.rows,
                    files: manifest.files.len(),
                    bytes: manifest.files.iter().map(|file| file.bytes).sum(),
                    buffered_bytes: stats.buffered_bytes,
                    errors: stats.errors,
                    last_error: stats.last_error,
                    merge_error: stats.merge_error,
                }
            })
            .collect(),
    }
}

fn pipeline(status: PipelineStatus) -> PipelineState {
    PipelineState {
        id: status.id.to_string(),
        done: status.done,
        restarts: status.restarts,
        lost_entries: status.lost_entries,
        nodes: status.nodes.into_iter().map(node).collect(),
    }
}

fn node(status: NodeStatus) -> NodeState {
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
    NodeState {
        id: status.id.to_string(),
        operator: status.operator.to_owned(),
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
    ConnectionState { name: status.name, failures: status.failures, ended: status.ended }
}
