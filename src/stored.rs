//! Which dataset of a site stores which tag.

use std::collections::BTreeMap;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::operator::CheckContext;
use ducto_graph::pipeline::{NodeConfig, Pipeline};
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_operators::sinks::dataset_of_kind;
use ducto_record::{StreamType, TagId};

/// The dataset of each tag that some sink stores as samples; the first in the order of the site where several do.
pub(crate) fn datasets(site: &Site, registry: &Registry) -> BTreeMap<TagId, String> {
    let mut found = BTreeMap::new();
    for pipeline in &site.pipelines {
        for node in &pipeline.nodes {
            let NodeConfig::Sink(config) = &node.config else { continue };
            let Some(dataset) = config.dataset() else { continue };
            for (edge, input) in node.edges.iter().zip(node.inputs.iter()) {
                let StreamType::Samples(kinds) = &input.stream else { continue };
                for id in tags_behind(edge.node, pipeline, site, registry) {
                    if let Some(tag) = site.directory.tag(id).filter(|tag| kinds.contains(&tag.kind)) {
                        found.entry(id).or_insert_with(|| dataset_of_kind(&dataset, tag.kind));
                    }
                }
            }
        }
    }
    found
}

/// The tags whose samples can reach what leaves a node.
fn tags_behind(node: usize, pipeline: &Pipeline, site: &Site, registry: &Registry) -> Vec<TagId> {
    let Some(behind) = pipeline.nodes.get(node) else { return Vec::new() };
    if let NodeConfig::Source(config) = &behind.config {
        // The site is checked already: nothing is reported here.
        let mut diagnostics = Diagnostics::new();
        let mut context = CheckContext {
            registry,
            site,
            owner: &pipeline.id,
            node: &behind.id,
            place: behind.place,
            diagnostics: &mut diagnostics,
        };
        return config.selects(&mut context).unwrap_or_default();
    }
    behind.edges.iter().flat_map(|edge| tags_behind(edge.node, pipeline, site, registry)).collect()
}
