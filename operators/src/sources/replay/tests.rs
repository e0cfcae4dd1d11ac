#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::*;
use crate::sources::testing::{Collected, context, directory};

const SECOND: i64 = 1_000_000;

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Entries as text: `time tag=value@quality …`.
fn entries(recording: &mut Recording) -> Vec<String> {
    let directory = directory();
    recording
        .map(|entry| {
            let (time, batches) = entry.unwrap();
            let mut text = format!("{}s", time as f64 / 1e6);
            for samples in batches {
                for row in 0..samples.len() {
                    assert_eq!(samples.time(row), time);
                    let name = directory.tag_name(samples.tags()[row]);
                    text.push_str(&format!(" {name}={}@{}", samples.values().get(row), samples.quality()[row]));
                }
            }
            text
        })
        .collect()
}

fn read(files: &[PathBuf], options: &Options) -> (Vec<String>, Rejected) {
    let mut recording = Recording::open(files, options, &directory()).unwrap();
    let entries = entries(&mut recording);
    (entries, recording.rejected())
}

fn seconds() -> Options {
    Options { time_format: TimeFormat::Seconds, ..Options::default() }
}

#[test]
fn a_long_csv() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "a.csv",
        "\u{feff}time,tag,value,quality\n1,W1.THP,10.5,192\n1,W1.RUN,true,\n2,W1.THP,,24\n3,W1.THP,11,64\n",
    );
    let (entries, rejected) = read(&[path], &seconds());
    assert_eq!(entries, ["1s W1.THP=10.5@192 W1.RUN=true@192", "2s W1.THP=null@24", "3s W1.THP=11@64"]);
    assert_eq!(rejected.total, 0);
}

#[test]
fn a_wide_csv_as_people_save_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    // Windows-1252, semicolons, decimal commas, a local clock, an empty cell.
    let mut bytes = b"fecha;Presi\xf3n;M1.FLOW\r\n".to_vec();
    bytes.extend_from_slice(b"2026-01-01 00:00:00;10,5;\r\n2026-01-01 00:00:01;11;7,25\r\n");
    fs::write(&path, bytes).unwrap();
    let options = Options {
        time: "fecha".into(),
        decimal: Decimal::Comma,
        time_zone: Some(jiff::tz::TimeZone::get("America/Bogota").unwrap()),
        rename: [("Presión".to_owned(), "W1.THP".to_owned())].into(),
        ..Options::default()
    };
    let (entries, rejected) = read(std::slice::from_ref(&path), &options);
    let start = 1_767_243_600;
    assert_eq!(rejected, Rejected::default());
    assert_eq!(
        entries,
        [format!("{start}s W1.THP=10.5@192"), format!("{}s W1.THP=11@192 M1.FLOW=7.25@192", start + 1)]
    );
    let names = Recording::tag_names(&[path], &options).unwrap();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["M1.FLOW", "W1.THP"]);
}

#[test]
fn json_lines_long_and_wide() {
    let folder = tempfile::tempdir().unwrap();
    let long = file(
        folder.path(),
        "a.jsonl",
        "{\"time\":\"1970-01-01T00:00:01Z\",\"tag\":\"W1.THP\",\"value\":5}\n\n{\"time\":\"1970-01-01T00:00:02Z\",\"tag\":\"W1.RUN\",\"value\":false,\"quality\":216}\n",
    );
    let wide = file(folder.path(), "b.ndjson", "{\"time\":\"1970-01-01T00:00:01Z\",\"M1.FLOW\":1.5,\"W1.THP\":null}\n");
    let (entries, rejected) = read(&[long.clone(), wide.clone()], &Options::default());
    assert_eq!(entries, ["1s W1.THP=5@192 M1.FLOW=1.5@192", "2s W1.RUN=false@216"]);
    assert_eq!(rejected.total, 0);
    let names = Recording::tag_names(&[long, wide], &Options::default()).unwrap();
    assert_eq!(names.len(), 3);
}

fn parquet(path: &Path, times: Vec<i64>, tags: Vec<&str>, values: Vec<Option<f64>>) {
    let batch = RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef),
        ("tag", Arc::new(StringArray::from(tags)) as ArrayRef),
        ("value", Arc::new(Float64Array::from(values)) as ArrayRef),
    ])
    .unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_parquet_in_the_order_of_tags_is_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let times = [2, 1, 3, 1, 3].map(|second| second * SECOND).to_vec();
    let tags = vec!["M1.FLOW", "M1.FLOW", "M1.FLOW", "W1.THP", "W1.THP"];
    parquet(&path, times, tags, vec![Some(2.0), Some(1.0), None, Some(10.0), Some(30.0)]);
    let expected = ["1s M1.FLOW=1@192 W1.THP=10@192", "2s M1.FLOW=2@192", "3s M1.FLOW=null@0 W1.THP=30@192"];
    for sort_rows in [1, 2, 100] {
        let options = Options { sort_rows, ..Options::default() };
        assert_eq!(read(std::slice::from_ref(&path), &options).0, expected, "{sort_rows} rows a run");
    }
    let recording = Recording::open(&[path], &Options::default(), &directory()).unwrap();
    assert_eq!(recording.span(), Some((SECOND, 3 * SECOND)));
    assert_eq!(recording.rows(), 5);
}

#[test]
fn bad_rows_are_counted_and_do_not_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "a.csv",
        "time,tag,value,quality\n1,W1.THP,1,\nyesterday,W1.THP,2,\n2,W9.THP,3,\n3,W1.THP,low,\n4,W1.THP\n5,W1.THP,5,fine\n6,W1.THP,6,\n",
    );
    let (entries, rejected) = read(std::slice::from_ref(&path), &seconds());
    assert_eq!(entries, ["1s W1.THP=1@192", "6s W1.THP=6@192"]);
    assert_eq!(rejected.total, 5);
    let causes = [Cause::Time, Cause::Tag, Cause::Value, Cause::Quality, Cause::Row];
    assert_eq!(rejected.causes, causes.map(|cause| (cause, 1)).into());
    assert_eq!(
        rejected.to_string(),
        "1 with no time, 1 with an unknown tag, 1 with no value of the tag's kind, 1 with no quality, 1 with a row that \
         cannot be taken apart"
    );
    let lines: Vec<u64> = rejected.first.iter().map(|rejection| rejection.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    assert!(
        rejected.first[1]
            .to_string()
            .ends_with("a.csv: line 4, column `tag`: `W9.THP` is no tag of the site; did you mean `W1.THP`?"),
        "{}",
        rejected.first[1]
    );
    let jsonl =
        file(folder.path(), "b.jsonl", "[1]\n{\"time\":1,\"W1.THP\":{}}\nnonsense\n{\"time\":1,\"W1.THP\":2}\n");
    let (entries, rejected) = read(&[jsonl], &seconds());
    assert_eq!(entries, ["1s W1.THP=2@192"]);
    assert_eq!(rejected.total, 3);
}

#[test]
fn what_cannot_be_read_at_all_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        match Recording::open(&[path], &Options::default(), &directory()) {
            Ok(_) => panic!("{name} was opened"),
            Err(error) => format!("{} {}", error.code(), error.line()),
        }
    };
    let time = "2026-01-01T00:00:00Z";
    let cases: [(&str, &[u8], &str); 13] = [
        ("a.csv", b"zeit,THP\n", "E0420 {} has no column `time`; it has `zeit`, `THP`"),
        ("b.csv", b"", "no columns at all"),
        ("c.parquet", b"PAR1nonsense", "E0430 {} is no readable Parquet file"),
        ("d.xlsx", b"", "E0430 {} is neither CSV"),
        (
            "gzip.csv",
            &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0],
            "E0430 {} is compressed with gzip, and its name says CSV; unpack",
        ),
        ("utf16.csv", b"\xff\xfet\0i\0m\0e\0", "E0430 {} is text in UTF-16, and its name says CSV; save it as UTF-8"),
        ("utf16.ndjson", b"\xfe\xff\0{", "text in UTF-16, and its name says JSON Lines"),
        ("text.parquet", b"time,tag,value\n", "E0430 {} is a text file, and its name says Parquet"),
        ("parquet.csv", b"PAR1....", "a Parquet file, and its name says CSV; give it the ending .parquet"),
        ("twice.csv", b"time,W1.THP,W1.THP\n", "E0402 {} has two columns `W1.THP`, the 2. and the 3."),
        ("value.csv", b"time,tag,val\n", "E0420 {} has no column `value`; it has `time`, `tag`, `val`"),
        ("none.csv", b"time\n", "E0420 {} has no column but `time`"),
        (
            "all.csv",
            b"time,W1.THP\n1,1\n2,2\n",
            "E0431 no sample of {} can be read: 2 with no time (line 2, column `time`",
        ),
    ];
    for (name, bytes, wanted) in cases {
        let wanted = wanted.replace("{}", &folder.path().join(name).display().to_string());
        let said = fails(name, bytes);
        assert!(said.contains(&wanted), "{said}");
    }
    // What is no value is no name either.
    let odd = [
        ("list", format!("{{\"time\":\"{time}\",\"tag\":[\"W1.THP\"],\"value\":1}}"), "a list is no name of a tag"),
        ("object", format!("{{\"time\":\"{time}\",\"tag\":\"W1.THP\",\"value\":{{}}}}"), "an object is no number"),
        (
            "500",
            format!("{{\"time\":\"{time}\",\"tag\":\"W1.THP\",\"value\":1,\"quality\":500}}"),
            "`500` is no quality",
        ),
    ];
    for (name, row, wanted) in odd {
        let said = fails(&format!("{name}.ndjson"), row.as_bytes());
        assert!(said.contains(wanted) && said.starts_with("E0431"), "{said}");
    }
    let path = file(folder.path(), "list.ndjson", &format!("{{\"time\":\"{time}\",\"tag\":[1],\"value\":1}}"));
    assert!(Recording::tag_names(&[path], &Options::default()).unwrap().is_empty());
    let missing = Recording::open(&[folder.path().join("x.csv")], &Options::default(), &directory());
    assert!(missing.err().unwrap().to_string().contains("cannot read"));
    let error = expand(&["*.jsonl".to_owned()], folder.path()).unwrap_err();
    assert!(error.to_string().contains("matches no file"));
    assert_eq!(expand(&["?.csv".to_owned(), "a.csv".to_owned()], folder.path()).unwrap().len(), 2);
}

#[test]
fn the_same_tags_again_are_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..4).map(|second| format!("{second},{second},1\n")).collect();
    let path = file(folder.path(), "a.csv", &format!("time,W1.THP,M1.FLOW\n{text}"));
    let recording = Recording::open(&[path], &seconds(), &directory()).unwrap();
    let layouts: Vec<_> = recording.map(|entry| entry.unwrap().1[0].layout().cloned()).collect();
    assert!(layouts[0].is_none());
    assert!(Arc::ptr_eq(layouts[1].as_ref().unwrap(), layouts[3].as_ref().unwrap()));
}

#[test]
fn the_feeder_enters_each_time_once_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.csv", "time,W1.THP\n1,1\n2,2\n3,3\n");
    let cx = context(&directory());
    let mut feeder = ReplayFeeder {
        pipeline: cx.pipeline.clone(),
        node: cx.node.clone(),
        files: vec![path],
        options: seconds(),
        directory: directory(),
        pace: Pace::Times(1e6),
        given: Some(SECOND),
        replays: None,
    };
    let collected = Arc::new(Collected::default());
    let intake: Arc<dyn Intake> = collected.clone();
    feeder.run(&intake, &AtomicBool::new(false)).unwrap();
    let parts = collected.parts();
    assert_eq!(parts.iter().map(|(time, _)| time.unwrap()).collect::<Vec<_>>(), [2 * SECOND, 3 * SECOND]);

    let mut source = ReplaySource { pipeline: cx.pipeline.clone(), node: cx.node.clone() };
    let mut out = Output::at(1, 2 * SECOND);
    let ours = parts[0].1.clone();
    let theirs = match &ours {
        Part::Samples { samples, .. } => Part::Samples { origin: Origin::Field, samples: samples.clone() },
        _ => panic!("samples were offered"),
    };
    source.on_entry(&Entry { epoch: 1, time: 2 * SECOND, parts: vec![ours, theirs] }, &mut out).unwrap();
    assert_eq!(out.take_packets().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows lie in files and whatever the size of a sorted run, entries are those of a stable sort by time.
    #[test]
    fn any_order_of_rows_and_files_gives_the_order_of_time(
        rows in prop::collection::vec((0i64..20, 0usize..2, -5i32..5, 0usize..3), 0..60),
        sort_rows in 1usize..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let names = ["W1.THP", "M1.FLOW"];
        let mut texts = vec![String::from("time,tag,value\n"); 3];
        for (time, tag, value, file) in &rows {
            texts[*file].push_str(&format!("{time},{},{value}\n", names[*tag]));
        }
        let files: Vec<PathBuf> =
            texts.iter().enumerate().map(|(index, text)| file(folder.path(), &format!("{index}.csv"), text)).collect();
        let options = Options { sort_rows, ..seconds() };
        let (entries, rejected) = read(&files, &options);
        prop_assert_eq!(rejected.total, 0);
        let mut sorted = rows.clone();
        sorted.sort_by_key(|(time, _, _, file)| (*time, *file));
        let mut expected: Vec<(i64, String)> = Vec::new();
        for (time, tag, value, _) in sorted {
            if expected.last().is_none_or(|(last, _)| *last != time) {
                expected.push((time, format!("{time}s")));
            }
            expected.last_mut().unwrap().1.push_str(&format!(" {}={value}@192", names[tag]));
        }
        prop_assert_eq!(entries, expected.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0usize..3) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(["a.csv", "a.jsonl", "a.parquet"][kind]);
        let mut content = [&b"time,W1.THP\n"[..], b"{\"time\":1,\"W1.THP\":1}\n", b"PAR1"][kind].to_vec();
        content.extend_from_slice(&bytes);
        fs::write(&path, content).unwrap();
        if let Ok(recording) = Recording::open(&[path], &seconds(), &directory()) {
            recording.for_each(drop);
        }
    }
}
