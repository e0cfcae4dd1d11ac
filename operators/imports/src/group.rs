//! What devices have in common: one template for those with the same tags, and what differs beside it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use ducto_graph::source::{Place, Sources};

use crate::model::{Device, Tag, Value};
use crate::names;
use crate::remarks::{Outcome, Remark, Remarks, place_text};

/// What devices of one kind share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) addressing: &'static str,
    /// Fields of the connection that all its devices have.
    pub(crate) line: Vec<(String, Value)>,
    /// Those that differ, with what most devices have.
    pub(crate) parameters: Vec<(String, Value)>,
    pub(crate) tags: Vec<(String, Vec<(String, Value)>)>,
}

/// A row of the table of assets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asset {
    pub(crate) name: String,
    pub(crate) template: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) unit_id: Option<u8>,
    /// By column: parameters, columns of its own, settings of tags.
    pub(crate) cells: Vec<(String, Value)>,
}

/// A row of the table of overrides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    pub(crate) tag: String,
    pub(crate) field: String,
    /// `None` unsets the field.
    pub(crate) value: Option<Value>,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct Grouped {
    pub(crate) templates: Vec<Template>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) overrides: Vec<Override>,
}

/// A setting of which fewer than this share of the assets have the most frequent value is a column of the table of
/// assets: as overrides it would be a line for nearly each.
const MOST: f64 = 0.5;
/// Fewer assets than these have no columns for what differs.
const COLUMNS_FROM: usize = 3;

pub(crate) fn group(devices: &[Device], kind: Option<&str>, sources: &Sources, remarks: &mut Remarks) -> Grouped {
    let mut groups: Vec<(Vec<&str>, &'static str, Vec<usize>)> = Vec::new();
    let mut known: HashMap<(Vec<&str>, &'static str), usize> = HashMap::new();
    for (index, device) in devices.iter().enumerate() {
        let mut variables: Vec<&str> = device.tags.iter().map(|tag| tag.variable.as_str()).collect();
        variables.sort_unstable();
        let at = *known.entry((variables.clone(), device.line.addressing)).or_insert_with(|| {
            groups.push((variables, device.line.addressing, Vec::new()));
            groups.len() - 1
        });
        groups[at].2.push(index);
    }
    let mut grouped = Grouped::default();
    let mut taken = std::collections::HashSet::new();
    let mut assets: Vec<Option<Asset>> = vec![None; devices.len()];
    for (_, addressing, members) in groups {
        let of: Vec<&Device> = members.iter().map(|index| &devices[*index]).collect();
        let name = names::distinct_template(template_name(&of), &mut taken);
        let kind = kind.map_or_else(|| guess_kind(&of, &name, remarks), str::to_owned);
        let mut maker =
            Maker { of: &of, template: Template::new(name, kind, addressing), assets: Vec::new(), sources, remarks };
        maker.lines();
        maker.tags(&mut grouped.overrides);
        for (index, asset) in members.iter().zip(maker.assets) {
            assets[*index] = Some(asset);
        }
        grouped.templates.push(maker.template);
    }
    grouped.assets = assets.into_iter().flatten().collect();
    grouped
}

impl Template {
    fn new(name: String, kind: String, addressing: &'static str) -> Self {
        Self { name, kind, addressing, line: Vec::new(), parameters: Vec::new(), tags: Vec::new() }
    }
}

/// Makes the template of one group.
struct Maker<'a> {
    of: &'a [&'a Device],
    template: Template,
    assets: Vec<Asset>,
    sources: &'a Sources,
    remarks: &'a mut Remarks,
}

impl Maker<'_> {
    /// The connection and the rows of the assets.
    fn lines(&mut self) {
        for device in self.of {
            let cells = device.columns.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
            self.assets.push(Asset {
                name: device.name.clone(),
                template: self.template.name.clone(),
                endpoint: device.line.endpoint.clone(),
                unit_id: device.line.unit_id,
                cells,
            });
        }
        let mut fields: Vec<&str> = Vec::new();
        for (name, _) in self.of.iter().flat_map(|device| &device.line.fields) {
            if !fields.contains(&name.as_str()) {
                fields.push(name);
            }
        }
        for field in fields {
            let values: Vec<Option<&Value>> = self.of.iter().map(|device| device.line.get(field)).collect();
            let Some(common) = most_frequent(values.iter().flatten()).map(|value| (*value).clone()) else { continue };
            if values.iter().all(|value| *value == Some(&common)) {
                self.template.line.push((field.to_owned(), common));
                continue;
            }
            for (asset, value) in self.assets.iter_mut().zip(&values) {
                if let Some(value) = value.filter(|value| **value != common) {
                    asset.cells.push((field.to_owned(), value.clone()));
                }
            }
            self.template.parameters.push((field.to_owned(), common));
        }
    }

    fn tags(&mut self, overrides: &mut Vec<Override>) {
        let Some(first) = self.of.first() else { return };
        // In the order in which the first device has them.
        for variable in first.tags.iter().map(|tag| tag.variable.as_str()) {
            let tags: Vec<Option<&Tag>> =
                self.of.iter().map(|device| device.tags.iter().find(|tag| tag.variable == variable)).collect();
            let mut paths: Vec<&str> = Vec::new();
            for (path, _) in tags.iter().flatten().flat_map(|tag| &tag.fields) {
                if !paths.contains(&path.as_str()) {
                    paths.push(path);
                }
            }
            let mut fields = Vec::new();
            for path in paths {
                self.field(variable, path, &tags, &mut fields, overrides);
            }
            self.template.tags.push((variable.to_owned(), fields));
        }
    }

    /// One field of a variable: in the template what most have, the others beside it.
    fn field(
        &mut self,
        variable: &str,
        path: &str,
        tags: &[Option<&Tag>],
        fields: &mut Vec<(String, Value)>,
        overrides: &mut Vec<Override>,
    ) {
        let values: Vec<Option<&Value>> = tags.iter().map(|tag| tag.and_then(|tag| tag.get(path))).collect();
        let common = most_frequent(values.iter()).copied().flatten().cloned();
        let agreeing = values.iter().filter(|value| **value == common.as_ref()).count();
        let share = agreeing as f64 / values.len() as f64;
        let column = values.len() >= COLUMNS_FROM && share < MOST && values.iter().all(Option::is_some);
        if column {
            for (asset, value) in self.assets.iter_mut().zip(&values) {
                if let Some(value) = value {
                    asset.cells.push((format!("{variable}.{path}"), (*value).clone()));
                }
            }
            return;
        }
        if let Some(common) = &common {
            fields.push((path.to_owned(), common.clone()));
        }
        for ((device, tag), value) in self.of.iter().zip(tags).zip(&values) {
            if *value == common.as_ref() {
                continue;
            }
            let name = format!("{}.{variable}", device.name);
            let place = tag.map_or(device.place, |tag| tag.place);
            if let Some(text) = value.and_then(|value| misread(path, value)) {
                self.remarks.push(Remark {
                    place,
                    of: name,
                    setting: path.to_owned(),
                    value: text.to_owned(),
                    outcome: Outcome::Dropped,
                    reason: "a text that reads as something else cannot stand in a table of overrides".to_owned(),
                });
                continue;
            }
            let reason = format!("so in {}", source(place, self.sources));
            overrides.push(Override { tag: name, field: path.to_owned(), value: value.cloned(), reason });
        }
    }
}

/// A text that a cell would not give back as a text.
fn misread<'a>(path: &str, value: &'a Value) -> Option<&'a str> {
    let Value::Text(text) = value else { return None };
    let listed = text.trim().starts_with('[') && text.trim().ends_with(']');
    // An address is a number of which the digits count, and is read as written.
    let digits = path == "address" && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = ducto_graph::tree::Node::plain(Place::NOWHERE, text);
    let read = matches!(plain.value, ducto_graph::tree::Value::Text(_));
    (listed || (!read && !digits) || text.trim() != text).then_some(text)
}

/// The file's own name and the place in it.
fn source(place: Place, sources: &Sources) -> String {
    let text = place_text(place, sources);
    text.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// The value that comes most often, of several the first; the key is what `Debug` prints.
pub(crate) fn most_frequent<'a, T: std::fmt::Debug + 'a>(values: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut counts: Vec<(u64, &T, usize)> = Vec::new();
    let mut known: HashMap<u64, usize> = HashMap::new();
    for value in values {
        let mut hasher = std::hash::DefaultHasher::new();
        format!("{value:?}").hash(&mut hasher);
        let at = *known.entry(hasher.finish()).or_insert_with(|| {
            counts.push((0, value, counts.len()));
            counts.len() - 1
        });
        counts[at].0 += 1;
    }
    counts.into_iter().max_by_key(|(count, _, order)| (*count, std::cmp::Reverse(*order))).map(|(_, value, _)| value)
}

/// By the model that the list names, else by what the assets' names begin with.
fn template_name(of: &[&Device]) -> String {
    let models: BTreeSet<&str> = of.iter().filter_map(|device| device.model.as_deref()).collect();
    if let Some(model) = models.first().filter(|_| models.len() == 1) {
        return names::template(model);
    }
    let first = of.first().map_or("", |device| device.name.as_str());
    let common = of.iter().fold(first.len(), |common, device| {
        first
            .char_indices()
            .zip(device.name.chars())
            .take_while(|((at, a), b)| *at < common && a == b)
            .last()
            .map_or(0, |((at, a), _)| at + a.len_utf8())
    });
    let name = if of.len() == 1 { first } else { &first[..common] };
    let name = name.trim_end_matches(|c: char| !c.is_alphabetic());
    names::template(if name.chars().count() < 2 { "device" } else { name })
}

/// What the assets are, by words in their names.
fn guess_kind(of: &[&Device], template: &str, remarks: &mut Remarks) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("well", "well"),
        ("pozo", "well"),
        ("esp", "well"),
        ("sep", "separator"),
        ("tank", "tank"),
        ("tanque", "tank"),
        ("compres", "compressor"),
        ("pump", "pump"),
        ("bomba", "pump"),
    ];
    let Some(first) = of.first() else { return "device".to_owned() };
    let text = format!("{template} {} {}", first.name, first.model.as_deref().unwrap_or_default()).to_lowercase();
    let found = WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, kind)| *kind);
    let kind = found.unwrap_or("device");
    remarks.push(Remark {
        place: first.place,
        of: format!("template `{template}`"),
        setting: "kind".to_owned(),
        value: kind.to_owned(),
        outcome: Outcome::Assumed,
        reason: format!("the list does not say what its devices are; `{kind}` is taken, `--kind` sets another"),
    });
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Line;

    fn device(name: &str, unit: u8, tags: &[(&str, &[(&str, Value)])]) -> Device {
        let tags = tags
            .iter()
            .map(|(variable, fields)| {
                let mut tag = Tag::new(*variable, Place::NOWHERE);
                fields.iter().for_each(|(path, value)| tag.set(*path, value.clone()));
                tag
            })
            .collect();
        let fields = vec![("order".to_owned(), "CDAB".into())];
        let line = Line { endpoint: None, unit_id: Some(unit), addressing: "400001", fields };
        Device {
            name: name.to_owned(),
            device: None,
            model: None,
            place: Place::NOWHERE,
            line,
            columns: Vec::new(),
            tags,
        }
    }

    fn at(address: &str) -> Vec<(&'static str, Value)> {
        vec![("address", address.into()), ("as", "f32".into())]
    }

    #[test]
    fn devices_with_equal_lists_share_a_template() {
        let wells: Vec<Device> = (1..=4)
            .map(|n| {
                let thp = at(if n == 3 { "400011" } else { "400001" });
                let mut well = device(&format!("WELL-00{n}"), n, &[("THP", &thp), ("CHP", &at("400003"))]);
                if n == 2 {
                    well.line.fields[0].1 = "ABCD".into();
                    well.tags[0].set("description", "Head");
                }
                well
            })
            .chain([device("SEP-1", 9, &[("LEVEL", &at("400001"))])])
            .collect();
        let mut remarks = Remarks::default();
        let grouped = group(&wells, None, &Sources::new(), &mut remarks);
        let names: Vec<(&str, &str)> =
            grouped.templates.iter().map(|template| (template.name.as_str(), template.kind.as_str())).collect();
        assert_eq!(names, [("well", "well"), ("sep", "separator")]);
        let well = &grouped.templates[0];
        assert_eq!(well.parameters, [("order".to_owned(), "CDAB".into())]);
        assert_eq!(well.tags[0].1[0], ("address".to_owned(), "400001".into()));
        let set: Vec<String> =
            grouped.overrides.iter().map(|o| format!("{} {} {:?}", o.tag, o.field, o.value)).collect();
        assert_eq!(
            set,
            ["WELL-003.THP address Some(Text(\"400011\"))", "WELL-002.THP description Some(Text(\"Head\"))"]
        );
        assert_eq!(grouped.assets[1].cells, [("order".to_owned(), "ABCD".into())]);
        assert_eq!(grouped.assets[4].template, "sep");
    }

    #[test]
    fn what_differs_nearly_everywhere_is_a_column() {
        let wells: Vec<Device> =
            (1..=4).map(|n| device(&format!("W{n}"), n, &[("THP", &at(&format!("40{n}001")))])).collect();
        let grouped = group(&wells, Some("well"), &Sources::new(), &mut Remarks::default());
        assert!(grouped.overrides.is_empty());
        assert_eq!(grouped.templates[0].tags[0].1, [("as".to_owned(), "f32".into())]);
        assert_eq!(grouped.assets[2].cells, [("THP.address".to_owned(), "403001".into())]);
    }

    #[test]
    fn a_field_that_most_do_not_have_is_unset() {
        let mut wells: Vec<Device> = (1..=3).map(|n| device(&format!("W{n}"), n, &[("THP", &at("400001"))])).collect();
        wells[0].tags[0].set("span", Value::Range([0.0, 5.0]));
        wells[1].tags[0].set("span", Value::Range([0.0, 5.0]));
        let grouped = group(&wells, Some("well"), &Sources::new(), &mut Remarks::default());
        assert_eq!(grouped.overrides.len(), 1);
        assert_eq!((grouped.overrides[0].tag.as_str(), &grouped.overrides[0].value), ("W3.THP", &None));
        assert_eq!(misread("description", &"12.5".into()), Some("12.5"));
        assert_eq!(misread("address", &"000012".into()), None);
        assert_eq!(misread("description", &"[a]".into()), Some("[a]"));
        assert_eq!(misread("description", &"null".into()), Some("null"));
        assert_eq!(misread("scan", &"10s".into()), None);
    }
}
