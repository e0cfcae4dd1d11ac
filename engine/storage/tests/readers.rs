//! The data folder as other programs read it: DuckDB, Polars, pandas and pyarrow, through Python.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field};
use ducto_record::time::{MINUTE, SECOND};
use ducto_record::{Asset, Batch, Directory, Layout, RowType, Samples, Tag, ValueKind, Values, with_role, with_unit};
use ducto_storage::{DataFolder, DatasetConfig, DatasetSchema, Historian, Level, write_catalog};

const START: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).unwrap()
}

/// The interpreter that `make setup` prepares, or the one that `DUCTO_TEST_PYTHON` names.
fn python() -> PathBuf {
    let python =
        std::env::var_os("DUCTO_TEST_PYTHON").map_or_else(|| workspace().join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "no Python at `{}`: run `make setup`, which prepares it from tests/requirements.txt, or name one that has \
         these packages in DUCTO_TEST_PYTHON",
        python.display()
    );
    python
}

fn directory() -> Arc<Directory> {
    let mut builder = Directory::builder();
    let asset = builder.asset(Asset {
        name: "WELL-001".into(),
        kind: "well".into(),
        columns: [("area".to_owned(), "Norte".to_owned()), ("flows_to".to_owned(), "SEP-1".to_owned())].into(),
    });
    for (variable, kind) in [("THP", ValueKind::Float64), ("CHP", ValueKind::Float64)] {
        builder.tag(Tag {
            asset: Some(asset),
            description: Arc::new(
                [("es".to_owned(), "Presión".to_owned()), ("en".to_owned(), "Pressure".to_owned())].into(),
            ),
            ..Tag::named(&format!("WELL-001.{variable}"), kind)
        });
    }
    Arc::new(builder.build())
}

/// Two hours of two tags every ten seconds, the first hour merged, with nulls, NaN and a bad quality.
fn history(folder: &DataFolder, directory: &Arc<Directory>) {
    let historian =
        Historian::open(folder, DatasetConfig::new("history", DatasetSchema::Samples(ValueKind::Float64))).unwrap();
    let layout = Layout::new(vec![0, 1]);
    for entry in 0..720_i64 {
        let epoch = entry as u64 + 1;
        let time = START + entry * 10 * SECOND;
        let chp = match entry {
            5 => None,
            6 => Some(f64::NAN),
            entry => Some(entry as f64 / 7.0),
        };
        let values = Values::Float64(Float64Array::from(vec![Some(entry as f64), chp]));
        let quality = if entry == 5 { vec![192, 24] } else { vec![192, 192] };
        let scan = Samples::scan(&layout, time, values, Some(quality.into())).unwrap();
        historian.append(epoch, &Batch::Samples(scan), directory).unwrap();
        historian.end_epoch(epoch, time);
        if entry % 100 == 0 {
            historian.commit().unwrap();
        }
    }
    historian.settle().unwrap();
    let manifest = historian.snapshot().manifest;
    let levels: Vec<Level> = manifest.files.iter().map(|file| file.level).collect();
    assert!(levels.len() > 3 && levels.contains(&Level::Hour), "a merged hour and commits of the next: {levels:?}");
    historian.close().unwrap();
}

/// Minutes of one tag, one of them corrected and one taken back later.
fn minutes(folder: &DataFolder, directory: &Arc<Directory>) {
    let own = vec![
        with_role(Field::new("tag", DataType::UInt32, false), "tag"),
        with_unit(Field::new("time_average", DataType::Float64, true), "psig"),
    ];
    let rows = RowType::new(own, &["tag"]);
    let schema = rows.schema.clone();
    let historian = Historian::open(folder, DatasetConfig::new("minutes", DatasetSchema::Rows(rows))).unwrap();
    let put = |epoch: u64, rows: &[(i64, f64, i8)]| {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| START + row.0 * MINUTE));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(times.with_timezone("UTC")),
            Arc::new(UInt32Array::from_value(0, rows.len())),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(UInt16Array::from_value(192, rows.len())),
            Arc::new(StringArray::from(vec![None::<&str>; rows.len()])),
            Arc::new(Int8Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        historian.append(epoch, &Batch::Rows(batch), directory).unwrap();
        historian.end_epoch(epoch, START + epoch as i64 * MINUTE);
        historian.commit().unwrap();
    };
    put(1, &[(0, 1.0, 1), (1, 2.0, 1), (2, 3.0, 1)]);
    put(2, &[(1, 2.0, -1), (1, 2.5, 1)]);
    put(3, &[(2, 3.0, -1)]);
    put(4, &[(0, 1.0, -1)]);
    put(5, &[(0, 1.0, 1)]);
    historian.close().unwrap();
}

const SCRIPT: &str = r#"
import datetime, glob, math, os, sys
os.chdir(sys.argv[1])
import duckdb, pandas, polars, pyarrow.dataset

def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"

total = sum(range(720))
utc = datetime.timezone.utc
first = datetime.datetime(2026, 1, 1, tzinfo=utc)

# DuckDB, with the views.
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(open("views.sql").read())
equal(db.sql("SELECT count(*), count(value) FROM history").fetchall()[0], (1440, 1439), "rows")
equal(db.sql("SELECT sum(value) FROM history WHERE tag = 'WELL-001.THP'").fetchall()[0][0], total, "sum")
equal(db.sql("SELECT quality, checks, value FROM history WHERE tag = 'WELL-001.CHP' AND time = '2026-01-01 00:00:50Z'").fetchall(), [(24, 0, None)], "no reading")
equal(db.sql("SELECT count(*) FROM history WHERE date = DATE '2026-01-01' AND hour = '00'").fetchall()[0][0], 720, "one hour")
types = {name: kind for name, kind, *_ in db.sql("DESCRIBE history").fetchall()}
equal({name: types[name] for name in ("time", "tag", "value", "quality", "checks")},
      {"time": "TIMESTAMP WITH TIME ZONE", "tag": "VARCHAR", "value": "DOUBLE", "quality": "USMALLINT", "checks": "USMALLINT"}, "types")
equal(db.sql("SELECT time_average FROM minutes ORDER BY time").fetchall(), [(1.0,), (2.5,)], "corrected")
equal(db.sql("SELECT count(*) FROM minutes_revisions").fetchall()[0][0], 7, "every revision")
equal(db.sql("SELECT DISTINCT variable, area, flows_to, description_es, dataset FROM history_with_tags ORDER BY ALL").fetchall(),
      [("CHP", "Norte", "SEP-1", "Presión", "history"), ("THP", "Norte", "SEP-1", "Presión", "history")], "joined")
equal(db.sql("SELECT count(*) FROM minutes_with_tags WHERE kind = 'well'").fetchall()[0][0], 2, "joined rows")

# Polars, a folder as it lies.
frame = polars.scan_parquet("datasets/history", hive_partitioning=True)
thp = frame.filter(polars.col("tag") == "WELL-001.THP").collect()
equal((thp.height, thp["value"].sum()), (720, total), "Polars")
equal(thp.schema["time"], polars.Datetime("us", "UTC"), "type of time in Polars")
equal(frame.filter(polars.col("value").is_nan()).collect().height, 1, "NaN in Polars")

# pandas.
frame = pandas.read_parquet("datasets/history")
thp = frame[frame["tag"] == "WELL-001.THP"].sort_values("time")
equal((len(frame), thp["value"].sum()), (1440, total), "pandas")
equal(thp["time"].iloc[0].to_pydatetime(), first, "time in pandas")
equal(str(frame["quality"].dtype), "uint16", "quality in pandas")

# pyarrow, with a filter that prunes.
data = pyarrow.dataset.dataset("datasets/history", format="parquet", partitioning="hive")
table = data.to_table(filter=(pyarrow.dataset.field("tag") == "WELL-001.CHP") & (pyarrow.dataset.field("hour") == 0))
equal(table.num_rows, 360, "pyarrow")
equal(table.column("value").null_count, 1, "nulls in pyarrow")
equal(pyarrow.dataset.dataset("datasets/minutes", format="parquet").to_table().num_rows, 7, "rows in pyarrow")

# Within a file: sorted by tag and time.
for path in glob.glob("datasets/history/*/*/*.parquet"):
    rows = polars.read_parquet(path, hive_partitioning=False).select("tag", "time")
    assert rows.equals(rows.sort("tag", "time")), path
print("read by all")
"#;

#[test]
fn other_programs_read_the_folder_as_it_lies() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let directory = directory();
    history(&data, &directory);
    minutes(&data, &directory);
    write_catalog(&data, &directory, |_| Some("history".to_owned())).unwrap();
    let output = Command::new(&python).args(["-c", SCRIPT]).arg(folder.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
