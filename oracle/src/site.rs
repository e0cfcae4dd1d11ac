//! The site of a round.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load::load_site;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;

use crate::Fault;

/// The alarms that people acknowledge, by tag and name.
pub(crate) const ALARMS: [(&str, &str); 4] = [("W1.THP", "H"), (NUMBERS, "H"), ("W2.THP", "HH"), ("W1.THP", "HH")];

/// The streams of what is sent.
pub(crate) const STREAMS: [&str; 2] = ["wells.pager", "wells.office"];

/// The tag of the source that is acknowledged.
pub(crate) const NUMBERS: &str = "D1.N";

const SITE: &str = "\
site: ORACLE
checkpoint_every: 200ms
include: [templates.yaml]
assets: [assets.csv]
pipelines: [{use: wells}, {use: behind}]
";

const ASSETS: &str = "asset;template\nW1;rtu\nW2;rtu\nD1;driver\n";

const WELLS: &str = "\
pipeline: wells
sources:
  field: {type: tags}
transforms:
  checked: {type: quality, inputs: [field]}
  alarms: {type: alarm, inputs: [checked]}
  means: {type: aggregate, inputs: [checked], every: 1s, wait: 50ms, cutoff: 100ms, outputs: [average, minimum, last, count], publish: {last: \"{asset}.{variable}_LAST\"}}
sinks:
  history: {type: historian, inputs: [checked], dataset: history, commit_every: 120ms}
  events: {type: historian, inputs: [alarms], dataset: alarm_events, commit_every: 250ms}
  tier: {type: historian, inputs: [means], dataset: means, commit_every: 150ms}
";

/// What is sent. Both are of one class, so that a disk that is full makes none of them give way to the other; not of the
/// first, for which the journal is written at once: how often that is depends on the machine, and power cuts are counted
/// by operations.
fn sent(url: &str) -> String {
    let sink = |name: &str, input: &str, more: &str| {
        format!("  {name}: {{type: webhook, inputs: [{input}], url: \"{url}\", class: 2, timeout: 300ms{more}}}\n")
    };
    sink("pager", "alarms", ", batch_every: 50ms") + &sink("office", "checked", ", batch_every: 450ms")
}

const BEHIND: &str = "\
pipeline: behind
sources:
  means: {type: dataset, dataset: means}
  published: {type: tags, where: \"variable LIKE '%_LAST'\"}
sinks:
  copied: {type: historian, inputs: [means], dataset: copied, commit_every: 120ms}
  lasts: {type: historian, inputs: [published], dataset: lasts, commit_every: 120ms}
";

/// Writes the site's files; its wells are read from this port, and what it sends goes to this URL.
pub(crate) fn write(folder: &Path, port: u16, url: &str) -> Result<(), Fault> {
    let rtu = format!(
        "\
templates:
  rtu:
    kind: well
    connection: {{type: modbus, endpoint: \"tcp://127.0.0.1:{port}\", addressing: 40001, scan: 100ms}}
    tags:
      THP: {{address: 40001, as: f32, checks: {{frozen: {{for: 200ms}}}}, alarms: {{H: {{limit: 60, on_delay: 30ms}}, HH: 90}}}}
      SEQ: {{address: 40003, as: f32}}
  driver:
    kind: driver
    tags:
      N: {{alarms: {{H: {{limit: 3, on_delay: 20ms}}}}}}
"
    );
    fs::create_dir_all(folder.join("pipelines"))?;
    for (name, text) in [
        ("site.yaml", SITE),
        ("assets.csv", ASSETS),
        ("templates.yaml", &rtu),
        ("pipelines/wells.yaml", &format!("{WELLS}{}", sent(url))),
        ("pipelines/behind.yaml", BEHIND),
    ] {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Loads it as the command does.
pub(crate) fn load(folder: &Path) -> Result<(Arc<Site>, Registry), Fault> {
    let registry = ducto_operators::registry();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    match load_site(folder, &registry, &mut sources, &mut found) {
        Some(site) => Ok((site, registry)),
        None => Err(found.render(&sources, false).into()),
    }
}
