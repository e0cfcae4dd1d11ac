//! The verdict: what the site kept against one pass over its log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::util::display::array_value_to_string;
use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_operators::sinks::Historians;
use ducto_operators::sinks::outbox::open_outboxes;
use ducto_query::{Folder, Session};
use ducto_record::{Entry, Epoch, Origin, Part, TagId, Value};
use ducto_runtime::{ClockMode, Options, Outboxes, RunningSite, SinkChoice};
use ducto_storage::disk::Disk;
use ducto_storage::{Checkpoint, Checkpoints, DataFolder, Journal, PipelineState, dataset_names};

use crate::driver::{Numbers, People};
use crate::receiver::Receiver;
use crate::{Fault, Seen, site, site::NUMBERS};

const MEMORY: usize = 64 << 20;

/// Entries that may be ahead of the pipelines.
const AHEAD: Epoch = 32;

/// All segments that the site ever wrote, as what was left of them after each stop: what a checkpoint lets go is still
/// needed here.
#[derive(Clone)]
pub(crate) struct Archive {
    folder: PathBuf,
}

impl Archive {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Fault> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Takes what is left in a data folder.
    pub(crate) fn take(&self, data: &Path) -> Result<(), Fault> {
        let journal = data.join("journal");
        if !journal.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(journal)? {
            let path = entry?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                fs::copy(&path, self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Takes a segment that the site is about to remove.
    pub(crate) fn keep(&self, path: &Path) {
        if let (true, Some(name)) = (path.parent().is_some_and(|folder| folder.ends_with("journal")), path.file_name())
        {
            // What is missing here is seen as a hole.
            let _ = fs::copy(path, self.folder.join(name));
        }
    }

    fn entries(&self, site: &Site) -> Result<Vec<Entry>, Fault> {
        let opened = Journal::open(&Disk::default(), &self.folder, &site.directory)?;
        if let Some(problem) = opened.problems.iter().find(|problem| problem.lost.is_some()) {
            return Err(format!("the log has a hole: {problem}").into());
        }
        let mut reader = opened.journal.reader(0);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// What the site has said that it has: none of it may be missing, whatever came then.
#[derive(Clone, Default)]
pub(crate) struct Accepted {
    pub(crate) numbers: Numbers,
    pub(crate) people: People,
}

impl Accepted {
    /// What was said to be on disk up to an epoch is in the log that survived.
    pub(crate) fn survived(&self, site: &Site, archive: &Archive, durable: Epoch) -> Result<(), Fault> {
        let entries = archive.entries(site)?;
        let last = entries.last().map_or(0, |entry| entry.epoch);
        if last < durable {
            return Err(format!("entries up to {durable} were said to be on disk, and the log ends at {last}").into());
        }
        self.holds(site, &entries)
    }

    fn holds(&self, site: &Site, entries: &[Entry]) -> Result<(), Fault> {
        accepted(site, entries, self.numbers.acknowledged())?;
        let parts = entries.iter().flat_map(|entry| &entry.parts);
        let mut done: BTreeMap<&str, usize> = BTreeMap::new();
        for part in parts {
            if let Part::Action(action) = part {
                *done.entry(action.reason.as_deref().unwrap_or_default()).or_default() += 1;
            }
        }
        for reason in self.people.accepted() {
            match done.get(reason.as_str()) {
                Some(1) => {}
                times => {
                    let times = times.copied().unwrap_or_default();
                    return Err(
                        format!("the acknowledgement `{reason}` was answered and is in the log {times} times").into()
                    );
                }
            }
        }
        Ok(())
    }
}

/// Compares what a data folder holds after a clean stop with one pass over the log. States are compared byte for byte
/// where nodes have kept their tags in the `same_places`; where assets have moved between workers, what comes of the states
/// later is compared.
pub(crate) fn judge(
    site: &Arc<Site>,
    registry: &Registry,
    data: &Path,
    archive: &Archive,
    said: &Accepted,
    receiver: &Receiver,
    same_places: bool,
) -> Result<Seen, Fault> {
    let checkpoint = Checkpoints::open(&Disk::default(), &data.join("checkpoints"))?.newest;
    let checkpoint = checkpoint.ok_or("a clean stop left no checkpoint")?;
    let end = ended_at(&checkpoint)?;
    let entries = archive.entries(site)?;
    said.holds(site, &entries)?;
    once(&entries)?;
    let reference = tempfile::tempdir()?;
    receiver.set_unwell(0);
    receiver.fetch_from(data, &site.name)?;
    let until = entries.iter().take_while(|entry| entry.epoch <= end);
    let Reference { states, incarnation } = pass(site, registry, reference.path(), until, receiver)?;
    let acknowledged = said.numbers.acknowledged() as usize + said.people.accepted().len();
    let mut seen = Seen { entries: end, acknowledged, ..Seen::default() };
    for stream in site::STREAMS {
        let (mut sent, mut expected) =
            (receiver.lines(stream, &incarnation, true)?, receiver.lines(stream, &incarnation, false)?);
        seen.sent += sent.len();
        sent.sort();
        expected.sort();
        same(stream, &sent, &expected)?;
    }
    let (kept, expected) = (rows(data)?, rows(reference.path())?);
    for (dataset, expected) in &expected {
        let kept = kept.get(dataset).map_or(&[][..], Vec::as_slice);
        seen.rows += kept.len();
        seen.alarms_acknowledged += kept.iter().filter(|row| row.contains(" acknowledged ")).count();
        same(dataset, kept, expected)?;
    }
    if let Some(dataset) = kept.keys().find(|dataset| !expected.contains_key(*dataset)) {
        return Err(format!("one pass over the log gives no dataset `{dataset}`").into());
    }
    for (pipeline, expected) in &states {
        let kept = checkpoint.pipelines.get(pipeline).ok_or_else(|| format!("no state of `{pipeline}` was kept"))?;
        for (kept, expected) in kept.nodes.iter().zip(&expected.nodes) {
            if same_places && kept != expected {
                return Err(format!("the state of `{pipeline}.{}` is not that of one pass", expected.node).into());
            }
        }
        if kept.nodes.len() != expected.nodes.len() {
            return Err(format!("states of `{pipeline}` are missing").into());
        }
    }
    Ok(seen)
}

/// Where all pipelines stopped.
fn ended_at(checkpoint: &Checkpoint) -> Result<Epoch, Fault> {
    let mut ends = checkpoint.pipelines.values().map(|pipeline| pipeline.epoch);
    let end = ends.next().ok_or("the checkpoint has no pipeline")?;
    if ends.all(|other| other == end) { Ok(end) } else { Err("a clean stop left pipelines at different epochs".into()) }
}

/// Whatever was acknowledged is in the log, in its order, and epochs follow each other.
fn accepted(site: &Site, entries: &[Entry], acknowledged: u64) -> Result<(), Fault> {
    let tag = site.directory.tag_id(NUMBERS);
    let mut next = 1;
    let mut epoch = 0;
    for entry in entries {
        if entry.epoch != epoch + 1 {
            return Err(format!("the log goes from epoch {epoch} to {}", entry.epoch).into());
        }
        epoch = entry.epoch;
        for part in &entry.parts {
            let Part::Samples { samples, .. } = part else { continue };
            for row in (0..samples.len()).filter(|row| Some(samples.tags()[*row]) == tag) {
                match samples.values().get(row) {
                    Value::Float64(number) if number == next as f64 => next += 1,
                    // Sent again, since nobody knew whether it had come.
                    Value::Float64(number) if number < next as f64 => {}
                    other => return Err(format!("{NUMBERS} is {other:?} where {next} was to come").into()),
                }
            }
        }
    }
    if next <= acknowledged {
        return Err(
            format!("{NUMBERS} was acknowledged up to {acknowledged}, and the log has it up to {}", next - 1).into()
        );
    }
    Ok(())
}

/// What nodes published and datasets announced of an epoch entered in one entry, and in no other.
fn once(entries: &[Entry]) -> Result<(), Fault> {
    let mut entered: BTreeMap<String, Epoch> = BTreeMap::new();
    for entry in entries {
        for part in &entry.parts {
            let brought: Vec<String> = match part {
                Part::Samples { origin: Origin::Published { pipeline, node, piece }, samples } => {
                    let of = |tag: &TagId| format!("tag {tag} of {pipeline}/{node} at epoch {}", piece.epoch);
                    samples.tags().iter().map(of).collect()
                }
                Part::Samples { origin: Origin::Dataset { name, epoch }, samples } => {
                    vec![format!("samples of {name}, {:?}, at epoch {epoch}", samples.kind())]
                }
                Part::Rows { origin: Origin::Dataset { name, epoch }, .. } => {
                    vec![format!("rows of {name} at epoch {epoch}")]
                }
                _ => Vec::new(),
            };
            for what in brought {
                let first = *entered.entry(what.clone()).or_insert(entry.epoch);
                if first != entry.epoch {
                    return Err(format!("{what} entered twice: as {first} and as {}", entry.epoch).into());
                }
            }
        }
    }
    Ok(())
}

/// What one pass gave beside the rows in its folder.
struct Reference {
    states: BTreeMap<Arc<str>, PipelineState>,
    /// Under which it has sent.
    incarnation: Arc<str>,
}

/// One pass over the log, from empty state.
fn pass<'a>(
    site: &Arc<Site>,
    registry: &Registry,
    data: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    receiver: &Receiver,
) -> Result<Reference, Fault> {
    let folder = Arc::new(DataFolder::open(data)?);
    let historians = Arc::new(Historians::open(folder.clone())?);
    let outboxes = open_outboxes(site, &folder)?;
    let mut resources = Resources::default();
    resources.insert(historians);
    resources.insert::<Outboxes>(outboxes.clone());
    let options = Options {
        mode: ClockMode::Virtual,
        last_epoch: 0,
        resources,
        feeders: false,
        sinks: SinkChoice::All,
        durable: None,
    };
    let mut running = RunningSite::start_from_log(site, registry, options)?;
    let log = running.log().clone();
    for entry in entries {
        let (epoch, time) = log.append(entry.time, entry.parts.clone());
        if (epoch, time) != (entry.epoch, entry.time) {
            return Err(format!("entry {} of the log came as {epoch}", entry.epoch).into());
        }
        while !log.wait_done(epoch.saturating_sub(AHEAD), Duration::from_secs(1)) {}
    }
    running.stop()?;
    receiver.fetch(outboxes.outbox())?;
    Ok(Reference { states: running.last_states().clone(), incarnation: outboxes.outbox().incarnation().clone() })
}

/// All rows of all datasets, as lines, sorted.
fn rows(data: &Path) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let session = Session::new(Arc::new(Folder::open(data)?), MEMORY)?;
    let mut datasets = BTreeMap::new();
    for name in dataset_names(data)? {
        let batches = runtime.block_on(async {
            let answer = session.sql(&format!("SELECT * FROM \"{name}\"")).await?;
            if let Some(what) = answer.incomplete() {
                return Err(Fault::from(what));
            }
            Ok::<_, Fault>(answer.collect().await?)
        })?;
        let mut lines = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cells: Result<Vec<String>, _> =
                    batch.columns().iter().map(|column| array_value_to_string(column, row)).collect();
                lines.push(cells?.join(" "));
            }
        }
        lines.sort();
        // Opened and never written.
        if !lines.is_empty() {
            datasets.insert(name, lines);
        }
    }
    Ok(datasets)
}

fn same(dataset: &str, kept: &[String], expected: &[String]) -> Result<(), Fault> {
    if kept == expected {
        return Ok(());
    }
    let at = kept.iter().zip(expected).take_while(|(kept, expected)| kept == expected).count();
    let none = "nothing".to_owned();
    let (kept_row, expected_row) = (kept.get(at).unwrap_or(&none), expected.get(at).unwrap_or(&none));
    let (kept, expected) = (kept.len(), expected.len());
    Err(format!(
        "`{dataset}` has {kept} rows for {expected} of one pass over the log; the first that differs is {kept_row} for \
         {expected_row}"
    )
    .into())
}
