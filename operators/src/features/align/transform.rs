//! `align` at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt16Array, UInt32Array,
};
use arrow::datatypes::DataType;
use ducto_graph::operator::{NodeError, Output, Own, Snapshot, Transform};
use ducto_record::time::HOUR;
use ducto_record::{
    AssetId, Batch, Checks, Conversion, Dense, Directory, Micros, Quality, RowType, SavedState, StateError, TagId,
};
use serde::{Deserialize, Serialize};

use super::Feature;
use super::window::{History, Kept, Rules};

/// 2: histories know the newest time of the device, and how far that was behind the engine's.
const VERSION: u32 = 2;

/// What the node was told.
pub(super) struct Plan {
    pub(super) every: Micros,
    pub(super) rules: Rules,
    pub(super) row: RowType,
    pub(super) features: Vec<Feature>,
    pub(super) sloped: BTreeSet<TagId>,
    pub(super) directory: Arc<Directory>,
    pub(super) own: Own,
}

/// An asset with at least one of the variables.
struct Asset {
    id: AssetId,
    /// By feature: the tag it has, and how its values become the column's unit.
    tags: Vec<Option<(TagId, Conversion)>>,
}

pub(super) struct Align {
    plan: Plan,
    /// By rising number.
    assets: Vec<Asset>,
    /// By tag: its asset's place in `assets`, and how far back windows reach.
    reach: Vec<Option<(u32, Micros)>>,
    histories: Dense<History>,
    /// By asset: engine time of its newest sample.
    heard: Arc<Vec<Option<Micros>>>,
    next: Option<Micros>,
    /// After this no asset gives rows, unless something comes.
    silent_at: Micros,
    /// The input has ended: what is held would be rows of times of which nobody knows anything.
    ended: bool,
}

impl Align {
    pub(super) fn new(plan: Plan) -> Self {
        let mut by_asset: BTreeMap<AssetId, Vec<Option<(TagId, Conversion)>>> = BTreeMap::new();
        for (index, feature) in plan.features.iter().enumerate() {
            for (&tag, &conversion) in &feature.tags {
                if let Some(asset) = plan.directory.tag(tag).and_then(|tag| tag.asset) {
                    let tags = by_asset.entry(asset).or_insert_with(|| vec![None; plan.features.len()]);
                    tags[index] = Some((tag, conversion));
                }
            }
        }
        let assets: Vec<Asset> = by_asset.into_iter().map(|(id, tags)| Asset { id, tags }).collect();
        let mut reach: Vec<Option<(u32, Micros)>> = Vec::new();
        for (place, asset) in assets.iter().enumerate() {
            for (feature, tag) in plan.features.iter().zip(&asset.tags) {
                let Some((tag, _)) = tag else { continue };
                let at = *tag as usize;
                if reach.len() <= at {
                    reach.resize(at + 1, None);
                }
                let window = feature.figure.map_or(0, |(_, window)| window);
                let known = reach[at].map_or(0, |(_, reach)| reach);
                reach[at] = Some((place as u32, known.max(window)));
            }
        }
        let heard = Arc::new(vec![None; assets.len()]);
        Self { plan, assets, reach, histories: Dense::new(), heard, next: None, silent_at: Micros::MIN, ended: false }
    }

    /// For how long an asset gives rows without a sample.
    fn patience(&self) -> Micros {
        self.plan.rules.max_age.max(HOUR)
    }

    fn tick(&self, now: Micros) -> Micros {
        // The first multiple that is not before now.
        let past = now.rem_euclid(self.plan.every);
        if past == 0 { now } else { now.saturating_add(self.plan.every - past) }
    }

    fn rows(&mut self, time: Micros, out: &mut Output) -> Result<(), NodeError> {
        let patience = self.patience();
        let present: Vec<usize> = (0..self.assets.len())
            .filter(|place| self.heard[*place].is_some_and(|heard| time.saturating_sub(heard) <= patience))
            .collect();
        let mut columns: Vec<Vec<Option<f64>>> = vec![Vec::with_capacity(present.len()); self.plan.features.len()];
        let mut quality = Vec::with_capacity(present.len());
        let mut reasons: Vec<Option<String>> = Vec::with_capacity(present.len());
        for &place in &present {
            let asset = &self.assets[place];
            let mut worst = Quality::GOOD;
            let mut reason = String::new();
            for ((feature, tag), column) in self.plan.features.iter().zip(&asset.tags).zip(&mut columns) {
                match self.value(feature, *tag, time) {
                    Ok((value, found)) => {
                        worst = worst.worst(found);
                        column.push(Some(value));
                    }
                    Err(why) => {
                        worst = worst.worst(Quality::UNCERTAIN);
                        column.push(None);
                        if !reason.is_empty() {
                            reason.push_str("; ");
                        }
                        reason.push_str(&feature.name);
                        reason.push(' ');
                        reason.push_str(&why);
                    }
                }
            }
            quality.push(worst.0);
            reasons.push((!reason.is_empty()).then_some(reason));
        }
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_value(time, present.len()).with_timezone("UTC")),
            Arc::new(present.iter().map(|place| Some(self.assets[*place].id)).collect::<UInt32Array>()),
        ];
        for (feature, column) in self.plan.features.iter().zip(columns) {
            arrays.push(match feature.field.data_type() {
                DataType::Boolean => {
                    Arc::new(column.into_iter().map(|value| value.map(|value| value != 0.0)).collect::<BooleanArray>())
                }
                DataType::Int64 => {
                    Arc::new(column.into_iter().map(|value| value.map(|value| value as i64)).collect::<Int64Array>())
                }
                _ => Arc::new(Float64Array::from(column)),
            });
        }
        arrays.push(Arc::new(UInt16Array::from(quality)));
        arrays.push(Arc::new(StringArray::from(reasons)));
        arrays.push(Arc::new(Int8Array::from(vec![1; present.len()])));
        out.emit(0, Batch::Rows(RecordBatch::try_new(self.plan.row.schema.clone(), arrays)?));
        for place in present {
            for tag in self.assets[place].tags.iter().flatten().map(|(tag, _)| *tag) {
                if let Some(Some((_, reach))) = self.reach.get(tag as usize) {
                    let oldest = time.saturating_sub(*reach);
                    // Looked at first: writing copies what a snapshot shares.
                    let done = self.histories.get(tag).and_then(|history| history.samples.get(1));
                    if done.is_some_and(|second| second.time <= oldest) {
                        self.histories.get_mut(tag).forget(time, *reach);
                    }
                }
            }
        }
        Ok(())
    }

    fn value(
        &self,
        feature: &Feature,
        tag: Option<(TagId, Conversion)>,
        time: Micros,
    ) -> Result<(f64, Quality), String> {
        let Some((tag, conversion)) = tag else {
            return Err(format!("is missing: the asset has no tag {}", feature.variable));
        };
        let empty = History::default();
        let history = self.histories.get(tag).unwrap_or(&empty);
        let rules = Rules { sloped: self.plan.sloped.contains(&tag), ..self.plan.rules };
        let (value, quality) = match feature.figure {
            None => history.at(time, rules)?,
            Some((figure, window)) => history.figure(figure, time, window, feature.min_good, rules)?,
        };
        Ok((
            match feature.figure {
                // Differences do not know where a unit's zero lies.
                Some((super::Figure::Std | super::Figure::Slope, _)) => value * conversion.scale,
                _ => conversion.apply(value),
            },
            quality,
        ))
    }
}

impl Transform for Align {
    fn on_batch(&mut self, _input: usize, batch: &Batch, out: &mut Output) -> Result<(), NodeError> {
        let Batch::Samples(samples) = batch else {
            return Err(NodeError::Stream { expected: "samples", found: "rows" });
        };
        let now = out.now();
        let (mut late, mut early) = (0, 0);
        let mut came = false;
        for (row, &tag) in samples.tags().iter().enumerate() {
            let Some(Some((place, _))) = self.reach.get(tag as usize) else { continue };
            let time = samples.time(row);
            if time > now.saturating_add(HOUR) {
                early += 1;
                continue;
            }
            let value = samples.values().number(row).unwrap_or(f64::NAN);
            let kept = Kept { time, value, quality: Quality(samples.quality()[row]) };
            if !self.histories.get_mut(tag).take(kept, Checks(samples.checks()[row]), now) {
                late += 1;
                continue;
            }
            let place = *place as usize;
            if self.heard[place] != Some(now) {
                Arc::make_mut(&mut self.heard)[place] = Some(now);
            }
            came = true;
        }
        out.drop_rows("out_of_order", late);
        out.drop_rows("too_early", early);
        if came {
            self.silent_at = self.silent_at.max(now.saturating_add(self.patience()));
            if self.next.is_none() && !self.ended {
                self.next = Some(self.tick(now));
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Micros> {
        self.next
    }

    fn end_input(&mut self, _at: Micros) {
        self.ended = true;
        self.next = None;
    }

    fn on_time(&mut self, deadline: Micros, out: &mut Output) -> Result<(), NodeError> {
        self.rows(deadline, out)?;
        let next = deadline.saturating_add(self.plan.every);
        self.next = (next <= self.silent_at && next > deadline).then_some(next);
        Ok(())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let (histories, heard, next) = (self.histories.clone(), self.heard.clone(), self.next);
        let (directory, silent_at) = (self.plan.directory.clone(), self.silent_at);
        let assets: Vec<AssetId> = self.assets.iter().map(|asset| asset.id).collect();
        Some(Box::new(move || {
            let saved = Saved {
                next,
                silent_at,
                tags: histories
                    .iter()
                    .filter(|(_, history)| !history.samples.is_empty())
                    .map(|(tag, history)| (directory.tag_name(tag).to_owned(), history.clone()))
                    .collect(),
                heard: assets
                    .iter()
                    .zip(heard.iter())
                    .filter_map(|(asset, heard)| Some((directory.asset_name(*asset).to_owned(), (*heard)?)))
                    .collect(),
            };
            SavedState::encode(VERSION, &saved)
        }))
    }

    fn restore(&mut self, saved: &SavedState) -> Result<(), StateError> {
        let saved: Saved = saved.decode(VERSION)?;
        for (name, history) in saved.tags {
            if let Some(tag) = self.plan.own.tag(&name)
                && matches!(self.reach.get(tag as usize), Some(Some(_)))
            {
                *self.histories.get_mut(tag) = history;
            }
        }
        let heard = Arc::make_mut(&mut self.heard);
        for (name, time) in saved.heard {
            let Some(asset) = self.plan.own.asset(&name) else { continue };
            if let Ok(place) = self.assets.binary_search_by_key(&asset, |known| known.id) {
                heard[place] = Some(time);
            }
        }
        self.silent_at = self.silent_at.max(saved.silent_at);
        // Where `every` has changed, ticks lie elsewhere.
        let next = saved.next.map(|next| self.tick(next));
        self.next = [self.next, next].into_iter().flatten().min();
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    next: Option<Micros>,
    silent_at: Micros,
    tags: Vec<(String, History)>,
    heard: Vec<(String, Micros)>,
}
