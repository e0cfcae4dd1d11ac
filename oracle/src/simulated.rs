//! Rounds in this process, on a disk that fails, whose power goes, or that damages checkpoints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ducto_storage::disk::{Cut, Fault as DiskFault};
use rustix::io::Errno;

use crate::operations::{Life, Operation};
use crate::world::{LIFE, World};
use crate::{Chance, Fault, Kind, Round, Seen};

/// Lives of a round whose disk fails, before the one that is stopped cleanly.
const LIVES: u64 = 3;

/// Faults of such a life, and at any of how many operations they come: about those of a life.
const FAULTS: u64 = 4;
const OPERATIONS: u64 = 400;

/// How the power goes.
const CUTS: u64 = 3;

/// How long something that has to come is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn run(round: &Round) -> Result<Seen, Fault> {
    match round.kind {
        Kind::Older | Kind::Whole => damaged(round),
        Kind::Cut => cut(round),
        _ => let_down(round),
    }
}

/// Every operation of a first life, on an empty folder, and of a second one, behind a kill, while nothing goes wrong.
/// Recorded once: threads go side by side, so that a few more or less of what is done over and over come another time.
pub(crate) fn operations() -> Result<&'static [Operation], Fault> {
    static RECORDED: OnceLock<Vec<Operation>> = OnceLock::new();
    if let Some(recorded) = RECORDED.get() {
        return Ok(recorded);
    }
    let mut world = World::new(false)?;
    let mut recorded = record(&mut world, Life::First)?;
    killed(&mut world, LIFE)?;
    recorded.extend(record(&mut world, Life::Second)?);
    Ok(RECORDED.get_or_init(|| recorded))
}

fn record(world: &mut World, life: Life) -> Result<Vec<Operation>, Fault> {
    let done = Arc::new(Mutex::new(Vec::new()));
    let recording = done.clone();
    world.before_each(move |_, what, time| {
        recording.lock().unwrap_or_else(PoisonError::into_inner).push(Operation { life, time, what });
        None
    });
    world.live(1)??;
    let recorded = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(recorded)
}

/// A life that ends as that of a process does that is killed.
fn killed(world: &mut World, life: Duration) -> Result<(), Fault> {
    world.before_each(|_, _, _| None);
    let (storage, begin) = (world.storage.clone(), world.storage.operations());
    let killer = std::thread::spawn(move || {
        // It is about to start before its time begins.
        while storage.operations() == begin {
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(life);
        storage.power_off();
    });
    let ended = world.live(1);
    let _ = killer.join();
    // What became of the life is clear: it was killed.
    let _ = ended?;
    world.restart(Cut::Kind)
}

/// A round whose power goes before one operation, in its first life or in its second.
fn cut(round: &Round) -> Result<Seen, Fault> {
    let at = round.at.clone().ok_or("no operation was chosen at which the power goes")?;
    let mut chance = Chance::of(round.seed);
    let mut world = World::new(round.forgetful)?;
    let mut faults = 0;
    // The life behind a cut is cut too, somewhere: also what puts things right is cut off.
    let somewhere = chance.below(OPERATIONS);
    let mut came = true;
    match at.life {
        Life::First => {
            came = cut_life(&mut world, round, &mut chance, move |_, what, time| (at.what == what) && at.time == time)?;
            faults += usize::from(came);
            let again = cut_life(&mut world, round, &mut chance, move |number, _, _| number == somewhere)?;
            faults += usize::from(again);
        }
        Life::Second => {
            killed(&mut world, LIFE / 2 + Duration::from_millis(chance.below(400)))?;
            came &=
                cut_life(&mut world, round, &mut chance, move |_, what, time| (at.what == what) && at.time == time)?;
            faults += usize::from(came);
        }
    }
    let seen = world.end(true)?;
    Ok(Seen { faults, cut: came, ..seen })
}

/// Whether the power went.
fn cut_life(
    world: &mut World,
    round: &Round,
    chance: &mut Chance,
    mut at: impl FnMut(u64, &str, usize) -> bool + Send + 'static,
) -> Result<bool, Fault> {
    world.before_each(move |number, what, time| at(number, &what, time).then_some(DiskFault::PowerOff));
    // What a power cut at the start or at the stop makes of a life is its end.
    let _ = world.live(1)?;
    let off = world.storage.is_off();
    let how = match (off, chance.below(CUTS)) {
        (false, _) | (true, 0) => Cut::Kind,
        (true, 1) => Cut::Strict,
        (true, _) => Cut::Chance(chance.below(u64::MAX)),
    };
    world.restart(if round.forgetful && off { Cut::Strict } else { how })?;
    Ok(off)
}

/// Rounds whose disk fails.
fn let_down(round: &Round) -> Result<Seen, Fault> {
    let mut chance = Chance::of(round.seed);
    let mut world = World::new(round.forgetful)?;
    let (mut faults, mut moved) = (0, false);
    for _ in 0..LIVES {
        // Every other round assets move between workers from life to life.
        let workers = if round.seed.is_multiple_of(2) { 1 + chance.below(2) as usize } else { 1 };
        moved |= workers > 1;
        let mut planned = BTreeMap::new();
        for _ in 0..FAULTS {
            let fault = match chance.below(5) {
                0 => DiskFault::Error(Errno::NOSPC),
                1 => DiskFault::Error(Errno::IO),
                2 => DiskFault::Error(Errno::INTR),
                3 => DiskFault::Short,
                _ => DiskFault::Slow(Duration::from_millis(50)),
            };
            planned.insert(chance.below(OPERATIONS), fault);
        }
        let met = Arc::new(Mutex::new(0));
        let meeting = met.clone();
        world.before_each(move |number, _, _| {
            let fault = planned.remove(&number);
            *meeting.lock().unwrap_or_else(PoisonError::into_inner) += usize::from(fault.is_some());
            fault
        });
        // What a disk that fails at the start or at the stop makes of a life is its end.
        let _ = world.live(workers)?;
        faults += *met.lock().unwrap_or_else(PoisonError::into_inner);
        world.restart(Cut::Kind)?;
    }
    let seen = world.end(!moved)?;
    Ok(Seen { faults, ..seen })
}

/// Rounds whose process is killed, and whose checkpoints are damaged then.
fn damaged(round: &Round) -> Result<Seen, Fault> {
    let mut world = World::new(false)?;
    world.before_each(|_, _, _| None);
    let storage = world.storage.clone();
    let mut chance = Chance::of(round.seed);
    world.life = PATIENCE;
    let (more, third) =
        (Duration::from_millis(chance.below(400)), world.data().join("checkpoints/0000000003.checkpoint"));
    let killer = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        while !third.exists() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(more);
        storage.power_off();
    });
    let ended = world.live(1);
    let _ = killer.join();
    // What became of the life is clear: it was killed.
    let _ = ended?;
    world.life = LIFE;
    let folder = world.data().join("checkpoints");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "checkpoint") {
            files.push(path);
        }
    }
    files.sort();
    if files.len() < 2 {
        return Err(format!("there are {} checkpoints, and none is older", files.len()).into());
    }
    if round.kind == Kind::Older {
        files.drain(..files.len() - 1);
    }
    for path in &files {
        let mut bytes = std::fs::read(path)?;
        let at = chance.below(bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << chance.below(8);
        }
        std::fs::write(path, bytes)?;
    }
    world.restart(Cut::Kind)?;
    let seen = world.end(true)?;
    let aside = std::fs::read_dir(folder.join("damaged"))?.count();
    if aside < files.len() {
        return Err(format!("{} checkpoints were damaged, and {aside} set aside", files.len()).into());
    }
    Ok(Seen { faults: files.len(), ..seen })
}
