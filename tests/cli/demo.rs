//! The demo, from the binary alone.

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Background, eventually, run};

#[test]
fn a_minute_shows_what_the_guide_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Background::start(folder.path(), &["demo", "--data", "d"]);
    demo.line("20 wells, a separator and a test separator");
    demo.line("Ctrl-C stops it");
    // Live values: a line for each well, those of a dead device without numbers.
    let well = demo.line("WELL-001");
    assert!(well.split_whitespace().skip(1).all(|cell| cell.parse::<f64>().is_ok()), "{well}");
    assert!(demo.line("WELL-020").contains("-!"));
    // An alarm is raised, acknowledged and cleared.
    let raised = demo.line("WELL-003.THP.H raised");
    assert!(raised.contains("(limit 500.0)"), "{raised}");
    let acknowledged = demo.line("WELL-003.THP.H acknowledged");
    assert!(acknowledged.contains("shift: seen"), "{acknowledged}");
    demo.line("WELL-003.THP.H returned");
    let bad = |tag: &str, quality: u32| {
        let sql = format!("SELECT count(*) AS n FROM history WHERE tag = '{tag}' AND quality = {quality}");
        eventually(tag, || {
            run(folder.path(), &["query", &sql, "--data", "d", "--json"]).expect(0).json()[0]["n"]
                .as_u64()
                .filter(|n| *n > 0)
        })
    };
    bad("WELL-002.THP", 16);
    bad("WELL-004.CHP", 88);
    bad("WELL-005.THP", 24);
    bad("WELL-009.THP", 12);
    // A dead device harms nobody: its own tags are bad throughout, and its neighbours' are read all the time.
    let sql = "SELECT tag, count(*) AS n, sum(CASE WHEN quality = 192 THEN 1 ELSE 0 END) AS good FROM history
        WHERE tag IN ('WELL-019.THP', 'WELL-020.THP') GROUP BY tag ORDER BY tag";
    let rows = run(folder.path(), &["query", sql, "--data", "d", "--json"]).expect(0).json();
    let of = |row: usize, column: &str| rows[row][column].as_u64().unwrap();
    assert!(of(0, "good") >= 30 && of(0, "n") - of(0, "good") <= 3, "{rows}");
    assert_eq!(of(1, "good"), 0);
    // The gas lock waits for somebody, who comes.
    eventually("the alarm of WELL-006", || {
        let listed = run(folder.path(), &["alarms", "--data", "d"]).expect(0).stdout;
        listed.contains("WELL-006.ESP_CURRENT.L").then_some(())
    });
    let ack = ["alarms", "ack", "WELL-006.*", "--reason", "gas vented", "--data", "d"];
    run(folder.path(), &ack).expect(0);
    let meters = "SELECT count(*) AS n FROM history WHERE tag = 'SEP-01.OIL_RATE' AND value > 1000";
    assert!(
        run(folder.path(), &["query", meters, "--data", "d", "--json"]).expect(0).json()[0]["n"].as_u64() > Some(9)
    );
    run(folder.path(), &["explain", "d/site", "WELL-004.CHP"]).expect(0);
    run(folder.path(), &["check", "d/site"]).expect(0);
    demo.signal(Signal::INT);
    let finished = demo.wait().expect(0);
    assert!(finished.stdout.contains("stopped after"), "{finished:?}");
}

#[test]
fn a_second_demo_is_told_what_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Background::start(folder.path(), &["demo", "--json"]);
    first.line("\"started\"");
    // The same folder cannot be had, and the message says what to do.
    let refused = run(folder.path(), &["demo", "--for", "1s"]).expect(4);
    assert!(refused.stderr.contains("in use by process") && refused.stderr.contains("--data"), "{refused:?}");
    // Another folder can, on ports of its own; programs get an object a line, and an end.
    let second = run(folder.path(), &["demo", "--data", "data/other", "--for", "6s", "--json"]).expect(0);
    let lines: Vec<Value> = second.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!((events.first(), events.last()), (Some(&"started"), Some(&"stopped")));
    assert!(events.contains(&"field") && events.contains(&"quality"), "{events:?}");
    // Each reads its own devices.
    let endpoint = |data: &str| {
        let template = std::fs::read_to_string(folder.path().join(data).join("site/templates/esp-well.yaml")).unwrap();
        let at = template.find("tcp://").unwrap();
        template[at..].split('"').next().unwrap().to_owned()
    };
    assert_ne!(endpoint("data/demo"), endpoint("data/other"));
    let text = run(folder.path(), &["demo", "--data", "data/third", "--for", "1s"]).expect(0);
    let moved = endpoint("data/third") != "tcp://127.0.0.1:5020";
    assert_eq!(text.stderr.contains("127.0.0.1:5020 is in use, so the devices are at"), moved, "{text:?}");
    first.signal(Signal::INT);
    first.wait().expect(0);
}
