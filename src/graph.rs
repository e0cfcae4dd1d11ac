//! `ducto graph`: pipelines as drawings.

use std::path::Path;

use ducto_graph::graph_print::{Drawing, draw_all};
use ducto_graph::pipeline::{GraphNode, NodeConfig, Pipeline};
use ducto_record::StreamType;
use serde_json::{Value, json};

use crate::cli::{GraphArgs, GraphFormat};
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &GraphArgs, output: &Output) -> Result<Exit, Failure> {
    let mut loading = Loading::new();
    let site = if is_site(&args.path) {
        loading.site(&args.path, output)?
    } else {
        loading.pipeline(&args.path, args.site.as_deref(), output)?
    };
    if output.is_json() {
        output
            .object(&json!({"pipelines": site.pipelines.iter().map(|pipeline| object(pipeline)).collect::<Vec<_>>()}));
        return Ok(Exit::Done);
    }
    let drawing = match args.format {
        GraphFormat::Text => Drawing::Text,
        GraphFormat::Mermaid => Drawing::Mermaid,
        GraphFormat::Dot => Drawing::Dot,
    };
    output.print(&draw_all(&site.pipelines, drawing));
    Ok(Exit::Done)
}

fn is_site(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == "site.yaml")
}

fn object(pipeline: &Pipeline) -> Value {
    json!({
        "id": pipeline.id,
        "pipeline": pipeline.name,
        "nodes": pipeline.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn node(node: &GraphNode) -> Value {
    let role = match node.config {
        NodeConfig::Source(_) => "source",
        NodeConfig::Transform(_) => "transform",
        NodeConfig::Sink(_) => "sink",
    };
    let inputs: Vec<Value> = node.inputs.iter().map(|input| json!({"name": input.name, "from": *input.from})).collect();
    let ports: Vec<Value> =
        node.ports.iter().map(|port| json!({"name": port.name, "stream": stream(&port.stream)})).collect();
    let publish: Vec<&str> = node.publish.iter().map(|publish| publish.column.as_str()).collect();
    json!({"id": node.id, "role": role, "type": node.operator, "inputs": inputs, "ports": ports, "publish": publish})
}

fn stream(stream: &StreamType) -> Value {
    match stream {
        StreamType::Samples(kinds) => json!({"samples": kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>()}),
        StreamType::Rows(rows) => {
            let columns: Vec<Value> = rows
                .schema
                .fields()
                .iter()
                .map(|field| {
                    json!({
                        "name": field.name(),
                        "type": field.data_type().to_string(),
                        "unit": ducto_record::field_unit(field),
                    })
                })
                .collect();
            json!({"rows": columns, "key": rows.key})
        }
    }
}
