//! Queries over folders and running historians.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use ducto_query::{Folder, Format, OutputWriter, QueryError, Session, Site};
use ducto_record::time::{HOUR, MINUTE, SECOND};
use ducto_record::{Batch, Directory, Layout, RowType, Samples, Tag, ValueKind, Values, with_role};
use ducto_storage::{DataFolder, DatasetConfig, DatasetSchema, Historian, tags_table, write_catalog};

mod wells;

use wells::*;

#[tokio::test]
async fn a_folder_answers() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, samples("history")).unwrap();
    feed(&historian, &directory, 1..=200);
    historian.settle().unwrap();
    write_catalog(&held, &directory, |_| Some("history".to_owned())).unwrap();
    let session = folder(data.path());
    assert_eq!(session.tables().unwrap(), ["history", "history_with_tags", "tags"]);
    assert_eq!(number(&session, "SELECT count(*) FROM history").await, 1200);
    let answer = "SELECT time, tag, value, quality FROM history WHERE tag = 'WELL-002.THP' \
                  AND time >= '2026-01-01T01:00:00Z' AND time < '2026-01-01T01:02:00Z' ORDER BY time";
    assert_eq!(
        text(&session, answer).await,
        "\
+----------------------+--------------+--------+---------+
| time                 | tag          | value  | quality |
+----------------------+--------------+--------+---------+
| 2026-01-01T01:00:00Z | WELL-002.THP | 2060.0 | 192     |
| 2026-01-01T01:01:00Z | WELL-002.THP | 2061.0 | 192     |
+----------------------+--------------+--------+---------+"
    );
    let joined = "SELECT asset, area, count(*) AS n FROM history_with_tags WHERE variable = 'THP' \
                  GROUP BY asset, area ORDER BY asset LIMIT 1";
    assert!(text(&session, joined).await.contains("| WELL-001 | Norte | 200 |"));
    // Only the files of the hour are read.
    let plan = text(&session, &format!("EXPLAIN {answer}")).await;
    assert!(plan.contains("hour=01") && !plan.contains("hour=00") && !plan.contains("hour=02"), "{plan}");
}

#[tokio::test]
async fn a_running_site_shows_each_row_once() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let config = DatasetConfig { commit_every: 7 * MINUTE, ..samples("history") };
    let historian = Historian::open(&held, config).unwrap();
    let site = Arc::new(Site::open(data.path()).unwrap());
    site.add(&historian);
    site.set_tags(tags_table(&directory, |_| None).unwrap());
    let session = Session::new(site.clone(), MEMORY).unwrap();
    feed(&historian, &directory, 1..=3);
    assert_eq!(historian.committed(), 0);
    assert_eq!(number(&session, "SELECT count(*) FROM history").await, 18, "nothing is in files yet");
    assert_eq!(number(&session, "SELECT count(*) FROM history WHERE tag = 'WELL-001.CHP'").await, 3);
    for epoch in 4..=500 {
        feed(&historian, &directory, epoch..=epoch);
        if epoch % 11 != 0 {
            continue;
        }
        // Whatever the writer does meanwhile; both sides of the join see the same rows.
        let found = number(&session, "SELECT count(*) FROM history AS a JOIN history AS b USING (time, tag)").await;
        assert_eq!(found as u64, epoch * 6);
    }
    assert!(historian.stats().merges > 3);
    site.remove("history");
    historian.close().unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM history").await, 3000);
}

#[tokio::test]
async fn a_merge_does_not_break_a_query_that_runs() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, samples("history")).unwrap();
    for epoch in 1..=50 {
        feed(&historian, &directory, epoch..=epoch);
        historian.commit().unwrap();
    }
    let session = folder(data.path());
    let running = session.sql("SELECT * FROM history").await.unwrap();
    historian.end_epoch(100, START + 3 * HOUR);
    historian.settle().unwrap();
    assert_eq!(historian.stats().merges, 1);
    let found: usize = running.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(found, 300);
}

/// Another process reads the folder of a site that commits and merges all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_can_be_read_while_a_site_writes_it() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let config = DatasetConfig { compact_late_every: MINUTE, ..samples("history") };
    let historian = Historian::open(&held, config).unwrap();
    let (directory, done) = (directory(), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (historian, directory, done) = (historian.clone(), directory.clone(), done.clone());
        std::thread::spawn(move || {
            for epoch in 1..=200 {
                feed(&historian, &directory, epoch..=epoch);
                historian.commit().unwrap();
            }
            done.store(true, Ordering::Release);
        })
    };
    let session = folder(data.path());
    let mut before = 0;
    loop {
        let last = done.load(Ordering::Acquire);
        if !session.tables().unwrap().is_empty() {
            let found = number(&session, "SELECT count(value) FROM history").await;
            assert!(found >= before && found % 6 == 0, "{found} after {before}");
            before = found;
        }
        if last {
            break;
        }
    }
    writer.join().unwrap();
    assert_eq!(before, 1200);
    assert!(historian.stats().merges > 0);
}

#[tokio::test]
async fn corrected_rows_show_their_highest_revision() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, DatasetConfig::new("minutes", DatasetSchema::Rows(minutes_type()))).unwrap();
    let site = Arc::new(Site::open(data.path()).unwrap());
    site.add(&historian);
    let session = Session::new(site, MEMORY).unwrap();
    let put = |epoch: u64, rows: &[(u32, i64, f64, i8)]| {
        historian.append(epoch, &minutes(rows), &directory).unwrap();
        historian.end_epoch(epoch, START + epoch as i64 * SECOND);
    };
    put(1, &[(0, 0, 1.0, 1), (0, 1, 2.0, 1), (1, 0, 5.0, 1), (1, 1, 6.0, 1)]);
    historian.commit().unwrap();
    put(2, &[(0, 1, 2.0, -1), (0, 1, 2.5, 1), (1, 0, 5.0, -1)]);
    historian.commit().unwrap();
    put(3, &[(0, 1, 2.5, -1), (0, 1, 2.75, 1), (0, 2, 3.0, 1)]);
    // Removed, and there again.
    put(4, &[(1, 1, 6.0, -1)]);
    put(5, &[(1, 1, 6.5, 1)]);
    // The last correction is in the live tail, and then in files, and then merged.
    let expected = "\
+--------------+------+
| tag          | mean |
+--------------+------+
| WELL-001.THP | 1.0  |
| WELL-001.THP | 2.75 |
| WELL-001.THP | 3.0  |
| WELL-001.CHP | 6.5  |
+--------------+------+";
    for step in 0..3 {
        match step {
            0 => {}
            1 => drop(historian.commit().unwrap()),
            _ => {
                historian.end_epoch(9, START + 3 * HOUR);
                historian.settle().unwrap();
                assert_eq!(historian.snapshot().manifest.files.len(), 1);
            }
        }
        let all = text(&session, "SELECT tag, mean FROM minutes ORDER BY tag DESC, time").await;
        assert_eq!(all, expected, "step {step}");
        assert_eq!(number(&session, "SELECT count(*) FROM minutes").await, 4, "step {step}");
        assert_eq!(number(&session, "SELECT count(*) FROM minutes_revisions").await, 10, "step {step}");
        // A filter that only an older revision meets finds nothing.
        assert_eq!(number(&session, "SELECT count(*) FROM minutes WHERE mean = 2.5").await, 0, "step {step}");
        assert_eq!(number(&session, "SELECT count(*) FROM minutes WHERE mean < 2.8 AND tag = 'WELL-001.THP'").await, 2);
        assert_eq!(number(&session, "SELECT count(*) FROM minutes WHERE time = '2026-01-01T00:01:00Z'").await, 2);
        assert_eq!(rows(&session, "SELECT mean FROM minutes LIMIT 1").await[0].num_rows(), 1);
    }
    drop(historian);
    assert_eq!(session.tables().unwrap(), ["minutes", "minutes_revisions"]);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, samples("history")).unwrap();
    feed(&historian, &directory, 1..=120);
    historian.commit().unwrap();
    let session = folder(data.path());
    let error = |sql: &'static str| {
        let session = session.clone();
        async move {
            match session.sql(sql).await {
                Ok(answer) => answer.collect().await.unwrap_err(),
                Err(error) => error,
            }
        }
    };
    for (sql, expected) in [
        ("SELECT * FROM histroy", "there is no table `histroy`; did you mean `history`?"),
        ("SELECT * FROM wells", "there is no table `wells`; there are `history`"),
        ("SELECT valeu FROM history", "there is no column `valeu`; did you mean `value`?"),
        ("SELECT 1 +", "this is no SQL that can be read"),
        ("SELECT value + tag FROM history", "fit"),
        ("DROP TABLE history", "queries only read, and `DropTable` does more"),
        ("CREATE TABLE x AS SELECT 1", "queries only read"),
        ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/'", "queries only read"),
        ("INSERT INTO history SELECT * FROM history", "queries only read"),
        ("COPY history TO '/tmp/x.parquet'", "queries only read, and `COPY` does more"),
        ("SET datafusion.execution.batch_size = 1", "queries only read"),
        ("SELECT * FROM '/etc/passwd'", "there is no table"),
        ("SELECT 1; SELECT 2", ""),
    ] {
        let found = error(sql).await.to_string();
        assert!(found.contains(expected), "{sql}: {found}");
        assert!(!found.contains("datafusion") && !found.contains("DataFusion"), "{sql}: {found}");
    }
    let small = Session::new(Arc::new(Folder::open(data.path()).unwrap()), 40_000).unwrap();
    let sorted = small.sql("SELECT * FROM history ORDER BY value").await;
    let error = match sorted {
        Ok(answer) => answer.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(&error, QueryError::Memory { limit: 40_000, .. }), "{error}");
    assert!(Folder::open(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
}

#[tokio::test]
async fn answers_are_written_in_each_format() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, samples("history")).unwrap();
    feed(&historian, &directory, 1..=2);
    historian.commit().unwrap();
    let session = folder(data.path());
    let write = |format: Format, sql: &'static str| {
        let session = session.clone();
        async move {
            let mut answer = session.sql(sql).await.unwrap();
            let mut out = Vec::new();
            let mut writer = OutputWriter::new(format, answer.schema(), &mut out).unwrap();
            while let Some(batch) = answer.next().await.unwrap() {
                writer.write(&batch).unwrap();
            }
            let rows = writer.finish().unwrap();
            (rows, out)
        }
    };
    let sql = "SELECT time, tag, value FROM history WHERE tag = 'WELL-001.THP' ORDER BY time";
    let none = "SELECT time, tag FROM history WHERE tag = 'none'";
    let text = |(rows, out): (usize, Vec<u8>)| (rows, String::from_utf8(out).unwrap());
    assert_eq!(
        text(write(Format::Csv, sql).await),
        (2, "time,tag,value\n2026-01-01T00:01:00Z,WELL-001.THP,1.0\n2026-01-01T00:02:00Z,WELL-001.THP,2.0\n".into())
    );
    assert_eq!(text(write(Format::Csv, none).await), (0, "time,tag\n".into()));
    assert_eq!(
        text(write(Format::Json, sql).await).1,
        "[{\"time\":\"2026-01-01T00:01:00Z\",\"tag\":\"WELL-001.THP\",\"value\":1.0},\
         {\"time\":\"2026-01-01T00:02:00Z\",\"tag\":\"WELL-001.THP\",\"value\":2.0}]\n"
    );
    assert_eq!(text(write(Format::Json, none).await), (0, "[]\n".into()));
    let nulls = "SELECT CAST(NULL AS DOUBLE) AS value, '' AS text, CAST(NULL AS TEXT) AS none";
    assert_eq!(text(write(Format::Json, nulls).await).1, "[{\"value\":null,\"text\":\"\",\"none\":null}]\n");
    assert!(text(write(Format::Table, none).await).1.contains("| time | tag |"));
    let (rows, parquet) = write(Format::Parquet, sql).await;
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(parquet), 100);
    assert_eq!(reader.unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), rows);
}

#[tokio::test]
async fn columns_that_came_later_are_null_before() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let open =
        |rows: RowType| Historian::open(&held, DatasetConfig::new("minutes", DatasetSchema::Rows(rows))).unwrap();
    let historian = open(minutes_type());
    historian.append(1, &minutes(&[(0, 0, 1.0, 1)]), &directory).unwrap();
    historian.end_epoch(1, START);
    historian.close().unwrap();
    let more = RowType::new(
        vec![
            with_role(Field::new("tag", DataType::UInt32, false), "tag"),
            Field::new("mean", DataType::Float64, true),
            Field::new("last", DataType::Float64, true),
        ],
        &["tag"],
    );
    let historian = open(more.clone());
    let Batch::Rows(old) = minutes(&[(0, 1, 2.0, 1)]) else { panic!() };
    let mut columns = old.columns().to_vec();
    columns.insert(3, Arc::new(Float64Array::from(vec![7.0])));
    let new = RecordBatch::try_new(more.schema, columns).unwrap();
    historian.append(2, &Batch::Rows(new), &directory).unwrap();
    historian.end_epoch(2, START + MINUTE);
    historian.commit().unwrap();
    let session = folder(data.path());
    let expected = "\
+------+------+
| mean | last |
+------+------+
| 1.0  |      |
| 2.0  | 7.0  |
+------+------+";
    assert_eq!(text(&session, "SELECT mean, last FROM minutes ORDER BY time").await, expected);
    historian.end_epoch(3, START + 3 * HOUR);
    historian.settle().unwrap();
    assert_eq!(historian.snapshot().manifest.files.len(), 1);
    assert_eq!(text(&session, "SELECT mean, last FROM minutes ORDER BY time").await, expected);
}

#[tokio::test]
async fn one_tag_of_an_hour_is_one_page() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let mut builder = Directory::builder();
    let tags: Vec<u32> =
        (0..40).map(|tag| builder.tag(Tag::named(&format!("T{tag:02}"), ValueKind::Float64))).collect();
    let (directory, layout) = (Arc::new(builder.build()), Layout::new(tags));
    let historian = Historian::open(&held, samples("history")).unwrap();
    for second in 0..3600_u64 {
        let time = START + second as i64 * SECOND;
        let values = Values::Float64(vec![second as f64; 40].into());
        let scan = Samples::scan(&layout, time, values, None).unwrap();
        historian.append(second + 1, &Batch::Samples(scan), &directory).unwrap();
        historian.end_epoch(second + 1, time);
        if second == 1800 {
            historian.commit().unwrap();
        }
    }
    historian.end_epoch(5000, START + 2 * HOUR);
    historian.settle().unwrap();
    let session = folder(data.path());
    let sql = "SELECT count(value) FROM history WHERE tag = 'T17'";
    assert_eq!(number(&session, sql).await, 3600);
    let metrics = text(&session, &format!("EXPLAIN ANALYZE {sql}")).await;
    assert!(metrics.contains("page_index_rows_pruned=144.0 K total → 3.60 K matched"), "{metrics}");
}
