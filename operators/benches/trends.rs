//! What windows and aligned rows cost per sample, on scans of 10,000 tags: `cargo bench --profile fast --bench trends`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unused_imports)]
#[path = "../src/testing.rs"]
mod testing;

use std::sync::Arc;
use std::time::Instant;

use ducto_graph::operator::Operator;
use ducto_operators::features::align;
use ducto_operators::rows::{calc, filter};
use ducto_operators::trends::aggregate;
use ducto_record::{Batch, Layout, Samples, ValueKind, Values};

use testing::{TestSite, floats};

const TAGS: u32 = 10_000;
const SCANS: i64 = 300;
const START: i64 = 1_700_000_000_000_000;

/// Scans with three Bad samples each, as the reference workload has them.
fn scans(layout: &Arc<Layout>) -> Vec<(i64, Batch)> {
    let mut seed = 1_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    (0..SCANS)
        .map(|second| {
            let values: Vec<f64> = (0..TAGS).map(|_| 100.0 + (random() % 1000) as f64 / 50.0).collect();
            let mut quality = vec![192_u16; TAGS as usize];
            for _ in 0..3 {
                quality[(random() % u64::from(TAGS)) as usize] = 0;
            }
            let time = START + second * 1_000_000;
            let scan = Samples::scan(layout, time, Values::Float64(values.into()), Some(quality.into())).unwrap();
            (time, Batch::Samples(scan))
        })
        .collect()
}

/// The same with 3 % of the samples missing, which leaves no layout.
fn with_gaps(scans: &[(i64, Batch)]) -> Vec<(i64, Batch)> {
    scans
        .iter()
        .map(|(time, batch)| {
            let Batch::Samples(samples) = batch else { panic!("rows") };
            let rows =
                (0..TAGS).filter(|row| !(row * 7 + (*time / 1_000_000) as u32).is_multiple_of(33)).collect::<Vec<_>>();
            (*time, Batch::Samples(samples.take(&rows.into()).unwrap()))
        })
        .collect()
}

fn measure(name: &str, site: &TestSite, operator: &Operator, yaml: &str, input: &[(i64, Batch)]) {
    let node = site.node(operator, yaml, &[floats()]).unwrap();
    let samples: usize = input.iter().map(|(_, batch)| batch.num_rows()).sum();
    let mut best = f64::INFINITY;
    let mut rows = 0;
    for _ in 0..5 {
        let mut driver = node.driver();
        let started = Instant::now();
        for (time, batch) in input {
            driver.entry(*time, vec![batch.clone()]);
        }
        if let Some(end) = driver.transform.closes_at(i64::MAX) {
            driver.entry(end, Vec::new());
        }
        best = best.min(started.elapsed().as_secs_f64());
        rows = driver.emitted.iter().map(|emitted| emitted.batch.num_rows()).sum();
    }
    println!("{name:56} {:7.2} ns a sample, {rows} rows", best * 1e9 / samples as f64);
}

fn main() {
    let names: Vec<String> = (0..TAGS).map(|tag| format!("W{:04}.V{}", tag / 10, tag % 10)).collect();
    let tags: Vec<(&str, ValueKind, &str)> =
        names.iter().map(|name| (name.as_str(), ValueKind::Float64, "psig")).collect();
    let site = TestSite::new(&tags);
    let straight = scans(&Layout::new((0..TAGS).collect()));
    // 7919 and 10,000 have no common divisor: every tag once.
    let shuffled = scans(&Layout::new((0..TAGS).map(|row| (row * 7919) % TAGS).collect()));
    let gaps = with_gaps(&straight);
    let windows = "{every: 1m, outputs: [count, minimum, maximum, average, last]}";
    let aggregate = aggregate::operator();
    measure("aggregate, five outputs", &site, &aggregate, windows, &straight);
    measure("aggregate, five outputs, tags shuffled", &site, &aggregate, windows, &shuffled);
    measure("aggregate, five outputs, 3 % missing", &site, &aggregate, windows, &gaps);
    measure("aggregate, count alone", &site, &aggregate, "{every: 1m, outputs: [count]}", &straight);
    let weighted = "{every: 1m, outputs: [time_average, minimum, maximum, last, percent_good]}";
    measure("aggregate, time average and percent good", &site, &aggregate, weighted, &straight);
    measure("aggregate, time average and percent good, 3 % missing", &site, &aggregate, weighted, &gaps);
    measure("calc, one multiplication", &site, &calc::operator(), "{value: value * 1.02}", &straight);
    measure(
        "filter, by value and quality",
        &site,
        &filter::operator(),
        "{where: value > 0 AND quality >= 192}",
        &straight,
    );
    measure("filter, by asset", &site, &filter::operator(), "{where: \"asset = 'W0001'\"}", &straight);
    measure(
        "align, ten values and one deviation of 1,000 assets",
        &site,
        &align::operator(),
        "{every: 1s, max_age: 30s, columns: {v0: V0, v1: V1, v2: V2, v3: V3, v4: V4, v5: V5, v6: V6, v7: V7, v8: V8, v9: V9, std: {of: V0, std: 1m}}}",
        &straight,
    );
}
