//! Quality as an OPC DA code, and the bits of the checks that failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An OPC DA quality code (`QQSSSSLL`); the two high bits of the low byte are the class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quality(pub u16);

/// Bad < Uncertain < Good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QualityClass {
    Bad,
    Uncertain,
    Good,
}

impl Quality {
    pub const BAD: Self = Self(0);
    pub const CONFIG_ERROR: Self = Self(4);
    /// Never connected yet.
    pub const NOT_CONNECTED: Self = Self(8);
    pub const DEVICE_FAILURE: Self = Self(12);
    pub const SENSOR_FAILURE: Self = Self(16);
    pub const LAST_KNOWN: Self = Self(20);
    pub const COMM_FAILURE: Self = Self(24);
    pub const OUT_OF_SERVICE: Self = Self(28);
    /// Before the first value.
    pub const WAITING: Self = Self(32);
    pub const UNCERTAIN: Self = Self(64);
    pub const LAST_USABLE: Self = Self(68);
    pub const SENSOR_NOT_ACCURATE: Self = Self(80);
    pub const EU_EXCEEDED: Self = Self(84);
    pub const SUB_NORMAL: Self = Self(88);
    pub const GOOD: Self = Self(192);
    pub const LOCAL_OVERRIDE: Self = Self(216);

    /// The codes that have a name of their own.
    pub const NAMED: [Self; 16] = [
        Self::GOOD,
        Self::LOCAL_OVERRIDE,
        Self::UNCERTAIN,
        Self::LAST_USABLE,
        Self::SENSOR_NOT_ACCURATE,
        Self::EU_EXCEEDED,
        Self::SUB_NORMAL,
        Self::BAD,
        Self::CONFIG_ERROR,
        Self::NOT_CONNECTED,
        Self::DEVICE_FAILURE,
        Self::SENSOR_FAILURE,
        Self::LAST_KNOWN,
        Self::COMM_FAILURE,
        Self::OUT_OF_SERVICE,
        Self::WAITING,
    ];

    /// The code of a name, in letters of any size.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|quality| quality.name().eq_ignore_ascii_case(name))
    }

    /// Whether OPC DA gives the code a meaning: one byte, and none of the reserved pattern 128 to 191.
    pub const fn is_defined(self) -> bool {
        self.0 <= 0xFF && self.0 & 0xC0 != 0x80
    }

    /// The class of a code; 128 (a reserved pattern) counts as Bad.
    #[inline]
    pub const fn class(self) -> QualityClass {
        match self.0 & 0xC0 {
            0xC0 => QualityClass::Good,
            0x40 => QualityClass::Uncertain,
            _ => QualityClass::Bad,
        }
    }

    #[inline]
    pub const fn is_good(self) -> bool {
        self.0 & 0xC0 == 0xC0
    }

    #[inline]
    pub const fn is_bad(self) -> bool {
        !matches!(self.0 & 0xC0, 0xC0 | 0x40)
    }

    /// Good or Uncertain.
    #[inline]
    pub const fn is_usable(self) -> bool {
        !self.is_bad()
    }

    /// Whether a person gave the value: LOCAL_OVERRIDE, whatever its limit bits.
    #[inline]
    pub const fn is_forced(self) -> bool {
        self.0 & 0xFC == Self::LOCAL_OVERRIDE.0
    }

    /// The worse of two: the lower class wins. Among Good codes one that says more wins over plain 192, and a forced
    /// value over both, so that what comes of several values never hides that one of them was forced. The first wins
    /// among equals.
    #[inline]
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.rank() < self.rank() { other } else { self }
    }

    /// What [`Quality::worst`] compares.
    const fn rank(self) -> u8 {
        match self.class() {
            QualityClass::Bad => 0,
            QualityClass::Uncertain => 1,
            QualityClass::Good if self.is_forced() => 2,
            QualityClass::Good if self.0 != Self::GOOD.0 => 3,
            QualityClass::Good => 4,
        }
    }

    /// The name of the code where it has one, of its class otherwise.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "BAD",
            4 => "CONFIG_ERROR",
            8 => "NOT_CONNECTED",
            12 => "DEVICE_FAILURE",
            16 => "SENSOR_FAILURE",
            20 => "LAST_KNOWN",
            24 => "COMM_FAILURE",
            28 => "OUT_OF_SERVICE",
            32 => "WAITING",
            64 => "UNCERTAIN",
            68 => "LAST_USABLE",
            80 => "SENSOR_NOT_ACCURATE",
            84 => "EU_EXCEEDED",
            88 => "SUB_NORMAL",
            192 => "GOOD",
            216 => "LOCAL_OVERRIDE",
            _ => match self.class() {
                QualityClass::Good => "GOOD",
                QualityClass::Uncertain => "UNCERTAIN",
                QualityClass::Bad => "BAD",
            },
        }
    }
}

impl fmt::Debug for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which quality checks failed on a sample, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checks(pub u16);

impl Checks {
    pub const RANGE: Self = Self(1);
    pub const ENVELOPE: Self = Self(1 << 1);
    pub const JUMP: Self = Self(1 << 2);
    pub const SPIKE: Self = Self(1 << 3);
    pub const RATE: Self = Self(1 << 4);
    pub const CROSS_CHECK: Self = Self(1 << 5);
    pub const FROZEN: Self = Self(1 << 6);
    pub const STALE: Self = Self(1 << 7);
    pub const GAP: Self = Self(1 << 8);
    pub const FUTURE: Self = Self(1 << 9);
    pub const OUT_OF_ORDER: Self = Self(1 << 10);

    /// Names in the order of the bits.
    pub const NAMES: [&'static str; 11] = [
        "range",
        "envelope",
        "jump",
        "spike",
        "rate",
        "cross_check",
        "frozen",
        "stale",
        "gap",
        "future",
        "out_of_order",
    ];

    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the checks that failed.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_and_the_first_among_equals() {
        assert_eq!(Quality::GOOD.worst(Quality::SUB_NORMAL), Quality::SUB_NORMAL);
        assert_eq!(Quality::SUB_NORMAL.worst(Quality::EU_EXCEEDED), Quality::SUB_NORMAL);
        assert_eq!(Quality::EU_EXCEEDED.worst(Quality::BAD), Quality::BAD);
        assert_eq!(Quality::SENSOR_FAILURE.worst(Quality::GOOD), Quality::SENSOR_FAILURE);
        assert!(Quality::LOCAL_OVERRIDE.is_good());
        assert!(Quality(217).is_forced() && !Quality::GOOD.is_forced() && !Quality::SUB_NORMAL.is_forced());
        assert!(Quality(128).is_bad());
    }

    #[test]
    fn a_forced_value_among_good_ones_shows() {
        // 193 is Good, at its low limit.
        let (plain, limited, forced) = (Quality::GOOD, Quality(193), Quality::LOCAL_OVERRIDE);
        for (a, b, worst) in [(plain, forced, forced), (plain, limited, limited), (limited, forced, forced)] {
            assert_eq!((a.worst(b), b.worst(a)), (worst, worst));
        }
        assert_eq!(forced.worst(Quality::UNCERTAIN), Quality::UNCERTAIN);
        assert_eq!(Quality::BAD.worst(forced), Quality::BAD);
        assert_eq!(limited.worst(Quality(194)), limited);
    }

    #[test]
    fn bits_have_the_names_of_their_order() {
        let failed = Checks::RANGE.with(Checks::OUT_OF_ORDER);
        assert_eq!(failed.names().collect::<Vec<_>>(), ["range", "out_of_order"]);
    }
}
