#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::operator;
use crate::testing::{GOOD, TestNode, TestSite, floats};
use ducto_record::ValueKind;

fn site() -> TestSite {
    TestSite::new(&[
        ("A.P", ValueKind::Float64, "psig"),
        ("B.P", ValueKind::Float64, "psig"),
        ("C.P", ValueKind::Float64, "psig"),
    ])
}

fn node(yaml: &str) -> TestNode {
    site().node(&operator(), yaml, &[floats()]).unwrap()
}

#[test]
fn a_window_is_closed_a_little_after_its_end() {
    let mut driver = node("{every: 1m, outputs: [count, average, minimum, minimum_time, maximum, maximum_time, range, first, last, delta]}").driver();
    for second in 0..60 {
        driver.send(f64::from(second), &[("A.P", f64::from(second), Some(f64::from(second)), GOOD)]);
    }
    driver.advance(61.9);
    assert!(driver.lines().is_empty());
    driver.advance(62.0);
    assert_eq!(driver.lines(), ["0s A.P 60 29.5 0 0s 59 59s 59 0 59 59 192"]);
}

#[test]
fn time_weighs_and_the_last_value_holds() {
    // 0 for 59 minutes and then 60 samples of 100 in the last minute.
    let mut driver =
        node("{every: 1h, outputs: [time_average, average, percent_good], interpolation: stepped}").driver();
    driver.send(0.0, &[("A.P", 0.0, Some(0.0), GOOD)]);
    for second in 3540..3600 {
        let second = f64::from(second);
        driver.send(second, &[("A.P", second, Some(100.0), GOOD)]);
    }
    driver.advance(3602.0);
    assert_eq!(driver.lines(), ["0s A.P 1.666666667 98.360655738 100 192"]);
}

#[test]
fn bad_spans_leave_both_sums_and_the_value_before_is_carried() {
    let yaml = "{every: 1m, outputs: [time_average, total, duration_good, percent_good, number_of_transitions, \
                duration_in_state_zero, duration_in_state_nonzero, count], interpolation: stepped, percent_good: 80}";
    let mut driver = node(yaml).driver();
    driver.send(30.0, &[("A.P", 30.0, Some(5.0), GOOD)]);
    driver.send(70.0, &[("A.P", 70.0, Some(0.0), GOOD)]);
    driver.send(80.0, &[("A.P", 80.0, Some(9.0), 0)]);
    driver.send(100.0, &[("A.P", 100.0, Some(1.0), GOOD)]);
    driver.advance(200.0);
    assert_eq!(
        driver.lines(),
        [
            "0s A.P 5 150 30 50 0 0 30 1 64 less than 80 % of the window is good",
            // 5 until 70, 0 until 80, Bad until 100, 1 until 120.
            "60s A.P 1.75 70 40 66.666666667 2 10 30 2 64 less than 80 % of the window is good",
        ]
    );
}

#[test]
fn sloped_values_are_joined_across_the_edge_of_a_window() {
    let mut driver = node("{every: 1m, outputs: [time_average]}").driver();
    driver.send(0.0, &[("A.P", 0.0, Some(0.0), GOOD)]);
    driver.send(61.0, &[("A.P", 61.0, Some(61.0), GOOD)]);
    driver.advance(122.0);
    // The second holds its last value, whose successor is not known.
    assert_eq!(driver.lines(), ["0s A.P 30 192", "60s A.P 60.991666667 192"]);
}

#[test]
fn late_samples_correct_their_window_and_leave_after_the_cutoff() {
    let mut driver =
        node("{every: 1m, cutoff: 10m, outputs: [count, average, time_average, last], interpolation: stepped}")
            .driver();
    driver.send(10.0, &[("A.P", 10.0, Some(10.0), GOOD), ("B.P", 10.0, Some(1.0), GOOD)]);
    driver.send(70.0, &[("A.P", 70.0, Some(20.0), GOOD)]);
    driver.advance(122.0);
    assert_eq!(driver.lines(), ["0s A.P 1 10 10 10 192", "0s B.P 1 1 1 1 192", "60s A.P 1 20 18.333333333 20 192"]);
    // Twice in one entry: one correction. The held value of the next window changes too.
    let batches =
        vec![driver.samples(&[("A.P", 40.0, Some(40.0), GOOD)]), driver.samples(&[("A.P", 30.0, Some(40.0), GOOD)])];
    driver.entry(130_000_000, batches);
    assert_eq!(
        driver.lines(),
        [
            "0s A.P 1 10 10 10 192 -",
            "0s A.P 3 30 28 40 192",
            "60s A.P 1 20 18.333333333 20 192 -",
            "60s A.P 1 20 23.333333333 20 192"
        ]
    );
    driver.send(131.0, &[("C.P", 5.0, Some(7.0), GOOD)]);
    assert_eq!(driver.lines(), ["0s C.P 1 7 7 7 192"]);
    driver.send(661.0, &[("A.P", 5.0, Some(7.0), GOOD)]);
    assert_eq!(driver.lines(), ["late: 5s A.P 7 192 0"]);
}

#[test]
fn start_and_end_are_raw_and_first_and_last_accepted() {
    let mut driver = node(
        "{every: 1m, outputs: [start, end, first, first_time, last, last_time, worst_quality, standard_deviation]}",
    )
    .driver();
    for (second, value, quality) in [(1.0, 9.0, 0), (2.0, 1.0, GOOD), (3.0, 3.0, 216), (4.0, 5.0, GOOD), (5.0, 8.0, 64)]
    {
        driver.send(second, &[("A.P", second, Some(value), quality)]);
    }
    driver.send(6.0, &[("B.P", 6.0, None, 24), ("C.P", 6.0, Some(f64::NAN), GOOD)]);
    driver.advance(62.0);
    assert_eq!(driver.lines(), ["0s A.P null null 1 2s 5 4s 0 2 192"]);
}
