//! TOML into a tree.

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::source::{FileId, Place};
use ducto_graph::tree::{Entry, Node, Spanned, Value};
use toml::de::{DeTable, DeValue};

/// The tree of a file.
pub(crate) fn parse(file: FileId, text: &str) -> Result<Node, Box<Diagnostic>> {
    match DeTable::parse(text) {
        Ok(table) => {
            let place = Place::text(file, 0, text.len());
            Ok(map(file, place, table.get_ref()))
        }
        Err(error) => {
            let place = error.span().map_or(Place::file(file), |span| Place::text(file, span.start, span.end));
            let help = "mend the file; `telegraf --test` shows whether Telegraf can read it";
            Err(Box::new(
                Diagnostic::new(Code::TomlSyntax, format!("the text is not valid TOML: {}", error.message()))
                    .at(place)
                    .help(help),
            ))
        }
    }
}

fn map(file: FileId, place: Place, table: &DeTable<'_>) -> Node {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let span = key.span();
            let key = Spanned::new(key.get_ref().to_string(), Place::text(file, span.start, span.end));
            (span.start, Entry { key, value: node(file, value.span(), value.get_ref()) })
        })
        .collect();
    // The table is sorted by name; the file's own order is what readers expect.
    entries.sort_by_key(|(start, _)| *start);
    Node::new(place, Value::Map(entries.into_iter().map(|(_, entry)| entry).collect()))
}

fn node(file: FileId, span: std::ops::Range<usize>, value: &DeValue<'_>) -> Node {
    let place = Place::text(file, span.start, span.end);
    match value {
        DeValue::String(text) => Node::text(place, text.as_ref()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Node::plain(place, &number.to_string()),
            Err(_) => Node::text(place, number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Node::plain(place, &number.to_string()),
            _ => Node::text(place, number.as_str()),
        },
        DeValue::Boolean(value) => Node::plain(place, if *value { "true" } else { "false" }),
        DeValue::Datetime(time) => Node::text(place, time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| node(file, item.span(), item.get_ref())).collect();
            Node::new(place, Value::List(items))
        }
        DeValue::Table(table) => map(file, place, table),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ducto_graph::source::Sources;

    use super::*;

    #[test]
    fn values_keep_their_order_and_places() {
        let text = "[[inputs.modbus]]\nslave_id = 0x10\nname = \"x\"\nscale = 0.1\naddress = [5, 6]\n";
        let mut sources = Sources::new();
        let file = sources.add_text("t.toml", text);
        let node = parse(file, text).unwrap();
        let plugin = &node.get("inputs").unwrap().get("modbus").unwrap().items()[0];
        let names: Vec<&str> = plugin.entries().iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(names, ["slave_id", "name", "scale", "address"]);
        assert_eq!(plugin.get("slave_id").unwrap().value, Value::Integer(16));
        assert_eq!(plugin.get("scale").unwrap().value, Value::Float(0.1));
        assert_eq!(sources.slice(plugin.get("name").unwrap().place), "\"x\"");
    }

    #[test]
    fn mistakes_have_their_place() {
        let text = "a = 1\nb = [1,\n";
        let mut sources = Sources::new();
        let file = sources.add_text("t.toml", text);
        let found = parse(file, text).unwrap_err();
        assert_eq!(found.code, Code::TomlSyntax);
        assert!(sources.position(found.place.unwrap()).unwrap().line >= 2);
        let deep = format!("a = {}", "[".repeat(50_000));
        assert!(parse(sources.add_text("d.toml", deep.as_str()), &deep).is_err());
    }
}
