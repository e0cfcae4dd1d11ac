//! Rounds that kill the command itself.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::driver::Device;
use crate::judge::{Archive, judge};
use crate::{Chance, Fault, Round, Seen, site};

/// How often it is killed before it is stopped.
const KILLS: usize = 3;

/// The longest life, in ms: from its start on, so that some end before the site runs.
const LIFE: u64 = 1_500;

/// How long a clean stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(round: &Round) -> Result<Seen, Fault> {
    let ducto = round.ducto.as_deref().ok_or("the command that is to be killed is not there; build it")?;
    let mut chance = Chance::of(round.seed);
    let folder = tempfile::tempdir()?;
    let device = Device::start()?;
    let (files, data) = (folder.path().join("site"), folder.path().join("data"));
    site::write(&files, device.port())?;
    let (site, registry) = site::load(&files)?;
    let archive = Archive::new(folder.path().join("archive"))?;
    for _ in 0..KILLS {
        let mut child = start(ducto, &files, &data)?;
        std::thread::sleep(Duration::from_millis(100 + chance.below(LIFE)));
        child.kill()?;
        child.wait()?;
        archive.take(&data)?;
    }
    let mut child = start(ducto, &files, &data)?;
    std::thread::sleep(Duration::from_millis(1_000));
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("the command has no number")?;
    kill_process(process, Signal::TERM)?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            return Err("a clean stop did not end".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if !status.success() {
        return Err(format!("the command ended by {status}").into());
    }
    archive.take(&data)?;
    let seen = judge(&site, &registry, &data, &archive, 0, true)?;
    Ok(Seen { faults: KILLS, ..seen })
}

fn start(ducto: &Path, files: &Path, data: &Path) -> Result<Child, Fault> {
    let mut command = Command::new(ducto);
    command.arg("run").arg(files).arg("--data").arg(data).arg("--json");
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn()?)
}
