//! The newest sample of each tag, as a tap sees them.

use std::collections::BTreeMap;

use ducto_record::{Batch, Quality, Samples, TagId, Value};
use ducto_runtime::TapReader;

/// The newest sample of each tag.
#[derive(Default)]
pub(super) struct Latest {
    by_tag: BTreeMap<TagId, (Value, Quality)>,
}

impl Latest {
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
            let quality = Quality(samples.quality()[row]);
            self.by_tag.insert(samples.tags()[row], (samples.values().get(row), quality));
        }
    }

    pub(super) fn get(&self, tag: TagId) -> Option<&(Value, Quality)> {
        self.by_tag.get(&tag)
    }
}
