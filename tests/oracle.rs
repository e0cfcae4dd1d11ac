//! Twenty rounds that kill the command itself; what the others cut and break is in `oracle/tests/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ducto_oracle::{Kind, Round};

#[test]
fn nothing_is_lost_when_the_process_is_killed() {
    for seed in 1..=20 {
        let ducto = Some(env!("CARGO_BIN_EXE_ducto").into());
        let seen = Round { kind: Kind::Kill, seed, ducto, forgetful: false }
            .run()
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(seen.rows > 10, "{seen:?}");
    }
}
