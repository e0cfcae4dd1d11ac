//! `modbus`: devices that speak Modbus over TCP.

mod breaker;
mod feeder;
mod group;
mod notation;
mod point;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, ConnectionConfig, ConnectionMember, ConnectionTag, Decode, Feeder, Operator,
};
use ducto_graph::scalar::Duration;
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_record::time::{DAY, MILLISECOND};
use ducto_record::{Micros, ValueKind};
use modbus::{Addressing, Limits, Options, Order};
use schemars::JsonSchema;
use serde::Deserialize;

use feeder::{ModbusFeeder, Unit};
use group::{Group, PolledTag};
use notation::{AddressingName, OrderName};
use point::{Defaults, FIELDS, Named, Point};

pub use point::TagFields;

/// A device, or several behind a gateway, that speak Modbus TCP. Connections with the same endpoint share one socket.
/// Every tag gives a sample each scan: one without a value where there is no reading, whose quality says why (4
/// exception 1, 2 or 3; 12 exception 4; 24 no answer; 8 never connected; 32 not read yet).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modbus {
    /// `tcp://host:port`; the port is 502 where none is given.
    endpoint: Spanned<String>,
    /// Unit (slave) number of the device, 0 to 255.
    #[serde(default = "defaults::unit_id")]
    unit_id: u8,
    /// Order of the bytes of values in several registers; `A` is the most significant byte. `ABCD` is what the
    /// specification says, `CDAB` is frequent.
    #[serde(default = "defaults::order")]
    order: OrderName,
    /// How addresses are written: `0` (offsets), `1` (numbers from 1), `40001` or `400001` (the first digit is the
    /// table).
    #[serde(default = "defaults::addressing")]
    addressing: AddressingName,
    /// How often tags are read that do not say it themselves, 100 ms to 1 day.
    #[serde(default = "defaults::scan")]
    scan: Spanned<Duration>,
    /// How long to wait for a connection.
    #[serde(default = "defaults::connect_timeout")]
    connect_timeout: Duration,
    /// How long to wait for an answer.
    #[serde(default = "defaults::response_timeout")]
    response_timeout: Spanned<Duration>,
    /// Quiet time between connecting and the first request.
    #[serde(default)]
    pause_after_connect: Duration,
    /// Quiet time between an answer and the next request.
    #[serde(default)]
    pause_between_requests: Duration,
    /// Most registers that the device gives in one answer, up to 125.
    #[serde(default = "defaults::max_registers")]
    max_registers: Spanned<u16>,
    /// Most coils or discrete inputs that the device gives in one answer, up to 2000.
    #[serde(default = "defaults::max_bits")]
    max_bits: Spanned<u16>,
    /// What one more request costs, as a number of registers: gaps shorter than this are read over. High for radios, 0
    /// to read nothing that no tag asks for.
    #[serde(default = "defaults::request_cost")]
    request_cost: u16,
}

mod defaults {
    use super::*;

    pub(super) fn unit_id() -> u8 {
        1
    }
    pub(super) fn order() -> OrderName {
        OrderName(Order::default())
    }
    pub(super) fn addressing() -> AddressingName {
        AddressingName(Addressing::default())
    }
    pub(super) fn scan() -> Spanned<Duration> {
        Duration::from_secs(1).into()
    }
    pub(super) fn connect_timeout() -> Duration {
        Duration::from_secs(5)
    }
    pub(super) fn response_timeout() -> Spanned<Duration> {
        Duration::from_secs(1).into()
    }
    pub(super) fn max_registers() -> Spanned<u16> {
        Limits::default().registers.into()
    }
    pub(super) fn max_bits() -> Spanned<u16> {
        Limits::default().bits.into()
    }
    pub(super) fn request_cost() -> u16 {
        Limits::default().request_cost
    }
}

/// Times between scans.
const FASTEST: Micros = 100 * MILLISECOND;
const SLOWEST: Micros = DAY;

pub fn operator() -> Operator {
    Operator {
        name: "modbus",
        summary: "Devices that speak Modbus over TCP",
        schema: |generator| generator.subschema_for::<Modbus>(),
        examples: &[
            "connection: {type: modbus, endpoint: \"tcp://10.0.0.5:502\", unit_id: 3, order: CDAB, addressing: 40001, scan: 1s}",
            "radio: {type: modbus, endpoint: \"tcp://gateway:502\", response_timeout: 4s, pause_between_requests: 50ms, max_registers: 60, scan: 30s}",
        ],
        decode: Decode::Connection(|node, diagnostics| {
            decode::<Modbus>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn ConnectionConfig>)
        }),
    }
}

impl Modbus {
    /// `host:port` of the endpoint.
    fn address(&self) -> Result<String, String> {
        let text = self.endpoint.trim();
        let rest = text.strip_prefix("tcp://").ok_or_else(|| match text.split_once("://") {
            Some((scheme, _)) => format!("`{scheme}://` is no way to a Modbus device here"),
            None => format!("`{text}` is no endpoint"),
        })?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // What stands behind the last colon is the port, unless it belongs to an IPv6 address in brackets.
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok().filter(|port: &u16| *port > 0)),
            None => (rest, Some(502)),
        };
        let port = port.ok_or_else(|| format!("`{text}` names no port from 1 to 65535"))?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if host.is_empty() || !(plain || bracketed) {
            return Err(format!("`{text}` names no host"));
        }
        Ok(format!("{}:{port}", host.to_ascii_lowercase()))
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            addressing: self.addressing.0,
            order: self.order.0,
            max_registers: self.max_registers.value.min(Limits::default().registers),
        }
    }

    fn check_numbers(&self, diagnostics: &mut Diagnostics) {
        let mut outside = |outside: bool, place: Place, what: &str, help: &str| {
            if outside {
                diagnostics
                    .push(Diagnostic::new(Code::NumberOutOfRange, what.to_owned()).at(place).help(help.to_owned()));
            }
        };
        let (registers, bits) = (&self.max_registers, &self.max_bits);
        outside(
            !(1..=125).contains(&registers.value),
            registers.place,
            &format!("`max_registers` is {}", registers.value),
            "one answer carries 1 to 125 registers",
        );
        outside(
            !(1..=2000).contains(&bits.value),
            bits.place,
            &format!("`max_bits` is {}", bits.value),
            "one answer carries 1 to 2000 bits",
        );
        outside(
            self.response_timeout.value == Duration::ZERO,
            self.response_timeout.place,
            "`response_timeout` is 0",
            "the default is `1s`",
        );
        outside(
            !is_scan(self.scan.value),
            self.scan.place,
            &format!("`scan` is {}", self.scan.value),
            "scans are from `100ms` to `1d`",
        );
    }
}

fn is_scan(scan: Duration) -> bool {
    (FASTEST..=SLOWEST).contains(&scan.micros())
}

impl ConnectionConfig for Modbus {
    fn check(&self, tags: &[ConnectionTag<'_>], cx: &mut CheckContext<'_>) {
        if let Err(message) = self.address() {
            let help = "write `tcp://host:502`";
            cx.report(Diagnostic::new(Code::EndpointInvalid, message).at(self.endpoint.place).help(help));
        }
        self.check_numbers(cx.diagnostics);
        let mut points = Vec::new();
        for ConnectionTag { tag, fields } in tags {
            if let Some(scan) = tag.scan.filter(|scan| !is_scan(*scan) && *scan != self.scan.value) {
                let place = tag.definition.get("scan").map_or(tag.name.place, |node| node.place);
                let message = format!("`{}` is to be read every {scan}", *tag.name);
                let help = "scans are from `100ms` to `1d`";
                cx.report(Diagnostic::new(Code::NumberOutOfRange, message).at(place).help(help));
            }
            let Some(point) = Point::read(fields, self.defaults(), cx.diagnostics) else { continue };
            if !group::fits(point.kind, point.value_kind(), tag.kind) {
                let message = format!(
                    "`{}` is a tag of {}, and `as: {}` gives {}",
                    *tag.name,
                    tag.kind,
                    point.kind,
                    point.value_kind()
                );
                let set = tag.definition.get("kind").or(tag.definition.get("as")).map(|field| field.place);
                cx.report(
                    Diagnostic::new(Code::TypeMismatch, message)
                        .at(set.unwrap_or(tag.name.place))
                        .help("remove `kind`, or read another type"),
                );
            }
            let place = fields.get("address").map_or(tag.name.place, |address| address.place);
            points.push(Named { name: &tag.name, place, point });
        }
        point::check_overlaps(&mut points, cx.diagnostics);
    }

    fn endpoint(&self) -> String {
        self.address().map_or_else(|_| self.endpoint.value.clone(), |address| format!("tcp://{address}"))
    }

    fn open(&self, members: Vec<ConnectionMember>, cx: &BuildContext) -> Result<Box<dyn Feeder>, BuildError> {
        let address = self.address().map_err(|message| cx.error(message))?;
        let mut options = Options::default();
        let mut units: BTreeMap<u8, (Unit, Limits)> = BTreeMap::new();
        let mut groups: BTreeMap<(u8, Duration), Vec<PolledTag>> = BTreeMap::new();
        for (index, ConnectionMember { asset, config, tags }) in members.iter().enumerate() {
            let Some(config) = config.as_any().downcast_ref::<Self>() else {
                return Err(cx.error(format!("the connection of `{asset}` is of another type")));
            };
            // One socket serves all: it is as patient as the most patient of them.
            let first = index == 0;
            let most = |value: &mut std::time::Duration, of: Duration| {
                *value = if first { of.to_std() } else { (*value).max(of.to_std()) };
            };
            most(&mut options.connect_timeout, config.connect_timeout);
            most(&mut options.response_timeout, config.response_timeout.value);
            most(&mut options.pause_after_connect, config.pause_after_connect);
            most(&mut options.pause_between_requests, config.pause_between_requests);
            let timeout = config.response_timeout.to_std();
            let own = Limits {
                registers: config.max_registers.value,
                bits: config.max_bits.value,
                request_cost: config.request_cost,
            };
            let (unit, limits) =
                units.entry(config.unit_id).or_insert_with(|| (Unit::new(config.unit_id, timeout), own));
            unit.response_timeout = unit.response_timeout.max(timeout);
            limits.registers = limits.registers.min(own.registers);
            limits.bits = limits.bits.min(own.bits);
            for tag in tags {
                let mut diagnostics = Diagnostics::new();
                let Some(point) = Point::read(&tag.connection_fields, config.defaults(), &mut diagnostics) else {
                    let why = diagnostics.iter().next().map(|found| found.message.clone()).unwrap_or_default();
                    return Err(cx.error(format!("`{}`: {why}", *tag.name)));
                };
                let scan = tag.scan.unwrap_or(config.scan.value).micros().clamp(FASTEST, SLOWEST);
                let scan = Duration::from_micros(scan);
                let polled = PolledTag { tag: tag.id, kind: tag.kind, point };
                groups.entry((config.unit_id, scan)).or_default().push(polled);
            }
        }
        let now = Instant::now();
        let numbers: Vec<u8> = units.keys().copied().collect();
        let groups = groups
            .into_iter()
            .filter_map(|((id, scan), tags)| {
                let (_, limits) = units.get(&id)?;
                let unit = numbers.iter().position(|number| *number == id)?;
                Some(Group::new(unit, scan.to_std(), tags, *limits, now))
            })
            .collect();
        let units = units.into_values().map(|(unit, _)| unit).collect();
        Ok(Box::new(ModbusFeeder::new(address, options, units, groups)))
    }

    fn scan(&self) -> Option<Duration> {
        Some(self.scan.value)
    }

    fn tag_fields(&self) -> Option<&'static [&'static str]> {
        Some(&FIELDS)
    }

    fn value_kind(&self, fields: &Node) -> ValueKind {
        Point::read(fields, self.defaults(), &mut Diagnostics::new())
            .map_or(ValueKind::Float64, |point| point.value_kind())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
