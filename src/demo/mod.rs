//! `ducto demo`: a simulated field and a site that reads it, in one process.

mod changes;
mod files;
mod shift;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ducto_simulator::{Overrides, Scenario, Simulator, StartError};

use crate::cli::DemoArgs;
use crate::host::{self, Hosted};
use crate::interrupt::Interrupts;
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};
use crate::simulate::not_started;

pub(crate) fn run(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let folder = host::open(&args.data)?;
    let site_folder = folder.path().join("site");
    // The devices' address is known once they listen; the scenario does not hang on it.
    write(&site_folder, files::ADDRESS.parse().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into()))?;
    let mut loading = Loading::new();
    let scenario = {
        let Loading { registry, sources, diagnostics } = &mut loading;
        let path = site_folder.join(files::SCENARIO);
        Scenario::load(&path, &Overrides::default(), registry.units(), sources, diagnostics)
    };
    let scenario = Arc::new(loading.accept(scenario, output)?);
    let (simulator, moved) = simulator(&scenario)?;
    let address = simulator.addresses().first().copied().unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    for path in write(&site_folder, address)? {
        let path = path.display();
        output.remark(&format!("`{path}` is kept as you changed it; remove it to have the demo's own again"));
    }
    let site = loading.site(&site_folder, output)?;
    let hosted = Hosted::start(&site, &loading.registry, folder)?;
    if output.is_json() {
        output.object(&hosted.started());
    } else {
        if moved {
            output.remark(&format!("{} is in use, so the devices are at {address}", files::ADDRESS));
        }
        output.print(&guide(&hosted, &simulator));
    }
    let end = args.time.and_then(|time| Instant::now().checked_add(time));
    watch::until(end, &hosted, &simulator, &interrupts, output);
    // The site first: its last scans still find their devices.
    hosted.stop(output)?;
    drop(simulator);
    Ok(Exit::Done)
}

/// Writes the site's files; gives those that are kept as their user changed them.
fn write(folder: &Path, address: std::net::SocketAddr) -> Result<Vec<PathBuf>, Failure> {
    files::write(folder, address).map_err(|error| {
        let message = format!("the demo's site cannot be written: {error}; name another folder with `--data`");
        Failure::new(Exit::Data, message)
    })
}

/// On the port that the site's file names, where it is free: then the site can be run by itself too. Otherwise on any
/// free one, which is said.
fn simulator(scenario: &Arc<Scenario>) -> Result<(Simulator, bool), Failure> {
    match Simulator::start(scenario.clone(), files::ADDRESS) {
        Ok(simulator) => Ok((simulator, false)),
        Err(StartError::InUse(_)) => {
            let simulator = Simulator::start(scenario.clone(), "127.0.0.1:0").map_err(not_started)?;
            Ok((simulator, true))
        }
        Err(error) => Err(not_started(error)),
    }
}

fn guide(hosted: &Hosted, simulator: &Simulator) -> String {
    let data = hosted.data.display();
    let address = simulator.addresses().first().map(ToString::to_string).unwrap_or_default();
    let place = if *"data/demo" == *hosted.data { String::new() } else { format!(" --data {data}") };
    format!(
        "\
{summary}  devices     20 wells, a separator and a test separator on Modbus TCP
              at {address}, simulated
  site        {data}/site  (site.yaml, templates, tables, the field's
              simulation.yaml)

Below, `field` is what happens out there, `data` is what the checks make of the
values, `alarm` is what operators are told. Within a minute:

  WELL-003  its choke is closed too far: THP goes high, the shift acknowledges
            the alarm, the choke is opened, the alarm goes
  WELL-002  a pressure transmitter spikes: that value is bad, and no alarm
  WELL-004  a transmitter is stuck: uncertain
  WELL-005  its device is silent for a while; WELL-020's is dead for ever, and
            nobody else notices
  WELL-006  gas gets into the pump: its current falls, and the alarm waits for you
  SEP-01    an outlet is blocked: the level rises

Try in another terminal, in this folder:

  ducto top{place}
  ducto alarms{place}
  ducto alarms ack 'WELL-006.*' --reason 'gas vented'{place}
  ducto alarms --watch{place}
  ducto tap WELL-003.THP{place}
  ducto tap well-monitoring.checked --where \"quality < 192\"{place}
  ducto read {data}/site WELL-003.THP
  ducto connect {data}/site WELL-016
  ducto query{place} \"SELECT tag, count(*) AS samples, max(value) AS highest
    FROM history WHERE tag LIKE '%.THP' GROUP BY tag ORDER BY tag\"
  ducto query{place} \"SELECT time, tag, quality FROM history
    WHERE quality < 64 ORDER BY time DESC LIMIT 10\"
  ducto explain {data}/site WELL-004.CHP
  ducto check {data}/site

Ctrl-C stops it; the history stays in {data}, as Parquet that anything opens.

",
        summary = hosted.summary(),
    )
}
