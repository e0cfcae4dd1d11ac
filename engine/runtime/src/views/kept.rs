//! What the views of a pipeline show, from one process to the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use ducto_graph::operator::Actions;
use ducto_graph::pipeline::NodeConfig;
use ducto_storage::ViewState;

use super::View;
use crate::node::NodeShared;
use crate::pipelines::Running;
use crate::resume::Resume;

impl Running {
    /// Each view with its node and port.
    pub(crate) fn each_view(&self) -> impl Iterator<Item = (usize, &NodeShared, &'static str, &Arc<View>)> {
        self.nodes.iter().enumerate().flat_map(|(index, node)| {
            node.ports.iter().filter_map(move |port| Some((index, &**node, port.name, port.view.as_ref()?)))
        })
    }

    /// What the views show, for a checkpoint.
    pub(crate) fn views(&self) -> Vec<ViewState> {
        let saved =
            |(_, node, port, view): (usize, &NodeShared, &str, &Arc<View>)| match view.save(&self.context.directory) {
                Ok(rows) => Some(ViewState { node: node.id.clone(), port: port.into(), rows }),
                Err(error) => {
                    let (pipeline, node) = (&*self.pipeline.id, &*node.id);
                    tracing::error!(pipeline, node, %error, "what a view shows cannot be kept for the next start");
                    None
                }
            };
        self.each_view().filter_map(saved).collect()
    }

    /// What the views showed in the process before, but of subjects that the node no longer has.
    pub(crate) fn restore_views(&self, resume: &Resume) {
        for (index, node, port, view) in self.each_view() {
            let Some(rows) = resume.view(&node.id, port) else { continue };
            let graph = &self.pipeline.nodes[index];
            let Actions { verbs, subjects } = match &graph.config {
                NodeConfig::Transform(config) => config.actions(&graph.inputs, &self.context.site),
                NodeConfig::Source(_) | NodeConfig::Sink(_) => Actions::default(),
            };
            let subjects: BTreeSet<_> = subjects
                .iter()
                .map(|subject| [subject.of.0, &*subject.of.1, subject.part.0, &*subject.part.1])
                .collect();
            let columns: BTreeSet<_> = subjects.iter().map(|[of, _, part, _]| [*of, *part]).collect();
            let known = |rows: &RecordBatch, row: usize| {
                let text = |column: &str| {
                    let column = rows.column_by_name(column)?.as_string_opt::<i32>()?;
                    column.is_valid(row).then(|| column.value(row))
                };
                let is_subject = |[of, part]: &[&str; 2]| match (text(of), text(part)) {
                    (Some(name), Some(what)) => subjects.contains(&[*of, name, *part, what]),
                    _ => false,
                };
                verbs.is_empty() || columns.iter().any(is_subject)
            };
            if let Err(error) = view.restore(rows, &self.context.directory, known) {
                tracing::warn!(
                    pipeline = &*self.pipeline.id,
                    node = &*node.id,
                    %error,
                    "what a view showed before the start cannot be used: it begins empty, and shows what changes"
                );
            }
        }
    }
}
