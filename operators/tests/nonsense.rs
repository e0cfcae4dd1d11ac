//! Numbers and settings that make no sense: each is refused with a code, at its place, with what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::load::load_site;
use ducto_graph::source::Sources;

/// What is found in a site with one tag and one pipeline, and the text at each place.
fn found(tag: &str, nodes: &str) -> Vec<(Diagnostic, String)> {
    found_over(tag, nodes, "")
}

/// The same with a table of overrides.
fn found_over(tag: &str, nodes: &str, overrides: &str) -> Vec<(Diagnostic, String)> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("assets.csv", "asset;template\nW1;t\nW2;t\nW3;t\n");
    write(
        "site.yaml",
        &format!(
            "site: S\nunits: {{atmospheric_pressure: 14.0 psia}}\nassets: [assets.csv]\npipelines: [{{use: p}}]\n\
             templates:\n  t:\n    kind: well\n    connection: {{type: modbus, endpoint: \"tcp://127.0.0.1:502\"}}\n    \
             tags:\n      THP: {{address: 40001, as: f32, unit: psig, {tag}}}\n"
        ),
    );
    if !overrides.is_empty() {
        write("overrides.csv", overrides);
        let site = fs::read_to_string(folder.path().join("site.yaml")).unwrap();
        write("site.yaml", &site.replace("pipelines: [", "overrides: [overrides.csv]\npipelines: ["));
    }
    fs::create_dir(folder.path().join("pipelines")).unwrap();
    let pipeline = format!("pipeline: p\nsources:\n  field: {{type: tags}}\n{nodes}");
    write("pipelines/p.yaml", &pipeline);
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    load_site(folder.path(), &ducto_operators::registry(), &mut sources, &mut found);
    let text = |found: &Diagnostic| found.place.map(|place| sources.slice(place).to_owned()).unwrap_or_default();
    found.iter().map(|found| (found.clone(), text(found))).collect()
}

/// Of a good tag or node nothing but what is expected may be found.
#[track_caller]
fn refused(tag: &str, nodes: &str, code: &str, place: &str, words: &str) {
    const LOG: &str = "sinks:\n  log: {type: log, inputs: [field]}\n";
    let all = found(tag, if nodes.is_empty() { LOG } else { nodes });
    let errors: Vec<_> = all.iter().filter(|(found, _)| found.code.id().starts_with('E')).collect();
    let [(one, text)] = errors[..] else { panic!("{tag}{nodes}: {all:#?}") };
    assert_eq!((one.code.id(), text.as_str()), (code, place), "{tag}{nodes}: {one:#?}");
    assert!(one.message.contains(words), "{tag}{nodes}: {}", one.message);
    assert!(one.help.is_some(), "{tag}{nodes}: no help");
}

#[test]
fn checks_of_tags() {
    for (checks, code, place, words) in [
        ("stale: {scans: -1}", "E0304", "-1", "no number of scans"),
        ("stale: 0", "E0304", "0", "no number of scans"),
        ("stale: {after: 0s}", "E0304", "0s", "`after` must be longer"),
        ("frozen: {for: 0s}", "E0304", "0s", "`for` must be longer"),
        ("frozen: 0s", "E0304", "0s", "`for` must be longer"),
        ("frozen: {for: 1m, fail_for: 0s}", "E0304", "0s", "`fail_for` must be longer"),
        ("frozen: {for: 10m, fail_for: 5m}", "E0304", "5m", "failed after 5m"),
        ("frozen: {repeats: 0}", "E0304", "0", "every sample"),
        ("frozen: {tolerance: -1}", "E0304", "-1", "negative"),
        ("gap: 0s", "E0304", "0s", "`span` must be longer"),
        ("jump: -1", "E0304", "-1", "negative"),
        ("jump: {limit: 5, rearm: 0}", "E0302", "0", "no number of samples"),
        ("rate: -5", "E0304", "-5", "negative"),
        ("spike: {min: 1, window: 2}", "E0304", "2", "a window of 2"),
        ("spike: {min: 1, window: 256}", "E0304", "256", "a window of 256"),
        ("spike: {min: 1, k: -1}", "E0304", "-1", "`k: -1`"),
        ("spike: {k: 3}", "E0303", "spike", "needs `min`"),
        ("jump: {limit: 5, as: 500}", "E0302", "500", "no OPC DA code"),
        ("jump: {limit: 5, as: 130}", "E0302", "130", "no OPC DA code"),
    ] {
        refused(&format!("checks: {{{checks}}}"), "", code, place, words);
    }
}

#[test]
fn alarms_of_tags() {
    for (settings, code, place, words) in [
        ("span: [0, 100], alarms: {H: {limit: 80, deadband: 90}}", "E0349", "90", "never clear"),
        ("span: [0, 100], alarms: {L: {limit: 20, deadband: 81}}", "E0349", "81", "never clear"),
        ("alarms: {rate: {limit: 5, deadband: 6}}", "E0349", "6", "never clear"),
        ("alarms: {H: {limit: 80, deadband: -1}}", "E0304", "-1", "negative"),
        ("alarms: {H: 10 bar}", "E0340", "10 bar", "`bar` (a difference, neither gauge nor absolute) and `psig`"),
        ("alarms: {H: 10 Hz}", "E0340", "10 Hz", "measure different things"),
        ("order: GHEFCDAB", "E0377", "GHEFCDAB", "eight bytes"),
    ] {
        refused(settings, "", code, place, words);
    }
    let all = found("alarms: {H: 10 bar}", "sinks:\n  log: {type: log, inputs: [field]}\n");
    assert_eq!(all[0].0.help.as_deref(), Some("write `10 barg` if that is meant"));
}

#[test]
fn settings_of_nodes() {
    let transform = |fields: &str| {
        format!("transforms:\n  node: {{inputs: [field], {fields}}}\nsinks:\n  log: {{type: log, inputs: [node]}}\n")
    };
    for (fields, code, place, words) in [
        ("type: aggregate, every: 1m, wait: 10s, cutoff: 5s", "E0349", "5s", "corrected until 5s"),
        ("type: aggregate, every: 0s", "E0304", "0s", "windows last"),
        ("type: aggregate, every: 1m, total_per: 0s", "E0304", "0s", "`total_per`"),
        ("type: rate_of_change, window: 0s", "E0304", "0s", "`window`"),
        ("type: rate_of_change, window: 1m, min_samples: 1", "E0304", "1", "at least 2"),
        ("type: align, every: 0s, max_age: 1s, columns: {thp: THP}", "E0304", "0s", "`every`"),
        (
            "type: align, every: 1s, max_age: 1s, columns: {x: {of: THP, mean: 0s}}",
            "E0304",
            "{of: THP, mean: 0s}",
            "window",
        ),
        (
            "type: align, every: 1s, max_age: 1s, columns: {x: {of: THP, min_good: 80}}",
            "E0303",
            "{of: THP, min_good: 80}",
            "share",
        ),
    ] {
        refused("scan: 1s", &transform(fields), code, place, words);
    }
    for (fields, code, place, words) in [
        ("type: historian, dataset: h, keep: {age: 5m}", "E0304", "5m", "only just stored"),
        ("type: historian, dataset: h, keep: {size: 0}", "E0304", "0", "nothing would be kept"),
        ("type: file, path: a.csv, rotate: {size: 0}", "E0304", "0", "a file for each line"),
        ("type: webhook, url: example.com/in", "E0376", "example.com/in", "it is no URL"),
        ("type: webhook, url: \"ftp://example.com\"", "E0376", "\"ftp://example.com\"", "neither http nor https"),
        ("type: webhook, url: \"https://me:x@a.b\"", "E0376", "\"https://me:x@a.b\"", "`https://***@a.b`"),
        ("type: webhook, url: \"http://a.b\", class: 5", "E0304", "5", "no class 5"),
        ("type: webhook, url: \"http://a.b\", timeout: 1h", "E0304", "1h", "no time to wait"),
        ("type: webhook, url: \"http://a.b\", batch_every: 1h", "E0304", "1h", "hold back the checkpoints"),
        ("type: webhook, url: \"http://a.b\", batch_size: 1GB", "E0304", "1GB", "no size of a request"),
        ("type: webhook, url: \"http://a.b\", headers: {\"a b\": x}", "E0302", "\"a b\"", "cannot be a header"),
        ("type: webhook, url: \"http://a.b\", headers: {Host: x}", "E0302", "Host", "sets it itself"),
        (
            "type: webhook, url: \"http://a.b\", headers: {Authorization: \"secret://file/none\"}",
            "E0117",
            "\"secret://file/none\"",
            "cannot be read",
        ),
    ] {
        refused("scan: 1s", &format!("sinks:\n  sink: {{inputs: [field], {fields}}}\n"), code, place, words);
    }
    let never = transform("type: aggregate, every: 1m, wait: 10s, cutoff: 0s");
    assert!(found("scan: 1s", &never).is_empty(), "`0s` is never");
}

#[test]
fn one_mistake_of_a_template_is_told_once() {
    let tags = "span: [0, 5000]}\n      CHP: {address: 40002, as: f32";
    let all = found(tags, "sinks:\n  log: {type: log, inputs: [field]}\n");
    let [(overlap, text)] = &all[..] else { panic!("{all:#?}") };
    assert_eq!((overlap.code.id(), text.as_str()), ("E0374", "40002"));
    assert!(overlap.message.contains("W1.CHP"), "{}", overlap.message);
    let notes: Vec<&str> = overlap.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(notes.contains(&"the same holds for 2 other assets: `W2`, `W3`"), "{notes:?}");
}

/// Tags that share a definition are as wrong as those that an override gave one of their own.
#[test]
fn a_mistake_of_a_template_counts_every_tag_behind_overrides() {
    let all = found_over(
        "alarms: {H: 10 Hz}",
        "sinks:\n  log: {type: log, inputs: [field]}\n",
        "tag;field;value\nW2.THP;scan;2s\n",
    );
    let [(wrong, _)] = &all[..] else { panic!("{all:#?}") };
    let notes: Vec<&str> = wrong.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(notes.contains(&"the same holds for 2 other tags: `W3.THP`, `W2.THP`"), "{notes:?}");
}

#[test]
fn the_outbox_of_a_site() {
    let folder = tempfile::tempdir().unwrap();
    for (section, code, words) in [
        ("{size: 0}", "E0304", "nothing could wait"),
        ("{classes: {\"5\": 1MB}}", "E0202", "`5` is no class"),
        ("{classes: {4: 0}}", "E0304", "nothing could wait"),
    ] {
        fs::write(folder.path().join("site.yaml"), format!("site: S\noutbox: {section}\n")).unwrap();
        let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
        load_site(folder.path(), &ducto_operators::registry(), &mut sources, &mut found);
        let all: Vec<_> = found.iter().collect();
        let [one] = all[..] else { panic!("{section}: {all:#?}") };
        assert!(one.code.id() == code && one.message.contains(words) && one.help.is_some(), "{section}: {one:#?}");
    }
}
