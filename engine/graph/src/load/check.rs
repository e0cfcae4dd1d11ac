//! Pipelines checked node by node, along their edges and across datasets, until the tags they publish stay the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use ducto_record::{Directory, TagId};

use crate::codes::Code;
use crate::decode::OrderedMap;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::operator::{CheckContext, Input, MAIN, Port};
use crate::pipeline::{Edge, GraphNode, NodeConfig, Pipeline, Publish};
use crate::registry::Role;
use crate::site::Site;
use crate::source::Place;
use crate::tree::{Node, Spanned};

use super::assembly::Assembly;
use super::datasets::{add_dataset, check_shared_datasets};
use super::definition::Definition;
use super::order::order;
use super::pipeline::{NodeDraft, PipelineDraft};
use super::publish::{PublishScope, Published, PublishedTag};
use super::sink_files::check_shared_files;
use super::{Loader, dataset_unknown};

/// How often pipelines are checked until what they publish stays the same.
const ROUNDS: usize = 8;

/// All nodes of all pipelines under one numbering.
pub(super) struct Flat<'a> {
    pipelines: &'a [PipelineDraft],
    /// Pipeline and index in it.
    nodes: Vec<(usize, usize)>,
    /// Number of each pipeline's first node.
    first: Vec<usize>,
    /// The nodes that store a dataset, by its name.
    pub(super) stored: BTreeMap<String, Vec<usize>>,
}

/// What a check found out about a node.
#[derive(Default)]
pub(super) struct Checked {
    ports: Vec<Port>,
    pub(super) inputs: Arc<[Input]>,
    /// Node (by number) and port of each input.
    pub(super) edges: Vec<(usize, usize)>,
    publish: Vec<Publish>,
    pub(super) reach: Reach,
}

/// Whose samples can reach a node.
#[derive(Clone, Default)]
pub(super) struct Reach {
    /// Sorted; `None` where that is not known.
    pub(super) tags: Option<Arc<Vec<TagId>>>,
    /// The sources it comes from.
    pub(super) sources: Arc<BTreeSet<usize>>,
}

struct Round {
    /// By number; `None` where something is wrong with it or before it.
    checked: Vec<Option<Checked>>,
    published: Vec<PublishedTag>,
    diagnostics: Diagnostics,
}

impl<'a> Flat<'a> {
    fn new(pipelines: &'a [PipelineDraft]) -> Self {
        let mut flat = Flat { pipelines, nodes: Vec::new(), first: Vec::new(), stored: BTreeMap::new() };
        for (number, pipeline) in pipelines.iter().enumerate() {
            flat.first.push(flat.nodes.len());
            for (index, node) in pipeline.nodes.iter().enumerate() {
                if let Some(NodeConfig::Sink(config)) = &node.config
                    && let Some(dataset) = config.dataset()
                {
                    flat.stored.entry(dataset.value).or_default().push(flat.nodes.len());
                }
                flat.nodes.push((number, index));
            }
        }
        flat
    }

    pub(super) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    pub(super) fn node(&self, number: usize) -> &'a NodeDraft {
        let (pipeline, index) = self.nodes[number];
        &self.pipelines[pipeline].nodes[index]
    }

    pub(super) fn pipeline(&self, number: usize) -> &'a PipelineDraft {
        &self.pipelines[self.nodes[number].0]
    }

    /// The nodes that each node waits for: its inputs, and those that store the datasets it reads.
    fn reads(&self) -> Vec<Vec<usize>> {
        let inputs = |number: usize| {
            let first = self.first[self.nodes[number].0];
            self.node(number).inputs.iter().map(move |input| first + input.node)
        };
        (0..self.nodes.len())
            .map(|number| {
                let mut reads: Vec<usize> = inputs(number).collect();
                for dataset in datasets(self.node(number)) {
                    reads.extend(self.stored.get(&dataset.value).into_iter().flatten());
                }
                reads
            })
            .collect()
    }
}

fn datasets(node: &NodeDraft) -> Vec<Spanned<String>> {
    match &node.config {
        Some(NodeConfig::Source(config)) => config.datasets(),
        _ => Vec::new(),
    }
}

impl Loader<'_> {
    /// As [`super::load_pipeline`], with values for the pipeline's parameters. `named_at` is where the pipeline is
    /// named, if anything names it.
    pub fn lone_pipeline(
        &mut self,
        pipeline: &Path,
        site: &Site,
        with: &OrderedMap<Node>,
        named_at: Option<Place>,
    ) -> Option<Arc<Site>> {
        let before = self.errors();
        let in_folder = site.folder.join("pipelines").join(format!("{}.yaml", pipeline.display()));
        let name = pipeline.to_str().unwrap_or_default();
        let (file, node) = if !pipeline.exists() && !site.folder.as_os_str().is_empty() && in_folder.exists() {
            self.read(&in_folder, named_at)?
        } else if let Some(text) = self.registry.pipeline(name).filter(|_| !pipeline.exists()) {
            let file = self.sources.add_text(format!("built-in/{name}.yaml"), text);
            (file, Node::parse(file, self.sources, self.diagnostics)?)
        } else {
            self.read(pipeline, named_at)?
        };
        let used_at = named_at.unwrap_or(Place::file(file));
        let draft = self.pipeline(file, node, None, with, used_at)?;
        let mut alone = Site { pipelines: Vec::new(), ..site.clone() };
        let mut assembly = Assembly::from(site);
        assembly.drop_published();
        assembly.finish(&mut alone);
        let alone = self.check_pipelines(alone, vec![draft], true);
        (self.errors() == before).then(|| Arc::new(alone))
    }

    /// Checks the drafts against the site and puts them into it. `complete` says whether all tags of the site are
    /// known; without them only what needs none is checked.
    pub(super) fn check_pipelines(&mut self, mut site: Site, drafts: Vec<PipelineDraft>, complete: bool) -> Site {
        let flat = Flat::new(&drafts);
        let (ordered, circles) = order(&flat.reads());
        for circle in &circles {
            self.report_circle(&flat, circle);
        }
        self.report_unread(&flat);
        check_shared_files(&flat, self.diagnostics);
        if !complete {
            return site;
        }
        let directory = site.directory.clone();
        let defined = site.tags.len();
        let outside = site.datasets.clone();
        let mut known: Vec<PublishedTag> = Vec::new();
        for _ in 0..ROUNDS {
            site.tags.truncate(defined);
            site.directory = directory.clone();
            site.datasets.clone_from(&outside);
            if !known.is_empty() {
                add_published(&mut site, &directory, &known);
            }
            let mut round = self.round(&mut site, &flat, &ordered, defined);
            if round.published != known {
                known = round.published;
                continue;
            }
            check_shared_datasets(&site, &flat, &round.checked, &mut round.diagnostics);
            self.diagnostics.extend(round.diagnostics);
            site.pipelines = built(&flat, &ordered, round.checked);
            for pipeline in &site.pipelines {
                pipeline.check_held(&site, self.diagnostics);
            }
            return site;
        }
        if let Some(tag) = known.last() {
            let message =
                format!("the tags that are published here, such as `{}`, bring about others without end", tag.name);
            self.report(
                Diagnostic::new(Code::PublishEndless, message)
                    .at(tag.place)
                    .help("let the source that the node reads from leave published tags out"),
            );
        }
        site
    }

    fn round(&self, site: &mut Site, flat: &Flat<'_>, ordered: &[usize], defined: usize) -> Round {
        let mut checked: Vec<Option<Checked>> = Vec::new();
        checked.resize_with(flat.nodes.len(), || None);
        let mut published = Published::default();
        let mut stored_at = HashMap::new();
        let mut diagnostics = Diagnostics::new();
        for &number in ordered {
            let found = self.check_node(number, site, flat, &checked, defined, &mut published, &mut diagnostics);
            if let Some(found) = &found
                && let Some(NodeConfig::Sink(config)) = &flat.node(number).config
                && let Some(dataset) = config.dataset()
            {
                add_dataset(site, &dataset, &found.inputs, &mut stored_at, &mut diagnostics);
            }
            checked[number] = found;
        }
        Round { checked, published: published.tags, diagnostics }
    }

    #[allow(clippy::too_many_arguments)]
    fn check_node(
        &self,
        number: usize,
        site: &Site,
        flat: &Flat<'_>,
        checked: &[Option<Checked>],
        defined: usize,
        published: &mut Published,
        diagnostics: &mut Diagnostics,
    ) -> Option<Checked> {
        let (draft, pipeline) = (flat.node(number), flat.pipeline(number));
        let mut found = connect(draft, flat.first[flat.nodes[number].0], checked, diagnostics);
        let config = draft.config.as_ref()?;
        let found = found.as_mut()?;
        for dataset in datasets(draft) {
            if site.datasets.contains_key(&dataset.value) {
                continue;
            }
            if !flat.stored.contains_key(&dataset.value) {
                let known = flat.stored.keys().chain(site.datasets.keys()).map(String::as_str);
                diagnostics.push(dataset_unknown(&dataset, known));
            }
            // Where the node that stores it has a mistake, that is reported there.
            return None;
        }
        let mut cx = CheckContext {
            registry: self.registry,
            site,
            owner: &pipeline.id,
            node: &draft.id.value,
            place: draft.place,
            diagnostics,
        };
        match config {
            NodeConfig::Source(config) => {
                found.ports = config.check(&mut cx)?;
                let stored_by = datasets(draft)
                    .iter()
                    .flat_map(|dataset| flat.stored.get(&dataset.value).into_iter().flatten())
                    .filter_map(|sink| checked[*sink].as_ref())
                    .map(|sink| sink.reach.clone())
                    .collect::<Vec<_>>();
                found.reach = match config.selects(&mut cx) {
                    Some(mut tags) => {
                        tags.sort_unstable();
                        tags.dedup();
                        Reach { tags: Some(Arc::new(tags)), ..Reach::default() }
                    }
                    None if stored_by.is_empty() => Reach::default(),
                    None => Reach { sources: Arc::default(), ..merged(&stored_by) },
                };
                found.reach.sources = Arc::new(BTreeSet::from([number]));
            }
            NodeConfig::Transform(config) => found.ports = config.check(&found.inputs, &mut cx)?,
            NodeConfig::Sink(config) => config.check(&found.inputs, &mut cx),
        }
        if let (false, Some(port)) = (draft.publish.is_empty(), found.ports.first()) {
            let tags = found.reach.tags.as_ref().map(|tags| tags.as_slice());
            let scope = PublishScope { registry: self.registry, site, defined, tags, pipeline: &pipeline.id };
            found.publish = published.columns(draft, &port.stream, &scope, diagnostics);
        }
        Some(std::mem::take(found))
    }

    fn report_circle(&mut self, flat: &Flat<'_>, circle: &[usize]) {
        const SHOWN: usize = 12;
        let one = circle.iter().all(|number| flat.nodes[*number].0 == flat.nodes[circle[0]].0);
        let name = |number: usize| {
            let id = &flat.node(number).id.value;
            if one { format!("`{id}`") } else { format!("`{}.{id}`", flat.pipeline(number).id) }
        };
        let mut path: Vec<String> = circle.iter().take(SHOWN).map(|number| name(*number)).collect();
        if circle.len() > SHOWN {
            path.push("…".to_owned());
        }
        path.push(name(circle[0]));
        let place = flat.node(circle[0]).id.place;
        self.report(
            Diagnostic::new(Code::Cycle, format!("nodes feed each other in a circle: {}", path.join(" → ")))
                .at(place)
                .help("break the circle; what a node publishes comes back as a tag without one"),
        );
    }

    /// Warns of sources and transforms that nothing reads.
    fn report_unread(&mut self, flat: &Flat<'_>) {
        let mut read: BTreeSet<(usize, &str)> = BTreeSet::new();
        for &(pipeline, index) in &flat.nodes {
            let draft = &flat.pipelines[pipeline].nodes[index];
            read.extend(draft.inputs.iter().map(|input| (flat.first[pipeline] + input.node, input.port.as_str())));
            if !draft.sound {
                // It might have been the reader.
                return;
            }
        }
        for number in 0..flat.nodes.len() {
            let draft = flat.node(number);
            if draft.role == Role::Sink || !draft.publish.is_empty() || draft.config.is_none() {
                continue;
            }
            if !read.contains(&(number, MAIN)) {
                self.report(
                    Diagnostic::new(Code::OutputUnused, format!("nothing reads `{}`", draft.id.value))
                        .at(draft.id.place)
                        .help("name it in the `inputs` of another node, or remove it"),
                );
            }
        }
    }
}

/// The inputs of a node with their streams; `None` where one comes from a node or port that is not there.
fn connect(
    draft: &NodeDraft,
    first: usize,
    checked: &[Option<Checked>],
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    let mut found = Checked::default();
    let mut inputs = Vec::with_capacity(draft.inputs.len());
    let mut reaches = Vec::with_capacity(draft.inputs.len());
    let mut sound = draft.sound;
    for input in &draft.inputs {
        let Some(from) = &checked[first + input.node] else {
            sound = false;
            continue;
        };
        let Some(port) = from.ports.iter().position(|port| port.name == input.port) else {
            let (node, _) = input.from.split_once('.').unwrap_or((&input.from, MAIN));
            let message = format!("`{node}` has no port `{}`", crate::tree::shorten(&input.port));
            diagnostics.push(
                Diagnostic::new(Code::PortUnknown, message)
                    .at(input.from.place)
                    .suggest(&input.port, from.ports.iter().map(|port| port.name)),
            );
            sound = false;
            continue;
        };
        inputs.push(Input {
            name: input.name.clone(),
            from: input.from.clone(),
            stream: from.ports[port].stream.clone(),
        });
        found.edges.push((first + input.node, port));
        reaches.push(from.reach.clone());
    }
    found.inputs = inputs.into();
    found.reach = merged(&reaches);
    sound.then_some(found)
}

fn merged(reaches: &[Reach]) -> Reach {
    match reaches {
        [] => Reach::default(),
        [one] => one.clone(),
        many => {
            let tags = many.iter().map(|reach| reach.tags.as_deref()).collect::<Option<Vec<_>>>();
            let tags = tags.map(|tags| {
                let mut all: Vec<TagId> = tags.into_iter().flatten().copied().collect();
                all.sort_unstable();
                all.dedup();
                Arc::new(all)
            });
            let sources = many.iter().flat_map(|reach| reach.sources.iter().copied()).collect();
            Reach { tags, sources: Arc::new(sources) }
        }
    }
}

fn add_published(site: &mut Site, directory: &Arc<Directory>, published: &[PublishedTag]) {
    let mut assembly = Assembly::new();
    assembly.directory = ducto_record::DirectoryBuilder::from(directory);
    assembly.tags = std::mem::take(&mut site.tags);
    for tag in published {
        let definition = Definition { kind: Some(tag.kind), unit: tag.unit.clone(), ..Definition::default() };
        let name = Spanned::new(tag.name.clone(), tag.place);
        assembly.published(name, tag.asset, &tag.variable, &definition, tag.by.clone());
    }
    site.directory = Arc::new(assembly.directory.build());
    site.tags = assembly.tags;
}

/// The pipelines whose nodes are all right.
fn built(flat: &Flat<'_>, ordered: &[usize], mut checked: Vec<Option<Checked>>) -> Vec<Arc<Pipeline>> {
    let mut pipelines: Vec<Vec<GraphNode>> = flat.pipelines.iter().map(|_| Vec::new()).collect();
    let mut index: HashMap<usize, usize> = HashMap::new();
    for &number in ordered {
        let draft = flat.node(number);
        let (Some(found), Some(config)) = (checked[number].take(), &draft.config) else { continue };
        let nodes = &mut pipelines[flat.nodes[number].0];
        let edges: Option<Vec<Edge>> =
            found.edges.iter().map(|(node, port)| Some(Edge { node: *index.get(node)?, port: *port })).collect();
        let Some(edges) = edges else { continue };
        index.insert(number, nodes.len());
        nodes.push(GraphNode {
            id: draft.id.value.clone(),
            operator: draft.operator,
            config: config.clone(),
            edges,
            inputs: found.inputs,
            ports: found.ports,
            publish: found.publish,
            place: draft.place,
        });
    }
    flat.pipelines
        .iter()
        .zip(pipelines)
        .map(|(draft, nodes)| {
            Arc::new(Pipeline { id: draft.id.clone(), name: draft.name.clone(), nodes, place: draft.place })
        })
        .collect()
}
