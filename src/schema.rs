//! `ducto schema`.

use ducto_graph::diagnostic::suggestion;
use ducto_graph::registry::{Registry, Role};
use ducto_graph::schema;
use schemars::SchemaGenerator;
use serde_json::{Value as Json, json};

use crate::cli::SchemaArgs;
use crate::output::{Exit, Failure, Output};

/// Files that have a schema.
const FILES: [&str; 4] = ["site", "pipeline", "test", "simulation"];
const ROLES: [Role; 4] = [Role::Source, Role::Transform, Role::Sink, Role::Connection];

pub(crate) fn run(args: &SchemaArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let names = |role| registry.operators(role).map(|operator| operator.name).collect::<Vec<_>>();
    let found = match args.of.as_deref() {
        None => {
            if output.is_json() {
                let operators: serde_json::Map<_, _> =
                    ROLES.iter().map(|role| (format!("{}s", role.name()), json!(names(*role)))).collect();
                output.object(&json!({"files": FILES, "operators": operators}));
                return Ok(Exit::Done);
            }
            output.line(&format!("{:12}{}", "files", FILES.join(", ")));
            for role in ROLES {
                output.line(&format!("{:12}{}", format!("{}s", role.name()), names(role).join(", ")));
            }
            return Ok(Exit::Done);
        }
        Some("site") => schema::site(&registry),
        Some("pipeline") => schema::pipeline(&registry),
        Some("test") => schema::test(&registry),
        Some("simulation") => ducto_simulator::scenario::schema(),
        Some(name) => operator(&registry, name).ok_or_else(|| {
            let known: Vec<&str> = FILES.into_iter().chain(ROLES.into_iter().flat_map(names)).collect();
            let help = suggestion(name, known).unwrap_or_else(|| "`ducto schema` lists what has one".to_owned());
            Failure::new(Exit::Usage, format!("nothing is called `{name}`; {help}"))
        })?,
    };
    if output.is_json() {
        output.object(&found);
    } else {
        output.line(&format!("{found:#}"));
    }
    Ok(Exit::Done)
}

/// The schema of an operator's own fields.
fn operator(registry: &Registry, name: &str) -> Option<Json> {
    let operator = ROLES.iter().find_map(|role| registry.operator(*role, name))?;
    let mut generator = SchemaGenerator::default();
    let schema = (operator.schema)(&mut generator).to_value();
    let mut whole = serde_json::Map::new();
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!(operator.summary));
    whole.extend(schema.as_object().cloned().unwrap_or_default());
    whole.insert("$defs".to_owned(), Json::Object(generator.take_definitions(true).into_iter().collect()));
    Some(Json::Object(whole))
}
