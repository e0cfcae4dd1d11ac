//! A pipeline as it is known once its file is read and checked: nodes in an order in which each stands behind its
//! inputs.

use std::sync::Arc;

use ducto_record::{TagId, ValueKind};

use crate::operator::{Input, Port, SinkConfig, SourceConfig, TransformConfig};
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
    pub fn node(&self, id: &str) -> Option<&GraphNode> {
        self.nodes.iter().find(|node| *node.id == *id)
    }
}
