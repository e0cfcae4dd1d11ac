//! Seeded mutations of inputs, and how many of them are tried.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// Runs a property on many values of a strategy, the same ones each time.
pub(crate) fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value)) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(20_260_101);
    }
    let run = |value| -> Result<(), TestCaseError> {
        property(value);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(strategy, run) {
        panic!("{failure}");
    }
}

/// One change to some bytes.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    kind: u8,
    at: usize,
    length: usize,
    token: usize,
}

pub(crate) const TOKENS: [&str; 36] = [
    "\n", " ", "  ", "\t", ":", ": ", "- ", "[", "]", "{", "}", ",", ";", "\"", "'", "&a ", "*a", "<<: *a", "!!int ",
    "|\n", ">-\n", "# ", "---\n", "${", "${a}", "$$", "}", "~", "ñ", "\u{feff}", "\u{2029}", "1.234", "-", "? ",
    "\r\n", "\0",
];

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (0u8..5, any::<usize>(), 1usize..40, any::<usize>());
    vec(change.prop_map(|(kind, at, length, token)| Change { kind, at, length, token }), 0..8)
}

pub(crate) fn mutate(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let at = change.at % (bytes.len() + 1);
        let end = (at + change.length).min(bytes.len());
        match change.kind {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let token = TOKENS[change.token % TOKENS.len()];
                bytes.splice(at..at, token.bytes());
            }
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 if at < bytes.len() => bytes[at] = (change.token % 256) as u8,
            _ => {
                let to = change.token % (bytes.len() + 1);
                let copy = bytes[at..end].to_vec();
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}
