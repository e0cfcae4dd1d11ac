//! How fast a recording is replayed.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ducto_record::Micros;

/// `max`, `real`, or a multiple of real time such as `60x`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// As fast as the graph takes it.
    #[default]
    Max,
    /// So many seconds of the recording in a second; 1 is real time.
    Times(f64),
}

/// A text that is no pace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pace\nwrite `max`, `real`, or a multiple of real time such as `60x`")]
pub struct PaceError(String);

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, PaceError> {
        match text.trim() {
            "max" => Ok(Self::Max),
            "real" => Ok(Self::Times(1.0)),
            text => text
                .strip_suffix('x')
                .and_then(|times| times.parse().ok())
                .filter(|times: &f64| times.is_finite() && *times > 0.0)
                .map(Self::Times)
                .ok_or_else(|| PaceError(text.to_owned())),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Times(times) if *times == 1.0 => f.write_str("real"),
            Self::Times(times) => write!(f, "{times}x"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Pace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Pace {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pace".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^(max|real|[0-9]+(\.[0-9]+)?x)$",
            "examples": ["max", "real", "60x"],
        })
    }
}

impl Pace {
    /// When an entry is due, if the first one, of the time `first`, was given at `started`. `None` for at once.
    pub fn due(self, started: Instant, first: Micros, time: Micros) -> Option<Instant> {
        let Self::Times(times) = self else { return None };
        let seconds = time.saturating_sub(first) as f64 / 1e6 / times;
        started.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paces_are_read_and_kept() {
        for text in ["max", "real", "60x", "0.5x"] {
            assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
        }
        for text in ["", "x", "0x", "-1x", "nanx", "fast", "60"] {
            assert!(text.parse::<Pace>().is_err(), "{text}");
        }
        let now = Instant::now();
        let due = "60x".parse::<Pace>().unwrap().due(now, 0, 120_000_000);
        assert_eq!(due, Some(now + Duration::from_secs(2)));
        assert_eq!(Pace::Max.due(now, 0, 5), None);
    }
}
