//! What a feeder tells of the endpoint it reads, for whoever looks at the site while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

/// The endpoint of a feeder as others see it: asked by other threads while the feeder runs, about once a second, and
/// only while somebody looks. It answers at once, from what the feeder has counted.
pub trait Link: Send + Sync {
    fn report(&self) -> LinkReport;
}

/// How an endpoint is at one moment. Counters grow from the start of the site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkReport {
    pub state: LinkState,
    /// Devices behind the endpoint.
    pub devices: u32,
    /// Those of them that do not answer and are left alone for a while.
    pub silent: u32,
    pub requests: u64,
    /// Requests and attempts to connect that failed, by cause: `timeout`, `exception 2`, `connect`.
    pub errors: BTreeMap<&'static str, u64>,
    /// Scans that were missed because polling took longer than their period.
    pub overruns: u64,
    /// From a request to its answer, of late.
    pub round_trip: Option<Duration>,
    /// Share of the time that the line was busy, of late: 0 to 1.
    pub utilisation: Option<f64>,
    /// The newest error, as the log tells it.
    pub last_error: Option<String>,
}

/// Whether an endpoint can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected yet.
    #[default]
    Waiting,
    Up,
    /// Connected, and some device behind it is silent.
    Partial,
    Down,
}

impl LinkState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Up => "up",
            Self::Partial => "partial",
            Self::Down => "down",
        }
    }
}
