use super::*;
use crate::source::Place;

fn cell(text: &str) -> Cell {
    Cell { text: text.into(), place: Place::NOWHERE, typed: None }
}

fn number(text: &str, decimal: Option<Decimal>) -> Result<f64, Code> {
    let conventions = Conventions { decimal, dates: None };
    cell(text).number(&conventions).map_err(|error| error.code)
}

#[test]
fn numbers_that_read_one_way() {
    for (text, value) in [
        ("12", 12.0),
        ("-1.5", -1.5),
        ("+1,5", 1.5),
        ("0.234", 0.234),
        ("1234.567", 1234.567),
        ("1.2345", 1.2345),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("1.234.567", 1_234_567.0),
        ("1 234 567", 1_234_567.0),
        ("1\u{a0}234,567", 1234.567),
        ("1'234.5", 1234.5),
        ("1.234e2", 123.4),
        (".5", 0.5),
        ("5.", 5.0),
    ] {
        assert_eq!(number(text, None), Ok(value), "{text}");
    }
}

#[test]
fn numbers_that_read_two_ways_need_a_convention() {
    for text in ["1.234", "1,234", "-12.345", "999,000"] {
        assert_eq!(number(text, None), Err(Code::NumberAmbiguous), "{text}");
    }
    assert_eq!(number("1.234", Some(Decimal::Point)), Ok(1.234));
    assert_eq!(number("1.234", Some(Decimal::Comma)), Ok(1234.0));
    assert_eq!(number("1,234", Some(Decimal::Point)), Ok(1234.0));
    assert_eq!(number("1,234", Some(Decimal::Comma)), Ok(1.234));
    let error = cell("1.234").number(&Conventions::default()).unwrap_err();
    assert_eq!(error.message, "`1.234` reads two ways, 1.234 or 1234");
}

#[test]
fn numbers_against_the_convention_are_refused() {
    for (text, decimal) in
        [("1.5", Decimal::Comma), ("1,5", Decimal::Point), ("1.234,5", Decimal::Point), ("1.234.567", Decimal::Point)]
    {
        assert_eq!(number(text, Some(decimal)), Err(Code::CellNotNumber), "{text}");
    }
}

#[test]
fn what_is_no_number() {
    for text in ["", "-", "x", "1.2.3", "1,23,456", "12 psi", "1e999", "nan", "inf", "1..2", "٣", "1e", "--1"] {
        assert_eq!(number(text, None), Err(Code::CellNotNumber), "{text}");
    }
}

#[test]
fn integers() {
    let integer = |text: &str| cell(text).integer(&Conventions::default()).map_err(|error| error.code);
    assert_eq!(integer("9007199254740993"), Ok(9_007_199_254_740_993));
    assert_eq!(integer("5,0"), Ok(5));
    assert_eq!(integer("1.234"), Err(Code::NumberAmbiguous));
    assert_eq!(integer("1.5"), Err(Code::CellNotInteger));
    assert_eq!(integer("x"), Err(Code::CellNotInteger));
    assert_eq!(integer("99999999999999999999"), Err(Code::CellNotInteger));
}

#[test]
fn dates() {
    let date = |text: &str, dates: Option<DateOrder>| {
        let conventions = Conventions { decimal: None, dates };
        cell(text).date(&conventions).map(|date| date.to_string()).map_err(|error| error.code)
    };
    let third_of_april = Ok("2026-04-03".to_owned());
    assert_eq!(date("2026-04-03", None), third_of_april);
    assert_eq!(date("2026/4/3", None), third_of_april);
    assert_eq!(date("03/04/2026", None), Err(Code::DateAmbiguous));
    assert_eq!(date("03/04/2026", Some(DateOrder::Dmy)), third_of_april);
    assert_eq!(date("04.03.2026", Some(DateOrder::Mdy)), third_of_april);
    assert_eq!(date("25/12/2026", None), Ok("2026-12-25".to_owned()));
    assert_eq!(date("12/25/2026", None), Ok("2026-12-25".to_owned()));
    assert_eq!(date("05/05/2026", None), Ok("2026-05-05".to_owned()));
    assert_eq!(date("03/04/26", None), Err(Code::DateAmbiguous));
    for text in ["", "x", "2026", "2026-13-01", "31/31/2026", "1/2/3/4", "2026-04-03 06:00", "-1/2/2026"] {
        assert_eq!(date(text, None), Err(Code::CellNotDate), "{text}");
    }
}

#[test]
fn instants_take_the_zone_of_the_site() {
    let zone: TimeZone = "America/Bogota".parse().unwrap();
    let instant = |text: &str| {
        cell(text)
            .instant(&Conventions::default(), &zone)
            .map(|instant| instant.to_string())
            .map_err(|error| error.code)
    };
    assert_eq!(instant("2026-04-03"), Ok("2026-04-03T05:00:00Z".to_owned()));
    assert_eq!(instant("2026-04-03 6:00"), Ok("2026-04-03T11:00:00Z".to_owned()));
    assert_eq!(instant("2026-04-03T06:00:00Z"), Ok("2026-04-03T06:00:00Z".to_owned()));
    assert_eq!(instant("2026-04-03 25:00"), Err(Code::CellNotDate));
}

#[test]
fn booleans() {
    for text in ["sí", "SI", "yes", "True", "1", "VERDADERO"] {
        assert_eq!(cell(text).boolean(), Ok(true), "{text}");
    }
    for text in ["no", "FALSE", "0", "Falso"] {
        assert_eq!(cell(text).boolean(), Ok(false), "{text}");
    }
    assert_eq!(cell("x").boolean().unwrap_err().code, Code::CellNotBoolean);
    assert_eq!(cell("").boolean().unwrap_err().code, Code::CellNotBoolean);
}
