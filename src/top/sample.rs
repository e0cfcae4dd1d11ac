//! A site as it might be, for tests of what is drawn.

use ducto_site::protocol::{
    ClientState, ConnectionState, DatasetState, LinkStatus, LogStatus, MemoryState, NodeState, OutboxState,
    PipelineState, PortState, Status,
};

/// 2026-01-01 15:00:00 UTC.
pub(super) const NOW: i64 = 1_767_279_600_000_000;

fn node(id: &str, operator: &str, inputs: &[&str], rate: u64, at: u64) -> NodeState {
    let sink = operator == "historian";
    let ports = if sink {
        Vec::new()
    } else {
        vec![PortState { name: "main".to_owned(), samples: matches!(operator, "tags" | "quality") }]
    };
    NodeState {
        id: id.to_owned(),
        operator: operator.to_owned(),
        inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        ports,
        dataset: sink.then(|| id.to_owned()),
        rows_in: rate * at,
        batches_in: at * rate.min(20),
        rows_out: if sink { 0 } else { rate * at },
        batches_out: at * rate.min(20),
        nanoseconds: at * rate * 7_000,
        ..NodeState::default()
    }
}

/// The site so many seconds after its start.
pub(super) fn status(at: u64) -> Status {
    let mut checked = node("checked", "quality", &["field"], 160, at);
    checked.drops.insert("late".to_owned(), 12);
    let mut events = node("events", "historian", &["alarms"], 0, at);
    events.queued = 3;
    events.errors = 1;
    let link = |state: &str, silent: u32| LinkStatus {
        state: state.to_owned(),
        devices: 20,
        silent,
        requests: 40 * at,
        errors: [("timeout".to_owned(), u64::from(silent) * at), ("exception 2".to_owned(), 1)].into(),
        overruns: 0,
        round_trip: Some(3_200),
        utilisation: Some(0.12),
        last_error: (silent > 0).then(|| "unit 5 has not answered within 1s; check the unit id".to_owned()),
    };
    Status {
        site: "FIELD-NORTE-001".to_owned(),
        version: "0.1.0".to_owned(),
        process: 7,
        language: "en".to_owned(),
        time_zone: "America/Bogota".to_owned(),
        data: "data/FIELD-NORTE-001".to_owned(),
        time: NOW + at as i64 * 1_000_000,
        started: NOW,
        epoch: 9_000 + 20 * at,
        tags: 168,
        dropped_rows: 0,
        clock_steps: 0,
        alarms: Vec::new(),
        disk: ducto_site::protocol::DiskState::default(),
        cpu: 31_000 * at,
        log: LogStatus {
            rows: 160 * at,
            durable: 9_000 + 20 * at - 1,
            entries: 200,
            bytes: 3 << 20,
            capacity: 32 << 20,
            waiting: 4_096,
            waiting_capacity: 8 << 20,
        },
        memory: MemoryState { budget: 128_000_000, buffers: 5 << 20, resident: 84 << 20 },
        clients: ClientState { connections: 2, taps: 1, missed_rows: 0 },
        pipelines: vec![PipelineState {
            id: "well-monitoring".to_owned(),
            done: 9_000 + 20 * at - 1,
            behind: 1,
            lag: 1_400,
            restarts: 0,
            lost_entries: 0,
            nodes: vec![
                node("field", "tags", &[], 160, at),
                checked,
                node("alarms", "alarm", &["checked"], 0, at),
                node("minutes", "aggregate", &["checked"], 3, at),
                node("history", "historian", &["checked"], 160, at),
                node("tier", "historian", &["minutes"], 3, at),
                events,
            ],
        }],
        connections: vec![
            ConnectionState {
                name: "modbus 127.0.0.1:5020".to_owned(),
                tags: 160,
                rows: 150 * at,
                link: Some(link("partial", 1)),
                ..ConnectionState::default()
            },
            ConnectionState {
                name: "modbus separator.campo-norte.example:502".to_owned(),
                tags: 8,
                rows: 8 * at,
                link: Some(link("up", 0)),
                ..ConnectionState::default()
            },
            ConnectionState { name: "replay".to_owned(), rows: 2 * at, ..ConnectionState::default() },
        ],
        datasets: vec![
            DatasetState {
                name: "history".to_owned(),
                rows: 160 * at,
                files: 3,
                bytes: 1_234_567,
                buffered_bytes: 2 << 20,
                last_commit: Some(NOW - 40_000_000),
                errors: 0,
                last_error: None,
                merge_error: None,
            },
            DatasetState { name: "minutes".to_owned(), rows: 3 * at, ..DatasetState::default() },
        ],
        outbox: vec![
            OutboxState {
                stream: "well-monitoring.office".to_owned(),
                endpoint: Some("https://office.example.com/minutes".to_owned()),
                delivered_batches: 4,
                delivered_rows: 3 * at,
                open_rows: 7,
                ..OutboxState::default()
            },
            OutboxState {
                stream: "well-monitoring.pager".to_owned(),
                endpoint: Some("https://pager.example.com/ducto".to_owned()),
                waiting_batches: 12,
                waiting_rows: 340,
                waiting_bytes: 48_000,
                oldest: Some(NOW - 400_000_000),
                lost: [("outbox_full".to_owned(), 60)].into(),
                failures: 9,
                failing_since: Some(NOW - 400_000_000),
                why: Some("it did not answer in time".to_owned()),
                ..OutboxState::default()
            },
        ],
    }
}
