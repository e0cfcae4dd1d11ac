//! Each check by itself, then all of them against a slow reference, cuts and restarts.

use ducto_record::{Batch, Checks, Layout, Samples, Values};

use super::testing::{Bed, Driver, Given, sample, seconds};

fn run(tags: &str, samples: &[Given]) -> Vec<String> {
    let mut driver = Bed::new(tags).driver("quality", "");
    for given in samples {
        driver.send(given.time as f64 / 1e6, std::slice::from_ref(given));
    }
    driver.lines()
}

/// Samples one second apart, from second 0.
fn series(tag: &str, values: &[f64]) -> Vec<Given> {
    values.iter().enumerate().map(|(at, value)| sample(tag, at as f64, *value)).collect()
}

/// `quality checks` of each line.
fn verdicts(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned()).collect()
}

#[test]
fn range_knows_span_envelope_nan_and_integers() {
    let tags = "
W.P: {span: [0, 400], envelope: [10, 300]}
W.N: {as: int64, span: [0, 400]}
W.F: {}
";
    let lines = run(
        tags,
        &[
            sample("W.P", 0.0, 400.0),
            sample("W.P", 1.0, 400.5),
            sample("W.P", 2.0, 10.0),
            sample("W.P", 3.0, -1.0).quality(68),
            sample("W.P", 4.0, 350.0).quality(68),
            sample("W.P", 5.0, f64::NAN),
            sample("W.P", 6.0, -5.0).quality(24),
            sample("W.N", 7.0, i64::MIN),
            sample("W.N", 8.0, 400),
            sample("W.F", 9.0, f64::INFINITY),
            sample("W.F", 10.0, f64::MAX),
        ],
    );
    assert_eq!(
        verdicts(&lines),
        [
            "84 envelope",
            "16 range",
            "192",
            "16 range",
            "68 envelope",
            "0 range",
            "24",
            "16 range",
            "192",
            "0 range",
            "192"
        ]
    );
}

#[test]
fn a_jump_is_measured_from_the_last_good_value_and_rearms() {
    let tags = "W.P: {checks: {jump: 50}}";
    let lines = run(tags, &series("W.P", &[10.0, 60.0, 200.0, 110.0, 200.0, 210.0, 205.0, 200.0, 201.0, 199.0, 10.0]));
    // The second level is taken for good after five rejections that agree: the sixth passes.
    assert_eq!(
        verdicts(&lines),
        ["192", "192", "0 jump", "192", "0 jump", "0 jump", "0 jump", "0 jump", "0 jump", "192", "0 jump"]
    );
}

#[test]
fn a_bad_first_value_locks_the_tag_out_only_where_that_is_asked_for() {
    let values = [900.0, 10.0, 11.0, 12.0, 11.0, 10.0, 11.0, 12.0];
    let rearmed = run("W.P: {checks: {jump: {limit: 100}}}", &series("W.P", &values));
    assert_eq!(verdicts(&rearmed)[5..], ["0 jump", "192", "192"]);
    let never = run("W.P: {checks: {jump: {limit: 100, rearm: never, as: 64}}}", &series("W.P", &values));
    assert_eq!(verdicts(&never)[5..], ["64 jump", "64 jump", "64 jump"]);
}

#[test]
fn a_spike_is_far_from_the_median_of_the_last_samples() {
    let tags = "W.P: {checks: {spike: {min: 5, window: 5}}}";
    let values = [10.0, 10.0, 10.0, 90.0, 10.0, 10.0, 10.0, 10.0, 15.0, 15.1, 10.0, 10.0, 10.0, 10.0, 90.0, 90.0, 90.0];
    let lines = run(tags, &series("W.P", &values));
    // Nothing before the window is full; 15 is within `min`; a step passes once it is the median.
    let spikes: Vec<usize> = (0..values.len()).filter(|&at| verdicts(&lines)[at] == "88 spike").collect();
    assert_eq!(spikes, [9, 14, 15]);
}

#[test]
fn the_differential_test_holds_each_sample_until_the_next() {
    let bed = Bed::new("W.P: {checks: {spike: {differential: 10}}}");
    let mut driver = bed.driver("quality", "");
    let mut seen = Vec::new();
    for given in series("W.P", &[1.0, 2.0, 50.0, 3.0, 60.0, 61.0]) {
        driver.send(given.time as f64 / 1e6, &[given]);
        seen.push(driver.lines().join(", "));
    }
    assert_eq!(seen, ["", "0s W.P 1 192", "1s W.P 2 192", "2s W.P 50 88 spike", "3s W.P 3 88 spike", "4s W.P 60 192"]);
    driver.send(6.0, &[sample("W.P", 6.0, ()).quality(24)]);
    assert_eq!(driver.lines(), ["5s W.P 61 192", "6s W.P null 24"]);
    let site = &bed.site;
    let config = bed.config("quality", "", &ducto_record::StreamType::Samples(vec![])).unwrap();
    assert_eq!(config.holds(site), [0]);
}

#[test]
fn a_rate_uses_the_real_time() {
    let tags = "W.P: {checks: {rate: 2}}";
    let samples = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.5), (12.0, 20.0), (12.0, 90.0)]
        .map(|(time, value)| sample("W.P", time, value));
    assert_eq!(verdicts(&run(tags, &samples)), ["192", "192", "88 rate", "192", "192"]);
}

#[test]
fn frozen_by_time_flags_an_exact_flat_line_and_by_repeats_bits() {
    let tags = "
W.P: {checks: {frozen: 3s}}
W.R: {checks: {frozen: {repeats: 2, as: 64}}}
W.T: {checks: {frozen: {for: 3s, tolerance: 1}}}
W.D: {scan: 1s, checks: {frozen: on, stale: off}}
";
    let lines = run(tags, &series("W.P", &[5.0, 6.0, 6.0, 6.0, 6.0, 6.0, 7.0]));
    assert_eq!(verdicts(&lines), ["192", "192", "192", "192", "88 frozen", "88 frozen", "192"]);
    let zeros = run(tags, &series("W.P", &[0.0, -0.0, 0.0, 0.0, 1.0]));
    assert_eq!(verdicts(&zeros), ["192", "192", "192", "88 frozen", "192"]);
    let mut repeats = series("W.R", &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    repeats[1].quality = ducto_record::Quality::BAD;
    assert_eq!(verdicts(&run(tags, &repeats)), ["192", "0", "64 frozen", "64 frozen", "192", "192"]);
    let within = run(tags, &series("W.T", &[0.0, 5.0, 5.5, 6.0, 5.2, 6.1, 6.2, 6.3, 6.1]));
    assert_eq!(
        verdicts(&within),
        ["192", "192", "192", "192", "88 frozen", "88 frozen", "88 frozen", "192", "88 frozen"]
    );
    let fails = run(tags, &[sample("W.D", 0.0, 1.0), sample("W.D", 299.0, 1.0), sample("W.D", 300.0, 1.0)]);
    assert_eq!(verdicts(&fails), ["192", "192", "16 frozen"]);
}

#[test]
fn a_flat_line_begins_anew_after_an_outage_but_not_after_a_bad_value() {
    let tags = "W.P: {checks: {frozen: 3s}}";
    let mut samples = series("W.P", &[5.0, 5.0, 5.0, 5.0]);
    samples[1].quality = ducto_record::Quality::BAD;
    assert_eq!(verdicts(&run(tags, &samples)), ["192", "0", "192", "88 frozen"]);
    samples[1] = sample("W.P", 1.0, ()).quality(24);
    assert_eq!(verdicts(&run(tags, &samples)), ["192", "24", "192", "192"]);
}

#[test]
fn a_stopped_pump_is_not_frozen() {
    let tags = "
W.RUN: {as: bool}
W.I: {checks: {frozen: {for: 2s, while: RUN}}}
";
    let mut driver = Bed::new(tags).driver("quality", "");
    let mut seen = Vec::new();
    for (second, running) in [false, false, false, false, true, true, true, true].into_iter().enumerate() {
        let now = second as f64;
        // The value comes before the state, and is judged with it.
        driver.send(now, &[sample("W.I", now, 3.0), sample("W.RUN", now, running)]);
        seen.extend(driver.lines().into_iter().filter(|line| line.contains("W.I")));
    }
    // The first sample at work begins the line.
    assert_eq!(verdicts(&seen), ["192", "192", "192", "192", "192", "192", "88 frozen", "88 frozen"]);
}

#[test]
fn a_cross_check_sees_the_tags_of_its_asset_at_one_time() {
    let tags = "
W.THP: {unit: psig, checks: {cross_check: 'THP > FLP'}}
W.FLP: {unit: psig}
X.FLP: {unit: psig}
";
    let mut driver = Bed::new(tags).driver("quality", "");
    driver.send(0.0, &[sample("W.THP", 0.0, 10.0), sample("X.FLP", 0.0, 99.0)]);
    driver.send(1.0, &[sample("W.THP", 1.0, 10.0), sample("W.FLP", 1.0, 20.0)]);
    driver.send(2.0, &[sample("W.THP", 2.0, 30.0), sample("W.FLP", 2.0, 20.0)]);
    driver.send(3.0, &[sample("W.THP", 3.0, 5.0), sample("W.FLP", 3.0, 20.0).quality(0)]);
    let lines: Vec<String> = driver.lines().into_iter().filter(|line| line.contains("THP")).collect();
    assert_eq!(verdicts(&lines), ["192", "64 cross_check", "192", "192"]);
}

#[test]
fn silence_is_noticed_by_a_timer_and_gives_one_sample_a_scan() {
    let tags = "
W.P: {scan: 1s}
W.Q: {scan: 1s, checks: {stale: {scans: 2, as: 20}}}
W.B: {as: bool, checks: {stale: {after: 4s}}}
W.OFF: {scan: 1s, checks: {stale: off}}
";
    let mut driver = Bed::new(tags).driver("quality", "");
    driver.advance(0.0);
    driver.send(
        10.0,
        &[sample("W.P", 10.0, 1.0), sample("W.Q", 10.0, 1.0), sample("W.OFF", 10.0, 1.0), sample("W.B", 10.0, true)],
    );
    driver.lines();
    driver.put(12.5, "W.Q", 2.0);
    assert_eq!(driver.lines(), ["12s W.Q null 20 stale", "12.5s W.Q 2 192"]);
    driver.advance(15.0);
    assert_eq!(
        driver.lines(),
        [
            "13s W.P null 24 stale",
            "14s W.P null 24 stale",
            "14s W.B null 24 stale",
            "14.5s W.Q null 20 stale",
            "15s W.P null 24 stale"
        ]
    );
    // A sample at the very deadline is in time.
    driver.put(15.5, "W.P", 1.0);
    driver.put(18.5, "W.P", 1.0);
    let lines: Vec<String> = driver.lines().into_iter().filter(|line| line.contains("W.P")).collect();
    assert_eq!(lines, ["15.5s W.P 1 192", "18.5s W.P 1 192"]);
}

#[test]
fn gaps_and_futures_are_marked() {
    let tags = "W.P: {checks: {gap: 5s, future: 5s}}";
    let mut driver = Bed::new(tags).driver("quality", "");
    driver.put(0.0, "W.P", 1.0);
    driver.put(5.0, "W.P", 2.0);
    driver.put(10.5, "W.P", 3.0);
    driver.send(11.0, &[sample("W.P", 16.0, 4.0)]);
    driver.send(12.0, &[sample("W.P", 17.5, 5.0)]);
    assert_eq!(verdicts(&driver.lines()), ["192", "192", "192 gap", "192 gap", "64 future"]);
}

#[test]
fn an_old_row_gets_the_range_check_only_and_moves_nothing() {
    let tags = "W.P: {span: [0, 100], checks: {jump: 10, frozen: {repeats: 1}}}";
    let lines = run(tags, &series("W.P", &[10.0, 11.0]));
    assert_eq!(verdicts(&lines), ["192", "192"]);
    let mut driver = Bed::new(tags).driver("quality", "");
    driver.put(10.0, "W.P", 10.0);
    driver.send(11.0, &[sample("W.P", 5.0, 50.0), sample("W.P", 6.0, 500.0)]);
    driver.send(12.0, &[sample("W.P", 12.0, 60.0).checks(Checks::OUT_OF_ORDER)]);
    driver.put(13.0, "W.P", 11.0);
    assert_eq!(
        verdicts(&driver.lines()),
        ["192", "192 out_of_order", "16 range+out_of_order", "192 out_of_order", "192"]
    );
}

#[test]
fn a_clock_that_was_put_right_does_not_lock_the_tag_out() {
    let mut driver = Bed::new("W.P: {}").driver("quality", "");
    driver.send(0.0, &[sample("W.P", 4000.0, 1.0)]);
    driver.put(1.0, "W.P", 2.0);
    driver.put(2.0, "W.P", 3.0);
    assert_eq!(verdicts(&driver.lines()), ["192", "192", "192"]);
}

#[test]
fn the_worst_wins_and_the_first_among_equals() {
    let tags = "W.P: {envelope: [0, 10], checks: {jump: {limit: 5, as: 64}, rate: {limit: 1, as: 0}}}";
    let lines = run(tags, &series("W.P", &[1.0, 20.0]));
    assert_eq!(verdicts(&lines), ["192", "0 envelope+jump+rate"]);
    let lines = run("W.P: {envelope: [0, 10], checks: {jump: {limit: 5, as: 64}}}", &series("W.P", &[1.0, 20.0]));
    assert_eq!(verdicts(&lines), ["192", "84 envelope+jump"]);
}

#[test]
fn integers_repeat_exactly() {
    let tags = "W.N: {as: int64, checks: {frozen: {repeats: 1}}}";
    let big = i64::MAX - 1;
    let values = [big, i64::MAX, i64::MAX, 3, 3, 0, 0, i64::MIN, i64::MIN];
    let samples: Vec<Given> = values.iter().enumerate().map(|(at, value)| sample("W.N", at as f64, *value)).collect();
    assert_eq!(
        verdicts(&run(tags, &samples)),
        ["192", "192", "88 frozen", "192", "88 frozen", "192", "88 frozen", "192", "88 frozen"]
    );
}

#[test]
fn a_normal_scan_is_passed_on_as_it_came() {
    let bed = Bed::new("W.A: {span: [0, 100], checks: {jump: 50}}\nW.B: {span: [0, 100]}");
    let mut driver = bed.driver("quality", "checks: {gap: 10s}");
    let layout = Layout::new(vec![0, 1]);
    for second in 0..3 {
        let values = Values::Float64(vec![second as f64, 50.0 + second as f64].into());
        let scan = Samples::scan(&layout, seconds(second as f64), values, None).unwrap();
        driver.entry(seconds(second as f64), vec![Batch::Samples(scan.clone())], &[]);
        let batches = driver.batches();
        let [Batch::Samples(given)] = &batches[..] else { panic!("one batch") };
        assert_eq!(given.quality().inner().as_ptr(), scan.quality().inner().as_ptr());
        assert!(given.layout().is_some());
    }
    let values = Values::Float64(vec![500.0, f64::NAN].into());
    let scan = Samples::scan(&layout, seconds(3.0), values, None).unwrap();
    driver.entry(seconds(3.0), vec![Batch::Samples(scan)], &[]);
    assert_eq!(driver.lines(), ["3s W.A 500 16 range", "3s W.B NaN 0 range"]);
}

#[test]
fn the_order_of_a_scan_changes_nothing() {
    let run = |order: [u32; 3], restarts: bool| {
        let bed = Bed::new("W.A: {scan: 1s, span: [0, 100]}\nW.B: {scan: 1s, checks: {jump: 50}}\nW.C: {scan: 1s}");
        let (mut driver, mut lines) = (bed.driver("quality", ""), Vec::new());
        let layout = Layout::new(order.to_vec());
        for second in 0..4u32 {
            let values: Vec<f64> = order.iter().map(|tag| f64::from(tag * 7 + second * second * 20)).collect();
            let time = seconds(f64::from(second));
            let scan = Samples::scan(&layout, time, Values::Float64(values.into()), None).unwrap();
            driver.entry(time, vec![Batch::Samples(scan)], &[]);
            lines.extend(driver.lines());
            if restarts {
                let mut fresh = bed.driver("quality", "");
                driver.restore_into(&mut fresh);
                driver = fresh;
            }
        }
        lines.sort();
        driver.advance(8.0);
        // Of silence, all rows leave at once.
        lines.extend(driver.lines());
        lines
    };
    let expected = run([0, 1, 2], false);
    assert!(expected.iter().any(|line| line.contains("range")) && expected.iter().any(|line| line.contains("jump")));
    assert!(expected.last().is_some_and(|line| line.contains("W.C") && line.contains("stale")), "{expected:?}");
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        assert_eq!(run(order, false), expected);
        assert_eq!(run(order, true), expected);
    }
}

#[test]
fn a_node_gives_checks_to_all_tags_and_a_tag_has_its_own() {
    let tags = "W.A: {checks: {jump: 5}}\nW.B: {}\nW.C: {checks: {jump: off}}";
    let mut driver = Bed::new(tags).driver("quality", "checks: {jump: {limit: 50, as: 64}}");
    for (second, value) in [(0.0, 0.0), (1.0, 10.0), (2.0, 100.0)] {
        for tag in ["W.A", "W.B", "W.C"] {
            driver.put(second, tag, value);
        }
    }
    assert_eq!(verdicts(&driver.lines())[3..], ["0 jump", "192", "192", "0 jump", "64 jump", "192"]);
}

#[test]
fn limits_are_converted_and_mistakes_are_named() {
    let bed = Bed::new(
        "
W.A: {unit: psig, checks: {jump: 1 barg, rate: 5 Hz}}
W.B: {as: bool, checks: {jump: 5, range: 0}}
W.C: {checks: {spike: {window: 5}, stale: 3}}
W.D: {checks: {cross_check: 'NOPE > 1', jump: -1}}
W.E: {checks: {jump: {limit: 5, as: 192}}}
W.F: {checks: {jmp: 5}}
W.G: {checks: {spike: {min: 1, window: 1000}}}
",
    );
    insta::assert_snapshot!(bed.said.join("\n"));
    let mut driver = Bed::new("W.A: {unit: psig, checks: {jump: 1 barg}}").driver("quality", "");
    for (second, value) in [(0.0, 0.0), (1.0, 14.4), (2.0, 29.0)] {
        driver.put(second, "W.A", value);
    }
    assert_eq!(verdicts(&driver.lines()), ["192", "192", "0 jump"]);
}

#[test]
fn the_engine_survives_what_no_sensor_sends() {
    let tags = "
W.P: {scan: 1s, span: [0, 1], checks: {jump: 1, rate: 1, spike: {min: 1}, frozen: {for: 1s, tolerance: 1}, gap: 1s, future: 1s}}
W.N: {as: int64, scan: 1s, checks: {jump: 1, frozen: {repeats: 1}}}
";
    let bed = Bed::new(tags);
    let mut driver = bed.driver("quality", "");
    driver.entry(0, vec![Batch::Samples(driver.batch(&[sample("W.P", 0.0, 1.0)]).slice(0, 0))], &[]);
    for time in [0, i64::MAX, i64::MIN, -1, i64::MAX - 1] {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 5e-324] {
            let given = Given { time, ..sample("W.P", 0.0, value) };
            driver.entry(1, vec![Batch::Samples(driver.batch(&[given]))], &[]);
        }
        for value in [i64::MAX, i64::MIN, 0] {
            let given = Given { time, ..sample("W.N", 0.0, value) };
            driver.entry(1, vec![Batch::Samples(driver.batch(&[given]))], &[]);
        }
    }
    assert_eq!(driver.batches().len(), 5 * 10);
}

#[test]
fn what_holds_samples_back_is_refused_before_an_alarm() {
    use ducto_graph::operator::Port;
    use ducto_graph::pipeline::{Edge, GraphNode, NodeConfig, Pipeline};
    use ducto_graph::source::Place;
    use ducto_record::StreamType;

    let bed = Bed::new(
        "W.P: {alarms: {H: 5}, checks: {spike: {differential: 10}}}\nW.Q: {checks: {spike: {differential: 10}}}",
    );
    let samples = StreamType::Samples(vec![ducto_record::ValueKind::Float64]);
    let node = |id: &str, operator: &'static str, edges: &[usize]| GraphNode {
        id: id.into(),
        operator,
        config: NodeConfig::Transform(bed.config(operator, "", &samples).unwrap()),
        edges: edges.iter().map(|&node| Edge { node, port: 0 }).collect(),
        inputs: [].into(),
        ports: vec![Port::main(samples.clone())],
        publish: Vec::new(),
        place: Place::NOWHERE,
    };
    let check = |nodes: Vec<GraphNode>| {
        let pipeline = Pipeline { id: "p".into(), name: "p".into(), nodes, place: Place::NOWHERE };
        let mut diagnostics = ducto_graph::diagnostic::Diagnostics::new();
        pipeline.check_held(&bed.site, &mut diagnostics);
        diagnostics.iter().map(|found| found.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        check(vec![node("checked", "quality", &[]), node("again", "quality", &[0]), node("alarms", "alarm", &[1])]),
        ["`alarms` would see each sample of `W.P` only when the next one comes"]
    );
    assert!(check(vec![node("checked", "quality", &[]), node("alarms", "alarm", &[])]).is_empty());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    const TAGS: &str = "
W.A: {scan: 1s, span: [-8, 8], envelope: [-6, 6], checks: {jump: {limit: 4, rearm: 2}, frozen: {for: 3s, repeats: 4}, gap: 2s}}
W.B: {checks: {rate: 3, spike: {min: 2, window: 3}, frozen: {for: 3s, tolerance: 1}}}
W.C: {checks: {cross_check: 'C > A'}}
W.D: {as: int64, scan: 1s, checks: {spike: {differential: 3}}}
W.E: {as: bool, checks: {frozen: {repeats: 2, while: E}}}
";

    fn given() -> impl Strategy<Value = (Given, bool, bool)> {
        let value = prop_oneof![8 => (-9i64..9).prop_map(Some), 1 => Just(None)];
        let quality = prop_oneof![8 => Just(192u16), 1 => Just(64), 1 => Just(0)];
        (0..5usize, -2i64..3, value, quality, any::<bool>(), any::<bool>()).prop_map(
            |(tag, late, value, quality, new_entry, new_batch)| {
                let tag = ["W.A", "W.B", "W.C", "W.D", "W.E"][tag];
                let mut given = match (value, tag) {
                    (None, _) => sample(tag, 0.0, ()).quality(24),
                    (Some(value), "W.D") => sample(tag, 0.0, value).quality(quality),
                    (Some(value), "W.E") => sample(tag, 0.0, value > 0).quality(quality),
                    (Some(value), _) => sample(tag, 0.0, value as f64).quality(quality),
                };
                given.time = late.min(0);
                (given, new_entry, new_batch)
            },
        )
    }

    /// Rows by entry, sorted: what a consumer compares.
    fn drive(script: &[(Given, bool, bool)], cut_batches: bool, restart_at: Option<usize>) -> Vec<String> {
        let bed = Bed::new(TAGS);
        let mut driver = bed.driver("quality", "");
        let mut rows = Vec::new();
        let mut second = 0i64;
        let mut entries: Vec<Vec<(Given, bool)>> = Vec::new();
        for (given, new_entry, new_batch) in script {
            if *new_entry || entries.is_empty() {
                entries.push(Vec::new());
            }
            entries.last_mut().unwrap().push((given.clone(), *new_batch));
        }
        for (index, entry) in entries.iter().enumerate() {
            if restart_at == Some(index) {
                let mut fresh = bed.driver("quality", "");
                driver.restore_into(&mut fresh);
                driver = fresh;
            }
            second += 1 + i64::from(index % 7 == 3) * 3;
            let timed: Vec<Given> = entry
                .iter()
                .map(|(given, _)| Given { time: (given.time + second) * 1_000_000, ..given.clone() })
                .collect();
            let mut batches: Vec<Batch> = Vec::new();
            let mut start = 0;
            for end in 1..=timed.len() {
                let kind =
                    |given: &Given| given.tag.chars().last().map_or(0, |c| u8::from(c == 'D') + 2 * u8::from(c == 'E'));
                let cut =
                    end == timed.len() || kind(&timed[end]) != kind(&timed[end - 1]) || (cut_batches && entry[end].1);
                if cut {
                    batches.push(Batch::Samples(driver.batch(&timed[start..end])));
                    start = end;
                }
            }
            driver.entry(second * 1_000_000, batches, &[]);
            let mut lines = driver.lines();
            lines.sort();
            rows.push(format!("-- {index}"));
            rows.extend(lines);
        }
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cuts_and_restarts_change_nothing(
            script in proptest::collection::vec(given(), 1..120),
            restart in 0usize..60,
        ) {
            let whole = drive(&script, false, None);
            prop_assert_eq!(&drive(&script, true, None), &whole);
            prop_assert_eq!(&drive(&script, false, Some(restart)), &whole);
        }

        /// The workload of the bench, by its own words: range, jump without re-arming, frozen by repeats.
        #[test]
        fn range_jump_and_frozen_equal_a_plain_computation(
            values in proptest::collection::vec((0i32..12, 0u8..12), 1..200),
        ) {
            let tags = "W.P: {span: [0, 400]}";
            let checks = "checks: {range: {as: 0}, jump: {limit: 100, rearm: never}, frozen: {repeats: 3, as: 64}}";
            let mut driver: Driver = Bed::new(tags).driver("quality", checks);
            let (mut last_good, mut previous, mut run) = (None::<f64>, None::<u64>, 0);
            for (second, (value, bad)) in values.into_iter().enumerate() {
                let value = f64::from(value) * 45.0 - 20.0;
                let came = if bad == 0 { 0 } else { 192 };
                let mut quality = came;
                if quality == 192 && !(0.0..=400.0).contains(&value) {
                    quality = 0;
                }
                if quality == 192 {
                    if last_good.is_some_and(|last: f64| (value - last).abs() > 100.0) {
                        quality = 0;
                    } else {
                        last_good = Some(value);
                    }
                }
                run = if previous == Some(value.to_bits()) { run + 1 } else { 0 };
                previous = Some(value.to_bits());
                if quality == 192 && run >= 3 {
                    quality = 64;
                }
                driver.send(second as f64, &[sample("W.P", second as f64, value).quality(came)]);
                let line = driver.lines().remove(0);
                prop_assert_eq!(line.split(' ').nth(3).unwrap(), quality.to_string(), "{}", line);
            }
        }
    }
}

#[test]
fn of_the_time_in_which_the_site_stood_still_only_the_last_scan_is_told() {
    let week = 7.0 * 86_400.0;
    let mut driver = Bed::new("W.P: {scan: 1s}\nW.Q: {scan: 10s}\n").driver("quality", "");
    driver.advance(0.0);
    driver.send(10.0, &[sample("W.P", 10.0, 1.0), sample("W.Q", 10.0, 1.0)]);
    driver.lines();
    driver.put(week + 0.5, "W.P", 2.0);
    let expected = [
        "13s W.P null 24 stale",
        "40s W.Q null 24 stale",
        "604800s W.P null 24 stale",
        "604800s W.Q null 24 stale",
        "604800.5s W.P 2 192",
    ];
    assert_eq!(driver.lines(), expected);
    // What comes then is told scan by scan again.
    driver.advance(week + 11.0);
    let lines = driver.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("W.P")).count(), 8, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("W.Q")).count(), 1, "{lines:?}");
}
