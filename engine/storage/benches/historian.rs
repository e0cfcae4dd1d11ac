//! What the historian costs on scans: CPU per sample of its thread and the caller's, bytes per sample, memory.
//!
//! `cargo bench -p ducto-storage --profile fast -- [tags] [seconds] [full|cent|adc]`
//!
//! The samples are those of a field day: a sine per tag with noise, now and then a bad one, either in full noise,
//! rounded to a cent, or in steps of a 12-bit converter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use ducto_record::time::{HOUR, SECOND};
use ducto_record::{Batch, Directory, Layout, Samples, Tag, ValueKind, Values};
use ducto_storage::{AppendError, DataFolder, DatasetConfig, DatasetSchema, Historian};
use rustix::time::{ClockId, clock_gettime};

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Values and quality of all tags at second `s`.
fn second(tags: u64, s: u64, form: &str) -> (Vec<f64>, Vec<u16>) {
    let mut quality = vec![192; tags as usize];
    let values = (0..tags).map(|i| {
        let hash = mix(i << 32 | s);
        let noise = (hash >> 11) as f64 * 2_f64.powi(-53) * 2.0 - 1.0;
        let phase = ((s + i) % 600) as f64 / 600.0;
        let mut value = 100.0 + (i % 50) as f64 + 10.0 * (std::f64::consts::TAU * phase).sin() + noise;
        if hash.is_multiple_of(10_007) {
            value += 500.0;
        }
        if hash % 5003 == 2 {
            quality[i as usize] = 0;
        }
        match form {
            "cent" => (value * 100.0).round() / 100.0,
            "adc" => (value * 4096.0 / 500.0).round() * 500.0 / 4096.0,
            _ => value,
        }
    });
    (values.collect(), quality)
}

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
