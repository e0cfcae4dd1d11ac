//! A pipeline as it is known once its file is read and checked: nodes in an order in which each stands behind its
//! inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_record::{TagId, ValueKind};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::operator::{Input, Port, SinkConfig, SourceConfig, TransformConfig};
use crate::site::Site;
use crate::source::Place;

/// One graph.
#[derive(Debug)]
pub struct Pipeline {
    /// `as:` of the site, or the name of the file's `pipeline:`.
    pub id: Arc<str>,
    /// Of the file.
    pub name: Arc<str>,
    /// Sources, transforms and sinks; each stands behind the nodes it reads.
    pub nodes: Vec<GraphNode>,
    /// Where its file begins.
    pub place: Place,
}

/// A node as checked.
#[derive(Debug)]
pub struct GraphNode {
    pub id: Arc<str>,
    /// Its `type`.
    pub operator: &'static str,
    pub config: NodeConfig,
    /// Where each input comes from, in the order of `inputs`.
    pub edges: Vec<Edge>,
    /// The same edges with their names and stream types.
    pub inputs: Arc<[Input]>,
    /// What it offers, in the order of the operator.
    pub ports: Vec<Port>,
    /// Columns that become tags.
    pub publish: Vec<Publish>,
    pub place: Place,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeConfig {
    Source(Arc<dyn SourceConfig>),
    Transform(Arc<dyn TransformConfig>),
    Sink(Arc<dyn SinkConfig>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Index of the node it comes from, in [`Pipeline::nodes`].
    pub node: usize,
    /// Index of the port, in [`GraphNode::ports`].
    pub port: usize,
}

/// A column of a node's main port that enters the site log as tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub column: String,
    /// The column that says of which asset (role `asset`) or tag (role `tag`) a row is.
    pub key: String,
    pub kind: ValueKind,
    /// By the key's number: the tag that the row's value goes to.
    pub tags: Vec<Option<TagId>>,
}

impl Pipeline {
    /// Reports nodes that must see every sample at once and stand behind one that holds samples back.
    pub fn check_held(&self, site: &Site, diagnostics: &mut Diagnostics) {
        // By node: the tags that are held before it or by it, each with the node that holds them.
        let mut held: Vec<BTreeMap<TagId, usize>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let before = node.edges.iter().filter_map(|edge| held.get(edge.node)).flatten();
            let mut tags: BTreeMap<TagId, usize> = before.map(|(&tag, &by)| (tag, by)).collect();
            if let NodeConfig::Transform(config) = &node.config {
                let refused = tags.iter().find(|(tag, _)| config.needs_at_once(**tag, site));
                if let Some((&tag, &by)) = refused {
                    let holder = &self.nodes[by];
                    diagnostics.push(
                        Diagnostic::new(
                            Code::HeldSamples,
                            format!(
                                "`{}` would see each sample of `{}` only when the next one comes",
                                node.id,
                                site.directory.tag_name(tag)
                            ),
                        )
                        .at(node.place)
                        .note_at(holder.place, format!("`{}` holds its samples back", holder.id))
                        .help(format!(
                            "let `{}` read a node before `{}`, or use a check that does not wait",
                            node.id, holder.id
                        )),
                    );
                }
                tags.extend(config.holds(site).into_iter().map(|tag| (tag, index)));
            }
            held.push(tags);
        }
    }

    pub fn node(&self, id: &str) -> Option<&GraphNode> {
        self.nodes.iter().find(|node| *node.id == *id)
    }
}
