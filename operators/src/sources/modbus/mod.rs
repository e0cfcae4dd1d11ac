//! `modbus`: devices that speak Modbus, over TCP, serial lines, converters and modems.

mod breaker;
mod check;
mod figures;
mod group;
mod inspect;
mod link;
mod notation;
mod open;
mod overlaps;
mod point;
mod poller;
pub mod probe;
mod schedule;
mod shape;
mod standing;
pub mod suggest;
#[cfg(test)]
mod tests;
mod unit;

use std::any::Any;
use std::sync::Arc;

use ducto_graph::decode::decode;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Connection, ConnectionConfig, ConnectionTag, Decode, Endpoint, Operator,
};
use ducto_graph::scalar::Duration;
use ducto_graph::site::TagSettings;
use ducto_graph::tree::{Entry, Node, Spanned, Value};
use ducto_record::ValueKind;
use modbus::{Addressing, Limits, Options, Order};
use schemars::JsonSchema;
use serde::Deserialize;

use figures::{FIGURES, LINK_STATES};
use notation::{AddressingName, Chosen, Enron, OrderName};
use point::{Defaults, FIELDS, Meaning};

pub use inspect::{PlannedRead, ReadPlan, TagReading, endpoint_plans, read_once, read_plan};
pub use point::{Point, TagFields};
pub use schedule::Priority;

/// A device, or several behind a gateway or on a line, that speak Modbus. Connections with the same endpoint share one
/// socket or line, on which one request is under way at a time; of all that is due, whoever has used the line least
/// goes next. Every tag gives a sample each scan: one without a value where there is no reading, whose quality says why
/// (4 exception 1, 2 or 3; 12 exception 4; 24 no answer; 8 never connected; 32 not read yet). A device that does not
/// answer twice in a row is left alone for a second, then for longer and longer up to 30 s, and asked once each time; so
/// is a single read at which a device hangs that answers others. Where `response_timeout` is longer than the shortest
/// `scan` that is answered, each such wait costs scans: then all of them together have a twenty-fifth of the time, and
/// each is asked once in 24 waits for as many as there are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modbus {
    /// Where the device is reached:
    /// `tcp://host:port` is Modbus TCP (port 502 where none is given), `rtu+tcp://host:port` RTU over TCP, as converters
    /// of serial lines have it. `serial:///dev/ttyUSB0?baud=9600&parity=none&stop=2` is a serial line; `baud` is 19200,
    /// `parity` (`none`, `even`, `odd`) `even` and `stop` 1 where they are not given. `tcp-listen://0.0.0.0:port` and
    /// `rtu+tcp-listen://0.0.0.0:port` wait for a modem that dials in, each on a port of its own; when it dials again,
    /// the newer connection counts.
    endpoint: Spanned<String>,
    /// A second way to the same devices, taken where the first does not open, or opens and nothing comes over it.
    endpoint_2: Option<Spanned<String>>,
    /// How long the second endpoint is used before the first is tried again. It is returned to once it has answered.
    #[serde(default = "defaults::return_after")]
    return_after: Duration,
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
    /// Enron's registers of 32 bits, one address each, as flow computers have them: `true` for holding registers 5001
    /// to 5999 (integers) and 7001 to 7999 (floats), or the ranges themselves, `[[7001, 7999], [17001, 17999]]`. They
    /// are offsets, as `addressing: 0` writes them.
    #[serde(default)]
    enron: Enron,
    /// How often tags are read that do not say it themselves, 100 ms to 1 day.
    #[serde(default = "defaults::scan")]
    scan: Spanned<Duration>,
    /// Share of a busy line that tags get which do not say it themselves: `high` is four times as much as `normal`,
    /// `low` a quarter.
    #[serde(default)]
    priority: Priority,
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
    /// Quiet time between an answer and a request to another unit: radios and converters have to turn around.
    #[serde(default)]
    turnaround: Duration,
    /// Silence between frames of RTU. On a serial line 3.5 characters, and 1.75 ms above 19200 baud, where it is not
    /// given; over TCP none.
    inter_frame_gap: Option<Duration>,
    /// Most requests a minute over the whole endpoint, for radios whose channel others need too. What is due then waits
    /// its turn.
    poll_budget: Option<Spanned<u32>>,
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
    /// The connection's own state as tags of the asset, every 10 s: `true` for all, or a list of `link_state`,
    /// `round_trip`, `utilisation`, `cycle_overrun`, `requests`, `errors_timeout`, `errors_crc`, `errors_foreign`,
    /// `errors_connect`, `errors_exception_1` to `_11` and `errors_exception_other`. The tags have these names in capitals:
    /// `WELL-001.LINK_STATE` (0 never connected, 1 connection lost, 2 device silent, 3 answering, 4 answering over the
    /// second endpoint). Counts are since the start of the site. A tag with settings of its own, an alarm perhaps, is
    /// written out in the template: `LINK_STATE: {diagnostic: link_state, alarms: …}`.
    diagnostics: Option<Spanned<Chosen>>,
}

mod defaults {
    use super::*;

    pub(super) fn return_after() -> Duration {
        Duration::from_secs(60)
    }
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

pub fn operator() -> Operator {
    Operator {
        name: "modbus",
        summary: "Devices that speak Modbus, over TCP, serial lines, converters and modems",
        schema: |generator| generator.subschema_for::<Modbus>(),
        examples: &[
            "connection: {type: modbus, endpoint: \"tcp://10.0.0.5:502\", unit_id: 3, order: CDAB, addressing: 40001, scan: 1s}",
            "radio: {type: modbus, endpoint: \"rtu+tcp://gateway:4001\", response_timeout: 4s, turnaround: 50ms, poll_budget: 40, max_registers: 60, request_cost: 100, scan: 30s}",
            "line: {type: modbus, endpoint: \"serial:///dev/ttyUSB0?baud=9600&parity=none&stop=2\", unit_id: 12, scan: 5s, diagnostics: [link_state, round_trip, errors_crc]}",
            "modem: {type: modbus, endpoint: \"tcp-listen://0.0.0.0:5021\", endpoint_2: \"tcp://10.0.0.5\", return_after: 10m, scan: 1m}",
            "flow_computer: {type: modbus, endpoint: \"tcp://10.0.0.9\", addressing: 0, enron: true}",
        ],
        decode: Decode::Connection(|node, diagnostics| {
            decode::<Modbus>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn ConnectionConfig>)
        }),
    }
}

/// The tags that `diagnostics` in a connection's fields makes: variable and definition.
pub fn own_tags(connection: &Node, language: &str) -> Vec<(String, Node)> {
    let Some(field) = connection.get("diagnostics") else { return Vec::new() };
    let place = field.place;
    // A mistake in it is reported with the rest of the connection.
    let Some(Chosen(chosen)) = decode::<Chosen>(field, &mut Diagnostics::new()) else { return Vec::new() };
    let text = |text: &str| Node::text(place, text);
    let map = |entries: Vec<(String, Node)>| {
        let entry = |(key, value)| Entry { key: Spanned::new(key, place), value };
        Node::new(place, Value::Map(entries.into_iter().map(entry).collect()))
    };
    let spanish = language == "es";
    let tag = |figure: figures::Figure| {
        let (name, _, english, in_spanish) = FIGURES.iter().find(|(_, other, ..)| *other == figure)?;
        let mut fields = vec![
            ("diagnostic".to_owned(), text(name)),
            ("scan".to_owned(), text("10s")),
            (
                "description".to_owned(),
                map(vec![("en".to_owned(), text(english)), ("es".to_owned(), text(in_spanish))]),
            ),
        ];
        if let Some(unit) = figure.unit() {
            fields.push(("unit".to_owned(), text(unit)));
        }
        if figure == figures::Figure::LinkState {
            let states = LINK_STATES.iter().map(|(number, english, in_spanish)| {
                (number.to_string(), text(if spanish { in_spanish } else { english }))
            });
            fields.push(("states".to_owned(), map(states.collect())));
        }
        Some((name.to_ascii_uppercase(), map(fields)))
    };
    chosen.into_iter().filter_map(tag).collect()
}

impl Modbus {
    /// The config of a connection, where that is one of Modbus.
    pub fn of(config: &dyn ConnectionConfig) -> Option<&Self> {
        config.as_any().downcast_ref()
    }

    /// The endpoint, and the one to fall back to where there is one. Empty where they cannot be read, which the check
    /// has reported.
    pub fn endpoints(&self) -> Vec<modbus::Endpoint> {
        let texts = std::iter::once(&self.endpoint).chain(&self.endpoint_2);
        texts.map(|text| text.parse()).collect::<Result<_, _>>().unwrap_or_default()
    }

    pub fn unit_id(&self) -> u8 {
        self.unit_id
    }

    pub fn order(&self) -> Order {
        self.order.0
    }

    pub fn addressing(&self) -> Addressing {
        self.addressing.0
    }

    /// What the device gives in one answer, and what a request costs.
    pub fn limits(&self) -> Limits {
        let (registers, bits) = (self.max_registers.value, self.max_bits.value);
        Limits { registers, bits, request_cost: self.request_cost }
    }

    /// How long to wait for what.
    pub fn options(&self) -> Options {
        Options {
            connect_timeout: self.connect_timeout.to_std(),
            response_timeout: self.response_timeout.to_std(),
            pause_after_connect: self.pause_after_connect.to_std(),
            pause_between_requests: self.pause_between_requests.to_std(),
            turnaround: self.turnaround.to_std(),
            inter_frame_gap: self.inter_frame_gap.map(Duration::to_std),
        }
    }

    /// Where a tag stands in the device and what it means there; `None` for one that is read from no register.
    ///
    /// # Errors
    /// What is wrong with the tag's fields; the check of its site has reported it.
    pub fn point(&self, tag: &TagSettings) -> Option<Result<Point, String>> {
        let mut found = Diagnostics::new();
        match Meaning::read(&tag.connection_fields, &self.defaults(), &mut found) {
            Some(Meaning::Point(point, _)) => Some(Ok(point)),
            Some(Meaning::Figure(_)) => None,
            None => Some(Err(found.iter().map(|found| found.message.clone()).collect::<Vec<_>>().join("; "))),
        }
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            addressing: self.addressing.0,
            order: self.order.0,
            max_registers: self.max_registers.value.min(Limits::default().registers),
            long: self.enron.0.clone(),
        }
    }

    /// What the tag is to the connection; mistakes are not said.
    fn meaning(&self, fields: &Node) -> Option<Meaning> {
        Meaning::read(fields, &self.defaults(), &mut Diagnostics::new())
    }
}

impl ConnectionConfig for Modbus {
    fn check(&self, tags: &[ConnectionTag<'_>], cx: &mut CheckContext<'_>) {
        check::connection(self, tags, cx);
    }

    /// The endpoint without the settings of its line, in which members cannot differ.
    fn endpoint(&self) -> String {
        match self.endpoint.parse() {
            Ok(modbus::Endpoint::Serial { path, .. }) => format!("serial://{path}"),
            Ok(endpoint) => endpoint.to_string(),
            Err(_) => self.endpoint.value.clone(),
        }
    }

    fn open(&self, endpoints: Vec<Endpoint>, cx: &BuildContext) -> Result<Vec<Box<dyn Connection>>, BuildError> {
        open::all(endpoints, cx)
    }

    fn scan(&self) -> Option<Duration> {
        Some(self.scan.value)
    }

    fn tag_fields(&self) -> Option<&'static [&'static str]> {
        Some(&FIELDS)
    }

    fn value_kind(&self, fields: &Node) -> ValueKind {
        self.meaning(fields).map_or(ValueKind::Float64, |meaning| meaning.value_kind())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
