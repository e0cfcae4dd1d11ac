//! From text to a syntax tree, with positions, inside limits.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{
    CeilFloorKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::{ErrorKind, ExpressionError};

/// Longest text of an expression, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;

/// Deepest nesting of an expression; each operator of a chain such as `a + b + c` is one level.
pub const MAX_DEPTH: usize = 64;

/// Deepest nesting of brackets, NOT and CASE. The parser takes much stack for each, and on a mistake inside it may
/// try each level in two ways.
pub const MAX_BRACKETS: usize = 16;

/// An expression's text, for errors that point into it.
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
}

impl Text<'_> {
    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> ExpressionError {
        ExpressionError { text: self.text.into(), message: message.into(), at: None, help: None, kind }
    }

    pub(super) fn error_at(&self, kind: ErrorKind, span: Span, message: impl Into<String>) -> ExpressionError {
        ExpressionError { at: self.range(span), ..self.error(kind, message) }
    }

    /// Bytes of a span; `None` for a span that the parser did not fill.
    fn range(&self, span: Span) -> Option<Range<usize>> {
        if span.start.line == 0 {
            return None;
        }
        let start = self.offset(span.start);
        let mut end = self.offset(span.end).max(start);
        // The parser leaves the bracket that closes a call out of its place.
        let count = |text: &str, bracket| text.matches(bracket).count();
        while count(&self.text[start..end], '(') > count(&self.text[start..end], ')')
            && let Some(close) = self.text[end..].find(')')
        {
            end += close + 1;
        }
        Some(start..end)
    }

    /// The parser counts lines and characters from 1.
    fn offset(&self, location: Location) -> usize {
        let mut line_start = 0;
        for _ in 1..location.line {
            match self.text[line_start..].find('\n') {
                Some(at) => line_start += at + 1,
                None => return self.text.len(),
            }
        }
        let column = usize::try_from(location.column).unwrap_or(usize::MAX).saturating_sub(1);
        self.text[line_start..].char_indices().nth(column).map_or(self.text.len(), |(at, _)| line_start + at)
    }

    /// Takes ` at Line: 1, Column: 5` off a message of the parser.
    fn located(&self, message: &str) -> ExpressionError {
        let (message, location) = match message.split_once(" at Line: ") {
            Some((message, rest)) => {
                let mut numbers = rest.split(", Column: ").map(|number| number.trim().parse::<u64>().ok());
                let line = numbers.next().flatten();
                let column = numbers.next().flatten();
                (message, line.zip(column).map(|(line, column)| Location { line, column }))
            }
            None => (message, None),
        };
        let at = location.map(|location| {
            let start = self.offset(location);
            let end = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
            start..end
        });
        let message = message.replace(", found: EOF", ", and the text ends").replace("Expected: ", "expected ");
        let message = match message.strip_prefix("sql parser error: ") {
            Some(rest) => rest.to_owned(),
            None => message,
        };
        ExpressionError { at, ..self.error(ErrorKind::Syntax, lower_first(&message)) }
    }

    pub(super) fn parse(&self) -> Result<Expr, ExpressionError> {
        if self.text.len() > MAX_BYTES {
            let message = format!("the expression has {} bytes, more than the {MAX_BYTES} allowed", self.text.len());
            return Err(self
                .error(ErrorKind::Size, message)
                .with_help("split it into several columns of a `calc`, each with a name"));
        }
        if self.text.trim().is_empty() {
            return Err(self
                .error(ErrorKind::Syntax, "the expression is empty")
                .with_help("write one, such as `value > 100`"));
        }
        if self.text.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")) {
            return Err(self
                .error(ErrorKind::Refused, "a query stands where an expression is expected")
                .with_help("write what stands between SELECT and FROM, or use a transform of type `sql`"));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, self.text)
            .tokenize_with_location()
            .map_err(|error| self.located(&error.to_string()))?;
        if brackets(&tokens) > MAX_BRACKETS {
            return Err(self.too_deep(MAX_BRACKETS));
        }
        let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens);
        let tree = parser.parse_expr().map_err(|error| self.parser_error(&error))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            let mut error = self.error_at(
                ErrorKind::Syntax,
                next.span,
                format!("`{}` does not belong to the expression before it", next.token),
            );
            error.help = Some(match next.token {
                Token::SemiColon => "an expression has no semicolon at its end".to_owned(),
                Token::DoubleEq => "equal is written `=`".to_owned(),
                _ => "is an operator missing, such as AND, OR or a comma?".to_owned(),
            });
            return Err(error);
        }
        if depth(&tree) > MAX_DEPTH {
            return Err(self.too_deep(MAX_DEPTH));
        }
        Ok(tree)
    }

    fn parser_error(&self, error: &ParserError) -> ExpressionError {
        match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => self.located(message),
            ParserError::RecursionLimitExceeded => self.too_deep(MAX_BRACKETS),
        }
    }

    fn too_deep(&self, levels: usize) -> ExpressionError {
        self.error(ErrorKind::Size, format!("the expression is nested more than {levels} levels deep"))
            .with_help("split it into several columns of a `calc`, or write a long chain of OR as `x IN (…)`")
    }
}

impl ExpressionError {
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// How deep brackets, CASE and prefix operators are nested in a text, before it is parsed.
fn brackets(tokens: &[TokenWithSpan]) -> usize {
    let (mut open, mut run, mut deepest) = (0_usize, 0, 0);
    for token in tokens {
        let keyword = match &token.token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let prefix = matches!(keyword, Keyword::NOT | Keyword::INTERVAL | Keyword::PRIOR | Keyword::CONNECT_BY_ROOT)
            || matches!(
                token.token,
                Token::Minus | Token::Plus | Token::Tilde | Token::ExclamationMark | Token::AtSign | Token::Sharp
            );
        run = if prefix { run + 1 } else { 0 };
        match (&token.token, keyword) {
            (Token::LParen | Token::LBracket | Token::LBrace, _) | (_, Keyword::CASE) => open += 1,
            (Token::RParen | Token::RBracket | Token::RBrace, _) | (_, Keyword::END) => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open + run);
    }
    deepest
}

/// Levels of the tree, counted without recursion: a chain of operators is as deep as it is long.
fn depth(tree: &Expr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(tree, 1)];
    while let Some((expr, level)) = open.pop() {
        deepest = deepest.max(level);
        if deepest > MAX_DEPTH {
            break;
        }
        for child in children(expr) {
            open.push((child, level + 1));
        }
    }
    deepest
}

/// The expressions directly inside one; of forms that an expression cannot have, none.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Extract { expr: inner, .. } => vec![inner],
        Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::AtTimeZone { timestamp, time_zone } => vec![timestamp, time_zone],
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => {
            vec![expr, pattern]
        }
        Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::Ceil { expr, field } | Expr::Floor { expr, field } if plain(field) => vec![expr],
        Expr::Trim { expr, trim_what, .. } => {
            std::iter::once(&**expr).chain(trim_what.iter().map(|what| &**what)).collect()
        }
        Expr::Interval(interval) => vec![&interval.value],
        Expr::Case { operand, conditions, else_result, .. } => operand
            .iter()
            .map(|operand| &**operand)
            .chain(conditions.iter().flat_map(|when| [&when.condition, &when.result]))
            .chain(else_result.iter().map(|result| &**result))
            .collect(),
        Expr::Function(function) => arguments(function),
        _ => Vec::new(),
    }
}

/// The same for writing.
pub(super) fn children_mut(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Extract { expr: inner, .. } => vec![inner],
        Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::AtTimeZone { timestamp, time_zone } => vec![timestamp, time_zone],
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => {
            vec![expr, pattern]
        }
        Expr::InList { expr, list, .. } => std::iter::once(&mut **expr).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::Ceil { expr, field } | Expr::Floor { expr, field } if plain(field) => vec![expr],
        Expr::Trim { expr, trim_what, .. } => {
            std::iter::once(&mut **expr).chain(trim_what.iter_mut().map(|what| &mut **what)).collect()
        }
        Expr::Interval(interval) => vec![&mut interval.value],
        Expr::Case { operand, conditions, else_result, .. } => operand
            .iter_mut()
            .map(|operand| &mut **operand)
            .chain(conditions.iter_mut().flat_map(|when| [&mut when.condition, &mut when.result]))
            .chain(else_result.iter_mut().map(|result| &mut **result))
            .collect(),
        Expr::Function(function) => match &mut function.args {
            FunctionArguments::List(list) => list
                .args
                .iter_mut()
                .filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

pub(super) fn arguments(function: &Function) -> Vec<&Expr> {
    match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a `ceil` or `floor` rounds a number, not a time.
pub(super) fn plain(field: &CeilFloorKind) -> bool {
    use datafusion_sql::sqlparser::ast::DateTimeField;
    matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime))
}

pub(super) fn span_of(expr: &Expr) -> Span {
    match expr {
        // The parser gives the operand's place alone.
        Expr::Function(function) if arguments(function).is_empty() => function.name.span(),
        other => other.span(),
    }
}
