use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::scalar::{Duration, Name, Quantity};
use crate::source::Sources;
use crate::tree::Spanned;

/// Decodes a text; gives the value and the findings as `line:column code message`.
fn read<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<String>) {
    read_rest(text, &[])
}

fn read_rest<T: DeserializeOwned>(text: &str, elsewhere: &[&str]) -> (Option<T>, Vec<String>) {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add_text("test.yaml", text);
    let node = Node::parse(file, &sources, &mut diagnostics).unwrap();
    let value = decode_rest(&node, elsewhere, &mut diagnostics);
    let found = diagnostics
        .sorted()
        .iter()
        .map(|found| {
            let at = sources.position(found.place.unwrap()).unwrap();
            format!("{}:{} {} {}", at.line, at.column, found.code, found.message)
        })
        .collect();
    (value, found)
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Limit {
    limit: f64,
    on_delay: Option<Duration>,
    class: Option<Name>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    Slow { every: Duration },
    Fixed(u8),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Config {
    name: Spanned<String>,
    unit_id: u8,
    port: u16,
    mode: Mode,
    #[serde(default)]
    limits: OrderedMap<Limit>,
    #[serde(default)]
    inputs: Vec<Name>,
    span: Option<[f64; 2]>,
    rest: Option<Node>,
}

const GOOD: &str = "name: 1.10\nunit_id: 1\nport: 502\nmode: fast\n";

#[test]
fn a_good_value_is_decoded_with_places() {
    let text = format!(
        "{GOOD}limits: {{H: {{limit: 1}}, HH: {{limit: 2.5, on_delay: 5s}}}}\ninputs: [a, b]\nspan: [0, 1]\nrest: {{x: [1]}}\n"
    );
    let (config, found) = read::<Config>(&text);
    assert_eq!(found, [""; 0]);
    let config = config.unwrap();
    assert_eq!(config.name.value, "1.10");
    assert_eq!(config.name.place.len(), Some(4));
    let keys: Vec<_> = config.limits.keys().collect();
    assert_eq!(keys, ["H", "HH"]);
    assert_eq!(config.span, Some([0.0, 1.0]));
    let rest = config.rest.unwrap();
    assert_eq!(rest.get("x").unwrap().items()[0].value, Value::Integer(1));
    assert_ne!(rest.place, crate::source::Place::NOWHERE);
}

#[test]
fn every_mistake_of_a_struct_is_found() {
    let (config, found) =
        read::<Config>("name: [x]\nunit_id: 300\nprot: 502\nmode: fats\nspan: [0, 1, 2]\ninputs: [a, b c, 3, d.e]\n");
    assert!(config.is_none());
    assert_eq!(
        found,
        [
            "1:7 E0301 expected text, found a list",
            "2:10 E0304 `300` is out of range: 0 to 255 is allowed",
            "3:1 E0201 unknown field `prot`",
            "4:7 E0202 `fats` is not one of the accepted names",
            "5:7 E0305 expected a list of 2, found 3",
            "6:13 E0302 `b c` cannot be a name: it contains ` `",
            "6:21 E0302 `d.e` cannot be a name: it contains `.`",
        ]
    );
}

#[test]
fn every_missing_field_is_found() {
    let (_, found) = read::<Config>("limits: {H: {}, L: {on_delay: 1}}\n");
    assert_eq!(
        found,
        [
            "1:1 E0303 the field `name` is missing",
            "1:1 E0303 the field `unit_id` is missing",
            "1:1 E0303 the field `port` is missing",
            "1:1 E0303 the field `mode` is missing",
            "1:10 E0303 the field `limit` is missing",
            "1:17 E0303 the field `limit` is missing",
            "1:31 E0302 `1` is not a duration: the unit is missing",
        ]
    );
}

#[test]
fn an_empty_file_lacks_its_fields() {
    let (_, found) = read::<Limit>("");
    assert_eq!(found, ["1:1 E0303 the field `limit` is missing"]);
}

#[test]
fn enums_take_a_name_or_a_mapping() {
    assert_eq!(read::<Mode>("fast").0, Some(Mode::Fast));
    assert_eq!(read::<Mode>("fixed: 3").0, Some(Mode::Fixed(3)));
    assert_eq!(read::<Mode>("slow: {every: 1s}").0, Some(Mode::Slow { every: Duration::from_secs(1) }));
    for (text, expected) in [
        ("fixed: 300", "1:8 E0304 `300` is out of range: 0 to 255 is allowed"),
        ("fixed", "1:1 E0301 `fixed` needs a value of its own"),
        ("fast: 1", "1:1 E0301 `fast` takes no value of its own"),
        ("[1]", "1:1 E0301 expected one of `fast`, `slow`, `fixed`, found a list"),
        ("slow: {evry: 1s}", "1:8 E0201 unknown field `evry`"),
        ("slow: {every: 1}", "1:15 E0302 `1` is not a duration: the unit is missing"),
    ] {
        assert_eq!(read::<Mode>(text).1, [expected], "{text}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number or a mapping with `limit`")]
enum Shorthand {
    Plain(f64),
    Full(Limit),
}

#[test]
fn an_untagged_enum_reports_at_its_own_place() {
    type Map = OrderedMap<Spanned<Shorthand>>;
    let (map, found) = read::<Map>("H: 5\nL: {limit: 4, on_delay: 0}\n");
    assert_eq!(found, [""; 0]);
    assert_eq!(map.unwrap().len(), 2);
    let (_, found) = read::<Map>("H: x\nL: {limit: 4, on_dealy: 0}\nM: {limit: y}\n");
    assert_eq!(
        found,
        [
            "1:4 E0302 expected a number or a mapping with `limit`",
            "3:4 E0302 expected a number or a mapping with `limit`",
        ]
    );
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    #[serde(rename = "a")]
    A { at: Spanned<u8>, node: Node },
}

#[test]
fn buffered_values_take_the_place_around_them() {
    let (map, found) = read::<OrderedMap<Tagged>>("x: {type: a, at: 1, node: [2]}\n");
    assert_eq!(found, [""; 0]);
    let map = map.unwrap();
    let Tagged::A { at, node } = map.get("x").unwrap();
    assert_eq!(at.place, node.place);
    assert_eq!(at.place.len(), Some(27));
    assert_eq!(node.items()[0].value, Value::Integer(2));
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawRange")]
struct Range {
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct RawRange {
    low: f64,
    high: f64,
}

impl TryFrom<RawRange> for Range {
    type Error = String;

    fn try_from(raw: RawRange) -> Result<Self, String> {
        if raw.low < raw.high {
            Ok(Range { low: raw.low, high: raw.high })
        } else {
            Err("`low` is not below `high`\nexchange the two".to_owned())
        }
    }
}

#[test]
fn a_check_of_a_whole_struct_reports_at_the_struct() {
    let (_, found) = read::<OrderedMap<Range>>("a: {low: 2, high: 1}\nb: {low: x, high: -.inf}\n");
    assert_eq!(
        found,
        [
            "1:4 E0302 `low` is not below `high`",
            "2:10 E0301 expected a number, found the text `x`",
            "2:19 E0304 `-.inf` is not a finite number",
        ]
    );
}

#[test]
fn booleans_and_quoted_numbers_get_a_hint() {
    let hint = |text: &str| {
        let mut sources = Sources::new();
        let mut found = Diagnostics::new();
        let file = sources.add_text("t", text);
        let node = Node::parse(file, &sources, &mut found).unwrap();
        if text.starts_with('"') {
            decode::<u8>(&node, &mut found);
        } else {
            decode::<bool>(&node, &mut found);
        }
        found.iter().next().unwrap().help.clone().unwrap()
    };
    assert_eq!(hint("yes"), "write `true`");
    assert_eq!(hint("no"), "write `false`");
    assert_eq!(hint("\"5\""), "remove the quotes");
}

#[test]
fn fields_read_elsewhere_are_passed_over_and_suggested() {
    let (limit, found) = read_rest::<Limit>("type: a\ninputs: [b]\nlimit: 3\n", &["type", "inputs"]);
    assert_eq!(found, [""; 0]);
    assert_eq!(limit.unwrap().limit, 3.0);
    let (_, found) = read_rest::<Limit>("type: a\ninput: [b]\nlimit: 3\n", &["type", "inputs"]);
    assert_eq!(found, ["2:1 E0201 unknown field `input`"]);
}

#[test]
fn integer_keys_and_large_numbers() {
    type States = std::collections::BTreeMap<i64, String>;
    let (states, _) = read::<States>("0: Parado\n1: En marcha\n");
    assert_eq!(states.unwrap()[&1], "En marcha");
    assert_eq!(read::<States>("a: b\n").1, ["1:1 E0301 expected an integer, found the key `a`"]);
    assert_eq!(read::<u64>("18446744073709551615").0, Some(u64::MAX));
    assert_eq!(read::<i64>("1.5").1, ["1:1 E0301 expected an integer, found the number `1.5`"]);
    assert_eq!(read::<Quantity>("14.0 psia").0.unwrap().value, 14.0);
}

#[test]
fn values_reported_by_the_parser_are_passed_over() {
    let (limit, found) = read::<Limit>("limit: *nowhere\non_delay: x\n");
    assert!(limit.is_none());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("1:8 E0111"));
}

#[test]
fn many_errors_end_with_a_notice() {
    let list: String = (0..500).map(|_| "- x y\n").collect();
    let (_, found) = read::<Vec<Name>>(&list);
    assert!(found.len() <= 102, "{}", found.len());
    assert!(found[0].contains("E0506"), "{}", found[0]);
}

#[test]
fn an_ordered_map_finds_the_errors_of_all_entries_at_once() {
    let text: String = (0..2_000).map(|n| format!("k{n}: {{limit: x, on_delay: y}}\n")).collect();
    let (_, found) = read::<OrderedMap<Limit>>(&text);
    assert_eq!(found.len(), 4_000);
}

#[test]
fn schemas_do_not_show_the_wrappers() {
    let plain = schemars::schema_for!(Limit);
    let spanned = schemars::schema_for!(Spanned<Limit>);
    assert_eq!(plain, spanned);
    let map = schemars::schema_for!(OrderedMap<Limit>);
    assert_eq!(map.as_value()["additionalProperties"]["$ref"], "#/$defs/Limit");
}
