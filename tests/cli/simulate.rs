//! `simulate`: the field by itself, its recordings, its load, and the sites that read it.

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, eventually, run};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_registers_are_printed() {
    let folder = folder();
    let text = run(folder.path(), &["simulate", "--map"]).expect(0).stdout;
    for model in ["esp-controller: ", "well-rtu: ", "separator-rtu: "] {
        assert!(text.contains(model), "{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("40001    THP") && line.contains("f32")), "{text}");
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 110, "{widest}");
    let json = run(folder.path(), &["simulate", "--map", "--json"]).expect(0).stdout;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["model"], &first["order"]), (&"esp-controller".into(), &"CDAB".into()));
}

#[test]
fn a_site_that_was_written_reads_the_field() {
    let folder = folder();
    std::fs::write(
        folder.path().join("two.yaml"),
        "simulation: two\nwells: {count: 2, each: {WELL-002: {device: well-rtu}}}\nspeed: 10\nevents:\n  - {at: 1s, well: WELL-001, event: stop}\n",
    )
    .unwrap();
    let arguments = ["simulate", "two.yaml", "--listen", "127.0.0.1:0", "--write-site", "site", "--json"];
    let mut field = Background::start(folder.path(), &arguments);
    let listening: Value = serde_json::from_str(&field.line("listening")).unwrap();
    assert_eq!((&listening["wells"], &listening["speed"]), (&2.into(), &10.0.into()));
    let stops: Value = serde_json::from_str(&field.line("pump stops")).unwrap();
    assert_eq!((&stops["asset"], &stops["what"]), (&"WELL-001".into(), &"stop".into()));
    run(folder.path(), &["check", "site", "two.yaml"]).expect(0);
    let mut site = Background::start(folder.path(), &["run", "site"]);
    site.line("Ctrl-C");
    let rows = eventually("both wells", || {
        let sql = "SELECT tag, max(value) AS high FROM history WHERE tag LIKE '%.THP' AND quality = 192 GROUP BY tag";
        let finished = run(folder.path(), &["query", sql, "--json"]);
        let rows = (finished.code == Some(0)).then(|| finished.json())?;
        (rows.as_array()?.len() == 2).then_some(rows)
    });
    for row in rows.as_array().unwrap() {
        assert!((20.0..2_000.0).contains(&row["high"].as_f64().unwrap()), "{rows}");
    }
    site.signal(Signal::INT);
    site.wait().expect(0);
    field.signal(Signal::INT);
    let finished = field.wait().expect(0);
    let stopped: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert!(stopped["requests"].as_u64().unwrap() > 4, "{stopped}");
    // Written once.
    let again = run(folder.path(), &arguments).expect(4);
    assert!(again.stderr.contains("site.yaml") && again.stderr.contains("not written over"), "{again:?}");
}

#[test]
fn what_cannot_be_is_said_at_once() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(folder.path(), &["simulate", "--listen", &address, "--for", "1s"]).expect(5);
    assert!(finished.stderr.contains(&address) && finished.stderr.contains("in use"), "{finished:?}");
    let finished = run(folder.path(), &["simulate", "--load", "2x2", "--listen", &address, "--for", "1s"]).expect(5);
    assert!(finished.stderr.contains("in use"), "{finished:?}");
    run(folder.path(), &["simulate", "--listen", "here", "--for", "1s"]).expect(2);
    for arguments in [
        &["--load", "1000"][..],
        &["--load", "2x2", "--wells", "3"],
        &["--speed", "0"],
        &["--wells", "0"],
        &["--every", "1s"],
        &["--record", "x.csv"],
        &["--record", "x.doc", "--for", "1m"],
        &["--map", "--load", "2x2"],
    ] {
        let all: Vec<&str> = ["simulate"].iter().chain(arguments).copied().collect();
        let finished = run(folder.path(), &all).expect(2);
        assert!(finished.stderr.contains("error"), "{finished:?}");
    }
    let finished = run(folder.path(), &["simulate", "nothing.yaml", "--for", "1s"]).expect(3);
    assert!(finished.stderr.contains("nothing.yaml"), "{finished:?}");
    std::fs::write(folder.path().join("s.yaml"), "simulation: s\nevents:\n  - {at: 1s, well: W, event: chok}\n")
        .unwrap();
    let finished = run(folder.path(), &["simulate", "s.yaml", "--for", "1s"]).expect(3);
    assert!(
        finished.stderr.contains("s.yaml:3:30") && finished.stderr.contains("did you mean `choke`?"),
        "{finished:?}"
    );
    let finished = run(folder.path(), &["check", "."]).expect(1);
    assert!(finished.stdout.starts_with("1 simulation: 1 error"), "{finished:?}");
}

#[test]
fn a_recording_goes_through_a_graph() {
    let folder = folder();
    let arguments = ["simulate", "--wells", "2", "--record", "hour.parquet", "--for", "1h", "--every", "1m", "--json"];
    let recorded = run(folder.path(), &arguments).expect(0).json();
    assert_eq!((&recorded["tags"], &recorded["seconds"]), (&64.into(), &3_600.0.into()));
    assert_eq!(recorded["rows"], 60 * 64);
    let replay = ["replay", "well-monitoring", "--input", "hour.parquet", "--data", "d"];
    let finished = run(folder.path(), &replay);
    // Without a site every tag is of float64 and of no kind, so that the graph for wells takes none of them.
    assert_eq!(finished.code, Some(0), "{finished:?}");
    std::fs::write(
        folder.path().join("keep.yaml"),
        "pipeline: keep\nsources:\n  field: {type: tags}\nsinks:\n  history: {type: historian, inputs: [field], dataset: history}\n",
    )
    .unwrap();
    run(folder.path(), &["replay", "keep.yaml", "--input", "hour.parquet", "--data", "kept"]).expect(0);
    let sql = "SELECT count(*) AS n, min(value) AS low, max(value) AS high FROM history WHERE tag = 'WELL-001.THP'";
    let rows = run(folder.path(), &["query", sql, "--data", "kept", "--json"]).expect(0).json();
    assert_eq!(rows[0]["n"], 60);
    assert!(rows[0]["low"].as_f64().unwrap() > 50.0 && rows[0]["high"].as_f64().unwrap() < 1_000.0, "{rows}");
    let text = run(folder.path(), &["simulate", "--wells", "1", "--record", "m.csv", "--for", "2m"]).expect(0).stdout;
    assert!(text.starts_with("m.csv: 540 rows, 45 tags, 2m; took "), "{text}");
}

#[test]
fn load_is_read_by_the_site_that_was_written() {
    let folder = folder();
    let arguments = ["simulate", "--load", "20x130", "--listen", "127.0.0.1:0", "--write-site", "site", "--json"];
    let mut load = Background::start(folder.path(), &arguments);
    let listening: Value = serde_json::from_str(&load.line("listening")).unwrap();
    assert_eq!((&listening["endpoints"], &listening["tags"]), (&20.into(), &130.into()));
    run(folder.path(), &["check", "site"]).expect(0);
    run(folder.path(), &["run", "site", "--for", "3s"]).expect(0);
    load.signal(Signal::INT);
    let finished = load.wait().expect(0);
    let stopped: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(stopped["connections"], 20);
    // Three requests for 260 registers, at least once for each endpoint.
    assert!(stopped["requests"].as_u64().unwrap() >= 60, "{stopped}");
}
