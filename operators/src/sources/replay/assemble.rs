//! Samples of one time and one kind into a batch; into a scan where the same tags come again and again.

use std::collections::BTreeSet;
use std::sync::Arc;

use ducto_record::{Layout, Micros, Quality, SampleColumns, Samples, TagId, Times, ValueKind, Values};

use super::cell::Cell;
use super::order::Sample;

/// Lists of tags that are remembered: a recording has a few poll groups, and irregular ones are no scans.
const REMEMBERED: usize = 8;

pub(super) struct Assembler {
    pub(super) kind: ValueKind,
    tags: Vec<TagId>,
    quality: Vec<u16>,
    values: Vec<Cell>,
    /// Lists of tags seen lately, with a layout from the second time on.
    seen: Vec<(Vec<TagId>, Option<Arc<Layout>>)>,
    replace: usize,
}

impl Assembler {
    pub(super) fn new(kind: ValueKind) -> Self {
        Self { kind, tags: Vec::new(), quality: Vec::new(), values: Vec::new(), seen: Vec::new(), replace: 0 }
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.tags.push(sample.tag);
        self.quality.push(sample.quality.0);
        self.values.push(sample.value);
    }

    /// What was pushed since the last call, as one batch of this time.
    pub(super) fn finish(&mut self, time: Micros) -> Option<Samples> {
        if self.tags.is_empty() {
            return None;
        }
        let layout = self.layout();
        let quality = std::mem::take(&mut self.quality);
        let values = values(self.kind, std::mem::take(&mut self.values));
        let tags = std::mem::take(&mut self.tags);
        // The columns have one length by their making.
        match layout {
            Some(layout) => {
                let good = quality.iter().all(|code| *code == Quality::GOOD.0);
                Samples::scan(&layout, time, values, (!good).then(|| quality.into())).ok()
            }
            None => {
                let checks = vec![0; tags.len()].into();
                let columns = SampleColumns {
                    times: Times::One(time),
                    tags: tags.into(),
                    values,
                    quality: quality.into(),
                    checks,
                };
                Samples::new(columns).ok()
            }
        }
    }

    /// The layout of the tags at hand, if they are seen again and no tag is there twice.
    fn layout(&mut self) -> Option<Arc<Layout>> {
        if let Some((tags, layout)) = self.seen.iter_mut().find(|(tags, _)| *tags == self.tags) {
            if layout.is_none() && tags.iter().collect::<BTreeSet<_>>().len() == tags.len() {
                *layout = Some(Layout::new(tags.clone()));
            }
            return layout.clone();
        }
        if self.seen.len() < REMEMBERED {
            self.seen.push((self.tags.clone(), None));
        } else {
            self.seen[self.replace] = (self.tags.clone(), None);
            self.replace = (self.replace + 1) % REMEMBERED;
        }
        None
    }
}

fn values(kind: ValueKind, cells: Vec<Cell>) -> Values {
    let cells = cells.into_iter();
    match kind {
        ValueKind::Float64 => Values::Float64(
            cells
                .map(|cell| match cell {
                    Cell::Number(number) => Some(number),
                    _ => None,
                })
                .collect(),
        ),
        ValueKind::Int64 => Values::Int64(
            cells
                .map(|cell| match cell {
                    Cell::Integer(number) => Some(number),
                    _ => None,
                })
                .collect(),
        ),
        ValueKind::Bool => Values::Bool(
            cells
                .map(|cell| match cell {
                    Cell::Flag(flag) => Some(flag),
                    _ => None,
                })
                .collect(),
        ),
        ValueKind::Text => Values::Text(
            cells
                .map(|cell| match cell {
                    Cell::Text(text) => Some(text),
                    _ => None,
                })
                .collect(),
        ),
    }
}
