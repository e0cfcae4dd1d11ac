//! What the historian costs on scans: CPU per sample of its thread and the caller's, bytes per sample, memory.
//!
//! `cargo bench -p ducto-storage --profile fast -- [tags] [seconds] [full|cent|adc]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod field_day;

use std::sync::Arc;
use std::time::Duration;

use ducto_record::time::{HOUR, SECOND};
use ducto_record::{Batch, Directory, Layout, Samples, Tag, ValueKind, Values};
use ducto_storage::{AppendError, DataFolder, DatasetConfig, DatasetSchema, Historian};
use field_day::{cpu, second};
use rustix::time::ClockId;

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn main() {
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let tags: u64 = given.next().map_or(10_000, |text| text.parse().unwrap());
    let seconds: u64 = given.next().map_or(600, |text| text.parse().unwrap());
    let forms = given.next().map_or(vec!["full", "cent", "adc"], |form| vec![String::leak(form) as &str]);
    let mut builder = Directory::builder();
    let numbers =
        (0..tags).map(|i| builder.tag(Tag::named(&format!("WELL-{:03}.TAG_{}", i / 20, i % 20), ValueKind::Float64)));
    let layout = Layout::new(numbers.collect());
    let directory = Arc::new(builder.build());
    for form in forms {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let config = DatasetConfig::new("history", DatasetSchema::Samples(ValueKind::Float64));
        let historian = Historian::open(&data, config).unwrap();
        let start = 1_700_000_000 * SECOND;
        let (mut generated, all) = (Duration::ZERO, cpu(ClockId::ProcessCPUTime));
        for s in 0..seconds {
            let before = cpu(ClockId::ThreadCPUTime);
            let (values, quality) = second(tags, s, form);
            generated += cpu(ClockId::ThreadCPUTime) - before;
            let time = start + s as i64 * SECOND;
            let scan = Samples::scan(&layout, time, Values::Float64(values.into()), Some(quality.into())).unwrap();
            let batch = Batch::Samples(scan);
            while let Err(error) = historian.append(s + 1, &batch, &directory) {
                assert!(matches!(error, AppendError::Full { .. }), "{error}");
                historian.wait_for_room(Duration::from_secs(1));
            }
            historian.end_epoch(s + 1, time);
        }
        historian.commit().unwrap();
        let spent = cpu(ClockId::ProcessCPUTime) - all - generated;
        let rows = historian.snapshot().manifest.rows();
        let bytes = historian.snapshot().manifest.bytes();
        let per_row = |duration: Duration| duration.as_nanos() as f64 / rows as f64;
        println!(
            "{form}: {rows} samples, commits {:.1} ns and {:.3} bytes a sample; peak {}",
            per_row(spent),
            bytes as f64 / rows as f64,
            resident()
        );
        let before = cpu(ClockId::ProcessCPUTime);
        historian.end_epoch(seconds + 1, start + 10 * HOUR);
        historian.settle().unwrap();
        let spent = cpu(ClockId::ProcessCPUTime) - before;
        let bytes = historian.snapshot().manifest.bytes();
        println!(
            "{form}: merged {:.1} ns and {:.3} bytes a sample; peak {}",
            per_row(spent),
            bytes as f64 / rows as f64,
            resident()
        );
    }
}
