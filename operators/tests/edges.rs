//! Sources, sinks and connections in whole sites: from files to devices and back to files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::operator::Resources;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use ducto_operators::sinks::Historians;
use ducto_runtime::{ClockMode, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use modbus::{Address, Order, Registers, Server, Table, Value, ValueType};

/// Writes a site's files and checks them; the report is without the folder's path.
fn load(folder: &Path, files: &[(&str, &str)]) -> (Option<Arc<Site>>, String) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let site = load_site(folder, &ducto_operators::registry(), &mut sources, &mut found);
    let report = found.render(&sources, false).replace(&folder.display().to_string(), "site");
    (site, report)
}

struct Run {
    site: RunningSite,
    historians: Arc<Historians>,
}

fn start(site: &Arc<Site>, data: &Path, mode: ClockMode) -> Run {
    let folder = Arc::new(DataFolder::open(data).unwrap());
    let historians = Arc::new(Historians::open(folder.clone()).unwrap());
    let last_epoch = historians.last_epoch();
    let mut resources = Resources::default();
    resources.insert(folder);
    resources.insert(historians.clone());
    let options = Options { mode, last_epoch, resources, feeders: true, sinks: SinkChoice::All, durable: None };
    let site = RunningSite::start(site, &ducto_operators::registry(), options).unwrap();
    Run { site, historians }
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

const REPLAY: &[(&str, &str)] = &[
    ("site.yaml", "site: TEST\nassets: [wells.csv]\ninclude: [t.yaml]\npipelines: [{use: in}, {use: out}]\n"),
    (
        "t.yaml",
        "templates:\n  rtu:\n    kind: well\n    connection: {type: modbus, endpoint: \"tcp://127.0.0.1:1\"}\n    tags:\n      THP: {address: 40001, as: f32, unit: psig}\n      RUN: {address: 10001, as: bool}\n",
    ),
    ("wells.csv", "asset;template;enabled\nW1;rtu;no\nW2;rtu;no\n"),
    (
        "pipelines/in.yaml",
        "pipeline: in\nsources:\n  recorded: {type: replay, files: [rec/*.csv], time_format: s}\nsinks:\n  history: {type: historian, inputs: [recorded], dataset: history, commit_every: 10s}\n  all: {type: file, inputs: [recorded], path: all.csv}\n",
    ),
    (
        "pipelines/out.yaml",
        "pipeline: out\nsources:\n  stored: {type: dataset, dataset: history}\nsinks:\n  copy: {type: file, inputs: [stored], path: copy.csv}\n",
    ),
    ("rec/a.csv", "time,W1.THP,W2.THP\n0,1,2\n5,3,4\n12,5,6\n25,7,8\n"),
    ("rec/b.csv", "time,tag,value\n5,W1.RUN,true\n40,W1.THP,9\n45,W1.THP,9\n"),
];

#[test]
fn datasets_that_would_hide_others_are_refused_with_their_place() {
    for (names, expected) in [
        (["minutes", "minutes_revisions"], "a view of a dataset `minutes` has this name"),
        (["minutes", "minutes_with_tags"], "write `minutes_with_tags_rows`"),
        (["tags", "history"], "the table of tags has this name"),
        (["history", "information_schema"], "SQL keeps what it knows"),
        (["History", "history"], "with a letter first: `history`"),
        (["order", "history"], "say more: `order_rows`"),
        (["history", "history_bool"], "history_bool"),
        (["history_bool", "history"], "history_bool"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = REPLAY.to_vec();
        let text = format!(
            "pipeline: in\nsources:\n  wells: {{type: tags, where: \"variable = 'THP'\"}}\n  pumps: {{type: tags, where: \"variable = 'RUN'\"}}\n\
             sinks:\n  a: {{type: historian, inputs: [wells], dataset: {}}}\n  \
             b: {{type: historian, inputs: [pumps], dataset: {}}}\n",
            names[0], names[1]
        );
        files.retain(|(name, _)| !name.starts_with("pipelines/"));
        files[0].1 = "site: TEST\nassets: [wells.csv]\ninclude: [t.yaml]\npipelines: [{use: in}]\n";
        files.push(("pipelines/in.yaml", &text));
        let (site, report) = load(folder.path(), &files);
        assert!(site.is_none(), "{names:?}");
        assert!(report.contains("E0372") && report.contains(expected), "{names:?}: {report}");
        assert!(report.contains("in.yaml:6:") || report.contains("in.yaml:7:"), "{report}");
    }
}

#[test]
fn a_recording_is_stored_and_its_commits_are_read_by_another_graph() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (site, report) = load(folder.path(), REPLAY);
    let site = site.unwrap_or_else(|| panic!("{report}"));
    let mut run = start(&site, &data, ClockMode::Virtual);
    wait("the end of the recording", || {
        run.site.feeders().iter().find(|feeder| feeder.name == "in.recorded").is_some_and(|feeder| feeder.ended)
    });
    run.site.end_of_input();
    run.site.stop().unwrap();
    let all = fs::read_to_string(data.join("all.csv")).unwrap();
    assert_eq!(all.lines().count(), 1 + 11, "{all}");
    assert!(all.contains("1970-01-01T00:00:05Z,W1.RUN,true,192,0\n"), "{all}");
    // What was committed while the recording went on has come, and the last commit too.
    let copy = fs::read_to_string(data.join("copy.csv")).unwrap();
    let lines = |text: &str, time: &str| text.lines().filter(|line| line.contains(time)).count();
    assert_eq!(lines(&copy, "T00:00:40Z"), 1, "{copy}");
    assert_eq!(lines(&copy, "T00:00:45Z"), 1, "{copy}");
    assert_eq!(copy.lines().count(), all.lines().count(), "{copy}");
    let stored = |name: &str| run.historians.get(name).unwrap().snapshot().manifest.rows();
    assert_eq!((stored("history"), stored("history_bool")), (10, 1));
    // The entries of a second run are numbered above those that are held, or they would be skipped.
    drop(run);
    let mut again = start(&site, &data, ClockMode::Virtual);
    let last = again.historians.last_epoch();
    assert!(last >= 7, "{last}");
    wait("the second recording", || {
        again.site.feeders().iter().find(|feeder| feeder.name == "in.recorded").is_some_and(|feeder| feeder.ended)
    });
    again.site.stop().unwrap();
    assert_eq!(again.historians.get("history").unwrap().snapshot().manifest.rows(), 20);
}

#[test]
fn a_device_is_read_and_kept() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registers = Arc::new(Registers::new());
    let server = runtime.block_on(Server::bind("127.0.0.1:0", registers.clone())).unwrap();
    for unit in [1, 2] {
        let at = Address { table: Table::HoldingRegisters, offset: 0 };
        registers.set_value(unit, at, ValueType::F32, Order::Cdab, &Value::Float(f64::from(unit) * 100.0)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let template = format!(
        "templates:\n  rtu:\n    kind: well\n    parameters: {{unit_id: {{type: integer}}}}\n    connection: {{type: modbus, endpoint: \"tcp://{}\", unit_id: \"${{unit_id}}\", order: CDAB, addressing: 40001, scan: 100ms}}\n    tags:\n      THP: {{address: 40001, as: f32, unit: psig}}\n",
        server.local_addr()
    );
    let (site, report) = load(
        folder.path(),
        &[
            (
                "site.yaml",
                "site: TEST\nassets: [wells.csv]\ninclude: [t.yaml]\npipelines: [{use: keep}, {use: copy}]\n",
            ),
            (
                "pipelines/copy.yaml",
                "pipeline: copy\nsources:\n  stored: {type: dataset, dataset: history}\nsinks:\n  lines: {type: file, inputs: [stored], path: copy.jsonl}\n",
            ),
            ("t.yaml", &template),
            ("wells.csv", "asset;template;unit_id\nW1;rtu;1\nW2;rtu;2\n"),
            (
                "pipelines/keep.yaml",
                "pipeline: keep\nsources:\n  field: {type: tags}\nsinks:\n  history: {type: historian, inputs: [field], dataset: history, commit_every: 1s}\n  lines: {type: file, inputs: [field], path: lines.jsonl}\n  log: {type: log, inputs: [field], level: trace}\n",
            ),
        ],
    );
    let site = site.unwrap_or_else(|| panic!("{report}"));
    let data = folder.path().join("data");
    let mut run = start(&site, &data, ClockMode::Wall);
    let history = run.historians.get("history").unwrap();
    wait("a commit", || history.snapshot().manifest.rows() > 4);
    assert_eq!(server.accepted(), 1, "two wells at one endpoint share the socket");
    run.site.stop().unwrap();
    let lines = fs::read_to_string(data.join("lines.jsonl")).unwrap();
    for (tag, value) in [("W1.THP", "100.0"), ("W2.THP", "200.0")] {
        let good = format!("\"tag\":\"{tag}\",\"value\":{value},\"quality\":192");
        assert!(lines.contains(&good), "no {good} in {lines}");
    }
    assert_eq!(history.snapshot().manifest.rows() as usize, lines.lines().count(), "every sample is stored once");
    let copy = fs::read_to_string(data.join("copy.jsonl")).unwrap();
    assert_eq!(copy.lines().count(), lines.lines().count(), "and read once, those of the last commit too");
}

#[test]
fn what_is_wrong_is_reported_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (site, report) = load(
        folder.path(),
        &[
            ("site.yaml", "site: TEST\nassets: [wells.csv]\ninclude: [t.yaml]\npipelines: [{use: p}]\n"),
            (
                "t.yaml",
                "templates:\n  rtu:\n    kind: well\n    connection: {type: modbus, endpoint: \"rtu://ttyS0\", order: CDAB, scan: 10ms}\n    tags:\n      A: {address: 40001, as: f32}\n      B: {address: 40002, as: f32}\n      C: {address: 20001, as: u16}\n      D: {address: 40010, as: u16, scale: 0}\n      E: {address: 40020, as: f32, colour: red}\n",
            ),
            ("wells.csv", "asset;template\nW1;rtu\n"),
            (
                "pipelines/p.yaml",
                "pipeline: p\nsources:\n  field: {type: tags}\n  old: {type: replay, files: [none.csv]}\n  data: {type: dataset, dataset: histori}\nsinks:\n  history: {type: historian, inputs: [field], dataset: History}\n  lines: {type: file, inputs: [field, old], path: lines.dat}\n",
            ),
        ],
    );
    assert!(site.is_none());
    for code in ["E0376", "E0304", "E0374", "E0373", "E0375", "E0201", "E0101", "E0260", "E0372", "E0302"] {
        assert!(report.contains(code), "{code} is missing:\n{report}");
    }
}

#[test]
fn sinks_of_one_dataset_agree_and_store_each_row_once() {
    let check = |pipeline: &str| {
        let folder = tempfile::tempdir().unwrap();
        let template = "templates:\n  well: {kind: well, tags: {P: {}, Q: {}}}\n";
        let files = [
            ("site.yaml", "site: TEST\nassets: [wells.csv]\ninclude: [t.yaml]\npipelines: [{use: p}]\n"),
            ("t.yaml", template),
            ("wells.csv", "asset;template\nW1;well\n"),
            ("pipelines/p.yaml", pipeline),
        ];
        let (site, report) = load(folder.path(), &files);
        (site.is_some(), report)
    };
    let sources = "pipeline: p\nsources:\n  p: {type: tags, where: \"variable = 'P'\"}\n  q: {type: tags, where: \"variable = 'Q'\"}\n";
    let sinks = |q: &str| {
        format!(
            "{sources}sinks:\n  a: {{type: historian, inputs: [p], dataset: history, keep: {{age: 90d}}}}\n  b: {{type: historian, inputs: [q], dataset: history{q}}}\n"
        )
    };
    let (sound, report) = check(&sinks(", keep: {age: 90d}, commit_every: 1m"));
    assert!(sound, "{report}");
    let (_, report) = check(&sinks(""));
    assert!(report.contains("E0268") && report.contains("different `keep.age`: 90d, and everything"), "{report}");
    let (_, report) = check(&sinks(", keep: {age: 90d}, commit_every: 5m"));
    assert!(report.contains("E0268") && report.contains("different `commit_every`"), "{report}");

    let transforms = "transforms:\n  checked: {type: quality, inputs: [p]}\n  short: {type: aggregate, inputs: [p], every: 1s, outputs: [count]}\n  long: {type: aggregate, inputs: [p], every: 2s, outputs: [count]}\n";
    let sink = |inputs: &str| {
        check(&format!("{sources}{transforms}sinks:\n  a: {{type: historian, inputs: [{inputs}], dataset: stored}}\n"))
    };
    assert!(sink("p, q").0);
    for (inputs, what) in [
        ("p, checked", "would store `W1.P` twice in the dataset `stored`: from `p` and from `checked`"),
        ("short, long", "from `short` and from `long`"),
        ("q, checked, p", "from `checked` and from `p`"),
    ] {
        let (sound, report) = sink(inputs);
        assert!(!sound && report.contains("E0261") && report.contains(what), "{inputs}: {report}");
    }
}
