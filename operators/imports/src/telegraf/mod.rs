//! Telegraf's TOML: `[[inputs.modbus]]` in the styles `register`, `request` and `metric`. Addresses are offsets from 0.

mod field;

use std::collections::{BTreeMap, HashSet};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Value as Toml};
use modbus::{Addressing, Order, Table};

use crate::Reader;
use crate::address;
use crate::model::{Device, Line, SCANS, Tag, Value, duration};
use crate::names;
use crate::orders;
use crate::remarks::Outcome::{Assumed, Dropped};
use field::Field;

/// Whether a tree is such a configuration.
pub(crate) fn is_one(tree: &Node) -> bool {
    tree.get("inputs").and_then(|inputs| inputs.get("modbus")).is_some()
}

/// How often Telegraf reads where nobody says it.
const DEFAULT_INTERVAL: u64 = 10_000;

/// Fields of the plugin that are read, or change nothing of what is read.
const SILENT: [&str; 24] = [
    "name",
    "slave_id",
    "timeout",
    "controller",
    "baud_rate",
    "data_bits",
    "parity",
    "stop_bits",
    "transmission_mode",
    "configuration_type",
    "discrete_inputs",
    "coils",
    "holding_registers",
    "input_registers",
    "request",
    "metric",
    "workarounds",
    "interval",
    "debug_connection",
    "alias",
    "name_override",
    "rs485",
    "exclude_register_type_tag",
    "optimization",
];

pub(crate) fn read(reader: &mut Reader<'_>, tree: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<Device>> {
    let Some(plugins) = tree.get("inputs").and_then(|inputs| inputs.get("modbus")) else {
        diagnostics.push(crate::not_recognised(Some(crate::Format::Telegraf), Place::file(tree.place.file)));
        return None;
    };
    let interval = tree.get("agent").and_then(|agent| agent.get("interval")).and_then(Node::as_text);
    let mut devices = Vec::new();
    // `[inputs.modbus]` is one, `[[inputs.modbus]]` are several.
    let plugins = if plugins.items().is_empty() { std::slice::from_ref(plugins) } else { plugins.items() };
    for plugin in plugins {
        let mut found = Plugin::new(reader, plugin, interval).devices(reader);
        devices.append(&mut found);
    }
    Some(devices)
}

fn text<'a>(node: &'a Node, field: &str) -> &'a str {
    node.get(field).and_then(Node::as_text).unwrap_or_default()
}

fn items<'a>(node: &'a Node, field: &str) -> &'a [Node] {
    let Some(found) = node.get(field) else { return &[] };
    if found.items().is_empty() && !found.entries().is_empty() { std::slice::from_ref(found) } else { found.items() }
}

/// A table of tags (of Telegraf: texts beside the values) and the fields of one slave.
struct Part<'a> {
    slave: u8,
    fields: Vec<Field<'a>>,
    labels: Vec<(String, String)>,
}

struct Plugin<'a> {
    node: &'a Node,
    name: String,
    endpoint: Option<String>,
    line: Vec<(String, Value)>,
}

impl<'a> Plugin<'a> {
    fn new(reader: &mut Reader<'_>, node: &'a Node, agent: Option<&str>) -> Self {
        let name = match text(node, "name") {
            "" => reader.stem(),
            name => names::asset(name),
        };
        let mut line = Vec::new();
        let own = node.get("interval").and_then(Node::as_text).or(agent);
        let scan = match own.and_then(millis) {
            Some(interval) if SCANS.contains(&interval) => interval,
            Some(interval) => {
                let place = node.get("interval").map_or(node.place, |node| node.place);
                let reason = "scans are from 100 ms to a day";
                reader.remark(place, &name, "interval", &duration(interval), Dropped, reason);
                DEFAULT_INTERVAL
            }
            None => {
                let reason = "the file does not say how often is read; 10 s is Telegraf's default";
                reader.remark(node.place, &name, "interval", "", Assumed, reason);
                DEFAULT_INTERVAL
            }
        };
        line.push(("scan".to_owned(), duration(scan).into()));
        let timeout = node.get("timeout").and_then(Node::as_text).and_then(millis);
        if let Some(timeout) = timeout.filter(|timeout| *timeout > 0) {
            line.push(("response_timeout".to_owned(), duration(timeout).into()));
        }
        for entry in node.get("workarounds").map(Node::entries).unwrap_or_default() {
            let value = entry.value.as_text().unwrap_or_default();
            match entry.key.as_str() {
                pause @ ("pause_after_connect" | "pause_between_requests") => match millis(value) {
                    Some(0) => {}
                    Some(time) => line.push((pause.to_owned(), duration(time).into())),
                    None => reader.remark(entry.value.place, &name, pause, value, Dropped, "it is no time"),
                },
                other => {
                    let setting = format!("workarounds.{other}");
                    reader.remark(entry.value.place, &name, &setting, value, Dropped, "there is nothing like it");
                }
            }
        }
        let mut endpoint = endpoint(reader, node, &name);
        if let Some(Err(error)) = endpoint.as_ref().map(|text| text.parse::<modbus::Endpoint>()) {
            let place = node.get("controller").map_or(node.place, |node| node.place);
            let written = endpoint.take().unwrap_or_default();
            reader.remark(place, &name, "controller", &written, Dropped, &error.to_string());
        }
        for entry in node.entries() {
            if !SILENT.contains(&entry.key.as_str()) {
                let value = entry.value.as_text().unwrap_or_default();
                reader.remark(entry.key.place, &name, &entry.key, value, Dropped, "there is nothing like it");
            }
        }
        Self { node, name, endpoint, line }
    }

    fn devices(&self, reader: &mut Reader<'_>) -> Vec<Device> {
        let parts = match text(self.node, "configuration_type") {
            "request" => self.requests(reader, "request"),
            "metric" => self.requests(reader, "metric"),
            "" | "register" => self.registers(reader),
            other => {
                let place = self.node.get("configuration_type").map_or(self.node.place, |node| node.place);
                reader.remark(place, &self.name, "configuration_type", other, Dropped, "there is no such style");
                Vec::new()
            }
        };
        let mut by_slave: BTreeMap<u8, Vec<Part<'_>>> = BTreeMap::new();
        for part in parts {
            by_slave.entry(part.slave).or_default().push(part);
        }
        let several = by_slave.len() > 1;
        let devices = by_slave.into_iter().map(|(slave, parts)| self.device(reader, slave, parts, several));
        devices.filter(|device| !device.tags.is_empty()).collect()
    }

    fn device(&self, reader: &mut Reader<'_>, slave: u8, parts: Vec<Part<'_>>, several: bool) -> Device {
        let mut labels = self.labels(reader, &parts);
        let asset = asset_of(&mut labels).unwrap_or_else(|| match several {
            true => names::asset(&format!("{}-{slave}", self.name)),
            false => self.name.clone(),
        });
        let place = self.node.place;
        let (endpoint, unit_id) = reader.line(&asset, &self.name, self.endpoint.clone(), Some(slave), place);
        let fields: Vec<Field<'_>> = parts.into_iter().flat_map(|part| part.fields).collect();
        // Where one name is given in several measurements, both are needed to tell tags apart.
        let mut count: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for field in &fields {
            count.entry(field.name).or_default().insert(field.measurement);
        }
        let repeated: HashSet<String> =
            count.into_iter().filter(|(_, of)| of.len() > 1).map(|(name, _)| name.to_owned()).collect();
        let mut taken = HashSet::new();
        let mut tags = Vec::new();
        for field in fields {
            let written = match repeated.contains(field.name) {
                true => format!("{}_{}", field.measurement, field.name),
                false => field.name.to_owned(),
            };
            let own = names::variable(&written);
            reader.renamed(&written, &own, &asset, field.node.place);
            let mut tag = Tag::new(own, field.node.place);
            let of = format!("{asset}.{}", tag.variable);
            if field.fill(reader, &mut tag, &of) {
                tag.variable = names::distinct(tag.variable, &mut taken);
                tags.push(tag);
            }
        }
        let mut line = Line { endpoint, unit_id, addressing: address::notation(Addressing::Zero), fields: Vec::new() };
        line.fields.push(("order".to_owned(), orders::settle(&mut tags, None)));
        line.fields.extend(self.line.iter().cloned());
        let columns = labels.into_iter().map(|(name, value)| (names::column(&name), value)).collect();
        Device { name: asset, device: Some(self.name.clone()), model: None, place, line, columns, tags }
    }

    /// What all parts of a slave say of it; what differs inside one is left out.
    fn labels(&self, reader: &mut Reader<'_>, parts: &[Part<'_>]) -> Vec<(String, String)> {
        let mut labels: Vec<(String, String)> = Vec::new();
        let mut differing = HashSet::new();
        for (name, value) in parts.iter().flat_map(|part| &part.labels) {
            match labels.iter().find(|(known, _)| known == name) {
                None => labels.push((name.clone(), value.clone())),
                Some((_, known)) if known == value => {}
                Some(_) => {
                    if differing.insert(name.clone()) {
                        let reason = "it differs between requests to one device, and an asset has one";
                        reader.remark(self.node.place, &self.name, &format!("tag `{name}`"), value, Dropped, reason);
                    }
                }
            }
        }
        labels.retain(|(name, _)| !differing.contains(name));
        labels
    }

    fn registers(&self, reader: &mut Reader<'_>) -> Vec<Part<'a>> {
        let slave = slave(reader, self.node, &self.name);
        let tables = [
            ("discrete_inputs", Table::DiscreteInputs),
            ("coils", Table::Coils),
            ("input_registers", Table::InputRegisters),
            ("holding_registers", Table::HoldingRegisters),
        ];
        let mut fields = Vec::new();
        for (name, table) in tables {
            for node in items(self.node, name) {
                fields.push(Field::of_register(node, table));
            }
        }
        vec![Part { slave, fields, labels: Vec::new() }]
    }

    fn requests(&self, reader: &mut Reader<'_>, style: &str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for request in items(self.node, style) {
            let slave = slave(reader, request, &self.name);
            let order = text(request, "byte_order");
            let measurement = request.get("measurement").and_then(Node::as_text).unwrap_or("modbus");
            let mut fields = Vec::new();
            for node in items(request, "fields") {
                if node.get("omit").is_some_and(|omit| omit.value == Toml::Bool(true)) {
                    continue;
                }
                let register = match text(node, "register") {
                    "" => text(request, "register"),
                    register => register,
                };
                let table = match register {
                    "coil" => Table::Coils,
                    "discrete" => Table::DiscreteInputs,
                    "input" => Table::InputRegisters,
                    "holding" | "" => Table::HoldingRegisters,
                    other => {
                        let reason = "the field is left out: there is no such kind of register";
                        reader.remark(request.place, &self.name, "register", other, Dropped, reason);
                        continue;
                    }
                };
                fields.push(Field::of_request(node, table, order, measurement));
            }
            let labels = request.get("tags").map(Node::entries).unwrap_or_default();
            let labels = labels
                .iter()
                .filter_map(|entry| Some((entry.key.value.clone(), entry.value.as_text()?.to_owned())))
                .collect();
            parts.push(Part { slave, fields, labels });
        }
        parts
    }
}

fn slave(reader: &mut Reader<'_>, node: &Node, of: &str) -> u8 {
    match node.get("slave_id").map(|node| (node, node.as_text().unwrap_or_default().parse::<u8>())) {
        Some((_, Ok(slave))) => slave,
        Some((found, Err(_))) => {
            let reason = "it is no unit from 0 to 255; 1 is taken";
            reader.remark(found.place, of, "slave_id", found.as_text().unwrap_or_default(), Dropped, reason);
            1
        }
        None => {
            reader.remark(node.place, of, "slave_id", "", Assumed, "no slave is named; 1 is taken");
            1
        }
    }
}

/// The name of the asset, taken out of a request's tags where they have one.
fn asset_of(labels: &mut Vec<(String, String)>) -> Option<String> {
    const NAMES: [&str; 7] = ["asset", "well", "pozo", "device", "machine", "equipment", "name"];
    let found = NAMES.iter().find_map(|name| labels.iter().position(|(label, _)| label.eq_ignore_ascii_case(name)));
    found.map(|at| names::asset(&labels.remove(at).1))
}

/// `controller` and what belongs to it, as an endpoint.
fn endpoint(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    let controller = node.get("controller")?;
    let written = controller.as_text()?.trim();
    let mode = text(node, "transmission_mode");
    if mode.to_ascii_lowercase().starts_with("ascii") {
        reader.remark(controller.place, name, "transmission_mode", mode, Dropped, "Modbus ASCII is not spoken");
        return None;
    }
    if let Some(address) = written.strip_prefix("tcp://") {
        let scheme = if mode.eq_ignore_ascii_case("RTUoverTCP") { "rtu+tcp" } else { "tcp" };
        return Some(format!("{scheme}://{address}"));
    }
    let path = match written.strip_prefix("file://") {
        Some(path) => path,
        None => {
            let reason = "it is neither `tcp://…` nor `file://…`; fill in the endpoint";
            reader.remark(controller.place, name, "controller", written, Dropped, reason);
            return None;
        }
    };
    let number = |field: &str, default: &str| match text(node, field) {
        "" => default.to_owned(),
        number => number.to_owned(),
    };
    let parity = match text(node, "parity") {
        "E" => "even",
        "O" => "odd",
        _ => "none",
    };
    if number("data_bits", "8") != "8" {
        let reason = "RTU needs all 8 bits of a character; the endpoint is to be filled in";
        reader.remark(controller.place, name, "data_bits", &number("data_bits", "8"), Dropped, reason);
        return None;
    }
    let (baud, stop) = (number("baud_rate", "9600"), number("stop_bits", "1"));
    Some(format!("serial://{path}?baud={baud}&parity={parity}&stop={stop}"))
}

/// `250ms`, `1s`, `1m30s`, `2h`, in milliseconds.
fn millis(text: &str) -> Option<u64> {
    let mut total: f64 = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                "us" | "µs" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (total.is_finite() && total < 1e15).then_some(total as u64)
}

/// An order by the letters of any width.
fn order(text: &str) -> Option<Order> {
    match text.trim().to_ascii_uppercase().as_str() {
        "" | "AB" => Some(Order::Abcd),
        "BA" => Some(Order::Badc),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_orders() {
        for (text, time) in [
            ("250ms", Some(250)),
            ("1s", Some(1000)),
            ("1m30s", Some(90_000)),
            ("0.5s", Some(500)),
            ("2h", Some(7_200_000)),
        ] {
            assert_eq!(millis(text), time, "{text}");
        }
        for text in ["", "5", "x", "5 s", "1d", "1s1"] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(order("AB"), Some(Order::Abcd));
        assert_eq!(order("GHEFCDAB"), Some(Order::Cdab));
        assert_eq!(order("XY"), None);
    }
}
