//! Twenty rounds of each kind that needs no other process, and the proof that a build without fsync does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;

use ducto_oracle::{Kind, Round, Seen, run_all};

const ROUNDS: usize = 20;

/// All of them, whatever time they take.
fn held(rounds: &[Round]) -> Vec<Seen> {
    let (seen, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    run_all(rounds, |_, result| match result {
        Ok(held) => seen.lock().unwrap().push(held),
        Err(failure) => failed.lock().unwrap().push(failure.to_string()),
    });
    let (seen, failed) = (seen.into_inner().unwrap(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{} of {} rounds: {}", failed.len(), rounds.len(), failed.join("\n"));
    assert_eq!(seen.len(), rounds.len());
    // Where its disk fails at every start, little is seen of a site: only the last life is long for certain.
    assert!(seen.iter().all(|seen| seen.rows > 10 && seen.acknowledged > 0 && seen.sent > 5), "{seen:?}");
    assert!(seen.iter().filter(|seen| seen.entries > 20 && seen.rows > 60).count() * 2 > seen.len(), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.alarms_acknowledged > 0), "nobody has acknowledged an alarm: {seen:?}");
    seen
}

/// Rounds whose power goes at operations that lie evenly among all of two lives.
fn cuts(rounds: usize, forgetful: bool) -> Vec<Round> {
    let operations = ducto_oracle::operations().unwrap_or_else(|failure| panic!("{failure}"));
    let at = |index: usize| operations[(index * operations.len() + operations.len() / 2) / rounds].clone();
    (0..rounds)
        .map(|index| Round { at: Some(at(index)), forgetful, ..Round::new(Kind::Cut, index as u64 + 1) })
        .collect()
}

#[test]
fn nothing_is_lost_when_the_power_goes() {
    let seen = held(&cuts(ROUNDS, false));
    let came = seen.iter().filter(|seen| seen.cut).count();
    assert!(came * 4 >= ROUNDS * 3, "the power went in {came} of {ROUNDS} rounds");
}

#[test]
fn nothing_is_lost_when_the_disk_fails() {
    let rounds: Vec<Round> = (1..=ROUNDS as u64).map(|seed| Round::new(Kind::Errors, seed)).collect();
    let faults: usize = held(&rounds).iter().map(|seen| seen.faults).sum();
    assert!(faults > 3 * ROUNDS, "the disk failed {faults} times");
}

#[test]
fn the_older_checkpoint_is_fallen_back_to() {
    let seen = held(&[1, 2, 3, 4].map(|seed| Round::new(Kind::Older, seed)));
    assert!(seen.iter().all(|seen| seen.faults == 1), "{seen:?}");
}

#[test]
fn the_whole_journal_is_fallen_back_to() {
    let seen = held(&[1, 2, 3, 4].map(|seed| Round::new(Kind::Whole, seed)));
    assert!(seen.iter().all(|seen| seen.faults >= 2), "{seen:?}");
}

#[test]
fn a_build_without_fsync_is_found_out() {
    let found = Mutex::new(Vec::new());
    run_all(&cuts(8, true), |_, result| {
        found.lock().unwrap().extend(result.err().map(|failure| failure.what));
    });
    let found = found.into_inner().unwrap();
    assert!(
        found.iter().any(|what| what.contains("said to be on disk") || what.contains("acknowledge")),
        "eight power cuts without fsync lost nothing that the oracle saw: {found:?}"
    );
}
