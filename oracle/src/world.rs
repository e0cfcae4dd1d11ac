//! A site in this process, on a disk that does what it is told, life after life.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_operators::sinks::outbox::open_outboxes;
use ducto_record::Epoch;
use ducto_runtime::{ClockMode, Durable, Options, Outboxes, RunningSite, SinkChoice};
use ducto_storage::DataFolder;
use ducto_storage::disk::{Cut, Disk, Fault as DiskFault, SimulatedStorage};

use crate::driver::Device;
use crate::forgetful::Forgetful;
use crate::judge::{Accepted, Archive, judge};
use crate::operations::Count;
use crate::receiver::Receiver;
use crate::{Fault, Seen, site};

/// How long a life lasts that nothing ends early.
pub(crate) const LIFE: Duration = Duration::from_millis(1_000);

/// Starts that may fail before something else must be wrong than the disk.
const STARTS: usize = 20;

/// How often it is looked whether the power went.
const LOOK: Duration = Duration::from_millis(5);

/// How long threads of a life that has ended may go on.
const LINGER: Duration = Duration::from_secs(10);

/// Of so many requests the receiver refuses one, and loses the answer to another.
const UNWELL: u64 = 7;

pub(crate) struct World {
    folder: tempfile::TempDir,
    site: Arc<Site>,
    registry: Registry,
    pub(crate) storage: SimulatedStorage,
    disk: Disk,
    archive: Archive,
    said: Accepted,
    receiver: Receiver,
    _device: Device,
    /// How long a life lasts that nothing ends early.
    pub(crate) life: Duration,
    /// What was said to be on disk when the last life ended.
    durable: Epoch,
}

/// How a life ended: by a clean stop, or by what the disk made of it.
pub(crate) type Ended = Result<(), Fault>;

impl World {
    pub(crate) fn new(forgetful: bool) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let device = Device::start()?;
        let receiver = Receiver::start()?;
        receiver.set_unwell(UNWELL);
        site::write(&folder.path().join("site"), device.port(), &receiver.url())?;
        let (site, registry) = site::load(&folder.path().join("site"))?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let storage = SimulatedStorage::new(&data, &folder.path().join("attic"))?;
        let disk = match forgetful {
            true => Disk::new(Arc::new(Forgetful(storage.clone()))),
            false => Disk::new(Arc::new(storage.clone())),
        };
        let archive = Archive::new(folder.path().join("archive"))?;
        let said = Accepted::default();
        let (life, durable) = (LIFE, 0);
        Ok(Self { folder, site, registry, storage, disk, archive, said, receiver, _device: device, life, durable })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Asks, before every operation from now on, what goes wrong: by its number from here on, by what is done to what,
    /// and how often that was done. Segments that the site lets go are kept for the verdict: after a commit that failed
    /// the journal goes on in a new one, and may let the old one go in the same life.
    pub(crate) fn before_each(&self, mut fault: impl FnMut(u64, String, usize) -> Option<DiskFault> + Send + 'static) {
        let (begin, archive, data) = (self.storage.operations(), self.archive.clone(), self.data());
        let mut count = Count::default();
        let asked = Mutex::new(move |number: u64, verb: &str, path: &Path| {
            if verb == "remove" {
                archive.keep(path);
            }
            let (what, time) = count.next(verb, path.strip_prefix(&data).unwrap_or(path));
            fault(number.saturating_sub(begin), what, time)
        });
        self.storage.set_trigger(move |number, verb, path| {
            (asked.lock().unwrap_or_else(PoisonError::into_inner))(number, verb, path)
        });
    }

    /// From a start to a clean stop, or to whatever comes before. Who holds the data folder afterwards fails the round.
    pub(crate) fn live(&mut self, workers: usize) -> Result<Ended, Fault> {
        let mut held = Weak::new();
        let ended = self.live_on(workers, &mut held);
        let end = Instant::now() + LINGER;
        // Threads that nobody waits for end on their own, once what they write is written or has failed.
        while held.strong_count() > 0 {
            if Instant::now() > end {
                return Err(
                    format!("{LINGER:?} after a life ended, by {ended:?}, it still holds the data folder").into()
                );
            }
            std::thread::sleep(LOOK);
        }
        Ok(ended)
    }

    fn live_on(&mut self, workers: usize, held: &mut Weak<DataFolder>) -> Ended {
        let site = Arc::new(Site { workers, ..Site::clone(&self.site) });
        let folder = Arc::new(DataFolder::open_on(self.disk.clone(), &self.data())?);
        *held = Arc::downgrade(&folder);
        let historians = Arc::new(Historians::open(folder.clone())?);
        let outboxes = open_outboxes(&site, &folder)?;
        let last_epoch = historians.last_epoch().max(outboxes.outbox().last_epoch());
        let mut resources = Resources::default();
        resources.insert(historians.clone());
        resources.insert::<Outboxes>(outboxes);
        let durable = Durable::open(&folder, &site.directory)?;
        let options = Options {
            mode: ClockMode::Wall,
            last_epoch,
            resources,
            feeders: true,
            sinks: SinkChoice::All,
            durable: Some(durable),
        };
        let mut running = RunningSite::start(&site, &self.registry, options)?;
        let tag = self.site.directory.tag_id(site::NUMBERS).ok_or("the tag of the driver is missing")?;
        let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let result = std::thread::scope(|scope| {
            let (intake, log) = (running.intake().clone(), running.log().clone());
            let Accepted { numbers, people } = self.said.clone();
            let (acting, stop, over, storage, giving_up) =
                (intake.clone(), &stop, &over, &self.storage, historians.clone());
            scope.spawn(move || numbers.send(&intake, tag));
            scope.spawn(move || people.act(&acting, stop));
            // Nobody waits for a disk that is off, whoever is stopping neither.
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    if storage.is_off() {
                        giving_up.close();
                        log.give_up_journal();
                    }
                    std::thread::sleep(LOOK);
                }
            });
            let end = Instant::now() + self.life;
            while Instant::now() < end && !storage.is_off() {
                std::thread::sleep(LOOK);
            }
            stop.store(true, Ordering::Release);
            let result = match storage.is_off() {
                true => {
                    historians.close();
                    running.abandon();
                    Err("the power went".into())
                }
                false => running.stop().map_err(Fault::from),
            };
            over.store(true, Ordering::Release);
            result
        });
        // After the stop: what was said last counts too.
        self.durable = self.durable.max(running.log().durable());
        result
    }

    /// What a start finds is put in place, and what was said to be on disk has to be there.
    pub(crate) fn restart(&mut self, cut: Cut) -> Result<(), Fault> {
        self.storage.restart(cut)?;
        self.before_each(|_, _, _| None);
        self.archive.take(&self.data())?;
        self.said.survived(&self.site, &self.archive, self.durable)
    }

    /// A last life, which is stopped cleanly, and the verdict.
    pub(crate) fn end(&mut self, same_places: bool) -> Result<Seen, Fault> {
        let mut starts = 0;
        loop {
            let ended = self.live(1)?;
            self.archive.take(&self.data())?;
            starts += 1;
            match ended {
                Ok(()) => break,
                Err(what) if starts == STARTS => return Err(what),
                Err(_) => {}
            }
        }
        judge(&self.site, &self.registry, &self.data(), &self.archive, &self.said, &self.receiver, same_places)
    }
}
