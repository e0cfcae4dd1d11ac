//! The reference of the simulator: register maps, what scenarios can say, what happens.

use std::fmt::Write as _;

use ducto_simulator::device::{MODELS, map_markdown};
use ducto_simulator::scenario::{EventName, On, Takes, schema};
use serde_json::{Map, Value};

use super::fields::Reference;
use super::{NOTE, table};

/// Lines of Markdown; writing to a text cannot fail.
macro_rules! line {
    ($page:expr, $($text:tt)*) => {{ let _ = writeln!($page, $($text)*); }};
}

pub(super) fn page() -> String {
    let mut page = format!("# Simulator\n\n{NOTE}");
    line!(page, "How to use it is told in [`docs/simulate.md`](../simulate.md).\n");
    registers(&mut page);
    let mut schema = schema();
    let definitions = match schema["$defs"].take() {
        Value::Object(definitions) => definitions,
        _ => Map::new(),
    };
    scenarios(&mut page, &schema, &definitions);
    events(&mut page, &definitions);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn registers(page: &mut String) {
    line!(page, "## Register maps\n");
    line!(
        page,
        "Addresses are as people write them: 3xxxx input registers, 4xxxx holding registers, 1xxxx discrete inputs. \
         What is not in a map answers exception 2; nothing can be written. `ducto simulate --map` prints the same.\n"
    );
    for model in MODELS {
        line!(page, "### `{}`\n", model.name);
        line!(page, "{}. Values of several registers are in the order {}.\n", model.about, model.order);
        page.push_str(&map_markdown(model));
        page.push('\n');
    }
}

fn scenarios(page: &mut String, schema: &Value, definitions: &Map<String, Value>) {
    line!(page, "## Fields of a scenario\n");
    line!(page, "Durations, quantities and names are written as everywhere: see [Values](operators.md#values).\n");
    let mut fields = String::new();
    Reference::new(definitions.clone()).fields(&mut fields, "", schema);
    page.push_str(&fields.replace("(#values)", "(operators.md#values)"));
}

fn events(page: &mut String, definitions: &Map<String, Value>) {
    line!(page, "## Events\n");
    line!(page, "Each takes `at`, `every` or `random_every`, and these:\n");
    let about = |name: &str| {
        let choices = definitions["EventName"]["oneOf"].as_array().into_iter().flatten();
        let choice = choices.into_iter().find(|choice| choice["const"] == name);
        let text = choice.and_then(|choice| choice["description"].as_str()).unwrap_or_default();
        text.replace('\n', " ")
    };
    let rows: Vec<Vec<String>> = EventName::ALL
        .iter()
        .map(|name| {
            let Takes { on, needs, may, lasts } = name.takes();
            let on = match on {
                On::Well => "`well`",
                On::Separator => "`separator`",
                On::Device => "`well` or `separator`",
                On::Tag => "`well` or `separator`, and `tag`",
            };
            let quoted = |fields: &[&str]| fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>();
            let mut may = quoted(may);
            may.extend(lasts.then(|| "`for`".to_owned()));
            vec![
                format!("`{}`", name.name()),
                about(name.name()),
                on.to_owned(),
                quoted(needs).join(", "),
                may.join(", "),
            ]
        })
        .collect();
    table(page, &["Event", "What happens", "On", "Needs", "May have"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_every_model_is_told() {
        let page = page();
        for name in EventName::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", name.name())));
            assert!(row.is_some_and(|row| row.len() > 40), "{} is not told", name.name());
        }
        for model in MODELS {
            assert!(page.contains(&format!("### `{}`", model.name)));
        }
    }
}
