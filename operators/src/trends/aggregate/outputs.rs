//! The figures of a window that a user can ask for.

use arrow::datatypes::{DataType, Field, TimeUnit};
use ducto_record::with_unit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure of a window. *Accepted* samples are those of the quality that `accept` names, with a finite value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Mean of the accepted samples, whatever their distance in time.
    Average,
    /// Mean over time: each value weighs as long as it lasts; times without an accepted value are left out.
    TimeAverage,
    /// Integral over time, per `total_per`: times without an accepted value add nothing.
    Total,
    Minimum,
    /// When the minimum was first reached.
    MinimumTime,
    Maximum,
    /// When the maximum was first reached.
    MaximumTime,
    /// Maximum less minimum.
    Range,
    /// Accepted samples.
    Count,
    /// The first sample whatever its quality; null where it is not accepted.
    Start,
    /// The last sample whatever its quality; null where it is not accepted.
    End,
    /// The first accepted sample by time.
    First,
    FirstTime,
    /// The last accepted sample by time.
    Last,
    LastTime,
    /// Last less first.
    Delta,
    /// Seconds with an accepted value.
    DurationGood,
    /// Share of the window with an accepted value, in percent.
    PercentGood,
    /// Changes between zero and not zero, the one from the window before included.
    NumberOfTransitions,
    /// Seconds with the accepted value zero, `false`.
    DurationInStateZero,
    /// Seconds with an accepted value other than zero, `true`.
    DurationInStateNonzero,
    /// Of the accepted samples, with n − 1; null for one sample.
    StandardDeviation,
    /// The worst quality of all samples.
    WorstQuality,
}

impl Output {
    #[cfg(test)]
    pub(super) const ALL: [Self; 23] = [
        Self::Average,
        Self::TimeAverage,
        Self::Total,
        Self::Minimum,
        Self::MinimumTime,
        Self::Maximum,
        Self::MaximumTime,
        Self::Range,
        Self::Count,
        Self::Start,
        Self::End,
        Self::First,
        Self::FirstTime,
        Self::Last,
        Self::LastTime,
        Self::Delta,
        Self::DurationGood,
        Self::PercentGood,
        Self::NumberOfTransitions,
        Self::DurationInStateZero,
        Self::DurationInStateNonzero,
        Self::StandardDeviation,
        Self::WorstQuality,
    ];

    /// The column's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::TimeAverage => "time_average",
            Self::Total => "total",
            Self::Minimum => "minimum",
            Self::MinimumTime => "minimum_time",
            Self::Maximum => "maximum",
            Self::MaximumTime => "maximum_time",
            Self::Range => "range",
            Self::Count => "count",
            Self::Start => "start",
            Self::End => "end",
            Self::First => "first",
            Self::FirstTime => "first_time",
            Self::Last => "last",
            Self::LastTime => "last_time",
            Self::Delta => "delta",
            Self::DurationGood => "duration_good",
            Self::PercentGood => "percent_good",
            Self::NumberOfTransitions => "number_of_transitions",
            Self::DurationInStateZero => "duration_in_state_zero",
            Self::DurationInStateNonzero => "duration_in_state_nonzero",
            Self::StandardDeviation => "standard_deviation",
            Self::WorstQuality => "worst_quality",
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::MinimumTime | Self::MaximumTime | Self::FirstTime | Self::LastTime => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Self::Count | Self::NumberOfTransitions => DataType::Int64,
            Self::WorstQuality => DataType::UInt16,
            _ => DataType::Float64,
        }
    }

    /// The column. A unit is named where it is sure: `common` is that of all tags, if they have one in common. A total
    /// has none, since the unit of a rate's integral depends on `total_per`.
    pub(super) fn field(self, common: Option<&str>) -> Field {
        let field = Field::new(self.name(), self.data_type(), true);
        match self {
            Self::PercentGood => with_unit(field, "%"),
            Self::DurationGood | Self::DurationInStateZero | Self::DurationInStateNonzero => with_unit(field, "s"),
            Self::Average
            | Self::TimeAverage
            | Self::Minimum
            | Self::Maximum
            | Self::Start
            | Self::End
            | Self::First
            | Self::Last => match common {
                Some(unit) => with_unit(field, unit),
                None => field,
            },
            _ => field,
        }
    }
}
