//! A config struct with something of every kind, for the tests of decoding.

use std::collections::BTreeMap;

use ducto_graph::decode::OrderedMap;
use ducto_graph::scalar::{ByteSize, Duration, Name, Percent, Quantity, TimeOfDay, TimeZone, Timestamp};
use ducto_graph::secret::Secret;
use ducto_graph::tree::{Node, Spanned};
use serde::Deserialize;

/// An [`Example`] without mistakes.
pub(crate) const RIGHT: &str = "
name: a-1
mode: {interpolate: {max_gap: 5m}}
every: 1s
memory: 256MB
start: '06:00'
time_zone: America/Bogota
since: 2026-01-01T00:00:00Z
pressure: 14.0 psia
share: 80
password: secret://file/mqtt
unit_id: 1
offset: 1
enabled: true
span: [0, 5000]
inputs: [a, b]
limits: {H: 2500, HH: {limit: 3000, on_delay: 5s, class: safety}}
states: {0: Parado, 1: En marcha}
rest: {any: [thing]}
";

/// Something of every kind that a config struct may hold.
#[derive(Debug, Deserialize)]
#[allow(dead_code)] // Only decoded.
pub(crate) struct Example {
    pub(crate) name: Spanned<Name>,
    pub(crate) mode: Mode,
    pub(crate) every: Option<Duration>,
    pub(crate) memory: Option<ByteSize>,
    pub(crate) start: Option<TimeOfDay>,
    pub(crate) time_zone: Option<TimeZone>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) pressure: Option<Quantity>,
    pub(crate) share: Option<Percent>,
    pub(crate) password: Option<Secret>,
    pub(crate) unit_id: Option<u8>,
    pub(crate) offset: Option<f64>,
    pub(crate) enabled: Option<bool>,
    pub(crate) span: Option<[f64; 2]>,
    #[serde(default)]
    pub(crate) inputs: Vec<Spanned<Name>>,
    #[serde(default)]
    pub(crate) limits: OrderedMap<Limit>,
    pub(crate) states: Option<BTreeMap<u8, String>>,
    pub(crate) rest: Option<Node>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // Only decoded.
pub(crate) enum Mode {
    Hold,
    Interpolate { max_gap: Duration },
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a limit: a number, or a mapping with `limit`, `on_delay` and `class`")]
#[allow(dead_code)] // Only decoded.
pub(crate) enum Limit {
    Plain(f64),
    Full { limit: f64, on_delay: Option<Duration>, class: Option<Name> },
}
