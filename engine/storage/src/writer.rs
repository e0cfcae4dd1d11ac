//! The thread that commits, merges and removes.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::Micros;

use crate::commit::FileWriter;
use crate::dataset::DatasetConfig;
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
        let at = merges.values().copied().chain(expire).min();
        Self { at, merges, expire }
    }

    fn without(mut self, hours: &HashSet<Hour>) -> Self {
        self.merges.retain(|hour, _| !hours.contains(hour));
        self.at = self.merges.values().copied().chain(self.expire).min();
        self
    }
}

pub(crate) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, StorageError> {
    let files = FileWriter::new(shared.config.clone(), &shared.data)?;
    let data = shared.data.clone();
    let writer = move || Writer { files, begun: None, unreadable: HashSet::new(), shared: &shared }.run();
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
    /// Hours whose files cannot be merged; they stay as they are until the next start.
    unreadable: HashSet<Hour>,
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
                    tracing::error!(dataset = %self.shared.name, %error, "rows wait in memory, the writer tries again");
                    if let Some(hour) = merging
                        && matches!(error, StorageError::Decode { .. } | StorageError::Damaged { .. })
                    {
                        self.unreadable.insert(hour);
                        let mut state = self.shared.lock();
                        state.due = std::mem::take(&mut state.due).without(&self.unreadable);
                    }
                    let longer = retry.map_or(RETRY, |retry: Duration| (retry * 2).min(LONGEST_RETRY));
                    retry = Some(longer);
                    self.shared.attempted(Some(&error));
                }
            }
        }
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
                    state.due = std::mem::take(&mut state.due).without(&self.unreadable);
                    drop(state);
                    self.shared.attempted(None);
                    return Ok(());
                }
            },
        };
        if let Err(error) = begun.plan.save(&self.shared.data) {
            self.begun = Some(begun);
            return Err(error);
        }
        let mut next = begun.plan.manifest.clone();
        {
            let mut state = self.shared.lock();
            state.due = Due::of(&next, &self.shared.config).without(&self.unreadable);
            let stats = &mut state.stats;
            let old: HashSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
            for file in next.files.iter().filter(|file| !old.contains(file.path.as_str())) {
                stats.files_written += 1;
                stats.bytes_written += file.bytes;
            }
            match begun.kind {
                Kind::Commit => {}
                Kind::Merge => stats.merges += 1,
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
        if first && let Err(error) = crate::catalog::write_views(&self.shared.data) {
            tracing::warn!(%error, "`views.sql` is without a view until the next start");
        }
        begun.plan.clean();
        Ok(())
    }
}
