//! `dataset`: what a historian has just committed.

use std::sync::Arc;

use ducto_graph::decode::decode;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, NodeError, Operator, Output, Port, Source, SourceConfig,
};
use ducto_graph::tree::Spanned;
use ducto_record::{Batch, Entry, Origin, Part};
use schemars::JsonSchema;
use serde::Deserialize;

/// Reads a dataset as it grows: after each commit of the sink that stores it, the committed samples or rows come
/// once, in the order in which they were stored. A graph that computes from a dataset therefore sees only what is
/// safely on disk.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Name of the dataset, as a `historian` sink of the site stores it.
    dataset: Spanned<String>,
}

pub fn operator() -> Operator {
    Operator {
        name: "dataset",
        summary: "What a historian of the site has committed",
        schema: |generator| generator.subschema_for::<Dataset>(),
        examples: &["minutes: {type: dataset, dataset: minutes}", "raw: {type: dataset, dataset: history}"],
        decode: Decode::Source(|node, diagnostics| {
            decode::<Dataset>(node, diagnostics).map(|config| Arc::new(config) as Arc<dyn SourceConfig>)
        }),
    }
}

impl SourceConfig for Dataset {
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        cx.dataset(&self.dataset).map(|stream| vec![Port::main(stream)])
    }

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(DatasetSource { dataset: self.dataset.as_str().into() }))
    }

    fn datasets(&self) -> Vec<Spanned<String>> {
        vec![self.dataset.clone()]
    }
}

struct DatasetSource {
    dataset: Arc<str>,
}

impl Source for DatasetSource {
    fn on_entry(&mut self, entry: &Entry, out: &mut Output) -> Result<(), NodeError> {
        let ours = |origin: &Origin| matches!(origin, Origin::Dataset { name, .. } if *name == self.dataset);
        for part in &entry.parts {
            match part {
                Part::Samples { origin, samples } if ours(origin) => out.emit(0, Batch::Samples(samples.clone())),
                Part::Rows { origin, rows } if ours(origin) => out.emit(0, Batch::Rows(rows.clone())),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sources::testing::{context, directory, sample};

    #[test]
    fn only_commits_of_this_dataset_come() {
        let config = Dataset { dataset: Spanned::from("minutes".to_owned()) };
        let mut source = config.build(&context(&directory())).unwrap();
        let part = |origin| Part::Samples { origin, samples: sample(5, 0, 1.0) };
        let of = |name: &str| Origin::Dataset { name: name.into(), epoch: 1 };
        let parts = vec![part(Origin::Field), part(of("minutes")), part(of("history"))];
        let mut out = Output::at(1, 5);
        source.on_entry(&Entry { epoch: 1, time: 5, parts }, &mut out).unwrap();
        assert_eq!(out.take_packets().count(), 1);
        assert_eq!(config.datasets()[0].as_str(), "minutes");
    }
}
