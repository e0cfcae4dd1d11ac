//! Errors of the YAML parser in words of the configuration.

use granit_parser::ErrorKind;

use super::DEPTH_LIMIT;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;

/// The finding for a syntax error; `before` is the text up to it.
pub(super) fn diagnostic(kind: &ErrorKind, before: &str) -> Diagnostic {
    match kind {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => tab(),
        // The parser often stops at the word behind the tab, with another complaint.
        _ if is_indented_by_tab(before) => tab(),
        kind => {
            let (message, help) = explain(kind);
            let mut diagnostic = Diagnostic::new(Code::YamlSyntax, message);
            diagnostic.help = help.map(str::to_owned);
            diagnostic
        }
    }
}

fn tab() -> Diagnostic {
    Diagnostic::new(Code::TabIndentation, "a tab is used where YAML allows only spaces")
        .help("indent with spaces; most editors can convert tabs")
}

fn is_indented_by_tab(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or("");
    let indent = line.split(|c: char| !c.is_whitespace()).next();
    indent.is_some_and(|indent| indent.contains('\t'))
}

pub(super) fn too_deep() -> Diagnostic {
    Diagnostic::new(Code::NestingTooDeep, format!("lists and mappings are nested more than {DEPTH_LIMIT} deep"))
}

/// What a syntax error means to someone who writes configuration, and what to do about it.
fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    let (message, help) = match kind {
        ErrorKind::MappingValueNotAllowed => (
            "a `:` stands where no key can be".to_owned(),
            "quote a text that contains `: `, or check the indentation of this line",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a key without its `:`".to_owned(), "write `key: value`, with a space behind the colon")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("`{open}` is not closed"), "close it, and separate what is inside by commas")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), "close brackets in the reverse order of opening them")
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a closing bracket without an opening one".to_owned(), "remove it, or quote the text that it belongs to")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => (
            "`{…}` is not closed, or a comma is missing in it".to_owned(),
            "check the braces and commas above this place",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => (
            "`[…]` is not closed, or a comma is missing in it".to_owned(),
            "check the brackets and commas above this place",
        ),
        ErrorKind::UnclosedQuotedScalar => ("a quoted text is not closed".to_owned(), "close the quote"),
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("a text cannot begin with `{}`", character.escape_debug()), "quote the text")
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => (
            "the line is not aligned with the mapping it seems to belong to".to_owned(),
            "give all keys of a mapping the same indentation",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "an unknown escape in a text in double quotes".to_owned(),
            "use single quotes where a backslash is meant as such",
        ),
        kind => return (format!("invalid YAML: {kind}"), None),
    };
    (message, Some(help))
}
