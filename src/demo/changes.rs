//! What the checks make of the values, as a tap sees it: the newest value of each tag, and where its quality changes.

use std::collections::BTreeMap;

use ducto_graph::site::Site;
use ducto_record::{Batch, Checks, Quality, Samples, TagId, Value};
use ducto_runtime::TapReader;
use serde_json::json;

use crate::table::number;

/// The newest sample of each tag, and what has changed since it was last asked.
#[derive(Default)]
pub(super) struct Changes {
    by_tag: BTreeMap<TagId, Newest>,
    changed: Vec<(TagId, Newest)>,
}

/// A sample without its time.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) value: Value,
    pub(super) quality: Quality,
    checks: Checks,
}

/// Tags of one asset that are of another quality now.
#[derive(Debug)]
pub(super) struct Change {
    /// The tag, or the asset where there are several.
    of: String,
    tags: usize,
    newest: Newest,
    unit: String,
}

impl Changes {
    /// Takes in what the tap has seen since the last call.
    pub(super) fn take(&mut self, tap: &TapReader) {
        while let Ok(tapped) = tap.batches.try_recv() {
            if let Batch::Samples(samples) = &tapped.batch {
                self.add(samples);
            }
        }
    }

    fn add(&mut self, samples: &Samples) {
        for row in 0..samples.len() {
            let tag = samples.tags()[row];
            let newest = Newest {
                value: samples.values().get(row),
                quality: Quality(samples.quality()[row]),
                checks: Checks(samples.checks()[row]),
            };
            let before = self.by_tag.get(&tag).map_or(Quality::GOOD, |before| before.quality);
            // What was never read yet is no news.
            if newest.quality != Quality::WAITING && newest.quality != before {
                self.changed.push((tag, newest.clone()));
            }
            if newest.quality != Quality::WAITING {
                self.by_tag.insert(tag, newest);
            }
        }
    }

    pub(super) fn newest(&self, tag: TagId) -> Option<&Newest> {
        self.by_tag.get(&tag)
    }

    /// How many tags have been read, and how many of them are not good now.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.by_tag.len(), self.by_tag.values().filter(|newest| !newest.quality.is_good()).count())
    }

    /// What has changed since the last call; several tags of an asset that became the same are one.
    pub(super) fn news(&mut self, site: &Site) -> Vec<Change> {
        let mut groups: Vec<Group> = Vec::new();
        for (tag, newest) in std::mem::take(&mut self.changed) {
            let asset = site.tag(tag).map(|tag| asset_of(&tag.name).to_owned()).unwrap_or_default();
            let quality = newest.quality;
            match groups.iter_mut().find(|group| group.asset == asset && group.quality == quality) {
                Some(group) => group.tags.push((tag, newest)),
                None => groups.push(Group { asset, quality, tags: vec![(tag, newest)] }),
            }
        }
        groups.into_iter().flat_map(|group| group.changes(site)).collect()
    }
}

/// Tags of an asset that became of one quality.
struct Group {
    asset: String,
    quality: Quality,
    tags: Vec<(TagId, Newest)>,
}

impl Group {
    fn changes(self, site: &Site) -> Vec<Change> {
        /// So many tags are told one by one.
        const SINGLE: usize = 2;
        let Self { asset, tags, .. } = self;
        if tags.len() > SINGLE {
            let newest = Newest { value: Value::Null, ..tags[0].1.clone() };
            return vec![Change { of: asset, tags: tags.len(), newest, unit: String::new() }];
        }
        let one = |(tag, newest): (TagId, Newest)| {
            let tag = site.tag(tag)?;
            let unit = tag.unit.as_ref().map(|unit| unit.symbol.to_string()).unwrap_or_default();
            Some(Change { of: tag.name.to_string(), tags: 1, newest, unit })
        };
        tags.into_iter().filter_map(one).collect()
    }
}

/// `WELL-001` of `WELL-001.THP`.
fn asset_of(tag: &str) -> &str {
    tag.split('.').next().unwrap_or(tag)
}

impl Change {
    /// `WELL-002.THP: SENSOR_FAILURE (16), range: 6554 psig`.
    pub(super) fn text(&self) -> String {
        let Newest { value, quality, checks } = &self.newest;
        let of = if self.tags > 1 { format!("{}, {} tags", self.of, self.tags) } else { self.of.clone() };
        let mut text = format!("{of}: {} ({quality})", quality.name());
        for check in checks.names() {
            text.push_str(&format!(", {check}"));
        }
        if let Some(value) = value.as_f64() {
            text.push_str(format!(": {} {}", number(value), self.unit).trim_end());
        }
        text
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let Newest { value, quality, checks } = &self.newest;
        json!({
            "event": "quality",
            "of": self.of,
            "tags": self.tags,
            "quality": quality.0,
            "checks": checks.names().collect::<Vec<_>>(),
            "value": value.as_f64(),
        })
    }
}
