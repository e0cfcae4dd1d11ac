//! JSON into a tree. Nothing but the text is needed, and every value keeps its bytes.

use std::collections::HashSet;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::Diagnostic;
use ducto_graph::source::{FileId, Place};
use ducto_graph::tree::{Entry, Node, Spanned, Value};

/// Deepest nesting: a folder of tags is two levels.
const DEPTH: usize = 200;
/// Most values of one file.
const VALUES: usize = 2_000_000;

/// The tree of a file.
pub(crate) fn parse(file: FileId, text: &str) -> Result<Node, Box<Diagnostic>> {
    let mut parser = Parser { file, text, at: 0, values: 0 };
    let node = parser.value(0)?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("something stands behind the end of the JSON value"));
    }
    Ok(node)
}

struct Parser<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    values: usize,
}

type Result<T, E = Box<Diagnostic>> = std::result::Result<T, E>;

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Node> {
        self.values += 1;
        if self.values > VALUES {
            return Err(self.refused(Code::TooManyNodes, format!("the file has more than {VALUES} values")));
        }
        if depth > DEPTH {
            return Err(self.refused(Code::NestingTooDeep, format!("values are nested more than {DEPTH} deep")));
        }
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(depth, start),
            Some(b'[') => self.array(depth, start),
            Some(b'"') => {
                let text = self.string()?;
                Ok(Node::text(self.from(start), text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(start),
            Some(b't' | b'f' | b'n') => self.word(start),
            None => Err(self.truncated()),
            Some(_) => Err(self.wrong("a JSON value is expected here")),
        }
    }

    fn object(&mut self, depth: usize, start: usize) -> Result<Node> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut names = HashSet::new();
        loop {
            self.space();
            match self.peek() {
                Some(b'}') if entries.is_empty() => break,
                Some(b'"') => {}
                None => return Err(self.truncated()),
                Some(_) => return Err(self.wrong("the name of a field is expected here, in double quotes")),
            }
            let from = self.at;
            let name = self.string()?;
            let key = Spanned::new(name, self.from(from));
            if !names.insert(key.value.clone()) {
                let message = format!("the field `{}` appears twice", short(&key.value));
                return Err(Box::new(
                    Diagnostic::new(Code::DuplicateKey, message).at(key.place).help("remove one of the two"),
                ));
            }
            self.space();
            match self.peek() {
                Some(b':') => self.at += 1,
                None => return Err(self.truncated()),
                Some(_) => return Err(self.wrong("a `:` is expected here")),
            }
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, value });
            if !self.goes_on(b'}')? {
                break;
            }
        }
        self.at += 1;
        Ok(Node::new(self.from(start), Value::Map(entries)))
    }

    fn array(&mut self, depth: usize, start: usize) -> Result<Node> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() != Some(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        self.at += 1;
        Ok(Node::new(self.from(start), Value::List(items)))
    }

    /// Whether another item follows behind a comma, or the collection closes here.
    fn goes_on(&mut self, close: u8) -> Result<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => Ok(false),
            None => Err(self.truncated()),
            Some(_) => Err(self.wrong(&format!("`,` or `{}` is expected here", char::from(close)))),
        }
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(['"', '\\']) else { return Err(self.truncated()) };
            text.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest.as_bytes()[stop] == b'"' {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// The character of an escape; `at` stands behind the `\`.
    fn escape(&mut self) -> Result<char> {
        let byte = self.peek().ok_or_else(|| self.truncated())?;
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(self.wrong("there is no such escape in JSON")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn code_point(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.wrong("half of a character stands alone"));
        }
        // The other half of a character beyond 16 bits.
        if self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return char::from_u32(code).ok_or_else(|| self.wrong("there is no such character"));
            }
        }
        Err(self.wrong("half of a character stands alone"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.map(|digits| u32::from_str_radix(digits, 16)) {
            Some(Ok(code)) => {
                self.at += 4;
                Ok(code)
            }
            _ => Err(self.wrong("`\\u` needs four hexadecimal digits")),
        }
    }

    fn number(&mut self, start: usize) -> Result<Node> {
        let length = self.text[start..]
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        self.at = start + length;
        let text = &self.text[start..self.at];
        let node = Node::plain(self.from(start), text);
        match node.value {
            Value::Integer(_) | Value::Float(_) => Ok(node),
            _ => {
                self.at = start;
                Err(self.wrong("this is no number"))
            }
        }
    }

    fn word(&mut self, start: usize) -> Result<Node> {
        let rest = &self.text[start..];
        match ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                self.at += word.len();
                Ok(Node::plain(self.from(start), word))
            }
            None => Err(self.wrong("a JSON value is expected here")),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn from(&self, start: usize) -> Place {
        Place::text(self.file, start, self.at)
    }

    fn here(&self) -> Place {
        let next = self.text.get(self.at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Place::text(self.file, self.at, self.at + next)
    }

    fn wrong(&self, message: &str) -> Box<Diagnostic> {
        let help = "export the file again, or mend it in an editor that checks JSON";
        Box::new(Diagnostic::new(Code::JsonSyntax, message).at(self.here()).help(help))
    }

    fn truncated(&self) -> Box<Diagnostic> {
        let end = Place::text(self.file, self.text.len(), self.text.len());
        let message = "the file ends in the middle of a JSON value";
        Box::new(Diagnostic::new(Code::JsonSyntax, message).at(end).help("export it again: it was cut off"))
    }

    fn refused(&self, code: Code, message: String) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(code, message).at(self.here()).help("export fewer tags at a time"))
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ducto_graph::source::Sources;

    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let file = Sources::new().add_text("t.json", text);
        parse(file, text).map_err(|found| format!("{} {}", found.code, found.message))
    }

    #[test]
    fn values_are_what_they_say() {
        let node = read("\t{\"a\": [1, -2.5e3, true, null, \"x\\u003dy\\n\\ud83d\\ude00\"], \"b\": {}}\r\n").unwrap();
        let items = node.get("a").unwrap().items();
        assert_eq!(items[0].value, Value::Integer(1));
        assert_eq!(items[1].value, Value::Float(-2500.0));
        assert_eq!(items[2].value, Value::Bool(true));
        assert!(items[3].is_null());
        assert_eq!(items[4].as_text(), Some("x=y\n😀"));
        assert!(node.get("b").unwrap().entries().is_empty());
        // `"true"` is a text.
        assert_eq!(read("\"true\"").unwrap().value, Value::Text("true".into()));
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "{\n \"ñ\": \"é\"}";
        let mut sources = Sources::new();
        let file = sources.add_text("t.json", text);
        let node = parse(file, text).unwrap();
        let value = node.get("ñ").unwrap();
        assert_eq!(sources.slice(value.place), "\"é\"");
        assert_eq!(sources.position(value.place).map(|at| (at.line, at.column)), Some((2, 7)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("", "ends in the middle"),
            ("{\"a\": ", "ends in the middle"),
            ("{\"a\": \"x", "ends in the middle"),
            ("[1 2]", "`,` or `]`"),
            ("{a: 1}", "name of a field"),
            ("{\"a\": 1,}", "name of a field"),
            ("[1,]", "a JSON value is expected"),
            ("{\"a\": 1, \"a\": 2}", "E0108"),
            ("[tru]", "a JSON value is expected"),
            ("[1] x", "behind the end"),
            ("[-]", "no number"),
            ("\"\\q\"", "no such escape"),
            ("\"\\ud800\"", "half of a character"),
            ("\"\\u12\"", "four hexadecimal"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(said), "{text}: {found}");
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().starts_with("E0502"));
    }
}
