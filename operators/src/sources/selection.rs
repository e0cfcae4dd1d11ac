//! Rows of batches by their tags: whole batches by reference, scans by row numbers worked out once per layout.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::error::ArrowError;
use ducto_record::{Layout, Samples, TagId};
use hashbrown::HashMap;

/// Layouts that are remembered before the memory begins anew.
const LAYOUTS: usize = 4_096;

/// The tags that are wanted.
#[derive(Debug)]
pub(crate) struct Selection {
    /// By tag; a tag behind the end is not wanted.
    wanted: Vec<bool>,
    /// By layout (by address; the layout is kept so that its address is not used again).
    scans: HashMap<usize, Scan>,
}

#[derive(Debug)]
struct Scan {
    of: Arc<Layout>,
    rows: UInt32Array,
    layout: Arc<Layout>,
}

impl Selection {
    pub(crate) fn new(wanted: Vec<bool>) -> Self {
        Self { wanted, scans: HashMap::new() }
    }

    #[inline]
    fn wants(&self, tag: TagId) -> bool {
        self.wanted.get(tag as usize).copied().unwrap_or(false)
    }

    /// The rows of the wanted tags; `None` for none.
    pub(crate) fn of(&mut self, samples: &Samples) -> Result<Option<Samples>, ArrowError> {
        if let Some(layout) = samples.layout() {
            let scan = self.scan(layout);
            return match scan.rows.len() {
                0 => Ok(None),
                all if all == samples.len() => Ok(Some(samples.clone())),
                _ => samples.take_scan(&scan.rows, &scan.layout).map(Some),
            };
        }
        let count = samples.tags().iter().filter(|tag| self.wants(**tag)).count();
        if count == 0 {
            return Ok(None);
        }
        if count == samples.len() {
            return Ok(Some(samples.clone()));
        }
        samples.take(&self.rows(samples.tags())).map(Some)
    }

    fn scan(&mut self, layout: &Arc<Layout>) -> &Scan {
        let address = Arc::as_ptr(layout) as usize;
        if !self.scans.contains_key(&address) {
            if self.scans.len() >= LAYOUTS {
                self.scans.clear();
            }
            let rows = self.rows(&layout.tags);
            let wanted = match rows.len() == layout.tags.len() {
                true => layout.clone(),
                false => Layout::new(rows.values().iter().map(|&row| layout.tags[row as usize]).collect()),
            };
            self.scans.insert(address, Scan { of: layout.clone(), rows, layout: wanted });
        }
        let scan = &self.scans[&address];
        debug_assert!(Arc::ptr_eq(&scan.of, layout));
        scan
    }

    #[cold]
    fn rows(&self, tags: &[TagId]) -> UInt32Array {
        (0u32..).zip(tags).filter(|(_, tag)| self.wants(**tag)).map(|(row, _)| row).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ducto_record::{Quality, SampleColumns, Times, Value, ValueKind, Values};
    use proptest::prelude::*;

    fn loose(tags: Vec<TagId>) -> Samples {
        let rows = tags.len();
        Samples::new(SampleColumns {
            times: Times::Each((0..rows as i64).collect::<Vec<_>>().into()),
            values: Values::Float64(tags.iter().map(|tag| Some(f64::from(*tag))).collect()),
            tags: tags.into(),
            quality: vec![Quality::GOOD.0; rows].into(),
            checks: vec![0; rows].into(),
        })
        .unwrap()
    }

    #[test]
    fn a_batch_wholly_wanted_passes_by_reference() {
        let mut selection = Selection::new(vec![true, true, false]);
        let layout = Layout::new(vec![1, 0]);
        let scan = Samples::scan(&layout, 7, Values::Float64(vec![1.0, 2.0].into()), None).unwrap();
        let passed = selection.of(&scan).unwrap().unwrap();
        assert!(Arc::ptr_eq(passed.layout().unwrap(), &layout));
        assert_eq!(passed.tags().as_ptr(), scan.tags().as_ptr());
        assert!(selection.of(&loose(vec![2, 9])).unwrap().is_none());
    }

    #[test]
    fn a_scan_in_part_keeps_one_layout() {
        let mut selection = Selection::new(vec![true, false, true]);
        let layout = Layout::new(vec![2, 1, 0]);
        let scan = |time| Samples::scan(&layout, time, Values::Float64(vec![2.0, 1.0, 0.0].into()), None).unwrap();
        let first = selection.of(&scan(1)).unwrap().unwrap();
        let second = selection.of(&scan(2)).unwrap().unwrap();
        assert_eq!(&first.tags()[..], [2, 0]);
        assert!(Arc::ptr_eq(first.layout().unwrap(), second.layout().unwrap()));
        assert_eq!(second.time(1), 2);
        assert_eq!(second.values().get(0), Value::Float64(2.0));
        assert_eq!(second.kind(), ValueKind::Float64);
    }

    proptest! {
        #[test]
        fn what_is_selected_is_what_a_filter_by_row_would_leave(
            wanted in prop::collection::vec(any::<bool>(), 0..12),
            tags in prop::collection::btree_set(0u32..16, 0..12),
            scan: bool,
        ) {
            let tags: Vec<TagId> = tags.into_iter().collect();
            let batch = match scan {
                true => {
                    let values = tags.iter().map(|tag| Some(f64::from(*tag))).collect();
                    Samples::scan(&Layout::new(tags.clone()), 1, Values::Float64(values), None).unwrap()
                }
                false => loose(tags.clone()),
            };
            let expected: Vec<TagId> =
                tags.into_iter().filter(|tag| wanted.get(*tag as usize).copied().unwrap_or(false)).collect();
            let mut selection = Selection::new(wanted);
            for _ in 0..2 {
                let got = selection.of(&batch).unwrap();
                let got_tags = got.as_ref().map(|got| got.tags().to_vec()).unwrap_or_default();
                prop_assert_eq!(&got_tags, &expected);
                if let Some(got) = got {
                    for (row, tag) in expected.iter().enumerate() {
                        prop_assert_eq!(got.values().get(row), Value::Float64(f64::from(*tag)));
                    }
                }
            }
        }
    }
}
