//! The error that travels through serde until a node claims it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::Id;
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, quoted_list, suggestion};
use crate::source::Place;
use crate::tree::shorten;

#[derive(Debug)]
pub(super) struct DecodeError {
    pub(super) kind: Kind,
    /// The node to set aside; of a missing field, the mapping.
    pub(super) origin: Option<Id>,
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Report(Box<Diagnostic>),
    Missing {
        field: &'static str,
        report: bool,
    },
    /// Follows from an error that is reported already.
    Poisoned,
    /// A stand-in did not suit its field.
    StandIn {
        field: &'static str,
    },
    /// The errors are in the list of those collected.
    Deferred,
}

/// How [`Kind::Deferred`] is recognised by a visitor, which sees only a text.
pub(super) const DEFERRED: &str = "(deferred)";

impl DecodeError {
    pub(super) fn new(kind: Kind) -> Self {
        DecodeError { kind, origin: None, place: None }
    }

    pub(super) fn report(diagnostic: Diagnostic) -> Self {
        DecodeError::new(Kind::Report(Box::new(diagnostic)))
    }

    pub(super) fn mismatch(expected: &str, found: &str) -> Diagnostic {
        Diagnostic::new(Code::TypeMismatch, format!("expected {expected}, found {found}"))
    }

    pub(super) fn from(mut self, origin: Id, place: Place) -> Self {
        self.origin.get_or_insert(origin);
        self.place.get_or_insert(place);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Report(diagnostic) => f.write_str(&diagnostic.message),
            Kind::Missing { field, .. } => write!(f, "the field `{field}` is missing"),
            Kind::Poisoned | Kind::StandIn { .. } => f.write_str("reported already"),
            Kind::Deferred => f.write_str(DEFERRED),
        }
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        if text == DEFERRED {
            return DecodeError::new(Kind::Deferred);
        }
        // Serde's own words name a type of ours; `#[serde(expecting = "…")]` gives better ones.
        if text.starts_with("data did not match any variant") {
            return DecodeError::report(Diagnostic::new(
                Code::TypeMismatch,
                "the value has none of the forms accepted here",
            ));
        }
        let (message, help) = match text.split_once('\n') {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (text, None),
        };
        let mut diagnostic = Diagnostic::new(Code::ValueInvalid, message);
        diagnostic.help = help;
        DecodeError::report(diagnostic)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        DecodeError::report(Self::mismatch(&readable(expected), &describe(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        DecodeError::report(Diagnostic::new(
            Code::ValueInvalid,
            format!("expected {}, found {}", readable(expected), describe(found)),
        ))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        DecodeError::report(Diagnostic::new(
            Code::LengthWrong,
            format!("expected {}, found {length} items", readable(expected)),
        ))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        DecodeError::report(
            Diagnostic::new(Code::ChoiceUnknown, format!("`{}` is not one of the accepted names", shorten(variant)))
                .help(format!("known: {}", quoted_list(expected)))
                .suggest(variant, expected.iter().copied()),
        )
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known: Vec<&str> = expected.to_vec();
        DecodeError::report(unknown_field(field, &known))
    }

    fn missing_field(field: &'static str) -> Self {
        DecodeError::new(Kind::Missing { field, report: true })
    }

    fn duplicate_field(field: &'static str) -> Self {
        DecodeError::report(Diagnostic::new(Code::DuplicateKey, format!("the field `{field}` is given twice")))
    }
}

pub(super) fn unknown_field(field: &str, known: &[&str]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(Code::FieldUnknown, format!("unknown field `{}`", shorten(field)));
    diagnostic.help = if known.is_empty() {
        Some("nothing can be set here".to_owned())
    } else {
        suggestion(field, known.iter().copied())
    };
    diagnostic
}

pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [name] => format!("`{name}`"),
        names => format!("one of {}", quoted_list(names)),
    }
}

/// What a visitor expects, in words of the configuration rather than of Rust.
pub(super) fn readable(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "a borrowed string" | "str" | "string" => "text".to_owned(),
        "a character" => "one character".to_owned(),
        "a boolean" | "bool" => "`true` or `false`".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "isize" | "usize" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "unit" => "nothing".to_owned(),
        _ if text.starts_with("struct ") => "a mapping".to_owned(),
        _ if text.starts_with("tuple ") => "a list".to_owned(),
        _ => text,
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("the text `{}`", shorten(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
