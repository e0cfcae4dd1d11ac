//! Which types go together. What DataFusion would coerce silently is refused: text with numbers, numbers as conditions.

use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::plan::type_name;
use super::resolve::{Resolver, Typed};
use super::syntax::children;
use super::{ErrorKind, ExpressionError};

impl Resolver<'_> {
    /// What DataFusion would coerce silently is refused: text with numbers, numbers as conditions.
    pub(super) fn types(&self, expr: &Expr, parts: &[Typed]) -> Result<(), ExpressionError> {
        let needs = |part: usize, what: &str, fits: fn(&DataType) -> bool| -> Result<(), ExpressionError> {
            let found = &parts[part].data_type;
            if fits(found) || *found == DataType::Null {
                return Ok(());
            }
            let inner = children(expr)[part];
            Err(self.error(
                ErrorKind::Type,
                inner,
                format!("`{inner}` is {}, and {what} is needed here", type_name(found)),
            ))
        };
        match expr {
            Expr::BinaryOp { op, .. } => match op {
                BinaryOperator::And | BinaryOperator::Or => {
                    needs(0, "true or false", is_condition)?;
                    needs(1, "true or false", is_condition)
                }
                BinaryOperator::Plus | BinaryOperator::Minus => {
                    needs(0, "a number or a time", is_number_or_time)?;
                    needs(1, "a number or a time", is_number_or_time)
                }
                BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => {
                    needs(0, "a number", is_number_or_time)?;
                    needs(1, "a number", is_number_or_time)
                }
                BinaryOperator::Gt
                | BinaryOperator::Lt
                | BinaryOperator::GtEq
                | BinaryOperator::LtEq
                | BinaryOperator::Eq
                | BinaryOperator::NotEq => self.comparable(expr, parts),
                BinaryOperator::PGRegexMatch
                | BinaryOperator::PGRegexIMatch
                | BinaryOperator::PGRegexNotMatch
                | BinaryOperator::PGRegexNotIMatch => {
                    needs(0, "text", is_text)?;
                    needs(1, "text", is_text)
                }
                _ => Ok(()),
            },
            Expr::UnaryOp { op: UnaryOperator::Not, .. } => needs(0, "true or false", is_condition),
            Expr::UnaryOp { .. } | Expr::Ceil { .. } | Expr::Floor { .. } => needs(0, "a number", is_number_or_time),
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => {
                needs(0, "text", is_text)?;
                needs(1, "text", is_text)
            }
            Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => {
                needs(0, "true or false", is_condition)
            }
            Expr::InList { .. } | Expr::Between { .. } => self.comparable(expr, parts),
            Expr::Case { operand: None, conditions, .. } => {
                (0..conditions.len()).try_for_each(|when| needs(2 * when, "true or false", is_condition))
            }
            _ => Ok(()),
        }
    }

    fn comparable(&self, expr: &Expr, parts: &[Typed]) -> Result<(), ExpressionError> {
        let first = &parts[0].data_type;
        for (index, part) in parts.iter().enumerate().skip(1) {
            if comparable(first, &part.data_type) {
                continue;
            }
            let inner = children(expr);
            let (a, b) = (inner[0], inner[index]);
            let mut error = self.error(
                ErrorKind::Type,
                expr,
                format!(
                    "`{a}` is {} and `{b}` is {}; the two cannot be compared",
                    type_name(first),
                    type_name(&part.data_type)
                ),
            );
            if is_condition(first) {
                let name = a.to_string().replace('"', "");
                error = error.with_help(format!("write `{name}` or `NOT {name}`"));
            } else if is_text(&part.data_type) && is_number(first) {
                error = error.with_help("numbers are written without quotes");
            } else if is_text(first) {
                error = error.with_help("text is written with single quotes");
            }
            return Err(error);
        }
        Ok(())
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

pub(super) fn is_number(kind: &DataType) -> bool {
    kind.is_numeric()
}

fn is_number_or_time(kind: &DataType) -> bool {
    kind.is_numeric() || kind.is_temporal()
}

fn is_condition(kind: &DataType) -> bool {
    *kind == DataType::Boolean
}

fn comparable(a: &DataType, b: &DataType) -> bool {
    if *a == DataType::Null || *b == DataType::Null {
        return true;
    }
    (is_number(a) && is_number(b))
        || (is_condition(a) && is_condition(b))
        || (is_text(a) && is_text(b))
        || (a.is_temporal() && (b.is_temporal() || is_text(b)))
        || (is_text(a) && b.is_temporal())
}
