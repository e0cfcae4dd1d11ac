//! Twenty rounds that kill the command itself; what the others cut and break is in `oracle/tests/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;

use ducto_oracle::{Kind, Round, run_all};

const ROUNDS: u64 = 20;

#[test]
fn nothing_is_lost_when_the_process_is_killed() {
    let round = |seed| Round { ducto: Some(env!("CARGO_BIN_EXE_ducto").into()), ..Round::new(Kind::Kill, seed) };
    let (seen, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    run_all(&(1..=ROUNDS).map(round).collect::<Vec<_>>(), |_, result| match result {
        Ok(held) => seen.lock().unwrap().push(held),
        Err(failure) => failed.lock().unwrap().push(failure.to_string()),
    });
    let (seen, failed) = (seen.into_inner().unwrap(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{} of {ROUNDS} rounds: {}", failed.len(), failed.join("\n"));
    assert_eq!(seen.len() as u64, ROUNDS);
    assert!(seen.iter().all(|seen| seen.rows > 10 && seen.acknowledged > 0), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.sent > 0 && seen.alarms_acknowledged > 0), "{seen:?}");
}
