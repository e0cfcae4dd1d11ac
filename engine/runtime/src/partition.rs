//! Which worker has which asset, and a worker's share of a batch.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use ducto_graph::operator::Partition;
use ducto_record::{Batch, Directory, Layout, Samples, role_of};
use hashbrown::HashMap;

/// The share of one worker: the assets whose name's hash falls on it. What belongs to no asset is the first worker's, all
/// of it: a tag without an asset may be the set-point of another one, or of one alarm group with it.
#[derive(Debug)]
pub(crate) struct Share {
    whole: bool,
    first: bool,
    tags: Vec<bool>,
    assets: Vec<bool>,
    /// By layout (by address; the layout is kept so that its address is not used again).
    scans: HashMap<usize, ScanShare>,
}

#[derive(Debug)]
struct ScanShare {
    of: Arc<Layout>,
    rows: UInt32Array,
    layout: Arc<Layout>,
}

/// Layouts that a share remembers before it begins anew.
const LAYOUTS: usize = 4_096;

impl Share {
    pub(crate) fn new(partition: Partition, directory: &Directory) -> Self {
        let whole = partition.workers <= 1;
        let (assets, tags) = if whole {
            (Vec::new(), Vec::new())
        } else {
            let assets: Vec<bool> = directory.assets().iter().map(|asset| partition.has(Some(&asset.name))).collect();
            let tags = directory
                .tags()
                .iter()
                .map(|tag| match tag.asset {
                    Some(asset) => assets.get(asset as usize).copied().unwrap_or(false),
                    None => partition.has(None),
                })
                .collect();
            (assets, tags)
        };
        Self { whole, first: partition.has(None), tags, assets, scans: HashMap::new() }
    }

    /// This worker's rows of a batch; `None` for none.
    pub(crate) fn of(&mut self, batch: Batch) -> Result<Option<Batch>, ArrowError> {
        if self.whole {
            return Ok(Some(batch));
        }
        Ok(match batch {
            Batch::Samples(samples) => self.samples(&samples)?.map(Batch::Samples),
            Batch::Rows(rows) => self.rows(&rows)?.map(Batch::Rows),
        })
    }

    fn mine(&self, tag: u32) -> bool {
        self.tags.get(tag as usize).copied().unwrap_or(false)
    }

    fn samples(&mut self, samples: &Samples) -> Result<Option<Samples>, ArrowError> {
        if let Some(layout) = samples.layout() {
            let address = Arc::as_ptr(layout) as usize;
            if !self.scans.contains_key(&address) {
                if self.scans.len() >= LAYOUTS {
                    self.scans.clear();
                }
                let rows: UInt32Array =
                    (0..layout.tags.len() as u32).filter(|&row| self.mine(layout.tags[row as usize])).collect();
                let share = Layout::new(rows.values().iter().map(|&row| layout.tags[row as usize]).collect());
                self.scans.insert(address, ScanShare { of: layout.clone(), rows, layout: share });
            }
            if let Some(scan) = self.scans.get(&address).filter(|scan| Arc::ptr_eq(&scan.of, layout)) {
                return match scan.rows.len() {
                    0 => Ok(None),
                    all if all == samples.len() => Ok(Some(samples.clone())),
                    _ => samples.take_scan(&scan.rows, &scan.layout).map(Some),
                };
            }
        }
        let rows: UInt32Array =
            (0..samples.len() as u32).filter(|&row| self.mine(samples.tags()[row as usize])).collect();
        match rows.len() {
            0 => Ok(None),
            all if all == samples.len() => Ok(Some(samples.clone())),
            _ => samples.take(&rows).map(Some),
        }
    }

    fn rows(&self, rows: &RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let schema = rows.schema();
        let key = schema.fields().iter().enumerate().find_map(|(index, field)| {
            let column = rows.column(index).as_primitive_opt::<UInt32Type>()?;
            match role_of(field)? {
                "asset" => Some((column, &self.assets)),
                "tag" => Some((column, &self.tags)),
                _ => None,
            }
        });
        let Some((column, mine)) = key else {
            return Ok(self.first.then(|| rows.clone()));
        };
        let indices: UInt32Array = (0..rows.num_rows() as u32)
            .filter(|&row| match column.is_valid(row as usize) {
                true => mine.get(column.value(row as usize) as usize).copied().unwrap_or(false),
                false => self.first,
            })
            .collect();
        if indices.is_empty() { Ok(None) } else { take_record_batch(rows, &indices).map(Some) }
    }
}
