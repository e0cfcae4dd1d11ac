//! When to try again.

use std::time::Duration;

/// The pause after the first failure; doubles up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A receiver may ask for a longer pause than that, and not for ever.
const ASKED: Duration = Duration::from_secs(3_600);

/// Growing pauses with jitter, so that many sites do not come back all at once when a receiver does.
#[derive(Debug)]
pub(super) struct Retry {
    failures: u32,
    chance: u64,
}

impl Retry {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, chance: seed | 1 }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure: between half and all of what its number gives, and no less than the receiver
    /// asks for.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let part = (self.chance >> 11) as f64 / (1_u64 << 53) as f64;
        let own = whole.mul_f64(0.5 + part / 2.0);
        asked.map_or(own, |asked| own.max(asked.min(ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_the_longest() {
        let mut retry = Retry::new(7);
        for failure in 0..40_u32 {
            let whole = FIRST.saturating_mul(1 << failure.min(16)).min(LONGEST);
            let pause = retry.pause(None);
            assert!(pause >= whole / 2 && pause <= whole, "{failure}: {pause:?}");
        }
        retry.reset();
        assert!(retry.pause(None) <= FIRST);
        assert_eq!(retry.pause(Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(retry.pause(Some(Duration::MAX)), ASKED);
    }

    #[test]
    fn sites_do_not_come_back_together() {
        let mut pauses: Vec<_> = (0..100).map(|seed| Retry::new(seed * 7_919).pause(None)).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 45, "{}", pauses.len());
    }
}
