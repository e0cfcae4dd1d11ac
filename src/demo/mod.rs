//! `ducto demo`: a simulated field and a site that reads it, in one process.

mod changes;
mod files;
mod guide;
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
use crate::words::Language;

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
        let language = Language::of(&site.language);
        if moved {
            output.remark(&guide::moved(files::ADDRESS, address, language));
        }
        output.print(&guide::text(&hosted, address, language));
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
