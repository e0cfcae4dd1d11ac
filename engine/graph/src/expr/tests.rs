#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt16Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use ducto_record::{
    Asset, Dimension, Directory, Layout, Measure, Quality, Reference, Samples, Tag, Units, Value, ValueKind, Values,
    with_unit,
};
use proptest::prelude::*;

use super::{ErrorKind, Expression, ExpressionError, Functions, SampleView, TagTable};

fn units() -> Arc<Units> {
    let mut units = Units::default();
    let pressure = Dimension([-1, 1, -2, 0, 0, 0, 0]);
    let mut add = |symbol: &str, dimension, reference, scale, offset, aliases: &[&str]| {
        units.register(Measure { symbol: symbol.into(), dimension, reference, scale, offset }.into(), aliases);
    };
    add("psig", pressure, Reference::Gauge, 6894.757, 0.0, &["PSIG"]);
    add("kPag", pressure, Reference::Gauge, 1000.0, 0.0, &[]);
    add("psi", pressure, Reference::Differential, 6894.757, 0.0, &[]);
    add("Hz", Dimension([0, 0, -1, 0, 0, 0, 0]), Reference::None, 1.0, 0.0, &[]);
    add("degC", Dimension([0, 0, 0, 0, 1, 0, 0]), Reference::None, 1.0, 273.15, &[]);
    Arc::new(units)
}

fn rows() -> RecordBatch {
    let float = |name: &str| Field::new(name, DataType::Float64, true);
    let fields = vec![
        with_unit(float("thp"), "psig"),
        with_unit(float("chp"), "PSIG"),
        with_unit(float("flp"), "kPag"),
        with_unit(float("freq"), "Hz"),
        float("plain"),
        Field::new("n", DataType::Int64, true),
        Field::new("quality", DataType::UInt16, false),
        Field::new("state", DataType::Utf8, true),
        Field::new("W.THP", DataType::Float64, true),
        Field::new("run", DataType::Boolean, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(100.0), Some(300.0), None])),
        Arc::new(Float64Array::from(vec![10.0, 20.0, 30.0])),
        Arc::new(Float64Array::from(vec![1000.0, 2000.0, 3000.0])),
        Arc::new(Float64Array::from(vec![50.0, 60.0, 0.0])),
        Arc::new(Float64Array::from(vec![1.0, 2.0, 4.0])),
        Arc::new(Int64Array::from(vec![1, 0, i64::MAX])),
        Arc::new(UInt16Array::from(vec![192, 64, 0])),
        Arc::new(StringArray::from(vec![Some("on"), Some("off"), None])),
        Arc::new(Float64Array::from(vec![7.0, 8.0, 9.0])),
        Arc::new(arrow::array::BooleanArray::from(vec![Some(true), Some(false), None])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn compile(text: &str) -> Result<Expression, ExpressionError> {
    Expression::compile(text, rows().schema_ref(), &Arc::default(), &units())
}

fn floats(text: &str) -> Vec<Option<f64>> {
    compile(text).unwrap().evaluate(&rows()).unwrap().as_primitive::<Float64Type>().iter().collect()
}

fn bools(text: &str) -> Vec<Option<bool>> {
    compile(text).unwrap().evaluate(&rows()).unwrap().as_boolean().iter().collect()
}

/// `kind: message at "part" (help)`.
fn refused(text: &str) -> String {
    let error = compile(text).err().unwrap_or_else(|| panic!("`{text}` was compiled"));
    format!(
        "{:?}: {} at {:?} ({})",
        error.kind,
        error.message,
        error.part().unwrap_or(""),
        error.help.clone().unwrap_or_default()
    )
}

#[test]
fn arithmetic_conditions_and_functions() {
    assert_eq!(floats("thp + 2 * chp"), [Some(120.0), Some(340.0), None]);
    assert_eq!(floats("coalesce(thp, 0)"), [Some(100.0), Some(300.0), Some(0.0)]);
    assert_eq!(floats("max(thp, chp)"), [Some(100.0), Some(300.0), Some(30.0)]);
    assert_eq!(floats("CASE WHEN freq > 0 THEN plain / freq END"), [Some(0.02), Some(2.0 / 60.0), None]);
    assert_eq!(floats("\"W.THP\" + W.THP"), [Some(14.0), Some(16.0), Some(18.0)]);
    assert_eq!(floats("round(ABS(-plain))"), [Some(1.0), Some(2.0), Some(4.0)]);
    assert_eq!(floats("CEIL(plain / 3)"), [Some(1.0), Some(1.0), Some(2.0)]);
    assert_eq!(bools("thp > 200 AND freq < 70"), [Some(false), Some(true), None]);
    assert_eq!(bools("state LIKE 'o%' AND run IS TRUE"), [Some(true), Some(false), Some(false)]);
    assert_eq!(bools("THP > 200"), [Some(false), Some(true), None]);
    assert_eq!(bools("quality = 192"), [Some(true), Some(false), Some(false)]);
    assert_eq!(bools("state IN ('on', 'x')"), [Some(true), Some(false), None]);
    assert_eq!(bools("1 = 1"), [Some(true); 3]);
    let text = compile("upper(state) || '!'").unwrap();
    assert_eq!(text.data_type(), &DataType::Utf8);
    assert_eq!(compile("quality").unwrap().data_type(), &DataType::Int64);
    assert_eq!(compile("thp + n").unwrap().columns(), [0, 5]);
}

#[test]
fn k_of_n_counts_conditions_and_knows_what_is_open() {
    let judged = bools("k_of_n(2, thp > 200, freq > 55, run)");
    assert_eq!(judged, [Some(false), Some(true), None]);
    assert_eq!(bools("k_of_n(1, true, false)"), [Some(true); 3]);
    assert!(refused("k_of_n(2, thp)").contains("argument 2 of k_of_n must be true or false"));
}

#[test]
fn units_are_kept_where_they_are_known() {
    let unit = |text: &str| compile(text).unwrap().unit().map(str::to_owned);
    assert_eq!(unit("thp").as_deref(), Some("psig"));
    assert_eq!(unit("thp + chp").as_deref(), Some("psig"));
    assert_eq!(unit("thp - chp").as_deref(), Some("psi"));
    assert_eq!(unit("chp + (thp - chp)").as_deref(), Some("PSIG"));
    assert_eq!(unit("thp * 2 + 1").as_deref(), Some("psig"));
    assert_eq!(unit("thp / chp"), None);
    assert_eq!(unit("2 / freq"), None);
    assert_eq!(unit("abs(-freq)").as_deref(), Some("Hz"));
    assert_eq!(unit("CASE WHEN run THEN thp ELSE 0 END").as_deref(), Some("psig"));
    assert_eq!(unit("coalesce(thp, chp, 0)").as_deref(), Some("psig"));
    assert_eq!(unit("coalesce(thp, plain)"), None);
    assert_eq!(unit("sqrt(thp)"), None);
    assert_eq!(unit("thp > 5"), None);
    assert_eq!(unit("convert(flp, 'psig') + thp").as_deref(), Some("psig"));
    let converted = floats("convert(flp, 'psig')")[0].unwrap();
    assert!((converted - 1000.0 * 1000.0 / 6894.757).abs() < 1e-9);
}

#[test]
fn mistakes_say_where_and_what_to_do() {
    let all = [
        "thp + freq",
        "thp > flp",
        "CASE WHEN run THEN thp ELSE freq END",
        "thp BETWEEN 1 AND freq",
        "tph > 5",
        "thp > (plain + tph)",
        "sqr(thp)",
        "thp > 'high'",
        "run = 1",
        "state = 3",
        "thp AND run",
        "NOT thp",
        "abs(state)",
        "\"on\" = state",
        "thp >",
        "thp > 5)",
        "(thp > 5",
        "thp >> > 5",
        "",
        "thp > 5 freq",
        "thp > 5;",
        "SELECT 1",
        "(SELECT max(thp))",
        "thp IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "sum(thp)",
        "max(thp)",
        "lag(thp) > 1",
        "avg(thp) OVER ()",
        "now()",
        "CURRENT_TIMESTAMP",
        "random() > 0.5",
        "uuid()",
        "thp ^ 2",
        "$1 > 2",
        "'abc",
        "convert(thp, 'Hz')",
        "convert(thp, 'psi')",
        "convert(plain, 'psig')",
        "convert(thp, 'kPg')",
        "thp[1]",
        "[1, 2]",
        "x -> x",
        "1e999",
        "thp LIKE 'a'",
        "*",
        "k_of_n()",
        "abs(DISTINCT thp)",
        "abs(x => thp)",
        "repeat('a', 1000000000)",
        "thp\n  + fraq",
    ];
    let report: String = all.iter().map(|text| format!("{text:?}\n  {}\n", refused(text))).collect();
    insta::assert_snapshot!(report);
}

#[test]
fn long_and_deep_texts_are_refused() {
    let kind = |text: &str| compile(text).unwrap_err().kind;
    assert_eq!(kind(&"(".repeat(4000)), ErrorKind::Size);
    assert_eq!(kind(&format!("thp{}", " + 1".repeat(1000))), ErrorKind::Size);
    assert_eq!(kind(&format!("{}thp", "NOT ".repeat(1000))), ErrorKind::Size);
    assert_eq!(kind(&"a".repeat(9000)), ErrorKind::Size);
    assert_eq!(kind(&format!("{}1", "CASE WHEN run THEN ".repeat(400))), ErrorKind::Size);
    for piece in
        ["NOT ", "INTERVAL ", "- ", "CAST(", "[", "{", "abs(", "NOT (", "CASE ", "EXISTS (", "x -> ", "ARRAY[", "{fn "]
    {
        compile(&piece.repeat(500)).unwrap_err();
        compile(&piece.repeat(8)).unwrap_err();
    }
    let deepest = |open: &str, close: &str| format!("{}run{}", open.repeat(15), close.repeat(15));
    assert!(compile(&deepest("(", ")")).is_ok());
    assert!(compile(&deepest("NOT ", "")).is_ok());
    assert!(compile(&deepest("CASE WHEN run THEN ", " END")).is_ok());
    compile(&deepest("CASE WHEN run THEN ", "")).unwrap_err();
    assert!(compile(&format!("thp{}", " + 1".repeat(60))).is_ok());
    assert!(compile(&format!("n IN ({}1)", "1, ".repeat(1000))).is_ok());
}

#[test]
fn constants_are_folded() {
    let expression = compile("quality = 100 + 92 AND thp > CAST('5' AS DOUBLE)").unwrap();
    let plan = format!("{}", expression.plan);
    assert!(!plan.contains("CAST") && !plan.contains('+'), "{plan}");
}

#[test]
fn a_row_that_fails_is_null_and_named() {
    let expression = compile("10 / n").unwrap();
    let error = expression.evaluate(&rows()).unwrap_err();
    assert_eq!(error.message, "an integer was divided by zero");
    let (result, failures) = expression.evaluate_or_null(&rows()).unwrap();
    let result: Vec<Option<i64>> = result.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(result, [Some(10), None, Some(0)]);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].row, 1);
    let overflow = compile("n + 1").unwrap();
    assert!(overflow.evaluate(&rows()).is_err());
    assert_eq!(overflow.evaluate_or_null(&rows()).unwrap().1[0].row, 2);
}

#[test]
fn a_condition_must_be_a_condition() {
    let error = Expression::compile_condition("thp + 1", rows().schema_ref(), &Arc::default(), &units()).unwrap_err();
    assert_eq!(error.message, "the expression gives a number, and a condition must be true or false");
}

fn directory() -> Directory {
    let mut builder = Directory::builder();
    for (name, area) in [("WELL-1", Some("north")), ("WELL-2", None)] {
        let columns: BTreeMap<String, String> = [("flows_to", Some("SEP-1")), ("area", area)]
            .into_iter()
            .filter_map(|(k, v)| Some((k.into(), v?.into())))
            .collect();
        let id = builder.asset(Asset { name: name.into(), kind: "well".into(), columns });
        for variable in ["THP", "CHP"] {
            let unit = units().get("psig").cloned();
            builder.tag(Tag { asset: Some(id), unit, ..Tag::named(&format!("{name}.{variable}"), ValueKind::Float64) });
        }
    }
    builder.tag(Tag::named("ALONE", ValueKind::Float64));
    builder.build()
}

#[test]
fn samples_are_seen_with_the_texts_of_their_tags() {
    let directory = directory();
    let mut view = SampleView::new(&directory);
    let layout = Layout::new(vec![4, 0, 1, 2]);
    let scan = Samples::scan(&layout, 1_000_000, Values::Float64(vec![1.0, 2.0, 3.0, 4.0].into()), None).unwrap();
    let schema = view.schema(ValueKind::Float64).clone();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names,
        ["time", "tag", "value", "quality", "checks", "asset", "variable", "kind", "area", "unit", "flows_to"]
    );
    let mut judge = |text: &str| -> Vec<Option<bool>> {
        let expression = Expression::compile(text, &schema, &Arc::default(), &units()).unwrap();
        // Twice: the second time from what is kept for the layout.
        let first = view.evaluate(&expression, &scan).unwrap();
        assert_eq!(&first, &view.evaluate(&expression, &scan).unwrap());
        first.as_boolean().iter().collect()
    };
    assert_eq!(judge("asset = 'WELL-1'"), [None, Some(true), Some(true), Some(false)]);
    assert_eq!(judge("area IS NULL"), [Some(true), Some(false), Some(false), Some(true)]);
    assert_eq!(judge("area <> 'north'"), [None, Some(false), Some(false), None]);
    assert_eq!(judge("tag LIKE '%.THP' AND value > 1"), [Some(false), Some(true), Some(false), Some(true)]);
    assert_eq!(judge("variable IN ('CHP') OR tag = 'ALONE'"), [Some(true), Some(false), Some(true), Some(false)]);
    assert_eq!(judge("kind = 'well' AND unit = 'psig'"), [None, Some(true), Some(true), Some(true)]);
    assert_eq!(judge("upper(flows_to) = 'SEP-1'"), [None, Some(true), Some(true), Some(true)]);
    assert_eq!(judge("time > '1970-01-01T00:00:00Z' AND quality >= 192"), [Some(true); 4]);
    assert_eq!(judge("regexp_like(tag, '^WELL-.*CHP$')"), [Some(false), Some(false), Some(true), Some(false)]);
    assert_eq!(view.record_batch(&scan).unwrap().num_columns(), 11);
    let foreign = Samples::single(0, 99, &Value::Float64(1.0), ValueKind::Float64, Quality::GOOD);
    let expression = Expression::compile("tag = 'x'", &schema, &Arc::default(), &units()).unwrap();
    assert!(view.evaluate(&expression, &foreign).is_err());
}

#[test]
fn tags_are_chosen_by_a_condition() {
    let table = TagTable::new(&directory());
    let condition =
        Expression::compile_condition("kind = 'well' AND variable = 'THP'", &table.schema(), &Arc::default(), &units())
            .unwrap();
    assert_eq!(table.matching(&condition).unwrap(), [true, false, true, false, false]);
}

#[test]
fn functions_can_be_listed() {
    let functions = Functions::default();
    let names: Vec<&str> = functions.names().collect();
    for name in ["abs", "coalesce", "date_trunc", "k_of_n", "power", "regexp_like", "sqrt", "upper", "convert"] {
        assert!(names.contains(&name), "{name}");
    }
    for name in ["now", "random", "uuid", "repeat", "current_date", "today"] {
        assert!(!names.contains(&name), "{name}");
    }
}

const PIECES: &[&str] = &[
    "thp",
    "chp",
    "n",
    "quality",
    "state",
    "run",
    "plain",
    "\"W.THP\"",
    "1",
    "0",
    "-1",
    "2.5",
    "1e300",
    "9223372036854775807",
    "'on'",
    "''",
    "NULL",
    "TRUE",
    "+",
    "-",
    "*",
    "/",
    "%",
    "<",
    ">=",
    "=",
    "<>",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    ",",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "abs(",
    "round(",
    "coalesce(",
    "k_of_n(",
    "date_trunc('hour',",
    "to_timestamp(",
    "date_bin(INTERVAL '1 hour',",
    "power(",
    "log(",
    "regexp_like(",
    "regexp_replace(",
    "split_part(",
    "chr(",
    "to_hex(",
    "gcd(",
    "make_date(",
    "to_char(",
    "trunc(",
    "nullif(",
    "CAST(",
    "AS BIGINT)",
    "AS TEXT)",
    "AS TIMESTAMP)",
    "AS DOUBLE)",
    "::INT",
    "INTERVAL '1 day'",
    "TIMESTAMP '2026-01-01'",
    "EXTRACT(hour FROM",
    "&",
    "<<",
    "||",
    "~",
    "[",
    "]",
    "{",
    "::",
    "@",
    "$1",
    "--",
    "/*",
    "é",
    "\u{0}",
    "\\",
    "AT TIME ZONE 'UTC'",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever is written: an expression or an error whose place lies inside the text, and never a panic.
    #[test]
    fn no_text_panics(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..14)) {
        examine(&pieces.join(" "));
    }

    #[test]
    fn no_mutation_of_a_good_text_panics(
        at in 0usize..80, length in 0usize..6, piece in prop::sample::select(PIECES), which in 0usize..4,
    ) {
        let good = [
            "CASE WHEN thp > 200 AND run THEN round(chp / 3, 2) ELSE coalesce(plain, -1) END",
            "k_of_n(2, thp > 200, freq BETWEEN 40 AND 60, state IN ('on', 'off')) OR NOT run",
            "date_trunc('day', TIMESTAMP '2026-01-01T06:00:00Z') + INTERVAL '1 day' > to_timestamp(n)",
            "regexp_replace(lower(state), 'o(.)', '\\1') || CAST(n % 7 AS TEXT) LIKE 'a%'",
        ][which];
        let chars: Vec<char> = good.chars().collect();
        let start = at.min(chars.len());
        let end = (start + length).min(chars.len());
        let text: String = chars[..start].iter().chain(piece.chars().collect::<Vec<_>>().iter()).chain(&chars[end..]).collect();
        examine(&text);
    }

    #[test]
    fn no_bytes_panic(text in "\\PC{0,60}") {
        examine(&text);
    }
}

fn examine(text: &str) {
    match compile(text) {
        Ok(expression) => {
            if let Ok((result, _)) = expression.evaluate_or_null(&rows()) {
                assert_eq!(result.len(), 3, "{text}");
                assert_eq!(result.data_type(), expression.data_type(), "{text}");
            }
        }
        Err(error) => {
            assert!(!error.message.contains("planner failed"), "{text}");
            if let Some(at) = &error.at {
                assert!(text.get(at.clone()).is_some(), "{text}: {at:?}");
            }
        }
    }
}

#[test]
fn the_place_is_that_of_the_part() {
    use crate::source::{Place, Sources};
    use crate::tree::Spanned;
    let mut sources = Sources::new();
    let file = sources.add_text("a.yaml", "a: thp > tph\nb: \"thp > tph\"\nc: >\n  thp >\n  tph\n");
    let error = compile("thp > tph").unwrap_err();
    let part = |place: Place| error.diagnostic(&Spanned::new("thp > tph".to_owned(), place)).place.unwrap();
    assert_eq!(part(Place::text(file, 3, 12)), Place::text(file, 9, 12));
    assert_eq!(part(Place::text(file, 16, 27)), Place::text(file, 23, 26));
    assert_eq!(part(Place::text(file, 31, 47)), Place::text(file, 31, 47));
}
