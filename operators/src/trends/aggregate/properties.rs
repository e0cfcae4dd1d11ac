//! Windows against plain references: every sample of a tag, looked at again for every window.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int8Type, TimestampMicrosecondType, UInt32Type};
use ducto_record::{Batch, Layout, Quality, Samples, ValueKind, Values};
use proptest::prelude::*;

use super::{Output, operator};
use crate::testing::{Driver, GOOD, TestSite, batch, floats, seconds};

use super::tests::node;

/// Tag, time, value, quality.
type Sample = (usize, i64, Option<f64>, u16);

/// Engine time, and what comes then.
type Entry = (i64, Vec<Sample>);

/// How far the clock moves, and the samples (tag, how late, value, quality).
type Step = (f64, Vec<(usize, f64, Option<f64>, u16)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let late = || prop_oneof![6 => Just(0.0), 1 => 0.0..200.0f64];
    let value = || prop_oneof![8 => (-2i32..4).prop_map(|v| Some(f64::from(v))), 1 => Just(None), 1 => Just(Some(f64::NAN)), 1 => Just(Some(f64::INFINITY))];
    let quality = || prop_oneof![6 => Just(GOOD), 1 => Just(64u16), 1 => Just(0u16), 1 => Just(216u16)];
    let samples = prop::collection::vec((0usize..3, late(), value(), quality()), 0..6);
    // All tags at one time.
    let scan = (late(), prop::collection::vec((value(), quality()), 3))
        .prop_map(|(late, rows)| (0..).zip(rows).map(|(tag, (value, quality))| (tag, late, value, quality)).collect());
    let moved = prop_oneof![4 => 0.0..5.0f64, 1 => 20.0..90.0f64, 1 => Just(0.0)];
    prop::collection::vec((moved, prop_oneof![samples, scan]), 1..40)
}

/// The steps with times in µs.
fn timed(steps: &[Step]) -> Vec<Entry> {
    let mut now = 600_000_000;
    steps
        .iter()
        .map(|(moved, samples)| {
            now += seconds(*moved);
            let samples = samples
                .iter()
                .map(|(tag, late, value, quality)| (*tag, now - seconds(*late), *value, *quality))
                .collect();
            (now, samples)
        })
        .collect()
}

fn batch_of(samples: &[Sample]) -> Batch {
    batch(
        &samples.iter().map(|sample| sample.0 as u32).collect::<Vec<_>>(),
        &samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
        &samples.iter().map(|sample| sample.2).collect::<Vec<_>>(),
        &samples.iter().map(|sample| sample.3).collect::<Vec<_>>(),
    )
}

const END: i64 = 100_000_000_000;

/// What is left of the rows once corrections are taken off: by window and tag, the numbers and the quality.
fn consolidated(rows: &[RecordBatch]) -> BTreeMap<(i64, u32), Vec<Option<f64>>> {
    let mut left = BTreeMap::new();
    for rows in rows {
        let columns: Vec<Float64Array> = rows
            .columns()
            .iter()
            .skip(2)
            .take(rows.num_columns() - 4)
            .map(|column| match cast(column, &DataType::Float64) {
                Ok(column) => column.as_primitive::<Float64Type>().clone(),
                Err(_) => column
                    .as_primitive::<TimestampMicrosecondType>()
                    .iter()
                    .map(|time| time.map(|time| time as f64))
                    .collect(),
            })
            .collect();
        let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        let tags = rows.column(1).as_primitive::<UInt32Type>();
        let diffs = rows.column(rows.num_columns() - 1).as_primitive::<Int8Type>();
        for row in 0..rows.num_rows() {
            let values: Vec<Option<f64>> =
                columns.iter().map(|column| column.is_valid(row).then(|| column.value(row))).collect();
            let key = (times.value(row), tags.value(row));
            if diffs.value(row) > 0 {
                assert!(left.insert(key, values).is_none(), "a row is given twice");
            } else {
                assert_eq!(left.remove(&key).as_ref(), Some(&values), "a row is taken back that was not given");
            }
        }
    }
    left
}

/// What all samples come to, however they came: the outputs by window and tag, and the quality.
fn reference(samples: &[Sample], every: i64, mask: u16, sloped: bool) -> BTreeMap<(i64, u32), Vec<Option<f64>>> {
    let mut rows = BTreeMap::new();
    for tag in 0..3 {
        let arrived: Vec<(i64, f64, u16, bool)> = samples
            .iter()
            .filter(|sample| sample.0 == tag)
            .map(|(_, time, value, quality)| {
                let value = value.unwrap_or(f64::NAN);
                (*time, value, *quality, quality & mask == mask && value.is_finite())
            })
            .collect();
        let mut sorted = arrived.clone();
        sorted.sort_by_key(|sample| sample.0);
        let starts: BTreeSet<i64> = arrived.iter().filter(|s| s.3).map(|s| s.0 - s.0.rem_euclid(every)).collect();
        for start in starts {
            let end = start + every;
            let inside = |sample: &&(i64, f64, u16, bool)| sample.0 >= start && sample.0 < end;
            let all: Vec<_> = sorted.iter().filter(inside).collect();
            let good: Vec<_> = all.iter().filter(|sample| sample.3).collect();
            let n = good.len() as f64;
            let mean = good.iter().map(|s| s.1).sum::<f64>() / n;
            let least = good.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
            let most = good.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
            let when = |value: f64| good.iter().find(|s| s.1 == value).unwrap().0 as f64;
            let deviation =
                (n > 1.0).then(|| (good.iter().map(|s| (s.1 - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
            let worst = arrived.iter().filter(inside).fold(None, |worst: Option<Quality>, s| {
                Some(worst.map_or(Quality(s.2), |worst| worst.worst(Quality(s.2))))
            });
            let worst_good = arrived.iter().filter(inside).filter(|s| s.3).fold(None, |worst: Option<Quality>, s| {
                Some(worst.map_or(Quality(s.2), |worst| worst.worst(Quality(s.2))))
            });
            let (mut integral, mut duration, mut nonzero, mut transitions) = (0.0, 0, 0, 0);
            let mut before: Option<f64> = None;
            for (index, sample) in sorted.iter().enumerate() {
                if sample.3 {
                    if sample.0 >= start && sample.0 < end && before.is_some_and(|b| (b == 0.0) != (sample.1 == 0.0)) {
                        transitions += 1;
                    }
                    before = Some(sample.1);
                    let next = sorted.get(index + 1);
                    let (since, until) = (sample.0.max(start), next.map_or(end, |next| next.0).min(end));
                    let length = (until - since).max(0);
                    // Where a line goes to the next value, the one in the middle of what lies in the window.
                    let held = match next {
                        Some(next) if sloped && next.3 => {
                            let middle = (since + until) as f64 / 2.0 - sample.0 as f64;
                            sample.1 + (next.1 - sample.1) * middle / ((next.0 - sample.0) as f64).max(1.0)
                        }
                        _ => sample.1,
                    };
                    integral += held * length as f64;
                    duration += length;
                    nonzero += if sample.1 == 0.0 { 0 } else { length };
                }
            }
            let edge = |sample: &(i64, f64, u16, bool)| sample.3.then_some(sample.1);
            let quality = worst_good.unwrap().0;
            rows.insert(
                (start, tag as u32),
                vec![
                    Some(mean),
                    (duration > 0).then(|| integral / duration as f64),
                    (duration > 0).then(|| integral / 1e6),
                    Some(least),
                    Some(when(least)),
                    Some(most),
                    Some(when(most)),
                    Some(most - least),
                    Some(n),
                    edge(all[0]),
                    edge(all[all.len() - 1]),
                    Some(good[0].1),
                    Some(good[0].0 as f64),
                    Some(good[good.len() - 1].1),
                    Some(good[good.len() - 1].0 as f64),
                    Some(good[good.len() - 1].1 - good[0].1),
                    Some(duration as f64 / 1e6),
                    Some(100.0 * duration as f64 / every as f64),
                    Some(f64::from(transitions)),
                    Some((duration - nonzero) as f64 / 1e6),
                    Some(nonzero as f64 / 1e6),
                    deviation,
                    worst.map(|worst| f64::from(worst.0)),
                    Some(f64::from(quality)),
                ],
            );
        }
    }
    rows
}

fn all_outputs(every: &str, rest: &str) -> String {
    let names: Vec<&str> = Output::ALL.iter().map(|output| output.name()).collect();
    format!("{{every: {every}, outputs: [{}], {rest}}}", names.join(", "))
}

/// The rows that left by the main port.
fn main_rows(driver: &mut Driver) -> Vec<RecordBatch> {
    let emitted = std::mem::take(&mut driver.emitted).into_iter().filter(|emitted| emitted.port == 0);
    emitted.filter_map(|emitted| if let Batch::Rows(rows) = emitted.batch { Some(rows) } else { None }).collect()
}

/// Gives a node all entries and moves the clock past the last window.
fn run(yaml: &str, entries: &[Entry]) -> Vec<RecordBatch> {
    let mut driver = node(yaml).driver();
    for (now, samples) in entries {
        driver.entry(*now, vec![batch_of(samples)]);
    }
    driver.entry(END, vec![]);
    main_rows(&mut driver)
}

fn is_near(given: Option<f64>, wanted: Option<f64>) -> bool {
    match (given, wanted) {
        (Some(given), Some(wanted)) => (given - wanted).abs() <= 1e-9 * (1.0 + wanted.abs()),
        (given, wanted) => given == wanted,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_are_those_of_a_slow_reference(
        steps in steps(), every in 0usize..4, usable in any::<bool>(), sloped in any::<bool>(),
    ) {
        let (name, every) = [("7s", 7_000_000), ("1m", 60_000_000), ("90s", 90_000_000), ("10m", 600_000_000)][every];
        let accept = if usable { "usable" } else { "good" };
        let interpolation = if sloped { "sloped" } else { "stepped" };
        let entries = timed(&steps);
        let given = run(&all_outputs(name, &format!("accept: {accept}, interpolation: {interpolation}")), &entries);
        let given = consolidated(&given);
        let all: Vec<_> = entries.into_iter().flat_map(|(_, samples)| samples).collect();
        let wanted = reference(&all, every, if usable { 0x40 } else { 0xC0 }, sloped);
        prop_assert_eq!(given.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (key, wanted) in &wanted {
            for (index, (given, wanted)) in given[key].iter().zip(wanted).enumerate() {
                prop_assert!(is_near(*given, *wanted), "{:?} {} {:?} {:?}", key, index, given, wanted);
            }
        }
    }

    #[test]
    fn totals_of_windows_are_the_total_of_all_their_time(
        samples in prop::collection::vec((1.0..55.0f64, -50.0..50.0f64, prop_oneof![9 => Just(GOOD), 1 => Just(0u16)], prop_oneof![6 => Just(0.0), 1 => 0.0..150.0f64]), 1..60),
        sloped in any::<bool>(),
    ) {
        let mut time = 600.0;
        let mut entries = Vec::new();
        for (step, value, quality, late) in &samples {
            time += step;
            entries.push((seconds(time + late), vec![(0, seconds(time), Some(*value), *quality)]));
        }
        // From a last value on nothing is known, so that none holds until the end of a window.
        let end = seconds(time + 1.0);
        entries.push((seconds(time + 200.0), vec![(0, end, Some(1.0), GOOD), (0, end, None, 0)]));
        entries.sort_by_key(|(now, _)| *now);
        let yaml = |every: &str| {
            let interpolation = if sloped { "sloped" } else { "stepped" };
            format!("{{every: {every}, interpolation: {interpolation}, outputs: [total, duration_good]}}")
        };
        let minutes = consolidated(&run(&yaml("1m"), &entries));
        // A minute without a row has no total.
        let all = minutes.keys().zip(minutes.keys().skip(1)).all(|(a, b)| b.0 - a.0 == 60_000_000);
        prop_assume!(all);
        let sum = |rows: &BTreeMap<(i64, u32), Vec<Option<f64>>>, column: usize| {
            rows.values().map(|row| row[column].unwrap_or_default()).sum::<f64>()
        };
        for every in ["10m", "1d"] {
            let longer = consolidated(&run(&yaml(every), &entries));
            for column in 0..2 {
                prop_assert!(is_near(Some(sum(&minutes, column)), Some(sum(&longer, column))), "{:?} {:?}", minutes, longer);
            }
        }
    }

    #[test]
    fn what_comes_in_time_is_never_corrected(
        values in prop::collection::vec((-5i32..5, -5i32..5, prop_oneof![9 => Just(GOOD), 1 => Just(0u16)]), 1..300),
        sloped in any::<bool>(),
    ) {
        let interpolation = if sloped { "sloped" } else { "stepped" };
        let mut driver = node(&all_outputs("10s", &format!("interpolation: {interpolation}"))).driver();
        for (second, (a, b, quality)) in (600..).zip(&values) {
            // The scan crosses the end of a window within `wait`.
            let time = f64::from(second) + 0.7;
            let samples =
                [("A.P", time, Some(f64::from(*a)), *quality), ("B.P", time, Some(f64::from(*b)), GOOD)];
            driver.send(time, &samples);
        }
        driver.entry(END, vec![]);
        for rows in main_rows(&mut driver) {
            let diffs = rows.column(rows.num_columns() - 1).as_primitive::<Int8Type>().clone();
            prop_assert!(diffs.values().iter().all(|diff| *diff > 0));
        }
    }

    #[test]
    fn rows_of_a_tag_do_not_depend_on_other_tags(steps in steps(), every in 0usize..3, sloped in any::<bool>()) {
        let interpolation = if sloped { "sloped" } else { "stepped" };
        let yaml = all_outputs(["7s", "1m", "10m"][every], &format!("interpolation: {interpolation}, cutoff: 3m"));
        let entries = timed(&steps);
        let together = consolidated(&run(&yaml, &entries));
        let mut apart = BTreeMap::new();
        for tag in 0..3 {
            let mut entries = entries.clone();
            for (_, samples) in &mut entries {
                samples.retain(|sample| sample.0 == tag);
            }
            apart.append(&mut consolidated(&run(&yaml, &entries)));
        }
        prop_assert_eq!(together, apart);
    }

    #[test]
    fn cuts_and_restarts_change_nothing(
        steps in steps(), every in 0usize..3, sloped in any::<bool>(), cuts in prop::collection::vec(0usize..6, 8), restart in 0usize..40,
    ) {
        let name = ["7s", "1m", "10m"][every];
        let rest = if sloped { "interpolation: sloped, cutoff: 1m" } else { "accept: usable, percent_good: 50, cutoff: 1m" };
        let node = node(&all_outputs(name, rest));
        let (mut whole, mut cut, mut restarted) = (node.driver(), node.driver(), node.driver());
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for (index, (now, samples)) in timed(&steps).iter().enumerate() {
            whole.entry(*now, vec![batch_of(samples)]);
            let at = cuts[index % cuts.len()].min(samples.len());
            cut.entry(*now, vec![batch_of(&samples[..at]), batch_of(&samples[at..])]);
            restarted.entry(*now, vec![batch_of(samples)]);
            let late = |driver: &Driver| driver.emitted.iter().filter(|emitted| emitted.port == 1).map(|e| e.batch.num_rows()).sum::<usize>();
            prop_assert_eq!(late(&whole), late(&cut));
            prop_assert_eq!(late(&whole), late(&restarted));
            let given = main_rows(&mut whole);
            prop_assert_eq!(&given, &main_rows(&mut cut));
            expected.extend(given);
            found.extend(main_rows(&mut restarted));
            if index == restart || restart == 0 {
                let mut again = node.driver();
                restarted.restore_into(&mut again);
                restarted = again;
            }
        }
        whole.entry(END, vec![]);
        restarted.entry(END, vec![]);
        expected.extend(main_rows(&mut whole));
        found.extend(main_rows(&mut restarted));
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn no_sample_panics(samples in prop::collection::vec(
        (0u32..3, prop_oneof![any::<i64>(), -5i64..5, Just(i64::MAX), Just(i64::MIN)], any::<Option<f64>>(), any::<u16>()), 0..20),
        now in prop_oneof![any::<i64>(), Just(i64::MAX / 2), Just(0i64)],
    ) {
        for every in ["1s", "1h", "contract_day", "month"] {
            let mut driver = node(&all_outputs(every, "accept: usable")).driver();
            let batch = |samples: &[(u32, i64, Option<f64>, u16)]| batch(
                &samples.iter().map(|sample| sample.0).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.2).collect::<Vec<_>>(),
                &samples.iter().map(|sample| sample.3).collect::<Vec<_>>(),
            );
            driver.entry(now.max(1), vec![batch(&samples)]);
            driver.entry(now.max(1).saturating_add(1), vec![batch(&samples)]);
        }
    }
}

/// The input of the reference workload: tag and second to value and quality.
fn field_day(tag: u64, second: u64) -> (f64, u16) {
    let mix = |x: u64| {
        let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let hash = |second: u64| mix((tag << 32) | second);
    let formula = |second: u64| {
        let u = (hash(second) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0) * 2.0 - 1.0;
        (100 + tag % 50) as f64 + 10.0 * (2.0 * std::f64::consts::PI * ((second + tag) % 600) as f64 / 600.0).sin() + u
    };
    let h = hash(second);
    let frozen = tag.is_multiple_of(97) && (120..240).contains(&second);
    let mut value = formula(if frozen { 120 } else { second });
    if tag.is_multiple_of(31) && (300..420).contains(&second) {
        value += 60.0;
    }
    if h.is_multiple_of(10007) {
        value += 500.0;
    }
    if h % 10009 == 1 {
        value += 150.0;
    }
    (value, if h % 5003 == 2 { 0 } else { GOOD })
}

#[test]
fn a_field_day_has_the_windows_of_a_plain_loop() {
    const START: i64 = 1_700_000_000_000_000;
    let tags: Vec<String> = (0..100).map(|tag| format!("T{tag}.V")).collect();
    let site = TestSite::new(&tags.iter().map(|tag| (tag.as_str(), ValueKind::Float64, "")).collect::<Vec<_>>());
    let mut driver = site
        .node(&operator(), "{every: 1m, outputs: [count, minimum, maximum, average, last]}", &[floats()])
        .unwrap()
        .driver();
    // Tags in another order than their numbers.
    let layout = Layout::new((0..100).map(|k| (k * 37) % 100).collect());
    let mut wanted: BTreeMap<(i64, u32), (u32, f64)> = BTreeMap::new();
    let mut last_good = [None::<f64>; 100];
    let mut repeats = [(0u64, 0u32); 100];
    for second in 0..600u64 {
        let time = START + second as i64 * 1_000_000;
        let mut row: Vec<(f64, u16)> = vec![(0.0, 0); 100];
        for tag in 0..100usize {
            // The checks of the reference pipeline before it aggregates.
            let (value, mut quality) = field_day(tag as u64, second);
            if quality == GOOD && !(0.0..=400.0).contains(&value) {
                quality = 0;
            }
            if quality == GOOD && last_good[tag].is_some_and(|last| (value - last).abs() > 100.0) {
                quality = 0;
            }
            if quality == GOOD {
                last_good[tag] = Some(value);
            }
            let run = if second > 0 && repeats[tag].0 == value.to_bits() { repeats[tag].1 + 1 } else { 0 };
            repeats[tag] = (value.to_bits(), run);
            if run >= 60 && quality == GOOD {
                quality = 64;
            }
            row[tag] = (value, quality);
            if quality == GOOD {
                let (count, sum) = wanted.entry((time - time.rem_euclid(60_000_000), tag as u32)).or_default();
                *count += 1;
                *sum += value;
            }
        }
        let ordered: Vec<(f64, u16)> = layout.tags.iter().map(|tag| row[*tag as usize]).collect();
        let values = Values::Float64(ordered.iter().map(|row| row.0).collect::<Vec<_>>().into());
        let quality = ordered.iter().map(|row| row.1).collect::<Vec<_>>().into();
        driver.entry(time, vec![Batch::Samples(Samples::scan(&layout, time, values, Some(quality)).unwrap())]);
    }
    driver.entry(START + 700_000_000, vec![]);
    let rows = consolidated(&main_rows(&mut driver));
    assert_eq!(rows.len(), 1100);
    let mut means = 0.0;
    for (key, (count, sum)) in &wanted {
        let row = &rows[key];
        assert_eq!(row[0], Some(f64::from(*count)));
        assert_eq!(row[3], Some(sum / f64::from(*count)), "a window's sum is made in the order of its rows");
        means += row[3].unwrap();
    }
    assert!((means - 137_891.807_853).abs() < 1e-5, "{means}");
}
