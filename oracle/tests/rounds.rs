//! Twenty rounds of each kind that needs no other process, and the proof that a build without fsync does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use ducto_oracle::{Kind, Round};

const PATIENCE: Duration = Duration::from_secs(60);

fn rounds(kind: Kind) {
    let (mut faults, mut rows, mut done) = (0, 0, 0);
    let started = Instant::now();
    for seed in 0..20 {
        // A stop whose power goes waits for its disk: with many of those the rest is left to `cargo xtask oracle`.
        if done >= 5 && started.elapsed() > PATIENCE {
            break;
        }
        let round = Round { kind, seed: seed * 7 + 1, ducto: None, forgetful: false };
        let seen = round.run().unwrap_or_else(|failure| panic!("{failure}"));
        assert!(seen.entries > 5 && seen.rows > 10 && seen.acknowledged > 0, "{seen:?}");
        rows += seen.rows;
        done += 1;
        faults += seen.faults;
    }
    assert!(kind == Kind::Errors || faults > done, "something was cut off: {faults}");
    // A round all of whose starts but the last fail is short; most are not.
    assert!(rows > done * 50, "{rows} rows in all rounds");
}

#[test]
fn nothing_is_lost_when_the_power_goes() {
    rounds(Kind::Cut);
}

#[test]
fn nothing_is_lost_when_the_disk_fails() {
    rounds(Kind::Errors);
}

#[test]
fn a_build_without_fsync_is_found_out() {
    let found: Vec<String> = (0..20)
        .filter_map(|seed| {
            let round = Round { kind: Kind::Cut, seed: 60 + seed * 7, ducto: None, forgetful: true };
            round.run().err().map(|failure| failure.what)
        })
        .take(1)
        .collect();
    assert!(!found.is_empty(), "twenty power cuts without fsync lost nothing that the oracle saw");
    println!("{found:?}");
}
