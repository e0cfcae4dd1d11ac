//! The states, delays and qualities of domain §3, then cuts, restarts and a slow reference.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, RecordBatch, TimestampMicrosecondArray, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field};
use ducto_record::{Batch, Checks, RowType, StreamType, with_role};

use super::events::{Key, row_type};
use crate::quality::testing::{Bed, Driver, Given, sample, seconds};

fn driver(tags: &str) -> Driver {
    Bed::new(tags).driver("alarm", "")
}

/// Good samples of `W.P` at seconds.
fn feed(driver: &mut Driver, samples: &[(f64, f64)]) {
    for (time, value) in samples {
        driver.put(*time, "W.P", *value);
    }
}

#[test]
fn a_limit_is_passed_strictly_and_cleared_at_the_end_of_its_deadband() {
    let mut driver = driver("W.P: {alarms: {H: {limit: 100, deadband: 2}, L: {limit: 10, deadband: 1}}}");
    feed(&mut driver, &[(0.0, 100.0), (1.0, 100.1), (2.0, 99.0), (3.0, 98.1), (4.0, 98.0)]);
    assert_eq!(
        driver.lines(),
        ["1s W.P H 1 raised B 100.1 100 process 192", "4s W.P H 1 returned D 98 100 process 192"]
    );
    feed(&mut driver, &[(5.0, 10.0), (6.0, 9.0), (7.0, 10.9), (8.0, 11.0)]);
    assert_eq!(driver.lines(), ["6s W.P L 1 raised B 9 10 process 192", "8s W.P L 1 returned D 11 10 process 192"]);
}

#[test]
fn tags_without_alarms_lie_between_those_with_in_any_order() {
    let bed = Bed::new("W.A: {}\nW.P: {alarms: {H: 100}}\nW.B: {}\nW.Q: {alarms: {L: 10}}");
    let mut driver = bed.driver("alarm", "");
    let scan = |now: f64, values: [f64; 4]| {
        ["W.Q", "W.B", "W.P", "W.A"]
            .into_iter()
            .zip(values)
            .map(|(tag, value)| sample(tag, now, value))
            .collect::<Vec<Given>>()
    };
    driver.send(0.0, &scan(0.0, [11.0, 500.0, 99.0, -500.0]));
    assert_eq!(driver.lines(), Vec::<String>::new());
    let mut fresh = bed.driver("alarm", "");
    driver.restore_into(&mut fresh);
    // What is older than the newest before the restart moves nothing.
    fresh.send(1.0, &scan(-1.0, [9.0, 500.0, 101.0, -500.0]));
    assert_eq!(fresh.lines(), Vec::<String>::new());
    fresh.send(2.0, &scan(2.0, [9.0, 500.0, 101.0, -500.0]));
    assert_eq!(fresh.lines(), ["2s W.Q L 1 raised B 9 10 process 192", "2s W.P H 1 raised B 101 100 process 192"]);
}

#[test]
fn a_delay_ends_with_the_first_row_after_it() {
    let mut driver = driver("W.P: {alarms: {H: {limit: 100, on_delay: 5s, off_delay: 3s}}}");
    feed(&mut driver, &[(0.0, 120.0), (6.0, 121.0)]);
    driver.advance(16.0);
    assert_eq!(driver.lines(), ["6s W.P H 1 raised B 121 100 process 192"]);
    // The condition dropping restarts it.
    feed(&mut driver, &[(17.0, 90.0), (18.0, 110.0), (19.0, 90.0), (21.9, 90.0), (22.0, 91.0)]);
    assert_eq!(driver.lines(), ["22s W.P H 1 returned D 91 100 process 192"]);
    feed(&mut driver, &[(23.0, 110.0), (24.0, 100.0), (25.0, 110.0), (29.9, 110.0)]);
    assert_eq!(driver.lines(), Vec::<String>::new());
    feed(&mut driver, &[(30.0, 110.0)]);
    assert_eq!(driver.lines(), ["30s W.P H 2 raised B 110 100 process 192"]);
}

#[test]
fn a_timer_ends_a_delay_only_while_the_newest_row_is_usable() {
    let tags = "W.P: {alarms: {H: {limit: 100, on_delay: 5s}}}";
    let mut alone = driver(tags);
    feed(&mut alone, &[(0.0, 120.0)]);
    alone.advance(6.9);
    assert_eq!(alone.lines(), Vec::<String>::new());
    alone.advance(20.0);
    assert_eq!(alone.lines(), ["5s W.P H 1 raised B 120 100 process 192"]);
    let mut bad = driver(tags);
    feed(&mut bad, &[(0.0, 120.0)]);
    bad.send(3.0, &[sample("W.P", 3.0, ()).quality(24)]);
    bad.advance(20.0);
    assert_eq!(bad.lines(), Vec::<String>::new());
    // Bad rows change nothing: the delay has run since 0 s.
    feed(&mut bad, &[(30.0, 130.0)]);
    assert_eq!(bad.lines(), ["30s W.P H 1 raised B 130 100 process 192"]);
    let mut again = driver(tags);
    feed(&mut again, &[(0.0, 120.0)]);
    again.send(3.0, &[sample("W.P", 3.0, 5.0).quality(0)]);
    feed(&mut again, &[(4.0, 120.0)]);
    assert_eq!(again.transform.closes_at(seconds(6.0)), Some(seconds(7.0)));
    again.advance(20.0);
    assert_eq!(again.lines(), ["5s W.P H 1 raised B 120 100 process 192"]);
    // A row with a silent tag's quality, made by the engine's clock, stops the timer as well.
    let mut stale = driver(tags);
    feed(&mut stale, &[(10.0, 120.0)]);
    stale.send(11.0, &[sample("W.P", 9.0, ()).quality(24).checks(Checks::STALE)]);
    stale.advance(30.0);
    assert_eq!(stale.lines(), Vec::<String>::new());
}

#[test]
fn bad_rows_hold_force_or_are_ignored() {
    let tags = "
W.P: {alarms: {H: {limit: 100}, HH: {limit: 200, on_bad_quality: force}, L: {limit: 50, on_bad_quality: ignore}, bad: on}}
";
    let mut driver = driver(tags);
    feed(&mut driver, &[(0.0, 40.0)]);
    assert_eq!(driver.lines(), ["0s W.P L 1 raised B 40 50 process 192"]);
    driver.send(1.0, &[sample("W.P", 1.0, 500.0).quality(0)]);
    assert_eq!(
        driver.lines(),
        [
            "1s W.P HH 1 raised B 500 200 process 0",
            "1s W.P L 1 returned D 500 50 process 0",
            "1s W.P bad 1 raised B 500 process 0"
        ]
    );
    feed(&mut driver, &[(2.0, 60.0)]);
    assert_eq!(driver.lines(), ["2s W.P HH 1 returned D 60 200 process 192", "2s W.P bad 1 returned D 60 process 192"]);
}

#[test]
fn uncertain_rows_count_where_they_are_accepted() {
    let tags = "W.P: {alarms: {H: 100, HH: {limit: 200, accept: good}}}";
    let mut driver = driver(tags);
    driver.send(0.0, &[sample("W.P", 0.0, 300.0).quality(64)]);
    assert_eq!(driver.lines(), ["0s W.P H 1 raised B 300 100 process 64"]);
    driver.send(1.0, &[sample("W.P", 1.0, 300.0).quality(216)]);
    assert_eq!(driver.lines(), ["1s W.P HH 1 raised B 300 200 process 216"]);
    let mut good = Bed::new(tags).driver("alarm", "accept: good");
    good.send(0.0, &[sample("W.P", 0.0, 300.0).quality(64)]);
    assert_eq!(good.lines(), Vec::<String>::new());
}

#[test]
fn base_states_follow_the_table() {
    let classes = "alarm_classes: {latch: {uplink: 1, latching: true}, auto: {auto_acknowledge: true}}";
    let tags = "
W.P: {alarms: {H: 100}}
W.L: {alarms: {H: {limit: 100, class: latch}}}
W.A: {alarms: {H: {limit: 100, class: auto}}}
";
    let mut driver = Bed::with(tags, classes).driver("alarm", "");
    let ack = |driver: &mut Driver, now: f64, verb: &str, tag: &str| {
        let reply = driver.act(now, verb, &[("tag", tag), ("alarm", "H")]).unwrap();
        let mut lines = driver.lines();
        lines.push(reply);
        lines.join(" | ")
    };
    assert_eq!(driver.act(0.0, "acknowledge", &[("tag", "W.P"), ("alarm", "H")]), None);
    driver.put(0.0, "W.P", 1.0);
    assert_eq!(
        ack(&mut driver, 0.0, "acknowledge", "W.P"),
        "false: `H` of `W.P` is normal (A): there is nothing to acknowledge"
    );
    // A → B → C → A
    driver.put(1.0, "W.P", 101.0);
    driver.lines();
    assert_eq!(
        ack(&mut driver, 2.0, "acknowledge", "W.P"),
        "2s W.P H 1 acknowledged C 101 100 process ana 192 seen | true: `H` of `W.P` is acknowledged; it is now active and acknowledged (C)"
    );
    assert_eq!(
        ack(&mut driver, 2.0, "acknowledge", "W.P"),
        "false: `H` of `W.P` is active and acknowledged (C): it is acknowledged already"
    );
    driver.put(3.0, "W.P", 99.0);
    assert_eq!(driver.lines(), ["3s W.P H 1 returned A 99 100 process 192"]);
    // A → B → D → B → D → A
    for (second, value) in [(4.0, 101.0), (5.0, 99.0), (6.0, 102.0), (7.0, 98.0)] {
        driver.put(second, "W.P", value);
    }
    assert_eq!(
        driver.lines(),
        [
            "4s W.P H 2 raised B 101 100 process 192",
            "5s W.P H 2 returned D 99 100 process 192",
            "6s W.P H 3 raised B 102 100 process 192",
            "7s W.P H 3 returned D 98 100 process 192"
        ]
    );
    assert!(ack(&mut driver, 8.0, "acknowledge", "W.P").starts_with("8s W.P H 3 acknowledged A 98"));
    // Latching: A → B → E → F → A, E → B, F → B
    for (second, value) in [(10.0, 101.0), (11.0, 99.0)] {
        driver.put(second, "W.L", value);
    }
    assert_eq!(driver.lines(), ["10s W.L H 1 raised B 101 100 latch 192", "11s W.L H 1 returned E 99 100 latch 192"]);
    assert!(ack(&mut driver, 12.0, "reset", "W.L").ends_with("acknowledge it first"));
    assert!(ack(&mut driver, 12.0, "acknowledge", "W.L").starts_with("12s W.L H 1 acknowledged F 99"));
    assert!(ack(&mut driver, 13.0, "reset", "W.L").starts_with("13s W.L H 1 reset A 99"));
    for (second, value) in [(14.0, 101.0), (15.0, 99.0), (16.0, 101.0), (17.0, 99.0)] {
        driver.put(second, "W.L", value);
    }
    driver.lines();
    ack(&mut driver, 18.0, "acknowledge", "W.L");
    driver.put(19.0, "W.L", 101.0);
    assert_eq!(driver.lines(), ["19s W.L H 2 raised B 101 100 latch 192"]);
    assert!(ack(&mut driver, 20.0, "reset", "W.L").ends_with("its condition is still true"));
    // Acknowledged from the start.
    driver.put(21.0, "W.A", 101.0);
    driver.put(22.0, "W.A", 99.0);
    assert_eq!(driver.lines(), ["21s W.A H 1 raised C 101 100 auto 192", "22s W.A H 1 returned A 99 100 auto 192"]);
    // Without a name: every alarm of the tag that waits.
    driver.put(23.0, "W.P", 101.0);
    assert!(driver.act(24.0, "acknowledge", &[("tag", "W.P")]).unwrap().starts_with("true: `H` of `W.P` is ack"));
    assert_eq!(driver.act(24.0, "acknowledge", &[("tag", "W.P")]).unwrap(), "false: no alarm of `W.P` waits for this");
    assert_eq!(driver.act(24.0, "shelve", &[("tag", "W.P")]), None);
}

#[test]
fn old_rows_move_nothing() {
    let mut driver = driver("W.P: {alarms: {H: 100}}");
    feed(&mut driver, &[(10.0, 1.0)]);
    driver.send(11.0, &[sample("W.P", 5.0, 500.0)]);
    driver.send(12.0, &[sample("W.P", 12.0, 500.0).checks(Checks::OUT_OF_ORDER)]);
    assert_eq!(driver.lines(), Vec::<String>::new());
    driver.send(13.0, &[sample("W.P", 10.0, 500.0)]);
    assert_eq!(driver.lines(), ["10s W.P H 1 raised B 500 100 process 192"]);
}

#[test]
fn rates_deviations_and_states_raise() {
    let tags = "
W.P: {alarms: {rate: {limit: 2, deadband: 1}}}
W.PV: {unit: psig, alarms: {deviation: {limit: 10, setpoint: SP, deadband: 2}}}
W.SP: {unit: psig}
W.RUN: {as: bool, states: {0: Stopped, 1: Running}, alarms: {TRIP: {type: discrete, state: Stopped}}}
W.MODE: {as: int64, alarms: {discrete: {state: 3}}}
";
    let mut driver = driver(tags);
    for (second, value) in [(0.0, 0.0), (1.0, 2.0), (2.0, 5.0), (3.0, 6.0), (5.0, 6.5)] {
        driver.put(second, "W.P", value);
    }
    assert_eq!(driver.lines(), ["2s W.P rate 1 raised B 3 2 process 192", "3s W.P rate 1 returned D 1 2 process 192"]);
    // A step of the set-point and of the value at one time is no deviation, whichever comes first.
    driver.send(10.0, &[sample("W.PV", 10.0, 50.0), sample("W.SP", 10.0, 50.0)]);
    driver.send(11.0, &[sample("W.PV", 11.0, 90.0), sample("W.SP", 11.0, 90.0)]);
    assert_eq!(driver.lines(), Vec::<String>::new());
    driver.send(12.0, &[sample("W.SP", 12.0, 79.0)]);
    driver.send(13.0, &[sample("W.PV", 13.0, 87.5)]);
    driver.send(14.0, &[sample("W.PV", 14.0, 86.0).quality(68)]);
    assert_eq!(
        driver.lines(),
        ["12s W.PV deviation 1 raised B 11 10 process 192", "14s W.PV deviation 1 returned D 7 10 process 68"]
    );
    for (second, running) in [(20.0, true), (21.0, false), (22.0, true)] {
        driver.put(second, "W.RUN", running);
    }
    for (second, mode) in [(20.0, 1), (21.0, 3), (22.0, 4)] {
        driver.put(second, "W.MODE", mode);
    }
    assert_eq!(
        driver.lines(),
        [
            "21s W.RUN TRIP 1 raised B 0 0 process 192",
            "22s W.RUN TRIP 1 returned D 1 0 process 192",
            "21s W.MODE discrete 1 raised B 3 3 process 192",
            "22s W.MODE discrete 1 returned D 4 3 process 192"
        ]
    );
}

#[test]
fn the_first_of_a_group_is_marked_until_all_are_normal() {
    let tags = "
W.A: {alarms: {H: {limit: 1, group: trip}}}
W.B: {alarms: {H: {limit: 1, group: trip}}}
X.A: {alarms: {H: {limit: 1, group: trip}}}
";
    let mut driver = driver(tags);
    driver.put(1.0, "W.B", 2.0);
    driver.put(2.0, "W.A", 2.0);
    driver.put(2.0, "X.A", 2.0);
    driver.put(3.0, "W.B", 0.0);
    driver.act(4.0, "acknowledge", &[("tag", "W.B")]);
    driver.put(5.0, "W.B", 2.0);
    assert_eq!(
        driver.lines(),
        [
            "1s W.B H 1 raised B 2 1 process true 192",
            "2s W.A H 1 raised B 2 1 process false 192",
            "2s X.A H 1 raised B 2 1 process true 192",
            "3s W.B H 1 returned D 0 1 process true 192",
            "4s W.B H 1 acknowledged A 0 1 process ana true 192 seen",
            "5s W.B H 2 raised B 2 1 process true 192"
        ]
    );
    for (second, tag) in [(6.0, "W.A"), (7.0, "W.B")] {
        driver.put(second, tag, 0.0);
        driver.act(second, "acknowledge", &[("tag", tag)]);
    }
    driver.lines();
    driver.put(8.0, "W.A", 2.0);
    assert_eq!(driver.lines(), ["8s W.A H 2 raised B 2 1 process true 192"]);
}

#[test]
fn values_that_are_no_numbers_count_as_bad() {
    let mut driver = driver("W.P: {alarms: {H: {limit: 100, on_delay: 2s}, L: 0, rate: 1}}");
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        driver.put(1.0, "W.P", value);
    }
    driver.send(1.0, &[sample("W.P", 1.0, ())]);
    for time in [i64::MAX, i64::MIN, i64::MAX] {
        let given = Given { time, ..sample("W.P", 0.0, 200.0) };
        driver.entry(seconds(2.0), vec![Batch::Samples(driver.batch(&[given]))], &[]);
    }
    let empty = driver.batch(&[sample("W.P", 0.0, 1.0)]).slice(0, 0);
    driver.entry(seconds(2.0), vec![Batch::Samples(empty)], &[]);
    driver.advance(1000.0);
    assert_eq!(driver.lines().len(), 1);
}

#[test]
fn settings_are_checked() {
    let bed = Bed::with(
        "
W.A: {unit: psig, span: [0, 500], alarms: {H: 30 barg, HH: 40 Hz, LL: 20, L: 10, X: 5}}
W.B: {as: bool, alarms: {H: 1, discrete: {state: Stoped}}, states: {0: Stopped}}
W.C: {alarms: {H: {limit: 1, class: safty}, bad: {limit: 3}, deviation: {limit: 4, setpoint: SP}, discrete: on}}
W.D: {unit: psig, alarms: {H: {limit: 10, deadband: -1}, HH: {limit: 5}, L: 4 psia, spare: {type: high, limit: 8, on_dealy: 5s}}}
W.T: {as: text, alarms: {H: 4}}
W.E: {unit: psig, alarms: {H: 10, HH: 5}}
",
        "alarm_classes: {loud: {uplink: 9}}",
    );
    insta::assert_snapshot!(bed.said.join("\n"));
}

#[test]
fn limits_are_converted_to_the_unit_of_the_tag() {
    let mut driver = driver("W.P: {unit: psig, alarms: {H: {limit: 1 barg, deadband: 0.1 barg}, HH: 30 psia}}");
    feed(&mut driver, &[(0.0, 14.5), (1.0, 14.6), (2.0, 13.1), (3.0, 13.0), (4.0, 15.6)]);
    let seen: Vec<String> =
        driver.lines().iter().map(|line| line.split(' ').take(5).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(seen, ["1s W.P H 1 raised", "3s W.P H 1 returned", "4s W.P H 2 raised", "4s W.P HH 1 raised"]);
}

fn scores() -> StreamType {
    StreamType::Rows(RowType::new(
        vec![
            with_role(Field::new("asset", DataType::UInt32, false), "asset"),
            Field::new("score", DataType::Float64, true),
            Field::new("threshold", DataType::Float64, true),
        ],
        &["asset"],
    ))
}

fn score(time: f64, asset: u32, score: Option<f64>, quality: u16, diff: i8) -> Batch {
    let StreamType::Rows(rows) = scores() else { unreachable!() };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![seconds(time)]).with_timezone("UTC")),
        Arc::new(UInt32Array::from(vec![asset])),
        Arc::new(Float64Array::from(vec![score])),
        Arc::new(Float64Array::from(vec![Some(0.8)])),
        Arc::new(UInt16Array::from(vec![quality])),
        Arc::new(arrow::array::StringArray::from(vec![None::<&str>])),
        Arc::new(Int8Array::from(vec![diff])),
    ];
    Batch::Rows(RecordBatch::try_new(rows.schema, columns).unwrap())
}

#[test]
fn an_expression_over_rows_is_an_alarm_of_their_asset() {
    let bed = Bed::new("W.P: {}\nX.P: {}");
    let yaml = "{when: 'score > threshold', name: ANOMALY_DETECTED, class: well_integrity, on_delay: 2s}";
    let mut driver = bed.driver_of("alarm", yaml, &scores());
    let mut now = 0.0f64;
    for (time, asset, value, quality, diff) in [
        (0.0, 0, Some(0.8), 192, 1),
        (1.0, 0, Some(0.9), 192, 1),
        (2.0, 1, Some(0.95), 64, 1),
        (3.0, 0, None, 64, 1),
        (4.0, 0, Some(0.99), 192, 1),
        (4.0, 0, Some(0.99), 192, -1),
        (5.0, 0, Some(0.1), 0, 1),
        (6.0, 0, Some(0.1), 192, 1),
        (5.0, 0, Some(0.9), 192, 1),
    ] {
        now = now.max(time);
        driver.entry(seconds(now), vec![score(time, asset, value, quality, diff)], &[]);
    }
    driver.advance(60.0);
    assert_eq!(
        driver.lines(),
        [
            "4s W ANOMALY_DETECTED 1 raised B 0.99 0.8 well_integrity 192",
            "6s W ANOMALY_DETECTED 1 returned D 0.1 0.8 well_integrity 192",
            "4s X ANOMALY_DETECTED 1 raised B 0.95 0.8 well_integrity 64"
        ]
    );
    let reply = driver.act(61.0, "acknowledge", &[("asset", "X"), ("alarm", "ANOMALY_DETECTED")]).unwrap();
    assert_eq!(reply, "true: `ANOMALY_DETECTED` of `X` is acknowledged; it is now active and acknowledged (C)");
    let mut fresh = bed.driver_of("alarm", yaml, &scores());
    driver.restore_into(&mut fresh);
    fresh.entry(seconds(62.0), vec![score(62.0, 1, Some(0.2), 192, 1)], &[]);
    assert_eq!(fresh.lines(), ["62s X ANOMALY_DETECTED 1 returned A 0.2 0.8 well_integrity 192"]);
}

#[test]
fn an_expression_over_samples_is_an_alarm_of_their_tag() {
    let bed = Bed::new("W.P: {}\nW.Q: {}\nX.P: {}");
    let yaml = "{when: \"variable = 'P' AND value > 5\", clear_when: 'value < 3', name: PEAK}";
    let mut driver = bed.driver("alarm", yaml);
    for (second, value) in [(0.0, 4.0), (1.0, 6.0), (2.0, 4.0), (3.0, 2.0)] {
        driver.send(second, &[sample("W.P", second, value), sample("W.Q", second, value)]);
    }
    assert_eq!(driver.lines(), ["1s W.P PEAK 1 raised B process 192", "3s W.P PEAK 1 returned D process 192"]);
    let input = StreamType::Samples(vec![ducto_record::ValueKind::Float64]);
    let wrong = [
        "{when: 'valu > 5', name: X}",
        "{when: 'value + 5'}",
        "{when: 'value > 5', name: X, class: loud}",
        "{name: X, on_delay: 5s}",
    ];
    let said: Vec<String> = wrong.iter().flat_map(|yaml| bed.config("alarm", yaml, &input).unwrap_err()).collect();
    insta::assert_snapshot!(said.join("\n"));
    insta::assert_snapshot!(
        "streams",
        [
            bed.config("alarm", "", &scores()).unwrap_err().join("\n"),
            bed.config("quality", "", &scores()).unwrap_err().join("\n"),
        ]
        .join("\n")
    );
}

#[test]
fn the_port_is_a_view() {
    let rows = row_type(Key::Tag);
    assert_eq!(rows.schema.metadata().get("ducto.view").map(String::as_str), Some("alarms"));
    assert_eq!(rows.key, ["tag", "alarm"]);
    assert!(rows.schema.column_with_name("occurrence").is_some());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    const TAGS: &str = "
W.A: {alarms: {H: {limit: 5, deadband: 2, on_delay: 2s, group: g}, HH: {limit: 8, class: safety}, bad: {on_delay: 1s}}}
W.B: {alarms: {L: {limit: -3, deadband: 1, off_delay: 3s, on_bad_quality: force, group: g}, rate: {limit: 6}}}
W.C: {alarms: {deviation: {limit: 4, setpoint: A, on_delay: 1s}}}
";

    type Step = (usize, i64, Option<i64>, u16, bool, bool, u8);

    fn step() -> impl Strategy<Value = Step> {
        let value = prop_oneof![8 => (-9i64..12).prop_map(Some), 1 => Just(None)];
        let quality = prop_oneof![8 => Just(192u16), 1 => Just(64), 1 => Just(0)];
        (0..3usize, -2i64..3, value, quality, any::<bool>(), any::<bool>(), 0u8..20)
    }

    fn drive(script: &[Step], cut: bool, restart: Option<usize>) -> Vec<String> {
        let bed = Bed::new(TAGS);
        let mut driver = bed.driver("alarm", "");
        let mut rows = Vec::new();
        let mut second = 0i64;
        let entries: Vec<&[Step]> = script.chunk_by(|_, next| !next.4).collect();
        for (index, entry) in entries.into_iter().enumerate() {
            if restart == Some(index) {
                let mut fresh = bed.driver("alarm", "");
                driver.restore_into(&mut fresh);
                driver = fresh;
            }
            second += 1 + i64::from(index % 5 == 3) * 4;
            let timed: Vec<Given> = entry
                .iter()
                .map(|(tag, late, value, quality, ..)| {
                    let tag = ["W.A", "W.B", "W.C"][*tag];
                    let given = match value {
                        Some(value) => sample(tag, 0.0, *value as f64).quality(*quality),
                        None => sample(tag, 0.0, ()).quality(24),
                    };
                    Given { time: (late.min(&0) + second) * 1_000_000, ..given }
                })
                .collect();
            let batches: Vec<Batch> = if cut {
                let mut cuts = entry.iter().map(|step| step.5);
                timed
                    .chunk_by(|_, _| !cuts.next().unwrap_or_default())
                    .map(|run| Batch::Samples(driver.batch(run)))
                    .collect()
            } else {
                vec![Batch::Samples(driver.batch(&timed))]
            };
            driver.entry(second * 1_000_000, batches, &[]);
            match entry[0].6 {
                0 | 1 => drop(driver.act(second as f64, "acknowledge", &[("tag", "W.A")])),
                2 => drop(driver.act(second as f64, "reset", &[("tag", "W.A")])),
                3 => drop(driver.act(second as f64, "acknowledge", &[("tag", "W.B")])),
                _ => {}
            }
            rows.push(format!("-- {index}"));
            rows.extend(driver.lines());
        }
        driver.advance(second as f64 + 100.0);
        rows.extend(driver.lines());
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cuts_and_restarts_change_nothing(
            script in proptest::collection::vec(step(), 1..120),
            restart in 0usize..60,
        ) {
            let whole = drive(&script, false, None);
            prop_assert_eq!(&drive(&script, true, None), &whole);
            prop_assert_eq!(&drive(&script, false, Some(restart)), &whole);
        }

        /// The alarm of the bench, clearing at its clearing point.
        #[test]
        fn a_high_alarm_equals_a_plain_computation(
            values in proptest::collection::vec((0i32..9, 0u8..9), 1..200),
        ) {
            let tags = "W.P: {alarms: {H: {limit: 50, deadband: 2, on_delay: 5s}}}";
            let mut driver = Bed::new(tags).driver("alarm", "accept: good");
            let (mut first, mut active) = (None::<i64>, false);
            let mut expected = Vec::new();
            for (second, (value, bad)) in values.into_iter().enumerate() {
                let (second, value) = (second as i64, f64::from(value) + 45.0);
                let quality = match bad { 0 => 0, 1 => 64, _ => 192 };
                if quality == 192 {
                    if active {
                        if value <= 48.0 {
                            active = false;
                            first = None;
                            expected.push(format!("{second} returned"));
                        }
                    } else if value > 50.0 {
                        let start = *first.get_or_insert(second);
                        if second - start >= 5 {
                            active = true;
                            expected.push(format!("{second} raised"));
                        }
                    } else {
                        first = None;
                    }
                }
                driver.send(second as f64, &[sample("W.P", second as f64, value).quality(quality)]);
            }
            let seen: Vec<String> = driver
                .lines()
                .iter()
                .map(|line| {
                    let cells: Vec<&str> = line.split(' ').collect();
                    format!("{} {}", cells[0].trim_end_matches('s'), cells[4])
                })
                .collect();
            // The timer may end a delay after two seconds without a good row; here rows come every second, so that
            // only a row of the right time or a later good one after Bad ones can.
            prop_assert_eq!(seen, expected);
        }
    }
}
