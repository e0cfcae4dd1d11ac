//! Samples of many batches into the order of their files: by name of tag, then by time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ducto_record::{Batch, Directory, Samples, TagId, Times};

use crate::historian::Appended;
use crate::hour::Hour;
use crate::parquet_file::{SampleColumns, StoredValue};

/// The tags of a directory in the order of their names. A later generation of the directory only appends, so the
/// largest one serves the batches of all.
#[derive(Debug, Default)]
pub(crate) struct Names {
    directory: Option<Arc<Directory>>,
    /// By tag number.
    ranks: Vec<u32>,
    /// By rank.
    names: Vec<Arc<str>>,
}

impl Names {
    /// Takes in the largest directory of the batches.
    pub(crate) fn update(&mut self, rows: &[Appended]) {
        let size = |directory: &Arc<Directory>| directory.tags().len();
        let Some(largest) = rows.iter().map(|appended| &appended.directory).max_by_key(|directory| size(directory))
        else {
            return;
        };
        let known = self.directory.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, largest) || size(known) > size(largest)) {
            return;
        }
        let mut order: Vec<TagId> = (0..size(largest) as TagId).collect();
        order.sort_by(|a, b| largest.tag_name(*a).cmp(largest.tag_name(*b)));
        self.ranks = vec![0; order.len()];
        for (rank, tag) in order.iter().enumerate() {
            self.ranks[*tag as usize] = rank as u32;
        }
        self.names = order.iter().filter_map(|tag| largest.tag(*tag)).map(|tag| tag.name.clone()).collect();
        self.directory = Some(largest.clone());
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    /// Tags are checked against their directory when they are appended.
    fn rank(&self, tag: TagId) -> usize {
        self.ranks[tag as usize] as usize
    }
}

/// The scans of one layout within an hour, by time.
struct Scans<'a> {
    /// By row of the layout.
    ranks: Vec<u32>,
    scans: Vec<&'a Samples>,
    times: Vec<i64>,
}

/// The samples of a commit that lie in one hour.
pub(crate) struct HourRows<'a> {
    scans: Vec<Scans<'a>>,
    /// Batch and row of samples that came in no scan, in the order they came.
    loose: Vec<(&'a Samples, u32)>,
    /// Rows by rank; filled by [`HourRows::count`].
    counts: Vec<u32>,
    nulls: bool,
    pub(crate) epochs: (u64, u64),
    pub(crate) times: (i64, i64),
}

impl<'a> HourRows<'a> {
    fn new() -> Self {
        Self {
            scans: Vec::new(),
            loose: Vec::new(),
            counts: Vec::new(),
            nulls: false,
            epochs: (u64::MAX, 0),
            times: (i64::MAX, i64::MIN),
        }
    }

    fn saw(&mut self, epoch: u64, time: i64) {
        self.epochs = (self.epochs.0.min(epoch), self.epochs.1.max(epoch));
        self.times = (self.times.0.min(time), self.times.1.max(time));
    }

    /// Counts the rows of each tag; before [`HourRows::groups`]. One hour at a time holds such counts.
    pub(crate) fn count(&mut self, names: &Names) {
        self.counts = vec![0; names.len()];
        for scans in &self.scans {
            for rank in &scans.ranks {
                self.counts[*rank as usize] += scans.scans.len() as u32;
            }
        }
        for (samples, row) in &self.loose {
            self.counts[names.rank(samples.tags()[*row as usize])] += 1;
        }
    }

    /// The ranks of up to about `rows` rows each, in order.
    pub(crate) fn groups(&self, rows: usize) -> Vec<Range<usize>> {
        let (mut groups, mut start, mut held) = (Vec::new(), 0, 0);
        for (rank, count) in self.counts.iter().enumerate() {
            if held > 0 && held + *count as usize > rows {
                groups.push(start..rank);
                (start, held) = (rank, 0);
            }
            held += *count as usize;
        }
        if held > 0 {
            groups.push(start..self.counts.len());
        }
        groups
    }

    /// Brings the rows of some ranks into order.
    pub(crate) fn fill<T: StoredValue>(&self, names: &Names, ranks: Range<usize>, out: &mut SampleColumns<T>) {
        // Times and values are all overwritten; the rest is filled with what is usual.
        out.runs.clear();
        out.valid.clear();
        out.quality.clear();
        out.checks.clear();
        let mut starts = Vec::with_capacity(ranks.len());
        let mut total = 0;
        for rank in ranks.clone() {
            let count = self.counts[rank] as usize;
            starts.push(total);
            total += count;
            if count > 0 {
                out.runs.push((names.names[rank].clone(), count));
            }
        }
        out.times.resize(total, 0);
        out.values.resize(total, T::default());
        out.quality.resize(total, ducto_record::Quality::GOOD.0);
        out.checks.resize(total, 0);
        if self.nulls {
            out.valid.resize(total, true);
        }
        let mut next = starts.clone();
        // Ranks whose rows may be out of order, because more than one source gave them.
        let mut mixed = vec![false; ranks.len()];
        for scans in &self.scans {
            scans.fill(&ranks, &mut next, &starts, &mut mixed, out);
        }
        for &(samples, row) in &self.loose {
            let row = row as usize;
            let rank = names.rank(samples.tags()[row]);
            if !ranks.contains(&rank) {
                continue;
            }
            let rank = rank - ranks.start;
            let to = next[rank];
            next[rank] += 1;
            mixed[rank] = true;
            out.times[to] = samples.time(row);
            out.values[to] = T::get(samples.values(), row);
            out.quality[to] = samples.quality()[row];
            out.checks[to] = samples.checks()[row];
            if self.nulls {
                out.valid[to] = samples.values().as_dyn().is_valid(row);
            }
        }
        for (rank, mixed) in mixed.iter().enumerate() {
            let rows = starts[rank]..next[rank];
            if *mixed && !out.times[rows.clone()].is_sorted() {
                out.sort_rows(rows);
            }
        }
    }
}

impl<T: StoredValue> SampleColumns<T> {
    /// Sorts rows of one tag by time; rows of one time stay in the order they came.
    pub(crate) fn sort_rows(&mut self, rows: Range<usize>) {
        let times = &self.times[rows.clone()];
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| times[*row]);
        fn permute<V: Clone>(column: &mut [V], order: &[usize]) {
            let sorted: Vec<V> = order.iter().map(|row| column[*row].clone()).collect();
            column.clone_from_slice(&sorted);
        }
        permute(&mut self.times[rows.clone()], &order);
        permute(&mut self.values[rows.clone()], &order);
        permute(&mut self.quality[rows.clone()], &order);
        permute(&mut self.checks[rows.clone()], &order);
        if !self.valid.is_empty() {
            permute(&mut self.valid[rows], &order);
        }
    }
}

impl Scans<'_> {
    /// Scans times rows of the layout, transposed in tiles that stay in the nearest cache.
    fn fill<T: StoredValue>(
        &self,
        ranks: &Range<usize>,
        next: &mut [usize],
        starts: &[usize],
        mixed: &mut [bool],
        out: &mut SampleColumns<T>,
    ) {
        const TILE: usize = 16;
        let place = |rank: u32| ranks.contains(&(rank as usize)).then(|| rank as usize - ranks.start);
        // Where the first scan of each row of the layout goes.
        let places: Vec<usize> =
            self.ranks.iter().map(|rank| place(*rank).map_or(usize::MAX, |rank| next[rank])).collect();
        for (at, rank) in self.ranks.iter().enumerate() {
            let Some(rank) = place(*rank) else { continue };
            let first = places[at];
            mixed[rank] |= first != starts[rank];
            out.times[first..first + self.times.len()].copy_from_slice(&self.times);
            next[rank] = first + self.times.len();
        }
        for (tile, scans) in self.scans.chunks(TILE).enumerate() {
            let ahead = tile * TILE;
            let slices: Option<Vec<&[T]>> = scans.iter().map(|scan| T::slice(scan.values())).collect();
            match slices {
                Some(slices) => {
                    for rows in (0..places.len()).step_by(TILE) {
                        for row in rows..(rows + TILE).min(places.len()) {
                            if places[row] == usize::MAX {
                                continue;
                            }
                            let to = places[row] + ahead;
                            for (to, slice) in out.values[to..to + slices.len()].iter_mut().zip(&slices) {
                                *to = slice[row].clone();
                            }
                        }
                    }
                }
                None => {
                    for (offset, scan) in scans.iter().enumerate() {
                        for (row, to) in places.iter().enumerate().filter(|(_, to)| **to != usize::MAX) {
                            out.values[to + ahead + offset] = T::get(scan.values(), row);
                        }
                    }
                }
            }
        }
        for (at, scan) in self.scans.iter().enumerate() {
            exceptions(scan.quality(), ducto_record::Quality::GOOD.0, |row, quality| {
                if places[row] != usize::MAX {
                    out.quality[places[row] + at] = quality;
                }
            });
            exceptions(scan.checks(), 0, |row, checks| {
                if places[row] != usize::MAX {
                    out.checks[places[row] + at] = checks;
                }
            });
            if let Some(nulls) = scan.values().nulls() {
                for (row, to) in places.iter().enumerate().filter(|(_, to)| **to != usize::MAX) {
                    out.valid[to + at] = nulls.is_valid(row);
                }
            }
        }
    }
}

/// Calls `each` for the numbers that are not the usual one; blocks without any are passed over at once.
fn exceptions(numbers: &[u16], usual: u16, mut each: impl FnMut(usize, u16)) {
    for (block, numbers) in numbers.chunks(64).enumerate() {
        if numbers.iter().fold(0, |different, number| different | (number ^ usual)) != 0 {
            for (offset, number) in numbers.iter().enumerate().filter(|(_, number)| **number != usual) {
                each(block * 64 + offset, *number);
            }
        }
    }
}

/// The samples of a commit by hour.
pub(crate) fn by_hour<'a>(rows: impl Iterator<Item = &'a Appended>, names: &Names) -> Vec<HourRows<'a>> {
    let mut hours: BTreeMap<Hour, HourRows<'a>> = BTreeMap::new();
    let mut scans: BTreeMap<(Hour, usize), Vec<&'a Samples>> = BTreeMap::new();
    for appended in rows {
        let Batch::Samples(samples) = &appended.batch else { continue };
        if let (Some(layout), Times::One(time)) = (samples.layout(), samples.times()) {
            let hour = Hour::of(*time);
            let rows = hours.entry(hour).or_insert_with(HourRows::new);
            rows.saw(appended.epoch, *time);
            rows.nulls |= samples.values().as_dyn().null_count() > 0;
            scans.entry((hour, Arc::as_ptr(layout) as usize)).or_default().push(samples);
            continue;
        }
        let nulls = samples.values().as_dyn().null_count() > 0;
        let mut row = 0;
        while row < samples.len() {
            let hour = Hour::of(samples.time(row));
            let rows = hours.entry(hour).or_insert_with(HourRows::new);
            rows.nulls |= nulls;
            // Rows of one hour come together; the map is asked once for each run of them.
            while row < samples.len() && Hour::of(samples.time(row)) == hour {
                rows.saw(appended.epoch, samples.time(row));
                rows.loose.push((samples, row as u32));
                row += 1;
            }
        }
    }
    for ((hour, _), mut of_layout) in scans {
        let Some(rows) = hours.get_mut(&hour) else { continue };
        of_layout.sort_by_key(|scan| scan.time(0));
        let Some(layout) = of_layout.first().and_then(|scan| scan.layout()) else { continue };
        let ranks: Vec<u32> = layout.tags.iter().map(|tag| names.rank(*tag) as u32).collect();
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            // A layout that names a tag twice goes row by row.
            for scan in of_layout {
                rows.loose.extend((0..scan.len() as u32).map(|row| (scan, row)));
            }
            continue;
        }
        let times = of_layout.iter().map(|scan| scan.time(0)).collect();
        rows.scans.push(Scans { ranks, scans: of_layout, times });
    }
    hours.into_values().collect()
}
