//! Events of the YAML parser into a [`Node`] tree.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{DEPTH_LIMIT, Entry, NODE_LIMIT, Node, Spanned, Value, scalar, syntax};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::source::{FileId, Place};

pub(super) fn parse(file: FileId, text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: DEPTH_LIMIT + 1,
        block_nesting_limit: DEPTH_LIMIT + 1,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        file,
        text,
        events: Parser::new_from_str_with_options(text, options),
        diagnostics,
        anchors: HashMap::new(),
        open: Vec::new(),
        names: Vec::new(),
        nodes: 0,
    };
    match builder.stream() {
        Ok(node) => Some(node),
        Err(Stop(diagnostic)) => {
            builder.diagnostics.push(*diagnostic);
            None
        }
    }
}

/// What ends the reading of one file.
struct Stop(Box<Diagnostic>);

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Stop(Box::new(diagnostic))
    }
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    diagnostics: &'a mut Diagnostics,
    anchors: HashMap<usize, Anchored>,
    /// Anchors whose value is still being read.
    open: Vec<usize>,
    names: Vec<String>,
    nodes: usize,
}

struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

/// A node with what a limit needs to know about it.
struct Built {
    node: Node,
    /// Levels of lists and mappings in it.
    height: usize,
}

type Next<'a> = (Event<'a>, Span);

impl<'a> Builder<'a> {
    fn stream(&mut self) -> Result<Node, Stop> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if document.is_some() => {
                    let place = self.place(span);
                    return Err(Diagnostic::new(Code::MultipleDocuments, "the file holds more than one YAML document")
                        .at(place)
                        .help("keep what is above `---` and move the rest to a file of its own")
                        .into());
                }
                Event::DocumentStart(..) => {}
                event => document = Some(self.node((event, span), 0)?.node),
            }
        }
        Ok(document.unwrap_or_else(|| Node::new(Place::text(self.file, 0, 0), Value::Null)))
    }

    /// The next event that is part of the tree; remembers the names of anchors.
    fn next(&mut self) -> Result<Next<'a>, Stop> {
        loop {
            match self.events.next() {
                Some(Ok((Event::Anchor(_, name), _))) => self.names.push(name.into_owned()),
                Some(Ok(next)) => return Ok(next),
                Some(Err(error)) => return Err(self.syntax(&error).into()),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn node(&mut self, (event, span): Next<'a>, depth: usize) -> Result<Built, Stop> {
        self.count(1, span)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text.into(), style, tag.as_deref(), span);
                let built = Built { node, height: 0 };
                self.remember(anchor, &built, 1);
                Ok(built)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.enter(depth, span)?;
                self.expect_tag(tag.as_deref(), "seq", span);
                let before = self.nodes;
                self.open.extend((anchor != 0).then_some(anchor));
                let built = self.list(span, depth)?;
                self.remember(anchor, &built, self.nodes - before + 1);
                Ok(built)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.enter(depth, span)?;
                self.expect_tag(tag.as_deref(), "map", span);
                let before = self.nodes;
                self.open.extend((anchor != 0).then_some(anchor));
                let built = self.mapping(span, depth)?;
                self.remember(anchor, &built, self.nodes - before + 1);
                Ok(built)
            }
            Event::Alias(anchor) => self.alias(anchor, span, depth),
            Event::UnresolvedAlias(name) => {
                let nearest = did_you_mean(&name, self.names.iter().map(String::as_str));
                let mut diagnostic =
                    Diagnostic::new(Code::AliasUnknown, format!("no anchor `&{name}` is defined before this alias"))
                        .at(self.place(span));
                if let Some(nearest) = nearest {
                    diagnostic = diagnostic.help(format!("did you mean `*{nearest}`?"));
                }
                Ok(self.invalid(diagnostic))
            }
            _ => Err(Diagnostic::new(Code::YamlSyntax, "the text is not valid YAML").at(self.place(span)).into()),
        }
    }

    fn list(&mut self, span: Span, depth: usize) -> Result<Built, Stop> {
        let mut items = Vec::new();
        let mut height = 0;
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                let last = items.last().map(|item: &Node| item.place);
                return Ok(Built {
                    node: Node::new(self.around(span, at, last), Value::List(items)),
                    height: height + 1,
                });
            }
            let item = self.node((event, at), depth + 1)?;
            height = height.max(item.height);
            items.push(item.node);
        }
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Result<Built, Stop> {
        let mut entries = Entries::default();
        let mut height = 0;
        let mut last = None;
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Built {
                    node: Node::new(self.around(span, at, last), Value::Map(entries.finish())),
                    height: height + 1,
                });
            }
            let key = self.node((event, at), depth + 1)?.node;
            let next = self.next()?;
            let value = self.node(next, depth + 1)?;
            height = height.max(value.height);
            last = Some(if value.node.place.is_empty() { key.place } else { value.node.place });
            self.entry(key, value.node, &mut entries);
        }
    }

    fn entry(&mut self, key: Node, value: Node, entries: &mut Entries) {
        if !key.quoted && key.written.as_ref() == "<<" {
            return self.merge(&key, value, entries);
        }
        let Some(name) = key.as_text().filter(|name| !name.is_empty()) else {
            if key.value != Value::Invalid {
                self.diagnostics.push(
                    Diagnostic::new(Code::KeyNotText, format!("a key must be a name, and this is {}", key.describe()))
                        .at(key.place)
                        .help("quote the key if it is meant as text"),
                );
            }
            return;
        };
        let key = Spanned::new(name.to_owned(), key.place);
        match entries.place_of(&key) {
            None => entries.add(Entry { key, value }),
            Some(first) => self.diagnostics.push(
                Diagnostic::new(Code::DuplicateKey, format!("the key `{key}` appears twice"))
                    .at(key.place)
                    .note_at(first, "it is first given here")
                    .help("remove or rename one of the two"),
            ),
        }
    }

    fn merge(&mut self, key: &Node, value: Node, entries: &mut Entries) {
        let maps = match value.value {
            Value::Map(map) => vec![map],
            Value::List(items) => {
                let mut maps = Vec::new();
                for item in items {
                    match item.value {
                        Value::Map(map) => maps.push(map),
                        Value::Invalid => {}
                        _ => self.not_mergeable(key.place),
                    }
                }
                maps
            }
            Value::Invalid => return,
            _ => return self.not_mergeable(key.place),
        };
        entries.merged.extend(maps.into_iter().flatten());
    }

    fn not_mergeable(&mut self, place: Place) {
        self.diagnostics.push(
            Diagnostic::new(Code::MergeNotMapping, "`<<` takes a mapping or a list of mappings")
                .at(place)
                .help("write `<<: *anchor`, where `&anchor` stands at a mapping"),
        );
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Built, Stop> {
        if self.open.contains(&anchor) {
            let diagnostic =
                Diagnostic::new(Code::AliasUnknown, "the alias stands inside the value that its anchor names")
                    .at(self.place(span));
            return Ok(self.invalid(diagnostic));
        }
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Ok(Built { node: Node::new(self.place(span), Value::Invalid), height: 0 });
        };
        let (nodes, height) = (anchored.nodes, anchored.height);
        if depth + height > DEPTH_LIMIT {
            return Err(self.too_deep(span).into());
        }
        self.count(nodes.saturating_sub(1), span)?;
        let node = self.anchors.get(&anchor).map(|anchored| anchored.node.clone());
        Ok(Built { node: node.unwrap_or_else(|| Node::new(self.place(span), Value::Invalid)), height })
    }

    fn scalar(&mut self, written: Arc<str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let place = self.place(span);
        let quoted = style != ScalarStyle::Plain;
        let value = match tag {
            None if quoted => Value::Text(Arc::clone(&written)),
            None => scalar::resolve(&written),
            Some(tag) if tag.core_suffix().is_none() && !is_non_specific(tag) => {
                self.unknown_tag(tag, span);
                Value::Invalid
            }
            Some(tag) => {
                let name = tag.core_suffix().unwrap_or("str");
                scalar::resolve_tagged(&written, name).unwrap_or_else(|| {
                    self.diagnostics.push(
                        Diagnostic::new(Code::TypeMismatch, format!("the value does not fit its tag `!!{name}`"))
                            .at(place),
                    );
                    Value::Invalid
                })
            }
        };
        Node { place, value, written, quoted }
    }

    fn expect_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && !is_non_specific(tag)
            && tag.core_suffix() != Some(expected)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        let at = span.tag_span().unwrap_or(span);
        let place = self.place(at);
        self.diagnostics.push(
            Diagnostic::new(Code::TagUnknown, format!("the YAML tag `{tag}` has no meaning here"))
                .at(place)
                .help("remove the tag, or quote the value if `!` begins a text"),
        );
    }

    fn remember(&mut self, anchor: usize, built: &Built, nodes: usize) {
        if anchor == 0 {
            return;
        }
        self.open.retain(|open| *open != anchor);
        self.anchors.insert(anchor, Anchored { node: built.node.clone(), nodes, height: built.height });
    }

    fn invalid(&mut self, diagnostic: Diagnostic) -> Built {
        let place = diagnostic.place.unwrap_or(Place::file(self.file));
        self.diagnostics.push(diagnostic);
        Built { node: Node::new(place, Value::Invalid), height: 0 }
    }

    fn enter(&self, depth: usize, span: Span) -> Result<(), Stop> {
        if depth >= DEPTH_LIMIT {
            return Err(self.too_deep(span).into());
        }
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Diagnostic {
        syntax::too_deep().at(self.place(span))
    }

    /// Counts nodes before they are made, so that aliases cannot fill the memory.
    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODE_LIMIT {
            return Err(Diagnostic::new(
                Code::TooManyNodes,
                format!("the file has more than {NODE_LIMIT} values, those repeated by aliases counted"),
            )
            .at(self.place(span))
            .help("split the file, or repeat less by aliases")
            .into());
        }
        Ok(())
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let start = self.offset(*error.marker());
        let next = self.text[start..].chars().next();
        let end = start + next.map_or(0, char::len_utf8);
        syntax::diagnostic(error.kind(), &self.text[..start]).at(Place::text(self.file, start, end))
    }

    fn place(&self, span: Span) -> Place {
        let start = self.offset(span.start);
        let end = self.offset(span.end).max(start);
        // A block scalar's span reaches to the next token.
        let trimmed = self.text[start..end].trim_end().len();
        Place::text(self.file, start, start + trimmed)
    }

    /// From the start of a collection to its closing bracket or its last child.
    fn around(&self, start: Span, end: Span, last: Option<Place>) -> Place {
        let first = self.place(start);
        let bracket = self.place(end);
        match last {
            _ if !bracket.is_empty() => first.to(bracket),
            Some(last) => first.to(last),
            None => first,
        }
    }

    fn offset(&self, marker: Marker) -> usize {
        let at = marker
            .byte_offset()
            .unwrap_or_else(|| self.text.char_indices().nth(marker.index()).map_or(self.text.len(), |(at, _)| at));
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn is_non_specific(tag: &Tag) -> bool {
    tag.handle().is_empty() && tag.suffix() == "!" || tag.handle() == "!" && tag.suffix().is_empty()
}

#[derive(Default)]
struct Entries {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    /// Entries of `<<`, which give way to those written here and to earlier ones.
    merged: Vec<Entry>,
}

impl Entries {
    /// Where a key was given before.
    fn place_of(&self, key: &str) -> Option<Place> {
        let first = self.index.get(key)?;
        self.entries.get(*first).map(|entry| entry.key.place)
    }

    /// Adds an entry whose key is not there yet.
    fn add(&mut self, entry: Entry) {
        self.index.insert(entry.key.value.clone(), self.entries.len());
        self.entries.push(entry);
    }

    fn finish(mut self) -> Vec<Entry> {
        for entry in std::mem::take(&mut self.merged) {
            if self.place_of(&entry.key).is_none() {
                self.add(entry);
            }
        }
        self.entries
    }
}
