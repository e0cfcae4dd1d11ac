//! `${name}`, `${env:NAME}` and `$$` in the values of a tree.
//!
//! Values are inserted after parsing, so that whatever a parameter holds it cannot add YAML: alone,
//! `${name}` becomes the parameter's own value with its type; inside a text the value's text is
//! inserted and the whole stays a text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Place;
use crate::tree::{NODE_LIMIT, Node, Spanned, Value, shorten};

/// Most bytes of text that one call makes.
const TEXT_LIMIT: usize = 16 << 20;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What `${…}` can name.
#[derive(Clone, Default)]
pub struct Parameters<'a> {
    values: BTreeMap<String, Node>,
    environment: Option<Environment<'a>>,
}

impl<'a> Parameters<'a> {
    /// No parameters, and no environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows `${env:NAME}`, as in site files.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment<'a>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Declares a parameter and gives it a value.
    pub fn insert(&mut self, name: impl Into<String>, value: Node) {
        self.values.insert(name.into(), value);
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.values.get(name)
    }

    /// The names declared, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// Replaces every `${…}` and `$$` in the keys and values of a tree.
///
/// What cannot be replaced is reported and becomes [`Value::Invalid`]. The values inserted are not
/// searched again.
pub fn interpolate(node: &mut Node, parameters: &Parameters<'_>, diagnostics: &mut Diagnostics) {
    Interpolation { parameters, diagnostics, nodes: 0, bytes: 0 }.node(node);
}

/// The parameters that a tree refers to, in order, each as often as it is named; `env:NAME` for
/// the environment.
pub fn references(node: &Node) -> Vec<Spanned<String>> {
    let mut found = Vec::new();
    collect(node, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<Spanned<String>>) {
    if let Value::Text(value) = &node.value {
        collect_text(value, node, found);
    }
    for entry in node.entries() {
        collect_text(&entry.key, &key_node(&entry.key), found);
        collect(&entry.value, found);
    }
    for item in node.items() {
        collect(item, found);
    }
}

fn collect_text(text: &str, node: &Node, found: &mut Vec<Spanned<String>>) {
    for segment in segments(text).unwrap_or_default() {
        if let Segment::Name(name, range) = segment {
            found.push(Spanned::new(name.to_owned(), part(node, &range)));
        }
    }
}

/// A key as a scalar. Whether it was quoted is not kept; its place tells.
fn key_node(key: &Spanned<String>) -> Node {
    Node { quoted: key.place.len() != Some(key.len()), ..Node::text(key.place, key.value.as_str()) }
}

struct Interpolation<'p, 'd> {
    parameters: &'p Parameters<'p>,
    diagnostics: &'d mut Diagnostics,
    nodes: usize,
    bytes: usize,
}

impl<'p> Interpolation<'p, '_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => {
                let text = Arc::clone(text);
                match self.value(&text, node) {
                    Ok(new) => {
                        // What a parameter gives alone stands where it was given: that is where to mend it.
                        if new.place != Place::NOWHERE {
                            node.place = new.place;
                        }
                        node.value = new.value;
                        node.written = new.written;
                        node.quoted = new.quoted;
                    }
                    Err(diagnostic) => {
                        self.diagnostics.push(*diagnostic);
                        node.value = Value::Invalid;
                    }
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Map(entries) => {
                let mut keys = HashSet::new();
                let mut renamed = false;
                for entry in entries.iter_mut() {
                    if entry.key.contains('$') {
                        renamed = true;
                        self.key(&mut entry.key, &mut entry.value);
                    }
                    self.node(&mut entry.value);
                }
                if renamed {
                    entries.retain(|entry| {
                        let new = keys.insert(entry.key.value.clone());
                        if !new {
                            self.diagnostics.push(
                                Diagnostic::new(
                                    Code::DuplicateKey,
                                    format!("the key `{}` appears twice", shorten(&entry.key)),
                                )
                                .at(entry.key.place)
                                .help("two names become one once parameters are inserted"),
                            );
                        }
                        new
                    });
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: &mut Spanned<String>, value: &mut Node) {
        let written = key_node(key);
        let result = segments(&key.value)
            .map_err(|error| error.diagnostic(&written))
            .and_then(|segments| self.text(&segments, &written));
        match result {
            Ok(text) => key.value = text,
            Err(diagnostic) => {
                self.diagnostics.push(*diagnostic);
                value.value = Value::Invalid;
            }
        }
    }

    fn value(&mut self, text: &str, node: &Node) -> Result<Node, Box<Diagnostic>> {
        let segments = segments(text).map_err(|error| error.diagnostic(node))?;
        let invalid = |name: &str| self.parameters.get(name).is_some_and(|value| value.value == Value::Invalid);
        if segments.iter().any(|segment| matches!(segment, Segment::Name(name, _) if invalid(name))) {
            // What is wrong with the parameter was reported where it was given.
            return Ok(Node::new(node.place, Value::Invalid));
        }
        if let [Segment::Name(name, range)] = segments.as_slice() {
            let value = self.resolve(name, range, node)?.into_owned();
            self.spend(count(&value), 0, node)?;
            return Ok(value);
        }
        let text = self.text(&segments, node)?;
        Ok(Node { quoted: node.quoted, ..Node::text(node.place, text) })
    }

    /// The segments put together, the value of each name as text.
    fn text(&mut self, segments: &[Segment<'_>], node: &Node) -> Result<String, Box<Diagnostic>> {
        let mut text = String::new();
        for segment in segments {
            match segment {
                Segment::Text(part) => text.push_str(part),
                Segment::Name(name, range) => {
                    let value = self.resolve(name, range, node)?;
                    let Some(inserted) = value.as_text() else {
                        let place = part(node, range);
                        return Err(Box::new(
                            Diagnostic::new(
                                Code::ParameterNotScalar,
                                format!("`{name}` is {}, which cannot be part of a text", value.describe()),
                            )
                            .at(place)
                            .help(format!("let `${{{name}}}` stand alone, or give it a text")),
                        ));
                    };
                    self.spend(0, inserted.len(), node)?;
                    text.push_str(inserted);
                }
            }
        }
        Ok(text)
    }

    fn resolve(&self, name: &str, range: &Range<usize>, node: &Node) -> Result<Cow<'p, Node>, Box<Diagnostic>> {
        let place = part(node, range);
        let failed = |diagnostic: Diagnostic| Err(Box::new(diagnostic.at(place)));
        if let Some(variable) = name.strip_prefix("env:") {
            let Some(environment) = self.parameters.environment else {
                return failed(
                    Diagnostic::new(Code::EnvironmentRefused, "the environment is read in site files only")
                        .help("declare a parameter here and give it a value in the site file"),
                );
            };
            return match environment(variable) {
                Some(value) => Ok(Cow::Owned(Node::plain(node.place, &value))),
                None => failed(
                    Diagnostic::new(
                        Code::EnvironmentMissing,
                        format!("the environment variable `{variable}` is not set"),
                    )
                    .help(format!("set `{variable}` before starting")),
                ),
            };
        }
        match self.parameters.get(name) {
            Some(value) => Ok(Cow::Borrowed(value)),
            None => {
                let diagnostic = Diagnostic::new(Code::ParameterUnknown, format!("no parameter `{name}` is declared"));
                failed(if self.parameters.values.is_empty() {
                    diagnostic.help("no parameters are declared here; write `$$` for a plain `$`")
                } else {
                    diagnostic.suggest(name, self.parameters.names())
                })
            }
        }
    }

    /// Counts what is inserted, so that parameters cannot fill the memory.
    fn spend(&mut self, nodes: usize, bytes: usize, node: &Node) -> Result<(), Box<Diagnostic>> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > NODE_LIMIT || self.bytes > TEXT_LIMIT {
            return Err(Box::new(
                Diagnostic::new(Code::TooManyNodes, "the parameters inserted are too large").at(node.place),
            ));
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    let entries: usize = node.entries().iter().map(|entry| count(&entry.value)).sum();
    let items: usize = node.items().iter().map(count).sum();
    1 + entries + items
}

#[derive(Debug, PartialEq)]
enum Segment<'a> {
    Text(&'a str),
    /// A name and the bytes of its `${…}`.
    Name(&'a str, Range<usize>),
}

#[derive(Debug)]
struct SyntaxError {
    range: Range<usize>,
    message: String,
}

impl SyntaxError {
    fn diagnostic(self, node: &Node) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::new(Code::ParameterSyntax, self.message)
                .at(part(node, &self.range))
                .help("write `${name}` or `${env:NAME}`; `$$` is a plain `$`"),
        )
    }
}

fn segments(text: &str) -> Result<Vec<Segment<'_>>, SyntaxError> {
    let mut segments = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        let behind = &text[dollar + 1..];
        if behind.starts_with('$') {
            // The first `$` of `$$` is kept, the second passed over.
            segments.push(Segment::Text(&text[from..=dollar]));
            from = dollar + 2;
            at = from;
        } else if let Some(inside) = behind.strip_prefix('{') {
            let Some(length) = inside.find('}') else {
                return Err(SyntaxError { range: dollar..dollar + 2, message: "`${` is not closed".to_owned() });
            };
            let end = dollar + 2 + length + 1;
            let name = &inside[..length];
            if !is_name(name) {
                return Err(SyntaxError {
                    range: dollar..end,
                    message: format!("`{}` is not the name of a parameter", shorten(name)),
                });
            }
            if from < dollar {
                segments.push(Segment::Text(&text[from..dollar]));
            }
            segments.push(Segment::Name(name, dollar..end));
            from = end;
            at = end;
        } else {
            at = dollar + 1;
        }
    }
    if from < text.len() {
        segments.push(Segment::Text(&text[from..]));
    }
    Ok(segments)
}

fn is_name(name: &str) -> bool {
    let name = name.strip_prefix("env:").unwrap_or(name);
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The place of some bytes of a scalar; the whole scalar where escapes or line breaks in its source
/// shift them.
fn part(node: &Node, range: &Range<usize>) -> Place {
    let quote = usize::from(node.quoted);
    if node.place.len() == Some(node.written.len() + 2 * quote) {
        node.place.part(range.start + quote, range.end + quote)
    } else {
        node.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn run(text: &str, parameters: &Parameters<'_>) -> (Node, Sources, Diagnostics) {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let file = sources.add_text("t.yaml", text);
        let mut node = Node::parse(file, &sources, &mut diagnostics).unwrap();
        interpolate(&mut node, parameters, &mut diagnostics);
        (node, sources, diagnostics)
    }

    fn parameters() -> Parameters<'static> {
        let mut parameters = Parameters::new();
        parameters.insert("host", Node::plain(Place::NOWHERE, "10.0.0.1"));
        parameters.insert("unit_id", Node::plain(Place::NOWHERE, "7"));
        parameters.insert("evil", Node::text(Place::NOWHERE, "x, b: [1]\n- y"));
        parameters.insert("list", Node::new(Place::NOWHERE, Value::List(vec![Node::plain(Place::NOWHERE, "1")])));
        parameters
    }

    #[test]
    fn alone_it_keeps_its_type_and_inside_it_is_text() {
        let (node, sources, found) = run(
            "a: \"tcp://${host}:502\"\nb: \"${unit_id}\"\nc: ${list}\nd: $$${unit_id}$${x} $5\ne: {'${host}': 1}\n",
            &parameters(),
        );
        assert!(found.is_empty(), "{}", found.render(&sources, false));
        assert_eq!(node.get("a").unwrap().as_text(), Some("tcp://10.0.0.1:502"));
        let b = node.get("b").unwrap();
        assert_eq!(b.value, Value::Integer(7));
        assert_eq!(sources.slice(b.place), "\"${unit_id}\"");
        assert_eq!(node.get("c").unwrap().items().len(), 1);
        assert_eq!(node.get("d").unwrap().as_text(), Some("$7${x} $5"));
        assert!(node.get("e").unwrap().get("10.0.0.1").is_some());
    }

    #[test]
    fn a_value_cannot_add_yaml() {
        let (node, _, found) = run("a: ${evil}\nb: \"<${evil}>\"\n", &parameters());
        assert!(found.is_empty());
        assert_eq!(node.entries().len(), 2);
        assert_eq!(node.get("a").unwrap().as_text(), Some("x, b: [1]\n- y"));
        assert_eq!(node.get("b").unwrap().as_text(), Some("<x, b: [1]\n- y>"));
    }

    #[test]
    fn mistakes_are_found_at_their_place() {
        let (node, sources, found) = run(
            "a: \"x${hots}y\"\nb: ${\nc: ${a b}\nd: \"${env:X}\"\ne: \"<${list}>\"\nf: {\"${host}\": 1, 10.0.0.1: 2}\n",
            &parameters(),
        );
        let codes: Vec<_> = found.iter().map(|found| found.code).collect();
        assert_eq!(
            codes,
            [
                Code::ParameterUnknown,
                Code::ParameterSyntax,
                Code::ParameterSyntax,
                Code::EnvironmentRefused,
                Code::ParameterNotScalar,
                Code::DuplicateKey,
            ]
        );
        let first = found.iter().next().unwrap();
        assert_eq!(sources.slice(first.place.unwrap()), "${hots}");
        assert!(first.help.as_ref().unwrap().contains("`host`"));
        assert_eq!(node.get("a").unwrap().value, Value::Invalid);
    }

    #[test]
    fn the_environment_is_read_where_allowed() {
        let lookup = |name: &str| (name == "PORT").then(|| "502".to_owned());
        let parameters = Parameters::new().with_environment(&lookup);
        let (node, _, found) = run("a: ${env:PORT}\nb: x${env:PORT}\nc: ${env:PROT}\n", &parameters);
        assert_eq!(node.get("a").unwrap().value, Value::Integer(502));
        assert_eq!(node.get("b").unwrap().as_text(), Some("x502"));
        let codes: Vec<_> = found.iter().map(|found| found.code).collect();
        assert_eq!(codes, [Code::EnvironmentMissing]);
    }

    #[test]
    fn insertions_are_limited() {
        let mut parameters = Parameters::new();
        parameters.insert("a", Node::text(Place::NOWHERE, "x".repeat(1 << 20)));
        let (_, _, found) = run(&format!("b: {}", "${a}".repeat(1_000)), &parameters);
        assert_eq!(found.iter().next().unwrap().code, Code::TooManyNodes);
    }

    #[test]
    fn references_are_listed() {
        let (node, sources, _) = run("a: 1\n", &parameters());
        assert!(references(&node).is_empty());
        drop((node, sources));
        let mut sources = Sources::new();
        let file = sources.add_text("t", "a: [\"${x}-${env:Y}\"]\n${z}: $$\n");
        let node = Node::parse(file, &sources, &mut Diagnostics::new()).unwrap();
        let found: Vec<_> =
            references(&node).iter().map(|name| format!("{} {}", name, sources.slice(name.place))).collect();
        assert_eq!(found, ["x ${x}", "env:Y ${env:Y}", "z ${z}"]);
    }
}
