//! A pipeline's file as drafts of nodes: operators found, fields decoded, inputs resolved to nodes.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codes::Code;
use crate::decode::{OrderedMap, decode, decode_rest};
use crate::diagnostic::Diagnostic;
use crate::interpolate::{Parameters, interpolate};
use crate::operator::{Decode, MAIN};
use crate::pipeline::NodeConfig;
use crate::registry::Role;
use crate::scalar::Name;
use crate::source::{FileId, Place};
use crate::tree::{Node, Spanned, Value, shorten};

use super::Loader;
use super::fields::{PipelineFields, UseFields};
use super::parameters::{check_declared, given};

/// Most nodes of a pipeline.
const NODE_LIMIT: usize = 10_000;
/// Most inputs of a node.
const INPUT_LIMIT: usize = 1_000;

const LISTS: [(&str, Role); 3] = [("sources", Role::Source), ("transforms", Role::Transform), ("sinks", Role::Sink)];

pub(super) struct PipelineDraft {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    pub(super) nodes: Vec<NodeDraft>,
}

pub(super) struct NodeDraft {
    pub(super) id: Spanned<Arc<str>>,
    pub(super) operator: &'static str,
    pub(super) role: Role,
    /// `None` where a mistake in it is reported.
    pub(super) config: Option<NodeConfig>,
    pub(super) inputs: Vec<InputDraft>,
    /// Whether all inputs are known.
    pub(super) sound: bool,
    pub(super) publish: Vec<(Spanned<String>, Spanned<String>)>,
    pub(super) place: Place,
}

pub(super) struct InputDraft {
    pub(super) name: Option<String>,
    /// As written: `minutes.late`.
    pub(super) from: Spanned<String>,
    /// Index of the node in the draft.
    pub(super) node: usize,
    pub(super) port: String,
}

/// An input as written: the name it is taken under, and where it comes from.
type WrittenInput = (Option<String>, Spanned<String>);

impl Loader<'_> {
    /// The pipelines that a site uses; `None` for one that could not be made out.
    pub(super) fn used_pipelines(
        &mut self,
        uses: &[UseFields],
        folder: &Path,
        library: &[Spanned<PathBuf>],
    ) -> Vec<Option<PipelineDraft>> {
        for library in library {
            if !library.value.is_dir() {
                let message = format!("there is no folder `{}`", library.value.display());
                self.report(
                    Diagnostic::new(Code::FileMissing, message)
                        .at(library.place)
                        .help("the path starts at the folder of the file that names it"),
                );
            }
        }
        let mut folders = vec![folder.join("pipelines")];
        folders.extend(library.iter().map(|folder| folder.value.clone()));
        let mut ids: HashMap<String, Place> = HashMap::new();
        uses.iter()
            .map(|used| {
                let id = used.id.as_ref().unwrap_or(&used.name);
                if let Some(first) = ids.insert(id.value.to_string(), id.place) {
                    self.report(
                        Diagnostic::new(Code::NameTaken, format!("two pipelines run as `{}`", id.value))
                            .at(id.place)
                            .note_at(first, "the first is here")
                            .help("give one of them another name with `as:`"),
                    );
                    return None;
                }
                let (file, node) = self.find_pipeline(&used.name, &folders)?;
                let id = used.id.as_ref().map(|id| id.value.to_string());
                self.pipeline(file, node, id, &used.with, used.name.place)
            })
            .collect()
    }

    fn find_pipeline(&mut self, name: &Spanned<Name>, folders: &[PathBuf]) -> Option<(FileId, Node)> {
        let file_name = format!("{}.yaml", name.value);
        for folder in folders {
            let path = folder.join(&file_name);
            if path.exists() {
                return self.read(&path, Some(name.place));
            }
        }
        if let Some(built_in) = self.registry.pipeline(name.as_str()) {
            let file = self.sources.add_text(PathBuf::from(format!("built-in/{file_name}")), built_in);
            let node = Node::parse(file, self.sources, self.diagnostics)?;
            return Some((file, node));
        }
        let mut known: BTreeSet<String> = self.registry.pipelines().map(str::to_owned).collect();
        for folder in folders {
            known.extend(pipelines_in(folder));
        }
        self.report(
            Diagnostic::new(Code::PipelineUnknown, format!("there is no pipeline `{}`", name.value))
                .at(name.place)
                .help(format!("write it to `{}`", folders[0].join(&file_name).display()))
                .suggest(name.as_str(), known.iter().map(String::as_str)),
        );
        None
    }

    /// Makes out a pipeline's file. `used_at` is where parameters that are not given are reported.
    pub(super) fn pipeline(
        &mut self,
        file: FileId,
        mut node: Node,
        id: Option<String>,
        with: &OrderedMap<Node>,
        used_at: Place,
    ) -> Option<PipelineDraft> {
        let lists = LISTS.map(|(name, _)| name);
        let mut elsewhere = lists.to_vec();
        elsewhere.push("parameters");
        // `parameters` must be known before anything is inserted, the name must not hold any.
        let parameters = node.take("parameters");
        let mut head = Node::new(node.place, Value::Map(Vec::new()));
        if let (Value::Map(fields), Value::Map(all)) = (&mut head.value, &node.value) {
            fields.extend(all.iter().filter(|entry| !lists.contains(&entry.key.as_str())).cloned());
            fields.extend(parameters);
        }
        let fields: Option<PipelineFields> = decode_rest(&head, &lists, self.diagnostics);
        let declared = fields.as_ref().map(|fields| &fields.parameters);
        if let Some(declared) = declared {
            check_declared(declared, &[], self.diagnostics);
            let mut parameters = Parameters::new();
            for (name, value) in given(declared, with, used_at, self.diagnostics) {
                parameters.insert(name, value);
            }
            interpolate(&mut node, &parameters, self.diagnostics);
        }
        let mut nodes = Vec::new();
        let mut ids: HashMap<String, Place> = HashMap::new();
        let mut rejected = BTreeSet::new();
        let mut fields = fields;
        let mut written: Vec<Option<Vec<WrittenInput>>> = Vec::new();
        for (list, role) in LISTS {
            let Some(entry) = node.take(list) else { continue };
            match entry.value.value {
                Value::Map(entries) => {
                    for entry in entries {
                        let id = entry.key.value.clone();
                        if nodes.len() == NODE_LIMIT {
                            self.report(
                                Diagnostic::new(
                                    Code::TooManyParts,
                                    format!("a pipeline has more than {NODE_LIMIT} nodes"),
                                )
                                .at(entry.key.place)
                                .help("split it into several pipelines"),
                            );
                            fields = None;
                            break;
                        }
                        match self.node(entry.key, entry.value, role, &mut ids) {
                            Some((draft, inputs)) => {
                                nodes.push(draft);
                                written.push(inputs);
                            }
                            None => drop(rejected.insert(id)),
                        }
                    }
                }
                Value::Null => {}
                Value::Invalid => fields = None,
                _ => {
                    fields = None;
                    let message = format!("expected {} by their names, found {}", list, entry.value.describe());
                    self.report(Diagnostic::new(Code::TypeMismatch, message).at(entry.value.place));
                }
            }
        }
        self.resolve(&mut nodes, written, &rejected, fields.is_some());
        let fields = fields?;
        let name: Arc<str> = fields.pipeline.as_str().into();
        Some(PipelineDraft { id: id.map_or_else(|| name.clone(), Into::into), name, place: Place::file(file), nodes })
    }

    fn node(
        &mut self,
        id: Spanned<String>,
        mut node: Node,
        role: Role,
        ids: &mut HashMap<String, Place>,
    ) -> Option<(NodeDraft, Option<Vec<WrittenInput>>)> {
        if let Err(error) = id.parse::<Name>() {
            self.report_scalar(&error.to_string(), id.place);
            return None;
        }
        if id.value == MAIN {
            self.report(
                Diagnostic::new(Code::NameReserved, format!("no node can be called `{MAIN}`"))
                    .at(id.place)
                    .help("it is the name of every node's main port; choose another name"),
            );
        }
        let first = *ids.entry(id.value.clone()).or_insert(id.place);
        if first != id.place {
            self.report(
                Diagnostic::new(Code::NameTaken, format!("two nodes are called `{}`", id.value))
                    .at(id.place)
                    .note_at(first, "the first is here")
                    .help("names of sources, transforms and sinks are shared; rename one of the two"),
            );
            return None;
        }
        if !matches!(node.value, Value::Map(_)) {
            if node.value != Value::Invalid {
                let message = format!("expected the fields of a {}, found {}", role.name(), node.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(if node.is_null() {
                    id.place
                } else {
                    node.place
                }));
            }
            node.value = Value::Invalid;
        }
        let invalid = node.value == Value::Invalid;
        let place = if node.place.is_empty() { id.place } else { id.place.to(node.place) };
        let inputs = if role == Role::Source { node.take("inputs") } else { self.take_required(&mut node, "inputs") };
        let inputs = inputs.map(|entry| (entry.key.place, entry.value));
        let publish = node.take("publish");
        let operator = if invalid { None } else { self.take_type(&mut node, role) };
        let config = operator.as_ref().and_then(|operator| match operator.decode {
            Decode::Source(decode) => decode(&node, self.diagnostics).map(NodeConfig::Source),
            Decode::Transform(decode) => decode(&node, self.diagnostics).map(NodeConfig::Transform),
            Decode::Sink(decode) => decode(&node, self.diagnostics).map(NodeConfig::Sink),
            Decode::Connection(_) => None,
        });
        let written = self.written_inputs(&id, role, inputs, invalid);
        let publish = match publish {
            Some(entry) if role != Role::Transform => {
                self.report(
                    Diagnostic::new(Code::PublishMisplaced, format!("a {} publishes nothing", role.name()))
                        .at(entry.key.place)
                        .help("`publish` is a field of transforms that give rows"),
                );
                Vec::new()
            }
            Some(entry) => decode::<OrderedMap<Spanned<String>>>(&entry.value, self.diagnostics)
                .map(|columns| columns.0)
                .unwrap_or_default(),
            None => Vec::new(),
        };
        let draft = NodeDraft {
            id: id.map(|id| Arc::from(id.as_str())),
            operator: operator.map_or("", |operator| operator.name),
            role,
            config,
            inputs: Vec::new(),
            sound: true,
            publish,
            place,
        };
        Some((draft, written))
    }

    /// `inputs: [a, b.late]`, or `inputs: {left: a, events: [b, c]}`. `None` where a mistake is reported.
    fn written_inputs(
        &mut self,
        id: &Spanned<String>,
        role: Role,
        inputs: Option<(Place, Node)>,
        invalid: bool,
    ) -> Option<Vec<WrittenInput>> {
        let Some((key, node)) = inputs else {
            if role != Role::Source && !invalid {
                self.report(
                    Diagnostic::new(Code::FieldMissing, format!("`{}` has no `inputs`", id.value))
                        .at(id.place)
                        .help("add `inputs: [node]` with what it reads"),
                );
                return None;
            }
            return Some(Vec::new());
        };
        if role == Role::Source {
            self.report(
                Diagnostic::new(Code::InputsMisplaced, "a source has no inputs")
                    .at(key)
                    .help("sources read the site log; remove `inputs`, or move the node to `transforms`"),
            );
            return Some(Vec::new());
        }
        let mut found = Vec::new();
        let mut sound = node.value != Value::Invalid;
        match &node.value {
            Value::List(items) => {
                for item in items {
                    sound &= self.written_input(None, item, &mut found);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let name = Some(entry.key.value.clone());
                    match &entry.value.value {
                        Value::List(items) => {
                            for item in items {
                                sound &= self.written_input(name.clone(), item, &mut found);
                            }
                        }
                        _ => sound &= self.written_input(name, &entry.value, &mut found),
                    }
                }
            }
            Value::Invalid => {}
            _ => {
                sound = false;
                let message = format!("expected a list of nodes, found {}", node.describe());
                let diagnostic = Diagnostic::new(Code::TypeMismatch, message).at(node.place);
                self.report(match node.as_text() {
                    Some(text) => diagnostic.help(format!("write `inputs: [{}]`", shorten(text))),
                    None => diagnostic,
                });
            }
        }
        if let Some((_, from)) = found.get(INPUT_LIMIT) {
            self.report(
                Diagnostic::new(Code::TooManyParts, format!("`{}` reads more than {INPUT_LIMIT} nodes", id.value))
                    .at(from.place)
                    .help("let a node in between read some of them"),
            );
            sound = false;
        }
        if sound && found.is_empty() {
            self.report(
                Diagnostic::new(Code::FieldMissing, format!("`{}` reads nothing", id.value))
                    .at(key)
                    .help("name at least one node in `inputs`"),
            );
            sound = false;
        }
        sound.then_some(found)
    }

    fn written_input(&mut self, name: Option<String>, node: &Node, found: &mut Vec<WrittenInput>) -> bool {
        let Some(text) = node.as_text() else {
            if node.value != Value::Invalid {
                let message = format!("expected the name of a node, found {}", node.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(node.place));
            }
            return false;
        };
        if let Some((_, first)) = found.iter().find(|(n, from)| *n == name && from.value == text) {
            let diagnostic = Diagnostic::new(Code::NameTaken, format!("`{}` is read twice", shorten(text)))
                .at(node.place)
                .note_at(first.place, "the first is here")
                .help("remove one of the two");
            self.report(diagnostic);
            return false;
        }
        if found.len() <= INPUT_LIMIT {
            found.push((name, Spanned::new(text.to_owned(), node.place)));
        }
        true
    }

    /// Finds the nodes that inputs name. Those in `rejected` have mistakes that are reported; unless `complete`, there may
    /// be others.
    fn resolve(
        &mut self,
        nodes: &mut [NodeDraft],
        written: Vec<Option<Vec<WrittenInput>>>,
        rejected: &BTreeSet<String>,
        complete: bool,
    ) {
        let ids: HashMap<Arc<str>, usize> =
            nodes.iter().enumerate().map(|(index, node)| (node.id.value.clone(), index)).collect();
        let giving: Vec<Arc<str>> =
            nodes.iter().filter(|node| node.role != Role::Sink).map(|node| node.id.value.clone()).collect();
        for (index, written) in written.into_iter().enumerate() {
            let Some(written) = written else {
                nodes[index].sound = false;
                continue;
            };
            for (name, from) in written {
                let (id, port) = from.split_once('.').unwrap_or((&from, MAIN));
                let Some(&node) = ids.get(id) else {
                    nodes[index].sound = false;
                    if !complete || rejected.contains(id) {
                        continue;
                    }
                    let others = giving.iter().map(|id| &**id).filter(|id| *id != &*nodes[index].id.value);
                    self.report(
                        Diagnostic::new(Code::InputUnknown, format!("there is no node `{}`", shorten(id)))
                            .at(from.place)
                            .suggest(id, others),
                    );
                    continue;
                };
                if nodes[node].role == Role::Sink {
                    self.report(
                        Diagnostic::new(Code::InputsMisplaced, format!("`{id}` is a sink and gives nothing"))
                            .at(from.place)
                            .help("name the node that the sink reads"),
                    );
                    nodes[index].sound = false;
                    continue;
                }
                let port = port.to_owned();
                nodes[index].inputs.push(InputDraft { name, from, node, port });
            }
        }
    }
}

/// Names of the pipelines in a folder, tests left out.
fn pipelines_in(folder: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| !name.ends_with(".test"))
}
