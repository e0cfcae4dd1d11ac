//! What `ducto data` prints for people: lines of at most 80 characters.

use std::path::Path;

use ducto_storage::{Audit, FileSeen, Finding};

use crate::load::grouped;
use crate::table::{Align, layout, shorten_middle, wrapped};
use crate::times::Zone;
use crate::top::bytes;
use crate::words::Language;

const WIDTH: usize = 80;

/// Times of several days, to the second, in UTC: as folders and files are named.
fn time(micros: i64) -> String {
    let zone = Zone::named("UTC");
    format!("{} {}", zone.date(micros), zone.seconds(micros))
}

fn times(span: Option<(i64, i64)>) -> [String; 2] {
    span.map_or_else(|| [String::new(), String::new()], |(first, last)| [time(first), time(last)])
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn section(text: &mut String, title: &str, body: &str) {
    text.push_str(&format!("\n{title}\n"));
    for line in body.lines() {
        text.push_str(&format!("  {line}\n"));
    }
}

/// What is in a data folder.
pub(super) fn inventory(folder: &Path, audit: &Audit, language: Language) -> String {
    let format = audit.format.map_or("?".to_owned(), |format| format.to_string());
    let mut text = language.head_of_folder(&folder.display().to_string(), &format);
    text.push('\n');
    let [journal, checkpoints, datasets, outbox, written, aside, others] = language.parts_of_folder();
    if !audit.journal.is_empty() {
        let [entries, from, to, first, size] = language.segment_columns();
        let columns = [
            (first, Align::Right, 12),
            (entries, Align::Right, 9),
            (from, Align::Left, 19),
            (to, Align::Left, 19),
            (size, Align::Right, 9),
        ];
        let rows = audit.journal.iter().map(|segment| {
            let [from, to] = times(segment.times);
            let first = segment.epochs.map_or(String::new(), |(first, _)| first.to_string());
            vec![first, grouped(segment.entries), from, to, bytes(segment.bytes)]
        });
        section(&mut text, journal, &layout(&columns, &rows.collect::<Vec<_>>()));
    }
    if !audit.checkpoints.is_empty() {
        let [file, taken, pipelines, epoch, states, size] = language.checkpoint_columns();
        let columns = [
            (file, Align::Left, 12),
            (taken, Align::Left, 19),
            (pipelines, Align::Right, 9),
            (epoch, Align::Right, 10),
            (states, Align::Right, 7),
            (size, Align::Right, 9),
        ];
        let rows = audit.checkpoints.iter().map(|checkpoint| {
            let pipelines = checkpoint.pipelines.values();
            let epoch = pipelines.clone().map(|(epoch, _)| *epoch).min();
            vec![
                name_of(&checkpoint.path).trim_end_matches(".checkpoint").to_owned(),
                checkpoint.time.filter(|taken| *taken != 0).map_or(String::new(), time),
                pipelines.len().to_string(),
                epoch.map_or(String::new(), |epoch| epoch.to_string()),
                pipelines.map(|(_, states)| states).sum::<usize>().to_string(),
                bytes(checkpoint.bytes),
            ]
        });
        section(&mut text, checkpoints, &layout(&columns, &rows.collect::<Vec<_>>()));
    }
    if !audit.datasets.is_empty() {
        let [name, hours, files, rows, from, to, size] = language.dataset_columns();
        let columns = [
            (name, Align::Left, 14),
            (hours, Align::Right, 5),
            (files, Align::Right, 5),
            (rows, Align::Right, 13),
            (from, Align::Left, 10),
            (to, Align::Left, 10),
            (size, Align::Right, 9),
        ];
        let day = |micros: i64| Zone::named("UTC").date(micros).to_string();
        let cells = audit.datasets.iter().map(|dataset| {
            vec![
                shorten_middle(&dataset.name, 14),
                dataset.partitions.to_string(),
                dataset.files.to_string(),
                grouped(dataset.rows),
                dataset.times.map_or(String::new(), |(first, _)| day(first)),
                dataset.times.map_or(String::new(), |(_, last)| day(last)),
                bytes(dataset.bytes),
            ]
        });
        section(&mut text, datasets, &layout(&columns, &cells.collect::<Vec<_>>()));
    }
    if !audit.outbox.is_empty() {
        let [name, class, batches, from, to, rows, size] = language.stream_columns();
        let columns = [
            (name, Align::Left, 20),
            (class, Align::Right, 5),
            (batches, Align::Right, 7),
            (from, Align::Right, 7),
            (to, Align::Right, 7),
            (rows, Align::Right, 11),
            (size, Align::Right, 9),
        ];
        let cells = audit.outbox.iter().map(|stream| {
            let [from, to] = stream
                .sequences
                .map_or([String::new(), String::new()], |(from, to)| [from, to].map(|number| number.to_string()));
            vec![
                shorten_middle(&stream.name, 20),
                stream.class.map_or(String::new(), |class| class.to_string()),
                grouped(stream.batches),
                from,
                to,
                grouped(stream.rows),
                bytes(stream.bytes),
            ]
        });
        section(&mut text, outbox, &layout(&columns, &cells.collect::<Vec<_>>()));
    }
    if !audit.files.is_empty() {
        let [node, file, epoch, size] = language.file_columns();
        let columns =
            [(node, Align::Left, 24), (file, Align::Left, 26), (epoch, Align::Right, 12), (size, Align::Right, 9)];
        let cells = audit.files.iter().map(|held| {
            let file = shorten_middle(&name_of(&held.path), 26);
            vec![shorten_middle(&held.node, 24), file, held.epoch.to_string(), bytes(held.length)]
        });
        section(&mut text, written, &layout(&columns, &cells.collect::<Vec<_>>()));
    }
    for (title, files) in [(aside, &audit.set_aside), (others, &audit.others)] {
        if !files.is_empty() {
            section(&mut text, title, &list(files));
        }
    }
    if audit.is_damaged() {
        text.push_str(&format!("\n{}\n", language.inspect_found(audit.findings.len())));
    }
    text
}

fn list(files: &[FileSeen]) -> String {
    let columns = [("", Align::Left, WIDTH - 14), ("", Align::Right, 9)];
    let rows = files
        .iter()
        .map(|file| vec![shorten_middle(&file.path.display().to_string(), WIDTH - 14), bytes(file.bytes)])
        .collect::<Vec<_>>();
    // Without a head.
    layout(&columns, &rows).lines().skip(1).map(|line| format!("{line}\n")).collect()
}

/// What was found wrong, and what it costs.
pub(super) fn findings(folder: &Path, findings: &[Finding], read: u64, language: Language) -> String {
    let mut text = format!("{}\n", language.read_of_folder(&folder.display().to_string(), &bytes(read)));
    for finding in findings {
        text.push_str(&format!("\n{}\n", finding.path.display()));
        for line in wrapped(&language.finding(finding), WIDTH - 2) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if findings.is_empty() {
        text.push_str(&format!("{}\n", language.nothing_damaged()));
        return text;
    }
    let rows: u64 = findings.iter().filter_map(|finding| finding.rows).sum();
    text.push_str(&format!("\n{}\n", language.sum_of_findings(findings.len(), &grouped(rows))));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use ducto_storage::{CheckpointSeen, DatasetSeen, Fault, FileHeld, SegmentSeen, StreamSeen};

    use super::*;

    const LAST: i64 = 1_767_225_600_000_000;

    fn audit() -> Audit {
        let segment = SegmentSeen {
            path: "journal/00000000000000000001.journal".into(),
            bytes: 67_108_864,
            entries: 1_234_567,
            epochs: Some((123_456_789, 124_691_355)),
            times: Some((LAST - 3_600_000_000, LAST)),
        };
        let checkpoint = CheckpointSeen {
            path: "checkpoints/0000000012.checkpoint".into(),
            bytes: 1_234_567,
            time: Some(LAST),
            pipelines: BTreeMap::from([("well-monitoring".to_owned(), (123_456_789, 7))]),
        };
        let dataset = DatasetSeen {
            name: "well_daily_production".to_owned(),
            partitions: 26_280,
            files: 26_283,
            rows: 12_345_678_901,
            bytes: 123_456_789_012,
            held: 9,
            times: Some((LAST, LAST)),
            manifest_bytes: 1,
        };
        let stream = StreamSeen {
            name: "well-monitoring.maintenance-office".to_owned(),
            class: Some(4),
            batches: 12_345,
            rows: 12_345_678,
            bytes: 123_456_789,
            sequences: Some((1_234_567, 1_246_911)),
            delivered: 1_234_566,
            held: 9,
        };
        let held = FileHeld {
            node: "well-monitoring.lines-for-the-office".to_owned(),
            path: "lines-of-all-the-wells-of-the-field.jsonl".into(),
            epoch: 123_456_789,
            length: 123_456_789,
        };
        let others = vec![FileSeen { path: "lines.jsonl".into(), bytes: 12 }];
        Audit {
            format: Some(1),
            journal: vec![segment],
            checkpoints: vec![checkpoint],
            datasets: vec![dataset],
            outbox: vec![stream],
            files: vec![held],
            set_aside: Vec::new(),
            others,
            findings: vec![finding()],
        }
    }

    fn finding() -> Finding {
        Finding {
            path: PathBuf::from("datasets/history/date=2026-01-01/hour=00/hour-123456789-1234.parquet"),
            fault: Fault::Checksum,
            dataset: Some("history".to_owned()),
            rows: Some(1_234),
            epochs: Some((1, 2)),
            times: Some((LAST, LAST)),
            set_aside: Some("damaged/datasets/history/date=2026-01-01/hour=00/hour-123456789-1234.parquet".into()),
        }
    }

    #[test]
    fn everything_fits_eighty_columns_in_both_languages() {
        for language in [Language::English, Language::Spanish] {
            let mut text = inventory(Path::new("data/CAMPO-NORTE-001"), &audit(), language);
            text.push_str(&findings(Path::new("data/CAMPO-NORTE-001"), &[finding()], 12_345, language));
            for line in text.lines().filter(|line| !line.contains('/')) {
                assert!(line.chars().count() <= WIDTH, "{}: {line}", line.chars().count());
            }
            assert!(text.contains("1,234,567") && text.contains("123 GB"), "{text}");
        }
    }
}
