//! What the nodes that store one dataset owe each other: each row comes once, and the settings are the same.

use std::collections::HashMap;

use ducto_record::{RowType, StreamType, TagId};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, quoted_list};
use crate::operator::Input;
use crate::pipeline::NodeConfig;
use crate::site::Site;
use crate::source::Place;
use crate::tree::Spanned;

use super::check::{Checked, Flat};

/// No two nodes, and no two inputs of one, may store one tag in one dataset.
pub(super) fn check_shared_datasets(
    site: &Site,
    flat: &Flat<'_>,
    checked: &[Option<Checked>],
    diagnostics: &mut Diagnostics,
) {
    let checked = |number: usize| checked[number].as_ref();
    for (dataset, sinks) in &flat.stored {
        let mut by_tag: HashMap<TagId, Stored<'_>> = HashMap::new();
        let mut by_source: HashMap<usize, (Stored<'_>, bool)> = HashMap::new();
        for &sink in sinks {
            let Some(node) = checked(sink) else { continue };
            let mut reported = false;
            for (input, &(from, port)) in node.edges.iter().enumerate() {
                let Some(Checked { reach, .. }) = checked(from) else { continue };
                let stream = &node.inputs[input].stream;
                let second = Stored { sink, input, from, port, stream };
                // Where the tags of one of two are not known, only what comes from one source is sure to be the
                // same.
                let of_tags = reach.tags.iter().flat_map(|tags| tags.iter());
                let known = reach.tags.is_some();
                let by_tags = of_tags.clone().find_map(|tag| {
                    let first = by_tag.get(tag).filter(|first| first.doubles(&second))?;
                    Some((*first, Some(*tag)))
                });
                let shared = by_tags.or_else(|| {
                    let of_source = reach.sources.iter().filter_map(|source| by_source.get(source));
                    let mut unknown = of_source.filter(|(_, other_known)| !(known && *other_known));
                    unknown.find(|(first, _)| first.doubles(&second)).map(|(first, _)| (*first, None))
                });
                by_tag.extend(of_tags.map(|tag| (*tag, second)));
                by_source.extend(reach.sources.iter().map(|source| (*source, (second, known))));
                if let (Some((first, tag)), false) = (shared, reported) {
                    reported = true;
                    let what = match tag {
                        Some(tag) => format!("`{}`", site.directory.tag_name(tag)),
                        None => "the same rows".to_owned(),
                    };
                    diagnostics.push(stored_twice(flat, dataset, &first, &second, &what, &node.inputs));
                }
            }
        }
        check_same_settings(flat, dataset, sinks, diagnostics);
    }
}

/// An input of a node that stores a dataset.
#[derive(Clone, Copy)]
struct Stored<'a> {
    sink: usize,
    input: usize,
    /// The node and the port that it reads.
    from: usize,
    port: usize,
    stream: &'a StreamType,
}

impl Stored<'_> {
    /// Whether what reaches both is stored twice. What leaves a node by two ports is not the same, and rows of
    /// different columns are reported as that.
    fn doubles(&self, other: &Self) -> bool {
        let one_type = match (self.stream, other.stream) {
            (StreamType::Samples(_), StreamType::Samples(_)) => true,
            (one, two) => one == two,
        };
        one_type && (self.sink != other.sink || self.from != other.from || self.port == other.port)
    }
}

fn stored_twice(
    flat: &Flat<'_>,
    dataset: &str,
    first: &Stored<'_>,
    second: &Stored<'_>,
    what: &str,
    inputs: &[Input],
) -> Diagnostic {
    let name = |number: usize| format!("`{}.{}`", flat.pipeline(number).id, flat.node(number).id.value);
    if first.sink == second.sink {
        let (one, other) = (&inputs[first.input].from, &inputs[second.input].from);
        let message = format!(
            "{} would store {what} twice in the dataset `{dataset}`: from `{}` and from `{}`",
            name(first.sink),
            one.value,
            other.value
        );
        return Diagnostic::new(Code::DatasetShared, message)
            .at(other.place)
            .note_at(one.place, "the first is here")
            .help("leave one of the two out, or store it in a dataset of its own");
    }
    let message =
        format!("{} and {} both store {what} in the dataset `{dataset}`", name(first.sink), name(second.sink));
    let help = if first.from == second.from && first.port != second.port {
        "give one node both inputs, or store into two datasets"
    } else {
        "let one of the two store it, or store into two datasets"
    };
    Diagnostic::new(Code::DatasetShared, message)
        .at(flat.node(second.sink).id.place)
        .note_at(flat.node(first.sink).id.place, "the first is here")
        .help(help)
}

/// How long a dataset is kept and when it is committed is one for all nodes that store into it.
fn check_same_settings(flat: &Flat<'_>, dataset: &str, sinks: &[usize], diagnostics: &mut Diagnostics) {
    let settings = |number: usize| match &flat.node(number).config {
        Some(NodeConfig::Sink(config)) => config.dataset_settings(),
        _ => Vec::new(),
    };
    let Some((&first, rest)) = sinks.split_first() else { return };
    for &other in rest {
        let mut pairs = settings(first).into_iter().zip(settings(other));
        let Some(((field, one), (_, two))) = pairs.find(|(one, two)| one != two) else { continue };
        let name = |number: usize| format!("`{}.{}`", flat.pipeline(number).id, flat.node(number).id.value);
        let message = format!(
            "{} and {} store the dataset `{dataset}` with different `{field}`: {one}, and {two}",
            name(first),
            name(other)
        );
        diagnostics.push(
            Diagnostic::new(Code::DatasetSettings, message)
                .at(flat.node(other).id.place)
                .note_at(flat.node(first).id.place, "the first is here")
                .help("write the same at both, or store into two datasets"),
        );
    }
}

/// Notes what a dataset holds, from the node that stores it; `stored_at` says where the nodes before it name it.
pub(super) fn add_dataset(
    site: &mut Site,
    dataset: &Spanned<String>,
    inputs: &[Input],
    stored_at: &mut HashMap<String, Place>,
    diagnostics: &mut Diagnostics,
) {
    let mut streams = inputs.iter().map(|input| (&input.stream, input.from.place));
    let Some((first, mut first_place)) = streams.next() else { return };
    let mut stream = first.clone();
    let before = stored_at.get(&dataset.value).copied();
    let stored = site.datasets.get(&dataset.value).cloned();
    let stored = stored.map(|stored| (stored, before.unwrap_or(Place::NOWHERE)));
    for (other, place) in streams.map(|(stream, place)| (stream.clone(), place)).chain(stored) {
        stream = match (stream, other) {
            (StreamType::Samples(mut kinds), StreamType::Samples(more)) => {
                kinds.extend(more);
                kinds.sort_unstable();
                kinds.dedup();
                StreamType::Samples(kinds)
            }
            (here, there) => {
                if here != there {
                    let of_other_node = Some(place) == before;
                    let (at, note) = if of_other_node {
                        (dataset.place, "the other node that stores it is here")
                    } else {
                        (place, "these are other rows")
                    };
                    let other = if of_other_node { place } else { first_place };
                    diagnostics.push(
                        Diagnostic::new(
                            Code::DatasetMixed,
                            format!("the dataset `{}` would hold rows of different columns", dataset.value),
                        )
                        .at(at)
                        .note(difference(&here, &there))
                        .note_at(other, note)
                        .help("store each kind of rows in a dataset of its own"),
                    );
                }
                first_place = place;
                here
            }
        };
    }
    stored_at.entry(dataset.value.clone()).or_insert(dataset.place);
    site.datasets.insert(dataset.value.clone(), stream);
}

/// What one stream has and another has not.
fn difference(one: &StreamType, other: &StreamType) -> String {
    let (StreamType::Rows(one), StreamType::Rows(other)) = (one, other) else {
        return "one gives samples and the other rows".to_owned();
    };
    let only = |rows: &RowType, than: &RowType| {
        let fields = rows.schema.fields().iter();
        let only = fields.filter(|field| than.schema.field_with_name(field.name()).is_err());
        only.map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    let only = [only(one, other), only(other, one)].concat();
    if only.is_empty() {
        return "the columns have other types, units or another order".to_owned();
    }
    let names: Vec<&str> = only.iter().map(String::as_str).collect();
    format!("only one of the two has {}", quoted_list(&names))
}
