//! The thread that commits, merges and removes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::Micros;
use rustix::io::Errno;

use crate::commit::FileWriter;
use crate::dataset::DatasetConfig;
use crate::disk;
use crate::error::{FileError, StorageError};
use crate::historian::{Sealed, Shared};
use crate::hour::Hour;
use crate::manifest::{Level, Manifest};
use crate::plan::Plan;

/// A failed attempt is repeated with the next commit, and after a time that doubles up to the longest.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// When the files ask for something next, in engine time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Due {
    pub(crate) at: Option<Micros>,
    /// Hours to merge, and from when.
    merges: BTreeMap<Hour, Micros>,
    expire: Option<Micros>,
}

impl Due {
    pub(crate) fn of(manifest: &Manifest, config: &DatasetConfig) -> Self {
        #[derive(Default)]
        struct OfHour {
            commits: usize,
            merged: Option<Micros>,
            bytes: u64,
        }
        let mut hours: BTreeMap<Hour, OfHour> = BTreeMap::new();
        for file in &manifest.files {
            let of_hour = hours.entry(file.hour()).or_default();
            of_hour.bytes += file.bytes;
            match file.level {
                Level::Commit => of_hour.commits += 1,
                Level::Hour => of_hour.merged = of_hour.merged.max(Some(file.written)),
            }
        }
        let merges: BTreeMap<Hour, Micros> = hours
            .iter()
            .filter_map(|(hour, of_hour)| {
                let over = hour.end().saturating_add(config.compact_after);
                match of_hour.merged {
                    None if of_hour.commits > 1 => Some((*hour, over)),
                    Some(merged) if of_hour.commits > 0 => {
                        Some((*hour, over.max(merged.saturating_add(config.compact_late_every))))
                    }
                    _ => None,
                }
            })
            .collect();
        let by_age = config.keep.age.and_then(|age| Some(hours.keys().next()?.end().saturating_add(age)));
        let bytes: u64 = hours.values().map(|of_hour| of_hour.bytes).sum();
        let by_size = config.keep.size.filter(|size| bytes > *size && hours.len() > 1).map(|_| Micros::MIN);
        let expire = by_age.into_iter().chain(by_size).min();
        let mut due = Self { at: None, merges, expire };
        due.settle();
        due
    }

    /// What comes first, after a change.
    fn settle(&mut self) {
        self.at = self.merges.values().copied().chain(self.expire).min();
    }
}

pub(crate) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, StorageError> {
    let files = FileWriter::new(shared.config.clone(), &shared.disk, &shared.data)?;
    let data = shared.data.clone();
    let writer = move || {
        Writer { files, begun: None, put_off: HashMap::new(), merges: true, shared: &shared }.run();
    };
    std::thread::Builder::new()
        .name("historian".to_owned())
        .spawn(writer)
        .map_err(|error| FileError::new("start the writer of", &data, error).into())
}

/// What the next attempt does.
enum Work {
    Finish,
    Commit(Vec<Sealed>),
    Expire,
    Merge(Hour),
}

/// A plan that was begun and is finished before anything else.
struct Begun {
    plan: Plan,
    /// Commits that it makes durable.
    commits: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Commit,
    Merge,
    Expire { by_age: u64, by_size: u64 },
}

struct Writer<'a> {
    shared: &'a Shared,
    files: FileWriter,
    begun: Option<Begun>,
    /// Hours whose merge failed, and the engine time before which it is not tried again; the greatest for those that
    /// stay as they are until the next start.
    put_off: HashMap<Hour, Micros>,
    /// Off where the file system cannot exchange two folders: an hour could not be replaced in one step.
    merges: bool,
}

/// Tells who waits that the thread has ended, also when it ends by a panic.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.done.notify_all();
    }
}

impl Writer<'_> {
    fn run(mut self) {
        let _ended = Ended(self.shared);
        let mut retry = None;
        while let Some((work, manifest, now)) = self.wait(retry) {
            let started = Instant::now();
            let merging = if let Work::Merge(hour) = &work { Some(*hour) } else { None };
            let result = self.attempt(work, &manifest, now);
            self.shared.lock().stats.busy += started.elapsed();
            match result {
                Ok(()) => retry = None,
                Err(error) => {
                    if let Some(hour) = merging
                        && self.begun.is_none()
                    {
                        self.leave_unmerged(hour, &manifest, now, &error);
                        continue;
                    }
                    tracing::error!(dataset = %self.shared.name, %error, "rows wait in memory, the writer tries again");
                    let longer = retry.map_or(RETRY, |retry: Duration| (retry * 2).min(LONGEST_RETRY));
                    retry = Some(longer);
                    self.shared.attempted(Some(&error));
                }
            }
        }
    }

    /// What is due once `manifest` is the state.
    fn due(&self, manifest: &Manifest) -> Due {
        let mut due = Due::of(manifest, &self.shared.config);
        for (hour, until) in &self.put_off {
            if let Some(at) = due.merges.get_mut(hour) {
                *at = (*at).max(*until);
            }
        }
        due.merges.retain(|_, at| self.merges && *at < Micros::MAX);
        due.settle();
        due
    }

    /// A merge that has exchanged nothing is given up: it is a convenience for readers, and commits go before it.
    fn leave_unmerged(&mut self, hour: Hour, manifest: &Manifest, now: Micros, error: &StorageError) {
        let dataset = &*self.shared.name;
        self.files.discard_merge(manifest);
        if cannot_exchange(error) {
            self.merges = false;
            tracing::warn!(
                dataset,
                %error,
                "the file system cannot exchange two folders in one step, so the files of an hour are not merged: \
                 queries open more of them, nothing is lost; put the data folder on a local ext4, XFS or Btrfs"
            );
        } else if let Some(what) = unreadable(error) {
            self.put_off.insert(hour, Micros::MAX);
            tracing::error!(
                dataset,
                %error,
                hour = hour.folder(),
                "a file is {what}; its hour stays unmerged, and the next start looks for it"
            );
        } else {
            self.put_off.insert(hour, now.saturating_add(self.shared.config.compact_late_every));
            tracing::error!(dataset, %error, hour = hour.folder(), "an hour cannot be merged now; it is tried again");
        }
        let due = self.due(manifest);
        let mut state = self.shared.lock();
        state.due = due;
        if self.merges {
            state.stats.merge_errors += 1;
            state.stats.merge_error = Some(error.to_string());
        }
        drop(state);
        self.shared.attempted(None);
    }

    /// Waits for work; `None` when the historian is closed.
    fn wait(&self, retry: Option<Duration>) -> Option<(Work, Arc<Manifest>, Micros)> {
        let mut state = self.shared.lock();
        let waiting = state.sealed.len();
        let end = retry.map(|retry| Instant::now() + retry);
        loop {
            if state.stop {
                return None;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero());
            let hold = left.filter(|_| !state.urgent && state.sealed.len() <= waiting);
            if hold.is_none() {
                let now = state.engine_time;
                let due = |at: Option<Micros>| at.is_some_and(|at| at <= now);
                let merge = state.due.merges.iter().find(|(_, at)| **at <= now).map(|(hour, _)| *hour);
                let work = if self.begun.is_some() {
                    Some(Work::Finish)
                } else if !state.sealed.is_empty() {
                    Some(Work::Commit(self.together(&state.sealed)))
                } else if due(state.due.expire) {
                    Some(Work::Expire)
                } else {
                    merge.map(Work::Merge)
                };
                if let Some(work) = work {
                    state.urgent = false;
                    return Some((work, state.manifest.clone(), now));
                }
                if !state.idle {
                    state.idle = true;
                    self.shared.done.notify_all();
                }
            }
            state = match hold {
                Some(left) => self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Commits that wait go into one set of files, as far as they fit into memory twice.
    fn together(&self, sealed: &std::collections::VecDeque<Sealed>) -> Vec<Sealed> {
        let mut bytes = 0;
        let fits = |sealed: &&Sealed| {
            bytes += sealed.bytes;
            bytes <= self.shared.config.commit_bytes
        };
        let count = sealed.iter().take_while(fits).count().max(1);
        sealed.iter().take(count).cloned().collect()
    }

    fn attempt(&mut self, work: Work, manifest: &Manifest, now: Micros) -> Result<(), StorageError> {
        let mut begun = match work {
            Work::Finish => match self.begun.take() {
                Some(begun) => begun,
                None => return Ok(()),
            },
            Work::Commit(sealed) => {
                Begun { plan: self.files.commit(&sealed, manifest)?, commits: sealed.len(), kind: Kind::Commit }
            }
            Work::Merge(hour) => Begun { plan: self.files.merge(hour, now, manifest)?, commits: 0, kind: Kind::Merge },
            Work::Expire => match self.files.expire(now, manifest) {
                Some((by_age, by_size, plan)) => Begun { plan, commits: 0, kind: Kind::Expire { by_age, by_size } },
                None => {
                    let mut state = self.shared.lock();
                    state.due.expire = None;
                    state.due.settle();
                    drop(state);
                    self.shared.attempted(None);
                    return Ok(());
                }
            },
        };
        if let Err(error) = begun.plan.save(&self.shared.disk, &self.shared.data) {
            // Once readers may see a part of it a plan is finished before anything else. A merge shows nothing before
            // its exchange, and the rows are where they were.
            if !matches!(begun.kind, Kind::Merge) || begun.plan.has_exchanged() {
                self.begun = Some(begun);
            }
            return Err(error);
        }
        let mut next = begun.plan.manifest.clone();
        let due = self.due(&next);
        {
            let mut state = self.shared.lock();
            state.due = due;
            let stats = &mut state.stats;
            let old: HashSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
            for file in next.files.iter().filter(|file| !old.contains(file.path.as_str())) {
                stats.files_written += 1;
                stats.bytes_written += file.bytes;
                stats.bytes_kept += file.bytes;
            }
            if matches!(begun.kind, Kind::Merge) {
                let new: HashSet<&str> = next.files.iter().map(|file| file.path.as_str()).collect();
                let replaced = manifest.files.iter().filter(|file| !new.contains(file.path.as_str()));
                // Files of an earlier process may be more than this one has written.
                stats.bytes_kept = stats.bytes_kept.saturating_sub(replaced.map(|file| file.bytes).sum());
            }
            match begun.kind {
                Kind::Commit => {}
                Kind::Merge => {
                    stats.merges += 1;
                    stats.merge_error = None;
                }
                Kind::Expire { by_age, by_size } => {
                    stats.expired_rows_by_age += by_age;
                    stats.expired_rows_by_size += by_size;
                }
            }
        }
        // What the plan removes now is removed at the next start if this process ends before.
        next.garbage.clear();
        let first = manifest.files.is_empty() && !next.files.is_empty();
        self.shared.committed(next, begun.commits);
        if first && let Err(error) = crate::catalog::write_views(&self.shared.disk, &self.shared.data) {
            tracing::warn!(%error, "`views.sql` is without a view until the next start");
        }
        begun.plan.clean(&self.shared.disk);
        Ok(())
    }
}

/// The file system has no exchange of two folders: NFS, FAT, kernels of before 3.15.
fn cannot_exchange(error: &StorageError) -> bool {
    let StorageError::File(error) = error else { return false };
    let of = |errno: Errno| error.source.raw_os_error() == Some(errno.raw_os_error());
    error.operation == disk::EXCHANGE && (of(Errno::INVAL) || of(Errno::NOSYS) || of(Errno::OPNOTSUPP))
}

/// Why trying again would not help before someone has mended the folder.
fn unreadable(error: &StorageError) -> Option<&'static str> {
    match error {
        StorageError::Decode { .. } | StorageError::Damaged { .. } => Some("damaged"),
        StorageError::File(error) if error.source.kind() == std::io::ErrorKind::NotFound => Some("missing"),
        _ => None,
    }
}
