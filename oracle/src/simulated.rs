//! Rounds in this process, on a disk that fails or whose power goes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_runtime::{ClockMode, Durable, Options, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use ducto_storage::disk::{Cut, Disk, Fault as DiskFault, SimulatedStorage};
use rustix::io::Errno;

use crate::driver::{Device, Numbers};
use crate::forgetful::Forgetful;
use crate::judge::{Archive, judge};
use crate::{Chance, Fault, Kind, Round, Seen, site};

/// How long a life lasts that nothing ends early.
const LIFE: Duration = Duration::from_millis(1_200);

/// Lives of a round that something ends, before the one that is stopped cleanly.
const LIVES: u64 = 3;

/// A life has about so many operations of the disk: faults come at any of them.
const OPERATIONS: u64 = 160;

/// Starts that may fail before something else must be wrong than the disk.
const STARTS: usize = 20;

/// How the power goes.
const CUTS: u64 = 3;

struct World<'a> {
    site: Arc<Site>,
    registry: Registry,
    storage: SimulatedStorage,
    disk: Disk,
    data: &'a Path,
    numbers: Numbers,
    archive: Archive,
}

pub(crate) fn run(round: &Round) -> Result<Seen, Fault> {
    let mut chance = Chance::of(round.seed);
    let folder = tempfile::tempdir()?;
    let device = Device::start()?;
    site::write(&folder.path().join("site"), device.port())?;
    let (site, registry) = site::load(&folder.path().join("site"))?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let storage = SimulatedStorage::new(&data, &folder.path().join("attic"))?;
    let disk = match round.forgetful {
        true => Disk::new(Arc::new(Forgetful(storage.clone()))),
        false => Disk::new(Arc::new(storage.clone())),
    };
    let archive = Archive::new(folder.path().join("archive"))?;
    let mut world =
        World { site, registry, storage, disk, data: &data, numbers: Numbers::default(), archive: archive.clone() };
    let mut faults = 0;
    let mut moved = false;
    for life in 0..LIVES {
        // Every other round assets move between workers from life to life.
        let workers = if round.seed.is_multiple_of(2) { 1 + chance.below(2) as usize } else { 1 };
        moved |= workers > 1;
        let now = world.storage.operations();
        match round.kind {
            // In turn: each seed begins at the next operation.
            Kind::Cut => world.storage.plan(now + (round.seed + life * 53) % OPERATIONS, DiskFault::PowerOff),
            _ => {
                for _ in 0..4 {
                    let fault = match chance.below(5) {
                        0 => DiskFault::Error(Errno::NOSPC),
                        1 => DiskFault::Error(Errno::IO),
                        2 => DiskFault::Error(Errno::INTR),
                        3 => DiskFault::Short,
                        _ => DiskFault::Slow(Duration::from_millis(50)),
                    };
                    world.storage.plan(now + chance.below(OPERATIONS), fault);
                }
            }
        }
        // What a disk that fails at the start or at the stop makes of a life is its end.
        let ended = world.live(workers);
        let off = world.storage.is_off();
        faults += usize::from(off || ended.is_err());
        let cut = match (off, chance.below(CUTS)) {
            (false, _) => Cut::Kind,
            (true, 0) => Cut::Kind,
            (true, 1) => Cut::Strict,
            (true, _) => Cut::Chance(chance.below(u64::MAX)),
        };
        world.storage.restart(if round.forgetful && off { Cut::Strict } else { cut })?;
        archive.take(&data)?;
    }
    let mut last = world.live(1);
    for _ in 0..STARTS {
        if last.is_ok() {
            break;
        }
        archive.take(&data)?;
        last = world.live(1);
    }
    last?;
    archive.take(&data)?;
    let seen = judge(&world.site, &world.registry, &data, &archive, world.numbers.acknowledged(), !moved)?;
    Ok(Seen { faults, ..seen })
}

impl World<'_> {
    /// A clean stop, unless the power goes meanwhile.
    fn stop(&self, running: &mut RunningSite, historians: &Historians) -> Result<(), Fault> {
        let (log, stopped) = (running.log().clone(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stopped.load(Ordering::Acquire) {
                    if self.storage.is_off() {
                        historians.close();
                        log.give_up_journal();
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let result = running.stop().map_err(Fault::from);
            stopped.store(true, Ordering::Release);
            result
        })
    }

    /// From a start to a clean stop, or to whatever comes before.
    fn live(&mut self, workers: usize) -> Result<(), Fault> {
        // After a commit that failed the journal goes on in a new segment, and may let the old one go in the same life.
        let keeper = self.archive.clone();
        self.storage.set_trigger(move |_, verb, path| {
            if verb == "remove" {
                keeper.keep(path);
            }
            None
        });
        let site = Arc::new(Site { workers, ..Site::clone(&self.site) });
        let folder = Arc::new(DataFolder::open_on(self.disk.clone(), self.data)?);
        let historians = Arc::new(Historians::open(folder.clone())?);
        let mut resources = Resources::default();
        resources.insert(historians.clone());
        let durable = Durable::open(&folder, &site.directory)?;
        let options = Options {
            mode: ClockMode::Wall,
            last_epoch: historians.last_epoch(),
            resources,
            feeders: true,
            sinks: SinkChoice::All,
            durable: Some(durable),
        };
        let mut running = RunningSite::start(&site, &self.registry, options)?;
        let tag = self.site.directory.tag_id(site::NUMBERS).ok_or("the tag of the driver is missing")?;
        let (numbers, intake) = (self.numbers.clone(), running.intake().clone());
        let sending = std::thread::spawn(move || numbers.send(&intake, tag));
        let end = Instant::now() + LIFE;
        while Instant::now() < end && !self.storage.is_off() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let result = match self.storage.is_off() {
            true => {
                historians.close();
                running.abandon();
                Err("the power went".into())
            }
            false => self.stop(&mut running, &historians),
        };
        let _ = sending.join();
        result
    }
}
