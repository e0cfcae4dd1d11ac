//! The demo, from the binary alone.

use rustix::process::Signal;

use crate::command::{Background, eventually, run};

#[test]
fn a_minute_shows_what_the_guide_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Background::start(folder.path(), &["demo", "--data", "d"]);
    demo.line("Ctrl-C stops it");
    let raised = demo.line("WELL-003.THP.H raised");
    assert!(raised.contains("(limit 2500)"), "{raised}");
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
    let listed = run(folder.path(), &["alarms", "--data", "d"]).expect(0).stdout;
    assert!(listed.contains("WELL-003.THP.H"), "{listed}");
    run(folder.path(), &["explain", "d/site", "WELL-004.CHP"]).expect(0);
    run(folder.path(), &["check", "d/site"]).expect(0);
    demo.signal(Signal::INT);
    demo.wait().expect(0);
}
