//! `ducto demo`: a simulated field and a site that reads it, in one process.

mod files;
mod latest;
mod watch;

use std::net::SocketAddr;
use std::time::Instant;

use crate::cli::DemoArgs;
use crate::host::{self, Hosted};
use crate::interrupt::Interrupts;
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};
use crate::simulate::Simulator;

/// Wells of the demo site, and the seed that makes its minute what the guide says.
const WELLS: u8 = 5;
const SEED: u64 = 1;

pub(crate) fn run(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let folder = host::open(&args.data)?;
    let simulator = simulator()?;
    let site_folder = folder.path().join("site");
    let kept = files::write(&site_folder, simulator.address()).map_err(|error| {
        let message = format!("the demo's site cannot be written: {error}; name another folder with `--data`");
        Failure::new(Exit::Data, message)
    })?;
    for path in kept {
        let path = path.display();
        output.remark(&format!("`{path}` is kept as you changed it; remove it to have the demo's own again"));
    }
    let mut loading = Loading::new();
    let site = loading.site(&site_folder, output)?;
    let hosted = Hosted::start(&site, &loading.registry, folder)?;
    if output.is_json() {
        output.object(&hosted.started());
    } else {
        output.print(&guide(&hosted, simulator.address()));
    }
    let end = args.time.and_then(|time| Instant::now().checked_add(time));
    watch::until(end, &hosted, &interrupts, output);
    hosted.stop(output)?;
    Ok(Exit::Done)
}

/// On the port that the site's file names, where it is free: then the site can be run by itself too.
fn simulator() -> Result<Simulator, Failure> {
    Simulator::start(files::ADDRESS, WELLS, SEED).or_else(|_| Simulator::start("127.0.0.1:0", WELLS, SEED)).map_err(
        |error| {
            Failure::new(Exit::Peer, format!("no port of 127.0.0.1 can be listened on: {error}; check its loopback"))
        },
    )
}

fn guide(hosted: &Hosted, address: SocketAddr) -> String {
    let data = hosted.data.display();
    format!(
        "\
{summary}  device      5 wells on Modbus TCP at {address}, simulated
  site        {data}/site  (site.yaml, a template, wells.csv, overrides.csv)

Within a minute you see a pressure alarm on WELL-003 come and go, a spike on
WELL-002, a unit that is silent (WELL-005) and a transmitter that is stuck
(WELL-004.CHP). In another terminal, in this folder:

  ducto alarms --data {data}
  ducto alarms ack 'WELL-003.THP.*' --reason seen --data {data}
  ducto query --data {data} \"SELECT tag, count(*) AS samples, max(value) AS
    highest FROM history WHERE tag LIKE '%.THP' GROUP BY tag ORDER BY tag\"
  ducto query --data {data} \"SELECT time, tag, quality FROM history WHERE
    quality < 64 ORDER BY time DESC LIMIT 10\"
  ducto explain {data}/site WELL-004.CHP
  ducto graph {data}/site
  ducto check {data}/site

Ctrl-C stops it; the history stays in {data}, as Parquet that anything opens.

",
        summary = hosted.summary(),
    )
}
