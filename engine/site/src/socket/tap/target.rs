//! What a tap is on: a name as a person writes it, and what of the site it means.

use std::fmt;
use std::sync::Arc;

use ducto_graph::diagnostic::did_you_mean;
use ducto_graph::operator::MAIN;
use ducto_graph::pipeline::GraphNode;
use ducto_graph::site::Site;
use ducto_record::{StreamType, TagId};

use crate::protocol::{Refusal, RefusalKind};

/// Names that a refusal spells out.
const LISTED: usize = 24;

/// Something that can be tapped.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Port {
        pipeline: Arc<str>,
        node: Arc<str>,
        port: &'static str,
        stream: StreamType,
    },
    /// Tags as they enter the site.
    Tags {
        name: String,
        /// By number.
        wanted: Vec<bool>,
        stream: StreamType,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { pipeline, node, port: MAIN, .. } => write!(f, "{pipeline}.{node}"),
            Self::Port { pipeline, node, port, .. } => write!(f, "{pipeline}.{node}.{port}"),
            Self::Tags { name, .. } => f.write_str(name),
        }
    }
}

/// A node, and the port of it that was named.
struct Found<'a> {
    pipeline: &'a Arc<str>,
    node: &'a GraphNode,
    port: Option<&'a str>,
}

impl Target {
    /// Looks a name up: nodes first, then tags and assets.
    ///
    /// # Errors
    /// When it means nothing, or too much; the message says what there is.
    pub(crate) fn of(name: &str, site: &Site) -> Result<Self, Refusal> {
        let parts: Vec<&str> = name.split('.').collect();
        let found = nodes(site, &parts);
        match found.as_slice() {
            [found] => return found.target(),
            [] => {}
            several => {
                let names: Vec<String> = several.iter().map(|found| format!("`{}`", found.full_name())).collect();
                return Err(missing(format!(
                    "several nodes are named `{name}`: {}; name one of them",
                    names.join(", ")
                )));
            }
        }
        if let Some(tag) = site.directory.tag_id(name) {
            return Ok(Self::tags(name, site, [tag]));
        }
        if let Some(asset) = site.directory.asset_id(name) {
            let tags = (0..).zip(site.directory.tags()).filter(|(_, tag)| tag.asset == Some(asset)).map(|(id, _)| id);
            return Ok(Self::tags(name, site, tags));
        }
        // The node may be right and its port wrong.
        if let Some((port, before)) = parts.split_last()
            && let [found] = nodes(site, before).as_slice()
        {
            let ports: Vec<String> = found.node.ports.iter().map(|port| format!("`{}`", port.name)).collect();
            if !ports.is_empty() {
                let message = format!("`{}` has no port `{port}`; it has {}", found.full_name(), ports.join(", "));
                return Err(missing(message));
            }
        }
        Err(unknown(name, site))
    }

    fn tags(name: &str, site: &Site, tags: impl IntoIterator<Item = TagId>) -> Self {
        let mut wanted = vec![false; site.directory.tags().len()];
        let mut kinds = Vec::new();
        for id in tags {
            if let (Some(wanted), Some(tag)) = (wanted.get_mut(id as usize), site.directory.tag(id)) {
                *wanted = true;
                kinds.push(tag.kind);
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        Self::Tags { name: name.to_owned(), wanted, stream: StreamType::Samples(kinds) }
    }

    /// What its rows are.
    pub(crate) fn stream(&self) -> &StreamType {
        match self {
            Self::Port { stream, .. } | Self::Tags { stream, .. } => stream,
        }
    }
}

impl Found<'_> {
    fn full_name(&self) -> String {
        format!("{}.{}", self.pipeline, self.node.id)
    }

    fn target(&self) -> Result<Target, Refusal> {
        let port = match self.port {
            Some(name) => self.node.ports.iter().find(|port| port.name == name),
            None => self.node.ports.first(),
        };
        match port {
            Some(port) => Ok(Target::Port {
                pipeline: self.pipeline.clone(),
                node: self.node.id.clone(),
                port: port.name,
                stream: port.stream.clone(),
            }),
            None => {
                let inputs: Vec<String> =
                    self.node.inputs.iter().map(|input| format!("`{}.{}`", self.pipeline, *input.from)).collect();
                let message = format!(
                    "`{}` is a sink and gives nothing; tap what it reads: {}",
                    self.full_name(),
                    inputs.join(", ")
                );
                Err(missing(message))
            }
        }
    }
}

/// The nodes that `node`, `pipeline.node`, `node.port` or `pipeline.node.port` may mean.
fn nodes<'a>(site: &'a Site, parts: &[&'a str]) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for pipeline in &site.pipelines {
        for node in &pipeline.nodes {
            let has = |port: &str| node.ports.iter().any(|own| own.name == port);
            let port = match parts {
                [name] if **name == *node.id => None,
                [first, second] if **first == *pipeline.id && **second == *node.id => None,
                [first, second] if **first == *node.id && has(second) => Some(*second),
                [first, second, third] if **first == *pipeline.id && **second == *node.id && has(third) => Some(*third),
                _ => continue,
            };
            found.push(Found { pipeline: &pipeline.id, node, port });
        }
    }
    found
}

fn missing(message: String) -> Refusal {
    Refusal::new(RefusalKind::Missing, message)
}

fn unknown(name: &str, site: &Site) -> Refusal {
    let with_pipeline = site.pipelines.len() > 1;
    let mut known: Vec<String> = Vec::new();
    for pipeline in &site.pipelines {
        for node in pipeline.nodes.iter().filter(|node| !node.ports.is_empty()) {
            known.push(match with_pipeline {
                true => format!("{}.{}", pipeline.id, node.id),
                false => node.id.to_string(),
            });
        }
    }
    let directory = &site.directory;
    let near = site
        .pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.nodes)
        .filter(|node| !node.ports.is_empty())
        .map(|node| &*node.id)
        .chain(known.iter().map(String::as_str))
        .chain(directory.assets().iter().map(|asset| &*asset.name))
        .chain(directory.tags().iter().map(|tag| &*tag.name));
    let mut message = format!("there is no node, tag or asset `{}`", crate::protocol::shorten(name));
    if let Some(near) = did_you_mean(name, near) {
        message.push_str(&format!(" (did you mean `{near}`?)"));
    }
    let listed: Vec<String> = known.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if !listed.is_empty() {
        message.push_str(&format!("\nnodes: {}", listed.join(", ")));
    }
    if known.len() > LISTED {
        message.push_str(&format!(" and {} more, which `ducto tap` lists", known.len() - LISTED));
    }
    missing(message)
}
