//! A pipeline as a drawing: text for a terminal, Mermaid, and the DOT of Graphviz.

use std::fmt::Write;
use std::sync::Arc;

use ducto_record::StreamType;

use crate::operator::MAIN;
use crate::pipeline::{GraphNode, NodeConfig, Pipeline};

/// How a pipeline is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawing {
    /// One line for each node, with what it reads and gives.
    #[default]
    Text,
    Mermaid,
    Dot,
}

/// Draws a pipeline.
pub fn draw(pipeline: &Pipeline, drawing: Drawing) -> String {
    match drawing {
        Drawing::Text => text(pipeline),
        Drawing::Mermaid => format!("flowchart LR\n{}", mermaid(pipeline, "  ", "n")),
        Drawing::Dot => dot(pipeline),
    }
}

/// Draws all pipelines of a site.
pub fn draw_all(pipelines: &[Arc<Pipeline>], drawing: Drawing) -> String {
    match (drawing, pipelines) {
        // A text of Mermaid is one chart.
        (Drawing::Mermaid, [_, _, ..]) => {
            let mut out = String::from("flowchart LR\n");
            for (number, pipeline) in pipelines.iter().enumerate() {
                let _ = writeln!(out, "  subgraph p{number}[\"{}\"]", quoted(&pipeline.id));
                out.push_str(&mermaid(pipeline, "    ", &format!("p{number}n")));
                out.push_str("  end\n");
            }
            out
        }
        _ => pipelines.iter().map(|pipeline| draw(pipeline, drawing)).collect::<Vec<_>>().join("\n"),
    }
}

fn role(node: &GraphNode) -> &'static str {
    match node.config {
        NodeConfig::Source(_) => "source",
        NodeConfig::Transform(_) => "transform",
        NodeConfig::Sink(_) => "sink",
    }
}

fn text(pipeline: &Pipeline) -> String {
    let mut out = format!("{}\n", pipeline.id);
    let width = |get: &dyn Fn(&GraphNode) -> usize| pipeline.nodes.iter().map(get).max().unwrap_or(0).min(40);
    let id = width(&|node| node.id.len());
    let operator = width(&|node| node.operator.len());
    for node in &pipeline.nodes {
        let mut line = format!("  {:9}  {:id$}  {:operator$}", role(node), node.id, node.operator);
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|input| match &input.name {
                Some(name) => format!("{name}: {}", input.from.value),
                None => input.from.value.clone(),
            })
            .collect();
        if !inputs.is_empty() {
            let _ = write!(line, "  ← {}", inputs.join(", "));
        }
        if let Some(port) = node.ports.first() {
            let _ = write!(line, "  → {}", stream(&port.stream));
            let others: Vec<&str> = node.ports.iter().skip(1).map(|port| port.name).collect();
            if !others.is_empty() {
                let _ = write!(line, " (also {})", others.join(", "));
            }
        }
        for publish in &node.publish {
            let _ = write!(line, "  publishes {}", publish.column);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// What flows, in a few words.
fn stream(stream: &StreamType) -> String {
    match stream {
        StreamType::Samples(kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("samples of {}", if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") })
        }
        StreamType::Rows(rows) => {
            const SHOWN: usize = 8;
            let columns: Vec<&str> = rows.schema.fields().iter().map(|field| field.name().as_str()).collect();
            let more = if columns.len() > SHOWN { ", …" } else { "" };
            format!("rows of {}{more}", columns[..columns.len().min(SHOWN)].join(", "))
        }
    }
}

/// The edges, each with the numbers of its nodes and, where it has one, a label.
fn edges(pipeline: &Pipeline) -> impl Iterator<Item = (usize, usize, Option<String>)> {
    pipeline.nodes.iter().enumerate().flat_map(move |(to, node)| {
        node.edges.iter().zip(node.inputs.iter()).map(move |(edge, input)| {
            let port = pipeline.nodes.get(edge.node).and_then(|from| from.ports.get(edge.port));
            let port = port.map(|port| port.name).filter(|name| *name != MAIN);
            let label = match (port, &input.name) {
                (Some(port), Some(name)) => Some(format!("{port}, {name}")),
                (Some(port), None) => Some(port.to_owned()),
                (None, name) => name.clone(),
            };
            (edge.node, to, label)
        })
    })
}

/// Names of input and of nodes may hold anything that a name can; quotes and brackets they cannot.
fn quoted(text: &str) -> String {
    text.replace('"', "#quot;")
}

/// The nodes and edges of a chart; names of nodes begin with `prefix`.
fn mermaid(pipeline: &Pipeline, indent: &str, prefix: &str) -> String {
    let mut out = String::new();
    for (number, node) in pipeline.nodes.iter().enumerate() {
        let label = quoted(&format!("{}<br/><i>{}</i>", node.id, node.operator));
        let (open, close) = match node.config {
            NodeConfig::Source(_) => ("([", "])"),
            NodeConfig::Transform(_) => ("[", "]"),
            NodeConfig::Sink(_) => ("[(", ")]"),
        };
        let _ = writeln!(out, "{indent}{prefix}{number}{open}\"{label}\"{close}");
    }
    for (from, to, label) in edges(pipeline) {
        let _ = match label {
            Some(label) => writeln!(out, "{indent}{prefix}{from} -->|\"{}\"| {prefix}{to}", quoted(&label)),
            None => writeln!(out, "{indent}{prefix}{from} --> {prefix}{to}"),
        };
    }
    out
}

fn dot(pipeline: &Pipeline) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&pipeline.id));
    for (number, node) in pipeline.nodes.iter().enumerate() {
        let shape = match node.config {
            NodeConfig::Source(_) => "ellipse",
            NodeConfig::Transform(_) => "box",
            NodeConfig::Sink(_) => "cylinder",
        };
        // `\n` is a line break in a label.
        let label =
            quoted(&node.id).trim_end_matches('"').to_owned() + "\\n" + quoted(node.operator).trim_start_matches('"');
        let _ = writeln!(out, "  n{number} [shape={shape}, label={label}];");
    }
    for (from, to, label) in edges(pipeline) {
        let _ = match label {
            Some(label) => writeln!(out, "  n{from} -> n{to} [label={}];", quoted(&label)),
            None => writeln!(out, "  n{from} -> n{to};"),
        };
    }
    out.push_str("}\n");
    out
}
