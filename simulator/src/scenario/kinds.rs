//! The kinds of events: on what they happen, and which fields they take. One table serves the check, the schema and the
//! reference.

use schemars::JsonSchema;
use serde::Deserialize;

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// The choke moves to an opening.
    Choke,
    /// The drive is set to a frequency.
    Frequency,
    /// The pump stops.
    Stop,
    /// The pump starts again.
    Start,
    /// Gas gets into the pump: current and rate fall and swing. `to` is its severity in %, 100 where it is not given.
    GasLock,
    /// The pump loses a share of its head.
    Wear,
    /// The water cut changes.
    WaterCut,
    /// The well goes to a test separator, the first one where `separator` is not given.
    WellTest,
    /// The pressure of a separator is set.
    Pressure,
    /// The liquid outlets of a separator are blocked: it fills.
    BlockedOutlet,
    /// A transmitter shows something else for a moment: `to` a value, or `by` this much off. A second where `for` is not
    /// given.
    Spike,
    /// A transmitter is stuck at what it shows.
    Freeze,
    /// A transmitter goes off, by so much in the time `over`.
    Drift,
    /// A transmitter is broken: it shows `to`, or no number at all.
    Fail,
    /// A device does not answer.
    Dead,
    /// A device answers late, by so many seconds.
    Slow,
    /// A device answers something wrong.
    Lie,
}

/// What an event happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Well,
    Separator,
    /// Either of them.
    Device,
    /// A measurement of either.
    Tag,
}

/// What an event takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    pub on: On,
    /// Fields that must be there, and fields that may.
    pub needs: &'static [&'static str],
    pub may: &'static [&'static str],
    /// Whether it is over at some time, so that `for` means something.
    pub lasts: bool,
}

impl EventName {
    pub const ALL: [Self; 17] = [
        Self::Choke,
        Self::Frequency,
        Self::Stop,
        Self::Start,
        Self::GasLock,
        Self::Wear,
        Self::WaterCut,
        Self::WellTest,
        Self::Pressure,
        Self::BlockedOutlet,
        Self::Spike,
        Self::Freeze,
        Self::Drift,
        Self::Fail,
        Self::Dead,
        Self::Slow,
        Self::Lie,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Choke => "choke",
            Self::Frequency => "frequency",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::GasLock => "gas_lock",
            Self::Wear => "wear",
            Self::WaterCut => "water_cut",
            Self::WellTest => "well_test",
            Self::Pressure => "pressure",
            Self::BlockedOutlet => "blocked_outlet",
            Self::Spike => "spike",
            Self::Freeze => "freeze",
            Self::Drift => "drift",
            Self::Fail => "fail",
            Self::Dead => "dead",
            Self::Slow => "slow",
            Self::Lie => "lie",
        }
    }

    pub const fn takes(self) -> Takes {
        const fn takes(on: On, needs: &'static [&'static str], may: &'static [&'static str], lasts: bool) -> Takes {
            Takes { on, needs, may, lasts }
        }
        match self {
            Self::Choke | Self::WaterCut => takes(On::Well, &["to"], &["over"], true),
            Self::Frequency => takes(On::Well, &["to"], &[], true),
            Self::Stop => takes(On::Well, &[], &[], true),
            Self::Start => takes(On::Well, &[], &[], false),
            Self::GasLock => takes(On::Well, &[], &["to"], true),
            Self::Wear => takes(On::Well, &["by"], &["over"], false),
            Self::WellTest => takes(On::Well, &[], &["separator"], true),
            Self::Pressure => takes(On::Separator, &["to"], &[], true),
            Self::BlockedOutlet => takes(On::Separator, &[], &[], true),
            Self::Spike => takes(On::Tag, &[], &["to", "by"], true),
            Self::Freeze => takes(On::Tag, &[], &[], true),
            Self::Drift => takes(On::Tag, &["by"], &["over"], true),
            Self::Fail => takes(On::Tag, &[], &["to"], true),
            Self::Dead => takes(On::Device, &[], &[], true),
            Self::Slow => takes(On::Device, &["by"], &[], true),
            Self::Lie => takes(On::Device, &["answer"], &[], true),
        }
    }

    /// Whether only what is measured goes wrong, and nothing in the field itself.
    pub const fn is_dirt(self) -> bool {
        matches!(self.takes().on, On::Tag | On::Device)
    }
}
