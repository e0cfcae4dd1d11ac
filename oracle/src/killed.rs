//! Rounds that kill the command itself. Somebody asks it all the while, over its socket, what it has on disk, and
//! acknowledges alarms: what was answered before the kill has to be there after it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ducto_site::Client;
use ducto_site::protocol::{Answer, Ask};
use rustix::process::{Pid, Signal, kill_process};

use crate::driver::{ACKNOWLEDGE, Device, PERSON, People};
use crate::judge::{Accepted, Archive, judge};
use crate::receiver::Receiver;
use crate::{Chance, Fault, Round, Seen, site};

/// How often it is killed before it is stopped.
const KILLS: usize = 3;

/// The longest life, in ms: from its start on, so that some end before the site runs.
const LIFE: u64 = 1_500;

/// So many acknowledgements are answered before the site is stopped cleanly.
const LAST: usize = 5;

/// Of so many requests the receiver refuses one, and loses the answer to another.
const UNWELL: u64 = 7;

/// How often the site is looked for while it does not answer.
const LOOK: Duration = Duration::from_millis(10);

/// How long a clean stop may take, and a start.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(round: &Round) -> Result<Seen, Fault> {
    let ducto = round.ducto.as_deref().ok_or("the command that is to be killed is not there; build it")?;
    let mut chance = Chance::of(round.seed);
    let folder = tempfile::tempdir()?;
    let device = Device::start()?;
    let receiver = Receiver::start()?;
    receiver.set_unwell(UNWELL);
    let (files, data) = (folder.path().join("site"), folder.path().join("data"));
    site::write(&files, device.port(), &receiver.url())?;
    let (site, registry) = site::load(&files)?;
    let archive = Archive::new(folder.path().join("archive"))?;
    let said = Accepted::default();
    let durable = AtomicU64::new(0);
    for _ in 0..KILLS {
        let mut child = start(ducto, &files, &data)?;
        let life = Duration::from_millis(100 + chance.below(LIFE));
        asked(&data, &said.people, &durable, || {
            std::thread::sleep(life);
            child.kill()?;
            child.wait()?;
            Ok(())
        })?;
        archive.take(&data)?;
        said.survived(&site, &archive, durable.load(Ordering::Acquire))?;
    }
    let mut child = start(ducto, &files, &data)?;
    let before = said.people.accepted().len();
    asked(&data, &said.people, &durable, || {
        let end = Instant::now() + PATIENCE;
        while said.people.accepted().len() < before + LAST {
            if Instant::now() > end || child.try_wait()?.is_some() {
                child.kill()?;
                return Err("the site that was to be stopped cleanly does not answer".into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    })?;
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
    said.survived(&site, &archive, durable.load(Ordering::Acquire))?;
    let seen = judge(&site, &registry, &data, &archive, &said, &receiver, true)?;
    Ok(Seen { faults: KILLS, ..seen })
}

fn start(ducto: &Path, files: &Path, data: &Path) -> Result<Child, Fault> {
    let mut command = Command::new(ducto);
    command.arg("run").arg(files).arg("--data").arg(data).arg("--json");
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn()?)
}

/// Does something while the site is asked what it has on disk.
fn asked(
    data: &Path,
    people: &People,
    durable: &AtomicU64,
    meanwhile: impl FnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                // It is not there yet, or not any more.
                let _ = ask(data, people, durable, &over);
                std::thread::sleep(LOOK);
            }
        });
        let done = meanwhile();
        over.store(true, Ordering::Release);
        done
    })
}

fn ask(data: &Path, people: &People, durable: &AtomicU64, over: &AtomicBool) -> Result<(), Fault> {
    let Some(mut client) = Client::connect(data)? else { return Ok(()) };
    while !over.load(Ordering::Acquire) {
        for answer in client.ask(Ask::Status)? {
            if let Answer::Status(status) = answer? {
                durable.fetch_max(status.log.durable, Ordering::AcqRel);
            }
        }
        let (tag, alarm, reason) = people.next();
        let arguments = [("tag", tag), ("alarm", alarm)];
        let arguments = arguments.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        let verb = "acknowledge".to_owned();
        let act = Ask::Act { verb, arguments, user: Some(PERSON.to_owned()), reason: Some(reason.clone()) };
        let mut answered = false;
        for answer in client.ask(act)? {
            answered |= matches!(answer?, Answer::Reply { .. });
        }
        if answered {
            people.answered(reason);
        }
        std::thread::sleep(ACKNOWLEDGE);
    }
    Ok(())
}
