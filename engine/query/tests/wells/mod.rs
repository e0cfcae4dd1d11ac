//! Three wells, their history and the means of their minutes.

#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int8Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use ducto_query::{Folder, Session};
use ducto_record::time::MINUTE;
use ducto_record::{Asset, Batch, Directory, Layout, RowType, Samples, Tag, ValueKind, Values, with_role};
use ducto_storage::{DatasetConfig, DatasetSchema, Historian};

pub(crate) const START: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
pub(crate) const MEMORY: usize = 64 << 20;

pub(crate) fn directory() -> Arc<Directory> {
    let mut builder = Directory::builder();
    for well in 1..=3 {
        let asset = builder.asset(Asset {
            name: format!("WELL-{well:03}").into(),
            kind: "well".into(),
            columns: [("area".to_owned(), "Norte".to_owned())].into(),
        });
        for variable in ["THP", "CHP"] {
            let tag = Tag::named(&format!("WELL-{well:03}.{variable}"), ValueKind::Float64);
            builder.tag(Tag { asset: Some(asset), ..tag });
        }
    }
    Arc::new(builder.build())
}

pub(crate) fn samples(name: &str) -> DatasetConfig {
    DatasetConfig::new(name, DatasetSchema::Samples(ValueKind::Float64))
}

pub(crate) fn minutes_type() -> RowType {
    let own =
        vec![with_role(Field::new("tag", DataType::UInt32, false), "tag"), Field::new("mean", DataType::Float64, true)];
    RowType::new(own, &["tag"])
}

/// Tag, minute, mean, diff.
pub(crate) fn minutes(rows: &[(u32, i64, f64, i8)]) -> Batch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| START + row.1 * MINUTE));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(UInt16Array::from_value(192, rows.len())),
        Arc::new(StringArray::from(vec![None::<&str>; rows.len()])),
        Arc::new(Int8Array::from_iter_values(rows.iter().map(|row| row.3))),
    ];
    Batch::Rows(RecordBatch::try_new(minutes_type().schema, columns).unwrap())
}

/// One entry a minute: all six tags at one time.
pub(crate) fn feed(historian: &Historian, directory: &Arc<Directory>, epochs: std::ops::RangeInclusive<u64>) {
    let layout = Layout::new((0..6).collect());
    for epoch in epochs {
        let time = START + epoch as i64 * MINUTE;
        let values = (0..6).map(|tag| f64::from(tag) * 1000.0 + epoch as f64).collect::<Vec<_>>();
        let scan = Samples::scan(&layout, time, Values::Float64(values.into()), None).unwrap();
        historian.append(epoch, &Batch::Samples(scan), directory).unwrap();
        historian.end_epoch(epoch, time);
    }
}

pub(crate) fn folder(data: &Path) -> Session {
    Session::new(Arc::new(Folder::open(data).unwrap()), MEMORY).unwrap()
}

pub(crate) async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    session.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).collect().await.unwrap()
}

pub(crate) async fn text(session: &Session, sql: &str) -> String {
    pretty_format_batches(&rows(session, sql).await).unwrap().to_string()
}

pub(crate) async fn number(session: &Session, sql: &str) -> i64 {
    rows(session, sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
}
