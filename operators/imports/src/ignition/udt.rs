//! Types of Ignition (UDT): their members, laid under those of an instance, and their parameters.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Value};

use super::{Kind, kind, text};

/// Types inside types, and bindings of parameters to parameters: deeper ones go round in a circle.
const DEPTH: usize = 16;
/// Most nodes of types that are visited for all instances of an export together.
const VISITS: usize = 200_000;

/// The types of an export by their path below `_types_`.
pub(super) struct Types<'a> {
    by_path: HashMap<String, &'a Node>,
    /// Nodes that may still be visited: types inside types grow without measure.
    budget: Cell<usize>,
}

/// A tag of an instance, or a plain one: its fields, an instance's own before those of the type.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) place: Place,
    /// What makes it this one of several: the instance, or what the instance says of it.
    pub(crate) own: Place,
    fields: BTreeMap<String, Node>,
    parameters: BTreeMap<String, String>,
}

type Parameters = BTreeMap<String, String>;

impl Member {
    pub(crate) fn plain(node: &Node) -> Self {
        let mut member =
            Self { place: node.place, own: node.place, fields: BTreeMap::new(), parameters: Parameters::new() };
        member.overlay(node);
        member
    }

    fn overlay(&mut self, node: &Node) {
        for entry in node.entries() {
            self.fields.insert(entry.key.value.clone(), entry.value.clone());
        }
    }

    pub(crate) fn get(&self, field: &str) -> Option<&Node> {
        self.fields.get(field).filter(|node| !node.is_null())
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.fields.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// A field's text with its parameters in it.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        self.resolve(self.get(field)?).ok()
    }

    pub(crate) fn number(&self, field: &str) -> Option<f64> {
        self.text(field)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A value with its parameters in it, or why it has none.
    pub(crate) fn resolve(&self, node: &Node) -> Result<String, String> {
        resolve(node, &self.parameters)
    }
}

impl<'a> Types<'a> {
    pub(super) fn collect(tree: &'a Node) -> Self {
        let mut types = Self { by_path: HashMap::new(), budget: Cell::new(VISITS) };
        let tops = if tree.items().is_empty() { std::slice::from_ref(tree) } else { tree.items() };
        tops.iter().for_each(|top| types.add(top, ""));
        types
    }

    fn add(&mut self, node: &'a Node, folder: &str) {
        let name = text(node, "name");
        let path = match folder {
            _ if name.is_empty() || name == "_types_" => String::new(),
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        match kind(node) {
            Kind::Type => {
                self.by_path.insert(path, node);
            }
            Kind::Folder => {
                // Only what lies below `_types_`, or an export of types alone, has a path that instances name.
                let tags = node.get("tags").map(Node::items).unwrap_or_default();
                tags.iter().for_each(|tag| self.add(tag, &path));
            }
            Kind::Instance | Kind::Tag => {}
        }
    }

    /// `[provider]_types_/Folder/Well`, `Folder/Well`.
    fn find(&self, id: &str) -> Option<&'a Node> {
        let id = id.rsplit_once("_types_/").map_or(id, |(_, path)| path);
        let id = id.split_once(']').map_or(id, |(_, path)| path);
        self.by_path.get(id).copied().or_else(|| {
            // A part of the types may have been exported, without the folders around them.
            let mut ending = self.by_path.iter().filter(|(path, _)| id.ends_with(&format!("/{path}")));
            ending.next().map(|(_, node)| *node)
        })
    }

    /// The members of an instance, with the folders inside it.
    pub(super) fn instance(&self, node: &Node, found: &mut Vec<(Vec<String>, Member)>) -> Result<(), String> {
        self.members(&[node], &Parameters::new(), &[], 0, found)
    }

    /// `layers` are the same instance as its type's type, its type, and the instance itself say it, the nearest last.
    fn members(
        &self,
        layers: &[&Node],
        outer: &Parameters,
        folders: &[String],
        depth: usize,
        found: &mut Vec<(Vec<String>, Member)>,
    ) -> Result<(), String> {
        if depth > DEPTH {
            return Err("its type holds itself".to_owned());
        }
        let Some(instance) = layers.last() else { return Ok(()) };
        let id = layers.iter().rev().find_map(|layer| layer.get("typeId")).and_then(Node::as_text).unwrap_or_default();
        let mut chain = Vec::new();
        let mut next = id.to_owned();
        while !next.is_empty() {
            let of = self.find(&next).ok_or_else(|| format!("the export does not hold the type `{next}`"))?;
            if chain.len() > DEPTH {
                return Err("its type is a kind of itself".to_owned());
            }
            chain.push(of);
            next = text(of, "typeId").to_owned();
        }
        chain.reverse();
        let whole: Vec<&Node> = chain.iter().copied().chain(layers.iter().copied()).collect();
        let mut parameters = outer.clone();
        parameters.insert("InstanceName".to_owned(), text(instance, "name").to_owned());
        for layer in &whole {
            for entry in layer.get("parameters").map(Node::entries).unwrap_or_default() {
                let value = entry.value.get("value").unwrap_or(&entry.value);
                if let Ok(value) = resolve(value, &parameters) {
                    parameters.insert(entry.key.value.clone(), value);
                }
            }
        }
        let tags: Vec<&[Node]> =
            whole.iter().map(|layer| layer.get("tags").map(Node::items).unwrap_or_default()).collect();
        self.layered(&tags, &parameters, (instance.place, folders), depth, found)
    }

    /// Tags of one folder in several layers: those of one name are one.
    fn layered(
        &self,
        layers: &[&[Node]],
        parameters: &Parameters,
        (instance, folders): (Place, &[String]),
        depth: usize,
        found: &mut Vec<(Vec<String>, Member)>,
    ) -> Result<(), String> {
        let mut names: Vec<&str> = Vec::new();
        let mut by_name: HashMap<&str, Vec<&Node>> = HashMap::new();
        for node in layers.iter().flat_map(|layer| layer.iter()) {
            let name = text(node, "name");
            by_name.entry(name).or_insert_with(|| {
                names.push(name);
                Vec::new()
            });
            if let Some(nodes) = by_name.get_mut(name) {
                nodes.push(node);
            }
        }
        for name in names {
            let left = self.budget.get().checked_sub(1);
            self.budget.set(left.ok_or("the instances of the export have too many members together")?);
            let Some(nodes) = by_name.get(name) else { continue };
            let Some(first) = nodes.first() else { continue };
            let inner: Vec<String> = folders.iter().cloned().chain([name.to_owned()]).collect();
            match kind(first) {
                Kind::Type => {}
                Kind::Folder => {
                    let tags: Vec<&[Node]> =
                        nodes.iter().map(|node| node.get("tags").map(Node::items).unwrap_or_default()).collect();
                    if depth > DEPTH {
                        return Err("its folders are nested too deeply".to_owned());
                    }
                    self.layered(&tags, parameters, (instance, &inner), depth + 1, found)?;
                }
                Kind::Instance => self.members(nodes, parameters, &inner, depth + 1, found)?,
                Kind::Tag => {
                    let mut member = Member::plain(first);
                    nodes[1..].iter().for_each(|node| member.overlay(node));
                    member.own = if nodes.len() > 1 { nodes[nodes.len() - 1].place } else { instance };
                    member.parameters.clone_from(parameters);
                    member.parameters.insert("TagName".to_owned(), name.to_owned());
                    found.push((inner, member));
                }
            }
        }
        Ok(())
    }
}

fn resolve(node: &Node, parameters: &Parameters) -> Result<String, String> {
    let text = match &node.value {
        Value::Map(_) => match node.get("bindType").and_then(Node::as_text) {
            Some("parameter") => node.get("binding").and_then(Node::as_text).ok_or("its binding is empty")?,
            Some(kind) => return Err(format!("it is bound to something that the export does not hold (`{kind}`)")),
            None => return Err("it is no text".to_owned()),
        },
        _ => node.as_text().ok_or("it is no text")?,
    };
    insert(text, parameters)
}

/// Replaces `{name}`, `{name+2}`, `{name-1}`, `{name*2}`.
fn insert(text: &str, parameters: &Parameters) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let (inside, after) = behind.split_once('}').ok_or("a `{` is not closed")?;
        out.push_str(&value(inside.trim(), parameters)?);
        rest = after;
        if out.len() > 4096 {
            return Err("its text is too long".to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(expression: &str, parameters: &Parameters) -> Result<String, String> {
    if let Some(value) = parameters.get(expression) {
        return Ok(value.clone());
    }
    let unknown = || format!("there is no parameter `{expression}`");
    let at = expression.find(['+', '-', '*']).ok_or_else(unknown)?;
    let (name, operation) = expression.split_at(at);
    let base = parameters.get(name.trim()).ok_or_else(unknown)?;
    let no_sum = || format!("`{{{expression}}}` cannot be computed");
    let base: i64 = base.trim().parse().map_err(|_| no_sum())?;
    let operand: i64 = operation[1..].trim().parse().map_err(|_| no_sum())?;
    let result = match &operation[..1] {
        "+" => base.checked_add(operand),
        "-" => base.checked_sub(operand),
        _ => base.checked_mul(operand),
    };
    result.map(|result| result.to_string()).ok_or_else(no_sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_inserted_and_counted() {
        let parameters: Parameters =
            [("dev", "RTU1"), ("base", "100")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let done = |text| insert(text, &parameters);
        assert_eq!(done("[{dev}]HR{base+2}").as_deref(), Ok("[RTU1]HR102"));
        assert_eq!(done("[{dev}]HR{base * 3}").as_deref(), Ok("[RTU1]HR300"));
        for text in ["{x}", "{dev+1}", "{base+x}", "{base", "{base+9223372036854775807}", "{+}"] {
            assert!(done(text).is_err(), "{text}");
        }
    }
}
