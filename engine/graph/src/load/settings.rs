//! Single settings laid over a definition: `alarms.H.limit` of an override, `THP.span` of a table of assets.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::tree::{Entry, Node, Spanned, Value};

/// A field by its path, and the value it gets.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// `alarms.H.limit`.
    pub(super) path: Spanned<String>,
    pub(super) value: Node,
    /// What a single value stands for where the path goes on inside it: [`crate::registry::Section::shorthand`].
    pub(super) shorthand: Option<&'static str>,
}

impl Setting {
    /// Sets the field. Mappings on the way that are not there are made.
    ///
    /// # Errors
    /// Where a mapping would be replaced by a single value, so that its other fields would be lost without a word, or
    /// where the path goes on inside a value that has no fields.
    pub(super) fn apply(&self, definition: &mut Node) -> Result<(), Diagnostic> {
        let mut node = definition;
        let mut segments = self.path.split('.').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            node = if matches!(node.value, Value::List(_)) {
                self.item(node, segment)?
            } else {
                self.step(node, segment)?
            };
            if last {
                return self.set(node);
            }
        }
        Ok(())
    }

    fn item<'a>(&self, node: &'a mut Node, segment: &str) -> Result<&'a mut Node, Diagnostic> {
        let count = node.items().len();
        let item = match &mut node.value {
            Value::List(items) => segment.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
        item.ok_or_else(|| {
            self.wrong(format!("`{segment}` is no item of a list of {count}"))
                .help("items are counted from 0; or set the whole list, `[0, 5000]`")
        })
    }

    /// Goes to a field of a mapping, which is made if there is none.
    fn step<'a>(&self, node: &'a mut Node, segment: &str) -> Result<&'a mut Node, Diagnostic> {
        match (&node.value, self.shorthand) {
            (Value::Map(_), _) => {}
            (Value::Null | Value::Invalid, _) => *node = Node::new(self.value.place, Value::Map(Vec::new())),
            (_, Some(field)) => {
                let single = node.clone();
                let key = Spanned::new(field.to_owned(), single.place);
                *node = Node::new(single.place, Value::Map(vec![Entry { key, value: single }]));
            }
            (_, None) => {
                return Err(self
                    .wrong(format!("`{}` would be set inside {}", self.path.value, node.describe()))
                    .help("end the field's name before the last dot"));
            }
        }
        let Value::Map(entries) = &mut node.value else {
            return Err(self.wrong(format!("`{}` cannot be set", self.path.value)));
        };
        let at = entries.iter().position(|entry| entry.key.value == segment).unwrap_or_else(|| {
            let key = Spanned::new(segment.to_owned(), self.path.place);
            entries.push(Entry { key, value: Node::new(self.value.place, Value::Null) });
            entries.len() - 1
        });
        // The position was found or made just above.
        Ok(&mut entries[at].value)
    }

    fn set(&self, node: &mut Node) -> Result<(), Diagnostic> {
        let fields: Vec<&str> = node.entries().iter().map(|entry| entry.key.as_str()).collect();
        let single = !matches!(self.value.value, Value::Map(_) | Value::Null);
        if single && !fields.is_empty() {
            let list = crate::diagnostic::quoted_list(&fields);
            return Err(self
                .wrong(format!("`{}` has fields of its own, which a single value would remove: {list}", *self.path))
                .note_at(node.place, "they are set here")
                .help(format!("set one of them, such as `{}.{}`", *self.path, fields[0])));
        }
        *node = self.value.clone();
        Ok(())
    }

    fn wrong(&self, message: String) -> Diagnostic {
        Diagnostic::new(Code::SettingNotScalar, message).at(self.path.place)
    }
}

/// A cell or text as a value: a list where it is written as one, `[0, 5000]`, else a scalar.
pub(super) fn list_or(text: &str, place: crate::source::Place) -> Option<Node> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let separator = if inside.contains(';') { ';' } else { ',' };
    let items = inside.split(separator).map(str::trim).filter(|item| !item.is_empty());
    Some(Node::new(place, Value::List(items.map(|item| Node::plain(place, item)).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::source::{Place, Sources};

    fn run(yaml: &str, path: &str, value: &str) -> Result<Node, Diagnostic> {
        let mut sources = Sources::new();
        let file = sources.add_text("t", yaml);
        let mut node = Node::parse(file, &sources, &mut Diagnostics::new()).unwrap();
        let setting = Setting {
            path: Spanned::new(path.to_owned(), Place::NOWHERE),
            value: list_or(value, Place::NOWHERE).unwrap_or_else(|| Node::plain(Place::NOWHERE, value)),
            shorthand: path.starts_with("alarms").then_some("limit"),
        };
        setting.apply(&mut node).map(|()| node)
    }

    fn at<'a>(node: &'a Node, path: &str) -> &'a str {
        path.split('.').fold(node, |node, key| node.get(key).unwrap()).as_text().unwrap()
    }

    #[test]
    fn a_field_is_replaced_or_made() {
        assert_eq!(at(&run("{unit: psi}", "unit", "kPa").unwrap(), "unit"), "kPa");
        assert_eq!(at(&run("{unit: psi}", "alarms.H.limit", "7").unwrap(), "alarms.H.limit"), "7");
        let node = run("{span: [0, 10]}", "span.1", "20").unwrap();
        assert_eq!(node.get("span").unwrap().items()[1].as_text(), Some("20"));
        let node = run("{span: [0, 10]}", "span", "[1; 2]").unwrap();
        assert_eq!(node.get("span").unwrap().items().len(), 2);
    }

    #[test]
    fn a_single_value_becomes_the_field_it_stands_for() {
        let node = run("{alarms: {H: 2500}}", "alarms.H.on_delay", "5s").unwrap();
        assert_eq!(at(&node, "alarms.H.limit"), "2500");
        assert_eq!(at(&node, "alarms.H.on_delay"), "5s");
        let node = run("{alarms: {H: 2500}}", "alarms.H.limit", "2600").unwrap();
        assert_eq!(at(&node, "alarms.H.limit"), "2600");
        assert_eq!(at(&run("{alarms: {H: 2500}}", "alarms.H", "1").unwrap(), "alarms.H"), "1");
    }

    #[test]
    fn nothing_is_lost_without_a_word() {
        let error = run("{alarms: {HH: {limit: 1, class: safety}}}", "alarms.HH", "3").unwrap_err();
        assert!(error.help.unwrap().contains("`alarms.HH.limit`"));
        assert!(run("{unit: psi}", "unit.x", "3").is_err());
        assert!(run("{span: [0, 1]}", "span.7", "3").is_err());
    }
}
