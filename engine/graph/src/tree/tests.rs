use super::*;
use crate::codes::Code;

fn parse(text: &str) -> (Option<Node>, Sources, Diagnostics) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add_text("test.yaml", text);
    let node = Node::parse(file, &sources, &mut diagnostics);
    (node, sources, diagnostics)
}

fn good(text: &str) -> (Node, Sources) {
    let (node, sources, diagnostics) = parse(text);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(&sources, false));
    (node.unwrap(), sources)
}

fn codes(text: &str) -> Vec<Code> {
    let (_, sources, diagnostics) = parse(text);
    for found in &diagnostics {
        assert!(sources.contains(found.place.unwrap()), "{found:?}");
    }
    diagnostics.iter().map(|found| found.code).collect()
}

/// Every key and scalar with its text in the file.
fn slices(node: &Node, sources: &Sources, out: &mut Vec<String>) {
    for entry in node.entries() {
        out.push(sources.slice(entry.key.place).to_owned());
        slices(&entry.value, sources, out);
    }
    for item in node.items() {
        slices(item, sources, out);
    }
    if node.entries().is_empty() && node.items().is_empty() {
        out.push(sources.slice(node.place).to_owned());
    }
}

#[test]
fn places_are_right_with_multibyte_characters() {
    let (node, sources) = good("señal: é\n\"presión\": {ñ: [ü, 'ö', \"\\u00e9\"]}\nn: 1.10 # café\n");
    let mut found = Vec::new();
    slices(&node, &sources, &mut found);
    assert_eq!(found, ["señal", "é", "\"presión\"", "ñ", "ü", "'ö'", "\"\\u00e9\"", "n", "1.10"]);
    let map = node.get("presión").unwrap();
    assert_eq!(sources.slice(map.place), "{ñ: [ü, 'ö', \"\\u00e9\"]}");
    assert_eq!(sources.slice(map.get("ñ").unwrap().place), "[ü, 'ö', \"\\u00e9\"]");
    assert_eq!(node.get("n").unwrap().as_text(), Some("1.10"));
}

#[test]
fn block_values_end_where_their_text_ends() {
    let (node, sources) = good("a:\n  b: 1\n  c:\n    - x\n    - y\n\n# note\nd: |\n  one\n  two\n\ne: >-\n  three\n");
    assert_eq!(sources.slice(node.get("a").unwrap().place), "b: 1\n  c:\n    - x\n    - y");
    assert_eq!(node.get("d").unwrap().as_text(), Some("one\ntwo\n"));
    assert!(sources.slice(node.get("d").unwrap().place).ends_with("two"));
    assert_eq!(node.get("e").unwrap().as_text(), Some("three"));
}

#[test]
fn a_value_left_out_is_null_at_its_key() {
    let (node, sources) = good("a:\nb: ~\n");
    let a = node.get("a").unwrap();
    assert!(a.is_null() && a.place.is_empty());
    assert_eq!(sources.position(a.place).unwrap().line, 1);
    assert!(good("").0.is_null());
    assert!(good("# only a comment\n").0.is_null());
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let (node, sources) = good(
        "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none: {<<: *base, a: 5}\ntwo: {<<: [*base, *more]}\nlist: [*base]\n",
    );
    let show = |name: &str| {
        let node = node.get(name).unwrap();
        node.entries()
            .iter()
            .map(|entry| format!("{}={}", entry.key, entry.value.written))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(show("one"), "a=5 b=2");
    assert_eq!(show("two"), "a=1 b=2 c=4");
    let alias = &node.get("list").unwrap().items()[0];
    assert_eq!(sources.slice(alias.place), "{a: 1, b: 2}");
}

#[test]
fn mistakes_with_a_clear_structure_are_all_found() {
    assert_eq!(
        codes("a: 1\na: 2\nb: *x\nc: !include y\n? [k]\n: v\nd: {<<: 3}\n~: 1\n"),
        [
            Code::DuplicateKey,
            Code::AliasUnknown,
            Code::TagUnknown,
            Code::KeyNotText,
            Code::MergeNotMapping,
            Code::KeyNotText,
        ]
    );
    let (node, _, _) = parse("a: 1\na: 2\n");
    assert_eq!(node.unwrap().get("a").unwrap().value, Value::Integer(1));
}

#[test]
fn tags_of_the_core_schema() {
    let (node, _) = good("a: !!str 12\nb: !!float 1\nc: !!map {}\nd: ! 12\n");
    assert_eq!(node.get("a").unwrap().value, Value::Text("12".into()));
    assert_eq!(node.get("b").unwrap().value, Value::Float(1.0));
    assert_eq!(node.get("d").unwrap().value, Value::Text("12".into()));
    assert_eq!(codes("a: !!int x\n"), [Code::TypeMismatch]);
    assert_eq!(codes("a: !!map [1]\n"), [Code::TagUnknown]);
}

#[test]
fn syntax_errors_stop_the_file_at_their_place() {
    for (text, code, line) in [
        ("a: [1, 2\nb: 3\n", Code::YamlSyntax, 2),
        ("a: b: c\n", Code::YamlSyntax, 1),
        ("a: \"x\nb: 1\n", Code::YamlSyntax, 1),
        ("a:\n\tb: 1\n", Code::TabIndentation, 2),
        ("a: 1\n---\nb: 2\n", Code::MultipleDocuments, 2),
        ("a: @x\n", Code::YamlSyntax, 1),
        ("a:\n  b: 1\n c: 2\n", Code::YamlSyntax, 3),
    ] {
        let (node, sources, found) = parse(text);
        assert!(node.is_none(), "{text}");
        let found = found.iter().next().unwrap();
        assert_eq!(found.code, code, "{text} {found:?}");
        let at = sources.position(found.place.unwrap()).unwrap();
        assert_eq!(at.line, line, "{text} {found:?}");
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(codes(&nested(DEPTH_LIMIT)).is_empty());
    assert_eq!(codes(&nested(DEPTH_LIMIT + 1)), [Code::NestingTooDeep]);
    assert_eq!(codes(&nested(100_000)), [Code::NestingTooDeep]);
    let block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert_eq!(codes(&block), [Code::NestingTooDeep]);
    let by_alias = format!("a: &a {}\nb: [[*a]]\n", nested(DEPTH_LIMIT - 2));
    assert_eq!(codes(&by_alias), [Code::NestingTooDeep]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..20 {
        let of = format!("*a{}", n - 1);
        let list = [of.as_str(); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    assert_eq!(codes(&text), [Code::TooManyNodes]);
    let mut merged = "a0: &a0 {k: [1, 2, 3, 4, 5, 6, 7, 8]}\n".to_owned();
    for n in 1..40 {
        merged.push_str(&format!("a{n}: &a{n} {{x: *a{0}, y: *a{0}}}\n", n - 1));
    }
    assert_eq!(codes(&merged), [Code::TooManyNodes]);
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    assert_eq!(codes("a: &a [*a]\n"), [Code::AliasUnknown]);
    assert_eq!(codes("a: &a {b: *a}\n"), [Code::AliasUnknown]);
}

#[test]
fn entries_are_taken_out() {
    let (mut node, _) = good("type: a\nrest: 1\n");
    assert_eq!(node.take("type").unwrap().value.as_text(), Some("a"));
    assert!(node.take("type").is_none());
    assert_eq!(node.entries().len(), 1);
}
