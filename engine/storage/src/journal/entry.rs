//! Entries as bytes and back.
//!
//! Tags and assets are numbers in an entry, of the directory that wrote it. A segment begins with the names behind the
//! numbers; a reader of another directory translates. Layouts, the tags of a scan, are written once in a segment.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor as Bytes;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt32Type;
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};
use ducto_record::{
    Action, Directory, Entry, Epoch, Layout, Micros, Origin, Part, Piece, SampleColumns, Samples, TagId, Times, Value,
    role_of,
};

use super::columns::{self, Halves, HalvesRead};
use crate::bytes::{Cursor, Malformed, put_bytes, put_i64, put_text, put_u64};

type Result<T> = std::result::Result<T, Malformed>;

mod kind {
    pub(super) const SAMPLES: u8 = 0;
    pub(super) const ROWS: u8 = 1;
    pub(super) const ACTION: u8 = 2;
}

mod origin {
    pub(super) const FIELD: u8 = 0;
    pub(super) const PUBLISHED: u8 = 1;
    pub(super) const SOURCE: u8 = 2;
    pub(super) const DATASET: u8 = 3;
}

/// How the tags and times of a batch are written.
mod form {
    /// The tags are a layout that the segment has.
    pub(super) const LAYOUT: u8 = 1;
    /// One time for all rows.
    pub(super) const ONE_TIME: u8 = 2;
}

/// The names behind the numbers of a segment.
pub(super) fn put_names(to: &mut Vec<u8>, directory: &Directory) {
    put_u64(to, directory.tags().len() as u64);
    for tag in directory.tags() {
        put_text(to, &tag.name);
    }
    put_u64(to, directory.assets().len() as u64);
    for asset in directory.assets() {
        put_text(to, &asset.name);
    }
}

/// From numbers of a segment to those of this process; `None` for what is no longer there.
#[derive(Clone, Debug, Default)]
pub(super) struct Translation {
    tags: Vec<Option<TagId>>,
    assets: Vec<Option<u32>>,
    /// Every number stays what it is.
    same: bool,
}

impl Translation {
    pub(super) fn read(from: &[u8], directory: &Directory) -> Result<Self> {
        let mut from = Cursor(from);
        let mut tags = Vec::new();
        for _ in 0..from.count()? {
            tags.push(directory.tag_id(from.text()?));
        }
        let mut assets = Vec::new();
        for _ in 0..from.count()? {
            assets.push(directory.asset_id(from.text()?));
        }
        let same = |numbers: &[Option<u32>]| (0..).zip(numbers).all(|(at, number)| *number == Some(at));
        let same = same(&tags) && same(&assets);
        Ok(Self { tags, assets, same })
    }

    fn number(&self, role: &str, number: u32) -> Option<u32> {
        let numbers = if role == "asset" { &self.assets } else { &self.tags };
        numbers.get(number as usize).copied().flatten()
    }
}

/// Writes the entries of one segment.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// By address; the layout is held, so that no other takes its place.
    layouts: HashMap<usize, (u64, Arc<Layout>)>,
    /// Layouts met since the last call of [`Encoder::take_layouts`], as they will be read.
    new: Vec<u8>,
    /// Those to be written again, with the length of the segment from which on.
    again: Vec<(u64, Vec<u8>)>,
}

/// How far from the first the last copy of a layout is: more than what one bad spot of a disk takes.
const FAR: u64 = 64 << 10;

impl Encoder {
    /// Layouts to be written before the entries encoded since the last call, with the segment's length so far. Without
    /// its layout a scan cannot be read, and one damaged place must not cost all that follow: so each is written thrice,
    /// at once, with the next entries, and far behind.
    pub(super) fn take_layouts(&mut self, length: u64) -> Vec<u8> {
        let (due, later): (Vec<_>, Vec<_>) = self.again.drain(..).partition(|(from, _)| *from <= length);
        self.again = later;
        let mut layouts: Vec<u8> = due.into_iter().flat_map(|(_, layouts)| layouts).collect();
        let new = std::mem::take(&mut self.new);
        if !new.is_empty() {
            self.again.push((0, new.clone()));
            self.again.push((length + FAR, new.clone()));
            layouts.extend(new);
        }
        layouts
    }

    fn layout(&mut self, layout: &Arc<Layout>) -> u64 {
        let next = self.layouts.len() as u64;
        let at = Arc::as_ptr(layout) as usize;
        let (id, _) = self.layouts.entry(at).or_insert_with(|| {
            let mut halves = Halves::default();
            columns::put_tags(&mut halves, &layout.tags);
            put_u64(&mut self.new, next);
            put_u64(&mut self.new, layout.tags.len() as u64);
            put_bytes(&mut self.new, &halves.dense);
            (next, layout.clone())
        });
        *id
    }

    /// Writes an entry; `before` are the epoch and the time of the one before it in the same frame.
    pub(super) fn entry(&mut self, to: &mut Halves, before: (Epoch, Micros), entry: &Entry) -> Result<()> {
        put_u64(&mut to.dense, entry.epoch.wrapping_sub(before.0));
        put_i64(&mut to.dense, entry.time.wrapping_sub(before.1));
        put_u64(&mut to.dense, entry.parts.len() as u64);
        for part in &entry.parts {
            match part {
                Part::Samples { origin, samples } => {
                    to.dense.push(kind::SAMPLES);
                    put_origin(&mut to.dense, origin);
                    self.samples(to, samples);
                }
                Part::Rows { origin, rows } => {
                    to.dense.push(kind::ROWS);
                    put_origin(&mut to.dense, origin);
                    put_rows(&mut to.dense, rows)?;
                }
                Part::Action(action) => {
                    to.dense.push(kind::ACTION);
                    put_action(&mut to.dense, action);
                }
            }
        }
        Ok(())
    }

    fn samples(&mut self, to: &mut Halves, samples: &Samples) {
        let layout = samples.layout().map(|layout| self.layout(layout));
        let mut head = 0;
        if layout.is_some() {
            head |= form::LAYOUT;
        }
        if matches!(samples.times(), Times::One(_)) {
            head |= form::ONE_TIME;
        }
        to.dense.push(head);
        put_u64(&mut to.dense, samples.len() as u64);
        match layout {
            Some(layout) => put_u64(&mut to.dense, layout),
            None => columns::put_tags(to, samples.tags()),
        }
        match samples.times() {
            Times::One(time) => put_i64(&mut to.dense, *time),
            Times::Each(times) => columns::put_times(to, times),
        }
        columns::put_values(to, samples.values());
        columns::put_marks(to, samples.quality());
        columns::put_marks(to, samples.checks());
    }
}

/// Reads the entries of one segment.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    translation: Translation,
    /// With the rows to keep where some of its tags are no longer there.
    layouts: HashMap<u64, (Arc<Layout>, Option<UInt32Array>)>,
    /// Rows of tags and assets that this site no longer has.
    pub(super) unknown_rows: u64,
}

impl Decoder {
    pub(super) fn new(translation: Translation) -> Self {
        Self { translation, ..Self::default() }
    }

    pub(super) fn layouts(&mut self, from: &[u8]) -> Result<()> {
        let mut from = Cursor(from);
        while !from.0.is_empty() {
            let (id, rows) = (from.u64()?, from.count()?);
            let mut halves = HalvesRead { dense: Cursor(from.bytes()?), noise: Cursor(&[]) };
            if self.layouts.contains_key(&id) {
                continue;
            }
            let tags = columns::tags(&mut halves, rows)?;
            halves.dense.end()?;
            let (tags, kept) = self.translate(tags);
            self.layouts.insert(id, (Layout::new(tags), kept));
        }
        Ok(())
    }

    /// The tags in this process's numbers, and which rows are left where some are gone.
    fn translate(&self, tags: Vec<TagId>) -> (Vec<TagId>, Option<UInt32Array>) {
        if self.translation.same && tags.iter().all(|tag| (*tag as usize) < self.translation.tags.len()) {
            return (tags, None);
        }
        let translated: Vec<_> = tags.iter().map(|tag| self.translation.number("tag", *tag)).collect();
        if translated.iter().all(Option::is_some) {
            return (translated.into_iter().flatten().collect(), None);
        }
        let kept = (0..).zip(&translated).filter_map(|(row, tag)| tag.map(|_| row)).collect::<Vec<u32>>();
        (translated.into_iter().flatten().collect(), Some(kept.into()))
    }

    /// Reads an entry; `before` are the epoch and the time of the one before it in the same frame.
    pub(super) fn entry(&mut self, from: &mut HalvesRead<'_>, before: (Epoch, Micros)) -> Result<Entry> {
        let epoch = before.0.wrapping_add(from.dense.u64()?);
        let time = before.1.wrapping_add(from.dense.i64()?);
        let mut parts = Vec::new();
        for _ in 0..from.dense.count()? {
            match from.dense.u8()? {
                kind::SAMPLES => {
                    let origin = read_origin(&mut from.dense)?;
                    let samples = self.samples(from)?;
                    if !samples.is_empty() {
                        parts.push(Part::Samples { origin, samples });
                    }
                }
                kind::ROWS => {
                    let origin = read_origin(&mut from.dense)?;
                    let rows = self.rows(from.dense.bytes()?)?;
                    if rows.num_rows() > 0 {
                        parts.push(Part::Rows { origin, rows });
                    }
                }
                kind::ACTION => parts.push(Part::Action(Arc::new(read_action(&mut from.dense)?))),
                _ => return Err(Malformed("an entry has a part of an unknown kind")),
            }
        }
        Ok(Entry { epoch, time, parts })
    }

    fn samples(&mut self, from: &mut HalvesRead<'_>) -> Result<Samples> {
        let head = from.dense.u8()?;
        let rows = columns::rows(from)?;
        let (layout, tags, kept) = if head & form::LAYOUT != 0 {
            let id = from.dense.u64()?;
            let (layout, kept) = self.layouts.get(&id).ok_or(Malformed("a scan names an unknown layout"))?.clone();
            let tags = layout.tags.clone();
            (Some(layout), tags, kept)
        } else {
            let (tags, kept) = self.translate(columns::tags(from, rows)?);
            (None, tags.into(), kept)
        };
        if kept.as_ref().map_or(tags.len() != rows, |kept| kept.len() != tags.len() || kept.len() > rows) {
            return Err(Malformed("a scan has more or fewer rows than its layout"));
        }
        let times = if head & form::ONE_TIME != 0 {
            Times::One(from.dense.i64()?)
        } else {
            Times::Each(columns::times(from, rows)?)
        };
        let values = columns::values(from, rows)?;
        let quality = columns::marks(from, rows)?;
        let checks = columns::marks(from, rows)?;
        let Some(kept) = kept else {
            let columns = SampleColumns { times, tags, values, quality, checks };
            let samples = Samples::new(columns).map_err(|_| Malformed("the columns of a batch differ in length"))?;
            return match &layout {
                None => Ok(samples),
                Some(layout) => samples.with_layout(layout).map_err(|_| Malformed("a scan is not of its layout")),
            };
        };
        self.unknown_rows += (rows - kept.len()) as u64;
        // The tags of rows that go are of no interest; those that stay are put in their place below.
        let columns = SampleColumns { times, tags: vec![0; rows].into(), values, quality, checks };
        let all = Samples::new(columns).map_err(|_| Malformed("the columns of a batch differ in length"))?;
        let layout = layout.unwrap_or_else(|| Layout::new(tags.to_vec()));
        all.take_scan(&kept, &layout).map_err(|_| Malformed("rows of a batch cannot be picked"))
    }

    fn rows(&mut self, bytes: &[u8]) -> Result<RecordBatch> {
        const BROKEN: Malformed = Malformed("rows are no Arrow stream of one batch");
        let mut reader = StreamReader::try_new(Bytes::new(bytes), None).map_err(|_| BROKEN)?;
        let rows = reader.next().ok_or(BROKEN)?.map_err(|_| BROKEN)?;
        if self.translation.same {
            return Ok(rows);
        }
        let mut kept = vec![true; rows.num_rows()];
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        for (field, column) in rows.schema_ref().fields().iter().zip(&mut columns) {
            let Some(role) = role_of(field) else { continue };
            let numbers = column.as_primitive_opt::<UInt32Type>().ok_or(BROKEN)?;
            let translated: UInt32Array = numbers
                .iter()
                .zip(&mut kept)
                .map(|(number, kept)| {
                    let number = number?;
                    let translated = self.translation.number(role, number);
                    *kept &= translated.is_some();
                    Some(translated.unwrap_or_default())
                })
                .collect();
            *column = Arc::new(translated);
        }
        let rows = RecordBatch::try_new(rows.schema(), columns).map_err(|_| BROKEN)?;
        let gone = kept.iter().filter(|kept| !**kept).count();
        if gone == 0 {
            return Ok(rows);
        }
        self.unknown_rows += gone as u64;
        filter_record_batch(&rows, &BooleanArray::from(kept)).map_err(|_| BROKEN)
    }
}

fn put_rows(to: &mut Vec<u8>, rows: &RecordBatch) -> Result<()> {
    const FAILED: Malformed = Malformed("rows cannot be written as an Arrow stream");
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref()).map_err(|_| FAILED)?;
    writer.write(rows).and_then(|()| writer.finish()).map_err(|_| FAILED)?;
    drop(writer);
    put_bytes(to, &bytes);
    Ok(())
}

fn put_origin(to: &mut Vec<u8>, origin: &Origin) {
    match origin {
        Origin::Field => to.push(origin::FIELD),
        Origin::Published { pipeline, node, piece } => {
            to.push(origin::PUBLISHED);
            put_text(to, pipeline);
            put_text(to, node);
            put_u64(to, piece.epoch);
            put_u64(to, u64::from(piece.worker));
            put_u64(to, u64::from(piece.workers));
        }
        Origin::Source { pipeline, node } => {
            to.push(origin::SOURCE);
            put_text(to, pipeline);
            put_text(to, node);
        }
        Origin::Dataset { name, epoch } => {
            to.push(origin::DATASET);
            put_text(to, name);
            put_u64(to, *epoch);
        }
    }
}

fn read_origin(from: &mut Cursor<'_>) -> Result<Origin> {
    Ok(match from.u8()? {
        origin::FIELD => Origin::Field,
        origin::PUBLISHED => Origin::Published {
            pipeline: from.name()?,
            node: from.name()?,
            piece: Piece { epoch: from.u64()?, worker: from.u32()?, workers: from.u32()? },
        },
        origin::SOURCE => Origin::Source { pipeline: from.name()?, node: from.name()? },
        origin::DATASET => Origin::Dataset { name: from.name()?, epoch: from.u64()? },
        _ => return Err(Malformed("a part has an unknown origin")),
    })
}

fn put_action(to: &mut Vec<u8>, action: &Action) {
    put_u64(to, action.id);
    put_text(to, &action.verb);
    put_text(to, &action.user);
    to.push(u8::from(action.reason.is_some()));
    if let Some(reason) = &action.reason {
        put_text(to, reason);
    }
    put_u64(to, action.arguments.len() as u64);
    for (name, value) in &action.arguments {
        put_text(to, name);
        match value {
            Value::Null => to.push(0),
            Value::Bool(value) => to.extend([1, u8::from(*value)]),
            Value::Int64(value) => {
                to.push(2);
                put_i64(to, *value);
            }
            Value::Float64(value) => {
                to.push(3);
                to.extend(value.to_le_bytes());
            }
            Value::Text(value) => {
                to.push(4);
                put_text(to, value);
            }
        }
    }
}

fn read_action(from: &mut Cursor<'_>) -> Result<Action> {
    let (id, verb, user) = (from.u64()?, from.name()?, from.name()?);
    let reason = if from.u8()? != 0 { Some(from.name()?) } else { None };
    let mut arguments = BTreeMap::new();
    for _ in 0..from.count()? {
        let name = from.text()?.to_owned();
        let value = match from.u8()? {
            0 => Value::Null,
            1 => Value::Bool(from.u8()? != 0),
            2 => Value::Int64(from.i64()?),
            3 => {
                let bytes = from.take(8)?.try_into().map_err(|_| Malformed("it ends too early"))?;
                Value::Float64(f64::from_le_bytes(bytes))
            }
            4 => Value::Text(from.name()?),
            _ => return Err(Malformed("an argument of an action has an unknown kind")),
        };
        arguments.insert(name, value);
    }
    Ok(Action { id, verb, arguments, user, reason })
}
