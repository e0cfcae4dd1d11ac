//! A storage for tests: a real folder, and beside it what of it would be left if the power went now.
//!
//! A name is left once its folder was synced after it changed, content once its file was synced. So a file that was
//! written, synced and renamed is gone, or back at its old name, until the folder of the new name is synced too. Files
//! and folders are known by their numbers in the file system. None is ever really removed while the power is on: files
//! have a second name in a folder beside, the attic, and folders are moved there, so that they can come back.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::{Opening, RealStorage, Storage, StoredFile};

/// Something that goes wrong at an operation.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails with this number, and does nothing.
    Error(Errno),
    /// A write takes half of its bytes; anything else is done.
    Short,
    /// It takes this long.
    Slow(Duration),
    /// The power goes before it: it and all that follow fail.
    PowerOff,
}

/// What of all that was not synced a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Strict,
    /// By chance all names or only those that were synced, as a file system with a journal does; and of each file's
    /// content some.
    Chance(u64),
    /// Everything: as when the process alone is killed.
    Kind,
}

/// What a folder holds, once synced.
#[derive(Clone, Debug)]
enum Node {
    File(u64),
    Folder(u64),
}

/// Content that was synced. Files of the engine grow at their end or are new, so that a length says it all.
#[derive(Clone, Copy, Debug)]
struct Durable {
    length: u64,
}

type Trigger = Box<dyn Fn(u64, &'static str, &Path) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    /// Operations so far.
    operations: u64,
    /// Faults at operations by number, the first is 0.
    planned: BTreeMap<u64, Fault>,
    trigger: Option<Trigger>,
    /// Bytes that may still be written; none where the disk has no end.
    room: Option<u64>,
    off: bool,
    folders: HashMap<u64, BTreeMap<OsString, Node>>,
    files: HashMap<u64, Durable>,
}

struct Inner {
    root: PathBuf,
    /// Second names of files.
    attic: PathBuf,
    state: Mutex<State>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedStorage").field("root", &self.root).finish_non_exhaustive()
    }
}

/// See the [module](self). Clones are the same storage.
#[derive(Clone, Debug)]
pub struct SimulatedStorage(Arc<Inner>);

impl SimulatedStorage {
    /// Takes the folder `root` with all it holds as synced. `attic` is another folder of the same file system.
    ///
    /// # Errors
    /// When one of them cannot be read or written.
    pub fn new(root: &Path, attic: &Path) -> io::Result<Self> {
        fs::create_dir_all(attic)?;
        let inner = Inner { root: root.to_owned(), attic: attic.to_owned(), state: Mutex::default() };
        let storage = Self(Arc::new(inner));
        storage.take_as_synced(root)?;
        Ok(storage)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_as_synced(&self, folder: &Path) -> io::Result<()> {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.take_as_synced(&entry.path())?;
                names.insert(entry.file_name(), Node::Folder(metadata.ino()));
            } else {
                self.keep(&entry.path(), metadata.ino())?;
                self.lock().files.insert(metadata.ino(), Durable { length: metadata.len() });
                names.insert(entry.file_name(), Node::File(metadata.ino()));
            }
        }
        self.lock().folders.insert(fs::metadata(folder)?.ino(), names);
        Ok(())
    }

    fn attic(&self, number: u64) -> PathBuf {
        self.0.attic.join(number.to_string())
    }

    fn keep(&self, path: &Path, number: u64) -> io::Result<()> {
        match fs::hard_link(path, self.attic(number)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets something go wrong at the operation of that number, counted from the first.
    pub fn plan(&self, operation: u64, fault: Fault) {
        self.lock().planned.insert(operation, fault);
    }

    /// Asked before every operation, with its number, verb and path; replaces the one before.
    pub fn set_trigger(&self, trigger: impl Fn(u64, &'static str, &Path) -> Option<Fault> + Send + 'static) {
        self.lock().trigger = Some(Box::new(trigger));
    }

    pub fn clear_trigger(&self) {
        self.lock().trigger = None;
    }

    /// Bytes that may still be written before the disk is full; `None` for no end.
    pub fn set_room(&self, room: Option<u64>) {
        self.lock().room = room;
    }

    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    pub fn power_off(&self) {
        self.lock().off = true;
    }

    fn before(&self, verb: &'static str, path: &Path) -> io::Result<Option<Fault>> {
        let mut state = self.lock();
        let number = state.operations;
        state.operations += 1;
        let planned = state.planned.remove(&number);
        let fault = planned.or_else(|| state.trigger.as_ref().and_then(|trigger| trigger(number, verb, path)));
        if matches!(fault, Some(Fault::PowerOff)) {
            state.off = true;
        }
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        drop(state);
        match fault {
            Some(Fault::Error(errno)) => Err(errno.into()),
            Some(Fault::Slow(time)) => {
                std::thread::sleep(time);
                Ok(None)
            }
            other => Ok(other),
        }
    }

    /// Takes room on the disk for `bytes`, or what is left of it.
    fn take_room(&self, bytes: usize) -> io::Result<usize> {
        let mut state = self.lock();
        let Some(room) = &mut state.room else { return Ok(bytes) };
        let taken = bytes.min(usize::try_from(*room).unwrap_or(usize::MAX));
        if taken == 0 && bytes > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= taken as u64;
        Ok(taken)
    }

    fn give_room(&self, bytes: u64) {
        if let Some(room) = &mut self.lock().room {
            *room += bytes;
        }
    }

    /// What a start after a power cut finds is put in the place of the folder, and the power is back. Nobody may use
    /// files of before any more.
    ///
    /// # Errors
    /// When the real file system fails.
    pub fn restart(&self, cut: Cut) -> io::Result<()> {
        let mut chance = Chance::of(cut);
        if cut != Cut::Kind {
            let left = self.0.attic.join("left");
            fs::create_dir_all(&left)?;
            let mut live = HashMap::new();
            paths_of_folders(&self.0.root, &mut live)?;
            self.rebuild(fs::metadata(&self.0.root)?.ino(), &live, &left, &mut chance)?;
            fs::remove_dir_all(&self.0.root)?;
            fs::rename(&left, &self.0.root)?;
        }
        {
            let mut state = self.lock();
            *state = State { operations: state.operations, ..State::default() };
        }
        self.take_as_synced(&self.0.root)
    }

    /// Builds in `to` what is left of a folder. `live` says where each folder is that is there now.
    fn rebuild(&self, folder: u64, live: &HashMap<u64, PathBuf>, to: &Path, chance: &mut Chance) -> io::Result<()> {
        let synced = self.lock().folders.get(&folder).cloned().unwrap_or_default();
        let names = match live.get(&folder).filter(|_| chance.keeps_names) {
            Some(path) => listing(path)?,
            None => synced,
        };
        for (name, node) in names {
            match node {
                Node::Folder(number) => {
                    fs::create_dir(to.join(&name))?;
                    self.rebuild(number, live, &to.join(&name), chance)?;
                }
                Node::File(number) => {
                    let durable = self.lock().files.get(&number).map_or(0, |durable| durable.length);
                    let source = self.attic(number);
                    if !source.exists() {
                        // A lock, or whatever else was not written through this storage.
                        continue;
                    }
                    let copy = to.join(&name);
                    fs::copy(&source, &copy)?;
                    let length = fs::metadata(&source)?.len();
                    let kept = durable + chance.part(length.saturating_sub(durable));
                    File::options().write(true).open(&copy)?.set_len(kept.min(length))?;
                }
            }
        }
        Ok(())
    }
}

fn listing(folder: &Path) -> io::Result<BTreeMap<OsString, Node>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let node = if metadata.is_dir() { Node::Folder(metadata.ino()) } else { Node::File(metadata.ino()) };
        names.insert(entry.file_name(), node);
    }
    Ok(names)
}

fn paths_of_folders(folder: &Path, paths: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    paths.insert(fs::metadata(folder)?.ino(), folder.to_owned());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            paths_of_folders(&entry.path(), paths)?;
        }
    }
    Ok(())
}

struct Chance {
    cut: Cut,
    /// Whether names that were not synced are there all the same.
    keeps_names: bool,
    state: u64,
}

impl Chance {
    fn of(cut: Cut) -> Self {
        let Cut::Chance(seed) = cut else { return Self { cut, keeps_names: false, state: 1 } };
        // Seeds that lie beside each other are to lead far apart.
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { cut, keeps_names: state >> 63 == 0, state }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// How many of so many bytes.
    fn part(&mut self, bytes: u64) -> u64 {
        match self.cut {
            Cut::Strict => 0,
            Cut::Kind => bytes,
            Cut::Chance(_) => match self.next() % 3 {
                0 => 0,
                1 => bytes,
                _ => self.next() % (bytes + 1),
            },
        }
    }
}

impl Storage for SimulatedStorage {
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn StoredFile>> {
        self.before("open", path)?;
        if opening == Opening::New && path.exists() {
            // A file of its own, so that what the old one held can come back.
            fs::remove_file(path)?;
        }
        let file = RealStorage.open(path, opening)?;
        let number = fs::metadata(path)?.ino();
        self.keep(path, number)?;
        self.lock().files.entry(number).or_insert(Durable { length: 0 });
        Ok(Box::new(SimulatedFile { storage: self.clone(), file, path: path.to_owned(), number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before("rename", to)?;
        RealStorage.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.before("exchange", other)?;
        RealStorage.exchange(one, other)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.before("sync folder", path)?;
        let names = listing(path)?;
        self.lock().folders.insert(fs::metadata(path)?.ino(), names);
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.before("create folder", path)?;
        RealStorage.create_folder(path)?;
        self.lock().folders.insert(fs::metadata(path)?.ino(), BTreeMap::new());
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.before("remove", path)?;
        let length = fs::metadata(path)?.len();
        RealStorage.remove(path)?;
        self.give_room(length);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.before("remove folder", path)?;
        if fs::read_dir(path)?.next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        fs::rename(path, self.attic(fs::metadata(path)?.ino()))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.before("read", path)?;
        RealStorage.read(path)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    storage: SimulatedStorage,
    file: Box<dyn StoredFile>,
    path: PathBuf,
    number: u64,
}

impl StoredFile for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.storage.before("write", &self.path)?;
        let wanted = if matches!(fault, Some(Fault::Short)) { bytes.len().div_ceil(2) } else { bytes.len() };
        let taken = self.storage.take_room(wanted)?;
        self.file.write(&bytes[..taken])
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.before("sync", &self.path)?;
        let length = self.file.length()?;
        self.storage.lock().files.insert(self.number, Durable { length });
        Ok(())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.storage.before("shorten", &self.path)?;
        let before = self.file.length()?;
        self.file.set_length(length)?;
        self.storage.give_room(before.saturating_sub(length));
        // What was cut off may be there again; its bytes are gone here, so the model says it is not.
        if let Some(durable) = self.storage.lock().files.get_mut(&self.number) {
            durable.length = durable.length.min(length);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.storage.before("read", &self.path)?;
        self.file.read_at(offset, bytes)
    }
}
