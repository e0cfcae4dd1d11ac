//! A poll group: the tags of one unit that are read together, as often, and become scans with one time.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_record::{Layout, Micros, Quality, Samples, TagId};
use modbus::{Exception, Holes, Item, Limits, Plan, Read, Response, Table};

use super::schedule::{Priority, Timing, flow};
use super::shape::{Scan, Shape};
use super::standing::Standing;

/// How long what the device refused, a range or a length, is left alone before it is tried again.
const FORGET: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Group {
    /// Index of the unit.
    pub(super) unit: usize,
    pub(super) priority: Priority,
    pub(super) timing: Timing,
    shape: Arc<Shape>,
    /// The tags of each of the shape's columns.
    layouts: Vec<Arc<Layout>>,
    /// What the device was found not to have.
    holes: Holes,
    /// As configured, or less: what the device was found to answer.
    limits: Limits,
    learned: Option<Instant>,
    plan: Arc<Plan>,
    pub(super) standing: Standing,
    work: Option<Work>,
}

/// A scan under way.
#[derive(Debug)]
struct Work {
    scan: Scan,
    /// When its first request was sent.
    time: Option<Micros>,
    /// Reads still to make, the next one last.
    reads: Vec<Read>,
    /// An answer has come.
    read: bool,
    /// Of each table, the length of the last read that was refused, and of the longest that was answered.
    refused: BTreeMap<Table, u16>,
    longest: BTreeMap<Table, u16>,
    /// A hole was found.
    found: bool,
}

impl Group {
    /// `tags` are the numbers of the shape's tags.
    pub(super) fn new(unit: usize, priority: Priority, timing: Timing, shape: Arc<Shape>, tags: &[TagId]) -> Self {
        let layout = |rows: &[usize]| Layout::new(rows.iter().filter_map(|row| tags.get(*row).copied()).collect());
        Self {
            unit,
            priority,
            timing,
            layouts: shape.columns.iter().map(|(_, rows)| layout(rows)).collect(),
            holes: Holes::new(),
            limits: shape.limits,
            learned: None,
            plan: shape.plan.clone(),
            shape,
            standing: Standing::default(),
            work: None,
        }
    }

    /// Its share of the line.
    pub(super) fn flow(&self) -> usize {
        flow(self.unit, self.priority)
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Forgets the scan under way.
    pub(super) fn drop_work(&mut self) {
        self.work = None;
    }

    /// Whether a scan is under way.
    pub(super) fn is_at_work(&self) -> bool {
        self.work.is_some()
    }

    /// A scan in which nothing could be read.
    pub(super) fn without_values(&self, quality: Quality, time: Micros) -> Vec<Samples> {
        Scan::new(&self.shape, quality).samples(&self.layouts, time)
    }

    /// A scan that has no chance and is not begun; also says how many scans were missed.
    pub(super) fn pass(&mut self, quality: Quality, now: Instant, time: Micros) -> (Vec<Samples>, u32) {
        let samples = if self.timing.is_told(now) { Vec::new() } else { self.without_values(quality, time) };
        (samples, self.timing.done(now, false))
    }

    /// Whether some of its reads was answered when it was last asked, or has not been asked yet.
    pub(super) fn has_good_read(&self) -> bool {
        self.plan.reads.iter().any(|read| self.standing.is_good(read.range))
    }

    /// Whether there is something to ask now: not all of it is left alone.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let reads = &self.plan.reads;
        reads.is_empty() || reads.iter().any(|read| self.standing.allows(read.range, now))
    }

    /// Whether the next read of the scan under way was in vain when it was last made.
    pub(super) fn next_is_doubtful(&self) -> bool {
        let next = self.work.as_ref().and_then(|work| work.reads.last());
        next.is_some_and(|read| !self.standing.is_good(read.range))
    }

    /// Begins a scan, without the reads that are left alone, and with doubtful ones after all others. Tags that no
    /// request reads are a mistake of the configuration.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.learned.is_some_and(|learned| now.duration_since(learned) >= FORGET) {
            (self.holes, self.limits) = (Holes::new(), self.shape.limits);
            self.learned = None;
            self.plan = self.shape.plan.clone();
        }
        let mut scan = Scan::new(&self.shape, Quality::COMM_FAILURE);
        scan.fail(self.plan.refused.iter().map(|(index, _)| *index), Quality::CONFIG_ERROR);
        let allowed = self.plan.reads.iter().rev().filter(|read| self.standing.allows(read.range, now));
        let mut reads: Vec<Read> = allowed.cloned().collect();
        reads.sort_by_key(|read| Reverse(self.standing.failures(read.range)));
        self.work = Some(Work {
            scan,
            time: None,
            reads,
            read: false,
            refused: BTreeMap::new(),
            longest: BTreeMap::new(),
            found: false,
        });
    }

    /// The next read of the scan under way; `None` where all are made.
    pub(super) fn next_read(&mut self, now: impl FnOnce() -> Micros) -> Option<Read> {
        let work = self.work.as_mut()?;
        let read = work.reads.pop()?;
        work.time.get_or_insert_with(now);
        Some(read)
    }

    /// A read that could not be sent: it is made again.
    pub(super) fn put_back(&mut self, read: Read) {
        if let Some(work) = &mut self.work {
            work.reads.push(read);
        }
    }

    /// Whether the scan under way has nothing left to read.
    pub(super) fn is_done(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.reads.is_empty())
    }

    /// Takes an answer in.
    pub(super) fn store(&mut self, read: &Read, response: &Response) {
        if let Some(work) = &mut self.work {
            work.scan.store(read, response);
            work.read = true;
            let longest = work.longest.entry(read.range.table).or_default();
            *longest = (*longest).max(read.range.count);
        }
    }

    /// No values for the tags of a read.
    pub(super) fn fail(&mut self, read: &Read, quality: Quality) {
        if let Some(work) = &mut self.work {
            work.scan.fail(read.items.iter().copied(), quality);
        }
    }

    /// Exception 2 or 3: its halves are read instead. Where one tag alone was refused by exception 2, its place is left
    /// out from now on. Says whether a tag was refused: only then there is something that somebody has to mend.
    pub(super) fn refused(&mut self, read: &Read, exception: Exception, now: Instant) -> bool {
        let address = exception == Exception::IllegalDataAddress;
        match read.bisect(&self.shape.items) {
            Some((left, right)) => {
                // Whatever lies between the halves is not asked for, and may be what the device does not have.
                let (end, start) = (left.range.offset + left.range.count, right.range.offset);
                if address && start > end {
                    self.learn_hole(Item { table: read.range.table, offset: end, count: start - end }, now);
                }
                if let Some(work) = &mut self.work {
                    let allowed = [right, left].into_iter().filter(|half| self.standing.allows(half.range, now));
                    work.reads.extend(allowed);
                    work.refused.insert(read.range.table, read.range.count);
                }
                false
            }
            None => {
                self.fail(read, Quality::CONFIG_ERROR);
                if address {
                    self.learn_hole(read.range, now);
                }
                true
            }
        }
    }

    fn learn_hole(&mut self, hole: Item, now: Instant) {
        self.holes.insert(hole);
        if let Some(work) = &mut self.work {
            work.found = true;
        }
        self.learn(now);
    }

    /// Where reads were refused in the scan under way, and all their parts were answered, the device takes no reads as
    /// long as that: none is longer, from now on, than the longest that was answered. Says how long that is.
    pub(super) fn learn_length(&mut self, now: Instant) -> Option<u16> {
        let work = self.work.as_ref().filter(|_| self.is_done())?;
        let answered = |table: &Table| work.longest.get(table).copied();
        let mut tables = work.refused.iter().filter_map(|(table, refused)| Some((*table, *refused, answered(table)?)));
        let (table, _, longest) = tables.find(|(_, refused, longest)| !work.found && longest < refused)?;
        // What one tag needs was answered, or is no question of length.
        let items = self.shape.items.iter().filter(|item| item.table == table);
        let longest = items.map(|item| item.count).max()?.max(longest);
        match table.is_bits() {
            true => self.limits.bits = longest,
            false => self.limits.registers = longest,
        }
        self.learn(now);
        Some(longest)
    }

    fn learn(&mut self, now: Instant) {
        self.learned.get_or_insert(now);
        self.plan = Arc::new(Plan::new(&self.shape.items, self.limits, &self.holes));
    }

    /// Ends the scan under way: what was not read is a failure of communication. Also says how many scans were missed.
    pub(super) fn finish(&mut self, now: Instant, time: impl FnOnce() -> Micros) -> (Vec<Samples>, u32) {
        let Some(Work { scan, time: begun, read, .. }) = self.work.take() else { return (Vec::new(), 0) };
        let is_news = read || !self.timing.is_told(now);
        let missed = self.timing.done(now, read);
        let samples = if is_news { scan.samples(&self.layouts, begun.unwrap_or_else(time)) } else { Vec::new() };
        (samples, missed)
    }
}

/// The quality of a sample whose read the device refused.
pub(super) fn quality_of(exception: Exception) -> Quality {
    match exception {
        Exception::IllegalFunction | Exception::IllegalDataAddress | Exception::IllegalDataValue => {
            Quality::CONFIG_ERROR
        }
        Exception::DeviceFailure | Exception::MemoryParityError => Quality::DEVICE_FAILURE,
        Exception::GatewayPathUnavailable
        | Exception::GatewayTargetFailedToRespond
        | Exception::Acknowledge
        | Exception::DeviceBusy => Quality::COMM_FAILURE,
        Exception::Other(_) => Quality::BAD,
    }
}
