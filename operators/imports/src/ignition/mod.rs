//! Ignition's JSON: a tree of folders with tags, types (UDT) and instances of types.
//!
//! Only tags of the Modbus drivers are read; their address is in the OPC item path, `ns=1;s=[Device]3.HRF1001`. What
//! the device is, its host and the order of its words, is not part of a tag export. A type's members and parameters
//! are laid under those of each instance ([`udt`]).

mod path;
mod udt;

use std::collections::{HashMap, HashSet};

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Value as Json};
use modbus::{Addressing, Order, ValueType};

use crate::Reader;
use crate::address;
use crate::alarms;
use crate::model::{Device, Line, Tag, Value};
use crate::names;
use crate::orders;
use crate::remarks::Outcome::{Approximated, Assumed, Dropped};
use path::Path;
use udt::Types;

pub(crate) use udt::Member;

/// Whether a tree is such an export.
pub(crate) fn is_one(tree: &Node) -> bool {
    let of_tag = |node: &Node| node.get("tagType").is_some() || node.get("tags").is_some();
    of_tag(tree) || tree.items().first().is_some_and(of_tag)
}

/// Fields that change nothing of what is read.
const SILENT: [&str; 24] = [
    "name",
    "tagType",
    "valueSource",
    "opcServer",
    "opcItemPath",
    "dataType",
    "documentation",
    "tooltip",
    "alarms",
    "engUnit",
    "engLow",
    "engHigh",
    "scaleMode",
    "rawLow",
    "rawHigh",
    "scaledLow",
    "scaledHigh",
    "clampMode",
    "enabled",
    "readOnly",
    "formatString",
    "value",
    "path",
    "tagGroup",
];

/// A tag with where it lies.
struct Leaf {
    folders: Vec<String>,
    /// How many of the folders are outside the instance of a type that it belongs to.
    instance: Option<usize>,
    model: Option<String>,
    member: Member,
}

pub(crate) fn read(reader: &mut Reader<'_>, tree: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<Device>> {
    if !is_one(tree) {
        diagnostics.push(crate::not_recognised(Some(crate::Format::Ignition), Place::file(tree.place.file)));
        return None;
    }
    let types = Types::collect(tree);
    let mut leaves = Vec::new();
    let tops = if tree.items().is_empty() { std::slice::from_ref(tree) } else { tree.items() };
    for top in tops {
        let mut walk = Walk { reader, types: &types, leaves: &mut leaves };
        // A provider, and what was exported without a name, names no asset.
        let unnamed = text(top, "name").is_empty() || text(top, "tagType") == "Provider";
        match kind(top) {
            Kind::Folder if unnamed => {
                top.get("tags").map(Node::items).unwrap_or_default().iter().for_each(|tag| walk.tag(tag, &[]));
            }
            _ => walk.tag(top, &[]),
        }
    }
    Some(devices(reader, leaves))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Type,
    Instance,
    Tag,
}

fn kind(node: &Node) -> Kind {
    match node.get("tagType").and_then(Node::as_text) {
        Some("UdtType") => Kind::Type,
        Some("UdtInstance") => Kind::Instance,
        Some("Folder" | "Provider") => Kind::Folder,
        Some(_) => Kind::Tag,
        None if node.get("tags").is_some() => Kind::Folder,
        None => Kind::Tag,
    }
}

fn text<'a>(node: &'a Node, field: &str) -> &'a str {
    node.get(field).and_then(Node::as_text).unwrap_or_default()
}

struct Walk<'a, 'b> {
    reader: &'a mut Reader<'b>,
    types: &'a Types<'a>,
    leaves: &'a mut Vec<Leaf>,
}

impl Walk<'_, '_> {
    fn tag(&mut self, node: &Node, folders: &[String]) {
        let name = text(node, "name");
        match kind(node) {
            Kind::Type => {}
            Kind::Folder if name == "_types_" => {}
            Kind::Folder => {
                let inner = joined(folders, name);
                node.get("tags").map(Node::items).unwrap_or_default().iter().for_each(|tag| self.tag(tag, &inner));
            }
            Kind::Tag => {
                let member = Member::plain(node);
                self.leaves.push(Leaf { folders: joined(folders, name), instance: None, model: None, member });
            }
            Kind::Instance => {
                let inner = joined(folders, name);
                let mut found = Vec::new();
                if let Err(why) = self.types.instance(node, &mut found) {
                    let of = inner.join("/");
                    self.reader.remark(node.place, &of, "typeId", text(node, "typeId"), Dropped, &why);
                }
                let model = text(node, "typeId").rsplit('/').next().map(str::to_owned);
                for (path, member) in found {
                    let folders = inner.iter().cloned().chain(path).collect();
                    let leaf = Leaf { folders, instance: Some(inner.len()), model: model.clone(), member };
                    self.leaves.push(leaf);
                }
            }
        }
    }
}

fn joined(folders: &[String], name: &str) -> Vec<String> {
    folders.iter().cloned().chain([name.to_owned()]).collect()
}

/// The folders that name a tag's asset, and how much of the path is left for the variable.
fn asset_path(leaf: &Leaf, depth: Option<usize>) -> &[String] {
    let outside = leaf.folders.len() - 1;
    // An instance of a type is an asset; of other tags the folder around them is.
    let depth = depth.unwrap_or_else(|| leaf.instance.unwrap_or(outside));
    &leaf.folders[..depth.min(outside)]
}

/// What one device holds: tags of one asset that are read through one unit of one device.
fn devices(reader: &mut Reader<'_>, leaves: Vec<Leaf>) -> Vec<Device> {
    let depth = reader.options.asset_depth;
    // Folders of one name in different places need the whole path.
    let mut places: HashMap<&str, HashSet<&[String]>> = HashMap::new();
    for path in leaves.iter().map(|leaf| asset_path(leaf, depth)) {
        if let Some(last) = path.last() {
            places.entry(last).or_default().insert(path);
        }
    }
    let stem = reader.stem();
    let name = |path: &[String]| match path.last() {
        None => stem.clone(),
        Some(last) if depth.is_none() && places.get(last.as_str()).is_some_and(|of| of.len() == 1) => {
            names::asset(last)
        }
        Some(_) => names::asset(&path.join("-")),
    };
    let mut devices: Vec<Device> = Vec::new();
    let mut keys: HashMap<(&[String], String, Option<u8>), usize> = HashMap::new();
    let mut taken: Vec<HashSet<String>> = Vec::new();
    let mut inclusive = None;
    for leaf in &leaves {
        let shown = leaf.folders.join("/");
        let Some((path, place)) = item_path(reader, &leaf.member, &shown) else { continue };
        let folders = asset_path(leaf, depth);
        let asset = name(folders);
        let variable = leaf.folders[folders.len()..].join("_");
        let at = *keys.entry((folders, path.device.clone(), path.unit)).or_insert_with(|| {
            devices.push(device(reader, &asset, &path, leaf.model.clone(), place));
            taken.push(HashSet::new());
            devices.len() - 1
        });
        let own = names::variable(&variable);
        reader.renamed(&variable, &own, &asset, leaf.member.place);
        let mut tag = Tag::new(own, leaf.member.own);
        let of = format!("{asset}.{}", tag.variable);
        if fill(reader, &leaf.member, &path, place, &mut tag, &of, &mut inclusive) {
            tag.variable = names::distinct(tag.variable, &mut taken[at]);
            devices[at].tags.push(tag);
        }
    }
    if let Some(place) = inclusive {
        let reason = "alarms are raised beyond their limits, not at them";
        reader.remark(place, "all alarms", "inclusive setpoints", "", Approximated, reason);
    }
    devices.retain(|device| !device.tags.is_empty());
    devices
}

fn device(reader: &mut Reader<'_>, asset: &str, path: &Path, model: Option<String>, place: Place) -> Device {
    let order = reader.options.order.unwrap_or(Order::Cdab);
    if reader.options.order.is_none() {
        let reason = "the export does not say the order of words; `CDAB` is Ignition's default (`Reverse word order` off), `--order` sets another";
        reader.remark(place, asset, "order", "", Assumed, reason);
    }
    let (endpoint, unit_id) = reader.line(asset, &path.device, None, path.unit, place);
    Device {
        name: asset.to_owned(),
        device: Some(path.device.clone()),
        model,
        place,
        line: Line {
            endpoint,
            unit_id,
            addressing: address::notation(Addressing::One),
            fields: vec![("order".into(), orders::name(order).into()), ("scan".into(), "1s".into())],
        },
        columns: vec![("device".to_owned(), path.device.clone())],
        tags: Vec::new(),
    }
}

/// The Modbus address of a tag; `None`, with a remark, for tags that are something else.
fn item_path(reader: &mut Reader<'_>, member: &Member, shown: &str) -> Option<(Path, Place)> {
    if member.text("enabled").is_some_and(|enabled| enabled == "false") {
        reader.remark(member.place, shown, "enabled", "false", Dropped, "the tag is switched off");
        return None;
    }
    let source = member.text("valueSource").unwrap_or_else(|| "memory".to_owned());
    let Some(node) = member.get("opcItemPath").filter(|_| source == "opc") else {
        let reason = "only tags that are read from a device are taken";
        reader.remark(member.place, shown, "valueSource", &source, Dropped, reason);
        return None;
    };
    let place = node.place;
    let text = match member.resolve(node) {
        Ok(text) => text,
        Err(why) => {
            reader.remark(place, shown, "opcItemPath", "", Dropped, &why);
            return None;
        }
    };
    match Path::parse(&text) {
        Ok(path) => Some((path, place)),
        Err(why) => {
            reader.remark(place, shown, "opcItemPath", &text, Dropped, &why);
            None
        }
    }
}

/// Fills a tag; `false` leaves it out, with a remark that says why.
fn fill(
    reader: &mut Reader<'_>,
    member: &Member,
    path: &Path,
    place: Place,
    tag: &mut Tag,
    of: &str,
    inclusive: &mut Option<Place>,
) -> bool {
    let data_type = member.text("dataType").unwrap_or_default();
    let kind = match path.kind {
        // A register that is read as a boolean is true where it is not 0.
        ValueType::I16 | ValueType::U16 if data_type == "Boolean" => ValueType::Bool,
        kind => kind,
    };
    if let Err(why) = address::place(tag, path.at, Addressing::One, kind) {
        reader.remark(place, of, "opcItemPath", "", Dropped, &why);
        return false;
    }
    if !scaling(reader, member, kind, tag, of) {
        return false;
    }
    if let Some(unit) = member.text("engUnit")
        && let Some(node) = member.get("engUnit")
    {
        reader.unit(tag, of, "engUnit", &unit, node.place);
    }
    let range = engineering_range(member);
    if let Some((range, place)) = range
        && kind.is_number()
        && range[0] < range[1]
    {
        tag.set("span", Value::Range(range));
        let reason = "it is the sensor's `span`: a value outside counts as a failure of the sensor";
        reader.remark(place, of, "engLow, engHigh", &format!("{} to {}", range[0], range[1]), Approximated, reason);
    }
    if let Some(text) = member.text("documentation").or_else(|| member.text("tooltip")).filter(|text| !text.is_empty())
    {
        tag.set("description", text.trim());
    }
    if let Some(node) = member.get("alarms") {
        let numeric = kind.is_number();
        alarms::ignition(reader, member, node, tag, of, numeric, range.map(|(range, _)| range));
        inclusive.get_or_insert(node.place);
    }
    if let Some(node) = member.get("tagGroup")
        && let Some(group) = member.text("tagGroup")
    {
        let reason = "the export does not say how often a group is read; the connection's `scan` is 1s";
        reader.remark(node.place, of, &format!("tagGroup `{group}`"), &group, Dropped, reason);
    }
    for (name, node) in member.fields() {
        if !SILENT.contains(&name) && !matches!(node.value, Json::Null) {
            let reason = match name {
                _ if name.starts_with("histor") => "what is kept is said by the site's pipelines",
                "deadband" | "deadbandMode" => "every reading is taken; the historian thins what it stores",
                "readPermissions" | "writePermissions" => "who may do what is said by the site",
                _ => "there is nothing like it",
            };
            reader.remark(node.place, of, name, node.as_text().unwrap_or_default(), Dropped, reason);
        }
    }
    true
}

/// Raw and scaled ranges; `false` where the value would be another one without them.
fn scaling(reader: &mut Reader<'_>, member: &Member, kind: ValueType, tag: &mut Tag, of: &str) -> bool {
    let Some(mode) = member.text("scaleMode").filter(|mode| mode != "Off") else { return true };
    let place = member.get("scaleMode").map_or(member.place, |node| node.place);
    if mode != "Linear" || !kind.is_number() {
        let reason = "the tag is left out: only a linear scale of a number can be said; `calc` can compute this one";
        reader.remark(place, of, "scaleMode", &mode, Dropped, reason);
        return false;
    }
    // What stands here unless somebody has changed it.
    let number = |name: &str, default: f64| member.number(name).unwrap_or(default);
    let raw = [number("rawLow", 0.0), number("rawHigh", 10.0)];
    let scaled = [number("scaledLow", 0.0), number("scaledHigh", 10.0)];
    if raw[0] == raw[1] || scaled[0] == scaled[1] {
        reader.remark(place, of, "scaleMode", &mode, Dropped, "the tag is left out: a range is empty");
        return false;
    }
    tag.set("raw", Value::Range(raw));
    tag.set("engineering", Value::Range(scaled));
    match member.text("clampMode").as_deref() {
        None | Some("No_Clamp") => {}
        Some("Clamp_Both") => tag.set("clamp", Value::Flag(true)),
        Some(mode) => reader.remark(place, of, "clampMode", mode, Dropped, "values are held at both ends or at none"),
    }
    true
}

/// The engineering range, where somebody has set an end of it.
fn engineering_range(member: &Member) -> Option<([f64; 2], Place)> {
    let place = member.get("engHigh").or_else(|| member.get("engLow"))?.place;
    let range = [member.number("engLow").unwrap_or(0.0), member.number("engHigh").unwrap_or(100.0)];
    Some((range, place))
}
