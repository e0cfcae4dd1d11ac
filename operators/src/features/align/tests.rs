#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use ducto_record::{Batch, Checks, Quality, SampleColumns, Samples, ValueKind};
use proptest::prelude::*;

use super::operator;
use crate::testing::{GOOD, TestNode, TestSite, batch, examples_are_right, floats, seconds};

fn site() -> TestSite {
    TestSite::new(&[
        ("A.THP", ValueKind::Float64, "psig"),
        ("A.ESP_CURRENT", ValueKind::Float64, "A"),
        ("A.RUN", ValueKind::Bool, ""),
        ("B.THP", ValueKind::Float64, "kPag"),
        ("C.NAME", ValueKind::Text, ""),
        ("C.FREQ", ValueKind::Float64, "Hz"),
        ("D.FREQ", ValueKind::Float64, "psig"),
        ("E.FLOW", ValueKind::Float64, "stb/d"),
        ("F.FLOW", ValueKind::Float64, ""),
    ])
}

fn node(yaml: &str) -> TestNode {
    site().node(&operator(), yaml, &[floats()]).unwrap()
}

#[test]
fn rows_come_at_ticks_with_reasons_for_what_is_withheld() {
    let node = node("{every: 1s, max_age: 3s, columns: {thp: THP, i: ESP_CURRENT}}");
    assert_eq!(node.unit_of("thp"), Some("psig"));
    let mut driver = node.driver();
    driver.send(0.4, &[("A.THP", 0.4, Some(10.0), GOOD), ("B.THP", 0.4, Some(6894.757 / 1000.0), GOOD)]);
    driver.send(1.0, &[("A.ESP_CURRENT", 1.0, Some(5.0), 64)]);
    assert_eq!(driver.lines(), ["1s A 10 5 64", "1s B 1 null 64 i is missing: the asset has no tag ESP_CURRENT"]);
    driver.send(2.0, &[("A.ESP_CURRENT", 2.0, None, 24), ("A.THP", 0.1, Some(99.0), GOOD)]);
    assert_eq!(driver.drops(), [("out_of_order", 1)]);
    driver.lines();
    driver.advance(4.0);
    assert_eq!(
        driver.lines()[2..],
        [
            "4s A null null 64 thp is older than 3s; i is Bad (COMM_FAILURE)",
            "4s B null null 64 thp is older than 3s; i is missing: the asset has no tag ESP_CURRENT",
        ]
    );
    driver.send(5.0, &[("A.THP", 5.0, Some(1.0), 216), ("A.ESP_CURRENT", 5.0, Some(1.0), GOOD)]);
    assert_eq!(driver.lines()[0], "5s A null 1 64 thp is forced");
}

#[test]
fn windows_are_half_open_and_of_good_samples() {
    let yaml = "{every: 1s, max_age: 5s, columns: {mean: {of: THP, mean: 3s}, std: {of: THP, std: 3s}, slope: {of: THP, slope: 3s}, \
                min: {of: THP, min: 3s}, max: {of: THP, max: 3s}, last: {of: THP, last: 3s}, lag: {of: THP, lag: 3s}, \
                ta: {of: THP, time_average: 3s}, covered: {of: THP, mean: 10s, min_good: 80}}}";
    let node = node(yaml);
    assert_eq!((node.unit_of("mean"), node.unit_of("std"), node.unit_of("slope")), (Some("psig"), None, None));
    let mut driver = node.driver();
    for second in 0..9 {
        let second = f64::from(second);
        let quality = if second == 7.0 { 0 } else { GOOD };
        driver.send(second, &[("A.THP", second, Some(second * second), quality)]);
    }
    let lines = driver.lines();
    // Of (2, 5]: 9, 16, 25.
    assert_eq!(
        lines[5],
        "5s A 16.666666667 8.020806277 8 9 25 25 4 13.166666667 null 64 covered has 50 % good data, and 80 % are needed"
    );
    // Of (5, 8]: 36 and 64; the second from 7 to 8 is Bad.
    assert!(lines[8].starts_with("8s A 50 19.798989873 14 36 64 64 25 "), "{}", lines[8]);
}

#[test]
fn booleans_stay_booleans() {
    let node = site()
        .node(
            &operator(),
            "{every: 1s, max_age: 3s, columns: {run: RUN}}",
            &[ducto_record::StreamType::Samples(vec![ValueKind::Bool])],
        )
        .unwrap();
    let mut driver = node.driver();
    driver.send(1.0, &[("A.RUN", 1.0, Some(1.0), GOOD)]);
    assert_eq!(driver.lines(), ["1s A true 192"]);
}

#[test]
fn an_asset_that_is_silent_for_an_hour_gives_no_rows() {
    let mut driver = node("{every: 10m, max_age: 1m, columns: {thp: THP}}").driver();
    driver.send(600.0, &[("A.THP", 600.0, Some(1.0), GOOD)]);
    driver.advance(1_000_000.0);
    assert_eq!(driver.lines().len(), 7);
    assert_eq!(driver.transform.next_deadline(), None);
    driver.send(1_000_001.0, &[("A.THP", 1_000_001.0, Some(1.0), GOOD)]);
    assert_eq!(driver.transform.next_deadline(), Some(1_000_200_000_000));
}

/// A row as `quality` makes it for a silent tag.
fn silence(tag: u32, time: f64) -> Batch {
    let Batch::Samples(samples) = batch(&[tag], &[seconds(time)], &[None], &[Quality::COMM_FAILURE.0]) else {
        panic!("rows")
    };
    let columns = SampleColumns {
        times: samples.times().clone(),
        tags: vec![tag].into(),
        values: samples.values().clone(),
        quality: vec![Quality::COMM_FAILURE.0].into(),
        checks: vec![Checks::STALE.0].into(),
    };
    Batch::Samples(Samples::new(columns).unwrap())
}

#[test]
fn what_the_device_says_after_a_silence_counts_whatever_its_clock() {
    let node = node("{every: 10s, max_age: 30s, columns: {thp: THP, mean: {of: THP, mean: 10s, min_good: 50}}}");
    for (slow, restart) in [(10.0, false), (10.0, true), (0.0, false), (-4.0, true)] {
        let mut driver = node.driver();
        driver.send(11.0, &[("A.THP", 11.0 - slow, Some(1.0), GOOD)]);
        for second in 14..18 {
            driver.entry(seconds(f64::from(second)), vec![silence(0, f64::from(second))]);
        }
        if restart {
            let mut again = node.driver();
            driver.restore_into(&mut again);
            driver = again;
        }
        // A little slower than before.
        driver.send(18.0, &[("A.THP", 17.5 - slow, Some(2.0), GOOD)]);
        driver.send(19.0, &[("A.THP", 18.5 - slow, Some(3.0), GOOD)]);
        driver.send(20.0, &[("A.THP", 19.5 - slow, Some(4.0), GOOD)]);
        assert_eq!(driver.drops(), [], "{slow}");
        let line = driver.lines().pop().unwrap();
        // What is ahead of the engine's clock is not there yet.
        let shown = if slow < 0.0 { "20s A null" } else { "20s A 4" };
        assert!(line.starts_with(shown), "{slow} {line}");
    }
}

#[test]
fn a_clock_that_was_ahead_and_is_put_right_is_no_measure() {
    let mut driver = node("{every: 1s, max_age: 30s, columns: {thp: THP}}").driver();
    driver.send(0.0, &[("A.THP", 60.0, Some(1.0), GOOD)]);
    driver.send(1.0, &[("A.THP", 1.0, Some(2.0), GOOD)]);
    driver.send(2.0, &[("A.THP", 0.5, Some(3.0), GOOD)]);
    assert_eq!(driver.drops(), [("out_of_order", 1)]);
    assert_eq!(driver.lines(), ["0s A null 64 thp has no value yet", "1s A 2 192", "2s A 2 192"]);
}

#[test]
fn mistakes_are_reported() {
    let wrong = |columns: &str| {
        site().node(&operator(), &format!("{{every: 1s, max_age: 3s, columns: {columns}}}"), &[floats()]).err().unwrap()
    };
    insta::assert_snapshot!(
        [
            "{}",
            "{thp: TPH}",
            "{asset: THP}",
            "{name: NAME}",
            "{freq: FREQ}",
            "{flow: FLOW}",
            "{a: {of: THP, mean: 1m, std: 1m}}",
            "{a: {of: THP, mean: 0s}}",
            "{a: {of: THP, unit: psgi}}",
            "{a: {of: THP, unit: Hz}}",
            "{a: {of: THP, median: 1m}}",
        ]
        .map(wrong)
        .join("\n")
    );
}

#[test]
fn examples() {
    examples_are_right(&site(), &operator(), &[floats()]);
}

type Step = (f64, Vec<(usize, f64, Option<f64>, u16)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sample = (
        0usize..2,
        prop_oneof![8 => Just(0.0), 1 => -3.0..3.0f64],
        prop_oneof![9 => (-100.0..100.0f64).prop_map(Some), 1 => Just(None), 1 => Just(Some(f64::NAN))],
        prop_oneof![8 => Just(GOOD), 1 => Just(64u16), 1 => Just(0u16), 1 => Just(216u16)],
    );
    prop::collection::vec((0.0..2.5f64, prop::collection::vec(sample, 0..4)), 1..40)
}

proptest! {
    #[test]
    fn figures_are_those_of_a_plain_recomputation(steps in steps(), cuts in prop::collection::vec(0usize..4, 5), restart in 0usize..40) {
        let node = node("{every: 1s, max_age: 4s, columns: {std: {of: THP, std: 7s}, mean: {of: THP, mean: 7s}, thp: THP}}");
        let (mut driver, mut cut) = (node.driver(), node.driver());
        let tags = ["A.THP", "B.THP"];
        let mut arrived: Vec<(usize, i64, f64, u16)> = Vec::new();
        let mut newest = [i64::MIN; 2];
        let mut now = 100.0;
        for (index, (moved, samples)) in steps.iter().enumerate() {
            now = ((now + moved) * 1e6_f64).round() / 1e6;
            let given: Vec<_> = samples.iter().map(|(tag, off, value, quality)| (tags[*tag], now - off, *value, *quality)).collect();
            if index == restart {
                let mut again = node.driver();
                cut.restore_into(&mut again);
                again.emitted = std::mem::take(&mut cut.emitted);
                cut = again;
            }
            // Ticks before this entry see what came before it.
            driver.advance(now - 1e-6);
            check(&driver.emitted, &arrived)?;
            driver.emitted.clear();
            driver.send(now, &given);
            let at = cuts[index % cuts.len()].min(given.len());
            let parts = vec![cut.samples(&given[..at]), cut.samples(&given[at..])];
            cut.entry(seconds(now) - 1, vec![]);
            cut.entry(seconds(now), parts);
            for (tag, off, value, quality) in samples {
                let time = seconds(now - off);
                if time >= newest[*tag] {
                    newest[*tag] = time;
                    arrived.push((*tag, time, value.unwrap_or(f64::NAN), *quality));
                }
            }
            check(&driver.emitted, &arrived)?;
            let lines = driver.lines();
            let others = cut.lines();
            prop_assert!(others.ends_with(&lines), "{:?} {:?}", lines, others);
        }
    }

    #[test]
    fn no_sample_panics(samples in prop::collection::vec((0u32..4, any::<i64>(), any::<Option<f64>>(), any::<u16>()), 0..20), now in any::<i64>()) {
        let mut driver = node("{every: 10m, max_age: 3s, columns: {std: {of: THP, std: 7s}, lag: {of: THP, lag: 7d}, thp: THP}}").driver();
        driver.entry(now, vec![batch(
            &samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
            &samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
            &samples.iter().map(|sample| sample.2).collect::<Vec<_>>(),
            &samples.iter().map(|sample| sample.3).collect::<Vec<_>>(),
        )]);
        driver.entry(now.saturating_add(1), vec![]);
    }
}

/// Rows against all samples that have arrived, looked at from the beginning.
fn check(emitted: &[ducto_graph::operator::Emitted], arrived: &[(usize, i64, f64, u16)]) -> Result<(), TestCaseError> {
    for emitted in emitted {
        let Batch::Rows(rows) = &emitted.batch else { panic!("samples") };
        let column = |index: usize| rows.column(index).as_primitive::<Float64Type>();
        let assets = rows.column(1).as_primitive::<arrow::datatypes::UInt32Type>();
        for row in 0..rows.num_rows() {
            let asset = assets.value(row) as usize;
            let scale = if asset == 0 { 1.0 } else { 1000.0 / 6894.757 };
            let mine: Vec<_> = arrived.iter().filter(|sample| sample.0 == asset && sample.1 <= emitted.stamp).collect();
            let good: Vec<f64> = mine
                .iter()
                .filter(|sample| sample.1 > emitted.stamp - 7_000_000 && sample.3 == GOOD && sample.2.is_finite())
                .map(|sample| sample.2)
                .collect();
            let n = good.len() as f64;
            let mean = good.iter().sum::<f64>() / n;
            let std = (good.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            prop_assert_eq!(column(2).is_valid(row), n > 1.0);
            if n > 1.0 {
                prop_assert!((column(2).value(row) - std * scale).abs() <= 1e-12 * (1.0 + std));
            }
            if n > 0.0 {
                prop_assert!((column(3).value(row) - mean * scale).abs() <= 1e-12 * (1.0 + mean.abs()));
            }
            let usable = mine.last().filter(|sample| {
                emitted.stamp - sample.1 <= 4_000_000 && sample.3 != 216 && sample.3 & 0x40 != 0 && sample.2.is_finite()
            });
            prop_assert_eq!(column(4).is_valid(row), usable.is_some());
        }
    }
    Ok(())
}
