//! What the journal costs on scans: CPU per sample to write and to read, bytes per sample.
//!
//! `cargo bench --workspace --profile fast --bench journal -- [tags] [seconds] [full|cent|adc]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod field_day;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_record::time::SECOND;
use ducto_record::{Directory, Entry, Layout, Origin, Part, Samples, Tag, ValueKind, Values};
use ducto_storage::Journal;
use ducto_storage::disk::Disk;
use field_day::{cpu, second};
use rustix::time::ClockId;

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
        let mut journal = Journal::open(&Disk::default(), folder.path(), &directory).unwrap().journal;
        let mut spent = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for s in 0..seconds {
            let (values, quality) = second(tags, s, form);
            let time = 1_700_000_000 * SECOND + s as i64 * SECOND;
            let scan = Samples::scan(&layout, time, Values::Float64(values.into()), Some(quality.into())).unwrap();
            let parts = vec![Part::Samples { origin: Origin::Field, samples: scan }];
            let entry = Arc::new(Entry { epoch: s + 1, time, parts });
            let (before, started) = (cpu(ClockId::ThreadCPUTime), Instant::now());
            journal.commit(&[entry]).unwrap();
            spent += cpu(ClockId::ThreadCPUTime) - before;
            longest = longest.max(started.elapsed());
        }
        let rows = (tags * seconds) as f64;
        let bytes = journal.bytes();
        let before = cpu(ClockId::ThreadCPUTime);
        let mut reader = journal.reader(0);
        let mut read = 0;
        while let Some(entry) = reader.next_entry().unwrap() {
            read += entry.parts.iter().map(Part::num_rows).sum::<usize>();
        }
        let reading = cpu(ClockId::ThreadCPUTime) - before;
        assert_eq!(read as f64, rows);
        println!(
            "{form}: writes {:.1} ns, reads {:.1} ns, {:.3} bytes a sample; longest commit {longest:.1?}",
            spent.as_nanos() as f64 / rows,
            reading.as_nanos() as f64 / rows,
            bytes as f64 / rows,
        );
    }
}
