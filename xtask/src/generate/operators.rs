//! The reference of operators, and of what else a build knows: tags, sections, units, functions.

use std::fmt::Write as _;

use ducto_graph::operator::Operator;
use ducto_graph::registry::{Registry, Role, Scope};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;

use super::fields::Reference;
use super::{NOTE, table};

const ROLES: [(Role, &str, &str); 4] = [
    (
        Role::Connection,
        "Connections",
        "What a template's `connection` can be. The fields that are the connection's own on each tag stand with it.",
    ),
    (Role::Source, "Sources", "What brings samples and rows into a graph."),
    (
        Role::Transform,
        "Transforms",
        "What is done with them. Each also takes `inputs`, and `publish` where it gives rows: \
         `publish: {score: \"{asset}.ANOMALY_SCORE\"}` turns a column into tags.",
    ),
    (Role::Sink, "Sinks", "Where samples and rows leave a graph. Each also takes `inputs`."),
];

/// Lines of Markdown; writing to a text cannot fail.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _ = writeln!($page, $($text)*); }};
}

pub(super) fn page(registry: &Registry) -> String {
    let mut page = format!(
        "# Operators\n\n{NOTE}What the `type` of a node or a connection can be, with its fields. \
         `ducto schema TYPE` prints the same as JSON Schema.\n\n"
    );
    contents(&mut page, registry);
    for (role, title, about) in ROLES {
        if registry.operators(role).next().is_none() {
            continue;
        }
        line!(page, "## {title}\n\n{about}\n");
        for operator in registry.operators(role) {
            section(&mut page, registry, role, operator);
        }
    }
    tags(&mut page, registry);
    sites(&mut page, registry);
    super::fields::values(&mut page);
    names(&mut page, registry);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The heading of an operator; a source and a sink may have one name.
fn heading(role: Role, operator: &Operator) -> String {
    format!("{} `{}`", role.name(), operator.name)
}

fn anchor(heading: &str) -> String {
    heading.chars().filter(|letter| *letter != '`').map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn contents(page: &mut String, registry: &Registry) {
    let mut rows = Vec::new();
    for (role, ..) in ROLES {
        for operator in registry.operators(role) {
            let link = format!("[`{}`](#{})", operator.name, anchor(&heading(role, operator)));
            rows.push(vec![link, role.name().to_owned(), operator.summary.to_owned()]);
        }
    }
    table(page, &["Type", "", "What it does"], &rows);
    line!(
        page,
        "Also here: [fields of tags](#fields-of-tags), [fields of sites](#fields-of-sites), [values](#values),"
    );
    line!(page, "[units](#units), [functions of expressions](#functions-of-expressions).\n");
}

fn section(page: &mut String, registry: &Registry, role: Role, operator: &Operator) {
    line!(page, "### {}\n", heading(role, operator));
    let mut generator = generator();
    let schema = (operator.schema)(&mut generator).into();
    let reference = Reference::new(generator.take_definitions(true));
    match reference.description(&schema) {
        Some(description) => line!(page, "{description}\n"),
        None => line!(page, "{}.\n", operator.summary.trim_end_matches('.')),
    }
    reference.fields(page, "", &schema);
    if role == Role::Connection
        && let Some(schema) = registry.tag_fields(operator.name)
    {
        line!(page, "Fields of its tags, beside [those of all tags](#fields-of-tags):\n");
        own(page, "", schema);
    }
    for example in operator.examples {
        line!(page, "```yaml\n{}\n```\n", example.trim());
    }
}

fn tags(page: &mut String, registry: &Registry) {
    line!(page, "## Fields of tags\n");
    line!(page, "What a template says of each of its tags, whatever reads it. The fields of operators stand below.\n");
    own(page, "", |generator| generator.subschema_for::<ducto_graph::load::fields::TagFields>());
    sections(page, registry, Scope::Tag);
}

fn sites(page: &mut String, registry: &Registry) {
    line!(page, "## Fields of sites\n");
    line!(
        page,
        "What `site.yaml` and the files it includes hold, beside `templates`. The fields of operators stand below.\n"
    );
    own(page, "", |generator| generator.subschema_for::<ducto_graph::load::fields::SiteFields>());
    sections(page, registry, Scope::Site);
    line!(page, "### Templates\n");
    own(page, "", |generator| generator.subschema_for::<ducto_graph::load::fields::TemplateFields>());
}

fn own(page: &mut String, path: &str, schema: impl FnOnce(&mut SchemaGenerator) -> schemars::Schema) {
    let mut generator = generator();
    let schema = schema(&mut generator).into();
    Reference::new(generator.take_definitions(true)).fields(page, path, &schema);
}

fn sections(page: &mut String, registry: &Registry, scope: Scope) {
    for section in registry.sections(scope) {
        line!(page, "### `{}`\n\n{}.\n", section.name, section.summary.trim_end_matches('.'));
        own(page, section.name, section.schema);
    }
}

fn names(page: &mut String, registry: &Registry) {
    let quoted = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
    line!(
        page,
        "## Units\n\nNames and aliases that `unit:` takes.\n\n{}\n",
        quoted(registry.units().names().collect())
    );
    line!(page, "## Functions of expressions\n");
    line!(
        page,
        "What `calc`, `filter` and `when:` may call, beside the operators of SQL. No function tells the time of"
    );
    line!(page, "day or gives a random number: the same log gives the same rows.\n");
    line!(page, "{}", quoted(registry.functions().names().collect()));
}
