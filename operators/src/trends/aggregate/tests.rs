#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::operator::CheckContext;
use ducto_graph::scalar::ByteSize;
use ducto_graph::site::Site;
use ducto_graph::source::Place;
use ducto_record::{SavedState, StateError, ValueKind};

use super::operator;
use crate::testing::{GOOD, TestNode, TestSite, examples_are_right as check_examples, floats};

fn site() -> TestSite {
    TestSite::new(&[
        ("A.P", ValueKind::Float64, "psig"),
        ("B.P", ValueKind::Float64, "psig"),
        ("C.P", ValueKind::Float64, "psig"),
    ])
}

pub(super) fn node(yaml: &str) -> TestNode {
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
fn a_line_that_is_known_later_corrects_a_window_that_was_closed_before_a_restart() {
    let node = node("{every: 1m, outputs: [time_average, total]}");
    let mut driver = node.driver();
    driver.send(0.0, &[("A.P", 0.0, Some(10.0), GOOD), ("B.P", 0.0, Some(10.0), GOOD)]);
    driver.send(20.0, &[("B.P", 20.0, Some(10.0), 0)]);
    driver.advance(65.0);
    assert_eq!(driver.lines(), ["0s A.P 10 600 192", "0s B.P 10 200 192"]);
    let mut again = node.driver();
    driver.restore_into(&mut again);
    again.send(90.0, &[("A.P", 90.0, Some(30.0), GOOD), ("B.P", 90.0, Some(30.0), GOOD)]);
    assert_eq!(again.lines(), ["0s A.P 10 600 192 -", "0s A.P 16.666666667 1000 192"]);
    again.advance(122.0);
    assert_eq!(again.lines(), ["60s A.P 28.333333333 1700 192", "60s B.P 30 900 192"]);
}

#[test]
fn a_late_sample_finds_its_neighbours_after_a_restart() {
    let node = node("{every: 1m, outputs: [total, number_of_transitions]}");
    let mut driver = node.driver();
    // A scan, single samples, and a tag that only the first instance knows of.
    driver.send(0.0, &[("C.P", 0.0, Some(10.0), GOOD), ("A.P", 0.0, Some(10.0), GOOD), ("B.P", 0.0, None, 0)]);
    driver.send(90.0, &[("A.P", 90.0, Some(30.0), GOOD)]);
    driver.advance(122.0);
    driver.lines();
    let saved = driver.transform.snapshot().unwrap()().unwrap();
    let smaller = TestSite::new(&[("B.P", ValueKind::Float64, "psig"), ("A.P", ValueKind::Float64, "psig")]);
    let yaml = "{every: 1m, outputs: [total, number_of_transitions]}";
    let mut again = smaller.node(&operator(), yaml, &[floats()]).unwrap().driver();
    again.transform.restore(&saved).unwrap();
    // 10 to 0 in 45 s, 0 to 30 in 45 s: 225 + 5·15; 10 to 30 in 30 s and 30 for 30 s.
    again.send(130.0, &[("A.P", 45.0, Some(0.0), GOOD)]);
    assert_eq!(
        again.lines(),
        ["0s A.P 1000 0 192 -", "0s A.P 300 1 192", "60s A.P 1700 0 192 -", "60s A.P 1500 1 192"]
    );
}

#[test]
fn a_late_sample_of_a_window_in_which_nobody_sent_anything_parts_the_line_over_it() {
    // The window from 60 s on is made by B's late sample, after A's line over it was weighed.
    let mut driver = node("{every: 1m, outputs: [total]}").driver();
    driver.send(0.0, &[("A.P", 0.0, Some(10.0), GOOD)]);
    driver.send(200.0, &[("A.P", 200.0, Some(60.0), GOOD)]);
    driver.send(250.0, &[("B.P", 70.0, Some(1.0), GOOD)]);
    driver.lines();
    driver.send(250.0, &[("A.P", 100.0, Some(85.0), GOOD)]);
    assert_eq!(
        driver.lines(),
        ["0s A.P 1050 192 -", "0s A.P 1950 192", "60s A.P 4450 192", "180s A.P 3550 192 -", "180s A.P 3650 192"]
    );
}

#[test]
fn lines_correct_until_the_cutoff() {
    let mut driver = node("{every: 1m, cutoff: 0s, outputs: [total, count]}").driver();
    driver.send(10.0, &[("A.P", 10.0, Some(10.0), GOOD)]);
    // A window that is not closed yet takes what belongs into it, whatever the cutoff.
    driver.send(61.0, &[("A.P", 40.0, Some(40.0), GOOD)]);
    driver.send(100.0, &[("A.P", 100.0, Some(10.0), GOOD), ("A.P", 50.0, Some(10.0), GOOD)]);
    driver.advance(122.0);
    // 25·30 s and 40·20 s; 30 to 10 from 60 s to 100 s, of the line that began at 40 s, and 10·20 s.
    assert_eq!(driver.lines(), ["0s A.P 1550 2 192", "late: 50s A.P 10 192 0", "60s A.P 1000 1 192"]);
}

#[test]
fn states_of_another_version_are_refused() {
    let mut driver = node("{every: 1m, outputs: [total]}").driver();
    let old = SavedState::encode(1, &()).unwrap();
    let refused = driver.transform.restore(&old);
    assert!(matches!(refused, Err(StateError::Version { found: 1, expected: 2 })), "{refused:?}");
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
    assert_eq!(driver.lines(), ["0s A.P null null 1 2s 5 4s 0 2 216"]);
}

#[test]
fn mistakes_are_reported() {
    let site = site();
    let wrong = |yaml: &str| site.node(&operator(), yaml, &[floats()]).err().unwrap();
    insta::assert_snapshot!(
        [
            "{every: 2d}",
            "{every: contractday}",
            "{every: 1m, outputs: [mean]}",
            "{every: 1m, outputs: [last, last]}",
            "{every: 7m, aligned: site}",
            "{every: 1m, outputs: []}",
            "{every: 1s, cutoff: 100d}",
            "{outputs: [last]}",
            "{every: 1h, total_per: 0s}"
        ]
        .map(wrong)
        .join("\n")
    );
}

#[test]
fn examples_are_right() {
    check_examples(&site(), &operator(), &[floats()]);
}

/// A site whose memory is for the samples of 1,000 s of its three tags.
fn small() -> TestSite {
    let mut site = site();
    site.site = Arc::new(Site {
        memory: ByteSize::from_bytes(96_000),
        tags: site.site.tags.clone(),
        directory: site.site.directory.clone(),
        ..Site::empty("TEST")
    });
    site
}

#[test]
fn corrections_reach_as_far_back_as_memory() {
    let site = small();
    let warnings = |yaml: &str| {
        let node = site.node(&operator(), yaml, &[floats()]).unwrap();
        let mut diagnostics = Diagnostics::new();
        let mut cx = CheckContext {
            registry: &site.registry,
            site: &site.site,
            owner: "test",
            node: "node",
            place: Place::NOWHERE,
            diagnostics: &mut diagnostics,
        };
        node.config.check(&node.context.inputs, &mut cx);
        let said: Vec<String> = diagnostics.iter().map(|found| format!("{} {}", found.code, found.message)).collect();
        (node, said.join("\n"))
    };
    let (_, said) = warnings("{every: 1m, outputs: [count, last]}");
    assert_eq!(said, "", "what weighs nothing keeps nothing");
    let (node, said) = warnings("{every: 1m, outputs: [time_average], interpolation: stepped}");
    let start = "W0521 the samples of 16 minutes are kept for corrections, which need those of 61";
    assert!(said.starts_with(start), "{said}");
    let mut driver = node.driver();
    for now in (0..=2_000).step_by(10).map(f64::from) {
        driver.send(now, &[("A.P", now, Some(1.0), GOOD)]);
    }
    driver.lines();
    driver.send(2_001.0, &[("A.P", 1_115.0, Some(7.0), GOOD), ("B.P", 995.0, Some(7.0), GOOD)]);
    // Of the minute from 1,080 s the 7 lasts 5 s.
    assert_eq!(driver.lines(), ["late: 995s B.P 7 192 0", "1080s A.P 1 192 -", "1080s A.P 1.5 192"]);
    assert_eq!(driver.drops(), [("beyond_memory", 1)]);
}

#[test]
fn samples_that_are_no_longer_needed_go_while_a_window_is_open() {
    let size = |hours: u32| {
        let mut driver = node("{every: 1d, outputs: [time_average], cutoff: 10m}").driver();
        for minute in 0..hours * 60 {
            let now = f64::from(minute) * 60.0;
            driver.send(now, &[("A.P", now, Some(f64::from(minute)), GOOD), ("B.P", now, Some(1.0), GOOD)]);
        }
        driver.transform.snapshot().unwrap()().unwrap().bytes.len()
    };
    // Those of ten minutes and an hour; the numbers themselves are longer later in the day.
    assert!(size(20) < size(3) + 1_000, "{} and {}", size(20), size(3));
}
