//! Queries over whatever files and live rows there are: none, missing, damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wells;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use ducto_query::{Folder, LeftOut, QueryError, Session, Site, Why};
use ducto_record::Batch;
use ducto_record::time::{HOUR, SECOND};
use ducto_storage::{DataFolder, DatasetConfig, DatasetSchema, Historian};
use wells::*;

#[tokio::test]
async fn a_missing_file_leaves_its_rows_out_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, DatasetConfig::new("minutes", DatasetSchema::Rows(minutes_type()))).unwrap();
    for epoch in 1..=3 {
        historian.append(epoch, &minutes(&[(0, epoch as i64, 1.0, 1)]), &directory).unwrap();
        historian.end_epoch(epoch, START + epoch as i64 * SECOND);
        historian.commit().unwrap();
    }
    let snapshot = historian.snapshot();
    let gone = snapshot.path(&snapshot.manifest.files[1]);
    // A merge that has exchanged the folder and is not done yet: the file is found where it waits.
    let staged = data.path().join("staging/minutes/hour-9");
    std::fs::create_dir(&staged).unwrap();
    std::fs::rename(&gone, staged.join(gone.file_name().unwrap())).unwrap();
    let session = Session::new(Arc::new(Folder::open(data.path()).unwrap()), MEMORY).unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM minutes").await, 3);
    std::fs::remove_dir_all(&staged).unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM minutes").await, 2);
    let answer = session.sql("SELECT * FROM minutes").await.unwrap();
    assert_eq!(answer.left_out(), [LeftOut { path: gone, rows: 1, why: Why::Missing }]);
    assert!(answer.incomplete().unwrap().contains("not on the disk"));
    let answer = session.sql("SELECT 1").await.unwrap();
    assert_eq!(answer.incomplete(), None);
}

/// What people write as a reason hides no row: what was removed says so in its revision.
#[tokio::test]
async fn a_reason_of_people_hides_no_row() {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, DatasetConfig::new("minutes", DatasetSchema::Rows(minutes_type()))).unwrap();
    let put = |epoch: u64, given: &[(u32, i64, f64, i8)]| {
        let Batch::Rows(batch) = minutes(given) else { unreachable!() };
        let mut columns = batch.columns().to_vec();
        columns[4] = Arc::new(StringArray::from(vec!["removed"; batch.num_rows()]));
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        historian.append(epoch, &Batch::Rows(batch), &directory).unwrap();
        historian.end_epoch(epoch, START + epoch as i64 * SECOND);
    };
    put(1, &[(0, 0, 1.0, 1), (1, 0, 2.0, 1), (1, 1, 3.0, 1)]);
    // One is corrected, one removed.
    put(2, &[(1, 0, 2.0, -1), (1, 0, 2.5, 1), (1, 1, 3.0, -1)]);
    historian.commit().unwrap();
    let session = folder(data.path());
    let found = text(&session, "SELECT tag, mean, reason FROM minutes ORDER BY tag DESC").await;
    let expected = "\
+--------------+------+---------+
| tag          | mean | reason  |
+--------------+------+---------+
| WELL-001.THP | 1.0  | removed |
| WELL-001.CHP | 2.5  | removed |
+--------------+------+---------+";
    assert_eq!(found, expected);
    let views = std::fs::read_to_string(data.path().join("views.sql")).unwrap();
    assert!(views.contains("revision % 4 <> 3") && !views.contains("reason"), "{views}");
}

/// Every part of a dataset may be empty, and every kind of question has its answer all the same.
#[tokio::test]
async fn questions_are_answered_whatever_parts_there_are() {
    for (files, tail) in [(false, false), (false, true), (true, false), (true, true)] {
        for corrected in [false, true] {
            let data = tempfile::tempdir().unwrap();
            let held = DataFolder::open(data.path()).unwrap();
            let directory = directory();
            let config = DatasetConfig::new("minutes", DatasetSchema::Rows(minutes_type()));
            let historian = Historian::open(&held, config).unwrap();
            let site = Arc::new(Site::open(data.path()).unwrap());
            site.add(&historian);
            let session = Session::new(site, MEMORY).unwrap();
            let mut expected = 0;
            for (epoch, there) in [(1_u64, files), (2, tail)] {
                if !there {
                    continue;
                }
                let at = 10 * epoch as i64;
                let mut given = vec![(0, at, 1.0, 1), (1, at, 2.0, 1), (0, at + 1, 3.0, 1)];
                if corrected {
                    given.push((0, at - 5, 1.0, -1));
                }
                historian.append(epoch, &minutes(&given), &directory).unwrap();
                historian.end_epoch(epoch, START + epoch as i64 * SECOND);
                expected += 3;
                if epoch == 1 {
                    historian.commit().unwrap();
                }
            }
            let case = format!("files {files}, tail {tail}, corrected {corrected}");
            for (sql, found) in [
                ("SELECT * FROM minutes ORDER BY time DESC", expected),
                ("SELECT tag, mean FROM minutes ORDER BY mean, tag LIMIT 2", 2.min(expected)),
                ("SELECT * FROM minutes WHERE time < '2000-01-01T00:00:00Z' ORDER BY time", 0),
                ("SELECT * FROM minutes WHERE time > '2100-01-01T00:00:00Z' ORDER BY time, tag", 0),
                ("SELECT * FROM minutes WHERE tag = 'NOPE' ORDER BY time", 0),
                ("SELECT tag, count(*) FROM minutes GROUP BY tag ORDER BY tag", 2.min(expected)),
                ("SELECT a.time FROM minutes a JOIN minutes b USING (time, tag) ORDER BY a.time", expected),
                ("SELECT time, lag(mean) OVER (PARTITION BY tag ORDER BY time) FROM minutes ORDER BY time", expected),
                ("SELECT time FROM minutes UNION ALL SELECT time FROM minutes ORDER BY time", 2 * expected),
            ] {
                let rows: usize = rows(&session, sql).await.iter().map(|batch| batch.num_rows()).sum();
                assert_eq!(rows, found, "{case}: {sql}");
            }
            assert_eq!(number(&session, "SELECT count(*) FROM minutes").await, expected as i64, "{case}");
        }
    }
}

type Damage<'a> = &'a dyn Fn(&Path);

/// Three files of an hour each, and what is done to the second.
async fn damaged(damage: impl Fn(&Path)) -> (tempfile::TempDir, Session, std::path::PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let held = DataFolder::open(data.path()).unwrap();
    let directory = directory();
    let historian = Historian::open(&held, samples("history")).unwrap();
    for hour in 0..3 {
        feed(&historian, &directory, hour * 60 + 1..=hour * 60 + 59);
        historian.commit().unwrap();
    }
    historian.end_epoch(1_000, START + 9 * HOUR);
    historian.settle().unwrap();
    let snapshot = historian.snapshot();
    assert_eq!(snapshot.manifest.files.len(), 3);
    let path = snapshot.path(&snapshot.manifest.files[1]);
    damage(&path);
    (data, folder(snapshot.data.as_path()), path)
}

#[tokio::test]
async fn a_damaged_file_leaves_its_rows_out_and_says_so() {
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let zeros = |path: &Path| {
        let length = std::fs::metadata(path).unwrap().len();
        std::fs::write(path, vec![0; length as usize]).unwrap();
    };
    let empty = |path: &Path| std::fs::write(path, "").unwrap();
    // The footer is whole, and the pages are not.
    let pages = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let half = bytes.len() / 2;
        bytes[4..half].fill(0);
        std::fs::write(path, bytes).unwrap();
    };
    let footer = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let end = bytes.len();
        bytes[end - 60..end - 8].fill(0xff);
        std::fs::write(path, bytes).unwrap();
    };
    let kinds: [(&str, Damage<'_>); 5] =
        [("cut", &cut), ("zeros", &zeros), ("empty", &empty), ("pages", &pages), ("footer", &footer)];
    for (kind, damage) in kinds {
        let (_data, session, path) = damaged(damage).await;
        assert_eq!(number(&session, "SELECT count(value) FROM history").await, 2 * 59 * 6, "{kind}");
        let answer = session.sql("SELECT * FROM history ORDER BY time").await.unwrap();
        assert_eq!(answer.left_out(), [LeftOut { path: path.clone(), rows: 59 * 6, why: Why::Damaged }], "{kind}");
        let told = answer.incomplete().unwrap();
        assert!(told.contains("is damaged") && told.contains("354 rows are not in the answer"), "{kind}: {told}");
        let found: usize = answer.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(found, 2 * 59 * 6, "{kind}");
        // Whose rows are asked for as they come: what is damaged is left out, or named where it is found too late.
        let answer = session.sql("SELECT * FROM history").await.unwrap();
        match answer.collect().await {
            Ok(batches) => assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2 * 59 * 6),
            Err(error) => {
                assert!(matches!(&error, QueryError::Damaged { path: named } if *named == path), "{kind}: {error}");
            }
        }
        // Hours that are not asked for do not matter.
        let answer = session.sql("SELECT * FROM history WHERE time < '2026-01-01T00:30:00Z'").await.unwrap();
        assert_eq!(answer.incomplete(), None, "{kind}");
    }
}
